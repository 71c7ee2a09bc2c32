//! In which order files are going to be opened: as they stand in their directory, as a plan says,
//! or as they were opened before. Files are numbers here: where they stand in the manifest.

use std::collections::{HashMap, VecDeque};

use crate::types::limits;

/// Readers that each go through a directory of their own.
const WALKS_MAX: usize = 16;
/// How far apart two of their opens may be: directories and files that are passed over come between.
const WALK_STEP: u64 = 8;
/// How many in a row must be so near before more is brought.
const WALK_STEPS: u32 = 2;
/// How far apart two opens of a known order may be: readers beside each other come between.
const STEP: u64 = 32;
/// How many opens in a row must follow what was learned before it is believed.
const STREAK: u32 = 4;
/// Files that are brought first; each time twice as many.
const WINDOW_MIN: u64 = 4;

/// How far one order has been brought.
#[derive(Default, Clone)]
struct Track {
    brought: u64,
    window: u64,
}

impl Track {
    /// What to bring as the reader is at a place: in pieces of at least half a window.
    fn advance(&mut self, at: u64, files_max: u64) -> std::ops::Range<u64> {
        let next = at.saturating_add(1);
        // One that jumped begins again.
        if self.brought < next || self.brought > next.saturating_add(files_max.saturating_mul(2)) {
            self.brought = next;
        }
        let window = self.window.saturating_mul(2).max(WINDOW_MIN).min(files_max);
        self.window = window;
        let end = next.saturating_add(window);
        let from = self.brought;
        if end.saturating_sub(from) < window.div_ceil(2) {
            return from..from;
        }
        self.brought = end;
        from..end
    }
}

/// A reader that goes through files as they stand.
struct Walk {
    last: u64,
    steps: u32,
    track: Track,
}

/// A known order of files.
#[derive(Default)]
struct List {
    order: Vec<u32>,
    /// Where each stands in it: the first time, or the last that was learned.
    at: HashMap<u32, u32>,
    last: Option<u64>,
    streak: u32,
    track: Track,
}

impl List {
    fn of(order: Vec<u32>) -> Self {
        let mut at = HashMap::with_capacity(order.len());
        for (index, file) in (0_u32..).zip(&order) {
            at.entry(*file).or_insert(index);
        }
        Self {
            order,
            at,
            // A reader is expected at the beginning.
            last: Some(0),
            ..Self::default()
        }
    }

    /// Where an open stands in the list, if it does: near where the reader was, or else anywhere.
    fn follow(&mut self, file: u32) -> Option<u64> {
        let from = self.last.map_or(0, |last| last.saturating_add(1));
        let near = usize::try_from(from).ok()?;
        let step = usize::try_from(STEP).ok()?;
        let near = self
            .order
            .iter()
            .skip(near)
            .take(step)
            .position(|other| *other == file);
        let near = near.and_then(|at| from.checked_add(u64::try_from(at).ok()?));
        let at = near.or_else(|| self.at.get(&file).map(|at| u64::from(*at)));
        let known = at?;
        // Readers beside each other overtake each other.
        let close = self.last.is_some_and(|last| known.abs_diff(last) <= STEP);
        if close {
            self.streak = self.streak.saturating_add(1);
            self.last = self.last.max(Some(known));
        } else {
            // Who jumps about is not brought much.
            self.streak = 0;
            self.track = Track::default();
            self.last = Some(known);
        }
        self.last
    }

    fn bring(&mut self, at: u64, files_max: u64) -> Vec<u64> {
        let range = self.track.advance(at, files_max);
        let from = usize::try_from(range.start).unwrap_or(usize::MAX);
        let count = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or_default();
        let files = self.order.iter().skip(from).take(count);
        files.map(|file| u64::from(*file)).collect()
    }
}

/// What is known of the order.
pub struct Orders {
    walks: VecDeque<Walk>,
    plan: Option<List>,
    learned: List,
    /// What may be brought ahead of one reader, in bytes.
    bytes_max: u64,
    /// What the files that were opened last hold, each.
    mean_bytes: u64,
}

impl Orders {
    /// Nothing is known. `bytes_max`: how much may be brought ahead.
    #[must_use]
    pub fn new(bytes_max: u64) -> Self {
        Self {
            walks: VecDeque::new(),
            plan: None,
            learned: List::default(),
            bytes_max,
            mean_bytes: 0,
        }
    }

    /// Files are going to be opened so; an empty plan is none.
    pub fn plan(&mut self, order: Vec<u32>) {
        self.plan = (!order.is_empty()).then(|| List::of(order));
    }

    /// How many files the plan names.
    #[must_use]
    pub fn planned(&self) -> usize {
        self.plan.as_ref().map_or(0, |plan| plan.order.len())
    }

    /// What to bring as a file of so many bytes is opened, in the order in which it will be.
    pub fn opened(&mut self, file: u64, bytes: u64) -> Vec<u64> {
        let bytes = bytes.min(limits::NODE_CHUNK_BYTES);
        let sum = self.mean_bytes.saturating_mul(7).saturating_add(bytes);
        self.mean_bytes = sum.div_ceil(8);
        let fit = self
            .bytes_max
            .checked_div(self.mean_bytes.max(1))
            .unwrap_or_default();
        let files_max = fit.clamp(WINDOW_MIN, limits::NODE_WINDOW_FILES_MAX);
        let walked = self.walk(file, files_max);
        let Ok(small) = u32::try_from(file) else {
            return walked.unwrap_or_default();
        };
        let remembered = self.remember(small, files_max);
        if let Some(plan) = &mut self.plan
            && let Some(at) = plan.follow(small)
            && plan.streak > 0
        {
            return plan.bring(at, files_max);
        }
        remembered.or(walked).unwrap_or_default()
    }

