//! Watches a request's raw body on its way to the library that decodes it: how much came, whether
//! it ended, whether its aws-chunked framing was whole, and whether the client still sends.
//!
//! It hands on what came. The only bytes it keeps, as a copy, are those of a short XML body whose
//! checksum the handler must compare.

use std::error::Error;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use super::framing::Framing;
use crate::types::limits;
use crate::vault::BodyError;

#[expect(clippy::as_conversions, reason = "widens on every target")]
const XML_BYTES_MAX: u64 = limits::XML_BODY_BYTES_MAX as u64;

/// Any error.
pub(super) type BoxError = Box<dyn Error + Send + Sync>;

/// Why a raw body gave no more.
#[derive(Debug, thiserror::Error)]
pub(super) enum RawBodyError {
    /// Nothing came for too long. At fault: the client, or the network.
    #[error("the client stopped sending")]
    Stalled,
    /// The connection broke or its framing was wrong. At fault: the client, or the network.
    #[error("the connection ended inside the body")]
    Broken(#[source] BoxError),
    /// A body that had to be kept is larger than may be kept. At fault: the client.
    #[error("the body is too large")]
    TooLarge,
    /// There is no room for more bodies that are gathered, or none for this caller's.
    #[error("there is no room for the body")]
    Full,
}

/// What to look for in one request's body.
#[derive(Clone, Copy)]
pub(super) struct WatchFor {
    /// `Content-Length`, if the client sent one.
    pub(super) announced: Option<u64>,
    /// Whether the body is aws-chunked.
    pub(super) chunked: bool,
    /// Whether to keep the bytes (XML whose checksum is compared).
    pub(super) keep: bool,
    /// For how long nothing may come.
    pub(super) idle: Duration,
    /// How long all of it may take: of a body that is gathered whole before it is looked at.
    pub(super) within: Option<Duration>,
}

struct Seen {
    bytes: u64,
    ended: bool,
    framing: Option<Framing>,
    kept: Vec<u8>,
}

/// What was seen of one request's body so far.
pub(super) struct Watch {
    want: WatchFor,
    seen: Mutex<Seen>,
}

impl Watch {
    /// Before the first byte.
    pub(super) fn new(want: WatchFor) -> Arc<Self> {
        Arc::new(Self {
            want,
            seen: Mutex::new(Seen {
                bytes: 0,
                ended: false,
                framing: want.chunked.then(Framing::new),
                kept: Vec::new(),
            }),
        })
    }

    /// Whether the raw body came whole: as long as announced, to its end, framing and all.
    pub(super) fn verdict(&self) -> Result<(), BodyError> {
        let seen = self.seen();
        if !seen.ended || self.want.announced.is_some_and(|n| n != seen.bytes) {
            return Err(BodyError::Short);
        }
        seen.framing.as_ref().map_or(Ok(()), Framing::finish)
    }

    /// Whether the body is aws-chunked.
    pub(super) const fn is_chunked(&self) -> bool {
        self.want.chunked
    }

    /// Whether more came than XML may have.
    pub(super) fn exceeds_xml(&self) -> bool {
        self.seen().bytes > XML_BYTES_MAX
    }

    /// The kept bytes.
    pub(super) fn kept(&self) -> Vec<u8> {
        self.seen().kept.clone()
    }

    /// Notes that there is no body at all.
    pub(super) fn nothing_comes(&self) {
        self.seen().ended = true;
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, bytes: &Bytes, last: bool) -> Result<(), RawBodyError> {
        let mut seen = self.seen();
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        seen.bytes = seen.bytes.saturating_add(size);
        seen.ended = last;
        if let Some(framing) = &mut seen.framing {
            framing.feed(bytes);
        }
        if self.want.keep {
            if seen.bytes > XML_BYTES_MAX {
                return Err(RawBodyError::TooLarge);
            }
            seen.kept.extend_from_slice(bytes);
        }
        drop(seen);
        Ok(())
    }
}

/// A raw body under watch.
pub(super) struct Watched<B> {
    inner: B,
    watch: Arc<Watch>,
    timer: Option<Pin<Box<Sleep>>>,
    /// Since when nothing has come, while something is waited for.
    waits: Option<Instant>,
    /// When it was first asked for.
    begun: Option<Instant>,
}

impl<B> Watched<B> {
    /// Puts a body under watch.
    pub(super) const fn new(inner: B, watch: Arc<Watch>) -> Self {
        Self {
            inner,
            watch,
            timer: None,
            waits: None,
            begun: None,
        }
    }

    /// Whether nothing has come for too long, counted from when the wait begins, or the time for
    /// all of it is over. The timer is set anew when it fires, not for each wait: a fast body
    /// waits thousands of times.
    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let idle = self.watch.want.idle;
        let since = *self.waits.get_or_insert_with(Instant::now);
        let end = since.checked_add(idle).unwrap_or(since);
        let whole = self.begun.zip(self.watch.want.within);
        let over = whole.and_then(|(begun, within)| begun.checked_add(within));
        let end = over.map_or(end, |over| end.min(over));
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(end)));
        while timer.as_mut().poll(cx).is_ready() {
            if timer.deadline() >= end {
                return Poll::Ready(());
            }
            timer.as_mut().reset(end);
        }
        Poll::Pending
    }
}

