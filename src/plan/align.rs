//! Bringing every document of the registry in line with its settings: documents that were published before the settings
//! changed, and the discovery document; and with the other documents of their version (`packages`).
//!
//! Whatever documents depend on the settings is made anew here, by the same pure functions as in a publish. What clients
//! choose from stays: no version is listed or taken out, and no object of `store/` is touched. A document is replaced only
//! if it has not changed since it was read, so a publish at the same time loses nothing; and that publish sees the new
//! settings in its last observation.
//!
//! The files of the network mirror are made from the same documents, and list what the indexes list: see the module `mirror`.

pub(super) mod packages;

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Action, ConditionCheck, Goal, Observation, Plan, ReadKind, Step, Write, keep,
    mirror::{Mirror, OfProvider},
    names, pages, replace,
};
use crate::content::Sealed;
use crate::error::Refusal;
use crate::provider::{Platform, ReleaseId};
use crate::registry::{
    DownloadDocument, Folder, Key, Links, Packages, Settings, VersionsDocument, discovery,
};
use crate::words::count;
use packages::{Found, KnownZips};

/// Brings all documents in line.
#[derive(Debug)]
pub struct Align;

/// What changes in the documents of a version.
#[derive(Default)]
struct Moved {
    /// The documents whose links change.
    documents: usize,
    /// The documents whose packages change.
    packages: usize,
    /// The bases that their links had.
    bases: BTreeSet<String>,
}

impl Moved {
    /// The changes in words.
    fn add_to(self, plan: &mut Plan, ReleaseId { provider, version }: &ReleaseId, links: Option<&Links>) {
        if let Some(links) = links.filter(|_| self.documents > 0) {
            let (from, to) = (names(self.bases), links.base());
            let documents = count(self.documents, "document");
            plan.changes.push(format!("~ {provider} {version}: links of {documents}: {from} -> {to}"));
        }
        if self.packages > 0 {
            let documents = count(self.packages, "document");
            plan.changes.push(format!("~ {provider} {version}: packages of {documents}"));
        }
    }
}

/// The documents of each version.
type Documents<'a> = BTreeMap<&'a ReleaseId, BTreeMap<&'a Platform, DownloadDocument>>;

impl Goal for Align {
    type RunState = KnownZips;

    fn next(&self, seen: &Observation, known: &mut KnownZips) -> Result<Step, Refusal> {
        if let Some(step) = seen.missing([(Key::Discovery, ReadKind::Read)]) {
            return Ok(step);
        }
        let folder = Folder::registry();
        let Some(listing) = seen.folders.get(&folder) else { return Ok(Step::List(folder)) };
        let keys: Vec<Key> = listing.iter().filter_map(|listed| listed.key.parse().ok()).collect();
        let documents: Vec<&Key> = keys.iter().filter(|key| matches!(key, Key::Download { .. })).collect();
        let mirror = Mirror::of(seen.settings());
        let indexes = keys.iter().filter(|key| mirror.is_some() && matches!(key, Key::Versions { .. }));
        let reads = documents.iter().copied().chain(indexes.clone());
        if let Some(step) = seen.missing(reads.map(|key| (key.clone(), ReadKind::Read))) {
            return Ok(step);
        }
        if documents.is_empty() && seen.document(&Key::Discovery).is_none() {
            return Err(Refusal::new(folder, "nothing is published here")
                .found("no download document, and no discovery document")
                .expected("a registry to which something was published")
                .remedy("check the target; what is published from now on is in line with the settings"));
        }
        let mut plan = Plan::default();
        let documents = by_release(documents, seen)?;
        let packages = match packages_of(&documents, seen, known, &mut plan) {
            Ok(packages) => packages,
            Err(reads) => return Ok(Step::Read(reads)),
        };
        // Without settings every publish decides by its own flags, and there is nothing to be in line with.
        let links = seen.settings().map(Settings::links);
        if links.is_none() {
            plan.warnings.push(
                "the registry has no settings, so links stay as they are; `tfreg init TARGET --base-url URL` says where \
                 clients reach it"
                    .to_owned(),
            );
        }
        for (release, documents) in &documents {
            let mut moved = Moved::default();
            for document in documents.values() {
                let Some(read) = seen.document(document.key()) else { continue };
                let linked = aligned(document, links.as_ref(), &mut plan);
                if linked != *document {
                    moved.documents += 1;
                    moved.bases.extend(document.link_bases().map(str::to_owned));
                }
                let wanted = match packages.get(release) {
                    Some(packages) => linked.clone().with_packages(Some(packages)),
                    None => linked.clone(),
                };
                moved.packages += usize::from(wanted != linked);
                plan.writes.push(if wanted == *document {
                    keep(document.key().clone(), &read.bytes)
                } else {
                    replace(document.key().clone(), read, wanted.to_bytes())
                });
            }
            moved.add_to(&mut plan, release, links.as_ref());
        }
        if let Some(mirror) = &mirror {
            let mut reads = Vec::new();
            for key in indexes {
                if let Some(of) = of_provider(mirror, key, &documents, &packages, seen)? {
                    reads.extend(mirror.align(of, seen, &mut plan).err().unwrap_or_default());
                }
            }
            if !reads.is_empty() {
                return Ok(Step::Read(reads));
            }
        }
        if let Some(links) = &links {
            align_discovery(links, seen, &mut plan)?;
        }
        plan.condition_check = condition_check(seen, &plan);
        Ok(Step::Ready(Box::new(plan)))
    }

