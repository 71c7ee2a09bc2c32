//! Work on keys: what its mutations do to the tables, and what is asked of it.

use rusqlite::{Connection, Row, params};

use super::apply::{must, must_insert, need_dataset};
use super::apply_object::Place;
use super::erase::{Erasing, add_erased, erase_key, erase_published};
use super::{publications, roster, rows, sql};
use crate::catalog::codec::encode_value;
use crate::catalog::keywork::{index_sealed_under, name_meets, sealed_under};
use crate::catalog::{
    Card, CatalogError, Conflict, DeletedRow, DoomedBlob, EraseScope, ErasedWrite, Facts, Issue,
    KeyWorkRow, ObjectRow, PartRow, PublicationRow, RosterKind, Tally, Version, WorkEnd,
};
use crate::types::{
    BlobId, DatasetId, KeyWorkId, ObjectKey, PublicationId, Timestamp, UploadId, VersionId, limits,
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

/// Whether all that is left of a dataset are the keys that this erases.
fn is_left(conn: &Connection, row: &KeyWorkRow) -> Result<bool, CatalogError> {
    let name = DeletedRow::name(&row.bucket, &row.dataset);
    let left = roster::get(conn, RosterKind::Deleted, &name)?.is_some();
    Ok(left && row.scope == Some(EraseScope::Dataset))
}

/// Work on a dataset's keys that is not done.
fn works_on(conn: &Connection, dataset: &DatasetId) -> Result<Vec<KeyWorkRow>, CatalogError> {
    let select = "SELECT row FROM key_works WHERE dataset = ?1 AND open = 1";
    sql::all(conn, select, [dataset.as_bytes()], |row| {
        sql::get_encoded(row, 0)
    })
}

/// A dataset whose keys are worked on is not deleted meanwhile. In a vault of before, what destroys
/// them was begun in the commit that deletes it.
pub(super) fn check_idle(conn: &Connection, dataset: &DatasetId) -> Result<(), CatalogError> {
    let works = works_on(conn, dataset)?;
    must(
        works.iter().all(KeyWorkRow::is_of_deleted),
        Conflict::KeyWork,
    )
}

/// Begins work on a dataset's keys.
pub(super) fn begin(conn: &Connection, row: &KeyWorkRow) -> Result<(), CatalogError> {
    if !is_left(conn, row)? {
        need_dataset(conn, &row.dataset)?;
    }
    must(works_on(conn, &row.dataset)?.is_empty(), Conflict::KeyWork)?;
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
    check_hold(conn, &row.dataset)?;
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

/// What is under legal hold as a whole is neither erased nor deleted.
pub(super) fn check_hold(conn: &Connection, dataset: &DatasetId) -> Result<(), CatalogError> {
    let select = "SELECT card FROM datasets WHERE id = ?1 AND card IS NOT NULL";
    let card = sql::one(conn, select, [dataset.as_bytes()], |row| {
        sql::get_encoded::<Card>(row, 0)
    })?;
    must(
        card.is_none_or(|card| card.held.is_none()),
        Conflict::Locked,
    )
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
            let versioned: bool = row.get(2)?;
            let meant = name.is_none_or(|name| name_meets(name, (&version, versioned)));
            Ok(meant && facts.lock.holds(now))
        })?;
        must(!locked.contains(&true), Conflict::Locked)?;
    }
    Ok(())
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
    let select = "SELECT dataset FROM uploads WHERE id = ?1";
    let dataset = sql::one(conn, select, [upload.as_bytes()], |row| sql::get_id(row, 0))?;
    let dataset = dataset.ok_or(CatalogError::Damaged { what: "part" })?;
    check_floor(conn, &DatasetId::from_bytes(dataset), sealed_under(table))?;
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
    if let Some(row) = sql::one(conn, select, [id.as_bytes()], publications::publication)? {
        check_floor(conn, &row.dataset, index_sealed_under(sealed_key))?;
    }
    set_index(conn, id, sealed_key)
}

