//! Putting a yanked version back into the index, from its download documents.
//!
//! As in [`super::yank`], the record is written first, and then the index with its mark. The mark is written even if
//! the version is still listed because a yank was stopped half way, or is under way: that yank must not write its index
//! any more. Where the registry has a network mirror, the version's file is made anew, and the mirror's index lists it after the
//! registry's index does. Between the writes a publish of the version is refused, because the index says that it is yanked;
//! running the command again completes it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::align::packages::{self, Found, KnownZips};
use super::completeness::{self, Completeness, Trust, Whole};
use super::mirror::{self, Listing, Mirror};
use super::{
    Goal, Observation, Plan, ReadKind, Step, condition_check, keep, lost_index, names, replace, revise,
    yanked_record,
};
use crate::error::Refusal;
use crate::openpgp::Fingerprint;
use crate::provider::{Platform, Provider, ReleaseId, Version};
use crate::registry::mirror::Archive;
use crate::registry::raw::RawObject;
use crate::registry::versions::platforms_of;
use crate::registry::{Folder, Key, Mark, MirrorIndex, Settings, VersionsDocument, YankedRecord};

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

/// The state of a run.
#[derive(Debug, Default)]
pub struct RunState {
    /// Whether it has written the record.
    is_written: bool,
    /// The zips of the version, for the network mirror.
    zips: KnownZips,
}

impl Goal for Unyank {
    type RunState = RunState;

    fn next(&self, seen: &Observation, state: &mut RunState) -> Result<Step, Refusal> {
        let index_key = Key::Versions { provider: self.provider.clone() };
        let record_key = Key::Yanked { release: ReleaseId::new(&self.provider, &self.version) };
        let release = ReleaseId::new(&self.provider, &self.version);
        let mirror = Mirror::of(seen.settings());
        let mirrored =
            mirror.iter().flat_map(|mirror| [mirror.index_key(&self.provider), mirror.version_key(&release)]);
        let reads = [&Key::Discovery, &index_key, &record_key].map(Key::clone).into_iter().chain(mirrored);
        if let Some(step) = seen.missing(reads.map(|key| (key, ReadKind::Read))) {
            return Ok(step);
        }
        let Some(read) = seen.document(&index_key) else {
            return lost_index::without_index(seen, &self.provider);
        };
        let index = VersionsDocument::parse(&index_key, &read.bytes)?;
        let is_listed = index.listed(&self.version)?.is_some();
        let mut mark = index.marks()?.remove(&self.version);
        let mirror_index = mirror.as_ref().map(|mirror| mirror.index(&self.provider, seen)).transpose()?;
        let known = mark
            .iter()
            .cloned()
            .chain(mirror_index.iter().filter_map(|index| index.newer_mark(&self.version, None)));
        let known: Vec<Mark> = known.collect();
        if let Some(mirror_index) = &mirror_index {
            // A yank was stopped before it wrote the registry's index.
            mark = mirror_index.newer_mark(&self.version, mark.as_ref()).or(mark);
        }
        let record = yanked_record(seen, &record_key)?;
        let is_yanked = record.as_ref().is_some_and(YankedRecord::is_yanked);
        let mut plan = Plan { condition_check: condition_check(seen, &index_key), ..Plan::default() };
        if is_yanked && state.is_written {
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
        let record_mark = record.as_ref().map(YankedRecord::mark);
        let now = Mark::time_after(self.now, known.iter().chain(&record_mark));
        let record = record.map(|record| if is_yanked { record.put_back(now) } else { record });
        let mut wanted = match (&record, &mark) {
            (Some(record), _) => index.with_mark(&self.version, &record.mark()),
            // The record was lost.
            (None, Some(mark)) if mark.is_yanked => {
                index.with_mark(&self.version, &Mark { is_yanked: false, when: now.to_string() })
            }
            (None, _) => index.clone(),
        };
        if !is_listed {
            let entry = record.as_ref().and_then(YankedRecord::entry);
            match self.whole(entry.as_ref(), &record_key, seen, &mut plan)? {
                Ok(whole) => {
                    wanted = wanted.with(&self.version, entry.as_ref(), &whole.protocols, &whole.platforms);
                }
                Err(step) => return Ok(step),
            }
        }
        if let (Some(record), Some(read)) = (&record, seen.document(&record_key)) {
            plan.writes.push(if is_yanked {
                replace(record_key, read, record.to_bytes())
            } else {
                keep(record_key, &read.bytes)
            });
        }
        plan.writes.push(revise(&index_key, Some(read), wanted == index, || wanted.to_bytes()));
        if let (Some(mirror), Some(mirror_index)) = (&mirror, &mirror_index)
            && let Some(step) =
                self.mirror((mirror, mirror_index), &wanted, seen, &mut state.zips, &mut plan)?
        {
            return Ok(step);
        }
        Ok(Step::Ready(Box::new(plan)))
    }

    fn written(&self, key: &Key, state: &mut RunState) {
        state.is_written |= matches!(key, Key::Yanked { .. });
    }

    fn indexed(&self) -> &'static str {
        "The index lists the version again."
    }
}

