//! When a record waits for others to share a sync with, and when it must not.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::support::{HandClock, event};
use crate::journal::queue::{Answer, Bounds, Effect, Queue, Queued, Slot};
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

/// The queue with that many requests under way, and their slots.
fn under_way(n: u32) -> (Arc<Queue>, Vec<Slot>) {
    let queue = queue();
    let mut answers: Vec<_> = (0..n).map(|i| push(&queue, i)).collect();
    let work = queue.next(None, None);
    queue.done(&work.completions, work.waiting);
    let slots = answers
        .iter_mut()
        .map(|answer| answer.try_recv().unwrap().unwrap().unwrap())
        .collect();
    (queue, slots)
}

#[test]
fn more_that_are_under_way_are_waited_for_until_the_time_and_no_longer() {
    let (queue, _slots) = under_way(2);
    let _third = push(&queue, 3);
    let earliest = later(Duration::from_millis(20));
    assert_eq!(queue.next(None, earliest).waiting.len(), 1);
    assert!(earliest.is_some_and(|at| at <= Instant::now()));
    let _fourth = push(&queue, 4);
    assert_eq!(queue.next(None, earliest).waiting.len(), 1, "it is past");
}

#[test]
fn as_many_as_are_under_way_are_company_enough() {
    let (queue, _slots) = under_way(2);
    let _answers = [push(&queue, 3), push(&queue, 4)];
    assert_eq!(queue.next(None, later(LATE)).waiting.len(), 2);
}

#[test]
fn what_has_said_its_last_is_not_waited_for() {
    let (queue, slots) = under_way(3);
    // Dropped, a slot writes the completion of its event.
    drop(slots);
    let _fourth = push(&queue, 4);
    let work = queue.next(None, later(LATE));
    assert_eq!((work.completions.len(), work.waiting.len()), (3, 1));
}

#[test]
fn who_waits_for_company_is_woken_when_it_is_there() {
    let (queue, mut slots) = under_way(3);
    let _fourth = push(&queue, 4);
    let writer = std::thread::spawn({
        let queue = Arc::clone(&queue);
        move || queue.next(None, later(LATE)).waiting.len()
    });
    // One more comes and one ends, in whatever order the writer sees it.
    let _fifth = push(&queue, 5);
    drop(slots.pop());
    assert_eq!(writer.join().unwrap(), 2);
}

#[test]
fn the_end_waits_for_nobody() {
    let (queue, _slots) = under_way(2);
    let _third = push(&queue, 3);
    let _stopped = queue.close();
    assert!(queue.next(None, later(LATE)).closing);
}
