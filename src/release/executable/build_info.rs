//! Reads the system that Go built an executable for, as its linker records it.
//!
//! Source: Go's debug/buildinfo. In a writable segment, at a multiple of 16: `\xff Go buildinf:`, the size of a
//! pointer, flags, up to 32 bytes; then, if flag 2 is set (Go 1.18 and later), two texts with their length before them
//! (a varint): Go's version, and the output of `go version -m`, between two marks of 16 bytes. One line of it is
//! `build\tGOOS=linux`.
//!
//! Only writable segments are searched: data embedded in a program, such as another executable, is in other segments.

use std::ops::Range;

use memchr::memmem;

const MAGIC: &[u8] = b"\xff Go buildinf:";
const ALIGNMENT: u64 = 16;
/// Where the texts begin.
const HEADER: usize = 32;
/// Enough bytes to exclude a coincidental match of the magic.
const PREFIX: usize = HEADER + 8;
/// The texts name every module of the build: a hundred bytes each.
const MOST: usize = 1 << 20;

/// Looks for Go's record while the executable is read.
#[derive(Debug, Default)]
pub(super) struct Search {
    /// The parts of the file where it may be.
    ranges: Vec<Range<u64>>,
    at: u64,
    /// The last bytes before `at`, in which it may begin.
    tail: Vec<u8>,
    /// The record from its beginning, once it is found.
    record: Option<Vec<u8>>,
}

impl Search {
    /// Searches these parts of the file.
    pub(super) fn new(ranges: Vec<Range<u64>>) -> Self {
        Self { ranges, ..Self::default() }
    }

    /// Adds `bytes`, the next ones of the file.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        let start = self.at;
        self.at += bytes.len() as u64;
        if let Some(record) = &mut self.record {
            let room = MOST.saturating_sub(record.len()).min(bytes.len());
            record.extend_from_slice(bytes.get(..room).unwrap_or_default());
            return;
        }
        if !self.ranges.iter().any(|range| range.start < self.at && start < range.end) {
            self.tail.clear();
            return;
        }
        let from = start - self.tail.len() as u64;
        self.tail.extend_from_slice(bytes);
        for index in memmem::find_iter(&self.tail, MAGIC) {
            let place = from + index as u64;
            let rest = self.tail.get(index..).unwrap_or_default();
            let is_in_range = self.ranges.iter().any(|range| range.contains(&place));
            if is_in_range && place.is_multiple_of(ALIGNMENT) && is_record(rest) {
                self.record = Some(rest.get(..rest.len().min(MOST)).unwrap_or_default().to_vec());
                self.tail = Vec::new();
                return;
            }
        }
        let keep = self.tail.len().saturating_sub(PREFIX - 1);
        self.tail.drain(..keep);
    }

    /// `GOOS` of the build, if it is recorded.
    pub(super) fn goos(&self) -> Option<String> {
        let texts = self.record.as_ref()?.get(HEADER..)?;
        let (_, texts) = text(texts)?;
        let (modules, _) = text(texts)?;
        let line = b"\nbuild\tGOOS=";
        let value = modules.get(memmem::find(modules, line)? + line.len()..)?;
        let value = value.get(..value.iter().position(|byte| !byte.is_ascii_alphanumeric())?)?;
        std::str::from_utf8(value).ok().map(ToOwned::to_owned)
    }
}

fn is_record(bytes: &[u8]) -> bool {
    let (Some(flags), Some(texts)) = (bytes.get(MAGIC.len() + 1), bytes.get(HEADER..PREFIX)) else {
        return false;
    };
    let version = texts.get(1..).unwrap_or_default();
    flags & 2 != 0 && (version.starts_with(b"go") || version.starts_with(b"devel"))
}

/// Reads a text with its length before it, as far as it is present; returns it and the bytes after it.
fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (mut len, mut shift, mut at) = (0_usize, 0, 0);
    loop {
        let byte = *bytes.get(at)?;
        at += 1;
        len |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
        shift += 7;
        if shift > 28 {
            return None;
        }
    }
    let rest = bytes.get(at..)?;
    Some(rest.split_at(len.min(rest.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(goos: &str) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([8, 2]);
        bytes.resize(HEADER, 0);
        bytes.push(8);
        bytes.extend(b"go1.26.8");
        let modules = format!(
            "0123456789abcdefpath\thello\n{}build\tCGO_ENABLED=0\nbuild\tGOOS={goos}\n0123456789abcdef",
            "dep\tx\n".repeat(100)
        );
        bytes.extend([
            u8::try_from(modules.len() % 128).unwrap() | 128,
            u8::try_from(modules.len() / 128).unwrap(),
        ]);
        bytes.extend(modules.as_bytes());
        bytes
    }

    fn found(file: &[u8], range: Range<u64>, piece: usize) -> Option<String> {
        let mut search = Search::new(vec![range]);
        file.chunks(piece).for_each(|piece| search.feed(piece));
        search.goos()
    }

    #[test]
    fn the_record_is_found_where_it_may_be() {
        // The magic alone, as in a program that reads such records; one that is not aligned; the one; another.
        let mut file = [MAGIC, &[0; 100][..], &[0; 6]].concat();
        file.resize(152, 0);
        file.extend(record("windows"));
        file.resize(1600, 0);
        file.extend(record("dragonfly"));
        file.resize(4800, 0);
        file.extend(record("linux"));
        let end = file.len() as u64;
        for piece in [1, 13, 40, 1000, 10_000] {
            assert_eq!(found(&file, 0..end, piece).as_deref(), Some("dragonfly"), "{piece}");
            assert_eq!(found(&file, 2000..end, piece).as_deref(), Some("linux"), "{piece}");
            assert_eq!(found(&file, 0..1500, piece), None, "{piece}");
        }
        for cut in 0..700 {
            let _ = found(&record("linux")[..cut], 0..1000, 64);
        }
    }
}
