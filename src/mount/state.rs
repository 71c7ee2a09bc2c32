//! What a mount keeps between requests: open files, errors, counts.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::attributes;
use super::cached::Cached;
use super::handover::Opened;
use super::plan::PlanFile;
use super::waiting::Waiting;
use crate::node::{Contents, Keys, NodeError, Open, Orders, Place, Reads, Touched, Version};
use crate::types::{ByteRange, limits};

/// Errors that `.kluis/errors` shows.
const ERRORS_KEPT: usize = 100;
/// An open file.
struct Handle {
    inode: u64,
    open: Arc<Open>,
    /// What of it was told already.
    told: Touched,
}

/// A mount's state.
pub(super) struct State {
    pub(super) version: Arc<Version>,
    pub(super) keys: Arc<Keys>,
    pub(super) contents: Arc<Contents>,
    pub(super) reads: Reads,
    pub(super) waiting: Waiting,
    handles: Mutex<HashMap<u64, Handle>>,
    /// Handles whose files are refused, or were: they are opened anew when they are read.
    dropped: Mutex<HashSet<u64>>,
    cached: Mutex<Cached>,
    /// Whether it goes on with the session of one that died.
    resumed: bool,
    orders: Mutex<Orders>,
    pub(super) plan: PlanFile,
    errors: Mutex<VecDeque<String>>,
    next: AtomicU64,
    opened: AtomicU64,
    failed: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    pub(super) fn new(
        version: Arc<Version>,
        keys: Arc<Keys>,
        contents: Arc<Contents>,
        (orders, plan): (Orders, PlanFile),
    ) -> Self {
        Self {
            version,
            keys,
            contents,
            reads: Reads::default(),
            waiting: Waiting::default(),
            handles: Mutex::default(),
            dropped: Mutex::default(),
            cached: Mutex::default(),
            resumed: false,
            orders: Mutex::new(orders),
            plan,
            errors: Mutex::default(),
            next: AtomicU64::new(1),
            opened: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }

    /// With a supervisor, who keeps the list of what was opened. `resumed`: in the place of a mount
    /// that died, whose handles are others than those to come.
    pub(super) fn supervised(mut self, list: Opened, resumed: bool) -> std::io::Result<Self> {
        if resumed {
            self.next = AtomicU64::new((u64::from(std::process::id()) << 32) | 1);
        }
        self.resumed = resumed;
        self.cached = Mutex::new(Cached::supervised(list, resumed)?);
        Ok(self)
    }

    /// The file of a handle that a mount before this one gave out, or that was dropped, opened
    /// anew: its key is released anew, and that is on the record.
    pub(super) async fn adopt(&self, number: u64, inode: u64) -> Result<Arc<Open>, NodeError> {
        let known = self.resumed || lock(&self.dropped).contains(&number);
        if !known {
            // Another read was faster.
            return self.open(number).ok_or(NodeError::Absent);
        }
        let place = attributes::place(inode).ok_or(NodeError::Absent)?;
        let found = self.version.at(place).await?;
        let open = Arc::new(self.contents.open(&found, 1).await?);
        self.opened.fetch_add(1, Ordering::Relaxed);
        let mut handles = lock(&self.handles);
        // One that was closed meanwhile is kept for nobody.
        let dropped = lock(&self.dropped).remove(&number);
        if !dropped && !self.resumed && !handles.contains_key(&number) {
            return Ok(open);
        }
        lock(&self.cached).add(inode);
        let handle = handles.entry(number).or_insert_with(|| Handle {
            inode,
            open,
            told: Touched::default(),
        });
        Ok(Arc::clone(&handle.open))
    }

    /// `project/dataset@number`.
    pub(super) fn name(&self) -> String {
        let root = self.version.root();
        let (project, dataset) = (&root.bucket.project, &root.bucket.dataset);
        format!("{project}/{dataset}@{}", root.number)
    }

    /// Keeps an open file; its number, and whether the kernel may keep pages of it.
    pub(super) fn keep(&self, inode: u64, open: Open) -> (u64, bool) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.opened.fetch_add(1, Ordering::Relaxed);
        let handle = Handle {
            inode,
            open: Arc::new(open),
            told: Touched::default(),
        };
        lock(&self.handles).insert(number, handle);
        (number, lock(&self.cached).add(inode))
    }

    pub(super) fn open(&self, number: u64) -> Option<Arc<Open>> {
        let handles = lock(&self.handles);
        handles.get(&number).map(|handle| Arc::clone(&handle.open))
    }

    /// Closes a file and queues what was read through it. That it was opened is said too.
    pub(super) fn close(&self, number: u64) {
        let gone = lock(&self.handles).remove(&number);
        lock(&self.dropped).remove(&number);
        if let Some(handle) = gone {
            self.tell(&handle.open, &handle.told, true);
        }
    }

