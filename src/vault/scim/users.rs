//! Persons, as their organisation tells of them.

use super::super::{Vault, VaultError};
use super::find::Found;
use super::{Called, ScimRefusal, Teller, row};
use crate::catalog::{
    IdentityRow, Linking, Mutation, PersonRow, PrincipalRow, RosterEntry, RosterKind, RosterRow,
    SourceRow,
};
use crate::scim::{ScimError, User, folded};
use crate::types::{PrincipalId, PrincipalKind, Timestamp};

impl PersonRow {
    pub(super) fn of(source: &str, user: User, created: Timestamp, modified: Timestamp) -> Self {
        Self {
            source: source.to_owned(),
            user_name: user.user_name,
            external_id: user.external_id,
            display_name: user.display_name,
            active: user.active,
            created,
            modified,
        }
    }

    pub(super) fn user(&self) -> User {
        User {
            user_name: self.user_name.clone(),
            external_id: self.external_id.clone(),
            display_name: self.display_name.clone(),
            active: self.active,
        }
    }
}

/// What the record says of a person.
pub(super) fn said(id: &PrincipalId, user: &User) -> String {
    let external = user.external_id.as_deref().unwrap_or("-");
    format!(
        "user={id} name={} external={external} active={}",
        user.user_name, user.active
    )
}

impl Teller {
    /// As whom a person signs in, if the organisation's word links her.
    fn subject<'a>(&'a self, user: &'a User) -> Option<(&'a str, &'a str)> {
        self.row.subject(user)
    }
}

impl SourceRow {
    /// As whom a person signs in, if the organisation's word links her.
    pub(super) fn subject<'a>(&'a self, user: &'a User) -> Option<(&'a str, &'a str)> {
        let issuer = self.issuer.as_deref()?;
        let subject = match self.linking {
            Linking::ByHand => None,
            Linking::UserName => Some(user.user_name.as_str()),
            Linking::ExternalId => user.external_id.as_deref(),
        };
        Some((issuer, subject?))
    }
}

impl Vault {
    /// Makes a person.
    pub async fn scim_create_user(
        &self,
        by: &Teller,
        user: User,
    ) -> Result<Found<User>, ScimRefusal> {
        let _turn = self.scim_turn.lock().await;
        let source = by.name.as_str();
        let mut intent = by.intent("user");
        let checked = async {
            self.names_are_new(by, &user, None).await?;
            self.subject_is_new(by, &user, None).await?;
            Ok(self.new_name(source, &folded(&user.user_name)).await?)
        };
        let id = match checked.await {
            Ok(id) => id,
            Err(error) => return Err(self.scim_away(by, intent, error).await),
        };
        let told = format!("scim={source} create {}", said(&id, &user));
        intent.query = Some(super::super::cut(&told));
        let now = self.now();
        let mut changes = vec![Mutation::CreatePrincipal(PrincipalRow {
            id: id.clone(),
            kind: PrincipalKind::Person,
            acts_for: None,
            created: now,
            suspended: None,
            clearance: None,
        })];
        let person = PersonRow::of(source, user.clone(), now, now);
        let entry = Some(RosterRow::Person(person));
        changes.push(row(RosterKind::Person, id.as_str(), None, entry));
        Self::name_user(by, &id, &user, &mut changes);
        self.link_user(by, &id, &user, &mut changes);
        self.administer(&by.call, intent, changes).await?;
        Ok(Found {
            id,
            what: user,
            revision: 1,
            created: now,
            modified: now,
        })
    }

    /// What makes a person found under her names.
    fn name_user(by: &Teller, id: &PrincipalId, user: &User, changes: &mut Vec<Mutation>) {
        let source = by.name.as_str();
        changes.push(Called::User(&folded(&user.user_name)).now_means(source, id));
        if let Some(external) = &user.external_id {
            changes.push(Called::UserId(external).now_means(source, id));
        }
    }

    /// What lets her sign in.
    fn link_user(&self, by: &Teller, id: &PrincipalId, user: &User, changes: &mut Vec<Mutation>) {
        if let Some((issuer, subject)) = by.subject(user) {
            changes.push(Mutation::LinkIdentity(IdentityRow {
                issuer: issuer.to_owned(),
                subject: subject.to_owned(),
                principal: id.clone(),
                linked: self.now(),
            }));
        }
    }

    /// What ends that she is found under them.
    fn unname_user(by: &Teller, user: &User, changes: &mut Vec<Mutation>) {
        let source = by.name.as_str();
        changes.push(Called::User(&folded(&user.user_name)).means_nobody(source));
        if let Some(external) = &user.external_id {
            changes.push(Called::UserId(external).means_nobody(source));
        }
    }

    /// What ends that she may sign in.
    async fn unlink_user(
        &self,
        by: &Teller,
        id: &PrincipalId,
        user: &User,
        changes: &mut Vec<Mutation>,
    ) -> Result<(), VaultError> {
        if let Some((issuer, subject)) = by.subject(user) {
            // By hand she may have been linked otherwise.
            let linked = self.catalog.identity(issuer, subject).await?;
            if linked.is_some_and(|link| link.principal == *id) {
                changes.push(Mutation::UnlinkIdentity {
                    issuer: issuer.to_owned(),
                    subject: subject.to_owned(),
                });
            }
        }
        Ok(())
    }

    /// Refuses names that mean another one.
    async fn names_are_new(
        &self,
        by: &Teller,
        user: &User,
        own: Option<&PrincipalId>,
    ) -> Result<(), ScimRefusal> {
        let folded = folded(&user.user_name);
        let mut names = vec![Called::User(&folded)];
        names.extend(user.external_id.as_deref().map(Called::UserId));
        for name in names {
            let there = self.called(&by.name, name).await?;
            if there.is_some_and(|there| Some(&there) != own) {
                return Err(ScimError::Uniqueness.into());
            }
        }
        Ok(())
    }

