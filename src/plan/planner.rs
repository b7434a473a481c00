//! Computes a plan from the observations: a pure function, run again in every round.

mod kept_sums;
mod key_change;
mod mirrored;
mod next_checksums;
mod packages;
mod record;
mod shared;

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Action, ConditionCheck, Observation, Observed, Plan, PublishGoal, Published, ReadKind, RunState,
    SignedObjects, Step, ToSign, Write, keep, lost_index, mirror::Mirror, object_conflict, settings_check,
    yanked_record,
};
use crate::content::{Digest, Sealed, ShortDigest};
use crate::error::Refusal;
use crate::package::Package;
use crate::provider::{Platform, ReleaseId, Version};
use crate::registry::download::{OfVersion, OfferedZip, SignedSums};
use crate::registry::versions::ListedVersion;
use crate::registry::{Checksums, DownloadDocument, Folder, Key, Links, Packages, YankedRecord, discovery};
use crate::store::{Document, Revision};
use next_checksums::NextSums;
use packages::NextPackages;
pub(super) use shared::Shared;

/// Computes the next step of a publish. Fails for documents that cannot be parsed, and for other contents of a platform
/// of this run.
pub(super) fn next(goal: &PublishGoal, seen: &Observation, state: &mut RunState) -> Result<Step, Refusal> {
    let mut shared = Shared::new(seen);
    Ok(match of_version(goal, seen, state, &mut shared)? {
        Step::Ready(plan) => Step::Ready(Box::new(shared.complete(*plan))),
        step => step,
    })
}

/// Computes the next step for one of the versions of a run. It is listed in what the versions share, and the plan is without
/// that: [`Shared::complete`] adds it.
pub(super) fn of_version<'a>(
    goal: &'a PublishGoal,
    seen: &'a Observation,
    state: &mut RunState,
    shared: &mut Shared<'a>,
) -> Result<Step, Refusal> {
    let version = goal.packages.version();
    let links = settings_check::links(seen.settings(), goal.base_url.as_ref());
    let mirror = Mirror::of(seen.settings());
    let (missing, left_out, unsigned) = (Vec::new(), BTreeSet::new(), Vec::new());
    Planner { goal, version, seen, links, mirror, missing, left_out, unsigned }.run(state, shared)
}

/// A platform's document as it was read.
struct PublishedDocument {
    document: DownloadDocument,
    revision: Revision,
    old_len: u64,
}

struct Planner<'a> {
    goal: &'a PublishGoal,
    version: &'a Version,
    seen: &'a Observation,
    /// How the documents point to objects.
    links: Links,
    /// The network mirror, if the registry has one.
    mirror: Option<Mirror>,
    missing: Vec<(Key, ReadKind)>,
    left_out: BTreeSet<String>,
    unsigned: Vec<ToSign>,
}

