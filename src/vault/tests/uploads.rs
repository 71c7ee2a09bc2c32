//! Multipart uploads over the ports in memory.

use super::support::{World, input, kind, place, sample};
use crate::catalog::{BlobUse, Mutation};
use crate::types::{ChecksumKind, limits};
use crate::vault::{
    CompletedPart, Completing, CopySource, ErrorKind, NewObject, ReadConditions, Span,
};

async fn begin(world: &World, key: &str) -> String {
    let call = world.call(Some("olivia"));
    let upload = world
        .vault
        .create_upload(&call, place(key), NewObject::default(), None)
        .await;
    upload.unwrap().id.to_string()
}

async fn part(world: &World, key: &str, upload: &str, number: u32, data: &[u8]) -> CompletedPart {
    let call = world.call(Some("olivia"));
    let row = world
        .vault
        .put_part(&call, place(key), upload, number, input(data, 999))
        .await;
    CompletedPart {
        number,
        etag: row.unwrap().0.etag.to_string(),
        checksums: Vec::new(),
    }
}

async fn complete(
    world: &World,
    key: &str,
    upload: &str,
    parts: Vec<CompletedPart>,
) -> Result<u64, ErrorKind> {
    let call = world.call(Some("olivia"));
    let completing = Completing {
        parts,
        ..Completing::default()
    };
    let row = world
        .vault
        .complete_upload(&call, place(key), upload, completing)
        .await;
    row.map(|row| row.bytes).map_err(|error| error.kind())
}

#[tokio::test]
async fn parts_of_any_size_in_any_order_make_the_object() {
    let world = World::new().await;
    let data = sample(300_000);
    let upload = begin(&world, "k").await;
    let third = part(&world, "k", &upload, 9, &data[70_001..]).await;
    let _replaced = part(&world, "k", &upload, 1, b"wrong").await;
    let first = part(&world, "k", &upload, 1, &data[..1]).await;
    let empty = part(&world, "k", &upload, 2, b"").await;
    let second = part(&world, "k", &upload, 3, &data[1..70_001]).await;
    let parts = vec![first, empty, second, third];
    assert_eq!(
        complete(&world, "k", &upload, parts.clone()).await,
        Ok(300_000)
    );
    assert!(world.get("job-1", "k", Span::All).await.unwrap() == data);
    assert!(world.get("job-1", "k", Span::Part(3)).await.unwrap() == data[1..70_001]);
    let across = world
        .get("job-1", "k", Span::Between(0, 70_001))
        .await
        .unwrap();
    assert!(across == data[..=70_001]);
    let again = complete(&world, "k", &upload, parts.clone()).await;
    assert_eq!(again, Ok(300_000), "the same completion: its first answer");
    let fewer = parts[1..].to_vec();
    let other = complete(&world, "k", &upload, fewer).await;
    assert_eq!(other, Err(ErrorKind::NoSuchUpload), "it completes once");
    let elsewhere = complete(&world, "other", &upload, parts).await;
    assert_eq!(elsewhere, Err(ErrorKind::NoSuchUpload));
}

#[tokio::test]
async fn wrong_completions_change_nothing() {
    let world = World::new().await;
    let upload = begin(&world, "k").await;
    let one = part(&world, "k", &upload, 1, b"one").await;
    let two = part(&world, "k", &upload, 2, b"two").await;
    let other = CompletedPart {
        etag: two.etag.clone(),
        ..one.clone()
    };
    let missing = CompletedPart {
        number: 3,
        ..two.clone()
    };
    let cases = [
        (vec![], ErrorKind::InvalidArgument),
        (vec![two.clone(), one.clone()], ErrorKind::InvalidPartOrder),
        (vec![one.clone(), one.clone()], ErrorKind::InvalidPartOrder),
        (vec![other], ErrorKind::InvalidPart),
        (vec![one.clone(), missing], ErrorKind::InvalidPart),
    ];
    for (parts, why) in cases {
        assert_eq!(complete(&world, "k", &upload, parts).await, Err(why));
        assert!(world.names("olivia", "").await.unwrap().is_empty());
    }
    let elsewhere = complete(&world, "other", &upload, vec![one.clone()]).await;
    assert_eq!(elsewhere, Err(ErrorKind::NoSuchUpload));
    assert_eq!(complete(&world, "k", &upload, vec![one]).await, Ok(3));
}

