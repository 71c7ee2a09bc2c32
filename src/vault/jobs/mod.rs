//! Jobs: what a person lets a scheduler's job read in her name, from its submission to its end.
//!
//! A job's right is a row, and its name is no secret: only a node of its cluster can make use of
//! it, by a statement that the node's enrolled key has signed, for the account and the scheduler's
//! number that the node vouches for. What the node gets is a session of minutes, which it renews
//! in the same way for as long as the job runs. `docs/jobs.md` has the whole life.

mod held;
mod hints;
mod node;
mod run;

pub use node::NodeDraft;

use super::access::own::is_within;
use super::people::session::Rests;
use super::{Call, ErrorKind, NOBODY, Vault, VaultError};
use crate::catalog::{JobRow, Mutation, RosterEntry, RosterKind, RosterRow};
use crate::types::{BucketRef, EventId, PrincipalId, Timestamp, limits};

/// What a person asks for a job.
pub struct JobAsk<'a> {
    /// The bucket of the dataset or of one version of it.
    pub bucket: &'a str,
    /// Only grants of this purpose.
    pub purpose: Option<String>,
    /// On which cluster it is to run.
    pub cluster: String,
    /// Under which account of the cluster.
    pub account: String,
    /// On how many nodes at most.
    pub nodes_max: u32,
    /// For how long it may wait, in milliseconds.
    pub waits_ms: u64,
    /// For how long it may run, in milliseconds.
    pub lasts_ms: u64,
}

/// A job's right.
pub struct Job {
    /// Its name, `person/id`.
    pub name: String,
    /// What it says.
    pub row: JobRow,
    /// The revision of that.
    revision: u64,
}

impl Job {
    /// Whether nothing can be read with it any more.
    fn is_over(&self, now: Timestamp) -> bool {
        let waits = self.row.number.is_none() && now < self.row.start_by;
        let runs = self.row.over.is_some_and(|over| now < over);
        self.row.ended.is_some() || !(waits || runs)
    }

    /// The job's row in the place of the one that was read.
    fn becomes(&self, row: JobRow) -> Mutation {
        Mutation::SetRoster {
            kind: RosterKind::Job,
            name: self.name.clone(),
            was: Some(self.revision),
            entry: Some(RosterEntry {
                revision: self.revision.saturating_add(1),
                row: RosterRow::Job(row),
            }),
        }
    }
}

const fn denied(why: &'static str) -> VaultError {
    VaultError::new(ErrorKind::AccessDenied, why)
}

const fn bad(why: &'static str) -> VaultError {
    VaultError::new(ErrorKind::InvalidArgument, why)
}

impl Vault {
    /// Lets a job read in the caller's name, once it runs.
    pub async fn submit_job(&self, call: &Call, ask: JobAsk<'_>) -> Result<Job, VaultError> {
        // It may outlive the session, so its right does not rest on what the token claimed.
        let lasting = call.without_claims();
        let proof = self.authorize_job(&lasting, ask.bucket).await?;
        let mut intent = Self::intent_of(call, &proof);
        let drafted = async {
            let named = (ask.bucket.to_owned(), ask.cluster.clone());
            let (job, changes) = self.draft_job(call, ask).await?;
            self.check_startable(&lasting, &named, job.row.purpose.as_deref())
                .await?;
            Ok((job, changes))
        };
        let (job, mut changes) = match drafted.await {
            Ok(drafted) => drafted,
            Err(error) => return Err(self.turn_away(call, intent, error).await),
        };
        let row = &job.row;
        let version = row.version.map_or_else(String::new, |n| n.to_string());
        let purpose = row.purpose.as_ref();
        let purpose = purpose.map_or_else(String::new, |text| format!(" purpose={text}"));
        intent.query = Some(super::cut(&format!(
            "job={} version={version} cluster={} account={} nodes={} start_by={} lasts_s={}{purpose}",
            job.name,
            row.cluster,
            row.account,
            row.nodes_max,
            row.start_by,
            row.lasts_ms / 1_000,
        )));
        changes.push(Mutation::SetRoster {
            kind: RosterKind::Job,
            name: job.name.clone(),
            was: None,
            entry: Some(RosterEntry {
                revision: job.revision,
                row: RosterRow::Job(row.clone()),
            }),
        });
        let recorded = self.begin(call, intent).await?;
        recorded.settle(self.commit(changes).await)?;
        Ok(job)
    }

