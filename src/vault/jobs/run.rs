//! A job on its nodes: it starts, its session is renewed, it ends; each on a node's signed word.

use std::net::IpAddr;
use std::sync::Arc;

use serde::Deserialize;

use super::super::people::assurance::Assured;
use super::super::people::session::{Assumed, Bounds, JobBounds, Rests};
use super::super::{Call, ErrorKind, Vault, VaultError};
use super::{Job, bad, denied};
use crate::catalog::{JobRow, Mutation, NodeRow};
use crate::ledger::{Intent, Session};
use crate::token::{self, Claims, Issuer, Keys, TokenError};
use crate::types::{Action, PrincipalId, Timestamp, limits};

/// Whom a node's statements are for.
const AUDIENCE: &str = "kluis";
/// How often a change is tried that another node's came before.
const TRIES_MAX: usize = 16;

/// So many nodes begin or end at once that this one never came to its turn.
const CROWD: VaultError = VaultError::new(ErrorKind::SlowDown, "too many nodes at once");

/// What a node states of a job, beside who it is, which job, and when.
#[derive(Deserialize)]
struct Stated {
    act: Act,
    number: String,
    account: String,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Act {
    /// It starts here, or goes on.
    Start,
    /// It has ended here.
    End,
    /// It has ended here and will start again.
    Again,
}

/// A statement that a node's key has signed.
struct Statement {
    /// Its issuer is the node, its subject the job.
    claims: Claims,
    node: NodeRow,
    stated: Stated,
    client: Option<IpAddr>,
}

/// The scheduler's number: `4412871`, `4412871_3`.
fn is_number(text: &str) -> bool {
    let bounded = (1..=20).contains(&text.len());
    bounded && text.bytes().all(|b| b.is_ascii_digit() || b == b'_')
}

/// Whom the log names for a job on a node.
fn workload(stated: &Stated, node: &str, cluster: &str) -> Result<PrincipalId, VaultError> {
    let name = format!("job-{}@{node}.{cluster}", stated.number);
    name.parse()
        .map_err(|error| VaultError::caused(ErrorKind::Internal, "no name for a job", error))
}

/// Why a node may not begin, or go on, with a job. Who vouches for its account learns what has
/// become of its right; nobody else learns that there is one.
fn hindrance(row: &JobRow, by: &Statement, now: Timestamp) -> Option<VaultError> {
    if let Some(why) = stranger(row, by) {
        return Some(denied(why));
    }
    let number = row.number.as_ref();
    let known = row.nodes.contains(&by.claims.issuer);
    let room = usize::try_from(row.nodes_max).unwrap_or(usize::MAX);
    let why = if is_taken(row, by) {
        "another job has started with its right"
    } else if row.ended.is_some() && (number.is_none() || !row.nodes.is_empty()) {
        // Its nodes leave before it ends by itself.
        "the job was cancelled"
    } else if row.ended.is_some() {
        "the job has ended"
    } else if number.is_none() && row.start_by <= now {
        "the job has waited too long"
    } else if row.over.is_some_and(|over| over <= now) {
        "the job has run for as long as it may"
    } else if !known && row.nodes.len() >= room {
        "the job runs on as many nodes as it may"
    } else {
        return None;
    };
    Some(VaultError::new(ErrorKind::JobOver, why))
}

/// Why a statement is about a job of others.
fn stranger(row: &JobRow, by: &Statement) -> Option<&'static str> {
    if row.cluster != by.node.cluster {
        Some("the job is for another cluster")
    } else if row.account != by.stated.account {
        Some("the job is for another account")
    } else {
        None
    }
}

/// Whether another job of the account has started with it.
fn is_taken(row: &JobRow, by: &Statement) -> bool {
    let number = row.number.as_ref();
    number.is_some_and(|number| *number != by.stated.number)
}

