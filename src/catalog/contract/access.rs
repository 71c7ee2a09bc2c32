//! Projects, datasets, principals, credentials, grants.

use std::sync::Arc;

use super::samples::*;
use super::{on_each, refused};
use crate::catalog::{
    CatalogError, Conflict, GrantsCheck, Mutation, Setting, SettingKind, SharedCatalog,
};
use crate::policy::{Grant, GrantEffect, Standing, Terms};
use crate::types::{DatasetId, LogTerms};

async fn commit(catalog: &SharedCatalog, mutation: Mutation) -> Result<(), CatalogError> {
    catalog.commit(vec![mutation]).await
}

#[tokio::test]
async fn projects_are_new_and_listed_in_order() {
    on_each(|catalog| async move {
        for name in ["b", "a", "c"] {
            commit(&catalog, Mutation::CreateProject(project(name)))
                .await
                .unwrap();
        }
        let again = commit(&catalog, Mutation::CreateProject(project("b"))).await;
        assert_eq!(again, refused(Conflict::ProjectExists));
        let b = "b".parse().unwrap();
        assert_eq!(catalog.project(&b).await.unwrap(), Some(project("b")));
        assert_eq!(catalog.project(&"z".parse().unwrap()).await.unwrap(), None);
        let all = catalog.projects(None, 2).await.unwrap();
        assert_eq!(all, [project("a"), project("b")]);
        let rest = catalog.projects(Some(&b), 9).await.unwrap();
        assert_eq!(rest, [project("c")]);
    })
    .await;
}

#[tokio::test]
async fn datasets_need_a_project_and_a_new_name_and_id() {
    on_each(|catalog| async move {
        let make = |row| commit(&catalog, Mutation::CreateDataset(row));
        let orphan = make(dataset(1, "icu", "ecg")).await;
        assert_eq!(orphan, refused(Conflict::NoProject));
        furnish(&catalog).await;
        for again in [dataset(9, "icu", "ecg"), dataset(1, "icu", "other")] {
            assert_eq!(make(again).await, refused(Conflict::DatasetExists));
        }
        let found = catalog.dataset(&bucket("icu", "ecg")).await.unwrap();
        assert_eq!(found, Some(dataset(1, "icu", "ecg")));
        let none = catalog.dataset(&bucket("icu", "no")).await.unwrap();
        assert_eq!(none, None);
    })
    .await;
}

#[tokio::test]
async fn datasets_are_listed_by_project_and_name() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        let rows = [
            dataset(2, "icu", "eeg"),
            dataset(3, "a", "zzz"),
            dataset(4, "icu-2", "a"),
        ];
        for name in ["a", "icu-2"] {
            commit(&catalog, Mutation::CreateProject(project(name)))
                .await
                .unwrap();
        }
        for row in rows.clone() {
            commit(&catalog, Mutation::CreateDataset(row))
                .await
                .unwrap();
        }
        let [eeg, zzz, other] = rows;
        let ecg = dataset(1, "icu", "ecg");
        let all = catalog.datasets(None, 9).await.unwrap();
        assert_eq!(all, [zzz, ecg.clone(), eeg.clone(), other]);
        let next = catalog.datasets(Some(&ecg.bucket), 1).await.unwrap();
        assert_eq!(next, [eeg]);
    })
    .await;
}

#[tokio::test]
async fn a_dataset_is_deleted_only_when_empty() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        let delete_it = || commit(&catalog, Mutation::DeleteDataset(DATASET));
        let other = Mutation::DeleteDataset(DatasetId::from_bytes([8; 16]));
        assert_eq!(commit(&catalog, other).await, refused(Conflict::NoDataset));
        commit(&catalog, put(object(1, "k"), fresh(&[1])))
            .await
            .unwrap();
        assert_eq!(delete_it().await, refused(Conflict::DatasetNotEmpty));
        commit(&catalog, delete("k", 2)).await.unwrap();
        commit(&catalog, Mutation::CreateUpload(upload(1, "k")))
            .await
            .unwrap();
        assert_eq!(delete_it().await, refused(Conflict::DatasetNotEmpty));
        let abort = Mutation::AbortUpload {
            upload: upload_id(1),
            now: at(3),
        };
        commit(&catalog, abort).await.unwrap();
        assert_eq!(delete_it().await, Ok(()));
        assert_eq!(delete_it().await, refused(Conflict::NoDataset));
        let again = Mutation::CreateDataset(dataset(2, "icu", "ecg"));
        assert_eq!(commit(&catalog, again).await, Ok(()));
    })
    .await;
}

