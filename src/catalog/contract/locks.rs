//! Object Lock inside the commit: whatever would end a locked version is refused as a whole; and
//! what few objects have survives a rebuild.

use super::samples::*;
use super::{on_each, refused};
use crate::catalog::{
    Condition, Conflict, Facts, MemoryCatalog, Mutation, Origin, SharedCatalog, SqliteCatalog,
    UploadRow, Version, codec,
};
use crate::types::{
    Checksums, Lock, LockDefaults, Period, Retention, RetentionMode, Timestamp, VersionName,
    Versioning,
};

fn enable() -> [Mutation; 2] {
    [
        Mutation::SetVersioning {
            dataset: DATASET,
            state: Versioning::Enabled,
        },
        Mutation::SetObjectLock {
            dataset: DATASET,
            lock: LockDefaults::default(),
        },
    ]
}

fn until(mode: RetentionMode, millis: u64) -> Retention {
    let until = at(millis);
    Retention { mode, until }
}

/// A retention set at 10.
fn retain(number: u32, retention: Option<Retention>, bypass: bool) -> Mutation {
    Mutation::SetRetention {
        dataset: DATASET,
        key: "k".parse().unwrap(),
        version: version(number),
        retention,
        bypass,
        now: at(10),
    }
}

fn hold(number: u32, hold: bool) -> Mutation {
    Mutation::SetHold {
        dataset: DATASET,
        key: "k".parse().unwrap(),
        version: version(number),
        hold,
    }
}

fn drop_version(name: VersionName, now: u64) -> Mutation {
    Mutation::DeleteVersion {
        dataset: DATASET,
        key: "k".parse().unwrap(),
        version: name,
        condition: Condition::None,
        now: at(now),
    }
}

fn id_of(number: u32) -> VersionName {
    VersionName::Id(version(number))
}

async fn there(catalog: &SharedCatalog, number: u32) -> Option<Lock> {
    let key = "k".parse().unwrap();
    let found = catalog.version(&DATASET, &key, &id_of(number)).await;
    match found.unwrap()? {
        Version::Object(row) => Some(row.attached.facts.lock),
        Version::Marker(_) => None,
    }
}

#[tokio::test]
async fn what_is_locked_is_deleted_in_no_way() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        catalog.commit(enable().to_vec()).await.unwrap();
        for number in [1, 2] {
            let put = put(object(number, "k"), fresh(&[number]));
            let lock = retain(number, Some(until(RetentionMode::Compliance, 50)), false);
            catalog.commit(vec![put, lock]).await.unwrap();
        }
        // The current one and an older one; alone, and behind what would be allowed.
        for number in [1, 2] {
            let gone = drop_version(id_of(number), 49);
            assert_eq!(catalog.commit(vec![gone]).await, refused(Conflict::Locked));
            let loosened = vec![retain(number, None, true), drop_version(id_of(number), 49)];
            assert_eq!(catalog.commit(loosened).await, refused(Conflict::Locked));
            assert!(there(&catalog, number).await.is_some());
        }
        let suspended = Mutation::SetVersioning {
            dataset: DATASET,
            state: Versioning::Suspended,
        };
        let kept = catalog.commit(vec![suspended]).await;
        assert_eq!(kept, refused(Conflict::Locking));
        let dropped = catalog.commit(vec![Mutation::DeleteDataset(DATASET)]).await;
        assert_eq!(dropped, refused(Conflict::DatasetNotEmpty));
        // A delete that names no version takes nothing away.
        let marker = Mutation::RemoveObject {
            dataset: DATASET,
            key: "k".parse().unwrap(),
            marker: version(3),
            condition: Condition::None,
            now: at(20),
        };
        catalog.commit(vec![marker]).await.unwrap();
        assert!(there(&catalog, 2).await.is_some());
        // At its end it may go.
        let gone = drop_version(id_of(2), 50);
        catalog.commit(vec![gone]).await.unwrap();
        assert_eq!(there(&catalog, 2).await, None);
    })
    .await;
}