impl Vault {
    /// Starts a job on the node that states so, or goes on with it: a session for what the job
    /// may. A refusal is in the log when this returns.
    pub async fn start_job(&self, call: &Call, statement: &str) -> Result<Assumed, VaultError> {
        let mut intent = Self::admin_intent(call, None, "job");
        let by = match self.stated(call, statement, &mut intent).await {
            Ok(by) if by.stated.act == Act::Start => by,
            Ok(_other) => return Err(self.turn_away(call, intent, bad("no start")).await),
            Err(error) => return Err(self.turn_away(call, intent, error).await),
        };
        let now = self.now();
        let job = match self.startable(&by, now).await {
            Ok(job) => job,
            Err(error) => return Err(self.turn_away(call, intent, error).await),
        };
        intent.object.project = Some(job.row.project.clone());
        intent.object.dataset = Some(job.row.dataset.clone());
        let over = started(&job.row, &by, now).over.unwrap_or_default();
        let lives = self.settings.job_session_ms.min(limits::JOB_SESSION_MS);
        let lasts = lives.min(over.since(now));
        let workload = workload(&by.stated, &by.claims.issuer, &job.row.cluster)?;
        let bounds = bounds(&job, &by, now.plus_millis(lasts));
        let minted = self.mint(&workload, bounds)?;
        self.may_still(call, &job, &minted).await?;
        let told = format!(
            "{} person={} credential={} expires={}",
            intent.query.unwrap_or_default(),
            job.row.principal,
            minted.id,
            minted.bounds.expires
        );
        intent.query = Some(super::super::cut(&told));
        let recorded = self.begin(call, intent).await?;
        recorded.settle(self.commit_start(job, &by, now).await.map(|()| minted))
    }

    /// Writes that the job runs there, however many nodes begin at once.
    async fn commit_start(
        &self,
        mut job: Job,
        by: &Statement,
        now: Timestamp,
    ) -> Result<(), VaultError> {
        for _ in 0..TRIES_MAX {
            let row = started(&job.row, by, now);
            let mut changes = vec![spent(by, self.settled_now())];
            if row != job.row {
                changes.push(job.becomes(row));
            }
            match self.commit(changes).await {
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                result => return result,
            }
            job = self.startable(by, now).await?;
        }
        Err(CROWD)
    }

    /// The job that a statement is about, if it may run there.
    async fn startable(&self, by: &Statement, now: Timestamp) -> Result<Job, VaultError> {
        let job = self.find_job(&by.claims.subject).await?;
        let job = job.ok_or(denied("no such job"))?;
        match hindrance(&job.row, by, now) {
            Some(why) => Err(why),
            None => Ok(job),
        }
    }

    /// Whether the person may still do what she let the job do, from where the node is.
    async fn may_still(&self, call: &Call, job: &Job, minted: &Assumed) -> Result<(), VaultError> {
        if let Some((issuer, subject)) = &job.row.word
            && !self
                .guard
                .is_linked((issuer, subject), &job.row.principal)
                .await?
        {
            let intent = Self::admin_intent(call, Some(&job.row.project), &job.name);
            let error = denied("the person's subject is not linked any more");
            return Err(self.turn_away(call, intent, error).await);
        }
        let session = Session {
            principal: Some(minted.principal.clone()),
            responsible: Some(job.row.principal.clone()),
            access_key: Some(minted.id.clone()),
            ..Session::clone(&call.session)
        };
        let own = Call {
            session: Arc::new(session),
            event: call.event,
            time: call.time,
            operation: call.operation,
            nature: call.nature,
            bounds: Some(Arc::clone(&minted.bounds)),
            recorded: Arc::clone(&call.recorded),
        };
        let (project, dataset) = (&job.row.project, &job.row.dataset);
        let bucket = match job.row.version {
            Some(number) => format!("{project}--{dataset}--v{number}"),
            None => format!("{project}--{dataset}"),
        };
        self.authorize(&own, &bucket, None, Action::DatasetHead)
            .await
            .map(drop)
    }

    /// Ends a job on the node that states so; the whole job when it was the last one.
    pub async fn end_job(&self, call: &Call, statement: &str) -> Result<(), VaultError> {
        let mut intent = Self::admin_intent(call, None, "job");
        let by = match self.stated(call, statement, &mut intent).await {
            Ok(by) if by.stated.act != Act::Start => by,
            Ok(_start) => return Err(self.turn_away(call, intent, bad("no end")).await),
            Err(error) => return Err(self.turn_away(call, intent, error).await),
        };
        let recorded = self.begin(call, intent).await?;
        let result = self.commit_end(&by).await;
        self.guard.forget();
        recorded.settle(result)
    }

