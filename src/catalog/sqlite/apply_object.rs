//! What the mutations of objects, uploads and parts do to the tables.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, Row, params};

use super::apply::{must, must_insert, need_dataset};
use super::apply_version::{make_room, versioning};
use super::keywork::check_floor;
use super::{blobs, rows, sql};
use crate::catalog::codec::encode_value;
use crate::catalog::keywork::sealed_under;
use crate::catalog::{
    Attached, BlobUse, CatalogError, Condition, Conflict, Facts, ObjectRow, PartRow, UploadRow,
};
use crate::types::{BlobId, DatasetId, ObjectKey, Timestamp, UploadId, VersionId, Versioning};

/// A dataset and a key in it.
pub(super) type Place<'a> = (&'a DatasetId, &'a ObjectKey);

/// What must be known of an object in order to replace it.
pub(super) struct Old {
    pub(super) etag: String,
    pub(super) body: i64,
    pub(super) version: VersionId,
    pub(super) versioned: bool,
    pub(super) modified: Timestamp,
    pub(super) bytes: u64,
}

/// `etag, body, version, versioned, modified, bytes`.
pub(super) fn old(row: &Row<'_>) -> Result<Old, CatalogError> {
    Ok(Old {
        etag: row.get(0)?,
        body: row.get(1)?,
        version: VersionId::from_bytes(sql::get_id(row, 2)?),
        versioned: row.get(3)?,
        modified: sql::get_time(row, 4)?,
        bytes: sql::get_int(row, 5)?,
    })
}

/// Writes an object.
pub(super) fn put(
    conn: &Connection,
    row: &ObjectRow,
    uses: &BlobUse,
    condition: &Condition,
) -> Result<(), CatalogError> {
    let state = versioning(conn, &row.dataset)?;
    check_floor(conn, &row.dataset, sealed_under(&row.sealed_table))?;
    let old = find(conn, (&row.dataset, &row.key))?;
    check(condition, old.as_ref())?;
    let held = blobs::hold(conn, uses)?;
    replace(conn, row, &held, (old, state))
}

/// Deletes an object, if it is there.
pub(super) fn delete(
    conn: &Connection,
    place: Place<'_>,
    condition: &Condition,
    now: Timestamp,
) -> Result<(), CatalogError> {
    let state = versioning(conn, place.0)?;
    must(state == Versioning::Off, Conflict::Versioned)?;
    let old = find(conn, place)?;
    check(condition, old.as_ref())?;
    let Some(old) = old else { return Ok(()) };
    let delete = "DELETE FROM objects WHERE dataset = ?1 AND key = ?2";
    let (dataset, key) = (place.0.as_bytes(), place.1.as_str().as_bytes());
    sql::exec(conn, delete, params![dataset, key])?;
    blobs::lose(conn, &take_body(conn, old.body, now)?, now)
}

pub(super) fn find(
    conn: &Connection,
    (dataset, key): Place<'_>,
) -> Result<Option<Old>, CatalogError> {
    let select = "SELECT etag, body, version, versioned, modified, bytes FROM objects
        WHERE dataset = ?1 AND key = ?2";
    let place = params![dataset.as_bytes(), key.as_str().as_bytes()];
    sql::one(conn, select, place, old)
}

pub(super) fn check(condition: &Condition, old: Option<&Old>) -> Result<(), CatalogError> {
    let there = old.map(|old| (old.etag.as_str(), old.modified, old.bytes));
    Ok(condition.judge(there)?)
}

/// Writes a row whose blobs are held already; the old one goes or stays by the dataset's state.
fn replace(
    conn: &Connection,
    row: &ObjectRow,
    held: &[BlobId],
    (old, state): (Option<Old>, Versioning),
) -> Result<(), CatalogError> {
    let place = (&row.dataset, &row.key);
    make_room(conn, place, old.as_ref(), state, row.modified)?;
    insert(conn, row, held, state == Versioning::Enabled)
}

