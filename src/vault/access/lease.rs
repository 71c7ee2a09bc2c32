//! The right of what runs: judged again and again until it ends.

use std::net::IpAddr;
use std::sync::Arc;

use crate::policy::{Ask, Circumstances};
use crate::types::{AccessKeyId, Action, BucketName, ObjectKey, PrincipalId, Timestamp};
use crate::vault::Bounds;
use crate::vault::access::barrier;
use crate::vault::access::guard::Guard;
use crate::vault::access::subjects::claiming;
use crate::vault::error::{ErrorKind, VaultError};
use crate::vault::people::session::narrowed;

/// How often a running transfer is judged again, in ms of the clock.
pub(super) const RECHECK_MS: u64 = 10_000;
/// How long a transfer goes on while the catalog cannot say whether it may. With [`RECHECK_MS`]
/// this keeps within the 60 s of AZ-2.
const UNSURE_MS: u64 = 40_000;

/// The right of a running transfer. A grant that ends, or a credential that is withdrawn, cuts
/// what runs under it within 60 s (AZ-2).
#[derive(Clone)]
pub(in crate::vault) struct Lease {
    pub(super) guard: Arc<Guard>,
    pub(super) principal: PrincipalId,
    pub(super) access_key: Option<AccessKeyId>,
    pub(super) bounds: Option<Arc<Bounds>>,
    pub(super) client: Option<IpAddr>,
    /// The published version that is read, if one is.
    pub(super) version: Option<u32>,
    pub(super) bucket: BucketName,
    pub(super) key: Option<ObjectKey>,
    pub(super) action: Action,
    /// What else must be allowed all the while.
    pub(super) also: Option<Action>,
    pub(super) confirmed: Timestamp,
    pub(super) due: Timestamp,
}

impl Lease {
    /// Sees that the right still holds; asks nobody unless [`RECHECK_MS`] have passed.
    pub(in crate::vault) async fn check(&mut self) -> Result<(), VaultError> {
        const ENDED: VaultError = VaultError::new(
            ErrorKind::AccessDenied,
            "the right ended during the transfer",
        );
        let now = self.guard.clock.now();
        if now < self.due && self.confirmed <= now {
            return Ok(());
        }
        match self.holds(now).await {
            Ok(true) => self.confirmed = now,
            Ok(false) => return Err(ENDED),
            // A catalog that fails for a moment does not cut every stream.
            Err(error) if now.since(self.confirmed) >= UNSURE_MS => return Err(error),
            Err(_unsure) => {}
        }
        self.due = Timestamp::from_millis(now.millis().saturating_add(RECHECK_MS));
        Ok(())
    }

    async fn holds(&self, now: Timestamp) -> Result<bool, VaultError> {
        let goes_on = match (&self.bounds, &self.access_key) {
            (Some(bounds), _) => {
                let held = self.guard.bounds_hold(bounds, &self.principal, now);
                held.await?
            }
            (None, Some(id)) => self.guard.credential_holds(id, now).await?,
            (None, None) => true,
        };
        if !goes_on {
            return Ok(false);
        }
        let whose = (Some(&self.principal), &self.principal);
        let word = claiming(self.bounds.as_deref(), whose);
        let project = &self.bucket.project;
        let subject = self.guard.subject_by(word, project, &self.principal);
        let subject = subject.await?;
        let ask = |action| Ask {
            project: &self.bucket.project,
            principal: &self.principal,
            dataset: Some(&self.bucket.dataset),
            key: self.key.as_ref().map_or("", ObjectKey::as_str),
            action,
            now,
            when: Circumstances {
                version: self.version,
                ..narrowed(self.client, self.bounds.as_deref())
            },
        };
        let mut needed = std::iter::once(self.action).chain(self.also);
        if !needed.all(|action| subject.decide(&ask(action)).allowed) {
            return Ok(false);
        }
        // One that was deleted meanwhile holds nothing that could be read.
        let Some((row, rank)) = self.guard.dataset(&self.bucket).await? else {
            return Ok(true);
        };
        let ranks = (rank, subject.cleared());
        let job = self.bounds.as_deref().and_then(Bounds::job);
        let judged = barrier::judge(&self.guard.labels, &row, ranks, job, (self.action, now));
        Ok(judged.is_ok())
    }
}
