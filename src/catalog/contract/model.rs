//! Random lives: whatever is committed, in whatever order, SQLite answers as the model does and
//! ends as the model does.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::approvals::{approval, ask, may_wait, step as step_approval};
use super::samples::*;
use crate::catalog::{
    Attached, BlobUse, Condition, Likeness, MarkerRow, MemoryCatalog, Mutation, ObjectRow, Setting,
    SettingKind, SharedCatalog, SqliteCatalog, UploadRow, VersionQuery,
};
use crate::types::{
    DatasetId, ETag, LockDefaults, ObjectKey, Retention, RetentionMode, VersionName, Versioning,
};

/// One thing that happens: a commit, or the sweeper's claim.
#[derive(Debug, Clone)]
enum Step {
    Commit(Vec<Mutation>),
    Claim(u64),
}

/// So few that they meet again and again.
fn few() -> impl Strategy<Value = u32> {
    1_u32..4
}

fn name() -> impl Strategy<Value = &'static str> {
    select(&["a", "b", "c"][..])
}

fn key() -> impl Strategy<Value = ObjectKey> {
    select(&["k", "k/l"][..]).prop_map(|key| key.parse().unwrap())
}

fn dataset_id() -> impl Strategy<Value = DatasetId> {
    (1_u8..3).prop_map(|number| DatasetId::from_bytes([number; 16]))
}

fn blobs() -> impl Strategy<Value = BlobUse> {
    (vec(1_u32..30, 0..3), vec(1_u32..12, 0..2)).prop_map(|(new, old)| BlobUse {
        fresh: fresh(&new).fresh,
        shared: shared(&old).shared,
    })
}

fn condition() -> impl Strategy<Value = Condition> {
    prop_oneof![
        6 => Just(Condition::None),
        1 => Just(Condition::Absent),
        1 => Just(Condition::Present),
        2 => few().prop_map(|number| Condition::Matches(ETag::of(&version(number), number % 3))),
        1 => few().prop_map(|number| Condition::Differs(ETag::of(&version(number), number % 3))),
        1 => few().prop_map(|number| Condition::Is(Likeness {
            etag: None,
            modified: Some(at(0)),
            bytes: Some(number.into()),
        })),
    ]
}

fn row() -> impl Strategy<Value = ObjectRow> {
    (dataset_id(), few(), key()).prop_map(|(dataset, number, key)| ObjectRow {
        dataset,
        ..object(number, key.as_str())
    })
}

fn access() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        name().prop_map(|n| Mutation::CreateProject(project(n))),
        (1_u8..3, name(), name()).prop_map(|(i, p, n)| Mutation::CreateDataset(dataset(i, p, n))),
        dataset_id().prop_map(Mutation::DeleteDataset),
        name().prop_map(|n| Mutation::CreatePrincipal(principal(n))),
        (few(), name()).prop_map(|(i, n)| Mutation::CreateCredential(credential(i, n))),
        few().prop_map(|i| Mutation::DeleteCredential(credential(i, "a").id)),
        (few(), name(), name()).prop_map(|(i, p, n)| Mutation::CreateGrant(grant(i, p, n))),
        few().prop_map(|i| Mutation::DeleteGrant(grant(i, "a", "a").id)),
        (few(), name()).prop_map(|(i, p)| ask(approval(i, p), 1)),
        (name(), few(), few(), 98_u64..102).prop_map(|(who, own, all, now)| {
            Mutation::CheckWaiting(may_wait(who, own, all, now))
        }),
        (few(), few()).prop_map(|(i, kept)| check_grant(i, (kept == 1).then_some(2))),
        (few(), 0_usize..5, name(), 98_u64..102).prop_map(|(i, to, by, now)| {
            use crate::catalog::ApprovalState::{Approved, Asked, Refused, Spent, Withdrawn};
            step_approval(i, [Asked, Approved, Refused, Withdrawn, Spent][to], by, now)
        }),
    ]
}

