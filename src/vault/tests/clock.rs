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
