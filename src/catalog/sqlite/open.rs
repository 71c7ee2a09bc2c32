//! How the file is made and a connection is opened.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags};

use crate::catalog::CatalogError;
use crate::types::limits;

/// Statements that a connection keeps prepared: more than this module has.
const STATEMENTS_KEPT: usize = 128;

/// Pages of 4 KiB that the writer keeps, as KiB: 4 MiB.
const WRITER_CACHE: &str = "-4096";
/// Pages that a reader keeps, as KiB: 512 KiB; the system's page cache holds the rest.
const READER_CACHE: &str = "-512";

/// Makes an empty file that its owner alone can read, durably, if there is none.
pub(super) fn create_file(path: &Path) -> Result<(), CatalogError> {
    let failed = |error: std::io::Error| {
        let full = [
            ErrorKind::StorageFull,
            ErrorKind::QuotaExceeded,
            ErrorKind::ReadOnlyFilesystem,
        ];
        if full.contains(&error.kind()) {
            return CatalogError::Full;
        }
        CatalogError::Failed {
            reason: format!("{}: {error}", path.display()),
        }
    };
    let created = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    match created {
        Ok(file) => file.sync_all().map_err(failed)?,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(()),
        Err(error) => return Err(failed(error)),
    }
    // The name lives in the directory: without this a crash could lose the whole file.
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let directory = File::open(parent.unwrap_or_else(|| Path::new("."))).map_err(failed)?;
    directory.sync_all().map_err(failed)
}

/// The one connection of this process that writes.
pub(super) fn writer(path: &Path) -> Result<Connection, CatalogError> {
    let conn = connect(path)?;
    conn.pragma_update(None, "cache_size", WRITER_CACHE)?;
    let mode: String =
        conn.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        return Err(CatalogError::Failed {
            reason: format!("the file system allows no write-ahead log: mode is {mode}"),
        });
    }
    // A commit is durable when it returns: the log is synced at each.
    conn.pragma_update(None, "synchronous", "FULL")?;
    // After a burst the log shrinks to this many bytes again: 64 MiB.
    conn.pragma_update_and_check(None, "journal_size_limit", 64 * 1024 * 1024, |_| Ok(()))?;
    Ok(conn)
}

/// A connection that cannot write.
pub(super) fn reader(path: &Path) -> Result<Connection, CatalogError> {
    let conn = connect(path)?;
    conn.pragma_update(None, "cache_size", READER_CACHE)?;
    conn.pragma_update(None, "query_only", true)?;
    Ok(conn)
}

/// What both need. No memory map: a file that is cut short under a map kills the process.
fn connect(path: &Path) -> Result<Connection, CatalogError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(Duration::from_millis(limits::CATALOG_LOCK_MS_MAX))?;
    // The file may be hostile: its schema calls no function and writes no page by itself.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    // Otherwise statements are prepared again whenever a parameter has another value than before,
    // which costs three times what a lookup costs.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    conn.set_limit(Limit::SQLITE_LIMIT_LENGTH, limits::CATALOG_VALUE_BYTES_MAX)?;
    conn.pragma_update(None, "trusted_schema", false)?;
    conn.pragma_update(None, "cell_size_check", true)?;
    conn.pragma_update(None, "foreign_keys", true)?;
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    // For the whole process: beyond it the library gives pages back before it takes more.
    conn.pragma_update_and_check(None, "soft_heap_limit", limits::CATALOG_HEAP_BYTES, |_| {
        Ok(())
    })?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    Ok(conn)
}
