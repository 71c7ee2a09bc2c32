//! CR-5: a copy's record says under which key its source was opened.

use super::keywork::{begin, rotate, stocked};
use super::support::{World, place};
use crate::ledger::Entry;
use crate::vault::{CopySource, ReadConditions, Span, WriteConditions};

#[tokio::test]
async fn cr_5_a_copy_says_which_key_opened_its_source() {
    let world = stocked().await;
    let upload = begin(&world, "c").await;
    for told in copied_words(&world, &upload).await {
        assert!(
            !told.contains("key="),
            "the first goes without saying: {told}"
        );
    }
    rotate(&world).await;
    for told in copied_words(&world, &upload).await {
        assert!(told.ends_with(" key=2"), "{told}");
    }
}

fn last_copy(world: &World) -> String {
    let mut entries = world.journal.entries().into_iter().rev();
    let copy = entries.find_map(|entry| match entry {
        Entry::Intent { intent, .. } if intent.source_object.is_some() => intent.query,
        _ => None,
    });
    copy.unwrap()
}

/// What the records say of a copy, and of a part that is copied.
async fn copied_words(world: &World, upload: &str) -> [String; 2] {
    let from = || CopySource {
        place: place("b"),
        conditions: ReadConditions::default(),
        span: Span::All,
    };
    let (call, none) = (world.call(Some("olivia")), WriteConditions::default());
    let copied = world
        .vault
        .copy_object(&call, from(), place("b2"), None, none);
    copied.await.unwrap();
    let whole = last_copy(world);
    let call = world.call(Some("olivia"));
    let to = place("c");
    let copied = world.vault.copy_part(&call, from(), to, upload, 2);
    copied.await.unwrap();
    let part = last_copy(world);
    [whole, part]
}
