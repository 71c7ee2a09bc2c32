//! Keys of a version's files, asked for in batches, and the lease under which they may be used.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use data_encoding::BASE64;
use http::Method;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout_at};
use zeroize::Zeroizing;

use super::gateway::GatewayError;
use super::version::Version;
use super::{DENIED, NodeError, words};
use crate::manifest::FileEntry;
use crate::seal::Table;
use crate::types::limits;
use crate::wire::{self, KeyRelease, ObjectRun, RenewLeaseRequest, RunsRequest};

/// How long a release or renewal holds.
const LEASE: Duration = Duration::from_secs(limits::LEASE_SECONDS);
/// Requests for keys at once: what comes meanwhile goes with the next.
const REQUESTS: usize = 4;

/// Until when the version may be read, and why not longer.
#[derive(Clone)]
struct Term {
    until: Instant,
    refused: Option<String>,
}

/// The right to go on reading, renewed while the mount stands.
pub struct Lease {
    term: watch::Sender<Term>,
    refused: Mutex<HashSet<String>>,
}

impl Lease {
    fn new() -> Self {
        let term = Term {
            until: Instant::now() + LEASE,
            refused: None,
        };
        Self {
            term: watch::Sender::new(term),
            refused: Mutex::default(),
        }
    }

    /// Waits until reading is allowed, at most `patience`; an error at once if it was refused.
    pub async fn check(&self, key: &str, patience: Duration) -> Result<(), NodeError> {
        let refused = |key: &str| lock(&self.refused).contains(key);
        if refused(key) {
            return Err(NodeError::Refused(DENIED.into()));
        }
        let end = Instant::now() + patience;
        let mut term = self.term.subscribe();
        loop {
            let now = term.borrow_and_update().clone();
            if let Some(why) = now.refused {
                return Err(NodeError::Refused(why));
            }
            if Instant::now() < now.until {
                return Ok(());
            }
            if timeout_at(end, term.changed()).await.is_err() {
                return Err(NodeError::Unreachable("the lease was not renewed".into()));
            }
        }
    }

    /// Why reading was refused, if it was.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        self.term.borrow().refused.clone()
    }

    /// How long it holds from now.
    #[must_use]
    pub fn left(&self) -> Duration {
        self.term
            .borrow()
            .until
            .saturating_duration_since(Instant::now())
    }
}

/// A released table, in clear.
type Clear = Arc<Zeroizing<Vec<u8>>>;

struct State {
    /// Each with when it was asked for.
    tables: HashMap<String, (Clear, Instant)>,
    order: VecDeque<String>,
    /// What is to be asked for next, each with how many after it.
    wanted: Vec<(String, usize)>,
    /// What is being asked for ahead of its readers.
    coming: HashSet<String>,
}

/// Keys that are coming, until this is dropped.
struct Coming<'a> {
    keys: &'a Keys,
    brought: &'a [String],
}

impl Drop for Coming<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.keys.state);
        for key in self.brought {
            state.coming.remove(key);
        }
        drop(state);
        self.keys.rounds.send_replace(());
    }
}

/// A key that is to be asked for, until this is dropped: of whoever gives up nobody else asks.
struct Wish<'a>(&'a Keys, &'a str);

impl Drop for Wish<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        let mine = state.wanted.iter().position(|(key, _)| key == self.1);
        if let Some(mine) = mine {
            state.wanted.remove(mine);
        }
    }
}