impl Unyank {
    /// The version as it can be listed, with what changes in the plan; or what has to be read first.
    ///
    /// # Errors
    /// It is not whole, or not signed by keys that are trusted.
    fn whole(
        &self,
        entry: Option<&RawObject>,
        record_key: &Key,
        seen: &Observation,
        plan: &mut Plan,
    ) -> Result<Result<Whole, Step>, Refusal> {
        let folder = Folder::version(&self.provider, &self.version);
        let Some(found) = seen.folders.get(&folder) else { return Ok(Err(Step::List(folder))) };
        let prior = entry.map(platforms_of).unwrap_or_default();
        let mut platforms =
            completeness::documents(&self.provider, found).remove(&self.version).unwrap_or_default();
        // Platforms that were listed once must exist again.
        platforms.extend(prior.iter().cloned());
        match completeness::judge((&self.provider, &self.version), &platforms, &prior, seen) {
            Completeness::Read(reads) => Ok(Err(Step::Read(reads))),
            Completeness::Not(problems) => {
                Err(Refusal::new(record_key, format!("version {} cannot be put back", self.version))
                    .found(problems.join("\n"))
                    .expected("a download document for each platform, and all that they point to")
                    .remedy("put the objects back from a backup, or release a new version"))
            }
            Completeness::Whole(whole) => {
                self.check_signers(seen.settings(), record_key, &whole.signers)?;
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
                Ok(Ok(whole))
            }
        }
    }

    /// Adds the files of the network mirror to the plan, or gives what has to be read first.
    ///
    /// # Errors
    /// A document cannot be understood.
    fn mirror(
        &self,
        (mirror, index): (&Mirror, &mirror::Found<'_, MirrorIndex>),
        wanted: &VersionsDocument,
        seen: &Observation,
        zips: &mut KnownZips,
        plan: &mut Plan,
    ) -> Result<Option<Step>, Refusal> {
        let release = ReleaseId::new(&self.provider, &self.version);
        let mut listing = Listing { marks: wanted.marks()?, ..Listing::default() };
        match self.archives(mirror, seen, zips)? {
            Err(step) => return Ok(Some(step)),
            Ok(Found::Read(reads)) => return Ok(Some(Step::Read(reads))),
            Ok(Found::Known(archives)) => {
                plan.writes.push(mirror.version(&release, seen)?.with(&archives, |_, _| false));
                listing.add.insert(self.version.clone());
            }
            Ok(Found::Left(problem)) => {
                plan.warnings.push(format!("{release} is not in the network mirror: {problem}"));
                listing.remove.insert(self.version.clone());
            }
        }
        index.list_in(&listing, plan);
        Ok(None)
    }

    /// The zips of the version, by its documents; or what has to be read first.
    ///
    /// # Errors
    /// A document cannot be understood.
    fn archives(
        &self,
        mirror: &Mirror,
        seen: &Observation,
        zips: &mut KnownZips,
    ) -> Result<Result<Found<BTreeMap<Platform, Archive>>, Step>, Refusal> {
        let folder = Folder::version(&self.provider, &self.version);
        let Some(found) = seen.folders.get(&folder) else { return Ok(Err(Step::List(folder))) };
        let release = ReleaseId::new(&self.provider, &self.version);
        let platforms =
            completeness::documents(&self.provider, found).remove(&self.version).unwrap_or_default();
        let key =
            |platform: &Platform| Key::Download { release: release.clone(), platform: platform.clone() };
        if let Some(step) = seen.missing(platforms.iter().map(|platform| (key(platform), ReadKind::Read))) {
            return Ok(Err(step));
        }
        let documents = packages::documents(&release, &platforms, seen)?;
        Ok(Ok(mirror.of_version(&release, &documents, seen, zips)))
    }

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
