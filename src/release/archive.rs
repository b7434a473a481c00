//! What is common to the archives of a release: how their files are read, and within which limits.

use std::io::Read;

use crate::content::Digest;
use crate::error::Result;
use crate::splice::DeflateRecorder;

/// How much an archive may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Files and folders.
    pub entries: u64,
    /// Bytes of all files together, unpacked.
    pub unpacked_bytes: u64,
}

impl Default for Limits {
    /// 1,000 entries and 4 GiB.
    fn default() -> Self {
        Self { entries: 1_000, unpacked_bytes: 4 << 30 }
    }
}

/// A regular file in an archive, as it is handed to [`OnFile`].
pub struct ArchiveFile<'a> {
    /// Its path: relative, `/`-separated, without `.` and `..`, and one that [`entry_name::check`](super::entry_name::check)
    /// accepts.
    pub path: &'a str,
    /// Its permission bits, as the archive has them.
    pub mode: u32,
    /// Its length in bytes.
    pub size: u64,
    /// Its contents; ends after `size` bytes, or with an error.
    pub content: &'a mut dyn Read,
    /// The form in which the archive has them.
    pub compressed: CompressedForm<'a>,
}

/// How the compressed form of a file can be had.
#[derive(Clone, Copy)]
pub enum CompressedForm<'a> {
    /// It is recorded while the contents are read, if that is asked for before their first byte.
    Recordable(&'a DeflateRecorder),
    /// Not at all.
    None,
}

/// Takes each regular file of an archive, in the archive's order.
pub type OnFile<'a> = &'a mut dyn FnMut(ArchiveFile<'_>) -> Result<()>;

/// An archive of a release.
pub trait ArchiveReader {
    /// Reads the archive from beginning to end, calling `on_file` for each regular file in it.
    ///
    /// `progress` is told of the archive's own bytes as they are read. Gives the SHA-256 of the archive, taken from the same
    /// single read as the contents, so that what was checked is what was used.
    ///
    /// # Errors
    /// The archive cannot be read or breaks a rule, or `on_file` fails.
    fn read(&self, limits: Limits, progress: &dyn Fn(u64), on_file: OnFile<'_>) -> Result<Digest>;
}
