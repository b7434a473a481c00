//! Where a registry lives: a directory or an S3 bucket, behind one trait with conditional writes.
//!
//! A store knows keys and bytes, and no policy: what may be written when is decided by the plan.

pub mod access;
pub mod body;
pub mod budget;
pub mod directory;
pub(crate) mod encoding;
pub mod identity;
pub mod readback;
pub mod s3;
pub mod snapshot;
pub mod trust;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

use crate::content::{Digest, Sealed};
use crate::registry::Key;

pub use crate::error::StoreError;

/// An object's state as the store names it: opaque, equal only to itself. On S3 the `ETag`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision(pub String);

/// A document as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its bytes.
    pub bytes: Bytes,
    /// The state that was read; a later replace can be made to depend on it.
    pub revision: Revision,
}

/// What a store tells of an object without giving its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Its length in bytes.
    pub len: u64,
    /// Its SHA-256.
    pub digest: Digest,
}

/// An object that a listing has found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// Its key within the target; not always one that a registry has.
    pub key: String,
    /// Its length in bytes.
    pub len: u64,
}

/// What a store tells of an object besides its contents.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers {
    /// Its length in bytes.
    pub len: Option<u64>,
    /// Its SHA-256, where one is kept beside it.
    pub digest: Option<Digest>,
    /// What is sent along with it over HTTP. `None` for files: of them the web server decides.
    pub http: Option<HttpHeaders>,
}

/// Headers that clients and CDNs go by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HttpHeaders {
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// `Cache-Control`.
    pub cache_control: Option<String>,
}

/// An object's bytes as they arrive; a failure in words.
pub type Body = BoxStream<'static, Result<Bytes, String>>;

/// What must be true of an object for a write to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// It does not exist (`If-None-Match: *`).
    Absent,
    /// It is still what was read (`If-Match: REVISION`).
    Unchanged(Revision),
}

/// What a store answered to a conditional write.
#[derive(Debug)]
pub enum Answer {
    /// The object is written.
    Written,
    /// The condition did not hold, or another write was under way: nothing was written. Carries the answer in words.
    ConditionFailed(String),
    /// Another writer keeps the store to itself: nothing was compared or written. Says who, where that is known.
    Busy(String),
    /// No answer, or one that leaves open whether the write took effect (a timeout, a dropped connection, a 5xx).
    Unknown(StoreError),
    /// The store refuses such writes (not authorised, no such bucket, …); repeating them is of no use.
    Failed(StoreError),
}

/// How well a store is known to honour conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conditions {
    /// This program's own code does.
    Built,
    /// It is somebody else's server, and must prove it before it is trusted with an index.
    ToBeProven,
}

/// Is told of bytes as they are sent.
pub type OnSent = std::sync::Arc<dyn Fn(u64) + Send + Sync>;

/// A place for a registry's objects.
#[async_trait]
pub trait Store: Send + Sync {
    /// The target in the user's words, such as `s3://BUCKET/PREFIX`.
    fn describe(&self) -> String;

    /// Whether conditional writes must be proven first.
    fn conditions(&self) -> Conditions;

    /// Reads a document; `None` only where the store says that it does not exist.
    async fn get(&self, key: &Key) -> Result<Option<Document>, StoreError>;

    /// Length and digest of an object; `None` only where the store says that it does not exist.
    async fn summary(&self, key: &Key) -> Result<Option<Summary>, StoreError>;

    /// What is told of an object without its bytes; `None` only where the store says that it does not exist.
    async fn head(&self, key: &Key) -> Result<Option<Headers>, StoreError>;

    /// Opens an object to be read once, in pieces; `None` only where the store says that it does not exist.
    async fn open(&self, key: &Key) -> Result<Option<(Headers, Body)>, StoreError>;

    /// Every object below `folder`, in the order of the keys' bytes; none where nothing is there. The folder is named with or
    /// without the slash at its end, which counts either way: `1.2.0` does not hold `1.2.0-rc.1/…`. Only a few keys are in
    /// memory at a time.
    ///
    /// What is written or removed meanwhile may be missing or there; all else is there. The policies of `tfreg policy` allow
    /// a listing within `store/` and `registry/`, and none of the whole bucket.
    fn list<'a>(&'a self, folder: &str) -> BoxStream<'a, Result<Listed, StoreError>>;

    /// Writes an object if `condition` holds, all at once or not at all. Never repeats the write by itself.
    async fn put(&self, key: &Key, body: &Sealed, condition: &Condition, on_sent: OnSent) -> Answer;
}

/// A folder as keys below it begin: empty, or ending in a slash.
fn with_slash(folder: &str) -> String {
    if folder.is_empty() || folder.ends_with('/') { folder.to_owned() } else { format!("{folder}/") }
}

/// Documents are small; anything larger than this is no index (10,000 versions with 12 platforms each take 10 MiB).
pub const MAX_DOCUMENT: u64 = 32 << 20;
