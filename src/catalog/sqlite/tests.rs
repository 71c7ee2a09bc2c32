//! What is SQLite's own: the file, other processes, damage, a full disk.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::catalog::{Attached, BlobUse, Condition, Conflict, Defaults, Facts, ObjectMeta};
use crate::types::{Checksums, ETag, LogTerms, PrincipalKind, Timestamp, Versioning};

struct Place {
    directory: TempDir,
}

impl Place {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("catalog.db")
    }

    fn open(&self) -> Arc<SqliteCatalog> {
        SqliteCatalog::open(&self.path()).unwrap()
    }

    /// What a hostile or clumsy hand does to the file.
    fn tamper(&self, sql: &str) {
        let conn = Connection::open(self.path()).unwrap();
        conn.execute_batch(sql).unwrap();
    }
}

fn project(name: &str) -> Vec<Mutation> {
    vec![Mutation::CreateProject(ProjectRow {
        name: name.parse().unwrap(),
        created: Timestamp::from_millis(1),
        defaults: None,
        log: LogTerms::default(),
    })]
}

fn name(text: &str) -> ProjectName {
    text.parse().unwrap()
}

#[tokio::test]
async fn the_file_is_its_owners_alone() {
    let place = Place::new();
    let catalog = place.open();
    catalog.commit(project("a")).await.unwrap();
    for suffix in ["", "-wal", "-shm"] {
        let path = format!("{}{suffix}", place.path().display());
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{path}");
    }
}

#[tokio::test]
async fn commits_outlive_the_process() {
    let place = Place::new();
    let catalog = place.open();
    catalog.commit(project("a")).await.unwrap();
    drop(catalog);
    let catalog = place.open();
    assert!(catalog.project(&name("a")).await.unwrap().is_some());
    assert_eq!(catalog.change_seq().await.unwrap(), 1);
    // And without any goodbye: the files as they are, seen by another reader.
    catalog.commit(project("b")).await.unwrap();
    let copy = Place::new();
    for suffix in ["", "-wal"] {
        let from = format!("{}{suffix}", place.path().display());
        fs::copy(from, format!("{}{suffix}", copy.path().display())).unwrap();
    }
    let copied = copy.open();
    assert!(copied.project(&name("b")).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_writers_of_one_file_share_it() {
    let place = Place::new();
    let (one, two) = (place.open(), place.open());
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..40 {
        let catalog = Arc::clone(if number % 2 == 0 { &one } else { &two });
        // Each name twice: whoever is second is refused, in whichever process.
        let commit = project(&format!("p{}", number / 2));
        tasks.spawn(async move { catalog.commit(commit).await });
    }
    let answers = tasks.join_all().await;
    let done = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(done, 20);
    let lost = Err(CatalogError::Conflict(Conflict::ProjectExists));
    assert!(answers.iter().all(|a| a.is_ok() || *a == lost));
    for catalog in [&one, &two] {
        assert_eq!(catalog.projects(None, 99).await.unwrap().len(), 20);
        assert_eq!(catalog.change_seq().await.unwrap(), 20);
        assert_eq!(catalog.generation().await.unwrap(), 20);
    }
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let place = Place::new();
    drop(place.open());
    place.tamper("PRAGMA user_version = 99; UPDATE meta SET schema = 99;");
    let refused = SqliteCatalog::open(&place.path()).map(drop);
    let (found, known) = (99, u32::try_from(schema::STEPS.len()).unwrap());
    assert_eq!(refused, Err(CatalogError::Schema { found, known }));
}

#[tokio::test]
async fn what_is_no_database_is_refused() {
    let place = Place::new();
    fs::write(place.path(), vec![b'x'; 8192]).unwrap();
    let refused = SqliteCatalog::open(&place.path()).map(drop);
    assert!(matches!(refused, Err(CatalogError::Damaged { .. })));
    let nowhere = place.directory.path().join("no/such/catalog.db");
    let refused = SqliteCatalog::open(&nowhere).map(drop);
    assert!(matches!(refused, Err(CatalogError::Failed { .. })));
}

/// One commit that holds every kind of row.
fn furniture() -> Vec<Mutation> {
    let dataset = DatasetId::from_bytes([1; 16]);
    let now = Timestamp::from_millis(1);
    let mut mutations = project("icu");
    mutations.extend([
        Mutation::CreatePrincipal(PrincipalRow {
            id: "ann".parse().unwrap(),
            kind: PrincipalKind::Person,
            acts_for: None,
            created: now,
            suspended: None,
            clearance: None,
        }),
        Mutation::CreateDataset(DatasetRow {
            id: dataset,
            bucket: BucketName {
                project: name("icu"),
                dataset: "ecg".parse().unwrap(),
            },
            created: now,
            creator: "ann".parse().unwrap(),
            versioning: Versioning::Off,
            defaults: Defaults::default(),
            card: None,
        }),
        Mutation::CreateUpload(UploadRow {
            id: UploadId::from_bytes([2; 16]),
            dataset,
            key: "k".parse().unwrap(),
            initiator: "ann".parse().unwrap(),
            initiated: now,
            meta: ObjectMeta::default(),
            checksum: None,
            tags: Vec::new(),
            facts: Facts::default(),
        }),
    ]);
    mutations
}

#[tokio::test]
async fn damaged_rows_are_errors_and_not_answers() {
    let place = Place::new();
    let catalog = place.open();
    catalog.commit(furniture()).await.unwrap();
    place.tamper(
        "UPDATE projects SET created = -1;
        UPDATE principals SET id = 'A bad name';
        UPDATE datasets SET creator = '';
        UPDATE uploads SET row = substr(row, 1, length(row) - 1);",
    );
    let damaged = |error: CatalogError| matches!(error, CatalogError::Damaged { .. });
    assert!(damaged(catalog.project(&name("icu")).await.unwrap_err()));
    let bucket = BucketName {
        project: name("icu"),
        dataset: "ecg".parse().unwrap(),
    };
    assert!(damaged(catalog.dataset(&bucket).await.unwrap_err()));
    let id = UploadId::from_bytes([2; 16]);
    assert!(damaged(catalog.upload(&id).await.unwrap_err()));
    assert!(damaged(catalog.dump(None, 1 << 20).await.unwrap_err()));
}

#[tokio::test]
async fn an_upload_under_anothers_id_is_damage() {
    let place = Place::new();
    let catalog = place.open();
    catalog.commit(furniture()).await.unwrap();
    place.tamper("UPDATE uploads SET id = zeroblob(16);");
    let other = UploadId::from_bytes([0; 16]);
    assert!(matches!(
        catalog.upload(&other).await,
        Err(CatalogError::Damaged { .. })
    ));
}

/// A file that may not grow, as on a full disk; and it serves again once it may.
#[tokio::test]
async fn a_full_disk_fails_the_commit_and_nothing_else() {
    let place = Place::new();
    drop(place.open());
    let conn = open::writer(&place.path()).unwrap();
    let pages: i64 = conn
        .query_row("PRAGMA page_count", [], |row| row.get(0))
        .unwrap();
    conn.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))
        .unwrap();
    let writer = Writer::start(conn, None).unwrap();
    let big = |number: u32| {
        let long = format!("p{number}");
        let mutations = project(&long);
        let change = Bytes::from(vec![0; 100_000]);
        Work::Commit { mutations, change }
    };
    assert_eq!(writer.run(big(1)).await, Err(CatalogError::Full));
    let small = project("small");
    let change = encode_change(&small).unwrap();
    let mutations = small;
    let answer = writer.run(Work::Commit { mutations, change }).await;
    assert_eq!(answer, Ok(Vec::new()));
    drop(writer);
    let catalog = place.open();
    assert!(catalog.project(&name("p1")).await.unwrap().is_none());
    assert!(catalog.project(&name("small")).await.unwrap().is_some());
}

