//! Publishing what did not change.

use super::published::{published, records};
use super::support::{BUCKET, kind, place, sample};
use crate::types::Action;
use crate::vault::{ErrorKind, WriteConditions};

/// Told, and nothing made, unless it is asked for: a dataset of which nothing changed.
#[tokio::test]
async fn what_did_not_change_is_told_and_not_published_again() {
    let world = published().await;
    let ask = async |again: bool| {
        let call = world.call(Some("olivia"));
        let asked = world.vault.publish_asked(&call, BUCKET, again).await;
        assert!(call.is_recorded());
        let (version, made) = asked.unwrap();
        (version.root.number, made)
    };
    // However often, and nothing is left of the trying.
    let blobs = world.blobs().await;
    for _ in 0..2 {
        assert_eq!(ask(false).await, (1, false));
    }
    assert_eq!(world.blobs().await, blobs);
    let said = records(&world, Action::DatasetPublish);
    let told = |query: &Option<String>| query.as_deref() == Some("version=1 unchanged");
    assert_eq!(said.iter().filter(|(_, query, _)| told(query)).count(), 2);
    assert_eq!(ask(true).await, (2, true));
    assert_eq!(ask(false).await, (2, false));
    // The same bytes under the same name are another write.
    world.put("olivia", "a/1", &sample(10)).await.unwrap();
    assert_eq!(ask(false).await, (3, true));
    let call = world.call(Some("olivia"));
    let tags = vec![("k".to_owned(), "v".to_owned())];
    world
        .vault
        .set_object_tags(&call, place("a/1"), tags)
        .await
        .unwrap();
    assert_eq!(ask(false).await, (4, true));
    for key in ["z", "a/0"] {
        world.put("olivia", key, b"new").await.unwrap();
    }
    assert_eq!(ask(false).await, (5, true));
    for (key, number) in [("z", 6), ("a/0", 7)] {
        let (call, none) = (world.call(Some("olivia")), WriteConditions::default());
        let deleted = world.vault.delete_object(&call, place(key), none, false);
        deleted.await.unwrap();
        assert_eq!(ask(false).await, (number, true), "without {key}");
    }
    assert_eq!(ask(false).await, (7, false));
    let refused = world
        .vault
        .publish_asked(&world.call(Some("ruben")), BUCKET, false)
        .await;
    assert_eq!(kind(refused), Some(ErrorKind::AccessDenied));
}
