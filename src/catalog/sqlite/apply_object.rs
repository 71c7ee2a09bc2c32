//! What the mutations of objects, uploads and parts do to the tables.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, params};

use super::apply::{must, must_insert, need_dataset};
use super::{blobs, rows, sql};
use crate::catalog::codec::encode_value;
use crate::catalog::{BlobUse, CatalogError, Condition, Conflict, ObjectRow, PartRow, UploadRow};
use crate::types::{BlobId, DatasetId, ObjectKey, Timestamp, UploadId, VersionId};

/// A dataset and a key in it.
type Place<'a> = (&'a DatasetId, &'a ObjectKey);

/// What must be known of an object in order to replace it.
struct Old {
    etag: String,
    body: i64,
}

/// Writes an object.
pub(super) fn put(
    conn: &Connection,
    row: &ObjectRow,
    uses: &BlobUse,
    condition: &Condition,
) -> Result<(), CatalogError> {
    need_dataset(conn, &row.dataset)?;
    let old = find(conn, (&row.dataset, &row.key))?;
    check(condition, old.as_ref())?;
    let held = blobs::hold(conn, uses)?;
    replace(conn, row, &held, old)
}

/// Deletes an object, if it is there.
pub(super) fn delete(
    conn: &Connection,
    place: Place<'_>,
    condition: &Condition,
    now: Timestamp,
) -> Result<(), CatalogError> {
    need_dataset(conn, place.0)?;
    let old = find(conn, place)?;
    check(condition, old.as_ref())?;
    let Some(old) = old else { return Ok(()) };
    let delete = "DELETE FROM objects WHERE dataset = ?1 AND key = ?2";
    let (dataset, key) = (place.0.as_bytes(), place.1.as_str().as_bytes());
    sql::exec(conn, delete, params![dataset, key])?;
    blobs::lose(conn, &take_body(conn, old.body)?, now)
}

fn find(conn: &Connection, (dataset, key): Place<'_>) -> Result<Option<Old>, CatalogError> {
    let select = "SELECT etag, body FROM objects WHERE dataset = ?1 AND key = ?2";
    let place = params![dataset.as_bytes(), key.as_str().as_bytes()];
    sql::one(conn, select, place, |row| {
        Ok(Old {
            etag: row.get(0)?,
            body: row.get(1)?,
        })
    })
}

fn check(condition: &Condition, old: Option<&Old>) -> Result<(), CatalogError> {
    match (condition, old) {
        (Condition::None, _) | (Condition::Absent, None) | (Condition::Present, Some(_)) => Ok(()),
        (Condition::Absent, Some(_)) => Err(Conflict::ObjectExists.into()),
        (Condition::Present | Condition::Matches(_), None) => Err(Conflict::NoObject.into()),
        (Condition::Matches(etag), Some(old)) => {
            must(etag.as_str() == old.etag, Conflict::ETagDiffers)
        }
    }
}

/// Puts a row whose blobs are held already in the place of the old one, which loses its own.
fn replace(
    conn: &Connection,
    row: &ObjectRow,
    held: &[BlobId],
    old: Option<Old>,
) -> Result<(), CatalogError> {
    if let Some(old) = old {
        blobs::lose(conn, &take_body(conn, old.body)?, row.modified)?;
    }
    let detail = rows::encode_detail(row);
    sql::exec(
        conn,
        "INSERT INTO bodies (detail, blobs, sealed_table) VALUES (?1, ?2, ?3)",
        params![detail, sql::join_ids(held), &*row.sealed_table],
    )?;
    let upsert = "INSERT INTO objects (dataset, key, bytes, etag, modified, version, body)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
        ON CONFLICT DO UPDATE SET bytes = excluded.bytes, etag = excluded.etag,
            modified = excluded.modified, version = excluded.version, body = excluded.body";
    sql::exec(
        conn,
        upsert,
        params![
            row.dataset.as_bytes(),
            row.key.as_str().as_bytes(),
            sql::int(row.bytes)?,
            row.etag.as_str(),
            sql::time(row.modified)?,
            row.version.as_bytes(),
            conn.last_insert_rowid()
        ],
    )?;
    Ok(())
}

/// Deletes a body; the blobs that it held.
fn take_body(conn: &Connection, body: i64) -> Result<Vec<BlobId>, CatalogError> {
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

/// Writes a part.
pub(super) fn put_part(
    conn: &Connection,
    row: &PartRow,
    uses: &BlobUse,
) -> Result<(), CatalogError> {
    let select = "SELECT 1 FROM uploads WHERE id = ?1";
    let there = sql::exists(conn, select, [row.upload.as_bytes()])?;
    must(there, Conflict::NoUpload)?;
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
    let old = find(conn, (&row.dataset, &row.key))?;
    check(condition, old.as_ref())?;
    drop_upload(conn, upload)?;
    blobs::lose(conn, &surplus, row.modified)?;
    let held: Vec<BlobId> = held.into_iter().collect();
    replace(conn, row, &held, old)
}

/// Drops an upload with its parts.
pub(super) fn abort(
    conn: &Connection,
    upload: &UploadId,
    now: Timestamp,
) -> Result<(), CatalogError> {
    let parts = parts_of(conn, upload)?;
    drop_upload(conn, upload)?;
    blobs::lose(conn, parts.values().flat_map(|(_, blobs)| blobs), now)
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
