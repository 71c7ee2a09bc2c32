//! A lane and its second place: what is acknowledged is there, whatever is lost afterwards.

use std::time::Duration;

use super::support::{LANE, World, close, event, fill, note};
use crate::gate::names::{Kind, batch_of};
use crate::journal::{Journal as _, JournalError};
use crate::store::BlobStore as _;
use crate::store::fault::{GetFault, Injected, ListFault, PutFault};

/// Three files of records.
async fn written(world: &World) -> Vec<u32> {
    let wal = world.open().unwrap();
    let mut numbers = Vec::new();
    for n in 0..12 {
        note(&wal, n).await.unwrap();
        fill(&wal).await.unwrap();
        numbers.push(n);
    }
    close(world, wal).await.unwrap();
    assert!(world.files().len() >= 3);
    numbers
}

#[tokio::test]
async fn a_lost_directory_is_made_again_byte_for_byte_and_goes_on() {
    let world = World::new();
    written(&world).await;
    let (files, events) = (world.files(), world.events());
    assert_eq!(events.len(), 12);
    world.lose_the_disk();
    world.gate().complete(&world.journal(), LANE).unwrap_err();
    std::fs::create_dir_all(world.journal().join(LANE)).unwrap();
    world.gate().complete(&world.journal(), LANE).unwrap();
    assert_eq!(world.files(), files);
    let wal = world.open().unwrap();
    note(&wal, 100).await.unwrap();
    close(&world, wal).await.unwrap();
    assert_eq!(world.events().len(), 13);
    // And once more, with what was written since.
    let files = world.files();
    world.lose_the_disk();
    let wal = world.open().unwrap();
    close(&world, wal).await.unwrap();
    for (name, bytes) in files {
        assert_eq!(world.files().get(&name), Some(&bytes), "{name}");
    }
    assert_eq!(world.events().len(), 13);
}

#[tokio::test]
async fn what_the_store_was_not_told_of_is_sent_at_the_next_start() {
    // A journal of before, without a gate in the store.
    let world = World::new();
    let wal = world.open_with(None, 60_000).unwrap();
    for n in 0..6 {
        note(&wal, n).await.unwrap();
        fill(&wal).await.unwrap();
    }
    close(&world, wal).await.unwrap();
    assert!(world.blobs().await.is_empty());
    let wal = world.open().unwrap();
    note(&wal, 6).await.unwrap();
    close(&world, wal).await.unwrap();
    world.lose_the_disk();
    let wal = world.open().unwrap();
    close(&world, wal).await.unwrap();
    assert_eq!(world.events(), (0..7).map(event).collect::<Vec<_>>());
}

/// The store dies at each of its steps, and the machine with it: with its disk, with a disk that
/// has lost the end of what was not synced, and without one, all that was acknowledged is there.
#[tokio::test]
async fn the_store_may_fail_at_each_batch_and_the_disk_be_lost_behind_it() {
    let faults = [
        PutFault::Error(Injected::Failed),
        PutFault::StoredButError(Injected::Timeout),
    ];
    let mut refused = 0;
    for step in 3..26 {
        for fault in faults {
            let world = World::new();
            for at in step..step + 1000 {
                // From then on every PUT; the probe's two come first.
                world.fault.on_put(at, fault);
            }
            let mut told = Vec::new();
            if let Ok(wal) = world.open_by(&world.gate(), 30) {
                for n in 0..14 {
                    if note(&wal, n).await.is_ok() {
                        told.push(event(n));
                    } else {
                        refused += 1;
                        break;
                    }
                    // Its own end is of no matter here.
                    drop(fill(&wal).await);
                }
                drop(close(&world, wal).await);
            }
            for way in 0..3 {
                let copy = if way == 0 {
                    world.copy().await
                } else {
                    world.copy_whole().await
                };
                if way == 2 && copy.journal().join(LANE).is_dir() {
                    cut_the_newest(&copy);
                }
                let context = format!("step {step} {fault:?} way {way}");
                if way == 2 && copy.blobs().await.is_empty() && !copy.files().is_empty() {
                    // A journal that no store ever had, and that cannot be read.
                    assert!(copy.open().is_err() && told.is_empty(), "{context}");
                    continue;
                }
                let wal = copy.open().unwrap();
                note(&wal, 500).await.unwrap();
                close(&copy, wal).await.unwrap();
                let events = copy.events();
                for event in &told {
                    assert!(events.contains(event), "{context}: {event} is lost");
                }
                let mut once = events.clone();
                once.sort_unstable();
                once.dedup();
                assert_eq!(once.len(), events.len(), "{context}: a record twice");
                assert_eq!(events.last(), Some(&event(500)), "{context}");
            }
        }
    }
    assert!(refused > 20, "{refused}");
}

