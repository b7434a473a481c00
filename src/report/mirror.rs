//! The result of `tfreg mirror`.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::invalidation::InvalidationReport;
use super::json::{ObjectReport, objects, planned_action, to_json};
use super::{BOLD, Format, GREEN, Reporter, Volume, to_stdout};
use crate::plan::Plan;
use crate::publish::Effect;
use crate::registry::mirror::trusted::Reason;
use crate::words::{count, size};
use crate::workflow::invalidation;
use crate::workflow::mirror::{Mirrored, MirroredPlatform, MirroredVersion, Outcome};

#[derive(Debug, Serialize)]
struct MirrorReport<'a> {
    outcome: &'static str,
    command: &'static str,
    target: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    dry_run: Option<String>,
    network_mirror: &'a str,
    providers: Vec<ProviderReport>,
    objects: Vec<ObjectReport>,
    warnings: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    invalidation: Option<InvalidationReport>,
    duration_ms: u64,
}

#[derive(Debug, Serialize)]
struct ProviderReport {
    source: String,
    host: String,
    provider: String,
    keys: Vec<KeyReport>,
    versions: Vec<VersionReport>,
}

#[derive(Debug, Serialize)]
struct KeyReport {
    key_id: String,
    key_fingerprint: String,
    user_id: String,
    trusted: &'static str,
}

#[derive(Debug, Serialize)]
struct VersionReport {
    outcome: &'static str,
    version: String,
    key_id: String,
    platforms: Vec<PlatformReport>,
}

#[derive(Debug, Serialize)]
struct PlatformReport {
    platform: String,
    zip: String,
    zip_sha256: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    fetched_bytes: Option<u64>,
}

/// Why a key is taken, in a word.
fn word(reason: Reason) -> &'static str {
    match reason {
        Reason::Given => "given",
        Reason::Recorded => "recorded",
        Reason::FirstUse => "first-use",
    }
}

fn is_changed(one: &Mirrored) -> bool {
    !one.written.is_empty() || one.plans.iter().any(|plan| !plan.is_empty())
}

impl<'a> MirrorReport<'a> {
    fn new(outcome: &'a Outcome, told: Option<&invalidation::Outcome>, duration: Duration) -> Self {
        let done = if outcome.dry_run.is_some() { "planned" } else { "mirrored" };
        let state = |changed: bool| if changed { done } else { "unchanged" };
        let version = |version: &MirroredVersion| VersionReport {
            outcome: state(version.is_changed),
            version: version.version.to_string(),
            key_id: version.key_id.clone(),
            platforms: version.platforms.iter().map(PlatformReport::new).collect(),
        };
        let provider = |one: &Mirrored| ProviderReport {
            source: one.provider.to_string(),
            host: one.provider.host.to_string(),
            provider: one.provider.provider.to_string(),
            keys: one
                .keys
                .iter()
                .map(|(key, reason)| KeyReport {
                    key_id: key.key_id().to_string(),
                    key_fingerprint: key.fingerprint().to_string(),
                    user_id: key.user_id().to_owned(),
                    trusted: word(*reason),
                })
                .collect(),
            versions: one.versions.iter().map(version).collect(),
        };
        Self {
            outcome: state(outcome.providers.iter().any(is_changed)),
            command: "mirror",
            target: &outcome.target,
            dry_run: outcome.dry_run.as_ref().map(|folder| folder.display().to_string()),
            network_mirror: &outcome.address,
            providers: outcome.providers.iter().map(provider).collect(),
            objects: outcome.providers.iter().flat_map(objects_of).collect(),
            warnings: &outcome.warnings,
            invalidation: told.map(InvalidationReport::from),
            duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// The objects that a provider has changed, or would change.
fn objects_of(one: &Mirrored) -> Vec<ObjectReport> {
    let planned = one.plans.iter().flat_map(|plan| objects(plan, &|_| true, &planned_action(plan)));
    let planned = planned.filter(|object| object.action != "unchanged");
    let written = one.written.iter().map(|(key, written)| ObjectReport {
        key: key.to_string(),
        action: match written.effect {
            Effect::Created => "created",
            Effect::Changed => "changed",
        },
        sha256: written.digest.to_string(),
        bytes: written.len,
    });
    planned.chain(written).collect()
}

impl PlatformReport {
    fn new(platform: &MirroredPlatform) -> Self {
        Self {
            platform: platform.platform.to_string(),
            zip: platform.zip.to_string(),
            zip_sha256: platform.sha256.clone(),
            fetched_bytes: platform.fetched,
        }
    }
}

/// A provider, for people.
struct HumanProvider<'a>(&'a Mirrored);

impl fmt::Display for HumanProvider<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one = self.0;
        write!(f, "{BOLD}{}{BOLD:#}", one.provider)?;
        for MirroredVersion { version, platforms, is_changed, key_id } in &one.versions {
            let fetched: Vec<u64> = platforms.iter().filter_map(|platform| platform.fetched).collect();
            let what = match (fetched.as_slice(), is_changed) {
                ([], false) => "there already".to_owned(),
                ([], true) => "no zip to fetch".to_owned(),
                (zips, _) => format!("{}, {}", count(zips.len(), "zip"), size(zips.iter().sum())),
            };
            let platforms = count(platforms.len(), "platform");
            write!(f, "\n  {:<16} {platforms}: {what}; signed by {key_id}", version.to_string())?;
        }
        for (key, reason) in &one.keys {
            let why = match reason {
                Reason::Given => "given by --public-key",
                Reason::Recorded => "as recorded",
                Reason::FirstUse => "recorded now, at first use",
            };
            write!(f, "\n  key {} ({}), {why}", key.fingerprint(), key.user_id())?;
        }
        Ok(())
    }
}

