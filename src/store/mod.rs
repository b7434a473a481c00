//! Storage of objects: a directory or an S3 bucket, behind one trait with conditional writes, [`ObjectStore`]; above it
//! the objects of a registry, [`RegistryStore`].
//!
//! A store handles keys and bytes only; the plan decides which objects may be written when.

pub mod access;
pub mod body;
pub mod budget;
mod connector;
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

/// The state of an object, as the store names it: opaque, and equal only to itself. On S3 the `ETag`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision(pub String);

impl Revision {
    /// The name of a state whose contents have this digest: equal contents are the same state.
    fn of_contents(digest: Digest) -> Self {
        Self(digest.to_string())
    }
}

/// An object found by a listing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// Its key within the target; not always a key of a registry.
    pub key: String,
    /// Its length in bytes.
    pub len: u64,
}

/// The condition of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// The object does not exist (`If-None-Match: *`).
    Absent,
    /// The object has not changed since it was read (`If-Match: REVISION`).
    Unchanged(Revision),
}

/// The answer of a store to a conditional write.
#[derive(Debug)]
pub enum Answer {
    /// The object is written.
    Written,
    /// The condition did not hold, or another write was under way: nothing was written. Contains the answer in words.
    ConditionFailed(String),
    /// Another writer has locked the store: nothing was compared or written. Names that writer, if it is known.
    Busy(String),
    /// No answer, or one that leaves open whether the write took effect (a timeout, a dropped connection, a 5xx).
    Unknown(StoreError),
    /// The store rejects such writes (not authorised, no such bucket, …); repeating them does not help.
    Failed(StoreError),
}

/// Whether a store is known to honour conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conditions {
    /// This program implements them.
    Built,
    /// It is a server of unknown behaviour, and must be checked before an index is written to it.
    ToBeProven,
}

/// Called with the number of bytes as they are sent.
pub type OnSent = std::sync::Arc<dyn Fn(u64) + Send + Sync>;

/// A store of objects by name.
#[async_trait]
pub trait ObjectStore: Send + Sync {
    /// The store in the user's words, such as `s3://BUCKET/PREFIX`.
    fn describe(&self) -> String;

    /// Whether conditional writes must be checked first.
    fn conditions(&self) -> Conditions;

    /// Opens an object to be read once, in pieces; `None` only if the store answers that it does not exist.
    async fn open(&self, key: &str, form: Form) -> Result<Option<Object>, StoreError>;

    /// The length, digest and headers of an object, without its bytes; `None` only if the store answers that it does
    /// not exist.
    async fn head(&self, key: &str) -> Result<Option<Headers>, StoreError>;

    /// The length and digest of an object, which is read to its end if the store keeps no digest; `None` only if the
    /// store answers that it does not exist.
    async fn summary(&self, key: &str) -> Result<Option<Summary>, StoreError>;

    /// All objects below `folder`, in the order of the keys' bytes; none if there are none. The folder may be named
    /// with or without its final slash, which is implied: `1.2.0` does not contain `1.2.0-rc.1/…`. Only a few keys are
    /// in memory at a time.
    ///
    /// Objects that are written or removed during the listing may be included or not; all others are included. The
    /// policies of `tfreg policy` allow a listing within `store/` and `registry/`, but not of the whole bucket.
    fn list<'a>(&'a self, folder: &str) -> BoxStream<'a, Result<Listed, StoreError>>;

    /// Writes an object if `condition` holds, all at once or not at all, with `headers` if the store keeps any. Never
    /// repeats the write.
    async fn put(
        &self,
        key: &str,
        body: &Sealed,
        headers: &HttpHeaders,
        condition: &Condition,
        on_sent: OnSent,
    ) -> Answer;
}

/// The prefix of the keys below a folder: empty, or ending in a slash.
fn with_slash(folder: &str) -> String {
    if folder.is_empty() || folder.ends_with('/') { folder.to_owned() } else { format!("{folder}/") }
}
