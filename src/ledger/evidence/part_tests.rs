//! A bundle of a part: of the other rows the leaves are there, and nothing else will do. And the
//! statement that the log's key signs of a bundle's files.

use super::tests::{Files, kinds, signer, whole};
use super::{FindingKind, Group, GroupRows, STATED, Statement, StatementError, Told};
use crate::ledger::{Row, salted_leaf};

/// Groups as a bundle of a part has them, without the rows of these numbers.
fn part(files: &Files, hidden: &[u64]) -> Vec<Group> {
    let mut groups = files.groups();
    for group in &mut groups {
        let GroupRows::Whole(seed, rows) = &group.rows else {
            panic!("it is whole");
        };
        let salts = Row::new(seed);
        let told = rows.iter().map(|(seq, record)| {
            if hidden.contains(seq) {
                Told::Leaf(salts.leaf(*seq, record, &mut Vec::new()))
            } else {
                Told::Record(*seq, salts.salt(*seq), record.clone())
            }
        });
        group.rows = GroupRows::Part(told.collect());
    }
    groups
}

fn told(group: &mut Group) -> &mut Vec<Told> {
    let GroupRows::Part(rows) = &mut group.rows else {
        panic!("it is a part");
    };
    rows
}

/// The bundle that shows a part, and its groups.
fn shown(hidden: &[u64]) -> (Files, Vec<Group>) {
    let mut files = whole();
    let groups = part(&files, hidden);
    let manifest = String::from_utf8(files.0["bundle.json"].clone()).unwrap();
    let manifest = manifest.replacen('{', "{\"shown\":\"dataset=ecg\",", 1);
    files.0.insert("bundle.json".into(), manifest.into());
    files.put_groups(&groups);
    (files, groups)
}

#[test]
fn what_is_not_shown_is_proved_by_its_leaf() {
    let (files, groups) = shown(&[2, 7, 9]);
    assert_eq!(files.groups(), groups);
    let report = files.verified(&[]);
    assert_eq!(kinds(&report), []);
    assert_eq!((report.rows, report.hidden), (6, 3));
    assert_eq!(report.shown.as_deref(), Some("dataset=ecg"));
    // A record that is not shown cannot be tried: nothing in the bundle gives its salt.
    let Told::Leaf(leaf) = told(&mut groups[0].clone())[1] else {
        panic!("it is hidden");
    };
    let record = &whole().groups()[0].records()[1].1.clone();
    let salts = groups
        .iter()
        .flat_map(|group| told(&mut group.clone()).clone());
    for told in salts {
        if let Told::Record(_, salt, _) = told {
            assert_ne!(salted_leaf(2, &salt, record, &mut Vec::new()), leaf);
        }
    }
}

#[test]
fn another_leaf_and_a_row_left_out_moved_or_doubled_are_found() {
    let bends: [fn(&mut Vec<Told>); 5] = [
        |rows| {
            let Told::Leaf(leaf) = &mut rows[1] else {
                panic!("it is hidden")
            };
            leaf[31] ^= 1;
        },
        |rows| drop(rows.remove(1)),
        |rows| rows.swap(0, 1),
        |rows| rows.insert(1, rows[1].clone()),
        |rows| {
            let Told::Record(_, salt, _) = &mut rows[0] else {
                panic!("it is shown")
            };
            salt[0] ^= 1;
        },
    ];
    for (number, bend) in bends.into_iter().enumerate() {
        let (mut files, mut groups) = shown(&[2, 7, 9]);
        bend(told(&mut groups[0]));
        files.put_groups(&groups);
        let found = kinds(&files.verified(&[]));
        assert_eq!(
            found.first(),
            Some(&FindingKind::Rows),
            "{number}: {found:?}"
        );
    }
    let (mut files, mut groups) = shown(&[2, 7, 9]);
    groups.remove(1);
    files.put_groups(&groups);
    assert!(kinds(&files.verified(&[])).contains(&FindingKind::Rows));
}

#[test]
fn rows_are_hidden_for_a_reason_that_is_given_or_not_at_all() {
    let (mut files, groups) = shown(&[2]);
    let honest = whole();
    files
        .0
        .insert("bundle.json".into(), honest.0["bundle.json"].clone());
    assert_eq!(kinds(&files.verified(&[])), [FindingKind::Bundle]);
    let (mut files, _) = shown(&[2]);
    files.put_groups(&honest.groups());
    assert_eq!(kinds(&files.verified(&[])), [FindingKind::Bundle]);
    assert_eq!(groups.len(), 3);
}

#[test]
fn a_part_that_is_cut_anywhere_is_found() {
    let (files, _) = shown(&[2, 7, 9]);
    let rows = files.0["rows"].clone();
    for len in 0..rows.len() {
        let mut cut = files.clone();
        cut.0.insert("rows".into(), rows[..len].to_vec());
        assert_ne!(kinds(&cut.verified(&[])), [], "{len}");
    }
    for at in 0..rows.len() {
        let mut bent = files.clone();
        bent.0.get_mut("rows").unwrap()[at] ^= 1;
        assert_ne!(kinds(&bent.verified(&[])), [], "{at}");
    }
}

/// A bundle with all that is stated of it.
fn stated() -> Files {
    let mut files = whole();
    files
        .0
        .insert("README.txt".into(), b"how to check it\n".to_vec());
    files.0.insert("policies".into(), b"KLUISPO1".to_vec());
    let statement = Statement::of(&mut files).unwrap().sign(&signer(1)).unwrap();
    files
        .0
        .insert("statement".into(), statement.to_string().into());
    files
}

fn refused(mut files: Files, seed: u8) -> StatementError {
    Statement::verify(&mut files, signer(seed).public()).unwrap_err()
}

#[test]
fn a_statement_holds_for_its_files_alone() {
    let files = stated();
    Statement::verify(&mut files.clone(), signer(1).public()).unwrap();
    for name in STATED {
        let mut bent = files.clone();
        bent.0.get_mut(name).unwrap().push(b' ');
        assert!(matches!(refused(bent, 1), StatementError::Other(other) if other == name));
        let mut less = files.clone();
        less.0.remove(name);
        assert!(matches!(refused(less, 1), StatementError::Other(other) if other == name));
    }
    let mut none = files.clone();
    none.0.remove("statement");
    assert!(matches!(refused(none, 1), StatementError::Malformed));
    assert!(matches!(refused(files.clone(), 2), StatementError::Note(_)));
    for at in 0..files.0["statement"].len() {
        let mut bent = files.clone();
        bent.0.get_mut("statement").unwrap()[at] ^= 1;
        drop(refused(bent, 1));
    }
    // A checkpoint of the same key is no statement, and a statement is no checkpoint.
    let mut other = files.clone();
    other
        .0
        .insert("statement".into(), files.0["checkpoint"].clone());
    assert!(matches!(refused(other, 1), StatementError::Malformed));
    let mut other = files.clone();
    other
        .0
        .insert("checkpoint".into(), files.0["statement"].clone());
    assert_eq!(kinds(&other.verified(&[])), [FindingKind::Checkpoint]);
}
