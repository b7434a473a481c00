//! Contents and their digests: bytes that no longer change, and the SHA-256 that names them.

mod digest;
mod scratch;
mod sealed;

pub use digest::{Digest, ShortDigest};
pub use scratch::Scratch;
pub use sealed::{CHUNK, Sealed, SealedReader};