    fn pages(&self, _: &KnownZips) -> pages::Wanted<'_> {
        pages::Wanted { all_versions: true, docs: None }
    }

    fn written(&self, _: &Key, _: &mut KnownZips) {}

    fn indexed(&self) -> &'static str {
        "The index was not changed by this run."
    }
}

fn by_release<'a>(keys: Vec<&'a Key>, seen: &Observation) -> Result<Documents<'a>, Refusal> {
    let mut documents = Documents::new();
    for key in keys {
        if let (Key::Download { release, platform }, Some(read)) = (key, seen.document(key)) {
            let document = DownloadDocument::parse(key, platform, &read.bytes)?;
            documents.entry(release).or_default().insert(platform, document);
        }
    }
    Ok(documents)
}

/// What the network mirror shall have of the provider of an index; `None` if the index is gone since the folder was listed.
fn of_provider(
    mirror: &Mirror,
    key: &Key,
    documents: &Documents<'_>,
    packages: &BTreeMap<&ReleaseId, Packages>,
    seen: &Observation,
) -> Result<Option<OfProvider>, Refusal> {
    let (Key::Versions { provider }, Some(read)) = (key, seen.document(key)) else { return Ok(None) };
    let index = VersionsDocument::parse(key, &read.bytes)?;
    let of_provider = |release: &&ReleaseId| release.provider == *provider;
    let versions = documents.keys().copied().filter(of_provider).map(|release| release.version.clone());
    let archives =
        documents.iter().filter(|(release, _)| of_provider(release)).filter_map(|(release, documents)| {
            let archives = mirror.archives_of(packages.get(release)?, documents)?;
            Some((release.version.clone(), archives))
        });
    Ok(Some(OfProvider::new(provider, &index, versions, archives.collect())?))
}

/// The packages of the versions whose packages are known.
///
/// # Errors
/// What has to be read first.
fn packages_of<'a>(
    documents: &Documents<'a>,
    seen: &Observation,
    known: &mut KnownZips,
    plan: &mut Plan,
) -> Result<BTreeMap<&'a ReleaseId, Packages>, Vec<(Key, ReadKind)>> {
    let (mut packages, mut reads) = (BTreeMap::new(), Vec::new());
    for (release, documents) in documents {
        match packages::of_version(release, documents, seen, known) {
            Found::Read(more) => reads.extend(more),
            Found::Known(found) => drop(packages.insert(*release, found)),
            Found::Left(problem) => plan.warnings.push(format!(
                "{release}: what its documents say of all packages is left as it is: {problem}"
            )),
        }
    }
    if reads.is_empty() { Ok(packages) } else { Err(reads) }
}

/// The document as the settings have it: a further member that is derived from them is set here. What is derived from the
/// other documents of the version is in [`packages`]. Files that are derived from a provider's index are writes of their own
/// in [`Align::next`], behind the documents: see [`Mirror::align`].
fn aligned(document: &DownloadDocument, links: Option<&Links>, plan: &mut Plan) -> DownloadDocument {
    let Some(links) = links else { return document.clone() };
    for link in document.foreign_links() {
        let key = document.key();
        plan.warnings.push(format!("{key}: {link} leads out of the registry; it is left as it is"));
    }
    document.linked(links)
}

fn align_discovery(links: &Links, seen: &Observation, plan: &mut Plan) -> Result<(), Refusal> {
    let key = Key::Discovery;
    let Some(read) = seen.document(&key) else {
        plan.changes.push(format!("+ discovery: {}", links.service()));
        let body = Sealed::from_bytes(discovery::document(links));
        plan.writes.push(Write { key, body, action: Action::Create });
        return Ok(());
    };
    plan.writes.push(match discovery::moved(links, &read.bytes)? {
        None => keep(key, &read.bytes),
        Some((from, bytes)) => {
            plan.changes.push(format!("~ discovery: {from} -> {}", links.service()));
            replace(key, read, bytes)
        }
    });
    Ok(())
}

/// A document that is there.
fn condition_check(seen: &Observation, plan: &Plan) -> Option<ConditionCheck> {
    let is_there = |write: &&Write| seen.document(&write.key).is_some();
    let write = plan.writes.iter().find(is_there)?;
    Some(ConditionCheck::there(&write.key, seen.document(&write.key)?))
}
