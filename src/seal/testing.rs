//! Entropy for tests: foretold, and none; and how many openers there were.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use ring::digest;

use crate::types::{Entropy, EntropyError};

thread_local! {
    /// Openers that were made on this thread.
    pub(crate) static MADE: Cell<usize> = const { Cell::new(0) };
}

/// SHA-256 of a seed and a counter: the same draws in each run, no draw twice.
pub(crate) struct Draws {
    seed: u64,
    next: AtomicU64,
}

impl Draws {
    pub(crate) const fn new(seed: u64) -> Self {
        Self {
            seed,
            next: AtomicU64::new(0),
        }
    }
}

impl Entropy for Draws {
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyError> {
        for chunk in out.chunks_mut(32) {
            let counter = self.next.fetch_add(1, Ordering::Relaxed);
            let block = [self.seed.to_be_bytes(), counter.to_be_bytes()].concat();
            let hash = digest::digest(&digest::SHA256, &block);
            chunk.copy_from_slice(&hash.as_ref()[..chunk.len()]);
        }
        Ok(())
    }
}

/// A machine without randomness.
pub(crate) struct Dry;

impl Entropy for Dry {
    fn fill(&self, _out: &mut [u8]) -> Result<(), EntropyError> {
        Err(EntropyError)
    }
}
