//! How much of a project grants may take up: whoever manages those of one dataset must not fill
//! what all others need.

use crate::catalog::{GrantsCheck, Mutation};
use crate::policy::Grant;
use crate::types::{ProjectName, limits};
use crate::vault::Vault;
use crate::vault::error::{ErrorKind, VaultError};

/// What room is needed for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::vault) enum Room {
    /// A grant in force.
    Made,
    /// A proposal: it counts for nobody until it is approved.
    Proposed,
    /// A proposal that is there already.
    Approved,
    /// Break-glass, for which some is kept free.
    Emergency,
}

impl Vault {
    /// What the catalog is to judge before it takes a grant.
    pub(in crate::vault) fn room_for(grant: &Grant, room: Room) -> Mutation {
        let free = limits::GRANTS_FOR_EMERGENCIES;
        let own = limits::GRANTS_OF_ONE_MAX.saturating_sub(free);
        let all = limits::GRANTS_OF_PROJECT_MAX.saturating_sub(free);
        let (own_below, all_below) = match room {
            Room::Made => (own, all),
            Room::Proposed => (u32::MAX, all),
            Room::Approved => (own, u32::MAX),
            Room::Emergency => (limits::GRANTS_OF_ONE_MAX, limits::GRANTS_OF_PROJECT_MAX),
        };
        Mutation::CheckGrants(GrantsCheck {
            project: grant.project.clone(),
            principal: grant.principal.clone(),
            own_below,
            all_below,
            denials: None,
        })
    }

    /// That changes of a project's grants have not filled the log of late. Never asked before a
    /// withdrawal.
    pub(in crate::vault) fn check_pace(&self, project: &ProjectName) -> Result<(), VaultError> {
        if self.guard.kept.has_room(project, self.now()) {
            return Ok(());
        }
        Err(VaultError::new(
            ErrorKind::SlowDown,
            "the project's rights changed too much in this hour",
        ))
    }
}
