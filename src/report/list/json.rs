//! What is in a registry, as JSON; `docs/json-output.md` documents the members.

use serde::Serialize;

use crate::error::Refusal;
use crate::openpgp::KeyId;
use crate::registry::json::Object;
use crate::report::masked::masked;
use crate::workflow::list::{
    ListedPlatform, ListedRelease, Listing, Outcome, ProviderListing, ProviderSummary, PublishRecord,
    RegistryListing, SigningKey, VersionListing,
};

/// The result of `tfreg list`, as JSON.
#[derive(Serialize)]
pub(super) struct ListReport<'a> {
    outcome: &'static str,
    place: &'a str,
    #[serde(flatten)]
    listing: ListingReport<'a>,
    problems: Vec<ProblemReport>,
}

/// A part that is missing, or cannot be understood.
#[derive(Serialize)]
struct ProblemReport {
    subject: String,
    problem: String,
    found: String,
}

#[derive(Serialize)]
#[serde(untagged)]
enum ListingReport<'a> {
    Registry { settings: Option<&'a Object>, providers: Vec<SummaryReport> },
    Provider(ProviderReport<'a>),
    Version(Box<VersionReport<'a>>),
}

#[derive(Serialize)]
struct SummaryReport {
    provider: String,
    newest: Option<String>,
    versions: usize,
    yanked: usize,
    platforms: Vec<String>,
    last_publish: Option<String>,
}

#[derive(Serialize)]
struct ProviderReport<'a> {
    provider: String,
    warnings: &'a [String],
    versions: Vec<ReleaseReport<'a>>,
}

#[derive(Serialize)]
struct ReleaseReport<'a> {
    version: String,
    prerelease: bool,
    yanked: Option<YankedReport<'a>>,
    published: Option<String>,
    protocols: &'a [String],
    platforms: Vec<String>,
    key_id: Option<&'a str>,
}

#[derive(Serialize)]
struct YankedReport<'a> {
    when: &'a str,
    reason: Option<&'a str>,
}

#[derive(Serialize)]
struct VersionReport<'a> {
    provider: String,
    version: String,
    prerelease: bool,
    published: Option<String>,
    protocols: &'a [String],
    keys: Vec<KeyReport<'a>>,
    shasums_urls: &'a [String],
    record: Option<RecordReport<'a>>,
    platforms: Vec<PlatformReport<'a>>,
}

#[derive(Serialize)]
struct KeyReport<'a> {
    key_id: &'a str,
    key_fingerprint: &'a str,
}

#[derive(Serialize)]
struct RecordReport<'a> {
    signed: bool,
    repository: Option<&'a str>,
    commit: Option<&'a str>,
    tag: Option<&'a str>,
    event: Option<&'a str>,
    target: Option<&'a str>,
    build_number: Option<&'a str>,
    build_link: Option<&'a str>,
    started: Option<String>,
}

#[derive(Serialize)]
struct PlatformReport<'a> {
    platform: String,
    os: &'a str,
    arch: &'a str,
    document: String,
    filename: Option<&'a str>,
    download_url: Option<&'a str>,
    sha256: Option<String>,
    h1: Option<&'a str>,
    bytes: Option<u64>,
}

impl<'a> ListReport<'a> {
    pub(super) fn new(outcome: &'a Outcome) -> Self {
        let listing = match &outcome.listing {
            Listing::Registry(RegistryListing { settings, providers }) => ListingReport::Registry {
                settings: settings.as_ref(),
                providers: providers.iter().map(SummaryReport::new).collect(),
            },
            Listing::Provider(listing) => ListingReport::Provider(ProviderReport::new(listing)),
            Listing::Version(listing) => ListingReport::Version(Box::new(VersionReport::new(listing))),
        };
        let problem = |part: &Refusal| ProblemReport {
            subject: masked(&part.subject),
            problem: masked(&part.problem),
            found: masked(&part.found),
        };
        let problems: Vec<ProblemReport> = outcome.problems.iter().map(problem).collect();
        let word = if problems.is_empty() { "listed" } else { "incomplete" };
        Self { outcome: word, place: &outcome.place, listing, problems }
    }
}

fn texts<'a, T: ToString + 'a>(values: impl IntoIterator<Item = &'a T>) -> Vec<String> {
    values.into_iter().map(ToString::to_string).collect()
}

impl SummaryReport {
    fn new(summary: &ProviderSummary) -> Self {
        Self {
            provider: summary.provider.to_string(),
            newest: summary.newest.as_ref().map(ToString::to_string),
            versions: summary.versions,
            yanked: summary.yanked,
            platforms: texts(&summary.platforms),
            last_publish: summary.last_publish.as_ref().map(ToString::to_string),
        }
    }
}

impl<'a> ProviderReport<'a> {
    fn new(listing: &'a ProviderListing) -> Self {
        let versions = listing.versions.iter().map(ReleaseReport::new).collect();
        Self { provider: listing.provider.to_string(), warnings: &listing.warnings, versions }
    }
}

impl<'a> ReleaseReport<'a> {
    fn new(release: &'a ListedRelease) -> Self {
        Self {
            version: release.version.to_string(),
            prerelease: release.version.is_prerelease(),
            yanked: release
                .yanked
                .as_ref()
                .map(|yanked| YankedReport { when: &yanked.when, reason: yanked.reason.as_deref() }),
            published: release.published.as_ref().map(ToString::to_string),
            protocols: &release.protocols,
            platforms: texts(&release.platforms),
            key_id: release.key_id.as_ref().map(KeyId::as_str),
        }
    }
}

impl<'a> VersionReport<'a> {
    fn new(listing: &'a VersionListing) -> Self {
        let key = |key: &'a SigningKey| KeyReport {
            key_id: key.key_id.as_str(),
            key_fingerprint: key.fingerprint.as_str(),
        };
        Self {
            provider: listing.release.provider.to_string(),
            version: listing.release.version.to_string(),
            prerelease: listing.release.version.is_prerelease(),
            published: listing.published.as_ref().map(ToString::to_string),
            protocols: &listing.protocols,
            keys: listing.keys.iter().map(key).collect(),
            shasums_urls: &listing.checksums,
            record: listing.record.as_ref().map(RecordReport::new),
            platforms: listing.platforms.iter().map(PlatformReport::new).collect(),
        }
    }
}

impl<'a> RecordReport<'a> {
    fn new(PublishRecord { is_signed, build }: &'a PublishRecord) -> Self {
        Self {
            signed: *is_signed,
            repository: build.repository.as_deref(),
            commit: build.commit.as_deref(),
            tag: build.tag.as_deref(),
            event: build.event.as_deref(),
            target: build.target.as_deref(),
            build_number: build.number.as_deref(),
            build_link: build.link.as_deref(),
            started: build.started.as_ref().map(ToString::to_string),
        }
    }
}

impl<'a> PlatformReport<'a> {
    fn new(ListedPlatform { platform, document, zip }: &'a ListedPlatform) -> Self {
        let zip = zip.as_ref();
        Self {
            platform: platform.to_string(),
            os: platform.os(),
            arch: platform.arch(),
            document: document.to_string(),
            filename: zip.map(|zip| zip.filename.as_str()),
            download_url: zip.map(|zip| zip.link.as_str()),
            sha256: zip.map(|zip| zip.sha256.to_string()),
            h1: zip.and_then(|zip| zip.h1.as_deref()),
            bytes: zip.and_then(|zip| zip.bytes),
        }
    }
}
