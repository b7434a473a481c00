//! Verifying: reads a registry back as clients do, and checks every claim that they rely on.
//!
//! It shares no code with the writing side but the wire types: keys, strict JSON, names. Wherever the registry is read, a
//! directory, a bucket or its public address, the same rules are asked about the same URLs, so the verdict is the same. A
//! directory has no headers, and a host cannot be listed; what depends on these is left out there.
//!
//! ```text
//! discovery ─► index ─► download documents ─► SHA256SUMS ─► signature and key
//!     │          │               │                 └──────► record of the publish
//!     │          │               └──► zips
//!     └──────────┴──► objects: what nothing refers to, what is missing
//! ```
//!
//! One file a group of rules; each rule is a small function that gives a [`Finding`]. What cannot be read, because the
//! network or the disk fails, is no finding but an error.

mod discovery;
mod download;
mod finding;
mod index;
mod objects;
mod record;
mod served;
mod signature;
mod site;
mod sums;
mod zip;

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use futures::future::try_join_all;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use serde::Serialize;
use url::Url;

pub use finding::{Finding, Group, Rule, Severity};

use crate::digest::Digest;
use crate::error::{Error, Refusal, Result};
use crate::package::acceptance::Judgement;
use crate::provider::{Namespace, Platform, Provider, ProviderType, Version};
use crate::reader::{Reader, Reply};
use crate::registry::Key;
use download::Download;
use index::Entry;
use objects::{Folder, Inventory, References};
use signature::{EmbeddedKey, Signer};
use site::Site;
use sums::Sums;

/// What is verified.
#[derive(Debug, Clone)]
pub struct Scope {
    /// Only this namespace.
    pub namespace: Option<Namespace>,
    /// Only this type.
    pub provider_type: Option<ProviderType>,
    /// Only this version.
    pub version: Option<Version>,
    /// What is done about zips.
    pub depth: Depth,
    /// What is done about everything else that is there.
    pub extent: Extent,
}

impl Scope {
    /// The version that a publish has just written, read back with as few requests as possible: its zips were sent with
    /// their SHA-256, and are not downloaded.
    #[must_use]
    pub fn published(provider: &Provider, version: &Version) -> Self {
        Self {
            namespace: Some(provider.namespace.clone()),
            provider_type: Some(provider.provider_type.clone()),
            version: Some(version.clone()),
            depth: Depth::Quick,
            extent: Extent::Versions,
        }
    }
}

/// Hears nothing.
pub struct Unwatched;

impl Watch for Unwatched {
    fn versions(&self, _: usize) {}
    fn version_done(&self) {}
    fn read(&self, _: u64) {}
}

/// What is done about zips.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Each is downloaded, and looked into.
    Full,
    /// Each must be there, with the right checksum where one is kept beside it.
    Quick,
}

/// How much is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// What there is, found by listing where that is possible.
    Registry,
    /// What the listed versions of the scope lead to.
    Versions,
}

/// Is told of what is done.
pub trait Watch: Send + Sync {
    /// So many versions more will be looked at.
    fn versions(&self, count: usize);
    /// A version was looked at.
    fn version_done(&self);
    /// So many bytes were read.
    fn read(&self, bytes: u64);
}

/// What was looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Providers.
    pub providers: u64,
    /// Versions.
    pub versions: u64,
    /// Download documents.
    pub platforms: u64,
    /// Zips that were downloaded.
    pub zips: u64,
    /// The bytes of these.
    pub zip_bytes: u64,
}

/// Objects to which no listed version leads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Unreferenced {
    /// How many, and how much.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Earlier SHA256SUMS of listed versions, with signatures and records.
    pub earlier_objects: u64,
    /// Their bytes.
    pub earlier_bytes: u64,
}

/// A zip that was looked into, with the hashes that lock files hold.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Package {
    /// `NAMESPACE/TYPE`.
    pub provider: String,
    /// The version.
    pub version: String,
    /// `OS_ARCH`.
    pub platform: String,
    /// The zip's key or URL.
    pub zip: String,
    /// Its SHA-256, `zh:` in lock files.
    pub sha256: String,
    /// Its `h1:` hash.
    pub h1: String,
}

