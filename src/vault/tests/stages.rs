//! ER-2: each step of a dataset's end is logged, and its owner told.

use super::cards::{set, world};
use crate::ledger::Entry;
use crate::types::limits;
use crate::vault::CardChange;

#[tokio::test]
async fn er_2_each_step_is_logged_once() {
    let world = world().await;
    let day = limits::DAY_MS;
    let ends = world.vault.now().plus_millis(40 * day);
    let change = CardChange {
        ends: Some(ends),
        ..CardChange::default()
    };
    set(&world, "olivia", change).await.unwrap();
    let steps = async || world.vault.run_stages(world.vault.now()).await.unwrap();
    assert_eq!(steps().await, 0);
    for stage in ["notice", "quarantine", "ended"] {
        world.wait(if stage == "notice" {
            10 * day
        } else {
            30 * day
        });
        assert_eq!(steps().await, 1, "{stage}");
        assert_eq!(steps().await, 0, "{stage}");
        let told = world
            .journal
            .entries()
            .into_iter()
            .rev()
            .find_map(|entry| match entry {
                Entry::Intent { intent, .. } => Some(intent),
                _ => None,
            })
            .unwrap();
        assert_eq!(told.operation, "dataset stage");
        assert!(told.query.unwrap().starts_with(&format!("stage={stage} ")));
        // Its owner is told, once of each step, and nobody else.
        let hers = world.vault.notices(&world.call(Some("olivia")), None).await;
        let hers = hers.unwrap().rows;
        let of_it = hers.iter().filter(|notice| notice.text.contains(stage));
        assert_eq!(of_it.count(), 1, "{stage} {hers:?}");
        let others = world.vault.notices(&world.call(Some("ruben")), None).await;
        assert!(others.unwrap().rows.is_empty());
    }
}
