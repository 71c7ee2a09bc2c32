//! The log at size: volumes of so many records in a vault that is there for it, and how fast a
//! record is verified. `docs/performance.md` has the figures and the commands.
//!
//! ```text
//! log_figures fill CONFIG RECORDS    adds volumes of so many records of project `icu`
//! log_figures verify RECORDS         records a second: a volume against the log, and a bundle
//! ```
//!
//! The records are those of reads: 200 jobs, 5,000 objects, ranges of 8 MiB, a hundredth refused,
//! 25 requests a second.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a tool for measuring: it reads the clock and prints figures"
)]

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::stream;
use kluis::app::system::SystemEntropy;
use kluis::app::{Lane, Opened, Opening, log_origin, open_store, write_file};
use kluis::archive::{
    Fold, Index, Meta, Place, Volume, VolumeKeys, check, records_of, write_volume,
};
use kluis::config::{Config, Environment, StoreKind};
use kluis::ledger::evidence::{
    Demand, Group, GroupRows, Manifest, RowsWriter, Source, verify, write_session,
    write_sessions_head,
};
use kluis::ledger::tlog::{Checkpoint, Growth, KeyKind, Signer, TrustPolicy};
use kluis::ledger::{
    AuthMethod, Completion, Entry, Intent, Nature, ObjectRef, Outcome, PolicyRef, Scope, ScopeKey,
    Segment, SegmentTrees, Session, encode, session_hash,
};
use kluis::types::{
    Action, BlobId, ByteRange, Entropy as _, EventId, GrantId, Secret, Timestamp, VersionId,
};

const USAGE: &str = "log_figures fill CONFIG RECORDS | verify RECORDS";
const BEGUN_MS: u64 = 1_803_975_304_112;
/// Records of one volume, as `kluis-audit ship` closes them.
const VOLUME: u64 = 262_144;
/// Records of one segment of the log.
const SEGMENT: u64 = 16_384;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Numbers that look random and are the same each time.
struct Draws(u64);

