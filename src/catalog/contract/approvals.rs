//! Acts that take two persons.

use super::samples::*;
use super::{on_each, refused};
use crate::catalog::{
    ApprovalRow, ApprovalState, ApprovalStep, CatalogError, Conflict, Mutation, NoticeMark,
    NoticeRow, SharedCatalog, WaitingCheck,
};
use crate::types::{Act, ActKind, ApprovalId, NoticeId, limits};

pub(super) fn approval(number: u32, project: &str) -> ApprovalRow {
    ApprovalRow {
        id: ApprovalId::from_bytes(id(number)),
        act: Act {
            kind: ActKind::LowerLabel,
            project: project.parse().unwrap(),
            dataset: Some(("ecg".parse().unwrap(), DATASET)),
            terms: vec!["internal".to_owned()],
        },
        asker: "ann".parse().unwrap(),
        reason: "names were removed".to_owned(),
        asked: at(number.into()),
        state: ApprovalState::Asked,
        due: at(100),
        approver: None,
        settled: None,
    }
}

pub(super) fn ask(row: ApprovalRow, now: u64) -> Mutation {
    Mutation::AskApproval { row, now: at(now) }
}

pub(super) fn step(number: u32, to: ApprovalState, by: &str, now: u64) -> Mutation {
    Mutation::StepApproval {
        approval: approval(number, "icu").id,
        step: ApprovalStep {
            to,
            by: by.parse().unwrap(),
            due: at(200),
            now: at(now),
        },
    }
}

pub(super) fn tell(number: u32, to: &str, now: u64) -> Mutation {
    Mutation::AddNotice(NoticeRow {
        id: NoticeId::from_bytes(id(number)),
        to: to.parse().unwrap(),
        at: at(now),
        project: "icu".parse().unwrap(),
        dataset: Some("ecg".parse().unwrap()),
        text: format!("notice {number}"),
    })
}

async fn commit(catalog: &SharedCatalog, mutation: Mutation) -> Result<(), CatalogError> {
    catalog.commit(vec![mutation]).await
}

/// A life of acts, for the suite of dumps.
pub(super) fn life() -> Vec<Vec<Mutation>> {
    vec![
        vec![ask(approval(1, "icu"), 1), ask(approval(2, "icu"), 2)],
        vec![ask(approval(3, "lab"), 3)],
        vec![step(1, ApprovalState::Approved, "bob", 50)],
        vec![step(1, ApprovalState::Spent, "ann", 60)],
        vec![step(2, ApprovalState::Withdrawn, "ann", 61)],
        vec![tell(1, "ann", 5), tell(2, "bob", 6)],
    ]
}

#[tokio::test]
async fn an_approval_only_goes_forward() {
    use ApprovalState::{Approved, Asked, Refused, Spent, Withdrawn};
    on_each(|catalog| async move {
        furnish(&catalog).await;
        let nowhere = commit(&catalog, ask(approval(1, "lab"), 1)).await;
        assert_eq!(nowhere, refused(Conflict::NoProject));
        let absent = commit(&catalog, step(1, Approved, "bob", 5)).await;
        assert_eq!(absent, refused(Conflict::NoApproval));
        // The steps that lead to a state, and those that are possible from there.
        let ways: [(&[ApprovalState], &[ApprovalState]); 6] = [
            (&[], &[Approved, Refused, Withdrawn]),
            (&[Approved], &[Spent, Refused, Withdrawn]),
            (&[Approved, Spent], &[]),
            (&[Refused], &[]),
            (&[Approved, Refused], &[]),
            (&[Withdrawn], &[]),
        ];
        let by = |to| {
            if to == Withdrawn || to == Spent {
                "ann"
            } else {
                "bob"
            }
        };
        let mut number = 0;
        for (way, open) in ways {
            for to in [Asked, Approved, Refused, Withdrawn, Spent] {
                number += 1;
                let again = ask(approval(number, "icu"), 1);
                commit(&catalog, again.clone()).await.unwrap();
                assert!(matches!(
                    commit(&catalog, again).await,
                    Err(CatalogError::Failed { .. })
                ));
                for state in way {
                    commit(&catalog, step(number, *state, by(*state), 5))
                        .await
                        .unwrap();
                }
                let told = commit(&catalog, step(number, to, by(to), 6)).await;
                let possible = open.contains(&to);
                assert_eq!(told.is_ok(), possible, "{way:?} {to:?}");
                if !possible {
                    assert_eq!(told, refused(Conflict::ApprovalOver));
                }
            }
        }
    })
    .await;
}

