//! Public keys: those that documents embed, and those that a user gives.

use std::sync::OnceLock;
use std::time::SystemTime;

use sequoia_openpgp as openpgp;

use openpgp::Cert;
use openpgp::packet::key::{PublicParts, UnspecifiedRole};
use openpgp::packet::{Key, Signature};
use openpgp::parse::Parse as _;
use openpgp::policy::StandardPolicy;
use openpgp::types::RevocationStatus;

use super::client_support::{Overview, algorithm};
use super::key_check::{Candidate, public_half, publishable, publishable_as_of};
use super::key_packets;
use super::signature::{self, detached};
use super::signing_key::{Secret, date, expiry_warning};
use super::upstream_signature;
use super::{Fingerprint, KeyId};
use crate::error::Refusal;

/// The public half of a key, whatever its state.
#[derive(Debug, Clone)]
pub struct Certificate(Cert);

/// What a public key says about itself: the same whenever it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFacts {
    /// The primary key's fingerprint.
    pub fingerprint: Fingerprint,
    /// The key's id, by which clients name it.
    pub key_id: KeyId,
    /// The signing key's algorithm, with its size or curve.
    pub algorithm: String,
    /// When clients begin to refuse its signatures or to warn about them, by its own self-signatures.
    pub expires: Option<SystemTime>,
    /// The primary user id.
    pub user_id: Option<String>,
}