impl Draws {
    const fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

fn session(job: u64) -> Result<Session, Failure> {
    Ok(Session {
        principal: Some(format!("job-{job}").parse()?),
        responsible: Some(format!("m.jansen-{}", job % 20).parse()?),
        access_key: Some(format!("KLUSAAAAAAAAAAAA{job:04}").parse()?),
        auth: AuthMethod::SigV4Header,
        client_ip: format!("10.12.4.{job}"),
        user_agent: "kluis-mount/0.1".to_owned(),
        source: "gw-1".to_owned(),
    })
}

/// The request of number `n`, and its end.
fn request(n: u64, draws: &mut Draws) -> Result<(u64, Intent, Completion), Failure> {
    let pick = draws.next();
    let time = Timestamp::from_millis(BEGUN_MS + n * 40);
    let event = EventId::v7(time, &SystemEntropy::new())?;
    let object = pick / 200 % 5_000;
    let mut version = [0x5a_u8; 16];
    version[..8].copy_from_slice(&object.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    let start = (pick >> 20) % 64 * (8 << 20);
    let refused = (pick >> 40).is_multiple_of(100);
    let intent = Intent {
        event,
        time,
        action: Some(Action::ObjectRead),
        operation: "GetObject".to_owned(),
        nature: Nature::Normal,
        object: ObjectRef {
            project: Some("icu".parse()?),
            dataset: Some("ecg".parse()?),
            key: Some(format!("adults/{:03}/{object:05}.edf", object / 50).parse()?),
            version: Some(VersionId::from_bytes(version)),
        },
        source_object: None,
        range: ByteRange::new(start, start + (8 << 20)),
        query: None,
        policy: Some(PolicyRef {
            allowed: !refused,
            rule: "p, reader, object.read, allow".to_owned(),
            version: [0x11; 32],
            grant: Some(GrantId::from_bytes([7; 16])),
            purpose: Some("ehds:scientific-research".to_owned()),
            permit: Some("HDAB-NL-2026-0417".to_owned()),
        }),
    };
    let end = Completion {
        event,
        time: time.plus_millis(pick >> 56),
        outcome: if refused {
            Outcome::Refused
        } else {
            Outcome::Success
        },
        status: if refused { 403 } else { 206 },
        reason: String::new(),
        bytes: if refused { 0 } else { 8 << 20 },
        object_bytes: Some(512 << 20),
    };
    Ok((pick % 200, intent, end))
}

/// The records from `first` up to `end`, folded as a volume has them.
fn fold((first, end): (u64, u64), draws: &mut Draws) -> Result<Fold, Failure> {
    let mut fold = Fold::default();
    for n in first / 2..end / 2 {
        let (job, intent, completion) = request(n, draws)?;
        let session = session(job)?;
        let hash = session_hash(&session)?;
        let entry = Entry::Intent {
            session: hash,
            intent,
        };
        fold.push(2 * n, entry, Some(Arc::new(session)))?;
        fold.push(2 * n + 1, Entry::Completion(completion), None)?;
    }
    Ok(fold)
}

fn icu() -> Result<Scope, Failure> {
    Ok(Scope::Project("icu".parse()?))
}

async fn fill(config: &Path, records: u64) -> Result<(), Failure> {
    let config = Config::load(config)?;
    let environment = Environment::process();
    let opened = Opened::open(Opening {
        config: &config,
        environment: &environment,
        lane: Lane::Admin,
        ask: &|_| None,
        root: None,
        journal: None,
        health: None,
    })
    .await?;
    let origin = log_origin(&config, &opened.keyring);
    let keys = VolumeKeys::new(opened.keyring.log_files_key());
    let mut beside = config.clone();
    if beside.store.kind != StoreKind::Local {
        return Err("a local store is filled, and no other".into());
    }
    beside.store.path.push("log");
    let store = open_store(&beside, &environment, true).await?;
    let mut index = Index::new(&origin);
    let mut draws = Draws(0x1234_5678_9abc_def1);
    let (begun, mut bytes) = (Instant::now(), 0_u64);
    for first in (0..records).step_by(usize::try_from(VOLUME)?) {
        let end = (first + VOLUME).min(records);
        let rows = fold((first, end), &mut draws)?;
        let meta = Meta::new(&origin, "gw-1", (first, end), Vec::new());
        let volume = write_volume(&keys, &meta, rows.rows(), &SystemEntropy::new())?;
        let mut id = [0; 16];
        SystemEntropy::new().fill(&mut id)?;
        let (id, len) = (BlobId::from_bytes(id), u64::try_from(volume.len())?);
        bytes += len;
        store
            .put(id, len, Box::pin(stream::iter([Ok(volume)])))
            .await?;
        let times = (BEGUN_MS + first * 20, BEGUN_MS + end * 20 + 300);
        index.push(Place::new(meta, id, len, times, (end - first) / 2))?;
    }
    write_file(&config.proof.dir.join("volumes"), &index.encode()?, 0o600)?;
    opened.finish(&config).await?;
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{records} records in {} volumes: {bytes} bytes, {:.1} each; {seconds:.1} s",
        index.volumes().len(),
        bytes as f64 / records as f64,
    );
    Ok(())
}

/// A bundle in memory.
#[derive(Default)]
struct Files(BTreeMap<String, Bytes>);

impl Source for Files {
    fn read(&mut self, name: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.0.get(name).map(|bytes| bytes.to_vec()))
    }

    fn stream(&mut self, name: &str) -> io::Result<Option<Box<dyn Read>>> {
        let bytes = self.0.get(name).cloned();
        Ok(bytes.map(|bytes| -> Box<dyn Read> { Box::new(Cursor::new(bytes)) }))
    }
}

/// A log of project `icu` alone, and the bundle of it.
struct Logged {
    key: ScopeKey,
    scope: Scope,
    growth: Growth,
    rows: RowsWriter<Vec<u8>>,
    sessions: BTreeMap<[u8; 32], Arc<Session>>,
}

