//! Frozen datasets: rows of their own that share the bodies of the objects they were frozen from.
//!
//! A body that is frozen has a row in `held`: how many frozen rows refer to it, and whether an
//! object or older version still does. So freezing touches no body and no blob, whatever their
//! number, and a body goes with the last that refers to it.

use rusqlite::{Connection, Row, params};

use super::apply::{must, must_insert, need_dataset};
use super::apply_facts::body_of;
use super::apply_object::{Place, drop_body, insert_body};
use super::keywork::check_floor;
use super::{blobs, rows, sql};
use crate::catalog::codec::encode_value;
use crate::catalog::keywork::index_sealed_under;
use crate::catalog::{
    Attached, BlobUse, CatalogError, Conflict, Facts, Issue, ObjectRow, PublicationRow,
};
use crate::types::{BlobId, DatasetId, ObjectKey, PublicationId, Timestamp, limits};

const PUBLICATION: &str = "SELECT id, row FROM publications WHERE id = ?1";

/// Freezes a dataset as it is.
pub(super) fn freeze(conn: &Connection, row: &PublicationRow) -> Result<(), CatalogError> {
    let row = PublicationRow {
        issue: None,
        ..row.clone()
    };
    insert(conn, &row, &[])?;
    let bounds = params![row.id.as_bytes(), row.dataset.as_bytes()];
    let copy = "INSERT INTO frozen
        (publication, key, bytes, etag, modified, version, body, versioned)
        SELECT ?1, key, bytes, etag, modified, version, body, versioned
        FROM objects WHERE dataset = ?2 ORDER BY key";
    sql::exec(conn, copy, bounds)?;
    let hold = "INSERT INTO held (body, frozen, live)
        SELECT body, 1, 1 FROM objects WHERE dataset = ?1
        ON CONFLICT DO UPDATE SET frozen = frozen + 1";
    sql::exec(conn, hold, [row.dataset.as_bytes()])?;
    Ok(())
}

fn insert(conn: &Connection, row: &PublicationRow, held: &[BlobId]) -> Result<(), CatalogError> {
    need_dataset(conn, &row.dataset)?;
    let insert = "INSERT INTO publications (id, dataset, number, frozen, row, blobs)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING";
    let inserted = sql::exec(
        conn,
        insert,
        params![
            row.id.as_bytes(),
            row.dataset.as_bytes(),
            row.issue.as_ref().map(|issue| issue.number),
            sql::time(row.frozen)?,
            encode_value(row),
            sql::join_ids(held)
        ],
    )?;
    must_insert(inserted, "publication")
}

/// Makes a frozen dataset a version.
pub(super) fn issue(
    conn: &Connection,
    id: &PublicationId,
    issue: &Issue,
    uses: &BlobUse,
) -> Result<(), CatalogError> {
    let row = sql::one(conn, PUBLICATION, [id.as_bytes()], publication)?;
    let row = row.ok_or(Conflict::NoPublication)?;
    must(row.issue.is_none(), Conflict::NumberTaken)?;
    check_floor(conn, &row.dataset, index_sealed_under(&issue.sealed_key))?;
    let select = "SELECT coalesce(max(number), 0) FROM publications WHERE dataset = ?1";
    let last = sql::one(conn, select, [row.dataset.as_bytes()], |row| {
        Ok(row.get::<_, u32>(0)?)
    })?;
    must(
        last.unwrap_or_default().checked_add(1) == Some(issue.number),
        Conflict::NumberTaken,
    )?;
    let held = blobs::hold(conn, uses)?;
    let row = PublicationRow {
        issue: Some(issue.clone()),
        ..row
    };
    let update = "UPDATE publications SET number = ?2, row = ?3, blobs = ?4 WHERE id = ?1";
    let bounds = params![
        id.as_bytes(),
        issue.number,
        encode_value(&row),
        sql::join_ids(&held)
    ];
    sql::exec(conn, update, bounds)?;
    Ok(())
}

