//! Object Lock through the use cases: who may lock, who may loosen, and that nobody deletes what is
//! locked, whatever the way.

use super::support::{BUCKET, World, input, kind, place};
use crate::ledger::Entry;
use crate::types::{Lock, LockDefaults, Period, Retention, RetentionMode, VersionName, Versioning};
use crate::vault::{
    CopySource, Doomed, ErrorKind, KeyWish, NewObject, Place, ReadAsk, ReadConditions, Replaced,
    Span, VaultError, Wishes, WriteConditions,
};

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Olivia's dataset keeps versions and has Object Lock.
async fn locking() -> World {
    let world = World::new().await;
    let call = world.call(Some("olivia"));
    let vault = &world.vault;
    vault
        .set_versioning(&call, BUCKET, Versioning::Enabled)
        .await
        .unwrap();
    let call = world.call(Some("olivia"));
    vault
        .set_object_lock(&call, BUCKET, LockDefaults::default())
        .await
        .unwrap();
    world
}

/// Another owner lets olivia loosen governance.
async fn let_loosen(world: &World) {
    world.grant("dirk", "owner").await;
    let mut grant = world.draft("olivia", "lock-breaker");
    grant.approver = "dirk".parse().unwrap();
    world.make_grant(grant).await.unwrap();
}

fn days(world: &World, mode: RetentionMode, days: u64) -> Retention {
    let until = world.vault.now().plus_millis(days * DAY_MS);
    Retention { mode, until }
}

async fn write(
    world: &World,
    key: &str,
    retention: Option<Retention>,
) -> Result<VersionName, VaultError> {
    let new = NewObject {
        wishes: Wishes {
            lock: Lock {
                retention,
                hold: false,
            },
            key: KeyWish::Default,
        },
        ..NewObject::default()
    };
    let call = world.call(Some("olivia"));
    let row = world
        .vault
        .write_object(&call, place(key), new, input(b"data", 4))
        .await;
    assert!(call.is_recorded());
    row.map(|row| row.name())
}

fn named(key: &str, version: VersionName) -> Place<'_> {
    Place {
        version: Some(version),
        ..place(key)
    }
}

async fn lock_of(world: &World, place: Place<'_>) -> Lock {
    let call = world.call(Some("olivia"));
    let seen = world.vault.head_object(&call, place, ReadAsk::default());
    seen.await.unwrap().row.attached.facts.lock
}

async fn delete(
    world: &World,
    who: &str,
    place: Place<'_>,
    bypass: bool,
) -> Result<(), VaultError> {
    let call = world.call(Some(who));
    let none = WriteConditions::default();
    let deleted = world.vault.delete_object(&call, place, none, bypass).await;
    assert!(call.is_recorded());
    deleted.map(drop)
}

async fn retain(
    world: &World,
    who: &str,
    place: Place<'_>,
    retention: Option<Retention>,
    bypass: bool,
) -> Option<ErrorKind> {
    let call = world.call(Some(who));
    let done = world
        .vault
        .set_retention(&call, place, retention, bypass)
        .await;
    assert!(call.is_recorded());
    kind(done)
}

#[tokio::test]
async fn only_who_may_lock_locks() {
    let world = locking().await;
    let version = write(&world, "k", None).await.unwrap();
    let at = named("k", version);
    let soft = days(&world, RetentionMode::Governance, 1);
    world.grant("dirk", "contributor").await;
    for who in ["ruben", "dirk", "job-1", "anna", "stan"] {
        let denied = retain(&world, who, place("k"), Some(soft), false).await;
        assert_eq!(denied, Some(ErrorKind::AccessDenied), "{who}");
        let call = world.call(Some(who));
        let held = world.vault.set_hold(&call, place("k"), true).await;
        assert_eq!(kind(held), Some(ErrorKind::AccessDenied), "{who}");
        assert!(call.is_recorded());
    }
    assert_eq!(lock_of(&world, at).await, Lock::default());
    // Dirk may write, and not lock what he writes.
    let new = NewObject {
        wishes: Wishes {
            lock: Lock {
                retention: None,
                hold: true,
            },
            key: KeyWish::Default,
        },
        ..NewObject::default()
    };
    let call = world.call(Some("dirk"));
    let vault = &world.vault;
    let write = vault.write_object(&call, place("d"), new.clone(), input(b"x", 1));
    assert_eq!(kind(write.await), Some(ErrorKind::AccessDenied));
    let call = world.call(Some("dirk"));
    let begin = vault.create_upload(&call, place("d"), new, None).await;
    assert_eq!(kind(begin), Some(ErrorKind::AccessDenied));
    assert_eq!(retain(&world, "olivia", at, Some(soft), false).await, None);
    assert_eq!(lock_of(&world, at).await.retention, Some(soft));
}

