//! The parts that the results of several commands share as JSON (`--format json`). `docs/json-output.md` documents the
//! members.

use std::fmt;

use serde::Serialize;

use crate::plan::{Action, Plan, Write};
use crate::publish::{Effect, Outcome};
use crate::registry::Key;

/// An object that was written, would be written, or exists already.
#[derive(Debug, Serialize)]
pub(super) struct ObjectReport {
    pub(super) key: String,
    pub(super) action: &'static str,
    pub(super) sha256: String,
    pub(super) bytes: u64,
}

/// The action of a plan for an object, in a word.
pub(super) fn planned_action(plan: &Plan) -> impl Fn(&Key) -> &'static str {
    |key| match plan.writes().iter().find(|write| write.key == *key).map(|write| &write.action) {
        Some(Action::Create) => "create",
        Some(Action::Replace { .. }) => "change",
        _ => "unchanged",
    }
}

/// The action of a run for an object, in a word.
pub(super) fn done_action(outcome: &Outcome) -> impl Fn(&Key) -> &'static str {
    |key| match outcome.written.get(key) {
        Some(Effect::Created) => "created",
        Some(Effect::Changed) => "changed",
        None => "unchanged",
    }
}

/// The objects of a plan that are `wanted`, each with its `action`.
pub(super) fn objects(
    plan: &Plan,
    wanted: &dyn Fn(&Key) -> bool,
    action: &dyn Fn(&Key) -> &'static str,
) -> Vec<ObjectReport> {
    let object = |write: &Write| ObjectReport {
        key: write.key.to_string(),
        action: action(&write.key),
        sha256: write.body.digest().to_string(),
        bytes: write.body.len(),
    };
    plan.writes().iter().filter(|write| wanted(&write.key)).map(object).collect()
}

/// Writes a value as its text.
pub(super) fn as_text<S: serde::Serializer>(
    value: &impl fmt::Display,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// Formats a value as JSON.
pub(super) fn to_json(value: &impl Serialize) -> String {
    // Strings, numbers and lists always serialize; an empty object would indicate a bug.
    serde_json::to_string_pretty(value).unwrap_or_else(|_| "{}".to_owned())
}
