//! Who is in a group, over the network: for whoever manages what it is granted.

use std::sync::Arc;

use axum::body::Body;
use http::{Response, StatusCode};

use super::answer::{ApiError, json};
use super::ask::Ask;
use crate::types::{PrincipalId, PrincipalKind};
use crate::vault::{Member, Members, Vault};
use crate::wire::{GroupClaim, GroupMember, GroupMembers, GroupVisa};

/// A member as it is shown.
fn shown(member: Member) -> GroupMember {
    GroupMember {
        principal: member.principal.to_string(),
        kind: match member.kind {
            PrincipalKind::Person => "person",
            PrincipalKind::Workload => "workload",
            PrincipalKind::Group => "group",
        }
        .to_owned(),
        acts_for: member.acts_for.map(|person| person.to_string()),
        name: member.name,
    }
}

/// A page of them.
fn page(seen: Members) -> GroupMembers {
    let last = seen.members.last().map(|last| last.principal.to_string());
    let claims = seen.claims.into_iter();
    let visas = seen.visas.into_iter();
    GroupMembers {
        next: last.filter(|_| seen.more),
        members: seen.members.into_iter().map(shown).collect(),
        organisation: seen.organisation,
        claims: claims
            .map(|(issuer, claim)| GroupClaim { issuer, claim })
            .collect(),
        visas: visas
            .map(|(issuer, terms)| GroupVisa {
                issuer,
                r#type: terms.kind,
                value: terms.value,
                source: terms.source,
                by: terms.by,
            })
            .collect(),
    }
}

pub(super) async fn list(vault: Arc<Vault>, ask: Ask) -> Result<Response<Body>, ApiError> {
    let (project, group) = (ask.parameter("project")?, ask.parameter("group")?);
    let after: Option<PrincipalId> = ask.asked("after")?;
    let place = (&project, &group);
    let seen = vault.members(&ask.call, place, after.as_ref()).await?;
    Ok(json(StatusCode::OK, &page(seen)))
}
