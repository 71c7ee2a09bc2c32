//! SQLite's errors in the words of the port.

use rusqlite::types::FromSqlError;
use rusqlite::{Error, ErrorCode};

use crate::catalog::CatalogError;

impl From<Error> for CatalogError {
    fn from(error: Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull | ErrorCode::ReadOnly) => Self::Full,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged {
                what: "database file",
            },
            None if is_foreign_value(&error) => Self::Damaged { what: "column" },
            Some(_) | None => Self::Failed {
                reason: error.to_string(),
            },
        }
    }
}

impl From<FromSqlError> for CatalogError {
    fn from(_: FromSqlError) -> Self {
        Self::Damaged { what: "column" }
    }
}

/// Whether a column holds what this program never writes there.
const fn is_foreign_value(error: &Error) -> bool {
    matches!(
        error,
        Error::FromSqlConversionFailure(..)
            | Error::IntegralValueOutOfRange(..)
            | Error::Utf8Error(..)
            | Error::InvalidColumnType(..)
            | Error::QueryReturnedNoRows
    )
}