    /// Refuses a subject that is another's.
    async fn subject_is_new(
        &self,
        by: &Teller,
        user: &User,
        own: Option<&PrincipalId>,
    ) -> Result<(), ScimRefusal> {
        if let Some((issuer, subject)) = by.subject(user) {
            let linked = self.catalog.identity(issuer, subject).await?;
            let linked = linked.map(|link| link.principal);
            // Whoever is linked stays so; nobody new is, where another organisation speaks first.
            let taken = if linked.is_some() {
                linked.as_ref() != own
            } else {
                let since = Some(by.row.created);
                self.is_linked_elsewhere(&by.name, &by.row, since).await?
            };
            if taken {
                return Err(ScimError::Uniqueness.into());
            }
        }
        Ok(())
    }

    /// A person of this organisation, with her revision.
    pub(super) async fn person_of(
        &self,
        source: &str,
        id: &str,
    ) -> Result<Option<(PersonRow, u64)>, VaultError> {
        let entry = self.catalog.roster(RosterKind::Person, id).await?;
        let Some(RosterEntry {
            revision,
            row: RosterRow::Person(person),
        }) = entry
        else {
            return Ok(None);
        };
        Ok((person.source == source).then_some((person, revision)))
    }

    /// Changes a person, whose revision must be `expected` if that is said.
    pub async fn scim_change_user(
        &self,
        by: &Teller,
        id: &str,
        expected: Option<u64>,
        change: impl Fn(&User, &PrincipalId) -> Result<User, ScimError> + Send + Sync,
    ) -> Result<Found<User>, ScimRefusal> {
        let _turn = self.scim_turn.lock().await;
        let mut intent = by.intent("user");
        let checked = async {
            let found = self.person_of(&by.name, id).await?;
            let (before, was) = found.ok_or(ScimError::Absent)?;
            let id: PrincipalId = id.parse().map_err(|_none| ScimError::Absent)?;
            if expected.is_some_and(|expected| expected != was) {
                return Err(ScimError::Changed.into());
            }
            let old = before.user();
            let user = change(&old, &id)?;
            let mut changes = Vec::new();
            if user == old {
                let found = Found::of_user(id, &before, was);
                return Ok((found, changes));
            }
            self.names_are_new(by, &user, Some(&id)).await?;
            Self::unname_user(by, &old, &mut changes);
            Self::name_user(by, &id, &user, &mut changes);
            // Who may sign in as her is judged where that is what changes, and else left as it is:
            // an operator may have linked or unlinked her by hand.
            if by.subject(&user) != by.subject(&old) {
                if self.is_adopted(&by.name, &id).await? {
                    return Err(ScimError::Mutability.into());
                }
                self.subject_is_new(by, &user, Some(&id)).await?;
                self.unlink_user(by, &id, &old, &mut changes).await?;
                self.link_user(by, &id, &user, &mut changes);
            }
            let after = PersonRow::of(&by.name, user, before.created, self.now());
            let found = Found::of_user(id, &after, was.saturating_add(1));
            let entry = Some(RosterRow::Person(after));
            changes.push(row(RosterKind::Person, found.id.as_str(), Some(was), entry));
            Ok((found, changes))
        };
        let (found, changes) = match checked.await {
            Ok(checked) => checked,
            Err(error) => return Err(self.scim_away(by, intent, error).await),
        };
        let told = format!("scim={} change {}", by.name, said(&found.id, &found.what));
        intent.query = Some(super::super::cut(&told));
        if changes.is_empty() {
            self.note(&by.call, intent, Ok(())).await?;
            return Ok(found);
        }
        self.administer(&by.call, intent, changes).await?;
        Ok(found)
    }

    /// Ends a person: she may do nothing any more, is in no group and cannot sign in.
    pub async fn scim_delete_user(
        &self,
        by: &Teller,
        id: &str,
        expected: Option<u64>,
    ) -> Result<(), ScimRefusal> {
        let _turn = self.scim_turn.lock().await;
        let mut intent = by.intent("user");
        let checked = async {
            let found = self.person_of(&by.name, id).await?;
            let (before, was) = found.ok_or(ScimError::Absent)?;
            if expected.is_some_and(|expected| expected != was) {
                return Err(ScimError::Changed.into());
            }
            let id: PrincipalId = id.parse().map_err(|_none| ScimError::Absent)?;
            let mut changes = vec![Mutation::SetSuspended {
                principal: id.clone(),
                since: Some(self.now()),
            }];
            for group in self.catalog.groups_of(&id).await? {
                let member = id.clone();
                changes.push(Mutation::RemoveMember { group, member });
            }
            let old = before.user();
            Self::unname_user(by, &old, &mut changes);
            self.unlink_user(by, &id, &old, &mut changes).await?;
            if self.is_adopted(&by.name, &id).await? {
                changes.push(Called::Adopted(id.as_str()).means_nobody(&by.name));
            }
            changes.push(row(RosterKind::Person, id.as_str(), Some(was), None));
            Ok((id, changes))
        };
        let (id, changes) = match checked.await {
            Ok(checked) => checked,
            Err(error) => return Err(self.scim_away(by, intent, error).await),
        };
        intent.query = Some(super::super::cut(&format!(
            "scim={} delete user={id}",
            by.name
        )));
        self.administer(&by.call, intent, changes).await?;
        Ok(())
    }
}
