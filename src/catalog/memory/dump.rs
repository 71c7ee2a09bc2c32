//! The model's whole state as mutations that rebuild it.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::super::codec::encode_value;
use super::super::people::{founding, granting, keying, naming};
use super::super::rebuild::{beginning, furnishing, rebuilding};
use super::super::{BlobUse, CatalogError, Mutation, ObjectRow, Version};
use super::state::State;
use crate::types::{BlobId, Timestamp, limits};

/// The dump that is running: what is left of it.
#[derive(Default)]
pub(super) struct Dump {
    session: u64,
    left: std::vec::IntoIter<Mutation>,
}

impl Dump {
    /// The next mutations, of some `bytes_max` bytes together, and the cursor behind them; `frozen`
    /// is the state that a dump without a cursor begins with.
    pub(super) fn step(
        &mut self,
        (cursor, frozen): (Option<Bytes>, Option<Vec<Mutation>>),
        bytes_max: usize,
    ) -> Result<(Vec<Mutation>, Option<Bytes>), CatalogError> {
        if let Some(frozen) = frozen {
            self.session = self.session.saturating_add(1);
            self.left = frozen.into_iter();
        }
        let this = Bytes::from(encode_value(&self.session));
        if cursor.is_some_and(|cursor| cursor != this) {
            return Err(CatalogError::Failed {
                reason: "this dump was ended by another".into(),
            });
        }
        let mut mutations = Vec::new();
        let mut bytes = 0_usize;
        while mutations.is_empty() || bytes <= bytes_max {
            let Some(next) = self.left.next() else { break };
            bytes = bytes.saturating_add(encode_value(&next).len());
            mutations.push(next);
        }
        Ok((mutations, (self.left.len() > 0).then_some(this)))
    }
}

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
