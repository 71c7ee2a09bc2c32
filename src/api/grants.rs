//! Grants over the network: whoever signed acts, and nobody else by being named.

use std::sync::Arc;

use axum::body::Body;
use http::{Response, StatusCode};

use super::answer::{ApiError, json};
use super::ask::Ask;
use crate::policy::{Grant, GrantEffect, Standing};
use crate::types::{GrantId, ProjectName, Timestamp};
use crate::vault::{ErrorKind, GrantDraft, GrantUse, Vault, VaultError};
use crate::wire::{self, CreateGrantRequest, GrantList, GrantResponse, ReviewedGrant};

fn texts<T: ToString>(all: &[T]) -> Vec<String> {
    all.iter().map(ToString::to_string).collect()
}

/// A grant as it is shown.
fn shown(grant: Grant) -> wire::Grant {
    let proposed = grant.terms.standing == Standing::Proposed;
    wire::Grant {
        grant: grant.id.to_string(),
        project: grant.project.to_string(),
        principal: grant.principal.to_string(),
        role: grant.role,
        dataset: grant.dataset.map(|name| name.to_string()),
        version: grant.terms.version,
        prefix: grant.prefix,
        effect: match grant.effect {
            GrantEffect::Allow => wire::GrantEffect::Allow,
            GrantEffect::Deny => wire::GrantEffect::Deny,
        },
        actions: texts(&grant.terms.actions),
        networks: texts(&grant.terms.networks),
        partitions: texts(&grant.terms.partitions),
        purpose: grant.purpose,
        permit: grant.permit,
        starts: grant.starts.to_string(),
        expires: grant.expires.map(|end| end.to_string()),
        lapses: grant.terms.lapses.map(|end| end.to_string()),
        standing: if proposed {
            wire::GrantState::Proposed
        } else {
            wire::GrantState::Approved
        },
        proposer: grant.terms.proposer.map(|name| name.to_string()),
        approver: (!proposed).then(|| grant.approver.to_string()),
        created: grant.created.to_string(),
    }
}

/// The actions that a grant lets (or denies) by the policy of now.
fn lets(vault: &Vault, grant: &Grant) -> Vec<String> {
    texts(&vault.reach(grant))
}

fn answer(vault: &Vault, grant: Grant, hints: Vec<String>) -> GrantResponse {
    GrantResponse {
        lets: Some(lets(vault, &grant)),
        hints,
        grant: shown(grant),
    }
}

fn reviewed(row: GrantUse, lets: Option<Vec<String>>) -> ReviewedGrant {
    ReviewedGrant {
        grant: shown(row.grant),
        lets,
        last_used: row.used.map(|at| at.to_string()),
        privileged: row.privileged,
        role_known: row.known,
    }
}

fn draft(asked: CreateGrantRequest, project: ProjectName) -> Result<GrantDraft, ApiError> {
    let mut actions = read_all("actions", &asked.actions)?;
    actions.sort_unstable();
    actions.dedup();
    Ok(GrantDraft {
        project,
        principal: read("principal", &asked.principal)?,
        role: asked.role,
        dataset: asked
            .dataset
            .map(|name| read("dataset", &name))
            .transpose()?,
        version: asked.version,
        prefix: asked.prefix,
        effect: if asked.deny {
            GrantEffect::Deny
        } else {
            GrantEffect::Allow
        },
        purpose: asked.purpose,
        permit: asked.permit,
        starts: asked.starts.map(|text| time("starts", &text)).transpose()?,
        expires: asked
            .expires
            .map(|text| time("expires", &text))
            .transpose()?,
        actions,
        networks: read_all("networks", &asked.networks)?,
        partitions: read_all("partitions", &asked.partitions)?,
    })
}

/// What is wrong with a grant is about the client's own text, so she is told.
pub(super) fn told(error: VaultError) -> ApiError {
    if error.kind() == ErrorKind::InvalidArgument {
        return ApiError::bad(error.reason());
    }
    error.into()
}

pub(super) fn read<T: std::str::FromStr>(what: &str, text: &str) -> Result<T, ApiError> {
    let bad = |_unparsed| ApiError::bad(format!("The member {what} is not one."));
    text.parse().map_err(bad)
}

