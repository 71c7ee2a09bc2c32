//! One suite for every adapter: the same case runs against the model and against each database.

mod access;
mod approvals;
mod erasures;
mod keywork;
mod listing;
mod locks;
mod model;
mod objects;
mod people;
mod publications;
mod rebuild;
mod samples;
mod subjects;
mod sweep;
mod uploads;
mod versions;

use std::future::Future;
use std::sync::Arc;

use super::{CatalogError, Conflict, MemoryCatalog, SharedCatalog, SqliteCatalog};

/// What a refused commit gives.
fn refused(conflict: Conflict) -> Result<(), CatalogError> {
    Err(CatalogError::Conflict(conflict))
}

/// Runs a case against every adapter, each empty.
async fn on_each<F: Future<Output = ()>>(case: impl Fn(SharedCatalog) -> F) {
    case(Arc::new(MemoryCatalog::new())).await;
    let directory = tempfile::tempdir().unwrap();
    let sqlite = SqliteCatalog::open(&directory.path().join("catalog.db")).unwrap();
    case(sqlite).await;
}