impl<'a> Planner<'a> {
    fn run(mut self, state: &mut RunState, shared: &mut Shared<'a>) -> Result<Step, Refusal> {
        let provider = &self.goal.provider;
        let versions_key = Key::Versions { provider: provider.clone() };
        self.need_known(&versions_key, state);
        if let Some(step) = self.next_reads() {
            return Ok(step);
        }

        shared.read_index(&versions_key)?;
        self.check_yanked(shared)?;
        let listed = if let Some(index) = shared.index() {
            state.is_first = false;
            index.listed(self.version)?
        } else if let Some(step) = self.without_index(state) {
            return Ok(step);
        } else {
            None
        };
        for platform in listed.iter().flat_map(|listed| &listed.platforms) {
            self.need(&self.download_key(platform), ReadKind::Read);
            state.listed.insert(platform.clone());
        }
        self.need_mirror(state);
        if let Some(step) = self.next_reads() {
            return Ok(step);
        }
        let mirrored = self.mirrored(shared, state)?;
        if let Some(step) = self.next_reads() {
            return Ok(step);
        }
        let documents = self.documents(listed.as_ref())?;
        self.check_immutable(&documents, listed.as_ref(), state)?;

        let sums = match self.sums(&documents, state)? {
            NextSums::Read => return Ok(Step::Read(self.missing)),
            NextSums::Wait(refusal) => return Ok(Step::Wait(refusal)),
            NextSums::Known(sums) => sums,
        };
        let changes = self.key_changes(&documents)?;
        let packages = self.packages(&sums, state)?;
        if let NextPackages::Read = packages {
            return Ok(Step::Read(self.missing));
        }
        let sealed_sums = self.seal(&sums);
        state.sums.insert(sealed_sums.digest().short(), sums.clone());
        let signed = self.signed(sealed_sums.digest());
        let downloads = self.downloads(&documents, &signed, packages.known());
        self.need_record(state, sealed_sums.digest().short());
        if downloads.iter().any(|write| write.action != Action::Keep) {
            // The documents will point to these; if they already do, these objects exist.
            self.need_signed(state, sealed_sums.digest().short());
        }
        if let Some(step) = self.next_reads() {
            return Ok(step);
        }
        let mut writes = self.zips(state)?;
        writes.extend(self.signed_writes(&sealed_sums, &signed, state)?);
        let record = self.record(&sums, sealed_sums.digest().short(), state);
        writes.extend(record.statement);
        writes.extend(downloads);
        writes.extend(record.signature);
        let is_listed = self.list(shared, &versions_key, listed)?;
        let listed = is_listed.then(|| self.release()).into_iter().collect();
        if let Some(mirrored) = &mirrored {
            let archives = self.archives(packages.known(), &documents);
            writes.extend(self.mirror_write(mirrored, archives.as_ref())?);
            shared.list_in_mirror(self.version, archives.is_some());
        }
        // Reported at the end too, when nothing points to it any more.
        state.left_out.append(&mut self.left_out);
        let mut warnings: Vec<String> = provider.namespace.client_warning().into_iter().collect();
        warnings.extend(state.left_out.iter().cloned());
        if self.goal.is_for_a_host {
            warnings.extend(settings_check::relative_links(&self.links));
        }
        warnings.extend(record.warning);
        writes.push(self.discovery_write(&mut warnings)?);
        self.note_own_platforms(&documents, state);
        // Signing comes after all checks that can fail.
        if !self.unsigned.is_empty() {
            return Ok(Step::Sign(self.unsigned));
        }
        let condition_check = self.condition_check(&signed, &sealed_sums, state);
        let signed = vec![signed];
        let plan = Plan { changes, writes, warnings, signed, listed, condition_check, ..Plan::default() };
        Ok(Step::Ready(Box::new(plan)))
    }

    /// Notes the platforms whose documents lead to the zips of this run.
    fn note_own_platforms(&self, documents: &BTreeMap<Platform, PublishedDocument>, state: &mut RunState) {
        for package in self.goal.packages.packages() {
            if documents.get(&package.platform).is_some_and(|d| d.document.shasum() == package.zip.digest()) {
                state.own_platforms.insert(package.platform.clone());
            }
        }
    }

    /// The write of the discovery document; one that is there stays, and is warned of if it leads elsewhere.
    fn discovery_write(&self, warnings: &mut Vec<String>) -> Result<Write, Refusal> {
        let Some(document) = self.document(&Key::Discovery) else {
            let body = Sealed::from_bytes(discovery::document(&self.links));
            return Ok(Write { key: Key::Discovery, body, action: Action::Create });
        };
        warnings.extend(discovery::check(&self.links, &document.bytes)?);
        Ok(keep(Key::Discovery, &document.bytes))
    }

