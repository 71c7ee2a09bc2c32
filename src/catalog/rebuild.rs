//! The mutations that put rows back as they are, as a dump lists them, and those that go with a
//! write.

use super::entity::{Attached, DatasetRow, Facts, ObjectRow, Origin, UploadRow};
use super::mutation::{BlobUse, Condition, Mutation};
use crate::types::Versioning;

/// The mutations that attach to a written object what is no part of its row.
pub(crate) fn attaching(row: &ObjectRow) -> Vec<Mutation> {
    let (dataset, key, version) = (row.dataset, &row.key, row.version);
    let Attached { tags, facts } = &row.attached;
    let mut out = Vec::new();
    if !tags.is_empty() {
        out.push(Mutation::SetAttached {
            dataset,
            key: key.clone(),
            version,
            attached: Attached {
                tags: tags.clone(),
                facts: Facts::default(),
            },
        });
    }
    if facts.lock.retention.is_some() {
        out.push(Mutation::SetRetention {
            dataset,
            key: key.clone(),
            version,
            retention: facts.lock.retention,
            bypass: false,
            now: row.modified,
        });
    }
    if facts.lock.hold {
        out.push(Mutation::SetHold {
            dataset,
            key: key.clone(),
            version,
            hold: true,
        });
    }
    out.extend(
        facts
            .key_name
            .iter()
            .map(|name| Mutation::SetObjectKeyName {
                dataset,
                key: key.clone(),
                version,
                name: name.clone(),
            }),
    );
    out
}

/// The mutations that put an object back, as a dump lists them.
pub(super) fn rebuilding(
    row: ObjectRow,
    origin: Option<Origin>,
    blobs: BlobUse,
    current: bool,
) -> Vec<Mutation> {
    let mut attach = attaching(&row);
    attach.extend(origin.map(|origin| Mutation::SetOrigin {
        dataset: row.dataset,
        key: row.key.clone(),
        version: row.version,
        origin,
    }));
    let put = if current && !row.versioned {
        Mutation::PutObject {
            row: row.bare(),
            blobs,
            condition: Condition::Absent,
        }
    } else {
        Mutation::RestoreVersion {
            versioned: row.versioned,
            row: row.bare(),
            current,
            blobs,
        }
    };
    std::iter::once(put).chain(attach).collect()
}

/// The mutations that set what a dataset does not begin with, as a dump lists them.
pub(super) fn furnishing(row: &DatasetRow) -> Vec<Mutation> {
    let dataset = row.id;
    let mut out = Vec::new();
    if row.versioning != Versioning::Off {
        let state = row.versioning;
        out.push(Mutation::SetVersioning { dataset, state });
    }
    out.extend(row.card.as_deref().map(|card| Mutation::SetCard {
        dataset,
        was: None,
        card: card.clone(),
    }));
    let lock = row.defaults.lock;
    out.extend(lock.map(|lock| Mutation::SetObjectLock { dataset, lock }));
    let name = row.defaults.key_name.clone();
    out.extend(name.map(|name| Mutation::SetKeyName {
        dataset,
        name: Some(name),
    }));
    out
}

/// The mutations that put an upload back, as a dump lists them.
pub(super) fn beginning(row: UploadRow) -> Vec<Mutation> {
    let tags = (!row.tags.is_empty()).then(|| Mutation::SetUploadTags {
        upload: row.id,
        tags: row.tags.clone(),
    });
    let facts = (row.facts != Facts::default()).then(|| Mutation::SetUploadFacts {
        upload: row.id,
        facts: row.facts.clone(),
    });
    let begin = Mutation::CreateUpload(UploadRow {
        tags: Vec::new(),
        facts: Facts::default(),
        ..row
    });
    std::iter::once(begin).chain(tags).chain(facts).collect()
}
