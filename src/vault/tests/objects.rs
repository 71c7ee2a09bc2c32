//! Objects, written, read, copied and guarded by roles, over the ports in memory.

use futures_util::{StreamExt as _, stream};

use super::support::{BUCKET, World, input, kind, place, sample};
use crate::catalog::ObjectMeta;
use crate::types::ChecksumKind;
use crate::vault::{
    BodyChecks, BodyError, CopySource, ErrorKind, Input, NewObject, Place, ReadAsk, ReadConditions,
    Span, TagMatch, WriteConditions,
};

#[tokio::test]
async fn what_was_written_is_read() {
    let world = World::new().await;
    for bytes in [0, 1, 15, 65_535, 65_536, 65_537, 200_000] {
        let data = sample(bytes);
        world.put("olivia", "a/b", &data).await.unwrap();
        assert!(
            world.get("job-1", "a/b", Span::All).await.unwrap() == data,
            "{bytes} bytes"
        );
    }
    assert_eq!(world.names("job-1", "").await.unwrap(), ["a/b"]);
}

#[tokio::test]
async fn ranges_are_cut_to_the_byte() {
    let world = World::new().await;
    let data = sample(200_000);
    world.put("olivia", "k", &data).await.unwrap();
    let points = [0, 1, 65_535, 65_536, 65_537, 131_071, 131_072, 199_999];
    for first in points {
        for last in points.into_iter().filter(|last| *last >= first) {
            let got = world
                .get("olivia", "k", Span::Between(first as u64, last as u64))
                .await;
            assert!(got.unwrap() == data[first..=last], "{first}-{last}");
        }
    }
    assert!(world.get("olivia", "k", Span::Last(5)).await.unwrap() == data[199_995..]);
    let beyond = world.get("olivia", "k", Span::From(200_000)).await;
    assert_eq!(kind(beyond), Some(ErrorKind::InvalidRange));
}

#[tokio::test]
async fn strangers_learn_nothing() {
    let world = World::new().await;
    world.put("olivia", "k", b"secret").await.unwrap();
    for key in ["k", "absent"] {
        for bucket in [BUCKET, "icu--absent", "other--x"] {
            let call = world.call(Some("stan"));
            let got = world.vault.read_object(
                &call,
                Place {
                    bucket,
                    key,
                    version: None,
                },
                ReadAsk::default(),
            );
            assert_eq!(
                kind(got.await),
                Some(ErrorKind::AccessDenied),
                "{bucket}/{key}"
            );
            assert!(call.is_recorded());
            let call = world.call(Some("stan"));
            let got = world.vault.head_object(
                &call,
                Place {
                    bucket,
                    key,
                    version: None,
                },
                ReadAsk::default(),
            );
            assert_eq!(
                kind(got.await),
                Some(ErrorKind::AccessDenied),
                "{bucket}/{key}"
            );
        }
    }
    assert_eq!(world.names("stan", "").await, Err(ErrorKind::AccessDenied));
    assert!(
        world
            .vault
            .list_datasets(&world.call(Some("stan")))
            .await
            .unwrap()
            .is_empty()
    );
    let absent = world.get("job-1", "absent", Span::All).await;
    assert_eq!(
        kind(absent),
        Some(ErrorKind::NoSuchObject),
        "who may read may know"
    );
}

#[tokio::test]
async fn roles_are_kept_apart() {
    let world = World::new().await;
    world.put("dirk", "k", b"deposited").await.unwrap();
    assert_eq!(
        kind(world.get("dirk", "k", Span::All).await),
        Some(ErrorKind::AccessDenied)
    );
    assert_eq!(
        kind(world.get("anna", "k", Span::All).await),
        Some(ErrorKind::AccessDenied)
    );
    assert_eq!(
        kind(world.put("job-1", "k", b"x").await),
        Some(ErrorKind::AccessDenied)
    );
    assert_eq!(
        kind(world.put("anna", "k", b"x").await),
        Some(ErrorKind::AccessDenied)
    );
    let call = world.call(Some("job-1"));
    let deleted = world
        .vault
        .delete_object(&call, place("k"), WriteConditions::default(), false)
        .await;
    assert_eq!(kind(deleted), Some(ErrorKind::AccessDenied));
    assert_eq!(
        world.get("olivia", "k", Span::All).await.unwrap(),
        b"deposited"
    );
}

