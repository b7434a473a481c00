//! The files of the network mirror in a plan: `mirror/HOST/NS/TYPE/index.json` and `VERSION.json` for the registry's own
//! providers, where its settings want them.
//!
//! # What they say
//!
//! A version's file has what [`packages`](crate::registry::packages) has in the version's documents: the zips of all
//! platforms, with their hashes, by the same proofs; or it is not written, and the version is not listed. The mirror's index
//! lists what the registry's index lists, as far as it has these files. Versions that other tools have put into it stay, and
//! so does what they wrote beside.
//!
//! # The order of the writes
//!
//! A version's file is written when its documents are there, and the mirror's index after it and after the registry's index.
//! What leaves the registry's index leaves the mirror's first ([`Stage::Withdrawal`](super::Stage::Withdrawal)). So at
//! every point the mirror lists no version whose file is missing, and none that the registry's index does not.
//!
//! Two publishers add platforms to one file: each keeps those whose document is there, whoever has published it, because a
//! platform's document is written before the file names it.
//!
//! A yank marks the version in the mirror's index too, whether it is listed there or not, and creates the index if need be:
//! a publish that has read the index before cannot replace it any more (see [`super::yank`]). Which of two marks of a version
//! holds, that of the mirror's index or that of the registry's, their times say: a yank writes the mirror's first, and an
//! unyank the registry's.

use std::collections::{BTreeMap, BTreeSet};

use super::align::packages::{self, KnownZips};
use super::{Action, Observation, Plan, ReadKind, Write, names, revise};
use crate::error::Refusal;
use crate::provider::{Platform, Provider, ReleaseId, Version};
use crate::registry::mirror::Archive;
use crate::registry::{
    DownloadDocument, Key, Links, Mark, MirrorHost, MirrorIndex, MirrorVersion, Packages, Settings,
    VersionsDocument, ZipFacts,
};
use crate::store::Document;
use crate::words::count;

/// The network mirror of a registry.
#[derive(Debug, Clone)]
pub(super) struct Mirror {
    host: MirrorHost,
    links: Links,
}

/// A file of the mirror, and what was read of it; nothing, if it is not there.
pub(super) struct Found<'a, T> {
    document: T,
    read: Option<&'a Document>,
}

/// What the mirror's index shall list.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// The marks of the registry's index after this plan.
    pub(super) marks: BTreeMap<Version, Mark>,
    /// The versions that are to be listed, if no mark says that they are yanked: the registry's index lists them, and their
    /// files are there, or are written by this plan.
    pub(super) add: BTreeSet<Version>,
    /// Versions of this registry that are not to be listed.
    pub(super) remove: BTreeSet<Version>,
}

/// The write of an index, and the versions that it lists before and after.
struct Listed {
    write: Write,
    was: BTreeSet<Version>,
    now: BTreeSet<Version>,
}

/// What is known of all versions of a provider.
pub(super) struct OfProvider {
    provider: Provider,
    /// What the registry's index lists after this plan.
    listed: BTreeSet<Version>,
    /// Its marks.
    marks: BTreeMap<Version, Mark>,
    /// Versions of this registry, listed or not.
    ours: BTreeSet<Version>,
    /// The archives of the versions all of whose zips are known; of the others nothing is changed.
    archives: BTreeMap<Version, BTreeMap<Platform, Archive>>,
}

impl OfProvider {
    /// `index` is the registry's after this plan. `versions` are versions of this registry, whether it lists them or not;
    /// `archives` are those of the versions all of whose zips are known.
    ///
    /// # Errors
    /// The marks of the index cannot be understood.
    pub(super) fn new(
        provider: &Provider,
        index: &VersionsDocument,
        versions: impl IntoIterator<Item = Version>,
        archives: BTreeMap<Version, BTreeMap<Platform, Archive>>,
    ) -> Result<Self, Refusal> {
        let (listed, marks): (BTreeSet<_>, _) = (index.versions().cloned().collect(), index.marks()?);
        let ours = versions.into_iter().chain(listed.iter().chain(marks.keys()).cloned()).collect();
        Ok(Self { provider: provider.clone(), listed, marks, ours, archives })
    }
}

/// The key of a provider's index in the mirror, if the registry has one.
pub(super) fn index_key(seen: &Observation, provider: &Provider) -> Option<Key> {
    Mirror::of(seen.settings()).map(|mirror| mirror.index_key(provider))
}

/// A provider's index in the mirror as it was read, if the registry has one.
///
/// # Errors
/// It is not understood.
pub(super) fn index<'a>(
    seen: &'a Observation,
    provider: &Provider,
) -> Result<Option<Found<'a, MirrorIndex>>, Refusal> {
    Mirror::of(seen.settings()).map(|mirror| mirror.index(provider, seen)).transpose()
}

