//! The one writer of this process: a thread that puts waiting commits into one transaction.
//!
//! Many commits share one sync of the log, which is what a commit costs. Each runs in a savepoint,
//! so that a conflict undoes itself and not its neighbours. Nobody is answered before the
//! transaction is durable, not even who is refused: the refusal may rest on a neighbour's commit.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use bytes::Bytes;
use rusqlite::{Connection, params};
use tokio::sync::oneshot;

use super::apply::{Counters, apply};
use super::{blobs, sql};
use crate::catalog::{CatalogError, Mutation, encode_change};
use crate::types::{BlobId, Timestamp, limits};

/// What the writer is asked to do.
pub(super) enum Work {
    /// Apply mutations; `change` is their encoding.
    Commit {
        mutations: Vec<Mutation>,
        change: Bytes,
    },
    /// Take out blobs that lost their last reference before a time; answers which.
    Claim { before: Timestamp, limit: usize },
    /// Keep the state of the chain of snapshots, and drop changes up to this one.
    Chain { state: Vec<u8>, upto: u64 },
}

/// The blobs that were claimed; none for other work.
type Answer = Result<Vec<BlobId>, CatalogError>;

struct Job {
    work: Work,
    reply: Reply,
}

/// Whom to answer, and how much of the queue his work takes until then.
struct Reply {
    to: oneshot::Sender<Answer>,
    _room: Room,
}

/// Bytes of the queue that are taken; given back when this is dropped.
struct Room {
    bytes: usize,
    taken: Arc<AtomicUsize>,
}

