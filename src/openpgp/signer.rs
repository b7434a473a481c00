//! What signs: a secret key in memory, or whatever else holds one.

use async_trait::async_trait;
use bytes::Bytes;

use super::KeyId;
use super::certificate::PublishableKey;
use crate::content::Sealed;
use crate::error::{Refusal, Result};
use crate::worker;

/// Makes signatures by one key. The secret stays behind it: nothing that a signer gives holds any part of it.
#[async_trait]
pub trait Signer: Send + Sync {
    /// The public key that documents embed, under which clients verify what is signed here.
    fn public_key(&self) -> &PublishableKey;

    /// A binary detached OpenPGP signature of `document` (clients refuse an armored one).
    ///
    /// Signatures carry a time and often a random salt, so two of the same document differ.
    ///
    /// # Errors
    /// The key cannot sign.
    async fn sign(&self, document: &Bytes) -> Result<Vec<u8>>;
}

/// Has `document` signed, and gives the signature only if it verifies under the key that clients will get.
///
/// # Errors
/// The key cannot sign, or what it signed does not verify.
pub async fn sign_and_verify(signer: &dyn Signer, document: &Bytes) -> Result<Sealed> {
    let signature = signer.sign(document).await?;
    let key = signer.public_key();
    let verified = worker::compute(|| key.verify(document, &signature));
    verified.map_err(|error| bad_signature(key.key_id(), error))?;
    Ok(Sealed::from_bytes(signature))
}

/// The refusal of what a key has signed, or could not.
pub(super) fn bad_signature(key_id: &KeyId, found: String) -> Refusal {
    Refusal::new(format!("signing key {key_id}"), "the signature that it made is not good")
        .found(found)
        .expected("a signature that verifies under the embedded public key")
        .remedy("export the key again, or sign with another one")
}
