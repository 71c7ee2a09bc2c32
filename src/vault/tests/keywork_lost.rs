//! Work on keys and the catalog's disk: a key goes only when the snapshots in the store hold what
//! replaces it, and work that is refused leaves no key.

use std::sync::Arc;

use super::keywork::{ask, bucket, get, object, stocked};
use super::support::{BUCKET, World, kind, place, settings};
use crate::catalog::{EraseScope, MemoryCatalog, SharedCatalog};
use crate::types::{Lock, Versioning, limits};
use crate::vault::{ErrorKind, NewObject, Parts, Settings, Unopened, Vault, Wishes};

/// `a` and `b`, which snapshots of the store hold, in a vault that has somebody who writes them.
async fn kept() -> World {
    let mut world = stocked().await;
    world.vault.write_snapshot().await.unwrap();
    let kept = Settings {
        snapshots_kept: true,
        ..settings(false)
    };
    world.vault = Arc::new(Vault::new(world.parts(), kept));
    world
}

/// Writes snapshots when one is wanted, for ever.
async fn write_snapshots(world: &World) -> ! {
    loop {
        world.vault.snapshot_wanted().await;
        let versions = versions(world).await;
        assert!(versions.contains(&1), "the old key stays until now");
        world.vault.write_snapshot().await.unwrap();
    }
}

async fn versions(world: &World) -> Vec<u32> {
    let row = world.catalog.dataset(&bucket()).await.unwrap().unwrap();
    world.keyring.versions_of(&row.id).unwrap()
}

/// The catalog's disk is lost, and made anew from what the store holds.
async fn lose(world: &mut World) {
    let fresh: SharedCatalog = Arc::new(MemoryCatalog::new());
    world.rewire(|parts| Parts {
        catalog: fresh,
        ..parts
    });
    let recovered = world.vault.recover(|_| {}).await.unwrap();
    assert!(recovered.is_whole(), "{recovered:?}");
}

#[tokio::test]
async fn cr_5_a_catalog_that_is_lost_after_a_rotation_comes_back_with_tables_that_open() {
    let mut world = kept().await;
    let call = world.call(None);
    let bucket = bucket();
    tokio::select! {
        rotated = world.vault.rotate_key(&call, &bucket) => assert_eq!(kind(rotated), None),
        _ = write_snapshots(&world) => {}
    }
    assert_eq!(versions(&world).await, [2]);
    lose(&mut world).await;
    for key in ["a", "b"] {
        assert!(get(&world, BUCKET, key).await.is_ok(), "{key}");
    }
}

#[tokio::test]
async fn er_1_a_catalog_that_is_lost_after_an_erasure_has_the_rest() {
    let mut world = kept().await;
    let (call, agreed) = (world.call(None), ask(object("a")));
    let bucket = bucket();
    tokio::select! {
        erased = world.vault.erase_agreed(&call, &bucket, agreed) => assert_eq!(kind(erased), None),
        _ = write_snapshots(&world) => {}
    }
    lose(&mut world).await;
    assert_eq!(
        get(&world, BUCKET, "a").await,
        Err(ErrorKind::NoSuchObject),
        "erased"
    );
    assert!(get(&world, BUCKET, "b").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn cr_5_no_key_goes_while_the_store_takes_no_snapshot() {
    let mut world = kept().await;
    let call = world.call(None);
    let rotated = world.vault.rotate_key(&call, &bucket()).await;
    assert_eq!(kind(rotated), Some(ErrorKind::Unavailable));
    assert_eq!(versions(&world).await, [1, 2]);
    // What is there now opens, and so does what the older snapshot holds.
    assert!(get(&world, BUCKET, "a").await.is_ok());
    tokio::select! {
        ended = world.vault.resume_key_works(Unopened::Wait) => assert_eq!(ended.unwrap(), 1),
        _ = write_snapshots(&world) => {}
    }
    assert_eq!(versions(&world).await, [2]);
    lose(&mut world).await;
    assert!(get(&world, BUCKET, "a").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn cr_5_a_catalog_that_is_lost_before_the_snapshot_opens_under_the_old_key() {
    let mut world = kept().await;
    let call = world.call(None);
    let rotated = world.vault.rotate_key(&call, &bucket()).await;
    assert_eq!(kind(rotated), Some(ErrorKind::Unavailable));
    lose(&mut world).await;
    for key in ["a", "b"] {
        assert!(get(&world, BUCKET, key).await.is_ok(), "{key}");
    }
}

#[tokio::test]
async fn work_that_is_refused_leaves_no_key() {
    let world = stocked().await;
    let call = world.call(Some("olivia"));
    let state = Versioning::Enabled;
    let kept = world.vault.set_versioning(&call, BUCKET, state);
    kept.await.unwrap();
    let call = world.call(Some("olivia"));
    let lock = crate::types::LockDefaults::default();
    world
        .vault
        .set_object_lock(&call, BUCKET, lock)
        .await
        .unwrap();
    let held = NewObject {
        wishes: Wishes {
            lock: Lock {
                retention: None,
                hold: true,
            },
            ..Wishes::default()
        },
        ..NewObject::default()
    };
    let call = world.call(Some("olivia"));
    let body = super::support::input(b"x", 1);
    let written = world.vault.write_object(&call, place("held"), held, body);
    written.await.unwrap();
    for (scope, refused) in [
        (object("held"), ErrorKind::Locked),
        (object("absent"), ErrorKind::NoSuchObject),
        (object("hel"), ErrorKind::NoSuchObject),
    ] {
        for _attempt in 0..2 {
            let (call, agreed) = (world.call(None), ask(scope.clone()));
            let erased = world.vault.erase_agreed(&call, &bucket(), agreed).await;
            assert_eq!(kind(erased), Some(refused), "{scope:?}");
        }
    }
    world.hold("case 7").await;
    for scope in [object("a"), EraseScope::Dataset] {
        let (call, agreed) = (world.call(None), ask(scope));
        let erased = world.vault.erase_agreed(&call, &bucket(), agreed).await;
        assert_eq!(kind(erased), Some(ErrorKind::Locked));
    }
    assert_eq!(versions(&world).await, [1]);
}

/// However many keys were left, all opens, and a rotation clears them away.
#[tokio::test]
async fn a_dataset_with_as_many_keys_as_may_be_is_read_and_rotated() {
    let world = stocked().await;
    let row = world.catalog.dataset(&bucket()).await.unwrap().unwrap();
    let entropy = world.parts().entropy;
    let most = u32::try_from(limits::KEY_VERSIONS_MAX).unwrap();
    for version in 2..=most {
        world
            .keyring
            .ensure_key(&row.id, version, entropy.as_ref())
            .unwrap();
    }
    assert!(get(&world, BUCKET, "a").await.is_ok());
    world.put("olivia", "c", b"see").await.unwrap();
    let call = world.call(None);
    let rotated = world.vault.rotate_key(&call, &bucket()).await;
    assert_eq!(kind(rotated), None);
    assert_eq!(versions(&world).await, [most]);
    for key in ["a", "b", "c"] {
        assert!(get(&world, BUCKET, key).await.is_ok(), "{key}");
    }
    let call = world.call(None);
    let rotated = world.vault.rotate_key(&call, &bucket()).await;
    assert_eq!(kind(rotated), None);
    assert_eq!(versions(&world).await, [most + 1]);
}