#[tokio::test]
async fn principals_are_new() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        let job = workload("job", "ann");
        commit(&catalog, Mutation::CreatePrincipal(job.clone()))
            .await
            .unwrap();
        let again = commit(&catalog, Mutation::CreatePrincipal(principal("job"))).await;
        assert_eq!(again, refused(Conflict::PrincipalExists));
        assert_eq!(catalog.principal(&job.id).await.unwrap(), Some(job));
        let none = catalog.principal(&"bob".parse().unwrap()).await.unwrap();
        assert_eq!(none, None);
    })
    .await;
}

#[tokio::test]
async fn credentials_come_and_go() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        let make = |row| commit(&catalog, Mutation::CreateCredential(row));
        let orphan = make(credential(1, "bob")).await;
        assert_eq!(orphan, refused(Conflict::NoPrincipal));
        for number in [2, 1, 3] {
            make(credential(number, "ann")).await.unwrap();
        }
        let again = make(credential(1, "ann")).await;
        assert!(matches!(again, Err(CatalogError::Failed { .. })));
        let second = credential(2, "ann");
        assert_eq!(
            catalog.credential(&second.id).await.unwrap(),
            Some(second.clone())
        );
        let two = catalog.credentials(&second.principal, 2).await.unwrap();
        assert_eq!(two, [credential(1, "ann"), second.clone()]);
        let narrow = |number| Mutation::ScopeCredential {
            credential: credential(number, "ann").id,
            scope: key_scope(),
        };
        assert_eq!(commit(&catalog, narrow(2)).await, Ok(()));
        let narrowed = catalog.credential(&second.id).await.unwrap().unwrap();
        assert_eq!(narrowed.scope.as_deref(), Some(&key_scope()));
        for never in [narrow(2), narrow(9)] {
            let twice = commit(&catalog, never).await;
            assert!(matches!(twice, Err(CatalogError::Failed { .. })));
        }
        let drop_it = || commit(&catalog, Mutation::DeleteCredential(second.id.clone()));
        assert_eq!(drop_it().await, Ok(()));
        assert_eq!(drop_it().await, refused(Conflict::NoCredential));
        assert_eq!(catalog.credential(&second.id).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn grants_come_and_go() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        let make = |row| commit(&catalog, Mutation::CreateGrant(row));
        assert_eq!(
            make(grant(1, "no", "ann")).await,
            refused(Conflict::NoProject)
        );
        assert_eq!(
            make(grant(1, "icu", "bob")).await,
            refused(Conflict::NoPrincipal)
        );
        let others = vec![
            Mutation::CreatePrincipal(principal("bob")),
            Mutation::CreateProject(project("lab")),
        ];
        catalog.commit(others).await.unwrap();
        let rows = [
            grant(1, "icu", "ann"),
            grant(2, "icu", "bob"),
            grant(3, "lab", "ann"),
            grant(4, "icu", "ann"),
        ];
        for row in rows.clone() {
            make(row).await.unwrap();
        }
        assert!(matches!(
            make(rows[0].clone()).await,
            Err(CatalogError::Failed { .. })
        ));
        let (icu, ann) = (&rows[0].project, &rows[0].principal);
        let held = catalog.grants_of(icu, ann).await.unwrap();
        assert_eq!(held, [rows[0].clone(), rows[3].clone()]);
        let two = catalog.grants(icu, 2).await.unwrap();
        assert_eq!(two, rows[..2]);
        let projects = catalog.projects_of(ann).await.unwrap();
        assert_eq!(projects, [icu.clone(), rows[2].project.clone()]);
        let withdraw = || commit(&catalog, Mutation::DeleteGrant(rows[3].id));
        assert_eq!(withdraw().await, Ok(()));
        assert_eq!(withdraw().await, refused(Conflict::NoGrant));
        assert_eq!(catalog.grants_of(icu, ann).await.unwrap(), rows[..1]);
    })
    .await;
}

