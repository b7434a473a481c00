//! Sends requests and handles their failures: transient ones are retried, all others are explained.

use std::error::Error as StdError;
use std::sync::atomic::Ordering;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use super::S3;
use super::remedy::{Context, Doing, Failure};
use crate::store::StoreError;
use crate::store::budget::Budget;

/// The number of attempts with a server that has never answered.
const FIRST_ATTEMPTS: u32 = 3;

impl S3 {
    /// Sends a request that changes nothing until it is answered, or the time limit is reached.
    pub(super) async fn ask<T, E, F>(
        &self,
        doing: Doing,
        key: &str,
        budget: &mut Option<Budget>,
        send: impl Fn() -> F,
    ) -> Result<T, Explained>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + StdError + 'static,
    {
        let mut attempt = 1;
        loop {
            let error = match send().await {
                Ok(answer) => {
                    self.answered.store(true, Ordering::Relaxed);
                    self.troubled.store(false, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(error) => error,
            };
            let explained = self.explain(doing, key, &error);
            if explained.error.status.is_some() {
                self.answered.store(true, Ordering::Relaxed);
            }
            let unheard = !self.answered.load(Ordering::Relaxed) && attempt >= FIRST_ATTEMPTS;
            if !explained.passes || unheard {
                return Err(explained);
            }
            let Explained { code, error, .. } = explained;
            self.wait(budget, error).await.map_err(|error| Explained { code, error, passes: true })?;
            attempt += 1;
        }
    }

    /// Waits before the next attempt; returns the failure if the time limit is reached.
    pub(super) async fn wait(
        &self,
        budget: &mut Option<Budget>,
        error: StoreError,
    ) -> Result<(), StoreError> {
        tracing::debug!("{}: {}, trying again", error.doing, error.answer);
        // The user is not told of a single failure, and only once of several at the same time.
        if budget.is_some() && !self.troubled.swap(true, Ordering::Relaxed) {
            self.patience.tell(&format!("{}: {}", error.doing, error.answer));
        }
        match budget.get_or_insert_with(|| self.patience.budget()).wait().await {
            Ok(()) => Ok(()),
            Err(spent) if spent.is_zero() => Err(error),
            Err(spent) => Err(StoreError {
                answer: format!("{} (tried again for {} s)", error.answer, spent.as_secs()),
                ..error
            }),
        }
    }

    /// Explains a failure.
    pub(super) fn explain<E>(
        &self,
        doing: Doing,
        key: impl std::fmt::Display,
        error: &SdkError<E, HttpResponse>,
    ) -> Explained
    where
        E: ProvideErrorMetadata + StdError + 'static,
    {
        let failure = Failure::of(error, &self.identity);
        let context = Context {
            doing,
            bucket: self.location.bucket(),
            identity: &self.identity,
            region_setting: self.region_setting,
            encrypts: self.encryption.is_some(),
        };
        let error = StoreError {
            doing: format!("{} {}", doing.words(), self.name(key)),
            answer: failure.answer(),
            status: failure.status,
            remedy: failure.remedy(context),
        };
        Explained { passes: passes(&failure), code: failure.code, error }
    }
}

/// Whether a failure is transient, so that a read should be sent again.
fn passes(failure: &Failure) -> bool {
    match failure.status {
        _ if failure.is_unsigned() => false,
        Some(501 | 505 | 507) => false,
        // No status: a timeout, or a connection that was refused or closed.
        None | Some(408 | 429 | 500..) => true,
        Some(400) => failure.code == "RequestTimeout",
        // A successful answer whose document was cut short.
        Some(200..300) => !failure.is_web_page(),
        Some(_) => false,
    }
}

/// A store error with S3's code for it. Decisions depend on the status; the code only distinguishes two kinds of 404
/// and of 400.
pub(super) struct Explained {
    pub(super) code: String,
    /// Whether the same request may succeed a moment later.
    pub(super) passes: bool,
    pub(super) error: StoreError,
}

impl From<Explained> for StoreError {
    fn from(explained: Explained) -> Self {
        explained.error
    }
}

/// `None` if the object does not exist; every other failure, a missing bucket included, is returned.
pub(super) fn found<T>(answer: Result<T, Explained>) -> Result<Option<T>, StoreError> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(explained) if explained.error.status == Some(404) && explained.code != "NoSuchBucket" => Ok(None),
        Err(explained) => Err(explained.error),
    }
}
