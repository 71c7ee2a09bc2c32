//! Two requests at once, in every order of their steps.

use std::sync::Arc;

use super::ports::{Gate, Gated};
use super::support::{World, input, place};
use crate::catalog::SharedCatalog;
use crate::types::VersionId;
use crate::vault::{CompletedPart, Completing, ErrorKind, NewObject, Span};

/// More than a completion has calls of the catalog.
const STEPS: usize = 12;

/// A world whose catalog lets other tasks go first at each call.
async fn world() -> World {
    let mut world = World::new().await;
    let gate = Gate::polite();
    world.rewire(|mut parts| {
        parts.catalog = Arc::new(Gated::<SharedCatalog>::new(parts.catalog, &gate));
        parts
    });
    world
}

/// An upload of one part.
async fn upload(world: &World, key: &str) -> (String, CompletedPart) {
    let call = world.call(Some("olivia"));
    let begun = world
        .vault
        .create_upload(&call, place(key), NewObject::default(), None)
        .await;
    let upload = begun.unwrap().id.to_string();
    let part = world
        .vault
        .put_part(&call, place(key), &upload, 1, input(b"part", 4))
        .await;
    let part = CompletedPart {
        number: 1,
        etag: part.unwrap().0.etag.to_string(),
        checksums: Vec::new(),
    };
    (upload, part)
}

/// Completes it `delay` steps later.
async fn complete(
    world: &World,
    (key, upload, part): (&str, &str, &CompletedPart),
    delay: usize,
) -> Result<VersionId, ErrorKind> {
    for _ in 0..delay {
        tokio::task::yield_now().await;
    }
    let call = world.call(Some("olivia"));
    let completing = Completing {
        parts: vec![part.clone()],
        ..Completing::default()
    };
    let done = world
        .vault
        .complete_upload(&call, place(key), upload, completing)
        .await;
    done.map(|row| row.version).map_err(|error| error.kind())
}

/// The later one once read the upload before the other's commit and its parts after it, and was
/// told that a part is wrong.
#[tokio::test]
async fn of_two_equal_completions_one_makes_the_object_and_both_are_told_of_it() {
    let world = world().await;
    for delay in 0..STEPS {
        let key = format!("k{delay}");
        let (upload, part) = upload(&world, &key).await;
        let which = (key.as_str(), upload.as_str(), &part);
        let (first, second) =
            tokio::join!(complete(&world, which, 0), complete(&world, which, delay));
        assert!(
            first.is_ok() && first == second,
            "after {delay} steps: {first:?} {second:?}"
        );
        assert_eq!(world.get("olivia", &key, Span::All).await.unwrap(), b"part");
    }
}

#[tokio::test]
async fn of_a_completion_and_an_abort_one_wins() {
    let world = world().await;
    for delay in 0..STEPS {
        let key = format!("k{delay}");
        let (upload, part) = upload(&world, &key).await;
        let which = (key.as_str(), upload.as_str(), &part);
        let call = world.call(Some("olivia"));
        let (aborted, completed) = tokio::join!(
            world.vault.abort_upload(&call, place(&key), &upload),
            complete(&world, which, delay),
        );
        let there = world.get("olivia", &key, Span::All).await.is_ok();
        match (aborted.map_err(|error| error.kind()), completed) {
            (Ok(()), Err(ErrorKind::NoSuchUpload)) => assert!(!there, "after {delay} steps"),
            (Err(ErrorKind::NoSuchUpload), Ok(_)) => assert!(there, "after {delay} steps"),
            other => panic!("after {delay} steps: {other:?}"),
        }
    }
}
