//! What the SQLite catalog costs at a million objects: pages, point reads, commits.
//!
//! `cargo bench --ignore-rust-version --bench catalog [-- DIRECTORY]`; the directory decides which
//! disk is measured, and must exist. Times are wall time: the median and the slowest of the runs.
#![expect(
    clippy::print_stdout,
    reason = "a benchmark tells its figures to who started it"
)]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kluis::catalog::{
    Attached, BlobUse, Chain, Condition, DatasetRow, Defaults, ListQuery, Mutation, ObjectMeta,
    ObjectRow, PrincipalRow, ProjectRow, SharedCatalog, SqliteCatalog,
};
use kluis::types::{
    BlobId, BucketName, Checksums, DatasetId, ETag, LogTerms, PrincipalKind, Timestamp, VersionId,
    Versioning,
};

const DIRECTORIES: u64 = 1_000;
const FILES: u64 = 1_000;
const RUNS: usize = 101;
const DATASET: DatasetId = DatasetId::from_bytes([1; 16]);

fn main() {
    let place = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    let place = place.map_or_else(std::env::temp_dir, PathBuf::from);
    let directory = tempfile::tempdir_in(place).expect("a directory to measure in");
    let path = directory.path().join("catalog.db");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        fill(SqliteCatalog::open(&path).expect("a catalog")).await;
        let catalog: SharedCatalog = SqliteCatalog::open(&path).expect("a catalog");
        pages(&catalog).await;
        points(&catalog).await;
        for writers in [1, 16, 64] {
            commits(&catalog, writers).await;
        }
    });
    let bytes = std::fs::metadata(&path).map_or(0, |meta| meta.len());
    let objects = DIRECTORIES * FILES;
    println!("file: {bytes} bytes, {} per object", bytes / objects);
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn now() -> Instant {
    Instant::now()
}

fn key(number: u64) -> String {
    format!("dir-{:03}/file-{:03}.dcm", number / FILES, number % FILES)
}

/// Spreads numbers over 128 bits, as random identifiers are.
fn id(number: u64) -> [u8; 16] {
    let spread = u128::from(number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    spread.to_be_bytes()
}

fn put(number: u64, key: &str) -> Mutation {
    let version = VersionId::from_bytes(id(number));
    Mutation::PutObject {
        row: ObjectRow {
            dataset: DATASET,
            key: key.parse().expect("a key"),
            version,
            bytes: number,
            etag: ETag::of(&version, 1),
            modified: Timestamp::from_millis(number),
            meta: ObjectMeta {
                content_type: Some("application/dicom".into()),
                ..ObjectMeta::default()
            },
            checksums: Checksums::default(),
            part_bytes: Vec::new(),
            sealed_table: Bytes::from(vec![7; 160]),
            versioned: false,
            attached: Attached::default(),
        },
        blobs: BlobUse {
            fresh: vec![BlobId::from_bytes(id(number))],
            shared: Vec::new(),
        },
        condition: Condition::None,
    }
}

async fn fill(catalog: SharedCatalog) {
    let created = Timestamp::from_millis(1);
    let rows = vec![
        Mutation::CreateProject(ProjectRow {
            name: "icu".parse().expect("a name"),
            created,
            log: LogTerms::default(),
            defaults: None,
        }),
        Mutation::CreatePrincipal(PrincipalRow {
            id: "ann".parse().expect("a name"),
            kind: PrincipalKind::Person,
            acts_for: None,
            created,
            suspended: None,
            clearance: None,
        }),
        Mutation::CreateDataset(DatasetRow {
            id: DATASET,
            bucket: BucketName {
                project: "icu".parse().expect("a name"),
                dataset: "ct".parse().expect("a name"),
            },
            created,
            creator: "ann".parse().expect("a name"),
            versioning: Versioning::Off,
            defaults: Defaults::default(),
            card: None,
        }),
    ];
    catalog.commit(rows).await.expect("a commit");
    let begun = now();
    for directory in 0..DIRECTORIES {
        let numbers = directory * FILES..(directory + 1) * FILES;
        let commit = numbers.map(|number| put(number, &key(number))).collect();
        catalog.commit(commit).await.expect("a commit");
        let chain = Chain {
            upto: catalog.change_seq().await.expect("a number"),
            ..Chain::default()
        };
        catalog.keep_chain(&chain).await.expect("a commit");
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!("fill: {} objects in {seconds:.1} s", DIRECTORIES * FILES);
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    let slowest = times.last().copied().unwrap_or_default();
    println!(
        "{what:<40} median {:>10.1} us   slowest {:>10.1} us",
        median.as_secs_f64() * 1e6,
        slowest.as_secs_f64() * 1e6
    );
}

async fn pages(catalog: &SharedCatalog) {
    let flat = ListQuery {
        limit: 1_000,
        ..ListQuery::default()
    };
    let folded = ListQuery {
        delimiter: Some("/".into()),
        ..flat.clone()
    };
    let inside = ListQuery {
        prefix: "dir-500/".into(),
        ..folded.clone()
    };
    let queries = [
        ("page of 1,000 keys", flat),
        ("page of 1,000 folded prefixes", folded),
        ("page of 1,000 keys in a prefix", inside),
    ];
    for (what, query) in queries {
        let mut times = Vec::new();
        for run in 0..RUNS {
            let mut query = query.clone();
            if query.delimiter.is_none() {
                query.after = Some(format!("dir-{:03}/file-500.dcm", (run * 379) % 999));
            }
            let begun = now();
            let page = catalog.list(&DATASET, &query).await.expect("a page");
            times.push(begun.elapsed());
            assert_eq!(page.entries.len(), 1_000);
        }
        report(what, times);
    }
}

async fn points(catalog: &SharedCatalog) {
    let mut times = Vec::new();
    for run in 0..20_000_u64 {
        let key = key((run * 379_721) % (DIRECTORIES * FILES));
        let key = key.parse().expect("a key");
        let begun = now();
        let row = catalog.object(&DATASET, &key).await.expect("a read");
        times.push(begun.elapsed());
        assert!(row.is_some());
    }
    report("one object", times);
    let mut times = Vec::new();
    for _ in 0..20_000 {
        let begun = now();
        let generation = catalog.generation().await.expect("a number");
        times.push(begun.elapsed());
        assert!(generation > 0);
    }
    report("generation", times);
}

async fn commits(catalog: &SharedCatalog, writers: u64) {
    static NEXT: AtomicU64 = AtomicU64::new(2_000_000);
    let each = if writers == 1 { 1_000 } else { 500 };
    let begun = now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..writers {
        let catalog = Arc::clone(catalog);
        tasks.spawn(async move {
            let mut times = Vec::new();
            for _ in 0..each {
                let number = NEXT.fetch_add(1, Ordering::Relaxed);
                let commit = vec![put(number, &format!("new/{number}"))];
                let begun = now();
                catalog.commit(commit).await.expect("a commit");
                times.push(begun.elapsed());
            }
            times
        });
    }
    let times = tasks.join_all().await.concat();
    let seconds = begun.elapsed().as_secs_f64();
    let rate = f64::from(u32::try_from(writers * each).unwrap_or(u32::MAX)) / seconds;
    report(&format!("commit, {writers} writers, {rate:.0}/s"), times);
}
