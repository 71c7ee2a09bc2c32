//! What durability costs: requests per second (an intent that is waited for and a completion that
//! is not) with 1, 8, 64 and 512 callers, in memory and on disk.
//!
//! `cargo bench --ignore-rust-version --bench journal [-- DIRECTORY]`; the directory decides which
//! disk is measured.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    clippy::as_conversions,
    clippy::indexing_slicing,
    reason = "a benchmark reads clocks, prints its figures and stops at the first fault"
)]

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use kluis::journal::{MemoryJournal, SharedJournal, Wal, WalConfig};
use kluis::ledger::{
    AuthMethod, Completion, Intent, Nature, ObjectRef, Outcome, PolicyRef, Session,
};
use kluis::types::{Action, ByteRange, Clock, Entropy, EntropyError, EventId, Secret, Timestamp};
use ring::rand::{SecureRandom as _, SystemRandom};

const ROUND: Duration = Duration::from_millis(1_500);

struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap();
        Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap())
    }
}

struct HostEntropy(SystemRandom);

impl Entropy for HostEntropy {
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyError> {
        self.0.fill(out).map_err(|_none| EntropyError)
    }
}

fn session() -> Session {
    Session {
        principal: Some("job-4412871".parse().unwrap()),
        responsible: Some("j.devries".parse().unwrap()),
        access_key: Some("KLUIS0123456789ABCDE".parse().unwrap()),
        auth: AuthMethod::SigV4Header,
        client_ip: "10.12.4.17".into(),
        user_agent: "Boto3/1.40 md/Botocore#1.40 ua/2.1 os/linux#6.8 lang/python#3.13".into(),
        source: "gw-1".into(),
    }
}

fn intent(event: EventId) -> Intent {
    Intent {
        event,
        time: WallClock.now(),
        action: Some(Action::ObjectRead),
        operation: "GetObject".into(),
        nature: Nature::Normal,
        object: ObjectRef {
            project: Some("icu-sepsis".parse().unwrap()),
            dataset: Some("ecg-2024".parse().unwrap()),
            key: Some(
                "patients/000123/records/000456/lead-II.dat"
                    .parse()
                    .unwrap(),
            ),
            version: None,
        },
        source_object: None,
        range: ByteRange::new(0, 4096),
        query: None,
        policy: Some(PolicyRef {
            allowed: true,
            rule: "p, role:job, icu-sepsis, ecg-2024, object.read, allow".into(),
            version: [0xcc; 32],
            grant: None,
            purpose: Some("ehds:scientific-research".into()),
            permit: Some("HDAB-NL-2026-0417".into()),
        }),
    }
}

fn completion(event: EventId) -> Completion {
    Completion {
        event,
        time: WallClock.now(),
        outcome: Outcome::Success,
        status: 206,
        reason: String::new(),
        bytes: 4096,
        object_bytes: Some(1_048_576),
    }
}

/// Seconds of processor time that this process has used, from `/proc` (clock ticks of 10 ms).
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let ticks = |at: usize| fields[at].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / 100.0
}

async fn caller(journal: SharedJournal, session: Arc<Session>, end: Instant, n: u32) -> Vec<u32> {
    let mut micros = Vec::with_capacity(64 * 1024);
    let mut id = [0; 16];
    id[..4].copy_from_slice(&n.to_be_bytes());
    for turn in 0..u32::MAX {
        let start = Instant::now();
        if start >= end {
            break;
        }
        id[4..8].copy_from_slice(&turn.to_be_bytes());
        let event = EventId::from_bytes(id);
        let slot = journal.begin(&session, intent(event)).await.unwrap();
        micros.push(u32::try_from(start.elapsed().as_micros()).unwrap());
        slot.complete(completion(event));
        tokio::task::yield_now().await;
    }
    micros
}

async fn round(name: &str, journal: &SharedJournal, callers: u32) {
    let session = Arc::new(session());
    let (start, cpu) = (Instant::now(), cpu_seconds());
    let tasks: Vec<_> = (0..callers)
        .map(|n| {
            let (journal, session) = (Arc::clone(journal), Arc::clone(&session));
            tokio::spawn(caller(journal, session, start + ROUND, n))
        })
        .collect();
    let mut micros = Vec::new();
    for task in tasks {
        micros.extend(task.await.unwrap());
    }
    let (seconds, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    micros.sort_unstable();
    let requests = micros.len() as f64;
    println!(
        "{name:<8} {callers:>4} {:>10.0} {:>8} {:>8} {:>12.2}",
        requests / seconds,
        micros[micros.len() / 2],
        micros[micros.len() * 99 / 100],
        cpu * 1e6 / requests / 2.0,
    );
}

fn main() {
    let wanted = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    let dir = match wanted {
        Some(parent) => tempfile::tempdir_in(parent).unwrap(),
        None => tempfile::tempdir().unwrap(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let key = Secret::take(&mut [7; 32]);
        let config = WalConfig::new(dir.path().to_owned(), "bench".into(), key);
        let entropy = Arc::new(HostEntropy(SystemRandom::new()));
        let disk: SharedJournal = Wal::open(config, Arc::new(WallClock), entropy).unwrap();
        let memory: SharedJournal = MemoryJournal::new(Arc::new(WallClock), 10_000);
        println!("journal  callers requests/s   p50 us   p99 us  CPU us/record");
        for callers in [1, 8, 64, 512] {
            round("memory", &memory, callers).await;
            round("disk", &disk, callers).await;
        }
        disk.close().await.unwrap();
        let bytes: u64 = std::fs::read_dir(dir.path().join("bench"))
            .unwrap()
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .sum();
        println!("{} MiB of journal files", bytes >> 20);
    });
}
