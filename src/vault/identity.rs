//! What a caller may learn of itself.

use super::{Call, NOBODY, Vault, VaultError};
use crate::ledger::ObjectRef;
use crate::types::PrincipalId;

impl Vault {
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
