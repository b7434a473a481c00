//! The objects, S3's rules for them, and the observers of every write.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::SystemTime;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::header::{ETAG, HeaderMap};
use s3s::dto::{
    ChecksumMode, ETag, ETagCondition, GetObjectInput, GetObjectOutput, HeadBucketInput, HeadBucketOutput,
    HeadObjectInput, HeadObjectOutput, ListObjectsV2Input, ListObjectsV2Output, Object, PutObjectInput,
    PutObjectOutput, StreamingBlob,
};
use s3s::{Body, S3, S3Request, S3Response, S3Result, TrailingHeaders, s3_error};
use sha2::{Digest as _, Sha256};

use super::front::panic_text;
use super::lock;

/// The objects of a bucket, by key.
pub(crate) type Objects = BTreeMap<String, StoredObject>;

/// An object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredObject {
    /// The content.
    pub(crate) bytes: Bytes,
    /// The `ETag` with its quotes, as in the header. It depends on the content alone.
    pub(crate) etag: String,
    /// The content type that was sent.
    pub(crate) content_type: Option<String>,
    /// The cache control that was sent.
    pub(crate) cache_control: Option<String>,
    /// The content encoding that was sent.
    pub(crate) content_encoding: Option<String>,
    /// The SHA-256 in base64, if the client sent it (it was then right).
    pub(crate) checksum_sha256: Option<String>,
    /// The header `x-amz-sdk-checksum-algorithm` of the PUT, if it came.
    pub(crate) sdk_checksum_algorithm: Option<String>,
    /// When the object was written.
    pub(crate) last_modified: SystemTime,
}

impl StoredObject {
    /// An object with this content and nothing else.
    pub(crate) fn new(bytes: Bytes) -> Self {
        Self {
            etag: format!("\"{}\"", hex::encode(Sha256::digest(&bytes))),
            bytes,
            content_type: None,
            cache_control: None,
            content_encoding: None,
            checksum_sha256: None,
            sdk_checksum_algorithm: None,
            last_modified: SystemTime::now(),
        }
    }

    fn etag(&self) -> ETag {
        self.etag.parse().unwrap()
    }

    fn satisfies(&self, condition: &ETagCondition) -> bool {
        condition.as_etag().is_none_or(|etag| etag.strong_cmp(&self.etag()))
    }
}

/// All objects of all buckets at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    /// The buckets, by name.
    pub(crate) buckets: BTreeMap<String, Objects>,
}

impl Snapshot {
    /// The objects of a bucket.
    ///
    /// # Panics
    ///
    /// If there is no such bucket.
    pub(crate) fn bucket(&self, bucket: &str) -> &Objects {
        self.buckets.get(bucket).unwrap_or_else(|| panic!("no bucket {bucket:?}"))
    }

    fn find(&self, bucket: &str) -> S3Result<&Objects> {
        self.buckets.get(bucket).ok_or_else(|| s3_error!(NoSuchBucket))
    }
}

/// A write that took effect.
#[derive(Clone, Debug)]
pub(crate) struct WriteEvent {
    /// The bucket.
    pub(crate) bucket: String,
    /// The key.
    pub(crate) key: String,
    /// The object before the write; `None` if the write created it.
    pub(crate) before: Option<StoredObject>,
    /// The object after the write; `None` if the write deleted it.
    pub(crate) after: Option<StoredObject>,
    /// Who wrote.
    pub(crate) writer: Writer,
}

/// Who wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writer {
    /// A client, by a request.
    Client,
    /// The test, directly.
    Test,
}

/// How `If-Match` and `If-None-Match` of a PUT are treated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Conditions {
    /// As AWS does.
    #[default]
    Honoured,
    /// As if they had not been sent.
    Ignored,
    /// A PUT with one of them is answered with 501 `NotImplemented`.
    NotImplemented,
}

/// What is called after every write.
pub(super) type Observer = Box<dyn Fn(&Snapshot, &WriteEvent) + Send + Sync>;

/// Everything that is under the one lock.
#[derive(Default)]
pub(super) struct State {
    pub(super) snapshot: Snapshot,
    pub(super) history: Vec<WriteEvent>,
    pub(super) observers: Vec<Observer>,
    pub(super) conditions: Conditions,
    pub(super) page_size: usize,
    /// What went wrong in an observer or a hook, to be raised in the test's thread.
    pub(super) failures: Vec<String>,
}

impl State {
    /// Writes, or deletes, and tells the observers.
    pub(super) fn write(&mut self, bucket: &str, key: &str, after: Option<StoredObject>, writer: Writer) {
        let objects = self.snapshot.buckets.get_mut(bucket);
        let objects = objects.unwrap_or_else(|| panic!("no bucket {bucket:?}"));
        let before = match after.clone() {
            Some(object) => objects.insert(key.to_owned(), object),
            None => objects.remove(key),
        };
        if before.is_none() && after.is_none() {
            return;
        }
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        let event = WriteEvent { bucket, key, before, after, writer };
        for observer in &self.observers {
            let call = AssertUnwindSafe(|| observer(&self.snapshot, &event));
            if let Err(panic) = catch_unwind(call) {
                self.failures.push(format!("an observer panicked: {}", panic_text(&*panic)));
            }
        }
        self.history.push(event);
    }