    /// What follows where a reader goes on as files stand.
    fn walk(&mut self, file: u64, files_max: u64) -> Option<Vec<u64>> {
        let near = |walk: &Walk| file > walk.last && file.saturating_sub(walk.last) <= WALK_STEP;
        let found = self.walks.iter().position(near);
        let walk = found.and_then(|at| self.walks.remove(at));
        let mut walk = walk.unwrap_or_else(|| Walk {
            last: file,
            steps: 0,
            track: Track::default(),
        });
        walk.steps = walk.steps.saturating_add(u32::from(file > walk.last));
        walk.last = file;
        let known = walk.steps >= WALK_STEPS;
        let range = known.then(|| walk.track.advance(file, files_max));
        if self.walks.len() >= WALKS_MAX {
            self.walks.pop_back();
        }
        self.walks.push_front(walk);
        range.map(Iterator::collect)
    }

    /// Learns, and says what followed where this was opened before.
    fn remember(&mut self, file: u32, files_max: u64) -> Option<Vec<u64>> {
        let learned = &mut self.learned;
        let at = learned.follow(file);
        if learned.order.len() >= limits::NODE_LEARNED_MAX {
            *learned = List::default();
        }
        let next = u32::try_from(learned.order.len()).ok()?;
        learned.order.push(file);
        learned.at.insert(file, next);
        let at = at.filter(|_| learned.streak >= STREAK)?;
        Some(learned.bring(at, files_max))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    const SMALL: u64 = 10_000;

    /// Opens in this order; how many were brought before they were opened, and all that was brought.
    fn read(orders: &mut Orders, files: &[u64]) -> (usize, HashSet<u64>) {
        let (mut brought, mut ready) = (HashSet::new(), 0);
        for file in files {
            ready += usize::from(brought.contains(file));
            brought.extend(orders.opened(*file, SMALL));
        }
        (ready, brought)
    }

    fn shuffled(count: u64, seed: u64) -> Vec<u64> {
        let mut files: Vec<u64> = (0..count).collect();
        // SplitMix64, so that two seeds have nothing in common.
        files.sort_by_key(|file| {
            let x = (file + (seed << 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            x ^ (x >> 31)
        });
        files
    }

    #[test]
    fn who_goes_through_a_directory_finds_all_but_the_first_files_there() {
        let mut orders = Orders::new(64 << 20);
        let files: Vec<u64> = (0..5_000).collect();
        assert!(read(&mut orders, &files).0 >= 4_990);
        // Four at once, each in a directory of its own.
        let mut orders = Orders::new(64 << 20);
        let four: Vec<u64> = (0..1_000)
            .flat_map(|n| (0..4).map(move |r| r * 100_000 + n))
            .collect();
        assert!(read(&mut orders, &four).0 >= 3_980);
    }

    #[test]
    fn a_shuffled_reader_brings_nothing_until_it_has_a_plan_or_has_learned() {
        let files = shuffled(3_000, 5);
        let mut orders = Orders::new(64 << 20);
        let (ready, _) = read(&mut orders, &files);
        assert!(ready < 100, "{ready}");
        // The second epoch is known.
        assert!(read(&mut orders, &files).0 > 2_950);
        let mut orders = Orders::new(64 << 20);
        orders.plan(
            files
                .iter()
                .map(|file| u32::try_from(*file).unwrap())
                .collect(),
        );
        assert_eq!(orders.planned(), 3_000);
        assert!(read(&mut orders, &files).0 >= 2_990);
        // Another order than the plan's: what is brought stays bounded by what is opened.
        assert!(read(&mut orders, &shuffled(3_000, 77)).0 < 1_500);
        orders.plan(Vec::new());
        assert_eq!(orders.planned(), 0);
    }

    #[test]
    fn eight_workers_that_take_batches_in_turn_are_one_reader_of_the_plan() {
        let files = shuffled(4_000, 9);
        let mut orders = Orders::new(64 << 20);
        orders.plan(
            files
                .iter()
                .map(|file| u32::try_from(*file).unwrap())
                .collect(),
        );
        // Each works on a batch of four, all eight step by step beside each other.
        let batches: Vec<&[u64]> = files.chunks(4).collect();
        let turns = batches.chunks(8);
        let order: Vec<u64> = turns
            .flat_map(|t| (0..4).flat_map(|n| t.iter().map(move |b| b[n])))
            .collect();
        let (ready, _) = read(&mut orders, &order);
        assert!(ready > 3_900, "{ready}");
    }

    proptest! {
        #[test]
        fn what_is_ahead_keeps_within_its_bound(files in prop::collection::vec(0_u64..3_000, 1..400), bytes in 1_u64..3_000_000) {
            let mut orders = Orders::new(8 << 20);
            for file in files {
                let ahead = orders.opened(file, bytes);
                prop_assert!(ahead.len() <= usize::try_from(limits::NODE_WINDOW_FILES_MAX).unwrap() * 2);
            }
        }
    }
}
