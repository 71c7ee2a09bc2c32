//! When a record waits for others to share a sync with, and when it must not.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use tokio::time::Instant;

use super::support::{HandClock, event};
use crate::journal::queue::{Bounds, Effect, Pace, Queue, Queued, Slot, Ticket};
use crate::types::Clock;

/// So long that a test which waits for it does not end.
const LONG: Duration = Duration::from_hours(1);
const PATIENT: Pace = Pace {
    urgent: LONG,
    lazy: LONG,
};

fn queue(pace: Pace) -> Arc<Queue> {
    let clock: Arc<dyn Clock> = HandClock::new();
    let bounds = Bounds {
        queue: 8,
        open: 8,
        group: 1 << 20,
        wait_ms: 1_000,
        pace,
    };
    Arc::new(Queue::new(bounds, clock))
}

fn put(queue: &Queue, n: u32, urgent: bool) -> Ticket {
    let effect = Effect::Opens(event(n));
    let bytes = vec![0; 16];
    let queued = Queued {
        bytes,
        session: None,
        effect,
    };
    queue.push(queued, urgent).unwrap()
}

/// A record that somebody waits for.
fn push(queue: &Queue, n: u32) -> Ticket {
    put(queue, n, true)
}

/// A record whose maker is at something else.
fn leave(queue: &Queue, n: u32) -> Ticket {
    put(queue, n, false)
}

/// How many records the next group has, where the last one has just begun.
fn next(queue: &Queue) -> usize {
    queue.next(None, Some(Instant::now())).waiting.len()
}

#[test]
fn a_record_alone_waits_for_nobody() {
    for urgent in [true, false] {
        let queue = queue(PATIENT);
        let _ticket = put(&queue, 1, urgent);
        assert_eq!(next(&queue), 1, "urgent: {urgent}");
    }
}

#[test]
fn records_that_are_all_here_wait_for_nobody() {
    let queue = queue(PATIENT);
    let _tickets = [push(&queue, 1), leave(&queue, 2)];
    assert_eq!(next(&queue), 2);
}

/// The queue with that many requests under way, and their slots.
fn under_way(n: u32, pace: Pace) -> (Arc<Queue>, Vec<Slot>) {
    let queue = queue(pace);
    let mut tickets: Vec<_> = (0..n).map(|i| push(&queue, i)).collect();
    let work = queue.next(None, None);
    queue.done(&work.completions, work.waiting);
    let slots = tickets
        .iter_mut()
        .map(|ticket| ticket.receiver.try_recv().unwrap().unwrap().unwrap())
        .collect();
    (queue, slots)
}

#[test]
fn more_that_are_under_way_are_waited_for_until_the_time_and_no_longer() {
    let short = Duration::from_millis(20);
    for urgent in [true, false] {
        let (urgently, lazily) = if urgent { (short, LONG) } else { (LONG, short) };
        let pace = Pace {
            urgent: urgently,
            lazy: lazily,
        };
        let (queue, _slots) = under_way(2, pace);
        let _third = put(&queue, 3, urgent);
        let began = Instant::now();
        assert_eq!(queue.next(None, Some(began)).waiting.len(), 1);
        assert!(began.elapsed() >= short, "urgent: {urgent}");
        let _fourth = put(&queue, 4, urgent);
        let past = queue.next(None, Some(began));
        assert_eq!(past.waiting.len(), 1, "it is past");
    }
}

#[test]
fn as_many_as_are_under_way_are_company_enough() {
    let (queue, _slots) = under_way(2, PATIENT);
    let _tickets = [push(&queue, 3), push(&queue, 4)];
    assert_eq!(next(&queue), 2);
}

#[test]
fn what_has_said_its_last_is_not_waited_for() {
    let (queue, slots) = under_way(3, PATIENT);
    // Dropped, a slot writes the completion of its event.
    drop(slots);
    let _fourth = leave(&queue, 4);
    let work = queue.next(None, Some(Instant::now()));
    assert_eq!((work.completions.len(), work.waiting.len()), (3, 1));
}

/// A writer that looks for its next group, and says how many records it has.
fn writer(queue: &Arc<Queue>) -> mpsc::Receiver<usize> {
    let queue = Arc::clone(queue);
    let (told, heard) = mpsc::sync_channel(1);
    drop(std::thread::spawn(move || told.send(next(&queue))));
    heard
}

#[test]
fn who_waits_for_company_is_woken_when_it_is_there() {
    let (queue, mut slots) = under_way(3, PATIENT);
    let _fourth = push(&queue, 4);
    let writer = writer(&queue);
    // One more comes and one ends, in whatever order the writer sees it.
    let _fifth = push(&queue, 5);
    drop(slots.pop());
    assert_eq!(writer.recv().unwrap(), 2);
}

#[test]
fn a_record_that_nobody_waits_for_waits_until_its_maker_does() {
    let pace = Pace {
        urgent: Duration::ZERO,
        lazy: LONG,
    };
    let (queue, _slots) = under_way(3, pace);
    let ticket = leave(&queue, 4);
    let writer = writer(&queue);
    let early = writer.recv_timeout(Duration::from_millis(20));
    assert!(early.is_err(), "nobody waits");
    queue.hurry(&ticket);
    assert_eq!(writer.recv().unwrap(), 1);
}

#[test]
fn who_comes_and_waits_takes_along_what_nobody_waited_for() {
    let pace = Pace {
        urgent: Duration::ZERO,
        lazy: LONG,
    };
    let (queue, _slots) = under_way(3, pace);
    let _left = leave(&queue, 4);
    let writer = writer(&queue);
    assert!(writer.recv_timeout(Duration::from_millis(20)).is_err());
    let _waited_for = push(&queue, 5);
    assert_eq!(writer.recv().unwrap(), 2);
}

#[test]
fn who_waits_for_a_record_that_the_writer_has_hurries_no_other() {
    let short = Duration::from_millis(20);
    let pace = Pace {
        urgent: LONG,
        lazy: short,
    };
    let (queue, _slots) = under_way(3, pace);
    let taken = leave(&queue, 4);
    assert_eq!(queue.next(None, None).waiting.len(), 1);
    let _fifth = leave(&queue, 5);
    queue.hurry(&taken);
    // Urgent, it would wait for the company of three, and for hours.
    assert_eq!(next(&queue), 1);
}

#[test]
fn the_end_waits_for_nobody() {
    let (queue, _slots) = under_way(2, PATIENT);
    let _third = push(&queue, 3);
    let _stopped = queue.close();
    assert!(queue.next(None, Some(Instant::now())).closing);
}