fn objects() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        3 => (row(), blobs(), condition()).prop_map(|(row, blobs, when)| put_if(row, blobs, when)),
        1 => (dataset_id(), key(), condition(), 0_u64..9).prop_map(|(dataset, key, condition, now)| {
            Mutation::DeleteObject { dataset, key, condition, now: at(now) }
        }),
        2 => (few(), key(), dataset_id()).prop_map(|(number, key, dataset)| {
            let row = upload(number, key.as_str());
            Mutation::CreateUpload(UploadRow { dataset, ..row })
        }),
        4 => (few(), 1_u32..4, few(), blobs())
            .prop_map(|(of, number, written, blobs)| put_part(part(of, number, written), blobs)),
        3 => (few(), vec((1_u32..4, few()), 0..3), row(), condition())
            .prop_map(|(of, parts, row, when)| complete_if(of, &parts, row, when)),
        1 => (few(), 0_u64..9).prop_map(|(number, now)| {
            Mutation::AbortUpload { upload: upload_id(number), now: at(now) }
        }),
        1 => vec((1_u32..30, 0_u64..9), 0..3).prop_map(|lost| {
            Mutation::RestoreBlobs(lost.into_iter().map(|(b, t)| (blob(b), at(t))).collect())
        }),
        1 => vec(1_u32..30, 0..3)
            .prop_map(|ids| Mutation::ForgetBlobs(ids.into_iter().map(blob).collect())),
        1 => (0_u64..40).prop_map(Mutation::RestoreSeq),
    ]
}

fn name_of() -> impl Strategy<Value = VersionName> {
    prop_oneof![
        1 => Just(VersionName::Null),
        2 => few().prop_map(|number| VersionName::Id(version(number))),
    ]
}

fn retention() -> impl Strategy<Value = Option<Retention>> {
    let mode = select(&[RetentionMode::Governance, RetentionMode::Compliance][..]);
    let retention = (mode, 0_u64..9).prop_map(|(mode, until)| Retention {
        mode,
        until: at(until),
    });
    proptest::option::of(retention)
}