/// A key that has signed versions, and what clients make of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningKeyUse {
    /// As clients name it.
    pub key_id: String,
    /// The primary key's.
    pub fingerprint: String,
    /// How many versions it has signed.
    pub versions: u64,
    /// What each family of clients does.
    pub clients: Vec<Judgement>,
}

/// What verifying has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    /// The registry in the user's words.
    pub place: String,
    /// What was done about zips.
    pub depth: Depth,
    /// The broken rules, the worst first.
    pub findings: Vec<Finding>,
    /// What was looked at.
    pub checked: Checked,
    /// What nothing refers to; `None` where nothing can be listed, or was.
    pub unreferenced: Option<Unreferenced>,
    /// Who has signed.
    pub signers: Vec<SigningKeyUse>,
    /// The zips that were looked into.
    pub packages: Vec<Package>,
}

impl Verification {
    /// How many findings of a severity there are.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.rule.severity == severity).count()
    }

    /// What to say of a registry that clients would trip over; `None` of a good one.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        let first = self.findings.first().filter(|finding| finding.rule.severity == Severity::Error)?;
        let found = format!(
            "{} errors and {} warnings; first {}: {} ({})",
            self.count(Severity::Error),
            self.count(Severity::Warning),
            first.subject,
            first.rule.what,
            first.found
        );
        let refusal = Refusal::new(&self.place, "clients would trip over this registry").found(found);
        Some(refusal.expected("no error").remedy(first.rule.remedy))
    }

    /// The verdict in a word: `good`, `warnings` or `errors`.
    #[must_use]
    pub fn outcome(&self) -> &'static str {
        match self.findings.first().map(|worst| worst.rule.severity) {
            None => "good",
            Some(Severity::Warning) => "warnings",
            Some(Severity::Error) => "errors",
        }
    }

    /// Whether clients get along with the registry.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.count(Severity::Error) == 0
    }
}

/// Every rule, in the order in which clients meet what they are about.
pub fn rules() -> impl Iterator<Item = &'static Rule> {
    let modules = [
        discovery::RULES,
        index::RULES,
        download::RULES,
        sums::RULES,
        signature::RULES,
        zip::RULES,
        served::RULES,
        objects::RULES,
        record::RULES,
    ];
    modules.into_iter().flatten().copied()
}

/// Verifies the registry at `reader`, with `reads` requests under way at once.
///
/// # Errors
/// It cannot be read, or the scope leaves open what to read.
pub async fn verify(reader: &Reader, scope: &Scope, reads: usize, watch: &dyn Watch) -> Result<Verification> {
    let mut site = Site::new(reader, reads, watch)?;
    let mut sum = Sum::default();
    let url =
        site.host().join(&Key::Discovery.to_string()).map_err(|error| Error::Usage(error.to_string()))?;
    let reply = site.document(&url).await?;
    let (findings, service) = discovery::check(&site.name(&url), reply, site.store().is_some());
    sum.findings.extend(findings);
    let reachable = service.is_some();
    if let Some(service) = service {
        site.found_at(service);
    }
    let mut unreferenced = None;
    // Without its address nothing of a host can be read; in a store it is known where things are.
    if reachable || site.store().is_some() {
        let inventory = match (site.store(), scope.extent) {
            (Some(store), Extent::Registry) => Some(Inventory::take(store, scope).await?),
            _ => None,
        };
        let providers = providers(scope, inventory.as_ref(), reader)?;
        if providers.is_empty() {
            sum.findings
                .push(index::NOTHING.at(reader.describe()).found("no provider").expected("a registry"));
        }
        let (site, folders) = (&site, inventory.as_ref().map(|inventory| &inventory.providers));
        // A publish would not have come this far.
        let probed = providers.first().filter(|_| scope.extent == Extent::Registry).cloned();
        let parts = check_providers(site, scope, reads, providers, folders, &mut sum);
        let (missing, ()) = futures::try_join!(missing(site, probed.as_ref()), parts)?;
        sum.findings.extend(missing);
        if let (Some(store), Some(inventory)) = (site.store(), inventory) {
            let known =
                objects::Known { listed: &sum.listed, unsure: &sum.unsure, references: &sum.references };
            let (findings, counted) = objects::check(store, scope, inventory, &known).await?;
            sum.findings.extend(findings);
            unreferenced = Some(counted);
        }
    }
    sum.findings.sort_by(|a, b| a.order().cmp(&b.order()));
    sum.findings.dedup();
    sum.packages.sort();
    Ok(Verification {
        place: reader.describe(),
        depth: scope.depth,
        findings: sum.findings,
        checked: sum.checked,
        unreferenced,
        signers: sum.signers.into_values().collect(),
        packages: sum.packages,
    })
}