    /// Lets go of open files, with the keys in them: of those of `refused` keys, or of all. What
    /// was read through them is told. The inodes whose pages the kernel is to forget.
    pub(super) fn drop_open(&self, refused: Option<&HashSet<String>>) -> HashSet<u64> {
        let of_them = |handle: &Handle| refused.is_none_or(|keys| keys.contains(handle.open.key()));
        let mut handles = lock(&self.handles);
        let gone: Vec<(u64, Handle)> = handles.extract_if(|_, handle| of_them(handle)).collect();
        lock(&self.dropped).extend(gone.iter().map(|(number, _)| *number));
        drop(handles);
        for (_, handle) in &gone {
            self.tell(&handle.open, &handle.told, true);
        }
        let inodes = gone.iter().map(|(_, handle)| handle.inode);
        match refused {
            Some(_) => inodes.collect(),
            None => inodes.chain(lock(&self.cached).take()).collect(),
        }
    }

    pub(super) fn close_all(&self) {
        let all: Vec<u64> = lock(&self.handles).keys().copied().collect();
        for number in all {
            self.close(number);
        }
    }

    /// Queues what was read through files that stay open.
    pub(super) fn gather(&self) {
        for handle in lock(&self.handles).values_mut() {
            if self.tell(&handle.open, &handle.told, false) {
                handle.told = handle.open.touched();
            }
        }
    }

    fn tell(&self, open: &Open, told: &Touched, end: bool) -> bool {
        let touched = open.touched();
        let news = touched != *told;
        if news || (end && *told == Touched::default()) {
            self.reads.add(open.key().to_owned(), &touched);
        }
        news
    }

    /// Keys of what is open.
    pub(super) fn open_keys(&self) -> Vec<String> {
        let handles = lock(&self.handles);
        let keys: HashSet<&str> = handles.values().map(|h| h.open.key()).collect();
        keys.into_iter().map(str::to_owned).collect()
    }

    /// Inodes whose pages the kernel is to forget because there are many.
    pub(super) fn crowded(&self) -> HashSet<u64> {
        let handles = lock(&self.handles);
        let open = handles.values().map(|handle| handle.inode);
        lock(&self.cached).crowded(open)
    }

    /// Brings what is likely to be opened after the file at a place, without waiting for it.
    pub(super) fn bring_after(&self, place: Place, bytes: u64) {
        let Some(number) = self.version.number(place) else {
            return;
        };
        let next = lock(&self.orders).opened(number, bytes);
        let places: Vec<Place> = next
            .into_iter()
            .filter_map(|n| self.version.place(n))
            .collect();
        if !places.is_empty() {
            tokio::spawn(Arc::clone(&self.contents).bring(places));
        }
    }

    /// Files are going to be opened in this order; the first of them are brought at once.
    pub(super) fn planned(&self, order: Vec<u32>) {
        let first = order.iter().take(limits::NODE_BROUGHT_MAX / 4);
        let first = first
            .filter_map(|n| self.version.place(u64::from(*n)))
            .collect();
        lock(&self.orders).plan(order);
        tokio::spawn(Arc::clone(&self.contents).bring(first));
    }

    /// Notes an error for `.kluis/errors`: of a file, or (without a key) of the version.
    pub(super) fn error(&self, key: &str, what: &str) {
        let version = self.name();
        let key = if key.is_empty() { &version } else { key };
        self.failed.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(key, what, "a read failed");
        let mut errors = lock(&self.errors);
        if errors.len() >= ERRORS_KEPT {
            errors.pop_front();
        }
        errors.push_back(format!("{key}: {what}"));
    }

    pub(super) fn failed(&self, key: &str, error: &NodeError) {
        self.error(key, &error.to_string());
    }

    /// What `.kluis/errors` shows: the newest last.
    pub(super) fn errors(&self) -> String {
        let errors = lock(&self.errors);
        let mut text = String::new();
        for line in errors.iter() {
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    /// What `.kluis/status` shows.
    pub(super) fn status(&self) -> String {
        let root = self.version.root();
        let lease = self.keys.lease();
        let (reports, lost) = self.reads.waiting();
        let (waiting, longest) = self.waiting.now();
        let state = match lease.refusal() {
            Some(_) => "refused",
            None if self.waiting.is_long() => "waiting",
            None => "reading",
        };
        let status = serde_json::json!({
            "version": self.name(),
            "root": data_encoding::HEXLOWER.encode(self.version.digest()),
            "signer": self.version.signer().to_string(),
            "prefix": self.version.prefix(),
            "entries": self.version.entries_count(),
            "objects": root.totals.map(|totals| totals.objects),
            "bytes": root.totals.map(|totals| totals.bytes),
            "hidden": root.totals.map(|totals| totals.hidden),
            "state": state,
            "refusal": lease.refusal(),
            "waiting": waiting,
            "waiting_seconds": longest.as_secs(),
            "lease_seconds_left": lease.left().as_secs(),
            "open_files": lock(&self.handles).len(),
            "opened": self.opened.load(Ordering::Relaxed),
            "errors": self.failed.load(Ordering::Relaxed),
            "plaintext_bytes_kept": self.contents.weight(),
            "disk_cache_hits": self.contents.disk_hits(),
            "plan_files": lock(&self.orders).planned(),
            "reports_waiting": reports,
            "reports_lost": lost,
        });
        format!("{status:#}\n")
    }

    /// The whole of a file as a range, if it has any bytes.
    pub(super) fn whole(open: &Open) -> Option<ByteRange> {
        ByteRange::new(0, open.file.bytes)
    }
}
