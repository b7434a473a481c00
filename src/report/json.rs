//! Results as values, printed as JSON with `--format json`. `docs/json-output.md` documents the members.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::masked::masked;
use crate::error::{Error, Refusal};
use crate::plan::{Action, Plan, PublishGoal, Write};
use crate::probe::{self, Probe};
use crate::provider::{Provider, ReleaseId};
use crate::publish::{Effect, Outcome};
use crate::registry::Key;
use crate::verify::{Finding, Severity};
use crate::words::count;
use crate::workflow::publish::Verified;

/// What is known of a publish before it has begun.
pub(super) struct PublishReport<'a> {
    wanted: &'a PublishGoal,
    target: String,
    warning: Option<String>,
    probe: Option<&'a Probe>,
}

/// What a publish or a dry run has come to.
#[derive(Debug, Serialize)]
pub(super) struct Report<'a> {
    outcome: &'static str,
    pub(super) target: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) dry_run: Option<String>,
    #[serde(serialize_with = "as_text")]
    pub(super) provider: &'a Provider,
    #[serde(serialize_with = "as_text")]
    namespace: &'a crate::provider::Namespace,
    #[serde(rename = "type", serialize_with = "as_text")]
    provider_type: &'a crate::provider::ProviderType,
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

/// What was found when a publish was read back.
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

#[derive(Debug, Serialize)]
struct ObjectReport {
    key: String,
    action: &'static str,
    sha256: String,
    bytes: u64,
}

fn planned_action(plan: &Plan) -> impl Fn(&Key) -> &'static str {
    |key| match plan.writes().iter().find(|write| write.key == *key).map(|write| &write.action) {
        Some(Action::Create) => "create",
        Some(Action::Replace { .. }) => "change",
        _ => "unchanged",
    }
}

fn done_action(outcome: &Outcome) -> impl Fn(&Key) -> &'static str {
    |key| match outcome.written.get(key) {
        Some(Effect::Created) => "created",
        Some(Effect::Changed) => "changed",
        None => "unchanged",
    }
}

fn objects(plan: &Plan, action: &dyn Fn(&Key) -> &'static str) -> Vec<ObjectReport> {
    let object = |write: &Write| ObjectReport {
        key: write.key.to_string(),
        action: action(&write.key),
        sha256: write.body.digest().to_string(),
        bytes: write.body.len(),
    };
    plan.writes().iter().map(object).collect()
}

/// What a command other than publish has done, or would do, to a provider.
#[derive(Debug, Serialize)]
pub struct ChangeReport {
    outcome: &'static str,
    command: &'static str,
    pub(super) target: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) dry_run: Option<String>,
    #[serde(serialize_with = "as_text")]
    pub(super) provider: Provider,
    pub(super) changes: Vec<String>,
    objects: Vec<ObjectReport>,
    pub(super) warnings: Vec<String>,
    duration_ms: u64,
}

impl ChangeReport {
    /// What a dry run of `command` has found.
    #[must_use]
    pub fn planned(
        command: &'static str,
        (target, provider): (String, &Provider),
        plan: &Plan,
        folder: &Path,
        duration: Duration,
    ) -> Self {
        let outcome = if plan.is_empty() { "unchanged" } else { "planned" };
        let report = Self::new(
            outcome,
            command,
            (target, provider),
            plan,
            objects(plan, &planned_action(plan)),
            duration,
        );
        Self { changes: plan.changes().to_vec(), dry_run: Some(folder.display().to_string()), ..report }
    }

    /// What `command` has done; `changes` is what its first plan said.
    #[must_use]
    pub fn done(
        command: &'static str,
        (target, provider): (String, &Provider),
        outcome: &Outcome,
        changes: Vec<String>,
        duration: Duration,
    ) -> Self {
        let word = if outcome.written.is_empty() { "unchanged" } else { "changed" };
        let objects = objects(&outcome.plan, &done_action(outcome));
        Self { changes, ..Self::new(word, command, (target, provider), &outcome.plan, objects, duration) }
    }

    fn new(
        outcome: &'static str,
        command: &'static str,
        (target, provider): (String, &Provider),
        plan: &Plan,
        objects: Vec<ObjectReport>,
        duration: Duration,
    ) -> Self {
        Self {
            outcome,
            command,
            target,
            dry_run: None,
            provider: provider.clone(),
            changes: Vec::new(),
            objects,
            warnings: plan.warnings().to_vec(),
            duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
        }
    }

    pub(super) fn is_unchanged(&self) -> bool {
        self.outcome == "unchanged"
    }

    pub(super) fn to_json(&self) -> String {
        to_json(self)
    }
}

