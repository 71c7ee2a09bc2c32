//! Who is in a group, for whoever grants to it: an owner who is asked to let a group read, or did
//! so, learns whom that lets read. Nobody else learns of a group over the network that it is there.

use crate::catalog::{RosterKind, RosterRow};
use crate::policy::{Ask, Grant};
use crate::types::{Action, PrincipalId, PrincipalKind, ProjectName, limits};
use crate::vault::grants::checks::MAY_NOT;
use crate::vault::people::assurance::circumstances;
use crate::vault::people::assurance::refusal_or;
use crate::vault::people::visas::VisaTerms;
use crate::vault::{Call, NOBODY, Vault, VaultError};

/// A member of a group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// Who.
    pub principal: PrincipalId,
    /// A person or a workload.
    pub kind: PrincipalKind,
    /// The person whom a workload acts for.
    pub acts_for: Option<PrincipalId>,
    /// How her organisation shows her, if one tells of her.
    pub name: Option<String>,
}

/// Who is in a group, and by what others may come to be.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Members {
    /// Those that the vault keeps, in order: a page of them.
    pub members: Vec<Member>,
    /// Whether there are more behind the last one.
    pub more: bool,
    /// The organisation that tells who is in it.
    pub organisation: Option<String>,
    /// What of which issuer's tokens puts a session into it.
    pub claims: Vec<(String, String)>,
    /// What of which issuer's visas does.
    pub visas: Vec<(String, VisaTerms)>,
}

impl Vault {
    /// Who is in a group that holds a grant in a project, or is proposed for one: for whoever
    /// manages that grant. A page of at most [`limits::PAGE_ENTRIES_MAX`], behind `after`.
    pub async fn members(
        &self,
        call: &Call,
        (project, group): (&ProjectName, &PrincipalId),
        after: Option<&PrincipalId>,
    ) -> Result<Members, VaultError> {
        let mut intent = Self::admin_intent(call, Some(project), &format!("members={group}"));
        intent.action = Some(Action::GrantManage);
        let seen = async {
            self.grants_to(call, project, group).await?;
            self.who_is_in(group, after).await
        };
        let seen = seen.await;
        self.noted(call, intent, seen).await
    }

    /// That the caller manages a grant of this group. To others, what is there and what is not look
    /// alike.
    async fn grants_to(
        &self,
        call: &Call,
        project: &ProjectName,
        group: &PrincipalId,
    ) -> Result<(), VaultError> {
        let who = call.session.principal.as_ref().ok_or(NOBODY)?;
        let row = self.catalog.principal(group).await?;
        let is_group = row.is_some_and(|row| row.kind == PrincipalKind::Group);
        let subject = self.guard.subject_of(call, project, who).await?;
        let mut refused = MAY_NOT;
        for grant in self.catalog.grants_of(project, group).await? {
            let Grant {
                dataset, prefix, ..
            } = &grant;
            let decision = subject.decide(&Ask {
                project,
                principal: who,
                dataset: dataset.as_ref(),
                key: prefix,
                action: Action::GrantManage,
                now: self.now(),
                when: circumstances(call),
            });
            if decision.allowed && is_group {
                self.guard.used(&decision, self.now());
                return Ok(());
            }
            refused = refusal_or(&decision, refused);
        }
        Err(refused)
    }

    async fn who_is_in(
        &self,
        group: &PrincipalId,
        after: Option<&PrincipalId>,
    ) -> Result<Members, VaultError> {
        let most = limits::PAGE_ENTRIES_MAX;
        let page = self.catalog.members(group, after, most).await?;
        let mut seen = Members {
            more: page.len() >= most,
            ..Members::default()
        };
        for principal in page {
            let Some(row) = self.catalog.principal(&principal).await? else {
                continue;
            };
            let told = self.catalog.roster(RosterKind::Person, principal.as_str());
            let mut name = None;
            if let Some(RosterRow::Person(told)) = told.await?.map(|entry| entry.row) {
                name = Some(told.display_name.unwrap_or(told.user_name));
            }
            seen.members.push(Member {
                principal,
                kind: row.kind,
                acts_for: row.acts_for,
                name,
            });
        }
        let team = self.catalog.roster(RosterKind::Team, group.as_str());
        if let Some(RosterRow::Team(team)) = team.await?.map(|entry| entry.row) {
            seen.organisation = Some(team.source);
        }
        for name in self.stands_for(RosterKind::Claim, group).await? {
            let claim = name.split_once('\n');
            seen.claims
                .extend(claim.map(|(issuer, claim)| (issuer.to_owned(), claim.to_owned())));
        }
        let visas = self.stands_for(RosterKind::Visa, group).await?;
        seen.visas = visas
            .iter()
            .filter_map(|name| VisaTerms::read(name))
            .collect();
        Ok(seen)
    }

    /// The names of the rows that put sessions into a group.
    async fn stands_for(
        &self,
        kind: RosterKind,
        group: &PrincipalId,
    ) -> Result<Vec<String>, VaultError> {
        let mut names = Vec::new();
        let mut after = String::new();
        loop {
            let page = self
                .catalog
                .roster_page(kind, &after, limits::PAGE_ENTRIES_MAX);
            let page = page.await?;
            let Some((last, _)) = page.last() else {
                return Ok(names);
            };
            after.clone_from(last);
            names.extend(page.into_iter().filter_map(|(name, entry)| {
                let (RosterRow::Claim(row) | RosterRow::Visa(row)) = entry.row else {
                    return None;
                };
                (row.group == *group).then_some(name)
            }));
        }
    }
}