    /// That some node could start the job as things stand, by the decision that is made there: it
    /// waits for nothing else.
    async fn check_startable(
        &self,
        call: &Call,
        (bucket, cluster): &(String, String),
        purpose: Option<&str>,
    ) -> Result<(), VaultError> {
        if let Some(purpose) = purpose {
            let judged = self.judge_job(call, (bucket, purpose)).await;
            // Who may know of the dataset at all has been judged before.
            judged.map_err(|error| {
                if error.kind() == ErrorKind::AccessDenied {
                    return bad("no grant of hers on this dataset is of the job's purpose");
                }
                error
            })?;
        }
        if self.has_node(|node| node.cluster == *cluster).await? {
            return Ok(());
        }
        Err(bad("no node of this cluster is enrolled"))
    }

    /// A job as it is to be, and the removal of the caller's that are over.
    async fn draft_job(
        &self,
        call: &Call,
        ask: JobAsk<'_>,
    ) -> Result<(Job, Vec<Mutation>), VaultError> {
        let bounds = call.bounds.as_deref();
        let word = match bounds.map(|bounds| &bounds.rests) {
            Some(Rests::Job(_)) => return Err(denied("a job lets no other job read")),
            // A job's right knows neither prefix nor networks: it would reach further.
            Some(Rests::Key(_)) => return Err(denied("a credential with a scope submits no job")),
            Some(Rests::Word(word)) => Some((word.issuer.clone(), word.subject.clone())),
            None => None,
        };
        let assured = bounds
            .map(|bounds| bounds.assured.clone())
            .unwrap_or_default();
        let principal = call.session.principal.clone().ok_or(NOBODY)?;
        judge_ask(&ask)?;
        let only = bounds.and_then(|bounds| bounds.purpose.clone());
        let purpose = match (only, ask.purpose) {
            (Some(only), Some(other)) if only != other => {
                return Err(denied("the session is for another purpose"));
            }
            (only, asked) => asked.or(only),
        };
        let place = BucketRef::parse(ask.bucket, &self.settings.default_project)?;
        let now = self.now();
        let own = self.own_jobs(&principal).await?;
        let (over, open): (Vec<Job>, Vec<Job>) = own.into_iter().partition(|job| job.is_over(now));
        if open.len() >= limits::JOBS_OPEN_MAX {
            return Err(VaultError::new(
                ErrorKind::SlowDown,
                "too many jobs of one person wait or run",
            ));
        }
        let over = over.into_iter().map(|job| Mutation::SetRoster {
            kind: RosterKind::Job,
            name: job.name,
            was: Some(job.revision),
            entry: None,
        });
        let id = EventId::v7(now, self.entropy.as_ref())?;
        let row = JobRow {
            principal: principal.clone(),
            word,
            assurance: (assured.acr, assured.amr),
            project: place.bucket.project,
            dataset: place.bucket.dataset,
            version: place.version,
            purpose,
            cluster: ask.cluster,
            account: ask.account,
            nodes_max: ask.nodes_max,
            created: now,
            start_by: now.plus_millis(ask.waits_ms),
            lasts_ms: ask.lasts_ms,
            number: None,
            over: None,
            nodes: Vec::new(),
            left: 0,
            ended: None,
        };
        let job = Job {
            name: format!("{principal}/{id}"),
            row,
            revision: 1,
        };
        Ok((job, over.take(limits::JOBS_FORGET_MAX).collect()))
    }

