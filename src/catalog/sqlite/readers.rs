//! Read connections: kept while idle, opened when all are in use.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use rusqlite::Connection;

use super::open;
use crate::catalog::CatalogError;
use crate::types::limits;

/// Connections that only read. No call waits for another: as many are open as callers read at
/// once, which are at most the runtime's threads and `CATALOG_SCANS_MAX`.
pub(super) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(super) const fn new(path: PathBuf) -> Self {
        Self {
            path,
            idle: Mutex::new(Vec::new()),
        }
    }

    /// A connection for as long as the caller likes; [`Self::give_back`] keeps it for others.
    pub(super) fn take(&self) -> Result<Connection, CatalogError> {
        // A connection is out of the list while it is used, so a panic leaves none half used.
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        idle.map_or_else(|| open::reader(&self.path), Ok)
    }

    /// Keeps an idle connection.
    pub(super) fn give_back(&self, conn: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < limits::CATALOG_READERS_MAX {
            idle.push(conn);
        }
    }

    /// Reads on an idle connection.
    pub(super) fn with<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, CatalogError>,
    ) -> Result<T, CatalogError> {
        let conn = self.take()?;
        let result = read(&conn);
        self.give_back(conn);
        result
    }
}
