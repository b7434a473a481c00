//! The interface of a signer: a secret key in memory, or any other holder of one.

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
}

/// Signs `document`, and returns the signature only if it verifies with the public key that clients will get.
///
/// # Errors
/// The key cannot sign, or its signature does not verify.
pub async fn sign_and_verify(signer: &dyn Signer, document: &Bytes) -> Result<Sealed> {
    let signature = signer.sign(document).await?;
    let key = signer.public_key();
    let verified = worker::compute(|| key.verify(document, &signature));
    verified.map_err(|error| bad_signature(key.key_id(), error))?;
    Ok(Sealed::from_bytes(signature))
}

/// The refusal of a signature that is not valid, or could not be made.
pub(super) fn bad_signature(key_id: &KeyId, found: String) -> Refusal {
    Refusal::new(format!("signing key {key_id}"), "the signature that it made is not good")
        .found(found)
        .expected("a signature that verifies under the embedded public key")
        .remedy("export the key again, or sign with another one")
}
