//! Single questions, each one statement.

use bytes::Bytes;
use rusqlite::{Connection, params};

use super::{rows, sql};
use crate::catalog::{
    CatalogError, Chain, CredentialRow, DatasetRow, ObjectRow, PrincipalRow, ProjectRow, UploadRow,
};
use crate::policy::Grant;
use crate::types::{
    AccessKeyId, BlobId, BucketName, DatasetId, ObjectKey, PrincipalId, ProjectName, UploadId,
    limits,
};

pub(super) fn generation(conn: &Connection) -> Result<u64, CatalogError> {
    let select = "SELECT generation FROM meta";
    sql::one(conn, select, [], |row| sql::get_int(row, 0))?
        .ok_or(CatalogError::Damaged { what: "counters" })
}

pub(super) fn change_seq(conn: &Connection) -> Result<u64, CatalogError> {
    let select = "SELECT seq FROM meta";
    sql::one(conn, select, [], |row| sql::get_int(row, 0))?
        .ok_or(CatalogError::Damaged { what: "counters" })
}

pub(super) fn project(
    conn: &Connection,
    name: &ProjectName,
) -> Result<Option<ProjectRow>, CatalogError> {
    let select = "SELECT name, created, log, defaults FROM projects WHERE name = ?1";
    sql::one(conn, select, [name.as_str()], rows::project)
}

pub(super) fn projects(
    conn: &Connection,
    after: &str,
    limit: usize,
) -> Result<Vec<ProjectRow>, CatalogError> {
    let select =
        "SELECT name, created, log, defaults FROM projects WHERE name > ?1 ORDER BY name LIMIT ?2";
    sql::all(
        conn,
        select,
        params![after, sql::limit(limit)],
        rows::project,
    )
}

pub(super) fn dataset(
    conn: &Connection,
    bucket: &BucketName,
) -> Result<Option<DatasetRow>, CatalogError> {
    let select = "SELECT id, project, name, created, creator, versioning, object_lock, key_name, card FROM datasets
        WHERE project = ?1 AND name = ?2 AND key_floor < 4294967295";
    let place = [bucket.project.as_str(), bucket.dataset.as_str()];
    sql::one(conn, select, place, rows::dataset)
}

pub(super) fn datasets(
    conn: &Connection,
    (project, name): (&str, &str),
    limit: usize,
) -> Result<Vec<DatasetRow>, CatalogError> {
    let select = "SELECT id, project, name, created, creator, versioning, object_lock, key_name, card FROM datasets
        WHERE (project, name) > (?1, ?2) AND key_floor < 4294967295
        ORDER BY project, name LIMIT ?3";
    let bounds = params![project, name, sql::limit(limit)];
    sql::all(conn, select, bounds, rows::dataset)
}

pub(super) fn principal(
    conn: &Connection,
    id: &PrincipalId,
) -> Result<Option<PrincipalRow>, CatalogError> {
    let select = "SELECT id, workload, acts_for, created, grouped, suspended, clearance FROM principals WHERE id = ?1";
    sql::one(conn, select, [id.as_str()], rows::principal)
}

pub(super) fn credential(
    conn: &Connection,
    id: &AccessKeyId,
) -> Result<Option<CredentialRow>, CatalogError> {
    let select = "SELECT id, principal, sealed_secret, created, expires, scope FROM credentials
        WHERE id = ?1";
    sql::one(conn, select, [id.as_str()], rows::credential)
}

pub(super) fn credentials(
    conn: &Connection,
    principal: &PrincipalId,
    limit: usize,
) -> Result<Vec<CredentialRow>, CatalogError> {
    let select = "SELECT id, principal, sealed_secret, created, expires, scope FROM credentials
        WHERE principal = ?1 ORDER BY id LIMIT ?2";
    let bounds = params![principal.as_str(), sql::limit(limit)];
    sql::all(conn, select, bounds, rows::credential)
}

