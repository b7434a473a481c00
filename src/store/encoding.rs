//! Contents that are sent compressed (`Content-Encoding: gzip`), as clients read them: Go's HTTP client requests gzip
//! and decodes it.

use std::io::Write as _;

use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use futures::stream::{self, Stream, StreamExt as _};

use super::body::BodyError;

/// How much is decoded at once: gzip grows at most a thousandfold, and the size is checked in between.
const PIECE: usize = 4096;

/// Whether clients decode contents with this `Content-Encoding`: Go's HTTP client knows only gzip.
pub(crate) fn is_gzip(content_encoding: Option<&str>) -> bool {
    content_encoding.is_some_and(|encoding| encoding.eq_ignore_ascii_case("gzip"))
}

/// Decodes gzip piece by piece, and fails if the result has more than `limit` bytes, however few were sent. `failed`
/// makes the error if the contents, and not `source`, are at fault.
pub(crate) fn gunzip<S, E>(
    source: S,
    limit: u64,
    failed: impl Fn(BodyError<String>) -> E,
) -> impl Stream<Item = Result<Bytes, E>>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    let state = Some((source, Bytes::new(), MultiGzDecoder::new(Vec::new()), 0_u64, failed));
    stream::unfold(state, move |state| async move {
        let (mut source, mut encoded, mut decoder, mut bytes_so_far, failed) = state?;
        loop {
            let end = if encoded.is_empty() {
                match source.next().await {
                    Some(Ok(piece)) => {
                        encoded = piece;
                        continue;
                    }
                    Some(Err(error)) => return Some((Err(error), None)),
                    None => true,
                }
            } else {
                false
            };
            let piece = encoded.split_to(encoded.len().min(PIECE));
            let done = if end { decoder.try_finish() } else { decoder.write_all(&piece) };
            if let Err(error) = done {
                let text = format!("Content-Encoding is gzip, and the contents are not: {error}");
                return Some((Err(failed(BodyError::Source(text))), None));
            }
            let out = std::mem::take(decoder.get_mut());
            bytes_so_far += out.len() as u64;
            if bytes_so_far > limit {
                return Some((Err(failed(BodyError::TooLarge { limit })), None));
            }
            match (out.is_empty(), end) {
                (true, true) => return None,
                (true, false) => {}
                (false, true) => return Some((Ok(out.into()), None)),
                (false, false) => {
                    return Some((Ok(out.into()), Some((source, encoded, decoder, bytes_so_far, failed))));
                }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn read(encoded: &[u8], piece: usize, limit: u64) -> Result<Vec<u8>, BodyError<String>> {
        let pieces: Vec<_> = encoded.chunks(piece).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut bytes_so_far = std::pin::pin!(gunzip(stream::iter(pieces), limit, |error| error));
            let mut bytes = Vec::new();
            while let Some(piece) = bytes_so_far.next().await {
                bytes.extend_from_slice(&piece?);
            }
            Ok(bytes)
        })
    }

    #[test]
    fn gzip_is_decoded_in_whatever_pieces_it_comes() {
        let text = b"{\"versions\": []}".repeat(1000);
        for piece in [1, 7, 4096, 1 << 20] {
            assert_eq!(read(&gzip(&text), piece, 1 << 20).unwrap(), text, "{piece}");
        }
        let two = [gzip(b"one"), gzip(b"two")].concat();
        assert_eq!(read(&two, 5, 100).unwrap(), b"onetwo");
        assert_eq!(read(&gzip(b""), 5, 0).unwrap(), b"");
    }

    #[test]
    fn what_grows_beyond_the_limit_is_too_large() {
        let bomb = gzip(&vec![0; 64 << 20]);
        assert!(bomb.len() < 100_000);
        assert_eq!(read(&bomb, 1 << 20, 1 << 20), Err(BodyError::TooLarge { limit: 1 << 20 }));
        assert_eq!(read(&gzip(&[0; 100]), 10, 100).map(|bytes| bytes.len()), Ok(100));
    }

    #[test]
    fn what_is_no_gzip_or_cut_short_is_an_error() {
        let whole = gzip(b"hello, hello, hello");
        for bad in [b"{\"versions\": []}".as_slice(), &whole[..whole.len() - 5], b"\x1f\x8b"] {
            assert!(matches!(read(bad, 100, 1000), Err(BodyError::Source(_))), "{bad:?}");
        }
    }
}
