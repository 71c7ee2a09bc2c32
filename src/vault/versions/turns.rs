//! Who publishes now. Each publication freezes all of a dataset in one transaction of the catalog,
//! for which everybody's writes wait, and writes its whole manifest: so one of a dataset at a time,
//! and few of a project.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::types::{DatasetId, ProjectName, limits};
use crate::vault::error::{ErrorKind, VaultError};

const BUSY: VaultError = VaultError::new(
    ErrorKind::Conflict,
    "the dataset is being published: ask again when that has ended",
);
const FULL: VaultError = VaultError::new(
    ErrorKind::SlowDown,
    "the project publishes as much at once as it may",
);

type Running = HashMap<DatasetId, ProjectName>;

/// The publications that run in this process.
#[derive(Default)]
pub(in crate::vault) struct Turns(Arc<Mutex<Running>>);

/// One of them; it has ended when this is dropped.
pub(in crate::vault) struct Turn {
    running: Arc<Mutex<Running>>,
    dataset: DatasetId,
}

fn locked(running: &Mutex<Running>) -> MutexGuard<'_, Running> {
    running.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Turns {
    /// Begins a publication of a dataset, unless another of it runs, or too many of its project.
    pub(in crate::vault) fn begin(
        &self,
        dataset: DatasetId,
        project: &ProjectName,
    ) -> Result<Turn, VaultError> {
        let mut running = locked(&self.0);
        if running.contains_key(&dataset) {
            return Err(BUSY);
        }
        let of_project = running.values().filter(|other| *other == project);
        if of_project.count() >= limits::PUBLICATIONS_AT_ONCE {
            return Err(FULL);
        }
        running.insert(dataset, project.clone());
        Ok(Turn {
            running: Arc::clone(&self.0),
            dataset,
        })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        locked(&self.running).remove(&self.dataset);
    }
}
