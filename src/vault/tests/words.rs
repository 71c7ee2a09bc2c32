//! What a record keeps of texts that are long.

use super::cards::set;
use super::support::World;
use crate::ledger::Entry;
use crate::vault::CardChange;

fn newest(world: &World) -> String {
    let entries = world.journal.entries().into_iter().rev();
    let mut queries = entries.filter_map(|entry| match entry {
        Entry::Intent { intent, .. } | Entry::Whole { intent, .. } => intent.query,
        _ => None,
    });
    queries.next().unwrap()
}

#[tokio::test]
async fn whatever_its_words_a_record_says_until_when_and_what_is_held() {
    let world = World::new().await;
    let end = world.vault.now().plus_millis(400 * 86_400_000);
    let wordy = CardChange {
        source: Some("s".repeat(500)),
        basis: Some("b".repeat(500)),
        held: Some(Some("case 7".to_owned())),
        ends: Some(end),
        ..CardChange::default()
    };
    set(&world, "olivia", wordy).await.unwrap();
    let told = newest(&world);
    assert!(told.contains(" held=case 7 "), "{told}");
    assert!(told.contains(&format!(" ends={end} ")), "{told}");
    let release = CardChange {
        held: Some(None),
        ..CardChange::default()
    };
    set(&world, "olivia", release).await.unwrap();
    let told = newest(&world);
    assert!(!told.contains("held="), "{told}");
    assert!(told.contains(&format!(" ends={end} ")), "{told}");
    assert!(told.ends_with(&"b".repeat(500)), "{told}");
}
