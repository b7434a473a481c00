//! Taking old pre-releases out of the index, as [`yank`](super::yank) takes out one version: the records first, then the index,
//! once for all of them. Objects stay.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use jiff::Timestamp;

use super::yank::TakingOut;
use super::{Goal, Observation, Plan, ReadKind, Step, condition_check, lost_index, mirror, revise};
use crate::error::Refusal;
use crate::provider::{Provider, ReleaseId, Version};
use crate::registry::{Key, VersionsDocument};

/// Yanks the pre-releases that were published before a date, but for the newest ones.
#[derive(Debug)]
pub struct YankExpired {
    /// The provider.
    pub provider: Provider,
    /// Those published earlier expire.
    pub before: Timestamp,
    /// How many of the newest pre-releases stay, whatever their age.
    pub keep: usize,
    /// The reason.
    pub reason: Option<String>,
    /// When the run began.
    pub now: Timestamp,
}

impl YankExpired {
    /// The pre-releases that expire, and those that may have, but have no date.
    fn expired(&self, index: &VersionsDocument) -> Result<(BTreeSet<Version>, Vec<Version>), Refusal> {
        let mut listed: Vec<&Version> = index.versions().filter(|version| version.is_prerelease()).collect();
        listed.sort_by_key(|version| Reverse(*version));
        let (mut expired, mut undated) = (BTreeSet::new(), Vec::new());
        for version in listed.into_iter().skip(self.keep) {
            match index.listed(version)?.and_then(|listed| listed.published) {
                Some(published) if published < self.before => {
                    expired.insert(version.clone());
                }
                Some(_) => {}
                None => undated.push(version.clone()),
            }
        }
        Ok((expired, undated))
    }
}

impl Goal for YankExpired {
    /// The versions whose records this run has written. They are taken out of the index in any case, even if others have
    /// changed meanwhile what the newest ones are.
    type RunState = BTreeSet<Version>;

    fn next(&self, seen: &Observation, written: &mut BTreeSet<Version>) -> Result<Step, Refusal> {
        let index_key = Key::Versions { provider: self.provider.clone() };
        let reads = [&Key::Discovery, &index_key].map(|key| (key.clone(), ReadKind::Read));
        if let Some(step) = seen.missing(reads) {
            return Ok(step);
        }
        let Some(read) = seen.document(&index_key) else {
            return lost_index::without_index(seen, &self.provider);
        };
        let index = VersionsDocument::parse(&index_key, &read.bytes)?;
        let (mut versions, undated) = self.expired(&index)?;
        versions.extend(written.iter().cloned());
        let record = |version: &Version| Key::Yanked { release: ReleaseId::new(&self.provider, version) };
        let mirrored = mirror::index_key(seen, &self.provider);
        let reads = versions.iter().map(record).chain(mirrored);
        if let Some(step) = seen.missing(reads.map(|key| (key, ReadKind::Read))) {
            return Ok(step);
        }
        let mirrored = mirror::index(seen, &self.provider)?;
        let mut plan = Plan { condition_check: condition_check(seen, &index_key), ..Plan::default() };
        let mut wanted = index.clone();
        let mut taking =
            TakingOut { seen, provider: &self.provider, mirrored: mirrored.as_ref(), plan: &mut plan };
        for version in &versions {
            let why = (self.reason.as_deref(), self.now);
            let has_written = written.contains(version);
            wanted = taking.take_out(&wanted, version, why, has_written)?;
        }
        taking.withdraw(&wanted, versions)?;
        if !undated.is_empty() {
            let undated: Vec<String> = undated.iter().map(ToString::to_string).collect();
            plan.warnings.push(format!(
                "{index_key}: no date of publishing, so left alone (`tfreg yank` takes one by its name): {}",
                undated.join(", ")
            ));
        }
        plan.writes.push(revise(&index_key, Some(read), wanted == index, || wanted.to_bytes()));
        Ok(Step::Ready(Box::new(plan)))
    }

    fn written(&self, key: &Key, written: &mut BTreeSet<Version>) {
        if let Key::Yanked { release } = key {
            written.insert(release.version.clone());
        }
    }

    fn indexed(&self) -> &'static str {
        "The index does not list the expired pre-releases any more."
    }
}
