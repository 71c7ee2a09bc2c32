//! What a page of a listing costs as a dataset grows: pages by prefix and delimiter at several
//! depths, and pages of versions among delete markers, in a catalog of a size that is asked for.
//!
//! ```text
//! listing FILE OBJECTS fill             makes FILE: a dataset of so many objects, one of versions
//! listing FILE OBJECTS time             wall time of each kind of page; memory of the process
//! listing FILE OBJECTS run KIND COUNT   COUNT pages of one kind, for callgrind
//! ```
//!
//! `tests/load/listing.sh` does all of it.

#![expect(
    clippy::print_stdout,
    reason = "a tool for measuring tells its figures to who started it"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "a tool for measuring reads the clock"
)]

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kluis::catalog::{
    Attached, BlobUse, CatalogError, Condition, DatasetRow, Defaults, ListQuery, Mutation,
    ObjectMeta, ObjectRow, PrincipalRow, ProjectRow, SharedCatalog, SqliteCatalog, VersionQuery,
};
use kluis::types::{
    BlobId, BucketName, Checksums, DatasetId, ETag, LogTerms, PrincipalKind, Timestamp, VersionId,
    VersionName, Versioning,
};

const USAGE: &str = "listing FILE OBJECTS fill | time | run KIND COUNT";

type Failure = Box<dyn std::error::Error + Send + Sync>;

const PLAIN: DatasetId = DatasetId::from_bytes([1; 16]);
const KEPT: DatasetId = DatasetId::from_bytes([2; 16]);
const PAGE: usize = 1_000;
/// Rows in one commit.
const BATCH: usize = 2_000;
/// Pages of each kind that are timed.
const RUNS: usize = 101;
/// The tree is this many directories wide at its first level, and at its second.
const WIDE: u64 = 10;
const DEEP: u64 = 100;

/// One kind of page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// The top level: two prefixes with half of all objects below each, and two objects.
    Top,
    /// A prefix whose ten prefixes hold a twentieth of all objects each.
    First,
    /// One level below: a hundred prefixes.
    Second,
    /// The level of the objects themselves.
    Leaf,
    /// No delimiter, from the beginning on.
    Flat,
    /// No delimiter, from the middle on.
    Middle,
    /// One entry: whether anything is there.
    Any,
    /// The top level of a dataset of which half is under delete markers.
    Marked,
    /// Its versions, folded: markers and old versions below prefixes.
    VersionsTop,
    /// Its versions, a page of markers and what they cover, from the middle on.
    VersionsGone,
    /// The many versions of one key, from the middle on.
    VersionsOfOne,
}

const KINDS: [(Kind, &str, &str); 11] = [
    (Kind::Top, "top", "top level, `/`"),
    (Kind::First, "first", "`tree/`, `/`"),
    (Kind::Second, "second", "`tree/5/`, `/`"),
    (Kind::Leaf, "leaf", "`tree/5/050/`, `/`"),
    (Kind::Flat, "flat", "all keys, from the first on"),
    (Kind::Middle, "middle", "all keys, from the middle on"),
    (Kind::Any, "any", "one key under `tree/`"),
    (Kind::Marked, "marked", "top level, half of all deleted"),
    (
        Kind::VersionsTop,
        "versions-top",
        "versions, top level, `/`",
    ),
    (
        Kind::VersionsGone,
        "versions-gone",
        "versions under markers",
    ),
    (
        Kind::VersionsOfOne,
        "versions-of-one",
        "versions of one key",
    ),
];

fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let [file, objects, act @ ..] = words.as_slice() else {
        return Err(USAGE.into());
    };
    let (file, objects) = (Path::new(file), objects.parse()?);
    let catalog: SharedCatalog = SqliteCatalog::open(file)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(async {
        match act {
            ["fill"] => fill(file, &catalog, objects).await,
            ["time"] => time(&catalog, objects).await,
            ["run", kind, count] => {
                let kind = KINDS.iter().find(|(_, name, _)| name == kind);
                let (kind, ..) = kind.ok_or(USAGE)?;
                for _ in 0..count.parse::<usize>()? {
                    page(&catalog, objects, *kind).await?;
                }
                Ok(())
            }
            _ => Err(USAGE.into()),
        }
    })
}

