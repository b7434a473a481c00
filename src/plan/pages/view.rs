//! The registry as it will be once a plan is applied, as pages show it.

use std::cell::RefCell;
use std::collections::BTreeMap;

use bytes::Bytes;

use super::DocsOf;
use crate::content::{Digest, Sealed};
use crate::error::Refusal;
use crate::pages::origin::Origin;
use crate::pages::{ListedRelease, OfferedFile, ProviderFacts, ReleaseFacts, Yanked, data};
use crate::plan::{Action, Observation, Observed, Plan, ReadKind, Step, Write, keep, replace};
use crate::provider::{Platform, ReleaseId, Version};
use crate::registry::pages::PageKey;
use crate::registry::versions::ListedVersion;
use crate::registry::{DownloadDocument, Key, Links, VersionsDocument, YankedRecord};

/// The registry after a plan. What has to be read for that is collected.
pub(super) struct View<'a> {
    planned: BTreeMap<&'a Key, &'a Write>,
    seen: &'a Observation,
    missing: RefCell<BTreeMap<Key, ReadKind>>,
}

impl<'a> View<'a> {
    pub(super) fn new(plan: &'a Plan, seen: &'a Observation) -> Self {
        let planned = plan.writes.iter().map(|write| (&write.key, write)).collect();
        Self { planned, seen, missing: RefCell::default() }
    }

    fn need(&self, key: &Key, kind: ReadKind) {
        self.missing.borrow_mut().insert(key.clone(), kind);
    }

    /// Whether everything that was asked for was read.
    pub(super) fn is_complete(&self) -> bool {
        self.missing.borrow().is_empty()
    }

    /// What has to be read first.
    pub(super) fn next_reads(&self) -> Option<Step> {
        let missing = self.missing.take();
        (!missing.is_empty()).then(|| Step::Read(missing.into_iter().collect()))
    }

    /// The contents of an object; `None` if it will not exist, or has to be read first.
    pub(super) fn bytes(&self, key: &Key) -> Option<Bytes> {
        if let Some(bytes) = self.planned.get(key).and_then(|write| write.body.bytes()) {
            return Some(bytes.clone());
        }
        match self.seen.objects.get(key) {
            Some(Observed::Document(document)) => Some(document.bytes.clone()),
            Some(Observed::Absent) => None,
            Some(Observed::Summary(_) | Observed::Zip(_)) | None => {
                self.need(key, ReadKind::Read);
                None
            }
        }
    }

    /// The contents of a page as it is.
    pub(super) fn page(&self, key: &PageKey) -> Option<Bytes> {
        self.bytes(&Key::Page(key.clone()))
    }

    /// Asks for the digest of a file that is mostly as wanted.
    pub(super) fn page_summary(&self, key: &PageKey) {
        let key = Key::Page(key.clone());
        if !self.seen.objects.contains_key(&key) {
            self.need(&key, ReadKind::Summary);
        }
    }

    /// The write of a page; `None` if it has to be read first.
    ///
    /// # Errors
    /// There is an object in its place that tfreg has not written, or that another run has written meanwhile.
    pub(super) fn write(
        &self,
        page: &PageKey,
        wanted: Vec<u8>,
        docs: Option<&DocsOf<'_>>,
    ) -> Result<Option<Write>, Refusal> {
        let key = Key::Page(page.clone());
        match self.seen.objects.get(&key) {
            Some(Observed::Absent) => {
                Ok(Some(Write { key, body: Sealed::from_bytes(wanted), action: Action::Create }))
            }
            Some(Observed::Summary(found)) if found.digest == Digest::of(&wanted) => {
                Ok(Some(keep(key, &wanted.into())))
            }
            Some(Observed::Document(read)) => {
                let has_mark = !matches!(page, PageKey::Asset { .. })
                    && !matches!(page, PageKey::Docs { path, .. } if path.is_image());
                if has_mark {
                    data::check_ours(page, &read.bytes)?;
                }
                if read.bytes != wanted {
                    docs.map_or(Ok(()), |docs| docs.check_overtaken(page))?;
                }
                Ok(Some(replace(key, read, wanted)))
            }
            Some(Observed::Summary(_) | Observed::Zip(_)) | None => {
                self.need(&key, ReadKind::Read);
                Ok(None)
            }
        }
    }