/// Drops a frozen dataset; what nothing else refers to goes with it.
pub(super) fn drop_publication(
    conn: &Connection,
    id: &PublicationId,
    now: Timestamp,
) -> Result<(), CatalogError> {
    let select = "SELECT blobs FROM publications WHERE id = ?1";
    let held = sql::one(conn, select, [id.as_bytes()], |row| sql::get_ids(row, 0))?;
    blobs::lose(conn, &held.ok_or(Conflict::NoPublication)?, now)?;
    let release = "UPDATE held SET frozen = frozen - 1
        WHERE body IN (SELECT body FROM frozen WHERE publication = ?1)";
    sql::exec(conn, release, [id.as_bytes()])?;
    let gone = "SELECT body FROM frozen CROSS JOIN held USING (body)
        WHERE publication = ?1 AND held.frozen = 0 AND live = 0";
    let gone: Vec<i64> = sql::all(conn, gone, [id.as_bytes()], |row| Ok(row.get(0)?))?;
    let forget = "DELETE FROM held WHERE frozen = 0
        AND body IN (SELECT body FROM frozen WHERE publication = ?1)";
    sql::exec(conn, forget, [id.as_bytes()])?;
    for body in gone {
        blobs::lose(conn, &drop_body(conn, body)?, now)?;
    }
    let id = [id.as_bytes()];
    sql::exec(conn, "DELETE FROM frozen WHERE publication = ?1", id)?;
    sql::exec(conn, "DELETE FROM publications WHERE id = ?1", id)?;
    Ok(())
}

/// Whether a body is frozen; if so the object or older version lets go of it here.
pub(super) fn outlives(conn: &Connection, body: i64) -> Result<bool, CatalogError> {
    let update = "UPDATE held SET live = 0 WHERE body = ?1 AND live = 1";
    Ok(sql::exec(conn, update, [body])? == 1)
}

/// The body that an object or older version may change: its own, or a copy if it is frozen.
pub(super) fn own_body(
    conn: &Connection,
    (dataset, key): Place<'_>,
    body: i64,
) -> Result<i64, CatalogError> {
    if !outlives(conn, body)? {
        return Ok(body);
    }
    let copy = "INSERT INTO bodies (detail, blobs, sealed_table, facts, origin)
        SELECT detail, blobs, sealed_table, facts, origin FROM bodies WHERE id = ?1";
    sql::exec(conn, copy, [body])?;
    let own = conn.last_insert_rowid();
    let select = "SELECT blobs FROM bodies WHERE id = ?1";
    let shared = sql::one(conn, select, [own], |row| sql::get_ids(row, 0))?;
    let shared = shared.ok_or(CatalogError::Damaged { what: "object" })?;
    let fresh = Vec::new();
    blobs::hold(conn, &BlobUse { fresh, shared })?;
    let bounds = params![dataset.as_bytes(), key.as_str().as_bytes(), body, own];
    let current = "UPDATE objects SET body = ?4 WHERE dataset = ?1 AND key = ?2 AND body = ?3";
    let older = "UPDATE versions SET body = ?4 WHERE dataset = ?1 AND key = ?2 AND body = ?3";
    sql::exec(conn, current, bounds)?;
    sql::exec(conn, older, bounds)?;
    Ok(own)
}

/// Puts a frozen dataset back, without its rows.
pub(super) fn restore(
    conn: &Connection,
    row: &PublicationRow,
    uses: &BlobUse,
) -> Result<(), CatalogError> {
    let held = blobs::hold(conn, uses)?;
    insert(conn, row, &held)
}

/// Puts a row of a frozen dataset back, with a body of its `own` or that of the object that is
/// there.
pub(super) fn restore_row(
    conn: &Connection,
    id: &PublicationId,
    (row, versioned): (&ObjectRow, bool),
    own: Option<(&Attached, &Facts, &BlobUse)>,
) -> Result<(), CatalogError> {
    let there = sql::exists(conn, PUBLICATION, [id.as_bytes()])?;
    must(there, Conflict::NoPublication)?;
    let live = own.is_none();
    let body = match own {
        None => body_of(conn, (&row.dataset, &row.key), &row.version)?,
        Some((attached, facts, uses)) => {
            let held = blobs::hold(conn, uses)?;
            let body = insert_body(conn, row, &held, attached)?;
            if *facts != Facts::default() {
                let update = "UPDATE bodies SET facts = ?2 WHERE id = ?1";
                sql::exec(conn, update, params![body, encode_value(facts)])?;
            }
            body
        }
    };
    let hold = "INSERT INTO held (body, frozen, live) VALUES (?1, 1, ?2)
        ON CONFLICT DO UPDATE SET frozen = frozen + 1";
    sql::exec(conn, hold, params![body, live])?;
    let insert = "INSERT INTO frozen
        (publication, key, bytes, etag, modified, version, body, versioned)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let bounds = params![
        id.as_bytes(),
        row.key.as_str().as_bytes(),
        sql::int(row.bytes)?,
        row.etag.as_str(),
        sql::time(row.modified)?,
        row.version.as_bytes(),
        body,
        versioned
    ];
    sql::exec(conn, insert, bounds)?;
    Ok(())
}

