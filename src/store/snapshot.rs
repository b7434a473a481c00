//! Objects as they were read all at once, in front of the store that holds them.
//!
//! Who follows the links of a registry reads in as many round trips as there are links in a row. Who knows the keys already
//! reads all objects in one, and then follows the links in the snapshot.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt as _};

use super::body::{self, Limits, MachineClock};
use super::{
    Answer, Body, Condition, Conditions, Document, Headers, Listed, MAX_DOCUMENT, OnSent, Store, StoreError,
    Summary,
};
use crate::content::Sealed;
use crate::registry::Key;

/// The longest time that is waited for a document.
const LONGEST: Duration = Duration::from_mins(2);

/// Some objects of a store: documents with their bytes, zips with what is told of them, and what could not be read.
#[derive(Debug, Default)]
pub struct Snapshot(BTreeMap<Key, Result<Option<Kept>, StoreError>>);

#[derive(Debug, Clone)]
enum Kept {
    Document(Headers, Bytes),
    /// Its bytes were not read.
    Zip(Headers),
}

impl Snapshot {
    /// Reads the objects at `keys`, `reads` at a time. Contents that do not come to their end are not in the snapshot: who asks
    /// for them reads them again.
    pub async fn take(store: &dyn Store, keys: impl IntoIterator<Item = Key>, reads: usize) -> Self {
        let read = stream::iter(
            keys.into_iter().map(|key| async move { Some((key.clone(), read(store, &key).await?)) }),
        );
        Self(read.buffer_unordered(reads).filter_map(async |read| read).collect().await)
    }

    /// A store that answers from the snapshot, and by `store` for all else.
    #[must_use]
    pub fn in_front_of(self, store: Box<dyn Store>) -> Box<dyn Store> {
        Box::new(Front { snapshot: self, store })
    }
}

/// What the store answers; `None` where contents do not come to their end.
async fn read(store: &dyn Store, key: &Key) -> Option<Result<Option<Kept>, StoreError>> {
    if matches!(key, Key::Zip { .. }) {
        return Some(store.head(key).await.map(|headers| headers.map(Kept::Zip)));
    }
    let (headers, body) = match store.open(key).await {
        Ok(Some(opened)) => opened,
        Ok(None) => return Some(Ok(None)),
        Err(error) => return Some(Err(error)),
    };
    let limits = Limits::new(MAX_DOCUMENT, LONGEST);
    match body::collect(body, limits, MachineClock::start()).await {
        Ok(bytes) => Some(Ok(Some(Kept::Document(headers, bytes)))),
        Err(failure) => {
            tracing::debug!(%key, "not in the snapshot: {failure}");
            None
        }
    }
}

/// A store behind a snapshot.
struct Front {
    snapshot: Snapshot,
    store: Box<dyn Store>,
}

#[async_trait]
impl Store for Front {
    fn describe(&self) -> String {
        self.store.describe()
    }

    fn conditions(&self) -> Conditions {
        self.store.conditions()
    }

    async fn get(&self, key: &Key) -> Result<Option<Document>, StoreError> {
        self.store.get(key).await
    }

    async fn summary(&self, key: &Key) -> Result<Option<Summary>, StoreError> {
        self.store.summary(key).await
    }

    async fn head(&self, key: &Key) -> Result<Option<Headers>, StoreError> {
        match self.snapshot.0.get(key).cloned() {
            Some(kept) => Ok(kept?.map(|kept| match kept {
                Kept::Document(headers, _) | Kept::Zip(headers) => headers,
            })),
            None => self.store.head(key).await,
        }
    }

    async fn open(&self, key: &Key) -> Result<Option<(Headers, Body)>, StoreError> {
        match self.snapshot.0.get(key).cloned().transpose()? {
            Some(None) => Ok(None),
            Some(Some(Kept::Document(headers, bytes))) => {
                Ok(Some((headers, stream::iter([Ok(bytes)]).boxed())))
            }
            Some(Some(Kept::Zip(_))) | None => self.store.open(key).await,
        }
    }

    fn list<'a>(&'a self, folder: &str) -> BoxStream<'a, Result<Listed, StoreError>> {
        self.store.list(folder)
    }

    async fn put(&self, key: &Key, body: &Sealed, condition: &Condition, on_sent: OnSent) -> Answer {
        self.store.put(key, body, condition, on_sent).await
    }
}
