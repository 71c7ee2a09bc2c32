//! What a caller may learn of itself.

use crate::ledger::ObjectRef;
use crate::types::PrincipalId;
use crate::vault::{Call, NOBODY, Vault, VaultError};

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
}
