//! What a change of grants was judged on, judged again in its commit.

use super::Conflict;
use crate::policy::{Grant, GrantEffect, Standing};
use crate::types::{PrincipalId, ProjectName};

/// What must hold of all grants of a project. Counts are of rows, those that are over among them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GrantsCheck {
    /// The project.
    pub project: ProjectName,
    /// Of this principal fewer than `own_below` are approved or deny.
    pub principal: PrincipalId,
    /// See `principal`.
    pub own_below: u32,
    /// There are fewer than this, proposals among them.
    pub all_below: u32,
    /// So many deny, where that was looked at.
    pub denials: Option<u32>,
}

impl GrantsCheck {
    /// Judges, by the project's grants as they are. Pure, so that all adapters judge alike.
    pub(super) fn judge<'a>(
        &self,
        grants: impl Iterator<Item = &'a Grant>,
    ) -> Result<(), Conflict> {
        let (mut own, mut all, mut denials) = (0_u32, 0_u32, 0_u32);
        for grant in grants {
            let counts = |so| u32::from(so);
            let approved = grant.terms.standing == Standing::Approved;
            all = all.saturating_add(1);
            own = own.saturating_add(counts(approved && grant.principal == self.principal));
            let denies = approved && grant.effect == GrantEffect::Deny;
            denials = denials.saturating_add(counts(denies));
        }
        if self.denials.is_some_and(|seen| seen != denials) {
            return Err(Conflict::GrantChanged);
        }
        if own >= self.own_below || all >= self.all_below {
            return Err(Conflict::TooManyGrants);
        }
        Ok(())
    }
}
