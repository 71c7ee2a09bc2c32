//! Rotation beside much that is being published.

use super::keywork::{bucket, stocked};
use super::support::place;
use crate::catalog::{DatasetRow, KeyWorkRow, Mutation, PublicationRow, Tally};
use crate::seal::table_key_version;
use crate::types::{BucketName, DatasetId, KeyWorkId, PublicationId, limits};
use crate::vault::{Unopened, WriteConditions};

/// A thousand publications of others are older than the one whose object was deleted meanwhile: its
/// table is sealed again before the key goes that it was under.
#[tokio::test]
async fn cr_5_a_rotation_finds_what_is_being_published_among_any_number_of_others() {
    let world = stocked().await;
    // In no version, or that one's table would be sealed again for both.
    world.put("olivia", "new", b"data").await.unwrap();
    let catalog = &world.catalog;
    let row = catalog.dataset(&bucket()).await.unwrap().unwrap();
    let other = DatasetRow {
        id: DatasetId::from_bytes([9; 16]),
        bucket: BucketName {
            dataset: "other".parse().unwrap(),
            ..bucket()
        },
        ..row.clone()
    };
    let freeze = |number: u128, dataset| {
        Mutation::Freeze(PublicationRow {
            id: PublicationId::from_bytes(number.to_be_bytes()),
            dataset,
            publisher: "olivia".parse().unwrap(),
            frozen: world.vault.now(),
            issue: None,
        })
    };
    let others = (0..=limits::PAGE_ENTRIES_MAX as u128).map(|number| freeze(number, other.id));
    let mut busy = vec![Mutation::CreateDataset(other.clone())];
    busy.extend(others);
    catalog.commit(busy).await.unwrap();
    world.wait(1);

    let entropy = world.vault.entropy.as_ref();
    world.keyring.ensure_key(&row.id, 2, entropy).unwrap();
    let begin = Mutation::BeginKeyWork(KeyWorkRow {
        id: KeyWorkId::random(entropy).unwrap(),
        dataset: row.id,
        bucket: bucket(),
        scope: None,
        floor: 2,
        keys: vec![1],
        persons: Vec::new(),
        reason: String::new(),
        begun: world.vault.now(),
        tally: Tally::default(),
        end: None,
    });
    catalog.commit(vec![begin]).await.unwrap();
    let own = u128::MAX;
    catalog.commit(vec![freeze(own, row.id)]).await.unwrap();
    let call = world.call(Some("olivia"));
    let none = WriteConditions::default();
    let deleted = world.vault.delete_object(&call, place("new"), none, false);
    deleted.await.unwrap();

    let ended = world.vault.resume_key_works(Unopened::Wait).await;
    assert_eq!(ended.unwrap(), 1);
    let id = PublicationId::from_bytes(own.to_be_bytes());
    let frozen = catalog.frozen_from(&id, "", 9).await.unwrap();
    assert!(frozen.iter().any(|row| row.key.as_str() == "new"));
    for row in frozen {
        assert_eq!(table_key_version(&row.sealed_table), Some(2), "{}", row.key);
    }
}