/// What the parts have come to together.
#[derive(Default)]
struct Sum {
    findings: Vec<Finding>,
    checked: Checked,
    signers: BTreeMap<String, SigningKeyUse>,
    packages: Vec<Package>,
    references: References,
    listed: BTreeMap<Provider, BTreeSet<Version>>,
    /// Versions of which not all documents could be read, so that their objects may be referred to.
    unsure: BTreeSet<(Provider, Version)>,
}

/// What a version, or a provider, has come to.
#[derive(Default)]
struct Part {
    findings: Vec<Finding>,
    checked: Checked,
    signers: Vec<Signer>,
    packages: Vec<Package>,
    references: Vec<Key>,
    listed: Option<(Provider, BTreeSet<Version>)>,
    unsure: Vec<(Provider, Version)>,
    /// The checksum that each document names.
    zips: Vec<(Digest, String)>,
}

impl Part {
    fn add(&mut self, other: Self) {
        self.findings.extend(other.findings);
        self.checked.add(&other.checked);
        self.signers.extend(other.signers);
        self.packages.extend(other.packages);
        self.references.extend(other.references);
        self.unsure.extend(other.unsure);
        self.zips.extend(other.zips);
    }
}

impl Checked {
    fn add(&mut self, other: &Self) {
        self.providers += other.providers;
        self.versions += other.versions;
        self.platforms += other.platforms;
        self.zips += other.zips;
        self.zip_bytes += other.zip_bytes;
    }
}

impl Sum {
    fn add(&mut self, part: Part) {
        self.findings.extend(part.findings);
        self.checked.add(&part.checked);
        self.packages.extend(part.packages);
        part.references.iter().for_each(|key| self.references.add(key));
        self.listed.extend(part.listed);
        self.unsure.extend(part.unsure);
        for Signer { key_id, fingerprint, clients } in part.signers {
            let used = self.signers.entry(fingerprint.clone()).or_insert(SigningKeyUse {
                key_id,
                fingerprint,
                versions: 0,
                clients,
            });
            used.versions += 1;
        }
    }
}

/// The providers of the scope.
fn providers(scope: &Scope, inventory: Option<&Inventory>, reader: &Reader) -> Result<Vec<Provider>> {
    match (&scope.namespace, &scope.provider_type, inventory) {
        (Some(namespace), Some(provider_type), _) => {
            Ok(vec![Provider { namespace: namespace.clone(), provider_type: provider_type.clone() }])
        }
        (_, _, Some(inventory)) => Ok(inventory.providers.keys().cloned().collect()),
        _ => Err(Error::Usage(format!(
            "{} cannot be listed: give --namespace and --type, the parts of the provider's address HOST/NAMESPACE/TYPE",
            reader.describe()
        ))),
    }
}

