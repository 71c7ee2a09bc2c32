//! What the mutations of what is attached to one written object do to its body: tags, locks, the
//! name of its key, where it came from; and what a dataset gives to new objects.

use rusqlite::{Connection, params};

use super::apply::{must, need_dataset};
use super::apply_object::Place;
use super::apply_version::versioning;
use super::{rows, sql};
use crate::catalog::codec::encode_value;
use crate::catalog::{Attached, CatalogError, Conflict, Facts, Origin};
use crate::types::{DatasetId, LockDefaults, Retention, Timestamp, VersionId, Versioning};

/// The body of one write, which must be there, to be changed: a frozen one is copied.
fn own_body_of(
    conn: &Connection,
    place: Place<'_>,
    version: &VersionId,
) -> Result<i64, CatalogError> {
    let body = body_of(conn, place, version)?;
    super::publications::own_body(conn, place, body)
}

/// The body of one write, which must be there.
pub(super) fn body_of(
    conn: &Connection,
    (dataset, key): Place<'_>,
    version: &VersionId,
) -> Result<i64, CatalogError> {
    let select = "SELECT body FROM objects WHERE dataset = ?1 AND key = ?2 AND version = ?3
        UNION ALL SELECT body FROM (SELECT body FROM versions WHERE dataset = ?1 AND key = ?2
            AND version = ?3 AND body IS NOT NULL ORDER BY place) LIMIT 1";
    let bounds = params![
        dataset.as_bytes(),
        key.as_str().as_bytes(),
        version.as_bytes()
    ];
    let body: Option<i64> = sql::one(conn, select, bounds, |row| Ok(row.get(0)?))?;
    body.ok_or_else(|| Conflict::NoObject.into())
}

/// Replaces the tags of one write.
pub(super) fn attach(
    conn: &Connection,
    place: Place<'_>,
    version: &VersionId,
    attached: &Attached,
) -> Result<(), CatalogError> {
    let body = own_body_of(conn, place, version)?;
    let select = "SELECT detail FROM bodies WHERE id = ?1";
    let detail = sql::one(conn, select, [body], |row| rows::detail(row, 0))?;
    let detail = detail.ok_or(CatalogError::Damaged { what: "object" })?;
    let (meta, (checksums, part_bytes), _old) = detail;
    let detail = rows::encode_detail((&meta, &checksums, &part_bytes), attached);
    let update = "UPDATE bodies SET detail = ?2 WHERE id = ?1";
    sql::exec(conn, update, params![body, detail])?;
    Ok(())
}

/// Changes the facts of one write.
fn change(
    conn: &Connection,
    place: Place<'_>,
    version: &VersionId,
    change: impl FnOnce(&mut Facts) -> Result<(), CatalogError>,
) -> Result<(), CatalogError> {
    let body = own_body_of(conn, place, version)?;
    let select = "SELECT facts FROM bodies WHERE id = ?1";
    let facts: Option<Option<Facts>> = sql::one(conn, select, [body], |row| sql::get_some(row, 0))?;
    let facts = facts.ok_or(CatalogError::Damaged { what: "object" })?;
    let mut facts = facts.unwrap_or_default();
    change(&mut facts)?;
    let column = (facts != Facts::default()).then(|| encode_value(&facts));
    let update = "UPDATE bodies SET facts = ?2 WHERE id = ?1";
    sql::exec(conn, update, params![body, column])?;
    Ok(())
}

/// Sets, extends or loosens a retention.
pub(super) fn retain(
    conn: &Connection,
    (place, version): (Place<'_>, &VersionId),
    retention: Option<Retention>,
    bypass: bool,
    now: Timestamp,
) -> Result<(), CatalogError> {
    change(conn, place, version, |facts| {
        must(
            facts.lock.may_become(retention, bypass, now),
            Conflict::Locked,
        )?;
        facts.lock.retention = retention;
        Ok(())
    })
}

/// Puts a write under legal hold, or takes it out.
pub(super) fn hold(
    conn: &Connection,
    (place, version): (Place<'_>, &VersionId),
    hold: bool,
) -> Result<(), CatalogError> {
    change(conn, place, version, |facts| {
        facts.lock.hold = hold;
        Ok(())
    })
}

/// Says the name of the key that was asked for.
pub(super) fn name_key(
    conn: &Connection,
    (place, version): (Place<'_>, &VersionId),
    name: &str,
) -> Result<(), CatalogError> {
    change(conn, place, version, |facts| {
        facts.key_name = Some(name.to_owned());
        Ok(())
    })
}

/// Says how an object came out of an upload.
pub(super) fn set_origin(
    conn: &Connection,
    (place, version): (Place<'_>, &VersionId),
    origin: &Origin,
) -> Result<(), CatalogError> {
    let body = own_body_of(conn, place, version)?;
    let update = "UPDATE bodies SET origin = ?2 WHERE id = ?1";
    sql::exec(conn, update, params![body, encode_value(origin)])?;
    Ok(())
}

/// Enables Object Lock.
pub(super) fn set_object_lock(
    conn: &Connection,
    dataset: &DatasetId,
    lock: &LockDefaults,
) -> Result<(), CatalogError> {
    let state = versioning(conn, dataset)?;
    must(state == Versioning::Enabled, Conflict::Locking)?;
    let update = "UPDATE datasets SET object_lock = ?2 WHERE id = ?1";
    sql::exec(
        conn,
        update,
        params![dataset.as_bytes(), encode_value(lock)],
    )?;
    Ok(())
}

/// Says which key's name new objects get.
pub(super) fn set_key_name(
    conn: &Connection,
    dataset: &DatasetId,
    name: Option<&str>,
) -> Result<(), CatalogError> {
    need_dataset(conn, dataset)?;
    let update = "UPDATE datasets SET key_name = ?2 WHERE id = ?1";
    sql::exec(conn, update, params![dataset.as_bytes(), name])?;
    Ok(())
}
