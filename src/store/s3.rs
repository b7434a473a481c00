//! A registry in an S3 bucket, or under a prefix of one.
//!
//! Conditional writes are sent once, with the SDK's retries off: a repeated write could meet the echo of its own first
//! attempt. Reads are retried by the SDK. Every object is one `PutObject`, streamed in constant memory, with its SHA-256
//! as `x-amz-checksum-sha256`.

use std::error::Error as StdError;
use std::io::Read as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::primitives::{ByteStream, ByteStreamError};
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumMode};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt as _, TryStreamExt as _};
use http_body::{Body as HttpBody, Frame, SizeHint};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use super::access::{Access, DOCUMENT_TIMEOUT};
use super::{
    Answer, Body, Condition, Conditions, Document, Headers, HttpHeaders, Listed, MAX_DOCUMENT, OnSent,
    Revision, Store, StoreError, Summary, readback,
};
use crate::digest::Digest;
use crate::error::Error;
use crate::package::Sealed;
use crate::package::sealed::CHUNK;
use crate::registry::{DocumentMaxAge, Key};

/// A bucket, and the prefix in it under which the registry's keys begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    bucket: String,
    /// Empty, or ending in a slash.
    prefix: String,
}

impl Location {
    /// Reads `s3://BUCKET` or `s3://BUCKET/PREFIX`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let rest = text.strip_prefix("s3://").ok_or("expected s3://BUCKET or s3://BUCKET/PREFIX")?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        Self::new(bucket, prefix)
    }

    /// A bucket by its name, and a prefix with or without a slash at its end; an empty one stands for the whole bucket.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn new(bucket: &str, prefix: &str) -> Result<Self, String> {
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        if bucket.is_empty() || !bucket.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)) {
            return Err(format!(
                "{bucket:?} is no bucket name: these are of letters, digits, dots and dashes"
            ));
        }
        if !prefix.is_empty() && prefix.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(format!("the prefix {prefix:?} has an empty part, a \".\" or a \"..\""));
        }
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Ok(Self { bucket: bucket.to_owned(), prefix })
    }

    /// The bucket's name.
    #[must_use]
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// A key, or a pattern of keys, of the registry as it is in the bucket: behind the prefix.
    #[must_use]
    pub fn within(&self, key: impl std::fmt::Display) -> String {
        format!("{}{key}", self.prefix)
    }
}

impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.prefix)
    }
}

/// An S3 bucket as a store.
#[derive(Debug, Clone)]
pub struct S3 {
    client: Client,
    location: Location,
    max_age: DocumentMaxAge,
    timeout: Duration,
}

/// How often an object is read whose answer is cut short; as often as the SDK repeats a request.
const READ_ATTEMPTS: u32 = 3;
/// The slowest upload that is still worth waiting for, in bytes a second.
const SLOWEST_UPLOAD: u64 = 50_000;

/// Takes the next piece of an object; `None` when it begins anew.
pub type TakePiece<'a> = &'a mut (dyn FnMut(Option<&[u8]>) -> Result<(), Error> + Send);

impl S3 {
    /// Connects to a bucket. No request to it is made yet.
    pub async fn open(location: Location, access: &Access, max_age: DocumentMaxAge) -> Self {
        Self::new(access.client().await, location, max_age)
    }

    /// A store that sends its requests by `client`.
    pub fn new(client: Client, location: Location, max_age: DocumentMaxAge) -> Self {
        Self { client, location, max_age, timeout: DOCUMENT_TIMEOUT }
    }

    /// The same, waiting `timeout` instead of a minute for the answer to a write (and longer for a large one).
    #[must_use]
    pub fn with_write_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    fn key(&self, key: &Key) -> String {
        self.location.within(key)
    }

    fn name(&self, key: impl std::fmt::Display) -> String {
        format!("s3://{}/{}", self.location.bucket, self.location.within(key))
    }

    /// Reads an object to the end for its digest, for stores that keep no SHA-256.
    async fn digest_by_reading(&self, key: &Key) -> Result<Option<Summary>, StoreError> {
        self.read(key, async |object| {
            let (mut body, mut hash, mut len) = (object.body, Sha256::new(), 0);
            while let Some(chunk) = body.try_next().await? {
                hash.update(&chunk);
                len += chunk.len() as u64;
            }
            Ok(Summary { len, digest: Digest::from_hasher(hash) })
        })
        .await
    }

