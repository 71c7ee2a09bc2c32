//! Objects of many pieces: what who reads, releases or copies them holds and costs.

use futures_util::StreamExt as _;

use super::published::{V1, run};
use super::support::{BUCKET, World, kind, place, sample};
use crate::seal::testing;
use crate::types::limits;
use crate::vault::objects::tables::Taken;
use crate::vault::{
    CompletedPart, Completing, CopySource, ErrorKind, NewObject, ReadAsk, ReadConditions, Run,
    Span, WriteConditions,
};

const CUT: usize = 7;

/// Makes `to` of so many copies of `from`.
async fn join(world: &World, from: &str, to: &str, times: u32) {
    let call = world.call(Some("olivia"));
    let begun = world
        .vault
        .create_upload(&call, place(to), NewObject::default(), None)
        .await;
    let upload = begun.unwrap().id.to_string();
    let mut parts = Vec::new();
    for number in 1..=times {
        let from = CopySource {
            place: place(from),
            conditions: ReadConditions::default(),
            span: Span::All,
        };
        let call = world.call(Some("olivia"));
        let part = world
            .vault
            .copy_part(&call, from, place(to), &upload, number);
        parts.push(CompletedPart {
            number,
            etag: part.await.unwrap().0.etag.to_string(),
            checksums: Vec::new(),
        });
    }
    let completing = Completing {
        parts,
        ..Completing::default()
    };
    let call = world.call(Some("olivia"));
    let done = world
        .vault
        .complete_upload(&call, place(to), &upload, completing);
    done.await.unwrap();
}

/// `many`: an object of 1,000 pieces of seven bytes.
async fn stocked() -> World {
    let world = World::new().await;
    world.put("olivia", "one", &sample(CUT)).await.unwrap();
    join(&world, "one", "some", 40).await;
    join(&world, "some", "many", 25).await;
    world
}

fn made() -> usize {
    testing::MADE.with(std::cell::Cell::get)
}

/// Takes all the room that `who` may have but so many bytes.
fn fill(world: &World, who: &str, but: u64) -> Taken {
    let most = limits::TABLES_HELD_BYTES_MAX / (limits::TABLES_FREE_PER_CALLER + 1);
    let who = who.parse().unwrap();
    let room = &world.vault.tables;
    room.take(Some(&who), most - but).ok().unwrap()
}

/// Whether nobody holds anything of the room.
fn is_free(world: &World) -> bool {
    let room = &world.vault.tables;
    room.take(None, limits::TABLES_HELD_BYTES_MAX).is_ok()
}

#[tokio::test]
async fn the_keys_of_a_piece_are_derived_when_its_turn_comes() {
    let world = stocked().await;
    let before = made();
    let call = world.call(Some("job-1"));
    let ask = ReadAsk::default();
    let reading = world.vault.read_object(&call, place("many"), ask);
    let mut body = reading.await.unwrap().body;
    let mut all = body.next().await.unwrap().unwrap().to_vec();
    assert_eq!(made() - before, 1, "of a thousand, who reads one");
    while let Some(piece) = body.next().await {
        all.extend_from_slice(&piece.unwrap());
    }
    assert_eq!(made() - before, 1_000);
    assert!(all == sample(CUT).repeat(1_000));
    let before = made();
    let cut = world.get("job-1", "many", Span::Between(3_499, 3_512));
    let cut = cut.await.unwrap();
    assert_eq!(made() - before, 3, "a range derives those that it touches");
    assert!(cut == all[3_499..=3_512]);
}

#[tokio::test]
async fn what_readers_of_many_pieces_hold_is_bounded_for_all_and_for_one() {
    let world = stocked().await;
    let ask = ReadAsk::default;
    let call = world.call(Some("job-1"));
    let reading = world.vault.read_object(&call, place("many"), ask()).await;
    assert!(!is_free(&world), "a reader who stalls holds room");
    drop(reading);
    assert!(is_free(&world));
    let responsible = world.call(Some("job-1")).session;
    let who = crate::vault::log::share::answerable(&responsible).unwrap();
    let held = fill(&world, &who.to_string(), 50_000);
    let call = world.call(Some("job-1"));
    let refused = world.vault.read_object(&call, place("many"), ask()).await;
    assert!(call.is_recorded());
    assert_eq!(kind(refused), Some(ErrorKind::SlowDown));
    // What holds little goes on, and so do others.
    let few = world.get("job-1", "many", Span::Between(3_000, 3_100));
    assert_eq!(few.await.unwrap().len(), 101);
    assert_eq!(world.get("job-1", "one", Span::All).await.unwrap().len(), 7);
    let hers = world.get("olivia", "many", Span::All).await;
    assert_eq!(hers.unwrap().len(), 7_000);
    drop(held);
    let again = world.get("job-1", "many", Span::All).await;
    assert_eq!(again.unwrap().len(), 7_000);
    assert!(is_free(&world));
}