/// A public key that documents may embed: valid now, or when it made what is verified, and of an algorithm and version that
/// clients can use.
#[derive(Debug, Clone)]
pub struct PublishableKey {
    certificate: Certificate,
    armored: String,
    /// The key as it is parsed from that text, when it is needed.
    embedded: OnceLock<Result<Certificate, String>>,
    key_id: KeyId,
    signer: openpgp::Fingerprint,
    user_id: String,
    expires: Option<SystemTime>,
    /// As of which time it is judged, if not as of now.
    as_of: Option<SystemTime>,
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
        let mut why = String::new();
        for time in self.times_to_judge(made) {
            match self.verify_at(time, &policy, document, &signature) {
                Ok(_) => return Ok(()),
                Err(error) => why = error,
            }
        }
        Err(why)
    }

    /// As of which times a signature that was `made` then may be judged. A newer copy of a key has only the self-signature that
    /// extended it, which is younger than the signature.
    fn times_to_judge(&self, made: SystemTime) -> impl Iterator<Item = SystemTime> + use<> {
        self.newest().filter(|newest| *newest > made).into_iter().chain([made])
    }

    fn verify_at(
        &self,
        time: SystemTime,
        policy: &StandardPolicy<'_>,
        document: &[u8],
        signature: &Signature,
    ) -> Result<Key<PublicParts, UnspecifiedRole>, String> {
        let valid = self.0.with_policy(policy, time).map_err(|error| error.to_string())?;
        if let RevocationStatus::Revoked(_) = valid.revocation_status() {
            return Err(format!("key {} is revoked", self.key_id()));
        }
        valid.alive().map_err(|error| error.to_string())?;
        let mut keys = valid.keys().alive().for_signing().revoked(false);
        keys.find(|key| signature.verify_message(key.key(), document).is_ok())
            .map(|key| key.key().clone())
            .ok_or_else(|| format!("not made by key {}, or not over this file", self.key_id()))
    }

    pub(super) fn cert(&self) -> &Cert {
        &self.0
    }

    /// What the key says about itself, as of the time of its newest self-signature.
    #[must_use]
    pub fn facts(&self) -> KeyFacts {
        let then = self.newest().unwrap_or(SystemTime::UNIX_EPOCH);
        let overview = Overview::new(&self.0, None, then);
        KeyFacts {
            fingerprint: self.fingerprint(),
            key_id: self.key_id(),
            algorithm: algorithm(overview.signer),
            expires: [overview.expires, overview.signer_expires].into_iter().flatten().min(),
            user_id: overview.user_id.map(|user_id| String::from_utf8_lossy(user_id.value()).into_owned()),
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

    /// The same of a key that was valid when it made `signature`: it may have expired since.
    ///
    /// # Errors
    /// The text is not exactly one key that was valid then and that clients can use.
    pub fn read_as_of(source: &str, key: &Secret, signature: &[u8]) -> Result<Self, Refusal> {
        let certificate = Certificate(public_half(source, key)?);
        let made = detached(signature).ok().and_then(|signature| signature.signature_creation_time());
        let times =
            made.filter(|made| *made < SystemTime::now()).map(|made| certificate.times_to_judge(made));
        for time in times.into_iter().flatten() {
            if let Ok(key) = publishable_as_of(source, certificate.cert(), time) {
                return Ok(Self { as_of: Some(time), ..key });
            }
        }
        publishable(source, certificate.cert())
    }

    /// The part that documents embed of a key that has passed every check.
    pub(super) fn new(candidate: Candidate<'_>) -> Self {
        Self {
            // The key id of the primary key is the one that clients print: `entity.PrimaryKey.KeyIdString()`.
            key_id: candidate.certificate.keyid().into(),
            signer: candidate.signer.key().fingerprint(),
            certificate: Certificate(candidate.certificate),
            armored: candidate.armored,
            embedded: OnceLock::new(),
            user_id: candidate.user_id,
            expires: candidate.expires,
            as_of: None,
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

    /// The fingerprint of the key that signs: the primary key's, or a subkey's.
    #[must_use]
    pub fn signing_key(&self) -> Fingerprint {
        self.signer.clone().into()
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

    /// The date on which the key expired, if it has.
    #[must_use]
    pub fn expired_on(&self) -> Option<String> {
        self.expires.filter(|expires| *expires <= SystemTime::now()).map(date)
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

    /// Verifies a signature that a release has brought along, as clients do now; also those parts of it that are not
    /// signed, and that clients use.
    ///
    /// # Errors
    /// The reason why clients would not accept it, or might not.
    pub fn verify_upstream(&self, document: &[u8], signature: &[u8]) -> Result<(), String> {
        self.verify(document, signature)?;
        upstream_signature::check_form(&self.certificate, document, signature)
    }

    /// Judges a signature that is published, or is to be: by rules as strict as those of all clients together, with this
    /// copy of the key, parsed from its armored text. It is one binary detached signature of version 4 by a key that may
    /// sign now, over a hash that fits the key; it does not expire, and has no critical part that a client may not know.
    ///
    /// # Errors
    /// The reason why clients would not accept it.
    pub fn verify(&self, document: &[u8], signature: &[u8]) -> Result<(), String> {
        self.judge(document, signature).map(drop)
    }

    /// Judges a signature that the [signing key](Self::signing_key) has made since `began`; see [`verify`](Self::verify).
    ///
    /// # Errors
    /// The reason why it is not published.
    pub fn verify_new(&self, document: &[u8], signature: &[u8], began: SystemTime) -> Result<(), String> {
        let (signature, made_by) = self.judge(document, signature)?;
        if made_by != self.signer {
            return Err(format!("it is made by {made_by:X}, and not by {:X}", self.signer));
        }
        signature::made_since(&signature, began)
    }

    /// The signature, and the fingerprint of the key that made it.
    fn judge(&self, document: &[u8], signature: &[u8]) -> Result<(Signature, openpgp::Fingerprint), String> {
        let signature = signature::publishable(signature)?;
        let embedded = self.embedded.get_or_init(|| self.read_embedded()).as_ref().map_err(String::clone)?;
        let time = self.as_of.unwrap_or_else(SystemTime::now);
        let key = embedded.verify_at(time, &StandardPolicy::new(), document, &signature)?;
        signature::fits(&signature, &key)?;
        Ok((signature, key.fingerprint()))
    }

    fn read_embedded(&self) -> Result<Certificate, String> {
        let embedded = Cert::from_bytes(self.armored.as_bytes());
        let embedded =
            embedded.map_err(|error| format!("the embedded public key cannot be read: {error}"))?;
        if embedded != self.certificate.0 {
            return Err("the embedded public key is not the key's own".to_owned());
        }
        Ok(Certificate(embedded))
    }
}
