//! Volumes: what goes in comes out, and whatever is bent does not open.

use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::ledger::{
    Completion, Entry, MarkKind, Outcome, Scope, ScopeKey, Scopes, Segment, SegmentTrees, encode,
    samples, session_hash,
};
use crate::seal::testing::Draws;
use crate::types::{EventId, Secret, Timestamp};

fn keys() -> VolumeKeys {
    VolumeKeys::new(Secret::take(&mut [7; 32]))
}

fn scope_key() -> ScopeKey {
    ScopeKey::new(&Secret::take(&mut [8; 32]))
}

/// One of each kind of record, and a request that stays open.
fn entries() -> Vec<(Entry, Option<Arc<crate::ledger::Session>>)> {
    let session = Arc::new(samples::session());
    let stranger = Arc::new(samples::stranger());
    let hash = session_hash(&session).unwrap();
    let event = |n| EventId::from_bytes([n; 16]);
    let mut bare = samples::bare_intent(event(3));
    bare.source_object = Some(crate::ledger::ObjectRef::default());
    let refused = Completion {
        outcome: Outcome::Refused,
        reason: "no grant".into(),
        object_bytes: None,
        ..samples::completion(event(3))
    };
    let own = Some(Arc::clone(&session));
    vec![
        (
            Entry::Mark {
                time: Timestamp::from_millis(5),
                kind: MarkKind::Opened,
            },
            None,
        ),
        (Entry::Session((*session).clone()), None),
        (
            Entry::Intent {
                session: hash,
                intent: samples::intent(event(1)),
            },
            own.clone(),
        ),
        (
            Entry::Intent {
                session: hash,
                intent: samples::intent(event(2)),
            },
            own,
        ),
        (Entry::Completion(samples::completion(event(1))), None),
        (
            Entry::Whole {
                session: session_hash(&stranger).unwrap(),
                intent: bare,
                completion: refused,
            },
            Some(stranger),
        ),
        (
            Entry::Policy {
                version: [4; 32],
                text: "p, a, b\n".into(),
            },
            None,
        ),
        (Entry::Open(vec![event(2)]), None),
        (Entry::Completion(samples::completion(event(9))), None),
        (
            Entry::Intent {
                session: [1; 32],
                intent: samples::intent(event(4)),
            },
            None,
        ),
    ]
}

/// The entries as segments of a log, of at most `most` records each.
fn segments(first: u64, entries: &[Entry], most: usize, scopes: &mut Scopes) -> Vec<Segment> {
    let key = scope_key();
    let mut segments = Vec::new();
    for (n, entries) in entries.chunks(most).enumerate() {
        let first = first + (n * most) as u64;
        let mut trees = SegmentTrees::new(&key, "gw", first);
        for (n, entry) in entries.iter().enumerate() {
            let mut bytes = Vec::new();
            encode(entry, &mut bytes).unwrap();
            for scope in scopes.of(entry) {
                trees.push(&scope, first + n as u64, &bytes);
            }
        }
        segments.push(Segment {
            lane: "gw".into(),
            first,
            count: entries.len() as u64,
            time: Timestamp::from_millis(9),
            scopes: trees.roots(),
            lost: false,
        });
    }
    segments
}

/// The same file without encryption.
pub(crate) fn in_clear(meta: &Meta, rows: &[Row]) -> Bytes {
    use parquet::arrow::ArrowWriter;
    use parquet::file::metadata::KeyValue;
    use parquet::file::properties::WriterProperties;

    let json = serde_json::to_string(meta).unwrap();
    let pair = KeyValue::new("kluis.volume".to_owned(), json);
    let properties = WriterProperties::builder()
        .set_key_value_metadata(Some(vec![pair]))
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), schema(), Some(properties)).unwrap();
    writer.write(&batch(&meta.lane, rows).unwrap()).unwrap();
    writer.into_inner().unwrap().into()
}

struct Made {
    meta: Meta,
    bytes: Bytes,
    segments: Vec<Segment>,
    fold: Fold,
}

