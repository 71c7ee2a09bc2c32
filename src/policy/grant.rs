//! Grants: the rows that owners make. The catalog keeps them, the policy reads them.

use crate::types::{DatasetName, GrantId, PrincipalId, ProjectName, Timestamp};

/// Whether a grant gives or takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GrantEffect {
    /// It allows what its role allows.
    Allow,
    /// It denies what its role allows, whatever else is granted.
    Deny,
}

/// Who holds which role over what, for what, until when.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Grant {
    /// Its identity.
    pub id: GrantId,
    /// The project, the domain of the policy.
    pub project: ProjectName,
    /// Who holds it.
    pub principal: PrincipalId,
    /// The role's name, one that `policies/roles` defines.
    pub role: String,
    /// One dataset, or all of the project.
    pub dataset: Option<DatasetName>,
    /// Only keys that begin so; empty for all.
    pub prefix: String,
    /// Allow or deny.
    pub effect: GrantEffect,
    /// For what (a code such as `ehds:scientific-research`).
    pub purpose: Option<String>,
    /// The permit or approval that it rests on.
    pub permit: Option<String>,
    /// From when.
    pub starts: Timestamp,
    /// Until when; at this moment it is over.
    pub expires: Option<Timestamp>,
    /// Who approved it.
    pub approver: PrincipalId,
    /// When it was made.
    pub created: Timestamp,
}
