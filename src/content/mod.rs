//! Immutable contents and their SHA-256 digests.

mod digest;
mod dir_hash;
mod scratch;
mod sealed;
mod spool;

pub use digest::{Digest, NotADigest, ShortDigest};
pub use dir_hash::DirHash;
pub use scratch::Scratch;
pub use sealed::{CHUNK, Remake, Sealed, SealedReader};
pub use spool::{Spool, Spooled};