/// Of two withdrawals that rest on each other's grant, the second is refused, whole.
#[tokio::test]
async fn a_change_rests_on_a_grant_that_is_still_so() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        for number in [1, 2] {
            let row = grant(number, "icu", "ann");
            commit(&catalog, Mutation::CreateGrant(row)).await.unwrap();
        }
        let withdraw = |number: u32, kept: Mutation| {
            let delete = Mutation::DeleteGrant(grant(number, "icu", "ann").id);
            catalog.commit(vec![kept, delete])
        };
        let changed = refused(Conflict::GrantChanged);
        for other in [check_grant(2, Some(1)), check_grant(3, None)] {
            assert_eq!(withdraw(1, other).await, changed);
        }
        assert_eq!(withdraw(1, check_grant(2, None)).await, Ok(()));
        assert_eq!(withdraw(2, check_grant(1, None)).await, changed);
        let left = grant(2, "icu", "ann");
        let there = catalog.grants(&left.project, 9).await.unwrap();
        assert_eq!(there, [left]);
        // A change of its terms changes what rests on them; a look changes nothing.
        let before = catalog.generation().await.unwrap();
        assert_eq!(commit(&catalog, check_grant(2, None)).await, Ok(()));
        assert_eq!(catalog.generation().await.unwrap(), before);
        let narrower = Mutation::SetTerms {
            grant: there[0].id,
            approver: there[0].approver.clone(),
            terms: Terms {
                version: Some(1),
                ..Terms::default()
            },
        };
        commit(&catalog, narrower).await.unwrap();
        assert_eq!(commit(&catalog, check_grant(2, None)).await, changed);
        assert_eq!(commit(&catalog, check_grant(2, Some(1))).await, Ok(()));
    })
    .await;
}

