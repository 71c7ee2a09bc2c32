//! What the mutations of versions do to the tables.
//!
//! `objects` holds the newest version of a key, unless that is a delete marker. Everything older,
//! and every marker, lies in `versions`: within a key the newest has the lowest `place`.

use rusqlite::{Connection, params};

use super::apply::{must, need_dataset};
use super::apply_object::{Old, Place, check, find, old, take_body};
use super::{blobs, rows, sql};
use crate::catalog::{
    Attached, BlobUse, CatalogError, Condition, Conflict, MarkerRow, ObjectRow, Setting,
    SettingKind, codec,
};
use crate::types::{Timestamp, VersionId, VersionName, Versioning};

/// Whether a dataset keeps versions; it must be there.
pub(super) fn versioning(
    conn: &Connection,
    dataset: &crate::types::DatasetId,
) -> Result<Versioning, CatalogError> {
    let select = "SELECT versioning FROM datasets WHERE id = ?1";
    sql::one(conn, select, [dataset.as_bytes()], |row| {
        rows::versioning(row, 0)
    })?
    .ok_or_else(|| Conflict::NoDataset.into())
}

/// Enables or suspends versioning.
pub(super) fn set_versioning(
    conn: &Connection,
    dataset: &crate::types::DatasetId,
    state: Versioning,
) -> Result<(), CatalogError> {
    need_dataset(conn, dataset)?;
    must(state != Versioning::Off, Conflict::Versioned)?;
    let locking = "SELECT 1 FROM datasets WHERE id = ?1 AND object_lock IS NOT NULL";
    let locking = sql::exists(conn, locking, [dataset.as_bytes()])?;
    must(state == Versioning::Enabled || !locking, Conflict::Locking)?;
    let update = "UPDATE datasets SET versioning = ?2 WHERE id = ?1";
    let state = rows::versioning_column(state);
    sql::exec(conn, update, params![dataset.as_bytes(), state])?;
    Ok(())
}

/// Makes room for a new version of a key: what it replaces goes, what it does not stays below it.
pub(super) fn make_room(
    conn: &Connection,
    place: Place<'_>,
    old: Option<&Old>,
    state: Versioning,
    now: Timestamp,
) -> Result<(), CatalogError> {
    let kept = old.filter(|old| {
        state == Versioning::Enabled || (state == Versioning::Suspended && old.versioned)
    });
    if let Some(old) = old.filter(|_| kept.is_none()) {
        drop_current(conn, place)?;
        blobs::lose(conn, &take_body(conn, old.body, now)?, now)?;
    }
    if kept.is_some() {
        push_current(conn, place)?;
    }
    if state == Versioning::Suspended {
        drop_older(conn, place, &VersionName::Null, now)?;
    }
    Ok(())
}

/// Deletes what is current as a client does who names no version.
pub(super) fn remove(
    conn: &Connection,
    place: Place<'_>,
    marker: &VersionId,
    condition: &Condition,
    now: Timestamp,
) -> Result<(), CatalogError> {
    let state = versioning(conn, place.0)?;
    let current = find(conn, place)?;
    check(condition, current.as_ref())?;
    make_room(conn, place, current.as_ref(), state, now)?;
    if state == Versioning::Off {
        return Ok(());
    }
    let marker = MarkerRow {
        dataset: *place.0,
        key: place.1.clone(),
        version: *marker,
        versioned: state == Versioning::Enabled,
        modified: now,
    };
    let top = "SELECT coalesce(min(place), 1) - 1 FROM versions WHERE dataset = ?1 AND key = ?2";
    insert_marker(conn, &marker, top)
}

