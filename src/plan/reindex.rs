//! Computes the index again from the download documents, for an index that was deleted or damaged by hand.
//!
//! The index is read before the folder is listed, so that the listing contains the documents of every version in the
//! index; and the index is replaced only if it has not changed since it was read. So a change by a concurrent publish
//! is either seen, or makes the replacement fail. Yanked versions are skipped, according to their records, or to the
//! mark in the index if the record is lost. Newly listed versions are proven: see [`super::completeness`].
//!
//! The files of the network mirror, if the registry has one, are made anew from the same documents: see the module `mirror`.

use std::collections::{BTreeMap, BTreeSet};

use super::align::packages::{self, Found, KnownZips};
use super::completeness::{self, Completeness, Trust};
use super::mirror::{Mirror, OfProvider};
use super::{ConditionCheck, Goal, Observation, Plan, ReadKind, Step, condition_check, names, pages, revise};
use crate::error::Refusal;
use crate::openpgp::Fingerprint;
use crate::provider::{Platform, Provider, ReleaseId, Version};
use crate::registry::versions::platforms_of;
use crate::registry::{Folder, Key, Mark, VersionsDocument, YankedRecord};

/// Computes an index again.
#[derive(Debug)]
pub struct Reindex {
    /// The provider.
    pub provider: Provider,
    /// The keys that must have signed a newly listed version.
    pub trust: Trust,
}

/// The known facts about a version.
#[derive(Default)]
struct VersionFacts {
    /// Platforms with a document.
    platforms: BTreeSet<Platform>,
    /// Platforms that the index lists, if its entry can be parsed.
    listed: Option<BTreeSet<Platform>>,
    is_listed: bool,
    mark: Option<Mark>,
    record: Option<YankedRecord>,
}

impl Goal for Reindex {
    type RunState = KnownZips;

    fn next(&self, seen: &Observation, known: &mut KnownZips) -> Result<Step, Refusal> {
        let key = Key::Versions { provider: self.provider.clone() };
        if let Some(step) = seen.missing([(Key::Discovery, ReadKind::Read), (key.clone(), ReadKind::Read)]) {
            return Ok(step);
        }
        let folder = Folder::provider(&self.provider);
        let Some(listing) = seen.folders.get(&folder) else { return Ok(Step::List(folder)) };
        let record_keys: Vec<Key> = listing
            .iter()
            .filter_map(|listed| listed.key.parse().ok())
            .filter(|key| matches!(key, Key::Yanked { .. }))
            .collect();
        if let Some(step) = seen.missing(record_keys.iter().map(|key| (key.clone(), ReadKind::Read))) {
            return Ok(step);
        }

        let mut plan = Plan::default();
        for listed in listing.iter().filter(|listed| listed.key.parse::<Key>().is_err()) {
            plan.warnings.push(format!("{}: no object of a registry; it is left alone", listed.key));
        }
        let read = seen.document(&key);
        let index = match read.map(|read| VersionsDocument::parse(&key, &read.bytes)) {
            Some(Ok(index)) => index,
            Some(Err(refusal)) => {
                plan.changes.push(format!("~ the index, made anew: {}", refusal.found));
                VersionsDocument::empty(&key)
            }
            None => {
                plan.changes.push("+ the index".to_owned());
                VersionsDocument::empty(&key)
            }
        };
        let marks = index.marks();
        let mut wanted = match &marks {
            Ok(_) => index.clone(),
            Err(refusal) => {
                plan.changes.push(format!("~ the marks of yanked versions, made anew: {}", refusal.found));
                index.without_marks()
            }
        };
        let versions = self.found(&index, marks.unwrap_or_default(), seen, &record_keys)?;
        let (mut reads, mut signers) = (Vec::new(), BTreeSet::new());
        for (version, found) in &versions {
            wanted = self.judge(wanted, version, found, seen, &mut plan, (&mut reads, &mut signers));
        }
        if !reads.is_empty() {
            return Ok(Step::Read(reads));
        }
        self.trust.together(seen.settings(), &key, &signers)?;
        if wanted.versions().next().is_none() && index.versions().next().is_none() {
            return Err(Refusal::new(folder, format!("{} has no version that can be listed", self.provider))
                .found(if plan.warnings.is_empty() { "nothing".to_owned() } else { plan.warnings.join("\n") })
                .expected("download documents, and all that they point to")
                .remedy(
                    "check the target and the provider's name, publish a version, or put a yanked one back by `tfreg unyank`",
                ));
        }
        plan.condition_check = condition_check(seen, &key).or_else(|| {
            let documents = seen.objects.keys().filter(|key| matches!(key, Key::Sums { .. }));
            documents.into_iter().find_map(|key| Some(ConditionCheck::there(key, seen.document(key)?)))
        });
        let mirrored = match Mirror::of(seen.settings()) {
            Some(mirror) => {
                match self.mirrored(&mirror, &wanted, &versions, seen, known, &mut plan.warnings)? {
                    Ok(of) => Some((mirror, of)),
                    Err(reads) => return Ok(Step::Read(reads)),
                }
            }
            None => None,
        };
        let is_so = wanted == index && plan.changes.is_empty();
        plan.writes.push(revise(&key, read, is_so, || wanted.to_bytes()));
        if let Some((mirror, of)) = mirrored
            && let Err(reads) = mirror.align(of, seen, &mut plan)
        {
            return Ok(Step::Read(reads));
        }
        Ok(Step::Ready(Box::new(plan)))
    }

    fn pages(&self, _: &KnownZips) -> pages::Wanted<'_> {
        pages::Wanted { all_versions: true, docs: None }
    }

    fn written(&self, _: &Key, _: &mut KnownZips) {}

    fn indexed(&self) -> &'static str {
        "The index is made anew."
    }
}