    async fn commit_end(&self, by: &Statement) -> Result<(), VaultError> {
        let now = self.now();
        for _ in 0..TRIES_MAX {
            let found = self.find_job(&by.claims.subject).await?;
            let job = found.filter(|job| {
                let row = &job.row;
                stranger(row, by).is_none() && !is_taken(row, by)
            });
            let job = job.ok_or(denied("no such job"))?;
            let mut changes = vec![spent(by, self.settled_now())];
            let mut row = job.row.clone();
            row.nodes.retain(|node| *node != by.claims.issuer);
            if row.nodes.len() < job.row.nodes.len() {
                row.left = row.left.saturating_add(1);
                if row.nodes.is_empty() && by.stated.act == Act::End {
                    row.ended = Some(now);
                }
                changes.push(job.becomes(row));
            }
            match self.commit(changes).await {
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                result => return result,
            }
        }
        Err(CROWD)
    }

    /// Reads a statement; what it says of itself stands in the intent from then on.
    async fn stated(
        &self,
        call: &Call,
        statement: &str,
        intent: &mut Intent,
    ) -> Result<Statement, VaultError> {
        // Not refused unseen where others of that address have failed: nobody guesses a node's
        // signature, and many people share its address.
        let wrong = |why| VaultError::new(ErrorKind::TokenInvalid, why);
        let name = token::claimed_issuer(statement).unwrap_or_default();
        let node = self.node(&name).await?;
        let node = node.ok_or_else(|| wrong("no such node is enrolled"))?;
        let keys = Keys::of_ed25519(&node.key)
            .map_err(|error| VaultError::caused(ErrorKind::Integrity, "no key of a node", error))?;
        let issuer = Issuer {
            url: name.clone(),
            name,
            audience: AUDIENCE.to_owned(),
            once: true,
            groups: None,
            passports: false,
            keys,
        };
        let now = self.now();
        let believed = token::verify_with::<Stated>(statement, &[issuer], now);
        let (claims, stated) = believed.map_err(|error| {
            let kind = if error == TokenError::Time {
                ErrorKind::TokenExpired
            } else {
                ErrorKind::TokenInvalid
            };
            let told = "a node's statement is not believed";
            match self.attempt(call) {
                Ok(()) => self.failed_attempt(call, VaultError::caused(kind, told, error)),
                Err(too_many) => too_many,
            }
        })?;
        if !is_number(&stated.number) {
            return Err(wrong("no number of a job"));
        }
        if claims.expires.since(now) > limits::STATEMENT_MS_MAX {
            return Err(wrong("a node's statement is good for too long"));
        }
        intent.query = Some(super::super::cut(&format!(
            "job={} number={} node={} cluster={} account={}",
            claims.subject, stated.number, claims.issuer, node.cluster, stated.account
        )));
        let client: Option<IpAddr> = call.session.client_ip.parse().ok();
        if !super::node::is_at(&node, client, None) {
            return Err(denied("the node speaks from elsewhere"));
        }
        Ok(Statement {
            claims,
            node,
            stated,
            client,
        })
    }
}

/// A statement is good once.
fn spent(by: &Statement, now: Timestamp) -> Mutation {
    Mutation::SpendToken {
        token: by.claims.digest,
        expires: by.claims.expires,
        now,
    }
}

/// The job's row once it runs there.
fn started(row: &JobRow, by: &Statement, now: Timestamp) -> JobRow {
    let mut row = row.clone();
    row.number = Some(by.stated.number.clone());
    let _over: &mut Timestamp = row
        .over
        .get_or_insert_with(|| now.plus_millis(row.lasts_ms));
    if !row.nodes.contains(&by.claims.issuer) {
        row.nodes.push(by.claims.issuer.clone());
    }
    row
}

fn bounds(job: &Job, by: &Statement, expires: Timestamp) -> Bounds {
    Bounds {
        project: Some(job.row.project.clone()),
        dataset: Some(job.row.dataset.clone()),
        version: job.row.version,
        purpose: job.row.purpose.clone(),
        assured: Assured {
            acr: job.row.assurance.0.clone(),
            amr: job.row.assurance.1.clone(),
        },
        expires,
        rests: Rests::Job(JobBounds {
            name: job.name.clone(),
            person: job.row.principal.clone(),
            node: by.claims.issuer.clone(),
            client: by.client,
            partition: by.node.partition.clone(),
            uses: by.node.uses.clone(),
        }),
    }
}