impl Mirror {
    /// The mirror of a registry with these settings; `None` if it has none.
    pub(super) fn of(settings: Option<&Settings>) -> Option<Self> {
        let settings = settings?;
        Some(Self { host: settings.mirror_host()?, links: settings.links() })
    }

    /// The key of a provider's index.
    pub(super) fn index_key(&self, provider: &Provider) -> Key {
        Key::MirrorIndex { host: self.host.clone(), provider: provider.clone() }
    }

    /// The key of a version's file.
    pub(super) fn version_key(&self, release: &ReleaseId) -> Key {
        Key::MirrorVersion { host: self.host.clone(), release: release.clone() }
    }

    /// The index of a provider as it was read.
    ///
    /// # Errors
    /// It is not understood.
    pub(super) fn index<'a>(
        &self,
        provider: &Provider,
        seen: &'a Observation,
    ) -> Result<Found<'a, MirrorIndex>, Refusal> {
        Found::read(&self.index_key(provider), seen, MirrorIndex::parse, MirrorIndex::empty)
    }

    /// A version's file as it was read.
    ///
    /// # Errors
    /// It is not understood.
    pub(super) fn version<'a>(
        &self,
        release: &ReleaseId,
        seen: &'a Observation,
    ) -> Result<Found<'a, MirrorVersion>, Refusal> {
        Found::read(&self.version_key(release), seen, MirrorVersion::parse, MirrorVersion::empty)
    }

    /// The archives of these packages. `zip` says where a platform's zip is, as the platform's document has it; `None` if
    /// one is not in this registry.
    pub(super) fn archives(
        &self,
        packages: &Packages,
        zip: impl Fn(&Platform) -> Option<Key>,
    ) -> Option<BTreeMap<Platform, Archive>> {
        let archive = |(platform, facts): (&Platform, &ZipFacts)| {
            let key = zip(platform)?;
            Some((platform.clone(), Archive::of(self.links.to(&key), facts)))
        };
        packages.iter().map(archive).collect()
    }

    /// The archives of a version with these documents.
    pub(super) fn archives_of(
        &self,
        packages: &Packages,
        documents: &BTreeMap<&Platform, DownloadDocument>,
    ) -> Option<BTreeMap<Platform, Archive>> {
        self.archives(packages, |platform| Links::target(documents.get(platform)?.zip_link().ok()?))
    }

    /// The archives of a version with these documents, which are all that it has.
    pub(super) fn of_version(
        &self,
        release: &ReleaseId,
        documents: &BTreeMap<&Platform, DownloadDocument>,
        seen: &Observation,
        known: &mut KnownZips,
    ) -> packages::Found<BTreeMap<Platform, Archive>> {
        match packages::of_version(release, documents, seen, known) {
            packages::Found::Read(reads) => packages::Found::Read(reads),
            packages::Found::Left(problem) => packages::Found::Left(problem),
            packages::Found::Known(packages) => match self.archives_of(&packages, documents) {
                Some(archives) => packages::Found::Known(archives),
                None => packages::Found::Left("a zip is not in this registry".to_owned()),
            },
        }
    }

    /// Brings the files of a provider in line with what is known of all its versions. Files that are not understood are made
    /// anew.
    ///
    /// # Errors
    /// What has to be read first.
    pub(super) fn align(
        &self,
        of: OfProvider,
        seen: &Observation,
        plan: &mut Plan,
    ) -> Result<(), Vec<(Key, ReadKind)>> {
        let index_key = self.index_key(&of.provider);
        let version_key = |version: &Version| self.version_key(&ReleaseId::new(&of.provider, version));
        let keys = of.listed.iter().map(version_key).chain([index_key.clone()]);
        let unseen: Vec<_> = keys.filter(|key| !seen.objects.contains_key(key)).collect();
        if !unseen.is_empty() {
            return Err(unseen.into_iter().map(|key| (key, ReadKind::Read)).collect());
        }
        let index = self.index(&of.provider, seen).unwrap_or_else(|refusal| {
            plan.changes.push(format!("~ {index_key}, made anew: {}", refusal.found));
            Found { document: MirrorIndex::empty(&index_key), read: seen.document(&index_key) }
        });
        let mut listing = Listing {
            marks: of.marks,
            add: BTreeSet::new(),
            remove: of.ours.difference(&of.listed).cloned().collect(),
        };
        let mut changed = BTreeSet::new();
        for version in &of.listed {
            let release = ReleaseId::new(&of.provider, version);
            let found = self.version(&release, seen);
            let Some(archives) = of.archives.get(version) else {
                // Left as it is; what has no file is not listed.
                if !found.is_ok_and(|found| found.read.is_some()) {
                    listing.remove.insert(version.clone());
                }
                continue;
            };
            let key = self.version_key(&release);
            let found = found.unwrap_or_else(|refusal| {
                plan.changes.push(format!("~ {key}, made anew: {}", refusal.found));
                Found { document: MirrorVersion::empty(&key), read: seen.document(&key) }
            });
            listing.add.insert(version.clone());
            let write = found.write(&found.document.with_only(archives, &BTreeSet::new()));
            if write.action != Action::Keep {
                changed.insert(version);
            }
            plan.writes.push(write);
        }
        if !changed.is_empty() {
            let files = count(changed.len(), "file");
            plan.changes.push(format!(
                "~ {} in the network mirror: {files} of {}",
                of.provider,
                names(changed)
            ));
        }
        if let Some(listed) = index.list(&listing) {
            let lists = |what: &str, versions: Vec<&Version>| {
                let names = names(&versions);
                (!versions.is_empty())
                    .then(|| format!("{what} {} in the network mirror: {names}", of.provider))
            };
            plan.changes.extend(lists("+", listed.now.difference(&listed.was).collect()));
            plan.changes.extend(lists("-", listed.was.difference(&listed.now).collect()));
            plan.withdraws |= listed.takes_out();
            plan.writes.push(listed.write);
        }
        Ok(())
    }
}

