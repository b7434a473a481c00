//! The platforms of a version, with the hashes that lock files have, and the record of its publish.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::try_join_all;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;

use super::provider::Yanked;
use super::{Part, Watch};
use crate::content::Digest;
use crate::error::{Error, Refusal, Result};
use crate::openpgp::certificate::Certificate;
use crate::openpgp::{Fingerprint, KeyId};
use crate::provider::{Platform, ReleaseId, Version};
use crate::reader::{Found, Reader};
use crate::registry::provenance::{self, Build};
use crate::registry::{Checksums, DownloadDocument, Key, Links, VersionsDocument};
use crate::words;

/// The maximum size of a SHA256SUMS, and of a record: a line, or a file, has some hundred bytes, and a version some twenty
/// platforms.
const LARGEST: u64 = 1 << 20;
/// How many versions a refusal names.
const NEAR: usize = 5;

/// A version.
#[derive(Debug)]
pub struct VersionListing {
    /// The version.
    pub release: ReleaseId,
    /// Its protocols, as the index has them.
    pub protocols: Vec<String>,
    /// When it was published first, if the index says so.
    pub published: Option<Timestamp>,
    /// Its platforms.
    pub platforms: Vec<ListedPlatform>,
    /// The keys that its documents embed; one, unless a change of the key is under way.
    pub keys: Vec<SigningKey>,
    /// The links to its SHA256SUMS, as written; one, unless a publish is under way.
    pub checksums: Vec<String>,
    /// The record of the publish that made its SHA256SUMS.
    pub record: Option<PublishRecord>,
}

/// A platform, as its download document has it.
#[derive(Debug)]
pub struct ListedPlatform {
    /// The platform.
    pub platform: Platform,
    /// The key of its download document.
    pub document: Key,
    /// What the document says; `None` if it is missing or cannot be understood.
    pub zip: Option<ListedZip>,
}

/// The zip of a platform.
#[derive(Debug)]
pub struct ListedZip {
    /// Its file name.
    pub filename: String,
    /// The link to it, as written.
    pub link: String,
    /// Its SHA-256: the `zh:` of lock files.
    pub sha256: Digest,
    /// Its `h1:`, if the document's `packages` has it.
    pub h1: Option<String>,
    /// Its size, if the document's `packages` has it, or the store.
    pub bytes: Option<u64>,
}

/// A public key in the documents of a version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SigningKey {
    /// The key id by which clients name it.
    pub key_id: KeyId,
    /// The primary key's fingerprint.
    pub fingerprint: Fingerprint,
}

/// What the record of a publish says.
#[derive(Debug)]
pub struct PublishRecord {
    /// Whether a key of the version's documents has signed it.
    pub is_signed: bool,
    /// The build.
    pub build: Build,
}

/// A document that could be read.
struct Read {
    found: Found,
    document: DownloadDocument,
}

/// Lists the platforms of a version.
pub(super) async fn list(
    reader: &Reader,
    release: &ReleaseId,
    reads: usize,
    watch: &dyn Watch,
) -> Result<Part<VersionListing>> {
    let index = super::index(reader, &release.provider).await?;
    let Some(listed) = index.listed(&release.version)? else {
        return Err(not_listed(reader, release, &index).await?);
    };
    watch.parts(listed.platforms.len());
    let platforms = stream::iter(listed.platforms.into_iter().map(|platform| async move {
        let platform = platform_of(reader, release, platform).await;
        watch.part_done();
        platform
    }));
    let parts: Vec<Part<(ListedPlatform, Option<Read>)>> = platforms.buffered(reads).try_collect().await?;
    let mut problems = Vec::new();
    let (platforms, documents): (Vec<_>, Vec<_>) = Part::gather(parts, &mut problems).into_iter().unzip();
    let documents: Vec<Read> = documents.into_iter().flatten().collect();
    let mut certificates: BTreeMap<String, Certificate> = BTreeMap::new();
    let mut sums: BTreeMap<String, &Read> = BTreeMap::new();
    for read in &documents {
        for armor in read.document.public_keys() {
            match Certificate::embedded(armor) {
                Ok(certificate) => drop(certificates.insert(armor.to_owned(), certificate)),
                Err(found) => problems
                    .push(Refusal::new(read.document.key(), "its key cannot be understood").found(found)),
            }
        }
        match read.document.sums_link() {
            Ok(link) => drop(sums.entry(link.to_owned()).or_insert(read)),
            Err(refusal) => problems.push(refusal),
        }
    }
    let certificates: Vec<Certificate> = certificates.into_values().collect();
    let mut record = None;
    if let Some((link, read)) = sums.first_key_value() {
        let part = read_record(reader, release, (&read.found, link), &certificates).await?;
        record = part.part;
        problems.extend(part.problems);
    }
    let key = |certificate: &Certificate| SigningKey {
        key_id: certificate.key_id(),
        fingerprint: certificate.fingerprint(),
    };
    let keys: BTreeSet<SigningKey> = certificates.iter().map(key).collect();
    let part = VersionListing {
        release: release.clone(),
        protocols: listed.protocols,
        published: listed.published,
        platforms,
        keys: keys.into_iter().collect(),
        checksums: sums.into_keys().collect(),
        record,
    };
    Ok(Part { part, problems })
}

