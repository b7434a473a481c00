//! The versions of a provider: from its index, the records of yanked versions, and one download document of each version,
//! which names the key.

use std::collections::{BTreeMap, BTreeSet};

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;

use super::{Part, Watch};
use crate::error::{Refusal, Result};
use crate::openpgp::KeyId;
use crate::openpgp::certificate::Certificate;
use crate::provider::{Platform, Provider, ReleaseId, Version};
use crate::reader::Reader;
use crate::registry::Mark;
use crate::registry::versions::ListedVersion;
use crate::registry::{DownloadDocument, Key, YankedRecord};
use crate::worker;

/// The versions of a provider.
#[derive(Debug)]
pub struct ProviderListing {
    /// The provider.
    pub provider: Provider,
    /// The warnings that clients show.
    pub warnings: Vec<String>,
    /// Its versions, those that are yanked too: the newest first.
    pub versions: Vec<ListedRelease>,
}

/// A version, as its index, or the record of its yank, has it.
#[derive(Debug)]
pub struct ListedRelease {
    /// The version.
    pub version: Version,
    /// Its protocols, as written.
    pub protocols: Vec<String>,
    /// Its platforms.
    pub platforms: BTreeSet<Platform>,
    /// When it was published first, if the index says so.
    pub published: Option<Timestamp>,
    /// The key that its documents embed; that of the first platform.
    pub key_id: Option<KeyId>,
    /// Whether it is yanked.
    pub yanked: Option<Yanked>,
}

/// What is known of a yank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Yanked {
    /// When, as written.
    pub when: String,
    /// Why, if its record says so.
    pub reason: Option<String>,
}

impl Yanked {
    fn new(mark: &Mark, record: Option<&YankedRecord>) -> Self {
        let reason = record.and_then(YankedRecord::reason).map(str::to_owned);
        Self { when: mark.when.clone(), reason }
    }

    /// What is known of the yank that `mark` tells of: the reason is in its record.
    pub(super) async fn read(reader: &Reader, release: &ReleaseId, mark: &Mark) -> Result<Part<Self>> {
        let (record, problems) = record(reader, release).await?;
        Ok(Part { part: Self::new(mark, record.as_ref()), problems })
    }
}

/// The record of a yanked version; none if there is none, or it cannot be understood.
async fn record(reader: &Reader, release: &ReleaseId) -> Result<(Option<YankedRecord>, Vec<Refusal>)> {
    let key = Key::Yanked { release: release.clone() };
    Ok(match reader.document(&key).await?.map(|found| YankedRecord::parse(&key, &found.bytes)) {
        // The index decides; the record is lost.
        None => (None, Vec::new()),
        Some(Ok(record)) => (Some(record), Vec::new()),
        Some(Err(refusal)) => (None, vec![refusal]),
    })
}

/// Lists the versions of a provider.
pub(super) async fn list(
    reader: &Reader,
    provider: &Provider,
    reads: usize,
    watch: &dyn Watch,
) -> Result<Part<ProviderListing>> {
    let index = super::index(reader, provider).await?;
    let mut problems = Vec::new();
    let mut marks = index.marks().unwrap_or_else(|refusal| {
        problems.push(refusal);
        BTreeMap::new()
    });
    marks.retain(|_, mark| mark.is_yanked);
    let warnings = index.warnings().unwrap_or_else(|refusal| {
        problems.push(refusal);
        Vec::new()
    });
    let mut found: BTreeMap<Version, Option<ListedVersion>> = BTreeMap::new();
    worker::compute(|| {
        for (version, listed) in index.entries() {
            let listed = listed.map_err(|refusal| problems.push(refusal)).ok();
            found.insert(version.clone(), listed);
        }
    });
    for version in marks.keys() {
        found.entry(version.clone()).or_insert(None);
    }
    watch.parts(found.len());
    let marks = &marks;
    let releases = stream::iter(found.into_iter().rev().map(|(version, listed)| async move {
        let release = ReleaseId::new(provider, &version);
        let release = release_of(reader, release, listed, marks.get(&version)).await;
        watch.part_done();
        release
    }));
    let parts: Vec<Part<ListedRelease>> = releases.buffered(reads).try_collect().await?;
    let versions = Part::gather(parts, &mut problems);
    Ok(Part { part: ProviderListing { provider: provider.clone(), warnings, versions }, problems })
}

/// The id of the first key in a document, as it is written beside it; a document of another tool may lack it.
fn key_of(document: &DownloadDocument) -> Option<KeyId> {
    let written = document.key_ids().first().and_then(|id| id.parse().ok());
    let keys = document.public_keys();
    written.or_else(|| Some(Certificate::embedded(keys.first()?).ok()?.key_id()))
}

/// The facts about a version: those of its entry, or of the entry that the record of its yank keeps.
async fn release_of(
    reader: &Reader,
    release: ReleaseId,
    listed: Option<ListedVersion>,
    mark: Option<&Mark>,
) -> Result<Part<ListedRelease>> {
    let (mut listed, mut yanked, mut problems) = (listed, None, Vec::new());
    if let Some(mark) = mark {
        let (record, unread) = record(reader, &release).await?;
        problems.extend(unread);
        let former = record.as_ref().and_then(YankedRecord::entry);
        listed = listed.or_else(|| former.map(|entry| ListedVersion::former(&entry)));
        yanked = Some(Yanked::new(mark, record.as_ref()));
    }
    let ListedVersion { protocols, platforms, published } = listed.unwrap_or_default();
    let mut key_id = None;
    if let Some(platform) = platforms.first() {
        let key = Key::Download { release: release.clone(), platform: platform.clone() };
        match reader.document(&key).await? {
            None => problems.push(
                Refusal::new(&key, "a download document is missing")
                    .found(format!("not there, and the index lists {platform}")),
            ),
            Some(found) => match DownloadDocument::parse(&key, platform, &found.bytes) {
                Ok(document) => key_id = key_of(&document),
                Err(refusal) => problems.push(refusal),
            },
        }
    }
    let version = release.version;
    Ok(Part { part: ListedRelease { version, protocols, platforms, published, key_id, yanked }, problems })
}
