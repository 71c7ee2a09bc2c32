//! AZ-10: what takes two persons takes two, once, exactly, in time.

use super::support::*;
use crate::catalog::{ApprovalState, Mutation, Setting, SettingKind};
use crate::ledger::{AuthMethod, Entry, Session};
use crate::types::{Act, ActKind, Action, ApprovalId, PrincipalId, ProjectName, limits};
use crate::vault::{ActDraft, Call, ErrorKind};
use std::sync::Arc;

pub(super) fn icu() -> ProjectName {
    "icu".parse().unwrap()
}

fn draft() -> ActDraft {
    ActDraft {
        kind: ActKind::LowerLabel,
        project: icu(),
        dataset: Some("ecg".parse().unwrap()),
        terms: vec![("to".to_owned(), "public".to_owned())],
        reason: "names were removed".to_owned(),
    }
}

/// Beside olivia: oscar, an owner too; oona, an officer; rita, a responder.
pub(super) async fn world() -> World {
    let world = World::new().await;
    for (name, role) in [
        ("oscar", "owner"),
        ("oona", "officer"),
        ("rita", "responder"),
    ] {
        let local = world.call(None);
        let made = world
            .vault
            .create_principal(&local, name.parse().unwrap(), None);
        made.await.unwrap();
        world.grant(name, role).await;
    }
    world
}

async fn ask(world: &World, who: &str, draft: ActDraft) -> Result<ApprovalId, ErrorKind> {
    let call = world.call(Some(who));
    let row = world.vault.ask_act(&call, draft).await;
    assert!(call.is_recorded(), "asked or refused, it is in the log");
    row.map(|row| row.id).map_err(|error| error.kind())
}

async fn approve(world: &World, who: &str, id: ApprovalId) -> Result<(), ErrorKind> {
    let call = world.call(Some(who));
    let row = world.vault.approve_act(&call, (&icu(), id)).await;
    assert!(call.is_recorded(), "approved or refused, it is in the log");
    row.map(drop).map_err(|error| error.kind())
}

async fn act(world: &World, id: ApprovalId) -> Act {
    world.catalog.approval(&id).await.unwrap().unwrap().act
}

async fn state(world: &World, id: ApprovalId) -> ApprovalState {
    world.catalog.approval(&id).await.unwrap().unwrap().state
}

/// Does the act as a use case would, on the word of `who`, or on the host.
async fn carry_out(
    world: &World,
    who: Option<&str>,
    (id, act): (ApprovalId, &Act),
) -> Result<(), ErrorKind> {
    let call = world.call(who);
    let approved = world.vault.approved(&call, id, act).await;
    let approved = approved.map_err(|error| error.kind())?;
    assert_eq!(approved.act(), act);
    let done = world.vault.carry_out(approved, Vec::new()).await;
    done.map(drop).map_err(|error| error.kind())
}

const DENIED: Result<(), ErrorKind> = Err(ErrorKind::AccessDenied);
const OVER: Result<(), ErrorKind> = Err(ErrorKind::Conflict);

#[tokio::test]
async fn az_10_two_persons_do_it_once() {
    let world = world().await;
    let id = ask(&world, "olivia", draft()).await.unwrap();
    let act = act(&world, id).await;
    assert_eq!(
        carry_out(&world, Some("olivia"), (id, &act)).await,
        OVER,
        "not approved yet"
    );
    approve(&world, "oscar", id).await.unwrap();
    assert_eq!(carry_out(&world, Some("olivia"), (id, &act)).await, Ok(()));
    assert_eq!(state(&world, id).await, ApprovalState::Spent);
    assert_eq!(
        carry_out(&world, Some("olivia"), (id, &act)).await,
        OVER,
        "a replay"
    );
    assert_eq!(approve(&world, "oona", id).await, OVER);
    let told: Vec<String> = world
        .journal
        .entries()
        .into_iter()
        .filter_map(|entry| match entry {
            Entry::Intent { intent, .. } => intent.query.filter(|text| text.contains("approval=")),
            _ => None,
        })
        .collect();
    assert!(
        told[0].contains("asker=olivia approver= label.lower icu/ecg to=public from=internal"),
        "{told:?}"
    );
    assert!(told[0].contains("reason=names were removed"), "{told:?}");
    assert!(
        told.iter().any(|text| text.contains("to=Approved")),
        "{told:?}"
    );
}

