//! What the network mirror has of other registries: each version's file offers zips that a signed SHA256SUMS lists, and a
//! recorded key has signed it. A host cannot be listed, so this is checked in a directory or a bucket.
//!
//! What other tools have put into the mirror has no links to a SHA256SUMS, and is passed over.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use url::Url;

use crate::content::Digest;
use crate::error::Result;
use crate::package::zip_hash;
use crate::provider::{Platform, Provider, ReleaseId, Version};
use crate::reader::Reply;
use crate::registry::mirror::trusted::TrustedKeys;
use crate::registry::mirror::{Archive, SignedLinks};
use crate::registry::{Area, Checksums, Key, MirrorHost, MirrorIndex, MirrorVersion, Settings};

use super::finding::{Finding, Group, Rule, Severity, rules};
use super::mirror::{HASHES, JSON, NO_INDEX, NO_VERSION};
use super::site::{self, RegistryView};
use super::{Depth, Scope};

rules! { Mirror:
    KEYS = "mirror-keys", Error,
        "the record of a mirrored provider's keys is missing, or cannot be understood",
        "nothing tells any more whose releases these are, and the next tfreg mirror takes the key that is there then",
        "put the object back as it was; else remove it, and mirror the provider again with --public-key";
    SIGNATURE = "mirror-signature", Error,
        "no recorded key has signed what is kept of another registry",
        "users of the mirror install what its makers may not have made",
        "find out who has changed it; remove it and the version's file in mirror/ by hand, and mirror the version again";
    SHASUM = "mirror-shasum", Error,
        "the signed SHA256SUMS does not list a zip that the mirror offers",
        "users of the mirror install what its makers did not release",
        "remove the version's file in mirror/ by hand, and mirror the version again";
    ZIP = "mirror-zip", Error,
        "a zip of another registry is missing, or not the one that the mirror promises",
        "terraform init of users of the mirror fails on that platform",
        "if it is there, remove it by hand; then mirror the version again";
}

/// The remedy for files that are made of what another registry has.
const AGAIN: &str = "remove it by hand if it is there, and mirror the version again by `tfreg mirror`";

/// What a mirror has of other registries' providers.
#[derive(Debug, Default)]
pub(super) struct Mirrored(BTreeMap<(MirrorHost, Provider), BTreeSet<Version>>);

impl Mirrored {
    /// Finds them by listing, if all of the registry is verified and it can be listed.
    pub(super) async fn find(
        site: &RegistryView<'_>,
        scope: &Scope,
        settings: Option<&Settings>,
    ) -> Result<Self> {
        let mut found = Self::default();
        let Some(store) = site.store().filter(|_| scope.is_whole()) else { return Ok(found) };
        let own = settings.and_then(Settings::mirror_host);
        let mut listing = store.list(Area::Mirror.folder().unwrap_or_default());
        while let Some(listed) = listing.try_next().await? {
            let (host, provider, version) = match listed.key.parse() {
                Ok(Key::MirrorVersion { host, release }) => (host, release.provider, Some(release.version)),
                Ok(Key::MirrorIndex { host, provider } | Key::MirrorKeys { host, provider }) => {
                    (host, provider, None)
                }
                _ => continue,
            };
            if own.as_ref() != Some(&host) {
                found.0.entry((host, provider)).or_default().extend(version);
            }
        }
        Ok(found)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Checks them; also returns how many versions are kept of other registries.
    pub(super) async fn check(&self, site: &RegistryView<'_>, scope: &Scope) -> Result<(u64, Vec<Finding>)> {
        let checks = self.0.iter().map(|((host, provider), files)| async move {
            Check { site, scope, host, provider }.provider(files).await
        });
        let found: Vec<(u64, Vec<Finding>)> = stream::iter(checks).buffer_unordered(8).try_collect().await?;
        let (counts, findings): (Vec<u64>, Vec<Vec<Finding>>) = found.into_iter().unzip();
        Ok((counts.into_iter().sum(), findings.concat()))
    }
}

/// The check of a provider.
struct Check<'a> {
    site: &'a RegistryView<'a>,
    scope: &'a Scope,
    host: &'a MirrorHost,
    provider: &'a Provider,
}

