//! One read of a zip from its beginning to its end, which hashes everything.

use std::io::{self, Read};

use sha2::{Digest as _, Sha256};

use super::{CHUNK, Fault};
use crate::digest::Digest;

pub(super) struct Pass<R> {
    zip: R,
    hash: Sha256,
    at: u64,
    buffer: Vec<u8>,
}

impl<R: Read> Pass<R> {
    /// Begins where `zip` is.
    pub(super) fn new(zip: R) -> Self {
        Self { zip, hash: Sha256::new(), at: 0, buffer: vec![0; CHUNK] }
    }

    /// How many bytes were read.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// The next bytes, none of them behind `end`; empty when `end` is reached.
    pub(super) fn next(&mut self, end: u64) -> Result<&[u8], Fault> {
        let wanted = usize::try_from(end - self.at).unwrap_or(usize::MAX).min(self.buffer.len());
        if wanted == 0 {
            return Ok(&[]);
        }
        let count = self.read(wanted)?;
        if count == 0 {
            return Err(Fault::of("the zip is cut short"));
        }
        Ok(&self.buffer[..count])
    }

    fn read(&mut self, wanted: usize) -> io::Result<usize> {
        loop {
            match self.zip.read(&mut self.buffer[..wanted]) {
                Ok(count) => {
                    self.hash.update(&self.buffer[..count]);
                    self.at += count as u64;
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads what is left; gives the SHA-256 of the whole zip, and its length.
    pub(super) fn finish(mut self) -> io::Result<(Digest, u64)> {
        while self.read(self.buffer.len())? > 0 {}
        Ok((Digest::from_hasher(self.hash), self.at))
    }
}
