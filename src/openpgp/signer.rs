//! The interface of a signer: a secret key in memory, or any other holder of one.

use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;

use super::KeyId;
use super::certificate::PublishableKey;
use crate::content::Sealed;
use crate::error::{Refusal, Result};
use crate::worker;

/// Makes signatures by one key. The secret stays inside: no result of a signer contains any part of it.
#[async_trait]
pub trait Signer: Send + Sync {
    /// The public key that documents embed, with which clients verify the signatures made here.
    fn public_key(&self) -> &PublishableKey;

    /// Makes a binary detached OpenPGP signature of `document` (clients refuse an armored one).
    ///
    /// Signatures carry a time and often a random salt, so two of the same document differ.
    ///
    /// # Errors
    /// The key cannot sign.
    async fn sign(&self, document: &Bytes) -> Result<Vec<u8>>;

    /// Who else is asked for each signature; `None` for a key in memory.
    fn holder(&self) -> Option<Holder> {
        None
    }
}

/// A program or service that holds a secret key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// GnuPG, which may ask a person: for a passphrase, a card, a touch.
    GnuPg,
    /// AWS KMS.
    Kms,
}

impl Holder {
    /// Its name in messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::GnuPg => "GnuPG",
            Self::Kms => "AWS KMS",
        }
    }

    /// Whether it may use the terminal to ask a person.
    #[must_use]
    pub fn may_ask(self) -> bool {
        self == Self::GnuPg
    }

    /// How many signatures it may be asked for at once. A card makes one after the other, and each may need a touch.
    #[must_use]
    pub fn at_once(self) -> usize {
        match self {
            Self::GnuPg => 1,
            Self::Kms => 8,
        }
    }
}

/// Signs `document`, and returns the signature only if it stands up to the rules for everything that is published:
/// [`PublishableKey::verify_new`].
///
/// # Errors
/// The key cannot sign, or its signature is refused.
pub async fn sign_and_verify(signer: &dyn Signer, document: &Bytes) -> Result<Sealed> {
    let began = SystemTime::now();
    let signature = signer.sign(document).await?;
    let key = signer.public_key();
    let verified = worker::compute(|| key.verify_new(document, &signature, began));
    verified.map_err(|error| bad_signature(key.key_id(), signer.holder(), error))?;
    Ok(Sealed::from_bytes(signature))
}

/// The refusal of a signature that is not valid, or could not be made.
pub(super) fn bad_signature(key_id: &KeyId, holder: Option<Holder>, found: String) -> Refusal {
    let (problem, remedy) = match holder {
        None => ("the signature that it made is not good", "export the key again, or sign with another one"),
        Some(Holder::GnuPg) => (
            "the signature that GnuPG made is not published",
            "check which program `gpg` is in PATH, and GnuPG's system-wide configuration; or sign with another key",
        ),
        Some(Holder::Kms) => (
            "the signature that AWS KMS made is not published",
            "check whether an alias in --signer was moved to another key meanwhile, and name the key's own ARN; where \
             AWS_ENDPOINT_URL or AWS_ENDPOINT_URL_KMS leads to an emulator, use one that signs digests (MessageType DIGEST)",
        ),
    };
    Refusal::new(format!("signing key {key_id}"), problem)
        .found(found)
        .expected("one binary signature by this key, made now, which every client accepts")
        .remedy(remedy)
}
