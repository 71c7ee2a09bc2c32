//! A project keeps an owner: somebody who manages the grants of all of it, now and from anywhere,
//! and whom nothing bars. Without one it would be closed for ever.

use crate::catalog::{GrantsCheck, Mutation};
use crate::policy::{Grant, GrantEffect, Standing, Terms};
use crate::types::{Action, PrincipalId, PrincipalKind, ProjectName, Timestamp, limits};
use crate::vault::Vault;
use crate::vault::error::{ErrorKind, VaultError};
use crate::vault::grants::checks::MAY_NOT;

const MANAGES: Action = Action::GrantManage;
const NO_OWNER: VaultError = VaultError::new(
    ErrorKind::InvalidArgument,
    "the project would have no owner who lasts as long: make another one first",
);

impl Vault {
    /// That a project has an owner without this grant, too, for as long as by it. Says what the
    /// catalog is to judge in the commit that withdraws it, **or two owners who withdraw each
    /// other's at once would leave none**.
    pub(in crate::vault) async fn check_owned_without(
        &self,
        grant: &Grant,
    ) -> Result<Vec<Mutation>, VaultError> {
        if !self.makes_owner(grant) {
            return Ok(Vec::new());
        }
        let mut all = self.all_grants(&grant.project).await?;
        all.retain(|other| other.id != grant.id);
        self.owner_among(&all, (grant, &[])).await
    }

    /// That a project has an owner under this grant, too, if it can take the right to manage grants
    /// from anybody: a denial does, which whom it is about could not withdraw. See
    /// [`Self::check_owned_without`].
    pub(in crate::vault) async fn check_owned_under(
        &self,
        grant: &Grant,
        approver: &PrincipalId,
    ) -> Result<Vec<Mutation>, VaultError> {
        if !self.bars_managing(grant) {
            return Ok(Vec::new());
        }
        // Who owns less than all of the project, or for less long, bars nobody from managing it.
        let all = self.all_grants(&grant.project).await?;
        let owners = all.iter().filter(|other| self.makes_owner(other));
        let Some(longest) = owners.max_by_key(|owner| lasts(owner)) else {
            return Err(NO_OWNER);
        };
        if !self.owns(&all, approver, longest).await? {
            return Err(MAY_NOT);
        }
        let more = std::slice::from_ref(&grant.principal);
        self.owner_among(&all, (longest, more)).await
    }

    /// That each project that has an owner keeps one for as long when these come into a group: what
    /// it is denied bars them. Says what the catalog is to judge in the commit that lets them in.
    pub(in crate::vault) async fn check_owned_with(
        &self,
        group: &PrincipalId,
        come: &[PrincipalId],
    ) -> Result<Vec<Mutation>, VaultError> {
        let mut rests = Vec::new();
        if come.is_empty() {
            return Ok(rests);
        }
        for project in self.catalog.projects_of(group).await? {
            let all = self.all_grants(&project).await?;
            let barred = self.barred(&all);
            if !barred.contains(&group) {
                continue;
            }
            let mut longest: Option<&Grant> = None;
            for owner in all.iter().filter(|grant| self.makes_owner(grant)) {
                if longest.is_none_or(|longest| lasts(owner) > lasts(longest))
                    && self.is_held(&owner.principal, &barred).await?
                {
                    longest = Some(owner);
                }
            }
            // Where nobody is an owner, nobody who comes leaves it without one.
            if let Some(longest) = longest {
                rests.extend(self.owner_among(&all, (longest, come)).await?);
            }
        }
        Ok(rests)
    }

    /// That whoever withdraws an owner's grant is an owner for as long, who could make another.
    pub(in crate::vault) async fn check_withdraws(
        &self,
        grant: &Grant,
        by: &PrincipalId,
    ) -> Result<(), VaultError> {
        if self.makes_owner(grant) {
            let all = self.all_grants(&grant.project).await?;
            if !self.owns(&all, by, grant).await? {
                return Err(MAY_NOT);
            }
        }
        Ok(())
    }

