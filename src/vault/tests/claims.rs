//! What is read by a session that is in a group by what its token claims, and ends.

use std::sync::Arc;

use futures_util::StreamExt as _;

use super::support::{World, kind, place, sample};
use crate::catalog::{RosterKind, RosterRow};
use crate::ledger::AuthMethod;
use crate::types::{ClaimId, PrincipalId};
use crate::vault::{Assured, Bounds, Call, ReadAsk, Rests, VisaTerms, VisaWord, Word};

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
    session_by(world, through, Vec::new())
}

fn session_by(world: &World, through: Vec<ClaimId>, visas: Vec<VisaWord>) -> Call {
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
            visas,
        }),
    };
    Call {
        bounds: Some(Arc::new(bounds)),
        ..call
    }
}

#[tokio::test]
async fn a_session_for_less_than_a_project_leaves_out_what_is_its_owners_own() {
    let (world, claim) = stage().await;
    let whole = session(&world, vec![claim]);
    let icu = "icu".parse().unwrap();
    let own = async |call: &Call| {
        let jobs = kind(world.vault.list_jobs(call).await);
        let notices = kind(world.vault.notices(call, None).await);
        let acts = kind(world.vault.acts(call, &icu).await);
        let groups = world.vault.own_groups(call).await.unwrap().is_some();
        assert_eq!(acts.is_none(), groups, "all of it, or nothing");
        assert_eq!((jobs, notices), (acts, acts));
        groups
    };
    assert!(own(&whole).await);
    for (dataset, purpose) in [(true, false), (false, true), (true, true)] {
        let bounds = Bounds {
            project: Some(icu.clone()),
            dataset: dataset.then(|| "ecg".parse().unwrap()),
            purpose: purpose.then(|| "test:try".to_owned()),
            ..(**whole.bounds.as_ref().unwrap()).clone()
        };
        let narrow = Call {
            bounds: Some(Arc::new(bounds)),
            ..session(&world, vec![claim])
        };
        assert!(!own(&narrow).await, "{dataset} {purpose}");
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
            visas: Vec::new(),
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

#[tokio::test]
async fn id_6_what_runs_by_a_visa_ends_with_what_it_rests_on() {
    let (world, claim) = stage().await;
    let local = world.call(None);
    let vault = &world.vault;
    let terms = VisaTerms {
        kind: "ControlledAccessGrants".to_owned(),
        value: "https://ega/d/1".to_owned(),
        source: None,
        by: Some("dac".to_owned()),
    };
    let said = ("ega", &terms);
    vault.map_visa(&local, said, readers()).await.unwrap();
    let stan = || "stan".parse().unwrap();
    let linked = vault.link_identity(&local, ("ega", "e|1"), stan());
    linked.await.unwrap();
    let rows = world
        .catalog
        .roster_page(RosterKind::Visa, "ega\n", 9)
        .await;
    let Some((name, RosterRow::Visa(row))) = rows.unwrap().pop().map(|(n, e)| (n, e.row)) else {
        panic!("no visa")
    };
    assert_eq!(
        VisaTerms::read(&name),
        Some(("ega".to_owned(), terms.clone()))
    );
    let by = |issuer: &str, subject: Option<&str>, through: ClaimId| {
        let held = VisaWord {
            issuer: issuer.to_owned(),
            subject: subject.map(str::to_owned),
            through: vec![through],
        };
        session_by(&world, Vec::new(), vec![held])
    };
    let reads = async |call: &Call| {
        let read = vault.read_object(call, place("big"), ReadAsk::default());
        read.await.is_ok()
    };
    let (own, linked) = (by("ega", None, row.id), by("ega", Some("e|1"), row.id));
    assert!(reads(&own).await);
    assert!(reads(&linked).await);
    // Not by another issuer's, another's subject, or what stands for a claim.
    for other in [
        by("sram", None, row.id),
        by("ega", Some("e|2"), row.id),
        by("sram", Some("e|1"), row.id),
        by("ega", None, claim),
        session(&world, vec![row.id]),
    ] {
        assert!(!reads(&other).await, "{:?}", other.bounds);
    }

    let unlinked = cut_after(&world, &linked, async || {
        let ended = vault.unlink_identity(&local, ("ega", "e|1"));
        ended.await.unwrap();
    });
    assert!(unlinked.await <= 60_000);
    assert!(!reads(&linked).await);
    assert!(reads(&own).await, "what rests on no link goes on");

    let unmapped = cut_after(&world, &own, async || {
        vault.unmap_visa(&local, said).await.unwrap();
    });
    assert!(unmapped.await <= 60_000);
    assert!(!reads(&own).await);
}

#[tokio::test]
async fn what_a_visa_opens_is_cut_when_the_session_ends() {
    let (world, _claim) = stage().await;
    let local = world.call(None);
    let terms = VisaTerms {
        kind: "ResearcherStatus".to_owned(),
        value: "v".to_owned(),
        source: None,
        by: None,
    };
    let mapped = world.vault.map_visa(&local, ("ega", &terms), readers());
    mapped.await.unwrap();
    let rows = world.catalog.roster_page(RosterKind::Visa, "", 9).await;
    let Some((_, RosterRow::Visa(row))) = rows.unwrap().pop().map(|(n, e)| (n, e.row)) else {
        panic!("no visa")
    };
    let held = VisaWord {
        issuer: "ega".to_owned(),
        subject: None,
        through: vec![row.id],
    };
    let call = session_by(&world, Vec::new(), vec![held]);
    let bounds = Bounds {
        expires: world.vault.now().plus_millis(20_000),
        ..(**call.bounds.as_ref().unwrap()).clone()
    };
    let short = Call {
        bounds: Some(Arc::new(bounds)),
        ..call
    };
    let ran = cut_after(&world, &short, async || {});
    assert!(ran.await <= 20_000 + 60_000);
}
