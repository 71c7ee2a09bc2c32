//! Rows to write, each told apart by a small number.

use bytes::Bytes;

use crate::catalog::{
    Attached, BlobUse, Condition, CredentialRow, DatasetRow, Defaults, Facts, Mutation, ObjectMeta,
    ObjectRow, PartRow, PrincipalRow, ProjectRow, SharedCatalog, UploadRow,
};
use crate::policy::{Grant, GrantEffect, Terms};
use crate::types::{
    BlobId, BucketName, ChecksumKind, Checksums, DatasetId, ETag, GrantId, KeyScope, LogTerms,
    PrincipalKind, Timestamp, UploadId, VersionId, Versioning,
};

pub(super) const DATASET: DatasetId = DatasetId::from_bytes([1; 16]);

pub(super) fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// 16 bytes that spell a number.
pub(super) fn id(number: u32) -> [u8; 16] {
    u128::from(number).to_be_bytes()
}

pub(super) fn blob(number: u32) -> BlobId {
    BlobId::from_bytes(id(number))
}

pub(super) fn upload_id(number: u32) -> UploadId {
    UploadId::from_bytes(id(number))
}

pub(super) fn version(number: u32) -> VersionId {
    VersionId::from_bytes(id(number))
}

pub(super) fn bucket(project: &str, dataset: &str) -> BucketName {
    BucketName {
        project: project.parse().unwrap(),
        dataset: dataset.parse().unwrap(),
    }
}

pub(super) fn project(name: &str) -> ProjectRow {
    ProjectRow {
        name: name.parse().unwrap(),
        created: at(1),
        defaults: None,
        log: LogTerms::default(),
    }
}

pub(super) fn dataset(number: u8, project: &str, name: &str) -> DatasetRow {
    DatasetRow {
        id: DatasetId::from_bytes([number; 16]),
        bucket: bucket(project, name),
        created: at(2),
        creator: "ann".parse().unwrap(),
        versioning: Versioning::Off,
        defaults: Defaults::default(),
        card: None,
    }
}

pub(super) fn principal(name: &str) -> PrincipalRow {
    PrincipalRow {
        id: name.parse().unwrap(),
        kind: PrincipalKind::Person,
        acts_for: None,
        created: at(3),
        suspended: None,
        clearance: None,
    }
}

pub(super) fn workload(name: &str, person: &str) -> PrincipalRow {
    PrincipalRow {
        kind: PrincipalKind::Workload,
        acts_for: Some(person.parse().unwrap()),
        ..principal(name)
    }
}

pub(super) fn credential(number: u32, principal: &str) -> CredentialRow {
    CredentialRow {
        id: format!("KLUIS{number:015}").parse().unwrap(),
        principal: principal.parse().unwrap(),
        sealed_secret: Bytes::from_static(b"sealed"),
        created: at(4),
        expires: number.is_multiple_of(2).then(|| at(u64::from(number))),
        scope: None,
    }
}

pub(super) fn key_scope() -> KeyScope {
    KeyScope {
        project: Some("icu".parse().unwrap()),
        dataset: Some("ecg".parse().unwrap()),
        version: Some(3),
        prefix: "2024/".to_owned(),
        only_reads: true,
        purpose: Some("sepsis".to_owned()),
        networks: vec!["10.0.0.0/8".parse().unwrap()],
    }
}

pub(super) fn grant(number: u32, project: &str, principal: &str) -> Grant {
    Grant {
        id: GrantId::from_bytes(id(number)),
        project: project.parse().unwrap(),
        principal: principal.parse().unwrap(),
        role: "reader".into(),
        dataset: Some("ecg".parse().unwrap()),
        prefix: "2024/".into(),
        effect: GrantEffect::Deny,
        purpose: Some("ehds:scientific-research".into()),
        permit: None,
        starts: at(5),
        expires: Some(at(6)),
        approver: "ann".parse().unwrap(),
        created: at(4),
        terms: Terms::default(),
    }
}

/// That a grant is there, for all or for one published version.
pub(super) fn check_grant(number: u32, version: Option<u32>) -> Mutation {
    Mutation::CheckGrant {
        grant: grant(number, "icu", "ann").id,
        terms: Terms {
            version,
            ..Terms::default()
        },
    }
}

