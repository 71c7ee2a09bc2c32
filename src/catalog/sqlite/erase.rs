//! What an erasure takes out of the tables: rows, their bodies, and the blobs that nothing refers
//! to any more.

use std::collections::BTreeSet;

use rusqlite::{Connection, Row, params};

use super::apply::must;
use super::apply_object::{Place, drop_body};
use super::keywork::{open_work, set_index};
use super::{apply_object, apply_version, blobs, publications, sql};
use crate::catalog::codec::encode_value;
use crate::catalog::keywork::name_meets;
use crate::catalog::{CatalogError, Conflict, EraseScope, ErasedWrite, Tally};
use crate::types::{BlobId, DatasetId, KeyWorkId, Timestamp, UploadId, VersionId, VersionName};

/// An erasure that takes rows out.
pub(super) struct Erasing {
    work: KeyWorkId,
    now: Timestamp,
    pub(super) tally: Tally,
}

impl Erasing {
    pub(super) fn begin(
        conn: &Connection,
        work: KeyWorkId,
        now: Timestamp,
    ) -> Result<Self, CatalogError> {
        let select = "SELECT tally FROM key_works WHERE id = ?1";
        let tally = sql::one(conn, select, [work.as_bytes()], |row| {
            sql::get_encoded(row, 0)
        })?;
        let tally = tally.ok_or(Conflict::NoKeyWork)?;
        Ok(Self { work, now, tally })
    }

    pub(super) fn end(self, conn: &Connection) -> Result<(), CatalogError> {
        let update = "UPDATE key_works SET tally = ?2 WHERE id = ?1";
        let bounds = params![self.work.as_bytes(), encode_value(&self.tally)];
        sql::exec(conn, update, bounds)?;
        Ok(())
    }

    /// Notes a write, once.
    fn note(&mut self, conn: &Connection, write: &ErasedWrite) -> Result<(), CatalogError> {
        if add_erased(conn, &self.work, self.tally.writes, write)? {
            self.tally.add(write);
        }
        Ok(())
    }

    /// Takes one reference off blobs. Those that lost their last one are claimed at once: no copy
    /// can share them any more.
    fn lose(&mut self, conn: &Connection, lost: &[BlobId]) -> Result<(), CatalogError> {
        blobs::lose(conn, lost, self.now)?;
        // Two parts of one upload may share a blob: it is claimed once.
        let each: BTreeSet<&BlobId> = lost.iter().collect();
        for id in each {
            let claim = "DELETE FROM blobs WHERE id = ?1 AND refs = 0";
            let shared = sql::exec(conn, claim, [id.as_bytes()])? == 0;
            self.tally.blobs = self.tally.blobs.saturating_add(u64::from(!shared));
            let doom = "INSERT INTO doomed (work, blob, shared) VALUES (?1, ?2, ?3)
                ON CONFLICT DO UPDATE SET shared = excluded.shared";
            let bounds = params![self.work.as_bytes(), id.as_bytes(), shared];
            sql::exec(conn, doom, bounds)?;
        }
        Ok(())
    }
}

pub(super) fn add_erased(
    conn: &Connection,
    work: &KeyWorkId,
    number: u64,
    write: &ErasedWrite,
) -> Result<bool, CatalogError> {
    let insert = "INSERT INTO erased (work, number, key, version, bytes)
        VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING";
    let bounds = params![
        work.as_bytes(),
        sql::int(number)?,
        write.key.as_str().as_bytes(),
        write.version.as_bytes(),
        sql::int(write.bytes)?
    ];
    Ok(sql::exec(conn, insert, bounds)? == 1)
}

/// A row that refers to a body, unless it is a marker.
struct Held {
    write: ErasedWrite,
    body: Option<i64>,
    versioned: bool,
    /// Of a frozen row, its publication.
    publication: Vec<u8>,
}

/// `key, version, bytes, body, versioned, publication`.
fn held(row: &Row<'_>) -> Result<Held, CatalogError> {
    Ok(Held {
        write: ErasedWrite {
            key: sql::get_key(row, 0)?,
            version: VersionId::from_bytes(sql::get_id(row, 1)?),
            bytes: sql::get_int(row, 2)?,
        },
        body: row.get(3)?,
        versioned: row.get(4)?,
        publication: row.get(5)?,
    })
}

