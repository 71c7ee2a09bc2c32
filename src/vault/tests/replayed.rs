//! What a decision rests on is in the log before its record is (AZ-5).

use std::collections::HashMap;

use super::support::{BUCKET, World, place};
use crate::catalog::ListQuery;
use crate::ledger::{Entry, Intent};
use crate::policy::{Pieces, Policy, PolicySource};
use crate::vault::ReadAsk;

/// Every recorded decision finds, before it in the log, the rights and the policy that it names.
fn all_rest_on_what_is_kept(entries: &[Entry]) -> usize {
    let mut texts: HashMap<[u8; 32], Pieces> = HashMap::new();
    let mut policies = HashMap::new();
    let mut decided = 0;
    for entry in entries {
        let intent: &Intent = match entry {
            Entry::Policy { version, text } if Pieces::is_piece(text) => {
                texts.entry(*version).or_default().add(text);
                continue;
            }
            Entry::Policy { version, text } => {
                let policy = Policy::compile(&PolicySource::from_text(text).unwrap()).unwrap();
                assert_eq!(policy.hash(), *version);
                policies.insert(*version, policy);
                continue;
            }
            Entry::Intent { intent, .. } | Entry::Whole { intent, .. } => intent,
            _ => continue,
        };
        if let Some(policy) = &intent.policy {
            let rights = texts[&policy.version].rights(&policy.version).unwrap();
            assert!(policies.contains_key(&rights.policy));
            decided += 1;
        }
    }
    decided
}

#[tokio::test]
async fn az_5_the_log_holds_what_each_decision_rests_on() {
    let world = World::new().await;
    world.put("olivia", "k", b"data").await.unwrap();
    for who in ["olivia", "ruben", "stan"] {
        let call = world.call(Some(who));
        drop(
            world
                .vault
                .read_object(&call, place("k"), ReadAsk::default())
                .await,
        );
        let call = world.call(Some(who));
        let query = ListQuery {
            prefix: "a/".to_owned(),
            ..ListQuery::default()
        };
        drop(world.vault.list_objects(&call, BUCKET, query).await);
    }
    let entries = world.journal.entries();
    let decided = all_rest_on_what_is_kept(&entries);
    assert!(decided >= 6, "{decided}");
    // What a refused listing asked for is in its record, as of one that was answered.
    let listed = entries.iter().filter(|entry| match entry {
        Entry::Intent { intent, .. } | Entry::Whole { intent, .. } => {
            intent.query.as_deref() == Some("a/")
        }
        _ => false,
    });
    assert_eq!(listed.count(), 3);
}

#[tokio::test]
async fn a_text_is_written_once_a_day_and_a_log_that_takes_none_stops_the_request() {
    let world = World::new().await;
    world.put("olivia", "k", b"data").await.unwrap();
    let texts = || {
        let entries = world.journal.entries();
        entries
            .iter()
            .filter(|entry| matches!(entry, Entry::Policy { .. }))
            .count()
    };
    let reads = async || {
        let call = world.call(Some("olivia"));
        let read = world
            .vault
            .read_object(&call, place("k"), ReadAsk::default());
        read.await.map(drop)
    };
    reads().await.unwrap();
    let first = texts();
    for _ in 0..3 {
        world.vault.guard.forget();
        reads().await.unwrap();
    }
    assert_eq!(texts(), first);
    world.wait(24 * 60 * 60 * 1000);
    world.vault.guard.forget();
    reads().await.unwrap();
    // The policy and her rights.
    assert_eq!(texts(), first + 2);
    world.wait(24 * 60 * 60 * 1000);
    world.vault.guard.forget();
    world.journal.refuse(true);
    assert!(reads().await.is_err());
    world.journal.refuse(false);
    reads().await.unwrap();
    assert_eq!(texts(), first + 4);
}