/// Inserts a current object, where there is none.
pub(super) fn insert(
    conn: &Connection,
    row: &ObjectRow,
    held: &[BlobId],
    versioned: bool,
) -> Result<(), CatalogError> {
    let body = insert_body(conn, row, held, &Attached::default())?;
    let insert = "INSERT INTO objects
        (dataset, key, bytes, etag, modified, version, body, versioned)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    sql::exec(
        conn,
        insert,
        params![
            row.dataset.as_bytes(),
            row.key.as_str().as_bytes(),
            sql::int(row.bytes)?,
            row.etag.as_str(),
            sql::time(row.modified)?,
            row.version.as_bytes(),
            body,
            versioned
        ],
    )?;
    Ok(())
}

/// Inserts what belongs to an object and no listing shows; its number.
pub(super) fn insert_body(
    conn: &Connection,
    row: &ObjectRow,
    held: &[BlobId],
    attached: &Attached,
) -> Result<i64, CatalogError> {
    let detail = (&row.meta, &row.checksums, &row.part_bytes);
    let detail = rows::encode_detail(detail, attached);
    sql::exec(
        conn,
        "INSERT INTO bodies (detail, blobs, sealed_table) VALUES (?1, ?2, ?3)",
        params![detail, sql::join_ids(held), &*row.sealed_table],
    )?;
    Ok(conn.last_insert_rowid())
}

/// Deletes a body, unless it is frozen; the blobs that are thereby held no more. **Every way in
/// which an object goes leads here**: what is locked stays, and the commit fails as a whole.
pub(super) fn take_body(
    conn: &Connection,
    body: i64,
    now: Timestamp,
) -> Result<Vec<BlobId>, CatalogError> {
    let select = "SELECT facts FROM bodies WHERE id = ?1";
    let facts: Option<Option<Facts>> = sql::one(conn, select, [body], |row| sql::get_some(row, 0))?;
    let facts = facts.ok_or(CatalogError::Damaged { what: "object" })?;
    must(!facts.unwrap_or_default().lock.holds(now), Conflict::Locked)?;
    if super::publications::outlives(conn, body)? {
        return Ok(Vec::new());
    }
    drop_body(conn, body)
}

/// Deletes a body that nothing refers to; the blobs that it held.
pub(super) fn drop_body(conn: &Connection, body: i64) -> Result<Vec<BlobId>, CatalogError> {
    let delete = "DELETE FROM bodies WHERE id = ?1 RETURNING blobs";
    sql::one(conn, delete, [body], |row| sql::get_ids(row, 0))?
        .ok_or(CatalogError::Damaged { what: "object" })
}

/// Begins an upload.
pub(super) fn create_upload(conn: &Connection, row: &UploadRow) -> Result<(), CatalogError> {
    need_dataset(conn, &row.dataset)?;
    let insert = "INSERT INTO uploads (id, dataset, key, initiated, row)
        VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING";
    let inserted = sql::exec(
        conn,
        insert,
        params![
            row.id.as_bytes(),
            row.dataset.as_bytes(),
            row.key.as_str().as_bytes(),
            sql::time(row.initiated)?,
            encode_value(row)
        ],
    )?;
    must_insert(inserted, "upload")
}

/// Sets the tags of the object to be.
pub(super) fn set_upload_tags(
    conn: &Connection,
    upload: &UploadId,
    tags: &Vec<(String, String)>,
) -> Result<(), CatalogError> {
    let column = (!tags.is_empty()).then(|| encode_value(tags));
    let update = "UPDATE uploads SET tags = ?2 WHERE id = ?1";
    let updated = sql::exec(conn, update, params![upload.as_bytes(), column])?;
    must(updated == 1, Conflict::NoUpload)
}

/// Sets what else the object to be is to have.
pub(super) fn set_upload_facts(
    conn: &Connection,
    upload: &UploadId,
    facts: &Facts,
) -> Result<(), CatalogError> {
    let column = (*facts != Facts::default()).then(|| encode_value(facts));
    let update = "UPDATE uploads SET facts = ?2 WHERE id = ?1";
    let updated = sql::exec(conn, update, params![upload.as_bytes(), column])?;
    must(updated == 1, Conflict::NoUpload)
}

