//! Every attack on a log or a bundle is found, and named.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read};

use super::{
    Demand, FindingKind, Group, GroupRows, Manifest, Report, RowsReader, RowsWriter, Source,
    verify, write_session, write_sessions_head,
};
use crate::ledger::tlog::{
    Checkpoint, Growth, KeyKind, Note, Signer, TrustPolicy, decode_bundle, encode_bundle,
};
use crate::ledger::{
    Entry, Scope, ScopeKey, Scopes, Segment, SegmentTrees, encode, samples, session_hash,
};
use crate::types::{EventId, Secret, Timestamp};

const ORIGIN: &str = "vault.example/log";
pub(super) const DEMAND: Demand = Demand {
    now: Timestamp::from_millis(1_900_000_000_000),
    days: 1_827,
};

/// A log and a bundle of project `icu` from it, in memory.
#[derive(Clone, Default)]
pub(super) struct Files(pub(super) BTreeMap<String, Vec<u8>>);

impl Source for Files {
    fn read(&mut self, name: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.0.get(name).cloned())
    }

    fn stream(&mut self, name: &str) -> io::Result<Option<Box<dyn Read>>> {
        let bytes = self.0.get(name).cloned();
        Ok(bytes.map(|bytes| -> Box<dyn Read> { Box::new(Cursor::new(bytes)) }))
    }
}

pub(super) fn signer(seed: u8) -> Signer {
    Signer::new(ORIGIN, KeyKind::Note, &Secret::take(&mut [seed; 32])).unwrap()
}

pub(super) fn trust() -> TrustPolicy {
    TrustPolicy::log(signer(1).public().clone())
}

fn project(name: &str) -> Scope {
    Scope::Project(name.parse().unwrap())
}

/// What goes into a log, one record after another; numbers are events.
#[derive(Clone, Copy)]
enum What {
    Begins(u8, &'static str),
    Ends(u8),
}

fn record(what: What) -> Entry {
    match what {
        What::Begins(n, name) => {
            let mut intent = samples::intent(EventId::from_bytes([n; 16]));
            intent.object.project = Some(name.parse().unwrap());
            let session = session_hash(&samples::session()).unwrap();
            Entry::Intent { session, intent }
        }
        What::Ends(n) => Entry::Completion(samples::completion(EventId::from_bytes([n; 16]))),
    }
}

/// Makes a log of these segments; `bend` may change a segment before it is logged.
fn made(segments: &[&[What]], bend: impl Fn(usize, &mut Segment)) -> Files {
    let key = ScopeKey::new(&Secret::take(&mut [7; 32]));
    let icu = project("icu");
    let tag = key.tag(&icu);
    let mut scopes = Scopes::default();
    let mut growth = Growth::new();
    let mut groups = Vec::new();
    let mut first = 0;
    for (index, whats) in segments.iter().enumerate() {
        let mut trees = SegmentTrees::new(&key, "gateway", first);
        let mut rows = Vec::new();
        for (seq, what) in (first..).zip(*whats) {
            let entry = record(*what);
            let mut bytes = Vec::new();
            encode(&entry, &mut bytes).unwrap();
            for scope in scopes.of(&entry) {
                trees.push(&scope, seq, &bytes);
                if scope == icu {
                    rows.push((seq, bytes.clone()));
                }
            }
        }
        let mut segment = Segment {
            lane: "gateway".into(),
            first,
            count: u64::try_from(whats.len()).unwrap(),
            time: Timestamp::from_millis(1_800_000_000_000 + first),
            scopes: trees.roots(),
            lost: false,
        };
        let seed = key.seed(&tag, "gateway", first);
        first = segment.end();
        bend(index, &mut segment);
        growth.push(segment.encode().unwrap()).unwrap();
        if !rows.is_empty() {
            let entry = u64::try_from(index).unwrap();
            groups.push(Group {
                entry,
                tag,
                rows: GroupRows::Whole(seed, rows),
            });
        }
    }
    let mut files = Files::default();
    for (tile, bytes) in growth.files().unwrap() {
        files.0.insert(tile.to_string(), bytes);
    }
    let checkpoint = Checkpoint::new(ORIGIN.into(), growth.size(), growth.root());
    let note = checkpoint.sign(&signer(1)).unwrap().to_string();
    files.0.insert("checkpoint".into(), note.into());
    let manifest = Manifest::new(ORIGIN, (0, growth.size()), &[(icu, tag)]);
    files
        .0
        .insert("bundle.json".into(), serde_json::to_vec(&manifest).unwrap());
    let mut sessions = Vec::new();
    write_sessions_head(&mut sessions).unwrap();
    let mut session = Vec::new();
    encode(&Entry::Session(samples::session()), &mut session).unwrap();
    write_session(&mut sessions, &session).unwrap();
    files.0.insert("sessions".into(), sessions);
    files.put_groups(&groups);
    files
}

impl Group {
    pub(super) fn records(&mut self) -> &mut Vec<(u64, Vec<u8>)> {
        match &mut self.rows {
            GroupRows::Whole(_, rows) => rows,
            GroupRows::Part(_) => panic!("a group of a part"),
        }
    }
}

impl Files {
    pub(super) fn groups(&self) -> Vec<Group> {
        let mut reader = RowsReader::new(Cursor::new(self.0["rows"].clone())).unwrap();
        std::iter::from_fn(|| reader.group().unwrap()).collect()
    }