/// Whether what is not there is answered 404: a platform of a version that nobody publishes.
async fn missing(site: &Site<'_>, provider: Option<&Provider>) -> Result<Option<Finding>> {
    let Some(provider) = provider else { return Ok(None) };
    let (Ok(version), Ok(platform)) = ("0.0.0-tfreg-verify".parse(), "linux_amd64".parse()) else {
        return Ok(None);
    };
    let url = site.url(&Key::Download(provider.clone(), version, platform));
    let name = site.name(&url);
    Ok(match site.head(&url).await {
        Ok(reply) => served::missing(&name, &reply),
        // A bucket answers so to who may not list it, and what is asked for is known not to be there.
        Err(Error::Store(error)) if matches!(error.status, Some(401 | 403)) => {
            served::missing(&name, &Reply::<()>::Status(403, error.answer))
        }
        Err(error) => return Err(error),
    })
}

/// Looks at all providers, a few at a time.
async fn check_providers(
    site: &Site<'_>,
    scope: &Scope,
    reads: usize,
    providers: Vec<Provider>,
    folders: Option<&BTreeMap<Provider, Folder>>,
    sum: &mut Sum,
) -> Result<()> {
    let parts = stream::iter(providers.into_iter().map(|provider| async move {
        let folder = folders.and_then(|folders| folders.get(&provider));
        check_provider(site, scope, reads, provider, folder).await
    }));
    let mut parts = parts.buffer_unordered(8);
    while let Some(part) = parts.try_next().await? {
        sum.add(part);
    }
    Ok(())
}

async fn check_provider(
    site: &Site<'_>,
    scope: &Scope,
    reads: usize,
    provider: Provider,
    folder: Option<&Folder>,
) -> Result<Part> {
    let key = Key::Versions(provider.clone());
    let url = site.url(&key);
    let subject = site.name(&url);
    let (findings, entries) = index::check(&key, &subject, site.document(&url).await?);
    let mut part = Part { findings, ..Part::default() };
    part.checked.providers = 1;
    let Some(mut entries) = entries else { return Ok(part) };
    if let Some(folder) = folder {
        part.findings.extend(index::both_ways(&subject, &entries, folder, scope.version.as_ref()));
    }
    part.listed = Some((provider.clone(), entries.iter().map(|entry| entry.version.clone()).collect()));
    if let Some(wanted) = &scope.version {
        entries.retain(|entry| entry.version == *wanted);
        if entries.is_empty() {
            part.findings.push(index::NOT_LISTED.at(&subject).found(format!("no {wanted}")).expected(wanted));
        }
    }
    site.watch.versions(entries.len());
    let (provider, subject) = (&provider, &subject);
    let versions = stream::iter(entries.into_iter().map(|entry| async move {
        let looking = Looking { site, scope, provider, entry: &entry, index: subject };
        let part = looking.version().await;
        site.watch.version_done();
        part
    }));
    let mut versions = versions.buffer_unordered(reads);
    while let Some(version) = versions.try_next().await? {
        part.add(version);
    }
    part.findings.extend(same_zips(&part.zips));
    part.zips.clear();
    Ok(part)
}

/// Documents that name the same checksum.
fn same_zips(zips: &[(Digest, String)]) -> Vec<Finding> {
    let mut by_digest: BTreeMap<Digest, Vec<&str>> = BTreeMap::new();
    for (digest, subject) in zips {
        by_digest.entry(*digest).or_default().push(subject);
    }
    let shared = by_digest.into_iter().filter(|(_, subjects)| subjects.len() > 1);
    let finding = |(digest, mut subjects): (Digest, Vec<&str>)| {
        subjects.sort_unstable();
        // A build that always packs the same may have filled thousands of versions.
        let others = subjects.get(1..).unwrap_or_default();
        let named: Vec<&str> = others.iter().copied().take(5).collect();
        let more = others.len() - named.len();
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        let found = format!("{digest}, as {}{more}", named.join(", "));
        download::SAME_ZIP
            .at(subjects.first().copied().unwrap_or_default())
            .found(found)
            .expected("a zip of its own")
    };
    shared.map(finding).collect()
}

/// A version that is being looked at.
struct Looking<'a> {
    site: &'a Site<'a>,
    scope: &'a Scope,
    provider: &'a Provider,
    entry: &'a Entry,
    /// The index, in findings.
    index: &'a str,
}

