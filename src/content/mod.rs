//! Immutable contents and their SHA-256 digests.

mod digest;
mod scratch;
mod sealed;

pub use digest::{Digest, ShortDigest};
pub use scratch::Scratch;
pub use sealed::{CHUNK, Sealed, SealedReader};
