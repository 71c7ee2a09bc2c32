//! Groups and members, suspension, terms of grants, last uses.

use super::samples::*;
use super::{on_each, refused};
use crate::catalog::{
    CatalogError, ClaimRow, Conflict, EndingRow, IdentityRow, JobRow, Mutation, NodeRow, NoticeRow,
    PrincipalRow, RosterEntry, RosterKind, RosterRow, SharedCatalog, Uses, WebhookRow,
};
use crate::policy::{Demand, Standing, Terms};
use crate::types::{Action, ClaimId, NoticeId, PrincipalId, PrincipalKind};

async fn commit(catalog: &SharedCatalog, mutation: Mutation) -> Result<(), CatalogError> {
    catalog.commit(vec![mutation]).await
}

fn group(name: &str) -> PrincipalRow {
    PrincipalRow {
        kind: PrincipalKind::Group,
        ..principal(name)
    }
}

pub(super) fn add(group: &str, member: &str) -> Mutation {
    Mutation::AddMember {
        group: group.parse().unwrap(),
        member: member.parse().unwrap(),
    }
}

fn remove(group: &str, member: &str) -> Mutation {
    Mutation::RemoveMember {
        group: group.parse().unwrap(),
        member: member.parse().unwrap(),
    }
}

fn suspend(name: &str, since: Option<u64>) -> Mutation {
    Mutation::SetSuspended {
        principal: name.parse().unwrap(),
        since: since.map(at),
    }
}

pub(super) fn terms() -> Terms {
    Terms {
        version: Some(2),
        actions: vec![Action::ObjectRead, Action::ObjectHead],
        networks: vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
        partitions: vec!["civil".parse().unwrap()],
        standing: Standing::Proposed,
        lapses: Some(at(99)),
        proposer: Some("bob".parse().unwrap()),
    }
}

pub(super) fn set_terms(number: u32, terms: Terms) -> Mutation {
    Mutation::SetTerms {
        grant: grant(number, "icu", "ann").id,
        approver: "olga".parse().unwrap(),
        terms,
    }
}

fn names(texts: &[&str]) -> Vec<PrincipalId> {
    texts.iter().map(|name| name.parse().unwrap()).collect()
}

fn link(issuer: &str, subject: &str, principal: &str) -> Mutation {
    Mutation::LinkIdentity(IdentityRow {
        issuer: issuer.to_owned(),
        subject: subject.to_owned(),
        principal: principal.parse().unwrap(),
        linked: at(3),
    })
}

fn unlink(issuer: &str, subject: &str) -> Mutation {
    Mutation::UnlinkIdentity {
        issuer: issuer.to_owned(),
        subject: subject.to_owned(),
    }
}

fn spend(token: u8, expires: u64) -> Mutation {
    Mutation::SpendToken {
        token: [token; 32],
        expires: at(expires),
        now: at(5),
    }
}

fn set(kind: RosterKind, name: &str, was: Option<u64>, entry: Option<RosterEntry>) -> Mutation {
    Mutation::SetRoster {
        kind,
        name: name.to_owned(),
        was,
        entry,
    }
}

fn enrol(name: &str, was: Option<u64>, revision: Option<u64>) -> Mutation {
    let row = RosterRow::Node(NodeRow {
        cluster: "hpc".to_owned(),
        key: [7; 32],
        networks: vec!["10.0.0.0/8".parse().unwrap()],
        enrolled: at(1),
        partition: "civil".parse().ok(),
        uses: Vec::new(),
    });
    let entry = revision.map(|revision| RosterEntry { revision, row });
    set(RosterKind::Node, name, was, entry)
}

pub(in crate::catalog) fn job_row() -> JobRow {
    JobRow {
        principal: "ann".parse().unwrap(),
        word: Some(("sram".to_owned(), "x|1".to_owned())),
        assurance: (Some("loa2".to_owned()), vec!["mfa".to_owned()]),
        project: "icu".parse().unwrap(),
        dataset: "ecg".parse().unwrap(),
        version: Some(3),
        purpose: None,
        cluster: "hpc".to_owned(),
        account: "ann".to_owned(),
        nodes_max: 2,
        created: at(1),
        start_by: at(9),
        lasts_ms: 5,
        number: Some("7".to_owned()),
        over: Some(at(14)),
        nodes: vec!["gpu-1".to_owned()],
        left: 0,
        ended: None,
    }
}

