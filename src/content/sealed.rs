//! Bytes, digest and length as one value, so that what was checked is what is written.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
#[cfg(target_os = "linux")]
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::Digest;
use super::scratch::BegunSync;
use crate::error::{Refusal, Result};

/// The unit in which files are read: large enough for the disk, small enough for many at once.
pub const CHUNK: usize = 128 * 1024;

/// Immutable contents, with their SHA-256 and length. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Sealed {
    body: Storage,
    digest: Digest,
    len: u64,
}

#[derive(Debug, Clone)]
enum Storage {
    Memory(Bytes),
    /// An unnamed temporary file: no other process can change it, and it is deleted when the process ends, unless it
    /// was [linked](Sealed::link).
    File(Arc<Temporary>),
    /// Contents that are made again when they are needed.
    Later(Arc<dyn Remake>),
}

/// Makes contents again that were made before, checked, and not kept.
#[async_trait(?Send)]
pub trait Remake: std::fmt::Debug + Send + Sync {
    /// Makes them.
    ///
    /// # Errors
    /// They cannot be made, for example because a file that they are made of is gone.
    async fn remake(&self) -> Result<Sealed>;

    /// What they are made of, for messages.
    fn made_of(&self) -> String;
}

#[derive(Debug)]
struct Temporary {
    file: File,
    /// The writing of the file to the disk, if it was begun before the file was needed there.
    sync: Option<BegunSync>,
}

impl Sealed {
    /// Seals bytes in memory.
    #[must_use]
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self { digest: Digest::of(&bytes), len: bytes.len() as u64, body: Storage::Memory(bytes) }
    }

    /// Seals a temporary file, reading it once for its digest.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn from_file(mut file: File) -> io::Result<Self> {
        file.seek(SeekFrom::Start(0))?;
        let (digest, len) = Digest::of_reader(&mut file)?;
        Ok(Self::from_digested(file, None, digest, len))
    }

    /// Seals a temporary file whose digest and length are known, from a read of all of it after the last write; with
    /// its sync, if one was begun.
    pub(crate) fn from_digested(file: File, sync: Option<BegunSync>, digest: Digest, len: u64) -> Self {
        Self { body: Storage::File(Arc::new(Temporary { file, sync })), digest, len }
    }

    /// The same digest and length, with contents that `remake` makes when they are needed: meanwhile they take no room.
    #[must_use]
    pub fn later(&self, remake: Arc<dyn Remake>) -> Self {
        Self { body: Storage::Later(remake), digest: self.digest, len: self.len }
    }

    /// Whether the contents can be read now; if not, [`Self::at_hand`] makes them.
    #[must_use]
    pub fn is_at_hand(&self) -> bool {
        !matches!(self.body, Storage::Later(_))
    }

    /// The same contents, which can be read; they are made again if they were not kept.
    ///
    /// # Errors
    /// They cannot be made, or are not the same any more.
    pub async fn at_hand(&self) -> Result<Self> {
        let Storage::Later(remake) = &self.body else { return Ok(self.clone()) };
        let made = remake.remake().await?;
        if made.digest != self.digest || made.len != self.len {
            return Err(Refusal::new(remake.made_of(), "the file has changed since this run checked it")
                .found(format!("{} bytes, SHA-256 {}, of the zip", made.len, made.digest))
                .expected(format!("{} bytes, SHA-256 {}, as it was checked", self.len, self.digest))
                .remedy("let nothing change the files while they are published; then run again")
                .into());
        }
        Ok(made)
    }

    /// The SHA-256 of the contents.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The length in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The contents, if they are in memory.
    #[must_use]
    pub fn bytes(&self) -> Option<&Bytes> {
        match &self.body {
            Storage::Memory(bytes) => Some(bytes),
            Storage::File(_) | Storage::Later(_) => None,
        }
    }

    /// Gives the contents a name without a copy, if they are an unnamed file on the same file system (see
    /// [`Scratch::near`](super::Scratch::near)). `None` if that is not possible: then the caller must copy them.
    ///
    /// # Errors
    /// The sync that was begun for the file has failed: its contents may be lost.
    pub fn link(&self, path: &Path) -> io::Result<Option<File>> {
        let Storage::File(temporary) = &self.body else { return Ok(None) };
        let linked = link(&temporary.file, path).and_then(|()| File::open(path)).ok();
        // The system reports a failed write of a file once only, to that sync.
        temporary.sync.as_ref().map_or(Ok(()), BegunSync::wait)?;
        Ok(linked)
    }

    /// A reader from the beginning; several may read at once. The contents have to be [at hand](Self::at_hand).
    #[must_use]
    pub fn reader(&self) -> SealedReader {
        SealedReader { sealed: self.clone(), position: 0 }
    }
}

/// Source: open(2), the example of `O_TMPFILE`; linking by the descriptor itself requires `CAP_DAC_READ_SEARCH`.
#[cfg(target_os = "linux")]
fn link(file: &File, path: &Path) -> io::Result<()> {
    use rustix::fs::{AtFlags, CWD};

    let descriptor = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(rustix::fs::linkat(CWD, descriptor, CWD, path, AtFlags::SYMLINK_FOLLOW)?)
}

#[cfg(not(target_os = "linux"))]
fn link(_: &File, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Reads a [`Sealed`] from its beginning, without moving the position of other readers.
pub struct SealedReader {
    sealed: Sealed,
    position: u64,
}

impl Read for SealedReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match &self.sealed.body {
            Storage::File(temporary) => temporary.file.read_at(buffer, self.position)?,
            Storage::Memory(bytes) => {
                let start = usize::try_from(self.position).unwrap_or(usize::MAX).min(bytes.len());
                let count = buffer.len().min(bytes.len() - start);
                buffer[..count].copy_from_slice(&bytes[start..start + count]);
                count
            }
            Storage::Later(_) => return Err(io::Error::other("contents that are not made yet were read")),
        };
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for SealedReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(offset) => self.sealed.len.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = target.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn memory_and_file_are_the_same_to_a_reader() {
        let content: Vec<u8> = (0..300_000u32).map(|i| i.to_le_bytes()[0]).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&content).unwrap();
        for sealed in [Sealed::from_bytes(content.clone()), Sealed::from_file(file).unwrap()] {
            assert_eq!((sealed.digest(), sealed.len()), (Digest::of(&content), 300_000));
            let mut first = sealed.reader();
            let mut second = sealed.reader();
            second.seek(SeekFrom::End(-1)).unwrap();
            let mut last = Vec::new();
            second.read_to_end(&mut last).unwrap();
            assert_eq!(last, &content[299_999..]);
            let mut all = Vec::new();
            first.read_to_end(&mut all).unwrap();
            assert_eq!(all, content);
        }
    }
}
