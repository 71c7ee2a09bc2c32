//! The model's acts that take two persons.

use super::super::{
    ApprovalRow, ApprovalStep, CatalogError, Conflict, Mutation, NoticeMark, NoticeRow,
    WaitingCheck,
};
use super::state::{State, insert, must};
use crate::types::{ApprovalId, NoticeId, PrincipalId, ProjectName, Timestamp, limits};

impl State {
    pub(super) fn ask_approval(
        &mut self,
        row: ApprovalRow,
        now: Timestamp,
    ) -> Result<(), CatalogError> {
        let known = self.projects.contains_key(&row.act.project);
        must(known, Conflict::NoProject)?;
        let kept = limits::APPROVAL_KEPT_MS;
        let over = self.approvals.values();
        let over = over.filter(|row| row.due.plus_millis(kept) <= now);
        let mut over: Vec<(Timestamp, ApprovalId)> = over.map(|row| (row.due, row.id)).collect();
        over.sort_unstable();
        for (_, id) in over.into_iter().take(limits::APPROVALS_FORGET_MAX) {
            let _row = self.approvals.remove(&id);
        }
        let repeated = CatalogError::repeated("approval");
        insert(&mut self.approvals, row.id, row, repeated)
    }

    pub(super) fn step_approval(
        &mut self,
        id: &ApprovalId,
        step: &ApprovalStep,
    ) -> Result<(), Conflict> {
        let row = self.approvals.get_mut(id).ok_or(Conflict::NoApproval)?;
        *row = row.step(step)?;
        Ok(())
    }

    pub(super) fn check_waiting(&self, check: &WaitingCheck) -> Result<(), Conflict> {
        let free = |row: &&ApprovalRow| {
            let asker = self.principals.get(&row.asker);
            asker.is_none_or(|asker| asker.suspended.is_none())
        };
        let waiting = self.waiting_in(&check.project, check.now);
        check.judge(waiting.filter(free).map(|row| &row.asker))
    }

    /// In no order.
    pub(super) fn waiting_in<'a>(
        &'a self,
        project: &'a ProjectName,
        now: Timestamp,
    ) -> impl Iterator<Item = &'a ApprovalRow> {
        let rows = self.approvals.values();
        rows.filter(move |row| row.act.project == *project && row.waits(now))
    }

    pub(super) fn approvals_in<'a>(
        &'a self,
        project: &'a ProjectName,
    ) -> impl Iterator<Item = &'a ApprovalRow> {
        let rows = self.approvals.values();
        rows.filter(move |row| row.act.project == *project)
    }

    pub(super) fn add_notice(&mut self, row: NoticeRow) -> Result<(), CatalogError> {
        let kept = limits::NOTICE_KEPT_MS;
        let over = self.notices.values();
        let over = over.filter(|old| old.at.plus_millis(kept) <= row.at);
        let mut over: Vec<(Timestamp, NoticeId)> = over.map(|old| (old.at, old.id)).collect();
        over.sort_unstable();
        for (_, id) in over.into_iter().take(limits::NOTICES_FORGET_MAX) {
            let _row = self.notices.remove(&id);
        }
        let repeated = CatalogError::repeated("notice");
        insert(&mut self.notices, row.id, row, repeated)
    }

    pub(super) fn notices_to(
        &self,
        to: &PrincipalId,
        before: Option<NoticeMark>,
        limit: usize,
    ) -> Vec<NoticeRow> {
        let rows = self.notices.values();
        let rows = rows.filter(|row| row.to == *to);
        let rows = rows.filter(|row| before.is_none_or(|before| row.mark() < before));
        let mut rows: Vec<_> = rows.collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.mark()));
        rows.into_iter().take(limit).cloned().collect()
    }

    pub(super) fn dump_notices(&self) -> impl Iterator<Item = Mutation> {
        self.notices.values().cloned().map(Mutation::AddNotice)
    }

    /// As a dump lists them: each as it stands.
    pub(super) fn dump_approvals(&self) -> impl Iterator<Item = Mutation> {
        self.approvals.values().map(|row| Mutation::AskApproval {
            row: row.clone(),
            now: Timestamp::default(),
        })
    }
}

/// The newest first.
pub(super) fn newest<'a>(
    rows: impl Iterator<Item = &'a ApprovalRow>,
    limit: usize,
) -> Vec<ApprovalRow> {
    let mut rows: Vec<_> = rows.collect();
    rows.sort_by_key(|row| std::cmp::Reverse((row.asked, row.id)));
    rows.into_iter().take(limit).cloned().collect()
}