#[tokio::test]
async fn nobody_is_both_persons_and_time_runs_out() {
    use ApprovalState::{Approved, Refused, Spent, Withdrawn};
    on_each(|catalog| async move {
        furnish(&catalog).await;
        let over = || refused(Conflict::ApprovalOver);
        commit(&catalog, ask(approval(1, "icu"), 1)).await.unwrap();
        for (to, by, now) in [
            (Approved, "ann", 5),
            (Approved, "bob", 100),
            (Withdrawn, "bob", 5),
        ] {
            assert_eq!(
                commit(&catalog, step(1, to, by, now)).await,
                over(),
                "{to:?} {by}"
            );
        }
        commit(&catalog, step(1, Approved, "bob", 99))
            .await
            .unwrap();
        assert_eq!(commit(&catalog, step(1, Spent, "ann", 200)).await, over());
        let row = catalog
            .approval(&approval(1, "icu").id)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(row.approver, Some("bob".parse().unwrap()));
        assert_eq!(
            (row.due, row.settled),
            (at(200), Some(("bob".parse().unwrap(), at(99))))
        );
        // Spent in a commit that fails, it is not spent.
        let both = vec![
            step(1, Spent, "ann", 150),
            Mutation::CreateProject(project("icu")),
        ];
        let failed = catalog.commit(both).await;
        assert_eq!(failed, refused(Conflict::ProjectExists));
        commit(&catalog, step(1, Spent, "ann", 150)).await.unwrap();
        assert_eq!(commit(&catalog, step(1, Spent, "ann", 150)).await, over());
        assert_eq!(commit(&catalog, step(1, Refused, "bob", 150)).await, over());
    })
    .await;
}

#[tokio::test]
async fn what_waits_is_found_whatever_was_settled_since() {
    use ApprovalState::{Approved, Refused, Spent, Withdrawn};
    on_each(|catalog| async move {
        furnish(&catalog).await;
        let lab = Mutation::CreateProject(project("lab"));
        commit(&catalog, lab).await.unwrap();
        for number in 1..=8 {
            let project = if number == 8 { "lab" } else { "icu" };
            commit(&catalog, ask(approval(number, project), 1))
                .await
                .unwrap();
        }
        for (number, to, by) in [
            (2, Approved, "bob"),
            (3, Refused, "bob"),
            (4, Withdrawn, "ann"),
            (5, Approved, "bob"),
            (5, Spent, "ann"),
            (6, Approved, "bob"),
            (6, Withdrawn, "ann"),
        ] {
            commit(&catalog, step(number, to, by, 20)).await.unwrap();
        }
        for number in 100..150 {
            let withdrawn = vec![
                ask(approval(number, "icu"), 1),
                step(number, Withdrawn, "ann", 20),
            ];
            catalog.commit(withdrawn).await.unwrap();
        }
        let waiting = async |project: &str, now, limit| {
            let project = project.parse().unwrap();
            let rows = catalog.waiting(&project, at(now), limit).await.unwrap();
            rows.iter()
                .map(|row| row.asked.millis())
                .collect::<Vec<_>>()
        };
        for now in [20, 21, 99] {
            assert_eq!(waiting("icu", now, 99).await, [7, 2, 1], "{now}");
        }
        assert_eq!(waiting("icu", 20, 2).await, [7, 2]);
        assert_eq!(
            waiting("icu", 0, 99).await,
            [7, 2, 1],
            "a clock that went back"
        );
        assert_eq!(
            waiting("icu", 100, 99).await,
            [2],
            "approved, it is good for longer"
        );
        assert_eq!(waiting("icu", 200, 99).await, [0_u64; 0]);
        assert_eq!(waiting("lab", 20, 99).await, [8]);
    })
    .await;
}