fn volume(
    first: u64,
    carried: Vec<Row>,
    entries: &[(Entry, Option<Arc<crate::ledger::Session>>)],
    scopes: &mut Scopes,
) -> Made {
    let mut fold = Fold::new(carried);
    for (n, (entry, session)) in entries.iter().enumerate() {
        fold.push(first + n as u64, entry.clone(), session.clone())
            .unwrap();
    }
    let plain: Vec<Entry> = entries.iter().map(|(entry, _)| entry.clone()).collect();
    let segments = segments(first, &plain, 4, scopes);
    let meta = Meta::new(
        "log",
        "gw",
        (first, first + entries.len() as u64),
        Vec::new(),
    );
    let bytes = write_volume(&keys(), &meta, fold.rows(), &Draws::new(3)).unwrap();
    Made {
        meta,
        bytes,
        segments,
        fold,
    }
}

fn checked(made: &Made) -> Result<Vec<(u64, Vec<u8>)>, ArchiveError> {
    let volume = Volume::open(&keys(), &made.meta, made.bytes.clone())?;
    let mut records = Vec::new();
    check(
        &volume,
        &made.segments,
        &scope_key(),
        |_, _, seq, bytes, _| {
            records.push((seq, bytes.to_vec()));
        },
    )?;
    Ok(records)
}

#[test]
fn every_record_is_made_again_byte_for_byte() {
    let entries = entries();
    let mut scopes = Scopes::default();
    let made = volume(10, Vec::new(), &entries, &mut scopes);
    let expected: Vec<(u64, Vec<u8>)> = entries
        .iter()
        .enumerate()
        .map(|(n, (entry, _))| {
            let mut bytes = Vec::new();
            encode(entry, &mut bytes).unwrap();
            (10 + n as u64, bytes)
        })
        .collect();
    assert_eq!(checked(&made).unwrap(), expected);
    // Rows come out as they went in, sessions and all.
    let opened = Volume::find(&keys(), made.bytes.clone()).unwrap();
    let mut rows = Vec::new();
    rows_of(&opened, |row| {
        rows.push(row);
        Ok(())
    })
    .unwrap();
    assert_eq!(rows, made.fold.rows());
}

#[test]
fn what_was_open_is_in_the_next_volume_and_counted_once() {
    let mut scopes = Scopes::default();
    let first = volume(0, Vec::new(), &entries(), &mut scopes);
    let event = |n| EventId::from_bytes([n; 16]);
    let next = [
        (Entry::Completion(samples::completion(event(4))), None),
        (
            Entry::Mark {
                time: Timestamp::from_millis(6),
                kind: MarkKind::Closed,
            },
            None,
        ),
    ];
    let second = volume(10, first.fold.open(), &next, &mut scopes);
    assert_eq!(second.fold.rows().len(), 3);
    let seqs: Vec<u64> = checked(&second)
        .unwrap()
        .into_iter()
        .map(|(seq, _)| seq)
        .collect();
    assert_eq!(seqs, [10, 11]);
    // Event 2 is open still, and carried again.
    assert_eq!(second.fold.open().len(), 1);
}

