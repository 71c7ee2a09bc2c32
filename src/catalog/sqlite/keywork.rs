//! Work on keys: what its mutations do to the tables, and what is asked of it.

use rusqlite::{Connection, Row, params};

use super::apply::{must, must_insert, need_dataset};
use super::apply_object::{Place, drop_body};
use super::{apply_object, apply_version, blobs, publications, rows, sql};
use crate::catalog::codec::encode_value;
use crate::catalog::keywork::sealed_under;
use crate::catalog::{
    CatalogError, Conflict, DoomedBlob, EraseScope, ErasedWrite, Facts, Issue, KeyWorkRow,
    ObjectRow, PartRow, PublicationRow, Tally, Version, WorkEnd,
};
use crate::types::{
    BlobId, DatasetId, KeyWorkId, PublicationId, Timestamp, UploadId, VersionId, VersionName,
    limits,
};

/// A row of an erased dataset is sealed under no key that will ever be in use.
pub(super) fn check_floor(
    conn: &Connection,
    dataset: &DatasetId,
    sealed_under: u32,
) -> Result<(), CatalogError> {
    let select = "SELECT key_floor FROM datasets WHERE id = ?1";
    let floor = sql::one(conn, select, [dataset.as_bytes()], |row| {
        Ok(row.get::<_, u32>(0)?)
    })?;
    must(
        sealed_under >= floor.unwrap_or_default(),
        Conflict::KeyRetired,
    )
}

/// Begins work on a dataset's keys.
pub(super) fn begin(conn: &Connection, row: &KeyWorkRow) -> Result<(), CatalogError> {
    need_dataset(conn, &row.dataset)?;
    let open = "SELECT 1 FROM key_works WHERE dataset = ?1 AND open = 1";
    let busy = sql::exists(conn, open, [row.dataset.as_bytes()])?;
    must(!busy, Conflict::KeyWork)?;
    let select = "SELECT key_floor FROM datasets WHERE id = ?1";
    let floor: Option<u32> =
        sql::one(
            conn,
            select,
            [row.dataset.as_bytes()],
            |row| Ok(row.get(0)?),
        )?;
    must(row.floor > floor.unwrap_or_default(), Conflict::KeyRetired)?;
    insert(conn, row, &Tally::default())?;
    drop_unissued(conn, row)?;
    let Some(scope) = &row.scope else {
        return Ok(());
    };
    check_locks(conn, &row.dataset, scope, row.begun)?;
    let (key, name) = match scope {
        EraseScope::Dataset => return Ok(()),
        EraseScope::Object(key) => (key, None),
        EraseScope::Version(key, name) => (key, Some(name)),
        EraseScope::Published(number) => {
            let mut erasing = Erasing::begin(conn, row.id, row.begun)?;
            erase_published(conn, &mut erasing, (&row.dataset, *number))?;
            return erasing.end(conn);
        }
    };
    let mut erasing = Erasing::begin(conn, row.id, row.begun)?;
    erase_key(conn, &mut erasing, (&row.dataset, key), name)?;
    // A delete marker alone is nothing that a key sealed.
    must(erasing.tally.writes > 0, Conflict::NoObject)?;
    erasing.end(conn)
}

fn insert(conn: &Connection, row: &KeyWorkRow, tally: &Tally) -> Result<(), CatalogError> {
    let bare = KeyWorkRow {
        tally: Tally::default(),
        end: None,
        ..row.clone()
    };
    let add = "INSERT INTO key_works (id, dataset, begun, open, row, tally, ended)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING";
    let bounds = params![
        row.id.as_bytes(),
        row.dataset.as_bytes(),
        sql::time(row.begun)?,
        row.end.is_none(),
        encode_value(&bare),
        encode_value(tally),
        row.end.as_ref().map(encode_value),
    ];
    must_insert(sql::exec(conn, add, bounds)?, "work on keys")?;
    let bar = "UPDATE datasets SET key_floor = max(key_floor, ?2) WHERE id = ?1";
    sql::exec(conn, bar, params![row.dataset.as_bytes(), row.floor])?;
    Ok(())
}

