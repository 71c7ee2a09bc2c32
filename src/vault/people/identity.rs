//! What a caller may learn of itself.

use crate::ledger::ObjectRef;
use crate::types::PrincipalId;
use crate::vault::{Call, ErrorKind, NOBODY, Vault, VaultError};

impl Vault {
    /// Records a request for what everybody may have, which is of no vault in particular.
    pub async fn note_public(&self, call: &Call) -> Result<(), VaultError> {
        let intent = Self::intent(call, None, ObjectRef::default());
        self.note(call, intent, Ok(())).await
    }

    /// Whom the vault takes the caller for.
    pub async fn whoami(&self, call: &Call) -> Result<PrincipalId, VaultError> {
        let intent = Self::intent(call, None, ObjectRef::default());
        let Some(principal) = &call.session.principal else {
            return Err(self.turn_away(call, intent, NOBODY).await);
        };
        self.note(call, intent, Ok(())).await?;
        Ok(principal.clone())
    }

    /// The groups that the caller is in, those too that her session's token claims; nothing to
    /// whoever is told nothing of her own affairs: a credential that is narrower than a project, a
    /// job, and who is suspended.
    pub async fn own_groups(&self, call: &Call) -> Result<Option<Vec<PrincipalId>>, VaultError> {
        let Some(principal) = &call.session.principal else {
            return Ok(None);
        };
        match self.own(call, principal).await {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AccessDenied => return Ok(None),
            Err(error) => return Err(error),
        }
        let mut groups = self.catalog.groups_of(principal).await?;
        groups.extend(self.guard.claimed_in(call).await?);
        groups.sort_unstable();
        groups.dedup();
        Ok(Some(groups))
    }
}