impl Room {
    /// Takes them, if there is room.
    fn take(taken: &Arc<AtomicUsize>, bytes: usize) -> Option<Self> {
        let before = taken.fetch_add(bytes, Ordering::Relaxed);
        let room = Self {
            bytes,
            taken: Arc::clone(taken),
        };
        let fits = before.saturating_add(bytes) <= limits::CATALOG_QUEUE_BYTES_MAX;
        fits.then_some(room)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let _before = self.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Told of each transaction that is durable: how many commits shared it.
pub type OnCommit = Arc<dyn Fn(u32) + Send + Sync>;

/// The writer's handle. Dropping it lets the thread finish what is queued, and waits for that.
pub(super) struct Writer {
    queue: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
    /// Bytes of what waits.
    taken: Arc<AtomicUsize>,
}

fn stopped() -> CatalogError {
    CatalogError::Failed {
        reason: "the writer has stopped".into(),
    }
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(conn: Connection, told: Option<OnCommit>) -> Result<Self, CatalogError> {
        let (queue, jobs) = sync_channel(limits::CATALOG_QUEUE_MAX);
        let thread = std::thread::Builder::new()
            .name("kluis-catalog".into())
            .spawn(move || serve(&conn, &jobs, told.as_ref()))
            .map_err(|error| CatalogError::Failed {
                reason: format!("no thread for the writer: {error}"),
            })?;
        Ok(Self {
            queue: Some(queue),
            thread: Some(thread),
            taken: Arc::default(),
        })
    }

    /// Queues work and waits until it is durable. Once queued it is done even if the caller stops
    /// waiting.
    pub(super) async fn run(&self, work: Work) -> Answer {
        let bytes = if let Work::Commit { change, .. } = &work {
            change.len()
        } else {
            0
        };
        let room = Room::take(&self.taken, bytes).ok_or(CatalogError::Busy)?;
        let (to, answer) = oneshot::channel();
        let reply = Reply { to, _room: room };
        let queue = self.queue.as_ref().ok_or_else(stopped)?;
        queue
            .try_send(Job { work, reply })
            .map_err(|refused| match refused {
                TrySendError::Full(_) => CatalogError::Busy,
                TrySendError::Disconnected(_) => stopped(),
            })?;
        answer.await.map_err(|_dropped| stopped())?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.queue.take());
        let ended = self.thread.take().map(JoinHandle::join);
        if let Some(Err(_panic)) = ended {
            tracing::error!("the catalog's writer ended in a panic: please report this");
        }
    }
}

/// The thread: until nobody is left who could ask.
fn serve(conn: &Connection, jobs: &Receiver<Job>, told: Option<&OnCommit>) {
    while let Ok(first) = jobs.recv() {
        let mut group = vec![first];
        while group.len() < limits::CATALOG_GROUP_MAX {
            let Ok(next) = jobs.try_recv() else { break };
            group.push(next);
        }
        let (works, replies): (Vec<Work>, Vec<_>) =
            group.into_iter().map(|job| (job.work, job.reply)).unzip();
        let committed = commit_group(conn, &works);
        if let (Ok(_), Some(told)) = (&committed, told) {
            told(u32::try_from(works.len()).unwrap_or(u32::MAX));
        }
        let answers = committed.unwrap_or_else(|error| {
            tracing::warn!(%error, commits = works.len(), "a group of commits failed");
            works.iter().map(|_| Err(error.clone())).collect()
        });
        for (reply, answer) in replies.into_iter().zip(answers) {
            // Who does not wait any more needs no answer.
            drop(reply.to.send(answer));
        }
    }
}

/// Runs a group in one transaction; an error is everybody's.
fn commit_group(conn: &Connection, works: &[Work]) -> Result<Vec<Answer>, CatalogError> {
    if !conn.is_autocommit() {
        // What a failed rollback left open.
        sql::exec(conn, "ROLLBACK", [])?;
    }
    sql::exec(conn, "BEGIN IMMEDIATE", [])?;
    let ended =
        run_group(conn, works).and_then(|answers| sql::exec(conn, "COMMIT", []).map(|_| answers));
    // SQLite ends a transaction by itself on some errors, on others it stays open.
    if ended.is_err() && !conn.is_autocommit() {
        sql::exec(conn, "ROLLBACK", [])?;
    }
    ended
}

fn run_group(conn: &Connection, works: &[Work]) -> Result<Vec<Answer>, CatalogError> {
    let before = read_counters(conn)?;
    let mut counters = before;
    let mut answers = Vec::with_capacity(works.len());
    for work in works {
        answers.push(run_one(conn, &mut counters, work)?);
    }
    if counters != before {
        let update = "UPDATE meta SET seq = ?1, generation = ?2";
        let (seq, generation) = (sql::int(counters.seq)?, sql::int(counters.generation)?);
        sql::exec(conn, update, params![seq, generation])?;
    }
    Ok(answers)
}

/// Runs one job in a savepoint. The inner error is the job's own, the outer one everybody's.
fn run_one(
    conn: &Connection,
    counters: &mut Counters,
    work: &Work,
) -> Result<Answer, CatalogError> {
    sql::exec(conn, "SAVEPOINT job", [])?;
    let mut after = *counters;
    let answer = run_work(conn, &mut after, work);
    if let Err(error) = &answer {
        if conn.is_autocommit() {
            return Err(error.clone());
        }
        sql::exec(conn, "ROLLBACK TO job", [])?;
    } else {
        *counters = after;
    }
    sql::exec(conn, "RELEASE job", [])?;
    Ok(answer)
}

fn run_work(conn: &Connection, counters: &mut Counters, work: &Work) -> Answer {
    match work {
        Work::Commit { mutations, change } => {
            commit(conn, counters, mutations, change).map(|()| Vec::new())
        }
        Work::Claim { before, limit } => {
            let claimed = blobs::lost(conn, *before, *limit)?;
            if !claimed.is_empty() {
                let forget = [Mutation::ForgetBlobs(claimed.clone())];
                commit(conn, counters, &forget, &encode_change(&forget)?)?;
            }
            Ok(claimed)
        }
        Work::Chain { state, upto } => {
            let keep = "INSERT OR REPLACE INTO chain (id, state) VALUES (1, ?1)";
            sql::exec(conn, keep, [state])?;
            let upto = sql::int(*upto).unwrap_or(i64::MAX);
            sql::exec(conn, "DELETE FROM changes WHERE seq <= ?1", [upto])?;
            Ok(Vec::new())
        }
    }
}

/// Applies one commit and writes it to the change log.
fn commit(
    conn: &Connection,
    counters: &mut Counters,
    mutations: &[Mutation],
    change: &Bytes,
) -> Result<(), CatalogError> {
    for mutation in mutations {
        apply(conn, counters, mutation)?;
    }
    counters.seq = counters.seq.saturating_add(1);
    if mutations.iter().any(Mutation::changes_access) {
        counters.generation = counters.generation.saturating_add(1);
    }
    let insert = "INSERT INTO changes (seq, mutations) VALUES (?1, ?2)";
    sql::exec(conn, insert, params![sql::int(counters.seq)?, &**change])?;
    Ok(())
}

fn read_counters(conn: &Connection) -> Result<Counters, CatalogError> {
    sql::one(conn, "SELECT seq, generation FROM meta", [], |row| {
        Ok(Counters {
            seq: sql::get_int(row, 0)?,
            generation: sql::get_int(row, 1)?,
        })
    })?
    .ok_or(CatalogError::Damaged { what: "counters" })
}
