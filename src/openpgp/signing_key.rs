//! The OpenPGP key that signs SHA256SUMS: read, checked and unlocked once.
//!
//! A key that this library could sign with is not always one that clients can verify (Terraform and OpenTofu use
//! ProtonMail's go-crypto through its v1 interface). So keys that they cannot use are refused here, with messages for a
//! release engineer: v6 keys, algorithms other than RSA, EdDSA and NIST ECDSA, keys that are revoked, expired or too
//! weak.

use std::fmt;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use sequoia_openpgp as openpgp;

use openpgp::Packet;
use openpgp::crypto::KeyPair;
use openpgp::packet::key::{PublicParts, SecretKeyMaterial};
use openpgp::packet::signature::SignatureBuilder;
use openpgp::serialize::SerializeInto as _;
use openpgp::types::SignatureType;
use zeroize::Zeroizing;

use super::KeyId;
use super::certificate::PublishableKey;
use super::key_check::{KeyCheck, KeyUse};
use super::signature::hash_for;
use super::signer::{Signer, bad_signature};
use crate::error::{Error, Refusal};
use crate::worker;

/// The user is warned when the key expires within this time.
const EXPIRY_WARNING: Duration = Duration::from_hours(90 * 24);

/// Text that must never be shown: a secret key or a passphrase. Wiped from memory when dropped.
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Makes a secret of `bytes`.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the secret without the line end that an editor or `echo` appended to a passphrase.
    #[must_use]
    pub fn without_line_end(mut self) -> Self {
        if self.0.last() == Some(&b'\n') {
            self.0.pop();
            if self.0.last() == Some(&b'\r') {
                self.0.pop();
            }
        }
        self
    }
}

impl From<Zeroizing<Vec<u8>>> for Secret {
    fn from(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A secret key in memory that is ready to sign, and the public key with which clients verify its signatures.
pub struct SigningKey {
    pair: KeyPair,
    public: PublishableKey,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public.fingerprint())
    }
}

impl SigningKey {
    /// Reads a secret key as GnuPG exports it (armored, or binary) and unlocks it; `source` names it in refusals.
    ///
    /// With several signing subkeys the newest is used, as GnuPG does.
    ///
    /// # Errors
    /// The text is not one secret key, clients could not verify its signatures, or the passphrase is missing or wrong.
    pub fn read(source: &str, key: &Secret, passphrase: Option<&Secret>) -> Result<Self, Refusal> {
        let check = KeyCheck { source, now: SystemTime::now(), key_use: KeyUse::Secret };
        let cert = check.single_certificate(key)?;
        let candidate = check.candidate(&cert)?;
        let pair = check.unlock(&candidate.signer, passphrase)?;
        Ok(Self { pair, public: PublishableKey::new(candidate) })
    }
}

#[async_trait]
impl Signer for SigningKey {
    fn public_key(&self) -> &PublishableKey {
        &self.public
    }

    async fn sign(&self, document: &Bytes) -> Result<Vec<u8>, Error> {
        let failed = |error: anyhow::Error| bad_signature(self.public.key_id(), None, error.to_string());
        let mut pair = self.pair.clone();
        let signature = SignatureBuilder::new(SignatureType::Binary).set_hash_algo(hash_for(pair.public()));
        let signature = worker::compute(|| signature.sign_message(&mut pair, document)).map_err(failed)?;
        Ok(Packet::from(signature).to_vec().map_err(failed)?)
    }
}

/// The warning for the user if the key expires soon.
pub(super) fn expiry_warning(key_id: &KeyId, expires: SystemTime) -> Option<String> {
    let left = expires.duration_since(SystemTime::now()).unwrap_or_default();
    (left < EXPIRY_WARNING).then(|| {
        format!(
            "the signing key {key_id} expires on {} ({} days from now); extend it before clients refuse its signatures",
            date(expires),
            left.as_secs() / 86_400
        )
    })
}

