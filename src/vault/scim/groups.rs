//! Groups and who is in them, as an organisation tells of them.

use super::super::{Vault, VaultError};
use super::find::Found;
use super::{Called, ScimRefusal, Teller, row};
use crate::catalog::{Mutation, PrincipalRow, RosterEntry, RosterKind, RosterRow, TeamRow};
use crate::scim::{Group, ScimError, folded};
use crate::types::{PrincipalId, PrincipalKind, Timestamp, limits};

impl TeamRow {
    fn of(source: &str, group: &Group, created: Timestamp, modified: Timestamp) -> Self {
        Self {
            source: source.to_owned(),
            display_name: group.display_name.clone(),
            external_id: group.external_id.clone(),
            created,
            modified,
        }
    }

    pub(super) fn group(&self, members: Vec<PrincipalId>) -> Group {
        Group {
            display_name: self.display_name.clone(),
            external_id: self.external_id.clone(),
            members,
        }
    }
}

/// What the record says of a change of members: all who come and go, as far as there is room.
fn said(id: &PrincipalId, group: &Group, come: &[PrincipalId], gone: &[PrincipalId]) -> String {
    let names = |all: &[PrincipalId]| {
        let names: Vec<&str> = all.iter().take(8).map(PrincipalId::as_str).collect();
        names.join(",")
    };
    format!(
        "group={id} add={}:{} remove={}:{} name={}",
        come.len(),
        names(come),
        gone.len(),
        names(gone),
        group.display_name
    )
}

/// Those of the first who are not among the second; both are in order.
fn without(all: &[PrincipalId], others: &[PrincipalId]) -> Vec<PrincipalId> {
    let gone = |member: &&PrincipalId| others.binary_search(member).is_err();
    all.iter().filter(gone).cloned().collect()
}

impl Vault {
    /// Makes a group.
    pub async fn scim_create_group(
        &self,
        by: &Teller,
        group: Group,
    ) -> Result<Found<Group>, ScimRefusal> {
        let _turn = self.scim_turn.lock().await;
        let mut intent = by.intent("group");
        let checked = async {
            self.group_is_new(by, &group, None).await?;
            self.may_join(by, &group.members).await?;
            Ok(self
                .new_name(&by.name, &folded(&group.display_name))
                .await?)
        };
        let id = match checked.await {
            Ok(id) => id,
            Err(error) => return Err(self.scim_away(by, intent, error).await),
        };
        let words = said(&id, &group, &group.members, &[]);
        intent.query = Some(super::super::cut(&format!(
            "scim={} create {words}",
            by.name
        )));
        let now = self.now();
        let team = TeamRow::of(&by.name, &group, now, now);
        let mut changes = vec![
            Mutation::CreatePrincipal(PrincipalRow {
                id: id.clone(),
                kind: PrincipalKind::Group,
                acts_for: None,
                created: now,
                suspended: None,
                clearance: None,
            }),
            row(
                RosterKind::Team,
                id.as_str(),
                None,
                Some(RosterRow::Team(team)),
            ),
        ];
        if let Some(external) = &group.external_id {
            changes.push(Called::GroupId(external).now_means(&by.name, &id));
        }
        changes.extend(joining(&id, &group.members));
        self.administer(&by.call, intent, changes).await?;
        Ok(Found {
            id,
            what: group,
            revision: 1,
            created: now,
            modified: now,
        })
    }

    async fn group_is_new(
        &self,
        by: &Teller,
        group: &Group,
        own: Option<&PrincipalId>,
    ) -> Result<(), ScimRefusal> {
        let Some(external) = &group.external_id else {
            return Ok(());
        };
        let there = self.called(&by.name, Called::GroupId(external)).await?;
        if there.is_some_and(|there| Some(&there) != own) {
            return Err(ScimError::Uniqueness.into());
        }
        Ok(())
    }

    /// Sees that all of these are persons of this organisation. One who is in too many groups would
    /// be refused everything, so she comes into no further one.
    async fn may_join(&self, by: &Teller, members: &[PrincipalId]) -> Result<(), ScimRefusal> {
        if members.len() > limits::SCIM_MEMBERS_MAX {
            return Err(ScimError::TooMany.into());
        }
        for member in members {
            if self.person_of(&by.name, member.as_str()).await?.is_none() {
                return Err(ScimError::Value.into());
            }
            if self.catalog.groups_of(member).await?.len() >= limits::GROUPS_OF_MAX {
                return Err(ScimError::TooMany.into());
            }
        }
        Ok(())
    }

    /// A group of this organisation, with its revision.
    pub(super) async fn team_of(
        &self,
        source: &str,
        id: &str,
    ) -> Result<Option<(TeamRow, u64)>, VaultError> {
        let entry = self.catalog.roster(RosterKind::Team, id).await?;
        let Some(RosterEntry {
            revision,
            row: RosterRow::Team(team),
        }) = entry
        else {
            return Ok(None);
        };
        Ok((team.source == source).then_some((team, revision)))
    }

