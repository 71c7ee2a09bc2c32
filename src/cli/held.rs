//! What somebody holds in a project, for explanations: as the gateway puts it together for a
//! decision, with the groups that a session is taken to claim.

use std::collections::BTreeSet;

use super::open::absent;
use super::output::{CliError, Exit};
use crate::catalog::{RosterKind, RosterRow, SharedCatalog};
use crate::policy::{Grant, GrantEffect, Policy};
use crate::types::{Action, PrincipalId, PrincipalKind, ProjectName, limits};

/// What somebody holds.
pub(super) struct Held {
    /// Her groups, those too that she is taken to claim.
    pub(super) groups: Vec<PrincipalId>,
    /// What she and they hold.
    pub(super) grants: Vec<Grant>,
    /// Whether she or her person is suspended.
    pub(super) suspended: bool,
}

/// Puts it together.
pub(super) async fn held(
    catalog: &SharedCatalog,
    policy: &Policy,
    (project, principal, claimed): (&ProjectName, &PrincipalId, &[PrincipalId]),
) -> Result<Held, CliError> {
    let row = catalog.principal(principal).await?;
    let row = row.ok_or_else(|| absent("principal", principal))?;
    let mut suspended = row.suspended.is_some() || is_inactive(catalog, principal).await?;
    if let Some(person) = &row.acts_for {
        let there = catalog.principal(person).await?;
        suspended |= there.is_none_or(|row| row.suspended.is_some());
        suspended |= is_inactive(catalog, person).await?;
    }
    let person = row.acts_for.as_ref().unwrap_or(principal);
    let mut groups = catalog.groups_of(principal).await?;
    let mut grants = catalog.grants_of(project, principal).await?;
    for group in &groups {
        grants.extend(given_by(catalog, project, group).await?);
    }
    for group in claimed {
        let row = catalog.principal(group).await?;
        if row.is_none_or(|row| row.kind != PrincipalKind::Group) {
            let told = format!("no such group: {group}");
            return Err(CliError::new(Exit::Usage, told).hint("`kluis group list` names them"));
        }
        if groups.contains(group) {
            continue;
        }
        for grant in given_by(catalog, project, group).await? {
            // What nobody gives herself, she does not get by what she claims either.
            let delicate = [Action::ObjectExport, Action::LogRead];
            let delicate = delicate.iter().any(|a| policy.role_allows(&grant.role, *a));
            let own = delicate && grant.effect == GrantEffect::Allow && {
                let row = catalog.principal(&grant.approver).await?;
                let approver = row.and_then(|row| row.acts_for);
                approver.as_ref().unwrap_or(&grant.approver) == person
            };
            if !own {
                grants.push(grant);
            }
        }
        groups.push(group.clone());
    }
    groups.sort_unstable();
    Ok(Held {
        groups,
        grants,
        suspended,
    })
}

/// What a group gives its members: of a suspended one what it denies.
async fn given_by(
    catalog: &SharedCatalog,
    project: &ProjectName,
    group: &PrincipalId,
) -> Result<Vec<Grant>, CliError> {
    let mut grants = catalog.grants_of(project, group).await?;
    let row = catalog.principal(group).await?;
    if row.is_none_or(|row| row.suspended.is_some()) {
        grants.retain(|grant| grant.effect == GrantEffect::Deny);
    }
    Ok(grants)
}

/// Whether her organisation says that she is not active.
pub(super) async fn is_inactive(
    catalog: &SharedCatalog,
    principal: &PrincipalId,
) -> Result<bool, CliError> {
    let told = catalog
        .roster(RosterKind::Person, principal.as_str())
        .await?;
    Ok(matches!(told.map(|told| told.row), Some(RosterRow::Person(row)) if !row.active))
}

/// The groups that hold something in a project and that a session may be in by what its token
/// claims or by a visa, but for these.
pub(super) async fn may_claim(
    catalog: &SharedCatalog,
    project: &ProjectName,
    but: &[PrincipalId],
) -> Result<Vec<PrincipalId>, CliError> {
    let mut groups = BTreeSet::new();
    for kind in [RosterKind::Claim, RosterKind::Visa] {
        let mut after = String::new();
        loop {
            let page = catalog.roster_page(kind, &after, limits::PAGE_ENTRIES_MAX);
            let page = page.await?;
            let Some((last, _)) = page.last() else {
                break;
            };
            after.clone_from(last);
            groups.extend(page.into_iter().filter_map(|(_, entry)| {
                let (RosterRow::Claim(row) | RosterRow::Visa(row)) = entry.row else {
                    return None;
                };
                Some(row.group)
            }));
        }
    }
    let mut found = Vec::new();
    for group in groups {
        if !but.contains(&group) && !given_by(catalog, project, &group).await?.is_empty() {
            found.push(group);
        }
    }
    Ok(found)
}