/// The refusal of a version that is not listed: it is yanked, or these versions are there.
async fn not_listed(reader: &Reader, release: &ReleaseId, index: &VersionsDocument) -> Result<Error> {
    let ReleaseId { provider, version } = release;
    let key = Key::Versions { provider: provider.clone() };
    let place = words::quoted(&reader.describe());
    let (names, release_name) =
        (format!("`tfreg list {place} {provider}` names all versions"), format!("{provider}@{version}"));
    let mark = index.marks()?.remove(version).filter(|mark| mark.is_yanked);
    let refusal = if let Some(mark) = mark {
        let Yanked { when, reason } = Yanked::read(reader, release, &mark).await?.part;
        let reason = reason.map_or(", without a reason".to_owned(), |reason| format!(": {reason}"));
        Refusal::new(key, format!("version {version} is yanked"))
            .found(format!("yanked at {when}{reason}"))
            .expected("a version that the index lists")
            .remedy(format!("{names}; `tfreg unyank {place} {release_name}` puts it back"))
    } else {
        let near: Vec<String> = near(version, index.versions()).map(ToString::to_string).collect();
        let found = if near.is_empty() { "no version".to_owned() } else { near.join(", ") };
        Refusal::new(key, format!("version {version} is not published"))
            .found(found)
            .expected(version)
            .remedy(format!("check the version; {names}"))
    };
    Ok(refusal.into())
}

/// The versions next to `version`, in their order.
fn near<'a>(version: &Version, all: impl Iterator<Item = &'a Version>) -> impl Iterator<Item = &'a Version> {
    let mut all: Vec<&Version> = all.collect();
    all.sort();
    let at = all.partition_point(|other| *other < version);
    let from = at.saturating_sub(NEAR / 2).min(all.len().saturating_sub(NEAR));
    all.into_iter().skip(from).take(NEAR)
}

async fn platform_of(
    reader: &Reader,
    release: &ReleaseId,
    platform: Platform,
) -> Result<Part<(ListedPlatform, Option<Read>)>> {
    let key = Key::Download { release: release.clone(), platform: platform.clone() };
    let mut problems = Vec::new();
    let (mut zip, mut read) = (None, None);
    match reader.document(&key).await? {
        None => problems.push(
            Refusal::new(&key, "a download document is missing")
                .found(format!("not there, and the index lists {platform}")),
        ),
        Some(found) => match DownloadDocument::parse(&key, &platform, &found.bytes) {
            Err(refusal) => problems.push(refusal),
            Ok(document) => {
                let part = zip_of(reader, &document, &platform).await?;
                zip = part.part;
                problems.extend(part.problems);
                read = Some(Read { found, document });
            }
        },
    }
    Ok(Part { part: (ListedPlatform { platform, document: key, zip }, read), problems })
}