    /// Opens an object and reads it by `read`. The SDK repeats a request that fails, but not one whose body is cut short on
    /// the way, so that is done here.
    async fn read<T>(
        &self,
        key: &Key,
        read: impl AsyncFn(GetObjectOutput) -> Result<T, ByteStreamError>,
    ) -> Result<Option<T>, StoreError> {
        let mut attempt = 1;
        loop {
            let Some(object) = self.open_object(key).await? else { return Ok(None) };
            match read(object).await {
                Ok(read) => return Ok(Some(read)),
                Err(error) if attempt == READ_ATTEMPTS => return Err(self.cut_short(key, &error)),
                Err(error) => tracing::debug!(%key, attempt, "the answer was cut short: {}", chain(&error)),
            }
            attempt += 1;
        }
    }

    /// Reads the object that a listing has found under `key` from its beginning, giving its pieces to `take` in order. `None`
    /// means that it begins anew: the answer was cut short.
    ///
    /// # Errors
    /// It cannot be read, does not exist any more, or `take` fails.
    pub async fn download(&self, key: &str, take: TakePiece<'_>) -> Result<(), Error> {
        let mut attempt = 1;
        'again: loop {
            let Some(mut object) = self.open_object(key).await? else {
                let doing = format!("cannot read {}", self.name(key));
                let answer = "it was listed, and is not there any more".to_owned();
                return Err(StoreError { doing, answer, status: Some(404), remedy: None }.into());
            };
            loop {
                match object.body.try_next().await {
                    Ok(Some(chunk)) => take(Some(&chunk))?,
                    Ok(None) => return Ok(()),
                    Err(error) if attempt == READ_ATTEMPTS => return Err(self.cut_short(key, &error).into()),
                    Err(error) => {
                        tracing::debug!(%key, attempt, "the answer was cut short: {}", chain(&error));
                        take(None)?;
                        attempt += 1;
                        continue 'again;
                    }
                }
            }
        }
    }

    async fn open_object(&self, key: impl std::fmt::Display) -> Result<Option<GetObjectOutput>, StoreError> {
        let request = self.client.get_object().bucket(&self.location.bucket);
        let sent = request.key(self.location.within(&key)).send().await;
        match sent {
            Ok(object) => Ok(Some(object)),
            Err(error) => not_found_or(self.explain("cannot read", key, &error)),
        }
    }

    fn cut_short(&self, key: impl std::fmt::Display, error: &dyn StdError) -> StoreError {
        let doing = format!("cannot read {}", self.name(key));
        StoreError { doing, answer: chain(error), status: None, remedy: None }
    }

    /// One page of a listing, and where the next one begins; `None` behind the last.
    async fn page(
        &self,
        prefix: &str,
        after: Option<String>,
    ) -> Result<(Vec<Listed>, Option<String>), StoreError> {
        let request = self.client.list_objects_v2().bucket(&self.location.bucket);
        let request = request.prefix(self.location.within(prefix)).set_continuation_token(after);
        let page: ListObjectsV2Output =
            request.send().await.map_err(|error| self.explain("cannot list", prefix, &error).error)?;
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
            let key = object.key().and_then(|key| key.strip_prefix(&self.location.prefix));
            let key = key.filter(|key| key.starts_with(prefix));
            let key = key.ok_or_else(|| unusable("the answer has a key that was not asked for"))?;
            let len = object.size().and_then(|len| u64::try_from(len).ok());
            Ok(Listed { key: key.to_owned(), len: len.unwrap_or_default() })
        });
        Ok((listed.collect::<Result<_, StoreError>>()?, next))
    }

    fn explain<E>(
        &self,
        doing: &str,
        key: impl std::fmt::Display,
        error: &SdkError<E, HttpResponse>,
    ) -> Explained
    where
        E: ProvideErrorMetadata + StdError + 'static,
    {
        let status = error.raw_response().map(|response| response.status().as_u16());
        let code =
            error.as_service_error().and_then(ProvideErrorMetadata::code).unwrap_or_default().to_owned();
        let message = error.as_service_error().and_then(ProvideErrorMetadata::message).unwrap_or_default();
        let answer = match status {
            Some(status) => {
                let said = [code.as_str(), message].into_iter().filter(|text| !text.is_empty());
                let said = said.collect::<Vec<_>>().join(": ");
                format!("HTTP status {status}{}{said}", if said.is_empty() { "" } else { " " })
            }
            None => chain(error),
        };
        let bucket = &self.location.bucket;
        let remedy = match (status, code.as_str()) {
            (_, "NoSuchBucket") => Some(format!("create the bucket {bucket}, or correct its name")),
            (_, "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "ExpiredToken" | "RequestTimeTooSkewed") => {
                Some("check the AWS credentials, and this machine's clock".to_owned())
            }
            (Some(403), _) if doing == "cannot read" => Some(format!(
                "grant s3:GetObject on the registry's keys and s3:ListBucket on {bucket}: without the latter S3 answers 403 \
                 for what does not exist, and a missing index could not be told from an unreadable one"
            )),
            (Some(403), _) if doing == "cannot list" => {
                Some(format!("grant s3:ListBucket on {bucket}, for keys within the registry"))
            }
            (Some(403), _) => Some("grant the publisher s3:PutObject on the registry's keys".to_owned()),
            (
                Some(301 | 307) | None,
                "PermanentRedirect" | "TemporaryRedirect" | "AuthorizationHeaderMalformed",
            )
            | (Some(301), _) => Some("set AWS_REGION to the bucket's region".to_owned()),
            (None, _) if answer.contains("credential") => Some(
                "give AWS credentials: AWS_PROFILE, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a role"
                    .to_owned(),
            ),
            (None, _) => {
                Some("check the network, AWS_ENDPOINT_URL, AWS_REGION and the proxy settings".to_owned())
            }
            _ => None,
        };
        Explained {
            code,
            error: StoreError { doing: format!("{doing} {}", self.name(key)), answer, status, remedy },
        }
    }
}

