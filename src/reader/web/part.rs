//! Objects that are read as they are stored, and from any byte on, so that a read that was interrupted is resumed.

use reqwest::header::CONTENT_RANGE;
use reqwest::{Method, Response, StatusCode, Url};

use super::{Asking, Failure, MayPass, Pieces, Reply, Web, failed, header, is_gzip};
use crate::error::StoreError;

/// A part of an object that is being read.
pub struct Part {
    /// The position of its first byte: the one that was asked for, or 0 if the server sends all of it.
    pub start: u64,
    /// Its bytes.
    pub pieces: Pieces,
}

impl Web {
    /// Opens an object at the byte `from`, to be read once to its end; `limit` is the most bytes of the part. It is asked
    /// for without a `Content-Encoding`, as which its bytes would be others.
    ///
    /// # Errors
    /// Fails if the server or the network continues to fail, or sends another part.
    pub async fn part(&self, url: &Url, from: u64, limit: u64) -> Result<Reply<Part>, StoreError> {
        self.with_retries(url, async || {
            let (response, _) = match self.send(Method::GET, url, Some(from), Asking::Object).await? {
                Reply::Found(found) => found,
                other => return Ok(other.without()),
            };
            let start = start(&response, from)
                .map_err(|answer| Failure { error: failed(url, answer, None), may_pass: MayPass::Never })?;
            Ok(Reply::Found(Part { start, pieces: self.pieces(response, limit, self.times.object) }))
        })
        .await
    }
}

/// Where the body of an answer begins.
fn start(response: &Response, from: u64) -> Result<u64, String> {
    if is_gzip(response) {
        return Err("the answer has a Content-Encoding, which was not asked for".to_owned());
    }
    if response.status() != StatusCode::PARTIAL_CONTENT {
        return Ok(0);
    }
    let range = header(response.headers(), &CONTENT_RANGE).unwrap_or_default();
    let first = range.strip_prefix("bytes ").and_then(|range| range.split('-').next()?.parse::<u64>().ok());
    if first == Some(from) { Ok(from) } else { Err(format!("byte {from} was asked for, and {range:?} came")) }
}