    pub(super) fn put_groups(&mut self, groups: &[Group]) {
        let part = groups
            .first()
            .is_some_and(|group| matches!(group.rows, GroupRows::Part(_)));
        let mut writer = RowsWriter::new(Vec::new(), part).unwrap();
        for group in groups {
            writer.group(group).unwrap();
        }
        self.0.insert("rows".into(), writer.finish().unwrap());
    }

    fn note(&self) -> Note {
        Note::parse(&self.0["checkpoint"]).unwrap()
    }

    pub(super) fn verified(&self, kept: &[Note]) -> Report {
        verify(&mut self.clone(), &trust(), kept, DEMAND, &mut |_seen| {}).unwrap()
    }

    /// Changes the groups of rows, and says what is found.
    fn bent(&self, bend: impl FnOnce(&mut Vec<Group>)) -> Vec<FindingKind> {
        let mut files = self.clone();
        let mut groups = files.groups();
        bend(&mut groups);
        files.put_groups(&groups);
        kinds(&files.verified(&[]))
    }
}

pub(super) fn kinds(report: &Report) -> Vec<FindingKind> {
    report.findings.iter().map(|finding| finding.kind).collect()
}

const SEGMENTS: [&[What]; 4] = [
    &[
        What::Begins(1, "icu"),
        What::Begins(2, "onco"),
        What::Ends(1),
        What::Begins(3, "icu"),
    ],
    &[What::Ends(2), What::Begins(4, "onco"), What::Ends(4)],
    &[What::Begins(5, "icu"), What::Ends(3), What::Ends(5)],
    &[
        What::Begins(6, "icu"),
        What::Begins(7, "icu"),
        What::Ends(6),
    ],
];

pub(super) fn whole() -> Files {
    made(&SEGMENTS, |_, _| {})
}

#[test]
fn a_whole_bundle_holds_and_shows_its_rows_alone() {
    let mut seen = Vec::new();
    let mut files = whole();
    let report = verify(&mut files, &trust(), &[], DEMAND, &mut |row| {
        seen.push((row.seq, row.session.is_some()));
    });
    let report = report.unwrap();
    assert_eq!(report.findings, []);
    let rows = [
        (0, true),
        (2, false),
        (3, true),
        (7, true),
        (8, false),
        (9, false),
    ];
    assert_eq!(seen[..6], rows);
    assert_eq!((report.rows, report.requests, report.open), (9, 5, 1));
    assert_eq!(report.scopes, ["icu"]);
    assert_eq!(report.entries, (0, 4));
}

#[test]
fn a_log_without_rows_holds_by_itself() {
    let mut files = whole();
    for name in ["bundle.json", "rows", "sessions"] {
        files.0.remove(name);
    }
    assert_eq!(files.verified(&[]).findings, []);
}

#[test]
fn deletion_is_found() {
    let files = whole();
    for group in 0..3 {
        let rows = files.groups()[group].records().len();
        for row in 0..rows {
            let found = files.bent(|groups| drop(groups[group].records().remove(row)));
            assert!(
                found.contains(&FindingKind::Rows),
                "{group} {row}: {found:?}"
            );
        }
        let found = files.bent(|groups| drop(groups.remove(group)));
        assert!(
            found.contains(&FindingKind::Rows),
            "group {group}: {found:?}"
        );
    }
    for name in ["rows", "sessions"] {
        let mut files = files.clone();
        files.0.remove(name);
        assert_eq!(kinds(&files.verified(&[])), [FindingKind::Bundle]);
    }
}

#[test]
fn an_edit_is_found_wherever_it_is() {
    let files = whole();
    let names: Vec<&String> = files.0.keys().collect();
    for name in names {
        for at in 0..files.0[name].len() {
            let mut bent = files.clone();
            bent.0.get_mut(name).unwrap()[at] ^= 1;
            let report = bent.verified(&[]);
            assert!(!report.findings.is_empty(), "{name} byte {at}");
        }
    }
}

#[test]
fn reordering_is_found() {
    let files = whole();
    let found = files.bent(|groups| groups[0].records().swap(0, 1));
    assert_eq!(found[0], FindingKind::Rows);
    let found = files.bent(|groups| groups.swap(0, 1));
    assert!(found.contains(&FindingKind::Rows));
    // Rows that changed their numbers as well.
    let found = files.bent(|groups| {
        let rows = groups[0].records();
        let (first, second) = (rows[0].1.clone(), rows[1].1.clone());
        (rows[0].1, rows[1].1) = (second, first);
    });
    assert_eq!(found[0], FindingKind::Rows);
}

#[test]
fn insertion_is_found() {
    let files = whole();
    let found = files.bent(|groups| {
        let row = groups[0].records()[0].clone();
        groups[0].records().insert(1, row);
    });
    assert!(found.contains(&FindingKind::Rows));
    // A group for an entry that has no rows of the project, and one behind the end.
    for entry in [1, 9] {
        let found = files.bent(|groups| {
            let mut group = groups[0].clone();
            group.entry = entry;
            groups.push(group);
            groups.sort_by_key(|group| group.entry);
        });
        assert_eq!(found, [FindingKind::Rows], "entry {entry}");
    }
}

#[test]
fn truncation_of_the_tail_is_found() {
    let files = whole();
    let found = files.bent(|groups| drop(groups.pop()));
    assert_eq!(found, [FindingKind::Rows]);
    let rows = files.0["rows"].clone();
    for len in 0..rows.len() {
        let mut cut = files.clone();
        cut.0.insert("rows".into(), rows[..len].to_vec());
        assert!(!cut.verified(&[]).findings.is_empty(), "cut to {len}");
    }
}

#[test]
fn a_rolled_back_log_is_found_by_who_kept_a_checkpoint() {
    let older = made(&SEGMENTS[..3], |_, _| {});
    assert_eq!(older.verified(&[]).findings, []);
    let found = kinds(&older.verified(&[whole().note()]));
    assert_eq!(found, [FindingKind::RolledBack]);
    // The other way round it only grew.
    let report = whole().verified(&[older.note()]);
    assert_eq!((report.findings, report.kept), (Vec::new(), 1));
}

#[test]
fn a_forked_log_is_found_by_who_kept_a_checkpoint() {
    let mut other = SEGMENTS;
    other[1] = &[What::Begins(4, "icu"), What::Ends(2), What::Ends(4)];
    let fork = made(&other, |_, _| {});
    assert_eq!(fork.verified(&[]).findings, []);
    for kept in [whole(), made(&SEGMENTS[..2], |_, _| {})] {
        let found = kinds(&fork.verified(&[kept.note()]));
        assert_eq!(found, [FindingKind::Forked]);
    }
    let before = made(&SEGMENTS[..1], |_, _| {}).note();
    assert_eq!(fork.verified(&[before]).findings, []);
    // Two that were kept and differ.
    let told = kinds(&whole().verified(&[fork.note(), whole().note()]));
    assert!(told.contains(&FindingKind::Forked));
}

#[test]
fn a_swapped_segment_is_found() {
    let files = whole();
    // The rows of one segment under another's entry.
    let found = files.bent(|groups| {
        let (first, second) = (groups[0].clone(), groups[1].clone());
        groups[0] = Group {
            entry: first.entry,
            ..second.clone()
        };
        groups[1] = Group {
            entry: second.entry,
            ..first
        };
    });
    assert_eq!(found, [FindingKind::Rows; 2]);
    // Two entries of the log.
    let mut swapped = files;
    let bundle = swapped.0.get_mut("tile/entries/000.p/4").unwrap();
    let mut entries: Vec<Vec<u8>> = decode_bundle(4, bundle)
        .unwrap()
        .into_iter()
        .map(<[u8]>::to_vec)
        .collect();
    entries.swap(0, 2);
    *bundle = encode_bundle(&entries).unwrap();
    assert!(kinds(&swapped.verified(&[])).contains(&FindingKind::Entry));
    // And their hashes with them.
    let hashes = swapped.0.get_mut("tile/0/000.p/4").unwrap();
    let (first, third) = (hashes[..32].to_vec(), hashes[64..96].to_vec());
    hashes[..32].copy_from_slice(&third);
    hashes[64..96].copy_from_slice(&first);
    assert!(kinds(&swapped.verified(&[])).contains(&FindingKind::Tree));
}

#[test]
fn what_another_key_signed_is_nothing() {
    let mut files = whole();
    let checkpoint: Checkpoint = files.note().text().parse().unwrap();
    let note = checkpoint.sign(&signer(2)).unwrap().to_string();
    files.0.insert("checkpoint".into(), note.into());
    assert_eq!(kinds(&files.verified(&[])), [FindingKind::Checkpoint]);
    files.0.remove("checkpoint");
    assert_eq!(kinds(&files.verified(&[])), [FindingKind::Checkpoint]);
    // Nor is it a checkpoint to compare with.
    let foreign = checkpoint.sign(&signer(2)).unwrap();
    assert_eq!(
        kinds(&whole().verified(&[foreign])),
        [FindingKind::Checkpoint]
    );
}

#[test]
fn too_few_witnesses_are_found() {
    let witness = Signer::new("w", KeyKind::Cosignature, &Secret::take(&mut [9; 32])).unwrap();
    let text = format!(
        "log {}\nwitness w {}\nquorum w\n",
        signer(1).public(),
        witness.public()
    );
    let trust = TrustPolicy::parse(&text).unwrap();
    let mut files = whole();
    let report = verify(&mut files, &trust, &[], DEMAND, &mut |_| {}).unwrap();
    assert_eq!(kinds(&report), [FindingKind::Checkpoint]);
    let mut note = files.note();
    note.add(witness.cosign(note.text(), 5)).unwrap();
    files.0.insert("checkpoint".into(), note.to_string().into());
    let report = verify(&mut files, &trust, &[], DEMAND, &mut |_| {}).unwrap();
    assert_eq!(
        (report.findings, report.cosigned),
        (vec![], vec![("w".into(), 5)])
    );
}

/// A vault that signs what is not so: what the log itself shows is found all the same.
#[test]
fn what_a_dishonest_log_shows_is_found() {
    let gap = made(&SEGMENTS, |index, segment| {
        if index > 1 {
            segment.first += 1;
        }
    });
    assert!(kinds(&gap.verified(&[])).contains(&FindingKind::Lane));
    let double = made(&SEGMENTS, |index, segment| {
        if index == 3 {
            segment.first -= 1;
        }
    });
    assert!(kinds(&double.verified(&[])).contains(&FindingKind::Lane));
    let lost = made(&SEGMENTS, |index, segment| {
        if index == 1 {
            segment.scopes.clear();
            segment.lost = true;
        }
    });
    assert_eq!(kinds(&lost.verified(&[])), [FindingKind::Lost]);
    let back = made(&SEGMENTS, |index, segment| {
        if index == 2 {
            segment.time = Timestamp::from_millis(5);
        }
    });
    assert_eq!(back.verified(&[]).clock_set_back, 1);
    // A request that begins twice, and one that ends without having begun.
    let twice = made(
        &[&[What::Begins(1, "icu"), What::Begins(1, "icu")]],
        |_, _| {},
    );
    assert_eq!(kinds(&twice.verified(&[])), [FindingKind::Record]);
}

/// A bundle that claims another's project is not shown as that.
#[test]
fn rows_of_another_project_are_found() {
    let mut files = whole();
    let text = String::from_utf8(files.0["bundle.json"].clone()).unwrap();
    let text = text.replace("\"icu\"", "\"onco\"");
    files.0.insert("bundle.json".into(), text.into());
    assert!(kinds(&files.verified(&[])).contains(&FindingKind::Record));
}

/// The bundle and key in `tests/vectors/log`, which the second verifier checks as well.
#[test]
fn the_vectors_are_this_bundle() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/log");
    let mut files = whole().0;
    files.insert(
        "log.vkey".into(),
        format!("{}\n", signer(1).public()).into(),
    );
    #[expect(
        clippy::disallowed_methods,
        reason = "golden files change only when asked to"
    )]
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    for (name, bytes) in files {
        let path = dir.join(name);
        if update {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &bytes).unwrap();
        }
        assert!(
            std::fs::read(&path).unwrap() == bytes,
            "{}: UPDATE_GOLDEN=1 writes it again",
            path.display()
        );
    }
}

