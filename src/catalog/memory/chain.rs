//! The model's change log, and how far the snapshots are.

use std::ops::Bound;

use bytes::Bytes;

#[cfg(test)]
use super::MemoryCatalog;
use super::state::State;
#[cfg(test)]
use crate::catalog::Catalog;
use crate::catalog::Chain;

impl State {
    /// Changes after a number, as [`crate::catalog::Catalog::changes`] lists them.
    pub(super) fn changes_after(&self, after: u64, bytes_max: usize) -> Vec<(u64, Bytes)> {
        let mut bytes = 0_usize;
        let later = self
            .changes
            .range((Bound::Excluded(after), Bound::Unbounded));
        let wanted = later.take_while(|(_, change)| {
            let fits = bytes == 0 || bytes <= bytes_max;
            bytes = bytes.saturating_add(change.len());
            fits
        });
        wanted.map(|(seq, change)| (*seq, change.clone())).collect()
    }

    /// Keeps how far the snapshots are, and drops what they hold.
    pub(super) fn keep_chain(&mut self, chain: &Chain) {
        self.changes.retain(|seq, _| *seq > chain.upto);
        self.chain = Some(chain.clone());
    }
}

#[cfg(test)]
impl MemoryCatalog {
    /// Takes over all of another catalog, as the copy of a file would.
    pub(crate) async fn become_copy_of(&self, other: &dyn Catalog) {
        let (all, _) = other.dump(None, usize::MAX).await.expect("a dump");
        let chain = other.chain().await.expect("a chain");
        let changes = other.changes(0, usize::MAX).await.expect("changes");
        let seq = other.change_seq().await.expect("a number");
        self.commit(all).await.expect("rebuilt");
        let mut state = self.state();
        state.chain = chain;
        state.seq = seq;
        state.changes = changes.into_iter().collect();
    }
}