/// The keys of a version.
pub struct Keys {
    version: Arc<Version>,
    lease: Lease,
    state: Mutex<State>,
    /// Told when something that was coming is there, or will not come.
    rounds: watch::Sender<()>,
    requests: Semaphore,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Keys {
    /// None yet.
    #[must_use]
    pub fn new(version: Arc<Version>) -> Self {
        Self {
            version,
            lease: Lease::new(),
            state: Mutex::new(State {
                tables: HashMap::new(),
                order: VecDeque::new(),
                wanted: Vec::new(),
                coming: HashSet::new(),
            }),
            rounds: watch::Sender::new(()),
            requests: Semaphore::new(REQUESTS),
        }
    }

    /// The lease.
    #[must_use]
    pub const fn lease(&self) -> &Lease {
        &self.lease
    }

    /// The part table of a file, released just now or under a lease that still holds. `ahead`: how
    /// many objects to ask for from it on, in order of key.
    pub async fn table(
        &self,
        key: &str,
        file: &FileEntry,
        ahead: usize,
    ) -> Result<Table, NodeError> {
        self.lease
            .check(key, self.version.gateway().patience())
            .await?;
        let released = match self.arrived(key).await {
            Some(released) => released,
            None => self.ask(key, ahead).await?,
        };
        Ok(Table::receive(&released, &file.commitment, file.bytes)?)
    }

    /// The part table of a file whose key was asked for ahead; `None` if it did not come.
    pub(super) fn held(&self, key: &str, file: &FileEntry) -> Option<Table> {
        let released = self.here(key)?;
        Table::receive(&released, &file.commitment, file.bytes).ok()
    }

    /// Asks for keys ahead of their readers: runs of objects in order of key, each with how many,
    /// and all that is in them. Who opens one meanwhile waits for this.
    pub(super) async fn bring(&self, runs: &[(String, usize)], keys: &[String]) {
        let news = {
            let mut state = lock(&self.state);
            state.coming.extend(keys.iter().cloned());
            Coming {
                keys: self,
                brought: keys,
            }
        };
        let mut rest = runs;
        while !rest.is_empty() {
            let mut count = 0_usize;
            let fit = rest.iter().take_while(|(_, objects)| {
                count = count.saturating_add(*objects);
                count <= limits::RELEASE_KEYS_MAX
            });
            let (batch, tail) = rest.split_at(fit.count().max(1).min(rest.len()));
            rest = tail;
            if let Err(error) = self.request(batch).await {
                tracing::debug!(%error, "no keys came ahead");
                break;
            }
        }
        drop(news);
    }

    /// Whether the keys of an object are here.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.here(key).is_some()
    }

    /// What is here, or comes with what is under way.
    async fn arrived(&self, key: &str) -> Option<Clear> {
        let mut rounds = self.rounds.subscribe();
        loop {
            let here = self.here(key);
            if here.is_some() || !lock(&self.state).coming.contains(key) {
                // It may have come between the two looks.
                return here.or_else(|| self.here(key));
            }
            rounds.changed().await.ok()?;
        }
    }

    fn here(&self, key: &str) -> Option<Clear> {
        let state = lock(&self.state);
        let (table, released) = state.tables.get(key)?;
        (released.elapsed() < LEASE).then(|| Arc::clone(table))
    }

    async fn ask(&self, key: &str, ahead: usize) -> Result<Clear, NodeError> {
        lock(&self.state)
            .wanted
            .push((key.to_owned(), ahead.max(1)));
        let _wish = Wish(self, key);
        let permit = self.requests.acquire().await;
        let _permit = permit.map_err(|error| NodeError::Unreachable(error.to_string()))?;
        // Another's request may have brought it meanwhile.
        if let Some(released) = self.here(key) {
            return Ok(released);
        }
        let batch = self.batch(key, ahead);
        let gone = self.request(&batch).await?;
        self.here(key).ok_or_else(|| {
            if gone.iter().any(|erased| erased == key) {
                NodeError::Erased
            } else {
                NodeError::Refused(DENIED.into())
            }
        })
    }

    /// What to ask for together with `key`.
    fn batch(&self, key: &str, ahead: usize) -> Vec<(String, usize)> {
        let mut state = lock(&self.state);
        let mut left = limits::RELEASE_KEYS_MAX;
        let mut batch = vec![(key.to_owned(), ahead.clamp(1, left))];
        left = left.saturating_sub(ahead.clamp(1, left));
        let wanted = std::mem::take(&mut state.wanted);
        for (other, count) in wanted {
            let known = state.tables.get(&other);
            let fresh = known.is_some_and(|(_, released)| released.elapsed() < LEASE);
            if fresh || batch.iter().any(|(there, _)| *there == other) {
                continue;
            }
            if left == 0 {
                state.wanted.push((other, count));
                continue;
            }
            let count = count.min(left);
            left = left.saturating_sub(count);
            batch.push((other, count));
        }
        batch
    }

