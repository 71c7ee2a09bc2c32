//! Rotation and erasure stopped at every call of every port, and carried on by the next process.

use std::sync::Arc;

use super::keywork::{V1, ask, bucket, get, object, stocked};
use super::ports::{Gate, Gated};
use super::support::{BUCKET, World, sample};
use crate::catalog::EraseScope;
use crate::vault::{ErrorKind, Unopened, Vault};

#[derive(Clone, Copy, Debug)]
enum Work {
    Rotate,
    Object,
    Dataset,
}

/// Stops the world at each call of each port, restarts it, and lets it carry on.
async fn crash_everywhere(work: Work) {
    for after in [false, true] {
        let mut at = 1;
        loop {
            let mut world = stocked().await;
            let gate = Gate::new(at, after);
            let mut parts = world.parts();
            parts.catalog = Arc::new(Gated::new(Arc::clone(&parts.catalog), &gate));
            parts.store = Arc::new(Gated::new(Arc::clone(&parts.store), &gate));
            parts.journal = Arc::new(Gated::new(Arc::clone(&parts.journal), &gate));
            let vault = Vault::new(parts, super::support::settings(false));
            let call = world.call(None);
            let done = async {
                match work {
                    Work::Rotate => drop(vault.rotate_key(&call, &bucket()).await.unwrap()),
                    Work::Object => {
                        let (set, one) = (bucket(), ask(object("a")));
                        drop(vault.erase_agreed(&call, &set, one).await.unwrap());
                    }
                    Work::Dataset => {
                        let all = ask(EraseScope::Dataset);
                        drop(vault.erase_agreed(&call, &bucket(), all).await.unwrap());
                    }
                }
            };
            let finished = tokio::select! {
                () = done => true,
                () = gate.stopped() => false,
            };
            world.rewire(|parts| parts);
            check_between(&world, work, at).await;
            let open = world.catalog.open_key_works().await.unwrap();
            world.vault.resume_key_works(Unopened::Wait).await.unwrap();
            let begun = !world
                .catalog
                .key_works(None, None, 9)
                .await
                .unwrap()
                .is_empty();
            check_after(&world, work, begun).await;
            if finished {
                assert!(open.is_empty() && at > 5, "{work:?} has steps to crash at");
                break;
            }
            at += 1;
        }
    }
}

/// Right after the crash: readable or surely gone, never half.
async fn check_between(world: &World, work: Work, at: u64) {
    let all = [get(world, BUCKET, "a").await, get(world, BUCKET, "b").await];
    let [a, b] = &all;
    let whole = |read: &Result<Vec<u8>, ErrorKind>, bytes| *read == Ok(sample(bytes));
    match work {
        Work::Rotate => assert!(whole(a, 70_000) && whole(b, 300), "{at}"),
        Work::Object => {
            let begun = !world
                .catalog
                .key_works(None, None, 9)
                .await
                .unwrap()
                .is_empty();
            assert!(whole(b, 300), "{at}");
            let version = get(world, V1, "a").await;
            assert_eq!(whole(a, 70_000), !begun, "{at}");
            assert_eq!(whole(&version, 70_000), !begun, "{at}");
        }
        Work::Dataset => {
            let there = world.catalog.dataset(&bucket()).await.unwrap().is_some();
            assert_eq!((whole(a, 70_000), whole(b, 300)), (there, there), "{at}");
        }
    }
}

async fn check_after(world: &World, work: Work, begun: bool) {
    assert!(world.catalog.open_key_works().await.unwrap().is_empty());
    let a = get(world, BUCKET, "a").await;
    match work {
        Work::Rotate => assert_eq!(a.unwrap(), sample(70_000)),
        Work::Object => assert_eq!(a.is_err(), begun),
        Work::Dataset => {
            assert_eq!(a.is_err(), begun);
            if begun {
                assert_eq!(world.blobs().await, []);
            }
        }
    }
    for row in world.catalog.key_works(None, None, 9).await.unwrap() {
        if row.scope.is_some() {
            let file = world.vault.erasure_certificate(&row.id).await.unwrap();
            assert!(file.is_some(), "whoever ends it signs");
        }
        let versions = world.keyring.versions_of(&row.dataset).unwrap();
        assert!(versions.iter().all(|version| *version >= row.floor));
    }
}

#[tokio::test]
async fn a_crash_at_any_step_of_a_rotation_loses_nothing() {
    crash_everywhere(Work::Rotate).await;
}

#[tokio::test]
async fn a_crash_at_any_step_of_an_erasure_leaves_the_object_or_nothing() {
    crash_everywhere(Work::Object).await;
}

#[tokio::test]
async fn a_crash_at_any_step_of_an_erasure_leaves_the_dataset_or_nothing() {
    crash_everywhere(Work::Dataset).await;
}