    /// All jobs of a principal, those over too until the next submission.
    async fn own_jobs(&self, principal: &PrincipalId) -> Result<Vec<Job>, VaultError> {
        let most = limits::JOBS_OPEN_MAX.saturating_mul(2);
        let begin = format!("{principal}/");
        let rows = self.catalog.roster_page(RosterKind::Job, &begin, most);
        let rows = rows.await?.into_iter();
        let own = rows.take_while(|(name, _)| name.starts_with(&begin));
        Ok(own
            .filter_map(|(name, entry)| of_entry(name, entry))
            .collect())
    }

    /// The caller's jobs that wait or run, in order of submission.
    pub async fn list_jobs(&self, call: &Call) -> Result<Vec<Job>, VaultError> {
        let intent = Self::intent(call, None, crate::ledger::ObjectRef::default());
        let Some(principal) = &call.session.principal else {
            return Err(self.turn_away(call, intent, NOBODY).await);
        };
        let own = async {
            self.own(call, principal).await?;
            self.own_jobs(principal).await
        };
        let mut own = match own.await {
            Ok(own) => own,
            Err(error) => return Err(self.turn_away(call, intent, error).await),
        };
        self.note(call, intent, Ok(())).await?;
        let now = self.now();
        own.retain(|job| !job.is_over(now) && is_within(call, &job.row.project));
        Ok(own)
    }

    /// Ends a job of the caller's: what it reads is cut within a minute.
    pub async fn cancel_job(&self, call: &Call, name: &str) -> Result<(), VaultError> {
        let mut intent = Self::intent(call, None, crate::ledger::ObjectRef::default());
        intent.query = Some(super::cut(&format!("job={name} cancelled")));
        let absent = denied("the caller has no such job");
        let found = self.find_job(name).await?;
        let own = found.filter(|job| call.session.principal.as_ref() == Some(&job.row.principal));
        let Some(job) = own else {
            return Err(self.turn_away(call, intent, absent).await);
        };
        let (who, project) = (&job.row.principal, &job.row.project);
        if let Err(error) = self.own_in(call, who, project).await {
            return Err(self.turn_away(call, intent, error).await);
        }
        let ended = job.row.ended.or_else(|| Some(self.now()));
        let row = JobRow {
            ended,
            ..job.row.clone()
        };
        self.administer(call, intent, vec![job.becomes(row)]).await
    }

    /// A job by its name.
    async fn find_job(&self, name: &str) -> Result<Option<Job>, VaultError> {
        if name.len() > limits::JOB_NAME_BYTES_MAX {
            return Ok(None);
        }
        let entry = self.catalog.roster(RosterKind::Job, name).await?;
        Ok(entry.and_then(|entry| of_entry(name.to_owned(), entry)))
    }
}

fn of_entry(name: String, entry: RosterEntry) -> Option<Job> {
    let RosterRow::Job(row) = entry.row else {
        return None;
    };
    Some(Job {
        name,
        row,
        revision: entry.revision,
    })
}

fn judge_ask(ask: &JobAsk<'_>) -> Result<(), VaultError> {
    if !node::is_name(&ask.cluster) || !node::is_name(&ask.account) {
        return Err(bad("a cluster or account is 1 to 40 of a-z, 0-9 and . _ -"));
    }
    let waits = (1..=limits::JOB_WAITS_MS_MAX).contains(&ask.waits_ms);
    let lasts = (1..=limits::JOB_LASTS_MS_MAX).contains(&ask.lasts_ms);
    if !waits || !lasts {
        return Err(bad("a job waits at most 30 days and runs at most 30 days"));
    }
    if !(1..=limits::JOB_NODES_MAX).contains(&ask.nodes_max) {
        return Err(bad("a job runs on 1 to 1,024 nodes"));
    }
    let purpose = ask.purpose.as_deref().unwrap_or("-");
    let bounded = (1..=limits::GRANT_TEXT_BYTES_MAX).contains(&purpose.len());
    if !bounded || purpose.contains(char::is_control) {
        return Err(bad(
            "a purpose is 1 to 128 characters, none of them a control",
        ));
    }
    Ok(())
}
