//! Acts that take two persons.

use rusqlite::{Connection, Row, params};

use super::apply::{must, must_insert};
use super::{apply, read, sql};
use crate::catalog::codec::encode_value;
use crate::catalog::{
    ApprovalRow, ApprovalStep, CatalogError, Conflict, Mutation, NoticeMark, NoticeRow,
    WaitingCheck,
};
use crate::types::{ApprovalId, PrincipalId, ProjectName, Timestamp, limits};

pub(super) fn ask(
    conn: &Connection,
    row: &ApprovalRow,
    now: Timestamp,
) -> Result<(), CatalogError> {
    apply::need_project(conn, &row.act.project)?;
    let forget = "DELETE FROM approvals WHERE id IN
        (SELECT id FROM approvals WHERE due <= ?1 ORDER BY due, id LIMIT ?2)";
    if let Some(before) = now.millis().checked_sub(limits::APPROVAL_KEPT_MS) {
        let over = params![sql::int(before)?, sql::limit(limits::APPROVALS_FORGET_MAX)];
        sql::exec(conn, forget, over)?;
    }
    let insert = "INSERT INTO approvals (id, project, asked, due, row)
        VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING";
    let columns = params![
        row.id.as_bytes(),
        row.act.project.as_str(),
        sql::time(row.asked)?,
        sql::time(row.due)?,
        encode_value(row)
    ];
    must_insert(sql::exec(conn, insert, columns)?, "approval")
}

pub(super) fn step(
    conn: &Connection,
    id: &ApprovalId,
    step: &ApprovalStep,
) -> Result<(), CatalogError> {
    let found = approval(conn, id)?.ok_or(Conflict::NoApproval)?;
    let row = found.step(step)?;
    let update = "UPDATE approvals SET due = ?2, row = ?3 WHERE id = ?1";
    let columns = params![id.as_bytes(), sql::time(row.due)?, encode_value(&row)];
    must(sql::exec(conn, update, columns)? == 1, Conflict::NoApproval)
}

/// `id, project, row`: the columns that were searched must say what the row says.
fn read(row: &Row<'_>) -> Result<ApprovalRow, CatalogError> {
    let approval: ApprovalRow = sql::get_encoded(row, 2)?;
    let same = approval.id.as_bytes() == &sql::get_id(row, 0)?
        && approval.act.project.as_str() == row.get_ref(1)?.as_str()?;
    same.then_some(approval)
        .ok_or(CatalogError::Damaged { what: "approval" })
}

pub(super) fn approval(
    conn: &Connection,
    id: &ApprovalId,
) -> Result<Option<ApprovalRow>, CatalogError> {
    let select = "SELECT id, project, row FROM approvals WHERE id = ?1";
    sql::one(conn, select, [id.as_bytes()], read)
}

/// By their end and not by their project, so that what is over costs nothing; the `+` keeps the
/// planner from the other index.
pub(super) const WAITING: &str = "SELECT id, project, row FROM approvals
    WHERE due > ?1 AND +project = ?2 ORDER BY asked DESC, id DESC";

pub(super) fn waiting(
    conn: &Connection,
    project: &ProjectName,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<ApprovalRow>, CatalogError> {
    let rows = sql::all(
        conn,
        WAITING,
        params![sql::time(now)?, project.as_str()],
        read,
    )?;
    // Of a vault whose older builds left the end of what is settled as it was.
    let waiting = rows.into_iter().filter(|row| row.waits(now));
    Ok(waiting.take(limit).collect())
}

pub(super) fn check_waiting(conn: &Connection, check: &WaitingCheck) -> Result<(), CatalogError> {
    let rows = waiting(conn, &check.project, check.now, usize::MAX)?;
    let mut askers = Vec::new();
    for row in rows {
        let asker = read::principal(conn, &row.asker)?;
        if asker.is_none_or(|asker| asker.suspended.is_none()) {
            askers.push(row.asker);
        }
    }
    Ok(check.judge(askers.iter())?)
}

pub(super) fn approvals(
    conn: &Connection,
    project: &ProjectName,
    limit: usize,
) -> Result<Vec<ApprovalRow>, CatalogError> {
    let select = "SELECT id, project, row FROM approvals WHERE project = ?1
        ORDER BY asked DESC, id DESC LIMIT ?2";
    let bounds = params![project.as_str(), sql::limit(limit)];
    sql::all(conn, select, bounds, read)
}

/// One of them as a dump lists it.
pub(super) fn dumped(row: &Row<'_>) -> Result<Mutation, CatalogError> {
    Ok(Mutation::AskApproval {
        row: read(row)?,
        now: Timestamp::default(),
    })
}

pub(super) fn add_notice(conn: &Connection, row: &NoticeRow) -> Result<(), CatalogError> {
    let forget = "DELETE FROM notices WHERE id IN
        (SELECT id FROM notices WHERE at <= ?1 ORDER BY at, id LIMIT ?2)";
    if let Some(before) = row.at.millis().checked_sub(limits::NOTICE_KEPT_MS) {
        let over = params![sql::int(before)?, sql::limit(limits::NOTICES_FORGET_MAX)];
        sql::exec(conn, forget, over)?;
    }
    let insert = "INSERT INTO notices (id, person, at, row) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT DO NOTHING";
    let columns = params![
        row.id.as_bytes(),
        row.to.as_str(),
        sql::time(row.at)?,
        encode_value(row)
    ];
    must_insert(sql::exec(conn, insert, columns)?, "notice")
}

/// `id, person, row`, as [`read()`].
fn read_notice(row: &Row<'_>) -> Result<NoticeRow, CatalogError> {
    let notice: NoticeRow = sql::get_encoded(row, 2)?;
    let same = notice.id.as_bytes() == &sql::get_id(row, 0)?
        && notice.to.as_str() == row.get_ref(1)?.as_str()?;
    same.then_some(notice)
        .ok_or(CatalogError::Damaged { what: "notice" })
}

pub(super) fn notices(
    conn: &Connection,
    to: &PrincipalId,
    (before, limit): (Option<NoticeMark>, usize),
) -> Result<Vec<NoticeRow>, CatalogError> {
    let limit = sql::limit(limit);
    let Some(before) = before else {
        let select = "SELECT id, person, row FROM notices WHERE person = ?1
            ORDER BY at DESC, id DESC LIMIT ?2";
        return sql::all(conn, select, params![to.as_str(), limit], read_notice);
    };
    let select = "SELECT id, person, row FROM notices WHERE person = ?1 AND (at, id) < (?2, ?3)
        ORDER BY at DESC, id DESC LIMIT ?4";
    // A moment that no notice can have is behind all of them.
    let at = i64::try_from(before.at.millis()).unwrap_or(i64::MAX);
    let bounds = params![to.as_str(), at, before.id.as_bytes(), limit];
    sql::all(conn, select, bounds, read_notice)
}

/// One of them as a dump lists it.
pub(super) fn dumped_notice(row: &Row<'_>) -> Result<Mutation, CatalogError> {
    read_notice(row).map(Mutation::AddNotice)
}
