//! A registry in an S3 bucket, or under a prefix of one.
//!
//! Conditional writes are sent once: a repeated write could meet the echo of its own first attempt. Reads are sent again within
//! the store's patience, which is that of the run. The SDK itself repeats nothing. Every object is one `PutObject`, streamed in
//! constant memory, with its SHA-256 as `x-amz-checksum-sha256`.

pub mod encryption;
mod location;
mod read;
mod remedy;
mod upload;

use std::error::Error as StdError;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumMode};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use futures::stream::{BoxStream, StreamExt as _, TryStreamExt as _};
use sha2::{Digest as _, Sha256};

pub use location::Location;
pub use read::Clocks;

use super::access::{Access, Connection, DOCUMENT_TIMEOUT};
use super::identity::Identity;
use super::{
    Answer, Body, Condition, Conditions, Document, Headers, HttpHeaders, Listed, MAX_DOCUMENT, OnSent,
    Revision, Store, StoreError, Summary, readback,
};
use crate::content::{Digest, Sealed};
use crate::error::Error;
use crate::registry::{DocumentMaxAge, Key};
use crate::store::body::MachineClock;
use crate::store::budget::{Budget, Patience};
use crate::store::encoding::is_gzip;
use encryption::Encryption;
use read::Reading;
use remedy::{Context, Doing, Failure};

/// An S3 bucket as a store.
#[derive(Clone)]
pub struct S3 {
    client: Client,
    identity: Identity,
    region_setting: &'static str,
    location: Location,
    max_age: DocumentMaxAge,
    encryption: Option<Encryption>,
    timeout: Duration,
    patience: Patience,
    clocks: Clocks,
    /// Whether this server has ever answered: one that never did is likely to be a wrong address.
    answered: Arc<AtomicBool>,
    /// Whether it is told that reads are tried again.
    troubled: Arc<AtomicBool>,
}

/// How often a server is tried that has never answered.
const FIRST_ATTEMPTS: u32 = 3;
/// The slowest upload that is still worth waiting for, in bytes a second.
const SLOWEST_UPLOAD: u64 = 50_000;

/// Takes the next piece of an object.
pub type TakePiece<'a> = &'a mut (dyn FnMut(&[u8]) -> Result<(), Error> + Send);

impl S3 {
    /// Connects to a bucket. No request to it is made yet.
    ///
    /// # Errors
    /// The configuration names a profile that does not exist.
    pub async fn open(
        location: Location,
        access: &Access,
        max_age: DocumentMaxAge,
    ) -> Result<Self, StoreError> {
        let Connection { client, identity, region_setting } = access.connect().await?;
        Ok(Self {
            identity,
            region_setting,
            encryption: access.encryption.clone(),
            patience: access.patience.clone(),
            ..Self::new(client, location, max_age)
        })
    }

    /// A store that sends its requests by `client`.
    pub fn new(client: Client, location: Location, max_age: DocumentMaxAge) -> Self {
        Self {
            client,
            identity: Identity::unknown(),
            region_setting: "AWS_REGION",
            location,
            max_age,
            encryption: None,
            timeout: DOCUMENT_TIMEOUT,
            patience: Patience::default(),
            clocks: Arc::new(|| Box::new(MachineClock::start())),
            answered: Arc::default(),
            troubled: Arc::default(),
        }
    }

    /// The same, waiting `timeout` instead of a minute for the answer to a write (and longer for a large one).
    #[must_use]
    pub fn with_write_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// The same, with another patience for reads.
    #[must_use]
    pub fn with_patience(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }

    /// The same, measuring how fast answers come by other clocks.
    #[must_use]
    pub fn with_clocks(self, clocks: Clocks) -> Self {
        Self { clocks, ..self }
    }

    fn name(&self, key: impl std::fmt::Display) -> String {
        format!("s3://{}/{}", self.location.bucket(), self.location.within(key))
    }

    /// Reads an object to the end for its digest, for stores that keep no SHA-256.
    async fn digest_by_reading(&self, key: &Key) -> Result<Option<Summary>, StoreError> {
        let Some((_, reading)) = Reading::open(self, &key.to_string()).await? else { return Ok(None) };
        let (mut hash, mut len) = (Sha256::new(), 0);
        let mut pieces = reading.decoded();
        while let Some(chunk) = pieces.try_next().await? {
            hash.update(&chunk);
            len += chunk.len() as u64;
        }
        Ok(Some(Summary { len, digest: Digest::from_hasher(hash) }))
    }

