//! What a run of several versions has published so far, for the message when it stops.

use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Unfinished, Versions};
use crate::publish;
use crate::workflow::target::Target;

/// The versions of a run, and which of them are published.
pub struct Progress {
    target: String,
    versions: Vec<String>,
    done: Mutex<Done>,
}

#[derive(Default)]
struct Done {
    versions: usize,
    written: Vec<String>,
}

impl Progress {
    /// Nothing of these versions is published yet.
    pub(in crate::workflow) fn of(target: &Target, versions: Vec<String>) -> Self {
        Self { target: target.to_string(), versions, done: Mutex::default() }
    }

    /// The next `count` versions are published.
    pub(in crate::workflow) fn published(&self, count: usize, run: &publish::Outcome) {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        done.versions += count;
        done.written.extend(run.written.keys().map(ToString::to_string));
    }

    /// The error of a run that `error` has stopped: it also says what is published. That of a run with one version says
    /// it already.
    #[must_use]
    pub fn stopped(&self, error: Error) -> Error {
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        let is_unwritten = !matches!(error, Error::Unfinished { .. } | Error::Interrupted);
        if self.versions.len() < 2 || is_unwritten && done.versions == 0 {
            return error;
        }
        let (cause, state) = match error {
            Error::Unfinished { cause, state } => (cause, Some(state)),
            cause => (Box::new(cause), None),
        };
        let (published, pending) = self.versions.split_at(done.versions.min(self.versions.len()));
        let completes = !matches!(*cause, Error::Refused(_));
        let mut written = done.written.clone();
        let mut unwritten = Vec::new();
        if let Some(state) = state {
            written.extend(state.written);
            unwritten = state.pending;
        }
        let state = Unfinished {
            target: self.target.clone(),
            written,
            pending: unwritten,
            consequence: "What is listed is whole at every point.".to_owned(),
            completes,
            versions: Some(Versions { published: published.to_vec(), pending: pending.to_vec() }),
        };
        Error::Unfinished { cause, state: Box::new(state) }
    }
}