/// Zeros in the place of the newest file's last bytes, as a power cut may leave them.
fn cut_the_newest(world: &World) {
    let files = world.files();
    let newest = files.iter().rfind(|(name, _)| *name != "pruned");
    let Some((name, bytes)) = newest else { return };
    let path = world.journal().join(LANE).join(name);
    let mut all = std::fs::read(&path).unwrap();
    let end = bytes.len();
    all[end - (end.min(120))..end].fill(0);
    std::fs::write(&path, all).unwrap();
}

#[tokio::test]
async fn a_store_that_fails_is_refused_at_once_and_resumes_by_itself() {
    let world = World::new();
    let wal = world.open_by(&world.gate(), 60).unwrap();
    note(&wal, 1).await.unwrap();
    world.fault.always_put(PutFault::Error(Injected::Failed));
    assert!(note(&wal, 2).await.is_err());
    assert!(
        matches!(wal.ready(), Err(JournalError::Replica { .. })),
        "it says why"
    );
    let told = note(&wal, 3).await.unwrap_err();
    assert!(
        matches!(told, JournalError::Replica { .. } | JournalError::Timeout),
        "{told}"
    );
    world.fault.heal();
    while wal.ready().is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    note(&wal, 4).await.unwrap();
    close(&world, wal).await.unwrap();
    world.lose_the_disk();
    let wal = world.open().unwrap();
    close(&world, wal).await.unwrap();
    // The second was refused and stands in the log all the same, once: it was under way. The third
    // came behind it and was never written.
    assert_eq!(world.events(), [event(1), event(2), event(4)]);
}

