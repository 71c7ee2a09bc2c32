//! How far a reader of one file is read ahead of. Pure: it is told of each read, and says what to
//! fetch.

use super::opening::CHUNK;
use crate::types::{ByteRange, limits};

/// Chunks that are ahead for each that was read in order.
const GROWTH: u64 = 4;

/// How a file is being read.
#[derive(Default)]
pub(super) struct Ahead {
    /// Where reading in order began.
    begun: u64,
    /// Where the next read would go on.
    next: u64,
    /// Up to where has been asked for.
    asked: u64,
}

/// What a read is, after those before it.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Read {
    /// It goes on in order, and this is to be fetched: what follows, with what it lies in.
    InOrder(Option<ByteRange>),
    /// It stands alone.
    Alone,
}

/// The chunk's beginning.
const fn floor(at: u64) -> u64 {
    at.saturating_sub(at.wrapping_rem(CHUNK))
}

impl Ahead {
    /// Notes a read of a file of so many bytes; at most so many chunks are to be ahead of it. They
    /// are asked for in stretches of half of that, so that stores are asked for few long ranges
    /// instead of many short ones.
    pub(super) fn note(&mut self, range: ByteRange, bytes: u64, chunks_max: u64) -> Read {
        // The kernel's own read-ahead comes in several requests, which may overtake each other.
        let near = range.start() <= self.next.saturating_add(CHUNK)
            && range.end().saturating_add(CHUNK) >= self.next;
        if !near {
            *self = Self {
                begun: range.start(),
                next: range.end(),
                asked: 0,
            };
            return Read::Alone;
        }
        self.next = self.next.max(range.end());
        self.asked = self.asked.max(floor(self.next));
        let read = self.next.saturating_sub(self.begun);
        let window = read.saturating_mul(GROWTH).wrapping_div(CHUNK);
        let window = window.clamp(1, chunks_max.max(1));
        let end = self.next.saturating_add(window.saturating_mul(CHUNK));
        let end = if end < bytes { floor(end) } else { bytes };
        let more = end.saturating_sub(self.asked);
        let stretch = window.div_ceil(2).min(limits::NODE_STRETCH_CHUNKS_MAX);
        if more < stretch.saturating_mul(CHUNK) && end < bytes {
            return Read::InOrder(None);
        }
        let fetch = ByteRange::new(self.asked, end);
        self.asked = self.asked.max(end);
        Read::InOrder(fetch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: u64 = 128 * 1024;

    fn range(start: u64, end: u64) -> ByteRange {
        ByteRange::new(start, end).unwrap()
    }

    /// What is fetched ahead of a reader who goes through a file in reads of `READ`.
    fn through(bytes: u64, chunks_max: u64) -> Vec<ByteRange> {
        let mut ahead = Ahead::default();
        let starts = (0..bytes.div_ceil(READ)).map(|n| n * READ);
        let reads = starts.map(|start| range(start, (start + READ).min(bytes)));
        reads
            .filter_map(|read| match ahead.note(read, bytes, chunks_max) {
                Read::InOrder(fetch) => fetch,
                Read::Alone => panic!("it is in order"),
            })
            .collect()
    }

    #[test]
    fn a_reader_in_order_is_fetched_all_of_it_once_in_stretches_that_grow() {
        for (bytes, most) in [(1, 64), (READ, 64), (CHUNK * 300 + 5, 64), (CHUNK * 40, 3)] {
            let all = through(bytes, most);
            let mut at = 0;
            for fetch in &all {
                assert_eq!(fetch.start(), at, "no gap and nothing twice");
                assert!(fetch.len() <= most * CHUNK);
                at = fetch.end();
            }
            assert_eq!(at, bytes);
        }
        let chunks: Vec<u64> = through(CHUNK * 300, 64)
            .iter()
            .map(|fetch| fetch.len() / CHUNK)
            .collect();
        let stretch = limits::NODE_STRETCH_CHUNKS_MAX;
        assert!(chunks.iter().all(|n| *n <= stretch));
        assert!(chunks[0] == 1 && chunks[1] <= 2);
        let full = chunks.iter().filter(|n| **n == stretch).count();
        assert!(full >= 16, "{chunks:?}");
    }

    #[test]
    fn never_more_is_ahead_than_is_allowed() {
        let mut ahead = Ahead::default();
        let (bytes, most) = (CHUNK * 200, 7);
        let mut asked = 0;
        for start in (0..bytes / READ).map(|n| n * READ) {
            let read = range(start, start + READ);
            if let Read::InOrder(Some(fetch)) = ahead.note(read, bytes, most) {
                asked = fetch.end();
            }
            assert!(asked.saturating_sub(start + READ) <= most * CHUNK);
        }
    }

    #[test]
    fn who_jumps_about_is_fetched_nothing_and_begins_again_small() {
        let bytes = CHUNK * 1_000;
        let mut ahead = Ahead::default();
        for n in 0..20 {
            ahead.note(range(n * READ, (n + 1) * READ), bytes, 64);
        }
        for chunk in [700, 3, 400, 990, 41] {
            let read = range(chunk * CHUNK, chunk * CHUNK + 4096);
            assert_eq!(ahead.note(read, bytes, 64), Read::Alone);
        }
        let next = range(41 * CHUNK + 4096, 41 * CHUNK + 8192);
        let fetch = range(41 * CHUNK, 42 * CHUNK);
        assert_eq!(ahead.note(next, bytes, 64), Read::InOrder(Some(fetch)));
    }

    #[test]
    fn little_is_fetched_ahead_of_who_read_little() {
        let mut ahead = Ahead::default();
        let (bytes, mut asked) = (CHUNK * 1_000, 0);
        for n in 0..64 {
            if let Read::InOrder(Some(fetch)) =
                ahead.note(range(n * READ, (n + 1) * READ), bytes, 64)
            {
                asked = fetch.end();
            }
            assert!(asked <= (n + 1) * READ * (GROWTH + 1) + CHUNK);
        }
    }

    #[test]
    fn reads_that_overtake_each_other_are_in_order() {
        let bytes = CHUNK * 10;
        let mut ahead = Ahead::default();
        for start in [0, 2 * READ, READ, 4 * READ, 3 * READ] {
            let read = ahead.note(range(start, start + READ), bytes, 64);
            assert!(matches!(read, Read::InOrder(_)));
        }
    }
}