impl Reindex {
    /// What the network mirror shall have of the provider, or what has to be read first. Versions whose packages are not known
    /// get a warning.
    ///
    /// # Errors
    /// A document cannot be understood.
    fn mirrored(
        &self,
        mirror: &Mirror,
        index: &VersionsDocument,
        versions: &BTreeMap<Version, VersionFacts>,
        seen: &Observation,
        known: &mut KnownZips,
        warnings: &mut Vec<String>,
    ) -> Result<Result<OfProvider, Vec<(Key, ReadKind)>>, Refusal> {
        let (mut archives, mut reads) = (BTreeMap::new(), Vec::new());
        for version in index.versions() {
            let Some(facts) = versions.get(version) else { continue };
            let release = ReleaseId::new(&self.provider, version);
            let documents = packages::documents(&release, &facts.platforms, seen)?;
            match mirror.of_version(&release, &documents, seen, known) {
                Found::Read(more) => reads.extend(more),
                Found::Known(found) => drop(archives.insert(version.clone(), found)),
                Found::Left(problem) => {
                    warnings.push(format!("{version} is left as it is in the network mirror: {problem}"));
                }
            }
        }
        if !reads.is_empty() {
            return Ok(Err(reads));
        }
        Ok(Ok(OfProvider::new(&self.provider, index, versions.keys().cloned(), archives)?))
    }

    /// The known facts about each version.
    fn found(
        &self,
        index: &VersionsDocument,
        marks: BTreeMap<Version, Mark>,
        seen: &Observation,
        records: &[Key],
    ) -> Result<BTreeMap<Version, VersionFacts>, Refusal> {
        let listing = seen.folders.get(&Folder::provider(&self.provider)).map_or(&[][..], Vec::as_slice);
        let mut versions: BTreeMap<Version, VersionFacts> = BTreeMap::new();
        for (version, platforms) in completeness::documents(&self.provider, listing) {
            versions.entry(version).or_default().platforms = platforms;
        }
        for version in index.versions() {
            let found = versions.entry(version.clone()).or_default();
            found.is_listed = true;
            found.listed = index.listed(version).ok().flatten().map(|listed| listed.platforms);
        }
        for (version, mark) in marks {
            versions.entry(version).or_default().mark = Some(mark);
        }
        for key in records {
            // A mark that cannot be parsed might say that the version is yanked.
            if let (Key::Yanked { release: ReleaseId { version, .. } }, Some(read)) =
                (key, seen.document(key))
            {
                versions.entry(version.clone()).or_default().record =
                    Some(YankedRecord::parse(key, &read.bytes)?);
            }
        }
        Ok(versions)
    }

    /// Adds a version to the index, or removes it; returns the objects to read first, and the change.
    fn judge(
        &self,
        wanted: VersionsDocument,
        version: &Version,
        found: &VersionFacts,
        seen: &Observation,
        plan: &mut Plan,
        (reads, signers): (&mut Vec<(Key, ReadKind)>, &mut BTreeSet<Fingerprint>),
    ) -> VersionsDocument {
        // The record decides; if it is lost, the index does.
        let mark = found.record.as_ref().map(YankedRecord::mark).or_else(|| found.mark.clone());
        let wanted = match &mark {
            Some(mark) if found.mark.as_ref() != Some(mark) => {
                plan.changes.push(format!(
                    "~ {version}: what the index says of its yank, corrected from the record of the yank"
                ));
                wanted.with_mark(version, mark)
            }
            _ => wanted,
        };
        if mark.as_ref().is_some_and(|mark| mark.is_yanked) {
            if found.is_listed {
                plan.changes.push(format!("- {version}: it is yanked"));
            }
            return wanted.without(version);
        }
        let entry = found.record.as_ref().and_then(YankedRecord::entry);
        let once = || entry.as_ref().map(platforms_of).unwrap_or_default();
        let prior = found.listed.clone().unwrap_or_else(once);
        match completeness::judge((&self.provider, version), &found.platforms, &prior, seen) {
            Completeness::Read(missing) => {
                reads.extend(missing);
                wanted
            }
            Completeness::Not(problems) => {
                let problems = problems.join("; ");
                if found.is_listed {
                    plan.changes.push(format!("- {version}: {problems}"));
                } else {
                    plan.warnings.push(format!("{version} is not listed: {problems}"));
                }
                wanted.without(version)
            }
            Completeness::Whole(whole) => {
                let unknown = self.trust.unknown(seen.settings(), &whole.signers);
                let adds = found.listed.as_ref().is_none_or(|listed| !whole.platforms.is_subset(listed));
                if adds && !unknown.is_empty() {
                    let unknown = names(unknown);
                    plan.warnings.push(format!(
                        "{version} is left as it is: it is signed by key {unknown}, which neither --trust-key nor the settings name"
                    ));
                    return wanted;
                }
                if adds {
                    signers.extend(whole.signers.iter().cloned());
                }
                let by = names(&whole.signers);
                if !whole.left_out.is_empty() {
                    let names = names(&whole.left_out);
                    plan.warnings
                        .push(format!("{names} of {version}: a publish is under way, or was stopped"));
                }
                let changed = wanted.with(version, entry.as_ref(), &whole.protocols, &whole.platforms);
                match &found.listed {
                    None => plan
                        .changes
                        .push(format!("+ {version} ({}), signed by key {by}", names(&whole.platforms))),
                    Some(listed) if *listed != whole.platforms => plan.changes.push(format!(
                        "~ {version} ({} -> {}), signed by key {by}",
                        names(listed),
                        names(&whole.platforms)
                    )),
                    Some(_) if changed != wanted => plan.changes.push(format!("~ {version}")),
                    Some(_) => return wanted,
                }
                changed
            }
        }
    }
}
