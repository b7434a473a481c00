//! The result of a publish, or of its dry run, of one version or of several.

use std::time::Duration;

use serde::Serialize;

use super::invalidation::InvalidationReport;
use super::json::{ObjectReport, as_text, done_action, objects, planned_action, to_json};
use crate::plan::{Action, Plan, PublishGoal, Write};
use crate::probe::{self, Probe};
use crate::provider::{Namespace, Provider, ProviderType, ReleaseId};
use crate::registry::Key;
use crate::verify::{Finding, Severity};
use crate::words::count;
use crate::workflow::invalidation;
use crate::workflow::publish::{Batched, End, Outcome as Published, Verified};
use crate::workflow::source::LeftAlone;

/// The result of a publish or a dry run, of one version or of several.
#[derive(Debug, Serialize)]
pub(super) struct Report<'a> {
    outcome: &'static str,
    pub(super) target: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) dry_run: Option<String>,
    #[serde(flatten)]
    pub(super) contents: Contents<'a>,
    warnings: Vec<String>,
    left_alone: &'a [LeftAlone],
    #[serde(skip_serializing_if = "Option::is_none")]
    verification: Option<VerifiedReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    invalidation: Option<InvalidationReport>,
    duration_ms: u64,
}

/// What was published.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Contents<'a> {
    /// A version, with all objects that the run looked after.
    One(Box<VersionReport<'a>>),
    /// Several.
    Many {
        /// Each with its own objects.
        versions: Vec<OneOfMany<'a>>,
        /// The objects that they share.
        objects: Vec<ObjectReport>,
    },
}

/// One of several versions.
#[derive(Debug, Serialize)]
pub(super) struct OneOfMany<'a> {
    pub(super) outcome: &'static str,
    #[serde(flatten)]
    pub(super) version: VersionReport<'a>,
}

/// A version that was published.
#[derive(Debug, Serialize)]
pub(super) struct VersionReport<'a> {
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

/// What a batch has done, or would do, to an object, in a word.
fn action(end: &End, key: &Key) -> &'static str {
    match end {
        End::DryRun { plan, .. } => planned_action(plan)(key),
        End::Published { run, .. } => done_action(run)(key),
    }
}

fn plan_of(end: &End) -> &Plan {
    match end {
        End::DryRun { plan, .. } => plan,
        End::Published { run, .. } => &run.plan,
    }
}

/// Whether a batch has changed, or would change, something of a version.
fn is_changed(end: &End, release: &ReleaseId) -> bool {
    let is_own = |key: &Key| key.release() == Some(release);
    match end {
        End::DryRun { plan, .. } => {
            let changes = |write: &Write| is_own(&write.key) && write.action != Action::Keep;
            plan.listed().contains(release) || plan.writes().iter().any(changes)
        }
        End::Published { run, .. } => run.listed.contains(release) || run.written.keys().any(is_own),
    }
}

fn version<'a>(
    goal: &'a PublishGoal,
    end: &End,
    probe: Option<&'a Probe>,
    is_of_report: &dyn Fn(&Key) -> bool,
) -> VersionReport<'a> {
    let (packages, provider, plan) = (&goal.packages, &goal.provider, plan_of(end));
    let release = ReleaseId::new(provider, packages.version());
    let action = |key: &Key| action(end, key);
    let platforms = packages.packages().iter().map(|package| PlatformReport {
        platform: package.platform.to_string(),
        os: package.platform.os().to_owned(),
        arch: package.platform.arch().to_owned(),
        tarball: package.artifact.display().to_owned(),
        tarball_sha256: package.artifact_digest.to_string(),
        zip: Key::Zip {
            release: release.clone(),
            platform: package.platform.clone(),
            digest: package.zip.digest().short(),
        }
        .to_string(),
        zip_sha256: package.zip.digest().to_string(),
        zip_bytes: package.zip.len(),
    });
    let signed = plan.signed(&release);
    let sums = |key: &Key| plan.writes().iter().find(|write| write.key == *key);
    let shasums = signed.map(|signed| ObjectReport {
        key: signed.sums.to_string(),
        action: action(&signed.sums),
        sha256: signed.sums_digest.to_string(),
        bytes: sums(&signed.sums).map_or(0, |write| write.body.len()),
    });
    VersionReport {
        provider,
        namespace: &provider.namespace,
        provider_type: &provider.provider_type,
        version: packages.version().to_string(),
        protocols: packages.protocols().to_strings(),
        probe: probe.map(ProbeReport::new),
        key_id: goal.key.key_id().as_str(),
        key_fingerprint: goal.key.fingerprint().to_string(),
        platforms: platforms.collect(),
        shasums,
        signature: signed.map(|signed| signed.signature.to_string()),
        objects: objects(plan, is_of_report, &action),
    }
}