#[tokio::test]
async fn governance_yields_to_who_may_bypass_and_to_nobody_else() {
    let world = locking().await;
    let soft = Some(days(&world, RetentionMode::Governance, 9));
    let version = write(&world, "k", soft).await.unwrap();
    let at = named("k", version);
    let less = Some(days(&world, RetentionMode::Governance, 1));
    // The owner deletes and locks; loosening is another's right.
    let kept = Some(ErrorKind::Locked);
    assert_eq!(kind(delete(&world, "olivia", at, false).await), kept);
    assert_eq!(kind(delete(&world, "olivia", at, true).await), kept);
    assert_eq!(retain(&world, "olivia", at, less, false).await, kept);
    assert_eq!(retain(&world, "olivia", at, less, true).await, kept);
    // The right to bypass alone lets nobody delete.
    world.grant("stan", "lock-breaker").await;
    let denied = kind(delete(&world, "stan", at, true).await);
    assert_eq!(denied, Some(ErrorKind::AccessDenied));
    let_loosen(&world).await;
    assert_eq!(kind(delete(&world, "olivia", at, false).await), kept);
    assert_eq!(retain(&world, "olivia", at, less, false).await, kept);
    assert_eq!(retain(&world, "olivia", at, less, true).await, None);
    let call = world.call(Some("olivia"));
    let doomed = Doomed {
        key: "k".to_owned(),
        version: Some(version),
        bypass: true,
        ..Doomed::default()
    };
    let ends = world
        .vault
        .delete_objects(&call, BUCKET, vec![doomed])
        .await;
    assert!(ends.unwrap().iter().all(|(_, end)| end.is_ok()));
    let gone = world.call(Some("olivia"));
    let gone = world.vault.head_object(&gone, at, ReadAsk::default()).await;
    assert_eq!(kind(gone), Some(ErrorKind::NoSuchVersion));
}

#[tokio::test]
async fn nobody_gives_herself_the_right_to_loosen() {
    let world = locking().await;
    let soft = Some(days(&world, RetentionMode::Governance, 9));
    let version = write(&world, "k", soft).await.unwrap();
    let local = world.call(None);
    let (bot, olivia) = ("olivia-bot".parse().unwrap(), "olivia".parse().unwrap());
    let made = world.vault.create_principal(&local, bot, Some(olivia));
    made.await.unwrap();
    let made = world.vault.create_group(&local, "keepers".parse().unwrap());
    made.await.unwrap();
    // Neither at once nor by a proposal that she then approves, neither to herself nor to what
    // acts for her; no workload and no group holds it on anybody's word.
    for (to, expected) in [
        ("olivia", ErrorKind::AccessDenied),
        ("olivia-bot", ErrorKind::AccessDenied),
        ("job-1", ErrorKind::InvalidArgument),
        ("keepers", ErrorKind::InvalidArgument),
    ] {
        let made = world.make_grant(world.draft(to, "lock-breaker")).await;
        assert_eq!(made, Err(expected), "{to}");
    }
    let draft = world.draft("olivia", "lock-breaker");
    let call = world.call(Some("olivia"));
    let proposed = world.vault.propose_grant(&call, draft).await.unwrap();
    let id = (&proposed.project, proposed.id);
    let call = world.call(Some("olivia"));
    let approved = world.vault.approve_grant(&call, id, None).await;
    assert_eq!(kind(approved), Some(ErrorKind::AccessDenied));
    let at = named("k", version);
    assert_eq!(
        kind(delete(&world, "olivia", at, true).await),
        Some(ErrorKind::Locked)
    );
    // Another owner's word gives it.
    world.grant("dirk", "owner").await;
    let call = world.call(Some("dirk"));
    world.vault.approve_grant(&call, id, None).await.unwrap();
    assert_eq!(kind(delete(&world, "olivia", at, true).await), None);
}

