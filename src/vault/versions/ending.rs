//! An answer that ends when its time is over, whether or not its client ever asks for more of it:
//! what it holds is given back then.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::BoxStream;
use tokio::task::AbortHandle;

use crate::vault::error::{ErrorKind, VaultError};

/// Why it ended.
pub(super) const LATE: VaultError =
    VaultError::new(ErrorKind::Unavailable, "the answer takes too long");

type Running = BoxStream<'static, Result<Bytes, VaultError>>;

/// A stream with an end of its own.
pub(super) struct Ending {
    state: Arc<Mutex<State>>,
    timer: AbortHandle,
}

struct State {
    running: Option<Running>,
    /// Who waits for the next piece.
    asks: Option<Waker>,
    /// What is to be said yet.
    last: Option<VaultError>,
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ending {
    /// Ends a stream after so long; `over` is set before it is dropped for that.
    pub(super) fn after(time: Duration, running: Running, over: Arc<AtomicBool>) -> Self {
        let state = Arc::new(Mutex::new(State {
            running: Some(running),
            asks: None,
            last: None,
        }));
        let ends = Arc::downgrade(&state);
        let timer = tokio::spawn(async move {
            tokio::time::sleep(time).await;
            let Some(state) = ends.upgrade() else { return };
            let (ended, asks) = {
                let mut state = locked(&state);
                let ended = state.running.take();
                state.last = ended.is_some().then_some(LATE);
                (ended, state.asks.take())
            };
            over.store(true, Ordering::Relaxed);
            drop(ended);
            if let Some(asks) = asks {
                asks.wake();
            }
        });
        Self {
            state,
            timer: timer.abort_handle(),
        }
    }
}

impl Stream for Ending {
    type Item = Result<Bytes, VaultError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut state = locked(&self.state);
        let Some(running) = state.running.as_mut() else {
            return Poll::Ready(state.last.take().map(Err));
        };
        let polled = running.as_mut().poll_next(cx);
        match &polled {
            Poll::Pending => state.asks = Some(cx.waker().clone()),
            Poll::Ready(None) => state.running = None,
            Poll::Ready(Some(_)) => {}
        }
        polled
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.timer.abort();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt as _, StreamExt as _, stream};

    use super::*;

    const TIME: Duration = Duration::from_secs(20);

    /// Says what was dropped, and whether its time was over.
    struct Held(Arc<AtomicBool>, Arc<Mutex<Option<bool>>>);

    impl Drop for Held {
        fn drop(&mut self) {
            *self.1.lock().unwrap() = Some(self.0.load(Ordering::Relaxed));
        }
    }

    type Fate = Arc<Mutex<Option<bool>>>;

    /// Pieces, and then nothing for ever or the end.
    fn answer(pieces: usize, ends: bool) -> (Ending, Fate) {
        let (over, fate) = (Arc::default(), Fate::default());
        let held = Held(Arc::clone(&over), Arc::clone(&fate));
        let pieces = stream::iter(0..pieces).map(|_| Ok(Bytes::from_static(b"piece")));
        let rest = stream::once(async move {
            let _held = held;
            if !ends {
                std::future::pending::<()>().await;
            }
            Ok(Bytes::new())
        });
        let running = pieces.chain(rest).boxed();
        (Ending::after(TIME, running, over), fate)
    }

    #[tokio::test(start_paused = true)]
    async fn who_never_asks_again_holds_nothing_once_its_time_is_over() {
        let (mut answer, fate) = answer(9, false);
        assert!(answer.next().await.unwrap().is_ok());
        tokio::time::sleep(TIME / 2).await;
        assert_eq!(*fate.lock().unwrap(), None);
        tokio::time::sleep(TIME).await;
        assert_eq!(*fate.lock().unwrap(), Some(true));
        // It is no whole answer.
        assert_eq!(
            answer.next().await.unwrap().unwrap_err().kind(),
            LATE.kind()
        );
        assert!(answer.next().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_the_next_piece_is_told() {
        let (mut answer, _fate) = answer(0, false);
        let begun = tokio::time::Instant::now();
        assert!(answer.next().await.unwrap().is_err());
        assert!(begun.elapsed() < TIME * 2);
    }

    #[tokio::test(start_paused = true)]
    async fn what_ends_in_time_ends_as_it_is() {
        let (mut whole, fate) = answer(2, true);
        let mut pieces = 0;
        while let Some(piece) = whole.next().await {
            assert!(piece.is_ok());
            pieces += 1;
        }
        assert_eq!((pieces, *fate.lock().unwrap()), (3, Some(false)));
        tokio::time::sleep(TIME * 2).await;
        assert!(whole.next().await.is_none(), "and no error follows");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_given_up_ends_at_once() {
        let (mut given_up, fate) = answer(2, false);
        assert!(given_up.next().now_or_never().is_some());
        drop(given_up);
        assert_eq!(*fate.lock().unwrap(), Some(false));
    }
}
