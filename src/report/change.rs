//! The result of a command that changes what is published, or the settings: `warn`, `yank`, `unyank`, `reindex`, `resign`,
//! `init`.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::invalidation::InvalidationReport;
use super::json::{ObjectReport, done_action, objects, planned_action, to_json};
use crate::plan::Plan;
use crate::provider::Provider;
use crate::publish::Outcome;
use crate::registry::Key;
use crate::workflow::invalidation;

/// The result of a command other than publish, or of its dry run.
#[derive(Debug, Serialize)]
pub struct ChangeReport {
    outcome: &'static str,
    command: &'static str,
    pub(super) target: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) dry_run: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<String>,
    pub(super) changes: Vec<String>,
    /// The settings as they are, or would be, afterwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    settings: Option<Value>,
    objects: Vec<ObjectReport>,
    pub(super) warnings: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    invalidation: Option<InvalidationReport>,
    duration_ms: u64,
}

/// The settings, if the plan is about them.
fn settings(plan: &Plan) -> Option<Value> {
    let write = plan.writes().iter().find(|write| write.key == Key::Settings)?;
    serde_json::from_slice(write.body.bytes()?).ok()
}

impl ChangeReport {
    /// The result of a dry run of `command`.
    #[must_use]
    pub fn planned(
        command: &'static str,
        (target, provider): (String, Option<&Provider>),
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
            objects(plan, &|_| true, &planned_action(plan)),
            duration,
        );
        Self { changes: plan.changes().to_vec(), dry_run: Some(folder.display().to_string()), ..report }
    }

    /// The result of `command`; `changes` are those of its first plan.
    #[must_use]
    pub fn done(
        command: &'static str,
        (target, provider): (String, Option<&Provider>),
        outcome: &Outcome,
        changes: Vec<String>,
        duration: Duration,
    ) -> Self {
        let word = if outcome.written.is_empty() { "unchanged" } else { "changed" };
        let objects = objects(&outcome.plan, &|_| true, &done_action(outcome));
        Self { changes, ..Self::new(word, command, (target, provider), &outcome.plan, objects, duration) }
    }

    /// With what a CDN was told, if it was to be.
    #[must_use]
    pub fn with_invalidation(self, told: Option<&invalidation::Outcome>) -> Self {
        Self { invalidation: told.map(InvalidationReport::from), ..self }
    }

    fn new(
        outcome: &'static str,
        command: &'static str,
        (target, provider): (String, Option<&Provider>),
        plan: &Plan,
        objects: Vec<ObjectReport>,
        duration: Duration,
    ) -> Self {
        Self {
            outcome,
            command,
            target,
            dry_run: None,
            provider: provider.map(ToString::to_string),
            changes: Vec::new(),
            settings: settings(plan),
            objects,
            warnings: plan.warnings().to_vec(),
            invalidation: None,
            duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// What was to be changed, in words.
    pub(super) fn about(&self) -> &str {
        match (&self.provider, self.command) {
            (Some(provider), _) => provider,
            (None, "init") => "the settings",
            (None, _) => "the registry",
        }
    }

    pub(super) fn is_unchanged(&self) -> bool {
        self.outcome == "unchanged"
    }

    /// Whether all that it is about was created, where nothing was before: the settings.
    pub(super) fn is_new(&self) -> bool {
        self.settings.is_some() && self.objects.iter().all(|object| object.action == "created")
    }

    pub(super) fn to_json(&self) -> String {
        to_json(self)
    }
}
