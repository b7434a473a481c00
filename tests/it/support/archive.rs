//! Release tarballs made on the fly: good ones, and such as no tar program would make.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use tar::{EntryType, Header};

use super::tarball;

const BLOCK: usize = 512;

/// A tar file that is being written. Names and contents go in as they are; nothing is checked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Archive {
    entries: Vec<u8>,
    /// Headers are of POSIX' format, not of GNU's.
    is_posix: bool,
}

impl Archive {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Entries that follow have POSIX headers, as is right behind a pax header.
    pub(crate) fn posix(mut self) -> Self {
        self.is_posix = true;
        self
    }

    /// A regular file of mode 0644.
    pub(crate) fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        self.entry(EntryType::Regular, name.as_bytes(), content.as_ref())
    }

    /// A folder's own entry.
    pub(crate) fn folder(self, name: &str) -> Self {
        self.entry(EntryType::Directory, name.as_bytes(), b"")
    }

    /// A folder that says to have data, and has entries in it.
    pub(crate) fn sized_folder(self, name: &str, entries: Self) -> Self {
        let entries = entries.unended();
        self.promise(EntryType::Directory, name.as_bytes(), entries.len() as u64).raw(&entries)
    }

    /// A link, with what it points to.
    pub(crate) fn link(mut self, kind: EntryType, name: &str, to: &str) -> Self {
        let mut header = header(kind, name.as_bytes(), 0);
        header.as_old_mut().linkname[..to.len()].copy_from_slice(to.as_bytes());
        header.set_cksum();
        self.entries.extend_from_slice(header.as_bytes());
        self
    }

    /// An entry of any kind, with any name of up to 100 bytes.
    pub(crate) fn entry(self, kind: EntryType, name: &[u8], content: &[u8]) -> Self {
        self.promise(kind, name, content.len() as u64).raw(content).padded()
    }

    /// The header of an entry that says to have `size` bytes, without any.
    pub(crate) fn promise(mut self, kind: EntryType, name: &[u8], size: u64) -> Self {
        let is_pax = matches!(kind, EntryType::XHeader | EntryType::XGlobalHeader);
        let mut header = header(kind, name, size);
        if is_pax || self.is_posix {
            header.as_mut_bytes()[257..265].copy_from_slice(b"ustar\x0000");
            header.set_cksum();
        }
        self.entries.extend_from_slice(header.as_bytes());
        self
    }

    /// A pax extended header for the next entry (`XHeader`) or for all (`XGlobalHeader`).
    pub(crate) fn pax(self, kind: EntryType, records: &[(&str, &[u8])]) -> Self {
        let mut content = Vec::new();
        for (key, value) in records {
            // A record's length counts its own digits.
            let rest = key.len() + value.len() + 3;
            let mut length = rest + 1;
            while length != rest + length.to_string().len() {
                length += 1;
            }
            write!(content, "{length} {key}=").unwrap();
            content.extend_from_slice(value);
            content.push(b'\n');
        }
        self.entry(kind, b"pax_header", &content)
    }

    /// Bytes as they are.
    pub(crate) fn raw(mut self, bytes: &[u8]) -> Self {
        self.entries.extend_from_slice(bytes);
        self
    }

    fn padded(mut self) -> Self {
        self.entries.resize(self.entries.len().next_multiple_of(BLOCK), 0);
        self
    }

    /// The tar file, without its end.
    pub(crate) fn unended(self) -> Vec<u8> {
        self.entries
    }

    /// The tar file.
    pub(crate) fn tar(mut self) -> Vec<u8> {
        self.entries.resize(self.entries.len() + 2 * BLOCK, 0);
        self.entries
    }

    /// The compressed tar file.
    pub(crate) fn gz(self) -> Vec<u8> {
        gzip(&self.tar())
    }
}

fn header(kind: EntryType, name: &[u8], size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_size(size);
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_cksum();
    header
}

/// One gzip member.
pub(crate) fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// Writes a file into a folder; gives its path.
pub(crate) fn write(folder: &Path, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// A platform's genuine executable, of the `sample` provider in version 1.2.0. The platform is spelled `linux-amd64`.
pub(crate) fn genuine_executable(platform: &str) -> Vec<u8> {
    let first = ["linux-amd64", "linux-arm64", "darwin-arm64", "windows-amd64"].contains(&platform);
    let path = tarball(if first { "release-1.2.0" } else { "release-1.2.0-more" }, platform);
    let mut archive = tar::Archive::new(GzDecoder::new(std::fs::File::open(path).unwrap()));
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().into_owned();
        let is_file = entry.header().entry_type() == EntryType::Regular;
        if is_file && path.file_stem().is_some_and(|stem| stem == "terraform-provider-sample") {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            return bytes;
        }
    }
    panic!("no executable for {platform}")
}

/// Bytes that do not compress; the same each time.
pub(crate) fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut step = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..len).map(|_| step()).collect()
}