fn body(pieces: Vec<Result<&'static [u8], BodyError>>, bytes: u64, checks: BodyChecks) -> Input {
    let pieces = pieces
        .into_iter()
        .map(|piece| piece.map(bytes::Bytes::from_static));
    Input {
        bytes,
        body: stream::iter(pieces).boxed(),
        checks,
    }
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one table of cases")]
async fn a_wrong_body_changes_nothing() {
    let world = World::new().await;
    world.put("olivia", "k", b"before").await.unwrap();
    let wrong = || vec![(ChecksumKind::Crc32, "AAAAAA==".to_owned())];
    let none = BodyChecks::default;
    let cases = [
        (body(vec![Ok(b"abc")], 4, none()), ErrorKind::IncompleteBody),
        (
            body(vec![Ok(b"abcde")], 4, none()),
            ErrorKind::IncompleteBody,
        ),
        (
            body(vec![Ok(b"abcd"), Ok(b"e")], 4, none()),
            ErrorKind::IncompleteBody,
        ),
        (body(vec![], 4, none()), ErrorKind::IncompleteBody),
        (body(vec![Ok(b"a")], 0, none()), ErrorKind::IncompleteBody),
        (
            body(vec![Ok(b"ab"), Err(BodyError::Short)], 4, none()),
            ErrorKind::IncompleteBody,
        ),
        (
            body(vec![Ok(b"ab"), Err(BodyError::Signature)], 4, none()),
            ErrorKind::BodySignature,
        ),
        (
            body(vec![Ok(b"abcd"), Err(BodyError::PayloadHash)], 4, none()),
            ErrorKind::BadDigest,
        ),
        (
            body(vec![Ok(b"ab"), Err(BodyError::Stalled)], 4, none()),
            ErrorKind::BodyTimeout,
        ),
        (
            body(
                vec![Ok(b"abcd")],
                4,
                BodyChecks {
                    expected: wrong(),
                    ..none()
                },
            ),
            ErrorKind::BadDigest,
        ),
        (
            body(
                vec![Ok(b"abcd")],
                4,
                BodyChecks {
                    md5: Some([0; 16]),
                    ..none()
                },
            ),
            ErrorKind::BadDigest,
        ),
        (
            body(
                vec![Ok(b"abcd")],
                4,
                BodyChecks {
                    at_end: Some(Box::new(|| Err(BodyError::Short))),
                    ..none()
                },
            ),
            ErrorKind::IncompleteBody,
        ),
        (
            body(
                vec![Ok(b"abcd")],
                4,
                BodyChecks {
                    compute: vec![ChecksumKind::Crc32],
                    at_end: Some(Box::new(move || Ok(wrong()))),
                    ..none()
                },
            ),
            ErrorKind::BadDigest,
        ),
    ];
    for (number, (input, why)) in cases.into_iter().enumerate() {
        let call = world.call(Some("olivia"));
        let put = world
            .vault
            .write_object(&call, place("k"), NewObject::default(), input)
            .await;
        assert_eq!(kind(put), Some(why), "case {number}");
        assert!(call.is_recorded());
        assert_eq!(
            world.get("olivia", "k", Span::All).await.unwrap(),
            b"before"
        );
    }
}

fn absent() -> WriteConditions {
    WriteConditions {
        differs: Some(TagMatch::Any),
        ..WriteConditions::default()
    }
}

#[tokio::test]
async fn conditions_guard_writes() {
    let world = World::new().await;
    let write = async |conditions: WriteConditions, bytes: &'static [u8]| {
        let new = NewObject {
            conditions,
            ..NewObject::default()
        };
        let call = world.call(Some("olivia"));
        world
            .vault
            .write_object(&call, place("k"), new, input(bytes, 10))
            .await
    };
    let tag = |tag: &str| WriteConditions {
        matches: Some(TagMatch::Tags(vec![tag.to_owned()])),
        ..WriteConditions::default()
    };
    let first = write(absent(), b"1").await.unwrap();
    assert_eq!(
        kind(write(absent(), b"2").await),
        Some(ErrorKind::PreconditionFailed)
    );
    let foreign = "d41d8cd98f00b204e9800998ecf8427e";
    assert_eq!(
        kind(write(tag(foreign), b"2").await),
        Some(ErrorKind::PreconditionFailed)
    );
    write(tag(first.etag.as_str()), b"3").await.unwrap();
    let again = write(tag(first.etag.as_str()), b"4").await;
    assert_eq!(kind(again), Some(ErrorKind::PreconditionFailed));
    assert_eq!(world.get("olivia", "k", Span::All).await.unwrap(), b"3");
}

#[tokio::test]
async fn copies_share_blobs_and_outlive_their_source() {
    let world = World::new().await;
    let data = sample(100_000);
    world.put("olivia", "from", &data).await.unwrap();
    let from = |span| CopySource {
        place: place("from"),
        conditions: ReadConditions::default(),
        span,
    };
    let call = world.call(Some("olivia"));
    let none = WriteConditions::default();
    world
        .vault
        .copy_object(&call, from(Span::All), place("to"), None, none.clone())
        .await
        .unwrap();
    let call = world.call(Some("olivia"));
    world
        .vault
        .delete_object(&call, place("from"), none.clone(), false)
        .await
        .unwrap();
    assert!(world.get("job-1", "to", Span::All).await.unwrap() == data);
    let call = world.call(Some("olivia"));
    let gone = world
        .vault
        .copy_object(&call, from(Span::All), place("to"), None, none)
        .await;
    assert_eq!(kind(gone), Some(ErrorKind::NoSuchObject));
}

/// A form's fields and encoded words may hold what no header can carry back.
#[tokio::test]
async fn metadata_that_no_header_can_carry_are_refused() {
    let world = World::new().await;
    let user = |name: &str, value: &str| ObjectMeta {
        user: vec![(name.to_owned(), value.to_owned())],
        ..ObjectMeta::default()
    };
    let mut bad = vec![user("", "x"), user("a b", "x"), user("\u{e4}", "x")];
    for value in ["a\r\nx-evil: 1", "\0", "\u{7f}", "\u{85}"] {
        bad.push(user("a", value));
        let field = || Some(value.to_owned());
        bad.push(ObjectMeta {
            content_type: field(),
            ..ObjectMeta::default()
        });
        bad.push(ObjectMeta {
            content_disposition: field(),
            ..ObjectMeta::default()
        });
    }
    let fine = user("a", "h\u{e4}\u{df}");
    for (meta, refused) in bad
        .into_iter()
        .map(|meta| (meta, true))
        .chain([(fine, false)])
    {
        let new = NewObject {
            meta: meta.clone(),
            ..NewObject::default()
        };
        let call = world.call(Some("olivia"));
        let written = world
            .vault
            .write_object(&call, place("k"), new, input(b"x", 1));
        let wrong = refused.then_some(ErrorKind::InvalidArgument);
        assert_eq!(kind(written.await), wrong, "{meta:?}");
        assert!(call.is_recorded());
    }
}