#[tokio::test]
async fn az_10_nobody_is_both_persons() {
    let world = world().await;
    let id = ask(&world, "olivia", draft()).await.unwrap();
    // With whatever credential: what counts is the person.
    for key in ["KLUS0000000000000001", "KLUS0000000000000002"] {
        let call = with(&world, "olivia", |session| {
            session.access_key = Some(key.parse().unwrap());
        });
        let told = world.vault.approve_act(&call, (&icu(), id)).await;
        assert_eq!(told.unwrap_err().kind(), ErrorKind::TakesTwo);
    }
    // The catalog would not have it either.
    let step = crate::catalog::ApprovalStep {
        to: ApprovalState::Approved,
        by: "olivia".parse().unwrap(),
        due: world.vault.now().plus_millis(1),
        now: world.vault.now(),
    };
    let forced = world
        .catalog
        .commit(vec![Mutation::StepApproval { approval: id, step }])
        .await;
    assert!(forced.is_err());
    assert_eq!(state(&world, id).await, ApprovalState::Asked);
}

fn with(world: &World, who: &str, change: impl FnOnce(&mut Session)) -> Call {
    let mut call = world.call(Some(who));
    let mut session = Session::clone(&call.session);
    change(&mut session);
    call.session = Arc::new(session);
    call
}

#[tokio::test]
async fn az_10_who_may_not_approve_does_not() {
    let world = world().await;
    world.grant("job-1", "owner").await;
    world
        .vault
        .create_principal(&world.call(None), "otto".parse().unwrap(), None)
        .await
        .unwrap();
    world.grant("otto", "operator").await;
    let id = ask(&world, "olivia", draft()).await.unwrap();
    for who in [
        "otto", "stan", "dirk", "ruben", "anna", "rita", "job-1", "nobody",
    ] {
        assert_eq!(approve(&world, who, id).await, DENIED, "{who}");
    }
    // The host names nobody, whoever runs the command.
    let told = world
        .vault
        .approve_act(&world.call(None), (&icu(), id))
        .await;
    assert_eq!(told.unwrap_err().kind(), ErrorKind::AccessDenied);
    let told = world.vault.ask_act(&world.call(None), draft()).await;
    assert_eq!(told.unwrap_err().kind(), ErrorKind::AccessDenied);
    // A link that somebody was given is no signature of hers; nor does a workload sign for her.
    let presigned = with(&world, "oscar", |session| {
        session.auth = AuthMethod::SigV4Query;
    });
    let acting = with(&world, "oscar", |session| {
        session.responsible = Some("ruben".parse().unwrap());
    });
    for call in [presigned, acting] {
        let told = world.vault.approve_act(&call, (&icu(), id)).await;
        assert_eq!(told.unwrap_err().kind(), ErrorKind::AccessDenied);
    }
    assert_eq!(state(&world, id).await, ApprovalState::Asked);
}

#[tokio::test]
async fn az_10_asking_takes_the_right_to_the_act_too() {
    let world = world().await;
    for who in ["stan", "ruben", "dirk", "anna", "job-1"] {
        assert_eq!(
            ask(&world, who, draft()).await,
            Err(ErrorKind::AccessDenied),
            "{who}"
        );
    }
    // They may ask, and configure nothing.
    for who in ["oona", "rita"] {
        assert_eq!(
            ask(&world, who, draft()).await,
            Err(ErrorKind::AccessDenied),
            "{who}"
        );
    }
    let emergency = ActDraft {
        kind: ActKind::BreakGlass,
        terms: vec![
            ("who".to_owned(), "rita".to_owned()),
            ("minutes".to_owned(), "60".to_owned()),
        ],
        ..draft()
    };
    ask(&world, "rita", emergency.clone()).await.unwrap();
    // Who gains is not the second person.
    let oscars = ActDraft {
        terms: vec![
            ("who".to_owned(), "oscar".to_owned()),
            ("minutes".to_owned(), "60".to_owned()),
        ],
        ..emergency
    };
    let id = ask(&world, "rita", oscars).await.unwrap();
    let alone = approve(&world, "oscar", id).await;
    assert_eq!(alone, Err(ErrorKind::TakesTwo));
    assert_eq!(approve(&world, "oona", id).await, Ok(()));
}