    /// Whether the conditions let a PUT to `key` through.
    fn admit(&self, bucket: &str, key: &str, input: &Preconditions) -> S3Result<()> {
        let Preconditions { if_match, if_none_match } = input;
        let present = self.snapshot.find(bucket)?.get(key);
        match self.conditions {
            Conditions::Ignored => return Ok(()),
            Conditions::NotImplemented if if_match.is_some() || if_none_match.is_some() => {
                return Err(s3_error!(NotImplemented));
            }
            _ => {}
        }
        match if_none_match {
            Some(ETagCondition::ETag(_)) => return Err(s3_error!(NotImplemented)),
            Some(ETagCondition::Any) if present.is_some() => {
                return Err(s3_error!(PreconditionFailed));
            }
            _ => {}
        }
        match (if_match, present) {
            (None, _) => Ok(()),
            // AWS documents an ETag here and nothing else.
            (Some(ETagCondition::Any), _) => Err(s3_error!(NotImplemented)),
            (Some(_), None) => Err(s3_error!(NoSuchKey)),
            (Some(wanted), Some(object)) if object.satisfies(wanted) => Ok(()),
            (Some(_), Some(_)) => Err(s3_error!(PreconditionFailed)),
        }
    }

    /// The object for a GET or HEAD.
    fn read(&self, bucket: &str, key: &str, conditions: &Preconditions) -> S3Result<StoredObject> {
        let object = self.snapshot.find(bucket)?.get(key);
        let object = object.ok_or_else(|| s3_error!(NoSuchKey))?;
        let Preconditions { if_match, if_none_match } = conditions;
        if if_match.as_ref().is_some_and(|wanted| !object.satisfies(wanted)) {
            return Err(s3_error!(PreconditionFailed));
        }
        if if_none_match.as_ref().is_some_and(|known| object.satisfies(known)) {
            let mut error = s3_error!(NotModified);
            error.set_headers(HeaderMap::from_iter([(ETAG, object.etag.parse().unwrap())]));
            return Err(error);
        }
        Ok(object.clone())
    }
}

/// The conditions of a request, be it a read or a write.
struct Preconditions {
    if_match: Option<ETagCondition>,
    if_none_match: Option<ETagCondition>,
}

/// The map that is served as S3.
#[derive(Clone)]
pub(super) struct Store(Arc<Mutex<State>>);

impl Store {
    pub(super) fn new(buckets: &[&str]) -> Self {
        let buckets = buckets.iter().map(|name| ((*name).to_owned(), Objects::new())).collect();
        let snapshot = Snapshot { buckets };
        Self(Arc::new(Mutex::new(State { snapshot, page_size: 1000, ..State::default() })))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.0)
    }
}