fn demand(name: &str, was: Option<u64>, revision: u64) -> Mutation {
    let row = RosterRow::Demand(Demand {
        acr: vec!["loa2".to_owned()],
        amr: Vec::new(),
        log_only: true,
    });
    let entry = Some(RosterEntry { revision, row });
    set(RosterKind::Demand, name, was, entry)
}

fn claim(name: &str) -> Mutation {
    let row = RosterRow::Claim(ClaimRow {
        id: ClaimId::from_bytes([9; 16]),
        group: "team".parse().unwrap(),
        created: at(1),
    });
    set(
        RosterKind::Claim,
        name,
        None,
        Some(RosterEntry { revision: 1, row }),
    )
}

fn visa(name: &str) -> Mutation {
    let row = RosterRow::Visa(ClaimRow {
        id: ClaimId::from_bytes([10; 16]),
        group: "team".parse().unwrap(),
        created: at(1),
    });
    told(RosterKind::Visa, name, row)
}

fn told(kind: RosterKind, name: &str, row: RosterRow) -> Mutation {
    set(kind, name, None, Some(RosterEntry { revision: 1, row }))
}

fn webhook(project: &str) -> Mutation {
    let row = RosterRow::Webhook(WebhookRow {
        sealed: vec![1, 2, 3].into(),
        host: "https://hooks.example.org".to_owned(),
        created: at(1),
    });
    told(RosterKind::Webhook, project, row)
}

fn push(name: &str) -> Mutation {
    let row = RosterRow::Push(NoticeRow {
        id: NoticeId::from_bytes([3; 16]),
        to: "ann".parse().unwrap(),
        at: at(2),
        project: "icu".parse().unwrap(),
        dataset: None,
        text: "told".to_owned(),
    });
    told(RosterKind::Push, name, row)
}

fn ending() -> Mutation {
    let row = RosterRow::Ending(EndingRow { ends: at(9) });
    told(RosterKind::Ending, "grant", row)
}

fn job(name: &str, was: Option<u64>, revision: Option<u64>) -> Mutation {
    let row = RosterRow::Job(job_row());
    let entry = revision.map(|revision| RosterEntry { revision, row });
    set(RosterKind::Job, name, was, entry)
}

/// A life of people, for the suite of dumps.
pub(super) fn life() -> Vec<Vec<Mutation>> {
    vec![
        vec![
            Mutation::CreatePrincipal(group("team")),
            Mutation::CreatePrincipal(group("others")),
        ],
        vec![keep_log(400)],
        vec![
            add("team", "ann"),
            add("team", "a-job"),
            add("others", "ann"),
        ],
        vec![remove("others", "ann")],
        vec![suspend("a-job", Some(7))],
        vec![
            link("sram", "x|1", "ann"),
            link("sram", "x|2", "a-job"),
            link("idp", "x|1", "ann"),
        ],
        vec![unlink("sram", "x|2")],
        vec![spend(1, 900), spend(2, 10)],
        vec![enrol("gpu-1", None, Some(1)), job("ann/1", None, Some(1))],
        vec![
            enrol("gpu-1", Some(1), None),
            job("ann/1", Some(1), Some(2)),
        ],
        vec![enrol("gpu-1", None, Some(1)), demand("icu", None, 1)],
        vec![webhook("icu"), push("icu/1"), push("icu/2"), ending()],
        vec![set(RosterKind::Push, "icu/1", Some(1), None)],
        vec![claim("sram\nreaders"), claim("sram\nothers")],
        vec![set(RosterKind::Claim, "sram\nothers", Some(1), None)],
        vec![visa("ega\nType\nvalue\n\n")],
        vec![Mutation::CreateGrant(grant(8, "icu", "team"))],
        vec![set_terms(8, terms())],
        vec![Mutation::NoteUses(Uses {
            grants: vec![(grant(8, "icu", "ann").id, at(50))],
            credentials: vec![(credential(1, "ann").id, at(51))],
        })],
    ]
}

