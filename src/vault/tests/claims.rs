//! What is read by a session that is in a group by what its token claims, and ends.

use std::sync::Arc;

use futures_util::StreamExt as _;

use super::support::{World, place, sample};
use crate::catalog::{RosterKind, RosterRow};
use crate::ledger::AuthMethod;
use crate::types::{ClaimId, PrincipalId};
use crate::vault::{Assured, Bounds, Call, ReadAsk, Rests, Word};

fn readers() -> PrincipalId {
    "readers".parse().unwrap()
}

/// Stan signed in as `s|1`; readers read.
async fn stage() -> (World, ClaimId) {
    let world = World::new().await;
    world
        .put("olivia", "big", &sample(100 * 65_536))
        .await
        .unwrap();
    let local = world.call(None);
    let vault = &world.vault;
    vault.create_group(&local, readers()).await.unwrap();
    world.grant("readers", "reader").await;
    vault
        .link_identity(&local, ("sram", "s|1"), "stan".parse().unwrap())
        .await
        .unwrap();
    vault
        .map_claim(&local, ("sram", "readers"), readers())
        .await
        .unwrap();
    let entry = world
        .catalog
        .roster(RosterKind::Claim, "sram\nreaders")
        .await;
    let Some(RosterRow::Claim(row)) = entry.unwrap().map(|entry| entry.row) else {
        panic!("no claim")
    };
    (world, row.id)
}

fn session(world: &World, through: Vec<ClaimId>) -> Call {
    let call = world.call(Some("stan"));
    assert_ne!(call.session.auth, AuthMethod::Local);
    let bounds = Bounds {
        project: None,
        dataset: None,
        version: None,
        purpose: None,
        assured: Assured::default(),
        expires: world.vault.now().plus_millis(3_600_000),
        rests: Rests::Word(Word {
            issuer: "sram".to_owned(),
            subject: "s|1".to_owned(),
            through,
        }),
    };
    Call {
        bounds: Some(Arc::new(bounds)),
        ..call
    }
}

/// Reads a segment a second from what was opened before `end`; how long that went on.
async fn cut_after(world: &World, call: &Call, end: impl AsyncFnOnce()) -> u64 {
    let reading = world
        .vault
        .read_object(call, place("big"), ReadAsk::default());
    let mut body = reading.await.unwrap().body;
    body.next().await.unwrap().unwrap();
    end().await;
    let mut ms = 0;
    while let Ok(_segment) = body.next().await.expect("the object is long enough") {
        ms += 1000;
        world.wait(1000);
    }
    ms
}

#[tokio::test]
async fn id_3_what_runs_by_a_claim_ends_with_it() {
    let (world, claim) = stage().await;
    let member = session(&world, vec![claim]);
    let local = world.call(None);
    let vault = &world.vault;
    let reads = async |call: &Call| {
        let read = vault.read_object(call, place("big"), ReadAsk::default());
        read.await.is_ok()
    };
    assert!(reads(&member).await);
    assert!(!reads(&session(&world, Vec::new())).await);
    let strange = ClaimId::from_bytes([7; 16]);
    assert!(!reads(&session(&world, vec![strange])).await);

    let suspended = cut_after(&world, &member, async || {
        vault.suspend(&local, readers(), true).await.unwrap();
    });
    assert!(suspended.await <= 60_000);
    assert!(!reads(&member).await);
    vault.suspend(&local, readers(), false).await.unwrap();

    let unmapped = cut_after(&world, &member, async || {
        let ended = vault.unmap_claim(&local, ("sram", "readers"));
        ended.await.unwrap();
    });
    assert!(unmapped.await <= 60_000);
    assert!(!reads(&member).await);
}

#[tokio::test]
async fn a_claim_is_its_own_issuers_alone() {
    let (world, claim) = stage().await;
    let member = session(&world, vec![claim]);
    let bounds = Bounds {
        rests: Rests::Word(Word {
            issuer: "idp".to_owned(),
            subject: "s|1".to_owned(),
            through: vec![claim],
        }),
        ..(**member.bounds.as_ref().unwrap()).clone()
    };
    let other = Call {
        bounds: Some(Arc::new(bounds)),
        ..world.call(Some("stan"))
    };
    let read = world
        .vault
        .read_object(&other, place("big"), ReadAsk::default());
    assert!(read.await.is_err(), "another issuer's");
}