    /// Reads the object that a listing has found under `key` from its beginning, giving its pieces to `take` in order, as they
    /// are kept: a tarball is a gzip file, whatever `Content-Encoding` says.
    ///
    /// # Errors
    /// It cannot be read, does not exist any more, or `take` fails.
    pub async fn download(&self, key: &str, take: TakePiece<'_>) -> Result<(), Error> {
        let Some((_, mut reading)) = Reading::open(self, key).await? else {
            let doing = format!("cannot read {}", self.name(key));
            let answer = "it was listed, and is not there any more".to_owned();
            return Err(StoreError { doing, answer, status: Some(404), remedy: None }.into());
        };
        while let Some(chunk) = reading.next().await? {
            take(&chunk)?;
        }
        Ok(())
    }

    /// Asks for an object, or for what is behind `at` bytes of the state that `tag` names. `None` only where the store says
    /// that it does not exist.
    async fn get_object(
        &self,
        key: &str,
        from: Option<(u64, &str)>,
        budget: &mut Option<Budget>,
    ) -> Result<Option<GetObjectOutput>, StoreError> {
        let request = self.client.get_object().bucket(self.location.bucket());
        let request = request.key(self.location.within(key));
        let request = match from {
            Some((at, tag)) => request.range(format!("bytes={at}-")).if_match(tag),
            None => request,
        };
        let sent = || request.clone().send();
        found(self.ask(Doing::Read, key, budget, sent).await)
    }

    /// Sends a request that changes nothing until it is answered, or the patience is used up.
    async fn ask<T, E, F>(
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

    /// Waits before what has failed is tried again; gives the failure back when the patience is used up.
    async fn wait(&self, budget: &mut Option<Budget>, error: StoreError) -> Result<(), StoreError> {
        tracing::debug!("{}: {}, trying again", error.doing, error.answer);
        // A single failure is nothing to tell of, nor are all of those that come at the same time.
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

    /// One page of a listing, and where the next one begins; `None` behind the last.
    async fn page(
        &self,
        prefix: &str,
        after: Option<String>,
    ) -> Result<(Vec<Listed>, Option<String>), StoreError> {
        let request = self.client.list_objects_v2().bucket(self.location.bucket());
        let request = request.prefix(self.location.within(prefix)).set_continuation_token(after);
        let sent = || request.clone().send();
        let page: ListObjectsV2Output =
            self.ask(Doing::List, prefix, &mut None, sent).await.map_err(|explained| explained.error)?;
        let unusable = |answer: &str| StoreError {
            doing: format!("cannot list {}", self.name(prefix)),
            answer: answer.to_owned(),
            status: None,
            remedy: None,
        };
        let next = match (page.is_truncated(), page.next_continuation_token()) {
            (Some(true), None) => {
                return Err(unusable("the answer is cut, and does not say where it goes on"));
            }
            (Some(true), Some(next)) => Some(next.to_owned()),
            _ => None,
        };
        let listed = page.contents().iter().map(|object| {
            let key = object.key().and_then(|key| key.strip_prefix(self.location.prefix()));
            let key = key.filter(|key| key.starts_with(prefix));
            let key = key.ok_or_else(|| unusable("the answer has a key that was not asked for"))?;
            let len = object.size().and_then(|len| u64::try_from(len).ok());
            Ok(Listed { key: key.to_owned(), len: len.unwrap_or_default() })
        });
        Ok((listed.collect::<Result<_, StoreError>>()?, next))
    }

    fn explain<E>(
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

/// Whether a failure passes by itself, so that a read is worth sending again.
fn passes(failure: &Failure) -> bool {
    match failure.status {
        _ if failure.is_unsigned() => false,
        Some(501 | 505 | 507) => false,
        // None: a timeout, or a connection that was refused or closed.
        None | Some(408 | 429 | 500..) => true,
        Some(400) => failure.code == "RequestTimeout",
        // An answer that was cut short within the document that it is.
        Some(200..300) => !failure.is_web_page(),
        Some(_) => false,
    }
}

/// A store error with S3's code for it. Decisions go by the status; the code only tells two kinds of 404 and 400 apart.
struct Explained {
    code: String,
    /// Whether the same request may succeed a moment later.
    passes: bool,
    error: StoreError,
}

/// `None` for an object that does not exist; every other failure, a missing bucket too, stays one.
fn found<T>(answer: Result<T, Explained>) -> Result<Option<T>, StoreError> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(explained) if explained.error.status == Some(404) && explained.code != "NoSuchBucket" => Ok(None),
        Err(explained) => Err(explained.error),
    }
}

#[async_trait]
impl Store for S3 {
    fn describe(&self) -> String {
        self.location.to_string()
    }

    fn conditions(&self) -> Conditions {
        Conditions::ToBeProven
    }

    async fn get(&self, key: &Key) -> Result<Option<Document>, StoreError> {
        let Some((object, reading)) = Reading::open(self, &key.to_string()).await? else { return Ok(None) };
        let unusable = |answer: String| StoreError {
            doing: format!("cannot read {}", self.name(key)),
            answer,
            status: None,
            remedy: Some("look at what is there; it is not what a registry holds".to_owned()),
        };
        let Some(tag) = object.e_tag() else {
            let answer = "the answer has no ETag, without which no safe update is possible";
            return Err(unusable(answer.to_owned()));
        };
        match reading.collect(MAX_DOCUMENT).await? {
            Some(bytes) => Ok(Some(Document { bytes, revision: Revision(tag.to_owned()) })),
            None => Err(unusable(format!("an object of more than {MAX_DOCUMENT} bytes is no document"))),
        }
    }

    async fn summary(&self, key: &Key) -> Result<Option<Summary>, StoreError> {
        let Some(headers) = self.head(key).await? else { return Ok(None) };
        match (headers.digest, headers.len) {
            (Some(digest), Some(len)) => Ok(Some(Summary { len, digest })),
            _ => self.digest_by_reading(key).await,
        }
    }

    async fn head(&self, key: &Key) -> Result<Option<Headers>, StoreError> {
        let request = self.client.head_object().bucket(self.location.bucket());
        let request = request.key(self.location.within(key)).checksum_mode(ChecksumMode::Enabled);
        let sent = || request.clone().send();
        let asked = self.ask(Doing::Read, &key.to_string(), &mut None, sent).await;
        let Some(head) = found(asked)? else { return Ok(None) };
        // Of what is kept compressed, length and checksum are not those of the contents.
        let is_plain = !is_gzip(head.content_encoding());
        Ok(Some(Headers {
            len: head.content_length().filter(|_| is_plain).and_then(|len| u64::try_from(len).ok()),
            // A composite checksum, of a multipart upload, ends in `-PARTS` and is no digest of the contents.
            digest: head.checksum_sha256().filter(|_| is_plain).and_then(Digest::from_base64),
            http: Some(HttpHeaders {
                content_type: head.content_type().map(str::to_owned),
                cache_control: head.cache_control().map(str::to_owned),
            }),
        }))
    }

    async fn open(&self, key: &Key) -> Result<Option<(Headers, Body)>, StoreError> {
        let Some((object, reading)) = Reading::open(self, &key.to_string()).await? else { return Ok(None) };
        let is_plain = !is_gzip(object.content_encoding());
        let headers = Headers {
            len: object.content_length().filter(|_| is_plain).and_then(|len| u64::try_from(len).ok()),
            digest: None,
            http: Some(HttpHeaders {
                content_type: object.content_type().map(str::to_owned),
                cache_control: object.cache_control().map(str::to_owned),
            }),
        };
        Ok(Some((headers, reading.decoded().map_err(|error| error.answer).boxed())))
    }

    fn list<'a>(&'a self, folder: &str) -> BoxStream<'a, Result<Listed, StoreError>> {
        let prefix = super::with_slash(folder);
        // The first page, then from where the last one ended.
        let pages = futures::stream::try_unfold(Some(None), move |after: Option<Option<String>>| {
            let prefix = prefix.clone();
            async move {
                let Some(after) = after else { return Ok(None) };
                let (page, next) = self.page(&prefix, after).await?;
                Ok::<_, StoreError>(Some((futures::stream::iter(page.into_iter().map(Ok)), next.map(Some))))
            }
        });
        pages.try_flatten().boxed()
    }

