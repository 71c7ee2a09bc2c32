//! The model's groups, suspensions, terms of grants and last uses.

use super::super::{
    CatalogError, Conflict, GrantsCheck, IdentityRow, Mutation, RosterEntry, RosterKind, Uses,
};
use super::state::{State, must};
use crate::policy::{GrantEffect, Terms};
use crate::types::{
    DatasetId, GrantId, LogTerms, PrincipalId, PrincipalKind, ProjectName, Timestamp, limits,
};

impl State {
    pub(super) fn keep_log(
        &mut self,
        project: &ProjectName,
        terms: LogTerms,
    ) -> Result<(), CatalogError> {
        let row = self.projects.get_mut(project).ok_or(Conflict::NoProject)?;
        row.log = terms;
        Ok(())
    }

    pub(super) fn check_log(
        &self,
        project: &ProjectName,
        terms: LogTerms,
    ) -> Result<(), CatalogError> {
        let row = self.projects.get(project).ok_or(Conflict::NoProject)?;
        Ok(must(row.log == terms, Conflict::LogTermsChanged)?)
    }

    pub(super) fn set_terms(
        &mut self,
        id: &GrantId,
        approver: PrincipalId,
        terms: Terms,
    ) -> Result<(), Conflict> {
        let grant = self.grants.get_mut(id).ok_or(Conflict::NoGrant)?;
        grant.approver = approver;
        grant.terms = terms;
        Ok(())
    }

    pub(super) fn check_grant(&self, id: &GrantId, terms: &Terms) -> Result<(), Conflict> {
        let found = self.grants.get(id);
        let found = found.is_some_and(|grant| grant.terms == *terms);
        must(found, Conflict::GrantChanged)
    }

    pub(super) fn check_grants(&self, check: &GrantsCheck) -> Result<(), Conflict> {
        let all = self.grants.values();
        check.judge(all.filter(|grant| grant.project == check.project))
    }

    pub(super) fn delete_grant(&mut self, id: &GrantId) -> Result<(), Conflict> {
        let _gone: Option<Timestamp> = self.grant_uses.remove(id);
        self.grants.remove(id).map(drop).ok_or(Conflict::NoGrant)
    }

    /// What was allowed on a dataset is not allowed on the next one of its name.
    pub(super) fn drop_grants_on(&mut self, id: &DatasetId) {
        let Some(row) = self.datasets.values().find(|row| row.id == *id) else {
            return;
        };
        let bucket = row.bucket.clone();
        self.grants.retain(|_, grant| {
            grant.effect == GrantEffect::Deny
                || grant.project != bucket.project
                || grant.dataset.as_ref() != Some(&bucket.dataset)
        });
    }

    pub(super) fn suspend(
        &mut self,
        principal: &PrincipalId,
        since: Option<Timestamp>,
    ) -> Result<(), Conflict> {
        let row = self.principals.get_mut(principal);
        row.ok_or(Conflict::NoPrincipal)?.suspended = since;
        Ok(())
    }

    pub(super) fn add_member(
        &mut self,
        group: PrincipalId,
        member: PrincipalId,
    ) -> Result<(), Conflict> {
        let kind = |id| self.principals.get(id).map(|row| row.kind);
        let (Some(group_kind), Some(member_kind)) = (kind(&group), kind(&member)) else {
            return Err(Conflict::NoPrincipal);
        };
        let fits = group_kind == PrincipalKind::Group && member_kind != PrincipalKind::Group;
        must(fits, Conflict::NoGroup)?;
        let _new: bool = self.members.insert((group, member));
        Ok(())
    }

    pub(super) fn remove_member(
        &mut self,
        group: PrincipalId,
        member: PrincipalId,
    ) -> Result<(), Conflict> {
        let there = self.members.remove(&(group, member));
        must(there, Conflict::NoMember)
    }

    pub(super) fn link(&mut self, row: IdentityRow) -> Result<(), Conflict> {
        let kind = self.principals.get(&row.principal).map(|row| row.kind);
        let links = kind.is_some_and(|kind| kind != PrincipalKind::Group);
        must(links, Conflict::NoPrincipal)?;
        let taken = |known: &IdentityRow| {
            known.issuer == row.issuer
                && (known.subject == row.subject || known.principal == row.principal)
        };
        must(
            !self.identities.values().any(taken),
            Conflict::IdentityTaken,
        )?;
        let place = (row.issuer.clone(), row.subject.clone());
        let _none = self.identities.insert(place, row);
        Ok(())
    }

