//! Acts that take two persons, over the network: each of the two signs for herself.

use std::sync::Arc;

use axum::body::Body;
use http::{Response, StatusCode};

use super::answer::{ApiError, json};
use super::ask::Ask;
use crate::catalog::{ApprovalRow, ApprovalState};
use crate::types::{ActKind, ApprovalId, DatasetName, ProjectName, Timestamp};
use crate::vault::{ActDraft, ErrorKind, Vault, VaultError};
use crate::wire::{Approval, ApprovalList, AskApprovalRequest, BreakGlassGrant};

/// An act as it is shown.
fn approval(row: ApprovalRow, now: Timestamp) -> Approval {
    let waits = matches!(row.state, ApprovalState::Asked | ApprovalState::Approved);
    let terms = row.act.named_terms();
    let terms = terms
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    Approval {
        approval: row.id.to_string(),
        act: row.act.kind.to_string(),
        project: row.act.project.to_string(),
        dataset: row.act.dataset.as_ref().map(|(name, _)| name.to_string()),
        terms,
        reason: row.reason,
        summary: row.act.to_string(),
        state: match row.state {
            _ if waits && row.due <= now => "expired",
            ApprovalState::Asked => "asked",
            ApprovalState::Approved => "approved",
            ApprovalState::Refused => "refused",
            ApprovalState::Withdrawn => "withdrawn",
            ApprovalState::Spent => "done",
        }
        .to_owned(),
        asker: row.asker.to_string(),
        approver: row.approver.map(|name| name.to_string()),
        asked: row.asked.to_string(),
        due: row.due.to_string(),
    }
}

/// The terms stand in the order of the kind; a name that it does not have is refused.
fn draft(mut asked: AskApprovalRequest, project: ProjectName) -> Result<ActDraft, ApiError> {
    let bad = |what: &str| ApiError::bad(format!("The member {what} is not one."));
    let kind: ActKind = asked.act.parse().map_err(|_unknown| bad("act"))?;
    let dataset: Option<DatasetName> = asked
        .dataset
        .map(|name| name.parse().map_err(|_no_name| bad("dataset")))
        .transpose()?;
    let mut terms = Vec::new();
    for name in kind.terms() {
        let value = asked.terms.remove(*name);
        let missing = || ApiError::bad(format!("The act {kind} has a term {name}."));
        terms.push(((*name).to_owned(), value.ok_or_else(missing)?));
    }
    if !asked.terms.is_empty() {
        let known = kind.terms().join(", ");
        return Err(ApiError::bad(format!(
            "The act {kind} has no terms but {known}."
        )));
    }
    Ok(ActDraft {
        kind,
        project,
        dataset,
        terms,
        reason: asked.reason,
    })
}

/// What is wrong with an act's words, or that it is over, is no secret from whoever got so far.
fn told(error: VaultError) -> ApiError {
    let kind = error.kind();
    if kind == ErrorKind::InvalidArgument {
        ApiError::bad(error.reason())
    } else if kind == ErrorKind::Conflict {
        ApiError::conflict(error.reason())
    } else {
        error.into()
    }
}

fn place(ask: &Ask) -> Result<(ProjectName, ApprovalId), ApiError> {
    Ok((ask.parameter("project")?, ask.parameter("approval")?))
}

pub(super) async fn list(vault: Arc<Vault>, ask: Ask) -> Result<Response<Body>, ApiError> {
    let project = ask.parameter("project")?;
    let rows = vault.acts(&ask.call, &project).await.map_err(told)?;
    let now = vault.now();
    let approvals = rows.into_iter().map(|row| approval(row, now)).collect();
    Ok(json(StatusCode::OK, &ApprovalList { approvals }))
}

pub(super) async fn create(vault: Arc<Vault>, ask: Ask) -> Result<Response<Body>, ApiError> {
    let draft = draft(ask.json()?, ask.parameter("project")?)?;
    let row = vault.ask_act(&ask.call, draft).await.map_err(told)?;
    Ok(json(StatusCode::CREATED, &approval(row, vault.now())))
}

pub(super) async fn get(vault: Arc<Vault>, ask: Ask) -> Result<Response<Body>, ApiError> {
    let (project, id) = place(&ask)?;
    let row = vault.show_act(&ask.call, (&project, id)).await;
    shown(&vault, row)
}

pub(super) async fn approve(vault: Arc<Vault>, ask: Ask) -> Result<Response<Body>, ApiError> {
    let (project, id) = place(&ask)?;
    let row = vault.approve_act(&ask.call, (&project, id)).await;
    shown(&vault, row)
}

pub(super) async fn refuse(vault: Arc<Vault>, ask: Ask) -> Result<Response<Body>, ApiError> {
    let (project, id) = place(&ask)?;
    let row = vault.refuse_act(&ask.call, (&project, id)).await;
    shown(&vault, row)
}

pub(super) async fn withdraw(vault: Arc<Vault>, ask: Ask) -> Result<Response<Body>, ApiError> {
    let (project, id) = place(&ask)?;
    let row = vault.withdraw_act(&ask.call, (&project, id)).await;
    shown(&vault, row)
}

fn shown(vault: &Vault, row: Result<ApprovalRow, VaultError>) -> Result<Response<Body>, ApiError> {
    let row = row.map_err(told)?;
    Ok(json(StatusCode::OK, &approval(row, vault.now())))
}

pub(super) async fn break_glass(vault: Arc<Vault>, ask: Ask) -> Result<Response<Body>, ApiError> {
    let (project, id) = place(&ask)?;
    let grant = vault.break_glass(&ask.call, (&project, id)).await;
    let grant = grant.map_err(told)?;
    let broken = BreakGlassGrant {
        grant: grant.id.to_string(),
        who: grant.principal.to_string(),
        project: grant.project.to_string(),
        dataset: grant.dataset.map(|name| name.to_string()),
        until: grant.expires.map(|end| end.to_string()),
    };
    Ok(json(StatusCode::CREATED, &broken))
}