    async fn put(&self, key: &Key, body: &Sealed, condition: &Condition, on_sent: OnSent) -> Answer {
        let timeout = self.timeout + Duration::from_secs(body.len() / SLOWEST_UPLOAD);
        let once = aws_sdk_s3::config::Builder::new()
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::builder().operation_attempt_timeout(timeout).build());
        let request = self
            .client
            .put_object()
            .bucket(self.location.bucket())
            .key(self.location.within(key))
            .content_type(key.content_type())
            .cache_control(key.cache_control(self.max_age))
            .content_length(i64::try_from(body.len()).unwrap_or(i64::MAX))
            // The algorithm beside the value: with the value alone some servers ignore it, and accept a wrong one.
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .checksum_sha256(body.digest().to_base64())
            .body(upload::stream(body, on_sent));
        let request = match &self.encryption {
            Some(encryption) => encryption.ask(request),
            None => request,
        };
        let request = match condition {
            Condition::Absent => request.if_none_match("*"),
            Condition::Unchanged(Revision(tag)) => request.if_match(tag),
        };
        let Err(error) = request.customize().config_override(once).send().await else {
            self.answered.store(true, Ordering::Relaxed);
            return Answer::Written;
        };
        let Explained { code, passes, error } = self.explain(Doing::Write, key, &error);
        if error.status.is_none() && !passes {
            // It could not even be signed, so it was not sent.
            return Answer::Failed(error);
        }
        readback::meaning(condition, error.status, &code, error)
    }
}
