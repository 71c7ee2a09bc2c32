//! A catalog whose host alters rows: what it says of an object's bytes is sealed, so that a read
//! fails and hands out nothing.

use std::sync::Arc;

use super::ports::{Bend, Gate, Gated};
use super::support::{BUCKET, World, sample};
use crate::catalog::{ObjectRow, SharedCatalog};
use crate::ledger::Outcome;
use crate::types::{ETag, VersionId};
use crate::vault::{ErrorKind, Span};

/// Objects `k` and `other` of one length, and a catalog to bend.
async fn world() -> (World, Arc<Gated<SharedCatalog>>, ObjectRow) {
    let mut world = World::new().await;
    world.put("olivia", "k", &sample(100_000)).await.unwrap();
    world
        .put("olivia", "other", &sample(100_001)[1..])
        .await
        .unwrap();
    let bucket = crate::types::BucketName::parse(BUCKET, &"icu".parse().unwrap()).unwrap();
    let dataset = world.catalog.dataset(&bucket).await.unwrap().unwrap().id;
    let other = world
        .catalog
        .object(&dataset, &"other".parse().unwrap())
        .await;
    let other = other.unwrap().unwrap();
    let never = Gate::new(u64::MAX, false);
    let catalog = Arc::new(Gated::new(Arc::clone(&world.catalog), &never));
    let shared = Arc::clone(&catalog) as SharedCatalog;
    world.rewire(|mut parts| {
        parts.catalog = shared;
        parts
    });
    (world, catalog, other)
}

#[tokio::test]
async fn what_binds_bytes_to_a_name_cannot_be_altered() {
    let (world, catalog, other) = world().await;
    let version = VersionId::from_bytes([9; 16]);
    let (twin, table) = (other.clone(), other.sealed_table.clone());
    let bends: Vec<(&str, Bend)> = vec![
        (
            "another's table",
            Box::new(move |row| row.sealed_table = table.clone()),
        ),
        (
            "another's row under this key",
            Box::new(move |row| {
                let key = row.key.clone();
                *row = twin.clone();
                row.key = key;
            }),
        ),
        ("another row", Box::new(move |row| *row = other.clone())),
        (
            "another key",
            Box::new(|row| row.key = "kk".parse().unwrap()),
        ),
        ("longer", Box::new(|row| row.bytes += 1)),
        ("shorter", Box::new(|row| row.bytes -= 1)),
        ("endless", Box::new(|row| row.bytes = u64::MAX)),
        ("emptied", Box::new(|row| row.bytes = 0)),
        (
            "another tag",
            Box::new(move |row| row.etag = ETag::of(&version, 1)),
        ),
        (
            "another version",
            Box::new(move |row| row.version = version),
        ),
        (
            "another dataset",
            Box::new(|row| row.dataset = crate::types::DatasetId::from_bytes([3; 16])),
        ),
        (
            "no table",
            Box::new(|row| row.sealed_table = bytes::Bytes::new()),
        ),
        (
            "half a table",
            Box::new(|row| row.sealed_table.truncate(50)),
        ),
    ];
    for (why, bend) in bends {
        *catalog.bend.lock().unwrap() = Some(bend);
        for span in [Span::All, Span::Between(0, 0), Span::Last(1), Span::Part(1)] {
            let (got, end) = world.drain("job-1", "k", span).await;
            assert!(got.is_empty(), "{why} {span:?}");
            let refused = matches!(
                end,
                Some(ErrorKind::Integrity | ErrorKind::InvalidRange | ErrorKind::Unavailable)
            );
            assert!(refused, "{why} {span:?} {end:?}");
            if span == Span::All {
                assert_ne!(world.last_completion().outcome, Outcome::Success, "{why}");
            }
        }
    }
    *catalog.bend.lock().unwrap() = None;
    assert_eq!(world.drain("job-1", "k", Span::All).await.1, None);
}

#[tokio::test]
async fn every_bit_of_a_sealed_table_counts() {
    let (world, catalog, other) = world().await;
    for at in 0..other.sealed_table.len() {
        *catalog.bend.lock().unwrap() = Some(Box::new(move |row| {
            let mut table = row.sealed_table.to_vec();
            table[at] ^= 1;
            row.sealed_table = table.into();
        }));
        let got = world.drain("job-1", "k", Span::All).await;
        assert_eq!(got, (vec![], Some(ErrorKind::Integrity)), "byte {at}");
    }
}

#[tokio::test]
async fn lengths_of_parts_that_are_not_the_object_serve_no_part() {
    let (world, catalog, _) = world().await;
    for lengths in [vec![u64::MAX, 2], vec![1], vec![100_000, 1], vec![0; 3]] {
        *catalog.bend.lock().unwrap() = Some(Box::new(move |row| row.part_bytes = lengths.clone()));
        let got = world.drain("job-1", "k", Span::Part(1)).await;
        assert_eq!(got, (vec![], Some(ErrorKind::Integrity)));
        let (got, end) = world.drain("job-1", "k", Span::All).await;
        assert!(got == sample(100_000) && end.is_none(), "not used here");
    }
}
