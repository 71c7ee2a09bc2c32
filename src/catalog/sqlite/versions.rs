//! Versions of a key, one of them or page by page.

use rusqlite::{Connection, Row, Rows, params};

use super::{rows, sql};
use crate::catalog::listing::{self, Span};
use crate::catalog::{
    CatalogError, ListQuery, MarkerRow, Origin, Setting, SettingKind, Version, VersionEntry,
    VersionPage, VersionQuery, codec,
};
use crate::types::{DatasetId, ObjectKey, VersionId, VersionName, limits};

/// The columns that a page needs, current objects and older versions in one order.
const PAGE: &str = "SELECT key, NULL AS place, version, versioned, bytes, etag, modified,
        0 AS marker FROM objects WHERE dataset = ?1 AND key >= ?2 AND key < ?3
    UNION ALL
    SELECT key, place, version, versioned, bytes, etag, modified, body IS NULL FROM versions
        WHERE dataset = ?1 AND key >= ?2 AND key < ?3
    ORDER BY 1, 2";
/// What follows one version of a key.
const REST: &str = "SELECT key, place, version, versioned, bytes, etag, modified, body IS NULL
    FROM versions WHERE dataset = ?1 AND key = ?2 AND place > ?3 ORDER BY place";

/// One version of a key.
pub(super) fn version(
    conn: &Connection,
    (dataset, key): (&DatasetId, &ObjectKey),
    name: &VersionName,
) -> Result<Option<Version>, CatalogError> {
    let snapshot = conn.unchecked_transaction()?;
    let (is_named, id) = rows::is_named(name);
    let bounds = params![dataset.as_bytes(), key.as_str().as_bytes(), id];
    let current = format!(
        "SELECT dataset, key, version, bytes, etag, modified, detail, sealed_table, versioned,
            facts
         FROM objects LEFT JOIN bodies ON bodies.id = objects.body
         WHERE dataset = ?1 AND key = ?2 AND {is_named}"
    );
    if let Some(row) = sql::one(&snapshot, &current, bounds, rows::object)? {
        return Ok(Some(Version::Object(row)));
    }
    let older = rows::versions_of(name);
    let older = format!(
        "SELECT dataset, key, version, bytes, etag, modified, detail, sealed_table, versioned,
            facts, body
         FROM {older} LEFT JOIN bodies ON bodies.id = versions.body
         WHERE dataset = ?1 AND key = ?2 AND {is_named} ORDER BY place LIMIT 1"
    );
    sql::one(&snapshot, &older, bounds, rows::version)
}

/// The newest version of a key, if it is a marker.
pub(super) fn latest_marker(
    conn: &Connection,
    (dataset, key): (&DatasetId, &ObjectKey),
) -> Result<Option<MarkerRow>, CatalogError> {
    let select = "SELECT dataset, key, version, versioned, modified, body IS NULL FROM versions
        WHERE dataset = ?1 AND key = ?2 AND NOT EXISTS
            (SELECT 1 FROM objects WHERE dataset = ?1 AND key = ?2)
        ORDER BY place LIMIT 1";
    let bounds = params![dataset.as_bytes(), key.as_str().as_bytes()];
    let newest = sql::one(conn, select, bounds, |row| {
        let is_marker: bool = row.get(5)?;
        is_marker.then(|| rows::marker(row)).transpose()
    })?;
    Ok(newest.flatten())
}

/// How an object came out of an upload.
pub(super) fn origin(
    conn: &Connection,
    (dataset, key): (&DatasetId, &ObjectKey),
    version: &VersionId,
) -> Result<Option<Origin>, CatalogError> {
    let select = "SELECT origin FROM bodies WHERE id IN
        (SELECT body FROM objects WHERE dataset = ?1 AND key = ?2 AND version = ?3
         UNION ALL SELECT body FROM versions WHERE dataset = ?1 AND key = ?2 AND version = ?3)";
    let bounds = params![
        dataset.as_bytes(),
        key.as_str().as_bytes(),
        version.as_bytes()
    ];
    sql::one(conn, select, bounds, |row| sql::get_some(row, 0)).map(Option::flatten)
}

/// A setting of a dataset.
pub(super) fn setting(
    conn: &Connection,
    dataset: &DatasetId,
    kind: SettingKind,
) -> Result<Option<Setting>, CatalogError> {
    let select = "SELECT value FROM settings WHERE dataset = ?1 AND kind = ?2";
    let bounds = params![dataset.as_bytes(), codec::encode_value(&kind)];
    let setting: Option<Setting> = sql::one(conn, select, bounds, |row| sql::get_encoded(row, 0))?;
    match setting {
        Some(setting) if setting.kind() != kind => Err(CatalogError::Damaged { what: "setting" }),
        other => Ok(other),
    }
}