#[tokio::test]
async fn members_come_and_go() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        let people = ["bob", "team", "staff"].map(|name| match name {
            "bob" => principal(name),
            _ => group(name),
        });
        for row in people {
            commit(&catalog, Mutation::CreatePrincipal(row))
                .await
                .unwrap();
        }
        for (change, conflict) in [
            (add("team", "nobody"), Conflict::NoPrincipal),
            (add("nobody", "ann"), Conflict::NoPrincipal),
            (add("bob", "ann"), Conflict::NoGroup),
            (add("team", "staff"), Conflict::NoGroup),
            (add("team", "team"), Conflict::NoGroup),
            (remove("team", "ann"), Conflict::NoMember),
        ] {
            assert_eq!(commit(&catalog, change).await, refused(conflict));
        }
        for change in [add("team", "bob"), add("team", "ann"), add("staff", "ann")] {
            commit(&catalog, change.clone()).await.unwrap();
            assert_eq!(commit(&catalog, change).await, Ok(()), "again");
        }
        let [team, ann, bob] = ["team", "ann", "bob"].map(|name| name.parse().unwrap());
        let found = catalog.principal(&team).await.unwrap();
        assert_eq!(found, Some(group("team")));
        assert_eq!(
            catalog.groups_of(&ann).await.unwrap(),
            names(&["staff", "team"])
        );
        let all = catalog.members(&team, None, 9).await.unwrap();
        assert_eq!(all, names(&["ann", "bob"]));
        assert_eq!(
            catalog.members(&team, Some(&ann), 9).await.unwrap(),
            names(&["bob"])
        );
        assert_eq!(
            catalog.members(&team, None, 1).await.unwrap(),
            names(&["ann"])
        );
        commit(&catalog, Mutation::CreateGrant(grant(1, "icu", "team")))
            .await
            .unwrap();
        let icu = ["icu".parse().unwrap()];
        assert_eq!(catalog.projects_of(&bob).await.unwrap(), icu);
        commit(&catalog, remove("team", "bob")).await.unwrap();
        assert_eq!(catalog.projects_of(&bob).await.unwrap(), []);
        assert_eq!(catalog.groups_of(&bob).await.unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn who_is_suspended_is_so_until_let_be() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        let ann = "ann".parse().unwrap();
        let since = async || catalog.principal(&ann).await.unwrap().unwrap().suspended;
        let absent = commit(&catalog, suspend("bob", Some(1))).await;
        assert_eq!(absent, refused(Conflict::NoPrincipal));
        for told in [Some(5), Some(0), None] {
            commit(&catalog, suspend("ann", told)).await.unwrap();
            assert_eq!(since().await, told.map(at));
        }
        let born = PrincipalRow {
            suspended: Some(at(1)),
            ..principal("eve")
        };
        commit(&catalog, Mutation::CreatePrincipal(born))
            .await
            .unwrap();
        let eve = catalog.principal(&"eve".parse().unwrap()).await.unwrap();
        assert_eq!(eve, Some(principal("eve")), "another mutation says that");
    })
    .await;
}

#[tokio::test]
async fn a_grants_terms_are_set_apart() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        let absent = commit(&catalog, set_terms(1, terms())).await;
        assert_eq!(absent, refused(Conflict::NoGrant));
        let bare = grant(1, "icu", "ann");
        let mut wordy = bare.clone();
        wordy.terms = terms();
        commit(&catalog, Mutation::CreateGrant(wordy.clone()))
            .await
            .unwrap();
        assert_eq!(catalog.grant(&bare.id).await.unwrap(), Some(bare.clone()));
        commit(&catalog, set_terms(1, terms())).await.unwrap();
        wordy.approver = "olga".parse().unwrap();
        assert_eq!(catalog.grant(&bare.id).await.unwrap(), Some(wordy.clone()));
        let held = catalog
            .grants_of(&bare.project, &bare.principal)
            .await
            .unwrap();
        assert_eq!(held, [wordy.clone()]);
        assert_eq!(
            catalog.grants(&bare.project, 9).await.unwrap(),
            [wordy.clone()]
        );
        commit(&catalog, set_terms(1, Terms::default()))
            .await
            .unwrap();
        wordy.terms = Terms::default();
        assert_eq!(catalog.grant(&bare.id).await.unwrap(), Some(wordy));
    })
    .await;
}

