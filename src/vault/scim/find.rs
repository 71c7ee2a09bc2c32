//! Looking: one person or group, or a page of those that a filter fits, each in its organisation's
//! own.

use super::super::{Vault, VaultError};
use super::{Called, ScimRefusal, Teller};
use crate::catalog::{PersonRow, RosterEntry, RosterKind, RosterRow, TeamRow};
use crate::scim::{Attribute, Filter, Group, ScimError, User, Value, Values, folded};
use crate::types::{PrincipalId, Timestamp, limits};

/// A person or group as it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found<T> {
    /// Its principal, which is its id.
    pub id: PrincipalId,
    /// What is told of it.
    pub what: T,
    /// How often it was changed, and once more.
    pub revision: u64,
    /// Since when it is told of.
    pub created: Timestamp,
    /// When it was changed.
    pub modified: Timestamp,
}

/// A page that is asked for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ScimAsk {
    /// Which; all if nothing is said.
    pub filter: Option<Filter>,
    /// How many to leave out.
    pub skip: usize,
    /// How many at most.
    pub count: usize,
    /// Whether the members of groups are to be shown.
    pub members: bool,
}

/// A page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listed<T> {
    /// How many there are in all.
    pub total: usize,
    /// Those of the page.
    pub page: Vec<Found<T>>,
}

impl Found<User> {
    pub(super) fn of_user(id: PrincipalId, row: &PersonRow, revision: u64) -> Self {
        Self {
            id,
            what: row.user(),
            revision,
            created: row.created,
            modified: row.modified,
        }
    }
}

impl Found<Group> {
    pub(super) const fn of_group(
        id: PrincipalId,
        row: &TeamRow,
        group: Group,
        revision: u64,
    ) -> Self {
        Self {
            id,
            what: group,
            revision,
            created: row.created,
            modified: row.modified,
        }
    }
}

impl<T: Values> Values for Found<T> {
    fn values(&self, attribute: &Attribute) -> Vec<Value> {
        match (attribute.name.as_str(), attribute.sub.as_deref()) {
            ("id", None) => vec![Value::Exact(self.id.to_string())],
            ("meta", Some("created")) => vec![Value::Moment(self.created)],
            ("meta", Some("lastmodified")) => vec![Value::Moment(self.modified)],
            _ => self.what.values(attribute),
        }
    }
}

impl ScimAsk {
    fn fits<T: Values>(&self, found: &Found<T>) -> bool {
        self.filter
            .as_ref()
            .is_none_or(|filter| filter.holds(found))
    }

    /// What `name` must equal in all that fits, whatever else is asked of it.
    fn only(&self, name: &str, sub: Option<&str>) -> Option<&str> {
        let filter = self.filter.as_ref()?;
        if let Filter::And(all) = filter {
            return all.iter().find_map(|one| one.only(name, sub));
        }
        filter.only(name, sub)
    }

    fn words(&self) -> String {
        let filtered = if self.filter.is_some() {
            " filtered"
        } else {
            ""
        };
        format!("list skip={} count={}{filtered}", self.skip, self.count)
    }

    /// The page of these.
    fn page<T>(&self, all: Vec<Found<T>>) -> Listed<T> {
        let total = all.len();
        let page = all.into_iter().skip(self.skip).take(self.count).collect();
        Listed { total, page }
    }
}

impl Vault {
    /// One person.
    pub async fn scim_user(&self, by: &Teller, id: &str) -> Result<Found<User>, ScimRefusal> {
        let intent = by.intent("look at a user");
        match self.found_user(by, id).await {
            Ok(Some(found)) => {
                self.note(&by.call, intent, Ok(())).await?;
                Ok(found)
            }
            Ok(None) => Err(self.scim_away(by, intent, ScimError::Absent.into()).await),
            Err(error) => Err(self.scim_away(by, intent, error.into()).await),
        }
    }

    async fn found_user(&self, by: &Teller, id: &str) -> Result<Option<Found<User>>, VaultError> {
        let Ok(id) = id.parse::<PrincipalId>() else {
            return Ok(None);
        };
        let row = self.person_of(&by.name, id.as_str()).await?;
        Ok(row.map(|(row, revision)| Found::of_user(id, &row, revision)))
    }

