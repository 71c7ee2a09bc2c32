//! Locked volumes: what nobody can take away, what still goes at its time, and who is accused.

use std::sync::Arc;

use super::archive::Archive;
use super::expire_tests::{World, after};
use super::source::DirSource;
use super::worm::Swept;
use crate::archive::Place;
use crate::ledger::{DAY_MS, Scope};
use crate::store::BlobStore as _;
use crate::store::locked::memory::{Lie, LockMemory};
use crate::store::locked::{LockStore as _, VersionId};
use crate::types::limits::{LOG_KEPT_DAYS, WORM_MARGIN_MS, WORM_TRIAL_MS};
use crate::types::{BlobId, Clock as _, Retention, RetentionMode};

const LONG: u64 = LOG_KEPT_DAYS as u64;

async fn world() -> (World, Arc<LockMemory>) {
    let memory = LockMemory::at(after(0));
    let world = World::over(Arc::<LockMemory>::clone(&memory), Some(&memory)).await;
    (world, memory)
}

async fn archive(world: &World) -> Archive {
    world.open(&world.store).await
}

fn held(place: &Place) -> (BlobId, VersionId, u64) {
    let held = place.held.as_ref().expect("it is locked");
    let version = VersionId::new(&held.version).expect("a name");
    (place.blob().expect("a name"), version, held.until_ms)
}

async fn sweep(world: &World) -> Swept {
    let mut archive = archive(world).await;
    let over = archive.keys.kept.since(&Scope::Vault, archive.keys.now);
    archive.sweep(over).await.expect("a sweep")
}

/// How many locks became longer, with these terms after so many days.
async fn renewed(world: &World, at: (u64, u32)) -> u64 {
    *world.at.lock().unwrap() = at;
    let mut log = DirSource::new(&world.path("log"));
    let renewed = archive(world).await.renew(&mut log).await.expect("renewed");
    assert_eq!(
        (renewed.failures.count, renewed.weaker),
        (0, 0),
        "{renewed:?}"
    );
    renewed.held
}

/// When a lock ends, as the place itself tells it.
async fn told(memory: &LockMemory, place: &Place) -> Retention {
    let (id, version, _) = held(place);
    let told = memory.retention(id, &version).await.expect("an answer");
    told.expect("a lock")
}

#[tokio::test]
async fn au_9_what_is_locked_is_refused_to_everybody_until_its_time() {
    let (world, memory) = world().await;
    let before = world.records().await;
    let places = archive(&world).await.index.volumes().to_vec();
    assert_eq!(places.len(), 2);
    for place in &places {
        let (id, version, until) = held(place);
        let lock = told(&memory, place).await;
        assert_eq!(lock.mode, RetentionMode::Compliance);
        // From the newest segment on, for as long as all of it is kept, and a little longer.
        let term = LONG * DAY_MS + WORM_MARGIN_MS;
        assert!(until <= lock.until.millis() && until > after(0).millis() - DAY_MS + term);
        assert!(until <= after(0).millis() + term);
        for bypass in [false, true] {
            assert!(memory.delete_version(id, &version, bypass).await.is_err());
        }
        // The door that is open to whoever may delete: a mark in front, another version over it.
        memory.delete(id).await.expect("a mark");
        let evil: crate::store::BlobBody =
            Box::pin(futures_util::stream::iter([Ok("evil".into())]));
        memory.put(id, 4, evil).await.expect("written over");
    }
    assert_eq!(
        world.records().await,
        before,
        "all of it is read by its versions"
    );
    let swept = sweep(&world).await;
    assert_eq!((swept.gone, swept.strangers), (0, 4), "{swept:?}");
    assert!(
        swept
            .strange
            .iter()
            .any(|words| words.contains("deleted in the store"))
    );
    assert!(
        swept
            .strange
            .iter()
            .any(|words| words.contains("written over"))
    );
    // The index is lost, too: what is in front of a volume does not hide it.
    std::fs::remove_file(world.path("log/volumes")).expect("removed");
    assert_eq!(world.records().await, before);
}