/// Deletes one version for good.
pub(super) fn delete(
    conn: &Connection,
    place: Place<'_>,
    name: &VersionName,
    condition: &Condition,
    now: Timestamp,
) -> Result<(), CatalogError> {
    need_dataset(conn, place.0)?;
    let current = find(conn, place)?.filter(|old| name.names(&old.version, old.versioned));
    if let Some(current) = current {
        check(condition, Some(&current))?;
        drop_current(conn, place)?;
        blobs::lose(conn, &take_body(conn, current.body, now)?, now)?;
    } else {
        let older = find_older(conn, place, name)?;
        check(
            condition,
            older.as_ref().and_then(|older| older.object.as_ref()),
        )?;
        if older.is_some() {
            drop_older(conn, place, name, now)?;
        }
    }
    promote(conn, place)
}

/// An older version, or a marker.
struct Older {
    place: i64,
    /// `None` for a marker.
    object: Option<Old>,
}

/// The newest of this name.
fn find_older(
    conn: &Connection,
    (dataset, key): Place<'_>,
    name: &VersionName,
) -> Result<Option<Older>, CatalogError> {
    let (is_named, id) = rows::is_named(name);
    let older = rows::versions_of(name);
    let select = format!(
        "SELECT etag, body, version, versioned, modified, bytes, place FROM {older}
         WHERE dataset = ?1 AND key = ?2 AND {is_named} ORDER BY place LIMIT 1"
    );
    let bounds = params![dataset.as_bytes(), key.as_str().as_bytes(), id];
    sql::one(conn, &select, bounds, |row| {
        let body: Option<i64> = row.get(1)?;
        Ok(Older {
            place: row.get(6)?,
            object: body.map(|_object| old(row)).transpose()?,
        })
    })
}

/// Drops the newest older version of this name, if there is one.
fn drop_older(
    conn: &Connection,
    place: Place<'_>,
    name: &VersionName,
    now: Timestamp,
) -> Result<(), CatalogError> {
    let Some(older) = find_older(conn, place, name)? else {
        return Ok(());
    };
    drop_row(conn, place, older.place)?;
    match older.object {
        Some(old) => blobs::lose(conn, &take_body(conn, old.body, now)?, now),
        None => Ok(()),
    }
}

fn drop_row(conn: &Connection, (dataset, key): Place<'_>, place: i64) -> Result<(), CatalogError> {
    let delete = "DELETE FROM versions WHERE dataset = ?1 AND key = ?2 AND place = ?3";
    let bounds = params![dataset.as_bytes(), key.as_str().as_bytes(), place];
    sql::exec(conn, delete, bounds)?;
    Ok(())
}

fn drop_current(conn: &Connection, (dataset, key): Place<'_>) -> Result<(), CatalogError> {
    let delete = "DELETE FROM objects WHERE dataset = ?1 AND key = ?2";
    let bounds = params![dataset.as_bytes(), key.as_str().as_bytes()];
    sql::exec(conn, delete, bounds)?;
    Ok(())
}

/// Lets the current object become the newest of the older ones.
fn push_current(conn: &Connection, place: Place<'_>) -> Result<(), CatalogError> {
    let insert = "INSERT INTO versions
        (dataset, key, place, version, versioned, bytes, etag, modified, body)
        SELECT dataset, key,
            (SELECT coalesce(min(place), 1) - 1 FROM versions WHERE dataset = ?1 AND key = ?2),
            version, versioned, bytes, etag, modified, body
        FROM objects WHERE dataset = ?1 AND key = ?2";
    let bounds = params![place.0.as_bytes(), place.1.as_str().as_bytes()];
    sql::exec(conn, insert, bounds)?;
    drop_current(conn, place)
}