#[tokio::test]
async fn a_reader_cannot_write() {
    let place = Place::new();
    drop(place.open());
    let conn = open::reader(&place.path()).unwrap();
    assert!(conn.execute("DELETE FROM projects", []).is_err());
}

/// While another process holds the file, commits wait in a queue that has a bound.
#[tokio::test]
async fn a_full_queue_refuses_and_recovers() {
    let place = Place::new();
    let catalog = place.open();
    let other = Connection::open(place.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let many = limits::CATALOG_QUEUE_MAX + limits::CATALOG_GROUP_MAX + 100;
    let commits = (0..many).map(|number| catalog.commit(project(&format!("p{number}"))));
    // Each commit is queued or refused when it is first polled, before the lock is let go.
    let (answers, ()) = tokio::join!(futures_util::future::join_all(commits), async {
        other.execute_batch("ROLLBACK").unwrap();
    });
    let busy = answers.iter().filter(|a| **a == Err(CatalogError::Busy));
    let busy = busy.count();
    let done = answers.iter().filter(|a| a.is_ok()).count();
    assert!(busy >= 100, "{busy}");
    assert_eq!(busy + done, many);
    let rows = catalog.projects(None, many).await.unwrap().len();
    assert_eq!(rows, done);
    assert_eq!(catalog.commit(project("later")).await, Ok(()));
}

/// A write with a part table of so many bytes, to a dataset that is not there.
fn large(bytes: usize) -> Vec<Mutation> {
    vec![Mutation::PutObject {
        row: ObjectRow {
            dataset: DatasetId::from_bytes([7; 16]),
            key: "k".parse().unwrap(),
            version: VersionId::from_bytes([4; 16]),
            bytes: 1,
            etag: ETag::of(&VersionId::from_bytes([4; 16]), 1),
            modified: Timestamp::from_millis(1),
            meta: ObjectMeta::default(),
            checksums: Checksums::default(),
            part_bytes: Vec::new(),
            sealed_table: Bytes::from(vec![0; bytes]),
            versioned: false,
            attached: Attached::default(),
        },
        blobs: BlobUse::default(),
        condition: Condition::None,
    }]
}

/// Rows of 9 MiB for a request of 500 bytes each: the queue is bounded in bytes, too.
#[tokio::test]
async fn a_queue_of_large_commits_is_bounded_in_bytes() {
    let place = Place::new();
    let catalog = place.open();
    let other = Connection::open(place.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let size = limits::CATALOG_QUEUE_BYTES_MAX / 8;
    let commits = (0..12).map(|_| catalog.commit(large(size)));
    let (answers, ()) = tokio::join!(futures_util::future::join_all(commits), async {
        other.execute_batch("ROLLBACK").unwrap();
    });
    let absent = Err(CatalogError::from(Conflict::NoDataset));
    assert_eq!(answers.iter().filter(|told| **told == absent).count(), 7);
    let busy = Err(CatalogError::Busy);
    assert_eq!(answers.iter().filter(|told| **told == busy).count(), 5);
    // All of it is given back: the longest there may be, with what surrounds its table, fits.
    let longest = limits::CATALOG_CHANGE_BYTES_MAX - 1024;
    assert_eq!(catalog.commit(large(longest)).await, absent);
    assert_eq!(catalog.commit(project("later")).await, Ok(()));
}
