//! Which accesses of the store no record of Kluis covers. Pure: no file, no clock.
//!
//! An access is covered if a request on the very object was under way when the store served it.
//! Whoever reads past Kluis while the same object is read through it is not seen by that:
//! addresses are what tells those apart, where only gateways may speak to the store.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use super::line::{Access, Op};
use crate::types::limits::RECONCILE_WINDOWS_MAX;
use crate::types::{BlobId, BucketName, Timestamp};

/// Bytes of a snapshot that tell nothing but that it is there.
const LOOK_BYTES: u64 = 1;

/// What a blob is to the catalog.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Known {
    /// The objects that it is a part of: dataset and key; no key where it is a version's manifest.
    pub(super) holders: Vec<(BucketName, Option<String>)>,
    /// When the oldest of them was written: for an object after its body was in the store, for a
    /// manifest before that.
    pub(super) first: Timestamp,
    /// When the newest of them was written.
    pub(super) since: Timestamp,
}

/// From when to when a request was under way.
type Window = (Timestamp, Timestamp);

/// The requests that Kluis recorded.
#[derive(Default)]
pub(super) struct Windows {
    count: usize,
    objects: HashMap<(BucketName, String), Vec<Window>>,
    datasets: HashMap<BucketName, Vec<Window>>,
}

/// More requests than can be held against a log.
#[derive(Debug, thiserror::Error)]
#[error("more requests were recorded in this time than can be held against a log")]
pub(super) struct TooMany;

fn holds(windows: Option<&Vec<Window>>, at: Timestamp, slack_ms: u64) -> bool {
    // A log's seconds are cut: what it dates to a second may have been up to one later.
    let late = at.plus_millis(1_000_u64.saturating_add(slack_ms));
    windows.is_some_and(|windows| {
        let mut windows = windows.iter();
        windows.any(|(begun, end)| *begun <= late && at <= end.plus_millis(slack_ms))
    })
}

impl Windows {
    /// Adds a request on an object, or on a dataset where there is no key.
    pub(super) fn add(
        &mut self,
        bucket: &BucketName,
        key: Option<&str>,
        window: Window,
    ) -> Result<(), TooMany> {
        self.count = self.count.saturating_add(1);
        if self.count > RECONCILE_WINDOWS_MAX {
            return Err(TooMany);
        }
        let all = self.datasets.entry(bucket.clone()).or_default();
        all.push(window);
        if let Some(key) = key {
            let slot = (bucket.clone(), key.to_owned());
            self.objects.entry(slot).or_default().push(window);
        }
        Ok(())
    }

    fn covers(&self, known: &Known, at: Timestamp, slack_ms: u64) -> bool {
        known.holders.iter().any(|(bucket, key)| match key {
            Some(key) => holds(
                self.objects.get(&(bucket.clone(), key.clone())),
                at,
                slack_ms,
            ),
            None => holds(self.datasets.get(bucket), at, slack_ms),
        })
    }

    fn any(&self, at: Timestamp, slack_ms: u64) -> bool {
        let mut all = self.datasets.values();
        all.any(|windows| holds(Some(windows), at, slack_ms))
    }
}

/// What went around Kluis.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub(super) enum Kind {
    /// A blob was read while no request on its object was under way.
    Read,
    /// Something appeared that Kluis did not write.
    Appeared,
    /// Something vanished that Kluis still refers to.
    Vanished,
    /// Rights, tags or locks of the store were touched, or what stands there was written over:
    /// Kluis never does either.
    Changed,
    /// Somebody who is no gateway was served.
    Stranger,
}

impl Kind {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Appeared => "appeared",
            Self::Vanished => "vanished",
            Self::Changed => "changed",
            Self::Stranger => "stranger",
        }
    }
}

/// How one access was judged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Judged {
    /// A request of Kluis covers it, or it is Kluis's own upkeep.
    Covered,
    /// It went around Kluis.
    Around(Kind),
    /// It is about a blob that nothing refers to any more, at a time when Kluis was in use.
    Undecided,
}

