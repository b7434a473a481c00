//! One read of a zip from its beginning to its end, which hashes everything.

use std::io::{self, Read};

use sha2::{Digest as _, Sha256};

use crate::content::Digest;

/// Reads from `zip`, and computes the SHA-256 of all bytes.
pub(super) struct Pass<R> {
    zip: R,
    hash: Sha256,
    at: u64,
}

impl<R: Read> Pass<R> {
    /// Begins at the current position of `zip`.
    pub(super) fn new(zip: R) -> Self {
        Self { zip, hash: Sha256::new(), at: 0 }
    }

    /// How many bytes were read.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Reads the rest; returns the SHA-256 of the whole zip, and its length.
    pub(super) fn finish(mut self) -> io::Result<(Digest, u64)> {
        io::copy(&mut self, &mut io::sink())?;
        Ok((Digest::from_hasher(self.hash), self.at))
    }
}

impl<R: Read> Read for Pass<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.zip.read(buffer)?;
        self.hash.update(&buffer[..count]);
        self.at += count as u64;
        Ok(count)
    }
}
