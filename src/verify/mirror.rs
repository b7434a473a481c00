//! The network mirror of the registry's own providers: its files say what the registry's documents say.

use std::collections::{BTreeMap, BTreeSet};

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use url::Url;

use crate::content::Digest;
use crate::error::Result;
use crate::provider::{Platform, Provider, ReleaseId, Version};
use crate::reader::{Fetched, Reply};
use crate::registry::mirror::Archive;
use crate::registry::{Key, MirrorHost, MirrorIndex, MirrorVersion};

use super::finding::{Finding, Group, Rule, Severity, rules};
use super::site::{self, RegistryView};
use super::{Scope, served};

rules! { Mirror:
    NO_INDEX = "mirror-index-missing", Error,
        "the network mirror has no index of a provider",
        "terraform init of users of the mirror says that it does not have the provider",
        "`tfreg reindex TARGET --all` makes the files of the mirror from the documents";
    /// Source: Terraform takes every status but 200 and 404 for a failure, and 401 and 403 for missing credentials.
    UNREADABLE = "mirror-unreadable", Error,
        "a file of the network mirror cannot be read",
        "terraform init of users of the mirror fails",
        "let the CDN or web server answer it with the status 200";
    JSON = "mirror-json", Error,
        "a file of the network mirror is not the protocol's JSON document",
        "terraform init of users of the mirror fails, and the next publish of the provider is refused",
        "`tfreg reindex TARGET --all` makes it anew";
    NO_VERSION = "mirror-version-missing", Error,
        "the network mirror lists a version whose file is not there",
        "terraform init of users of the mirror fails where it chooses this version",
        "`tfreg reindex TARGET --all` makes the files of the mirror from the documents";
    UNLISTED = "mirror-lacks-version", Warning,
        "the network mirror does not list a version that the registry lists",
        "users of the mirror cannot install it; a publish was stopped, or the mirror was switched on later",
        "publish it again, or bring all files in line by `tfreg reindex TARGET --all`";
    YANKED = "mirror-yanked", Warning,
        "the network mirror lists a version that is yanked",
        "users of the mirror go on installing what was withdrawn",
        "`tfreg yank` it again, or bring all files in line by `tfreg reindex TARGET --all`";
    LACKS_PLATFORM = "mirror-lacks-platform", Error,
        "the network mirror lacks a platform of a version",
        "terraform init of users of the mirror on that platform says that the version is not available for it",
        "publish the version again, or bring all files in line by `tfreg reindex TARGET --all`";
    OTHER_PLATFORM = "mirror-other-platform", Warning,
        "the network mirror has a platform that the registry does not list",
        "users of the mirror install what others do not get",
        "bring all files in line by `tfreg reindex TARGET --all`";
    /// Source: clients take a zip only if its hash is one of these; old ones compute `h1:` alone.
    HASHES = "mirror-hashes", Error,
        "the hashes of a zip in the network mirror are not those of the zip",
        "terraform init of users of the mirror refuses the zip, or cannot check it against a lock file",
        "bring all files in line by `tfreg reindex TARGET --all`";
    LINK = "mirror-link", Warning,
        "the network mirror offers a zip at another place than its document",
        "users of the mirror depend on an object that nothing else in the registry leads to",
        "bring all files in line by `tfreg reindex TARGET --all`";
}

/// A platform of a listed version as its document offers it.
#[derive(Debug, Clone)]
pub(super) struct Offered {
    pub(super) release: ReleaseId,
    pub(super) platform: Platform,
    pub(super) zip: Option<Url>,
    pub(super) shasum: Option<Digest>,
    /// Of the zip, if it was read, or by the signed record.
    pub(super) h1: Option<String>,
}

/// The platforms of the listed versions of a provider.
type Versions<'a> = BTreeMap<&'a Version, BTreeMap<&'a Platform, &'a Offered>>;

/// Checks the files of the network mirror under `host`. `listed` is what each index lists, `offered` what the documents of the
/// versions in scope offer.
pub(super) async fn check(
    site: &RegistryView<'_>,
    host: &MirrorHost,
    scope: &Scope,
    listed: &BTreeMap<Provider, BTreeSet<Version>>,
    offered: &[Offered],
) -> Result<Vec<Finding>> {
    let mut of: BTreeMap<&Provider, Versions<'_>> = BTreeMap::new();
    for one in offered {
        let versions = of.entry(&one.release.provider).or_default();
        versions.entry(&one.release.version).or_default().insert(&one.platform, one);
    }
    let checks = listed.iter().map(|(provider, listed)| {
        let versions = of.remove(provider).unwrap_or_default();
        Check { site, host, scope, provider, listed, versions }
    });
    let checks: Vec<_> = checks.collect();
    let found = stream::iter(checks.iter().map(Check::provider)).buffer_unordered(8);
    Ok(found.try_collect::<Vec<_>>().await?.concat())
}

struct Check<'a> {
    site: &'a RegistryView<'a>,
    host: &'a MirrorHost,
    scope: &'a Scope,
    provider: &'a Provider,
    listed: &'a BTreeSet<Version>,
    versions: Versions<'a>,
}