/// Where no object is current, the newest version becomes it, unless that is a marker.
pub(super) fn promote(conn: &Connection, place: Place<'_>) -> Result<(), CatalogError> {
    if find(conn, place)?.is_some() {
        return Ok(());
    }
    let select = "SELECT place, body FROM versions WHERE dataset = ?1 AND key = ?2
        ORDER BY place LIMIT 1";
    let (dataset, key) = (place.0.as_bytes(), place.1.as_str().as_bytes());
    let newest: Option<(i64, Option<i64>)> =
        sql::one(conn, select, params![dataset, key], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    let Some((newest, Some(_object))) = newest else {
        return Ok(());
    };
    let insert = "INSERT INTO objects
        (dataset, key, bytes, etag, modified, version, body, versioned)
        SELECT dataset, key, bytes, etag, modified, version, body, versioned
        FROM versions WHERE dataset = ?1 AND key = ?2 AND place = ?3";
    sql::exec(conn, insert, params![dataset, key, newest])?;
    drop_row(conn, place, newest)
}

fn insert_marker(conn: &Connection, row: &MarkerRow, at: &str) -> Result<(), CatalogError> {
    let insert = format!(
        "INSERT INTO versions (dataset, key, place, version, versioned, bytes, etag, modified, body)
         VALUES (?1, ?2, ({at}), ?3, ?4, 0, '', ?5, NULL)"
    );
    let bounds = params![
        row.dataset.as_bytes(),
        row.key.as_str().as_bytes(),
        row.version.as_bytes(),
        row.versioned,
        sql::time(row.modified)?
    ];
    sql::exec(conn, &insert, bounds)?;
    Ok(())
}

/// Below all versions of a key.
const BOTTOM: &str =
    "SELECT coalesce(max(place), -1) + 1 FROM versions WHERE dataset = ?1 AND key = ?2";

/// Puts a marker back.
pub(super) fn restore_marker(conn: &Connection, row: &MarkerRow) -> Result<(), CatalogError> {
    need_dataset(conn, &row.dataset)?;
    insert_marker(conn, row, BOTTOM)
}

/// Puts an object back.
pub(super) fn restore(
    conn: &Connection,
    row: &ObjectRow,
    (versioned, current): (bool, bool),
    uses: &BlobUse,
) -> Result<(), CatalogError> {
    need_dataset(conn, &row.dataset)?;
    let place = (&row.dataset, &row.key);
    if current {
        check(&Condition::Absent, find(conn, place)?.as_ref())?;
        let held = blobs::hold(conn, uses)?;
        return super::apply_object::insert(conn, row, &held, versioned);
    }
    let held = blobs::hold(conn, uses)?;
    let body = super::apply_object::insert_body(conn, row, &held, &Attached::default())?;
    let insert = format!(
        "INSERT INTO versions (dataset, key, place, version, versioned, bytes, etag, modified, body)
         VALUES (?1, ?2, ({BOTTOM}), ?3, ?4, ?5, ?6, ?7, ?8)"
    );
    let bounds = params![
        row.dataset.as_bytes(),
        row.key.as_str().as_bytes(),
        row.version.as_bytes(),
        versioned,
        sql::int(row.bytes)?,
        row.etag.as_str(),
        sql::time(row.modified)?,
        body
    ];
    sql::exec(conn, &insert, bounds)?;
    Ok(())
}

/// Makes, replaces or removes a setting.
pub(super) fn set(
    conn: &Connection,
    dataset: &crate::types::DatasetId,
    kind: SettingKind,
    value: Option<&Setting>,
) -> Result<(), CatalogError> {
    need_dataset(conn, dataset)?;
    let kind_column = codec::encode_value(&kind);
    let Some(value) = value.filter(|value| value.kind() == kind) else {
        let delete = "DELETE FROM settings WHERE dataset = ?1 AND kind = ?2";
        sql::exec(conn, delete, params![dataset.as_bytes(), kind_column])?;
        return Ok(());
    };
    let upsert = "INSERT INTO settings (dataset, kind, value) VALUES (?1, ?2, ?3)
        ON CONFLICT DO UPDATE SET value = excluded.value";
    let value = codec::encode_value(value);
    sql::exec(
        conn,
        upsert,
        params![dataset.as_bytes(), kind_column, value],
    )?;
    Ok(())
}