    /// Everybody in a group, in order.
    pub(super) async fn all_members(
        &self,
        group: &PrincipalId,
    ) -> Result<Vec<PrincipalId>, VaultError> {
        let mut members: Vec<PrincipalId> = Vec::new();
        while members.len() <= limits::SCIM_MEMBERS_MAX {
            let page = self
                .catalog
                .members(group, members.last(), limits::PAGE_ENTRIES_MAX)
                .await?;
            if page.is_empty() {
                break;
            }
            members.extend(page);
        }
        Ok(members)
    }

    /// Changes a group, whose revision must be `expected` if that is said.
    pub async fn scim_change_group(
        &self,
        by: &Teller,
        id: &str,
        expected: Option<u64>,
        change: impl Fn(&Group, &PrincipalId) -> Result<Group, ScimError> + Send + Sync,
    ) -> Result<Found<Group>, ScimRefusal> {
        let _turn = self.scim_turn.lock().await;
        let mut intent = by.intent("group");
        let checked = async {
            let found = self.team_of(&by.name, id).await?;
            let (team, was) = found.ok_or(ScimError::Absent)?;
            if expected.is_some_and(|expected| expected != was) {
                return Err(ScimError::Changed.into());
            }
            let id: PrincipalId = id.parse().map_err(|_none| ScimError::Absent)?;
            let old = team.group(self.all_members(&id).await?);
            let group = change(&old, &id)?;
            let come = without(&group.members, &old.members);
            let gone = without(&old.members, &group.members);
            let words = said(&id, &group, &come, &gone);
            if group == old {
                let found = Found::of_group(id, &team, group, was);
                return Ok((found, Vec::new(), words));
            }
            self.group_is_new(by, &group, Some(&id)).await?;
            self.may_join(by, &come).await?;
            let mut changes = external(by, &id, (&old, &group));
            changes.extend(self.check_owned_with(&id, &come).await?);
            changes.extend(joining(&id, &come));
            changes.extend(leaving(&id, &gone));
            let after = TeamRow::of(&by.name, &group, team.created, self.now());
            let found = Found::of_group(id, &after, group, was.saturating_add(1));
            let entry = Some(RosterRow::Team(after));
            changes.push(row(RosterKind::Team, found.id.as_str(), Some(was), entry));
            Ok((found, changes, words))
        };
        let (found, changes, words) = match checked.await {
            Ok(checked) => checked,
            Err(error) => return Err(self.scim_away(by, intent, error).await),
        };
        intent.query = Some(super::super::cut(&format!(
            "scim={} change {words}",
            by.name
        )));
        if changes.is_empty() {
            self.note(&by.call, intent, Ok(())).await?;
        } else {
            self.administer(&by.call, intent, changes).await?;
        }
        Ok(found)
    }

    /// Ends a group: nobody is in it any more, and nobody comes into it again.
    pub async fn scim_delete_group(
        &self,
        by: &Teller,
        id: &str,
        expected: Option<u64>,
    ) -> Result<(), ScimRefusal> {
        let _turn = self.scim_turn.lock().await;
        let mut intent = by.intent("group");
        let checked = async {
            let found = self.team_of(&by.name, id).await?;
            let (team, was) = found.ok_or(ScimError::Absent)?;
            if expected.is_some_and(|expected| expected != was) {
                return Err(ScimError::Changed.into());
            }
            let id: PrincipalId = id.parse().map_err(|_none| ScimError::Absent)?;
            let members = self.all_members(&id).await?;
            let mut changes: Vec<Mutation> = leaving(&id, &members).collect();
            changes.push(Mutation::SetSuspended {
                principal: id.clone(),
                since: Some(self.now()),
            });
            if let Some(external) = &team.external_id {
                changes.push(Called::GroupId(external).means_nobody(&by.name));
            }
            changes.push(row(RosterKind::Team, id.as_str(), Some(was), None));
            Ok((id, members.len(), changes))
        };
        let (id, members, changes) = match checked.await {
            Ok(checked) => checked,
            Err(error) => return Err(self.scim_away(by, intent, error).await),
        };
        let told = format!("scim={} delete group={id} members={members}", by.name);
        intent.query = Some(super::super::cut(&told));
        Ok(self.administer(&by.call, intent, changes).await?)
    }
}

/// What changes where a group's external id does.
fn external(by: &Teller, id: &PrincipalId, (old, new): (&Group, &Group)) -> Vec<Mutation> {
    if old.external_id == new.external_id {
        return Vec::new();
    }
    let ended = old.external_id.as_deref().map(Called::GroupId);
    let begun = new.external_id.as_deref().map(Called::GroupId);
    let ended = ended.map(|name| name.means_nobody(&by.name));
    let begun = begun.map(|name| name.now_means(&by.name, id));
    ended.into_iter().chain(begun).collect()
}

fn joining(group: &PrincipalId, come: &[PrincipalId]) -> impl Iterator<Item = Mutation> {
    come.iter().map(|member| Mutation::AddMember {
        group: group.clone(),
        member: member.clone(),
    })
}

fn leaving(group: &PrincipalId, gone: &[PrincipalId]) -> impl Iterator<Item = Mutation> {
    gone.iter().map(|member| Mutation::RemoveMember {
        group: group.clone(),
        member: member.clone(),
    })
}
