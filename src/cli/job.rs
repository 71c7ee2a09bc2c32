//! `kluis job`, over the network: for whoever submits one, and for the node that it runs on.

use std::sync::Arc;
use std::time::Duration;

use http::Method;

use super::job_args::{JobCommand, OnNode, Submit};
use super::output::{CliError, Exit, Output};
use super::remote::Question;
use super::serve::runtime;
use super::way::Signer;
use crate::app::system::{SystemClock, SystemEntropy};
use crate::config::Environment;
use crate::node::{
    Act, Credentials, CredentialsError, Gateway, GatewayError, JobName, JobSource, NodeIdentity,
};
use crate::wire::{Job, JobList, SubmitJobRequest};

const COLUMNS: [&str; 7] = [
    "job", "version", "cluster", "account", "start_by", "number", "over",
];
/// How long a request is tried.
const PATIENCE_SECONDS: u64 = 30;

/// Runs one of its commands.
pub(super) fn run(
    command: &JobCommand,
    environment: &Environment,
    output: &mut Output,
) -> Result<Exit, CliError> {
    match command {
        JobCommand::Submit(ask) => submit(ask, environment, output)?,
        JobCommand::List { caller } => {
            let signer = Signer::of(caller, environment, output)?;
            let told: JobList = signer.ask(Question::of(Method::GET, &["jobs"]))?;
            let rows: Vec<_> = told.jobs.into_iter().map(cells).collect();
            output.rows(COLUMNS, &rows)?;
        }
        JobCommand::Cancel { job, caller } => {
            let unwritten = || CliError::new(Exit::Usage, "a job is written person/id");
            let (person, id) = job.split_once('/').ok_or_else(unwritten)?;
            let signer = Signer::of(caller, environment, output)?;
            let _none = signer.send(Question::of(Method::DELETE, &["jobs", person, id]))?;
            output.note(&format!(
                "{job} has ended; what it reads is cut within a minute"
            ));
        }
        JobCommand::End { job, again } => {
            let needs = "--node, --job, --job-number and --account are needed";
            let credentials = of_node(job)?.ok_or_else(|| CliError::new(Exit::Usage, needs))?;
            let gateway = gateway(credentials, PATIENCE_SECONDS)?;
            let act = if *again { Act::Again } else { Act::End };
            let ended = runtime()?.block_on(gateway.end_job(act));
            ended.map_err(|error| {
                let exit = match error {
                    GatewayError::Refused { .. } => Exit::No,
                    GatewayError::Unreachable(_) => Exit::Unavailable,
                    GatewayError::Credential(_) => Exit::Usage,
                };
                CliError::of(exit, &error)
            })?;
        }
    }
    Ok(Exit::Done)
}

fn submit(wanted: &Submit, environment: &Environment, output: &mut Output) -> Result<(), CliError> {
    let (bucket, number) = &wanted.version;
    let request = SubmitJobRequest {
        bucket: format!("{}--{}--v{number}", bucket.project, bucket.dataset),
        cluster: wanted.cluster.clone(),
        account: wanted.account.clone(),
        nodes: wanted.nodes,
        waits_seconds: wanted.waits.as_secs(),
        lasts_seconds: wanted.lasts.as_secs(),
        purpose: wanted.purpose.clone(),
    };
    let signer = Signer::of(&wanted.caller, environment, output)?;
    let told: Job = signer.say((Method::POST, &["jobs"]), &request)?;
    if output.is_json() {
        return output.rows(COLUMNS, &[cells(told)]);
    }
    // A job's name has no space and no comma: one word of a scheduler's comment.
    output.data(format!("{}:{}\n", told.version, told.job).as_bytes())
}

fn cells(told: Job) -> [String; 7] {
    [
        told.job,
        told.version,
        told.cluster,
        told.account,
        told.start_by,
        told.number.unwrap_or_default(),
        told.over.unwrap_or_default(),
    ]
}

fn unusable(error: &CredentialsError) -> CliError {
    CliError::of(Exit::Usage, error)
}

/// The gateway of a job on this node.
pub(super) fn gateway(credentials: Credentials, seconds: u64) -> Result<Gateway, CliError> {
    let patience = Duration::from_secs(seconds);
    let gateway = Gateway::new(credentials, Arc::new(SystemClock), patience);
    gateway.map_err(|error| CliError::of(Exit::Usage, &error))
}

/// The credential of a job on this node, if one is named.
pub(super) fn of_node(job: &OnNode) -> Result<Option<Credentials>, CliError> {
    let (Some(node), Some(name), Some(number), Some(account)) =
        (&job.node, &job.job, &job.job_number, &job.account)
    else {
        return Ok(None);
    };
    let node = NodeIdentity::of_file(node).map_err(|error| unusable(&error))?;
    let name = JobName {
        job: name.clone(),
        number: number.clone(),
        account: account.clone(),
    };
    let (clock, entropy) = (Arc::new(SystemClock), Arc::new(SystemEntropy::new()));
    let source = JobSource::new(node, name, clock, entropy);
    Credentials::of_job(source)
        .map(Some)
        .map_err(|error| unusable(&error))
}
