//! Jobs: a person lets one read in her name; a node starts, renews and ends it. What a node says
//! is signed by its own key and not by a credential.

use std::sync::Arc;

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};

use super::answer::{ApiError, json};
use super::ask::Ask;
use crate::vault::{ErrorKind, Job, JobAsk, Vault, VaultError};
use crate::wire::{self, JobList, JobSession, JobStatement, SubmitJobRequest};

/// A job as it is shown.
fn shown(job: Job) -> wire::Job {
    let row = job.row;
    let number = row.version.map_or_else(String::new, |n| format!("@{n}"));
    wire::Job {
        job: job.name,
        version: format!("{}/{}{number}", row.project, row.dataset),
        cluster: row.cluster,
        account: row.account,
        purpose: row.purpose,
        start_by: row.start_by.to_string(),
        lasts_seconds: row.lasts_ms / 1_000,
        number: row.number,
        nodes: row.nodes,
        over: row.over.map(|over| over.to_string()),
    }
}

/// What is wrong with a job is about the client's own text; why its right is over, for whoever
/// vouches for its account.
fn told(error: VaultError) -> ApiError {
    let (kind, reason) = (error.kind(), error.reason());
    if kind == ErrorKind::InvalidArgument {
        ApiError::bad(reason)
    } else if kind == ErrorKind::JobOver {
        ApiError::from(error).saying(reason)
    } else {
        error.into()
    }
}

pub(super) async fn submit(vault: Arc<Vault>, ask: Ask) -> Result<Response<Body>, ApiError> {
    let asked: SubmitJobRequest = ask.json()?;
    let wanted = JobAsk {
        bucket: &asked.bucket,
        purpose: asked.purpose,
        cluster: asked.cluster,
        account: asked.account,
        nodes_max: asked.nodes,
        waits_ms: asked.waits_seconds.saturating_mul(1_000),
        lasts_ms: asked.lasts_seconds.saturating_mul(1_000),
    };
    let job = vault.submit_job(&ask.call, wanted).await.map_err(told)?;
    Ok(json(StatusCode::CREATED, &shown(job)))
}

pub(super) async fn list(vault: Arc<Vault>, ask: Ask) -> Result<Response<Body>, ApiError> {
    let jobs = vault.list_jobs(&ask.call).await.map_err(told)?;
    let jobs = jobs.into_iter().map(shown).collect();
    Ok(json(StatusCode::OK, &JobList { jobs }))
}

pub(super) async fn cancel(vault: Arc<Vault>, ask: Ask) -> Result<Response<Body>, ApiError> {
    let person: String = ask.parameter("person")?;
    let id: String = ask.parameter("id")?;
    let name = format!("{person}/{id}");
    vault.cancel_job(&ask.call, &name).await.map_err(told)?;
    Ok(nothing())
}

pub(super) async fn start(vault: Arc<Vault>, ask: Ask) -> Result<Response<Body>, ApiError> {
    let JobStatement { statement } = ask.json()?;
    let made = vault.start_job(&ask.call, &statement).await.map_err(told)?;
    let session = JobSession {
        principal: made.principal.to_string(),
        person: made.bounds.person().map(ToString::to_string),
        access_key_id: made.id.to_string(),
        secret_access_key: made.secret.expose().to_owned(),
        session_token: made.token.expose().to_owned(),
        expires: made.bounds.expires.to_string(),
        expires_in: made.bounds.expires.since(vault.now()) / 1_000,
    };
    let mut response = json(StatusCode::OK, &session);
    let no_store = HeaderValue::from_static("no-store");
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, no_store);
    Ok(response)
}

pub(super) async fn end(vault: Arc<Vault>, ask: Ask) -> Result<Response<Body>, ApiError> {
    let JobStatement { statement } = ask.json()?;
    vault.end_job(&ask.call, &statement).await.map_err(told)?;
    Ok(nothing())
}

fn nothing() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}