impl Check<'_> {
    fn is_in_scope(&self, version: &Version) -> bool {
        self.scope.has(version)
    }

    async fn provider(&self) -> Result<Vec<Finding>> {
        let key = Key::MirrorIndex { host: self.host.clone(), provider: self.provider.clone() };
        let (subject, mut findings, bytes) = self.read(&key, &NO_INDEX, "the index of the mirror").await?;
        let Some(document) = bytes else {
            // What is yanked as a whole needs none.
            return Ok(if self.listed.is_empty() { Vec::new() } else { findings });
        };
        let index = match MirrorIndex::parse(&key, &document.bytes) {
            Ok(index) => index.versions(),
            Err(refusal) => {
                findings.push(unfit(&subject, &document, &refusal.found));
                return Ok(findings);
            }
        };
        let missing: Vec<String> = self
            .listed
            .difference(&index)
            .filter(|version| self.is_in_scope(version))
            .map(ToString::to_string)
            .collect();
        if !missing.is_empty() {
            findings.push(
                UNLISTED.at(&subject).found(format!("no {}", missing.join(", "))).expected("all of them"),
            );
        }
        let others = index.difference(self.listed).filter(|version| self.is_in_scope(version));
        let others = stream::iter(others.map(|version| self.yanked(&subject, version)));
        let others = others.buffered(8).try_collect::<Vec<_>>();
        let own = index.intersection(self.listed).filter(|version| self.is_in_scope(version));
        let own = stream::iter(own.map(|version| self.version(version))).buffered(8).try_collect::<Vec<_>>();
        let (others, own) = futures::try_join!(others, own)?;
        findings.extend(others.into_iter().flatten());
        findings.extend(own.into_iter().flatten());
        Ok(findings)
    }

    /// A file, and what is wrong with how it is served.
    async fn read(
        &self,
        key: &Key,
        missing: &'static Rule,
        what: &str,
    ) -> Result<(String, Vec<Finding>, Option<Fetched>)> {
        let url = self.site.url(key);
        let subject = self.site.name(&url);
        let reply = self.site.document(&url, site::DOCUMENT).await?;
        Ok(match served::found(reply, &subject, [missing, &UNREADABLE], what) {
            Ok(document) => {
                let findings = served::document(&subject, &document.headers);
                (subject, findings, Some(document))
            }
            Err(finding) => (subject, vec![finding], None),
        })
    }

    /// A version that the mirror lists and the registry does not may be another tool's.
    async fn yanked(&self, subject: &str, version: &Version) -> Result<Option<Finding>> {
        let key = Key::Yanked { release: ReleaseId::new(self.provider, version) };
        let Reply::Found(record) = self.site.document(&self.site.url(&key), site::DOCUMENT).await? else {
            return Ok(None);
        };
        let record: Option<serde_json::Value> = serde_json::from_slice(&record.bytes).ok();
        let is_yanked =
            record.is_some_and(|record| record.get("yanked") == Some(&serde_json::Value::Bool(true)));
        Ok(is_yanked.then(|| YANKED.at(subject).found(version).expected("no version that is yanked")))
    }

    async fn version(&self, version: &Version) -> Result<Vec<Finding>> {
        let key =
            Key::MirrorVersion { host: self.host.clone(), release: ReleaseId::new(self.provider, version) };
        let (subject, mut findings, bytes) = self.read(&key, &NO_VERSION, "the file of the version").await?;
        let Some(document) = bytes else { return Ok(findings) };
        let file = match MirrorVersion::parse(&key, &document.bytes) {
            Ok(file) => file,
            Err(refusal) => {
                findings.push(unfit(&subject, &document, &refusal.found));
                return Ok(findings);
            }
        };
        // Documents that could not be read have findings of their own.
        let Some(offered) = self.versions.get(version) else { return Ok(findings) };
        let names = |platforms: Vec<&Platform>| {
            platforms.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        };
        let archives = file.archives();
        let lacking: Vec<_> =
            offered.keys().copied().filter(|platform| !archives.contains_key(platform)).collect();
        if !lacking.is_empty() {
            findings.push(
                LACKS_PLATFORM.at(&subject).found(format!("no {}", names(lacking))).expected("all platforms"),
            );
        }
        let more: Vec<_> = archives.keys().filter(|platform| !offered.contains_key(platform)).collect();
        if !more.is_empty() {
            findings.push(
                OTHER_PLATFORM.at(&subject).found(names(more)).expected("the platforms of the registry"),
            );
        }
        for (platform, archive) in archives {
            if let Some(offered) = offered.get(platform) {
                findings.extend(self.archive(&subject, &key, platform, archive, offered));
            }
        }
        Ok(findings)
    }

    fn archive(
        &self,
        subject: &str,
        key: &Key,
        platform: &Platform,
        archive: &Archive,
        offered: &Offered,
    ) -> Vec<Finding> {
        let mut findings = Vec::new();
        let of = |scheme: &str| {
            let hashes = archive.hashes.iter().filter(|hash| hash.starts_with(scheme));
            hashes.map(String::as_str).collect::<Vec<_>>()
        };
        let zh = offered.shasum.map(|shasum| format!("zh:{shasum}"));
        for (scheme, expected) in [("zh:", zh.as_deref()), ("h1:", offered.h1.as_deref())] {
            let found = of(scheme);
            let is_right = match expected {
                Some(expected) => found == [expected],
                // What is not known is not judged, but it must be there.
                None => found.len() == 1,
            };
            if !is_right {
                let found = if found.is_empty() { format!("no {scheme}") } else { found.join(", ") };
                let expected = expected.map_or_else(|| format!("a hash {scheme}…"), str::to_owned);
                findings.push(HASHES.at(subject).found(format!("{found} for {platform}")).expected(expected));
            }
        }
        let link = self.site.url(key).join(&archive.url).ok();
        if let Some(zip) = offered.zip.as_ref().filter(|zip| link.as_ref() != Some(zip)) {
            findings.push(LINK.at(subject).found(format!("{} for {platform}", archive.url)).expected(zip));
        }
        findings
    }
}

fn unfit(subject: &str, document: &Fetched, found: &str) -> Finding {
    let found = format!("{found} ({})", served::shape(document));
    JSON.at(subject).found(found).expected("a document of the network mirror protocol")
}