/// Whether a row of the dataset still has a write. Asked of the rows and not of their bodies: who
/// tags or locks what is frozen has a body of her own, and the write stays one.
fn is_still_had(
    conn: &Connection,
    dataset: &DatasetId,
    write: &ErasedWrite,
) -> Result<bool, CatalogError> {
    let select = "SELECT 1 FROM objects WHERE dataset = ?1 AND key = ?2 AND version = ?3
        UNION ALL SELECT 1 FROM versions WHERE dataset = ?1 AND key = ?2 AND version = ?3
        UNION ALL SELECT 1 FROM publications CROSS JOIN frozen ON publication = publications.id
            WHERE dataset = ?1 AND key = ?2 AND version = ?3
        LIMIT 1";
    let key = write.key.as_str().as_bytes();
    let bounds = params![dataset.as_bytes(), key, write.version.as_bytes()];
    sql::exists(conn, select, bounds)
}

/// Takes frozen rows out: of all versions of a dataset, or of one (`of`), and then what something
/// else still has is not erased.
fn erase_frozen(
    conn: &Connection,
    erasing: &mut Erasing,
    (found, of): (&[Held], Option<&DatasetId>),
) -> Result<(), CatalogError> {
    for row in found {
        let delete = "DELETE FROM frozen WHERE publication = ?1 AND key = ?2";
        let key = row.write.key.as_str().as_bytes();
        sql::exec(conn, delete, params![row.publication, key])?;
        let stays = match of {
            Some(dataset) => is_still_had(conn, dataset, &row.write)?,
            None => false,
        };
        if !stays {
            erasing.note(conn, &row.write)?;
        }
        let Some(body) = row.body else { continue };
        let release = "UPDATE held SET frozen = frozen - 1 WHERE body = ?1 RETURNING frozen, live";
        let left: Option<(i64, bool)> =
            sql::one(conn, release, [body], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let (frozen, live) = left.ok_or(CatalogError::Damaged { what: "frozen row" })?;
        if frozen == 0 {
            sql::exec(conn, "DELETE FROM held WHERE body = ?1", [body])?;
            if live {
                continue;
            }
            let blobs = drop_body(conn, body)?;
            if stays {
                blobs::lose(conn, &blobs, erasing.now)?;
            } else {
                erasing.lose(conn, &blobs)?;
            }
        }
    }
    Ok(())
}

/// Erases a published version but for its number and root.
pub(super) fn erase_published(
    conn: &Connection,
    erasing: &mut Erasing,
    (dataset, number): (&DatasetId, u32),
) -> Result<(), CatalogError> {
    let row = publications::of_number(conn, dataset, number)?.ok_or(Conflict::NoPublication)?;
    let issue = row.issue.as_ref().ok_or(Conflict::NoPublication)?;
    must(!issue.sealed_key.is_empty(), Conflict::NoPublication)?;
    let select = "SELECT key, version, bytes, body, versioned, publication FROM frozen
        WHERE publication = ?1 ORDER BY key";
    let found = sql::all(conn, select, [row.id.as_bytes()], held)?;
    erase_frozen(conn, erasing, (&found, Some(dataset)))?;
    set_index(conn, &row.id, &[])?;
    let take = "SELECT blobs FROM publications WHERE id = ?1";
    let lost = sql::one(conn, take, [row.id.as_bytes()], |row| sql::get_ids(row, 0))?;
    let empty = "UPDATE publications SET blobs = x'' WHERE id = ?1";
    sql::exec(conn, empty, [row.id.as_bytes()])?;
    erasing.lose(conn, &lost.unwrap_or_default())
}

/// Takes current objects (`table` is `objects`) or older versions and markers out.
fn erase_live(
    conn: &Connection,
    erasing: &mut Erasing,
    (dataset, table): (&DatasetId, &str),
    found: &[Held],
) -> Result<(), CatalogError> {
    for row in found {
        let delete = format!(
            "DELETE FROM {table} WHERE dataset = ?1 AND key = ?2 AND version = ?3 AND versioned = ?4"
        );
        let key = row.write.key.as_str().as_bytes();
        let version = row.write.version.as_bytes();
        let bounds = params![dataset.as_bytes(), key, version, row.versioned];
        sql::exec(conn, &delete, bounds)?;
        let Some(body) = row.body else { continue };
        erasing.note(conn, &row.write)?;
        if !publications::outlives(conn, body)? {
            erasing.lose(conn, &drop_body(conn, body)?)?;
        }
    }
    Ok(())
}

/// Erases what was written under a key, or one version of it.
pub(super) fn erase_key(
    conn: &Connection,
    erasing: &mut Erasing,
    place: Place<'_>,
    name: Option<&VersionName>,
) -> Result<(), CatalogError> {
    let (dataset, key) = (place.0.as_bytes(), place.1.as_str().as_bytes());
    let meant = |found: Vec<Held>| {
        let mut found = found;
        found.retain(|row| {
            name.is_none_or(|name| name_meets(name, (&row.write.version, row.versioned)))
        });
        found
    };
    for table in ["objects", "versions"] {
        let select = format!(
            "SELECT key, version, bytes, body, versioned, zeroblob(0) FROM {table}
             WHERE dataset = ?1 AND key = ?2 ORDER BY version"
        );
        let found = meant(sql::all(conn, &select, params![dataset, key], held)?);
        erase_live(conn, erasing, (place.0, table), &found)?;
    }
    let select = "SELECT key, version, bytes, body, versioned, publication FROM frozen
        WHERE publication IN (SELECT id FROM publications WHERE dataset = ?1) AND key = ?2
        ORDER BY publication";
    let found = meant(sql::all(conn, select, params![dataset, key], held)?);
    erase_frozen(conn, erasing, (&found, None))?;
    if name.is_some() {
        return apply_version::promote(conn, place);
    }
    let select = "SELECT id FROM uploads WHERE dataset = ?1 AND key = ?2 ORDER BY id";
    let uploads = sql::all(conn, select, params![dataset, key], upload_id)?;
    erase_uploads(conn, erasing, &uploads)
}

fn upload_id(row: &Row<'_>) -> Result<UploadId, CatalogError> {
    sql::get_id(row, 0).map(UploadId::from_bytes)
}

fn erase_uploads(
    conn: &Connection,
    erasing: &mut Erasing,
    uploads: &[UploadId],
) -> Result<(), CatalogError> {
    for id in uploads {
        let lost = apply_object::take_upload(conn, id)?;
        erasing.lose(conn, &lost)?;
    }
    Ok(())
}

/// Takes more rows of a dataset out; of each kind as many as there is room for.
pub(super) fn erase_rows(
    conn: &Connection,
    work: &KeyWorkId,
    limit: u32,
) -> Result<(), CatalogError> {
    let row = open_work(conn, work)?;
    must(row.scope == Some(EraseScope::Dataset), Conflict::NoKeyWork)?;
    let mut erasing = Erasing::begin(conn, *work, row.begun)?;
    let dataset = row.dataset.as_bytes();
    let room = |found: usize| i64::from(limit).saturating_sub(sql::limit(found));
    let select = "SELECT key, version, bytes, body, versioned, publication FROM frozen
        WHERE publication IN (SELECT id FROM publications WHERE dataset = ?1)
        ORDER BY publication, key LIMIT ?2";
    let found = sql::all(conn, select, params![dataset, limit], held)?;
    erase_frozen(conn, &mut erasing, (&found, None))?;
    let mut taken = found.len();
    if room(taken) > 0 {
        let select = "SELECT id FROM publications WHERE dataset = ?1 ORDER BY id LIMIT ?2";
        let bounds = params![dataset, room(taken)];
        let ids = sql::all(conn, select, bounds, |row| sql::get_id(row, 0))?;
        for id in &ids {
            let delete = "DELETE FROM publications WHERE id = ?1 RETURNING blobs";
            let lost = sql::one(conn, delete, [id], |row| sql::get_ids(row, 0))?;
            erasing.lose(conn, &lost.unwrap_or_default())?;
        }
        taken = taken.saturating_add(ids.len());
    }
    for (table, order) in [("objects", "key"), ("versions", "key, place")] {
        let select = format!(
            "SELECT key, version, bytes, body, versioned, zeroblob(0) FROM {table}
             WHERE dataset = ?1 ORDER BY {order} LIMIT ?2"
        );
        let bounds = params![dataset, room(taken).max(0)];
        let found = sql::all(conn, &select, bounds, held)?;
        erase_live(conn, &mut erasing, (&row.dataset, table), &found)?;
        taken = taken.saturating_add(found.len());
    }
    let select = "SELECT id FROM uploads WHERE dataset = ?1 ORDER BY id LIMIT ?2";
    let bounds = params![dataset, room(taken).max(0)];
    let uploads = sql::all(conn, select, bounds, upload_id)?;
    erase_uploads(conn, &mut erasing, &uploads)?;
    erasing.end(conn)
}