    /// The key that signed the newest version of a provider.
    pub(super) fn newest_key(&self, facts: &ProviderFacts) -> Result<Option<String>, Refusal> {
        let Some(newest) = facts.newest() else { return Ok(None) };
        let platform = facts.versions.get(newest).and_then(|listed| listed.platforms.first());
        let Some(platform) = platform else { return Ok(None) };
        let document = self.document(&ReleaseId::new(&facts.provider, newest), platform)?;
        Ok(document.and_then(|document| Some((*document.public_keys().first()?).to_owned())))
    }

    fn document(
        &self,
        release: &ReleaseId,
        platform: &Platform,
    ) -> Result<Option<DownloadDocument>, Refusal> {
        let key = Key::Download { release: release.clone(), platform: platform.clone() };
        self.bytes(&key).map(|bytes| DownloadDocument::parse(&key, platform, &bytes)).transpose()
    }

    /// What the page of a version shows; `None` if it is neither listed nor yanked.
    pub(super) fn release(
        &self,
        release: &ReleaseId,
        entry: Option<&ListedRelease>,
        has_docs: bool,
    ) -> Result<Option<ReleaseFacts>, Refusal> {
        let record_key = Key::Yanked { release: release.clone() };
        let record =
            self.bytes(&record_key).map(|bytes| YankedRecord::parse(&record_key, &bytes)).transpose()?;
        let record = record.filter(YankedRecord::is_yanked);
        let listed = match (entry, &record) {
            // The index decides whether it is listed; of a yanked version it says nothing else.
            (Some(entry), Some(record)) if entry.yanked.is_some() => once_listed(record, entry.yanked),
            (Some(entry), _) => entry.clone(),
            (None, _) => return Ok(None),
        };
        let mut facts = ReleaseFacts {
            release: release.clone(),
            reason: record
                .as_ref()
                .filter(|_| listed.yanked.is_some())
                .and_then(YankedRecord::reason)
                .map(str::to_owned),
            listed,
            files: Vec::new(),
            signed: None,
            public_keys: Vec::new(),
            origin: None,
            has_docs,
        };
        for platform in facts.listed.platforms.clone() {
            if let Some(document) = self.document(release, &platform)? {
                self.add(&mut facts, &platform, &document)?;
            }
        }
        Ok(Some(facts))
    }

    /// Adds what a platform's document says.
    fn add(
        &self,
        facts: &mut ReleaseFacts,
        platform: &Platform,
        document: &DownloadDocument,
    ) -> Result<(), Refusal> {
        for key in document.public_keys() {
            if !facts.public_keys.iter().any(|other| other == key) {
                facts.public_keys.push(key.to_owned());
            }
        }
        let (sums, signature) =
            (Links::target(document.sums_link()?), Links::target(document.signature_link()?));
        if let (Some(Key::Sums { release, digest }), Some(signature), None) = (sums, signature, &facts.signed)
        {
            let record = Key::Provenance { release: release.clone(), digest };
            let origin = self.bytes(&record).and_then(|bytes| Origin::read(&bytes));
            facts.origin = origin.map(|origin| (record, origin));
            facts.signed = Some((Key::Sums { release, digest }, signature));
        }
        facts.files.push(OfferedFile {
            platform: platform.clone(),
            name: document.filename().to_owned(),
            key: Links::target(document.zip_link()?),
            size: document.package(platform).and_then(|zip| zip.bytes),
            sha256: document.shasum(),
        });
        Ok(())
    }
}

/// The versions of an index, and those that it marks as yanked.
pub(super) fn listed(index: &VersionsDocument) -> Result<BTreeMap<Version, ListedRelease>, Refusal> {
    let mut versions = BTreeMap::new();
    for (version, entry) in index.entries() {
        versions.insert(version.clone(), release_of(entry?, None));
    }
    for (version, mark) in index.marks()?.into_iter().filter(|(_, mark)| mark.is_yanked) {
        let yanked = Some(Yanked { when: mark.when.parse().ok() });
        versions.entry(version).or_insert_with(|| ListedRelease { yanked, ..ListedRelease::default() });
    }
    Ok(versions)
}

fn release_of(entry: ListedVersion, yanked: Option<Yanked>) -> ListedRelease {
    let ListedVersion { protocols, platforms, published } = entry;
    ListedRelease { published, protocols, platforms, yanked }
}

/// The last entry of a yanked version.
fn once_listed(record: &YankedRecord, yanked: Option<Yanked>) -> ListedRelease {
    let entry = record.entry().map(|entry| release_of(ListedVersion::former(&entry), yanked));
    entry.unwrap_or_else(|| ListedRelease { yanked, ..ListedRelease::default() })
}
