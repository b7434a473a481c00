//! The result of a command that changes what is published: `warn`, `yank`, `unyank`, `reindex`, `resign`.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::json::{ObjectReport, as_text, done_action, objects, planned_action, to_json};
use crate::plan::Plan;
use crate::provider::Provider;
use crate::publish::Outcome;

/// The result of a command other than publish, or of its dry run.
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
    /// The result of a dry run of `command`.
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

    /// The result of `command`; `changes` are those of its first plan.
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
