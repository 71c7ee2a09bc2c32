//! Part tables: round trips, what opens for whom, unsound tables, slices against a model.

use proptest::prelude::*;

use super::*;
use crate::seal::Place;
use crate::seal::testing::Draws;
use crate::types::{DatasetId, ETag, ObjectKey, UploadId};

fn dataset_key(byte: u8) -> DatasetKey {
    DatasetKey {
        secret: Secret::take(&mut [byte; 32]),
        version: 1,
    }
}

/// An extent whose blob and key tell which it is.
fn extent(number: u8, blob_plaintext_bytes: u64, start: u64, len: u64) -> Extent {
    Extent {
        blob: BlobId::from_bytes([number; 16]),
        key: DataKey(Secret::take(&mut [number; 32])),
        suite: Suite::ChaCha20Poly1305,
        blob_plaintext_bytes,
        owner: VersionId::from_bytes([number; 16]),
        index: u32::from(number),
        start,
        len,
    }
}

/// Everything about a table, to compare.
fn picture(table: &Table) -> Vec<u8> {
    table.encode().unwrap().to_vec()
}

struct Row {
    key: ObjectKey,
    etag: ETag,
}

impl Row {
    fn new() -> Self {
        let version = VersionId::from_bytes([8; 16]);
        Self {
            key: "a/b".parse().unwrap(),
            etag: ETag::of(&version, 1),
        }
    }

    fn binding(&self, bytes: u64) -> Binding<'_> {
        Binding {
            dataset: DatasetId::from_bytes([7; 16]),
            version: VersionId::from_bytes([8; 16]),
            place: Place::Object { key: &self.key },
            bytes,
            etag: &self.etag,
        }
    }
}

fn three() -> Table {
    Table::new(vec![
        extent(1, 10, 0, 10),
        extent(2, 100, 40, 5),
        extent(3, 7, 6, 1),
    ])
    .unwrap()
}

#[test]
fn tables_round_trip_even_without_extents() {
    let row = Row::new();
    for table in [three(), Table::new(Vec::new()).unwrap()] {
        let binding = row.binding(table.bytes());
        let sealed = seal_table(&dataset_key(1), &binding, &table).unwrap();
        let opened = open_table(&dataset_key(1), &binding, &sealed).unwrap();
        assert_eq!(picture(&opened), picture(&table));
        assert_eq!(sealed.len(), 5 + 32 + 4 + 93 * table.extents().len() + 16);
    }
}

#[test]
fn a_table_opens_for_its_row_only() {
    let row = Row::new();
    let good = row.binding(16);
    let sealed = seal_table(&dataset_key(1), &good, &three()).unwrap();
    let open = |binding: &Binding<'_>| open_table(&dataset_key(1), binding, &sealed).is_ok();
    assert!(open(&good));
    let other_key: ObjectKey = "a/c".parse().unwrap();
    let other_tag = ETag::of(&VersionId::from_bytes([8; 16]), 2);
    let dataset = DatasetId::from_bytes([6; 16]);
    let version = VersionId::from_bytes([6; 16]);
    let upload = UploadId::from_bytes([6; 16]);
    let part = Place::Part { upload, number: 1 };
    let object = Place::Object { key: &other_key };
    assert!(!open(&Binding { dataset, ..good }));
    assert!(!open(&Binding { version, ..good }));
    assert!(!open(&Binding { bytes: 15, ..good }));
    assert!(!open(&Binding {
        place: part,
        ..good
    }));
    assert!(!open(&Binding {
        place: object,
        ..good
    }));
    let etag = &other_tag;
    assert!(!open(&Binding { etag, ..good }));
}

#[test]
fn parts_of_other_uploads_and_numbers_do_not_open() {
    let row = Row::new();
    let at = |upload, number| Binding {
        place: Place::Part {
            upload: UploadId::from_bytes([upload; 16]),
            number,
        },
        ..row.binding(16)
    };
    let sealed = seal_table(&dataset_key(1), &at(1, 1), &three()).unwrap();
    assert!(open_table(&dataset_key(1), &at(1, 1), &sealed).is_ok());
    assert!(open_table(&dataset_key(1), &at(2, 1), &sealed).is_err());
    assert!(open_table(&dataset_key(1), &at(1, 2), &sealed).is_err());
}

#[test]
fn another_key_or_key_version_or_any_changed_bit_is_refused() {
    let row = Row::new();
    let binding = row.binding(16);
    let sealed = seal_table(&dataset_key(1), &binding, &three()).unwrap();
    assert!(open_table(&dataset_key(2), &binding, &sealed).is_err());
    let newer = DatasetKey {
        version: 2,
        ..dataset_key(1)
    };
    assert!(open_table(&newer, &binding, &sealed).is_err());
    for at in 0..sealed.len() {
        let mut bad = sealed.to_vec();
        bad[at] ^= 1;
        assert!(open_table(&dataset_key(1), &binding, &bad).is_err(), "{at}");
        assert!(open_table(&dataset_key(1), &binding, &sealed[..at]).is_err());
    }
    let long = [&sealed[..], &[0]].concat();
    assert!(open_table(&dataset_key(1), &binding, &long).is_err());
    // A table with its version raised, opened by a key of that version.
    let mut raised = sealed.to_vec();
    raised[4] = 2;
    assert!(open_table(&newer, &binding, &raised).is_err());
}

