//! An object that is being read, and what is told of it.

use bytes::{Bytes, BytesMut};
use futures::stream::{BoxStream, TryStreamExt as _};

use super::{Revision, StoreError};
use crate::content::Digest;

/// What a store tells of an object without giving its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Its length in bytes.
    pub len: u64,
    /// Its SHA-256.
    pub digest: Digest,
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

/// In which form an object is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The bytes as they are stored, whatever `Content-Encoding` says.
    Stored,
    /// The bytes as clients get them: what is stored with `Content-Encoding: gzip` is decoded, as Go's HTTP client does.
    Decoded,
}

/// How a store names the state of an object that it has opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObjectState {
    /// By this name (S3: the `ETag`).
    Named(Revision),
    /// By the SHA-256 of the contents, as of files.
    Contents,
    /// Not at all: the object cannot be replaced safely.
    Unnamed,
}

/// An object's bytes as they arrive, in pieces. The store continues by itself what was cut short, within its patience; a
/// failure is the last item.
pub type Body = BoxStream<'static, Result<Bytes, StoreError>>;

/// An object that is being read.
pub struct Object {
    /// What is told of it. Of what is decoded on the way, length and SHA-256 are not known.
    pub headers: Headers,
    /// The state that is read.
    pub state: ObjectState,
    /// Its contents, to be read once.
    pub body: Body,
}

impl Object {
    /// Reads it to the end; `None` where that is more than `limit` bytes. They are counted as they come.
    ///
    /// # Errors
    /// It cannot be read to its end.
    pub async fn collect(mut self, limit: u64) -> Result<Option<Bytes>, StoreError> {
        if self.headers.len.is_some_and(|len| len > limit) {
            return Ok(None);
        }
        let mut bytes = BytesMut::new();
        while let Some(piece) = self.body.try_next().await? {
            if (bytes.len() + piece.len()) as u64 > limit {
                return Ok(None);
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(Some(bytes.freeze()))
    }
}