/// A grant is made where there is room for it, and by what was seen of the denials.
#[tokio::test]
async fn a_change_is_judged_by_how_many_grants_there_are() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        let check = |own_below, all_below, denials| GrantsCheck {
            project: "icu".parse().unwrap(),
            principal: "ann".parse().unwrap(),
            own_below,
            all_below,
            denials,
        };
        let judged = |check: GrantsCheck| commit(&catalog, Mutation::CheckGrants(check));
        let (full, changed) = (
            refused(Conflict::TooManyGrants),
            refused(Conflict::GrantChanged),
        );
        assert_eq!(judged(check(1, 1, Some(0))).await, Ok(()));
        assert_eq!(judged(check(0, 1, None)).await, full);
        let more = vec![
            Mutation::CreateProject(project("onco")),
            Mutation::CreatePrincipal(principal("bob")),
        ];
        catalog.commit(more).await.unwrap();
        let denial = |number| grant(number, "icu", "ann");
        let gives = |number, project, principal| Grant {
            effect: GrantEffect::Allow,
            ..grant(number, project, principal)
        };
        let hers = [gives(1, "icu", "ann"), denial(2), denial(3)];
        let waiting = gives(4, "icu", "ann");
        let others = [gives(5, "icu", "bob"), gives(6, "onco", "ann")];
        for row in hers.into_iter().chain([waiting]).chain(others) {
            commit(&catalog, Mutation::CreateGrant(row)).await.unwrap();
        }
        let proposed = Mutation::SetTerms {
            grant: grant(4, "icu", "ann").id,
            approver: "ann".parse().unwrap(),
            terms: Terms {
                standing: Standing::Proposed,
                ..Terms::default()
            },
        };
        commit(&catalog, proposed).await.unwrap();
        // Three of hers count, five of the project's, two that deny.
        assert_eq!(judged(check(4, 6, Some(2))).await, Ok(()));
        assert_eq!(judged(check(3, 6, None)).await, full);
        assert_eq!(judged(check(4, 5, None)).await, full);
        for seen in [1, 3] {
            assert_eq!(judged(check(4, 6, Some(seen))).await, changed);
        }
        // Whole: what was to be made with it is not there.
        let late = vec![
            Mutation::CheckGrants(check(3, 6, None)),
            Mutation::CreateGrant(grant(7, "icu", "ann")),
        ];
        assert_eq!(catalog.commit(late).await, full);
        let id = grant(7, "icu", "ann").id;
        assert_eq!(catalog.grant(&id).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn the_generation_follows_access_and_nothing_else() {
    on_each(|catalog| async move {
        let mut last = catalog.generation().await.unwrap();
        furnish(&catalog).await;
        let access = [
            Mutation::CreateCredential(credential(1, "ann")),
            Mutation::CreateGrant(grant(1, "icu", "ann")),
            Mutation::DeleteGrant(grant(1, "icu", "ann").id),
            Mutation::DeleteCredential(credential(1, "ann").id),
            Mutation::CreateDataset(dataset(2, "icu", "eeg")),
            Mutation::DeleteDataset(DatasetId::from_bytes([2; 16])),
        ];
        for mutation in access {
            commit(&catalog, mutation).await.unwrap();
            let now = catalog.generation().await.unwrap();
            assert!(now > last);
            last = now;
        }
        let denied = commit(&catalog, Mutation::CreateProject(project("icu"))).await;
        assert!(denied.is_err());
        commit(&catalog, put(object(1, "k"), fresh(&[1])))
            .await
            .unwrap();
        let set = |kind, value| Mutation::SetSetting {
            dataset: DatasetId::from_bytes([1; 16]),
            kind,
            value,
        };
        let tags = set(SettingKind::Tags, Some(Setting::Tags(Vec::new())));
        commit(&catalog, tags).await.unwrap();
        assert_eq!(catalog.generation().await.unwrap(), last);
        // Nobody's right, but asked at each read and cached with them.
        commit(&catalog, set(SettingKind::Lifecycle, None))
            .await
            .unwrap();
        assert!(catalog.generation().await.unwrap() > last);
    })
    .await;
}

#[tokio::test]
async fn a_project_says_how_its_records_are_kept() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        let row = |name: &str| {
            let (catalog, name) = (Arc::clone(&catalog), name.parse().unwrap());
            async move { catalog.project(&name).await.unwrap().unwrap() }
        };
        assert_eq!(row("icu").await.log, LogTerms::default());
        let before = catalog.generation().await.unwrap();
        commit(&catalog, keep_log(2_000)).await.unwrap();
        assert!(catalog.generation().await.unwrap() > before);
        assert_eq!(row("icu").await.log.kept_days(), 2_000);
        commit(&catalog, keep_log(2_001)).await.unwrap();
        assert!(row("icu").await.log.pseudonyms);
        let listed = catalog.projects(None, 9).await.unwrap();
        assert!(listed.contains(&row("icu").await));
        // Of two changes of one reading the second is refused, whole.
        let read = row("icu").await.log;
        for (days, expected) in [(4_000, Ok(())), (3_000, refused(Conflict::LogTermsChanged))] {
            let check = Mutation::CheckLogTerms {
                project: "icu".parse().unwrap(),
                terms: read,
            };
            let changes = catalog.commit(vec![check, keep_log(days)]).await;
            assert_eq!(changes.map(drop), expected);
            assert_eq!(row("icu").await.log.kept_days(), 4_000);
        }
        let nowhere = Mutation::CheckLogTerms {
            project: "nowhere".parse().unwrap(),
            terms: LogTerms::default(),
        };
        let told = commit(&catalog, nowhere).await;
        assert_eq!(told, refused(Conflict::NoProject));
        let nowhere = Mutation::SetLogTerms {
            project: "nowhere".parse().unwrap(),
            terms: LogTerms::default(),
        };
        let told = commit(&catalog, nowhere).await;
        assert_eq!(told, refused(Conflict::NoProject));
    })
    .await;
}