    /// Requests all objects whose keys are known before anything was read: a first publish, and a repeated one, need no
    /// others.
    fn need_known(&mut self, versions_key: &Key, state: &RunState) {
        self.need(&Key::Discovery, ReadKind::Read);
        self.need(&Key::Yanked { release: self.release() }, ReadKind::Read);
        self.need(versions_key, ReadKind::Read);
        for package in self.goal.packages.packages() {
            self.need(&self.download_key(&package.platform), ReadKind::Read);
            self.need_stored(state, &self.zip_key(package), ReadKind::Summary);
        }
        for platform in &state.listed {
            self.need(&self.download_key(platform), ReadKind::Read);
        }
        for key in &state.mirrored {
            self.need(key, ReadKind::Read);
        }
        self.need_signed(state, self.own_sums().digest().short());
    }

    /// A missing index means a first publish only if nothing else of the provider is published. The first publishes of
    /// several versions or platforms may be under way at once, though: if this run has once seen that nothing else is
    /// there, whatever is there now was published since, by runs that write the index too.
    fn without_index(&self, state: &mut RunState) -> Option<Step> {
        if state.is_first {
            return None;
        }
        let folder = Folder::provider(&self.goal.provider);
        let Some(listing) = self.seen.folders.get(&folder) else { return Some(Step::List(folder)) };
        let mut published = lost_index::published(&self.goal.provider, listing);
        let together = &self.goal.together;
        published.retain(|version, platforms| {
            let others = together.get(version);
            if others.is_none() && version != self.version {
                return true;
            }
            platforms.retain(|platform| {
                let is_own = version == self.version && self.package(platform).is_some();
                !is_own && !others.is_some_and(|others| others.contains(platform))
            });
            !platforms.is_empty()
        });
        if published.is_empty() {
            state.is_first = true;
            return None;
        }
        Some(Step::Wait(Box::new(lost_index::refusal(&self.goal.provider, &published))))
    }

    /// The SHA256SUMS, or the discovery document, if it exists; else the SHA256SUMS, to which nothing points yet.
    fn condition_check(
        &self,
        signed: &SignedObjects,
        sums: &Sealed,
        state: &RunState,
    ) -> Option<ConditionCheck> {
        let is_there = state.known_objects.contains(&signed.sums);
        let sums = ConditionCheck { key: signed.sums.clone(), body: sums.clone(), is_there };
        let discovery = || Some(ConditionCheck::there(&Key::Discovery, self.document(&Key::Discovery)?));
        if is_there { Some(sums) } else { discovery().or(Some(sums)) }
    }

    fn need(&mut self, key: &Key, kind: ReadKind) {
        if !self.seen.objects.contains_key(key) && !self.missing.iter().any(|(missing, _)| missing == key) {
            self.missing.push((key.clone(), kind));
        }
    }

    fn need_stored(&mut self, state: &RunState, key: &Key, kind: ReadKind) {
        if !state.known_objects.contains(key) {
            self.need(key, kind);
        }
    }

    fn need_signed(&mut self, state: &RunState, digest: ShortDigest) {
        self.need_stored(state, &self.sums_key(digest), ReadKind::Read);
        self.need_stored(state, &self.signature_key(digest), ReadKind::Read);
        self.need_record(state, digest);
    }

    fn next_reads(&mut self) -> Option<Step> {
        if self.missing.is_empty() { None } else { Some(Step::Read(std::mem::take(&mut self.missing))) }
    }

    fn document(&self, key: &Key) -> Option<&Document> {
        self.seen.document(key)
    }

    fn release(&self) -> ReleaseId {
        ReleaseId::new(&self.goal.provider, self.version)
    }

    fn download_key(&self, platform: &Platform) -> Key {
        Key::Download { release: self.release(), platform: platform.clone() }
    }

    fn zip_key(&self, package: &Package) -> Key {
        Key::Zip {
            release: self.release(),
            platform: package.platform.clone(),
            digest: package.zip.digest().short(),
        }
    }

    fn sums_key(&self, digest: ShortDigest) -> Key {
        Key::Sums { release: self.release(), digest }
    }

    fn signature_key(&self, digest: ShortDigest) -> Key {
        Key::Signature { release: self.release(), digest, key_id: self.goal.key.key_id().clone() }
    }

