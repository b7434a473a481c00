//! The OpenPGP key that signs SHA256SUMS: read, judged, unlocked once.
//!
//! A key that this library could sign with is not always one that clients can verify (Terraform and OpenTofu use
//! ProtonMail's go-crypto through its v1 interface), so what they cannot take is refused here, in words for a release
//! engineer: v6 keys, algorithms other than RSA, EdDSA and NIST ECDSA, keys that are revoked, expired or too weak.

use std::fmt;
use std::time::{Duration, SystemTime};

use sequoia_openpgp as openpgp;

use openpgp::Cert;
use openpgp::crypto::KeyPair;
use openpgp::packet::key::{PublicParts, SecretKeyMaterial};
use zeroize::Zeroizing;

use super::key_check::{Half, Judge};
use crate::error::Refusal;

/// A warning is due when the key expires within this time.
const EXPIRY_WARNING: Duration = Duration::from_hours(90 * 24);

/// Text that must never be shown: a secret key or a passphrase. Wiped from memory when dropped.
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes `bytes` over as a secret.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The same without the line end that an editor or `echo` left behind a passphrase.
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

/// A key that is ready to sign, and the certificate by which clients verify what it signs.
pub struct SigningKey {
    pair: KeyPair,
    certificate: Cert,
    armored: String,
    key_id: String,
    fingerprint: String,
    user_id: String,
    expires: Option<SystemTime>,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.fingerprint)
    }
}

impl SigningKey {
    /// Reads a secret key as GnuPG exports it (armored, or binary) and unlocks it; `source` names it in refusals.
    ///
    /// With several signing subkeys the newest is used, as GnuPG does.
    ///
    /// # Errors
    /// It is not one secret key, clients could not verify its signatures, or the passphrase is missing or wrong.
    pub fn read(source: &str, key: &Secret, passphrase: Option<&Secret>) -> Result<Self, Refusal> {
        let judge = Judge { source, now: SystemTime::now(), half: Half::Secret };
        let cert = judge.single_certificate(key)?;
        let candidate = judge.candidate(&cert)?;
        Ok(Self {
            pair: judge.unlock(&candidate.signer, passphrase)?,
            // The key id of the primary key is the one that clients print: `entity.PrimaryKey.KeyIdString()`.
            key_id: format!("{:X}", cert.keyid()),
            fingerprint: format!("{:X}", cert.fingerprint()),
            user_id: candidate.user_id,
            certificate: candidate.certificate,
            armored: candidate.armored,
            expires: candidate.expires,
        })
    }

    /// The 16 upper-case hex digits by which clients name the key.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// The primary key's fingerprint in upper-case hex.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The primary user id.
    #[must_use]
    pub fn user_id(&self) -> &str {
        &self.user_id
    }

    /// The armored public key that the documents embed: primary key, primary user id and signing subkeys, each with its
    /// self-signature, and nothing else. The same key file always gives the same text.
    #[must_use]
    pub fn armored_certificate(&self) -> &str {
        &self.armored
    }

    /// What to tell the user if the key expires soon.
    #[must_use]
    pub fn expiry_warning(&self) -> Option<String> {
        expiry_warning(&self.key_id, self.expires?)
    }

    pub(super) fn pair(&self) -> &KeyPair {
        &self.pair
    }

    pub(super) fn certificate(&self) -> &Cert {
        &self.certificate
    }
}

/// What to tell the user of a key that expires soon.
pub(super) fn expiry_warning(key_id: &str, expires: SystemTime) -> Option<String> {
    let left = expires.duration_since(SystemTime::now()).unwrap_or_default();
    (left < EXPIRY_WARNING).then(|| {
        format!(
            "the signing key {key_id} expires on {} ({} days from now); extend it before clients refuse its signatures",
            date(expires),
            left.as_secs() / 86_400
        )
    })
}

/// The secret part of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretPart {
    /// It is there, and open.
    Open,
    /// It is there, locked by a passphrase.
    Locked,
    /// A stub says that it is elsewhere: offline, or on a card.
    Elsewhere,
    /// It is not there.
    Absent,
}

impl SecretPart {
    /// Whether it can be used, with a passphrase if need be.
    #[must_use]
    pub fn is_here(self) -> bool {
        matches!(self, Self::Open | Self::Locked)
    }
}

/// Where the secret part of a key is.
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
