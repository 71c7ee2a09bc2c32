//! Terms of grants, groups and their members, suspension, last uses.

use rusqlite::{Connection, Row, params};

use super::apply::must;
use super::{read, rows, sql};
use crate::catalog::codec::encode_value;
use crate::catalog::{CatalogError, Conflict, GrantsCheck, IdentityRow, Uses};
use crate::policy::{Grant, Terms};
use crate::types::{
    AccessKeyId, GrantId, LogTerms, PrincipalId, PrincipalKind, ProjectName, Timestamp, limits,
};

pub(super) fn set_terms(
    conn: &Connection,
    id: &GrantId,
    approver: &PrincipalId,
    terms: &Terms,
) -> Result<(), CatalogError> {
    let found = grant(conn, id)?.ok_or(Conflict::NoGrant)?;
    let changed = Grant {
        approver: approver.clone(),
        ..found
    };
    let column = (*terms != Terms::default()).then(|| encode_value(terms));
    let update = "UPDATE grants SET row = ?2, terms = ?3 WHERE id = ?1";
    let row = params![id.as_bytes(), encode_value(&changed), column];
    sql::exec(conn, update, row).map(drop)
}

pub(super) fn check_grant(
    conn: &Connection,
    id: &GrantId,
    terms: &Terms,
) -> Result<(), CatalogError> {
    let found = grant(conn, id)?.is_some_and(|grant| grant.terms == *terms);
    must(found, Conflict::GrantChanged)
}

pub(super) fn check_grants(conn: &Connection, check: &GrantsCheck) -> Result<(), CatalogError> {
    // As many as there can be: more than those that `all_below` lets in are none too few.
    let grants = read::grants(conn, &check.project, limits::GUARD_CACHE_MAX)?;
    Ok(check.judge(grants.iter())?)
}

pub(super) fn keep_log(
    conn: &Connection,
    project: &ProjectName,
    terms: LogTerms,
) -> Result<(), CatalogError> {
    let update = "UPDATE projects SET log = ?2 WHERE name = ?1";
    let column = (terms != LogTerms::default()).then(|| encode_value(&terms));
    let changed = sql::exec(conn, update, params![project.as_str(), column])?;
    must(changed == 1, Conflict::NoProject)
}

pub(super) fn check_log(
    conn: &Connection,
    project: &ProjectName,
    terms: LogTerms,
) -> Result<(), CatalogError> {
    let row = read::project(conn, project)?.ok_or(Conflict::NoProject)?;
    must(row.log == terms, Conflict::LogTermsChanged)
}

pub(super) fn suspend(
    conn: &Connection,
    principal: &PrincipalId,
    since: Option<Timestamp>,
) -> Result<(), CatalogError> {
    let update = "UPDATE principals SET suspended = ?2 WHERE id = ?1";
    let since = since.map(sql::time).transpose()?;
    let changed = sql::exec(conn, update, params![principal.as_str(), since])?;
    must(changed == 1, Conflict::NoPrincipal)
}

pub(super) fn add_member(
    conn: &Connection,
    group: &PrincipalId,
    member: &PrincipalId,
) -> Result<(), CatalogError> {
    let kind = |id| -> Result<PrincipalKind, CatalogError> {
        let row = read::principal(conn, id)?;
        Ok(row.ok_or(Conflict::NoPrincipal)?.kind)
    };
    let (group_kind, member_kind) = (kind(group)?, kind(member)?);
    let fits = group_kind == PrincipalKind::Group && member_kind != PrincipalKind::Group;
    must(fits, Conflict::NoGroup)?;
    let insert = "INSERT INTO members (team, member) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    sql::exec(conn, insert, [group.as_str(), member.as_str()]).map(drop)
}

pub(super) fn remove_member(
    conn: &Connection,
    group: &PrincipalId,
    member: &PrincipalId,
) -> Result<(), CatalogError> {
    let delete = "DELETE FROM members WHERE team = ?1 AND member = ?2";
    let deleted = sql::exec(conn, delete, [group.as_str(), member.as_str()])?;
    must(deleted == 1, Conflict::NoMember)
}

pub(super) fn link(conn: &Connection, row: &IdentityRow) -> Result<(), CatalogError> {
    let principal = read::principal(conn, &row.principal)?;
    let kind = principal.ok_or(Conflict::NoPrincipal)?.kind;
    must(kind != PrincipalKind::Group, Conflict::NoPrincipal)?;
    let insert = "INSERT INTO identities (issuer, subject, principal, linked)
        VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING";
    let linked = sql::time(row.linked)?;
    let row = params![row.issuer, row.subject, row.principal.as_str(), linked];
    must(sql::exec(conn, insert, row)? == 1, Conflict::IdentityTaken)
}

pub(super) fn unlink(conn: &Connection, issuer: &str, subject: &str) -> Result<(), CatalogError> {
    let delete = "DELETE FROM identities WHERE issuer = ?1 AND subject = ?2";
    let deleted = sql::exec(conn, delete, [issuer, subject])?;
    must(deleted == 1, Conflict::NoIdentity)
}