    fn zip_file_name(&self, platform: &Platform) -> String {
        Key::zip_file_name(&self.goal.provider, self.version, platform)
    }

    fn package(&self, platform: &Platform) -> Option<&Package> {
        self.goal.packages.get(platform)
    }

    fn add_packages(&self, sums: &mut Checksums) {
        for package in self.goal.packages.packages() {
            sums.set(self.zip_file_name(&package.platform), package.zip.digest());
        }
    }

    /// The existing documents of this run's platforms and of all platforms that the index lists.
    fn documents(
        &self,
        listed: Option<&ListedVersion>,
    ) -> Result<BTreeMap<Platform, PublishedDocument>, Refusal> {
        let own = self.goal.packages.packages().iter().map(|package| &package.platform);
        let listed = listed.iter().flat_map(|listed| &listed.platforms);
        let mut documents = BTreeMap::new();
        for platform in own.chain(listed).collect::<BTreeSet<_>>() {
            let key = self.download_key(platform);
            if let Some(read) = self.document(&key) {
                let document = DownloadDocument::parse(&key, platform, &read.bytes)?;
                let published = PublishedDocument {
                    document,
                    revision: read.revision.clone(),
                    old_len: read.bytes.len() as u64,
                };
                documents.insert(platform.clone(), published);
            } else if self.package(platform).is_none() {
                return Err(Refusal::new(
                    key,
                    "the index lists a platform whose download document is missing",
                )
                .found(format!("no document for {platform} of {}", self.version))
                .expected("a document for every platform that the index lists")
                .remedy(format!("publish the tarball for {platform} in the same run, which repairs it")));
            }
        }
        Ok(documents)
    }

    /// A yanked version is not listed in the index. The record may have been written after this run looked for it; then
    /// the index is marked, and the index is the one object that a publish replaces.
    fn check_yanked(&self, shared: &Shared<'_>) -> Result<(), Refusal> {
        let key = Key::Yanked { release: self.release() };
        let record = yanked_record(self.seen, &key)?;
        let mark = shared.marks().get(self.version).filter(|mark| mark.is_yanked);
        let (subject, found) = match (record.filter(YankedRecord::is_yanked), shared.index(), mark) {
            (Some(record), ..) => (&key, record.words()),
            (None, Some(index), Some(mark)) => {
                (index.key(), format!("yanked at {}, and not put back whole", mark.when))
            }
            (None, ..) => return Ok(()),
        };
        Err(self.yanked(subject, found))
    }

    fn yanked(&self, subject: &Key, found: String) -> Refusal {
        Refusal::new(subject, format!("version {} is yanked, and is not published again", self.version))
            .found(found)
            .expected("a version that is not yanked")
            .remedy(format!(
                "release a new version; or put this one back by `tfreg unyank TARGET {} {}` first",
                self.goal.provider, self.version
            ))
    }

    /// Without `--replace`, the contents of a platform are those that its document names, whether it is listed or not;
    /// the protocols of a version are as immutable as its contents.
    fn check_immutable(
        &self,
        documents: &BTreeMap<Platform, PublishedDocument>,
        listed: Option<&ListedVersion>,
        state: &RunState,
    ) -> Result<(), Refusal> {
        let mut theirs = Vec::new();
        let mut ours = Vec::new();
        let mut overtaken = false;
        let mut keys = Vec::new();
        for package in self.goal.packages.packages() {
            let Some(published) = documents.get(&package.platform) else { continue };
            let (found, meant) = (published.document.shasum(), package.zip.digest());
            let was_ours = state.own_platforms.contains(&package.platform);
            if found != meant && (was_ours || self.goal.published == Published::Immutable) {
                overtaken |= was_ours;
                keys.push(self.download_key(&package.platform).to_string());
                theirs.push(format!("{}: SHA-256 {found}, as published", package.platform));
                ours.push(format!("{}: SHA-256 {meant}, of {}", package.platform, package.origin()));
            }
        }
        if !keys.is_empty() {
            let (problem, remedy) = if overtaken {
                (
                    "overtaken: another publish with --replace has put other contents in place of this run's",
                    "find out which build was meant to be published; publish that one again with --replace",
                )
            } else {
                (
                    "published with other contents already, and what is published does not change",
                    "release a new version; on a staging registry, --replace allows it",
                )
            };
            return Err(Refusal::new(keys.join(", "), problem)
                .found(theirs.join("\n"))
                .expected(ours.join("\n"))
                .remedy(remedy));
        }
        if self.goal.published == Published::Immutable {
            self.check_protocols(documents, listed)?;
        }
        Ok(())
    }