#[tokio::test]
async fn au_9_longer_terms_lengthen_locks_and_shorter_ones_leave_them() {
    let (world, memory) = world().await;
    // Looked at once, they are as the terms ask.
    assert_eq!(renewed(&world, (1, LOG_KEPT_DAYS)).await, 0);
    let until = |place: &Place| held(place).2;
    let first = archive(&world).await.index.volumes().to_vec();
    // A project keeps its records for longer; what another keeps as before goes at its time.
    assert_eq!(renewed(&world, (1, LOG_KEPT_DAYS + 1_000)).await, 0);
    world.set_lab(LOG_KEPT_DAYS + 500);
    assert_eq!(renewed(&world, (1, LOG_KEPT_DAYS + 1_000)).await, 2);
    let longer = archive(&world).await.index.volumes().to_vec();
    for (old, new) in first.iter().zip(&longer) {
        assert_eq!(until(new) - until(old), 500 * DAY_MS);
        assert!(told(&memory, new).await.until.millis() >= until(new));
    }
    assert_eq!(renewed(&world, (2, LOG_KEPT_DAYS + 1_000)).await, 0, "once");
    // Two persons shorten it: what is locked stays locked.
    assert_eq!(renewed(&world, (3, 365)).await, 0);
    assert_eq!(archive(&world).await.index.volumes(), longer);
    for place in &longer {
        assert!(told(&memory, place).await.until.millis() >= until(place));
    }
}

#[tokio::test]
async fn au_9_what_is_over_waits_calmly_for_its_lock_and_goes_then() {
    let (world, memory) = world().await;
    let all = world.records().await;
    // After two persons shortened it: the records go from the volumes, and the locked ones stay.
    assert_eq!(world.expire(&world.store, 400, 365).await, Ok(2));
    let left = world.records().await;
    assert!(left.len() < all.len() && left.iter().all(|(_, scopes)| scopes != "icu"));
    for _ in 0..3 {
        let swept = sweep(&world).await;
        assert_eq!(
            (swept.gone, swept.waiting, swept.strangers),
            (0, 2, 0),
            "{swept:?}"
        );
        let until = swept.until.expect("a moment").millis();
        assert!(until > after(LONG).millis() && until <= after(LONG).millis() + WORM_MARGIN_MS);
    }
    assert_eq!(memory.count(), 4);
    // The new ones are locked for what is left of them.
    for place in archive(&world).await.index.volumes() {
        assert!(held(place).2 > after(LONG).millis());
    }
    *world.at.lock().unwrap() = (LONG + 4, 365);
    let swept = sweep(&world).await;
    assert_eq!((swept.gone, swept.waiting), (2, 0), "{swept:?}");
    assert_eq!(world.records().await, left);
    // At last all of it is over; the last volume says where the lane goes on.
    assert_eq!(world.expire(&world.store, LONG + 5, 365).await, Ok(2));
    *world.at.lock().unwrap() = (LONG + 8, 365);
    sweep(&world).await;
    assert_eq!(memory.count(), 1);
    assert!(world.records().await.is_empty());
}

/// The margin is what keeps a record from being without a lock: on the day that something else in
/// its volume is over, the volume is written again, and locked anew, while the old lock holds.
#[tokio::test]
async fn au_9_no_record_is_without_a_lock_while_another_projects_go() {
    let memory = LockMemory::at(after(0));
    let world = World::over_kept(Arc::<LockMemory>::clone(&memory), Some(&memory), 365).await;
    for day in [0, 364, 365, 366, 367, 370, LONG - 1] {
        assert!(world.expire(&world.store, day, 365).await.is_ok());
        let archive = archive(&world).await;
        assert!(archive.index.volumes().iter().all(|place| place.rows > 0));
        for place in archive.index.volumes() {
            assert!(told(&memory, place).await.until > after(day), "day {day}");
        }
    }
    // What was replaced went when its lock ended, days and not years later.
    assert_eq!(memory.count(), 2);
}

