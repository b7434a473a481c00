//! Taking a version out of the index.
//!
//! The record is written first; it contains the intent and the reason. Then the index is written: the version's entry
//! is removed, and a mark is added to the index's own member `yanked`, with the time of the record. Putting a version
//! back leaves a mark too.
//!
//! The marks make this safe. A publish of the same version may have looked for the record before it was written, and at
//! the index after: it finds the mark in the index, which is the one object that it replaces. And without marks, an
//! index without the version would have the same bytes, and so the same revision, as before the version was added: a
//! run that has read the earlier index could replace this one. With the marks no two indexes are equal: every yank and
//! every putting back changes the index, even if the version is not listed, or listed, already.
//!
//! Where the registry has a network mirror, its index is written between the two, with the same mark: see
//! the module `mirror`. The version's own file stays there, as its documents do.
//!
//! Between the two writes the version is listed as before, a publish of it is refused, and running the command again
//! completes it.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{
    Action, Goal, Observation, Plan, ReadKind, Step, Write, condition_check, keep, lost_index,
    mirror::{self, Found, Listing},
    names, replace, revise, yanked_record,
};
use crate::content::Sealed;
use crate::error::Refusal;
use crate::provider::{Provider, ReleaseId, Version};
use crate::registry::{Key, Mark, MirrorIndex, VersionsDocument, YankedRecord};

/// Yanks a version.
#[derive(Debug)]
pub struct Yank {
    /// The provider.
    pub provider: Provider,
    /// The version.
    pub version: Version,
    /// The reason.
    pub reason: Option<String>,
    /// When the run began.
    pub now: Timestamp,
}

impl Goal for Yank {
    /// Whether this run has written the record.
    type RunState = bool;

    fn next(&self, seen: &Observation, written: &mut bool) -> Result<Step, Refusal> {
        let index_key = Key::Versions { provider: self.provider.clone() };
        let record_key = Key::Yanked { release: ReleaseId::new(&self.provider, &self.version) };
        let mirrored = mirror::index_key(seen, &self.provider);
        let reads = [&Key::Discovery, &index_key, &record_key].into_iter().chain(&mirrored);
        if let Some(step) = seen.missing(reads.map(|key| (key.clone(), ReadKind::Read))) {
            return Ok(step);
        }
        let Some(read) = seen.document(&index_key) else {
            return lost_index::without_index(seen, &self.provider);
        };
        let index = VersionsDocument::parse(&index_key, &read.bytes)?;
        let mut plan = Plan { condition_check: condition_check(seen, &index_key), ..Plan::default() };
        let why = (self.reason.as_deref(), self.now);
        let mirrored = mirror::index(seen, &self.provider)?;
        let mut taking =
            TakingOut { seen, provider: &self.provider, mirrored: mirrored.as_ref(), plan: &mut plan };
        let wanted = taking.take_out(&index, &self.version, why, *written)?;
        taking.withdraw(&wanted, [self.version.clone()].into())?;
        plan.writes.push(revise(&index_key, Some(read), wanted == index, || wanted.to_bytes()));
        Ok(Step::Ready(Box::new(plan)))
    }

    fn written(&self, key: &Key, written: &mut bool) {
        *written |= matches!(key, Key::Yanked { .. });
    }

    fn indexed(&self) -> &'static str {
        "The index does not list the version any more."
    }
}

/// A plan that takes versions of a provider out of its index.
pub(super) struct TakingOut<'a, 'p> {
    pub(super) seen: &'a Observation,
    pub(super) provider: &'a Provider,
    /// The index of the network mirror, if the registry has one.
    pub(super) mirrored: Option<&'a Found<'a, MirrorIndex>>,
    pub(super) plan: &'p mut Plan,
}

impl TakingOut<'_, '_> {
    /// Takes a version out of `index`, whose record was read: gives the index without it, and adds to the plan the record and
    /// what changes. `written` says whether this run has written the record.
    ///
    /// # Errors
    /// The version is not published, or was put back after this run has written its record.
    pub(super) fn take_out(
        &mut self,
        index: &VersionsDocument,
        version: &Version,
        (reason, now): (Option<&str>, Timestamp),
        written: bool,
    ) -> Result<VersionsDocument, Refusal> {
        let Self { seen, provider, mirrored, ref mut plan } = *self;
        let record_key = Key::Yanked { release: ReleaseId::new(provider, version) };
        let listed = index.listed(version)?;
        let mark = index.marks()?.remove(version);
        let entry = index.entry(version);
        let entry = entry.as_ref();
        let record = match yanked_record(seen, &record_key)? {
            // Yanked already, or half: an earlier run was stopped before it wrote the index.
            Some(record) if record.is_yanked() => {
                if reason.is_some() && record.reason() != reason {
                    plan.warnings.push(format!("{record_key}: already {}; it is left so", record.words()));
                }
                record.with_entry(entry)
            }
            Some(_) if written => return Err(overtaken(&record_key, version)),
            _ if listed.is_none() && mark.as_ref().is_none_or(|mark| !mark.is_yanked) => {
                return Err(Refusal::new(index.key(), format!("version {version} is not published"))
                    .found(format!("an index without {version}"))
                    .expected("a version that the index lists")
                    .remedy("check the version; what is not listed cannot be installed either"));
            }
            earlier => {
                let record_mark = earlier.as_ref().map(YankedRecord::mark);
                let mirror_mark = mirrored.and_then(|mirrored| mirrored.newer_mark(version, None));
                let now = Mark::time_after(now, record_mark.iter().chain(&mark).chain(&mirror_mark));
                YankedRecord::of(earlier.as_ref(), reason, now, entry)
            }
        };
        if let Some(listed) = listed {
            plan.changes.push(format!("- {version} ({})", names(&listed.platforms)));
        }
        let mark = record.mark();
        plan.writes.push(match seen.document(&record_key) {
            Some(read) if YankedRecord::parse(&record_key, &read.bytes)? == record => {
                keep(record_key, &read.bytes)
            }
            Some(read) => replace(record_key, read, record.to_bytes()),
            None => {
                Write { key: record_key, body: Sealed::from_bytes(record.to_bytes()), action: Action::Create }
            }
        });
        Ok(index.without(version).with_mark(version, &mark))
    }

    /// Takes the versions out of the network mirror, before the index that is to become `wanted`. Its marks come first even
    /// where the mirror lists nothing of them.
    ///
    /// # Errors
    /// The marks of the index cannot be understood.
    pub(super) fn withdraw(
        &mut self,
        wanted: &VersionsDocument,
        versions: BTreeSet<Version>,
    ) -> Result<(), Refusal> {
        if let Some(mirrored) = self.mirrored {
            let listing = Listing { marks: wanted.marks()?, remove: versions, ..Listing::default() };
            mirrored.list_in(&listing, self.plan);
            self.plan.withdraws = true;
        }
        Ok(())
    }
}

fn overtaken(record: &Key, version: &Version) -> Refusal {
    Refusal::new(record, format!("overtaken: version {version} was put back meanwhile"))
        .found("a record that says that it is not yanked any more")
        .expected("the record of this run")
        .remedy("find out which was meant; yank it again if it was this")
}