    /// A page of persons.
    pub async fn scim_users(
        &self,
        by: &Teller,
        ask: &ScimAsk,
    ) -> Result<Listed<User>, ScimRefusal> {
        let intent = by.intent(&format!("users {}", ask.words()));
        match self.fitting_users(by, ask).await {
            Ok(all) => {
                self.note(&by.call, intent, Ok(())).await?;
                Ok(ask.page(all))
            }
            Err(error) => Err(self.scim_away(by, intent, error).await),
        }
    }

    async fn fitting_users(
        &self,
        by: &Teller,
        ask: &ScimAsk,
    ) -> Result<Vec<Found<User>>, ScimRefusal> {
        let one = if let Some(name) = ask.only("username", None) {
            let folded = folded(name);
            Some(self.called(&by.name, Called::User(&folded)).await?)
        } else if let Some(external) = ask.only("externalid", None) {
            Some(self.called(&by.name, Called::UserId(external)).await?)
        } else {
            ask.only("id", None).map(|id| id.parse().ok())
        };
        if let Some(one) = one {
            let found = match one {
                Some(id) => self.found_user(by, id.as_str()).await?,
                None => None,
            };
            return Ok(found.into_iter().filter(|found| ask.fits(found)).collect());
        }
        let own = format!("{}.", by.name);
        let fits = |name: &str, entry: RosterEntry| {
            let RosterRow::Person(row) = entry.row else {
                return None;
            };
            // A name that was given here may begin so, and be another organisation's by now.
            let id = name.parse().ok().filter(|_| row.source == by.name)?;
            let found = Found::of_user(id, &row, entry.revision);
            ask.fits(&found).then_some(found)
        };
        let mut all = self.told_rows(RosterKind::Person, &own, fits).await?;
        let adopted = |_: &str, entry: RosterEntry| {
            let RosterRow::Alias(alias) = entry.row else {
                return None;
            };
            let listed = alias.principal.as_str().starts_with(&own);
            (!listed).then_some(alias.principal)
        };
        let begin = Called::Adopted("").key(&by.name);
        for id in self.told_rows(RosterKind::Alias, &begin, adopted).await? {
            let found = self.found_user(by, id.as_str()).await?;
            all.extend(found.into_iter().filter(|found| ask.fits(found)));
        }
        Ok(all)
    }

    /// What is made of the rows whose names begin so; each is looked at as its page is read, so
    /// that no more is kept than fits, and others have their turn between two pages.
    async fn told_rows<T>(
        &self,
        kind: RosterKind,
        begin: &str,
        kept: impl Fn(&str, RosterEntry) -> Option<T>,
    ) -> Result<Vec<T>, ScimRefusal> {
        let mut after = begin.to_owned();
        let (mut all, mut seen) = (Vec::new(), 0_usize);
        loop {
            let page = self
                .catalog
                .roster_page(kind, &after, limits::PAGE_ENTRIES_MAX);
            let page = page.await?;
            let Some((last, _)) = page.last() else {
                return Ok(all);
            };
            after.clone_from(last);
            let beyond = !last.starts_with(begin);
            for (name, entry) in page {
                if name.starts_with(begin) {
                    seen = seen.saturating_add(1);
                    all.extend(kept(&name, entry));
                }
            }
            if beyond {
                return Ok(all);
            }
            if seen > limits::SCIM_SCAN_MAX {
                return Err(ScimError::TooMany.into());
            }
        }
    }

    /// One group, with or without its members.
    pub async fn scim_group(
        &self,
        by: &Teller,
        id: &str,
        members: bool,
    ) -> Result<Found<Group>, ScimRefusal> {
        let intent = by.intent("look at a group");
        match self.found_group(by, id, members).await {
            Ok(Some(found)) => {
                self.note(&by.call, intent, Ok(())).await?;
                Ok(found)
            }
            Ok(None) => Err(self.scim_away(by, intent, ScimError::Absent.into()).await),
            Err(error) => Err(self.scim_away(by, intent, error.into()).await),
        }
    }

