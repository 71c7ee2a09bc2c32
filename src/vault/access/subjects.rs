//! What somebody may, put together for decisions: her grants, those of her groups, what she is
//! cleared for, and what bars her. Cached by the guard until the catalog or the policy changes.

use std::sync::Arc;

use crate::catalog::{RosterKind, RosterRow};
use crate::policy::{Bar, Grant, GrantEffect, Policy, ProjectPolicy, Standing, SubjectPolicy};
use crate::types::{Action, BucketName, DatasetName, PrincipalId, ProjectName, Rank};
use crate::vault::access::guard::Guard;
use crate::vault::people::session::Word;
use crate::vault::{Bounds, Call, Rests, VaultError};

/// The word that a principal's own session rests on, if it puts her into groups.
pub(in crate::vault) fn claiming<'a>(
    bounds: Option<&'a Bounds>,
    (own, principal): (Option<&PrincipalId>, &PrincipalId),
) -> Option<&'a Word> {
    match &bounds?.rests {
        Rests::Word(word) if word.is_in_groups() && own == Some(principal) => Some(word),
        Rests::Word(_) | Rests::Job(_) | Rests::Key(_) => None,
    }
}

/// Whether nobody gives herself this role: it lets bytes out, shows the log or loosens locks.
pub(in crate::vault) fn takes_another(policy: &Policy, role: &str) -> bool {
    let delicate = [Action::ObjectExport, Action::LogRead, Action::LockBypass];
    delicate
        .into_iter()
        .any(|action| policy.role_allows(role, action))
}

fn is_approved(grant: &Grant) -> bool {
    grant.terms.standing == Standing::Approved
}

impl Guard {
    /// What a principal holds in a project, by what the vault itself keeps.
    pub(in crate::vault) async fn subject(
        &self,
        project: &ProjectName,
        principal: &PrincipalId,
    ) -> Result<Arc<SubjectPolicy>, VaultError> {
        let generation = self.generation().await?;
        let slot = (project.clone(), principal.clone());
        if let Some(subject) = self.cached(|cache| cache.subjects.get(&slot).cloned()) {
            return Ok(subject);
        }
        let (enforcer, subject) = self.make(project, principal, &[]).await?;
        self.keep(generation, |cache| {
            cache.projects.insert(slot.0.clone(), enforcer);
            cache.subjects.insert(slot, Arc::clone(&subject));
        });
        Ok(subject)
    }

    /// The same in a request: what is asked by the session of this principal counts her into the
    /// groups that its token claimed, as far as they still stand for groups.
    pub(in crate::vault) async fn subject_of(
        &self,
        call: &Call,
        project: &ProjectName,
        principal: &PrincipalId,
    ) -> Result<Arc<SubjectPolicy>, VaultError> {
        let whose = (call.session.principal.as_ref(), principal);
        let word = claiming(call.bounds.as_deref(), whose);
        self.subject_by(word, project, principal).await
    }

    /// The same by the word that a session rests on.
    pub(in crate::vault) async fn subject_by(
        &self,
        word: Option<&Word>,
        project: &ProjectName,
        principal: &PrincipalId,
    ) -> Result<Arc<SubjectPolicy>, VaultError> {
        let Some(word) = word else {
            return self.subject(project, principal).await;
        };
        let generation = self.generation().await?;
        let ways = (word.through.clone(), word.visas.clone());
        let slot = (project.clone(), principal.clone(), ways);
        if let Some(subject) = self.cached(|cache| cache.claimants.get(&slot).cloned()) {
            return Ok(subject);
        }
        let groups = self.claimed_groups(word, principal).await?;
        let (enforcer, subject) = self.make(project, principal, &groups).await?;
        self.keep(generation, |cache| {
            cache.projects.insert(project.clone(), enforcer);
            cache.claimants.insert(slot, Arc::clone(&subject));
        });
        Ok(subject)
    }

    async fn make(
        &self,
        project: &ProjectName,
        principal: &PrincipalId,
        claimed: &[PrincipalId],
    ) -> Result<(Arc<ProjectPolicy>, Arc<SubjectPolicy>), VaultError> {
        let enforcer = self.cached(|cache| cache.projects.get(project).cloned());
        let bar = self.bar(principal).await?;
        let mut groups = self.catalog.groups_of(principal).await?;
        let mut grants = self.catalog.grants_of(project, principal).await?;
        // What nobody approved is no right: it neither decides nor stands in the log as one.
        grants.retain(is_approved);
        groups.extend_from_slice(claimed);
        groups.sort_unstable();
        groups.dedup();
        for group in &groups {
            for grant in self.given_by(project, group).await? {
                if !self.approved_herself(&grant, principal).await? {
                    grants.push(grant);
                }
            }
        }
        let enforcer = match enforcer {
            Some(enforcer) => enforcer,
            None => Arc::new(ProjectPolicy::new(&self.policy(), project)?),
        };
        let subject = enforcer.member(principal, &groups, grants)?;
        let subject = subject.cleared_for(self.clearance(principal).await?);
        let subject = subject.demanding(self.demand(project).await?);
        let subject = Arc::new(match bar {
            Some(why) => subject.barred(why),
            None => subject,
        });
        self.keep_rights(&enforcer, &subject).await?;
        Ok((enforcer, subject))
    }

