//! Inodes whose pages the kernel may have, so that it can be let forget them: here, and in the list
//! that the mount's successor is given.

use std::collections::HashSet;

use super::handover::Opened;

/// As many as a successor can be told (`limits::MOUNT_OPENED_BYTES_MAX`, 8 bytes each). Of what is
/// opened beyond, the kernel keeps no pages.
const MOST: usize = 1 << 20;

/// The inodes.
pub(super) struct Cached {
    inodes: HashSet<u64>,
    list: Option<Opened>,
    most: usize,
}

impl Default for Cached {
    fn default() -> Self {
        Self {
            inodes: HashSet::new(),
            list: None,
            most: MOST,
        }
    }
}

impl Cached {
    /// Of a mount with a supervisor, who keeps the list. `resumed`: with all that stands in it.
    pub(super) fn supervised(list: Opened, resumed: bool) -> std::io::Result<Self> {
        let mut cached = Self::default();
        if resumed {
            cached.inodes.extend(list.all()?);
        }
        cached.list = Some(list);
        Ok(cached)
    }

    /// Notes one; whether the kernel may keep pages of it.
    pub(super) fn add(&mut self, inode: u64) -> bool {
        let count = self.inodes.len();
        if count >= self.most {
            return self.inodes.contains(&inode);
        }
        if self.inodes.insert(inode)
            && let Some(list) = &self.list
            && let Err(error) = list.add(count, inode)
        {
            tracing::warn!(%error, "what was opened cannot be listed for a successor");
        }
        true
    }

    /// All of them, which the kernel is then let forget.
    pub(super) fn take(&mut self) -> HashSet<u64> {
        std::mem::take(&mut self.inodes)
    }

    /// All of them, if they are so many that the kernel is to forget them; of what is `open` it may
    /// have pages again at once. Asked often enough, there is always room.
    pub(super) fn crowded(&mut self, open: impl Iterator<Item = u64>) -> HashSet<u64> {
        if self.inodes.len() <= self.most / 2 {
            return HashSet::new();
        }
        let all = self.take();
        // The list keeps what stands behind these: a successor makes the kernel forget too much.
        for inode in open {
            self.add(inode);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Cached {
        let list = Opened::create().unwrap();
        let mut cached = Cached::supervised(list, false).unwrap();
        cached.most = 8;
        cached
    }

    fn listed(cached: &Cached) -> Vec<u64> {
        cached.list.as_ref().unwrap().all().unwrap()
    }

    #[test]
    fn the_kernel_keeps_pages_of_what_is_listed_alone() {
        let mut cached = small();
        assert!((0..8).all(|inode| cached.add(inode)));
        assert!(!cached.add(8), "it could not be made to forget this one");
        assert!(cached.add(3), "this one is listed");
        assert_eq!(listed(&cached), (0..8).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_crowded_is_forgotten_and_what_is_open_stays_listed() {
        let mut cached = small();
        for inode in 0..4 {
            cached.add(inode);
        }
        assert!(cached.crowded([0].into_iter()).is_empty(), "half is none");
        cached.add(4);
        assert_eq!(cached.crowded([4, 2].into_iter()).len(), 5);
        assert_eq!(listed(&cached)[..2], [4, 2]);
        assert!((10..16).all(|inode| cached.add(inode)), "there is room");
        let all = cached.take();
        assert!([4, 2, 10, 15].iter().all(|inode| all.contains(inode)));
    }

    #[test]
    fn a_successor_knows_what_the_dead_one_had_opened() {
        let mut cached = small();
        cached.add(7);
        let list = cached.list.take().unwrap();
        assert_eq!(Cached::supervised(list, true).unwrap().take(), [7].into());
    }
}
