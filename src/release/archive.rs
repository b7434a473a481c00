//! The common interface of the archives of a release: reading their files, within limits.

use std::io::Read;

use crate::content::Digest;
use crate::error::Result;
use crate::splice::DeflateRecorder;

/// The limits of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Files and folders.
    pub entries: u64,
    /// Bytes of all files together, unpacked.
    pub unpacked_bytes: u64,
}

impl Limits {
    /// The limits of a zip that is published already: no provider has more, and each entry needs memory.
    pub const PUBLISHED: Self = Self { entries: 100_000, unpacked_bytes: 32 << 30 };
}

impl Default for Limits {
    /// 1,000 entries and 4 GiB.
    fn default() -> Self {
        Self { entries: 1_000, unpacked_bytes: 4 << 30 }
    }
}

/// A regular file in an archive, as passed to [`OnFile`].
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
    /// The compressed form, if the archive has one.
    pub compressed: CompressedForm<'a>,
}

/// How the compressed form of a file can be obtained.
#[derive(Clone, Copy)]
pub enum CompressedForm<'a> {
    /// It is recorded while the contents are read, if recording is requested before their first byte.
    Recordable(&'a DeflateRecorder),
    /// It cannot be obtained.
    None,
}

/// Called with each regular file of an archive, in the archive's order.
pub type OnFile<'a> = &'a mut dyn FnMut(ArchiveFile<'_>) -> Result<()>;

/// An archive of a release.
pub trait ArchiveReader {
    /// Reads the archive from beginning to end, calling `on_file` for each regular file in it.
    ///
    /// `progress` is called with the number of the archive's own bytes as they are read. Returns the SHA-256 of the
    /// archive, computed in the same single read as the contents, so that the checked bytes are the ones that are used.
    ///
    /// # Errors
    /// The archive cannot be read or breaks a rule, or `on_file` fails.
    fn read(&self, limits: Limits, progress: &dyn Fn(u64), on_file: OnFile<'_>) -> Result<Digest>;
}
