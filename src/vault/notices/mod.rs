//! What owners are told of their datasets: kept for them to look at, and sent to where their
//! project has it sent (`webhooks`).

pub(in crate::vault) mod webhooks;

use std::collections::HashSet;

use super::access::own::is_within;
use super::{Call, ErrorKind, Vault, VaultError};
use crate::catalog::{
    DatasetRow, EndingRow, Mutation, NoticeMark, NoticeRow, RosterEntry, RosterKind, RosterRow,
};
use crate::policy::{Grant, Standing};
use crate::types::{
    BucketName, DatasetName, GrantId, NoticeId, PrincipalId, ProjectName, Timestamp, limits,
};

/// How far a look at coming ends reached, so that nothing is read again while nothing changed.
#[derive(Default)]
pub struct EndingsSeen {
    generation: Option<u64>,
    next: Option<Timestamp>,
}

/// A page of what somebody was told.
#[derive(Debug)]
pub struct NoticePage {
    /// The notices, the newest first; of a session that is narrowed those within it.
    pub rows: Vec<NoticeRow>,
    /// Where the next page begins; `None` where there are no older ones.
    pub next: Option<NoticeMark>,
}

/// Ends that were told.
type Told = HashSet<(GrantId, Timestamp)>;

/// When a grant's end is told and when it comes, if it has one that is ahead: 14 days before, or
/// when a quarter of it is left. Of break-glass its owner was told as it began.
fn ending(grant: &Grant, now: Timestamp) -> Option<(Timestamp, Timestamp)> {
    let ends = grant.ends()?;
    let glass = super::acts::emergency::PURPOSE;
    let glass = grant.purpose.as_ref().is_some_and(|p| p.starts_with(glass));
    if ends <= now || glass || grant.terms.standing == Standing::Proposed {
        return None;
    }
    let quarter = ends.since(grant.starts.max(grant.created)) / 4;
    let ahead = quarter.min(limits::GRANT_NOTICE_MS);
    let due = Timestamp::from_millis(ends.millis().saturating_sub(ahead));
    Some((due, ends))
}

impl Vault {
    /// What tells a dataset's owner something; she is told from the moment of its commit on.
    pub(super) async fn notice_to_owner(
        &self,
        row: &DatasetRow,
        text: &str,
    ) -> Result<Vec<Mutation>, VaultError> {
        let owner = row.card.as_ref().map_or(&row.creator, |card| &card.owner);
        let place = (&row.bucket.project, Some(&row.bucket.dataset));
        self.notice(place, owner, text).await
    }

    /// What tells somebody something of a project, and has it sent if the project has a receiver.
    async fn notice(
        &self,
        (project, dataset): (&ProjectName, Option<&DatasetName>),
        to: &PrincipalId,
        text: &str,
    ) -> Result<Vec<Mutation>, VaultError> {
        let row = NoticeRow {
            id: NoticeId::random(self.entropy.as_ref())?,
            to: to.clone(),
            at: self.now(),
            project: project.clone(),
            dataset: dataset.cloned(),
            text: super::cut(text),
        };
        let push = self.push_of(&row).await?;
        let kept = Mutation::AddNotice(row);
        Ok(std::iter::once(kept).chain(push).collect())
    }

    /// A page of what the caller was told of her datasets, the newest first: behind `before`, where
    /// that is given.
    pub async fn notices(
        &self,
        call: &Call,
        before: Option<NoticeMark>,
    ) -> Result<NoticePage, VaultError> {
        let intent = Self::admin_intent(call, None, "notices");
        let Some(who) = &call.session.principal else {
            return Err(self.turn_away(call, intent, super::NOBODY).await);
        };
        let told = async {
            self.own(call, who).await?;
            let most = limits::NOTICES_TOLD_MAX;
            let mut rows = self.catalog.notices(who, before, most).await?;
            let full = rows.len() >= most;
            let next = rows.last().filter(|_| full).map(NoticeRow::mark);
            rows.retain(|row| is_within(call, &row.project));
            Ok(NoticePage { rows, next })
        };
        let page = told.await;
        self.noted(call, intent, page).await
    }