    fn check_protocols(
        &self,
        documents: &BTreeMap<Platform, PublishedDocument>,
        listed: Option<&ListedVersion>,
    ) -> Result<(), Refusal> {
        let ours: BTreeSet<String> = self.goal.packages.protocols().to_strings().into_iter().collect();
        let mut declared = Vec::new();
        if let Some(listed) = listed {
            declared.push((Key::Versions { provider: self.goal.provider.clone() }, listed.protocols.clone()));
        }
        for (platform, published) in documents {
            let key = self.download_key(platform);
            let protocols = published.document.protocols()?;
            declared.push((key, protocols));
        }
        for (key, protocols) in declared {
            if protocols.iter().cloned().collect::<BTreeSet<_>>() != ours {
                return Err(Refusal::new(key, format!("version {} is published with other protocols", self.version))
                    .found(protocols.join(", "))
                    .expected(self.goal.packages.protocols())
                    .remedy("all platforms of a version speak the same protocols; correct --protocol or the manifest, or \
                             release a new version; on a staging registry, --replace allows it"));
            }
        }
        Ok(())
    }

    fn signed(&self, digest: Digest) -> SignedObjects {
        SignedObjects {
            sums: self.sums_key(digest.short()),
            sums_digest: digest,
            signature: self.signature_key(digest.short()),
        }
    }

    /// The wanted download documents: those of this run, and all others of the version, which get the same SHA256SUMS.
    fn downloads(
        &self,
        documents: &BTreeMap<Platform, PublishedDocument>,
        signed: &SignedObjects,
        packages: Option<&Packages>,
    ) -> Vec<Write> {
        let links = &self.links;
        let sums = SignedSums {
            sums_link: links.to(&signed.sums),
            signature_link: links.to(&signed.signature),
            key_id: self.goal.key.key_id().clone(),
            public_key: self.goal.key.armored().to_owned(),
        };
        let own = self.goal.packages.packages().iter().map(|package| &package.platform);
        let version = OfVersion { protocols: self.goal.packages.protocols(), sums: &sums, packages, links };
        let platforms: BTreeSet<&Platform> = own.chain(documents.keys()).collect();
        let write = |platform: &Platform| {
            let earlier = documents.get(platform);
            let wanted = match (self.package(platform), earlier) {
                (Some(package), _) => {
                    let zip = OfferedZip {
                        link: links.to(&self.zip_key(package)),
                        filename: self.zip_file_name(platform),
                        shasum: package.zip.digest(),
                    };
                    let earlier = earlier.map(|published| &published.document);
                    let key = self.download_key(platform);
                    DownloadDocument::offering(&key, earlier, platform, &zip, version)
                }
                (None, Some(published)) => published.document.on(version),
                (None, None) => return None,
            };
            let action = match earlier {
                None => Action::Create,
                Some(published) if published.document == wanted => Action::Keep,
                Some(published) => {
                    Action::Replace { revision: published.revision.clone(), old_len: published.old_len }
                }
            };
            Some(Write {
                key: self.download_key(platform),
                body: Sealed::from_bytes(wanted.to_bytes()),
                action,
            })
        };
        platforms.into_iter().filter_map(write).collect()
    }