#[tokio::test]
async fn compliance_and_holds_yield_to_nobody() {
    let world = locking().await;
    let_loosen(&world).await;
    let hard = days(&world, RetentionMode::Compliance, 9);
    let version = write(&world, "k", Some(hard)).await.unwrap();
    let at = named("k", version);
    let less = Some(days(&world, RetentionMode::Compliance, 8));
    let soft = Some(days(&world, RetentionMode::Governance, 99));
    for next in [None, less, soft] {
        let kept = retain(&world, "olivia", at, next, true).await;
        assert_eq!(kept, Some(ErrorKind::Locked), "{next:?}");
    }
    let kept = kind(delete(&world, "olivia", at, true).await);
    assert_eq!(kept, Some(ErrorKind::Locked));
    let call = world.call(Some("olivia"));
    world.vault.set_hold(&call, at, true).await.unwrap();
    world.wait(10 * DAY_MS);
    let held = kind(delete(&world, "olivia", at, true).await);
    assert_eq!(held, Some(ErrorKind::Locked), "the hold outlives it");
    let call = world.call(Some("olivia"));
    let dropped = world.vault.delete_dataset(&call, BUCKET).await;
    assert_eq!(kind(dropped), Some(ErrorKind::DatasetNotEmpty));
    let call = world.call(Some("olivia"));
    world.vault.set_hold(&call, at, false).await.unwrap();
    delete(&world, "olivia", at, false).await.unwrap();
}

#[tokio::test]
async fn what_is_locked_is_buried_and_not_lost() {
    let world = locking().await;
    let hard = days(&world, RetentionMode::Compliance, 9);
    let first = write(&world, "k", Some(hard)).await.unwrap();
    write(&world, "k", None).await.unwrap();
    delete(&world, "olivia", place("k"), false).await.unwrap();
    assert_eq!(
        lock_of(&world, named("k", first)).await.retention,
        Some(hard)
    );
    let call = world.call(Some("olivia"));
    let suspend = world
        .vault
        .set_versioning(&call, BUCKET, Versioning::Suspended)
        .await;
    assert_eq!(kind(suspend), Some(ErrorKind::InvalidState));
}

#[tokio::test]
async fn what_is_written_is_retained_by_default() {
    let world = locking().await;
    let call = world.call(Some("olivia"));
    let lock = LockDefaults {
        retention: Some((RetentionMode::Governance, Period::Days(3))),
    };
    let vault = &world.vault;
    vault.set_object_lock(&call, BUCKET, lock).await.unwrap();
    let three = Some(days(&world, RetentionMode::Governance, 3));
    let plain = write(&world, "k", None).await.unwrap();
    assert_eq!(lock_of(&world, named("k", plain)).await.retention, three);
    let hard = Some(days(&world, RetentionMode::Compliance, 1));
    let own = write(&world, "own", hard).await.unwrap();
    assert_eq!(lock_of(&world, named("own", own)).await.retention, hard);
    // A copy has none of its source's lock.
    let call = world.call(Some("olivia"));
    let from = CopySource {
        place: place("own"),
        conditions: ReadConditions::default(),
        span: Span::All,
    };
    let copied = vault
        .copy_object(&call, from, place("copy"), None, WriteConditions::default())
        .await
        .unwrap();
    assert_eq!(copied.attached.facts.lock.retention, three);
    let stays = kind(delete(&world, "olivia", named("copy", copied.name()), false).await);
    assert_eq!(stays, Some(ErrorKind::Locked));
}

