//! What a run of several versions has published so far, for the message when it stops.

use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Unfinished, Versions};
use crate::plan::PublishGoal;
use crate::plan::batch::Batch;
use crate::provider::ReleaseId;
use crate::publish;
use crate::workflow::target::Target;

/// The versions of a run, and which of them are published.
pub struct Progress {
    target: String,
    versions: Vec<ReleaseId>,
    done: Mutex<Done>,
}

#[derive(Default)]
struct Done {
    versions: usize,
    written: Vec<String>,
}

fn release(goal: &PublishGoal) -> ReleaseId {
    ReleaseId::new(&goal.provider, goal.packages.version())
}

impl Progress {
    /// Nothing of these versions is published yet.
    pub(super) fn of(target: &Target, goals: &[PublishGoal]) -> Self {
        let versions = goals.iter().map(release).collect();
        Self { target: target.to_string(), versions, done: Mutex::default() }
    }

    /// All versions of the next batch are published.
    pub(super) fn published(&self, batch: &Batch, run: &publish::Outcome) {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        done.versions += batch.goals().len();
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
        let names = |versions: &[ReleaseId]| versions.iter().map(ToString::to_string).collect();
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
            versions: Some(Versions { published: names(published), pending: names(pending) }),
        };
        Error::Unfinished { cause, state: Box::new(state) }
    }
}