/// Who asks, how many of hers may wait, how many of all, and when.
pub(super) fn may_wait(asker: &str, own_below: u32, all_below: u32, now: u64) -> WaitingCheck {
    WaitingCheck {
        project: "icu".parse().unwrap(),
        asker: asker.parse().unwrap(),
        own_below,
        all_below,
        now: at(now),
    }
}

#[tokio::test]
async fn room_for_what_waits_is_judged_in_the_commit() {
    use ApprovalState::{Approved, Withdrawn};
    on_each(|catalog| async move {
        furnish(&catalog).await;
        for made in [
            Mutation::CreateProject(project("lab")),
            Mutation::CreatePrincipal(principal("bob")),
        ] {
            commit(&catalog, made).await.unwrap();
        }
        // Three of ann's, one of bob's; what is over and what is elsewhere takes no place.
        for number in [1, 2, 3, 4, 5] {
            let asker = if number == 4 { "bob" } else { "ann" };
            let row = ApprovalRow {
                asker: asker.parse().unwrap(),
                ..approval(number, "icu")
            };
            commit(&catalog, ask(row, 1)).await.unwrap();
        }
        commit(&catalog, ask(approval(6, "lab"), 1)).await.unwrap();
        commit(&catalog, step(5, Withdrawn, "ann", 9))
            .await
            .unwrap();
        commit(&catalog, step(1, Approved, "bob", 9)).await.unwrap();
        let judged = async |check| commit(&catalog, Mutation::CheckWaiting(check)).await;
        let full = || refused(Conflict::TooManyWait);
        assert_eq!(judged(may_wait("ann", 4, 5, 10)).await, Ok(()));
        assert_eq!(judged(may_wait("ann", 3, 5, 10)).await, full());
        assert_eq!(judged(may_wait("bob", 2, 5, 10)).await, Ok(()));
        assert_eq!(judged(may_wait("bob", 1, 5, 10)).await, full());
        assert_eq!(judged(may_wait("eve", 1, 5, 10)).await, Ok(()));
        assert_eq!(judged(may_wait("eve", 1, 4, 10)).await, full());
        // One is approved and waits to be done; the others' time is over.
        assert_eq!(judged(may_wait("ann", 2, 2, 100)).await, Ok(()));
        assert_eq!(judged(may_wait("ann", 1, 9, 100)).await, full());
        // With what it is for, or not at all.
        let late = vec![
            Mutation::CheckWaiting(may_wait("ann", 3, 9, 10)),
            ask(approval(7, "icu"), 10),
        ];
        assert_eq!(catalog.commit(late).await, full());
        let id = approval(7, "icu").id;
        assert_eq!(catalog.approval(&id).await.unwrap(), None);
        // Who is suspended keeps no place from others.
        let suspended = |since| Mutation::SetSuspended {
            principal: "ann".parse().unwrap(),
            since,
        };
        commit(&catalog, suspended(Some(at(9)))).await.unwrap();
        assert_eq!(judged(may_wait("bob", 9, 2, 10)).await, Ok(()));
        assert_eq!(judged(may_wait("bob", 9, 1, 10)).await, full());
        commit(&catalog, suspended(None)).await.unwrap();
        assert_eq!(judged(may_wait("bob", 9, 4, 10)).await, full());
    })
    .await;
}

