//! The model's whole state as mutations that rebuild it.

use super::super::{BlobUse, Condition, Mutation};
use super::state::State;
use crate::types::{BlobId, Timestamp, limits};

impl State {
    /// In the order of dependence; within a kind in order of key.
    pub(super) fn dump(&self) -> Vec<Mutation> {
        let mut out = vec![Mutation::RestoreSeq(self.seq)];
        out.extend(self.projects.values().cloned().map(Mutation::CreateProject));
        out.extend(self.datasets.values().cloned().map(Mutation::CreateDataset));
        out.extend(
            self.principals
                .values()
                .cloned()
                .map(Mutation::CreatePrincipal),
        );
        out.extend(
            self.credentials
                .values()
                .cloned()
                .map(Mutation::CreateCredential),
        );
        out.extend(self.grants.values().cloned().map(Mutation::CreateGrant));
        let blobs: Vec<(BlobId, Timestamp)> = self
            .blobs
            .iter()
            .map(|(id, lost)| (*id, lost.unwrap_or_default()))
            .collect();
        out.extend(
            blobs
                .chunks(limits::CATALOG_RESTORE_BLOBS_MAX)
                .map(|chunk| Mutation::RestoreBlobs(chunk.to_vec())),
        );
        out.extend(
            self.objects
                .values()
                .map(|(row, held)| Mutation::PutObject {
                    row: row.clone(),
                    blobs: BlobUse {
                        fresh: Vec::new(),
                        shared: held.iter().copied().collect(),
                    },
                    condition: Condition::Absent,
                }),
        );
        out.extend(self.uploads.values().cloned().map(Mutation::CreateUpload));
        out.extend(self.parts.values().map(|(row, held)| Mutation::PutPart {
            row: row.clone(),
            blobs: BlobUse {
                fresh: Vec::new(),
                shared: held.iter().copied().collect(),
            },
        }));
        out
    }
}