impl Logged {
    /// Puts the records of a volume into the log; its segments.
    fn add(&mut self, volume: &Volume) -> Result<Vec<Segment>, Failure> {
        let mut kept = Vec::new();
        records_of(volume, |found| {
            let hash = found.row.entry.session().copied();
            if let (Some(hash), Some(session)) = (hash, &found.row.session) {
                let session = Arc::clone(session);
                self.sessions.entry(hash).or_insert(session);
            }
            kept.push((found.seq, found.bytes.to_vec()));
            Ok(())
        })?;
        let tag = self.key.tag(&self.scope);
        let mut segments = Vec::new();
        for part in kept.chunks(usize::try_from(SEGMENT)?) {
            let first = part.first().map_or(0, |(seq, _)| *seq);
            let mut trees = SegmentTrees::new(&self.key, "gw-1", first);
            for (seq, bytes) in part {
                trees.push(&self.scope, *seq, bytes);
            }
            let segment = Segment {
                lane: "gw-1".to_owned(),
                first,
                count: u64::try_from(part.len())?,
                time: Timestamp::from_millis(BEGUN_MS + first * 20),
                scopes: trees.roots(),
                lost: false,
            };
            self.rows.group(&Group {
                entry: self.growth.size(),
                tag,
                rows: GroupRows::Whole(self.key.seed(&tag, "gw-1", first), part.to_vec()),
            })?;
            self.growth.push(segment.encode()?)?;
            segments.push(segment);
        }
        Ok(segments)
    }

    /// The files of the bundle, and whom to trust.
    fn bundle(mut self) -> Result<(Files, TrustPolicy), Failure> {
        let mut files = Files::default();
        for (tile, bytes) in self.growth.files()? {
            files.0.insert(tile.to_string(), bytes.into());
        }
        let signer = Signer::new("log", KeyKind::Note, &Secret::take(&mut [3; 32]))?;
        let size = self.growth.size();
        let note = Checkpoint::new("log".into(), size, self.growth.root()).sign(&signer)?;
        let tag = self.key.tag(&self.scope);
        let manifest = Manifest::new("log", (0, size), &[(self.scope, tag)]);
        let mut written = Vec::new();
        write_sessions_head(&mut written)?;
        for session in self.sessions.values() {
            let mut bytes = Vec::new();
            encode(&Entry::Session((**session).clone()), &mut bytes)?;
            write_session(&mut written, &bytes)?;
        }
        for (name, bytes) in [
            ("checkpoint", note.to_string().into_bytes()),
            ("bundle.json", serde_json::to_vec(&manifest)?),
            ("sessions", written),
            ("rows", self.rows.finish()?),
        ] {
            files.0.insert(name.to_owned(), bytes.into());
        }
        Ok((files, TrustPolicy::log(signer.public().clone())))
    }
}

/// Verifies a volume, and a bundle of `records`, each in one thread.
fn verified(records: u64) -> Result<(), Failure> {
    let keys = VolumeKeys::new(Secret::take(&mut [1; 32]));
    let mut draws = Draws(0x1234_5678_9abc_def1);
    let mut log = Logged {
        key: ScopeKey::new(&Secret::take(&mut [2; 32])),
        scope: icu()?,
        growth: Growth::new(),
        rows: RowsWriter::new(Vec::new(), false)?,
        sessions: BTreeMap::new(),
    };
    for first in (0..records).step_by(usize::try_from(VOLUME)?) {
        let end = (first + VOLUME).min(records);
        let folded = fold((first, end), &mut draws)?;
        let meta = Meta::new("log", "gw-1", (first, end), Vec::new());
        let bytes = write_volume(&keys, &meta, folded.rows(), &SystemEntropy::new())?;
        drop(folded);
        let volume = Volume::open(&keys, &meta, bytes)?;
        let segments = log.add(&volume)?;
        if first == 0 {
            let begun = Instant::now();
            let held = check(&volume, &segments, &log.key, |_, _, _, _, _| {})?;
            let rate = held.records as f64 / begun.elapsed().as_secs_f64();
            println!(
                "a volume of {} records against the log: {rate:.0}/s",
                held.records
            );
        }
    }
    let (mut files, trust) = log.bundle()?;
    let demand = Demand {
        now: Timestamp::from_millis(BEGUN_MS),
        days: 0,
    };
    let begun = Instant::now();
    let report = verify(&mut files, &trust, &[], demand, &mut |_seen| {})?;
    let seconds = begun.elapsed().as_secs_f64();
    if !report.findings.is_empty() || report.rows != records {
        return Err(format!("the bundle does not hold: {:?}", report.findings).into());
    }
    let rate = records as f64 / seconds;
    println!("a bundle of {records} records: {rate:.0}/s, {seconds:.2} s");
    Ok(())
}

fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match *words {
        ["fill", config, records] => {
            let runtime = tokio::runtime::Runtime::new()?;
            runtime.block_on(fill(Path::new(config), records.parse()?))
        }
        ["verify", records] => verified(records.parse()?),
        _ => Err(USAGE.into()),
    }
}
