//! Reads a `.tar.gz`, and cuts the compressed stream of a member out of it, to go into a zip as it is.
//!
//! A gzip file is one or more DEFLATE streams (RFC 1952); a zip entry is one DEFLATE stream of just a file's bytes
//! (APPNOTE 4.4.5). To compress a file again that is compressed already is what repacking costs: many times what it
//! takes to decompress it. So it is not compressed again. [`Unpacker`] decompresses the gzip file, because its CRC-32 must
//! be checked and the tar headers read, and while it does, a [`DeflateRecorder`] records the file's bits:
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
//! - **Head.** A copy reaches back 32 KiB at the most (RFC 1951 3.2.5), so only tokens of the file's first 32 KiB can refer to
//!   what is before it: tar headers, other files. All up to the last of those is encoded anew, with the fixed codes and
//!   those copies as literals. An empty stored block brings it to a whole byte.
//! - **Body.** The header of the block that the last of those tokens is in, once more; then everything, at whatever bit
//!   it is. BFINAL is cleared, so the streams of several gzip members become one. Blocks without a byte are left out, and a
//!   block that not every reader of zips decodes is encoded anew, with the fixed codes.
//! - **Tail.** The block's end code, then a last block of fixed codes with the at most 257 bytes of a copy that goes on
//!   behind the file.
//!
//! What comes out depends on the gzip file's bytes alone, not on how they are read.
//!
//! Files: `input` bits in, `bits` ranges of them, `output` bits out, `huffman` codes to tables, `block` the headers of blocks,
//! `inflate` tokens, `window` bytes out, `gzip` headers and trailers, `unpacker` all of these as a reader, `recording` what is
//! drawn above, `fixed` the fixed codes, `recorder` a recording as the reader's user sees it; `fingerprint` what the finished stream
//! can be held to, `proof` holding it to that, `contents` what bytes come to, `zlib` the other decoder.

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

pub use contents::{Contents, ContentsHasher};
pub use fingerprint::{Run, StreamFingerprint};
pub use recorder::DeflateRecorder;
pub use unpacker::Unpacker;
pub use zlib::{Fault, ZlibStream};

use std::io;

/// Bytes that are read, or decompressed, at once.
const CHUNK: usize = 128 * 1024;

/// Why compressed data is refused: what is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Corrupt(&'static str);

/// What is said where the data ends before its end.
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