/// An object of the dataset [`DATASET`]; `number` is its version, size, and time.
pub(super) fn object(number: u32, key: &str) -> ObjectRow {
    let parts = number % 3;
    ObjectRow {
        dataset: DATASET,
        key: key.parse().unwrap(),
        version: version(number),
        bytes: number.into(),
        etag: ETag::of(&version(number), parts),
        modified: at(number.into()),
        meta: ObjectMeta {
            content_type: Some("text/plain".into()),
            user: vec![("owner".into(), "Zo\u{eb}".into())],
            ..ObjectMeta::default()
        },
        checksums: Checksums {
            values: vec![(ChecksumKind::Crc64Nvme, "AAAA".into())],
            composite: parts > 0,
        },
        part_bytes: vec![7; usize::try_from(parts).unwrap()],
        sealed_table: Bytes::from(vec![9; usize::try_from(number % 1000).unwrap()]),
        versioned: false,
        attached: Attached::default(),
    }
}

pub(super) fn fresh(numbers: &[u32]) -> BlobUse {
    BlobUse {
        fresh: numbers.iter().copied().map(blob).collect(),
        shared: Vec::new(),
    }
}

pub(super) fn shared(numbers: &[u32]) -> BlobUse {
    BlobUse {
        fresh: Vec::new(),
        shared: numbers.iter().copied().map(blob).collect(),
    }
}

pub(super) fn put(row: ObjectRow, blobs: BlobUse) -> Mutation {
    put_if(row, blobs, Condition::None)
}

pub(super) fn put_if(row: ObjectRow, blobs: BlobUse, condition: Condition) -> Mutation {
    Mutation::PutObject {
        row,
        blobs,
        condition,
    }
}

pub(super) fn delete(key: &str, now: u64) -> Mutation {
    delete_if(key, now, Condition::None)
}

pub(super) fn delete_if(key: &str, now: u64, condition: Condition) -> Mutation {
    Mutation::DeleteObject {
        dataset: DATASET,
        key: key.parse().unwrap(),
        condition,
        now: at(now),
    }
}

/// An upload to the dataset [`DATASET`], begun at `number`.
pub(super) fn upload(number: u32, key: &str) -> UploadRow {
    UploadRow {
        id: upload_id(number),
        dataset: DATASET,
        key: key.parse().unwrap(),
        initiator: "ann".parse().unwrap(),
        initiated: at(number.into()),
        meta: ObjectMeta::default(),
        checksum: Some((ChecksumKind::Sha256, true)),
        tags: Vec::new(),
        facts: Facts::default(),
    }
}

/// A part; its version is `written`.
pub(super) fn part(upload: u32, number: u32, written: u32) -> PartRow {
    PartRow {
        upload: upload_id(upload),
        number,
        version: version(written),
        bytes: written.into(),
        etag: ETag::of(&version(written), 1),
        modified: at(written.into()),
        checksums: Checksums::default(),
        sealed_table: Bytes::from(vec![5; 40]),
    }
}

pub(super) fn put_part(row: PartRow, blobs: BlobUse) -> Mutation {
    Mutation::PutPart { row, blobs }
}

/// A completion by these parts, each with its version.
pub(super) fn complete(upload: u32, parts: &[(u32, u32)], row: ObjectRow) -> Mutation {
    complete_if(upload, parts, row, Condition::None)
}

pub(super) fn complete_if(
    upload: u32,
    parts: &[(u32, u32)],
    row: ObjectRow,
    condition: Condition,
) -> Mutation {
    Mutation::CompleteUpload {
        upload: upload_id(upload),
        parts: parts.iter().map(|(n, v)| (*n, version(*v))).collect(),
        row,
        condition,
    }
}

/// What most cases begin with: a project, a person, an empty dataset.
pub(super) async fn furnish(catalog: &SharedCatalog) {
    let rows = vec![
        Mutation::CreateProject(project("icu")),
        Mutation::CreatePrincipal(principal("ann")),
        Mutation::CreateDataset(dataset(1, "icu", "ecg")),
    ];
    catalog.commit(rows).await.unwrap();
}

/// Which of these blobs are known.
pub(super) async fn known(catalog: &SharedCatalog, numbers: &[u32]) -> Vec<bool> {
    let ids: Vec<BlobId> = numbers.iter().copied().map(blob).collect();
    catalog.known_blobs(&ids).await.unwrap()
}

pub(super) fn keep_log(days: u32) -> Mutation {
    Mutation::SetLogTerms {
        project: "icu".parse().unwrap(),
        terms: LogTerms {
            days: Some(days),
            pseudonyms: days % 2 == 1,
        },
    }
}
