//! A registry's objects in a store: maps keys to names, content types and cache rules.

use std::sync::Arc;

use bytes::Bytes;
use futures::stream::BoxStream;

use super::{
    Answer, Condition, Conditions, Form, Headers, HttpHeaders, Listed, Object, ObjectState, ObjectStore,
    OnSent, Revision, StoreError, Summary,
};
use crate::content::{Digest, Sealed};
use crate::registry::{DocumentMaxAge, Key};

/// Documents are small; anything larger is not an index (10,000 versions with 12 platforms each take 10 MiB).
pub const MAX_DOCUMENT: u64 = 32 << 20;

/// A document as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its bytes.
    pub bytes: Bytes,
    /// The state that was read, for the condition of a later replacement.
    pub revision: Revision,
}

/// A store of a registry's objects.
#[derive(Clone)]
pub struct RegistryStore {
    objects: Arc<dyn ObjectStore>,
    max_age: DocumentMaxAge,
}

impl RegistryStore {
    /// The registry in `objects`. CDNs may keep written documents for `max_age`.
    pub fn new(objects: impl ObjectStore + 'static, max_age: DocumentMaxAge) -> Self {
        Self { objects: Arc::new(objects), max_age }
    }

    /// The same registry, whose documents CDNs may keep for `max_age` once they are written from here on.
    #[must_use]
    pub fn with_max_age(&self, max_age: DocumentMaxAge) -> Self {
        Self { objects: Arc::clone(&self.objects), max_age }
    }

    /// The registry in `objects`, with the default cache rule.
    pub fn of(objects: impl ObjectStore + 'static) -> Self {
        Self::new(objects, DocumentMaxAge::default())
    }

    /// The same registry, with the store that `objects` makes of the present one.
    pub(super) fn behind<S: ObjectStore + 'static>(
        self,
        objects: impl FnOnce(Arc<dyn ObjectStore>) -> S,
    ) -> Self {
        Self { objects: Arc::new(objects(self.objects)), max_age: self.max_age }
    }

    /// The target in the user's words, such as `s3://BUCKET/PREFIX`.
    #[must_use]
    pub fn describe(&self) -> String {
        self.objects.describe()
    }

    /// Whether conditional writes must be checked first.
    #[must_use]
    pub fn conditions(&self) -> Conditions {
        self.objects.conditions()
    }

    /// Reads a document; `None` only if the store answers that it does not exist.
    ///
    /// # Errors
    /// Fails if it cannot be read, is larger than [`MAX_DOCUMENT`], or cannot be replaced safely because its state has
    /// no name.
    pub async fn get(&self, key: &Key) -> Result<Option<Document>, StoreError> {
        let Some(object) = self.open(key).await? else { return Ok(None) };
        let unusable = |answer: String| StoreError {
            doing: format!("cannot read {key} in {}", self.describe()),
            answer,
            status: None,
            remedy: Some("look at what is there; it is not what a registry holds".to_owned()),
        };
        let named = match &object.state {
            ObjectState::Named(revision) => Some(revision.clone()),
            ObjectState::Contents => None,
            ObjectState::Unnamed => {
                let answer = "the answer has no ETag, without which no safe update is possible";
                return Err(unusable(answer.to_owned()));
            }
        };
        let Some(bytes) = object.collect(MAX_DOCUMENT).await? else {
            return Err(unusable(format!("an object of more than {MAX_DOCUMENT} bytes is no document")));
        };
        let revision = if let Some(revision) = named {
            revision
        } else {
            let contents = bytes.clone();
            let digest = tokio::task::spawn_blocking(move || Digest::of(&contents)).await;
            Revision::of_contents(digest.map_err(|error| unusable(error.to_string()))?)
        };
        Ok(Some(Document { bytes, revision }))
    }

    /// The length and digest of an object; `None` only if the store answers that it does not exist.
    ///
    /// # Errors
    /// Fails if it cannot be read.
    pub async fn summary(&self, key: &Key) -> Result<Option<Summary>, StoreError> {
        self.objects.summary(&key.to_string()).await
    }

    /// The metadata of an object, without its bytes; `None` only if the store answers that it does not exist.
    ///
    /// # Errors
    /// Fails if the request fails.
    pub async fn head(&self, key: &Key) -> Result<Option<Headers>, StoreError> {
        self.objects.head(&key.to_string()).await
    }

    /// Opens an object, to be read as clients get it; `None` only if the store answers that it does not exist.
    ///
    /// # Errors
    /// Fails if it cannot be read.
    pub async fn open(&self, key: &Key) -> Result<Option<Object>, StoreError> {
        self.objects.open(&key.to_string(), Form::Decoded).await
    }

    /// Every object below `folder`: see [`ObjectStore::list`].
    #[must_use]
    pub fn list<'a>(&'a self, folder: &str) -> BoxStream<'a, Result<Listed, StoreError>> {
        self.objects.list(folder)
    }

    /// Writes an object if `condition` holds, all at once or not at all, with the headers of its key. Never repeats the
    /// write.
    pub async fn put(&self, key: &Key, body: &Sealed, condition: &Condition, on_sent: OnSent) -> Answer {
        let headers = HttpHeaders {
            content_type: Some(key.content_type().to_owned()),
            cache_control: Some(key.cache_control(self.max_age)),
        };
        self.objects.put(&key.to_string(), body, &headers, condition, on_sent).await
    }
}
