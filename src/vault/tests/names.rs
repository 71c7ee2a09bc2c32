//! Datasets whose names are as long as S3's bound allows: made, reached, written to, told; what is
//! beyond it is not made and leaves nothing.

use super::support::{World, input, kind};
use crate::ledger::Outcome;
use crate::types::{BucketName, PrincipalId};
use crate::vault::{CardChange, ErrorKind, NewObject, Place, ReadAsk};

const TOO_LONG: Option<ErrorKind> = Some(ErrorKind::InvalidBucket);

/// A name that ends otherwise than what would be left of a longer one.
fn long(length: usize) -> String {
    format!("{}z", "d".repeat(length - 1))
}

async fn made(world: &World, bucket: &str) -> Option<ErrorKind> {
    let call = world.call(Some("olivia"));
    let made = world.vault.create_dataset(&call, bucket, false).await;
    assert!(call.is_recorded());
    kind(made)
}

/// The default project's (`icu`): by the bare name alone where the whole is beyond the bound.
#[tokio::test]
async fn a_name_of_63_letters_is_a_bucket() {
    let world = World::new().await;
    for name in [long(63), long(59), format!("icu--{}", long(58))] {
        assert_eq!(made(&world, &name).await, None, "{name}");
        let place = Place {
            bucket: &name,
            key: "a",
            version: None,
        };
        let call = world.call(Some("olivia"));
        let body = input(b"of it", 5);
        let write = world
            .vault
            .write_object(&call, place, NewObject::default(), body);
        write.await.unwrap();
    }
    // In full, too, and neither is another's.
    let whole = format!("icu--{}", long(63));
    for (bucket, there) in [(whole, true), (long(62), false), (long(58), true)] {
        let place = Place {
            bucket: &bucket,
            key: "a",
            version: None,
        };
        let call = world.call(Some("olivia"));
        let seen = world
            .vault
            .head_object(&call, place, ReadAsk::default())
            .await;
        let expected = (!there).then_some(ErrorKind::NoSuchDataset);
        assert_eq!(kind(seen), expected, "{bucket}");
    }
}

#[tokio::test]
async fn what_no_client_could_name_is_not_made() {
    let world = World::new().await;
    let keys = || world.vault.keyring.dataset_ids().unwrap().len();
    let before = keys();
    let elsewhere = |length: usize| format!("labs--{}", long(length));
    // Olivia owns nothing there: that is what she is told first.
    assert_eq!(
        made(&world, &elsewhere(57)).await,
        Some(ErrorKind::AccessDenied)
    );
    assert_eq!(
        made(&world, &elsewhere(58)).await,
        Some(ErrorKind::AccessDenied)
    );
    for bucket in [
        long(64),
        elsewhere(64),
        format!("{}--a", long(31)),
        long(106),
        long(200),
    ] {
        assert_eq!(made(&world, &bucket).await, TOO_LONG, "{bucket}");
        assert_eq!(
            world.last_completion().outcome,
            Outcome::Refused,
            "{bucket}"
        );
    }
    assert_eq!(keys(), before, "no key is left of it");
}

/// Where a project is not the default one its name counts, on the vault's host as over the network.
#[tokio::test]
async fn the_projects_name_counts_elsewhere() {
    let world = World::new().await;
    let labs = "labs".parse().unwrap();
    let olivia: PrincipalId = "olivia".parse().unwrap();
    let local = || world.call(None);
    world.vault.create_project(&local(), labs).await.unwrap();
    let owner = crate::policy::Grant {
        project: "labs".parse().unwrap(),
        ..world.draft("olivia", "owner")
    };
    world.vault.create_grant(&local(), owner).await.unwrap();
    let keys = || world.vault.keyring.dataset_ids().unwrap().len();
    let before = keys();
    let whole = |length: usize| format!("labs--{}", long(length));
    for length in [58, 63] {
        assert_eq!(made(&world, &whole(length)).await, TOO_LONG, "{length}");
        assert_eq!(world.last_completion().outcome, Outcome::Refused);
        let bucket = BucketName::parse(&whole(length), world.vault.default_project()).unwrap();
        let call = local();
        let change = CardChange::default();
        let found = world
            .vault
            .found_dataset(&call, bucket, Some(&olivia), change);
        assert_eq!(kind(found.await), TOO_LONG, "{length}");
        assert!(call.is_recorded());
    }
    assert_eq!(keys(), before, "no key is left of it");
    assert_eq!(made(&world, &whole(57)).await, None);
}
