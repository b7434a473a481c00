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
mod tally;
mod version;
mod walk;
mod zip;

use serde::Serialize;

pub use finding::{Finding, Group, Rule, Severity};

use crate::error::{Error, Refusal, Result};
use crate::openpgp::client_support::Judgement;
use crate::openpgp::{Fingerprint, KeyId};
use crate::provider::{Namespace, Provider, ProviderType, Version};
use crate::reader::Reader;
use crate::registry::Key;
use crate::words;
use objects::Inventory;
use site::RegistryView;
use tally::Sum;

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
    /// The most bytes that are read of a zip, which goes to this machine's disk.
    pub max_zip: u64,
}

/// The most bytes that are read of a zip where nothing else is said. No provider comes near it: the largest known ones
/// have 200 MB.
pub const MAX_ZIP: u64 = 1 << 30;

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
            max_zip: MAX_ZIP,
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
    pub key_id: KeyId,
    /// The primary key's.
    pub fingerprint: Fingerprint,
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

    /// What to say of a registry that clients would trip over; `None` of a good one. Each finding says more for itself.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        (!self.is_good()).then(|| self.refuse("clients would trip over this registry"))
    }

    /// The same of what a publish has just written. Discovery is the host's own: a publish leaves what it finds there, and has
    /// warned of it.
    #[must_use]
    pub fn publish_refusal(&self) -> Option<Refusal> {
        let of_version = |finding: &&Finding| {
            finding.rule.severity == Severity::Error && finding.rule.group != Group::Discovery
        };
        self.findings
            .iter()
            .find(of_version)
            .map(|_| self.refuse("all is published, and clients would trip over it"))
    }

    fn refuse(&self, problem: &str) -> Refusal {
        let (errors, warnings) = (self.count(Severity::Error), self.count(Severity::Warning));
        let found = format!("{}, {}", words::count(errors, "error"), words::count(warnings, "warning"));
        let remedy = "see each finding";
        Refusal::new(&self.place, problem).found(found).expected("no error").remedy(remedy)
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
    let mut site = RegistryView::new(reader, reads, watch)?;
    let mut sum = Sum::default();
    let url =
        site.host().join(&Key::Discovery.to_string()).map_err(|error| Error::Usage(error.to_string()))?;
    let reply = site.document(&url, discovery::LARGEST).await?;
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
        let providers = walk::providers(scope, inventory.as_ref(), reader)?;
        if providers.is_empty() {
            // Where nothing is, there is no discovery document either.
            sum.findings.clear();
            sum.findings
                .push(index::NOTHING.at(reader.describe()).found("no provider").expected("a registry"));
        }
        let asked = providers.len();
        let (site, folders) = (&site, inventory.as_ref().map(|inventory| &inventory.providers));
        // A publish would not have come this far.
        let probed = providers.first().filter(|_| scope.extent == Extent::Registry).cloned();
        let parts = walk::check_providers(site, scope, reads, providers, folders, &mut sum);
        let missing = walk::missing(site, probed.as_ref());
        let root = walk::root(site, scope);
        let (missing, root, ()) = futures::try_join!(missing, root, parts)?;
        sum.findings.extend(missing);
        sum.findings.extend(root);
        if let Some(wanted) = scope.version.as_ref().filter(|_| asked > 0 && sum.lacking.len() == asked) {
            let subject = match sum.lacking.first().filter(|_| asked == 1) {
                Some(provider) => site.name(&site.url(&Key::Versions { provider: provider.clone() })),
                None => reader.describe(),
            };
            sum.findings.push(index::NOT_LISTED.at(subject).found(format!("no {wanted}")).expected(wanted));
        }
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
