//! The model's whole state as mutations that rebuild it.

use std::collections::BTreeSet;

use super::super::people::{founding, granting, keying, naming};
use super::super::rebuild::{beginning, furnishing, rebuilding};
use super::super::{BlobUse, Mutation, ObjectRow, Version};
use super::state::State;
use crate::types::{BlobId, Timestamp, limits};

impl State {
    /// In the order of dependence; within a kind in order of key.
    pub(super) fn dump(&self) -> Vec<Mutation> {
        let mut out = vec![Mutation::RestoreSeq(self.seq)];
        out.extend(self.projects.values().cloned().flat_map(founding));
        out.extend(self.datasets.values().cloned().map(Mutation::CreateDataset));
        out.extend(self.principals.values().cloned().flat_map(naming));
        out.extend(self.credentials.values().cloned().flat_map(keying));
        out.extend(self.grants.values().cloned().flat_map(granting));
        out.extend(self.dump_access());
        out.extend(self.dump_approvals());
        out.extend(self.dump_notices());
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
        let uses = |held: &BTreeSet<BlobId>| BlobUse {
            fresh: Vec::new(),
            shared: held.iter().copied().collect(),
        };
        let origin = |row: &ObjectRow| {
            let place = (row.dataset, row.key.clone(), row.version);
            self.origins.get(&place).cloned()
        };
        for (row, held) in self.objects.values() {
            out.extend(rebuilding(row.clone(), origin(row), uses(held), true));
        }
        for (version, held) in self.versions.values().flatten() {
            match version {
                Version::Object(row) => {
                    out.extend(rebuilding(row.clone(), origin(row), uses(held), false));
                }
                Version::Marker(row) => out.push(Mutation::RestoreMarker(row.clone())),
            }
        }
        for row in self.datasets.values() {
            out.extend(furnishing(row));
        }
        for ((dataset, kind), value) in &self.settings {
            out.push(Mutation::SetSetting {
                dataset: *dataset,
                kind: *kind,
                value: Some(value.clone()),
            });
        }
        out.extend(self.uploads.values().cloned().flat_map(beginning));
        out.extend(self.parts.values().map(|(row, held)| Mutation::PutPart {
            row: row.clone(),
            blobs: BlobUse {
                fresh: Vec::new(),
                shared: held.iter().copied().collect(),
            },
        }));
        out.extend(self.dump_publications());
        out.extend(self.dump_key_works());
        out
    }
}
