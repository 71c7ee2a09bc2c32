//! Groups and their members, and the suspension of principals. Called by whoever keeps the
//! organisation's people; each act is recorded.

use crate::catalog::{Mutation, PrincipalRow};
use crate::types::{PrincipalId, PrincipalKind};
use crate::vault::{Call, ErrorKind, Vault, VaultError};

/// What an organisation says of its group would be undone by its next word, or would undo it.
pub(in crate::vault) const TOLD: VaultError = VaultError::new(
    ErrorKind::InvalidArgument,
    "an organisation tells who is in this group",
);

impl Vault {
    /// Makes a group, which holds grants for its members.
    pub async fn create_group(
        &self,
        call: &Call,
        id: PrincipalId,
    ) -> Result<PrincipalRow, VaultError> {
        let row = PrincipalRow {
            id,
            kind: PrincipalKind::Group,
            acts_for: None,
            created: self.now(),
            suspended: None,
            clearance: None,
        };
        let intent = Self::admin_intent(call, None, &format!("group={}", row.id));
        self.administer(call, intent, vec![Mutation::CreatePrincipal(row.clone())])
            .await?;
        Ok(row)
    }

    /// Makes a person or workload a member of a group. Refused where what the group is denied would
    /// leave a project without an owner.
    pub async fn add_member(
        &self,
        call: &Call,
        group: PrincipalId,
        member: PrincipalId,
    ) -> Result<(), VaultError> {
        let intent = Self::admin_intent(call, None, &format!("group={group} add={member}"));
        if self.is_told_of(&group).await? {
            return Err(self.turn_away(call, intent, TOLD).await);
        }
        // Who comes at the same time through this process is judged after her.
        let _turn = self.scim_turn.lock().await;
        let come = std::slice::from_ref(&member);
        let mut changes = match self.check_owned_with(&group, come).await {
            Ok(rests) => rests,
            Err(error) => return Err(self.turn_away(call, intent, error).await),
        };
        changes.push(Mutation::AddMember { group, member });
        self.administer(call, intent, changes).await
    }

    /// Takes a member out of a group: what it held through it ends now, running transfers within a
    /// minute.
    pub async fn remove_member(
        &self,
        call: &Call,
        group: PrincipalId,
        member: PrincipalId,
    ) -> Result<(), VaultError> {
        let intent = Self::admin_intent(call, None, &format!("group={group} remove={member}"));
        if self.is_told_of(&group).await? {
            return Err(self.turn_away(call, intent, TOLD).await);
        }
        self.administer(call, intent, vec![Mutation::RemoveMember { group, member }])
            .await
    }

    /// Suspends a principal, or lets it be again. Whoever is suspended may do nothing, whatever she
    /// holds, and neither may what acts for her; running transfers are cut within a minute.
    pub async fn suspend(
        &self,
        call: &Call,
        principal: PrincipalId,
        suspended: bool,
    ) -> Result<(), VaultError> {
        let what = if suspended { "suspend" } else { "resume" };
        let intent = Self::admin_intent(call, None, &format!("{what}={principal}"));
        let since = suspended.then(|| self.now());
        let change = Mutation::SetSuspended { principal, since };
        self.administer(call, intent, vec![change]).await
    }
}