/// What is being published is published anew: its rows would be sealed under keys that go.
fn drop_unissued(conn: &Connection, row: &KeyWorkRow) -> Result<(), CatalogError> {
    let select = "SELECT id FROM publications WHERE dataset = ?1 AND number IS NULL ORDER BY id";
    let ids = sql::all(conn, select, [row.dataset.as_bytes()], |row| {
        sql::get_id(row, 0).map(PublicationId::from_bytes)
    })?;
    ids.iter()
        .try_for_each(|id| publications::drop_publication(conn, id, row.begun))
}

/// What is locked is not erased.
fn check_locks(
    conn: &Connection,
    dataset: &DatasetId,
    scope: &EraseScope,
    now: Timestamp,
) -> Result<(), CatalogError> {
    let (key, name) = match scope {
        EraseScope::Dataset => (None, None),
        EraseScope::Object(key) => (Some(key), None),
        EraseScope::Version(key, name) => (Some(key), Some(name)),
        // What is locked is live, and so stays.
        EraseScope::Published(_) => return Ok(()),
    };
    for table in ["objects", "versions"] {
        let one = if key.is_some() {
            "AND key = ?2"
        } else {
            "AND ?2 IS NULL"
        };
        let select = format!(
            "SELECT facts, version, versioned FROM {table} JOIN bodies ON bodies.id = body
             WHERE dataset = ?1 {one} AND facts IS NOT NULL"
        );
        let bounds = params![dataset.as_bytes(), key.map(|key| key.as_str().as_bytes())];
        let locked = sql::all(conn, &select, bounds, |row| {
            let facts: Facts = sql::get_encoded(row, 0)?;
            let version = VersionId::from_bytes(sql::get_id(row, 1)?);
            let meant = name.is_none_or(|name| is_named(name, &version, row.get(2).ok()));
            Ok(meant && facts.lock.holds(now))
        })?;
        must(!locked.contains(&true), Conflict::Locked)?;
    }
    Ok(())
}

fn is_named(name: &VersionName, version: &VersionId, versioned: Option<bool>) -> bool {
    name.names(version, versioned.unwrap_or(true))
}

/// An erasure that takes rows out.
struct Erasing {
    work: KeyWorkId,
    now: Timestamp,
    tally: Tally,
}

impl Erasing {
    fn begin(conn: &Connection, work: KeyWorkId, now: Timestamp) -> Result<Self, CatalogError> {
        let select = "SELECT tally FROM key_works WHERE id = ?1";
        let tally = sql::one(conn, select, [work.as_bytes()], |row| {
            sql::get_encoded(row, 0)
        })?;
        let tally = tally.ok_or(Conflict::NoKeyWork)?;
        Ok(Self { work, now, tally })
    }