#[tokio::test]
async fn part_numbers_have_bounds() {
    let world = World::new().await;
    let upload = begin(&world, "k").await;
    for number in [0, 10_001, u32::MAX] {
        let call = world.call(Some("olivia"));
        let put = world
            .vault
            .put_part(&call, place("k"), &upload, number, input(b"x", 1))
            .await;
        assert_eq!(kind(put), Some(ErrorKind::InvalidArgument), "{number}");
        assert!(call.is_recorded());
    }
    let call = world.call(Some("olivia"));
    let put = world
        .vault
        .put_part(&call, place("k"), "nonsense", 1, input(b"x", 1))
        .await;
    assert_eq!(kind(put), Some(ErrorKind::NoSuchUpload));
}

#[tokio::test]
async fn a_part_can_be_a_range_of_another_object() {
    let world = World::new().await;
    let data = sample(150_000);
    world.put("olivia", "from", &data).await.unwrap();
    let upload = begin(&world, "to").await;
    let mut parts = Vec::new();
    for (number, (first, last)) in [(60_000, 140_000), (0, 70_000)].into_iter().enumerate() {
        let from = CopySource {
            place: place("from"),
            conditions: ReadConditions::default(),
            span: Span::Between(first, last),
        };
        let number = u32::try_from(number).unwrap() + 1;
        let call = world.call(Some("olivia"));
        let row = world
            .vault
            .copy_part(&call, from, place("to"), &upload, number)
            .await
            .unwrap();
        parts.push(CompletedPart {
            number,
            etag: row.0.etag.to_string(),
            checksums: Vec::new(),
        });
    }
    assert_eq!(complete(&world, "to", &upload, parts).await, Ok(150_002));
    let want = [&data[60_000..=140_000], &data[..=70_000]].concat();
    assert!(world.get("job-1", "to", Span::All).await.unwrap() == want);
    let across = world
        .get("job-1", "to", Span::Between(80_000, 80_002))
        .await
        .unwrap();
    assert!(across == want[80_000..=80_002]);
}

/// Whoever copies what is in many pieces, again and again, is stopped before all of it is read.
#[tokio::test]
async fn parts_of_too_many_pieces_are_not_completed() {
    let world = World::new().await;
    let upload = begin(&world, "to").await;
    let id = upload.parse().unwrap();
    let mut parts = Vec::new();
    for number in 1..=4 {
        parts.push(part(&world, "to", &upload, number, b"x").await);
        let page = world.catalog.parts(&id, number - 1, 1).await.unwrap();
        let mut row = page.parts[0].clone();
        row.sealed_table = vec![5; limits::COMPLETION_BYTES_MAX / 4 + 1].into();
        let put = Mutation::PutPart {
            row,
            blobs: BlobUse::default(),
        };
        world.catalog.commit(vec![put]).await.unwrap();
    }
    let done = complete(&world, "to", &upload, parts).await;
    assert_eq!(done, Err(ErrorKind::TooLarge));
}

/// What a client says of a part or of the whole is held against it, or refused.
#[tokio::test]
async fn a_checksum_that_cannot_be_verified_is_not_taken() {
    let world = World::new().await;
    world.put("olivia", "from", b"some bytes").await.unwrap();
    let upload = begin(&world, "to").await;
    let from = CopySource {
        place: place("from"),
        conditions: ReadConditions::default(),
        span: Span::All,
    };
    let call = world.call(Some("olivia"));
    let row = world
        .vault
        .copy_part(&call, from, place("to"), &upload, 1)
        .await
        .unwrap()
        .0;
    let part = |checksums| CompletedPart {
        number: 1,
        etag: row.etag.to_string(),
        checksums,
    };
    for kind in [ChecksumKind::Sha256, ChecksumKind::Crc32] {
        let told = vec![(kind, "AAAAAA==".to_owned())];
        let done = complete(&world, "to", &upload, vec![part(told)]).await;
        assert_eq!(done, Err(ErrorKind::InvalidPart));
    }
    let whole = |bytes, expected| Completing {
        parts: vec![part(Vec::new())],
        bytes,
        expected,
        ..Completing::default()
    };
    let finish = async |completing| {
        let call = world.call(Some("olivia"));
        let done = world
            .vault
            .complete_upload(&call, place("to"), &upload, completing);
        kind(done.await)
    };
    let wrong = || vec![(ChecksumKind::Crc64Nvme, "AAAAAAAAAAA=".to_owned())];
    // Before it is made, and when it is asked for once more.
    for made in [false, true] {
        assert_eq!(
            finish(whole(Some(9), Vec::new())).await,
            Some(ErrorKind::InvalidArgument),
            "{made}"
        );
        let told = finish(whole(Some(10), wrong())).await;
        assert_eq!(told, Some(ErrorKind::BadDigest), "{made}");
        assert_eq!(finish(whole(Some(10), Vec::new())).await, None, "{made}");
    }
}