/// The objects that versions share, each once, in the order of writing. Several batches may have written one.
fn shared(batches: &[Batched]) -> Vec<ObjectReport> {
    let mut all: Vec<ObjectReport> = Vec::new();
    for Batched { end, .. } in batches {
        let of_all = |key: &Key| key.release().is_none();
        for mut object in objects(plan_of(end), &of_all, &|key| action(end, key)) {
            match all.iter_mut().find(|known| known.key == object.key) {
                Some(known) => {
                    if known.action != "unchanged" {
                        object.action = known.action;
                    }
                    *known = object;
                }
                None => all.push(object),
            }
        }
    }
    all
}

impl<'a> Report<'a> {
    /// The result of a publish, or of its dry run, that took so long; `told` is what a CDN was told.
    #[must_use]
    pub(super) fn new(
        result: &'a Published,
        told: Option<&invalidation::Outcome>,
        duration: Duration,
    ) -> Self {
        let Published { target, expiry_warning, left_alone, probes, batches } = result;
        let (mut versions, mut changed, mut warnings) = (Vec::new(), false, Vec::new());
        let mut add = |more: Vec<String>| {
            for warning in more {
                if !warnings.contains(&warning) {
                    warnings.push(warning);
                }
            }
        };
        add(expiry_warning.iter().cloned().collect());
        let count: usize = batches.iter().map(|batched| batched.batch.goals().len()).sum();
        for Batched { batch, end } in batches {
            let plan = plan_of(end);
            let is_planned = matches!(end, End::DryRun { .. });
            changed |= match end {
                End::DryRun { plan, .. } => !plan.is_empty(),
                End::Published { run, .. } => !run.written.is_empty(),
            };
            for goal in batch.goals() {
                let release = ReleaseId::new(&goal.provider, goal.packages.version());
                let probe = probes.get(&release);
                add(goal.packages.warnings().to_vec());
                add(probe.map(Probe::warnings).unwrap_or_default());
                let is_of_report = |key: &Key| count == 1 || key.release() == Some(&release);
                let outcome = word(is_changed(end, &release), is_planned);
                versions.push(OneOfMany { outcome, version: version(goal, end, probe, &is_of_report) });
            }
            add(plan.warnings().to_vec());
        }
        let dry_run = batches.iter().find_map(|batched| match &batched.end {
            End::DryRun { folder, .. } => Some(folder.display().to_string()),
            End::Published { .. } => None,
        });
        let contents = match versions.pop() {
            Some(only) if versions.is_empty() => Contents::One(Box::new(only.version)),
            last => {
                versions.extend(last);
                Contents::Many { versions, objects: shared(batches) }
            }
        };
        Self {
            outcome: word(changed, dry_run.is_some()),
            target: target.clone(),
            dry_run,
            contents,
            warnings,
            left_alone,
            verification: verification(batches),
            invalidation: told.map(InvalidationReport::from),
            duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

fn word(is_changed: bool, is_planned: bool) -> &'static str {
    match (is_changed, is_planned) {
        (false, _) => "unchanged",
        (true, true) => "planned",
        (true, false) => "published",
    }
}

/// The result of reading all batches back; `None` if that was not requested.
fn verification(batches: &[Batched]) -> Option<VerifiedReport> {
    let mut all: Option<VerifiedReport> = None;
    for Batched { end, .. } in batches {
        let End::Published { verified: Some(verified), .. } = end else { continue };
        let report = VerifiedReport::new(verified);
        all = Some(match all {
            Some(all) => all.and(report),
            None => report,
        });
    }
    all
}

impl VerifiedReport {
    fn new(verified: &Verified) -> Self {
        match verified {
            Ok(verification) => Self {
                outcome: verification.outcome(),
                message: None,
                errors: verification.count(Severity::Error),
                warnings: verification.count(Severity::Warning),
                platforms: verification.checked.platforms,
                findings: verification.findings.clone(),
            },
            Err(error) => Self {
                outcome: "unread",
                message: Some(error.to_string()),
                errors: 0,
                warnings: 0,
                platforms: 0,
                findings: Vec::new(),
            },
        }
    }

    fn and(mut self, other: Self) -> Self {
        const WORST_LAST: [&str; 4] = ["good", "warnings", "errors", "unread"];
        let rank = |outcome: &str| WORST_LAST.iter().position(|word| *word == outcome);
        if rank(other.outcome) > rank(self.outcome) {
            self.outcome = other.outcome;
        }
        self.message = self.message.or(other.message);
        for finding in other.findings {
            // Of the host, say, which all versions have.
            if self.findings.contains(&finding) {
                continue;
            }
            match finding.rule.severity {
                Severity::Error => self.errors += 1,
                Severity::Warning => self.warnings += 1,
            }
            self.findings.push(finding);
        }
        self.platforms += other.platforms;
        self
    }
}

impl Report<'_> {
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