/// What a name in the bucket stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Name {
    /// A sealed blob.
    Blob(BlobId),
    /// A volume of the log.
    Volume(BlobId),
    /// A blob of the journal's gate.
    Gate,
    /// The bucket, or the prefix as a whole.
    Bucket,
    /// Nothing that Kluis writes.
    Foreign,
}

/// Reads a key of the bucket; `None` where it does not begin with Kluis's prefix.
pub(super) fn name(key: &str, prefix: &str) -> Option<Name> {
    if key.is_empty() {
        return Some(Name::Bucket);
    }
    let rest = key.strip_prefix(prefix)?;
    let id = |text: &str| {
        text.parse::<BlobId>()
            .ok()
            .filter(|id| id.to_string() == text)
    };
    if let Some(gate) = rest.strip_prefix("gate/") {
        return Some(id(gate).map_or(Name::Foreign, |_blob| Name::Gate));
    }
    Some(match rest.strip_prefix("log/") {
        Some(volume) => id(volume).map_or(Name::Foreign, Name::Volume),
        None => id(rest).map_or(Name::Foreign, Name::Blob),
    })
}

/// What accesses are held against.
pub(super) struct Judge<'a> {
    pub(super) known: &'a HashMap<BlobId, Known>,
    pub(super) windows: &'a Windows,
    /// The catalog's snapshots.
    pub(super) snapshots: &'a HashSet<BlobId>,
    /// The volumes that the log's index names.
    pub(super) volumes: &'a HashSet<BlobId>,
    /// Blobs that were written and deleted again within this log: probes among them.
    pub(super) passing: &'a HashSet<BlobId>,
    /// Who may speak to the store; nobody is asked where none is named.
    pub(super) gateways: &'a [IpAddr],
    pub(super) slack_ms: u64,
}

impl Judge<'_> {
    /// Judges an access to what `name` stands for.
    pub(super) fn judge(&self, access: &Access, name: Name) -> Judged {
        let gateway = access
            .from
            .parse()
            .is_ok_and(|from| self.gateways.contains(&from));
        if !self.gateways.is_empty() && !gateway {
            return Judged::Around(Kind::Stranger);
        }
        match name {
            // Kluis asks about the bucket as it starts and sweeps, and changes nothing there.
            Name::Bucket if access.op == Op::Change => Judged::Around(Kind::Changed),
            Name::Bucket => Judged::Covered,
            _ if access.op == Op::Change => Judged::Around(Kind::Changed),
            // Kluis locks volumes, and longer; who made a lock shorter a log does not say.
            Name::Volume(_) if access.op == Op::Retain => Judged::Undecided,
            _ if access.op == Op::Retain => Judged::Around(Kind::Changed),
            // Its batches come and go; what another did there the gate finds at the next start.
            Name::Gate => Judged::Covered,
            Name::Foreign => match access.op {
                Op::Write => Judged::Around(Kind::Appeared),
                Op::Read | Op::Delete | Op::Change | Op::Retain => Judged::Around(Kind::Read),
                Op::Bucket => Judged::Covered,
            },
            Name::Volume(id) => match access.op {
                Op::Delete if self.volumes.contains(&id) => Judged::Around(Kind::Vanished),
                Op::Write if !self.volumes.contains(&id) => Judged::Undecided,
                Op::Read | Op::Write | Op::Delete | Op::Bucket | Op::Change | Op::Retain => {
                    Judged::Covered
                }
            },
            Name::Blob(id) => self.blob(access, id),
        }
    }

    /// Whether a blob was written that was there already. Kluis writes each once: one of an object
    /// before the object is, a manifest while the request to publish is under way.
    fn rewritten(&self, known: &Known, at: Timestamp) -> bool {
        let late = known
            .first
            .plus_millis(1_000_u64.saturating_add(self.slack_ms));
        let manifest = known.holders.iter().any(|(_, key)| key.is_none());
        let publishing = || manifest && self.windows.covers(known, at, self.slack_ms);
        !known.holders.is_empty() && at > late && !publishing()
    }

    fn blob(&self, access: &Access, id: BlobId) -> Judged {
        let used = self.windows.any(access.at, self.slack_ms);
        if self.snapshots.contains(&id) {
            return match access.op {
                // A gateway looks again and again whether its newest one is there.
                Op::Read if access.sent.is_some_and(|sent| sent <= LOOK_BYTES) => Judged::Covered,
                Op::Read => Judged::Around(Kind::Read),
                Op::Write | Op::Delete | Op::Bucket | Op::Change | Op::Retain => Judged::Covered,
            };
        }
        match (access.op, self.known.get(&id)) {
            (Op::Read, Some(known)) if !known.holders.is_empty() => {
                if self.windows.covers(known, access.at, self.slack_ms) {
                    Judged::Covered
                } else {
                    Judged::Around(Kind::Read)
                }
            }
            (Op::Delete, Some(known)) if !known.holders.is_empty() => {
                Judged::Around(Kind::Vanished)
            }
            (Op::Write, Some(known)) if self.rewritten(known, access.at) => {
                Judged::Around(Kind::Changed)
            }
            (Op::Write | Op::Delete, Some(_)) | (Op::Delete, None) => Judged::Covered,
            (Op::Read | Op::Write, _) if self.passing.contains(&id) && !used => Judged::Covered,
            (Op::Read, _) if !used => Judged::Around(Kind::Read),
            // A write of Kluis's own that failed left nothing behind, and no record.
            (Op::Write, None) if !used && access.certain => Judged::Around(Kind::Appeared),
            (Op::Read | Op::Write | Op::Bucket | Op::Change | Op::Retain, _) => Judged::Undecided,
        }
    }
}

