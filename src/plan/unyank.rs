//! Putting a yanked version back into the index, from its download documents.
//!
//! As in [`super::yank`], the record is written first, and then the index with its mark. The mark is written even if
//! the version is still listed because a yank was stopped half way, or is under way: that yank must not write its index
//! any more. Between the two writes a publish of the version is refused, because the index says that it is yanked;
//! running the command again completes it.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::completeness::{self, Completeness, Trust};
use super::{
    Goal, Observation, Plan, ReadKind, Step, condition_check, keep, lost_index, names, replace, yanked_record,
};
use crate::error::Refusal;
use crate::openpgp::Fingerprint;
use crate::provider::{Provider, ReleaseId, Version};
use crate::registry::versions::platforms_of;
use crate::registry::{Folder, Key, Mark, Settings, VersionsDocument, YankedRecord};

/// Puts a version back into the index.
#[derive(Debug)]
pub struct Unyank {
    /// The provider.
    pub provider: Provider,
    /// The version.
    pub version: Version,
    /// The keys that must have signed it.
    pub trust: Trust,
    /// When the run began.
    pub now: Timestamp,
}

impl Goal for Unyank {
    /// Whether this run has written the record.
    type RunState = bool;

    fn next(&self, seen: &Observation, written: &mut bool) -> Result<Step, Refusal> {
        let index_key = Key::Versions { provider: self.provider.clone() };
        let record_key = Key::Yanked { release: ReleaseId::new(&self.provider, &self.version) };
        let reads = [&Key::Discovery, &index_key, &record_key].map(|key| (key.clone(), ReadKind::Read));
        if let Some(step) = seen.missing(reads) {
            return Ok(step);
        }
        let Some(read) = seen.document(&index_key) else {
            return lost_index::without_index(seen, &self.provider);
        };
        let index = VersionsDocument::parse(&index_key, &read.bytes)?;
        let is_listed = index.listed(&self.version)?.is_some();
        let mark = index.marks()?.remove(&self.version);
        let record = yanked_record(seen, &record_key)?;
        let is_yanked = record.as_ref().is_some_and(YankedRecord::is_yanked);
        let mut plan = Plan { condition_check: condition_check(seen, &index_key), ..Plan::default() };
        if is_yanked && *written {
            return Err(Refusal::new(
                record_key,
                format!("overtaken: version {} was yanked again", self.version),
            )
            .found(record.map_or(String::new(), |record| record.words()))
            .expected("the record of this run")
            .remedy("find out which was meant; put it back again if it was this"));
        }
        if record.is_none() && mark.is_none() && !is_listed {
            return Err(Refusal::new(record_key, format!("version {} is not yanked", self.version))
                .found("no record, and an index without it")
                .expected("a version that was yanked")
                .remedy("check the version; one that was not published is published by `tfreg publish`"));
        }
        let record = record.map(|record| if is_yanked { record.put_back(self.now) } else { record });
        let mut wanted = match (&record, &mark) {
            (Some(record), _) => index.with_mark(&self.version, &record.mark()),
            // The record was lost.
            (None, Some(mark)) if mark.is_yanked => {
                index.with_mark(&self.version, &Mark { is_yanked: false, when: self.now.to_string() })
            }
            (None, _) => index.clone(),
        };
        if !is_listed {
            let folder = Folder::version(&self.provider, &self.version);
            let Some(found) = seen.folders.get(&folder) else { return Ok(Step::List(folder)) };
            let entry = record.as_ref().and_then(YankedRecord::entry);
            let prior = entry.as_ref().map(platforms_of).unwrap_or_default();
            let mut platforms =
                completeness::documents(&self.provider, found).remove(&self.version).unwrap_or_default();
            // Platforms that were listed once must exist again.
            platforms.extend(prior.iter().cloned());
            match completeness::judge((&self.provider, &self.version), &platforms, &prior, seen) {
                Completeness::Read(reads) => return Ok(Step::Read(reads)),
                Completeness::Not(problems) => {
                    return Err(Refusal::new(
                        record_key,
                        format!("version {} cannot be put back", self.version),
                    )
                    .found(problems.join("\n"))
                    .expected("a download document for each platform, and all that they point to")
                    .remedy("put the objects back from a backup, or release a new version"));
                }
                Completeness::Whole(whole) => {
                    self.check_signers(seen.settings(), &record_key, &whole.signers)?;
                    if !whole.left_out.is_empty() {
                        plan.warnings.push(format!(
                            "{} of {}: a publish of it was stopped; publish it again when the version is back",
                            names(&whole.left_out),
                            self.version
                        ));
                    }
                    plan.changes.push(format!(
                        "+ {} ({}), signed by key {}",
                        self.version,
                        names(&whole.platforms),
                        names(&whole.signers)
                    ));
                    wanted = wanted.with(&self.version, entry.as_ref(), &whole.protocols, &whole.platforms);
                }
            }
        }
        if let (Some(record), Some(read)) = (&record, seen.document(&record_key)) {
            plan.writes.push(if is_yanked {
                replace(record_key, read, record.to_bytes())
            } else {
                keep(record_key, &read.bytes)
            });
        }
        plan.writes.push(if wanted == index {
            keep(index_key, &read.bytes)
        } else {
            replace(index_key, read, wanted.to_bytes())
        });
        Ok(Step::Ready(Box::new(plan)))
    }

    fn written(&self, key: &Key, written: &mut bool) {
        *written |= matches!(key, Key::Yanked { .. });
    }

    fn indexed(&self) -> &'static str {
        "The index lists the version again."
    }
}

impl Unyank {
    /// Objects that are listed again are signed by one key, or by keys that the user has named.
    fn check_signers(
        &self,
        settings: Option<&Settings>,
        record: &Key,
        signers: &BTreeSet<Fingerprint>,
    ) -> Result<(), Refusal> {
        self.trust.together(settings, record, signers)?;
        let unknown = self.trust.unknown(settings, signers);
        if unknown.is_empty() {
            return Ok(());
        }
        Err(Refusal::new(record, format!("version {} is signed by a key that is not trusted", self.version))
            .found(names(unknown))
            .expected("a signature by a key that --trust-key or the settings name")
            .remedy("if you know the key, name its public half by --trust-key FILE too; else release a new version"))
    }
}