#[tokio::test]
async fn the_latest_use_of_what_is_there_is_kept() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        let (id, key) = (grant(1, "icu", "ann").id, credential(1, "ann").id);
        let note = |used| {
            Mutation::NoteUses(Uses {
                grants: vec![(id, at(used))],
                credentials: vec![(key.clone(), at(used))],
            })
        };
        commit(&catalog, note(1)).await.unwrap();
        let made = vec![
            Mutation::CreateGrant(grant(1, "icu", "ann")),
            Mutation::CreateCredential(credential(1, "ann")),
        ];
        catalog.commit(made).await.unwrap();
        let [icu] = catalog.projects(None, 1).await.unwrap().try_into().unwrap();
        let ann = "ann".parse().unwrap();
        assert_eq!(catalog.grant_uses(&icu.name, 9).await.unwrap(), []);
        assert_eq!(catalog.credential_uses(&ann, 9).await.unwrap(), []);
        let generation = catalog.generation().await.unwrap();
        for used in [5, 9, 7] {
            commit(&catalog, note(used)).await.unwrap();
        }
        assert_eq!(
            catalog.grant_uses(&icu.name, 9).await.unwrap(),
            [(id, at(9))]
        );
        let keys = catalog.credential_uses(&ann, 9).await.unwrap();
        assert_eq!(keys, [(key.clone(), at(9))]);
        assert_eq!(catalog.generation().await.unwrap(), generation);
        commit(&catalog, Mutation::DeleteGrant(id)).await.unwrap();
        assert_eq!(catalog.grant_uses(&icu.name, 9).await.unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn the_generation_follows_people_and_terms() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        let made = vec![
            Mutation::CreatePrincipal(group("team")),
            Mutation::CreateGrant(grant(1, "icu", "team")),
        ];
        catalog.commit(made).await.unwrap();
        let mut last = catalog.generation().await.unwrap();
        for change in [
            add("team", "ann"),
            remove("team", "ann"),
            suspend("ann", Some(1)),
            set_terms(1, terms()),
        ] {
            commit(&catalog, change).await.unwrap();
            let now = catalog.generation().await.unwrap();
            assert!(now > last);
            last = now;
        }
    })
    .await;
}

/// Two subjects are never one, whatever their letters are.
#[tokio::test]
async fn id_7_a_subject_is_one_principal_and_compared_as_it_is() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        for row in [principal("bob"), principal("eve"), group("team")] {
            commit(&catalog, Mutation::CreatePrincipal(row))
                .await
                .unwrap();
        }
        for (change, conflict) in [
            (link("sram", "s", "nobody"), Conflict::NoPrincipal),
            (link("sram", "s", "team"), Conflict::NoPrincipal),
            (unlink("sram", "s"), Conflict::NoIdentity),
        ] {
            assert_eq!(commit(&catalog, change).await, refused(conflict));
        }
        commit(&catalog, link("sram", "ann@x.org", "ann"))
            .await
            .unwrap();
        for change in [
            link("sram", "ann@x.org", "bob"),
            link("sram", "another", "ann"),
            link("sram", "ann@x.org", "ann"),
        ] {
            assert_eq!(
                commit(&catalog, change).await,
                refused(Conflict::IdentityTaken)
            );
        }
        commit(&catalog, link("sram", "Ann@x.org", "bob"))
            .await
            .unwrap();
        commit(&catalog, link("sram", "ann_x.org", "eve"))
            .await
            .unwrap();
        commit(&catalog, link("idp", "ann@x.org", "bob"))
            .await
            .unwrap();
        let whom = async |issuer: &str, subject: &str| {
            let row = catalog.identity(issuer, subject).await.unwrap();
            row.map(|row| row.principal.to_string())
        };
        for (issuer, subject, expected) in [
            ("sram", "ann@x.org", Some("ann")),
            ("sram", "Ann@x.org", Some("bob")),
            ("sram", "ann_x.org", Some("eve")),
            ("idp", "ann@x.org", Some("bob")),
            ("idp", "Ann@x.org", None),
            ("sram", "ann@x.org ", None),
            ("", "ann@x.org", None),
        ] {
            assert_eq!(
                whom(issuer, subject).await.as_deref(),
                expected,
                "{issuer} {subject}"
            );
        }
        let all = catalog
            .identities_of(&"bob".parse().unwrap(), 9)
            .await
            .unwrap();
        assert_eq!(all.len(), 2);
        let generation = catalog.generation().await.unwrap();
        commit(&catalog, unlink("sram", "ann@x.org")).await.unwrap();
        assert!(catalog.generation().await.unwrap() > generation);
        assert_eq!(whom("sram", "ann@x.org").await, None);
    })
    .await;
}

