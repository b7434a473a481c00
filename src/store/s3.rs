//! Objects in an S3 bucket, or under a prefix of one.
//!
//! Conditional writes are sent once: a repeated write could conflict with its own first attempt. Reads are retried
//! within the store's time limit, which is that of the run. The SDK itself retries nothing. Every object is one
//! `PutObject`, streamed in constant memory, with its SHA-256 as `x-amz-checksum-sha256`.

pub mod encryption;
mod location;
mod read;
mod remedy;
mod request;
mod upload;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumMode};
use futures::stream::{BoxStream, StreamExt as _, TryStreamExt as _};
use sha2::{Digest as _, Sha256};

pub use location::Location;
pub use read::Clocks;

use super::access::{Access, Connection, DOCUMENT_TIMEOUT};
use super::identity::Identity;
use super::{
    Answer, Condition, Conditions, Form, Headers, HttpHeaders, Listed, Object, ObjectState, ObjectStore,
    OnSent, Revision, StoreError, Summary, readback,
};
use crate::content::{Digest, Sealed};
use crate::store::body::MachineClock;
use crate::store::budget::{Budget, Patience};
use crate::store::encoding::is_gzip;
use encryption::Encryption;
use read::Reading;
use remedy::Doing;
use request::{Explained, found};

/// An S3 bucket as a store.
#[derive(Clone)]
pub struct S3 {
    client: Client,
    identity: Identity,
    region_setting: &'static str,
    location: Location,
    encryption: Option<Encryption>,
    timeout: Duration,
    patience: Patience,
    clocks: Clocks,
    /// Whether this server has ever answered; if not, the address is probably wrong.
    answered: Arc<AtomicBool>,
    /// Whether the user has been told that reads are retried.
    troubled: Arc<AtomicBool>,
}

/// The minimum pace of an upload, in bytes per second.
const SLOWEST_UPLOAD: u64 = 50_000;

impl S3 {
    /// Connects to a bucket. Makes no request to it yet.
    ///
    /// # Errors
    /// Fails if the configuration names a profile that does not exist.
    pub async fn connect(location: Location, access: &Access) -> Result<Self, StoreError> {
        let Connection { client, identity, region_setting } = access.connect().await?;
        Ok(Self {
            identity,
            region_setting,
            encryption: access.encryption.clone(),
            patience: access.patience.clone(),
            ..Self::new(client, location)
        })
    }

    /// A store that sends its requests with `client`.
    pub fn new(client: Client, location: Location) -> Self {
        Self {
            client,
            identity: Identity::unknown(),
            region_setting: "AWS_REGION",
            location,
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

    /// The same, with another time limit for reads.
    #[must_use]
    pub fn with_patience(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }

    /// The same, with other clocks to measure the pace of answers.
    #[must_use]
    pub fn with_clocks(self, clocks: Clocks) -> Self {
        Self { clocks, ..self }
    }

    fn name(&self, key: impl std::fmt::Display) -> String {
        format!("s3://{}/{}", self.location.bucket(), self.location.within(key))
    }

    /// Reads an object to the end for its digest, for stores that keep no SHA-256.
    async fn digest_by_reading(&self, key: &str) -> Result<Option<Summary>, StoreError> {
        let Some(mut object) = self.open(key, Form::Decoded).await? else { return Ok(None) };
        let (mut hash, mut len) = (Sha256::new(), 0);
        while let Some(piece) = object.body.try_next().await? {
            hash.update(&piece);
            len += piece.len() as u64;
        }
        Ok(Some(Summary { len, digest: Digest::from_hasher(hash) }))
    }

    /// Requests an object, or the part of it after `at` bytes of the state that `tag` names. `None` only if the store
    /// answers that it does not exist.
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

    /// One page of a listing, and the start of the next one; `None` after the last.
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
}

#[async_trait]
impl ObjectStore for S3 {
    fn describe(&self) -> String {
        self.location.to_string()
    }

    fn conditions(&self) -> Conditions {
        Conditions::ToBeProven
    }

    async fn summary(&self, key: &str) -> Result<Option<Summary>, StoreError> {
        let Some(headers) = self.head(key).await? else { return Ok(None) };
        match (headers.digest, headers.len) {
            (Some(digest), Some(len)) => Ok(Some(Summary { len, digest })),
            _ => self.digest_by_reading(key).await,
        }
    }

    async fn head(&self, key: &str) -> Result<Option<Headers>, StoreError> {
        let request = self.client.head_object().bucket(self.location.bucket());
        let request = request.key(self.location.within(key)).checksum_mode(ChecksumMode::Enabled);
        let sent = || request.clone().send();
        let asked = self.ask(Doing::Read, key, &mut None, sent).await;
        let Some(head) = found(asked)? else { return Ok(None) };
        // The length and checksum of a compressed object are not those of its contents.
        let is_plain = !is_gzip(head.content_encoding());
        Ok(Some(Headers {
            len: head.content_length().filter(|_| is_plain).and_then(|len| u64::try_from(len).ok()),
            // A composite checksum, of a multipart upload, ends in `-PARTS` and is not a digest of the contents.
            digest: head.checksum_sha256().filter(|_| is_plain).and_then(Digest::from_base64),
            http: Some(HttpHeaders {
                content_type: head.content_type().map(str::to_owned),
                cache_control: head.cache_control().map(str::to_owned),
            }),
        }))
    }

    async fn open(&self, key: &str, form: Form) -> Result<Option<Object>, StoreError> {
        let Some((object, reading)) = Reading::open(self, key).await? else { return Ok(None) };
        let is_same = form == Form::Stored || !is_gzip(object.content_encoding());
        let headers = Headers {
            len: object.content_length().filter(|_| is_same).and_then(|len| u64::try_from(len).ok()),
            digest: None,
            http: Some(HttpHeaders {
                content_type: object.content_type().map(str::to_owned),
                cache_control: object.cache_control().map(str::to_owned),
            }),
        };
        let tag = object.e_tag().map(|tag| ObjectState::Named(Revision(tag.to_owned())));
        let body = if is_same { reading.stored() } else { reading.decoded() };
        Ok(Some(Object { headers, state: tag.unwrap_or(ObjectState::Unnamed), body }))
    }

    fn list<'a>(&'a self, folder: &str) -> BoxStream<'a, Result<Listed, StoreError>> {
        let prefix = super::with_slash(folder);
        // The first page, then each page from the end of the one before.
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

    async fn put(
        &self,
        key: &str,
        body: &Sealed,
        headers: &HttpHeaders,
        condition: &Condition,
        on_sent: OnSent,
    ) -> Answer {
        let timeout = self.timeout + Duration::from_secs(body.len() / SLOWEST_UPLOAD);
        let once = aws_sdk_s3::config::Builder::new()
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::builder().operation_attempt_timeout(timeout).build());
        let request = self
            .client
            .put_object()
            .bucket(self.location.bucket())
            .key(self.location.within(key))
            .set_content_type(headers.content_type.clone())
            .set_cache_control(headers.cache_control.clone())
            .content_length(i64::try_from(body.len()).unwrap_or(i64::MAX))
            // The algorithm is sent with the value: given the value alone, some servers ignore it, and accept a wrong
            // one.
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
