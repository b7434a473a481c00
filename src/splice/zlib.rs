//! Decompresses a DEFLATE stream with another decoder than the one that reads tarballs.

use std::io;

use flate2::{Decompress, FlushDecompress, Status};

use super::CHUNK;

/// Why a stream does not pass a check.
#[derive(Debug)]
pub enum Fault {
    /// The stream cannot be read.
    Io(io::Error),
    /// What is wrong with the stream.
    Wrong(String),
}

impl Fault {
    /// A fault with this text.
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

/// One DEFLATE stream, which must end where its data does: zlib stops at the first block that is marked as the last.
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
    /// A stream without any data yet.
    #[must_use]
    pub fn new() -> Self {
        Self { inflate: Decompress::new(false), unpacked: vec![0; CHUNK], ended: false }
    }

    /// Decompresses `bytes`, and calls `with` with the result.
    ///
    /// # Errors
    /// The bytes are not a DEFLATE stream, or continue after its end.
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
            // Output may be left although all input is consumed, unless the buffer was not filled.
            if bytes.is_empty() && given < self.unpacked.len() && !self.ended {
                return Ok(());
            }
        }
    }

    /// Called at the end of the data.
    ///
    /// # Errors
    /// The stream has not ended.
    pub fn end(&self) -> Result<(), Fault> {
        if self.ended { Ok(()) } else { Err(Fault::of("it is cut short")) }
    }
}