    fn zips(&self, state: &mut RunState) -> Result<Vec<Write>, Refusal> {
        let mut writes = Vec::new();
        for package in self.goal.packages.packages() {
            let key = self.zip_key(package);
            let action = match self.seen.objects.get(&key) {
                _ if state.known_objects.contains(&key) => Action::Keep,
                Some(Observed::Summary(found)) if found.digest == package.zip.digest() => {
                    state.known_objects.insert(key.clone());
                    Action::Keep
                }
                Some(Observed::Summary(found)) => {
                    return Err(object_conflict(&key, found.digest, package.zip.digest()));
                }
                _ => Action::Create,
            };
            writes.push(Write { key, body: package.zip.clone(), action });
        }
        Ok(writes)
    }

    /// SHA256SUMS and its signature: the existing ones, or new ones.
    fn signed_writes(
        &mut self,
        sums: &Sealed,
        signed: &SignedObjects,
        state: &mut RunState,
    ) -> Result<Vec<Write>, Refusal> {
        let text = sums.bytes().cloned().unwrap_or_default();
        let sums_action = match self.seen.objects.get(&signed.sums) {
            Some(Observed::Absent) => Action::Create,
            Some(Observed::Document(found)) if Digest::of(&found.bytes) != sums.digest() => {
                return Err(object_conflict(&signed.sums, Digest::of(&found.bytes), sums.digest()));
            }
            Some(Observed::Document(_)) => {
                state.known_objects.insert(signed.sums.clone());
                Action::Keep
            }
            // Remembered, or known to exist because the documents point to it.
            _ => Action::Keep,
        };
        let mut writes = vec![Write { key: signed.sums.clone(), body: sums.clone(), action: sums_action }];
        match self.seen.objects.get(&signed.signature) {
            Some(Observed::Document(found)) => {
                self.goal.key.verify(&text, &found.bytes).map_err(|error| {
                    Refusal::new(&signed.signature, "the signature that is there does not verify")
                        .found(error)
                        .expected(format!(
                            "a signature by key {}, which has this name",
                            self.goal.key.key_id()
                        ))
                        .remedy(
                            "objects in store/ never change; sign with another key, or release a new version",
                        )
                })?;
                state.signatures.insert(sums.digest(), Sealed::from_bytes(found.bytes.clone()));
                state.known_objects.insert(signed.signature.clone());
                writes.push(keep(signed.signature.clone(), &found.bytes));
            }
            Some(Observed::Absent) => {
                let made = state.signatures.get(&sums.digest()).cloned();
                if let Some(body) = made.or_else(|| self.kept_signature(sums)) {
                    writes.push(Write { key: signed.signature.clone(), body, action: Action::Create });
                } else {
                    self.unsigned.push(ToSign::new(&signed.sums, text));
                }
            }
            _ => {
                let known = state.signatures.get(&sums.digest()).cloned();
                let known = known.or_else(|| self.kept_signature(sums));
                let kept =
                    known.map(|body| Write { key: signed.signature.clone(), body, action: Action::Keep });
                writes.extend(kept);
            }
        }
        Ok(writes)
    }

    /// Lists the version in the index; returns whether that changes its entry.
    fn list(
        &self,
        shared: &mut Shared<'_>,
        key: &Key,
        listed: Option<ListedVersion>,
    ) -> Result<bool, Refusal> {
        let platforms: BTreeSet<Platform> =
            self.goal.packages.packages().iter().map(|package| package.platform.clone()).collect();
        let protocols = self.goal.packages.protocols().to_strings();
        let same_protocols = |listed: &ListedVersion| {
            listed.protocols.iter().collect::<BTreeSet<_>>() == protocols.iter().collect::<BTreeSet<_>>()
        };
        if listed.as_ref().is_some_and(|l| same_protocols(l) && platforms.is_subset(&l.platforms)) {
            return Ok(false);
        }
        let protocols = listed.filter(same_protocols).map_or(protocols.clone(), |listed| listed.protocols);
        shared.list(key, self.version, &protocols, &platforms, self.goal.date)?;
        Ok(true)
    }
}
