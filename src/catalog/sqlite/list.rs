//! Pages: of objects, uploads, parts. Each seeks to where it begins and stops when it is full.

use rusqlite::{Connection, Rows, params};

use super::{rows, sql};
use crate::catalog::listing::{self, Span};
use crate::catalog::{
    CatalogError, ListEntry, ListQuery, Page, PartPage, PartRow, UploadPage, UploadQuery,
};
use crate::types::{DatasetId, ObjectKey, UploadId, limits};

pub(super) const OBJECTS: &str = "SELECT key, bytes, etag, modified FROM objects
    WHERE dataset = ?1 AND key >= ?2 AND key < ?3 ORDER BY key";
pub(super) const FROZEN: &str = "SELECT key, bytes, etag, modified FROM frozen
    WHERE publication = ?1 AND key >= ?2 AND key < ?3 ORDER BY key";
const UPLOADS: &str = "SELECT id, dataset, row, tags, facts FROM uploads
    WHERE dataset = ?1 AND (key, initiated, id) > (?2, ?3, ?4) AND key < ?5
    ORDER BY key, initiated, id LIMIT ?6";
const PARTS: &str = "SELECT upload, number, row FROM parts
    WHERE upload = ?1 AND number > ?2 ORDER BY number LIMIT ?3";

/// One page of objects. Past a folded prefix it seeks to the first key behind it, so that a page
/// costs what it returns (a loose index scan).
pub(super) fn objects(
    conn: &Connection,
    of: &[u8; 16],
    query: &ListQuery,
    select: &str,
) -> Result<Page, CatalogError> {
    // One snapshot for all seeks of the page.
    let snapshot = conn.unchecked_transaction()?;
    let limit = query.limit.min(limits::PAGE_ENTRIES_MAX);
    let mut statement = snapshot.prepare_cached(select)?;
    let Span { start, end } = listing::span(query);
    let mut page = Page::default();
    let mut next = (limit > 0).then_some(start);
    while let Some(start) = next.filter(|start| *start < end) {
        let rows = statement.query(params![of, start, end])?;
        next = run(rows, query, limit, &mut page)?;
    }
    Ok(page)
}

/// Adds entries from one seek on, up to the first folded prefix; where to seek next, if anywhere.
fn run(
    mut rows: Rows<'_>,
    query: &ListQuery,
    limit: usize,
    page: &mut Page,
) -> Result<Option<Vec<u8>>, CatalogError> {
    while let Some(row) = rows.next()? {
        if page.entries.len() >= limit {
            page.more = true;
            return Ok(None);
        }
        let key: ObjectKey = sql::get_key(row, 0)?;
        if let Some(prefix) = listing::folded(query, key.as_str()) {
            page.entries.push(ListEntry::Prefix(prefix.into()));
            return Ok(Some(listing::successor(prefix.as_bytes())));
        }
        page.entries.push(ListEntry::Object {
            key,
            bytes: sql::get_int(row, 1)?,
            etag: sql::get_name(row, 2)?,
            modified: sql::get_time(row, 3)?,
        });
    }
    Ok(None)
}

/// One page of uploads.
pub(super) fn uploads(
    conn: &Connection,
    dataset: &DatasetId,
    query: &UploadQuery,
) -> Result<UploadPage, CatalogError> {
    let limit = query.limit.min(limits::PAGE_ENTRIES_MAX);
    let first = (query.prefix.as_bytes().to_vec(), -1, Vec::new());
    let (key, initiated, id) = match &query.after {
        None => first,
        Some((key, None)) => first.max((listing::just_after(key.as_bytes()), -1, Vec::new())),
        Some((key, Some(id))) => first.max(position(conn, dataset, key, id)?),
    };
    let end = listing::successor(query.prefix.as_bytes());
    let one_more = sql::limit(limit.saturating_add(1));
    let bounds = params![dataset.as_bytes(), key, initiated, id, end, one_more];
    let mut uploads = sql::all(conn, UPLOADS, bounds, rows::upload)?;
    let more = cut(&mut uploads, limit);
    Ok(UploadPage { uploads, more })
}

