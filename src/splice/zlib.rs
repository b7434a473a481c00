//! A DEFLATE stream, decompressed by another decoder than the one that reads tarballs.

use std::io;

use flate2::{Decompress, FlushDecompress, Status};

use super::CHUNK;

/// Why a stream is not the one that it should be.
#[derive(Debug)]
pub enum Fault {
    /// It cannot be read.
    Io(io::Error),
    /// What is wrong with it.
    Wrong(String),
}

impl Fault {
    /// This is wrong.
    #[must_use]
    pub fn of(what: &str) -> Self {
        Self::Wrong(what.to_owned())
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// One DEFLATE stream, which must end where its data does: zlib ends at the first block that says to be the last.
pub struct ZlibStream {
    inflate: Decompress,
    unpacked: Vec<u8>,
    ended: bool,
}

impl Default for ZlibStream {
    fn default() -> Self {
        Self::new()
    }
}

impl ZlibStream {
    /// Nothing of it so far.
    #[must_use]
    pub fn new() -> Self {
        Self { inflate: Decompress::new(false), unpacked: vec![0; CHUNK], ended: false }
    }

    /// Takes compressed bytes; gives `with` what they decompress to.
    ///
    /// # Errors
    /// They are no such stream, or go on behind its end.
    pub fn feed(&mut self, mut bytes: &[u8], with: &mut dyn FnMut(&[u8])) -> Result<(), Fault> {
        loop {
            if self.ended {
                return match bytes {
                    [] => Ok(()),
                    _ => Err(Fault::of("it goes on behind its last block")),
                };
            }
            let (taken, given) = (self.inflate.total_in(), self.inflate.total_out());
            let status = self
                .inflate
                .decompress(bytes, &mut self.unpacked, FlushDecompress::None)
                .map_err(|error| Fault::Wrong(format!("it is no DEFLATE stream: {error}")))?;
            let taken = usize::try_from(self.inflate.total_in() - taken).unwrap_or(usize::MAX);
            let given = usize::try_from(self.inflate.total_out() - given).unwrap_or(usize::MAX);
            with(self.unpacked.get(..given).unwrap_or_default());
            bytes = bytes.get(taken..).unwrap_or_default();
            self.ended = status == Status::StreamEnd;
            // There may be more to give although all is taken, unless there was place for it.
            if bytes.is_empty() && given < self.unpacked.len() && !self.ended {
                return Ok(());
            }
        }
    }

    /// The data ends here.
    ///
    /// # Errors
    /// The stream does not.
    pub fn end(&self) -> Result<(), Fault> {
        if self.ended { Ok(()) } else { Err(Fault::of("it is cut short")) }
    }
}