/// A document of the mirror: nothing if it is not there, or what is wrong with it.
type Document<T> = std::result::Result<Option<T>, Finding>;

impl Check<'_> {
    async fn provider(&self, files: &BTreeSet<Version>) -> Result<(u64, Vec<Finding>)> {
        let (host, provider) = (self.host.clone(), self.provider.clone());
        let keys_key = Key::MirrorKeys { host: host.clone(), provider: provider.clone() };
        let index_key = Key::MirrorIndex { host, provider };
        let keys = self.document(&keys_key, &KEYS, TrustedKeys::parse).await?;
        let index = self.document(&index_key, &JSON, MirrorIndex::parse).await?;
        let mut findings = Vec::new();
        let listed = match index {
            Ok(Some(index)) => index.versions(),
            Ok(None) => BTreeSet::new(),
            Err(finding) => {
                findings.push(finding);
                BTreeSet::new()
            }
        };
        let keys = keys.map_err(|finding| findings.push(finding)).ok().flatten();
        let versions = files.union(&listed);
        let checks = versions.map(|version| self.version(version, keys.as_ref(), listed.contains(version)));
        let checked = stream::iter(checks).buffered(4).try_collect::<Vec<_>>().await?;
        let mut kept = 0;
        for (is_kept, more) in checked {
            kept += u64::from(is_kept);
            findings.extend(more);
        }
        if kept > 0 && keys.is_none() && !findings.iter().any(|finding| *finding.rule == KEYS) {
            findings
                .push(KEYS.at(&keys_key).found("nothing").expected("the keys that have signed the releases"));
        }
        if kept > 0 && listed.is_empty() && !findings.iter().any(|finding| *finding.rule == JSON) {
            findings.push(
                NO_INDEX.at(&index_key).found("nothing").expected("the index of the mirror").remedied(AGAIN),
            );
        }
        Ok((kept, findings))
    }

    /// Reads a document; what `broken` is the rule for, if it cannot be understood.
    async fn document<T>(
        &self,
        key: &Key,
        broken: &'static Rule,
        parse: impl Fn(&Key, &[u8]) -> std::result::Result<T, crate::error::Refusal>,
    ) -> Result<Document<T>> {
        let Reply::Found(read) = self.site.document(&self.site.url(key), site::DOCUMENT).await? else {
            return Ok(Ok(None));
        };
        let broken = |refusal: crate::error::Refusal| {
            broken
                .at(key)
                .found(refusal.found)
                .expected("a document that tfreg mirror has written")
                .remedied(AGAIN)
        };
        Ok(parse(key, &read.bytes).map(Some).map_err(broken))
    }

    /// Whether a version is kept of another registry, and what is wrong with it.
    async fn version(
        &self,
        version: &Version,
        keys: Option<&TrustedKeys>,
        is_listed: bool,
    ) -> Result<(bool, Vec<Finding>)> {
        let release = ReleaseId::new(self.provider, version);
        let key = Key::MirrorVersion { host: self.host.clone(), release: release.clone() };
        let file = match self.document(&key, &JSON, MirrorVersion::parse).await? {
            Ok(Some(file)) => file,
            Ok(None) if is_listed => {
                let finding = NO_VERSION.at(&key).found("nothing").expected("the file of the version");
                return Ok((false, vec![finding.remedied(AGAIN)]));
            }
            Ok(None) => return Ok((false, Vec::new())),
            Err(finding) => return Ok((false, vec![finding])),
        };
        let mut findings = Vec::new();
        // Nearly always one, of all platforms.
        let mut sums: BTreeMap<&str, Option<Checksums>> = BTreeMap::new();
        let mut is_kept = false;
        for (platform, archive) in file.archives() {
            let Some(signed) = &archive.signed else { continue };
            is_kept = true;
            if !sums.contains_key(signed.sums.as_str()) {
                let read = self.signed(&key, signed, keys).await?;
                let read = read.map_err(|finding| findings.push(finding)).ok();
                sums.insert(&signed.sums, read);
            }
            let lines = sums.get(signed.sums.as_str()).and_then(Option::as_ref);
            findings.extend(self.archive(&key, &release, platform, archive, lines).await?);
        }
        Ok((is_kept, findings))
    }

    /// The lines of a SHA256SUMS, which a recorded key must have signed.
    async fn signed(
        &self,
        file: &Key,
        at: &SignedLinks,
        keys: Option<&TrustedKeys>,
    ) -> Result<std::result::Result<Checksums, Finding>> {
        let (sums, signature) = futures::try_join!(
            self.linked(&at.sums, site::SUMS),
            self.linked(&at.signature, site::SIGNATURE)
        )?;
        let (Some(sums), Some(signature)) = (sums, signature) else {
            let finding = SIGNATURE.at(file).found(format!("nothing at {} or {}", at.sums, at.signature));
            return Ok(Err(finding.expected("SHA256SUMS and its signature")));
        };
        let lines = match Checksums::parse(&sums) {
            Ok(lines) => lines,
            Err(found) => return Ok(Err(SIGNATURE.at(&at.sums).found(found).expected("a SHA256SUMS"))),
        };
        // Without a record nothing can be said; that is a finding of its own.
        let Some(keys) = keys else { return Ok(Ok(lines)) };
        let verified = keys.certificates().iter().map(|key| key.verify_as_of_then(&sums, &signature));
        let mut why = vec!["no key is recorded".to_owned()];
        for result in verified {
            match result {
                Ok(()) => return Ok(Ok(lines)),
                Err(error) => why.push(error),
            }
        }
        let found = why.split_off(usize::from(why.len() > 1)).join("; ");
        Ok(Err(SIGNATURE.at(&at.signature).found(found).expected(format!("a signature of {}", at.sums))))
    }

    async fn linked(&self, link: &str, limit: u64) -> Result<Option<Bytes>> {
        let Some(url) = self.resolved(link) else { return Ok(None) };
        Ok(match self.site.document(&url, limit).await? {
            Reply::Found(read) => Some(read.bytes),
            _ => None,
        })
    }

    fn resolved(&self, link: &str) -> Option<Url> {
        self.site.host().join(link).ok()
    }

    /// Compares a zip with what the mirror says of it.
    async fn archive(
        &self,
        file: &Key,
        release: &ReleaseId,
        platform: &Platform,
        archive: &Archive,
        lines: Option<&Checksums>,
    ) -> Result<Vec<Finding>> {
        let zh = archive.zh().unwrap_or("no zh:");
        if let Some(lines) = lines {
            let name = Key::zip_file_name(&release.provider, &release.version, platform);
            let listed = lines.get(&name).map(|digest| format!("zh:{digest}"));
            if listed.as_deref() != Some(zh) {
                let expected = listed.unwrap_or_else(|| format!("a line {name}"));
                return Ok(vec![SHASUM.at(file).found(format!("{zh} for {platform}")).expected(expected)]);
            }
        }
        let Some(url) = self.resolved(&archive.url) else { return Ok(Vec::new()) };
        let subject = self.site.name(&url);
        let missing = |found: String| vec![ZIP.at(&subject).found(found).expected(zh)];
        if self.scope.depth == Depth::Quick {
            return Ok(match self.site.head(&url).await? {
                Reply::Found(headers) => {
                    let other =
                        headers.digest.map(|digest| format!("zh:{digest}")).filter(|found| found != zh);
                    other.map(missing).unwrap_or_default()
                }
                _ => missing("nothing".to_owned()),
            });
        }
        let look = |zip: site::SpooledZip| {
            let sealed = zip.spooled.seal(None);
            let h1 = zip_hash(sealed.reader());
            (sealed.digest(), h1)
        };
        let (digest, h1): (Digest, _) = match self.site.zip(&url, self.scope.max_zip, look).await? {
            Reply::Found(read) => read,
            Reply::TooLarge(limit) => return Ok(missing(format!("more than {limit} bytes"))),
            _ => return Ok(missing("nothing".to_owned())),
        };
        if format!("zh:{digest}") != zh {
            return Ok(missing(format!("zh:{digest}")));
        }
        let found = archive.h1().unwrap_or("no h1:");
        let expected = h1.map_or_else(|error| error, |h1| h1.to_string());
        if found == expected {
            return Ok(Vec::new());
        }
        let finding = HASHES.at(file).found(format!("{found} for {platform}")).expected(expected);
        Ok(vec![finding.remedied(AGAIN)])
    }
}
