//! What a dump shows to need blobs, and which are not in the store.

use std::collections::{HashMap, HashSet};

use crate::catalog::{BlobUse, Mutation};
use crate::types::{BlobId, BucketName, DatasetId, PublicationId, Timestamp, UploadId};

/// What the store lists.
type Names = HashMap<BlobId, (u64, Timestamp)>;

/// What was seen so far.
#[derive(Default)]
pub(super) struct Needs {
    pub(super) datasets: HashMap<DatasetId, BucketName>,
    uploads: HashMap<UploadId, DatasetId>,
    publications: HashMap<PublicationId, DatasetId>,
    pub(super) missing: HashSet<BlobId>,
    pub(super) broken: HashMap<DatasetId, u64>,
}

impl Needs {
    /// Looks at one mutation of a dump, which come in the order of dependence.
    pub(super) fn look(&mut self, mutation: Mutation, names: &Names) {
        if let Mutation::CreateDataset(row) = mutation {
            self.datasets.insert(row.id, row.bucket);
        } else if let Mutation::CreateUpload(row) = mutation {
            self.uploads.insert(row.id, row.dataset);
        } else if let Mutation::PutObject { row, blobs, .. } = mutation {
            self.row(Some(row.dataset), &blobs, names);
        } else if let Mutation::RestoreVersion { row, blobs, .. } = mutation {
            self.row(Some(row.dataset), &blobs, names);
        } else if let Mutation::PutPart { row, blobs } = mutation {
            let dataset = self.uploads.get(&row.upload).copied();
            self.row(dataset, &blobs, names);
        } else if let Mutation::RestorePublication { row, blobs } = mutation {
            // The manifest: its root, index and pages.
            self.publications.insert(row.id, row.dataset);
            self.row(Some(row.dataset), &blobs, names);
        } else if let Mutation::RestoreFrozen {
            publication, blobs, ..
        } = mutation
        {
            let dataset = self.publications.get(&publication).copied();
            self.row(dataset, &blobs, names);
        }
    }

    fn row(&mut self, dataset: Option<DatasetId>, blobs: &BlobUse, names: &Names) {
        let needed = blobs.shared.iter().chain(&blobs.fresh);
        let gone: Vec<BlobId> = needed
            .filter(|id| !names.contains_key(*id))
            .copied()
            .collect();
        if let (Some(dataset), false) = (dataset, gone.is_empty()) {
            *self.broken.entry(dataset).or_default() += 1;
        }
        self.missing.extend(gone);
    }
}