/// The state of a key's secret part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretPart {
    /// It is present and unlocked.
    Open,
    /// It is present, and locked by a passphrase.
    Locked,
    /// A stub marks it as stored elsewhere: offline, or on a card.
    Elsewhere,
    /// It is absent.
    Absent,
}

impl SecretPart {
    /// Whether it can be used, if necessary with a passphrase.
    #[must_use]
    pub fn is_here(self) -> bool {
        matches!(self, Self::Open | Self::Locked)
    }
}

/// Determines the state of the secret part of a key.
pub(super) fn secret_part<R: openpgp::packet::key::KeyRole>(
    key: &openpgp::packet::Key<PublicParts, R>,
) -> SecretPart {
    match key.optional_secret() {
        Some(SecretKeyMaterial::Unencrypted(_)) => SecretPart::Open,
        // A stub says only that the secret is elsewhere, on a card or offline (gnu-dummy).
        Some(SecretKeyMaterial::Encrypted(secret)) if secret.s2k().is_supported() => SecretPart::Locked,
        Some(SecretKeyMaterial::Encrypted(_)) => SecretPart::Elsewhere,
        None => SecretPart::Absent,
    }
}

pub(crate) fn date(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time)
        .map_or_else(|_| "an unknown date".to_owned(), |t| t.strftime("%Y-%m-%d").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openpgp::signer::sign_and_verify;
    use openpgp::PacketPile;
    use openpgp::parse::Parse as _;

    fn key(name: &str) -> SigningKey {
        read(name, None).unwrap()
    }

    fn read(name: &str, passphrase: Option<&str>) -> Result<SigningKey, Refusal> {
        let path = format!("{}/testdata/keys/{name}", env!("CARGO_MANIFEST_DIR"));
        let passphrase = passphrase.map(|text| Secret::new(text.into()).without_line_end());
        SigningKey::read(name, &Secret::new(std::fs::read(path).unwrap()), passphrase.as_ref())
    }

    #[tokio::test]
    async fn fit_keys_sign_and_others_do_not_verify() {
        let other = key("ed25519.asc").public;
        for name in [
            "rsa3072.asc",
            "ed25519-subkey.asc",
            "rsa-subkey-offline-primary.asc",
            "p256.asc",
            "p384.asc",
            "p521.asc",
            "encryption-too.asc",
            "two-signing-subkeys.asc",
        ] {
            let key = key(name);
            let signature = sign_and_verify(&key, &Bytes::from_static(b"document")).await.unwrap();
            let bytes = signature.bytes().unwrap();
            let key = key.public_key();
            assert_eq!(key.verify(b"document", bytes), Ok(()), "{name}");
            assert!(key.verify(b"Document", bytes).is_err(), "{name}");
            assert!(other.verify(b"document", bytes).is_err(), "{name}");
            assert!(key.verify(b"document", &bytes[..bytes.len() - 1]).is_err(), "{name}");
            assert!(key.verify(b"document", &[bytes.as_ref(), bytes].concat()).is_err(), "{name}");
        }
    }

    #[test]
    fn the_embedded_certificate_is_minimal_and_stable() {
        let text = key("with-photo-and-third-party.asc").public.armored().to_owned();
        assert_eq!(text, key("with-photo-and-third-party.asc").public.armored());
        let pile = PacketPile::from_bytes(text.as_bytes()).unwrap();
        let kinds: Vec<String> = pile.children().map(|packet| packet.tag().to_string()).collect();
        assert_eq!(kinds, ["Public-Key Packet", "User ID Packet", "Signature Packet"]);
        assert!(!text.contains("Comment"));
    }

    #[test]
    fn no_secret_is_in_any_debug_output() {
        let secret = Secret::new(b"hunter2".to_vec());
        assert_eq!(format!("{secret:?}"), "Secret(…)");
        let key = key("rsa3072.asc");
        assert_eq!(format!("{key:?}"), format!("SigningKey({})", key.public.fingerprint()));
    }
}
