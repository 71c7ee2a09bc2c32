//! What waits for a second person: that whoever may only ask neither hides it from others nor takes
//! their places.

use super::approvals::{self, icu};
use super::support::*;
use crate::catalog::{ApprovalRow, ApprovalState, ApprovalStep, Mutation};
use crate::types::{Act, ActKind, ApprovalId, BucketName, limits};
use crate::vault::{ActDraft, ErrorKind};

const FULL: Option<ErrorKind> = Some(ErrorKind::Conflict);
const OF_ONE: u32 = limits::APPROVALS_OF_ONE_MAX;

/// Beside those who approve in other tests: remi, who may only ask, too.
async fn world() -> World {
    let world = approvals::world().await;
    let local = world.call(None);
    let made = world
        .vault
        .create_principal(&local, "remi".parse().unwrap(), None);
    made.await.unwrap();
    world.grant("remi", "responder").await;
    world
}

fn draft(kind: ActKind) -> ActDraft {
    let terms: &[(&str, &str)] = match kind {
        ActKind::BreakGlass => &[("who", "stan"), ("minutes", "60")],
        ActKind::LowerLabel => &[("to", "public")],
        ActKind::Erase => &[("what", "dataset")],
        ActKind::ShortenLog => &[("days", "365")],
    };
    let terms = terms
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    ActDraft {
        kind,
        project: icu(),
        dataset: (kind != ActKind::ShortenLog).then(|| "ecg".parse().unwrap()),
        terms: terms.collect(),
        reason: "for a reason".to_owned(),
    }
}

async fn ask(world: &World, who: &str, kind: ActKind) -> Result<ApprovalId, ErrorKind> {
    let call = world.call(Some(who));
    let row = world.vault.ask_act(&call, draft(kind)).await;
    assert!(call.is_recorded(), "asked or refused, it is in the log");
    row.map(|row| row.id).map_err(|error| error.kind())
}

/// Asks for a label's lowering.
async fn lower(world: &World, who: &str) -> Option<ErrorKind> {
    ask(world, who, ActKind::LowerLabel).await.err()
}

/// Asks to break the glass.
async fn glass(world: &World, who: &str) -> Option<ErrorKind> {
    ask(world, who, ActKind::BreakGlass).await.err()
}

async fn withdraw(world: &World, who: &str, id: ApprovalId) -> Option<ErrorKind> {
    let call = world.call(Some(who));
    kind(world.vault.withdraw_act(&call, (&icu(), id)).await)
}

/// So many acts of somebody, put into the catalog at once, each withdrawn again or not: as a
/// faster pace, more gateways, or an older build would.
async fn put(world: &World, asker: &str, count: u32, withdrawn: bool) {
    let now = world.vault.now();
    let bucket = BucketName {
        project: icu(),
        dataset: "ecg".parse().unwrap(),
    };
    let dataset = world.catalog.dataset(&bucket).await.unwrap().unwrap();
    let mut changes = Vec::new();
    for _ in 0..count {
        let id = ApprovalId::random(world.vault.entropy.as_ref()).unwrap();
        let row = ApprovalRow {
            id,
            act: Act {
                kind: ActKind::LowerLabel,
                project: icu(),
                dataset: Some((dataset.bucket.dataset.clone(), dataset.id)),
                terms: vec!["public".to_owned()],
            },
            asker: asker.parse().unwrap(),
            reason: "for no reason".to_owned(),
            asked: now,
            state: ApprovalState::Asked,
            due: now.plus_millis(limits::APPROVAL_WAIT_MS),
            approver: None,
            settled: None,
        };
        changes.push(Mutation::AskApproval { row, now });
        if withdrawn {
            let step = ApprovalStep {
                to: ApprovalState::Withdrawn,
                by: asker.parse().unwrap(),
                due: now,
                now,
            };
            changes.push(Mutation::StepApproval { approval: id, step });
        }
    }
    world.catalog.commit(changes).await.unwrap();
}

#[tokio::test]
async fn what_waits_is_shown_whatever_was_withdrawn_since() {
    let world = world().await;
    let waits = ask(&world, "rita", ActKind::BreakGlass).await.unwrap();
    let agreed = ask(&world, "olivia", ActKind::LowerLabel).await.unwrap();
    let call = world.call(Some("oona"));
    let approved = world.vault.approve_act(&call, (&icu(), agreed)).await;
    approved.unwrap();
    world.wait(1);
    put(&world, "remi", 1_001, true).await;
    for who in ["oona", "oscar", "rita", "remi"] {
        let seen = world.vault.acts(&world.call(Some(who)), &icu()).await;
        let seen = seen.unwrap();
        assert_eq!(seen.len(), limits::APPROVALS_TOLD_MAX, "{who}");
        let first: Vec<_> = seen.iter().take(2).map(|row| row.id).collect();
        assert!(first.contains(&waits) && first.contains(&agreed), "{who}");
        let others = seen.iter().skip(2).map(|row| row.state);
        assert!(others.eq([ApprovalState::Withdrawn; 998]), "{who}");
        // Each by its id, to its asker and to whoever may take part.
        for id in [waits, agreed] {
            let call = world.call(Some(who));
            let shown = world.vault.show_act(&call, (&icu(), id)).await;
            assert_eq!(shown.unwrap().id, id, "{who}");
        }
    }
    // To nobody else, and not as another project's.
    let call = world.call(Some("stan"));
    let shown = world.vault.show_act(&call, (&icu(), waits)).await;
    assert_eq!(kind(shown), Some(ErrorKind::AccessDenied));
    let call = world.call(Some("rita"));
    let elsewhere = "lab".parse().unwrap();
    let shown = world.vault.show_act(&call, (&elsewhere, waits)).await;
    assert_eq!(kind(shown), Some(ErrorKind::AccessDenied));
    // Whoever may refuses it, as long as it waits.
    let call = world.call(Some("oscar"));
    let refused = world.vault.refuse_act(&call, (&icu(), agreed)).await;
    assert_eq!(refused.unwrap().state, ApprovalState::Refused);
}