/// The CLI configuration by which users install from the mirror.
fn configuration(outcome: &Outcome) -> String {
    let sources: BTreeSet<String> =
        outcome.providers.iter().map(|one| format!("{:?}", one.provider.to_string())).collect();
    let sources = sources.into_iter().collect::<Vec<_>>().join(", ");
    format!(
        "provider_installation {{\n  network_mirror {{\n    url     = {:?}\n    include = [{sources}]\n  }}\n  direct {{\n    \
         exclude = [{sources}]\n  }}\n}}",
        outcome.address
    )
}

impl Reporter {
    /// Prints the result of a mirroring, or of its dry run; `told` is what a CDN was told.
    pub fn mirrored(&self, outcome: &Outcome, told: Option<&invalidation::Outcome>, duration: Duration) {
        self.bars.clear();
        let report = MirrorReport::new(outcome, told, duration);
        match (self.format, self.volume) {
            (Format::Json, _) => return to_stdout(&to_json(&report)),
            (Format::Human, Volume::Quiet) => return,
            (Format::Human, _) => {}
        }
        let target = &outcome.target;
        if let Some(folder) = &report.dry_run {
            let plans: Vec<&Plan> = outcome.providers.iter().flat_map(|one| &one.plans).collect();
            for plan in plans {
                Self::plan(plan);
            }
            return to_stdout(&if report.outcome == "unchanged" {
                format!("{BOLD}Nothing to do.{BOLD:#} Nothing was written to {target}.")
            } else {
                format!(
                    "{BOLD}Dry run:{BOLD:#} nothing was written to {target}; the objects that would be written are in {folder}."
                )
            });
        }
        to_stdout(&if report.outcome == "unchanged" {
            format!("{BOLD}Already mirrored, nothing to do:{BOLD:#} all is in {target}")
        } else {
            format!(
                "{GREEN}{BOLD}Mirrored{BOLD:#}{GREEN:#} into {target}, in {:.2} s",
                duration.as_secs_f64()
            )
        });
        for one in &outcome.providers {
            to_stdout(&HumanProvider(one).to_string());
        }
        if report.outcome != "unchanged" {
            to_stdout(&format!(
                "Users install from it by their CLI configuration:\n{}",
                configuration(outcome)
            ));
        }
    }
}