#[test]
fn another_place_another_key_or_a_bent_byte_opens_nothing() {
    let made = volume(0, Vec::new(), &entries(), &mut Scopes::default());
    for other in [
        Meta {
            origin: "other".into(),
            ..made.meta.clone()
        },
        Meta {
            lane: "gx".into(),
            ..made.meta.clone()
        },
        Meta {
            first: 1,
            ..made.meta.clone()
        },
        Meta {
            end: 11,
            ..made.meta.clone()
        },
        Meta {
            lost: vec![(0, 1)],
            ..made.meta.clone()
        },
    ] {
        assert!(Volume::open(&keys(), &other, made.bytes.clone()).is_err());
    }
    let stranger = VolumeKeys::new(Secret::take(&mut [9; 32]));
    assert!(Volume::open(&stranger, &made.meta, made.bytes.clone()).is_err());
    assert!(Volume::find(&stranger, made.bytes.clone()).is_err());
    let honest = made.bytes.clone();
    for at in (0..honest.len()).step_by(61) {
        let mut bent = honest.to_vec();
        bent[at] ^= 1;
        let bent = Made {
            bytes: bent.into(),
            meta: made.meta.clone(),
            segments: made.segments.clone(),
            fold: Fold::default(),
        };
        // What is not looked at (an index, a statistic) may be bent; what is shown may not.
        if let Ok(records) = checked(&bent) {
            assert_eq!(records, checked(&made).unwrap(), "byte {at}");
        }
        let cut = Made {
            bytes: honest.slice(..at),
            ..bent
        };
        assert!(checked(&cut).is_err(), "cut at {at}");
    }
}

#[test]
fn a_volume_that_the_log_does_not_know_is_no_evidence() {
    let made = volume(0, Vec::new(), &entries(), &mut Scopes::default());
    let bends: [fn(&mut Vec<Segment>); 6] = [
        |s| drop(s.pop()),
        |s| s[0].scopes[0].root[0] ^= 1,
        |s| s[1].first += 1,
        |s| s[0].count -= 1,
        |s| s.swap(0, 1),
        |s| s[1].lost = true,
    ];
    for (n, bend) in bends.iter().enumerate() {
        let mut segments = made.segments.clone();
        bend(&mut segments);
        let bent = Made {
            segments,
            meta: made.meta.clone(),
            bytes: made.bytes.clone(),
            fold: Fold::default(),
        };
        assert!(checked(&bent).is_err(), "case {n}");
    }
    // A row more, a row less, one that was changed: each written with the right key.
    let rows = made.fold.rows();
    let changes: [fn(&mut Vec<Row>); 4] = [
        |rows| drop(rows.pop()),
        |rows| {
            rows.push(Row {
                seq: 9,
                ..rows[0].clone()
            });
        },
        |rows| rows[2].end = None,
        |rows| {
            if let Entry::Intent { intent, .. } = &mut rows[2].entry {
                intent.time = Timestamp::from_millis(1);
            }
        },
    ];
    for (n, change) in changes.iter().enumerate() {
        let mut rows = rows.to_vec();
        change(&mut rows);
        let bytes = write_volume(&keys(), &made.meta, &rows, &Draws::new(4)).unwrap();
        let bent = Made {
            bytes,
            meta: made.meta.clone(),
            segments: made.segments.clone(),
            fold: Fold::default(),
        };
        assert!(checked(&bent).is_err(), "change {n}");
    }
    // Columns that name somebody else than the session does.
    let mut rows = rows.to_vec();
    let mut session = samples::session();
    session.principal = Some("somebody.else".parse().unwrap());
    rows[2].session = Some(Arc::new(session));
    let bytes = write_volume(&keys(), &made.meta, &rows, &Draws::new(5)).unwrap();
    let bent = Made {
        bytes,
        meta: made.meta.clone(),
        segments: made.segments.clone(),
        fold: Fold::default(),
    };
    assert!(matches!(checked(&bent), Err(ArchiveError::Row(2))));
    assert_eq!(Scope::Vault.name(), "");
}

/// The vector that another implementation reads: `tests/verifier/test_volumes.py`. Each writing
/// draws another key, so it is made anew only when it is asked for.
#[test]
fn the_vector_opens_and_holds_what_it_should() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/vectors/volume/volume.parquet"
    );
    let made = volume(10, Vec::new(), &entries(), &mut Scopes::default());
    #[expect(
        clippy::disallowed_methods,
        reason = "a switch of tests, not of the product"
    )]
    let renew = std::env::var_os("UPDATE_GOLDEN").is_some();
    if renew {
        std::fs::write(path, &made.bytes).unwrap();
    }
    let vector = Made {
        bytes: std::fs::read(path).unwrap().into(),
        ..made
    };
    assert_eq!(checked(&vector).unwrap().len(), 10);
}

