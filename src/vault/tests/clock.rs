//! A clock that moved stands in the vault's own log, and ends nothing that is kept until a moment.

use std::sync::Arc;

use super::support::{BUCKET, TestClock, World, input, kind, place};
use crate::catalog::{LifecycleRule, Noncurrent, Setting, SettingKind};
use crate::ledger::Entry;
use crate::types::{
    Clock, Lock, LockDefaults, Retention, RetentionMode, Timestamp, VersionName, Versioning,
};
use crate::vault::{
    ErrorKind, KeyWish, NewObject, Parts, Place, SweepAsk, VaultError, Wishes, WriteConditions,
};

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
const AHEAD_MS: u64 = 11 * DAY_MS;

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

/// A wall clock that was set ahead of the time that passed.
struct Ahead(Arc<TestClock>, u64);

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        self.0.now().plus_millis(self.1)
    }

    fn settled(&self) -> Timestamp {
        self.0.now()
    }
}

/// Olivia deletes this version.
async fn delete(world: &World, version: VersionName) -> Result<(), VaultError> {
    let call = world.call(Some("olivia"));
    let place = Place {
        version: Some(version),
        ..place("k")
    };
    let none = WriteConditions::default();
    let deleted = world.vault.delete_object(&call, place, none, false).await;
    assert!(call.is_recorded());
    deleted.map(drop)
}

#[tokio::test]
async fn what_is_retained_outlives_a_clock_that_is_set_ahead() {
    let mut world = World::new().await;
    let call = world.call(Some("olivia"));
    let kept = world
        .vault
        .set_versioning(&call, BUCKET, Versioning::Enabled);
    kept.await.unwrap();
    let call = world.call(Some("olivia"));
    let lock = LockDefaults::default();
    let locked = world.vault.set_object_lock(&call, BUCKET, lock);
    locked.await.unwrap();
    let retention = Retention {
        mode: RetentionMode::Compliance,
        until: world.vault.now().plus_millis(10 * DAY_MS),
    };
    let lock = Lock {
        retention: Some(retention),
        hold: false,
    };
    let key = KeyWish::Default;
    let new = NewObject {
        wishes: Wishes { lock, key },
        ..NewObject::default()
    };
    let call = world.call(Some("olivia"));
    let written = world
        .vault
        .write_object(&call, place("k"), new, input(b"data", 4))
        .await;
    let version = written.unwrap().name();
    // Another one covers it, and a rule deletes what is covered for five days.
    world.put("olivia", "k", b"newer").await.unwrap();
    let rule = LifecycleRule {
        id: "old".to_owned(),
        enabled: true,
        noncurrent: Some(Noncurrent {
            days: 5,
            keep: None,
        }),
        ..LifecycleRule::default()
    };
    let call = world.call(Some("olivia"));
    let (kind_of, rules) = (SettingKind::Lifecycle, Setting::Lifecycle(vec![rule]));
    let set = world.vault.set_setting(&call, BUCKET, kind_of, Some(rules));
    set.await.unwrap();
    let clock = Arc::new(Ahead(Arc::clone(&world.clock), AHEAD_MS));
    world.rewire(|parts| Parts { clock, ..parts });
    // By the rule, by whoever may delete, by whoever would retain it for less, and by the sweep.
    let ran = world.vault.run_lifecycle(world.vault.now()).await.unwrap();
    assert_eq!((ran.versions, ran.expired, ran.refused), (0, 0, 0));
    let refused = delete(&world, version).await;
    assert_eq!(kind(refused), Some(ErrorKind::Locked));
    let call = world.call(Some("olivia"));
    let at = Place {
        version: Some(version),
        ..place("k")
    };
    let loosened = world.vault.set_retention(&call, at, None, true).await;
    assert_eq!(kind(loosened), Some(ErrorKind::Locked));
    let ask = SweepAsk {
        upload_ms: DAY_MS,
        grace_ms: DAY_MS,
    };
    let swept = world.vault.sweep(ask).await.unwrap();
    assert_eq!((swept.uploads, swept.unreferenced), (0, 0));
    // Once the time has passed it goes.
    world.wait(AHEAD_MS);
    let ran = world.vault.run_lifecycle(world.vault.now()).await.unwrap();
    assert_eq!(ran.versions, 1);
    let gone = delete(&world, version).await;
    assert_eq!(kind(gone), None);
}
