//! Short pieces of a body put together, before anybody keeps them. What a connection hands over is
//! a slice of its read buffer, which stays as long as the slice does: a client that sends byte by
//! byte would have a whole buffer kept for each.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};

/// A piece of this length or more goes on as it came: at most a half of its buffer is wasted.
const PIECE_BYTES_MIN: usize = 4 * 1024;

/// A body whose pieces are long, but for the last.
pub(super) struct Coalesced<B: Body> {
    inner: B,
    held: BytesMut,
    /// What came behind what is held.
    next: Option<Frame<Bytes>>,
    ended: bool,
}

impl<B: Body> Coalesced<B> {
    /// Puts together what this body gives.
    pub(super) fn new(inner: B) -> Self {
        Self {
            inner,
            held: BytesMut::new(),
            next: None,
            ended: false,
        }
    }

    /// What is held, to be handed on.
    fn flush(&mut self) -> Option<Frame<Bytes>> {
        let held = self.held.split().freeze();
        (!held.is_empty()).then(|| Frame::data(held))
    }
}

impl<B> Body for Coalesced<B>
where
    B: Body<Data = Bytes> + Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        loop {
            if let Some(next) = this.next.take() {
                return Poll::Ready(Some(Ok(next)));
            }
            if this.ended {
                return Poll::Ready(None);
            }
            // Nobody waits for half a piece: what is held goes on with more of it, or at the end.
            let Poll::Ready(came) = Pin::new(&mut this.inner).poll_frame(cx) else {
                return Poll::Pending;
            };
            let frame = match came {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => {
                    this.ended = true;
                    this.next = this.flush();
                    continue;
                }
            };
            match frame.into_data() {
                Ok(piece) if piece.len() < PIECE_BYTES_MIN => {
                    if this.held.capacity() == 0 {
                        this.held.reserve(2 * PIECE_BYTES_MIN);
                    }
                    this.held.extend_from_slice(&piece);
                    if this.held.len() >= PIECE_BYTES_MIN || this.inner.is_end_stream() {
                        this.next = this.flush();
                    }
                }
                Ok(piece) => {
                    let flushed = this.flush();
                    this.next = Some(Frame::data(piece));
                    if flushed.is_some() {
                        return Poll::Ready(flushed.map(Ok));
                    }
                }
                Err(trailers) => {
                    let flushed = this.flush();
                    this.next = Some(trailers);
                    if flushed.is_some() {
                        return Poll::Ready(flushed.map(Ok));
                    }
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_empty() && self.next.is_none() && (self.ended || self.inner.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let next = self.next.as_ref().and_then(Frame::data_ref);
        let here = self.held.len().saturating_add(next.map_or(0, Bytes::len));
        longer(&self.inner.size_hint(), here)
    }
}

/// How much is left of a body in front of which so many bytes are.
pub(super) fn longer(inner: &SizeHint, bytes: usize) -> SizeHint {
    let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
    let mut hint = SizeHint::new();
    hint.set_lower(inner.lower().saturating_add(bytes));
    if let Some(upper) = inner.upper() {
        hint.set_upper(upper.saturating_add(bytes));
    }
    hint
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::{StreamExt as _, stream};
    use http_body_util::{BodyExt as _, Full, StreamBody};

    use super::*;

    type Came = Result<Frame<Bytes>, Infallible>;

    /// A read buffer that tells how many of its like are alive.
    struct Buffer(Arc<AtomicUsize>, [u8; 1]);

    impl AsRef<[u8]> for Buffer {
        fn as_ref(&self) -> &[u8] {
            &self.1
        }
    }

    impl Drop for Buffer {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::Relaxed);
        }
    }

    #[tokio::test]
    async fn a_client_that_sends_byte_by_byte_holds_no_read_buffers() {
        let alive = Arc::new(AtomicUsize::new(0));
        let own = Arc::clone(&alive);
        let drip = stream::iter(0..65_536_u32).map(move |n| {
            own.fetch_add(1, Ordering::Relaxed);
            let byte = [u8::try_from(n % 251).unwrap()];
            let piece = Bytes::from_owner(Buffer(Arc::clone(&own), byte));
            Ok::<_, Infallible>(Frame::data(piece))
        });
        let mut body = Coalesced::new(StreamBody::new(drip));
        let mut kept: Vec<Bytes> = Vec::new();
        while let Some(frame) = body.frame().await {
            kept.push(frame.unwrap().into_data().unwrap());
            assert_eq!(alive.load(Ordering::Relaxed), 0);
        }
        assert!(kept.len() <= 65_536 / PIECE_BYTES_MIN + 1, "{}", kept.len());
        let wanted: Vec<u8> = (0..65_536_u32)
            .map(|n| u8::try_from(n % 251).unwrap())
            .collect();
        assert_eq!(kept.concat(), wanted);
    }

    async fn lengths(pieces: Vec<usize>) -> Vec<usize> {
        let frames: Vec<Came> = pieces
            .into_iter()
            .map(|len| Ok(Frame::data(Bytes::from(vec![7; len]))))
            .collect();
        let mut body = Coalesced::new(StreamBody::new(stream::iter(frames)));
        let mut out = Vec::new();
        while let Some(frame) = body.frame().await {
            out.push(frame.unwrap().into_data().unwrap().len());
        }
        assert!(body.is_end_stream());
        out
    }

    #[tokio::test]
    async fn long_pieces_go_on_as_they_came_and_short_ones_together() {
        let most = PIECE_BYTES_MIN;
        assert_eq!(lengths(vec![]).await, Vec::<usize>::new());
        assert_eq!(lengths(vec![0, 0]).await, Vec::<usize>::new());
        assert_eq!(lengths(vec![most, 3 * most]).await, [most, 3 * most]);
        assert_eq!(lengths(vec![1, 2, most, 5]).await, [3, most, 5]);
        assert_eq!(lengths(vec![most - 1, 1, 9]).await, [most, 9]);
    }

    #[tokio::test]
    async fn a_long_piece_is_not_copied() {
        let long = Bytes::from(vec![1; PIECE_BYTES_MIN]);
        let mut body = Coalesced::new(Full::new(long.clone()));
        let handed = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(handed.as_ptr(), long.as_ptr());
    }

    #[tokio::test]
    async fn the_length_that_is_left_is_told_at_each_step() {
        let mut body = Coalesced::new(Full::new(Bytes::from_static(b"short")));
        assert_eq!(body.size_hint().exact(), Some(5));
        assert!(!body.is_end_stream());
        let all = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(all, "short");
        assert_eq!(body.size_hint().exact(), Some(0));
        assert!(body.is_end_stream());
    }

    #[tokio::test]
    async fn what_is_held_waits_for_more_and_trailers_come_behind_it() {
        let trailers = Frame::trailers(http::HeaderMap::new());
        let frames = vec![Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"a")))];
        let mut waiting = Coalesced::new(StreamBody::new(
            stream::iter(frames).chain(stream::pending()),
        ));
        let soon = std::time::Duration::from_millis(10);
        assert!(tokio::time::timeout(soon, waiting.frame()).await.is_err());
        assert_eq!(waiting.size_hint().lower(), 1);
        let frames = vec![
            Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"a"))),
            Ok(trailers),
        ];
        let mut body = Coalesced::new(StreamBody::new(stream::iter(frames)));
        assert!(body.frame().await.unwrap().unwrap().is_data());
        assert!(body.frame().await.unwrap().unwrap().is_trailers());
        assert!(body.frame().await.is_none());
    }

    #[tokio::test]
    async fn a_body_that_breaks_gives_nothing_of_what_was_held() {
        let frames: Vec<Result<Frame<Bytes>, &str>> =
            vec![Ok(Frame::data(Bytes::from_static(b"a"))), Err("broken")];
        let mut body = Coalesced::new(StreamBody::new(stream::iter(frames)));
        assert_eq!(body.frame().await.unwrap().unwrap_err(), "broken");
    }
}
