//! The frames of one group: which sessions go before their first use, and the sealing.

use std::collections::HashSet;

use super::fault::Fault;
use super::format::{FrameKey, Link};
use crate::ledger::{self, Entry, SessionHash};
use crate::types::limits::JOURNAL_SESSIONS_MAX;

/// The sessions that a group brings; known once the group is durable.
#[derive(Default)]
pub(super) struct Fresh {
    /// The dictionary was full and begins anew within the group.
    renewed: bool,
    sessions: HashSet<SessionHash>,
}

impl Fresh {
    /// Whether the session must be written before its use. Readers follow the same rule.
    pub(super) fn needs(&mut self, known: &HashSet<SessionHash>, hash: &SessionHash) -> bool {
        if (!self.renewed && known.contains(hash)) || self.sessions.contains(hash) {
            return false;
        }
        let before = if self.renewed { 0 } else { known.len() };
        if before.saturating_add(self.sessions.len()) >= JOURNAL_SESSIONS_MAX {
            self.renewed = true;
            self.sessions.clear();
        }
        self.sessions.insert(*hash)
    }

    pub(super) fn join(self, known: &mut HashSet<SessionHash>) {
        if self.renewed {
            known.clear();
        }
        known.extend(self.sessions);
    }
}

/// Seals the frames of one group, one after another.
pub(super) struct Framer<'a> {
    pub(super) key: &'a FrameKey,
    pub(super) link: Link,
    pub(super) back: u32,
    pub(super) out: &'a mut Vec<u8>,
}

impl Framer<'_> {
    pub(super) fn record(&mut self, record: &[u8]) -> Result<(), Fault> {
        let sealed = self.key.seal(&mut self.link, self.back, record, self.out);
        self.back = self.back.saturating_add(1);
        sealed.ok_or_else(|| Fault::internal("a record cannot be sealed"))
    }

    pub(super) fn entry(&mut self, entry: &Entry) -> Result<(), Fault> {
        let mut bytes = Vec::new();
        ledger::encode(entry, &mut bytes).map_err(|error| Fault::internal(&error.to_string()))?;
        self.record(&bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Readers know what the writer believes that they know, across renewals and given-up groups.
    #[test]
    fn the_dictionary_is_the_same_on_both_sides() {
        let mut writer = HashSet::new();
        let mut reader = HashSet::new();
        let hash = |n: usize| {
            let mut hash = [0; 32];
            hash[..8].copy_from_slice(&(n * n % 9_973).to_be_bytes());
            hash
        };
        let mut written = 0;
        for group in 0..300usize {
            let mut fresh = Fresh::default();
            let mut read = reader.clone();
            for n in group * 97..group * 97 + 120 {
                if fresh.needs(&writer, &hash(n)) {
                    written += 1;
                    if read.len() >= JOURNAL_SESSIONS_MAX {
                        read.clear();
                    }
                    read.insert(hash(n));
                }
                assert!(read.contains(&hash(n)), "group {group}");
            }
            // Every third group fails: it is in neither.
            if group % 3 != 0 {
                fresh.join(&mut writer);
                reader = read;
                assert_eq!(writer, reader);
            }
        }
        assert!(written > 2 * JOURNAL_SESSIONS_MAX, "{written}");
    }
}