/// Locks on what is called `null`, which a write replaces while versioning is off or suspended.
#[tokio::test]
async fn what_is_locked_is_not_overwritten() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        let first = put(object(1, "k"), fresh(&[1]));
        catalog.commit(vec![first, hold(1, true)]).await.unwrap();
        let remove = Mutation::RemoveObject {
            dataset: DATASET,
            key: "k".parse().unwrap(),
            marker: version(9),
            condition: Condition::None,
            now: at(20),
        };
        catalog
            .commit(vec![
                Mutation::CreateUpload(upload(5, "k")),
                put_part(part(5, 1, 7), fresh(&[7])),
            ])
            .await
            .unwrap();
        let complete = complete(5, &[(1, 7)], object(8, "k"));
        let writes = [
            put(object(2, "k"), fresh(&[2])),
            delete("k", 20),
            remove.clone(),
            complete,
            drop_version(VersionName::Null, 20),
        ];
        for write in writes {
            let refusal = catalog.commit(vec![write.clone()]).await;
            assert_eq!(refusal, refused(Conflict::Locked), "{write:?}");
        }
        // As an older version under suspended versioning, too.
        for state in [Versioning::Enabled, Versioning::Suspended] {
            let dataset = DATASET;
            let set = Mutation::SetVersioning { dataset, state };
            catalog.commit(vec![set]).await.unwrap();
        }
        let refusal = catalog.commit(vec![put(object(2, "k"), fresh(&[2]))]).await;
        assert_eq!(refusal, refused(Conflict::Locked));
        catalog.commit(vec![hold(1, false), remove]).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn retention_is_loosened_by_who_may_and_holds_by_nobody() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        catalog.commit(enable().to_vec()).await.unwrap();
        let put = put(object(1, "k"), fresh(&[1]));
        let soft = Some(until(RetentionMode::Governance, 50));
        catalog
            .commit(vec![put, retain(1, soft, false)])
            .await
            .unwrap();
        for next in [None, Some(until(RetentionMode::Governance, 49))] {
            let refusal = catalog.commit(vec![retain(1, next, false)]).await;
            assert_eq!(refusal, refused(Conflict::Locked), "{next:?}");
        }
        let longer = Some(until(RetentionMode::Governance, 60));
        catalog
            .commit(vec![retain(1, longer, false), hold(1, true)])
            .await
            .unwrap();
        let forced = vec![retain(1, None, true), drop_version(id_of(1), 20)];
        let refusal = catalog.commit(forced.clone()).await;
        assert_eq!(refusal, refused(Conflict::Locked), "a hold stays");
        let kept = there(&catalog, 1).await.unwrap();
        assert_eq!(
            kept.retention, longer,
            "nothing of a refused commit happens"
        );
        catalog.commit(vec![hold(1, false)]).await.unwrap();
        catalog.commit(forced).await.unwrap();
        assert_eq!(there(&catalog, 1).await, None);
        let absent = catalog.commit(vec![hold(1, true)]).await;
        assert_eq!(absent, refused(Conflict::NoObject));
    })
    .await;
}

#[tokio::test]
async fn object_lock_needs_versions() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        let [_, lock] = enable();
        let refusal = catalog.commit(vec![lock]).await;
        assert_eq!(refusal, refused(Conflict::Locking));
        catalog.commit(enable().to_vec()).await.unwrap();
        let row = catalog.dataset(&bucket("icu", "ecg")).await.unwrap();
        assert_eq!(row.unwrap().defaults.lock, Some(LockDefaults::default()));
    })
    .await;
}

fn origin(number: u32) -> Origin {
    Origin {
        upload: upload_id(number),
        initiator: "ann".parse().unwrap(),
        completion: vec![3; 32].into(),
        parts: vec![Checksums::default()],
    }
}