#[tokio::test]
async fn volumes_that_were_written_without_a_lock_get_one() {
    let memory = LockMemory::at(after(0));
    let world = World::over(Arc::<LockMemory>::clone(&memory), None).await;
    assert!(
        archive(&world)
            .await
            .index
            .volumes()
            .iter()
            .all(|place| place.held.is_none())
    );
    let world = world.locked(&memory);
    let before = world.records().await;
    for place in archive(&world).await.index.volumes() {
        assert!(
            archive(&world).await.must_be_held(place).is_err(),
            "the journal stays for now"
        );
    }
    assert_eq!(renewed(&world, (1, LOG_KEPT_DAYS)).await, 2);
    for place in archive(&world).await.index.volumes() {
        assert!(archive(&world).await.must_be_held(place).is_ok());
        assert!(told(&memory, place).await.until > after(LONG));
        memory.delete(place.blob().unwrap()).await.unwrap();
    }
    assert_eq!(world.records().await, before);
}

#[tokio::test]
async fn a_store_that_takes_a_lock_and_forgets_it_gets_no_volume_into_the_index() {
    let (world, memory) = world().await;
    for lie in [
        Lie::ForgetsLocks,
        Lie::Silent,
        Lie::RefusesLocks,
        Lie::RefusesToHold,
    ] {
        let before = std::fs::read(world.path("log/volumes")).unwrap();
        let mut removal = world.removal(&world.store, 365, 365).await;
        let due = removal.due().unwrap();
        memory.lie(Some(lie));
        assert!(removal.rewrite(&due.volumes[0]).await.is_err(), "{lie:?}");
        memory.lie(None);
        assert_eq!(std::fs::read(world.path("log/volumes")).unwrap(), before);
    }
    assert_eq!(memory.count(), 4, "two of them were written");
    // What such tries leave is locked for two days, not for years, and goes by itself.
    assert_eq!(WORM_TRIAL_MS, 2 * DAY_MS);
    assert_eq!(world.expire(&world.store, 366, 365).await, Ok(2));
    assert_eq!(sweep(&world).await.waiting, 3);
    *world.at.lock().unwrap() = (368, 365);
    let swept = sweep(&world).await;
    assert_eq!(
        (swept.gone, swept.waiting, swept.strangers),
        (1, 2, 0),
        "{swept:?}"
    );
    assert_eq!(memory.count(), 4);
}

#[tokio::test]
async fn a_clock_from_the_future_locks_nothing_for_longer() {
    let (world, memory) = world().await;
    let archive = archive(&world).await;
    let mut log = DirSource::new(&world.path("log"));
    let place = archive.index.volumes()[0].clone();
    let size = super::expire_tests::size(&mut log);
    let mut segments = super::entries::segments_of(&mut log, size, &place).unwrap();
    let honest = super::worm::held_until(&segments, &place, &archive.keys);
    for segment in &mut segments {
        segment.time = segment.time.plus_millis(50 * 365 * DAY_MS);
    }
    let until = super::worm::held_until(&segments, &place, &archive.keys);
    assert!(until >= honest && until.since(memory.now()) <= LONG * DAY_MS + WORM_MARGIN_MS);
}

/// `MinIO` says 400 where others say 403: what is locked waits, and no sweep ends in an error.
#[tokio::test]
async fn what_a_store_refuses_with_400_waits_as_calmly() {
    let (world, memory) = world().await;
    assert_eq!(world.expire(&world.store, 400, 365).await, Ok(2));
    memory.lie(Some(Lie::Says400));
    *world.at.lock().unwrap() = (LONG + 4, 365);
    // By the store's clock the locks have not ended yet.
    let mut archive = archive(&world).await;
    memory.set(after(400));
    let over = archive.keys.kept.since(&Scope::Vault, archive.keys.now);
    let swept = archive.sweep(over).await.expect("a sweep");
    assert_eq!((swept.gone, swept.waiting), (0, 2), "{swept:?}");
    memory.set(after(LONG + 4));
    let swept = archive.sweep(over).await.expect("a sweep");
    assert_eq!((swept.gone, swept.waiting), (2, 0), "{swept:?}");
}

