//! `kluis job`, over the network: for whoever submits one, and for the node that it runs on.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use serde::Deserialize;

use super::job_args::{JobCommand, OnNode, Submit};
use super::node::variable;
use super::output::{CliError, Exit, Output};
use super::serve::runtime;
use crate::app::system::{SystemClock, SystemEntropy};
use crate::config::Environment;
use crate::node::{
    Act, Credentials, CredentialsError, Gateway, GatewayError, JobName, JobSource, NodeIdentity,
};

const COLUMNS: [&str; 7] = [
    "job", "version", "cluster", "account", "start_by", "number", "over",
];
/// How long a request is tried.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Deserialize)]
struct Told {
    job: String,
    version: String,
    cluster: String,
    account: String,
    start_by: String,
    number: Option<String>,
    over: Option<String>,
}

#[derive(Deserialize)]
struct List {
    jobs: Vec<Told>,
}

/// Runs one of its commands.
pub(super) fn run(
    command: &JobCommand,
    environment: &Environment,
    output: &mut Output,
) -> Result<Exit, CliError> {
    match command {
        JobCommand::Submit(ask) => submit(ask, environment, output)?,
        JobCommand::List { credentials } => {
            let gateway = gateway(credentials.as_deref(), environment)?;
            let told: List = ask(&gateway, Method::GET, "/.kluis/v1/jobs", "")?;
            let rows: Vec<_> = told.jobs.into_iter().map(cells).collect();
            output.rows(COLUMNS, &rows)?;
        }
        JobCommand::Cancel { job, credentials } => {
            let gateway = gateway(credentials.as_deref(), environment)?;
            if !job.bytes().all(is_of_job) {
                return Err(CliError::new(Exit::Usage, "a job is written person/id"));
            }
            let path = format!("/.kluis/v1/jobs/{job}").replace('@', "%40");
            let done = gateway.request(Method::DELETE, path, String::new());
            runtime()?.block_on(done).map_err(|error| refuse(&error))?;
            output.note(&format!(
                "{job} has ended; what it reads is cut within a minute"
            ));
        }
        JobCommand::End { job, again } => {
            let usage = || {
                CliError::new(
                    Exit::Usage,
                    "--node, --job, --job-number and --account are needed",
                )
            };
            let credentials = of_node(job)?.ok_or_else(usage)?;
            let gateway = open(credentials)?;
            let act = if *again { Act::Again } else { Act::End };
            let ended = runtime()?.block_on(gateway.end_job(act));
            ended.map_err(|error| refuse(&error))?;
        }
    }
    Ok(Exit::Done)
}

fn is_of_job(b: u8) -> bool {
    matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'@' | b'-' | b'/')
}

fn submit(wanted: &Submit, environment: &Environment, output: &mut Output) -> Result<(), CliError> {
    let gateway = gateway(wanted.credentials.as_deref(), environment)?;
    let (bucket, number) = &wanted.version;
    let body = serde_json::json!({
        "bucket": format!("{}--{}--v{number}", bucket.project, bucket.dataset),
        "cluster": wanted.cluster,
        "account": wanted.account,
        "nodes": wanted.nodes,
        "waits_seconds": wanted.waits.as_secs(),
        "lasts_seconds": wanted.lasts.as_secs(),
        "purpose": wanted.purpose,
    });
    let told: Told = ask(&gateway, Method::POST, "/.kluis/v1/jobs", &body.to_string())?;
    if output.is_json() {
        return output.rows(COLUMNS, &[cells(told)]);
    }
    // A job's name has no space and no comma: one word of a scheduler's comment.
    output.data(format!("{}:{}\n", told.version, told.job).as_bytes())
}

fn cells(told: Told) -> [String; 7] {
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

/// A request of the API and its answer.
fn ask<T: serde::de::DeserializeOwned>(
    gateway: &Gateway,
    method: Method,
    path: &str,
    body: &str,
) -> Result<T, CliError> {
    let asked = gateway.request(method, path.to_owned(), body.to_owned());
    let answer = runtime()?.block_on(asked).map_err(|error| refuse(&error))?;
    serde_json::from_slice(&answer)
        .map_err(|_not_json| CliError::new(Exit::Unavailable, "the gateway's answer is none"))
}

fn refuse(error: &GatewayError) -> CliError {
    let exit = match error {
        GatewayError::Refused { .. } => Exit::No,
        GatewayError::Unreachable(_) => Exit::Unavailable,
    };
    CliError::of(exit, error)
}

fn unusable(error: &CredentialsError) -> CliError {
    CliError::of(Exit::Usage, error)
}

fn gateway(file: Option<&Path>, environment: &Environment) -> Result<Gateway, CliError> {
    let credentials = match file {
        Some(path) => Credentials::of_file(path),
        None => Credentials::of_variables(&|name| variable(environment, name)),
    };
    let hint = "--credentials names a file that has it";
    open(credentials.map_err(|error| unusable(&error).hint(hint))?)
}

fn open(credentials: Credentials) -> Result<Gateway, CliError> {
    let gateway = Gateway::new(credentials, Arc::new(SystemClock), PATIENCE);
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
    Ok(Some(Credentials::of_job(source)))
}