impl<B> Body for Watched<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = RawBodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RawBodyError>>> {
        let this = self.get_mut();
        // Looked at with each piece; where none comes, the timer ends it.
        if let Some(within) = this.watch.want.within
            && this.begun.get_or_insert_with(Instant::now).elapsed() > within
        {
            return Poll::Ready(Some(Err(RawBodyError::Stalled)));
        }
        match Pin::new(&mut this.inner).poll_frame(cx) {
            Poll::Pending => this
                .poll_stalled(cx)
                .map(|()| Some(Err(RawBodyError::Stalled))),
            Poll::Ready(None) => {
                this.watch.nothing_comes();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                Poll::Ready(Some(Err(RawBodyError::Broken(error.into()))))
            }
            Poll::Ready(Some(Ok(frame))) => {
                this.waits = None;
                if let Some(bytes) = frame.data_ref() {
                    let last = this.inner.is_end_stream();
                    if let Err(error) = this.watch.note(bytes, last) {
                        return Poll::Ready(Some(Err(error)));
                    }
                }
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use http_body_util::{BodyExt as _, StreamBody};

    use super::*;

    const WANT: WatchFor = WatchFor {
        announced: None,
        chunked: false,
        keep: false,
        idle: Duration::from_secs(30),
        within: None,
    };

    async fn run(frames: &[&'static str], want: WatchFor) -> Arc<Watch> {
        let watch = Watch::new(want);
        let frames: Vec<Result<Frame<Bytes>, Infallible>> = frames
            .iter()
            .map(|text| Ok(Frame::data(Bytes::from_static(text.as_bytes()))))
            .collect();
        let body = StreamBody::new(stream::iter(frames));
        let watched = Watched::new(body, Arc::clone(&watch));
        let _bytes: Bytes = watched.collect().await.unwrap().to_bytes();
        watch
    }

    #[tokio::test]
    async fn a_body_of_the_announced_length_is_whole() {
        for (announced, verdict) in [
            (None, Ok(())),
            (Some(5), Ok(())),
            (Some(4), Err(BodyError::Short)),
            (Some(6), Err(BodyError::Short)),
        ] {
            let watch = run(&["he", "llo"], WatchFor { announced, ..WANT }).await;
            assert_eq!(watch.verdict(), verdict);
        }
    }

    #[tokio::test]
    async fn a_chunked_body_needs_its_end() {
        let want = WatchFor {
            chunked: true,
            ..WANT
        };
        assert_eq!(
            run(&["1\r\na\r\n0", "\r\n\r\n"], want).await.verdict(),
            Ok(())
        );
        let short = run(&["1\r\na\r\n"], want).await;
        assert_eq!(short.verdict(), Err(BodyError::Short));
        let empty = run(&[], want).await;
        assert_eq!(empty.verdict(), Err(BodyError::Short));
        let broken = run(&["zz\r\n"], want).await;
        assert_eq!(broken.verdict(), Err(BodyError::Framing));
    }

    #[tokio::test]
    async fn a_body_that_nobody_read_to_its_end_is_short() {
        assert_eq!(Watch::new(WANT).verdict(), Err(BodyError::Short));
    }

    #[tokio::test]
    async fn bytes_are_kept_only_when_asked() {
        let keep = WatchFor { keep: true, ..WANT };
        assert_eq!(run(&["he", "llo"], keep).await.kept(), b"hello");
        assert!(run(&["he", "llo"], WANT).await.kept().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn the_wait_counts_from_the_last_bytes() {
        let frames = stream::unfold(0, |n| async move {
            // 20 times 29 seconds, then a minute.
            let wait = if n < 20 { 29 } else { 60 };
            tokio::time::sleep(Duration::from_secs(wait)).await;
            let frame = Frame::data(Bytes::from_static(b"x"));
            Some((Ok::<_, Infallible>(frame), n + 1))
        });
        let start = Instant::now();
        let watched = Watched::new(StreamBody::new(Box::pin(frames)), Watch::new(WANT));
        let error = watched.collect().await.unwrap_err();
        assert!(matches!(error, RawBodyError::Stalled));
        assert_eq!(start.elapsed(), Duration::from_secs(20 * 29 + 30));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_gathered_whole_has_its_time() {
        let drip = stream::unfold((), |()| async move {
            tokio::time::sleep(Duration::from_secs(20)).await;
            let frame = Frame::data(Bytes::from_static(b"x"));
            Some((Ok::<_, Infallible>(frame), ()))
        });
        let start = Instant::now();
        let want = WatchFor {
            within: Some(Duration::from_mins(2)),
            ..WANT
        };
        let watched = Watched::new(StreamBody::new(Box::pin(drip)), Watch::new(want));
        let error = watched.collect().await.unwrap_err();
        assert!(matches!(error, RawBodyError::Stalled));
        let (took, exact) = (start.elapsed(), Duration::from_mins(2));
        assert!(took >= exact && took < exact + Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_gathered_whole_has_its_time_though_nothing_comes() {
        let start = Instant::now();
        let want = WatchFor {
            within: Some(Duration::from_secs(10)),
            ..WANT
        };
        let body = StreamBody::new(stream::pending::<Result<Frame<Bytes>, Infallible>>());
        let watched = Watched::new(body, Watch::new(want));
        let error = watched.collect().await.unwrap_err();
        assert!(matches!(error, RawBodyError::Stalled));
        assert!(start.elapsed() < Duration::from_secs(11));
    }

    #[tokio::test]
    async fn a_client_that_stops_sending_is_given_up() {
        let body = StreamBody::new(stream::pending::<Result<Frame<Bytes>, Infallible>>());
        let at_once = WatchFor {
            idle: Duration::ZERO,
            ..WANT
        };
        let watched = Watched::new(body, Watch::new(at_once));
        let error = watched.collect().await.unwrap_err();
        assert!(matches!(error, RawBodyError::Stalled));
    }
}