#[tokio::test]
async fn az_10_an_approval_is_for_one_act_exactly() {
    let world = world().await;
    let id = ask(&world, "olivia", draft()).await.unwrap();
    approve(&world, "oscar", id).await.unwrap();
    let right = act(&world, id).await;
    let bend: [fn(&mut Act); 5] = [
        |act| act.terms = vec!["internal".to_owned()],
        |act| act.terms.push(String::new()),
        |act| act.kind = ActKind::Erase,
        |act| act.dataset.as_mut().unwrap().0 = "mri".parse().unwrap(),
        // Erased and made anew under the old name.
        |act| act.dataset.as_mut().unwrap().1 = crate::types::DatasetId::from_bytes([9; 16]),
    ];
    for (number, bend) in bend.into_iter().enumerate() {
        let mut other = right.clone();
        bend(&mut other);
        assert_eq!(
            carry_out(&world, Some("olivia"), (id, &other)).await,
            DENIED,
            "{number}"
        );
    }
    let other = Act {
        project: "lab".parse().unwrap(),
        ..right.clone()
    };
    assert_eq!(
        carry_out(&world, Some("olivia"), (id, &other)).await,
        DENIED
    );
    for who in ["oscar", "oona", "stan"] {
        assert_eq!(
            carry_out(&world, Some(who), (id, &right)).await,
            DENIED,
            "{who} did not ask"
        );
    }
    let unknown = ApprovalId::from_bytes([7; 16]);
    assert_eq!(
        carry_out(&world, Some("olivia"), (unknown, &right)).await,
        DENIED
    );
    assert_eq!(
        carry_out(&world, None, (id, &right)).await,
        Ok(()),
        "the host does what two said"
    );
}

#[tokio::test]
async fn az_10_time_is_bounded() {
    let world = world().await;
    let id = ask(&world, "olivia", draft()).await.unwrap();
    let act = act(&world, id).await;
    world.wait(limits::APPROVAL_WAIT_MS);
    assert_eq!(
        approve(&world, "oscar", id).await,
        OVER,
        "it waited too long"
    );
    let id = ask(&world, "olivia", draft()).await.unwrap();
    world.wait(limits::APPROVAL_WAIT_MS - 1);
    approve(&world, "oscar", id).await.unwrap();
    world.wait(limits::APPROVAL_GOOD_MS);
    assert_eq!(
        carry_out(&world, Some("olivia"), (id, &act)).await,
        OVER,
        "nobody did it"
    );
}

#[tokio::test]
async fn az_10_withdrawn_and_refused_are_over() {
    let world = world().await;
    for approved_before in [false, true] {
        let id = ask(&world, "olivia", draft()).await.unwrap();
        let act = act(&world, id).await;
        if approved_before {
            approve(&world, "oscar", id).await.unwrap();
        }
        let others = world
            .vault
            .withdraw_act(&world.call(Some("oscar")), (&icu(), id))
            .await;
        assert_eq!(
            others.unwrap_err().kind(),
            ErrorKind::AccessDenied,
            "another's"
        );
        let own = world
            .vault
            .withdraw_act(&world.call(Some("olivia")), (&icu(), id))
            .await;
        assert_eq!(own.unwrap().state, ApprovalState::Withdrawn);
        assert_eq!(approve(&world, "oscar", id).await, OVER);
        assert_eq!(carry_out(&world, Some("olivia"), (id, &act)).await, OVER);

        let id = ask(&world, "olivia", draft()).await.unwrap();
        if approved_before {
            approve(&world, "oscar", id).await.unwrap();
        }
        let refused = world
            .vault
            .refuse_act(&world.call(Some("stan")), (&icu(), id))
            .await;
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::AccessDenied);
        let refused = world
            .vault
            .refuse_act(&world.call(Some("oona")), (&icu(), id))
            .await;
        assert_eq!(refused.unwrap().state, ApprovalState::Refused);
        assert_eq!(approve(&world, "oscar", id).await, OVER);
        assert_eq!(carry_out(&world, Some("olivia"), (id, &act)).await, OVER);
    }
}