#[tokio::test]
async fn one_volume_that_is_missing_keeps_no_other_from_its_lock() {
    let memory = LockMemory::at(after(0));
    let world = World::over(Arc::<LockMemory>::clone(&memory), None).await;
    let world = world.locked(&memory);
    let places = archive(&world).await.index.volumes().to_vec();
    let gone = places[0].blob().unwrap();
    let seen = memory.versions(Some(gone), None).await.unwrap().found;
    let deleted = memory.delete_version(gone, &seen[0].version, false).await;
    deleted.expect("it has no lock yet");
    for at in [1, 2] {
        *world.at.lock().unwrap() = (at, LOG_KEPT_DAYS);
        let mut log = DirSource::new(&world.path("log"));
        let mut archive = archive(&world).await;
        let renewed = archive.renew(&mut log).await.expect("it goes on");
        // The other one once, the missing one each time: it is told until somebody has seen to it.
        assert_eq!(
            (renewed.held, renewed.failures.count),
            (2 - at, 1),
            "{renewed:?}"
        );
        assert!(
            renewed.failures.words[0].contains("records 0 to"),
            "{renewed:?}"
        );
        assert_eq!(archive.index.terms, None);
    }
    let now = archive(&world).await.index.volumes().to_vec();
    assert!(now[0].held.is_none() && told(&memory, &now[1]).await.until > after(LONG));
}

#[tokio::test]
async fn who_may_not_ask_for_locks_goes_on_without() {
    let memory = LockMemory::at(after(0));
    let world = World::over(Arc::<LockMemory>::clone(&memory), None).await;
    let before = world.records().await;
    let world = world.locked(&memory);
    memory.lie(Some(Lie::MayNotAsk));
    assert_eq!(sweep(&world).await, Swept::default());
    // Nor does it need to, to make an index again.
    std::fs::remove_file(world.path("log/volumes")).expect("removed");
    assert_eq!(world.records().await, before);
    // Where something is locked, what cannot be seen is no sweep.
    memory.lie(None);
    assert_eq!(renewed(&world, (1, LOG_KEPT_DAYS)).await, 2);
    memory.lie(Some(Lie::MayNotAsk));
    let mut archive = archive(&world).await;
    assert!(archive.sweep(after(0)).await.is_err());
}

#[tokio::test]
async fn who_writes_over_a_volume_under_a_lock_is_accused_all_the_same() {
    let (world, memory) = world().await;
    let places = archive(&world).await.index.volumes().to_vec();
    let [first, second] = [&places[0], &places[1]].map(held);
    let long = Retention {
        mode: RetentionMode::Compliance,
        until: after(100 * 365),
    };
    let garbage = |bytes: u64| bytes::Bytes::from(vec![7; usize::try_from(bytes).unwrap()]);
    for bytes in [4, places[0].bytes] {
        let put = memory.put_locked(first.0, garbage(bytes), long);
        put.await.expect("a PUT");
    }
    // Another volume under its name.
    let whole = archive(&world).await.get(second.0, places[1].bytes).await;
    let put = memory.put_locked(first.0, whole.expect("bytes"), long);
    put.await.expect("a PUT");
    // The same one, as by a PUT that was tried again, is nobody's doing.
    let whole = archive(&world).await.get(second.0, places[1].bytes).await;
    let put = memory.put_locked(second.0, whole.expect("bytes"), long);
    put.await.expect("a PUT");
    let swept = sweep(&world).await;
    assert_eq!(
        (swept.gone, swept.waiting, swept.strangers),
        (0, 1, 3),
        "{swept:?}"
    );
    let over = |words: &String| words.contains("written over");
    assert!(swept.strange.iter().all(over), "{swept:?}");
}