/// A source that shows one checkpoint to be judged, and another to whoever asks again.
struct Turning {
    files: Files,
    asked: u32,
}

impl Source for Turning {
    fn read(&mut self, name: &str) -> io::Result<Option<Vec<u8>>> {
        if name == "checkpoint" {
            self.asked += 1;
            if self.asked > 1 {
                return Ok(Some(b"another\n".to_vec()));
            }
        }
        self.files.read(name)
    }

    fn stream(&mut self, name: &str) -> io::Result<Option<Box<dyn Read>>> {
        self.files.stream(name)
    }
}

/// What a verifier keeps is what it judged, not what stands in the bundle by then.
#[test]
fn the_checkpoint_to_keep_is_the_one_that_was_judged() {
    let files = made(&[&[What::Begins(1, "icu"), What::Ends(1)]], |_, _| {});
    let honest = files.note();
    let bytes = files.0["checkpoint"].clone();
    let mut source = Turning { files, asked: 0 };
    let report = verify(&mut source, &trust(), &[], DEMAND, &mut |_seen| {}).unwrap();
    assert_eq!((report.findings.as_slice(), source.asked), (&[][..], 1));
    let note = report.note.unwrap();
    assert_eq!(note.to_string().as_bytes(), bytes);
    assert_eq!(note, honest);
    // What does not hold is nothing to keep.
    source.asked = 1;
    let report = verify(&mut source, &trust(), &[], DEMAND, &mut |_seen| {}).unwrap();
    assert_eq!((report.note, report.checkpoint), (None, None));
}
