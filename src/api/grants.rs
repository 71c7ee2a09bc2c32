//! Grants over the network: whoever signed acts, and nobody else by being named.

use std::sync::Arc;

use axum::body::Body;
use http::{Response, StatusCode};
use serde::{Deserialize, Serialize};

use super::answer::{ApiError, json};
use super::ask::Ask;
use crate::policy::{Grant, GrantEffect, Standing};
use crate::types::{GrantId, ProjectName, Timestamp};
use crate::vault::{ErrorKind, GrantDraft, GrantUse, Vault, VaultError};

/// A grant as it is asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    principal: String,
    role: String,
    #[serde(default)]
    dataset: Option<String>,
    #[serde(default)]
    version: Option<u32>,
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    deny: bool,
    #[serde(default)]
    actions: Vec<String>,
    #[serde(default)]
    networks: Vec<String>,
    #[serde(default)]
    partitions: Vec<String>,
    #[serde(default)]
    purpose: Option<String>,
    #[serde(default)]
    permit: Option<String>,
    #[serde(default)]
    starts: Option<String>,
    #[serde(default)]
    expires: Option<String>,
    /// Only ask: an owner approves it later.
    #[serde(default)]
    propose: bool,
    /// Only say what it would be: it is judged as for making it, and not made.
    #[serde(default)]
    dry_run: bool,
}

/// A grant as it is shown.
#[derive(Serialize)]
struct Told {
    grant: String,
    project: String,
    principal: String,
    role: String,
    dataset: Option<String>,
    version: Option<u32>,
    prefix: String,
    effect: &'static str,
    actions: Vec<&'static str>,
    networks: Vec<String>,
    partitions: Vec<String>,
    purpose: Option<String>,
    permit: Option<String>,
    starts: String,
    expires: Option<String>,
    lapses: Option<String>,
    standing: &'static str,
    proposer: Option<String>,
    /// Nobody, of a proposal.
    approver: Option<String>,
    created: String,
}

/// One grant, with what it lets (or denies) by the policy of now.
#[derive(Serialize)]
struct Whole {
    #[serde(flatten)]
    told: Told,
    lets: Vec<&'static str>,
    /// What of it is good for nothing as things stand, to whoever makes it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hints: Vec<String>,
}

impl Whole {
    fn of(vault: &Vault, grant: Grant) -> Self {
        let lets = vault.reach(&grant);
        Self {
            lets: lets.iter().map(|action| action.as_str()).collect(),
            hints: Vec::new(),
            told: grant.into(),
        }
    }
}

/// One grant as a review has it, with what it lets.
#[derive(Serialize)]
struct WholeReviewed {
    #[serde(flatten)]
    whole: Whole,
    last_used: Option<String>,
    privileged: bool,
    role_known: bool,
}

/// A grant in a review.
#[derive(Serialize)]
struct Reviewed {
    #[serde(flatten)]
    told: Told,
    last_used: Option<String>,
    privileged: bool,
    role_known: bool,
}

#[derive(Serialize)]
struct List {
    grants: Vec<Reviewed>,
}

fn texts<T: ToString>(all: &[T]) -> Vec<String> {
    all.iter().map(ToString::to_string).collect()
}

impl From<Grant> for Told {
    fn from(grant: Grant) -> Self {
        let proposed = grant.terms.standing == Standing::Proposed;
        Self {
            grant: grant.id.to_string(),
            project: grant.project.to_string(),
            principal: grant.principal.to_string(),
            role: grant.role,
            dataset: grant.dataset.map(|name| name.to_string()),
            version: grant.terms.version,
            prefix: grant.prefix,
            effect: match grant.effect {
                GrantEffect::Allow => "allow",
                GrantEffect::Deny => "deny",
            },
            actions: grant.terms.actions.iter().map(|a| a.as_str()).collect(),
            networks: texts(&grant.terms.networks),
            partitions: texts(&grant.terms.partitions),
            purpose: grant.purpose,
            permit: grant.permit,
            starts: grant.starts.to_string(),
            expires: grant.expires.map(|end| end.to_string()),
            lapses: grant.terms.lapses.map(|end| end.to_string()),
            standing: if proposed { "proposed" } else { "approved" },
            proposer: grant.terms.proposer.map(|name| name.to_string()),
            approver: (!proposed).then(|| grant.approver.to_string()),
            created: grant.created.to_string(),
        }
    }
}

