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
//! Between the two writes the version is listed as before, a publish of it is refused, and running the command again
//! completes it.

use jiff::Timestamp;

use super::{
    Action, Goal, Observation, Plan, ReadKind, Step, Write, condition_check, keep, lost_index, names,
    replace, yanked_record,
};
use crate::content::Sealed;
use crate::error::Refusal;
use crate::provider::{Provider, ReleaseId, Version};
use crate::registry::{Key, VersionsDocument, YankedRecord};

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
        let reads = [&Key::Discovery, &index_key, &record_key].map(|key| (key.clone(), ReadKind::Read));
        if let Some(step) = seen.missing(reads) {
            return Ok(step);
        }
        let Some(read) = seen.document(&index_key) else {
            return lost_index::without_index(seen, &self.provider);
        };
        let index = VersionsDocument::parse(&index_key, &read.bytes)?;
        let mut plan = Plan { condition_check: condition_check(seen, &index_key), ..Plan::default() };
        let reason = self.reason.as_deref();
        let wanted =
            take_out(seen, &index, (&self.provider, &self.version), (reason, self.now), *written, &mut plan)?;
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
        "The index does not list the version any more."
    }
}

/// Plans to take a version out of `index`, whose record was read: gives the index without it, and adds to `plan` the record and
/// what changes. `written` says whether this run has written the record.
pub(super) fn take_out(
    seen: &Observation,
    index: &VersionsDocument,
    (provider, version): (&Provider, &Version),
    (reason, now): (Option<&str>, Timestamp),
    written: bool,
    plan: &mut Plan,
) -> Result<VersionsDocument, Refusal> {
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
        _ if listed.is_none() && mark.is_none_or(|mark| !mark.is_yanked) => {
            return Err(Refusal::new(index.key(), format!("version {version} is not published"))
                .found(format!("an index without {version}"))
                .expected("a version that the index lists")
                .remedy("check the version; what is not listed cannot be installed either"));
        }
        earlier => YankedRecord::of(earlier.as_ref(), reason, now, entry),
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

fn overtaken(record: &Key, version: &Version) -> Refusal {
    Refusal::new(record, format!("overtaken: version {version} was put back meanwhile"))
        .found("a record that says that it is not yanked any more")
        .expected("the record of this run")
        .remedy("find out which was meant; yank it again if it was this")
}