#[test]
fn a_version_id_that_comes_twice_meets_no_key_twice() {
    let row = Row::new();
    let seal =
        |table: &Table| seal_table(&dataset_key(1), &row.binding(table.bytes()), table).unwrap();
    let a = seal(&three());
    let mut other = three();
    other.extents[0].key = DataKey(Secret::take(&mut [9; 32]));
    let b = seal(&other);
    assert_ne!(a[5..37], b[5..37], "another content, another salt");
    assert_eq!(a, seal(&three()), "the same content, the same bytes");
}

#[test]
fn unsound_tables_are_not_made() {
    let max = layout::PLAINTEXT_BYTES_MAX;
    for bad in [
        extent(1, 10, 0, 0),
        extent(1, 10, 0, 11),
        extent(1, 10, 10, 1),
        extent(1, 10, u64::MAX, 2),
        extent(1, 0, 0, 1),
        extent(1, max + 1, 0, 1),
    ] {
        assert!(Table::new(vec![bad]).is_err());
    }
    let many = || (0..=EXTENTS_MAX).map(|_| extent(1, 1, 0, 1)).collect();
    assert!(Table::new(many()).is_err());
    let halves = [many(), many()].map(|mut half: Vec<_>| {
        half.truncate(EXTENTS_MAX / 2 + 1);
        Table::new(half).unwrap()
    });
    assert!(Table::concat(halves).is_err());
    let row = Row::new();
    let wrong_length = seal_table(&dataset_key(1), &row.binding(15), &three());
    assert_eq!(wrong_length, Err(SealError::Table));
}

/// Tables that no honest writer seals, under the true key: the decoder stands alone.
#[test]
fn unsound_encodings_are_refused() {
    let good = picture(&three());
    assert!(Table::decode(&good).is_some());
    for (at, byte) in [
        (3, 2),           // one extent too few
        (3, 4),           // one too many
        (0, 255),         // 4 billion
        (4 + 48, 0),      // no suite
        (4 + 48, 3),      // unknown suite
        (4 + 49, 255),    // a blob too long
        (4 + 49 + 7, 9),  // a blob shorter than its slice
        (4 + 77, 255),    // a start beyond it
        (4 + 85 + 7, 0),  // an empty slice
        (4 + 85 + 7, 11), // a slice too long
    ] {
        let mut bad = good.clone();
        bad[at] = byte;
        assert!(Table::decode(&bad).is_none(), "{at} {byte}");
    }
    for cut in 0..good.len() {
        assert!(Table::decode(&good[..cut]).is_none());
    }
}

#[test]
fn slices_end_with_the_table() {
    let range = |a, b| ByteRange::new(a, b).unwrap();
    assert!(three().slice(range(0, 17)).is_none());
    assert!(three().slice(range(16, 17)).is_none());
    assert!(three().slice(range(15, 16)).is_some());
    assert_eq!(picture(&three().duplicate()), picture(&three()));
    let empty = Table::new(Vec::new()).unwrap();
    assert!(empty.slice(range(0, 1)).is_none());
    assert_eq!(empty.duplicate().bytes(), 0);
}

/// The blobs' bytes as `(blob, offset)`: the model that slices are held to.
fn model(table: &Table) -> Vec<(BlobId, u64)> {
    let bytes = |e: &Extent| (e.start..e.start + e.len).map(|at| (e.blob, at)).collect();
    table.extents.iter().flat_map::<Vec<_>, _>(bytes).collect()
}

proptest! {
    #[test]
    fn slices_and_concats_agree_with_the_bytes(
        cuts in prop::collection::vec((1u64..20, 0u64..20), 1..8), a in any::<prop::sample::Index>(), b in any::<prop::sample::Index>(),
    ) {
        let extents = cuts.iter().zip(1u8..).map(|((len, start), n)| extent(n, 40, *start, *len));
        let table = Table::new(extents.collect()).unwrap();
        let whole = model(&table);
        let (a, b) = (a.index(whole.len()), b.index(whole.len()));
        let (from, to) = (a.min(b), a.max(b) + 1);
        let part = |from: usize, to: usize| {
            let range = ByteRange::new(u64::try_from(from).unwrap(), u64::try_from(to).unwrap());
            range.map(|range| table.slice(range).unwrap())
        };
        let slice = part(from, to).unwrap();
        prop_assert_eq!(model(&slice), &whole[from..to]);
        prop_assert_eq!(slice.bytes(), u64::try_from(to - from).unwrap());
        prop_assert!(slice.extents.iter().all(Extent::is_sound));
        let pieces = [part(0, from), Some(slice), part(to, whole.len())];
        let again = Table::concat(pieces.into_iter().flatten()).unwrap();
        prop_assert_eq!(model(&again), whole);
    }

    #[test]
    fn foreign_tables_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let row = Row::new();
        prop_assert!(open_table(&dataset_key(1), &row.binding(1), &bytes).is_err());
        if let Some(table) = Table::decode(&bytes) {
            prop_assert_eq!(picture(&table), bytes);
        }
    }
}

#[test]
fn an_extents_opener_opens_its_blob() {
    let key = DataKey::random(&Draws::new(1)).unwrap();
    let mut extent = extent(1, 10, 2, 3);
    extent.key = key;
    assert!(extent.opener(0).is_ok());
    assert!(extent.opener(1).is_err());
    assert_eq!(extent.origin().index, 1);
}