    /// Asks for keys; those of what was asked for by name that were erased.
    async fn request(&self, batch: &[(String, usize)]) -> Result<Vec<String>, NodeError> {
        let runs = batch.iter().map(|(from, count)| ObjectRun {
            from: from.clone(),
            count: *count,
        });
        let wanted = RunsRequest {
            runs: runs.collect(),
        };
        let body = serde_json::to_vec(&wanted).unwrap_or_default();
        let version = &self.version;
        let asking = version.asking(Method::POST, "keys", String::new(), Bytes::from(body));
        // The lease counts from before the question.
        let mut tries = version.gateway().tries();
        let (answer, asked) = loop {
            let asked = Instant::now();
            match version.gateway().once(&asking).await {
                Ok(answer) => break (answer, asked),
                Err(error) => tries.again(error).await?,
            }
        };
        let answer: KeyRelease = serde_json::from_slice(&answer)
            .map_err(|_not_json| NodeError::Integrity("the gateway's answer is none"))?;
        let mut state = lock(&self.state);
        for mut released in answer.released {
            let Ok(table) = BASE64.decode(released.table.as_bytes()) else {
                continue;
            };
            let table = Arc::new(Zeroizing::new(table));
            let key = std::mem::take(&mut released.key);
            let before = state.tables.insert(key.clone(), (table, asked));
            if before.is_none() {
                state.order.push_back(key);
            }
        }
        while state.tables.len() > limits::NODE_KEYS_MAX {
            let Some(oldest) = state.order.pop_front() else {
                break;
            };
            state.tables.remove(&oldest);
        }
        Ok(answer.gone)
    }

    /// Renews the lease for what is open; which of it is refused from now on, and was not before:
    /// its keys are forgotten here. Call again and again, well within the lease.
    pub async fn renew(&self, open: &[String]) -> Vec<String> {
        let mut batches: Vec<&[String]> = open.chunks(limits::RELEASE_KEYS_MAX).collect();
        if batches.is_empty() {
            batches.push(&[]);
        }
        let begin = Instant::now();
        let mut refused = HashSet::new();
        for open in batches {
            let open = RenewLeaseRequest {
                open: open.to_vec(),
            };
            let body = serde_json::to_vec(&open).unwrap_or_default();
            let version = &self.version;
            let asking = version.asking(Method::POST, "lease", version.part(), body.into());
            match version.gateway().once(&asking).await {
                Ok(answer) => {
                    if let Ok(renewed) = serde_json::from_slice::<wire::Lease>(&answer) {
                        refused.extend(renewed.refused);
                    }
                }
                Err(GatewayError::Refused {
                    status,
                    code,
                    title,
                }) if (400..500).contains(&status) => {
                    self.end(words(&code, &title));
                    return Vec::new();
                }
                Err(error) => {
                    tracing::warn!(%error, "the lease is not renewed");
                    return Vec::new();
                }
            }
        }
        let before = std::mem::replace(&mut *lock(&self.lease.refused), refused.clone());
        self.lease.term.send_replace(Term {
            until: begin + LEASE,
            refused: None,
        });
        let mut state = lock(&self.state);
        for key in &refused {
            state.tables.remove(key);
        }
        refused.difference(&before).cloned().collect()
    }

    /// Ends the lease, until it is renewed, and says why: every key is forgotten.
    pub fn end(&self, why: String) {
        let mut state = lock(&self.state);
        state.tables.clear();
        state.order.clear();
        drop(state);
        self.lease.term.send_replace(Term {
            until: Instant::now(),
            refused: Some(why),
        });
    }
}
