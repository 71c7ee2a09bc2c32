//! AZ-13: above the installation's ceiling, whatever is to take bytes, not one is asked for.

use futures_util::stream::poll_fn;

use super::cards::{copy, set, to, world};
use super::support::*;
use crate::vault::{CopySource, ErrorKind, Input, NewObject, ReadConditions, Span};

#[tokio::test]
async fn az_13_above_the_ceiling_no_body_is_read() {
    let unread = || Input {
        body: Box::pin(poll_fn(|_| panic!("the body is read"))),
        ..input(b"bytes", 9)
    };
    let mut world = world().await;
    set(&world, "olivia", to("secret")).await.unwrap();
    world.put("olivia", "a", b"bytes").await.unwrap();
    let (call, new) = (world.call(Some("olivia")), NewObject::default);
    let begun = world.vault.create_upload(&call, place("c"), new(), None);
    let upload = begun.await.unwrap().id.to_string();
    world.lower_ceiling("confidential");
    let above = Some(ErrorKind::AboveCeiling);
    let calls = [(); 4].map(|()| world.call(Some("olivia")));
    let [put, part, new_upload, copied] = &calls;
    let vault = &world.vault;
    let put = vault.write_object(put, place("b"), new(), unread());
    assert_eq!(kind(put.await), above);
    let part = vault.put_part(part, place("c"), &upload, 1, unread());
    assert_eq!(kind(part.await), above);
    let begun = vault.create_upload(new_upload, place("d"), new(), None);
    assert_eq!(kind(begun.await), above);
    assert_eq!(copy(&world, BUCKET, BUCKET).await, above);
    let from = CopySource {
        place: place("a"),
        conditions: ReadConditions::default(),
        span: Span::All,
    };
    let part = vault.copy_part(copied, from, place("c"), &upload, 1);
    assert_eq!(kind(part.await), above);
    for call in &calls {
        assert!(call.is_recorded());
    }
}
