//! What a principal may do without a right, since it is about her own: see her notices, her grants
//! and her jobs, take back what she asked for. No decision stands before it, so that what every
//! decision begins with is asked here: whether she may do anything at all, and where.

use crate::types::{PrincipalId, ProjectName, is_from};
use crate::vault::error::{ErrorKind, VaultError};
use crate::vault::{Bounds, Call, Vault};

impl Vault {
    /// Refuses who is suspended, or whose person is, and a credential or session that leaves out
    /// what is her own: one that is narrower than a project.
    pub(in crate::vault) async fn own(
        &self,
        call: &Call,
        who: &PrincipalId,
    ) -> Result<(), VaultError> {
        let bounds = call.bounds.as_deref();
        let scope = bounds.and_then(Bounds::scope);
        let client = call.session.client_ip.parse().ok();
        let narrow = scope.is_some_and(|scope| !scope.is_of_projects());
        let elsewhere = scope.is_some_and(|scope| !is_from(&scope.networks, client));
        if narrow || elsewhere || bounds.is_some_and(is_narrow) {
            return Err(VaultError::new(
                ErrorKind::AccessDenied,
                "the credential's scope leaves out its owner's own affairs",
            ));
        }
        self.unbarred(who).await
    }

    async fn unbarred(&self, who: &PrincipalId) -> Result<(), VaultError> {
        match self.guard.bar(who).await? {
            None => Ok(()),
            Some(_why) => Err(VaultError::new(
                ErrorKind::AccessDenied,
                "the principal is suspended, or unknown",
            )),
        }
    }

    /// Refuses the suspended, and a session that is for another project.
    pub(in crate::vault) async fn own_in(
        &self,
        call: &Call,
        who: &PrincipalId,
        project: &ProjectName,
    ) -> Result<(), VaultError> {
        if !is_within(call, project) {
            return Err(VaultError::new(
                ErrorKind::AccessDenied,
                "the session is for another project",
            ));
        }
        self.own(call, who).await
    }
}

/// Whether a session is for less than a project: a dataset, or one purpose.
const fn is_narrow(bounds: &Bounds) -> bool {
    bounds.dataset.is_some() || bounds.purpose.is_some()
}

/// Whether what is in a project may be shown to the caller's session.
pub(in crate::vault) fn is_within(call: &Call, project: &ProjectName) -> bool {
    let bounds = call.bounds.as_deref();
    let only = bounds.and_then(|bounds| bounds.project.as_ref());
    only.is_none_or(|only| only == project)
}