/// One page of versions.
pub(super) fn page(
    conn: &Connection,
    dataset: &DatasetId,
    query: &VersionQuery,
) -> Result<VersionPage, CatalogError> {
    let snapshot = conn.unchecked_transaction()?;
    let limit = query.limit.min(limits::PAGE_ENTRIES_MAX);
    let list = ListQuery {
        prefix: query.prefix.clone(),
        delimiter: query.delimiter.clone(),
        after: query.after.as_ref().map(|(key, _)| key.clone()),
        limit,
    };
    let mut filling = Filling {
        list,
        limit,
        page: VersionPage::default(),
        last: None,
    };
    let Span { start, end } = listing::span(&filling.list);
    let mut next = Some(start);
    if let Some((key, name)) = filling.inside(query) {
        // Within a key: what follows that version, or all of the key if it is gone.
        match place_of(&snapshot, dataset, &key, &name)? {
            None => next = Some(key.clone().into_bytes()),
            Some(place) => {
                filling.last = Some(key.clone());
                let mut statement = snapshot.prepare_cached(REST)?;
                let bounds = params![dataset.as_bytes(), key.as_bytes(), place];
                filling.run(statement.query(bounds)?)?;
            }
        }
    }
    let mut statement = snapshot.prepare_cached(PAGE)?;
    while let Some(start) = next.filter(|start| *start < end) {
        if limit == 0 || filling.page.more {
            break;
        }
        let rows = statement.query(params![dataset.as_bytes(), start, end])?;
        next = filling.run(rows)?;
    }
    Ok(filling.page)
}

/// Where a version stands among those of its key: -2^63 for the current object; `None` if it is
/// not there.
fn place_of(
    conn: &Connection,
    dataset: &DatasetId,
    key: &str,
    name: &VersionName,
) -> Result<Option<i64>, CatalogError> {
    let (is_named, id) = rows::is_named(name);
    let bounds = params![dataset.as_bytes(), key.as_bytes(), id];
    let current = format!("SELECT 1 FROM objects WHERE dataset = ?1 AND key = ?2 AND {is_named}");
    if sql::exists(conn, &current, bounds)? {
        return Ok(Some(i64::MIN));
    }
    let older = rows::versions_of(name);
    let older = format!(
        "SELECT place FROM {older} WHERE dataset = ?1 AND key = ?2 AND {is_named} ORDER BY place LIMIT 1"
    );
    sql::one(conn, &older, bounds, |row| Ok(row.get(0)?))
}

struct Filling {
    list: ListQuery,
    limit: usize,
    page: VersionPage,
    /// The key of the last version that was read.
    last: Option<String>,
}

impl Filling {
    /// The version behind which a query goes on, if it is one of a key that this listing shows.
    fn inside(&self, query: &VersionQuery) -> Option<(String, VersionName)> {
        let (key, name) = query.after.as_ref()?;
        let shown = key.starts_with(&query.prefix) && listing::folded(&self.list, key).is_none();
        name.filter(|_| shown).map(|name| (key.clone(), name))
    }

    /// Adds entries up to the first folded prefix; where to seek next, if anywhere.
    fn run(&mut self, mut rows: Rows<'_>) -> Result<Option<Vec<u8>>, CatalogError> {
        while let Some(row) = rows.next()? {
            if self.page.entries.len() >= self.limit {
                self.page.more = self.limit > 0;
                return Ok(None);
            }
            let key: ObjectKey = sql::get_key(row, 0)?;
            if let Some(prefix) = listing::folded(&self.list, key.as_str()) {
                self.page.entries.push(VersionEntry::Prefix(prefix.into()));
                return Ok(Some(listing::successor(prefix.as_bytes())));
            }
            let latest = self.last.as_deref() != Some(key.as_str());
            self.last = Some(key.as_str().to_owned());
            self.page.entries.push(entry(row, key, latest)?);
        }
        Ok(None)
    }
}

fn entry(row: &Row<'_>, key: ObjectKey, latest: bool) -> Result<VersionEntry, CatalogError> {
    let version = VersionId::from_bytes(sql::get_id(row, 2)?);
    let marker: bool = row.get(7)?;
    let object = if marker {
        None
    } else {
        Some((sql::get_int(row, 4)?, sql::get_name(row, 5)?))
    };
    Ok(VersionEntry::Version {
        key,
        name: VersionName::of(version, row.get(3)?),
        latest,
        modified: sql::get_time(row, 6)?,
        object,
    })
}

#[cfg(test)]
pub(super) const SELECTS: [&str; 2] = [PAGE, REST];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::sqlite::schema;

    /// The newest version of a name is sought, whatever else its key has.
    #[test]
    fn a_name_is_sought_in_the_index_of_its_kind() {
        let conn = Connection::open_in_memory().unwrap();
        schema::migrate(&conn, schema::STEPS).unwrap();
        let id = VersionName::Id(VersionId::from_bytes([1; 16]));
        for (name, index) in [
            (VersionName::Null, "versions_null (dataset=? AND key=?)"),
            (id, "versions_by_name (dataset=? AND key=? AND version=?)"),
        ] {
            let older = rows::versions_of(&name);
            let (is_named, id) = rows::is_named(&name);
            let select = format!(
                "EXPLAIN QUERY PLAN SELECT place FROM {older}
                 WHERE dataset = ?1 AND key = ?2 AND {is_named} ORDER BY place LIMIT 1"
            );
            let bounds = params![[0_u8; 16], b"k", id];
            let plan = |row: &Row<'_>| row.get::<_, String>(3);
            let plan = conn.query_row(&select, bounds, plan).unwrap();
            assert!(plan.contains(index), "{name}: {plan}");
            assert!(!plan.contains("TEMP"), "{name}: {plan}");
        }
    }
}