fn as_text<S: serde::Serializer>(value: &impl fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

impl<'a> PublishReport<'a> {
    /// A report of publishing `wanted` to `target`, with what the user was warned of already.
    #[must_use]
    pub(super) fn new(wanted: &'a PublishGoal, target: String, warning: Option<String>) -> Self {
        Self { wanted, target, warning, probe: None }
    }

    /// With what the executable for this machine has answered.
    #[must_use]
    pub(super) fn with_probe(self, probe: Option<&'a Probe>) -> Self {
        Self { probe, ..self }
    }

    /// What a dry run has found.
    #[must_use]
    pub(super) fn planned(self, plan: &'a Plan, folder: &Path, duration: Duration) -> Report<'a> {
        let outcome = if plan.is_empty() { "unchanged" } else { "planned" };
        let action = planned_action(plan);
        let dry_run = Some(folder.display().to_string());
        self.report(outcome, plan, dry_run, &action, duration)
    }

    /// What a publish has done.
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
        let wanted = self.wanted;
        let (packages, provider) = (&wanted.packages, &wanted.provider);
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
            key_id: wanted.key.key_id().as_str(),
            key_fingerprint: wanted.key.fingerprint().to_string(),
            platforms: platforms.collect(),
            shasums,
            signature: signed.map(|signed| signed.signature.to_string()),
            objects,
            warnings: self
                .warning
                .into_iter()
                .chain(self.probe.map(Probe::warnings).unwrap_or_default())
                .chain(plan.warnings().iter().cloned())
                .collect(),
            verification: None,
            duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

impl Report<'_> {
    /// With what was found when it was read back.
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

    /// What was read back, for people.
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

/// How a preview can be used.
#[derive(Debug, Serialize)]
pub struct ServeReport {
    directory: String,
    url: String,
    terraformrc: String,
    required_providers: String,
    #[serde(skip)]
    providers: usize,
}

/// The host name that the printed configuration gives the registry; any will do, the configuration maps it.
const PREVIEW_HOST: &str = "registry.example.com";

impl ServeReport {
    /// A preview of `directory` at `address`, which holds `providers`, each with its newest version.
    #[must_use]
    pub fn new(directory: &Path, address: SocketAddr, providers: &[(Provider, Option<String>)]) -> Self {
        let blocks = providers.iter().map(|(provider, newest)| {
            let version = newest.as_ref().map_or(String::new(), |v| format!("\n      version = \"{v}\""));
            let name = &provider.provider_type;
            format!("    {name} = {{\n      source  = \"{PREVIEW_HOST}/{provider}\"{version}\n    }}\n")
        });
        let blocks: String = blocks.collect();
        Self {
            directory: directory.display().to_string(),
            providers: providers.len(),
            url: format!("http://{address}/"),
            terraformrc: format!(
                "host \"{PREVIEW_HOST}\" {{\n  services = {{\n    \"providers.v1\" = \"http://{address}/registry/\"\n  }}\n}}\n"
            ),
            required_providers: format!("terraform {{\n  required_providers {{\n{blocks}  }}\n}}\n"),
        }
    }

    pub(super) fn to_json(&self) -> String {
        to_json(self)
    }
}

impl fmt::Display for ServeReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Serving {} at {} (Ctrl-C stops)\n", self.directory, self.url)?;
        writeln!(
            f,
            "CLI configuration, to be saved as preview.tfrc and named by TF_CLI_CONFIG_FILE=preview.tfrc:\n"
        )?;
        writeln!(f, "{}\nConfiguration that installs from it with terraform init:\n", self.terraformrc)?;
        writeln!(f, "{}", self.required_providers)?;
        if self.providers == 0 {
            writeln!(
                f,
                "Nothing is published in {} yet; publish into it, and start this again.",
                self.directory
            )?;
        }
        Ok(())
    }
}

/// A refusal as JSON.
#[derive(Serialize)]
pub(super) struct RefusalReport {
    subject: String,
    problem: String,
    found: String,
    expected: String,
    remedy: String,
}

impl RefusalReport {
    pub(super) fn new(refusal: &Refusal) -> Self {
        Self {
            subject: masked(&refusal.subject),
            problem: masked(&refusal.problem),
            found: masked(&refusal.found),
            expected: masked(&refusal.expected),
            remedy: masked(&refusal.remedy),
        }
    }
}

/// A failure as JSON: what kind, the exit code, and the message that people see.
pub(super) fn failure(error: &Error, message: &str) -> String {
    #[derive(Serialize)]
    struct Failure<'a> {
        outcome: &'a str,
        exit_code: u8,
        message: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        refusal: Option<RefusalReport>,
        #[serde(skip_serializing_if = "Option::is_none")]
        written: Option<Vec<String>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        not_written: Option<Vec<String>>,
    }
    let (cause, state) = match error {
        Error::Unfinished { cause, state } => (&**cause, Some(state)),
        other => (other, None),
    };
    let refusal = match cause {
        Error::Refused(refusal) => Some(RefusalReport::new(refusal)),
        _ => None,
    };
    to_json(&Failure {
        outcome: match cause {
            Error::Usage(_) => "usage",
            Error::Refused(_) => "refused",
            Error::Contended { .. } => "contended",
            _ => "failed",
        },
        exit_code: error.exit_code(),
        message,
        refusal,
        written: state.map(|state| state.written.clone()),
        not_written: state.map(|state| state.pending.clone()),
    })
}

pub(super) fn to_json(value: &impl Serialize) -> String {
    // Strings, numbers and lists always serialize; the empty object would be the sign of a bug.
    serde_json::to_string_pretty(value).unwrap_or_else(|_| "{}".to_owned())
}
