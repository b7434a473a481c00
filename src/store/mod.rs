//! Where objects live: a directory or an S3 bucket, behind one trait with conditional writes, [`ObjectStore`]; above it the
//! objects of a registry, [`RegistryStore`].
//!
//! A store knows keys and bytes, and no policy: what may be written when is decided by the plan.

pub mod access;
pub mod body;
pub mod budget;
pub mod directory;
pub(crate) mod encoding;
pub mod identity;
mod object;
pub mod readback;
mod registry_store;
pub mod s3;
pub mod snapshot;
pub mod trust;

use async_trait::async_trait;
use futures::stream::BoxStream;

use crate::content::{Digest, Sealed};

pub use crate::error::StoreError;
pub use object::{Body, Form, Headers, HttpHeaders, Object, ObjectState, Summary};
pub use registry_store::{Document, MAX_DOCUMENT, RegistryStore};

/// An object's state as the store names it: opaque, equal only to itself. On S3 the `ETag`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision(pub String);

impl Revision {
    /// The name of a state whose contents have this digest: equal contents are the same state.
    fn of_contents(digest: Digest) -> Self {
        Self(digest.to_string())
    }
}

/// An object that a listing has found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// Its key within the target; not always one that a registry has.
    pub key: String,
    /// Its length in bytes.
    pub len: u64,
}

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

/// A place for objects, by their names.
#[async_trait]
pub trait ObjectStore: Send + Sync {
    /// The place in the user's words, such as `s3://BUCKET/PREFIX`.
    fn describe(&self) -> String;

    /// Whether conditional writes must be proven first.
    fn conditions(&self) -> Conditions;

    /// Opens an object to be read once, in pieces; `None` only where the store says that it does not exist.
    async fn open(&self, key: &str, form: Form) -> Result<Option<Object>, StoreError>;

    /// What is told of an object without its bytes; `None` only where the store says that it does not exist.
    async fn head(&self, key: &str) -> Result<Option<Headers>, StoreError>;

    /// Length and digest of an object, read to its end where the store keeps no digest; `None` only where the store says
    /// that it does not exist.
    async fn summary(&self, key: &str) -> Result<Option<Summary>, StoreError>;

    /// Every object below `folder`, in the order of the keys' bytes; none where nothing is there. The folder is named with or
    /// without the slash at its end, which counts either way: `1.2.0` does not hold `1.2.0-rc.1/…`. Only a few keys are in
    /// memory at a time.
    ///
    /// What is written or removed meanwhile may be missing or there; all else is there. The policies of `tfreg policy` allow
    /// a listing within `store/` and `registry/`, and none of the whole bucket.
    fn list<'a>(&'a self, folder: &str) -> BoxStream<'a, Result<Listed, StoreError>>;

    /// Writes an object if `condition` holds, all at once or not at all, with `headers` where the store keeps any. Never
    /// repeats the write by itself.
    async fn put(
        &self,
        key: &str,
        body: &Sealed,
        headers: &HttpHeaders,
        condition: &Condition,
        on_sent: OnSent,
    ) -> Answer;
}

/// A folder as keys below it begin: empty, or ending in a slash.
fn with_slash(folder: &str) -> String {
    if folder.is_empty() || folder.ends_with('/') { folder.to_owned() } else { format!("{folder}/") }
}
