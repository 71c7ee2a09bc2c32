//! Erasures that two persons agreed on: doing them, and their certificates.

use std::sync::Arc;

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};

use super::answer::{ApiError, json};
use super::ask::Ask;
use crate::catalog::KeyWorkRow;
use crate::types::{ApprovalId, KeyWorkId, ProjectName};
use crate::vault::{ErrorKind, Vault, VaultError, erasure_words};
use crate::wire::{Erasure, ErasureList};

/// An erasure as it is shown.
fn erasure(row: &KeyWorkRow) -> Erasure {
    Erasure {
        work: row.id.to_string(),
        dataset: row.bucket.dataset.to_string(),
        what: row.scope.as_ref().map(erasure_words).unwrap_or_default(),
        begun: row.begun.to_string(),
        ended: row.end.as_ref().map(|end| end.at.to_string()),
        writes: row.tally.writes,
        bytes: row.tally.bytes,
        persons: row.persons.iter().map(ToString::to_string).collect(),
        reason: row.reason.clone(),
    }
}

/// That an approval is over, or for something else, is no secret from whoever got so far.
fn told(error: VaultError) -> ApiError {
    let kind = error.kind();
    if kind == ErrorKind::InvalidArgument {
        ApiError::bad(error.reason())
    } else if matches!(kind, ErrorKind::Conflict | ErrorKind::Locked) {
        ApiError::conflict(error.reason())
    } else {
        error.into()
    }
}

pub(super) async fn erase(vault: Arc<Vault>, ask: Ask) -> Result<Response<Body>, ApiError> {
    let project: ProjectName = ask.parameter("project")?;
    let approval: ApprovalId = ask.parameter("approval")?;
    let row = vault.erase(&ask.call, (&project, approval)).await;
    Ok(json(StatusCode::OK, &erasure(&row.map_err(told)?)))
}

pub(super) async fn list(vault: Arc<Vault>, ask: Ask) -> Result<Response<Body>, ApiError> {
    let project: ProjectName = ask.parameter("project")?;
    let rows = vault.erasures(&ask.call, &project).await?;
    let erasures = rows.iter().map(erasure).collect();
    Ok(json(StatusCode::OK, &ErasureList { erasures }))
}

pub(super) async fn certificate(vault: Arc<Vault>, ask: Ask) -> Result<Response<Body>, ApiError> {
    let project: ProjectName = ask.parameter("project")?;
    let work: KeyWorkId = ask.parameter("work")?;
    let file = vault.certificate(&ask.call, (&project, work)).await?;
    let mut response = Response::new(Body::from(file));
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}