    pub(super) fn spend(
        &mut self,
        token: [u8; 32],
        expires: Timestamp,
        now: Timestamp,
    ) -> Result<(), Conflict> {
        let over = self.spent.iter().filter(|(_, end)| **end <= now);
        let mut over: Vec<(Timestamp, [u8; 32])> = over.map(|(t, end)| (*end, *t)).collect();
        over.sort_unstable();
        for (_, token) in over.into_iter().take(limits::SPENT_FORGET_MAX) {
            let _end = self.spent.remove(&token);
        }
        must(!self.spent.contains_key(&token), Conflict::TokenSpent)?;
        let _none = self.spent.insert(token, expires);
        Ok(())
    }

    pub(super) fn set_roster(
        &mut self,
        place: (RosterKind, String),
        was: Option<u64>,
        entry: Option<RosterEntry>,
    ) -> Result<(), Conflict> {
        let there = self.roster.get(&place).map(|entry| entry.revision);
        must(there == was, Conflict::RosterChanged)?;
        match entry {
            Some(entry) => {
                must(entry.row.kind() == place.0, Conflict::RosterChanged)?;
                let _before = self.roster.insert(place, entry);
            }
            None => drop(self.roster.remove(&place)),
        }
        Ok(())
    }

    pub(super) fn check_node_key(&self, key: &[u8; 32]) -> Result<(), Conflict> {
        let taken = self.roster.values().any(|entry| entry.row.is_node_of(key));
        must(!taken, Conflict::NodeKeyTaken)
    }

    pub(super) fn note_uses(&mut self, uses: Uses) {
        for (id, used) in uses.grants {
            if self.grants.contains_key(&id) {
                let last = self.grant_uses.entry(id).or_default();
                *last = used.max(*last);
            }
        }
        for (id, used) in uses.credentials {
            if self.credentials.contains_key(&id) {
                let last = self.credential_uses.entry(id).or_default();
                *last = used.max(*last);
            }
        }
    }

    pub(super) fn groups_of(
        &self,
        principal: &PrincipalId,
    ) -> Result<Vec<PrincipalId>, CatalogError> {
        let own = self
            .members
            .iter()
            .filter(|(_, member)| member == principal);
        let groups: Vec<PrincipalId> = own.map(|(group, _)| group.clone()).collect();
        if groups.len() > limits::GROUPS_OF_MAX {
            return Err(CatalogError::Failed {
                reason: format!("{principal} is a member of too many groups"),
            });
        }
        Ok(groups)
    }

    pub(super) fn members(
        &self,
        group: &PrincipalId,
        after: Option<&PrincipalId>,
        limit: usize,
    ) -> Vec<PrincipalId> {
        let of = self.members.iter().filter(|(team, _)| team == group);
        let names = of.map(|(_, member)| member);
        let wanted = names.filter(|member| after.is_none_or(|after| *member > after));
        wanted.take(limit).cloned().collect()
    }

    /// Members and last uses, as a dump lists them.
    pub(super) fn dump_access(&self) -> Vec<Mutation> {
        let members = self
            .members
            .iter()
            .map(|(group, member)| Mutation::AddMember {
                group: group.clone(),
                member: member.clone(),
            });
        let links = self.identities.values().cloned();
        let links = links.map(Mutation::LinkIdentity);
        let spent = self
            .spent
            .iter()
            .map(|(token, expires)| Mutation::SpendToken {
                token: *token,
                expires: *expires,
                now: Timestamp::default(),
            });
        let roster = self
            .roster
            .iter()
            .map(|((kind, name), entry)| Mutation::SetRoster {
                kind: *kind,
                name: name.clone(),
                was: None,
                entry: Some(entry.clone()),
            });
        let grants = self.grant_uses.iter().map(|(id, used)| Uses {
            grants: vec![(*id, *used)],
            credentials: Vec::new(),
        });
        let credentials = self.credential_uses.iter().map(|(id, used)| Uses {
            grants: Vec::new(),
            credentials: vec![(id.clone(), *used)],
        });
        let uses = grants.chain(credentials).map(Mutation::NoteUses);
        members
            .chain(links)
            .chain(spent)
            .chain(roster)
            .chain(uses)
            .collect()
    }
}
