//! How often a snapshot of the catalog was looked at. A gateway takes a byte of its newest one to
//! see that it is there: before it deletes, as it writes the next, as a command begins. Whoever
//! takes byte after byte takes all of it. Pure.

use std::collections::{HashMap, HashSet};

use super::judge::{Judged, Kind, Name};
use super::line::{Access, Op};
use crate::types::BlobId;

/// Looks at one snapshot in a day, beside those that come with writes and deletions: commands and
/// sweeps are the few that do without.
const A_DAY: u64 = 1_024;
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// Counts them.
pub(super) struct Looks {
    /// So many of one snapshot are a gateway's.
    allowed: u64,
    seen: HashMap<BlobId, u64>,
}

impl Looks {
    /// For a log in which this was done.
    pub(super) fn of<'a>(accesses: impl Iterator<Item = &'a Access> + Clone) -> Self {
        let times = || accesses.clone().map(|access| access.at.millis());
        let span = times().max().zip(times().min());
        let span = span.map_or(0, |(last, first)| last.saturating_sub(first));
        let days = span.div_euclid(DAY_MS).saturating_add(1);
        let done = accesses.filter(|access| matches!(access.op, Op::Write | Op::Delete));
        let done = u64::try_from(done.count()).unwrap_or(u64::MAX);
        Self {
            allowed: days.saturating_mul(A_DAY).saturating_add(done),
            seen: HashMap::new(),
        }
    }

    /// What was judged of an access, if it is not one look of too many.
    pub(super) fn hold(
        &mut self,
        judged: Judged,
        access: &Access,
        (name, snapshots): (Name, &HashSet<BlobId>),
    ) -> Judged {
        let Name::Blob(id) = name else { return judged };
        let look = access.op == Op::Read && access.sent != Some(0) && snapshots.contains(&id);
        if judged != Judged::Covered || !look {
            return judged;
        }
        let seen = self.seen.entry(id).or_default();
        *seen = seen.saturating_add(1);
        if *seen > self.allowed {
            Judged::Around(Kind::Read)
        } else {
            judged
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Timestamp;

    fn access(op: Op, sent: u64, ms: u64) -> Access {
        Access {
            at: Timestamp::from_millis(ms),
            from: "10.0.0.1".to_owned(),
            op,
            bucket: None,
            key: String::new(),
            sent: Some(sent),
            certain: true,
        }
    }

    #[test]
    fn au_8_a_snapshot_that_is_taken_byte_by_byte_is_read() {
        let (one, two) = (BlobId::from_bytes([1; 16]), BlobId::from_bytes([2; 16]));
        let snapshots = HashSet::from([one]);
        let look = access(Op::Read, 1, 0);
        let told = |accesses: &[Access], more: u64| {
            let mut looks = Looks::of(accesses.iter());
            let mut told = 0;
            for _ in 0..A_DAY + more {
                let name = (Name::Blob(one), &snapshots);
                told += u64::from(looks.hold(Judged::Covered, &look, name) != Judged::Covered);
            }
            // Others go on as they were judged.
            let none = access(Op::Read, 0, 0);
            for (access, name) in [
                (&none, Name::Blob(one)),
                (&look, Name::Blob(two)),
                (&look, Name::Gate),
            ] {
                let held = looks.hold(Judged::Covered, access, (name, &snapshots));
                assert_eq!(held, Judged::Covered, "{name:?}");
            }
            told
        };
        assert_eq!(told(&[], 0), 0);
        assert_eq!(told(&[], 500), 500);
        // With each deletion and each write may come one.
        let deleted = vec![access(Op::Delete, 0, 0); 300];
        assert_eq!(told(&deleted, 500), 200);
        let days = [access(Op::Read, 1, 0), access(Op::Read, 1, DAY_MS)];
        assert_eq!(told(&days, 500), 0);
        assert_eq!(told(&days, A_DAY + 7), 7);
    }
}
