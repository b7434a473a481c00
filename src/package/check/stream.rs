//! A DEFLATE stream, decompressed by another decoder than the one that read the tarball.

use flate2::{Decompress, FlushDecompress, Status};

use super::{CHUNK, Fault};

/// One DEFLATE stream, which must end where its data does: zlib ends at the first block that says to be the last.
pub(super) struct Stream {
    inflate: Decompress,
    unpacked: Vec<u8>,
    ended: bool,
}

impl Stream {
    pub(super) fn new() -> Self {
        Self { inflate: Decompress::new(false), unpacked: vec![0; CHUNK], ended: false }
    }

    /// Takes compressed bytes; gives `with` what they decompress to.
    pub(super) fn feed(&mut self, mut bytes: &[u8], with: &mut dyn FnMut(&[u8])) -> Result<(), Fault> {
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

    /// An error if the stream has not ended.
    pub(super) fn end(&self) -> Result<(), Fault> {
        if self.ended { Ok(()) } else { Err(Fault::of("it is cut short")) }
    }
}