/// Puts the key of a version's index in the place of another, or nothing (an erasure).
pub(super) fn set_index(
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
    if row.scope == Some(EraseScope::Dataset) && !is_left(conn, &row)? {
        super::apply::delete_dataset(conn, &row.dataset).map_err(|error| {
            let full = error == Conflict::DatasetNotEmpty.into();
            if full {
                Conflict::KeyWork.into()
            } else {
                error
            }
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

/// A seek: to count what is there for each write that comes back would be quadratic.
pub(super) const NEXT_ERASED: &str =
    "SELECT coalesce(max(number) + 1, 0) FROM erased WHERE work = ?1";

/// Puts back what an erasure took out.
pub(super) fn restore_erased(
    conn: &Connection,
    work: &KeyWorkId,
    writes: &[ErasedWrite],
    doomed: &[DoomedBlob],
) -> Result<(), CatalogError> {
    let next = sql::one(conn, NEXT_ERASED, [work.as_bytes()], |row| {
        sql::get_int(row, 0)
    })?;
    for (number, write) in (next.unwrap_or_default()..).zip(writes) {
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

pub(super) fn open_work(conn: &Connection, id: &KeyWorkId) -> Result<KeyWorkRow, CatalogError> {
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

/// Objects of a dataset, current and older, that come after a key and a version.
pub(super) fn writes(
    conn: &Connection,
    dataset: &DatasetId,
    after: Option<&(ObjectKey, VersionId)>,
    limit: usize,
) -> Result<Vec<ObjectRow>, CatalogError> {
    let moment = conn.unchecked_transaction()?;
    // No key is empty, and no version is.
    let (key, version): (&[u8], &[u8]) = after.map_or((&[], &[]), |(key, version)| {
        (key.as_str().as_bytes(), version.as_bytes())
    });
    let limit = limit.clamp(1, limits::PAGE_ENTRIES_MAX);
    let (mut found, mut ends): (Vec<ObjectRow>, Option<(ObjectKey, VersionId)>) =
        (Vec::new(), None);
    for table in ["objects", "versions INDEXED BY versions_by_name"] {
        let select = format!(
            "SELECT dataset, key, version, bytes, etag, modified, detail, sealed_table, versioned,
                facts, body
             FROM {table} LEFT JOIN bodies ON bodies.id = body
             WHERE dataset = ?1 AND key >= ?2 AND (key, version) > (?2, ?3) AND body IS NOT NULL
             ORDER BY key, version LIMIT ?4"
        );
        let bounds = params![dataset.as_bytes(), key, version, sql::limit(limit)];
        let weigh = |version: &Version| match version {
            Version::Object(row) => row.sealed_table.len(),
            Version::Marker(_) => 0,
        };
        let (read, heavy) = sql::within(conn, &select, bounds, rows::version, weigh)?;
        let is_part = heavy || read.len() >= limit;
        let objects = read.into_iter().filter_map(|version| match version {
            Version::Object(row) => Some(row),
            Version::Marker(_) => None,
        });
        found.extend(objects);
        if let Some(last) = found.last().filter(|_| is_part) {
            let place = (last.key.clone(), last.version);
            ends = Some(match ends {
                Some(end) => end.min(place),
                None => place,
            });
        }
    }
    // One moment of both tables: an object that becomes an older version is in one of them.
    moment.commit()?;
    // What of one table was not read comes before what of the other lies behind it.
    if let Some((key, version)) = ends {
        found.retain(|row| (&row.key, row.version) <= (&key, version));
    }
    found.sort_by(|a, b| (&a.key, a.version).cmp(&(&b.key, b.version)));
    found.truncate(limit);
    // Each table gave a page of its own.
    let mut bytes = 0_usize;
    found.retain(|row| {
        let room = bytes < limits::PAGE_BYTES_MAX;
        bytes = bytes.saturating_add(row.sealed_table.len());
        room
    });
    Ok(found)
}
