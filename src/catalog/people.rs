//! How a dump puts projects, people and what they hold back.

use super::entity::{CredentialRow, PrincipalRow, ProjectRow};
use super::mutation::Mutation;
use crate::policy::{Grant, Terms};
use crate::types::LogTerms;

/// The mutations that put a project back, as a dump lists them.
pub(super) fn founding(row: ProjectRow) -> Vec<Mutation> {
    let keep = (row.log != LogTerms::default()).then(|| Mutation::SetLogTerms {
        project: row.name.clone(),
        terms: row.log,
    });
    let describe = row.defaults.is_some().then(|| Mutation::SetDefaults {
        project: row.name.clone(),
        defaults: row.defaults.clone(),
    });
    let create = Mutation::CreateProject(ProjectRow {
        log: LogTerms::default(),
        defaults: None,
        ..row
    });
    let rest = keep.into_iter().chain(describe);
    std::iter::once(create).chain(rest).collect()
}

/// The mutations that put a grant back, as a dump lists them.
pub(super) fn granting(grant: Grant) -> Vec<Mutation> {
    let set = (grant.terms != Terms::default()).then(|| Mutation::SetTerms {
        grant: grant.id,
        approver: grant.approver.clone(),
        terms: grant.terms.clone(),
    });
    let create = Mutation::CreateGrant(Grant {
        terms: Terms::default(),
        ..grant
    });
    std::iter::once(create).chain(set).collect()
}

/// The mutations that put a credential back, as a dump lists them.
pub(super) fn keying(row: CredentialRow) -> Vec<Mutation> {
    let narrow = row.scope.as_deref().map(|scope| Mutation::ScopeCredential {
        credential: row.id.clone(),
        scope: scope.clone(),
    });
    let create = Mutation::CreateCredential(CredentialRow { scope: None, ..row });
    std::iter::once(create).chain(narrow).collect()
}

/// The mutations that put a principal back, as a dump lists them.
pub(super) fn naming(row: PrincipalRow) -> Vec<Mutation> {
    let suspend = row.suspended.map(|since| Mutation::SetSuspended {
        principal: row.id.clone(),
        since: Some(since),
    });
    let clear = row.clearance.clone().map(|label| Mutation::SetClearance {
        principal: row.id.clone(),
        clearance: Some(label),
    });
    let create = Mutation::CreatePrincipal(PrincipalRow {
        suspended: None,
        clearance: None,
        ..row
    });
    let rest = suspend.into_iter().chain(clear);
    std::iter::once(create).chain(rest).collect()
}
