//! Which blobs are known, how many rows refer to each, and since when none does.

use std::collections::BTreeSet;

use rusqlite::{Connection, params};

use super::sql;
use crate::catalog::{BlobUse, CatalogError, Conflict};
use crate::types::{BlobId, Timestamp};

/// Registers the references of a new row; its blobs, sorted, each once.
pub(super) fn hold(conn: &Connection, blobs: &BlobUse) -> Result<Vec<BlobId>, CatalogError> {
    let fresh: BTreeSet<BlobId> = blobs.fresh.iter().copied().collect();
    let shared: BTreeSet<BlobId> = blobs.shared.iter().copied().collect();
    for id in &fresh {
        let insert = "INSERT INTO blobs (id, refs) VALUES (?1, 1) ON CONFLICT DO NOTHING";
        if sql::exec(conn, insert, [id.as_bytes()])? == 0 {
            return Err(CatalogError::repeated("blob"));
        }
    }
    for id in shared.difference(&fresh) {
        let update = "UPDATE blobs SET refs = refs + 1, lost = NULL WHERE id = ?1";
        if sql::exec(conn, update, [id.as_bytes()])? == 0 {
            return Err(Conflict::BlobGone.into());
        }
    }
    Ok(fresh.union(&shared).copied().collect())
}

/// Takes one reference off each of these, as often as it is named; a blob that loses its last one
/// gets the time.
pub(super) fn lose<'a>(
    conn: &Connection,
    blobs: impl IntoIterator<Item = &'a BlobId>,
    now: Timestamp,
) -> Result<(), CatalogError> {
    let now = sql::time(now)?;
    let update = "UPDATE blobs SET refs = refs - 1, lost = iif(refs = 1, ?2, NULL)
        WHERE id = ?1 AND refs > 0";
    for id in blobs {
        if sql::exec(conn, update, params![id.as_bytes(), now])? == 0 {
            return Err(CatalogError::Damaged {
                what: "blob reference",
            });
        }
    }
    Ok(())
}

/// Registers blobs without a reference.
pub(super) fn restore(
    conn: &Connection,
    blobs: &[(BlobId, Timestamp)],
) -> Result<(), CatalogError> {
    let insert = "INSERT INTO blobs (id, refs, lost) VALUES (?1, 0, ?2) ON CONFLICT DO NOTHING";
    for (id, lost) in blobs {
        if sql::exec(conn, insert, params![id.as_bytes(), sql::time(*lost)?])? == 0 {
            return Err(CatalogError::repeated("blob"));
        }
    }
    Ok(())
}

/// Takes those that no row refers to out of the catalog.
pub(super) fn forget(conn: &Connection, blobs: &[BlobId]) -> Result<(), CatalogError> {
    for id in blobs {
        let delete = "DELETE FROM blobs WHERE id = ?1 AND refs = 0";
        sql::exec(conn, delete, [id.as_bytes()])?;
    }
    Ok(())
}

/// Those that lost their last reference before `before`, longest lost first.
pub(super) fn lost(
    conn: &Connection,
    before: Timestamp,
    limit: usize,
) -> Result<Vec<BlobId>, CatalogError> {
    let select = "SELECT id FROM blobs WHERE refs = 0 AND lost < ?1 ORDER BY lost, id LIMIT ?2";
    sql::all(
        conn,
        select,
        params![sql::time(before)?, sql::limit(limit)],
        |row| sql::get_id(row, 0).map(BlobId::from_bytes),
    )
}