#[tokio::test]
async fn one_asker_does_not_fill_a_projects_places() {
    let world = world().await;
    let first = ask(&world, "rita", ActKind::BreakGlass).await.unwrap();
    for _ in 1..OF_ONE {
        assert_eq!(glass(&world, "rita").await, None);
    }
    assert_eq!(glass(&world, "rita").await, FULL);
    assert_eq!(glass(&world, "remi").await, None);
    assert_eq!(lower(&world, "olivia").await, None);
    // Taken back or refused, an act makes room; approved, it waits to be done.
    assert_eq!(withdraw(&world, "rita", first).await, None);
    let next = ask(&world, "rita", ActKind::BreakGlass).await.unwrap();
    let call = world.call(Some("oona"));
    let vault = &world.vault;
    vault.approve_act(&call, (&icu(), next)).await.unwrap();
    assert_eq!(glass(&world, "rita").await, FULL);
    let call = world.call(Some("oona"));
    vault.refuse_act(&call, (&icu(), next)).await.unwrap();
    assert_eq!(glass(&world, "rita").await, None);
    assert_eq!(glass(&world, "rita").await, FULL);
    // So does its time.
    world.wait(limits::APPROVAL_WAIT_MS);
    assert_eq!(glass(&world, "rita").await, None);
}

#[tokio::test]
async fn some_of_a_projects_places_are_for_emergencies() {
    let world = world().await;
    let kept = limits::APPROVALS_FOR_EMERGENCIES;
    let crowd = limits::APPROVALS_OPEN_MAX - kept - OF_ONE;
    for number in 0..crowd / OF_ONE {
        put(&world, &format!("p{number}"), OF_ONE, false).await;
    }
    put(&world, "oscar", OF_ONE, false).await;
    assert_eq!(lower(&world, "olivia").await, FULL);
    let erased = ask(&world, "olivia", ActKind::Erase).await;
    assert_eq!(erased.err(), FULL);
    for who in ["rita", "remi"] {
        for _ in 0..kept / 2 {
            assert_eq!(glass(&world, who).await, None, "{who}");
        }
    }
    assert_eq!(glass(&world, "olivia").await, FULL);
    // Who is suspended keeps no place from others.
    for (suspended, told) in [(true, None), (false, FULL)] {
        for who in ["rita", "oscar"] {
            let (local, who) = (world.call(None), who.parse().unwrap());
            world.vault.suspend(&local, who, suspended).await.unwrap();
        }
        assert_eq!(glass(&world, "olivia").await, told, "{suspended}");
        assert_eq!(lower(&world, "olivia").await, FULL, "but for emergencies");
    }
}

#[tokio::test]
async fn the_bound_holds_whatever_was_withdrawn() {
    let world = world().await;
    put(&world, "rita", OF_ONE - 1, false).await;
    for _ in 0..2 {
        world.wait(1);
        put(&world, "rita", 1_001, true).await;
    }
    assert_eq!(glass(&world, "rita").await, None);
    assert_eq!(glass(&world, "rita").await, FULL);
    let open = limits::APPROVALS_OPEN_MAX / OF_ONE;
    for number in 1..open {
        put(&world, &format!("p{number}"), OF_ONE, false).await;
    }
    world.wait(1);
    put(&world, "remi", 1_001, true).await;
    assert_eq!(glass(&world, "remi").await, FULL);
    let now = world.vault.now();
    let waiting = world.catalog.waiting(&icu(), now, 9_999).await.unwrap();
    assert_eq!(waiting.len(), limits::APPROVALS_OPEN_MAX as usize);
}

#[tokio::test]
async fn asking_has_a_pace_and_taking_back_none() {
    let world = world().await;
    let mut last = None;
    for number in 0..limits::ASKS_BURST {
        let id = ask(&world, "rita", ActKind::BreakGlass).await.unwrap();
        last = Some(id);
        if number + 1 < limits::ASKS_BURST {
            assert_eq!(withdraw(&world, "rita", id).await, None);
        }
    }
    let often = Some(ErrorKind::SlowDown);
    assert_eq!(glass(&world, "rita").await, often);
    assert_eq!(withdraw(&world, "rita", last.unwrap()).await, None);
    assert_eq!(glass(&world, "rita").await, often);
    assert_eq!(glass(&world, "remi").await, None, "hers is another pace");
    world.wait(u64::from(limits::ASK_SECONDS) * 1_000);
    assert_eq!(glass(&world, "rita").await, None);
    assert_eq!(glass(&world, "rita").await, often);
}
