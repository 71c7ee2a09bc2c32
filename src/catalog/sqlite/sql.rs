//! Small words for statements and columns. Every statement is prepared once per connection.

use std::str::FromStr;

use bytes::Bytes;
use rusqlite::{Connection, Params, Row};

use crate::catalog::CatalogError;
use crate::catalog::codec::{Wire, decode_value};
use crate::types::{BlobId, Timestamp, limits};

/// Runs a statement; how many rows it changed.
pub(super) fn exec(
    conn: &Connection,
    sql: &str,
    params: impl Params,
) -> Result<usize, CatalogError> {
    Ok(conn.prepare_cached(sql)?.execute(params)?)
}

/// Whether a query returns any row.
pub(super) fn exists(
    conn: &Connection,
    sql: &str,
    params: impl Params,
) -> Result<bool, CatalogError> {
    Ok(conn.prepare_cached(sql)?.exists(params)?)
}

/// The first row of a query.
pub(super) fn one<T>(
    conn: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnOnce(&Row<'_>) -> Result<T, CatalogError>,
) -> Result<Option<T>, CatalogError> {
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    rows.next()?.map(read).transpose()
}

/// Every row of a query.
pub(super) fn all<T>(
    conn: &Connection,
    sql: &str,
    params: impl Params,
    read: impl Fn(&Row<'_>) -> Result<T, CatalogError>,
) -> Result<Vec<T>, CatalogError> {
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        out.push(read(row)?);
    }
    Ok(out)
}

/// The rows of a page that may be large: at least one, and no more once they weigh
/// [`limits::PAGE_BYTES_MAX`]; whether some were left out for it.
pub(super) fn within<T>(
    conn: &Connection,
    sql: &str,
    params: impl Params,
    read: impl Fn(&Row<'_>) -> Result<T, CatalogError>,
    weigh: impl Fn(&T) -> usize,
) -> Result<(Vec<T>, bool), CatalogError> {
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let (mut out, mut bytes) = (Vec::new(), 0_usize);
    while let Some(row) = rows.next()? {
        if bytes >= limits::PAGE_BYTES_MAX {
            return Ok((out, true));
        }
        let row = read(row)?;
        bytes = bytes.saturating_add(weigh(&row));
        out.push(row);
    }
    Ok((out, false))
}

/// A number as SQLite can keep it: below 2^63.
pub(super) fn int(number: u64) -> Result<i64, CatalogError> {
    i64::try_from(number).map_err(|error| CatalogError::Failed {
        reason: format!("a number is too large for a column: {error}"),
    })
}

/// A time as a column.
pub(super) fn time(time: Timestamp) -> Result<i64, CatalogError> {
    int(time.millis())
}

/// A `LIMIT`.
pub(super) fn limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// A number out of a column.
pub(super) fn get_int(row: &Row<'_>, column: usize) -> Result<u64, CatalogError> {
    u64::try_from(row.get::<_, i64>(column)?)
        .map_err(|_negative| CatalogError::Damaged { what: "number" })
}

/// A time out of a column.
pub(super) fn get_time(row: &Row<'_>, column: usize) -> Result<Timestamp, CatalogError> {
    get_int(row, column).map(Timestamp::from_millis)
}

/// A time out of a column that may be `NULL`.
pub(super) fn get_time_or_none(
    row: &Row<'_>,
    column: usize,
) -> Result<Option<Timestamp>, CatalogError> {
    if row.get_ref(column)? == rusqlite::types::ValueRef::Null {
        return Ok(None);
    }
    get_time(row, column).map(Some)
}

/// The 16 bytes of an identifier.
pub(super) fn get_id(row: &Row<'_>, column: usize) -> Result<[u8; 16], CatalogError> {
    Ok(row.get(column)?)
}

/// A checked name out of a text column.
pub(super) fn get_name<T: FromStr>(row: &Row<'_>, column: usize) -> Result<T, CatalogError> {
    let text = row.get_ref(column)?.as_str()?;
    text.parse()
        .map_err(|_not_a_name| CatalogError::Damaged { what: "name" })
}

/// A checked name out of a BLOB column.
pub(super) fn get_key<T: FromStr>(row: &Row<'_>, column: usize) -> Result<T, CatalogError> {
    let damaged = CatalogError::Damaged { what: "object key" };
    let bytes = row.get_ref(column)?.as_blob()?;
    std::str::from_utf8(bytes)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or(damaged)
}

/// Bytes out of a column.
pub(super) fn get_bytes(row: &Row<'_>, column: usize) -> Result<Bytes, CatalogError> {
    Ok(Bytes::copy_from_slice(row.get_ref(column)?.as_blob()?))
}

/// An encoded value out of a column.
pub(super) fn get_encoded<T: Wire>(row: &Row<'_>, column: usize) -> Result<T, CatalogError> {
    Ok(decode_value(row.get_ref(column)?.as_blob()?)?)
}

/// A value out of a column that is `NULL` for none.
pub(super) fn get_some<T: Wire>(row: &Row<'_>, column: usize) -> Result<Option<T>, CatalogError> {
    let blob = row.get_ref(column)?.as_blob_or_null()?;
    Ok(blob.map(decode_value).transpose()?)
}

/// A row's blobs, as its `blobs` column holds them.
pub(super) fn join_ids(ids: &[BlobId]) -> Vec<u8> {
    ids.iter().flat_map(|id| *id.as_bytes()).collect()
}

/// A row's blobs out of its `blobs` column.
pub(super) fn get_ids(row: &Row<'_>, column: usize) -> Result<Vec<BlobId>, CatalogError> {
    let (ids, rest) = row.get_ref(column)?.as_blob()?.as_chunks::<16>();
    if rest.is_empty() {
        Ok(ids.iter().copied().map(BlobId::from_bytes).collect())
    } else {
        Err(CatalogError::Damaged { what: "blob list" })
    }
}