/// Where an upload stands; one that is gone meanwhile stands for the beginning of its key, so that
/// a client that aborts what it lists misses none.
fn position(
    conn: &Connection,
    dataset: &DatasetId,
    key: &str,
    id: &UploadId,
) -> Result<(Vec<u8>, i64, Vec<u8>), CatalogError> {
    let select = "SELECT initiated FROM uploads WHERE id = ?1 AND dataset = ?2 AND key = ?3";
    let upload = params![id.as_bytes(), dataset.as_bytes(), key.as_bytes()];
    let initiated = sql::one(conn, select, upload, |row| Ok(row.get(0)?))?;
    let key = key.as_bytes().to_vec();
    Ok(match initiated {
        Some(initiated) => (key, initiated, id.as_bytes().to_vec()),
        None => (key, -1, Vec::new()),
    })
}

/// One page of an upload's parts.
pub(super) fn parts(
    conn: &Connection,
    upload: &UploadId,
    after: u32,
    limit: usize,
) -> Result<PartPage, CatalogError> {
    let limit = limit.min(limits::PAGE_ENTRIES_MAX);
    let one_more = sql::limit(limit.saturating_add(1));
    let bounds = params![upload.as_bytes(), after, one_more];
    let (mut parts, heavy) = sql::within(conn, PARTS, bounds, rows::part, |part: &PartRow| {
        part.sealed_table.len()
    })?;
    let more = cut(&mut parts, limit) || (heavy && limit > 0);
    Ok(PartPage { parts, more })
}

/// Cuts what was read beyond the page; whether there was any. A page of none has no more.
fn cut<T>(items: &mut Vec<T>, limit: usize) -> bool {
    let more = limit > 0 && items.len() > limit;
    items.truncate(limit);
    more
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::sqlite::schema;

    /// How SQLite goes about a query.
    fn plan(conn: &Connection, select: &str) -> String {
        let mut statement = conn
            .prepare(&format!("EXPLAIN QUERY PLAN {select}"))
            .unwrap();
        let nothing = vec![rusqlite::types::Null; statement.parameter_count()];
        let steps = statement
            .query_map(rusqlite::params_from_iter(nothing), |row| {
                row.get::<_, String>(3)
            })
            .unwrap();
        steps.map(|step| step.unwrap() + "; ").collect()
    }

    #[test]
    fn pages_seek_and_neither_scan_nor_sort() {
        let conn = Connection::open_in_memory().unwrap();
        schema::migrate(&conn, schema::STEPS).unwrap();
        let key_is_a_bound = [
            (OBJECTS, "(dataset=? AND key>? AND key<?)"),
            (
                UPLOADS,
                "(dataset=? AND (key,initiated,id)>(?,?,?) AND key<?)",
            ),
            (PARTS, "(upload=? AND number>?)"),
        ];
        for (select, bound) in key_is_a_bound {
            let plan = plan(&conn, select);
            let seeks = plan.starts_with("SEARCH") && plan.contains(bound);
            assert!(seeks && !plan.contains("TEMP"), "{plan}");
        }
        // Versions come out of two tables, merged in their order.
        let [page, rest] = super::super::versions::SELECTS.map(|select| plan(&conn, select));
        let bounds = page.matches("(dataset=? AND key>? AND key<?)").count();
        assert!(page.contains("MERGE (UNION ALL)") && bounds == 2, "{page}");
        assert!(!page.contains("TEMP"), "{page}");
        assert!(
            rest.starts_with("SEARCH") && rest.contains("place>?"),
            "{rest}"
        );
        assert!(!rest.contains("TEMP"), "{rest}");
        for select in super::super::dump::selects() {
            let plan = plan(&conn, select);
            assert!(
                plan.starts_with("SEARCH") && !plan.contains("TEMP"),
                "{plan}"
            );
        }
    }
}