    async fn found_group(
        &self,
        by: &Teller,
        id: &str,
        members: bool,
    ) -> Result<Option<Found<Group>>, VaultError> {
        let Ok(id) = id.parse::<PrincipalId>() else {
            return Ok(None);
        };
        let Some((row, revision)) = self.team_of(&by.name, id.as_str()).await? else {
            return Ok(None);
        };
        let members = if members {
            self.all_members(&id).await?
        } else {
            Vec::new()
        };
        let group = row.group(members);
        Ok(Some(Found::of_group(id, &row, group, revision)))
    }

    /// A page of groups.
    pub async fn scim_groups(
        &self,
        by: &Teller,
        ask: &ScimAsk,
    ) -> Result<Listed<Group>, ScimRefusal> {
        let intent = by.intent(&format!("groups {}", ask.words()));
        let found = async {
            let mut listed = ask.page(self.fitting_groups(by, ask).await?);
            let mut members = 0_usize;
            for found in &mut listed.page {
                if ask.members {
                    found.what.members = self.all_members(&found.id).await?;
                    members = members.saturating_add(found.what.members.len());
                }
                if members > limits::SCIM_PAGE_MEMBERS_MAX {
                    return Err(ScimError::TooMany.into());
                }
            }
            Ok(listed)
        };
        match found.await {
            Ok(listed) => {
                self.note(&by.call, intent, Ok(())).await?;
                Ok(listed)
            }
            Err(error) => Err(self.scim_away(by, intent, error).await),
        }
    }

    /// The groups that a filter fits, without their members.
    async fn fitting_groups(
        &self,
        by: &Teller,
        ask: &ScimAsk,
    ) -> Result<Vec<Found<Group>>, ScimRefusal> {
        let filter = ask.filter.as_ref();
        let with = filter.is_some_and(|filter| filter.mentions("members"));
        // Where nothing is asked but that she is in it, she is in each that is found by her.
        let sole = filter.and_then(|filter| filter.only("members", Some("value")));
        let sole: Option<PrincipalId> = sole.and_then(|member| member.parse().ok());
        let (mut all, mut members) = (Vec::new(), 0_usize);
        for mut found in self.likely_groups(by, ask, with).await? {
            if let Some(member) = &sole {
                found.what.members = vec![member.clone()];
            } else if with {
                found.what.members = self.all_members(&found.id).await?;
                members = members.saturating_add(found.what.members.len());
            }
            if members > limits::SCIM_PAGE_MEMBERS_MAX {
                return Err(ScimError::TooMany.into());
            }
            if ask.fits(&found) {
                found.what.members = Vec::new();
                all.push(found);
            }
        }
        Ok(all)
    }

    /// The groups among which all are that a filter fits, without their members.
    async fn likely_groups(
        &self,
        by: &Teller,
        ask: &ScimAsk,
        with: bool,
    ) -> Result<Vec<Found<Group>>, ScimRefusal> {
        let names: Vec<PrincipalId> = if let Some(id) = ask.only("id", None) {
            id.parse().into_iter().collect()
        } else if let Some(external) = ask.only("externalid", None) {
            let one = self.called(&by.name, Called::GroupId(external)).await?;
            one.into_iter().collect()
        } else if let Some(member) = ask.only("members", Some("value")) {
            match member.parse() {
                Ok(member) => self.catalog.groups_of(&member).await?,
                Err(_none) => Vec::new(),
            }
        } else {
            let fits = |name: &str, entry: RosterEntry| {
                let RosterRow::Team(row) = entry.row else {
                    return None;
                };
                let id = name.parse().ok()?;
                let group = row.group(Vec::new());
                let found = Found::of_group(id, &row, group, entry.revision);
                (with || ask.fits(&found)).then_some(found)
            };
            let own = format!("{}.", by.name);
            return self.told_rows(RosterKind::Team, &own, fits).await;
        };
        let mut all = Vec::new();
        for id in names {
            all.extend(self.found_group(by, id.as_str(), false).await?);
        }
        Ok(all)
    }
}
