//! What can be wrong with a policy, and where.

use crate::types::limits;

/// Why a policy, or a subject's view of it, cannot be used. Whoever gets one decides *deny*.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// The files together exceed `limits::POLICY_BYTES_MAX`: fault of the policy's author.
    #[error("the policy is longer than {} bytes", limits::POLICY_BYTES_MAX)]
    TooLong,
    /// `model.conf` is not the model that Kluis decides by: fault of the policy's author.
    #[error("model.conf:{line}: {fault}")]
    Model {
        /// Line, from 1; 0 where something is missing from the whole file.
        line: usize,
        /// What is wrong.
        fault: ModelFault,
    },
    /// A role file has a line that cannot be read: fault of the policy's author.
    #[error("roles/{role}.csv:{line}: {fault}")]
    Role {
        /// The role whose file it is.
        role: String,
        /// Line, from 1; 0 for the file as a whole.
        line: usize,
        /// What is wrong.
        fault: RoleFault,
    },
    /// More roles than `limits::POLICY_ROLES_MAX`: fault of the policy's author.
    #[error("a policy has at most {} roles", limits::POLICY_ROLES_MAX)]
    TooManyRoles,
    /// A text that [`Policy::text`](super::Policy::text) did not write.
    #[error("the text is not that of a policy")]
    NotCanonical,
    /// Pieces of the rights behind a version are missing.
    #[error("the rights behind the version are not all there")]
    Incomplete,
    /// A text that is not what the version is the hash of.
    #[error("the text is not the one that the version names")]
    OtherVersion,
    /// A grant of another project or principal was offered: fault of the caller.
    #[error("a grant belongs to another project or principal")]
    ForeignGrant,
    /// More grants than `limits::SUBJECT_GRANTS_MAX`: fault of the project's owners.
    #[error("a subject holds at most {} grants", limits::SUBJECT_GRANTS_MAX)]
    TooManyGrants,
    /// casbin did not take a model that was checked: a fault in Kluis.
    #[error("the policy engine refused a checked model")]
    Engine(#[source] Box<casbin::Error>),
    /// casbin waited where it has nothing to wait for: a fault in Kluis.
    #[error("the policy engine did not finish")]
    EngineWaited,
}

/// What is wrong with a model.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ModelFault {
    /// A line that is neither a section, a definition, a comment nor empty.
    #[error("neither a [section] nor a definition `name = value`")]
    Line,
    /// A section or definition that the model does not have.
    #[error("unknown section or definition")]
    Unknown,
    /// The same definition twice.
    #[error("defined a second time")]
    Twice,
    /// A definition is missing.
    #[error("one of r, p, e, m is missing")]
    Missing,
    /// `r` or `p` is not the one that Kluis asks with.
    #[error("the request and policy definitions are fixed")]
    Definition,
    /// Not "default deny, deny overrides".
    #[error(
        "the effect must be default deny with deny override: \
         some(where (p.eft == allow)) && !some(where (p.eft == deny))"
    )]
    Effect,
    /// The first two conditions of the matcher are not the fixed ones.
    #[error(
        "the matcher must begin with \
         r.act == p.act && holds(r.sub, p.role, r.dom, r.dataset, r.key, r.now)"
    )]
    Conditions,
    /// A further condition that is no comparison of `r.dom`, `r.dataset`, `r.act` with texts.
    #[error("a further condition may only compare r.dom, r.dataset or r.act with texts")]
    Narrowing,
    /// A matcher that is too long or too deep.
    #[error("the matcher is too long or too deep")]
    TooLarge,
}

/// What is wrong with a role file.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RoleFault {
    /// The role's name is not 1 to 64 of `a-z 0-9 -`.
    #[error("a role's name is 1 to 64 of a-z, 0-9 and -")]
    Name,
    /// Two files of one name.
    #[error("the role has two files")]
    Twice,
    /// Not four fields.
    #[error("a line has four fields: p, role, action, allow or deny")]
    Arity,
    /// The first field is not `p`.
    #[error("a line begins with p")]
    Kind,
    /// A line that gives something to another role than its file's.
    #[error("a file speaks of its own role only")]
    OtherRole,
    /// Not a word of `types::Action`.
    #[error("unknown action")]
    Action,
    /// Neither `allow` nor `deny`.
    #[error("the effect is allow or deny")]
    Effect,
}