#[tokio::test]
async fn a_store_that_is_slow_or_hangs_refuses_within_the_bound() {
    for fault in [PutFault::Delay(Duration::from_millis(400)), PutFault::Hang] {
        let world = World::new();
        let wal = world.open_by(&world.gate(), 50).unwrap();
        let calls = world.fault.calls()[0];
        world.fault.on_put(calls + 1, fault);
        let begun = tokio::time::Instant::now();
        assert!(note(&wal, 1).await.is_err());
        assert!(begun.elapsed() < Duration::from_millis(350), "{fault:?}");
        let mut n = 2;
        while note(&wal, n).await.is_err() {
            n += 1;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(wal.ready().is_ok());
        close(&world, wal).await.unwrap();
        world.lose_the_disk();
        let wal = world.open().unwrap();
        close(&world, wal).await.unwrap();
        assert!(world.events().contains(&event(n)), "{fault:?}");
    }
}

#[tokio::test]
async fn an_answer_that_was_lost_is_found_out_by_the_same_bytes() {
    // The next try comes within the bound, or behind it: served or refused, and written once.
    for (bound, served) in [(20_000, true), (20, false)] {
        let world = World::new();
        let wal = world.open_by(&world.gate(), bound).unwrap();
        let calls = world.fault.calls()[0];
        world
            .fault
            .on_put(calls + 1, PutFault::StoredButError(Injected::Timeout));
        let told = note(&wal, 1).await;
        assert_eq!(told.is_ok(), served, "{bound}: {told:?}");
        while wal.ready().is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // The store has it since, under the name that was sent: nothing was sent in its place.
        note(&wal, 2).await.unwrap();
        close(&world, wal).await.unwrap();
        assert_eq!(world.events(), [event(1), event(2)], "{bound}");
        world.lose_the_disk();
        close(&world, world.open().unwrap()).await.unwrap();
        assert_eq!(world.events(), [event(1), event(2)], "{bound}");
    }
}

/// The name is taken, and whether by the same bytes the store does not say: who ends the journal
/// waits for that no longer than for a batch.
#[tokio::test]
async fn a_store_that_does_not_say_what_has_a_name_holds_nobody_up() {
    let world = World::new();
    let wal = world.open_by(&world.gate(), 300).unwrap();
    let calls = world.fault.calls()[0];
    world
        .fault
        .on_put(calls + 1, PutFault::StoredButError(Injected::Timeout));
    world.fault.always_get(GetFault::Hang);
    assert!(note(&wal, 1).await.is_err());
    let begun = tokio::time::Instant::now();
    let closed = tokio::time::timeout(Duration::from_secs(20), wal.close()).await;
    assert!(closed.expect("it is bounded").is_err());
    assert!(begun.elapsed() < Duration::from_secs(5));
    drop(close(&world, wal).await);
    world.fault.heal();
    close(&world, world.open().unwrap()).await.unwrap();
    assert_eq!(world.events(), [event(1)]);
}

/// The older of two goes on in another file, whose name the younger has: that file never counted,
/// and does not contradict the store when the older machine takes over again.
#[tokio::test]
async fn a_file_that_another_has_begun_is_set_aside() {
    let first = World::new();
    let one = first.open_by(&first.gate(), 200).unwrap();
    for n in 0..4 {
        note(&one, n).await.unwrap();
        fill(&one).await.unwrap();
    }
    let second = World {
        ticking: std::sync::Arc::clone(&first.ticking),
        memory: std::sync::Arc::clone(&first.memory),
        fault: std::sync::Arc::clone(&first.fault),
        disk: tempfile::tempdir().unwrap(),
    };
    let two = second.open_by(&second.gate(), 200).unwrap();
    let before = first.files();
    // It needs another file.
    assert!(fill(&one).await.is_err());
    assert!(matches!(one.ready(), Err(JournalError::Superseded)));
    assert_eq!(first.files(), before, "no file of the lane is its own");
    let beside = std::fs::read_dir(first.journal().join(LANE)).unwrap();
    let beside = beside.filter(|entry| {
        let path = entry.as_ref().unwrap().path();
        path.extension().is_some_and(|e| e == "unacknowledged")
    });
    assert_eq!(beside.count(), 1);
    assert!(note(&one, 50).await.is_err(), "for ever");
    drop(close(&first, one).await);
    note(&two, 7).await.unwrap();
    close(&second, two).await.unwrap();
    let one = first.open_by(&first.gate(), 200).unwrap();
    note(&one, 8).await.unwrap();
    close(&first, one).await.unwrap();
    assert_eq!(first.events(), [0, 1, 2, 3, 7, 8].map(event));
}

/// Two gateways on one store, each with a disk of its own: the older one ends.
#[tokio::test]
async fn of_two_writers_the_older_is_refused_and_nothing_of_either_is_lost() {
    let first = World::new();
    let one = first.open_by(&first.gate(), 100).unwrap();
    note(&one, 1).await.unwrap();
    let second = World {
        ticking: std::sync::Arc::clone(&first.ticking),
        memory: std::sync::Arc::clone(&first.memory),
        fault: std::sync::Arc::clone(&first.fault),
        disk: tempfile::tempdir().unwrap(),
    };
    let two = second.open_by(&second.gate(), 100).unwrap();
    note(&two, 2).await.unwrap();
    assert!(note(&one, 3).await.is_err());
    assert!(matches!(one.ready(), Err(JournalError::Superseded)));
    for _ in 0..3 {
        assert!(note(&one, 4).await.is_err(), "for ever");
    }
    note(&two, 5).await.unwrap();
    close(&second, two).await.unwrap();
    drop(close(&first, one).await);
    // The older machine takes over again: what it had not been told is gone, nothing else.
    let one = first.open_by(&first.gate(), 100).unwrap();
    note(&one, 6).await.unwrap();
    close(&first, one).await.unwrap();
    assert_eq!(first.events(), [1, 2, 5, 6].map(event));
}

#[tokio::test]
async fn a_directory_that_contradicts_the_store_is_refused() {
    let world = World::new();
    let wal = world.open().unwrap();
    note(&wal, 1).await.unwrap();
    close(&world, wal).await.unwrap();
    // Another journal of the same vault, which was never in this store.
    let other = World::new();
    for n in 0..3 {
        let wal = other.open_with(None, 60_000).unwrap();
        note(&wal, 7 + n).await.unwrap();
        close(&other, wal).await.unwrap();
    }
    world.lose_the_disk();
    std::fs::rename(other.journal(), world.journal()).unwrap();
    let told = world.open().map(drop).unwrap_err();
    assert!(
        matches!(&told, JournalError::Diverged { what } if what.contains("move")),
        "{told}"
    );
    world.lose_the_disk();
    close(&world, world.open().unwrap()).await.unwrap();
    assert_eq!(world.events(), [event(1)]);
}

#[tokio::test]
async fn a_store_that_acknowledged_and_lost_is_found_out() {
    // In the middle.
    let world = World::new();
    let wal = world.open().unwrap();
    let calls = world.fault.calls()[0];
    world.fault.on_put(calls + 2, PutFault::Drop);
    for n in 0..4 {
        note(&wal, n).await.unwrap();
    }
    drop(close(&world, wal).await);
    for copy in [world.copy().await, world.copy_whole().await] {
        let told = copy.open().map(drop).unwrap_err();
        assert!(matches!(told, JournalError::Diverged { .. }), "{told}");
    }
    // At the end: what the directory has is sent again.
    let world = World::new();
    let wal = world.open().unwrap();
    note(&wal, 1).await.unwrap();
    world.fault.always_put(PutFault::Drop);
    note(&wal, 2).await.unwrap();
    close(&world, wal).await.unwrap();
    world.fault.heal();
    let copy = world.copy_whole().await;
    close(&copy, copy.open().unwrap()).await.unwrap();
    copy.lose_the_disk();
    close(&copy, copy.open().unwrap()).await.unwrap();
    assert_eq!(copy.events(), [event(1), event(2)]);
}

/// The directory may hold the only copy: nothing there is touched before the store's files are
/// known to follow one another.
#[tokio::test]
async fn a_store_that_lost_the_end_of_a_file_takes_nothing_from_the_directory() {
    let world = World::new();
    written(&world).await;
    let items = world.items(LANE).await;
    let batches = |file: u64| {
        let of = items
            .iter()
            .filter(move |(item, _)| item.kind == Kind::Batch && batch_of(item.number).0 == file);
        of.map(|(_, id)| *id).collect::<Vec<_>>()
    };
    for file in [0, 1] {
        for lost in 1..=2 {
            let copy = world.copy_whole().await;
            for id in batches(file).iter().rev().take(lost) {
                copy.memory.delete(*id).await.unwrap();
            }
            let before = copy.files();
            let told = copy.open().map(drop).unwrap_err();
            assert!(matches!(told, JournalError::Diverged { .. }), "{told}");
            assert_eq!(copy.files(), before, "file {file}, {lost} batches");
        }
    }
}

#[tokio::test]
async fn forged_cut_swapped_and_missing_batches_are_refused() {
    let world = World::new();
    written(&world).await;
    let items = world.items(LANE).await;
    assert!(items.len() > 20 && items.iter().all(|(item, _)| item.kind == Kind::Batch));
    let blobs = world.blobs().await;
    let refused = |copy: World, context: String| {
        let told = copy.open().map(drop);
        assert!(
            matches!(told, Err(JournalError::Diverged { .. })),
            "{context}"
        );
        // Nothing is made of what does not fit together.
        let lane = copy.journal().join(LANE);
        let files = std::fs::read_dir(lane).map_or(0, |dir| {
            dir.filter(|e| {
                e.as_ref()
                    .unwrap()
                    .path()
                    .extension()
                    .is_some_and(|e| e == "wal")
            })
            .count()
        });
        assert!(files < world.files().len(), "{context}");
    };
    for (at, (item, id)) in items.iter().enumerate() {
        let sealed = &blobs[id];
        let mut bent = sealed.to_vec();
        let middle = bent.len() / 2;
        bent[middle] ^= 1;
        let copy = world.copy().await;
        copy.memory.tamper(*id, bent.into());
        refused(copy, format!("{item:?} forged"));
        let copy = world.copy().await;
        copy.memory.tamper(*id, sealed.slice(..sealed.len() - 1));
        refused(copy, format!("{item:?} cut"));
        let (other, _) = items[(at + 1) % items.len()];
        let other = items.iter().find(|(item, _)| *item == other).unwrap().1;
        let copy = world.copy().await;
        copy.memory.tamper(*id, blobs[&other].clone());
        refused(copy, format!("{item:?} another's"));
        if at + 1 < items.len() {
            let copy = world.copy().await;
            crate::store::BlobStore::delete(&*copy.memory, *id)
                .await
                .unwrap();
            refused(copy, format!("{item:?} missing"));
        }
    }
    // A listing that hides all is another matter, and so is one that fails.
    for (list, get) in [
        (Some(ListFault::Error(Injected::Timeout)), None),
        (None, Some(GetFault::Error(Injected::Failed))),
    ] {
        let copy = world.copy().await;
        let gate = copy.gate();
        let calls = copy.fault.calls();
        if let Some(fault) = list {
            copy.fault.on_list(calls[3] + 1, fault);
        }
        if let Some(fault) = get {
            copy.fault.always_get(fault);
        }
        let told = copy.open_by(&gate, 1_000).map(drop);
        assert!(matches!(told, Err(JournalError::Replica { .. })));
    }
}
