//! A failure as JSON.

use serde::Serialize;

use super::json::to_json;
use super::masked::masked;
use crate::error::{Error, Refusal};

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

/// A failure as JSON: its kind, the exit code, and the message for people.
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
        #[serde(skip_serializing_if = "Option::is_none")]
        published_versions: Option<Vec<String>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        other_versions: Option<Vec<String>>,
    }
    let (cause, state) = match error {
        Error::Unfinished { cause, state } => (&**cause, Some(state)),
        other => (other, None),
    };
    let versions = state.and_then(|state| state.versions.as_ref());
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
        published_versions: versions.map(|versions| versions.published.clone()),
        other_versions: versions.map(|versions| versions.pending.clone()),
    })
}