#[tokio::test]
async fn az_10_both_must_still_have_the_right() {
    for fallen in ["olivia", "oscar"] {
        let world = world().await;
        let id = ask(&world, "olivia", draft()).await.unwrap();
        let act = act(&world, id).await;
        approve(&world, "oscar", id).await.unwrap();
        let who: PrincipalId = fallen.parse().unwrap();
        world
            .vault
            .suspend(&world.call(None), who.clone(), true)
            .await
            .unwrap();
        assert_eq!(
            carry_out(&world, Some("olivia"), (id, &act)).await,
            DENIED,
            "{fallen}"
        );
        assert_eq!(
            carry_out(&world, None, (id, &act)).await,
            DENIED,
            "{fallen}"
        );
        world
            .vault
            .suspend(&world.call(None), who, false)
            .await
            .unwrap();
        assert_eq!(carry_out(&world, None, (id, &act)).await, Ok(()));
    }
    // A suspended person approves nothing.
    let world = world().await;
    let id = ask(&world, "olivia", draft()).await.unwrap();
    world
        .vault
        .suspend(&world.call(None), "oscar".parse().unwrap(), true)
        .await
        .unwrap();
    assert_eq!(approve(&world, "oscar", id).await, DENIED);
    // Nor one whose grant was withdrawn behind her approval.
    approve(&world, "oona", id).await.unwrap();
    let grants = world.catalog.grants(&icu(), 100).await.unwrap();
    let hers = grants
        .iter()
        .find(|grant| grant.principal.as_str() == "oona")
        .unwrap();
    let gone = world
        .vault
        .revoke_grant(&world.call(None), (&icu(), hers.id), None)
        .await;
    gone.unwrap();
    let act = act(&world, id).await;
    assert_eq!(carry_out(&world, Some("olivia"), (id, &act)).await, DENIED);
}

#[tokio::test]
async fn az_10_of_two_who_spend_it_one_does() {
    let world = world().await;
    let id = ask(&world, "olivia", draft()).await.unwrap();
    let act = act(&world, id).await;
    approve(&world, "oscar", id).await.unwrap();
    let call = world.call(Some("olivia"));
    let first = world.vault.approved(&call, id, &act).await.unwrap();
    let second = world.vault.approved(&call, id, &act).await.unwrap();
    let dataset = act.dataset.as_ref().unwrap().1;
    let mark = |text: &str| {
        let value = Some(Setting::Tags(vec![(text.to_owned(), String::new())]));
        vec![Mutation::SetSetting {
            dataset,
            kind: SettingKind::Tags,
            value,
        }]
    };
    let _done = world.vault.carry_out(first, mark("first")).await.unwrap();
    let told = world.vault.carry_out(second, mark("second")).await;
    assert_eq!(told.unwrap_err().kind(), ErrorKind::Conflict);
    let stands = world
        .catalog
        .setting(&dataset, SettingKind::Tags)
        .await
        .unwrap();
    assert_eq!(
        stands,
        Some(Setting::Tags(vec![("first".to_owned(), String::new())]))
    );
}

