//! OpenPGP: secret keys and their decoding, public keys, detached signatures, and which clients accept them.

pub mod certificate;
pub mod client_support;
pub mod gpg;
pub mod inspection;
mod key_check;
pub mod key_packets;
pub mod key_text;
mod names;
pub mod remote;
pub mod signature;
pub mod signer;
pub mod signing_key;
mod upstream_signature;

pub use names::{Fingerprint, KeyId};
pub use signer::Signer;
