//! Contents that arrive piece by piece.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write as _};

use sha2::{Digest as _, Sha256};

use super::scratch::BegunSync;
use super::{Digest, Sealed};

/// A file without a name into which contents are written as they arrive; their digest is computed meanwhile.
#[derive(Debug)]
pub struct Spool {
    file: File,
    hash: Sha256,
    len: u64,
}

/// The contents, all of which have arrived.
#[derive(Debug)]
pub struct Spooled {
    /// The file, at its beginning.
    pub file: File,
    /// The SHA-256 of what was written to it.
    pub digest: Digest,
    /// Its length in bytes.
    pub len: u64,
}

impl Spool {
    /// Writes into `file`, which is empty and only this process's.
    #[must_use]
    pub fn into(file: File) -> Self {
        Self { file, hash: Sha256::new(), len: 0 }
    }

    /// How many bytes have arrived.
    #[must_use]
    pub fn arrived(&self) -> u64 {
        self.len
    }

    /// Appends a piece.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        self.hash.update(piece);
        self.len += piece.len() as u64;
        self.file.write_all(piece)
    }

    /// Forgets what has arrived.
    ///
    /// # Errors
    /// The file cannot be emptied.
    pub fn restart(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        (self.hash, self.len) = (Sha256::new(), 0);
        Ok(())
    }

    /// Ends it: nothing more arrives.
    ///
    /// # Errors
    /// The file cannot be read from its beginning.
    pub fn finish(mut self) -> io::Result<Spooled> {
        self.file.seek(SeekFrom::Start(0))?;
        Ok(Spooled { file: self.file, digest: Digest::from_hasher(self.hash), len: self.len })
    }
}

impl Spooled {
    /// Seals the contents; with the file's sync, if one was begun.
    #[must_use]
    pub fn seal(self, sync: Option<BegunSync>) -> Sealed {
        Sealed::from_digested(self.file, sync, self.digest, self.len)
    }
}
