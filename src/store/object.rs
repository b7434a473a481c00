//! An object that is being read, and its length, digest and headers.

use bytes::{Bytes, BytesMut};
use futures::stream::{BoxStream, TryStreamExt as _};

use super::{Revision, StoreError};
use crate::content::Digest;

/// The length and digest of an object, without its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Its length in bytes.
    pub len: u64,
    /// Its SHA-256.
    pub digest: Digest,
}

/// The metadata of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers {
    /// Its length in bytes.
    pub len: Option<u64>,
    /// Its SHA-256, if the store keeps one.
    pub digest: Option<Digest>,
    /// The HTTP headers sent with it. `None` for files: the web server decides on them.
    pub http: Option<HttpHeaders>,
}

/// Headers that clients and CDNs use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HttpHeaders {
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// `Cache-Control`.
    pub cache_control: Option<String>,
}

/// The form in which an object is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The bytes as they are stored, whatever `Content-Encoding` says.
    Stored,
    /// The bytes as clients get them: an object with `Content-Encoding: gzip` is decoded, as Go's HTTP client does.
    Decoded,
}

/// How a store identifies the state of an object that it has opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObjectState {
    /// By this name (S3: the `ETag`).
    Named(Revision),
    /// By the SHA-256 of the contents, as for files.
    Contents,
    /// Not at all: the object cannot be replaced safely.
    Unnamed,
}

/// An object's bytes as they arrive, in pieces. The store continues an answer that was cut short, within its time
/// limit; a failure is the last item.
pub type Body = BoxStream<'static, Result<Bytes, StoreError>>;

/// An object that is being read.
pub struct Object {
    /// Its metadata. If it is decoded while it is read, length and SHA-256 are not known.
    pub headers: Headers,
    /// The state that is read.
    pub state: ObjectState,
    /// Its contents, to be read once.
    pub body: Body,
}

impl Object {
    /// Reads it to the end; `None` if it has more than `limit` bytes, which are counted as they arrive.
    ///
    /// # Errors
    /// Fails if it cannot be read to its end.
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
