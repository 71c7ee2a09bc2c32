//! Bodies on their way to the store. One upload may be tried several times, one after the other,
//! but never again after a byte was taken that cannot be given back.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::store::BodyAborted;
use crate::store::body::Exact;

/// One body, whichever connection carries it.
pub(super) struct Upload {
    bytes: u64,
    state: Mutex<State>,
}

struct State {
    source: Source,
    standing: Standing,
}

enum Source {
    Whole { chunks: Vec<Bytes>, next: usize },
    Stream(Exact),
}

/// How far the current try is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) progress: Progress,
    /// Bytes that the connection took.
    taken: u64,
    /// How often it came for more.
    polls: u64,
}

impl Standing {
    const START: Self = Self {
        progress: Progress::Sending,
        taken: 0,
        polls: 0,
    };
}

/// Who is to move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// The connection has yet to take what it was given.
    Sending,
    /// The sender has yet to give the next chunk: not the store's fault.
    Waiting,
    /// All bytes were taken.
    Done,
    /// The sender gave up.
    Aborted,
}

impl Upload {
    /// A body in memory: it can be sent again and again.
    pub(super) fn whole(chunks: Vec<Bytes>) -> Arc<Self> {
        let bytes = chunks.iter().map(Bytes::len).fold(0, usize::saturating_add);
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        Self::new(bytes, Source::Whole { chunks, next: 0 })
    }

    /// A body that comes as it is sent.
    pub(super) fn stream(bytes: u64, body: Exact) -> Arc<Self> {
        Self::new(bytes, Source::Stream(body))
    }

    fn new(bytes: u64, source: Source) -> Arc<Self> {
        Arc::new(Self {
            bytes,
            state: Mutex::new(State {
                source,
                standing: Standing::START,
            }),
        })
    }

    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The body for the next try; the connection of an earlier one is gone with its link.
    pub(super) fn begin(self: &Arc<Self>) -> Outgoing {
        let mut state = self.lock();
        state.standing = Standing::START;
        if let Source::Whole { next, .. } = &mut state.source {
            *next = 0;
        }
        drop(state);
        Outgoing {
            upload: Arc::clone(self),
        }
    }

    /// Whether another try would send the same bytes.
    pub(super) fn replayable(&self) -> bool {
        let state = self.lock();
        let fresh = state.standing.taken == 0 && state.standing.progress != Progress::Aborted;
        matches!(state.source, Source::Whole { .. }) || fresh
    }

    /// Whether the current try has handed on all that there is to send.
    pub(super) fn is_sent(&self) -> bool {
        self.bytes == 0 || self.progress() == Progress::Done
    }

    pub(super) fn standing(&self) -> Standing {
        self.lock().standing
    }

    pub(super) fn progress(&self) -> Progress {
        self.standing().progress
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The body of one request.
pub(super) struct Outgoing {
    upload: Arc<Upload>,
}

impl Outgoing {
    pub(super) fn bytes(&self) -> u64 {
        self.upload.bytes
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = BodyAborted;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyAborted>>> {
        let mut state = self.upload.lock();
        let state = &mut *state;
        let next = match &mut state.source {
            Source::Whole { chunks, next } => {
                let chunk = chunks.get(*next).cloned();
                *next = next.saturating_add(1);
                Poll::Ready(chunk.map(Ok))
            }
            Source::Stream(body) => body.poll_next(cx),
        };
        let standing = &mut state.standing;
        standing.polls = standing.polls.saturating_add(1);
        standing.progress = match &next {
            Poll::Pending => Progress::Waiting,
            Poll::Ready(Some(Err(_))) => Progress::Aborted,
            Poll::Ready(None) => Progress::Done,
            Poll::Ready(Some(Ok(chunk))) => {
                let bytes = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
                standing.taken = standing.taken.saturating_add(bytes);
                // hyper does not come again once it has what was announced.
                if standing.taken == self.upload.bytes {
                    Progress::Done
                } else {
                    Progress::Sending
                }
            }
        };
        next.map(|next| next.map(|chunk| chunk.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.upload.bytes == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.upload.bytes)
    }
}
