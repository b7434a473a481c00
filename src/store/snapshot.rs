//! Objects that were read all at once, in front of the store that contains them.
//!
//! Following the links of a registry takes as many round trips as the longest chain of links. If the keys are known
//! already, all objects are read in one round trip, and then the links are followed in the snapshot.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt as _};

use super::{
    Answer, Condition, Conditions, Form, Headers, HttpHeaders, Listed, MAX_DOCUMENT, Object, ObjectState,
    ObjectStore, OnSent, RegistryStore, StoreError, Summary,
};
use crate::content::{Digest, Sealed};
use crate::registry::Key;

/// Some objects of a registry: documents with their bytes, zips with their metadata, and failed reads.
#[derive(Debug, Default)]
pub struct Snapshot(BTreeMap<String, Result<Option<Kept>, StoreError>>);

#[derive(Debug, Clone)]
enum Kept {
    Document(Headers, ObjectState, Bytes),
    /// Its bytes were not read.
    Zip(Headers),
}

impl Snapshot {
    /// Reads the objects at `keys`, `reads` at a time, as clients get them. An object that is too large for a document
    /// is not in the snapshot, and is read again when it is needed.
    pub async fn take(store: &RegistryStore, keys: impl IntoIterator<Item = Key>, reads: usize) -> Self {
        let read = stream::iter(keys.into_iter().map(|key| async move {
            let kept = read(store, &key).await.transpose()?;
            Some((key.to_string(), kept))
        }));
        Self(read.buffer_unordered(reads).filter_map(async |read| read).collect().await)
    }

    /// Documents that are not in a store yet.
    #[must_use]
    pub fn of(documents: impl IntoIterator<Item = (Key, Bytes)>) -> Self {
        let kept = |(key, bytes): (Key, Bytes)| {
            let headers = Headers { len: Some(bytes.len() as u64), ..Headers::default() };
            (key.to_string(), Ok(Some(Kept::Document(headers, ObjectState::Contents, bytes))))
        };
        Self(documents.into_iter().map(kept).collect())
    }

    /// A store that answers from the snapshot, and passes all other requests to `store`.
    #[must_use]
    pub fn in_front_of(self, store: RegistryStore) -> RegistryStore {
        store.behind(|store| Front { snapshot: self, store })
    }
}

/// The answer of the store; `None` if an object is too large.
async fn read(store: &RegistryStore, key: &Key) -> Result<Option<Option<Kept>>, StoreError> {
    if key.is_zip() {
        return Ok(Some(store.head(key).await?.map(Kept::Zip)));
    }
    let Some(object) = store.open(key).await? else { return Ok(Some(None)) };
    let (headers, state) = (object.headers.clone(), object.state.clone());
    let bytes = object.collect(MAX_DOCUMENT).await?;
    Ok(bytes.map(|bytes| Some(Kept::Document(headers, state, bytes))))
}

/// A store behind a snapshot.
struct Front {
    snapshot: Snapshot,
    store: Arc<dyn ObjectStore>,
}

#[async_trait]
impl ObjectStore for Front {
    fn describe(&self) -> String {
        self.store.describe()
    }

    fn conditions(&self) -> Conditions {
        self.store.conditions()
    }

    async fn open(&self, key: &str, form: Form) -> Result<Option<Object>, StoreError> {
        match self.snapshot.0.get(key).cloned().transpose()? {
            Some(None) => Ok(None),
            Some(Some(Kept::Document(headers, state, bytes))) if form == Form::Decoded => {
                Ok(Some(Object { headers, state, body: stream::iter([Ok(bytes)]).boxed() }))
            }
            _ => self.store.open(key, form).await,
        }
    }

    async fn head(&self, key: &str) -> Result<Option<Headers>, StoreError> {
        match self.snapshot.0.get(key).cloned() {
            Some(kept) => Ok(kept?.map(|kept| match kept {
                Kept::Document(headers, _, _) | Kept::Zip(headers) => headers,
            })),
            None => self.store.head(key).await,
        }
    }

    async fn summary(&self, key: &str) -> Result<Option<Summary>, StoreError> {
        // Where its contents are what names it, they are the object as it is stored.
        if let Some(Ok(Some(Kept::Document(_, ObjectState::Contents, bytes)))) = self.snapshot.0.get(key) {
            return Ok(Some(Summary { len: bytes.len() as u64, digest: Digest::of(bytes) }));
        }
        self.store.summary(key).await
    }

    fn list<'a>(&'a self, folder: &str) -> BoxStream<'a, Result<Listed, StoreError>> {
        self.store.list(folder)
    }

    async fn put(
        &self,
        key: &str,
        body: &Sealed,
        headers: &HttpHeaders,
        condition: &Condition,
        on_sent: OnSent,
    ) -> Answer {
        self.store.put(key, body, headers, condition, on_sent).await
    }
}
