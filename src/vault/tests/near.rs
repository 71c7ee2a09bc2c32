//! What is said to whoever holds a grant that does not serve her.

use super::support::{BUCKET, World, kind};
use crate::vault::{ErrorKind, Place, ReadAsk};

/// What she is told is of her own grant. Whether a dataset or a key is there, she does not learn.
#[tokio::test]
async fn az_7_who_held_a_grant_learns_that_it_is_over_and_not_what_is_there() {
    let world = World::new().await;
    world.put("olivia", "k", b"x").await.unwrap();
    let mut grant = world.draft("stan", "reader");
    grant.expires = Some(world.vault.now().plus_millis(10));
    world.make_grant(grant).await.unwrap();
    world.wait(10);
    let read = async |who: &str, bucket: &str, key: &str| {
        let call = world.call(Some(who));
        let place = Place {
            bucket,
            key,
            version: None,
        };
        let got = world.vault.read_object(&call, place, ReadAsk::default());
        kind(got.await.map(drop))
    };
    let over = Some(ErrorKind::GrantOver);
    for (bucket, key) in [(BUCKET, "k"), (BUCKET, "absent"), ("icu--absent", "k")] {
        assert_eq!(read("stan", bucket, key).await, over, "{bucket}/{key}");
        let nothing = Some(ErrorKind::AccessDenied);
        assert_eq!(read("nina", bucket, key).await, nothing, "{bucket}/{key}");
    }
    let written = world.put("stan", "k", b"y").await;
    assert_eq!(kind(written), Some(ErrorKind::AccessDenied), "never hers");
    let call = world.call(None);
    world
        .vault
        .suspend(&call, "stan".parse().unwrap(), true)
        .await
        .unwrap();
    assert_eq!(
        read("stan", BUCKET, "k").await,
        Some(ErrorKind::AccessDenied)
    );
}