#[tokio::test]
async fn an_act_that_means_nothing_is_not_asked() {
    let world = world().await;
    let bend: [fn(&mut ActDraft); 14] = [
        |draft| draft.dataset = None,
        |draft| draft.terms.clear(),
        |draft| draft.terms[0].0 = "label".to_owned(),
        |draft| draft.terms[0].1 = String::new(),
        |draft| draft.terms[0].1 = "a\nb".to_owned(),
        |draft| draft.terms[0].1 = "x".repeat(limits::LABEL_BYTES_MAX + 1),
        |draft| draft.terms.push(("to".to_owned(), "public".to_owned())),
        |draft| draft.reason = String::new(),
        |draft| draft.reason = "a\u{1b}[2J".to_owned(),
        |draft| draft.reason = "x".repeat(limits::REASON_BYTES_MAX + 1),
        |draft| {
            draft.kind = ActKind::Erase;
            draft.terms = vec![("what".to_owned(), "everything".to_owned())];
        },
        |draft| {
            draft.kind = ActKind::Erase;
            draft.terms = vec![("what".to_owned(), "version=03".to_owned())];
        },
        |draft| {
            draft.kind = ActKind::BreakGlass;
            draft.terms = vec![
                ("who".to_owned(), "stan".to_owned()),
                (
                    "minutes".to_owned(),
                    (limits::BREAK_GLASS_MINUTES_MAX + 1).to_string(),
                ),
            ];
        },
        |draft| {
            draft.kind = ActKind::ShortenLog;
            draft.terms = vec![("days".to_owned(), "30".to_owned())];
        },
    ];
    for (number, bend) in bend.into_iter().enumerate() {
        let mut draft = draft();
        bend(&mut draft);
        let told = ask(&world, "olivia", draft).await;
        assert_eq!(told, Err(ErrorKind::InvalidArgument), "{number}");
    }
    let mut elsewhere = draft();
    elsewhere.dataset = Some("gone".parse().unwrap());
    assert_eq!(
        ask(&world, "olivia", elsewhere).await,
        Err(ErrorKind::NoSuchDataset)
    );
}

#[tokio::test]
async fn acts_are_seen_by_who_may_take_part() {
    let world = world().await;
    let id = ask(&world, "olivia", draft()).await.unwrap();
    let seen = async |who: &str| {
        let call = world.call(Some(who));
        let rows = world.vault.acts(&call, &icu()).await.unwrap();
        assert!(call.is_recorded());
        rows.len()
    };
    for who in ["olivia", "oscar", "oona", "rita"] {
        assert_eq!(seen(who).await, 1, "{who}");
    }
    for who in ["ruben", "dirk", "anna", "stan"] {
        assert_eq!(seen(who).await, 0, "{who}");
        let told = world
            .vault
            .show_act(&world.call(Some(who)), (&icu(), id))
            .await;
        assert_eq!(told.unwrap_err().kind(), ErrorKind::AccessDenied);
    }
    assert_eq!(Action::ActAsk.as_str(), "act.ask");
}

#[tokio::test]
async fn az_10_nobody_is_asked_to_lower_a_label_to_what_is_no_lower_one() {
    let world = world().await;
    let ask = async |to: &str| {
        let draft = ActDraft {
            terms: vec![("to".to_owned(), to.to_owned())],
            ..draft()
        };
        let call = world.call(Some("olivia"));
        kind(world.vault.ask_act(&call, draft).await)
    };
    // It is `internal`.
    for to in ["internal", "confidential", "unheard-of"] {
        assert_eq!(ask(to).await, Some(ErrorKind::InvalidArgument), "{to}");
    }
    let waiting = world.catalog.approvals(&icu(), 9).await.unwrap();
    assert!(waiting.is_empty(), "{waiting:?}");
    assert_eq!(ask("public").await, None);
}

#[tokio::test]
async fn az_10_nobody_is_asked_to_erase_what_is_not_there() {
    let world = world().await;
    world.put("olivia", "a", b"bytes").await.unwrap();
    let ask = async |what: &str| {
        let draft = ActDraft {
            kind: ActKind::Erase,
            terms: vec![("what".to_owned(), what.to_owned())],
            ..draft()
        };
        let call = world.call(Some("olivia"));
        kind(world.vault.ask_act(&call, draft).await)
    };
    for what in ["object=b", "object=", "write=null:b"] {
        let refused = ask(what).await;
        let kinds = [ErrorKind::NoSuchObject, ErrorKind::InvalidArgument];
        assert!(refused.is_some_and(|kind| kinds.contains(&kind)), "{what}");
    }
    assert_eq!(ask("version=7").await, Some(ErrorKind::NoSuchVersion));
    let waiting = world.catalog.approvals(&icu(), 9).await.unwrap();
    assert!(waiting.is_empty(), "{waiting:?}");
    assert_eq!(ask("object=a").await, None);
    assert_eq!(ask("dataset").await, None);
}