/// A store error with S3's code for it. Decisions go by the status; the code only tells two kinds of 404 and 400 apart.
struct Explained {
    code: String,
    error: StoreError,
}

/// `None` for an object that does not exist; every other failure, a missing bucket too, stays one.
fn not_found_or<T>(explained: Explained) -> Result<Option<T>, StoreError> {
    if explained.error.status == Some(404) && explained.code != "NoSuchBucket" {
        Ok(None)
    } else {
        Err(explained.error)
    }
}

/// An error with its causes, each said once. The SDK's own `Display` says only "service error" or "dispatch failure".
fn chain(error: &dyn StdError) -> String {
    let mut parts: Vec<String> = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !parts.iter().any(|part| part.contains(&text)) {
            parts.push(text);
        }
        cause = error.source();
    }
    parts.join(": ")
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
        let read = self.read(key, async |object| {
            let too_large = object
                .content_length()
                .is_some_and(|len| u64::try_from(len).is_ok_and(|len| len > MAX_DOCUMENT));
            let revision = object.e_tag().map(|tag| Revision(tag.to_owned()));
            match (too_large, revision) {
                (true, _) => Ok(Err(format!("an object of more than {MAX_DOCUMENT} bytes is no document"))),
                (_, None) => {
                    Ok(Err("the answer has no ETag, without which no safe update is possible".to_owned()))
                }
                (_, Some(revision)) => {
                    Ok(Ok(Document { bytes: object.body.collect().await?.into_bytes(), revision }))
                }
            }
        });
        read.await?.transpose().map_err(|answer| StoreError {
            doing: format!("cannot read {}", self.name(key)),
            answer,
            status: None,
            remedy: Some("look at what is there; it is not what a registry holds".to_owned()),
        })
    }

    async fn summary(&self, key: &Key) -> Result<Option<Summary>, StoreError> {
        let Some(headers) = self.head(key).await? else { return Ok(None) };
        match (headers.digest, headers.len) {
            (Some(digest), Some(len)) => Ok(Some(Summary { len, digest })),
            _ => self.digest_by_reading(key).await,
        }
    }

    async fn head(&self, key: &Key) -> Result<Option<Headers>, StoreError> {
        let request = self.client.head_object().bucket(&self.location.bucket).key(self.key(key));
        let head = match request.checksum_mode(ChecksumMode::Enabled).send().await {
            Ok(head) => head,
            Err(error) => return not_found_or(self.explain("cannot read", key, &error)),
        };
        Ok(Some(Headers {
            len: head.content_length().and_then(|len| u64::try_from(len).ok()),
            // A composite checksum, of a multipart upload, ends in `-PARTS` and is no digest of the contents.
            digest: head.checksum_sha256().and_then(Digest::from_base64),
            http: Some(HttpHeaders {
                content_type: head.content_type().map(str::to_owned),
                cache_control: head.cache_control().map(str::to_owned),
            }),
        }))
    }

    async fn open(&self, key: &Key) -> Result<Option<(Headers, Body)>, StoreError> {
        let Some(object) = self.open_object(key).await? else { return Ok(None) };
        let headers = Headers {
            len: object.content_length().and_then(|len| u64::try_from(len).ok()),
            digest: None,
            http: Some(HttpHeaders {
                content_type: object.content_type().map(str::to_owned),
                cache_control: object.cache_control().map(str::to_owned),
            }),
        };
        let body = futures::stream::try_unfold(object.body, |mut body| async {
            let chunk = body.try_next().await.map_err(|error| chain(&error))?;
            Ok(chunk.map(|chunk| (chunk, body)))
        });
        Ok(Some((headers, body.boxed())))
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
            .bucket(&self.location.bucket)
            .key(self.key(key))
            .content_type(key.content_type())
            .cache_control(key.cache_control(self.max_age))
            .content_length(i64::try_from(body.len()).unwrap_or(i64::MAX))
            // The algorithm beside the value: with the value alone some servers ignore it, and accept a wrong one.
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .checksum_sha256(body.digest().to_base64())
            .body(stream(body, on_sent));
        let request = match condition {
            Condition::Absent => request.if_none_match("*"),
            Condition::Unchanged(Revision(tag)) => request.if_match(tag),
        };
        let Err(error) = request.customize().config_override(once).send().await else {
            return Answer::Written;
        };
        let Explained { code, error } = self.explain("cannot write", key, &error);
        readback::meaning(condition, error.status, &code, error)
    }
}