impl<'a, T> Found<'a, T> {
    /// The file at `key` as it was read.
    pub(super) fn read(
        key: &Key,
        seen: &'a Observation,
        parse: impl Fn(&Key, &[u8]) -> Result<T, Refusal>,
        empty: impl Fn(&Key) -> T,
    ) -> Result<Self, Refusal> {
        let read = seen.document(key);
        let document = read.map_or_else(|| Ok(empty(key)), |read| parse(key, &read.bytes))?;
        Ok(Self { document, read })
    }

    /// What was read.
    pub(super) fn document(&self) -> &T {
        &self.document
    }

    /// Whether the file is there.
    pub(super) fn is_there(&self) -> bool {
        self.read.is_some()
    }

    /// The write that makes it this document, the bytes of which are made if it is another one.
    pub(super) fn revise(&self, key: &Key, wanted: &T, bytes: impl FnOnce() -> Vec<u8>) -> Write
    where
        T: PartialEq,
    {
        revise(key, self.read, *wanted == self.document, bytes)
    }
}

impl Found<'_, MirrorVersion> {
    /// The write that makes it this document.
    fn write(&self, wanted: &MirrorVersion) -> Write {
        self.revise(wanted.key(), wanted, || wanted.to_bytes())
    }

    /// The write by which it has these archives, and of the other platforms those that a document `offers` as they are.
    pub(super) fn with(
        &self,
        archives: &BTreeMap<Platform, Archive>,
        offers: impl Fn(&Platform, &Archive) -> bool,
    ) -> Write {
        let others = self.document.archives().iter().filter(|(platform, _)| !archives.contains_key(platform));
        let kept = others.filter(|(platform, archive)| offers(platform, archive));
        let kept = kept.map(|(platform, _)| platform.clone()).collect();
        self.write(&self.document.with_only(archives, &kept))
    }
}

impl Found<'_, MirrorIndex> {
    /// The mark of a version, unless `other`, that of the registry's index, came later.
    pub(super) fn newer_mark(&self, version: &Version, other: Option<&Mark>) -> Option<Mark> {
        let mark = self.document.marks().remove(version)?;
        other.is_none_or(|other| mark.is_newer_than(other)).then_some(mark)
    }

    /// The write by which the index lists what it shall; `None` if there is nothing to be listed, and no index. Where versions
    /// have to be taken out, it lists no new ones yet: the next round does.
    fn list(&self, listing: &Listing) -> Option<Listed> {
        let was = self.document.versions();
        let mut marks = listing.marks.clone();
        for (version, mark) in self.document.marks() {
            if marks.get(&version).is_none_or(|other| mark.is_newer_than(other)) {
                marks.insert(version, mark);
            }
        }
        let is_yanked = |version: &Version| marks.get(version).is_some_and(|mark| mark.is_yanked);
        let mut add: BTreeSet<Version> =
            listing.add.iter().filter(|version| !is_yanked(version)).cloned().collect();
        let mut remove = listing.remove.clone();
        remove.extend(marks.keys().filter(|version| is_yanked(version)).cloned());
        if was.iter().any(|version| remove.contains(version) && !add.contains(version)) {
            add.retain(|version| was.contains(version));
        }
        let wanted = self.document.with(&add, &remove).with_marks(&marks);
        if self.read.is_none() && wanted == self.document {
            return None;
        }
        let write = self.revise(wanted.key(), &wanted, || wanted.to_bytes());
        Some(Listed { write, was, now: wanted.versions() })
    }

    /// Adds the write by which the index lists what it shall, if there is anything to be written or kept.
    pub(super) fn list_in(&self, listing: &Listing, plan: &mut Plan) {
        if let Some(listed) = self.list(listing) {
            plan.withdraws |= listed.takes_out();
            plan.writes.push(listed.write);
        }
    }
}

impl Listed {
    /// Whether the index loses versions.
    fn takes_out(&self) -> bool {
        !self.was.is_subset(&self.now)
    }
}
