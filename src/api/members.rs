//! Who is in a group, over the network: for whoever manages what it is granted.

use std::sync::Arc;

use axum::body::Body;
use http::{Response, StatusCode};
use serde::Serialize;

use super::answer::{ApiError, json};
use super::ask::Ask;
use crate::types::{PrincipalId, PrincipalKind};
use crate::vault::{Member, Members, Vault};

/// A member as it is shown.
#[derive(Serialize)]
struct ToldMember {
    principal: String,
    kind: &'static str,
    acts_for: Option<String>,
    /// How her organisation shows her.
    name: Option<String>,
}

/// What of an issuer's tokens puts a session into it.
#[derive(Serialize)]
struct Claim {
    issuer: String,
    claim: String,
}

/// What of an issuer's visas does.
#[derive(Serialize)]
struct Visa {
    issuer: String,
    #[serde(rename = "type")]
    kind: String,
    value: String,
    source: Option<String>,
    by: Option<String>,
}

#[derive(Serialize)]
struct Told {
    members: Vec<ToldMember>,
    /// Behind whom the next page begins; `null` at the end.
    next: Option<String>,
    organisation: Option<String>,
    claims: Vec<Claim>,
    visas: Vec<Visa>,
}

impl From<Member> for ToldMember {
    fn from(member: Member) -> Self {
        Self {
            principal: member.principal.to_string(),
            kind: match member.kind {
                PrincipalKind::Person => "person",
                PrincipalKind::Workload => "workload",
                PrincipalKind::Group => "group",
            },
            acts_for: member.acts_for.map(|person| person.to_string()),
            name: member.name,
        }
    }
}

impl From<Members> for Told {
    fn from(seen: Members) -> Self {
        let last = seen.members.last().map(|last| last.principal.to_string());
        let claims = seen.claims.into_iter();
        let visas = seen.visas.into_iter();
        Self {
            next: last.filter(|_| seen.more),
            members: seen.members.into_iter().map(ToldMember::from).collect(),
            organisation: seen.organisation,
            claims: claims
                .map(|(issuer, claim)| Claim { issuer, claim })
                .collect(),
            visas: visas
                .map(|(issuer, terms)| Visa {
                    issuer,
                    kind: terms.kind,
                    value: terms.value,
                    source: terms.source,
                    by: terms.by,
                })
                .collect(),
        }
    }
}

pub(super) async fn list(vault: Arc<Vault>, ask: Ask) -> Result<Response<Body>, ApiError> {
    let (project, group) = (ask.parameter("project")?, ask.parameter("group")?);
    let after: Option<PrincipalId> = ask.asked("after")?;
    let place = (&project, &group);
    let seen = vault.members(&ask.call, place, after.as_ref()).await?;
    Ok(json(StatusCode::OK, &Told::from(seen)))
}
