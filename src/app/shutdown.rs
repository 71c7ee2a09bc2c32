//! How the process ends: the first signal lets running streams finish, the second ends at once.

use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// How far the end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// Serve.
    Run,
    /// Take nothing new, finish what runs.
    Drain,
    /// End at once.
    Stop,
}

/// Makes a trigger and what listens to it.
#[must_use]
pub fn channel() -> (Trigger, Shutdown) {
    let (sender, receiver) = watch::channel(Phase::Run);
    (Trigger(sender), Shutdown(receiver))
}

/// Ends the process; dropping it ends it at once.
#[derive(Debug)]
pub struct Trigger(watch::Sender<Phase>);

impl Trigger {
    /// Nothing new is taken from here on; what runs may finish.
    pub fn drain(&self) {
        self.raise(Phase::Drain);
    }

    /// What runs is cut.
    pub fn stop(&self) {
        self.raise(Phase::Stop);
    }

    /// There is no way back: a phase only rises.
    fn raise(&self, phase: Phase) {
        self.0.send_if_modified(|now| {
            let rises = phase > *now;
            *now = phase.max(*now);
            rises
        });
    }
}

/// Tells when to end. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Shutdown(watch::Receiver<Phase>);

impl Shutdown {
    /// Returns when nothing new is to be taken.
    pub async fn draining(&self) {
        self.reached(Phase::Drain).await;
    }

    /// Returns when everything is to end.
    pub async fn stopped(&self) {
        self.reached(Phase::Stop).await;
    }

    /// Whether nothing new is to be taken.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        *self.0.borrow() >= Phase::Drain
    }

    async fn reached(&self, phase: Phase) {
        // A dropped trigger is an error here, and an end as well.
        let _ended = self.0.clone().wait_for(|now| *now >= phase).await.is_ok();
    }
}

/// SIGINT and SIGTERM, as a stream that never ends.
pub fn signals() -> std::io::Result<impl Stream<Item = ()> + Unpin + Send> {
    let each = |signal: Signal| {
        futures_util::stream::unfold(signal, |mut signal| async {
            signal.recv().await.map(|()| ((), signal))
        })
    };
    let interrupt = each(signal(SignalKind::interrupt())?);
    let terminate = each(signal(SignalKind::terminate())?);
    Ok(Box::pin(futures_util::stream::select(interrupt, terminate)))
}

/// Waits for a signal and drains; after `wait`, or at a second signal, it stops.
pub async fn supervise(
    trigger: Trigger,
    wait: Duration,
    mut signals: impl Stream<Item = ()> + Unpin,
) {
    if signals.next().await.is_some() {
        tracing::info!(
            wait_ms = wait.as_millis(),
            "stopping: running streams may finish"
        );
        trigger.drain();
        tokio::select! {
            () = tokio::time::sleep(wait) => tracing::warn!("stopping: time is up"),
            Some(()) = signals.next() => tracing::warn!("stopping: at once, as asked again"),
            () = trigger.0.closed() => return,
        }
    }
    trigger.stop();
    // Whoever asks later is still told.
    trigger.0.closed().await;
}

#[cfg(test)]
mod tests {
    use futures_util::future::FutureExt as _;
    use tokio::sync::mpsc;
    use tokio::time::Instant;

    use super::*;

    fn fake() -> (mpsc::Sender<()>, impl Stream<Item = ()> + Unpin) {
        let (sender, receiver) = mpsc::channel(4);
        let stream = futures_util::stream::unfold(receiver, |mut receiver| async {
            receiver.recv().await.map(|()| ((), receiver))
        });
        (sender, Box::pin(stream))
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_signal_drains_and_time_stops() {
        let (trigger, shutdown) = channel();
        let (sender, signals) = fake();
        let task = tokio::spawn(supervise(trigger, Duration::from_secs(30), signals));
        tokio::task::yield_now().await;
        assert!(!shutdown.is_draining());
        let start = Instant::now();
        sender.send(()).await.expect("heard");
        shutdown.draining().await;
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert!(shutdown.stopped().now_or_never().is_none());
        shutdown.stopped().await;
        assert_eq!(start.elapsed(), Duration::from_secs(30));
        drop(shutdown);
        task.await.expect("ends when nobody listens");
    }

    #[tokio::test(start_paused = true)]
    async fn the_second_signal_stops_at_once() {
        let (trigger, shutdown) = channel();
        let (sender, signals) = fake();
        let _task = tokio::spawn(supervise(trigger, Duration::from_secs(30), signals));
        let start = Instant::now();
        sender.send(()).await.expect("heard");
        sender.send(()).await.expect("heard");
        shutdown.stopped().await;
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test]
    async fn there_is_no_way_back() {
        let (trigger, shutdown) = channel();
        trigger.stop();
        trigger.drain();
        assert!(shutdown.stopped().now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_lost_trigger_is_an_end() {
        let (trigger, shutdown) = channel();
        drop(trigger);
        assert!(shutdown.stopped().now_or_never().is_some());
    }
}
