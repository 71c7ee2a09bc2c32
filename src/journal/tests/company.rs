//! When a record waits for others to share a sync with, and when it must not.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::support::{HandClock, event};
use crate::journal::queue::{Answer, Bounds, Effect, Queue, Queued};
use crate::types::Clock;

const BOUNDS: Bounds = Bounds {
    queue: 8,
    open: 8,
    group: 1 << 20,
    wait_ms: 1_000,
};
/// So late that a test which waits for it does not end.
const LATE: Duration = Duration::from_hours(1);

fn queue() -> Arc<Queue> {
    let clock: Arc<dyn Clock> = HandClock::new();
    Arc::new(Queue::new(BOUNDS, clock))
}

fn push(queue: &Queue, n: u32) -> tokio::sync::oneshot::Receiver<Answer> {
    let effect = Effect::Opens(event(n));
    let bytes = vec![0; 16];
    let queued = Queued {
        bytes,
        session: None,
        effect,
    };
    queue.push(queued).unwrap()
}

fn later(wait: Duration) -> Option<Instant> {
    Instant::now().checked_add(wait)
}

#[test]
fn a_record_alone_waits_for_nobody() {
    let queue = queue();
    let _answer = push(&queue, 1);
    assert_eq!(queue.next(None, later(LATE)).waiting.len(), 1);
}

#[test]
fn records_that_are_all_here_wait_for_nobody() {
    let queue = queue();
    let _answers = [push(&queue, 1), push(&queue, 2)];
    assert_eq!(queue.next(None, later(LATE)).waiting.len(), 2);
}

#[test]
fn a_request_under_way_is_waited_for_until_the_time_and_no_longer() {
    let queue = queue();
    let mut first = push(&queue, 1);
    let work = queue.next(None, None);
    queue.done(&work.completions, work.waiting);
    let slot = first.try_recv().unwrap().unwrap();
    let _second = push(&queue, 2);
    let earliest = later(Duration::from_millis(20));
    assert_eq!(queue.next(None, earliest).waiting.len(), 1);
    assert!(earliest.is_some_and(|at| at <= Instant::now()));
    let _third = push(&queue, 3);
    assert_eq!(queue.next(None, earliest).waiting.len(), 1, "it is past");
    drop(slot);
}

#[test]
fn what_is_under_way_and_has_said_its_last_is_not_waited_for() {
    let queue = queue();
    let mut first = push(&queue, 1);
    let work = queue.next(None, None);
    queue.done(&work.completions, work.waiting);
    // Dropped, the slot writes the completion of its event.
    drop(first.try_recv().unwrap());
    let _second = push(&queue, 2);
    let work = queue.next(None, later(LATE));
    assert_eq!((work.completions.len(), work.waiting.len()), (1, 1));
}

#[test]
fn the_end_waits_for_nobody() {
    let queue = queue();
    let mut first = push(&queue, 1);
    let work = queue.next(None, None);
    queue.done(&work.completions, work.waiting);
    let slot = first.try_recv().unwrap();
    let _second = push(&queue, 2);
    let _stopped = queue.close();
    assert!(queue.next(None, later(LATE)).closing);
    drop(slot);
}
