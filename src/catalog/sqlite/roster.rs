//! The roster's one table.

use rusqlite::types::ToSql as _;
use rusqlite::{Connection, Row, params};

use super::apply::must;
use super::sql;
use crate::catalog::codec::encode_value;
use crate::catalog::{CatalogError, Conflict, Mutation, RosterEntry, RosterKind};
use crate::types::limits;

/// A kind as the tables' column has it: the byte of its encoding.
fn column(kind: RosterKind) -> Vec<u8> {
    encode_value(&kind)
}

pub(super) fn set(
    conn: &Connection,
    (kind, name): (RosterKind, &str),
    was: Option<u64>,
    entry: Option<&RosterEntry>,
) -> Result<(), CatalogError> {
    let there = get(conn, kind, name)?.map(|entry| entry.revision);
    must(there == was, Conflict::RosterChanged)?;
    let Some(entry) = entry else {
        let delete = "DELETE FROM roster WHERE kind = ?1 AND name = ?2";
        return sql::exec(conn, delete, params![column(kind), name]).map(drop);
    };
    must(entry.row.kind() == kind, Conflict::RosterChanged)?;
    let put = "INSERT INTO roster (kind, name, entry) VALUES (?1, ?2, ?3)
        ON CONFLICT (kind, name) DO UPDATE SET entry = excluded.entry";
    let entry = encode_value(entry);
    sql::exec(conn, put, params![column(kind), name, entry.to_sql()?]).map(drop)
}

pub(super) fn get(
    conn: &Connection,
    kind: RosterKind,
    name: &str,
) -> Result<Option<RosterEntry>, CatalogError> {
    let select = "SELECT entry FROM roster WHERE kind = ?1 AND name = ?2";
    sql::one(conn, select, params![column(kind), name], |row| {
        sql::get_encoded(row, 0)
    })
}

pub(super) fn page(
    conn: &Connection,
    (kind, after): (RosterKind, &str),
    limit: usize,
) -> Result<Vec<(String, RosterEntry)>, CatalogError> {
    let select = "SELECT name, entry FROM roster WHERE kind = ?1 AND name > ?2
        ORDER BY name LIMIT ?3";
    let bounds = params![column(kind), after, sql::limit(limit)];
    sql::all(conn, select, bounds, |row| {
        Ok((row.get(0)?, sql::get_encoded(row, 1)?))
    })
}

/// That no node is enrolled with this key. Nodes are enrolled by hand, and seldom: all are read.
pub(super) fn check_node_key(conn: &Connection, key: &[u8; 32]) -> Result<(), CatalogError> {
    let mut after = String::new();
    loop {
        let place = (RosterKind::Node, after.as_str());
        let nodes = page(conn, place, limits::PAGE_ENTRIES_MAX)?;
        let taken = nodes.iter().any(|(_, entry)| entry.row.is_node_of(key));
        must(!taken, Conflict::NodeKeyTaken)?;
        let Some((last, _)) = nodes.into_iter().next_back() else {
            return Ok(());
        };
        after = last;
    }
}

/// `kind, name, entry`, as a dump has it.
pub(super) fn restore(row: &Row<'_>) -> Result<Mutation, CatalogError> {
    let entry: RosterEntry = sql::get_encoded(row, 2)?;
    Ok(Mutation::SetRoster {
        kind: entry.row.kind(),
        name: row.get(1)?,
        was: None,
        entry: Some(entry),
    })
}
