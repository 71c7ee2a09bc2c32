//! Descriptions of datasets, defaults of projects, clearances.

use rusqlite::{Connection, params};

use super::apply::must;
use super::sql;
use crate::catalog::codec::encode_value;
use crate::catalog::{Card, CardDefaults, CatalogError, Conflict};
use crate::types::{DatasetId, Label, PrincipalId, ProjectName};

pub(super) fn set_defaults(
    conn: &Connection,
    project: &ProjectName,
    defaults: Option<&CardDefaults>,
) -> Result<(), CatalogError> {
    let update = "UPDATE projects SET defaults = ?2 WHERE name = ?1";
    let column = defaults.map(encode_value);
    let changed = sql::exec(conn, update, params![project.as_str(), column])?;
    must(changed == 1, Conflict::NoProject)
}

pub(super) fn set_card(
    conn: &Connection,
    dataset: &DatasetId,
    was: Option<&Card>,
    card: &Card,
) -> Result<(), CatalogError> {
    super::apply::need_dataset(conn, dataset)?;
    // Of one value there is one encoding.
    let update = "UPDATE datasets SET card = ?2 WHERE id = ?1 AND card IS ?3";
    let columns = params![
        dataset.as_bytes(),
        encode_value(card),
        was.map(encode_value)
    ];
    let changed = sql::exec(conn, update, columns)?;
    must(changed == 1, Conflict::CardChanged)
}

pub(super) fn set_clearance(
    conn: &Connection,
    principal: &PrincipalId,
    clearance: Option<&Label>,
) -> Result<(), CatalogError> {
    let update = "UPDATE principals SET clearance = ?2 WHERE id = ?1";
    let columns = params![principal.as_str(), clearance.map(Label::as_str)];
    let changed = sql::exec(conn, update, columns)?;
    must(changed == 1, Conflict::NoPrincipal)
}
