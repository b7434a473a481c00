//! Stores parts of a file that is read once, from its beginning to its end.

use std::ops::Range;

use object::ReadRef;

/// The most bytes that are kept of a file: the section headers of the largest executables take less than 4 MiB.
const MOST: u64 = 8 << 20;

/// A file of which a few parts are kept.
#[derive(Debug)]
pub(super) struct Sparse {
    len: u64,
    /// How much of the file was fed.
    at: u64,
    kept: u64,
    pieces: Vec<Piece>,
}

#[derive(Debug)]
struct Piece {
    range: Range<u64>,
    bytes: Vec<u8>,
}

impl Sparse {
    /// A file of `len` bytes, of which the first `head` are kept.
    pub(super) fn new(len: u64, head: u64) -> Self {
        let mut file = Self { len, at: 0, kept: 0, pieces: Vec::new() };
        file.keep(0..head.min(len));
        file
    }

    /// The file's length.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Keeps a part that was not fed yet; it may begin in one that is kept already. A part that exceeds the memory
    /// limit is not kept.
    pub(super) fn keep(&mut self, range: Range<u64>) {
        let len = range.end.saturating_sub(range.start);
        if len == 0 || range.end > self.len || self.kept + len > MOST || self.slice(&range).is_some() {
            return;
        }
        let known = self.slice(&(range.start..self.at.min(range.end))).unwrap_or_default().to_vec();
        if range.start + known.len() as u64 >= self.at.min(range.end) {
            self.kept += len;
            self.pieces.push(Piece { range, bytes: known });
        }
    }

    /// Adds `bytes`, the next ones of the file.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        let fed = self.at..self.at + bytes.len() as u64;
        for piece in &mut self.pieces {
            let (from, to) = (piece.range.start.max(fed.start), piece.range.end.min(fed.end));
            if from < to {
                let place = |at: u64| usize::try_from(at - fed.start).unwrap_or(usize::MAX);
                piece.bytes.extend_from_slice(bytes.get(place(from)..place(to)).unwrap_or_default());
            }
        }
        self.at = fed.end;
    }

    /// A part of the file, if it is kept and was fed.
    pub(super) fn slice(&self, range: &Range<u64>) -> Option<&[u8]> {
        self.pieces.iter().find_map(|piece| {
            let from = usize::try_from(range.start.checked_sub(piece.range.start)?).ok()?;
            let to = usize::try_from(range.end.checked_sub(piece.range.start)?).ok()?;
            piece.bytes.get(from..to)
        })
    }
}

impl<'a> ReadRef<'a> for &'a Sparse {
    fn len(self) -> Result<u64, ()> {
        Ok(self.len)
    }

    fn read_bytes_at(self, offset: u64, size: u64) -> Result<&'a [u8], ()> {
        let end = offset.checked_add(size).ok_or(())?;
        if size == 0 {
            return Ok(&[]);
        }
        self.slice(&(offset..end)).ok_or(())
    }

    fn read_bytes_at_until(self, range: Range<u64>, delimiter: u8) -> Result<&'a [u8], ()> {
        let bytes = self.slice(&range).ok_or(())?;
        let len = bytes.iter().position(|byte| *byte == delimiter).ok_or(())?;
        bytes.get(..len).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_does_not_depend_on_the_pieces() {
        let bytes: Vec<u8> = (0..=255).cycle().take(2000).collect();
        for size in [1, 7, 100, 2000] {
            let mut file = Sparse::new(2000, 100);
            file.feed(&bytes[..100]);
            file.keep(90..150);
            file.keep(1990..2000);
            file.keep(1000..1000 + MOST);
            for piece in bytes[100..].chunks(size) {
                file.feed(piece);
            }
            assert_eq!(file.slice(&(0..100)), Some(&bytes[..100]));
            assert_eq!(file.slice(&(95..150)), Some(&bytes[95..150]));
            assert_eq!(file.slice(&(1990..2000)), Some(&bytes[1990..]));
            assert_eq!((file.slice(&(99..151)), file.slice(&(1000..1001))), (None, None));
        }
    }
}