    /// Tells owners of grants that are about to end; how many. Each end is told once.
    pub async fn tell_endings(
        &self,
        seen: &mut EndingsSeen,
        now: Timestamp,
    ) -> Result<usize, VaultError> {
        let generation = self.catalog.generation().await?;
        if seen.generation == Some(generation) && seen.next.is_none_or(|next| now < next) {
            return Ok(0);
        }
        let (mut told, mut next) = (0_usize, None);
        let known = self.endings(now).await?;
        let mut after: Option<ProjectName> = None;
        loop {
            let most = limits::PAGE_ENTRIES_MAX;
            let page = self.catalog.projects(after.as_ref(), most).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.name.clone());
            for project in page {
                let done = self.tell_of(&project.name, (&known, now), &mut next);
                told = told.saturating_add(done.await?);
            }
        }
        *seen = EndingsSeen {
            generation: Some(generation),
            next,
        };
        Ok(told)
    }

    /// The same in one project; `next` becomes when the next one is due, if that is earlier.
    async fn tell_of(
        &self,
        project: &ProjectName,
        (known, now): (&Told, Timestamp),
        next: &mut Option<Timestamp>,
    ) -> Result<usize, VaultError> {
        let mut told = 0_usize;
        let most = limits::GUARD_CACHE_MAX;
        for grant in self.catalog.grants(project, most).await? {
            let Some((due, ends)) = ending(&grant, now) else {
                continue;
            };
            if known.contains(&(grant.id, ends)) {
                continue;
            }
            if due > now {
                *next = Some(next.map_or(due, |next| next.min(due)));
            } else if self.tell_ending(&grant, ends).await? {
                told = told.saturating_add(1);
            }
        }
        Ok(told)
    }

    /// The ends that were told; those that are over are forgotten.
    async fn endings(&self, now: Timestamp) -> Result<Told, VaultError> {
        let mut all = Told::new();
        let mut over = Vec::new();
        let mut after = String::new();
        loop {
            let most = limits::PAGE_ENTRIES_MAX;
            let page = self.catalog.roster_page(RosterKind::Ending, &after, most);
            let page = page.await?;
            let Some((last, _)) = page.last() else { break };
            after.clone_from(last);
            for (name, entry) in page {
                let RosterRow::Ending(row) = entry.row else {
                    continue;
                };
                if row.ends <= now && over.len() < limits::ENDINGS_FORGET_MAX {
                    over.push(Mutation::SetRoster {
                        kind: RosterKind::Ending,
                        name,
                        was: Some(entry.revision),
                        entry: None,
                    });
                } else if let Ok(id) = name.parse() {
                    all.insert((id, row.ends));
                }
            }
        }
        if over.is_empty() {
            return Ok(all);
        }
        match self.commit(over).await {
            // Another gateway forgets them.
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(all),
            result => result.map(|()| all),
        }
    }

    async fn tell_ending(&self, grant: &Grant, ends: Timestamp) -> Result<bool, VaultError> {
        let call = self.system_call("grant end")?;
        let mut intent = Self::admin_intent(&call, Some(&grant.project), "");
        intent.object.dataset.clone_from(&grant.dataset);
        let text = format!(
            "grant {} of {} as {} ends {ends}",
            grant.id, grant.principal, grant.role
        );
        intent.query = Some(super::cut(&text));
        let name = grant.id.to_string();
        let there = self.catalog.roster(RosterKind::Ending, &name).await?;
        let was = there.map(|entry| entry.revision);
        let told = Mutation::SetRoster {
            kind: RosterKind::Ending,
            name,
            was,
            entry: Some(RosterEntry {
                revision: was.unwrap_or_default().saturating_add(1),
                row: RosterRow::Ending(EndingRow { ends }),
            }),
        };
        let mut changes = self.notice_of_grant(grant, &text).await?;
        changes.push(told);
        let recorded = self.begin(&call, intent).await?;
        match recorded.settle(self.commit(changes).await) {
            Ok(()) => Ok(true),
            // Another gateway told it.
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// A dataset's owner is told of grants on it, of others whoever approved them.
    async fn notice_of_grant(
        &self,
        grant: &Grant,
        text: &str,
    ) -> Result<Vec<Mutation>, VaultError> {
        if let Some(dataset) = &grant.dataset {
            let bucket = BucketName {
                project: grant.project.clone(),
                dataset: dataset.clone(),
            };
            if let Some(row) = self.catalog.dataset(&bucket).await? {
                return self.notice_to_owner(&row, text).await;
            }
        }
        let place = (&grant.project, grant.dataset.as_ref());
        self.notice(place, &grant.approver, text).await
    }
}