/// What an inventory says against the catalog: kinds, names and blobs. `youngest` is the moment
/// that it shows; what was written after that is not looked for, and what nothing refers to may be
/// there for `grace_ms` before it.
pub(super) fn against(
    inventory: &HashMap<BlobId, Option<Timestamp>>,
    known: &HashMap<BlobId, Known>,
    snapshots: &HashSet<BlobId>,
    (youngest, grace_ms): (Timestamp, u64),
) -> Vec<(Kind, BlobId)> {
    let mut found = Vec::new();
    for (id, known) in known {
        let due = known.since.plus_millis(1_000) < youngest && !known.holders.is_empty();
        if due && !inventory.contains_key(id) {
            found.push((Kind::Vanished, *id));
        }
    }
    for (id, written) in inventory {
        let young = written.is_some_and(|at| at.plus_millis(grace_ms) >= youngest);
        if !known.contains_key(id) && !snapshots.contains(id) && !young {
            found.push((Kind::Appeared, *id));
        }
    }
    found.sort_unstable_by_key(|(kind, id)| (*kind, id.to_string()));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: u64 = 1_800_000_000_000;

    fn id(n: u8) -> BlobId {
        BlobId::from_bytes([n; 16])
    }

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_millis(T + ms)
    }

    fn bucket() -> BucketName {
        BucketName {
            project: "icu".parse().unwrap(),
            dataset: "ecg".parse().unwrap(),
        }
    }

    fn access(op: Op, ms: u64) -> Access {
        Access {
            at: at(ms),
            from: "10.0.0.1".to_owned(),
            op,
            bucket: Some("blobs".to_owned()),
            key: String::new(),
            sent: None,
            certain: true,
        }
    }

    /// Blob 1 is object `a`, read from 10 s to 20 s; 2 is a manifest, 3 unreferenced, 4 a snapshot,
    /// 5 a volume, 6 a probe.
    fn judged(gateways: &[IpAddr], access: &Access, name: Name) -> Judged {
        let held = |key: Option<&str>| Known {
            holders: vec![(bucket(), key.map(str::to_owned))],
            first: at(0),
            // It was copied since.
            since: at(40_000),
        };
        let known = HashMap::from([
            (id(1), held(Some("a"))),
            (id(2), held(None)),
            (id(3), Known::default()),
            (id(7), held(Some("b"))),
        ]);
        let mut windows = Windows::default();
        windows
            .add(&bucket(), Some("a"), (at(10_000), at(20_000)))
            .unwrap();
        Judge {
            known: &known,
            windows: &windows,
            snapshots: &HashSet::from([id(4)]),
            volumes: &HashSet::from([id(5)]),
            passing: &HashSet::from([id(6)]),
            gateways,
            slack_ms: 2_000,
        }
        .judge(access, name)
    }

    #[test]
    fn au_8_a_read_that_no_request_covers_went_around() {
        let around = Judged::Around(Kind::Read);
        for (n, ms, verdict) in [
            (1, 15_000, Judged::Covered),
            (1, 7_000, Judged::Covered),
            (1, 22_000, Judged::Covered),
            (1, 6_999, around),
            (1, 22_001, around),
            // Another object was read then.
            (7, 15_000, around),
            (2, 15_000, Judged::Covered),
            (2, 30_000, around),
            (3, 15_000, Judged::Undecided),
            (3, 30_000, around),
            (9, 15_000, Judged::Undecided),
            (9, 30_000, around),
            (4, 15_000, around),
            (6, 30_000, Judged::Covered),
        ] {
            let told = judged(&[], &access(Op::Read, ms), Name::Blob(id(n)));
            assert_eq!(told, verdict, "{n} {ms}");
        }
    }

    #[test]
    fn au_8_a_look_at_a_snapshot_is_the_gateways_and_a_read_of_one_is_not() {
        let around = Judged::Around(Kind::Read);
        for (sent, verdict) in [
            (Some(0), Judged::Covered),
            (Some(1), Judged::Covered),
            (Some(2), around),
            (Some(4_096), around),
            (None, around),
        ] {
            let access = Access {
                sent,
                ..access(Op::Read, 15_000)
            };
            assert_eq!(judged(&[], &access, Name::Blob(id(4))), verdict);
        }
        // Of what holds data a byte is one too many.
        let byte = Access {
            sent: Some(1),
            ..access(Op::Read, 30_000)
        };
        assert_eq!(judged(&[], &byte, Name::Blob(id(1))), around);
    }

    #[test]
    fn au_8_what_appears_or_vanishes_around_is_told() {
        for (op, name, ms, verdict) in [
            (
                Op::Delete,
                Name::Blob(id(1)),
                15_000,
                Judged::Around(Kind::Vanished),
            ),
            (Op::Delete, Name::Blob(id(3)), 30_000, Judged::Covered),
            (Op::Delete, Name::Blob(id(9)), 30_000, Judged::Covered),
            (
                Op::Delete,
                Name::Volume(id(5)),
                15_000,
                Judged::Around(Kind::Vanished),
            ),
            (
                Op::Write,
                Name::Blob(id(9)),
                30_000,
                Judged::Around(Kind::Appeared),
            ),
            (Op::Write, Name::Blob(id(9)), 15_000, Judged::Undecided),
            (Op::Write, Name::Blob(id(4)), 30_000, Judged::Covered),
            (Op::Write, Name::Blob(id(6)), 30_000, Judged::Covered),
            (
                Op::Write,
                Name::Foreign,
                15_000,
                Judged::Around(Kind::Appeared),
            ),
            (Op::Read, Name::Foreign, 15_000, Judged::Around(Kind::Read)),
            (
                Op::Change,
                Name::Blob(id(1)),
                15_000,
                Judged::Around(Kind::Changed),
            ),
            (
                Op::Change,
                Name::Bucket,
                15_000,
                Judged::Around(Kind::Changed),
            ),
            (Op::Bucket, Name::Bucket, 15_000, Judged::Covered),
            (Op::Retain, Name::Volume(id(5)), 15_000, Judged::Undecided),
            (
                Op::Retain,
                Name::Blob(id(1)),
                15_000,
                Judged::Around(Kind::Changed),
            ),
        ] {
            assert_eq!(
                judged(&[], &access(op, ms), name),
                verdict,
                "{op:?} {name:?}"
            );
        }
    }

    /// The store writes its own bytes over a blob that an object has.
    #[test]
    fn au_8_what_is_written_over_was_changed_around() {
        let changed = Judged::Around(Kind::Changed);
        for (n, ms, verdict) in [
            // As it was first written, the log's cut seconds and the slack counted in.
            (1, 0, Judged::Covered),
            (1, 3_000, Judged::Covered),
            (1, 3_001, changed),
            // A request on it covers reading, and never writing.
            (1, 15_000, changed),
            (7, 30_000, changed),
            // A manifest is written a while after its dataset was frozen, by a request.
            (2, 15_000, Judged::Covered),
            (2, 30_000, changed),
            // Nothing has it any more.
            (3, 30_000, Judged::Covered),
        ] {
            let told = judged(&[], &access(Op::Write, ms), Name::Blob(id(n)));
            assert_eq!(told, verdict, "{n} {ms}");
        }
    }

    /// What a server in front does not know the end of may have been done: it is told where Kluis
    /// never does such a thing.
    #[test]
    fn au_8_what_may_have_been_done_is_judged_as_done() {
        for (op, name, verdict) in [
            (Op::Delete, 1, Judged::Around(Kind::Vanished)),
            (Op::Write, 1, Judged::Around(Kind::Changed)),
            (Op::Change, 1, Judged::Around(Kind::Changed)),
            // A write that failed while nobody used Kluis may be its own: of a snapshot, by night.
            (Op::Write, 9, Judged::Undecided),
            (Op::Delete, 9, Judged::Covered),
        ] {
            let perhaps = Access {
                certain: false,
                ..access(op, 30_000)
            };
            let told = judged(&[], &perhaps, Name::Blob(id(name)));
            assert_eq!(told, verdict, "{op:?} {name}");
        }
    }

    #[test]
    fn au_8_where_gateways_are_named_anyone_else_is_a_stranger() {
        let gateways = ["10.0.0.1".parse().unwrap(), "::1".parse().unwrap()];
        let mut read = access(Op::Read, 15_000);
        assert_eq!(judged(&gateways, &read, Name::Blob(id(1))), Judged::Covered);
        for from in ["10.0.0.2", "10.0.0.1 ", "gateway", "", "-"] {
            from.clone_into(&mut read.from);
            let told = judged(&gateways, &read, Name::Blob(id(1)));
            assert_eq!(told, Judged::Around(Kind::Stranger), "{from}");
        }
    }

    #[test]
    fn names_are_those_that_kluis_writes() {
        let hex = id(0xab).to_string();
        assert_eq!(name(&hex, ""), Some(Name::Blob(id(0xab))));
        assert_eq!(name(&format!("k/{hex}"), "k/"), Some(Name::Blob(id(0xab))));
        assert_eq!(
            name(&format!("k/log/{hex}"), "k/"),
            Some(Name::Volume(id(0xab)))
        );
        assert_eq!(name(&format!("k/gate/{hex}"), "k/"), Some(Name::Gate));
        assert_eq!(name("", "k/"), Some(Name::Bucket));
        assert_eq!(name(&hex, "k/"), None);
        for foreign in [
            "x",
            "log/x",
            "gate/x",
            &hex.to_uppercase(),
            &format!("{hex}0"),
            &format!("/{hex}"),
        ] {
            assert_eq!(
                name(&format!("k/{foreign}"), "k/"),
                Some(Name::Foreign),
                "{foreign}"
            );
        }
    }

    #[test]
    fn an_inventory_misses_nothing_that_is_referred_to() {
        let held = |since| Known {
            holders: vec![(bucket(), None)],
            since,
            ..Known::default()
        };
        let known = HashMap::from([
            (id(1), held(at(0))),
            (id(2), held(at(0))),
            (id(3), held(at(99_000))),
            (id(4), Known::default()),
        ]);
        let there = HashMap::from([
            (id(1), Some(at(0))),
            (id(5), Some(at(10_000))),
            (id(6), Some(at(90_000))),
            (id(7), None),
            (id(8), Some(at(0))),
        ]);
        let found = against(
            &there,
            &known,
            &HashSet::from([id(8)]),
            (at(90_000), 50_000),
        );
        let appeared = [(Kind::Appeared, id(5)), (Kind::Appeared, id(7))];
        assert_eq!(found[..2], appeared);
        assert_eq!(found[2..], [(Kind::Vanished, id(2))]);
    }
}
