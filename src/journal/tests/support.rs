//! A clock and randomness that are set by hand, and a disk whose every step can fail, stop or be
//! the last one before a power cut.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use crate::journal::disk::{Disk, DiskFile, HostDisk};
use crate::journal::file::file_name;
use crate::journal::{JournalError, Late, Reader, Record, Replica, WalConfig};
use crate::types::limits::JOURNAL_FILE_BYTES_MIN;
use crate::types::{Clock, Entropy, EntropyError, EventId, Secret, Timestamp};

pub(in crate::journal) struct HandClock(AtomicU64);

impl HandClock {
    pub(in crate::journal) fn new() -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(1_800_000_000_000)))
    }

    pub(in crate::journal) fn advance(&self, millis: u64) {
        self.0.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// Different bytes each time; shared by all that a test opens, so that no file id comes twice.
pub(in crate::journal) struct Counter(AtomicU64);

impl Counter {
    pub(in crate::journal) fn new() -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(1)))
    }
}

impl Entropy for Counter {
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyError> {
        let n = self.0.fetch_add(1, Ordering::SeqCst).to_be_bytes();
        for (at, byte) in out.iter_mut().enumerate() {
            *byte = n[at % 8];
        }
        Ok(())
    }
}

pub(in crate::journal) fn secret() -> Secret<32> {
    Secret::take(&mut [0x42; 32])
}

pub(in crate::journal) fn config(dir: &Path) -> WalConfig {
    WalConfig {
        file_bytes: JOURNAL_FILE_BYTES_MIN,
        queue_max: 256,
        open_max: 200,
        wait_ms: 60_000,
        ..WalConfig::new(dir.to_owned(), "gw-1".into(), secret())
    }
}

pub(in crate::journal) fn event(n: u32) -> EventId {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&n.to_be_bytes());
    EventId::from_bytes(bytes)
}

pub(in crate::journal) fn read_all(dir: &Path) -> Vec<Result<Record, JournalError>> {
    Reader::open(dir, secret()).unwrap().collect()
}

pub(in crate::journal) fn read_good(dir: &Path) -> Vec<Record> {
    read_all(dir).into_iter().map(Result::unwrap).collect()
}

/// What is on the simulated medium and what is only in memory.
#[derive(Default)]
struct Medium {
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    durable: BTreeMap<u64, Vec<u8>>,
    pending: BTreeMap<u64, Vec<(usize, Vec<u8>)>>,
}

/// How much of what was not synced reached the medium at a power cut.
#[derive(Clone, Copy, Debug)]
pub(in crate::journal) enum Cut {
    /// Nothing.
    Nothing,
    /// Directory entries, and the first half of each write.
    Half,
    /// Everything, as when only the process was killed.
    All,
}

impl Medium {
    fn image(&self, cut: Cut, dir: &Path) {
        let names = match cut {
            Cut::Nothing => &self.durable_names,
            Cut::Half | Cut::All => &self.names,
        };
        for (path, id) in names {
            let mut bytes = self.durable.get(id).cloned().unwrap_or_default();
            for (offset, written) in self.pending.get(id).into_iter().flatten() {
                let len = match cut {
                    Cut::Nothing => 0,
                    Cut::Half => written.len() / 2,
                    Cut::All => written.len(),
                };
                put(&mut bytes, *offset, &written[..len]);
            }
            std::fs::write(dir.join(path.file_name().unwrap()), bytes).unwrap();
        }
    }
}

fn put(bytes: &mut Vec<u8>, offset: usize, written: &[u8]) {
    let end = offset + written.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset..end].copy_from_slice(written);
}

type Hook = Box<dyn FnMut(u64, &dyn Fn(Cut, &Path)) + Send>;

#[derive(Default)]
struct Plan {
    steps: u64,
    /// From step, to step, with what.
    fail: Option<(u64, u64, io::ErrorKind)>,
    no_new_files: bool,
    hook: Option<Hook>,
    medium: Medium,
    files: u64,
}

/// A disk under control; a handle on it can be kept.
#[derive(Clone, Default)]
pub(in crate::journal) struct TestDisk {
    plan: Arc<Mutex<Plan>>,
    gate: Arc<(Mutex<bool>, Condvar)>,
}

impl TestDisk {
    /// Fails the steps from `from` up to, not including, `to`.
    pub(in crate::journal) fn fail(&self, from: u64, to: u64, kind: io::ErrorKind) {
        self.plan.lock().unwrap().fail = Some((from, to, kind));
    }

    /// From now on no file can be made, as on a full disk; or again.
    pub(in crate::journal) fn fail_creating(&self, failing: bool) {
        self.plan.lock().unwrap().no_new_files = failing;
    }

    pub(in crate::journal) fn heal(&self) {
        self.plan.lock().unwrap().fail = None;
    }

    pub(in crate::journal) fn steps(&self) -> u64 {
        self.plan.lock().unwrap().steps
    }

    /// Calls `hook` before each step with the means to make an image of the medium.
    pub(in crate::journal) fn watch(&self, hook: Hook) {
        self.plan.lock().unwrap().hook = Some(hook);
    }

    /// Holds each step up until it is let go.
    pub(in crate::journal) fn hold(&self, held: bool) {
        *self.gate.0.lock().unwrap() = held;
        self.gate.1.notify_all();
    }