/// `id, row`.
pub(super) fn publication(row: &Row<'_>) -> Result<PublicationRow, CatalogError> {
    let found: PublicationRow = sql::get_encoded(row, 1)?;
    let same = found.id.as_bytes() == &sql::get_id(row, 0)?;
    same.then_some(found).ok_or(CatalogError::Damaged {
        what: "publication",
    })
}

/// A published version.
pub(super) fn of_number(
    conn: &Connection,
    dataset: &DatasetId,
    number: u32,
) -> Result<Option<PublicationRow>, CatalogError> {
    let select = "SELECT id, row FROM publications WHERE dataset = ?1 AND number = ?2";
    sql::one(
        conn,
        select,
        params![dataset.as_bytes(), number],
        publication,
    )
}

/// Published versions in order of number.
pub(super) fn all(
    conn: &Connection,
    dataset: &DatasetId,
    after: u32,
    limit: usize,
) -> Result<Vec<PublicationRow>, CatalogError> {
    let select = "SELECT id, row FROM publications
        WHERE dataset = ?1 AND number > ?2 ORDER BY number LIMIT ?3";
    let limit = sql::limit(limit.min(limits::PAGE_ENTRIES_MAX));
    let bounds = params![dataset.as_bytes(), after, limit];
    sql::all(conn, select, bounds, publication)
}

/// Frozen datasets that never became versions.
pub(super) fn stale(
    conn: &Connection,
    before: Timestamp,
    limit: usize,
) -> Result<Vec<PublicationRow>, CatalogError> {
    let select = "SELECT id, row FROM publications
        WHERE number IS NULL AND frozen < ?1 ORDER BY frozen LIMIT ?2";
    let bounds = params![sql::time(before)?, sql::limit(limit)];
    sql::all(conn, select, bounds, publication)
}

/// Those of one dataset, in order of identity.
pub(super) fn unissued(
    conn: &Connection,
    dataset: &DatasetId,
    after: Option<PublicationId>,
    limit: usize,
) -> Result<Vec<PublicationRow>, CatalogError> {
    let select = "SELECT id, row FROM publications
        WHERE dataset = ?1 AND number IS NULL AND id > ?2 ORDER BY id LIMIT ?3";
    let after = after.map_or_else(Vec::new, |id| id.as_bytes().to_vec());
    let limit = sql::limit(limit.min(limits::PAGE_ENTRIES_MAX));
    let bounds = params![dataset.as_bytes(), after, limit];
    sql::all(conn, select, bounds, publication)
}

/// One object of a frozen dataset.
pub(super) fn object(
    conn: &Connection,
    id: &PublicationId,
    key: &ObjectKey,
) -> Result<Option<ObjectRow>, CatalogError> {
    let select = "SELECT dataset, key, version, bytes, etag, modified, detail, sealed_table,
            versioned, facts
        FROM frozen JOIN publications ON publications.id = publication
            LEFT JOIN bodies ON bodies.id = frozen.body
        WHERE publication = ?1 AND key = ?2";
    let place = params![id.as_bytes(), key.as_str().as_bytes()];
    sql::one(conn, select, place, rows::object)
}

/// Objects of a frozen dataset in order of key, those from `from` on.
pub(super) fn page(
    conn: &Connection,
    id: &PublicationId,
    from: &[u8],
    limit: usize,
) -> Result<Vec<ObjectRow>, CatalogError> {
    let select = "SELECT dataset, key, version, bytes, etag, modified, detail, sealed_table,
            versioned, facts
        FROM publications CROSS JOIN frozen ON publications.id = publication
            LEFT JOIN bodies ON bodies.id = frozen.body
        WHERE publications.id = ?1 AND publication = ?1 AND key >= ?2 ORDER BY key LIMIT ?3";
    let limit = sql::limit(limit.min(limits::PAGE_ENTRIES_MAX));
    let bounds = params![id.as_bytes(), from, limit];
    let weigh = |row: &ObjectRow| row.sealed_table.len();
    let (rows, _heavy) = sql::within(conn, select, bounds, rows::object, weigh)?;
    Ok(rows)
}