#[tokio::test]
async fn an_origin_lives_as_long_as_its_object() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        let set = |number| Mutation::SetOrigin {
            dataset: DATASET,
            key: "k".parse().unwrap(),
            version: version(number),
            origin: origin(number),
        };
        let found = async |number| {
            let key = "k".parse().unwrap();
            let found = catalog.origin(&DATASET, &key, &version(number)).await;
            found.unwrap()
        };
        let absent = catalog.commit(vec![set(1)]).await;
        assert_eq!(absent, refused(Conflict::NoObject));
        let first = put(object(1, "k"), fresh(&[1]));
        catalog.commit(vec![first, set(1)]).await.unwrap();
        assert_eq!(found(1).await, Some(origin(1)));
        catalog
            .commit(vec![put(object(2, "k"), fresh(&[2]))])
            .await
            .unwrap();
        assert_eq!((found(1).await, found(2).await), (None, None));
    })
    .await;
}

/// Everything that schema 3 knows, as commits.
fn furnished() -> Vec<Vec<Mutation>> {
    let key = || "k".parse().unwrap();
    let locked = LockDefaults {
        retention: Some((RetentionMode::Governance, Period::Years(3))),
    };
    let facts = Facts {
        lock: Lock {
            retention: Some(until(RetentionMode::Compliance, 9)),
            hold: true,
        },
        key_name: Some("a key".to_owned()),
    };
    vec![
        vec![
            Mutation::CreateProject(project("icu")),
            Mutation::CreatePrincipal(principal("ann")),
            Mutation::CreateDataset(dataset(1, "icu", "ecg")),
        ],
        vec![put(object(1, "k"), fresh(&[1])), hold(1, true)],
        enable().to_vec(),
        vec![Mutation::SetObjectLock {
            dataset: DATASET,
            lock: locked,
        }],
        vec![Mutation::SetKeyName {
            dataset: DATASET,
            name: Some("default".to_owned()),
        }],
        vec![
            put(object(2, "k"), fresh(&[2])),
            retain(2, Some(until(RetentionMode::Governance, 5)), false),
            Mutation::SetObjectKeyName {
                dataset: DATASET,
                key: key(),
                version: version(2),
                name: "own".to_owned(),
            },
            Mutation::SetOrigin {
                dataset: DATASET,
                key: key(),
                version: version(2),
                origin: origin(4),
            },
        ],
        vec![
            Mutation::CreateUpload(upload(6, "k")),
            Mutation::SetUploadFacts {
                upload: upload_id(6),
                facts,
            },
        ],
    ]
}

async fn dumped(catalog: &SharedCatalog) -> Vec<Mutation> {
    let mut all = Vec::new();
    let mut cursor = None;
    loop {
        let (mutations, next) = catalog.dump(cursor, 100).await.unwrap();
        all.extend(mutations);
        let Some(next) = next else { return all };
        cursor = Some(next);
    }
}

#[tokio::test]
async fn locks_and_origins_survive_a_rebuild() {
    let directory = tempfile::tempdir().unwrap();
    let open = |name: &str| -> SharedCatalog {
        SqliteCatalog::open(&directory.path().join(name)).unwrap()
    };
    let memory: SharedCatalog = std::sync::Arc::new(MemoryCatalog::new());
    let sqlite = open("a.db");
    for commit in furnished() {
        for catalog in [&memory, &sqlite] {
            catalog.commit(commit.clone()).await.unwrap();
        }
    }
    let dump = dumped(&memory).await;
    assert_eq!(dumped(&sqlite).await, dump);
    let bytes = codec::encode(&dump);
    let decoded = codec::decode(&bytes).unwrap();
    assert_eq!(codec::encode(&decoded), bytes);
    let again = open("b.db");
    again.commit(dump.clone()).await.unwrap();
    let mut rebuilt = dumped(&again).await;
    // The number of the newest change is another: one commit more.
    let skip_seq = |all: &mut Vec<Mutation>| drop(all.remove(0));
    skip_seq(&mut rebuilt);
    let mut dump = dump;
    skip_seq(&mut dump);
    assert_eq!(rebuilt, dump);
    let upload: UploadRow = again.upload(&upload_id(6)).await.unwrap().unwrap();
    assert!(upload.facts.lock.hold);
    assert_eq!(
        there(&again, 2).await.unwrap().retention.unwrap().until,
        Timestamp::from_millis(5)
    );
}