pub(super) fn spend(
    conn: &Connection,
    token: &[u8; 32],
    expires: Timestamp,
    now: Timestamp,
) -> Result<(), CatalogError> {
    let forget = "DELETE FROM spent WHERE token IN
        (SELECT token FROM spent WHERE expires <= ?1 ORDER BY expires, token LIMIT ?2)";
    let over = params![sql::time(now)?, sql::limit(limits::SPENT_FORGET_MAX)];
    sql::exec(conn, forget, over)?;
    let insert = "INSERT INTO spent (token, expires) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    let inserted = sql::exec(conn, insert, params![token, sql::time(expires)?])?;
    must(inserted == 1, Conflict::TokenSpent)
}

/// `issuer, subject, principal, linked`.
pub(super) fn identity_row(row: &Row<'_>) -> Result<IdentityRow, CatalogError> {
    Ok(IdentityRow {
        issuer: row.get(0)?,
        subject: row.get(1)?,
        principal: sql::get_name(row, 2)?,
        linked: sql::get_time(row, 3)?,
    })
}

pub(super) fn identity(
    conn: &Connection,
    issuer: &str,
    subject: &str,
) -> Result<Option<IdentityRow>, CatalogError> {
    let select = "SELECT issuer, subject, principal, linked FROM identities
        WHERE issuer = ?1 AND subject = ?2";
    sql::one(conn, select, [issuer, subject], identity_row)
}

pub(super) fn identities_of(
    conn: &Connection,
    principal: &PrincipalId,
    limit: usize,
) -> Result<Vec<IdentityRow>, CatalogError> {
    let select = "SELECT issuer, subject, principal, linked FROM identities
        WHERE principal = ?1 ORDER BY issuer LIMIT ?2";
    let bounds = params![principal.as_str(), sql::limit(limit)];
    sql::all(conn, select, bounds, identity_row)
}

pub(super) fn note_uses(conn: &Connection, uses: &Uses) -> Result<(), CatalogError> {
    let grant = "UPDATE grants SET used = max(coalesce(used, 0), ?2) WHERE id = ?1";
    for (id, used) in &uses.grants {
        sql::exec(conn, grant, params![id.as_bytes(), sql::time(*used)?])?;
    }
    let credential = "UPDATE credentials SET used = max(coalesce(used, 0), ?2) WHERE id = ?1";
    for (id, used) in &uses.credentials {
        sql::exec(conn, credential, params![id.as_str(), sql::time(*used)?])?;
    }
    Ok(())
}

pub(super) fn grant(conn: &Connection, id: &GrantId) -> Result<Option<Grant>, CatalogError> {
    let select = "SELECT id, project, principal, row, terms FROM grants WHERE id = ?1";
    sql::one(conn, select, [id.as_bytes()], rows::grant)
}

pub(super) fn groups_of(
    conn: &Connection,
    principal: &PrincipalId,
) -> Result<Vec<PrincipalId>, CatalogError> {
    let select = "SELECT team FROM members WHERE member = ?1 ORDER BY team LIMIT ?2";
    let one_more = sql::limit(limits::GROUPS_OF_MAX.saturating_add(1));
    let bounds = params![principal.as_str(), one_more];
    let groups = sql::all(conn, select, bounds, |row| sql::get_name(row, 0))?;
    within(groups, principal)
}

/// At most so many groups: one left out could hold a denial.
pub(super) fn within(
    groups: Vec<PrincipalId>,
    principal: &PrincipalId,
) -> Result<Vec<PrincipalId>, CatalogError> {
    if groups.len() > limits::GROUPS_OF_MAX {
        return Err(CatalogError::Failed {
            reason: format!("{principal} is a member of too many groups"),
        });
    }
    Ok(groups)
}

pub(super) fn members(
    conn: &Connection,
    group: &PrincipalId,
    after: &str,
    limit: usize,
) -> Result<Vec<PrincipalId>, CatalogError> {
    let select = "SELECT member FROM members WHERE team = ?1 AND member > ?2
        ORDER BY member LIMIT ?3";
    let bounds = params![group.as_str(), after, sql::limit(limit)];
    sql::all(conn, select, bounds, |row| sql::get_name(row, 0))
}

pub(super) fn grant_uses(
    conn: &Connection,
    project: &ProjectName,
    limit: usize,
) -> Result<Vec<(GrantId, Timestamp)>, CatalogError> {
    let select = "SELECT id, used FROM grants WHERE project = ?1 AND used IS NOT NULL
        ORDER BY id LIMIT ?2";
    let bounds = params![project.as_str(), sql::limit(limit)];
    sql::all(conn, select, bounds, |row| {
        Ok((
            GrantId::from_bytes(sql::get_id(row, 0)?),
            sql::get_time(row, 1)?,
        ))
    })
}

pub(super) fn credential_uses(
    conn: &Connection,
    principal: &PrincipalId,
    limit: usize,
) -> Result<Vec<(AccessKeyId, Timestamp)>, CatalogError> {
    let select = "SELECT id, used FROM credentials WHERE principal = ?1 AND used IS NOT NULL
        ORDER BY id LIMIT ?2";
    let bounds = params![principal.as_str(), sql::limit(limit)];
    sql::all(conn, select, bounds, |row| {
        Ok((sql::get_name(row, 0)?, sql::get_time(row, 1)?))
    })
}
