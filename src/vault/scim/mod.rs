//! Organisations that tell who their people are (SCIM, RFC 7644): a person who is set inactive,
//! deleted, or taken out of a group loses what she had, on transfers within a minute (ID-3).
//!
//! An organisation has a name, and every principal that it makes is called `NAME.…`: no
//! organisation can make, change or speak of another one's, nor of those that were made here, but
//! for whom an operator lets it adopt. A principal's name is never given twice; one who is deleted
//! stays, suspended, so that nobody inherits what she was granted. `docs/people.md` has the whole.

mod adopt;
mod find;
mod groups;
mod source;
mod users;

pub use adopt::Adoption;
pub use find::{Found, Listed, ScimAsk};
pub use source::{NewSource, SourceDraft, Teller};

use super::{ErrorKind, Vault, VaultError};
use crate::catalog::{AliasRow, Mutation, RosterEntry, RosterKind, RosterRow};
use crate::ledger::Intent;
use crate::scim::ScimError;
use crate::types::{PrincipalId, limits};

/// Why an organisation is not obeyed.
#[derive(Debug)]
pub enum ScimRefusal {
    /// For what it said.
    Said(ScimError),
    /// For what it is, or for a circumstance.
    Vault(VaultError),
}

impl From<ScimError> for ScimRefusal {
    fn from(error: ScimError) -> Self {
        Self::Said(error)
    }
}

impl From<VaultError> for ScimRefusal {
    fn from(error: VaultError) -> Self {
        Self::Vault(error)
    }
}

impl From<crate::catalog::CatalogError> for ScimRefusal {
    fn from(error: crate::catalog::CatalogError) -> Self {
        Self::Vault(error.into())
    }
}

/// A refusal as records know it.
const fn as_recorded(error: ScimError) -> VaultError {
    let (kind, why) = match error {
        ScimError::Syntax => (ErrorKind::InvalidArgument, "no SCIM"),
        ScimError::Filter => (ErrorKind::InvalidArgument, "no filter, or one too large"),
        ScimError::Path => (ErrorKind::InvalidArgument, "no path to an attribute"),
        ScimError::NoTarget => (ErrorKind::InvalidArgument, "nothing fits the path"),
        ScimError::Value => (ErrorKind::InvalidArgument, "a value is none"),
        ScimError::Mutability => (ErrorKind::InvalidArgument, "the attribute is not theirs"),
        ScimError::Uniqueness => (ErrorKind::Conflict, "another one has this name or id"),
        ScimError::TooMany => (ErrorKind::TooLarge, "too much at once"),
        ScimError::Absent => (ErrorKind::AccessDenied, "nobody of this organisation"),
        ScimError::Changed => (ErrorKind::PreconditionFailed, "changed meanwhile"),
    };
    VaultError::new(kind, why)
}

/// A row in the place of the one of revision `was`, or (`None`) gone.
fn row(kind: RosterKind, name: &str, was: Option<u64>, row: Option<RosterRow>) -> Mutation {
    Mutation::SetRoster {
        kind,
        name: name.to_owned(),
        was,
        entry: row.map(|row| RosterEntry {
            revision: was.unwrap_or_default().saturating_add(1),
            row,
        }),
    }
}

/// What an organisation calls somebody, as the key of a row.
#[derive(Clone, Copy)]
enum Called<'a> {
    /// A user name, folded.
    User(&'a str),
    /// A person's external id.
    UserId(&'a str),
    /// A group's external id.
    GroupId(&'a str),
    /// The principal of a person who was made here and adopted.
    Adopted(&'a str),
}

impl Called<'_> {
    fn key(self, source: &str) -> String {
        match self {
            Self::User(name) => format!("{source}/u/{name}"),
            Self::UserId(id) => format!("{source}/x/{id}"),
            Self::GroupId(id) => format!("{source}/g/{id}"),
            Self::Adopted(id) => format!("{source}/a/{id}"),
        }
    }

    fn now_means(self, source: &str, principal: &PrincipalId) -> Mutation {
        let principal = principal.clone();
        let alias = Some(RosterRow::Alias(AliasRow { principal }));
        row(RosterKind::Alias, &self.key(source), None, alias)
    }

    fn means_nobody(self, source: &str) -> Mutation {
        row(RosterKind::Alias, &self.key(source), Some(1), None)
    }
}

impl Vault {
    /// Records what is refused for what was said.
    async fn scim_away(&self, by: &Teller, intent: Intent, error: ScimRefusal) -> ScimRefusal {
        let said = match error {
            ScimRefusal::Said(said) => said,
            ScimRefusal::Vault(error) => {
                return ScimRefusal::Vault(self.turn_away(&by.call, intent, error).await);
            }
        };
        match self.note(&by.call, intent, Err(&as_recorded(said))).await {
            Ok(()) => ScimRefusal::Said(said),
            Err(unrecorded) => ScimRefusal::Vault(unrecorded),
        }
    }

    /// Refuses a request that could not be read; the refusal is in the log when this returns.
    pub async fn scim_unread(&self, by: &Teller, error: ScimError) -> ScimRefusal {
        let intent = by.intent("unread");
        self.scim_away(by, intent, error.into()).await
    }

    /// Records a question that is about no person.
    pub async fn scim_asked(&self, by: &Teller, what: &str) -> Result<(), VaultError> {
        self.note(&by.call, by.intent(what), Ok(())).await
    }

    /// Whom an organisation calls so.
    async fn called(
        &self,
        source: &str,
        called: Called<'_>,
    ) -> Result<Option<PrincipalId>, VaultError> {
        let entry = self
            .catalog
            .roster(RosterKind::Alias, &called.key(source))
            .await?;
        let Some(RosterRow::Alias(alias)) = entry.map(|entry| entry.row) else {
            return Ok(None);
        };
        Ok(Some(alias.principal))
    }

    /// A principal for somebody new: `SOURCE.name` where the name can be part of one and nobody
    /// ever was called so, else with a number behind it, else one without meaning.
    async fn new_name(&self, source: &str, name: &str) -> Result<PrincipalId, VaultError> {
        if let Ok(plain) = format!("{source}.{name}").parse::<PrincipalId>() {
            for number in 1..=limits::SCIM_NAMES_MAX {
                let tried = match number {
                    1 => Ok(plain.clone()),
                    number => format!("{plain}.{number}").parse(),
                };
                let Ok(tried) = tried else { break };
                if self.catalog.principal(&tried).await?.is_none() {
                    return Ok(tried);
                }
            }
        }
        let mut random = [0; 10];
        self.entropy.fill(&mut random)?;
        let id = data_encoding::HEXLOWER.encode(&random);
        let unnamed = |error| VaultError::caused(ErrorKind::Internal, "no principal's name", error);
        format!("{source}.id-{id}").parse().map_err(unnamed)
    }

    /// Whether an organisation tells of this group.
    pub(super) async fn is_told_of(&self, group: &PrincipalId) -> Result<bool, VaultError> {
        let there = self
            .catalog
            .roster(RosterKind::Team, group.as_str())
            .await?;
        Ok(there.is_some())
    }
}