    /// Whether a denial may fall on the host, where no owner speaks: it is what leaves the project
    /// without one.
    pub(in crate::vault) async fn closes_project(&self, grant: &Grant) -> Result<bool, VaultError> {
        if !self.bars_managing(grant) {
            return Ok(false);
        }
        let all = self.all_grants(&grant.project).await?;
        for owner in all.iter().filter(|other| self.makes_owner(other)) {
            if self.is_held(&owner.principal, &self.barred(&all)).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn all_grants(&self, project: &ProjectName) -> Result<Vec<Grant>, VaultError> {
        let all = limits::GUARD_CACHE_MAX;
        Ok(self.catalog.grants(project, all).await?)
    }

    /// Whether somebody holds an owner's grant that lasts as long as this one, by her own name or a
    /// group's.
    async fn owns(
        &self,
        all: &[Grant],
        who: &PrincipalId,
        like: &Grant,
    ) -> Result<bool, VaultError> {
        let groups = self.groups_in_force(who).await?;
        let hers = |grant: &&Grant| grant.principal == *who || groups.contains(&grant.principal);
        let mut hers = all.iter().filter(hers);
        Ok(hers.any(|grant| self.makes_owner(grant) && lasts(grant) >= lasts(like)))
    }

    /// The groups that somebody is in and that give her anything: none that is suspended.
    pub(in crate::vault) async fn groups_in_force(
        &self,
        who: &PrincipalId,
    ) -> Result<Vec<PrincipalId>, VaultError> {
        let mut serving = Vec::new();
        for group in self.catalog.groups_of(who).await? {
            if self.guard.bar(&group).await?.is_none() {
                serving.push(group);
            }
        }
        Ok(serving)
    }

    /// An owner by these grants who lasts as long as `like` does, with these barred as well: what
    /// the catalog is to find unchanged.
    async fn owner_among(
        &self,
        all: &[Grant],
        (like, more): (&Grant, &[PrincipalId]),
    ) -> Result<Vec<Mutation>, VaultError> {
        let denies = |grant: &&Grant| {
            grant.effect == GrantEffect::Deny && grant.terms.standing == Standing::Approved
        };
        let denials = all.iter().filter(denies).count();
        let mut barred = self.barred(all);
        barred.extend(more);
        let owners = all.iter().filter(|grant| self.makes_owner(grant));
        for owner in owners.filter(|owner| lasts(owner) >= lasts(like)) {
            if self.is_held(&owner.principal, &barred).await? {
                let check = GrantsCheck {
                    project: owner.project.clone(),
                    principal: owner.principal.clone(),
                    own_below: u32::MAX,
                    all_below: u32::MAX,
                    denials: Some(u32::try_from(denials).unwrap_or(u32::MAX)),
                };
                let unchanged = Mutation::CheckGrant {
                    grant: owner.id,
                    terms: owner.terms.clone(),
                };
                return Ok(vec![unchanged, Mutation::CheckGrants(check)]);
            }
        }
        Err(NO_OWNER)
    }

    /// Whom something bars from managing grants.
    fn barred<'a>(&self, all: &'a [Grant]) -> Vec<&'a PrincipalId> {
        let in_force = |grant: &&Grant| grant.terms.standing == Standing::Approved;
        let bars = |grant: &&Grant| self.bars_managing(grant);
        let bars = all.iter().filter(in_force).filter(bars);
        bars.map(|grant| &grant.principal).collect()
    }

    /// Whether what a principal is given serves anybody whom nothing bars: itself, or of a group
    /// one member.
    async fn is_held(
        &self,
        holder: &PrincipalId,
        barred: &[&PrincipalId],
    ) -> Result<bool, VaultError> {
        let row = self.catalog.principal(holder).await?;
        if row.is_none_or(|row| row.kind != PrincipalKind::Group) {
            return self.is_free_of(holder, barred).await;
        }
        if self.guard.bar(holder).await?.is_some() {
            return Ok(false);
        }
        let mut after: Option<PrincipalId> = None;
        loop {
            let limit = limits::PAGE_ENTRIES_MAX;
            let page = self.catalog.members(holder, after.as_ref(), limit).await?;
            for member in &page {
                if self.is_free_of(member, barred).await? {
                    return Ok(true);
                }
            }
            match page.last() {
                Some(last) => after = Some(last.clone()),
                None => return Ok(false),
            }
        }
    }

    async fn is_free_of(
        &self,
        who: &PrincipalId,
        barred: &[&PrincipalId],
    ) -> Result<bool, VaultError> {
        if barred.contains(&who) || self.guard.bar(who).await?.is_some() {
            return Ok(false);
        }
        let groups = self.catalog.groups_of(who).await?;
        Ok(!groups.iter().any(|group| barred.contains(&group)))
    }

    /// Whether it can take the right to manage grants, of whatever place, now or later; of a
    /// proposal, whether it would.
    fn bars_managing(&self, grant: &Grant) -> bool {
        let over = grant.ends().is_some_and(|end| end <= self.now());
        !over && self.guard.policy().takes(grant, MANAGES)
    }

    /// Whether it makes somebody manage grants of all of a project now, from anywhere, and not
    /// alone let others in.
    fn makes_owner(&self, grant: &Grant) -> bool {
        let now = self.now();
        let Terms {
            networks,
            partitions,
            actions,
            version: _,
            standing,
            lapses: _,
            proposer: _,
        } = &grant.terms;
        grant.effect == GrantEffect::Allow
            && *standing == Standing::Approved
            && self.allows(grant, MANAGES)
            && actions.is_empty()
            && grant.dataset.is_none()
            && grant.prefix.is_empty()
            && networks.is_empty()
            && partitions.is_empty()
            && grant.starts <= now
            && grant.ends().is_none_or(|end| now < end)
    }
}

/// Until when a grant holds, of two the longer one greater.
fn lasts(grant: &Grant) -> Timestamp {
    grant.ends().unwrap_or(Timestamp::from_millis(u64::MAX))
}