impl From<GrantUse> for Reviewed {
    fn from(row: GrantUse) -> Self {
        Self {
            told: row.grant.into(),
            last_used: row.used.map(|at| at.to_string()),
            privileged: row.privileged,
            role_known: row.known,
        }
    }
}

impl Asked {
    fn draft(self, project: ProjectName) -> Result<GrantDraft, ApiError> {
        let mut actions = read_all("actions", &self.actions)?;
        actions.sort_unstable();
        actions.dedup();
        Ok(GrantDraft {
            project,
            principal: read("principal", &self.principal)?,
            role: self.role,
            dataset: self
                .dataset
                .map(|name| read("dataset", &name))
                .transpose()?,
            version: self.version,
            prefix: self.prefix,
            effect: if self.deny {
                GrantEffect::Deny
            } else {
                GrantEffect::Allow
            },
            purpose: self.purpose,
            permit: self.permit,
            starts: self.starts.map(|text| time("starts", &text)).transpose()?,
            expires: self
                .expires
                .map(|text| time("expires", &text))
                .transpose()?,
            actions,
            networks: read_all("networks", &self.networks)?,
            partitions: read_all("partitions", &self.partitions)?,
        })
    }
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
    let grants = rows.into_iter().map(Reviewed::from).collect();
    Ok(json(StatusCode::OK, &List { grants }))
}

pub(super) async fn get(vault: Arc<Vault>, ask: Ask) -> Result<Response<Body>, ApiError> {
    let (project, id) = place(&ask)?;
    let row = vault
        .show_grant(&ask.call, (&project, id))
        .await
        .map_err(told)?;
    let shown = WholeReviewed {
        last_used: row.used.map(|at| at.to_string()),
        privileged: row.privileged,
        role_known: row.known,
        whole: Whole::of(&vault, row.grant),
    };
    Ok(json(StatusCode::OK, &shown))
}

pub(super) async fn create(vault: Arc<Vault>, ask: Ask) -> Result<Response<Body>, ApiError> {
    let asked: Asked = ask.json()?;
    let (propose, dry_run) = (asked.propose, asked.dry_run);
    let draft = asked.draft(ask.parameter("project")?)?;
    let grant = vault.word_grant(&ask.call, draft).map_err(told)?;
    if dry_run {
        let tried = vault.try_grant(&ask.call, grant, propose).await;
        let tried = tried.map_err(told)?;
        let hints = hints(&vault, &tried, propose).await?;
        let whole = Whole::of(&vault, tried);
        return Ok(json(StatusCode::OK, &Whole { hints, ..whole }));
    }
    let made = if propose {
        vault.propose_grant(&ask.call, grant).await
    } else {
        vault.create_grant(&ask.call, grant).await
    };
    let grant = made.map_err(told)?;
    let hints = hints(&vault, &grant, propose).await?;
    let whole = Whole::of(&vault, grant);
    Ok(json(StatusCode::CREATED, &Whole { hints, ..whole }))
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
    Ok(json(StatusCode::OK, &Whole::of(&vault, grant)))
}

pub(super) async fn confirm(vault: Arc<Vault>, ask: Ask) -> Result<Response<Body>, ApiError> {
    let (project, id) = place(&ask)?;
    let grant = vault
        .confirm_grant(&ask.call, (&project, id), None)
        .await
        .map_err(told)?;
    Ok(json(StatusCode::OK, &Whole::of(&vault, grant)))
}