impl Looking<'_> {
    async fn version(&self) -> Result<Part> {
        let mut part = Part::default();
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
        Ok(part)
    }

    fn expected<'a>(&'a self, platform: &'a Platform) -> download::Expected<'a> {
        download::Expected { provider: self.provider, entry: self.entry, platform }
    }

    async fn document(&self, platform: &Platform) -> Result<(Vec<Finding>, Option<Download>)> {
        let key = Key::Download(self.provider.clone(), self.entry.version.clone(), platform.clone());
        let url = self.site.url(&key);
        let reply = self.site.document(&url).await?;
        Ok(download::check(&self.expected(platform), &key, &self.site.name(&url), reply))
    }

    /// The record stays when a version is put back, so it is read: that it is there says nothing.
    async fn yanked(&self) -> Result<Option<Finding>> {
        if self.scope.extent == Extent::Versions {
            return Ok(None);
        }
        let url = self.site.url(&Key::Yanked(self.provider.clone(), self.entry.version.clone()));
        let Reply::Found(mark) = self.site.document(&url).await? else { return Ok(None) };
        let mark: Option<serde_json::Value> = serde_json::from_slice(&mark.bytes).ok();
        let yanked = mark.is_some_and(|mark| mark.get("yanked") == Some(&serde_json::Value::Bool(true)));
        Ok(yanked.then(|| index::yanked(self.index, &self.entry.version)))
    }

    /// Where a document leads.
    fn references(&self, download: &Download, part: &mut Part) {
        let expected = self.expected(&download.platform);
        let links = [
            ("download_url", &download.zip),
            ("shasums_url", &download.sums),
            ("shasums_signature_url", &download.signature),
        ];
        for (name, link) in links {
            let Some(key) = link.as_ref().and_then(|url| self.site.key(url)) else { continue };
            part.findings.extend(download::other_version(&expected, &download.subject, name, &key));
            if let (Key::Zip(_, _, _, folder), Some(shasum)) = (&key, download.shasum)
                && *folder != shasum.short()
            {
                let found = format!("{key}, and its SHA-256 is {shasum}");
                part.findings.push(sums::FOLDER.at(&download.subject).found(found).expected(shasum.short()));
            }
            part.references.push(key);
        }
    }

    /// All SHA256SUMS that the documents of the version lead to: one, in a good registry.
    async fn all_sums(&self, downloads: &[Download]) -> Result<Part> {
        let mut by_sums: BTreeMap<&Url, Vec<&Download>> = BTreeMap::new();
        for download in downloads {
            if let Some(url) = &download.sums {
                by_sums.entry(url).or_default().push(download);
            }
        }
        let mut part = Part::default();
        if by_sums.len() > 1 {
            let found: Vec<String> = by_sums.keys().map(|url| self.site.name(url)).collect();
            let subject = format!("{} {}", self.provider, self.entry.version);
            part.findings.push(download::SEVERAL_SUMS.at(subject).found(found.join("\n")).expected("one"));
        }
        // What is listed, by the names that the documents give.
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

    async fn sums(&self, url: &Url, downloads: Vec<&Download>, names: &BTreeSet<String>) -> Result<Part> {
        let mut part = Part::default();
        let subject = self.site.name(url);
        let mut signatures: BTreeMap<(&Url, &[EmbeddedKey]), &Download> = BTreeMap::new();
        for &download in &downloads {
            if let Some(signature) = &download.signature {
                signatures.entry((signature, &download.keys)).or_insert(download);
            }
        }
        let replies = try_join_all(signatures.keys().map(|(url, _)| self.site.document(url)));
        let (reply, replies, record) =
            futures::try_join!(self.site.document(url), replies, self.record(url))?;
        let rules = [&sums::MISSING, &sums::UNREADABLE];
        let document = match served::found(reply, &subject, rules, "SHA256SUMS") {
            Ok(document) => document,
            Err(finding) => {
                part.findings.push(finding);
                return Ok(part);
            }
        };
        part.findings.extend(served::stored(&subject, &document.headers));
        let (findings, sums) = sums::check(&subject, &document.bytes);
        part.findings.extend(findings);
        part.findings.extend(sums::platforms(&subject, &sums, &downloads, names));
        let digest = Digest::of(&document.bytes);
        if let Some(Key::Sums(_, _, folder)) = self.site.key(url)
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
        if let Some((key, bytes)) = record {
            let keys = downloads.first().map_or_else(Vec::new, |download| download.keys.clone());
            let signers: Vec<String> = part.signers.iter().map(|signer| signer.key_id.clone()).collect();
            self.check_record(url, key, bytes, &sums, keys, &signers, &mut part).await?;
        }
        Ok(part)
    }

    /// The record beside SHA256SUMS, where one can be expected: beside one that tfreg wrote.
    async fn record(&self, sums: &Url) -> Result<Option<(Key, Option<bytes::Bytes>)>> {
        let Some(Key::Sums(provider, version, digest)) = self.site.key(sums) else { return Ok(None) };
        let key = Key::Provenance(provider, version, digest);
        let Some(url) = beside(sums, &key) else { return Ok(None) };
        Ok(Some(match self.site.document(&url).await? {
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
        signers: &[String],
        part: &mut Part,
    ) -> Result<()> {
        let name =
            |key: &Key| beside(sums_url, key).map_or_else(|| key.to_string(), |url| self.site.name(&url));
        let Some(bytes) = bytes else {
            part.findings.push(record::MISSING.at(name(&key)).found("nothing").expected("a record"));
            return Ok(());
        };
        part.findings.extend(record::check(&name(&key), &bytes, sums));
        part.references.push(key.clone());
        let Key::Provenance(provider, version, digest) = &key else { return Ok(()) };
        for signer in signers {
            let signature =
                Key::ProvenanceSignature(provider.clone(), version.clone(), *digest, signer.clone());
            let Some(url) = beside(sums_url, &signature) else { continue };
            let subject = self.site.name(&url);
            match self.site.document(&url).await? {
                Reply::Found(found) => {
                    let (keys, signed) = (keys.clone(), bytes.clone());
                    if !blocking(move || signature::is_by(&keys, &found.bytes, &signed)).await? {
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

    async fn zip(&self, download: &Download) -> Result<Part> {
        let mut part = Part::default();
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
                let expected = zip::Expected {
                    provider_type: self.provider.provider_type.clone(),
                    version: self.entry.version.clone(),
                    platform: download.platform.clone(),
                };
                let look = move |zip: site::Spooled| {
                    let (len, digest) = (zip.len, zip.digest);
                    let mut findings = zip::unopened(&subject, &zip.headers, Some(len), Some(digest), shasum);
                    // Clients do not open another zip than the one that was promised.
                    if findings.iter().any(|finding| finding.rule.severity == Severity::Error) {
                        return (findings, None, Some((len, digest)));
                    }
                    let (more, h1) = zip::check(&subject, &expected, zip.file);
                    findings.extend(more);
                    (findings, h1, Some((len, digest)))
                };
                self.site.zip(url, look).await?
            }
        };
        let there = format!("the zip of {}", download.subject);
        match served::found(reply, &subject, [&zip::MISSING, &zip::UNREADABLE], there) {
            Ok((findings, h1, read)) => {
                part.findings.extend(findings);
                if let Some((len, digest)) = read {
                    part.checked.zips = 1;
                    part.checked.zip_bytes = len;
                    part.packages.extend(h1.map(|h1| Package {
                        provider: self.provider.to_string(),
                        version: self.entry.version.to_string(),
                        platform: download.platform.to_string(),
                        zip: subject,
                        sha256: digest.to_string(),
                        h1,
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

/// Runs work of the processor off the async threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Error::Io {
        context: "cannot verify".to_owned(),
        source: std::io::Error::other(error),
    })
}
