//! The records of publishes, signed again.
//!
//! As for a SHA256SUMS, only a proven record is signed again: a trusted key has signed it, and it names zips that this
//! SHA256SUMS of this version lists. A record without a signature by a trusted key stays as it is.

use super::{Renewal, Resign, RunState, Signed};
use crate::content::Digest;
use crate::openpgp::KeyId;
use crate::openpgp::certificate::Certificate;
use crate::plan::{Action, Observation, Plan, ToSign, Write, keep};
use crate::registry::{Checksums, Key, provenance};

impl Resign {
    /// The record beside a SHA256SUMS, and its signatures by the relevant keys; the signer's is the last one.
    pub(super) fn record_keys(&self, signed: &Signed) -> Vec<Key> {
        let (Renewal::Signatures, Key::Sums { release, digest }) = (self.renewal, &signed.sums) else {
            return Vec::new();
        };
        let (key, digest) = (&self.key, *digest);
        let signature = |key_id: KeyId| Key::ProvenanceSignature { release: release.clone(), digest, key_id };
        let mut keys = vec![Key::Provenance { release: release.clone(), digest }];
        let others = self.trusted.iter().map(Certificate::key_id).filter(|id| id != key.key_id());
        keys.extend(others.map(signature));
        keys.push(signature(key.key_id().clone()));
        keys
    }

    /// The signature of the record beside a proven SHA256SUMS: the existing one, or a new one; `None` if there is no
    /// record, if it is not proven, or if the signature is still to be made.
    pub(super) fn record(
        &self,
        signed: &Signed,
        seen: &Observation,
        state: &RunState,
        plan: &mut Plan,
        unsigned: &mut Vec<ToSign>,
    ) -> Option<Write> {
        let key = &self.key;
        let keys = self.record_keys(signed);
        let (Some(record_key), Some(wanted)) = (keys.first(), keys.last()) else { return None };
        let record = seen.document(record_key)?;
        if let Some(found) = seen.document(wanted) {
            if let Err(error) = key.verify(&record.bytes, &found.bytes) {
                plan.warnings.push(format!("{wanted}: the signature of the record does not verify: {error}"));
            }
            return Some(keep(wanted.clone(), &found.bytes));
        }
        let digest = Digest::of(&record.bytes);
        if state.known_objects.contains(wanted) {
            let made = state.made.get(&digest).cloned();
            return made.map(|body| Write { key: wanted.clone(), body, action: Action::Keep });
        }
        if let Err(problem) = self.proven(signed, &keys, seen) {
            plan.warnings
                .push(format!("{record_key}: {problem}, so it is not signed by key {}", key.key_id()));
            return None;
        }
        let Some(body) = state.made.get(&digest).cloned() else {
            unsigned.push(ToSign::new(record_key, record.bytes.clone()));
            return None;
        };
        plan.changes.push(format!(
            "~ {}: the record of its publish is signed by key {}",
            signed.version,
            key.key_id()
        ));
        Some(Write { key: wanted.clone(), body, action: Action::Create })
    }

    fn proven(&self, signed: &Signed, keys: &[Key], seen: &Observation) -> Result<(), String> {
        let read = |key: &Key| seen.document(key).ok_or_else(|| format!("{key} is not there"));
        let [record_key, signatures @ ..] = keys else { return Err("no record".to_owned()) };
        let record = read(record_key)?;
        let mut why = "no trusted key has signed it".to_owned();
        let is_signed = signatures.iter().any(|key| {
            let Key::ProvenanceSignature { key_id: id, .. } = key else { return false };
            let Some(signature) = seen.document(key) else { return false };
            let mut trusted = self.trusted.iter().filter(|trusted| trusted.key_id() == *id);
            trusted.any(|trusted| match trusted.verify_as_of_then(&record.bytes, &signature.bytes) {
                Ok(()) => true,
                Err(error) => {
                    why = format!("{key}: {error}");
                    false
                }
            })
        });
        if !is_signed {
            return Err(why);
        }
        let sums = Checksums::parse(&read(&signed.sums)?.bytes)?;
        provenance::tells_of(&record.bytes, &self.provider, &signed.version, &sums)
    }
}
