//! Public keys: those that documents embed, and those that a user gives.

use std::time::SystemTime;

use sequoia_openpgp as openpgp;

use openpgp::Cert;
use openpgp::parse::Parse as _;
use openpgp::policy::StandardPolicy;
use openpgp::types::RevocationStatus;

use super::key_check::{Candidate, public_half, publishable};
use super::key_packets;
use super::signature::detached;
use super::signing_key::{Secret, expiry_warning};
use super::{Fingerprint, KeyId};
use crate::error::Refusal;

/// The public half of a key, whatever its state.
#[derive(Debug, Clone)]
pub struct Certificate(Cert);

/// A public key that documents may embed: valid now, and of an algorithm and version that clients can use.
#[derive(Debug, Clone)]
pub struct PublishableKey {
    certificate: Certificate,
    armored: String,
    key_id: KeyId,
    user_id: String,
    expires: Option<SystemTime>,
}

impl Certificate {
    /// Reads one key, public or secret, and keeps its public half; `source` names it in refusals. The key may be
    /// expired, because signatures that it made earlier are verified with it.
    ///
    /// # Errors
    /// The text is not exactly one OpenPGP key.
    pub fn read(source: &str, key: &Secret) -> Result<Self, Refusal> {
        public_half(source, key).map(Self)
    }

    /// Reads the armored key of a document.
    ///
    /// # Errors
    /// The text is not a public key.
    pub fn embedded(armor: &str) -> Result<Self, String> {
        key_packets::read_one(armor.as_bytes())
            .map(Self)
            .map_err(|error| format!("a public key that cannot be read: {error}"))
    }

    /// The 16 upper-case hex digits by which clients name the key.
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        self.0.keyid().into()
    }

    /// The primary key's fingerprint in upper-case hex.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.0.fingerprint().into()
    }

    /// Merges another copy of the key into this one: earlier self-signatures, other subkeys, a revocation.
    ///
    /// # Errors
    /// The other copy is of another key.
    pub fn with(&self, other: &Self) -> Result<Self, String> {
        self.0.clone().merge_public(other.0.clone()).map(Self).map_err(|error| error.to_string())
    }

    /// Verifies a binary detached signature as of the time when it was made: the key may have expired since, but it
    /// must not be revoked for being known to others.
    ///
    /// # Errors
    /// The reason why the signature is not valid.
    pub fn verify_as_of_then(&self, document: &[u8], signature: &[u8]) -> Result<(), String> {
        let signature = detached(signature)?;
        let made = signature.signature_creation_time().ok_or("the signature has no time")?;
        if made > SystemTime::now() {
            return Err("the signature is from the future".to_owned());
        }
        let policy = StandardPolicy::new();
        // A newer copy of a key has only the self-signature that extended it, which is younger than the signature.
        let times = self.newest().filter(|newest| *newest > made).into_iter().chain([made]);
        let mut why = String::new();
        for time in times {
            match self.verify_at(time, &policy, document, &signature) {
                Ok(()) => return Ok(()),
                Err(error) => why = error,
            }
        }
        Err(why)
    }

    fn verify_at(
        &self,
        time: SystemTime,
        policy: &StandardPolicy<'_>,
        document: &[u8],
        signature: &openpgp::packet::Signature,
    ) -> Result<(), String> {
        let valid = self.0.with_policy(policy, time).map_err(|error| error.to_string())?;
        if let RevocationStatus::Revoked(_) = valid.revocation_status() {
            return Err(format!("key {} is revoked", self.key_id()));
        }
        valid.alive().map_err(|error| error.to_string())?;
        let mut keys = valid.keys().alive().for_signing().revoked(false);
        if keys.any(|key| signature.verify_message(key.key(), document).is_ok()) {
            Ok(())
        } else {
            Err(format!("not made by key {}, or not over this file", self.key_id()))
        }
    }

    /// The time of its newest self-signature.
    fn newest(&self) -> Option<SystemTime> {
        let signatures = self.0.userids().flat_map(|id| id.self_signatures().cloned().collect::<Vec<_>>());
        signatures.filter_map(|signature| signature.signature_creation_time()).max()
    }

    /// Whether this copy of a key is older than another one.
    #[must_use]
    pub fn is_older_than(&self, other: &Self) -> bool {
        self.newest() < other.newest()
    }
}

impl PublishableKey {
    /// Reads a public or secret key whose public half is to be embedded; `source` names it in refusals.
    ///
    /// # Errors
    /// The text is not exactly one key that is valid now and that clients can use.
    pub fn read(source: &str, key: &Secret) -> Result<Self, Refusal> {
        publishable(source, &public_half(source, key)?)
    }

    /// The part that documents embed of a key that has passed every check.
    pub(super) fn new(candidate: Candidate<'_>) -> Self {
        Self {
            // The key id of the primary key is the one that clients print: `entity.PrimaryKey.KeyIdString()`.
            key_id: candidate.certificate.keyid().into(),
            certificate: Certificate(candidate.certificate),
            armored: candidate.armored,
            user_id: candidate.user_id,
            expires: candidate.expires,
        }
    }

    /// The 16 upper-case hex digits by which clients name the key.
    #[must_use]
    pub fn key_id(&self) -> &KeyId {
        &self.key_id
    }

    /// The primary key's fingerprint in upper-case hex.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.certificate.fingerprint()
    }

    /// The primary user id.
    #[must_use]
    pub fn user_id(&self) -> &str {
        &self.user_id
    }

    /// The warning for the user if the key expires soon.
    #[must_use]
    pub fn expiry_warning(&self) -> Option<String> {
        expiry_warning(&self.key_id, self.expires?)
    }

    /// The key.
    #[must_use]
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The armored public key that the documents embed: primary key, primary user id and signing subkeys, each with its
    /// self-signature, and nothing else. The same key file always gives the same text.
    #[must_use]
    pub fn armored(&self) -> &str {
        &self.armored
    }

    /// Verifies a binary detached signature as clients do now, with this copy of the key, parsed from its armored text.
    ///
    /// # Errors
    /// The reason why clients would not accept it.
    pub fn verify(&self, document: &[u8], signature: &[u8]) -> Result<(), String> {
        let signature = detached(signature)?;
        signature.signature_alive(None, None).map_err(|error| error.to_string())?;
        let embedded = Cert::from_bytes(self.armored.as_bytes());
        let embedded =
            embedded.map_err(|error| format!("the embedded public key cannot be read: {error}"))?;
        if embedded != self.certificate.0 {
            return Err("the embedded public key is not the key's own".to_owned());
        }
        Certificate(embedded).verify_at(SystemTime::now(), &StandardPolicy::new(), document, &signature)
    }
}