/// Reads as a gateway sees them: 200 jobs, 5,000 objects, ranges of 8 MiB, a hundredth refused.
#[test]
fn a_record_takes_25_bytes_in_the_store_at_most() {
    const REQUESTS: u32 = 30_000;
    let draws = Draws::new(11);
    let mut fold = Fold::default();
    let mut random = [0_u8; 12];
    for n in 0..REQUESTS {
        crate::types::Entropy::fill(&draws, &mut random).unwrap();
        let pick = u32::from_be_bytes(random[..4].try_into().unwrap());
        let now = Timestamp::from_millis(1_803_975_304_112 + u64::from(n) * 40);
        let event = EventId::v7(now, &draws).unwrap();
        let mut session = samples::session();
        session.principal = Some(format!("job-{}", pick % 200).parse().unwrap());
        let session = Arc::new(session);
        let mut intent = samples::intent(event);
        let object = pick / 200 % 5_000;
        intent.time = now;
        intent.source_object = None;
        intent.query = None;
        intent.object.key = Some(
            format!("adults/{:03}/{object:05}.edf", object / 50)
                .parse()
                .unwrap(),
        );
        let mut version = [0x5a; 16];
        let hash = ring::digest::digest(&ring::digest::SHA256, &object.to_be_bytes());
        version.copy_from_slice(&hash.as_ref()[..16]);
        intent.object.version = Some(crate::types::VersionId::from_bytes(version));
        let start = u64::from(pick % 64) << 23;
        intent.range = crate::types::ByteRange::new(start, start + (1 << 23));
        let mut end = samples::completion(event);
        end.time = now.plus_millis(u64::from(random[4]));
        end.bytes = 1 << 23;
        if pick % 100 == 0 {
            end.outcome = Outcome::Refused;
            end.bytes = 0;
        }
        let hash = session_hash(&session).unwrap();
        let entry = Entry::Intent {
            session: hash,
            intent,
        };
        let seq = u64::from(n) * 2;
        fold.push(seq, entry, Some(session)).unwrap();
        fold.push(seq + 1, Entry::Completion(end), None).unwrap();
    }
    let records = u64::from(REQUESTS) * 2;
    let meta = Meta::new("log", "gw", (0, records), Vec::new());
    let bytes = write_volume(&keys(), &meta, fold.rows(), &Draws::new(3)).unwrap();
    let each = bytes.len() as u64 / records;
    assert!(each <= 25, "{each} bytes for each record");
}

/// A volume's place in clear, and so all that it says of itself, is known to the store: it writes
/// a file of its own, of the same columns and of rows that it likes better.
#[test]
fn a_file_in_clear_is_no_volume_whatever_it_says() {
    use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};

    let made = volume(0, Vec::new(), &entries(), &mut Scopes::default());
    let forged = in_clear(&made.meta, &made.fold.rows()[..1]);
    // The library has no objection, keys or not.
    let options = ArrowReaderOptions::new();
    let keyed = options.with_file_decryption_properties(keys().decrypt(Some(&made.meta)).unwrap());
    let read = read_meta(&ArrowReaderMetadata::load(&forged, keyed).unwrap()).unwrap();
    assert_eq!(read, made.meta);
    assert!(matches!(
        Volume::open(&keys(), &made.meta, forged.clone()),
        Err(ArchiveError::Other(_))
    ));
    assert!(matches!(
        Volume::find(&keys(), forged.clone()),
        Err(ArchiveError::Other(_))
    ));
    // Nor with the other ending put on it.
    let mut bent = forged.to_vec();
    let end = bent.len() - 4;
    bent[end..].copy_from_slice(b"PARE");
    assert!(Volume::open(&keys(), &made.meta, bent.into()).is_err());
    // The honest one opens.
    assert!(Volume::open(&keys(), &made.meta, made.bytes).is_ok());
}
