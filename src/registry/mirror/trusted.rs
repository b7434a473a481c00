//! The keys that a mirrored provider's releases are signed by, `mirror/HOST/NS/TYPE/signing-keys.json`: those that the
//! user has given, or that were there when it was mirrored first. No other key is taken without the user's word.
//!
//! Its form is that of `signing_keys` in download documents.

use std::collections::BTreeSet;

use crate::error::Refusal;
use crate::openpgp::Fingerprint;
use crate::openpgp::certificate::{Certificate, PublishableKey};
use crate::registry::json;
use crate::registry::layout::Key;
use crate::registry::raw::RawObject;

const KEYS: &str = "gpg_public_keys";
const KEY_ID: &str = "key_id";
const FINGERPRINT: &str = "fingerprint";
const ARMOR: &str = "ascii_armor";

/// The recorded keys; unknown members are kept.
#[derive(Debug, Clone)]
pub struct TrustedKeys {
    key: Key,
    object: RawObject,
    certificates: Vec<Certificate>,
}

impl PartialEq for TrustedKeys {
    /// The keys follow from the document.
    fn eq(&self, other: &Self) -> bool {
        (&self.key, &self.object) == (&other.key, &other.object)
    }
}

/// Why a key is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The user has given it.
    Given,
    /// It was recorded by an earlier run.
    Recorded,
    /// No key was recorded, and the user has given none.
    FirstUse,
}

impl TrustedKeys {
    /// A record without keys, to be written at `key`.
    #[must_use]
    pub fn empty(key: &Key) -> Self {
        Self { key: key.clone(), object: RawObject::new(0), certificates: Vec::new() }
    }

    /// Reads the record at `key`, strictly.
    ///
    /// # Errors
    /// It is not one, or a key in it cannot be read. It is never taken for an empty one.
    pub fn parse(key: &Key, bytes: &[u8]) -> Result<Self, Refusal> {
        let object = RawObject::parse(key, bytes)?;
        let values = object.values(key, &[KEYS])?;
        let mut certificates = Vec::new();
        for entry in json::list(key, &values, KEYS)? {
            let armor = entry.get(ARMOR).and_then(serde_json::Value::as_str);
            let armor = armor.ok_or_else(|| json::refuse(key, format!("a key without {ARMOR:?}")))?;
            let certificate = Certificate::embedded(armor).map_err(|found| json::refuse(key, found))?;
            certificates.push(certificate);
        }
        Ok(Self { key: key.clone(), object, certificates })
    }

    /// The key under which it is stored.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// The recorded keys.
    #[must_use]
    pub fn certificates(&self) -> &[Certificate] {
        &self.certificates
    }

    fn has(&self, fingerprint: &Fingerprint) -> bool {
        self.certificates.iter().any(|known| known.fingerprint() == *fingerprint)
    }

    /// Whether releases signed by `key` are taken, when the user has given the keys of `given`; `subject` is what it has
    /// signed.
    ///
    /// # Errors
    /// Another key was recorded, or given.
    pub fn judge(
        &self,
        key: &PublishableKey,
        given: &BTreeSet<Fingerprint>,
        subject: &str,
    ) -> Result<Reason, Refusal> {
        let fingerprint = key.fingerprint();
        if given.contains(&fingerprint) {
            return Ok(Reason::Given);
        }
        if self.has(&fingerprint) {
            return Ok(Reason::Recorded);
        }
        if given.is_empty() && self.certificates.is_empty() {
            return Ok(Reason::FirstUse);
        }
        let names = |all: &mut dyn Iterator<Item = String>| all.collect::<Vec<_>>().join(", ");
        let (problem, expected) = if self.certificates.is_empty() {
            let given = names(&mut given.iter().map(ToString::to_string));
            ("it is signed by another key than --public-key", given)
        } else {
            let recorded = names(&mut self.certificates.iter().map(|known| known.fingerprint().to_string()));
            ("it is signed by another key than before", format!("{recorded}, as recorded in {}", self.key))
        };
        Err(Refusal::new(subject, problem)
            .found(format!("{fingerprint} ({})", key.user_id()))
            .expected(expected)
            .remedy(
                "ask the provider's makers whether that key is theirs, by another way than this registry; if it is, give its file \
                 by --public-key, and it is recorded too",
            ))
    }

    /// Returns the record with these keys; newer copies replace older ones.
    #[must_use]
    pub fn with(&self, keys: &[PublishableKey]) -> Self {
        let mut changed = self.clone();
        let mut entries = self.object.objects(KEYS);
        for key in keys {
            let certificate = key.certificate();
            let at = changed.certificates.iter().position(|known| known.fingerprint() == key.fingerprint());
            if at.is_some_and(|at| !changed.certificates[at].is_older_than(certificate)) {
                continue;
            }
            let mut entry = at.and_then(|at| entries.get(at).cloned()).unwrap_or_else(|| RawObject::new(2));
            entry.set(KEY_ID, &key.key_id().as_str().into());
            entry.set(FINGERPRINT, &key.fingerprint().to_string().into());
            entry.set(ARMOR, &key.armored().into());
            if let Some(at) = at {
                entries[at] = entry;
                changed.certificates[at] = certificate.clone();
            } else {
                entries.push(entry);
                changed.certificates.push(certificate.clone());
            }
        }
        changed.object.set_objects(KEYS, &entries);
        changed
    }

    /// The document's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.object.to_bytes()
    }
}