// ---- what is listed ----

/// Numbers spread over all bits, as random identifiers are; blobs in order, which fills faster.
fn version(number: u64) -> VersionId {
    let spread = u128::from(number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    VersionId::from_bytes(spread.to_be_bytes())
}

fn put(dataset: DatasetId, number: u64, key: &str) -> Result<Mutation, Failure> {
    let version = version(number);
    Ok(Mutation::PutObject {
        row: ObjectRow {
            dataset,
            key: key.parse()?,
            version,
            bytes: number,
            etag: ETag::of(&version, 1),
            modified: Timestamp::from_millis(number),
            meta: ObjectMeta::default(),
            checksums: Checksums::default(),
            part_bytes: Vec::new(),
            sealed_table: Bytes::from_static(&[7; 120]),
            versioned: false,
            attached: Attached::default(),
        },
        blobs: BlobUse {
            fresh: vec![BlobId::from_bytes(u128::from(number).to_be_bytes())],
            shared: Vec::new(),
        },
        condition: Condition::None,
    })
}

fn found() -> Result<Vec<Mutation>, Failure> {
    let created = Timestamp::from_millis(1);
    let dataset = |id, name: &str| -> Result<Mutation, Failure> {
        Ok(Mutation::CreateDataset(DatasetRow {
            id,
            bucket: BucketName {
                project: "icu".parse()?,
                dataset: name.parse()?,
            },
            created,
            creator: "ann".parse()?,
            versioning: Versioning::Off,
            defaults: Defaults::default(),
            card: None,
        }))
    };
    Ok(vec![
        Mutation::CreateProject(ProjectRow {
            name: "icu".parse()?,
            created,
            log: LogTerms::default(),
            defaults: None,
        }),
        Mutation::CreatePrincipal(PrincipalRow {
            id: "ann".parse()?,
            kind: PrincipalKind::Person,
            acts_for: None,
            created,
            suspended: None,
            clearance: None,
        }),
        dataset(PLAIN, "plain")?,
        dataset(KEPT, "kept")?,
        Mutation::SetVersioning {
            dataset: KEPT,
            state: Versioning::Enabled,
        },
    ])
}

/// The keys of the plain dataset, in order, which fills fastest: half below one prefix, half in a
/// tree.
fn keys(objects: u64) -> impl Iterator<Item = String> {
    let half = objects / 2;
    let files = tree_files(objects);
    let tree = (0..WIDE * DEEP * files).map(move |n| {
        let (directory, file) = (n / files, n % files);
        format!(
            "tree/{}/{:03}/{file:05}.dcm",
            directory / DEEP,
            directory % DEEP
        )
    });
    (0..half)
        .map(|n| format!("big/{n:08}"))
        .chain(std::iter::once("readme".to_owned()))
        .chain(tree)
        .chain(std::iter::once("zz".to_owned()))
}

/// What is written to the dataset of versions, in order: objects, objects that are deleted again,
/// one key again and again.
fn versioned(objects: u64) -> impl Iterator<Item = (String, bool)> {
    let tenth = objects / 10;
    let gone = (0..tenth).flat_map(|n| {
        [
            (format!("gone/{n:08}"), true),
            (format!("gone/{n:08}"), false),
        ]
    });
    gone.chain((0..tenth).map(|n| (format!("kept/{n:08}"), true)))
        .chain((0..tenth / 10).map(|_| ("one".to_owned(), true)))
}

async fn fill(file: &Path, catalog: &SharedCatalog, objects: u64) -> Result<(), Failure> {
    catalog.commit(found()?).await?;
    let begun = Instant::now();
    let mut batch = Vec::with_capacity(BATCH);
    let mut number = 0;
    for key in keys(objects) {
        batch.push(put(PLAIN, number, &key)?);
        number += 1;
        if batch.len() == BATCH {
            flush(catalog, &mut batch).await?;
        }
    }
    for (key, lives) in versioned(objects) {
        batch.push(if lives {
            put(KEPT, number, &key)?
        } else {
            Mutation::RemoveObject {
                dataset: KEPT,
                key: key.parse()?,
                marker: version(number),
                condition: Condition::None,
                now: Timestamp::from_millis(number),
            }
        });
        number += 1;
        if batch.len() == BATCH {
            flush(catalog, &mut batch).await?;
        }
    }
    flush(catalog, &mut batch).await?;
    let seconds = begun.elapsed().as_secs_f64();
    let bytes = std::fs::metadata(file)?.len();
    println!(
        "{number} changes in {seconds:.0} s, a file of {} MiB",
        bytes >> 20
    );
    Ok(())
}

async fn flush(catalog: &SharedCatalog, batch: &mut Vec<Mutation>) -> Result<(), CatalogError> {
    catalog.commit(std::mem::take(batch)).await?;
    // Otherwise the log of changes would be most of the file: snapshots shorten it elsewhere.
    let mut chain = catalog.chain().await?.unwrap_or_default();
    chain.upto = catalog.change_seq().await?;
    catalog.keep_chain(&chain).await
}

// ---- how it is listed ----

/// How many files each directory of the tree has.
const fn tree_files(objects: u64) -> u64 {
    objects / 2 / (WIDE * DEEP)
}

/// A version in the middle of those of the one key, which were written last, one after the other.
fn middle_of_one(objects: u64) -> VersionName {
    let plain = objects / 2 + 2 + tree_files(objects) * WIDE * DEEP;
    let others = 3 * (objects / 10);
    VersionName::Id(version(plain + others + objects / 200))
}

/// One page; how many entries it has.
async fn page(catalog: &SharedCatalog, objects: u64, kind: Kind) -> Result<usize, Failure> {
    let list = |prefix: &str, delimiter: &str, after: Option<String>, limit| ListQuery {
        prefix: prefix.into(),
        delimiter: (!delimiter.is_empty()).then(|| delimiter.into()),
        after,
        limit,
    };
    let versions = |prefix: &str, delimiter: &str, after| VersionQuery {
        prefix: prefix.into(),
        delimiter: (!delimiter.is_empty()).then(|| delimiter.into()),
        after,
        limit: PAGE,
    };
    let query = match kind {
        Kind::Top => list("", "/", None, PAGE),
        Kind::First => list("tree/", "/", None, PAGE),
        Kind::Second => list("tree/5/", "/", None, PAGE),
        Kind::Leaf => list("tree/5/050/", "/", None, PAGE),
        Kind::Flat => list("", "", None, PAGE),
        Kind::Middle => list("", "", Some(format!("big/{:08}", objects / 4)), PAGE),
        Kind::Any => list("tree/", "", None, 1),
        Kind::Marked => {
            let page = catalog.list(&KEPT, &list("", "/", None, PAGE)).await?;
            return Ok(page.entries.len());
        }
        Kind::VersionsTop => {
            // Up to the one key: what it has is not folded.
            let query = VersionQuery {
                limit: 2,
                ..versions("", "/", None)
            };
            return Ok(catalog.versions(&KEPT, &query).await?.entries.len());
        }
        Kind::VersionsGone => {
            let after = Some((format!("gone/{:08}", objects / 20), None));
            let query = versions("gone/", "", after);
            return Ok(catalog.versions(&KEPT, &query).await?.entries.len());
        }
        Kind::VersionsOfOne => {
            let after = Some(("one".to_owned(), Some(middle_of_one(objects))));
            let query = versions("one", "", after);
            return Ok(catalog.versions(&KEPT, &query).await?.entries.len());
        }
    };
    Ok(catalog.list(&PLAIN, &query).await?.entries.len())
}

async fn time(catalog: &SharedCatalog, objects: u64) -> Result<(), Failure> {
    println!("| objects | page | entries | median us | slowest us |");
    for (kind, _, words) in KINDS {
        let mut times = Vec::with_capacity(RUNS);
        let mut entries = 0;
        for _ in 0..RUNS {
            let begun = Instant::now();
            entries = page(catalog, objects, kind).await?;
            times.push(begun.elapsed());
        }
        times.sort_unstable();
        let microseconds = |time: Option<&Duration>| time.map_or(0, Duration::as_micros);
        let median = microseconds(times.get(RUNS / 2));
        let slowest = microseconds(times.last());
        println!("| {objects} | {words} | {entries} | {median} | {slowest} |");
    }
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find(|line| line.starts_with("VmHWM"));
    println!("{}", peak.unwrap_or_default());
    Ok(())
}
