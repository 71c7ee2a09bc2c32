//! What can be said of a catalog's file without changing it.

use std::path::Path;

use super::{SqliteCatalog, open, schema};
use crate::catalog::CatalogError;

impl SqliteCatalog {
    /// The schema that a file has and the one that opening it would bring it to, where that is
    /// another.
    pub fn behind(path: &Path) -> Result<Option<(u32, u32)>, CatalogError> {
        let conn = open::reader(path)?;
        let known = u32::try_from(schema::STEPS.len()).unwrap_or(u32::MAX);
        let found = schema::version(&conn, known)?;
        Ok((found < known).then_some((found, known)))
    }

    /// Looks at a file without changing it: its schema, and whether its pages are sound. Reads all
    /// of it; what is wrong, in `SQLite`'s words, nothing if all is well.
    pub fn inspect(path: &Path) -> Result<Vec<String>, CatalogError> {
        let conn = open::reader(path)?;
        let known = u32::try_from(schema::STEPS.len()).unwrap_or(u32::MAX);
        schema::version(&conn, known)?;
        let mut statement = conn.prepare("PRAGMA quick_check(100)")?;
        let found = statement.query_map([], |row| row.get::<_, String>(0))?;
        let found: Result<Vec<String>, _> = found.collect();
        Ok(found?.into_iter().filter(|line| line != "ok").collect())
    }
}
