//! The result of a publish, or of its dry run.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::json::{ObjectReport, as_text, done_action, objects, planned_action, to_json};
use crate::plan::{Plan, PublishGoal};
use crate::probe::{self, Probe};
use crate::provider::{Namespace, Provider, ProviderType, ReleaseId};
use crate::publish::Outcome;
use crate::registry::Key;
use crate::verify::{Finding, Severity};
use crate::words::count;
use crate::workflow::publish::Verified;

/// The facts about a publish before it begins.
pub(super) struct PublishReport<'a> {
    goal: &'a PublishGoal,
    target: String,
    warning: Option<String>,
    probe: Option<&'a Probe>,
}

/// The result of a publish or a dry run.
#[derive(Debug, Serialize)]
pub(super) struct Report<'a> {
    outcome: &'static str,
    pub(super) target: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) dry_run: Option<String>,
    #[serde(serialize_with = "as_text")]
    pub(super) provider: &'a Provider,
    #[serde(serialize_with = "as_text")]
    namespace: &'a Namespace,
    #[serde(rename = "type", serialize_with = "as_text")]
    provider_type: &'a ProviderType,
    pub(super) version: String,
    pub(super) protocols: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) probe: Option<ProbeReport<'a>>,
    pub(super) key_id: &'a str,
    key_fingerprint: String,
    pub(super) platforms: Vec<PlatformReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shasums: Option<ObjectReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<String>,
    objects: Vec<ObjectReport>,
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verification: Option<VerifiedReport>,
    duration_ms: u64,
}

/// The result of reading a publish back.
#[derive(Debug, Serialize)]
struct VerifiedReport {
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    errors: usize,
    warnings: usize,
    platforms: u64,
    findings: Vec<Finding>,
}

#[derive(Debug, Serialize)]
pub(super) struct ProbeReport<'a> {
    pub(super) platform: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) protocol: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unchecked: Option<&'a str>,
}

impl<'a> ProbeReport<'a> {
    fn new(probe: &'a Probe) -> Self {
        let (protocol, unchecked) = match &probe.outcome {
            probe::Outcome::Speaks(major) => (Some(*major), None),
            probe::Outcome::NotRunnable(reason) => (None, Some(reason.as_str())),
        };
        Self { platform: &probe.platform, protocol, unchecked }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct PlatformReport {
    pub(super) platform: String,
    os: String,
    arch: String,
    tarball: String,
    tarball_sha256: String,
    pub(super) zip: String,
    pub(super) zip_sha256: String,
    zip_bytes: u64,
}

impl<'a> PublishReport<'a> {
    /// A report of publishing `goal` to `target`, with the warnings so far.
    #[must_use]
    pub(super) fn new(goal: &'a PublishGoal, target: String, warning: Option<String>) -> Self {
        Self { goal, target, warning, probe: None }
    }

    /// Adds the answer of the executable for this machine.
    #[must_use]
    pub(super) fn with_probe(self, probe: Option<&'a Probe>) -> Self {
        Self { probe, ..self }
    }

    /// The result of a dry run.
    #[must_use]
    pub(super) fn planned(self, plan: &'a Plan, folder: &Path, duration: Duration) -> Report<'a> {
        let outcome = if plan.is_empty() { "unchanged" } else { "planned" };
        let action = planned_action(plan);
        let dry_run = Some(folder.display().to_string());
        self.report(outcome, plan, dry_run, &action, duration)
    }

    /// The result of a publish.
    #[must_use]
    pub(super) fn done(self, outcome: &'a Outcome, duration: Duration) -> Report<'a> {
        let action = done_action(outcome);
        let word = if outcome.written.is_empty() { "unchanged" } else { "published" };
        self.report(word, &outcome.plan, None, &action, duration)
    }

    fn report(
        self,
        outcome: &'static str,
        plan: &'a Plan,
        dry_run: Option<String>,
        action: &dyn Fn(&Key) -> &'static str,
        duration: Duration,
    ) -> Report<'a> {
        let goal = self.goal;
        let (packages, provider) = (&goal.packages, &goal.provider);
        let objects = objects(plan, action);
        let platforms = packages.packages().iter().map(|package| {
            let (provider, version) = (provider.clone(), packages.version().clone());
            PlatformReport {
                platform: package.platform.to_string(),
                os: package.platform.os().to_owned(),
                arch: package.platform.arch().to_owned(),
                tarball: package.tarball.display().to_owned(),
                tarball_sha256: package.tarball_digest.to_string(),
                zip: Key::Zip {
                    release: ReleaseId { provider, version },
                    platform: package.platform.clone(),
                    digest: package.zip.digest().short(),
                }
                .to_string(),
                zip_sha256: package.zip.digest().to_string(),
                zip_bytes: package.zip.len(),
            }
        });
        let signed = plan.signed();
        let shasums = signed.map(|signed| ObjectReport {
            key: signed.sums.to_string(),
            action: action(&signed.sums),
            sha256: signed.sums_digest.to_string(),
            bytes: plan
                .writes()
                .iter()
                .find(|write| write.key == signed.sums)
                .map_or(0, |write| write.body.len()),
        });
        Report {
            outcome,
            target: self.target,
            dry_run,
            provider,
            namespace: &provider.namespace,
            provider_type: &provider.provider_type,
            version: packages.version().to_string(),
            protocols: packages.protocols().to_strings(),
            probe: self.probe.map(ProbeReport::new),
            key_id: goal.key.key_id().as_str(),
            key_fingerprint: goal.key.fingerprint().to_string(),
            platforms: platforms.collect(),
            shasums,
            signature: signed.map(|signed| signed.signature.to_string()),
            objects,
            warnings: self
                .warning
                .into_iter()
                .chain(packages.warnings().iter().cloned())
                .chain(self.probe.map(Probe::warnings).unwrap_or_default())
                .chain(plan.warnings().iter().cloned())
                .collect(),
            verification: None,
            duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

impl Report<'_> {
    /// Adds the result of reading it back.
    #[must_use]
    pub(super) fn with_verification(self, verified: Option<&Verified>) -> Self {
        let verification = verified.map(|verified| match verified {
            Ok(verification) => VerifiedReport {
                outcome: verification.outcome(),
                message: None,
                errors: verification.count(Severity::Error),
                warnings: verification.count(Severity::Warning),
                platforms: verification.checked.platforms,
                findings: verification.findings.clone(),
            },
            Err(error) => VerifiedReport {
                outcome: "unread",
                message: Some(error.to_string()),
                errors: 0,
                warnings: 0,
                platforms: 0,
                findings: Vec::new(),
            },
        });
        Self { verification, ..self }
    }

    /// The result of reading it back, for people.
    pub(super) fn verified_line(&self) -> Option<String> {
        let VerifiedReport { message: None, errors, warnings, platforms, .. } = self.verification.as_ref()?
        else {
            return None;
        };
        let verdict = match (errors, warnings) {
            (0, 0) => "good".to_owned(),
            (0, _) => format!("good, with {}", count(*warnings, "warning")),
            _ => format!("{}, {}", count(*errors, "error"), count(*warnings, "warning")),
        };
        let platforms = count(*platforms, "platform");
        Some(format!("verified: {verdict}; {platforms} read back, zips not downloaded"))
    }

    pub(super) fn is_unchanged(&self) -> bool {
        self.outcome == "unchanged"
    }

    #[expect(clippy::cast_precision_loss, reason = "hundredths of a second are shown")]
    pub(super) fn seconds(&self) -> f64 {
        self.duration_ms as f64 / 1000.0
    }

    pub(super) fn to_json(&self) -> String {
        to_json(self)
    }
}