#[tokio::test]
async fn a_stricter_mode_reaches_what_is_locked_and_says_where_it_does_not() {
    for (lie, weaker) in [(None, 2), (Some(Lie::Raises), 0)] {
        let memory = LockMemory::at(after(0));
        let world = World::over(Arc::<LockMemory>::clone(&memory), None).await;
        let world = world.locked(&memory);
        let renew = async |mode, lab| {
            world.set_lab(lab);
            let mut archive = archive(&world).await;
            archive.locks.as_mut().expect("locks").mode = Some(mode);
            let mut log = DirSource::new(&world.path("log"));
            archive.renew(&mut log).await.expect("renewed")
        };
        let first = renew(RetentionMode::Governance, LOG_KEPT_DAYS).await;
        assert_eq!((first.held, first.weaker, first.failures.count), (2, 0, 0));
        memory.lie(lie);
        let stricter = renew(RetentionMode::Compliance, LOG_KEPT_DAYS).await;
        assert_eq!(
            (stricter.held, stricter.weaker, stricter.failures.count),
            (2, weaker, 0)
        );
        let mode = match lie {
            None => RetentionMode::Governance,
            Some(_) => RetentionMode::Compliance,
        };
        // Whatever the mode: longer terms lengthen the locks.
        *world.at.lock().unwrap() = (1, LOG_KEPT_DAYS + 900);
        let longer = renew(RetentionMode::Compliance, LOG_KEPT_DAYS + 900).await;
        assert_eq!((longer.held, longer.failures.count), (2, 0));
        for place in archive(&world).await.index.volumes() {
            let lock = told(&memory, place).await;
            assert_eq!(lock.mode, mode);
            assert!(lock.until > after(LONG + 890));
            let held = place.held.as_ref().expect("held");
            assert_eq!(held.compliance, mode == RetentionMode::Compliance);
        }
        // Governance asked for once more loosens nothing.
        renew(RetentionMode::Governance, LOG_KEPT_DAYS + 900).await;
        for place in archive(&world).await.index.volumes() {
            assert_eq!(told(&memory, place).await.mode, mode);
        }
    }
}

/// What is replaced goes when its lock ends, so gaps come and go, and whoever kept a copy of a
/// volume can make one: neither keeps an index from being made again.
#[tokio::test]
async fn an_index_is_made_again_behind_a_gap_of_what_is_over() {
    let memory = LockMemory::at(after(0));
    let store = Arc::<LockMemory>::clone(&memory);
    let world = World::over_many(store, Some(&memory), (LOG_KEPT_DAYS, 3)).await;
    let places = archive(&world).await.index.volumes().to_vec();
    assert_eq!(places.len(), 3);
    let (id, version, _) = held(&places[0]);
    let locks = archive(&world).await;
    let whole = locks.locks.as_ref().expect("locks");
    let whole = whole.get(id, &version, places[0].bytes).await;
    let whole = whole.expect("bytes");
    let copied = async |until| {
        let mode = RetentionMode::Compliance;
        let name = BlobId::from_bytes([9; 16]);
        let put = memory.put_locked(name, whole.clone(), Retention { mode, until });
        put.await.expect("a PUT")
    };
    let again = async || {
        std::fs::remove_file(world.path("log/volumes")).expect("removed");
        world.records().await
    };
    // A copy of what is there repeats it.
    let all = world.records().await;
    copied(after(1)).await;
    assert_eq!(again().await, all);
    assert_eq!(
        world.expire(&world.store, LONG + 1, LOG_KEPT_DAYS).await,
        Ok(3)
    );
    *world.at.lock().unwrap() = (LONG + 8, LOG_KEPT_DAYS);
    sweep(&world).await;
    assert_eq!(
        memory.count(),
        1,
        "the last volume says where the lane goes on"
    );
    copied(after(LONG + 1_000)).await;
    assert!(again().await.is_empty());
    // It goes once its lock has ended.
    assert_eq!(sweep(&world).await.waiting, 1);
    *world.at.lock().unwrap() = (LONG + 1_001, LOG_KEPT_DAYS);
    assert_eq!(sweep(&world).await.gone, 1);
}
