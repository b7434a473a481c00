//! A version of a provider: its documents, and all objects to which they lead.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use futures::future::try_join_all;
use url::Url;

use crate::content::Digest;
use crate::error::{Error, Result};
use crate::openpgp::KeyId;
use crate::provider::{Platform, Provider, ReleaseId};
use crate::reader::Reply;
use crate::registry::{Key, ZipFacts, provenance};
use crate::release::manifest;
use crate::release::zips::ExpectedZip;

use super::download::{self, Download};
use super::finding::{Finding, Severity};
use super::index::{self, IndexEntry};
use super::mirror::Offered;
use super::signature::{self, EmbeddedKey};
use super::site::{self, RegistryView};
use super::sums::{self, Sums};
use super::tally::PartialResult;
use super::{Depth, Extent, Package, Scope, packages, record, served, zip};

/// The check of a version.
pub(super) struct VersionCheck<'a> {
    pub(super) site: &'a RegistryView<'a>,
    pub(super) scope: &'a Scope,
    pub(super) provider: &'a Provider,
    pub(super) entry: &'a IndexEntry,
    /// The name of the index in findings.
    pub(super) index: &'a str,
}

impl VersionCheck<'_> {
    pub(super) async fn version(&self) -> Result<PartialResult> {
        let mut part = PartialResult::default();
        part.checked.versions = 1;
        let documents = try_join_all(self.entry.platforms.iter().map(|platform| self.document(platform)));
        let (documents, yanked) = futures::try_join!(documents, self.yanked())?;
        part.findings.extend(yanked);
        let mut downloads = Vec::new();
        for (findings, download) in documents {
            part.findings.extend(findings);
            part.checked.platforms += 1;
            match download {
                Some(download) => downloads.push(download),
                None => part.unsure.push((self.provider.clone(), self.entry.version.clone())),
            }
        }
        for download in &downloads {
            for base in &download.bases {
                part.bases.add(base.clone(), 1, download.subject.clone());
            }
            part.zips.extend(download.shasum.map(|digest| (digest, download.subject.clone())));
            self.references(download, &mut part);
        }
        let sums = self.all_sums(&downloads);
        let zips = try_join_all(downloads.iter().map(|download| self.zip(download)));
        let (sums, zips) = futures::try_join!(sums, zips)?;
        part.add(sums);
        for zip in zips {
            part.add(zip);
        }
        part.findings
            .extend(packages::some(&format!("{} {}", self.provider, self.entry.version), &downloads));
        for download in &downloads {
            part.findings.extend(packages::against_zips(download, "the zip", &part.read));
            let record = "the record of the publish";
            part.findings.extend(packages::against_zips(download, record, &part.recorded));
            let zip = download
                .shasum
                .and_then(|shasum| part.read.iter().chain(&part.recorded).find(|zip| zip.shasum == shasum));
            let h1 = zip.map(|zip| zip.h1.to_string());
            part.offered.push(Offered {
                release: self.release(),
                platform: download.platform.clone(),
                zip: download.zip.clone(),
                shasum: download.shasum,
                h1,
            });
        }
        Ok(part)
    }

    fn release(&self) -> ReleaseId {
        ReleaseId::new(self.provider, &self.entry.version)
    }

    fn expected<'a>(&'a self, platform: &'a Platform) -> download::ExpectedDocument<'a> {
        download::ExpectedDocument { provider: self.provider, entry: self.entry, platform }
    }

    async fn document(&self, platform: &Platform) -> Result<(Vec<Finding>, Option<Download>)> {
        let key = Key::Download { release: self.release(), platform: platform.clone() };
        let url = self.site.url(&key);
        let reply = self.site.document(&url, site::DOCUMENT).await?;
        Ok(download::check(&self.expected(platform), &key, &self.site.name(&url), reply))
    }

    /// The record stays when a version is put back, so it is read: its existence says nothing.
    async fn yanked(&self) -> Result<Option<Finding>> {
        if self.scope.extent != Extent::Registry {
            return Ok(None);
        }
        let url = self.site.url(&Key::Yanked { release: self.release() });
        let Reply::Found(mark) = self.site.document(&url, site::DOCUMENT).await? else { return Ok(None) };
        let mark: Option<serde_json::Value> = serde_json::from_slice(&mark.bytes).ok();
        let yanked = mark.is_some_and(|mark| mark.get("yanked") == Some(&serde_json::Value::Bool(true)));
        Ok(yanked.then(|| index::yanked(self.index, &self.entry.version)))
    }

    /// The objects to which a document leads.
    fn references(&self, download: &Download, part: &mut PartialResult) {
        let expected = self.expected(&download.platform);
        let links = [
            ("download_url", &download.zip),
            ("shasums_url", &download.sums),
            ("shasums_signature_url", &download.signature),
        ];
        for (name, link) in links {
            let Some(key) = link.as_ref().and_then(|url| self.site.key(url)) else { continue };
            part.findings.extend(download::other_version(&expected, &download.subject, name, &key));
            if let (Key::Zip { digest: folder, .. }, Some(shasum)) = (&key, download.shasum)
                && *folder != shasum.short()
            {
                let found = format!("{key}, and its SHA-256 is {shasum}");
                part.findings.push(sums::FOLDER.at(&download.subject).found(found).expected(shasum.short()));
            }
            part.references.push(key);
        }
    }

    /// All SHA256SUMS to which the documents of the version lead; a good registry has one.
    async fn all_sums(&self, downloads: &[Download]) -> Result<PartialResult> {
        let mut by_sums: BTreeMap<&Url, Vec<&Download>> = BTreeMap::new();
        for download in downloads {
            if let Some(url) = &download.sums {
                by_sums.entry(url).or_default().push(download);
            }
        }
        let mut part = PartialResult::default();
        if by_sums.len() > 1 {
            let found: Vec<String> = by_sums.keys().map(|url| self.site.name(url)).collect();
            let subject = format!("{} {}", self.provider, self.entry.version);
            part.findings.push(download::SEVERAL_SUMS.at(subject).found(found.join("\n")).expected("one"));
        }
        // The file names of the listed platforms, according to the documents.
        let names: BTreeSet<String> = self
            .entry
            .platforms
            .iter()
            .map(|platform| {
                let named =
                    downloads.iter().find(|d| d.platform == *platform).and_then(|d| d.filename.clone());
                named.unwrap_or_else(|| Key::zip_file_name(self.provider, &self.entry.version, platform))
            })
            .collect();
        let names = &names;
        let all = try_join_all(by_sums.into_iter().map(|(url, on)| self.sums(url, on, names))).await?;
        for sums in all {
            part.add(sums);
        }
        Ok(part)
    }

    async fn sums(
        &self,
        url: &Url,
        downloads: Vec<&Download>,
        names: &BTreeSet<String>,
    ) -> Result<PartialResult> {
        let mut part = PartialResult::default();
        let subject = self.site.name(url);
        let mut signatures: BTreeMap<(&Url, &[EmbeddedKey]), &Download> = BTreeMap::new();
        for &download in &downloads {
            if let Some(signature) = &download.signature {
                signatures.entry((signature, &download.keys)).or_insert(download);
            }
        }
        let replies =
            try_join_all(signatures.keys().map(|(url, _)| self.site.document(url, site::SIGNATURE)));
        let (reply, replies, record) =
            futures::try_join!(self.site.document(url, site::SUMS), replies, self.record(url))?;
        let rules = [&sums::MISSING, &sums::UNREADABLE];
        let document = match served::found(reply, &subject, rules, "SHA256SUMS") {
            Ok(document) => document,
            Err(finding) => {
                part.findings.push(finding);
                return Ok(part);
            }
        };
        part.findings.extend(served::stored(&subject, &document.headers));
        let (findings, sums) = sums::check(&subject, &document);
        part.findings.extend(findings);
        let manifest = manifest::release_name(&self.provider.provider_type, &self.entry.version);
        part.findings.extend(sums::platforms(&subject, &sums, &downloads, names, &manifest));
        for &download in &downloads {
            let version = &self.entry.version;
            part.findings.extend(packages::against_sums(self.provider, version, download, &sums));
        }
        let digest = Digest::of(&document.bytes);
        if let Some(Key::Sums { digest: folder, .. }) = self.site.key(url)
            && folder != digest.short()
        {
            let found = format!("its SHA-256 is {digest}");
            part.findings.push(sums::FOLDER.at(&subject).found(found).expected(folder));
        }
        for (((signature, keys), download), reply) in signatures.into_iter().zip(replies) {
            let name = self.site.name(signature);
            let rules = [&signature::MISSING, &signature::UNREADABLE];
            let bytes = match served::found(reply, &name, rules, "a signature") {
                Ok(found) => {
                    part.findings.extend(served::stored(&name, &found.headers));
                    found.bytes
                }
                Err(finding) => {
                    part.findings.push(finding);
                    continue;
                }
            };
            let (keys, holder, text) = (keys.to_vec(), download.subject.clone(), document.bytes.clone());
            let judged =
                blocking(move || signature::check(&name, &holder, &keys, &bytes, &text, SystemTime::now()));
            let (findings, signer) = judged.await?;
            part.findings.extend(findings);
            part.signers.extend(signer);
        }
        // A release that was published with its own signature, without a secret key, has no record.
        let may_lack = !sums::is_made_here(&document, &sums, &manifest);
        if let Some((key, bytes)) = record.filter(|(_, bytes)| bytes.is_some() || !may_lack) {
            let keys = downloads.first().map_or_else(Vec::new, |download| download.keys.clone());
            let signers: Vec<KeyId> = part.signers.iter().map(|signer| signer.key_id.clone()).collect();
            self.check_record(url, key, bytes, &sums, keys, &signers, &mut part).await?;
        }
        Ok(part)
    }

    /// The record beside SHA256SUMS, if one is expected: only beside a SHA256SUMS that tfreg wrote.
    async fn record(&self, sums: &Url) -> Result<Option<(Key, Option<bytes::Bytes>)>> {
        let Some(Key::Sums { release, digest }) = self.site.key(sums) else { return Ok(None) };
        let key = Key::Provenance { release, digest };
        let Some(url) = beside(sums, &key) else { return Ok(None) };
        Ok(Some(match self.site.document(&url, site::DOCUMENT).await? {
            Reply::Found(document) => (key, Some(document.bytes)),
            _ => (key, None),
        }))
    }

    #[expect(clippy::too_many_arguments, reason = "what is known of one SHA256SUMS")]
    async fn check_record(
        &self,
        sums_url: &Url,
        key: Key,
        bytes: Option<bytes::Bytes>,
        sums: &Sums,
        keys: Vec<EmbeddedKey>,
        signers: &[KeyId],
        part: &mut PartialResult,
    ) -> Result<()> {
        let name =
            |key: &Key| beside(sums_url, key).map_or_else(|| key.to_string(), |url| self.site.name(&url));
        let Some(bytes) = bytes else {
            part.findings.push(record::MISSING.at(name(&key)).found("nothing").expected("a record"));
            return Ok(());
        };
        part.findings.extend(record::check(&name(&key), &bytes, sums));
        part.references.push(key.clone());
        let Key::Provenance { release, digest } = &key else { return Ok(()) };
        for signer in signers {
            let signature = Key::ProvenanceSignature {
                release: release.clone(),
                digest: *digest,
                key_id: signer.clone(),
            };
            let Some(url) = beside(sums_url, &signature) else { continue };
            let subject = self.site.name(&url);
            match self.site.document(&url, site::SIGNATURE).await? {
                Reply::Found(found) => {
                    let (keys, signed) = (keys.clone(), bytes.clone());
                    if blocking(move || signature::is_by(&keys, &found.bytes, &signed)).await? {
                        let recorded = provenance::recorded_zips(&bytes);
                        part.recorded.extend(recorded.into_iter().map(|recorded| recorded.zip));
                    } else {
                        let found = "a signature of something else, or none";
                        part.findings.push(
                            record::SIGNATURE.at(subject).found(found).expected("one by the version's key"),
                        );
                    }
                }
                _ => {
                    part.findings.push(record::UNSIGNED.at(subject).found("nothing").expected("a signature"));
                }
            }
            part.references.push(signature);
        }
        Ok(())
    }

    async fn zip(&self, download: &Download) -> Result<PartialResult> {
        let mut part = PartialResult::default();
        let Some(url) = &download.zip else { return Ok(part) };
        let subject = self.site.name(url);
        let reply = match self.scope.depth {
            Depth::Quick => self.site.head(url).await?.map(|headers| {
                let findings =
                    zip::unopened(&subject, &headers, headers.len, headers.digest, download.shasum);
                (findings, None, None)
            }),
            Depth::Full => {
                let (subject, shasum) = (subject.clone(), download.shasum);
                let expected = ExpectedZip {
                    provider_type: self.provider.provider_type.clone(),
                    version: self.entry.version.clone(),
                    platform: download.platform.clone(),
                };
                let look = move |zip: site::SpooledZip| {
                    let (len, digest) = (zip.spooled.len, zip.spooled.digest);
                    let mut findings = zip::unopened(&subject, &zip.headers, Some(len), Some(digest), shasum);
                    // Clients do not open a zip other than the promised one.
                    if findings.iter().any(|finding| finding.rule.severity == Severity::Error) {
                        return (findings, None, Some((len, digest)));
                    }
                    let (more, h1) = zip::check(&subject, &expected, &zip.spooled.file);
                    findings.extend(more);
                    (findings, h1, Some((len, digest)))
                };
                self.site.zip(url, self.scope.max_zip, look).await?
            }
        };
        if let Reply::TooLarge(limit) = reply {
            let found = format!("more than {limit} bytes");
            let expected = format!("at most {limit} bytes");
            part.findings.push(zip::TOO_LARGE.at(subject).found(found).expected(expected));
            return Ok(part);
        }
        let there = format!("the zip of {}", download.subject);
        match served::found(reply, &subject, [&zip::MISSING, &zip::UNREADABLE], there) {
            Ok((findings, h1, read)) => {
                part.findings.extend(findings);
                if let Some((len, digest)) = read {
                    part.checked.zips = 1;
                    part.checked.zip_bytes = len;
                    part.read.extend(h1.map(|h1| ZipFacts { shasum: digest, h1, size: len }));
                    part.packages.extend(h1.map(|h1| Package {
                        provider: self.provider.to_string(),
                        version: self.entry.version.to_string(),
                        platform: download.platform.to_string(),
                        zip: subject,
                        sha256: digest.to_string(),
                        h1: h1.to_string(),
                    }));
                }
            }
            Err(finding) => part.findings.push(finding),
        }
        Ok(part)
    }
}

/// An object of the same folder.
fn beside(url: &Url, key: &Key) -> Option<Url> {
    let key = key.to_string();
    url.join(key.rsplit('/').next()?).ok()
}

/// Runs CPU-bound work off the async threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Error::Io {
        context: "cannot verify".to_owned(),
        source: std::io::Error::other(error),
    })
}