fn versions() -> impl Strategy<Value = Mutation> {
    let state = select(&[Versioning::Off, Versioning::Enabled, Versioning::Suspended][..]);
    let tags = || vec(name().prop_map(|n| (n.to_owned(), String::new())), 0..2);
    prop_oneof![
        3 => (dataset_id(), state)
            .prop_map(|(dataset, state)| Mutation::SetVersioning { dataset, state }),
        4 => (dataset_id(), key(), few(), condition(), 0_u64..9).prop_map(
            |(dataset, key, marker, condition, now)| Mutation::RemoveObject {
                dataset,
                key,
                marker: version(marker),
                condition,
                now: at(now),
            }
        ),
        4 => (dataset_id(), key(), name_of(), condition(), 0_u64..9).prop_map(
            |(dataset, key, version, condition, now)| Mutation::DeleteVersion {
                dataset,
                key,
                version,
                condition,
                now: at(now),
            }
        ),
        2 => (dataset_id(), key(), few(), tags()).prop_map(|(dataset, key, number, tags)| {
            let version = version(number);
            Mutation::SetAttached { dataset, key, version, attached: Attached { tags, ..Attached::default() } }
        }),
        1 => (few(), tags())
            .prop_map(|(number, tags)| Mutation::SetUploadTags { upload: upload_id(number), tags }),
        1 => (dataset_id(), proptest::option::of(tags())).prop_map(|(dataset, tags)| {
            let kind = SettingKind::Tags;
            Mutation::SetSetting { dataset, kind, value: tags.map(Setting::Tags) }
        }),
        1 => (dataset_id(), key(), few(), retention(), any::<bool>(), 0_u64..9).prop_map(
            |(dataset, key, number, retention, bypass, now)| Mutation::SetRetention {
                dataset,
                key,
                version: version(number),
                retention,
                bypass,
                now: at(now),
            }
        ),
        1 => (dataset_id(), key(), few(), any::<bool>()).prop_map(|(dataset, key, number, hold)| {
            Mutation::SetHold { dataset, key, version: version(number), hold }
        }),
        1 => dataset_id().prop_map(|dataset| {
            Mutation::SetObjectLock { dataset, lock: LockDefaults::default() }
        }),
        1 => (dataset_id(), proptest::option::of(name())).prop_map(|(dataset, name)| {
            Mutation::SetKeyName { dataset, name: name.map(str::to_owned) }
        }),
        1 => (row(), blobs(), any::<bool>(), any::<bool>()).prop_map(
            |(row, blobs, versioned, current)| Mutation::RestoreVersion {
                row,
                versioned,
                current,
                blobs,
            }
        ),
        1 => (dataset_id(), key(), few(), any::<bool>()).prop_map(
            |(dataset, key, number, versioned)| Mutation::RestoreMarker(MarkerRow {
                dataset,
                key,
                version: version(number),
                versioned,
                modified: at(number.into()),
            })
        ),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let mutation =
        prop_oneof![1 => access().boxed(), 5 => objects().boxed(), 4 => versions().boxed()];
    prop_oneof![
        12 => vec(mutation, 1..3).prop_map(Step::Commit),
        1 => (0_u64..9).prop_map(Step::Claim),
    ]
}

/// What a step answers, as text: the errors count too.
async fn take(catalog: &SharedCatalog, step: Step) -> String {
    match step {
        Step::Commit(mutations) => format!("{:?}", catalog.commit(mutations).await),
        Step::Claim(before) => {
            format!("{:?}", catalog.claim_unreferenced(at(before), 2).await)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn sqlite_lives_as_the_model_does(steps in vec(step(), 1..80)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let directory = tempfile::tempdir().unwrap();
            let sqlite = SqliteCatalog::open(&directory.path().join("catalog.db")).unwrap();
            let (sqlite, model): (SharedCatalog, SharedCatalog) =
                (sqlite, Arc::new(MemoryCatalog::new()));
            for catalog in [&sqlite, &model] {
                let rows = ["a", "b"].map(|n| Mutation::CreateProject(project(n)));
                catalog.commit(rows.to_vec()).await.unwrap();
                let rows = [(1, "a"), (2, "b")].map(|(i, n)| Mutation::CreateDataset(dataset(i, "a", n)));
                catalog.commit(rows.to_vec()).await.unwrap();
            }
            for step in steps {
                let expected = take(&model, step.clone()).await;
                assert_eq!(take(&sqlite, step.clone()).await, expected, "{step:?}");
            }
            for number in 1..3 {
                let dataset = DatasetId::from_bytes([number; 16]);
                let query = VersionQuery { limit: 1000, ..VersionQuery::default() };
                let page = sqlite.versions(&dataset, &query).await.unwrap();
                assert_eq!(page, model.versions(&dataset, &query).await.unwrap());
                for name in ["k", "k/l"] {
                    let key = name.parse().unwrap();
                    let found = sqlite.latest_marker(&dataset, &key).await.unwrap();
                    assert_eq!(found, model.latest_marker(&dataset, &key).await.unwrap());
                    for n in 0..4 {
                        let name = VersionName::of(version(n), n > 0);
                        let found = sqlite.version(&dataset, &key, &name).await.unwrap();
                        assert_eq!(found, model.version(&dataset, &key, &name).await.unwrap());
                    }
                }
            }
            let (all, _) = sqlite.dump(None, usize::MAX).await.unwrap();
            let (expected, _) = model.dump(None, usize::MAX).await.unwrap();
            assert_eq!(all, expected);
            assert_eq!(sqlite.generation().await.unwrap(), model.generation().await.unwrap());
        });
    }
}