/// Every operation that is not here is answered with `NotImplemented`, by `s3s`.
#[async_trait::async_trait]
impl S3 for Store {
    async fn head_bucket(
        &self,
        request: S3Request<HeadBucketInput>,
    ) -> S3Result<S3Response<HeadBucketOutput>> {
        self.lock().snapshot.find(&request.input.bucket)?;
        Ok(S3Response::new(HeadBucketOutput::default()))
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let GetObjectInput { bucket, key, if_match, if_none_match, range, .. } = request.input;
        let conditions = Preconditions { if_match, if_none_match };
        let object = self.lock().read(&bucket, &key, &conditions)?;
        let length = number(object.bytes.len());
        let part = range.map(|range| range.check(length)).transpose()?;
        // A checksum is one of the whole object, and so is not sent with a part.
        let checked = part.is_none() && wants_checksum(request.input.checksum_mode.as_ref());
        let bytes = match &part {
            Some(part) => object.bytes.slice(number::<_, usize>(part.start)..number(part.end)),
            None => object.bytes.clone(),
        };
        Ok(S3Response::new(GetObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            content_length: Some(number(bytes.len())),
            body: Some(StreamingBlob::from(Body::from(bytes))),
            content_range: part.map(|part| format!("bytes {}-{}/{length}", part.start, part.end - 1)),
            e_tag: Some(object.etag()),
            content_type: Some(object.content_type.unwrap_or_else(default_content_type)),
            cache_control: object.cache_control,
            content_encoding: object.content_encoding,
            checksum_sha256: object.checksum_sha256.filter(|_| checked),
            last_modified: Some(object.last_modified.into()),
            ..GetObjectOutput::default()
        }))
    }

    async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let HeadObjectInput { bucket, key, if_match, if_none_match, .. } = request.input;
        let conditions = Preconditions { if_match, if_none_match };
        let object = self.lock().read(&bucket, &key, &conditions)?;
        let checked = wants_checksum(request.input.checksum_mode.as_ref());
        Ok(S3Response::new(HeadObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            content_length: Some(number(object.bytes.len())),
            e_tag: Some(object.etag()),
            content_type: Some(object.content_type.unwrap_or_else(default_content_type)),
            cache_control: object.cache_control,
            content_encoding: object.content_encoding,
            checksum_sha256: object.checksum_sha256.filter(|_| checked),
            last_modified: Some(object.last_modified.into()),
            ..HeadObjectOutput::default()
        }))
    }

    async fn put_object(
        &self,
        mut request: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        let body = Body::from(request.input.body.take().unwrap()).collect().await;
        let bytes = body.map_err(|error| s3_error!(IncompleteBody, "{error}"))?.to_bytes();
        let sdk_checksum_algorithm = sdk_checksum_algorithm(&request);
        let checksum_sha256 = verify_checksum(&request, &bytes)?;
        let PutObjectInput { bucket, key, if_match, if_none_match, .. } = request.input;
        let object = StoredObject {
            content_type: request.input.content_type,
            cache_control: request.input.cache_control,
            content_encoding: request.input.content_encoding.filter(|encoding| encoding != "aws-chunked"),
            checksum_sha256: checksum_sha256.clone(),
            sdk_checksum_algorithm,
            ..StoredObject::new(bytes)
        };
        let e_tag = Some(object.etag());
        {
            let mut state = self.lock();
            state.admit(&bucket, &key, &Preconditions { if_match, if_none_match })?;
            state.write(&bucket, &key, Some(object), Writer::Client);
        }
        Ok(S3Response::new(PutObjectOutput { e_tag, checksum_sha256, ..PutObjectOutput::default() }))
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = request.input;
        if input.delimiter.is_some() || input.encoding_type.is_some() {
            return Err(s3_error!(NotImplemented));
        }
        let asked = usize::try_from(input.max_keys.unwrap_or(1000))
            .map_err(|_| s3_error!(InvalidArgument, "max-keys"))?;
        let after = match &input.continuation_token {
            Some(token) => Some(key_of_token(token)?),
            None => input.start_after.clone(),
        };
        let prefix = input.prefix.clone().unwrap_or_default();
        let state = self.lock();
        let limit = asked.min(state.page_size);
        let objects = state.snapshot.find(&input.bucket)?.iter();
        let mut keys = objects
            .filter(|(key, _)| key.starts_with(&prefix) && after.as_ref().is_none_or(|after| *key > after));
        let page: Vec<_> = keys.by_ref().take(limit).collect();
        let last = page.last().filter(|_| keys.next().is_some());
        let entry = |(key, object): &(&String, &StoredObject)| Object {
            key: Some((*key).clone()),
            size: Some(number(object.bytes.len())),
            e_tag: Some(object.etag()),
            last_modified: Some(object.last_modified.into()),
            ..Object::default()
        };
        Ok(S3Response::new(ListObjectsV2Output {
            contents: Some(page.iter().map(entry).collect()),
            key_count: Some(number(page.len())),
            max_keys: Some(number(asked.min(1000))),
            is_truncated: Some(last.is_some()),
            next_continuation_token: last.map(|(key, _)| hex::encode(key)),
            continuation_token: input.continuation_token,
            start_after: input.start_after,
            prefix: input.prefix,
            name: Some(input.bucket),
            ..ListObjectsV2Output::default()
        }))
    }
}

/// Checks the SHA-256 if it came, in a header or a trailer, and returns it.
///
/// Like AWS, refuses an announced algorithm without its checksum.
fn verify_checksum(request: &S3Request<PutObjectInput>, bytes: &[u8]) -> S3Result<Option<String>> {
    let trailers = request.trailing_headers.as_ref().and_then(TrailingHeaders::take).unwrap_or_default();
    let sent = |algorithm: &str| {
        let name = format!("x-amz-checksum-{}", algorithm.to_ascii_lowercase());
        let value = request.headers.get(&name).or_else(|| trailers.get(&name))?;
        Some(value.to_str().unwrap().to_owned())
    };
    if sdk_checksum_algorithm(request).is_some_and(|algorithm| sent(&algorithm).is_none()) {
        return Err(s3_error!(InvalidRequest, "an algorithm, but no corresponding checksum"));
    }
    let sha256 = sent("sha256");
    let right = sha256.as_ref().is_none_or(|sent| *sent == BASE64_STANDARD.encode(Sha256::digest(bytes)));
    if right { Ok(sha256) } else { Err(s3_error!(BadDigest)) }
}

fn sdk_checksum_algorithm(request: &S3Request<PutObjectInput>) -> Option<String> {
    let algorithm = request.headers.get("x-amz-sdk-checksum-algorithm")?;
    Some(algorithm.to_str().unwrap().to_owned())
}

fn wants_checksum(mode: Option<&ChecksumMode>) -> bool {
    mode.is_some_and(|mode| mode.as_str() == ChecksumMode::ENABLED)
}

/// The same number in another type.
fn number<A, B: TryFrom<A, Error: Debug>>(number: A) -> B {
    B::try_from(number).unwrap()
}

fn default_content_type() -> String {
    "binary/octet-stream".to_owned()
}

fn key_of_token(token: &str) -> S3Result<String> {
    let key = hex::decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    key.ok_or_else(|| s3_error!(InvalidArgument, "continuation-token"))
}