fn read_all<T: std::str::FromStr>(what: &str, texts: &[String]) -> Result<Vec<T>, ApiError> {
    texts.iter().map(|text| read(what, text)).collect()
}

/// Reads a moment as RFC 3339 has it.
pub(super) fn time(what: &str, text: &str) -> Result<Timestamp, ApiError> {
    let format = &time::format_description::well_known::Rfc3339;
    let moment = time::OffsetDateTime::parse(text, format).ok();
    let millis = moment.map(|t| t.unix_timestamp_nanos().div_euclid(1_000_000));
    let millis = millis.and_then(|millis| u64::try_from(millis).ok());
    let bad = || ApiError::bad(format!("The member {what} is not 2027-12-31T00:00:00Z."));
    millis.map(Timestamp::from_millis).ok_or_else(bad)
}

fn place(ask: &Ask) -> Result<(ProjectName, GrantId), ApiError> {
    Ok((ask.parameter("project")?, ask.parameter("grant")?))
}

pub(super) async fn list(vault: Arc<Vault>, ask: Ask) -> Result<Response<Body>, ApiError> {
    let project = ask.parameter("project")?;
    let rows = vault
        .review_grants(&ask.call, &project, None)
        .await
        .map_err(told)?;
    let grants = rows.into_iter().map(|row| reviewed(row, None)).collect();
    Ok(json(StatusCode::OK, &GrantList { grants }))
}

pub(super) async fn get(vault: Arc<Vault>, ask: Ask) -> Result<Response<Body>, ApiError> {
    let (project, id) = place(&ask)?;
    let row = vault
        .show_grant(&ask.call, (&project, id))
        .await
        .map_err(told)?;
    let lets = Some(lets(&vault, &row.grant));
    Ok(json(StatusCode::OK, &reviewed(row, lets)))
}

pub(super) async fn create(vault: Arc<Vault>, ask: Ask) -> Result<Response<Body>, ApiError> {
    let asked: CreateGrantRequest = ask.json()?;
    let (propose, dry_run) = (asked.propose, asked.dry_run);
    let draft = draft(asked, ask.parameter("project")?)?;
    let grant = vault.word_grant(&ask.call, draft).map_err(told)?;
    if dry_run {
        let tried = vault.try_grant(&ask.call, grant, propose).await;
        let tried = tried.map_err(told)?;
        let hints = hints(&vault, &tried, propose).await?;
        return Ok(json(StatusCode::OK, &answer(&vault, tried, hints)));
    }
    let made = if propose {
        vault.propose_grant(&ask.call, grant).await
    } else {
        vault.create_grant(&ask.call, grant).await
    };
    let grant = made.map_err(told)?;
    let hints = hints(&vault, &grant, propose).await?;
    Ok(json(StatusCode::CREATED, &answer(&vault, grant, hints)))
}

/// What is told to whoever makes a grant; who only asks for it learns nothing of nodes.
async fn hints(vault: &Vault, grant: &Grant, propose: bool) -> Result<Vec<String>, ApiError> {
    if propose {
        return Ok(Vec::new());
    }
    Ok(vault.grant_hints(grant).await?)
}

pub(super) async fn withdraw(vault: Arc<Vault>, ask: Ask) -> Result<Response<Body>, ApiError> {
    let (project, id) = place(&ask)?;
    vault
        .revoke_grant(&ask.call, (&project, id), None)
        .await
        .map_err(told)?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

pub(super) async fn approve(vault: Arc<Vault>, ask: Ask) -> Result<Response<Body>, ApiError> {
    let (project, id) = place(&ask)?;
    let grant = vault
        .approve_grant(&ask.call, (&project, id), None)
        .await
        .map_err(told)?;
    Ok(json(StatusCode::OK, &answer(&vault, grant, Vec::new())))
}

pub(super) async fn confirm(vault: Arc<Vault>, ask: Ask) -> Result<Response<Body>, ApiError> {
    let (project, id) = place(&ask)?;
    let grant = vault
        .confirm_grant(&ask.call, (&project, id), None)
        .await
        .map_err(told)?;
    Ok(json(StatusCode::OK, &answer(&vault, grant, Vec::new())))
}