    fn end(self, conn: &Connection) -> Result<(), CatalogError> {
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
        for id in lost {
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

fn add_erased(
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

/// Takes frozen rows out. Those that something else still has are erased only where `all` are.
fn erase_frozen(
    conn: &Connection,
    erasing: &mut Erasing,
    (found, all): (&[Held], bool),
) -> Result<(), CatalogError> {
    for row in found {
        if all {
            erasing.note(conn, &row.write)?;
        }
        let delete = "DELETE FROM frozen WHERE publication = ?1 AND key = ?2";
        let key = row.write.key.as_str().as_bytes();
        sql::exec(conn, delete, params![row.publication, key])?;
        let Some(body) = row.body else { continue };
        let release = "UPDATE held SET frozen = frozen - 1 WHERE body = ?1 RETURNING frozen, live";
        let left: Option<(i64, bool)> =
            sql::one(conn, release, [body], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let (frozen, live) = left.ok_or(CatalogError::Damaged { what: "frozen row" })?;
        if frozen == 0 {
            sql::exec(conn, "DELETE FROM held WHERE body = ?1", [body])?;
            if !live {
                erasing.note(conn, &row.write)?;
                erasing.lose(conn, &drop_body(conn, body)?)?;
            }
        }
    }
    Ok(())
}

/// Erases a published version but for its number and root.
fn erase_published(
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
    erase_frozen(conn, erasing, (&found, false))?;
    rewrap_index(conn, &row.id, &[])?;
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
fn erase_key(
    conn: &Connection,
    erasing: &mut Erasing,
    place: Place<'_>,
    name: Option<&VersionName>,
) -> Result<(), CatalogError> {
    let (dataset, key) = (place.0.as_bytes(), place.1.as_str().as_bytes());
    let meant = |found: Vec<Held>| {
        let mut found = found;
        found.retain(|row| name.is_none_or(|name| name.names(&row.write.version, row.versioned)));
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
    erase_frozen(conn, erasing, (&found, true))?;
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
    erase_frozen(conn, &mut erasing, (&found, true))?;
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

/// Puts a part table in the place of another.
pub(super) fn rewrap(
    conn: &Connection,
    (dataset, key): Place<'_>,
    version: &VersionId,
    table: &[u8],
) -> Result<(), CatalogError> {
    check_floor(conn, dataset, sealed_under(table))?;
    let update = "UPDATE bodies SET sealed_table = ?4 WHERE id IN (
        SELECT body FROM objects WHERE dataset = ?1 AND key = ?2 AND version = ?3
        UNION SELECT body FROM versions WHERE dataset = ?1 AND key = ?2 AND version = ?3
        UNION SELECT body FROM frozen WHERE key = ?2 AND version = ?3
            AND publication IN (SELECT id FROM publications WHERE dataset = ?1))";
    let key = key.as_str().as_bytes();
    let bounds = params![dataset.as_bytes(), key, version.as_bytes(), table];
    sql::exec(conn, update, bounds)?;
    Ok(())
}

/// The same of a part.
pub(super) fn rewrap_part(
    conn: &Connection,
    (upload, number): (&UploadId, u32),
    version: &VersionId,
    table: &[u8],
) -> Result<(), CatalogError> {
    let select = "SELECT upload, number, row FROM parts
        WHERE upload = ?1 AND number = ?2 AND version = ?3";
    let place = params![upload.as_bytes(), number, version.as_bytes()];
    let Some(part) = sql::one(conn, select, place, rows::part)? else {
        return Ok(());
    };
    let part = PartRow {
        sealed_table: bytes::Bytes::copy_from_slice(table),
        ..part
    };
    let update = "UPDATE parts SET row = ?3 WHERE upload = ?1 AND number = ?2";
    let bounds = params![upload.as_bytes(), number, encode_value(&part)];
    sql::exec(conn, update, bounds)?;
    Ok(())
}

/// The same of the key of a version's index.
pub(super) fn rewrap_index(
    conn: &Connection,
    id: &PublicationId,
    sealed_key: &[u8],
) -> Result<(), CatalogError> {
    let select = "SELECT id, row FROM publications WHERE id = ?1";
    let Some(row) = sql::one(conn, select, [id.as_bytes()], publications::publication)? else {
        return Ok(());
    };
    let issue = row.issue.clone().ok_or(Conflict::NoPublication)?;
    let row = PublicationRow {
        issue: Some(Issue {
            sealed_key: bytes::Bytes::copy_from_slice(sealed_key),
            ..issue
        }),
        ..row
    };
    let update = "UPDATE publications SET row = ?2 WHERE id = ?1";
    sql::exec(conn, update, params![id.as_bytes(), encode_value(&row)])?;
    Ok(())
}

/// Notes that blobs are gone.
pub(super) fn forget_doomed(
    conn: &Connection,
    work: &KeyWorkId,
    gone: &[BlobId],
) -> Result<(), CatalogError> {
    open_work(conn, work)?;
    for id in gone {
        let delete = "DELETE FROM doomed WHERE work = ?1 AND blob = ?2 AND shared = 0";
        sql::exec(conn, delete, params![work.as_bytes(), id.as_bytes()])?;
    }
    Ok(())
}

/// Ends work.
pub(super) fn end(conn: &Connection, work: &KeyWorkId, end: &WorkEnd) -> Result<(), CatalogError> {
    let row = open_work(conn, work)?;
    let left = "SELECT 1 FROM doomed WHERE work = ?1 AND shared = 0";
    let left = sql::exists(conn, left, [work.as_bytes()])?;
    must(!left, Conflict::KeyWork)?;
    let delete = "DELETE FROM doomed WHERE work = ?1";
    sql::exec(conn, delete, [work.as_bytes()])?;
    if row.scope == Some(EraseScope::Dataset) {
        super::apply::delete_dataset(conn, &row.dataset).map_err(|error| match error {
            CatalogError::Conflict(Conflict::DatasetNotEmpty) => Conflict::KeyWork.into(),
            other => other,
        })?;
    }
    let update = "UPDATE key_works SET open = 0, ended = ?2 WHERE id = ?1";
    sql::exec(conn, update, params![work.as_bytes(), encode_value(end)])?;
    Ok(())
}

/// Puts work back.
pub(super) fn restore(conn: &Connection, row: &KeyWorkRow) -> Result<(), CatalogError> {
    insert(conn, row, &row.tally)
}

/// Puts back what an erasure took out.
pub(super) fn restore_erased(
    conn: &Connection,
    work: &KeyWorkId,
    writes: &[ErasedWrite],
    doomed: &[DoomedBlob],
) -> Result<(), CatalogError> {
    let select = "SELECT count(*) FROM erased WHERE work = ?1";
    let count = sql::one(conn, select, [work.as_bytes()], |row| sql::get_int(row, 0))?;
    for (number, write) in (count.unwrap_or_default()..).zip(writes) {
        add_erased(conn, work, number, write)?;
    }
    for blob in doomed {
        let insert = "INSERT INTO doomed (work, blob, shared) VALUES (?1, ?2, ?3)";
        let bounds = params![work.as_bytes(), blob.id.as_bytes(), blob.shared];
        sql::exec(conn, insert, bounds)?;
    }
    Ok(())
}

/// `id, row, tally, ended`.
pub(super) fn work(row: &Row<'_>) -> Result<KeyWorkRow, CatalogError> {
    let mut found: KeyWorkRow = sql::get_encoded(row, 1)?;
    found.tally = sql::get_encoded(row, 2)?;
    found.end = sql::get_some(row, 3)?;
    let same = found.id.as_bytes() == &sql::get_id(row, 0)?;
    same.then_some(found).ok_or(CatalogError::Damaged {
        what: "work on keys",
    })
}

fn open_work(conn: &Connection, id: &KeyWorkId) -> Result<KeyWorkRow, CatalogError> {
    let found = one(conn, id)?.filter(|row| row.end.is_none());
    found.ok_or_else(|| Conflict::NoKeyWork.into())
}

/// One piece of work.
pub(super) fn one(conn: &Connection, id: &KeyWorkId) -> Result<Option<KeyWorkRow>, CatalogError> {
    let select = "SELECT id, row, tally, ended FROM key_works WHERE id = ?1";
    sql::one(conn, select, [id.as_bytes()], work)
}

/// Work that is not done.
pub(super) fn open(conn: &Connection) -> Result<Vec<KeyWorkRow>, CatalogError> {
    let select = "SELECT id, row, tally, ended FROM key_works WHERE open = 1 ORDER BY begun, id";
    sql::all(conn, select, [], work)
}

/// Work in order of its beginning.
pub(super) fn all(
    conn: &Connection,
    dataset: Option<&DatasetId>,
    after: Option<(Timestamp, KeyWorkId)>,
    limit: usize,
) -> Result<Vec<KeyWorkRow>, CatalogError> {
    let (begun, id) = after.map_or((-1, Vec::new()), |(begun, id)| {
        (sql::time(begun).unwrap_or(i64::MAX), id.as_bytes().to_vec())
    });
    let select = "SELECT id, row, tally, ended FROM key_works
        WHERE (begun, id) > (?1, ?2) AND (?3 IS NULL OR dataset = ?3)
        ORDER BY begun, id LIMIT ?4";
    let limit = sql::limit(limit.min(limits::PAGE_ENTRIES_MAX));
    let dataset = dataset.map(DatasetId::as_bytes);
    sql::all(conn, select, params![begun, id, dataset, limit], work)
}

/// `key, version, bytes`.
pub(super) fn erased_write(row: &Row<'_>) -> Result<ErasedWrite, CatalogError> {
    Ok(ErasedWrite {
        key: sql::get_key(row, 0)?,
        version: VersionId::from_bytes(sql::get_id(row, 1)?),
        bytes: sql::get_int(row, 2)?,
    })
}

/// What was erased, in order.
pub(super) fn erased(
    conn: &Connection,
    id: &KeyWorkId,
    from: u64,
    limit: usize,
) -> Result<Vec<ErasedWrite>, CatalogError> {
    let select = "SELECT key, version, bytes FROM erased
        WHERE work = ?1 AND number >= ?2 ORDER BY number LIMIT ?3";
    let limit = sql::limit(limit.min(limits::PAGE_ENTRIES_MAX));
    let bounds = params![id.as_bytes(), sql::int(from)?, limit];
    sql::all(conn, select, bounds, erased_write)
}

/// Blobs that are to go, and how many stay.
pub(super) fn doomed(
    conn: &Connection,
    id: &KeyWorkId,
    limit: usize,
) -> Result<(Vec<BlobId>, u64), CatalogError> {
    let select = "SELECT blob FROM doomed WHERE work = ?1 AND shared = 0 ORDER BY blob LIMIT ?2";
    let limit = sql::limit(limit.min(limits::PAGE_ENTRIES_MAX));
    let ids = sql::all(conn, select, params![id.as_bytes(), limit], |row| {
        sql::get_id(row, 0).map(BlobId::from_bytes)
    })?;
    let count = "SELECT count(*) FROM doomed WHERE work = ?1 AND shared = 1";
    let kept = sql::one(conn, count, [id.as_bytes()], |row| sql::get_int(row, 0))?;
    Ok((ids, kept.unwrap_or_default()))
}

/// Objects of a dataset, current and older, whole keys of them.
pub(super) fn writes(
    conn: &Connection,
    dataset: &DatasetId,
    after: &[u8],
    limit: usize,
) -> Result<Vec<ObjectRow>, CatalogError> {
    let moment = conn.unchecked_transaction()?;
    // The key that ends the page; without one it is the last page.
    let end = "SELECT key FROM (
            SELECT key FROM objects WHERE dataset = ?1 AND key > ?2
            UNION ALL SELECT key FROM versions WHERE dataset = ?1 AND key > ?2
        ) ORDER BY key LIMIT 1 OFFSET ?3";
    let offset = sql::limit(limit.clamp(1, limits::PAGE_ENTRIES_MAX)).saturating_sub(1);
    let bounds = params![dataset.as_bytes(), after, offset];
    let end: Option<Vec<u8>> = sql::one(conn, end, bounds, |row| Ok(row.get(0)?))?;
    let until = if end.is_some() {
        "AND key <= ?3"
    } else {
        "AND ?3 IS NULL"
    };
    let mut found = Vec::new();
    for table in ["objects", "versions"] {
        let select = format!(
            "SELECT dataset, key, version, bytes, etag, modified, detail, sealed_table, versioned,
                facts, body
             FROM {table} LEFT JOIN bodies ON bodies.id = body
             WHERE dataset = ?1 AND key > ?2 {until} ORDER BY key"
        );
        let bounds = params![dataset.as_bytes(), after, end];
        let read = sql::all(conn, &select, bounds, rows::version)?;
        found.extend(read.into_iter().filter_map(|version| match version {
            Version::Object(row) => Some(row),
            Version::Marker(_) => None,
        }));
    }
    // One moment of both tables: an object that becomes an older version is in one of them.
    moment.commit()?;
    found.sort_by(|a, b| (&a.key, a.version).cmp(&(&b.key, b.version)));
    Ok(found)
}
