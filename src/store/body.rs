//! The body of a PUT, proved to be of its announced length: every adapter reads bodies through
//! here, so that none can make visible what was short, long or aborted. And into which chunks the
//! body of a GET is cut.

use std::future::poll_fn;
use std::ops::Range;
use std::task::{Context, Poll, ready};

use bytes::Bytes;

use super::{BlobBody, BodyAborted};
use crate::types::limits::{STORE_CHUNK_BYTES, STORE_CHUNKS_BEGIN};

/// A body of exactly the announced length. **The chunk that completes it is held back until the
/// source has ended**, so that a store never holds all bytes of a body that was aborted.
pub(super) struct Exact {
    source: BlobBody,
    left: u64,
    held: Option<Bytes>,
    over: bool,
}

impl Exact {
    pub(super) const fn new(bytes: u64, source: BlobBody) -> Self {
        Self {
            source,
            left: bytes,
            held: None,
            over: false,
        }
    }

    /// The next chunk, never empty; `None` after a whole body; an error once, then `None`.
    pub(super) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BodyAborted>>> {
        while !self.over {
            let Some(next) = ready!(self.source.as_mut().poll_next(cx)) else {
                self.over = true;
                if self.left > 0 {
                    return Poll::Ready(Some(Err(BodyAborted)));
                }
                break;
            };
            let left = next.and_then(|chunk| {
                let left = u64::try_from(chunk.len())
                    .ok()
                    .and_then(|bytes| self.left.checked_sub(bytes))
                    .ok_or(BodyAborted)?;
                Ok((chunk, left))
            });
            match left {
                Err(aborted) => {
                    self.over = true;
                    self.held = None;
                    return Poll::Ready(Some(Err(aborted)));
                }
                Ok((chunk, _)) if chunk.is_empty() => {}
                Ok((chunk, 0)) => {
                    self.left = 0;
                    self.held = Some(chunk);
                }
                Ok((chunk, left)) => {
                    self.left = left;
                    return Poll::Ready(Some(Ok(chunk)));
                }
            }
        }
        Poll::Ready(self.held.take().map(Ok))
    }

    /// See [`Self::poll_next`].
    pub(super) async fn next(&mut self) -> Option<Result<Bytes, BodyAborted>> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// All chunks of a body that is known to be small.
    pub(super) async fn gather(mut self) -> Result<Vec<Bytes>, BodyAborted> {
        let mut chunks = Vec::new();
        while let Some(chunk) = self.next().await {
            chunks.push(chunk?);
        }
        Ok(chunks)
    }
}

/// The first chunk of a range; where the chunks end depends on the blob's offsets alone.
pub(super) fn chunk_of(range: &Range<u64>) -> Range<u64> {
    let chunks = range.start.saturating_sub(STORE_CHUNKS_BEGIN) / STORE_CHUNK_BYTES;
    let end = chunks.saturating_add(1).saturating_mul(STORE_CHUNK_BYTES);
    range.start..range.end.min(end.saturating_add(STORE_CHUNKS_BEGIN))
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    fn exact(bytes: u64, chunks: Vec<Result<&'static [u8], BodyAborted>>) -> Exact {
        let chunks = chunks.into_iter().map(|c| c.map(Bytes::from_static));
        Exact::new(bytes, Box::pin(stream::iter(chunks)))
    }

    #[tokio::test]
    async fn a_whole_body_passes() {
        let chunks = exact(5, vec![Ok(b"ab"), Ok(b""), Ok(b"cde"), Ok(b"")]);
        assert_eq!(chunks.gather().await.unwrap().concat(), b"abcde");
        assert!(exact(0, vec![]).gather().await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_body_of_another_length_is_aborted() {
        for (bytes, chunks) in [
            (5, vec![Ok(&b"abcd"[..])]),
            (5, vec![Ok(b"abcdef")]),
            (5, vec![Ok(b"abcde"), Ok(b"f")]),
            (5, vec![]),
            (0, vec![Ok(b"a")]),
            (5, vec![Ok(b"abcde"), Err(BodyAborted)]),
        ] {
            assert_eq!(exact(bytes, chunks).gather().await, Err(BodyAborted));
        }
    }

    #[tokio::test]
    async fn the_last_chunk_waits_for_the_end() {
        let mut body = exact(4, vec![Ok(b"ab"), Ok(b"cd"), Err(BodyAborted)]);
        assert_eq!(body.next().await, Some(Ok(Bytes::from_static(b"ab"))));
        assert_eq!(body.next().await, Some(Err(BodyAborted)));
        assert_eq!(body.next().await, None);
    }

    #[test]
    fn a_chunk_is_a_segment_and_the_first_has_the_header_too() {
        let sealed = 65_552;
        for (range, end) in [
            (0..9_000_000, 136 + sealed),
            (0..4_000, 4_000),
            (0..1, 1),
            (135..9_000_000, 136 + sealed),
            (136..9_000_000, 136 + sealed),
            (136 + sealed - 1..9_000_000, 136 + sealed),
            (136 + sealed..9_000_000, 136 + 2 * sealed),
            (136 + sealed..136 + sealed + 5, 136 + sealed + 5),
            (u64::MAX - 1..u64::MAX, u64::MAX),
        ] {
            assert_eq!(chunk_of(&range), range.start..end, "{range:?}");
        }
    }
}
