//! The result of a verification: findings, counts, and the verdict.

use serde::Serialize;

use super::finding::{Finding, Group, Severity};
use super::scope::Depth;
use crate::error::Refusal;
use crate::openpgp::client_support::Judgement;
use crate::openpgp::{Fingerprint, KeyId};
use crate::words;

/// The numbers of checked objects.
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
    /// Pages of a registry that has them.
    pub pages: u64,
    /// Versions of other registries' providers in the network mirror.
    pub mirrored: u64,
}

/// Objects to which no listed version leads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Unreferenced {
    /// Their number and size.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Earlier SHA256SUMS of listed versions, with signatures and records.
    pub earlier_objects: u64,
    /// Their bytes.
    pub earlier_bytes: u64,
}

/// A zip whose contents were checked, with its hashes for lock files.
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

/// A key that has signed versions, and how clients judge it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningKeyUse {
    /// The key id that clients show.
    pub key_id: KeyId,
    /// The primary key's.
    pub fingerprint: Fingerprint,
    /// How many versions it has signed.
    pub versions: u64,
    /// How each family of clients judges it.
    pub clients: Vec<Judgement>,
}

/// The result of a verification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    /// The registry in the user's words.
    pub place: String,
    /// How zips were checked.
    pub depth: Depth,
    /// The broken rules, the worst first.
    pub findings: Vec<Finding>,
    /// The numbers of checked objects.
    pub checked: Checked,
    /// Unreferenced objects; `None` if nothing was, or could be, listed.
    pub unreferenced: Option<Unreferenced>,
    /// Whether the registry has a network mirror, which was checked.
    pub has_mirror: bool,
    /// The signers.
    pub signers: Vec<SigningKeyUse>,
    /// The zips whose contents were checked.
    pub packages: Vec<Package>,
}

impl Verification {
    /// The number of findings of a severity.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.rule.severity == severity).count()
    }

    /// The summary of a registry with which clients would fail; `None` for a good one. The findings contain the
    /// details.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        (!self.is_good()).then(|| self.refuse("clients would fail with this registry"))
    }

    /// The same for a version that a publish has just written. Discovery belongs to the host: a publish keeps an
    /// existing document, and has warned of problems in it.
    #[must_use]
    pub fn publish_refusal(&self) -> Option<Refusal> {
        let of_version = |finding: &&Finding| {
            finding.rule.severity == Severity::Error && finding.rule.group != Group::Discovery
        };
        self.findings
            .iter()
            .find(of_version)
            .map(|_| self.refuse("all is published, and clients would fail with it"))
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

    /// Whether clients can use the registry.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.count(Severity::Error) == 0
    }
}
