//! What verifying has come to: findings, what was looked at, and the verdict.

use serde::Serialize;

use super::finding::{Finding, Group, Severity};
use super::scope::Depth;
use crate::error::Refusal;
use crate::openpgp::client_support::Judgement;
use crate::openpgp::{Fingerprint, KeyId};
use crate::words;

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