/// The zip that a document offers. A store is asked for its size, and so whether it is there; at a host, only the document
/// says it.
async fn zip_of(
    reader: &Reader,
    document: &DownloadDocument,
    platform: &Platform,
) -> Result<Part<Option<ListedZip>>> {
    let link = match document.zip_link() {
        Ok(link) => link.to_owned(),
        Err(refusal) => return Ok(Part { part: None, problems: vec![refusal] }),
    };
    let told = document.package(platform);
    let (h1, mut bytes) = told.map_or((None, None), |package| (package.h1, package.bytes));
    let mut problems = Vec::new();
    if let (Reader::Store(store), Some(key)) = (reader, Links::target(&link)) {
        match store.head(&key).await? {
            Some(headers) => bytes = headers.len.or(bytes),
            None => problems.push(
                Refusal::new(&key, "a zip is missing")
                    .found(format!("not there, and {} offers it", document.key())),
            ),
        }
    }
    let (filename, sha256) = (document.filename().to_owned(), document.shasum());
    Ok(Part { part: Some(ListedZip { filename, link, sha256, h1, bytes }), problems })
}

/// The record beside the SHA256SUMS to which `link` leads in a document; none if there is none.
async fn read_record(
    reader: &Reader,
    release: &ReleaseId,
    (document, link): (&Found, &str),
    certificates: &[Certificate],
) -> Result<Part<Option<PublishRecord>>> {
    let nothing = |problems: Vec<Refusal>| Part { part: None, problems };
    let digest = match Links::target(link) {
        Some(Key::Sums { release: of, digest }) if of == *release => digest,
        // It was published by something else than tfreg, which has no records.
        _ => return Ok(nothing(Vec::new())),
    };
    let release_of = || release.clone();
    let sums_key = Key::Sums { release: release_of(), digest };
    let key = Key::Provenance { release: release_of(), digest };
    let signature = |certificate: &Certificate| Key::ProvenanceSignature {
        release: release_of(),
        digest,
        key_id: certificate.key_id(),
    };
    let read = |key: &Key| {
        let link = Links::beside(link, key);
        async move {
            match link {
                Some(link) => reader.linked(document, &link, LARGEST).await,
                None => Ok(None),
            }
        }
    };
    let signatures = try_join_all(certificates.iter().map(|certificate| read(&signature(certificate))));
    let (sums, record, signatures) = futures::try_join!(read(&sums_key), read(&key), signatures)?;
    let missing =
        |key: &Key| Refusal::new(key, "SHA256SUMS is missing").found("not there, and documents lead to it");
    let Some(sums) = sums else { return Ok(nothing(vec![missing(&sums_key)])) };
    let Some(record) = record else { return Ok(nothing(Vec::new())) };
    let unfit =
        |key: &Key, found: String| nothing(vec![Refusal::new(key, "cannot be understood").found(found)]);
    let sums = match Checksums::parse(&sums) {
        Ok(sums) => sums,
        Err(found) => return Ok(unfit(&sums_key, found)),
    };
    if let Err(found) = provenance::tells_of(&record, &release.provider, &release.version, &sums) {
        return Ok(unfit(&key, found));
    }
    let is_signed = certificates.iter().zip(signatures).any(|(certificate, signature)| {
        signature.is_some_and(|signature| certificate.verify_as_of_then(&record, &signature).is_ok())
    });
    let build = Build::of(&record);
    Ok(Part { part: Some(PublishRecord { is_signed, build }), problems: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_versions_next_to_one_are_found() {
        let all: Vec<Version> = ["1.10.0", "1.2.0", "1.0.0", "2.0.0", "1.1.0", "3.0.0"]
            .iter()
            .map(|v| v.parse().unwrap())
            .collect();
        let found = |version: &str, count: usize| {
            let version = version.parse().unwrap();
            near(&version, all[..count].iter()).map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(found("1.3.0", 6), "1.1.0 1.2.0 1.10.0 2.0.0 3.0.0");
        assert_eq!(found("0.1.0", 6), "1.0.0 1.1.0 1.2.0 1.10.0 2.0.0");
        assert_eq!(found("9.0.0", 6), "1.1.0 1.2.0 1.10.0 2.0.0 3.0.0");
        assert_eq!(found("1.3.0", 2), "1.2.0 1.10.0");
        assert_eq!(found("1.3.0", 0), "");
    }
}
