//! A clock that moved stands in the vault's own log.

use super::support::World;
use crate::ledger::Entry;
use crate::vault::ErrorKind;

#[tokio::test]
async fn a_clock_that_moved_stands_in_the_log() {
    let world = World::new().await;
    world.vault.record_clock(-3_200).await.unwrap();
    let entries = world.journal.entries();
    let Some(Entry::Whole { intent, .. }) = entries.last() else {
        panic!("it is whole");
    };
    assert_eq!(intent.operation, "ClockMoved");
    let words = intent.query.as_deref();
    assert_eq!(words, Some("the clock moved by -3200 ms"));
    assert_eq!(intent.object.project, None);
    world.journal.refuse(true);
    let told = world.vault.record_clock(2_000).await;
    assert_eq!(
        told.map_err(|error| error.kind()),
        Err(ErrorKind::LogUnavailable)
    );
}

#[tokio::test]
async fn a_clock_that_drifts_from_the_stores_stands_in_the_log() {
    let world = World::new().await;
    for (apart, said) in [
        (
            Some(1_050),
            "the store's clock is 1050 ms ahead of this machine's",
        ),
        (None, "the store's clock and this machine's agree again"),
    ] {
        world.vault.record_clocks_apart(apart).await.unwrap();
        let entries = world.journal.entries();
        let Some(Entry::Whole { intent, .. }) = entries.last() else {
            panic!("it is whole");
        };
        assert_eq!(intent.operation, "ClocksApart");
        assert_eq!(intent.query.as_deref(), Some(said));
    }
    world.journal.refuse(true);
    assert!(world.vault.record_clocks_apart(Some(2_000)).await.is_err());
}
