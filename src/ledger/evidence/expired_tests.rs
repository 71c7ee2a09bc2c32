//! Records that went when their time was over are no finding; any other that is missing is.

use super::tests::{DEMAND, Files, kinds, trust, whole};
use super::{Demand, Expired, FindingKind, Manifest, Report, verify};
use crate::ledger::DAY_MS;
use crate::types::Timestamp;

/// When the first entry was made; the others come 4, 7 and 10 milliseconds later.
const BEGIN: u64 = 1_800_000_000_000;

/// The bundle without the rows of its first entries, which says that they are over.
fn without(entries: u64, expired: Expired) -> Files {
    let mut files = whole();
    let mut groups = files.groups();
    groups.retain(|group| group.entry >= entries);
    files.put_groups(&groups);
    let (mut manifest, scopes) = Manifest::parse(&files.0["bundle.json"]).unwrap();
    manifest.expire(&scopes[0].1, expired);
    let bytes = serde_json::to_vec(&manifest).unwrap();
    files.0.insert("bundle.json".into(), bytes);
    files
}

fn judged(mut files: Files, now: u64, days: u32) -> Report {
    let demand = Demand {
        now: Timestamp::from_millis(now),
        days,
    };
    verify(&mut files, &trust(), &[], demand, &mut |_seen| {}).unwrap()
}

const FIVE_YEARS: Expired = Expired {
    days: 1_827,
    before: BEGIN + 1,
};
const DUE: u64 = BEGIN + 1 + 1_827 * DAY_MS;

#[test]
fn what_went_when_it_was_due_is_no_finding() {
    let report = judged(without(1, FIVE_YEARS), DUE, 1_827);
    assert_eq!(report.findings, []);
    assert_eq!((report.rows, report.expired), (6, 3));
    // Who asks for less, or comes later, is content too.
    assert_eq!(judged(without(1, FIVE_YEARS), DUE + 1, 365).findings, []);
    // What is over and still there is no finding: another project may need it.
    let report = judged(without(0, FIVE_YEARS), DUE, 1_827);
    assert_eq!(
        (report.findings.len(), report.rows, report.expired),
        (0, 9, 0)
    );
}

#[test]
fn what_went_before_it_was_due_is_found() {
    let early = |files, now, days| kinds(&judged(files, now, days));
    assert_eq!(
        early(without(1, FIVE_YEARS), DUE - 1, 1_827),
        [FindingKind::Early]
    );
    assert_eq!(
        early(without(1, FIVE_YEARS), DUE, 1_828),
        [FindingKind::Early]
    );
    let a_day = Expired {
        days: 1,
        ..FIVE_YEARS
    };
    assert_eq!(early(without(1, a_day), DUE, 1_827), [FindingKind::Early]);
    let never = Expired {
        days: u32::MAX,
        ..FIVE_YEARS
    };
    assert_eq!(early(without(1, never), DUE, 1_827), [FindingKind::Early]);
    let all = Expired {
        days: 1_827,
        before: u64::MAX,
    };
    assert_eq!(early(without(4, all), DUE, 1_827), [FindingKind::Early]);
}

#[test]
fn what_is_younger_than_what_went_must_be_there() {
    // The third entry is not before that moment, and its rows are not there.
    assert_eq!(
        kinds(&judged(without(3, FIVE_YEARS), DUE, 1_827)),
        [FindingKind::Rows]
    );
    // Without its word nothing may be missing.
    let mut files = without(1, FIVE_YEARS);
    let plain = whole().0["bundle.json"].clone();
    files.0.insert("bundle.json".into(), plain);
    let report = verify(&mut files, &trust(), &[], DEMAND, &mut |_seen| {}).unwrap();
    assert!(kinds(&report).contains(&FindingKind::Rows));
    // A part of a segment never goes.
    let mut files = without(0, FIVE_YEARS);
    let mut groups = files.groups();
    drop(groups[0].records().remove(1));
    files.put_groups(&groups);
    assert_eq!(kinds(&judged(files, DUE, 1_827)), [FindingKind::Rows]);
}
