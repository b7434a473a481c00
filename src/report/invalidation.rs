//! What a CDN was told, as a part of results as JSON.

use serde::Serialize;

use crate::workflow::invalidation::{End, Outcome};

/// What a distribution was told.
#[derive(Debug, Serialize)]
pub(super) struct InvalidationReport {
    outcome: &'static str,
    distribution: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    paths: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<String>,
}

impl From<&Outcome> for InvalidationReport {
    fn from(Outcome { distribution, paths, end }: &Outcome) -> Self {
        let (outcome, id, message, command) = match end.clone() {
            End::NotNeeded => ("not_needed", None, None, None),
            End::Told { id } => ("told", Some(id), None, None),
            End::Failed { message, command } => ("failed", None, Some(message), Some(command)),
        };
        Self { outcome, distribution: distribution.to_string(), id, paths: paths.clone(), message, command }
    }
}