/// Writes a part.
pub(super) fn put_part(
    conn: &Connection,
    row: &PartRow,
    uses: &BlobUse,
) -> Result<(), CatalogError> {
    let select = "SELECT dataset FROM uploads WHERE id = ?1";
    let dataset = sql::one(conn, select, [row.upload.as_bytes()], |row| {
        sql::get_id(row, 0).map(DatasetId::from_bytes)
    })?;
    let dataset = dataset.ok_or(Conflict::NoUpload)?;
    check_floor(conn, &dataset, sealed_under(&row.sealed_table))?;
    let held = blobs::hold(conn, uses)?;
    let delete = "DELETE FROM parts WHERE upload = ?1 AND number = ?2 RETURNING blobs";
    let place = params![row.upload.as_bytes(), row.number];
    if let Some(old) = sql::one(conn, delete, place, |row| sql::get_ids(row, 0))? {
        blobs::lose(conn, &old, row.modified)?;
    }
    let insert = "INSERT INTO parts (upload, number, version, blobs, row)
        VALUES (?1, ?2, ?3, ?4, ?5)";
    sql::exec(
        conn,
        insert,
        params![
            row.upload.as_bytes(),
            row.number,
            row.version.as_bytes(),
            sql::join_ids(&held),
            encode_value(row)
        ],
    )?;
    Ok(())
}

/// Turns an upload into an object.
pub(super) fn complete(
    conn: &Connection,
    upload: &UploadId,
    chosen: &[(u32, VersionId)],
    row: &ObjectRow,
    condition: &Condition,
) -> Result<(), CatalogError> {
    let select = "SELECT 1 FROM uploads WHERE id = ?1 AND dataset = ?2 AND key = ?3";
    let (dataset, key) = (row.dataset.as_bytes(), row.key.as_str().as_bytes());
    let begun = sql::exists(conn, select, params![upload.as_bytes(), dataset, key])?;
    must(begun, Conflict::NoUpload)?;
    let mut parts = parts_of(conn, upload)?;
    let mut held = BTreeSet::new();
    // What each reference becomes: the object keeps one per blob of its parts, the rest is lost.
    let mut surplus = Vec::new();
    for (number, version) in chosen {
        let part = parts.get_mut(number).filter(|part| part.0 == *version);
        let (_, blobs) = part.ok_or(Conflict::PartChanged)?;
        surplus.extend(blobs.drain(..).filter(|blob| !held.insert(*blob)));
    }
    surplus.extend(parts.into_values().flat_map(|(_, blobs)| blobs));
    let state = versioning(conn, &row.dataset)?;
    check_floor(conn, &row.dataset, sealed_under(&row.sealed_table))?;
    let old = find(conn, (&row.dataset, &row.key))?;
    check(condition, old.as_ref())?;
    drop_upload(conn, upload)?;
    blobs::lose(conn, &surplus, row.modified)?;
    let held: Vec<BlobId> = held.into_iter().collect();
    replace(conn, row, &held, (old, state))
}

/// Drops an upload with its parts.
pub(super) fn abort(
    conn: &Connection,
    upload: &UploadId,
    now: Timestamp,
) -> Result<(), CatalogError> {
    blobs::lose(conn, &take_upload(conn, upload)?, now)
}

/// Drops an upload with its parts; the blobs that they held, each as often as it was held.
pub(super) fn take_upload(
    conn: &Connection,
    upload: &UploadId,
) -> Result<Vec<BlobId>, CatalogError> {
    let parts = parts_of(conn, upload)?;
    drop_upload(conn, upload)?;
    Ok(parts.into_values().flat_map(|(_, blobs)| blobs).collect())
}

/// Version and blobs of each part, by number.
fn parts_of(
    conn: &Connection,
    upload: &UploadId,
) -> Result<BTreeMap<u32, (VersionId, Vec<BlobId>)>, CatalogError> {
    let select = "SELECT number, version, blobs FROM parts WHERE upload = ?1";
    let parts = sql::all(conn, select, [upload.as_bytes()], |row| {
        let version = VersionId::from_bytes(sql::get_id(row, 1)?);
        Ok((row.get(0)?, (version, sql::get_ids(row, 2)?)))
    })?;
    Ok(parts.into_iter().collect())
}

/// Deletes the rows of an upload, which must be there, and of its parts.
fn drop_upload(conn: &Connection, upload: &UploadId) -> Result<(), CatalogError> {
    let id = [upload.as_bytes()];
    sql::exec(conn, "DELETE FROM parts WHERE upload = ?1", id)?;
    let deleted = sql::exec(conn, "DELETE FROM uploads WHERE id = ?1", id)?;
    must(deleted == 1, Conflict::NoUpload)
}