#[tokio::test]
async fn locks_need_object_lock_and_a_future() {
    let world = World::new().await;
    let soft = days(&world, RetentionMode::Governance, 1);
    let refused = kind(write(&world, "k", Some(soft)).await);
    assert_eq!(refused, Some(ErrorKind::NotLocking));
    world.put("olivia", "k", b"x").await.unwrap();
    let refused = retain(&world, "olivia", place("k"), Some(soft), false).await;
    assert_eq!(refused, Some(ErrorKind::NotLocking));
    let call = world.call(Some("olivia"));
    let lock = LockDefaults::default();
    let refused = world.vault.set_object_lock(&call, BUCKET, lock).await;
    assert_eq!(kind(refused), Some(ErrorKind::InvalidState));
    for who in ["ruben", "job-1", "dirk", "stan"] {
        let call = world.call(Some(who));
        let refused = world.vault.set_object_lock(&call, BUCKET, lock).await;
        assert_eq!(kind(refused), Some(ErrorKind::AccessDenied), "{who}");
        assert!(call.is_recorded());
    }
    let world = locking().await;
    let past = Retention {
        until: world.vault.now(),
        ..soft
    };
    let refused = kind(write(&world, "k", Some(past)).await);
    assert_eq!(refused, Some(ErrorKind::InvalidArgument));
    let call = world.call(Some("olivia"));
    let never = LockDefaults {
        retention: Some((RetentionMode::Governance, Period::Years(101))),
    };
    let refused = world.vault.set_object_lock(&call, BUCKET, never).await;
    assert_eq!(kind(refused), Some(ErrorKind::InvalidArgument));
}

#[tokio::test]
async fn a_loosened_lock_stands_in_the_log() {
    let world = locking().await;
    let_loosen(&world).await;
    let soft = days(&world, RetentionMode::Governance, 9);
    let version = write(&world, "k", Some(soft)).await.unwrap();
    delete(&world, "olivia", named("k", version), true)
        .await
        .unwrap();
    let entries = world.journal.entries();
    let told = entries.iter().any(|entry| {
        matches!(entry, Entry::Intent { intent, .. }
            if intent.query.as_deref() == Some("bypass=governance"))
    });
    assert!(told);
}

#[tokio::test]
async fn names_of_keys_are_kept_and_have_bounds() {
    let world = World::new().await;
    let named = |name: &str| NewObject {
        wishes: Wishes {
            key: KeyWish::Named(name.to_owned()),
            ..Wishes::default()
        },
        ..NewObject::default()
    };
    let write = async |key: &str, new: NewObject| {
        let call = world.call(Some("olivia"));
        let row = world
            .vault
            .write_object(&call, place(key), new, input(b"x", 1))
            .await;
        row.map(|row| row.attached.facts.key_name)
    };
    assert_eq!(
        write("a", named("k-1")).await.unwrap().as_deref(),
        Some("k-1")
    );
    for bad in ["a b", "a\r\nx: y", &"k".repeat(513)] {
        let refused = kind(write("a", named(bad)).await);
        assert_eq!(refused, Some(ErrorKind::InvalidArgument), "{bad:?}");
    }
    let call = world.call(Some("olivia"));
    let name = Some("default".to_owned());
    world.vault.set_key_name(&call, BUCKET, name).await.unwrap();
    let default = write("b", NewObject::default()).await.unwrap();
    assert_eq!(default.as_deref(), Some("default"));
    let call = world.call(Some("olivia"));
    let from = CopySource {
        place: place("a"),
        conditions: ReadConditions::default(),
        span: Span::All,
    };
    let unnamed = Replaced {
        wishes: Wishes {
            key: KeyWish::Unnamed,
            ..Wishes::default()
        },
        ..Replaced::default()
    };
    let none = WriteConditions::default();
    let copied = world
        .vault
        .copy_object(&call, from, place("c"), Some(unnamed), none)
        .await
        .unwrap();
    assert_eq!(copied.attached.facts.key_name, None);
}