pub(super) fn grants_of(
    conn: &Connection,
    project: &ProjectName,
    principal: &PrincipalId,
) -> Result<Vec<Grant>, CatalogError> {
    let select = "SELECT id, project, principal, row, terms FROM grants
        WHERE project = ?1 AND principal = ?2 ORDER BY id LIMIT ?3";
    let one_more = sql::limit(limits::CATALOG_GRANTS_MAX.saturating_add(1));
    let bounds = params![project.as_str(), principal.as_str(), one_more];
    let grants = sql::all(conn, select, bounds, rows::grant)?;
    if grants.len() > limits::CATALOG_GRANTS_MAX {
        return Err(CatalogError::Failed {
            reason: format!("{principal} holds too many grants in {project}"),
        });
    }
    Ok(grants)
}

pub(super) fn grants(
    conn: &Connection,
    project: &ProjectName,
    limit: usize,
) -> Result<Vec<Grant>, CatalogError> {
    let select = "SELECT id, project, principal, row, terms FROM grants
        WHERE project = ?1 ORDER BY id LIMIT ?2";
    let bounds = params![project.as_str(), sql::limit(limit)];
    sql::all(conn, select, bounds, rows::grant)
}

pub(super) fn projects_of(
    conn: &Connection,
    principal: &PrincipalId,
) -> Result<Vec<ProjectName>, CatalogError> {
    let select = "SELECT project FROM grants WHERE principal = ?1
        UNION SELECT project FROM members JOIN grants ON principal = team WHERE member = ?1
        ORDER BY project";
    sql::all(conn, select, [principal.as_str()], |row| {
        sql::get_name(row, 0)
    })
}

pub(super) fn object(
    conn: &Connection,
    dataset: &DatasetId,
    key: &ObjectKey,
) -> Result<Option<ObjectRow>, CatalogError> {
    // An object without its body must not look like none at all: hence the LEFT join.
    let select =
        "SELECT dataset, key, version, bytes, etag, modified, detail, sealed_table, versioned,
            facts
        FROM objects LEFT JOIN bodies ON bodies.id = objects.body
        WHERE dataset = ?1 AND key = ?2";
    let place = params![dataset.as_bytes(), key.as_str().as_bytes()];
    sql::one(conn, select, place, rows::object)
}

pub(super) fn upload(conn: &Connection, id: &UploadId) -> Result<Option<UploadRow>, CatalogError> {
    let select = "SELECT id, dataset, row, tags, facts FROM uploads WHERE id = ?1";
    sql::one(conn, select, [id.as_bytes()], rows::upload)
}

pub(super) fn known_blobs(conn: &Connection, ids: &[BlobId]) -> Result<Vec<bool>, CatalogError> {
    let select = "SELECT 1 FROM blobs WHERE id = ?1";
    ids.iter()
        .map(|id| sql::exists(conn, select, [id.as_bytes()]))
        .collect()
}

pub(super) fn chain(conn: &Connection) -> Result<Option<Chain>, CatalogError> {
    let select = "SELECT state FROM chain";
    sql::one(conn, select, [], |row| sql::get_encoded(row, 0))
}

pub(super) fn changes(
    conn: &Connection,
    after: u64,
    bytes_max: usize,
) -> Result<Vec<(u64, Bytes)>, CatalogError> {
    let select = "SELECT seq, mutations FROM changes WHERE seq > ?1 ORDER BY seq";
    let mut statement = conn.prepare_cached(select)?;
    let mut rows = statement.query([sql::int(after)?])?;
    let mut changes = Vec::new();
    let mut bytes = 0_usize;
    while changes.is_empty() || bytes <= bytes_max {
        let Some(row) = rows.next()? else { break };
        let change = sql::get_bytes(row, 1)?;
        bytes = bytes.saturating_add(change.len());
        changes.push((sql::get_int(row, 0)?, change));
    }
    Ok(changes)
}
