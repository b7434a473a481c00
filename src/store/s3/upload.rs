//! The body of a request that writes an object, in constant memory.

use std::io::Read as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::mpsc;

use crate::content::{CHUNK, Sealed};
use crate::store::OnSent;

/// The request body of a sealed object: from memory, or streamed from its file by a thread that may block.
pub(super) fn stream(sealed: &Sealed, on_sent: OnSent) -> ByteStream {
    if let Some(bytes) = sealed.bytes() {
        on_sent(sealed.len());
        return ByteStream::from(bytes.clone());
    }
    let (sender, chunks) = mpsc::channel(2);
    let mut reader = sealed.reader();
    tokio::task::spawn_blocking(move || {
        loop {
            let mut buffer = vec![0; CHUNK];
            let chunk = reader.read(&mut buffer).map(|count| {
                buffer.truncate(count);
                Bytes::from(buffer)
            });
            let (at_end, failed) = (chunk.as_ref().is_ok_and(Bytes::is_empty), chunk.is_err());
            // The receiver is gone if the request was abandoned.
            if at_end || sender.blocking_send(chunk).is_err() || failed {
                return;
            }
        }
    });
    ByteStream::from_body_1_x(FileBody { chunks, left: sealed.len(), on_sent })
}

struct FileBody {
    chunks: mpsc::Receiver<std::io::Result<Bytes>>,
    left: u64,
    on_sent: Arc<dyn Fn(u64) + Send + Sync>,
}

impl HttpBody for FileBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        self.chunks.poll_recv(context).map(|chunk| {
            chunk.map(|chunk| {
                chunk.map(|bytes| {
                    self.left = self.left.saturating_sub(bytes.len() as u64);
                    (self.on_sent)(bytes.len() as u64);
                    Frame::data(bytes)
                })
            })
        })
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