async fn copy(world: &World, from: &str, to: &str) -> Option<ErrorKind> {
    let source = CopySource {
        place: place(from),
        conditions: ReadConditions::default(),
        span: Span::All,
    };
    let call = world.call(Some("olivia"));
    let none = WriteConditions::default();
    let made = world
        .vault
        .copy_object(&call, source, place(to), None, none);
    kind(made.await)
}

/// A copy moves nothing and writes the whole table, twice, for a request of 600 bytes.
#[tokio::test]
async fn copies_of_many_pieces_have_a_pace() {
    let world = stocked().await;
    assert_eq!(copy(&world, "many", "copy").await, None);
    let olivia = "olivia".parse().unwrap();
    let (copiers, now) = (&world.vault.copiers, world.vault.now());
    // What is left of an hour of them, by taking it away.
    let mut left = u64::from(limits::COPIED_TABLES_KIB_MAX);
    while left > 0 {
        if !copiers.take_many(&olivia, left, now) {
            left /= 2;
        }
    }
    let busy = Some(ErrorKind::SlowDown);
    assert_eq!(copy(&world, "many", "another").await, busy);
    assert!(world.get("olivia", "another", Span::All).await.is_err());
    let begun = world
        .vault
        .create_upload(
            &world.call(Some("olivia")),
            place("parts"),
            NewObject::default(),
            None,
        )
        .await;
    let upload = begun.unwrap().id.to_string();
    let part = async |from, number| {
        let from = CopySource {
            place: place(from),
            conditions: ReadConditions::default(),
            span: Span::All,
        };
        let call = world.call(Some("olivia"));
        let vault = &world.vault;
        kind(
            vault
                .copy_part(&call, from, place("parts"), &upload, number)
                .await,
        )
    };
    assert_eq!(part("many", 1).await, busy);
    // Of few pieces they go on, and so do others after a while.
    assert_eq!(part("one", 2).await, None);
    assert_eq!(copy(&world, "some", "third").await, None);
    world.wait(1_000);
    assert_eq!(copy(&world, "many", "another").await, None);
}

/// A version with ten objects of 11,000 pieces, whose tables are of 1 MB each.
async fn published() -> World {
    let world = stocked().await;
    join(&world, "many", "more/0", 11).await;
    for number in 1..10 {
        let made = copy(&world, "more/0", &format!("more/{number}")).await;
        assert_eq!(made, None);
    }
    let call = world.call(Some("olivia"));
    world.vault.publish(&call, BUCKET).await.unwrap();
    world
}

#[tokio::test]
async fn a_release_is_bounded_in_bytes_and_the_rest_is_asked_for_again() {
    let world = published().await;
    let release = async |runs: Vec<Run>| {
        let call = world.call(Some("job-1"));
        let release = world.vault.release_keys(&call, V1, runs).await;
        assert!(call.is_recorded());
        release
    };
    let held = |release: &crate::vault::Release| {
        let tables = release.keys.iter().map(|key| key.table.len());
        tables.sum::<usize>() as u64
    };
    // The same object a thousand times, in one request of 30 KB.
    let most = limits::RELEASE_TABLES_BYTES_MAX;
    let same = release(vec![run("more/0", 1); 1_000]).await.unwrap();
    assert!(held(&same) <= most && held(&same) > most / 2);
    assert!(!is_free(&world), "an answer that is not sent holds room");
    let text = vec![b'x'; 1_000_000];
    let answer = same.answer(text);
    let room = &world.vault.tables;
    let rest = limits::TABLES_HELD_BYTES_MAX - 1_000_000;
    assert!(room.take(None, rest + 1).is_err());
    assert!(room.take(None, rest).is_ok(), "and no more than it is long");
    drop(answer);
    assert!(is_free(&world));
    // All of the version, by asking on for what did not come.
    let mut came = Vec::new();
    let mut from = "many".to_owned();
    for _ in 0..9 {
        let got = release(vec![run(&from, 100)]).await.unwrap();
        assert!(!got.keys.is_empty() && held(&got) <= most);
        came.extend(got.keys.iter().map(|key| key.key.to_string()));
        let next = came.len();
        if next == 13 {
            break;
        }
        from = all_keys()[next].clone();
    }
    assert_eq!(came, all_keys());
    let who = world.call(Some("job-1")).session;
    let who = crate::vault::log::share::answerable(&who).unwrap().clone();
    let full = fill(&world, &who.to_string(), 10_000);
    let none = release(vec![run("more/0", 1)]).await;
    assert_eq!(kind(none), Some(ErrorKind::SlowDown));
    let small = release(vec![run("one", 1), run("more/0", 1)])
        .await
        .unwrap();
    assert_eq!(small.keys.len(), 1);
    assert!(small.gone.is_empty());
    drop((full, small));
}

fn all_keys() -> Vec<String> {
    let more = (0..10).map(|number| format!("more/{number}"));
    let rest = ["one".to_owned(), "some".to_owned()];
    let first = std::iter::once("many".to_owned());
    first.chain(more).chain(rest).collect()
}
