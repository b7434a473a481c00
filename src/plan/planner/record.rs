//! The record of the publish and its signature.
//!
//! The record is create-only, and runs of other builds with the same zips would write different ones, so the first one
//! stays. A run signs an existing record only if it would have written the same bytes. A record contains nothing that
//! differs between two attempts of one build, and no time of the run: so if a run was stopped between record and
//! signature, the next attempt completes it, and no record of another build is signed. What it says of the zips of earlier
//! runs follows from their contents: see `packages`.

use super::Planner;
use crate::content::{Digest, Sealed, ShortDigest};
use crate::plan::{Action, Observed, ReadKind, RunState, ToSign, Write, keep};
use crate::provider::Platform;
use crate::registry::provenance::{Material, Record, RecordedZip};
use crate::registry::{Checksums, Key};

/// The writes for the record.
pub(super) struct RecordWrites {
    /// Absent if the run has no key that could sign it.
    pub(super) statement: Option<Write>,
    /// Absent if another run's record has no signature; this run may not sign it.
    pub(super) signature: Option<Write>,
    pub(super) warning: Option<String>,
}

impl Planner<'_> {
    pub(super) fn record_keys(&self, digest: ShortDigest) -> (Key, Key) {
        let (release, key_id) = (self.release(), self.goal.key.key_id().clone());
        let statement = Key::Provenance { release: release.clone(), digest };
        (statement, Key::ProvenanceSignature { release, digest, key_id })
    }

    pub(super) fn need_record(&mut self, state: &RunState, digest: ShortDigest) {
        if self.goal.record.is_none() {
            return;
        }
        let (statement, signature) = self.record_keys(digest);
        self.need_stored(state, &statement, ReadKind::Read);
        self.need_stored(state, &signature, ReadKind::Read);
    }

    /// The record beside the next SHA256SUMS, which has these lines and this digest: the existing one, or this run's.
    pub(super) fn record(
        &mut self,
        sums: &Checksums,
        digest: ShortDigest,
        state: &mut RunState,
    ) -> RecordWrites {
        let (statement_key, signature_key) = self.record_keys(digest);
        let Some(record) = &self.goal.record else {
            return RecordWrites { statement: None, signature: None, warning: None };
        };
        let mine = self.statement(record, sums, state);
        if let Some(found) = self.document(&statement_key) {
            state.records.insert(digest, found.bytes.clone());
            state.known_objects.insert(statement_key.clone());
        }
        let action = match self.seen.objects.get(&statement_key) {
            Some(Observed::Absent) if !state.known_objects.contains(&statement_key) => Action::Create,
            _ => Action::Keep,
        };
        // A record that exists and was not read was created by this run.
        let statement = state.records.get(&digest).map_or_else(|| mine.clone(), |found| found.to_vec());
        let signed = Digest::of(&statement);
        let mut warning = None;
        let signature = if let Some(found) = self.document(&signature_key) {
            match self.goal.key.verify(&statement, &found.bytes) {
                Ok(()) => drop(state.signatures.insert(signed, Sealed::from_bytes(found.bytes.clone()))),
                Err(error) => {
                    warning = Some(format!(
                        "{signature_key}: the signature of the record does not verify: {error}"
                    ));
                }
            }
            state.known_objects.insert(signature_key.clone());
            Some(keep(signature_key, &found.bytes))
        } else if state.known_objects.contains(&signature_key) {
            let body = state.signatures.get(&signed).cloned();
            body.map(|body| Write { key: signature_key, body, action: Action::Keep })
        } else if statement == mine {
            let body = state.signatures.get(&signed).cloned();
            if body.is_none() {
                self.unsigned.push(ToSign::new(&statement_key, statement.clone()));
            }
            body.map(|body| Write { key: signature_key, body, action: Action::Create })
        } else {
            warning = Some(format!(
                "{statement_key}: this record is not what this run would write, so it is not signed by key {}; it is left as \
                 it is. If another build wrote it and was stopped, run that build again, which signs it",
                self.goal.key.key_id()
            ));
            None
        };
        let statement = Some(Write { key: statement_key, body: Sealed::from_bytes(statement), action });
        RecordWrites { statement, signature, warning }
    }

    fn statement(&self, record: &Record, sums: &Checksums, state: &RunState) -> Vec<u8> {
        let packages = &self.goal.packages;
        let recorded = |(platform, name, digest): (Platform, String, Digest)| {
            Some((platform, RecordedZip { name, zip: *state.zips.get(&digest)? }))
        };
        let zips = self.platforms_of(sums).into_iter().filter_map(recorded);
        let (own, earlier): (Vec<_>, Vec<_>) =
            zips.partition(|(platform, _)| self.package(platform).is_some());
        let [own, earlier] =
            [own, earlier].map(|zips| zips.into_iter().map(|(_, zip)| zip).collect::<Vec<_>>());
        let tarballs = packages.packages().iter().map(|package| Material {
            name: package.artifact.name().to_owned(),
            digest: package.artifact_digest,
            uri: package.artifact.address().map(str::to_owned),
        });
        let kept = packages.sums().map(|sums| Material {
            name: sums.name.clone(),
            digest: Digest::of(&sums.bytes),
            uri: None,
        });
        let (provider, protocols) = (&self.goal.provider, packages.protocols());
        let tarballs: Vec<_> = tarballs.chain(kept).collect();
        record.statement(provider, self.version, protocols, &own, &earlier, &tarballs)
    }
}
