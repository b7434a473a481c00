//! Reads a `.tar.gz`, and extracts the compressed stream of a member, to be copied into a zip unchanged.
//!
//! A gzip file is one or more DEFLATE streams (RFC 1952); a zip entry is one DEFLATE stream of just a file's bytes
//! (APPNOTE 4.4.5). Repacking spends most of its time on compressing, which takes many times as long as decompressing.
//! So the compressed data is reused. [`Unpacker`] decompresses the gzip file, because its CRC-32 must be checked and
//! the tar headers read, and meanwhile a [`DeflateRecorder`] records the file's bits:
//!
//! ```text
//!                        the file's bytes, as the tar file has them
//!              ├────────────────────────────────────────────────────────────────┤
//!  gzip  ┌─────┼──────────────────┬────────────────────────┬────────────────────┼────────┐
//!        │ hdr │ tokens T ... T'  │ tokens        EOB, hdr │ tokens       token │ T" ... │   blocks, with their headers
//!        └──┬──┴──────────────────┴────────────────────────┴────────────────────┴────────┘
//!           │     ▲ last token that reaches back     ║                             ▲ the first that ends
//!           │       to before the file's first byte  ║                               behind the file's last byte
//!           ▼                     ▼                  ▼                             ▼
//!  zip      ┌─────────────────────┬─────┬──────────────────────────────────────────┬─────┬─────────────┐
//!           │ head: one block of  │ hdr │ body: bit for bit the same,              │ EOB │ tail: last  │
//!           │ fixed codes         │     │ but for BFINAL, stored blocks' alignment │     │ block       │
//!           └─────────────────────┴─────┴──────────────────────────────────────────┴─────┴─────────────┘
//! ```
//!
//! - **Head.** A copy reaches back 32 KiB at the most (RFC 1951 3.2.5), so only tokens of the file's first 32 KiB can
//!   refer to data before the file: tar headers, other files. Everything up to the last of these tokens is encoded
//!   again, with the fixed codes and with those copies as literals. An empty stored block pads it to a whole byte.
//! - **Body.** First comes a copy of the header of the block that contains the last of those tokens; then everything
//!   after that token, at any bit offset. BFINAL is cleared, so the streams of several gzip members become one. Blocks
//!   without a byte are left out, and a block that some zip readers do not decode is encoded again, with the fixed
//!   codes.
//! - **Tail.** The block's end code, then a last block of fixed codes with the at most 257 bytes of a copy that extends
//!   past the end of the file.
//!
//! The output depends on the gzip file's bytes alone, not on how they are read.
//!
//! Files: `input` reads bits, `bits` are ranges of them, `output` writes bits, `huffman` builds decoding tables,
//! `block` reads the headers of blocks, `inflate` decodes tokens, `window` buffers the decompressed bytes, `gzip` reads
//! headers and trailers, `unpacker` combines all of these into a reader, `spliced_stream` builds the stream drawn
//! above, `fixed` has the fixed codes, `recorder` is the caller's interface to a recording; `fingerprint` has the data
//! by which a finished stream is verified, `fingerprint_check` verifies it, `contents` computes checksums, `zlib` is
//! the other decoder.

#![expect(
    clippy::cast_possible_truncation,
    reason = "what is cast was masked to a few bits, or is a constant of the format; checks would cost the time of the loops"
)]

mod bits;
mod block;
mod contents;
mod fingerprint;
mod fingerprint_check;
mod fixed;
mod gzip;
mod huffman;
mod inflate;
mod input;
mod output;
mod recorder;
mod spliced_stream;
mod unpacker;
mod window;
mod zlib;

pub use contents::{ContentsChecksum, ContentsHasher};
pub use fingerprint::{Run, StreamFingerprint};
pub use recorder::DeflateRecorder;
pub use unpacker::Unpacker;
pub use zlib::{Fault, ZlibStream};

use std::io;

/// How many bytes are read, or decompressed, at once.
const CHUNK: usize = 128 * 1024;

/// What is wrong with compressed data that is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Corrupt(&'static str);

/// The error for data that ends too early.
const CUT_SHORT: Corrupt = Corrupt("the compressed data is cut short");

impl From<Corrupt> for io::Error {
    fn from(corrupt: Corrupt) -> Self {
        let kind =
            if corrupt == CUT_SHORT { io::ErrorKind::UnexpectedEof } else { io::ErrorKind::InvalidData };
        Self::new(kind, corrupt.0)
    }
}

#[cfg(test)]
pub(crate) mod tests;