    fn step(&self) -> io::Result<()> {
        let mut held = self.gate.0.lock().unwrap();
        while *held {
            held = self.gate.1.wait(held).unwrap();
        }
        drop(held);
        let mut plan = self.plan.lock().unwrap();
        plan.steps += 1;
        let step = plan.steps;
        if let Some(mut hook) = plan.hook.take() {
            let medium = &plan.medium;
            hook(step, &|cut, dir| medium.image(cut, dir));
            plan.hook = Some(hook);
        }
        match plan.fail {
            Some((from, to, kind)) if (from..to).contains(&step) => Err(kind.into()),
            _ => Ok(()),
        }
    }
}

struct TestFile {
    disk: TestDisk,
    id: u64,
    file: Box<dyn DiskFile>,
}

impl DiskFile for TestFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let done = self.disk.step();
        // A write that fails has written something.
        let bytes = if done.is_ok() {
            bytes
        } else {
            &bytes[..bytes.len() / 2]
        };
        self.file.write_at(bytes, offset)?;
        let mut plan = self.disk.plan.lock().unwrap();
        let at = usize::try_from(offset).unwrap();
        plan.medium
            .pending
            .entry(self.id)
            .or_default()
            .push((at, bytes.to_vec()));
        done
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.step()?;
        let medium = &mut self.disk.plan.lock().unwrap().medium;
        let bytes = medium.durable.entry(self.id).or_default();
        for (offset, written) in medium.pending.remove(&self.id).unwrap_or_default() {
            put(bytes, offset, &written);
        }
        // The medium is simulated; a real sync would only make the tests slow.
        Ok(())
    }
}

impl Disk for TestDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.step()?;
        let mut plan = self.plan.lock().unwrap();
        if plan.no_new_files {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let file = HostDisk.create(path)?;
        plan.files += 1;
        let id = plan.files;
        plan.medium.names.insert(path.to_owned(), id);
        Ok(Box::new(TestFile {
            disk: self.clone(),
            id,
            file,
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step()?;
        HostDisk.rename(from, to)?;
        let medium = &mut self.plan.lock().unwrap().medium;
        if let Some(id) = medium.names.remove(from) {
            medium.names.insert(to.to_owned(), id);
        }
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.step()?;
        self.plan.lock().unwrap().medium.names.remove(path);
        HostDisk.remove(path)
    }

    fn sync_dir(&self, _path: &Path) -> io::Result<()> {
        self.step()?;
        let medium = &mut self.plan.lock().unwrap().medium;
        medium.durable_names = medium.names.clone();
        Ok(())
    }

    fn sync_file(&self, _path: &Path) -> io::Result<()> {
        self.step()
    }
}

/// Bytes of a lane's file: its first record, where, and what.
type Run = (u64, u64, Vec<u8>);

/// A second place in memory. Each run takes two steps of a disk's: before it is there, and before
/// that is known.
#[derive(Clone)]
pub(in crate::journal) struct TestReplica {
    disk: TestDisk,
    there: Arc<Mutex<Vec<Run>>>,
    under_way: Arc<Mutex<Option<Run>>>,
}

impl TestReplica {
    pub(in crate::journal) fn new(disk: &TestDisk) -> Self {
        Self {
            disk: disk.clone(),
            there: Arc::default(),
            under_way: Arc::default(),
        }
    }

    pub(in crate::journal) fn port(&self) -> Box<dyn Replica> {
        Box::new(self.clone())
    }

    pub(in crate::journal) fn under_way(&self) -> Option<u64> {
        let under_way = self.under_way.lock().unwrap();
        under_way.as_ref().map(|(first, ..)| *first)
    }

    /// The process is gone, and with it what it had to send again.
    pub(in crate::journal) fn forget(&self) {
        *self.under_way.lock().unwrap() = None;
    }

    /// Makes a journal of what is there.
    pub(in crate::journal) fn rebuild(&self, dir: &Path) {
        let lane = dir.join("gw-1");
        std::fs::create_dir_all(&lane).unwrap();
        let mut files: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        for (first, offset, bytes) in &*self.there.lock().unwrap() {
            let file = files.entry(*first).or_default();
            if *offset == 0 {
                file.clear();
            }
            assert_eq!(u64::try_from(file.len()), Ok(*offset), "no gap");
            file.extend_from_slice(bytes);
        }
        for (first, bytes) in files {
            std::fs::write(lane.join(file_name(first)), bytes).unwrap();
        }
    }
}

impl Replica for TestReplica {
    fn reconcile(&mut self, _lane: &Path) -> Result<(), JournalError> {
        Ok(())
    }

    fn begin(&mut self, first: u64, offset: u64, bytes: &[u8]) -> Result<(), Late> {
        let before = self
            .under_way
            .lock()
            .unwrap()
            .replace((first, offset, bytes.to_vec()));
        assert_eq!(before, None, "one at a time");
        Ok(())
    }

    fn settle(&mut self, _patience: Duration) -> Result<(), Late> {
        let Some(run) = self.under_way.lock().unwrap().clone() else {
            return Ok(());
        };
        let failed = |error: io::Error| Late::Failed(error.to_string());
        self.disk.step().map_err(failed)?;
        {
            let mut there = self.there.lock().unwrap();
            if there.last() != Some(&run) {
                there.push(run);
            }
        }
        self.disk.step().map_err(failed)?;
        *self.under_way.lock().unwrap() = None;
        Ok(())
    }
}