#[tokio::test]
async fn what_is_long_over_is_forgotten() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        commit(&catalog, Mutation::CreateProject(project("lab")))
            .await
            .unwrap();
        for row in [approval(1, "icu"), approval(2, "icu"), approval(3, "lab")] {
            commit(&catalog, ask(row, 1)).await.unwrap();
        }
        let numbers = async |project: &str, limit| {
            let rows = catalog
                .approvals(&project.parse().unwrap(), limit)
                .await
                .unwrap();
            rows.iter()
                .map(|row| row.asked.millis())
                .collect::<Vec<_>>()
        };
        assert_eq!(numbers("icu", 9).await, [2, 1], "the newest first");
        assert_eq!(numbers("icu", 1).await, [2]);
        assert_eq!(numbers("lab", 9).await, [3]);
        let late = approval(4, "icu");
        let just = 100 + limits::APPROVAL_KEPT_MS;
        commit(&catalog, ask(late.clone(), just - 1)).await.unwrap();
        assert_eq!(numbers("icu", 9).await, [4, 2, 1]);
        let later = ApprovalRow {
            due: at(just + 9),
            ..approval(5, "icu")
        };
        commit(&catalog, ask(later, just)).await.unwrap();
        assert_eq!(numbers("icu", 9).await, [5]);
        assert_eq!(catalog.approval(&late.id).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn notices_are_their_persons_and_for_a_time() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        for (number, to, now) in [(1, "ann", 7), (2, "bob", 8), (3, "ann", 9)] {
            commit(&catalog, tell(number, to, now)).await.unwrap();
        }
        assert!(matches!(
            commit(&catalog, tell(1, "ann", 7)).await,
            Err(CatalogError::Failed { .. })
        ));
        let told = async |to: &str, limit| {
            let to = to.parse().unwrap();
            let rows = catalog.notices(&to, None, limit).await.unwrap();
            rows.into_iter().map(|row| row.text).collect::<Vec<_>>()
        };
        assert_eq!(told("ann", 9).await, ["notice 3", "notice 1"]);
        assert_eq!(told("ann", 1).await, ["notice 3"]);
        assert_eq!(told("bob", 9).await, ["notice 2"]);
        assert!(told("eve", 9).await.is_empty());
        commit(&catalog, tell(4, "eve", 8 + limits::NOTICE_KEPT_MS))
            .await
            .unwrap();
        assert_eq!(told("ann", 9).await, ["notice 3"]);
        assert!(told("bob", 9).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn older_notices_follow_page_by_page_and_none_is_passed_over() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        // Three of one moment, between others; somebody else's between all of them.
        for (number, now) in [(1, 5), (4, 6), (2, 6), (3, 6), (5, 7)] {
            commit(&catalog, tell(number, "ann", now)).await.unwrap();
            commit(&catalog, tell(number + 10, "bob", now))
                .await
                .unwrap();
        }
        let ann = "ann".parse().unwrap();
        for limit in 1..=6 {
            let (mut all, mut before) = (Vec::new(), None);
            loop {
                let page = catalog.notices(&ann, before, limit).await.unwrap();
                before = page.last().map(NoticeRow::mark);
                all.extend(page.into_iter().map(|row| row.text));
                if before.is_none() {
                    break;
                }
            }
            let all: Vec<_> = all.iter().map(String::as_str).collect();
            let told = ["notice 5", "notice 4", "notice 3", "notice 2", "notice 1"];
            assert_eq!(all, told, "{limit} at a time");
        }
        // A mark that nobody has, or of somebody else, is a moment like any other.
        for (number, now, left) in [
            (99, 6, 4),
            (0, 6, 1),
            (14, 6, 4),
            (0, u64::MAX, 5),
            (9, 0, 0),
        ] {
            let mark = NoticeMark {
                at: at(now),
                id: NoticeId::from_bytes(id(number)),
            };
            let page = catalog.notices(&ann, Some(mark), 9).await.unwrap();
            assert_eq!(page.len(), left, "{mark}");
        }
    })
    .await;
}