#[tokio::test]
async fn a_token_is_spent_once_until_it_is_over() {
    on_each(|catalog| async move {
        commit(&catalog, spend(1, 6)).await.unwrap();
        commit(&catalog, spend(2, 900)).await.unwrap();
        for token in [1, 2] {
            let again = commit(&catalog, spend(token, 900)).await;
            assert_eq!(again, refused(Conflict::TokenSpent));
        }
        let later = Mutation::SpendToken {
            token: [3; 32],
            expires: at(900),
            now: at(6),
        };
        commit(&catalog, later).await.unwrap();
        commit(&catalog, spend(1, 900)).await.unwrap();
        assert_eq!(
            commit(&catalog, spend(2, 9)).await,
            refused(Conflict::TokenSpent)
        );
    })
    .await;
}

#[tokio::test]
async fn a_row_of_the_roster_is_changed_by_who_read_it_last() {
    on_each(|catalog| async move {
        commit(&catalog, job("ann/1", None, Some(1))).await.unwrap();
        for change in [
            job("ann/1", None, Some(1)),
            job("ann/1", Some(2), Some(3)),
            job("ann/2", Some(1), Some(2)),
            job("ann/2", Some(1), None),
            set(RosterKind::Node, "a", None, Some(node_entry_of_a_job())),
        ] {
            let refusal = commit(&catalog, change).await;
            assert_eq!(refusal, refused(Conflict::RosterChanged));
        }
        let generation = catalog.generation().await.unwrap();
        commit(&catalog, job("ann/1", Some(1), Some(2)))
            .await
            .unwrap();
        assert_eq!(catalog.generation().await.unwrap(), generation, "it gives");
        let found = catalog.roster(RosterKind::Job, "ann/1").await.unwrap();
        assert_eq!(found.map(|entry| entry.revision), Some(2));
        assert_eq!(catalog.roster(RosterKind::Node, "ann/1").await, Ok(None));
        for name in ["ann/3", "bob/1", "ann/2"] {
            commit(&catalog, job(name, None, Some(1))).await.unwrap();
        }
        commit(&catalog, enrol("ann/9", None, Some(1)))
            .await
            .unwrap();
        let names = async |after: &str, limit| {
            let page = catalog.roster_page(RosterKind::Job, after, limit).await;
            let names = page.unwrap().into_iter().map(|(name, _)| name);
            names.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names("", 9).await, "ann/1 ann/2 ann/3 bob/1");
        assert_eq!(names("ann/1", 2).await, "ann/2 ann/3");
        commit(&catalog, job("ann/1", Some(2), None)).await.unwrap();
        assert!(
            catalog.generation().await.unwrap() > generation,
            "it takes away"
        );
        assert_eq!(catalog.roster(RosterKind::Job, "ann/1").await, Ok(None));
    })
    .await;
}

/// One key that two nodes have would vouch for jobs in both their partitions.
#[tokio::test]
async fn a_key_is_one_nodes() {
    on_each(|catalog| async move {
        let key = |byte| Mutation::CheckNodeKey([byte; 32]);
        let enrolled = |name, byte| catalog.commit(vec![key(byte), enrol(name, None, Some(1))]);
        assert_eq!(enrolled("gpu-1", 7).await, Ok(()));
        assert_eq!(enrolled("gpu-2", 7).await, refused(Conflict::NodeKeyTaken));
        assert_eq!(catalog.roster(RosterKind::Node, "gpu-2").await, Ok(None));
        assert_eq!(commit(&catalog, key(8)).await, Ok(()));
        commit(&catalog, enrol("gpu-1", Some(1), None))
            .await
            .unwrap();
        assert_eq!(enrolled("gpu-2", 7).await, Ok(()));
    })
    .await;
}

/// A job where a node should be.
fn node_entry_of_a_job() -> RosterEntry {
    let row = RosterRow::Job(job_row());
    RosterEntry { revision: 1, row }
}
