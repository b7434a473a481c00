//! Reading an object to its end: one reader for documents, digests, tarballs and verification.
//!
//! Documents and zips are read as clients read them: an object with `Content-Encoding: gzip` is decoded, as Go's HTTP
//! client does with an answer of S3 or a CDN that has this header.
//!
//! The bytes are counted as they arrive, whatever the answer's headers say. If an answer is cut short or arrives too
//! slowly, another request continues it where it ended, for the same state of the object (`Range` with `If-Match`),
//! within the store's time limit.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt as _};

use super::S3;
use crate::error::chain;
use crate::store::body::{self, BodyError, Clock, Limits, SLOWEST};
use crate::store::budget::Budget;
use crate::store::encoding::gunzip;
use crate::store::{Body, StoreError};

/// Makes the clocks that measure the pace of answers.
pub type Clocks = Arc<dyn Fn() -> Box<dyn Clock + Sync> + Send + Sync>;

/// The maximum size of any object of a registry or a release, for answers without a length.
const LARGEST: u64 = 64 << 30;
/// The minimum time limit of an answer, and the maximum one.
const SHORTEST_TIME: Duration = Duration::from_mins(5);
const LONGEST_TIME: Duration = Duration::from_hours(12);

/// A failure after at least this much progress since the last one starts a new budget.
const PROGRESS: u64 = 1 << 20;

/// An object that is being read.
pub(super) struct Reading {
    store: S3,
    key: String,
    /// The state that is read; an answer is continued only if the server names it.
    tag: Option<String>,
    len: Option<u64>,
    /// The number of bytes returned so far.
    at: u64,
    /// The number of bytes to skip, if the server starts again at the beginning.
    skip: u64,
    body: BoxStream<'static, Result<Bytes, BodyError<String>>>,
    budget: Option<Budget>,
    failed_at: u64,
}

impl Reading {
    /// Opens an object; `None` only if the store answers that it does not exist.
    pub(super) async fn open(store: &S3, key: &str) -> Result<Option<(GetObjectOutput, Self)>, StoreError> {
        let Some(mut object) = store.get_object(key, None, &mut None).await? else { return Ok(None) };
        let body = std::mem::take(&mut object.body);
        let len = object.content_length().and_then(|len| u64::try_from(len).ok());
        let reading = Self {
            store: store.clone(),
            key: key.to_owned(),
            tag: object.e_tag().map(str::to_owned),
            len,
            at: 0,
            skip: 0,
            body: bounded(body, len.unwrap_or(LARGEST), store),
            budget: None,
            failed_at: 0,
        };
        Ok(Some((object, reading)))
    }

    /// The next bytes, as stored; `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        loop {
            let failure = match self.body.next().await {
                Some(Ok(mut chunk)) => {
                    let skipped = self.skip.min(chunk.len() as u64);
                    self.skip -= skipped;
                    let chunk = chunk.split_off(usize::try_from(skipped).unwrap_or(chunk.len()));
                    if chunk.is_empty() {
                        continue;
                    }
                    self.at += chunk.len() as u64;
                    return Ok(Some(chunk));
                }
                None if self.skip == 0 && self.len.is_none_or(|len| len == self.at) => return Ok(None),
                None => "it ended early".to_owned(),
                Some(Err(error @ (BodyError::TooLarge { .. } | BodyError::TooLong { .. }))) => {
                    return Err(self.failed(&error.to_string()));
                }
                // All bytes have arrived; only the end of the answer is missing.
                Some(Err(_)) if self.skip == 0 && self.len == Some(self.at) => return Ok(None),
                Some(Err(error)) => error.to_string(),
            };
            self.reopen(&failure).await?;
        }
    }

    /// All pieces, as stored.
    pub(super) fn stored(self) -> Body {
        let pieces = stream::try_unfold(self, |mut reading| async {
            Ok(reading.next().await?.map(|piece| (piece, reading)))
        });
        pieces.boxed()
    }

    /// All pieces of an object with `Content-Encoding: gzip`, decoded as clients do.
    pub(super) fn decoded(self) -> Body {
        let template = self.failed("");
        let failed = move |error: BodyError<String>| StoreError {
            doing: template.doing.clone(),
            answer: error.to_string(),
            status: None,
            remedy: Some("upload it again, without the header Content-Encoding".to_owned()),
        };
        // The reader counts the bytes, and stops at its limit.
        gunzip(self.stored(), u64::MAX, failed).boxed()
    }

    /// Requests the rest, after a pause.
    async fn reopen(&mut self, failure: &str) -> Result<(), StoreError> {
        let Some(tag) = self.tag.clone() else {
            return Err(self.failed(&format!("the answer was cut short: {failure}")));
        };
        if self.at >= self.failed_at + PROGRESS {
            self.budget = None;
        }
        self.failed_at = self.at;
        let error = self.failed(&format!("the answer was cut short: {failure}"));
        self.store.wait(&mut self.budget, error).await?;
        let mut object = match self.store.get_object(&self.key, Some((self.at, &tag)), &mut self.budget).await
        {
            Ok(Some(object)) => object,
            Ok(None) => return Err(self.changed()),
            Err(error) if matches!(error.status, Some(412 | 416)) => return Err(self.changed()),
            Err(error) => return Err(error),
        };
        self.skip = match object.content_range() {
            Some(range) if range.starts_with(&format!("bytes {}-", self.at)) => 0,
            Some(range) => {
                let answer = format!("the server gave {range:?} where bytes {}- were asked for", self.at);
                return Err(self.failed(&answer));
            }
            // The server does not support ranges.
            None if object.e_tag() == Some(tag.as_str()) => self.at,
            None => return Err(self.changed()),
        };
        let left = self.len.unwrap_or(LARGEST).saturating_sub(self.at) + self.skip;
        self.body = bounded(std::mem::take(&mut object.body), left, &self.store);
        Ok(())
    }

    fn changed(&self) -> StoreError {
        StoreError {
            remedy: Some("run again, when nobody writes it".to_owned()),
            ..self.failed("it has changed while it was read")
        }
    }

    fn failed(&self, answer: &str) -> StoreError {
        let doing = format!("cannot read {}", self.store.name(&self.key));
        StoreError { doing, answer: answer.to_owned(), status: None, remedy: None }
    }
}

/// The pieces of an answer's body, of at most `len` bytes, within the limits.
fn bounded(body: ByteStream, len: u64, store: &S3) -> BoxStream<'static, Result<Bytes, BodyError<String>>> {
    let pieces = stream::try_unfold(body, |mut body| async {
        let piece = body.try_next().await.map_err(|error| chain(&error))?;
        Ok(piece.map(|piece| (piece, body)))
    });
    let total = Duration::from_secs(len / SLOWEST).clamp(SHORTEST_TIME, LONGEST_TIME);
    body::bounded(pieces, Limits::new(len, total), Boxed((store.clocks)())).boxed()
}

/// A clock that a test may supply.
struct Boxed(Box<dyn Clock + Sync>);

impl Clock for Boxed {
    fn now(&self) -> Duration {
        self.0.now()
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        self.0.sleep(duration)
    }
}
