//! What an erasure of one version takes, and that its certificate says no more than that.

use super::keywork::{V1, agree, bucket, certified, erase, get, put_in, stocked};
use super::support::{BUCKET, World, sample};
use crate::catalog::{Attached, EraseScope, KeyWorkRow, Mutation};
use crate::types::{ApprovalId, ProjectName};
use crate::vault::ErrorKind;

#[tokio::test]
async fn er_1_a_certificate_names_nothing_that_is_still_read() {
    let world = stocked().await;
    let place = world.catalog.dataset(&bucket()).await.unwrap().unwrap().id;
    let row = world.catalog.object(&place, &"a".parse().unwrap()).await;
    let tagged = Mutation::SetAttached {
        dataset: place,
        key: "a".parse().unwrap(),
        version: row.unwrap().unwrap().version,
        attached: Attached {
            tags: vec![("state".into(), "clean".into())],
            ..Attached::default()
        },
    };
    world.catalog.commit(vec![tagged]).await.unwrap();
    let row = erase(&world, EraseScope::Published(1)).await.unwrap();
    let held = certified(&world, &row).await.certificate;
    assert_eq!((held.writes, held.bytes, held.kept), (0, 0, 0));
    assert_eq!(get(&world, BUCKET, "a").await.unwrap(), sample(70_000));
    assert!(get(&world, V1, "a").await.is_err());
}

async fn approve(world: &World, id: ApprovalId) {
    let call = world.call(Some("oscar"));
    let icu: ProjectName = "icu".parse().unwrap();
    world.vault.approve_act(&call, (&icu, id)).await.unwrap();
}

async fn run(world: &World, id: ApprovalId) -> Result<KeyWorkRow, ErrorKind> {
    let icu: ProjectName = "icu".parse().unwrap();
    let call = world.call(Some("olivia"));
    let erased = world.vault.erase(&call, (&icu, id)).await;
    erased.map_err(|error| error.kind())
}

#[tokio::test]
async fn er_1_one_version_is_one_write_whatever_it_is_called() {
    let world = stocked().await;
    let call = world.call(None);
    let oscar = world
        .vault
        .create_principal(&call, "oscar".parse().unwrap(), None);
    oscar.await.unwrap();
    world.grant("oscar", "owner").await;
    let second = put_in(&world, BUCKET, "b", b"second").await;
    let overtaken = agree(&world, "write=null:b").await;
    let icu: ProjectName = "icu".parse().unwrap();
    let rows = world.catalog.approvals(&icu, 9).await.unwrap();
    let row = rows.iter().find(|row| row.id == overtaken).unwrap();
    assert_eq!(row.act.terms, [format!("write={second}:b")]);
    approve(&world, overtaken).await;
    let third = put_in(&world, BUCKET, "b", b"third").await;
    assert_eq!(run(&world, overtaken).await, Err(ErrorKind::NoSuchObject));
    assert_eq!(get(&world, BUCKET, "b").await.unwrap(), b"third");
    let id = agree(&world, "write=null:b").await;
    approve(&world, id).await;
    let row = run(&world, id).await.unwrap();
    let held = certified(&world, &row).await.certificate;
    assert_eq!((held.writes, held.bytes), (1, 5));
    assert_eq!(held.scope, format!("version {third} of b"));
    assert!(get(&world, BUCKET, "b").await.is_err());
    assert_eq!(get(&world, V1, "b").await.unwrap(), sample(300));
}