/// The request body of a sealed object: from memory, or streamed from its file by a thread that may block.
fn stream(sealed: &Sealed, on_sent: OnSent) -> ByteStream {
    if let Some(bytes) = sealed.bytes() {
        on_sent(sealed.len());
        return ByteStream::from(bytes.clone());
    }
    let (sender, chunks) = mpsc::channel(2);
    let mut reader = sealed.reader();
    tokio::task::spawn_blocking(move || {
        loop {
            let mut buffer = vec![0; CHUNK];
            let chunk = reader.read(&mut buffer).map(|count| {
                buffer.truncate(count);
                Bytes::from(buffer)
            });
            let (at_end, failed) = (chunk.as_ref().is_ok_and(Bytes::is_empty), chunk.is_err());
            // The receiver is gone when the request was given up.
            if at_end || sender.blocking_send(chunk).is_err() || failed {
                return;
            }
        }
    });
    ByteStream::from_body_1_x(FileBody { chunks, left: sealed.len(), on_sent })
}

struct FileBody {
    chunks: mpsc::Receiver<std::io::Result<Bytes>>,
    left: u64,
    on_sent: Arc<dyn Fn(u64) + Send + Sync>,
}

impl HttpBody for FileBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        self.chunks.poll_recv(context).map(|chunk| {
            chunk.map(|chunk| {
                chunk.map(|bytes| {
                    self.left = self.left.saturating_sub(bytes.len() as u64);
                    (self.on_sent)(bytes.len() as u64);
                    Frame::data(bytes)
                })
            })
        })
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_read() {
        for (text, shown) in [
            ("s3://bucket", "s3://bucket/"),
            ("s3://bucket/", "s3://bucket/"),
            ("s3://my.bucket-1/a/b", "s3://my.bucket-1/a/b/"),
            ("s3://bucket/a/", "s3://bucket/a/"),
        ] {
            assert_eq!(Location::parse(text).unwrap().to_string(), shown);
        }
        for bad in [
            "",
            "s3://",
            "s3:///x",
            "s3:/b",
            "http://b",
            "s3://b//x",
            "s3://b/../x",
            "s3://b/./x",
            "s3://b?x",
            "s3://b/x//",
        ] {
            assert!(Location::parse(bad).is_err(), "{bad}");
        }
    }
}