    /// What a group gives its members. A suspended one gives nobody anything; what it denies, it
    /// denies.
    async fn given_by(
        &self,
        project: &ProjectName,
        group: &PrincipalId,
    ) -> Result<Vec<Grant>, VaultError> {
        let mut grants = self.catalog.grants_of(project, group).await?;
        grants.retain(is_approved);
        if self.bar(group).await?.is_some() {
            grants.retain(|grant| grant.effect == GrantEffect::Deny);
        }
        Ok(grants)
    }

    /// Whether somebody would get by a grant what nobody gives herself ([`takes_another`]): she, or
    /// the person she acts for, approved it. Who is in a group later, or by what her token claims,
    /// is not known when its grants are approved.
    async fn approved_herself(
        &self,
        grant: &Grant,
        principal: &PrincipalId,
    ) -> Result<bool, VaultError> {
        if grant.effect == GrantEffect::Deny || !takes_another(&self.policy(), &grant.role) {
            return Ok(false);
        }
        let person = self.answers_for(principal).await?;
        Ok(self.answers_for(&grant.approver).await? == person)
    }

    /// Who answers for what a principal does: a workload's person, anybody else herself.
    pub(in crate::vault) async fn answers_for(
        &self,
        who: &PrincipalId,
    ) -> Result<PrincipalId, VaultError> {
        let row = self.catalog.principal(who).await?;
        let person = row.and_then(|row| row.acts_for);
        Ok(person.unwrap_or_else(|| who.clone()))
    }

    /// What a principal is cleared for; a workload never more than its person.
    pub(in crate::vault) async fn clearance(
        &self,
        principal: &PrincipalId,
    ) -> Result<Rank, VaultError> {
        let Some(row) = self.catalog.principal(principal).await? else {
            return Ok(Rank::NONE);
        };
        let Some(person) = &row.acts_for else {
            return Ok(self.labels.of_person(row.clearance.as_ref()));
        };
        let person = self.catalog.principal(person).await?;
        let persons = person.map_or(Rank::NONE, |row| {
            self.labels.of_person(row.clearance.as_ref())
        });
        let own = row
            .clearance
            .as_ref()
            .map(|own| self.labels.of_person(Some(own)));
        Ok(own.map_or(persons, |own| own.min(persons)))
    }

    /// Whether a dataset's label is above somebody's clearance (AZ-13). What is not there has none.
    pub(in crate::vault) async fn is_above(
        &self,
        (project, dataset): (&ProjectName, Option<&DatasetName>),
        who: &PrincipalId,
    ) -> Result<bool, VaultError> {
        let Some(dataset) = dataset.cloned() else {
            return Ok(false);
        };
        let project = project.clone();
        let placed = self.dataset(&BucketName { project, dataset }).await?;
        let Some((_, rank)) = placed else {
            return Ok(false);
        };
        Ok(rank > self.clearance(who).await?)
    }

    /// Why a principal may do nothing at all, if so. A workload falls with its person.
    pub(in crate::vault) async fn bar(
        &self,
        principal: &PrincipalId,
    ) -> Result<Option<Bar>, VaultError> {
        let Some(row) = self.catalog.principal(principal).await? else {
            return Ok(Some(Bar::Unknown));
        };
        let mut suspended = row.suspended.is_some() || self.is_inactive(principal).await?;
        if let Some(person) = &row.acts_for {
            let Some(row) = self.catalog.principal(person).await? else {
                return Ok(Some(Bar::Unknown));
            };
            suspended |= row.suspended.is_some() || self.is_inactive(person).await?;
        }
        Ok(suspended.then_some(Bar::Suspended))
    }

    /// Whether her organisation says that she is not active.
    async fn is_inactive(&self, principal: &PrincipalId) -> Result<bool, VaultError> {
        let name = principal.as_str();
        let told = self.catalog.roster(RosterKind::Person, name).await?;
        Ok(matches!(told.map(|told| told.row), Some(RosterRow::Person(row)) if !row.active))
    }
}
