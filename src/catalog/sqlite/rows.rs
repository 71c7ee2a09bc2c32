//! How rows come out of their columns.

use std::sync::Arc;

use rusqlite::Row;

use super::sql::{
    get_bytes, get_encoded, get_id, get_int, get_key, get_name, get_some, get_time,
    get_time_or_none,
};
use crate::catalog::codec::{Reader, Wire};
use crate::catalog::{
    Attached, CatalogError, CredentialRow, DatasetRow, Defaults, MarkerRow, ObjectMeta, ObjectRow,
    PartRow, PrincipalRow, ProjectRow, UploadRow, Version,
};
use crate::policy::Grant;
use crate::types::{
    BucketName, Checksums, DatasetId, LogTerms, PrincipalKind, UploadId, VersionId, VersionName,
    Versioning,
};

/// An object's metadata, checksums, parts' lengths and tags: the column
/// `bodies.detail`.
pub(super) type Detail = (ObjectMeta, (Checksums, Vec<u64>), Attached);

/// Writes that column. What is attached stands at the end, and only if there is anything, so that
/// the rows of version 1 are read as they are.
pub(super) fn encode_detail(
    (meta, checksums, part_bytes): (&ObjectMeta, &Checksums, &Vec<u64>),
    attached: &Attached,
) -> Vec<u8> {
    let mut out = Vec::new();
    meta.write(&mut out);
    checksums.write(&mut out);
    part_bytes.write(&mut out);
    if !attached.tags.is_empty() {
        attached.write(&mut out);
    }
    out
}

/// Reads that column.
pub(super) fn detail(row: &Row<'_>, column: usize) -> Result<Detail, CatalogError> {
    let mut reader = Reader::new(row.get_ref(column)?.as_blob()?);
    let meta = Wire::read(&mut reader)?;
    let sums = Wire::read(&mut reader)?;
    let attached = if reader.is_empty() {
        Attached::default()
    } else {
        Wire::read(&mut reader)?
    };
    reader.finish()?;
    Ok((meta, sums, attached))
}

/// The condition that a row is the version of a name, with the id that it compares as `?3`. The two
/// are texts of their own: compared with a parameter, `versioned` would keep SQLite from the index
/// that holds the versions called `null` alone. Both use `?3`, so that both take the same values.
pub(super) const fn is_named(name: &VersionName) -> (&'static str, [u8; 16]) {
    match name {
        VersionName::Null => ("versioned = 0 AND ?3 IS NOT NULL", [0; 16]),
        VersionName::Id(id) => ("versioned = 1 AND version = ?3", *id.as_bytes()),
    }
}

/// The older versions of a key, in the order of the index that holds those of this name together.
pub(super) const fn versions_of(name: &VersionName) -> &'static str {
    match name {
        VersionName::Null => "versions INDEXED BY versions_null",
        VersionName::Id(_) => "versions INDEXED BY versions_by_name",
    }
}

/// The column `datasets.versioning`.
pub(super) const fn versioning_column(state: Versioning) -> u8 {
    match state {
        Versioning::Off => 0,
        Versioning::Enabled => 1,
        Versioning::Suspended => 2,
    }
}

/// Reads that column.
pub(super) fn versioning(row: &Row<'_>, column: usize) -> Result<Versioning, CatalogError> {
    match row.get::<_, u8>(column)? {
        0 => Ok(Versioning::Off),
        1 => Ok(Versioning::Enabled),
        2 => Ok(Versioning::Suspended),
        _ => Err(CatalogError::Damaged { what: "versioning" }),
    }
}

/// `name, created, log, defaults`.
pub(super) fn project(row: &Row<'_>) -> Result<ProjectRow, CatalogError> {
    let log: Option<LogTerms> = get_some(row, 2)?;
    Ok(ProjectRow {
        name: get_name(row, 0)?,
        created: get_time(row, 1)?,
        log: log.unwrap_or_default(),
        defaults: get_some(row, 3)?,
    })
}

/// `id, project, name, created, creator, versioning, object_lock, key_name, card`.
pub(super) fn dataset(row: &Row<'_>) -> Result<DatasetRow, CatalogError> {
    Ok(DatasetRow {
        id: DatasetId::from_bytes(get_id(row, 0)?),
        bucket: BucketName {
            project: get_name(row, 1)?,
            dataset: get_name(row, 2)?,
        },
        created: get_time(row, 3)?,
        creator: get_name(row, 4)?,
        versioning: versioning(row, 5)?,
        defaults: Defaults {
            lock: get_some(row, 6)?,
            key_name: row.get(7)?,
        },
        card: get_some(row, 8)?.map(Arc::new),
    })
}

/// `id, workload, acts_for, created, grouped, suspended, clearance`.
pub(super) fn principal(row: &Row<'_>) -> Result<PrincipalRow, CatalogError> {
    let acts_for: Option<String> = row.get(2)?;
    let clearance: Option<String> = row.get(6)?;
    let damaged = |_not_a_name| CatalogError::Damaged { what: "name" };
    Ok(PrincipalRow {
        id: get_name(row, 0)?,
        kind: match (row.get(1)?, row.get(4)?) {
            (false, false) => PrincipalKind::Person,
            (true, false) => PrincipalKind::Workload,
            (false, true) => PrincipalKind::Group,
            (true, true) => {
                return Err(CatalogError::Damaged {
                    what: "kind of principal",
                });
            }
        },
        acts_for: acts_for
            .map(|name| name.parse())
            .transpose()
            .map_err(damaged)?,
        created: get_time(row, 3)?,
        suspended: get_time_or_none(row, 5)?,
        clearance: clearance
            .map(|label| label.parse())
            .transpose()
            .map_err(damaged)?,
    })
}

/// `id, principal, sealed_secret, created, expires, scope`.
pub(super) fn credential(row: &Row<'_>) -> Result<CredentialRow, CatalogError> {
    Ok(CredentialRow {
        id: get_name(row, 0)?,
        principal: get_name(row, 1)?,
        sealed_secret: get_bytes(row, 2)?,
        created: get_time(row, 3)?,
        expires: get_time_or_none(row, 4)?,
        scope: if row.get_ref(5)? == rusqlite::types::ValueRef::Null {
            None
        } else {
            Some(Box::new(get_encoded(row, 5)?))
        },
    })
}

/// `id, project, principal, row, terms`: the columns that were searched must say what the row
/// says, or a grant of one would serve another.
pub(super) fn grant(row: &Row<'_>) -> Result<Grant, CatalogError> {
    let mut grant: Grant = get_encoded(row, 3)?;
    if row.get_ref(4)? != rusqlite::types::ValueRef::Null {
        grant.terms = get_encoded(row, 4)?;
    }
    let same = grant.id.as_bytes() == &get_id(row, 0)?
        && grant.project.as_str() == row.get_ref(1)?.as_str()?
        && grant.principal.as_str() == row.get_ref(2)?.as_str()?;
    same.then_some(grant)
        .ok_or(CatalogError::Damaged { what: "grant" })
}

/// `dataset, key, version, bytes, etag, modified, detail, sealed_table, versioned, facts`.
pub(super) fn object(row: &Row<'_>) -> Result<ObjectRow, CatalogError> {
    let (meta, (checksums, part_bytes), mut attached) = detail(row, 6)?;
    attached.facts = get_some(row, 9)?.unwrap_or_default();
    Ok(ObjectRow {
        dataset: DatasetId::from_bytes(get_id(row, 0)?),
        key: get_key(row, 1)?,
        version: VersionId::from_bytes(get_id(row, 2)?),
        bytes: get_int(row, 3)?,
        etag: get_name(row, 4)?,
        modified: get_time(row, 5)?,
        meta,
        checksums,
        part_bytes,
        sealed_table: get_bytes(row, 7)?,
        versioned: row.get(8)?,
        attached,
    })
}

/// `dataset, key, version, versioned, modified`.
pub(super) fn marker(row: &Row<'_>) -> Result<MarkerRow, CatalogError> {
    Ok(MarkerRow {
        dataset: DatasetId::from_bytes(get_id(row, 0)?),
        key: get_key(row, 1)?,
        version: VersionId::from_bytes(get_id(row, 2)?),
        versioned: row.get(3)?,
        modified: get_time(row, 4)?,
    })
}

/// The columns of [`object`], and `body`: `NULL` for a marker.
pub(super) fn version(row: &Row<'_>) -> Result<Version, CatalogError> {
    let body: Option<i64> = row.get(10)?;
    if body.is_some() {
        return object(row).map(Version::Object);
    }
    Ok(Version::Marker(MarkerRow {
        dataset: DatasetId::from_bytes(get_id(row, 0)?),
        key: get_key(row, 1)?,
        version: VersionId::from_bytes(get_id(row, 2)?),
        versioned: row.get(8)?,
        modified: get_time(row, 5)?,
    }))
}

/// `id, dataset, row, tags, facts`.
pub(super) fn upload(row: &Row<'_>) -> Result<UploadRow, CatalogError> {
    let mut upload: UploadRow = get_encoded(row, 2)?;
    upload.tags = get_some(row, 3)?.unwrap_or_default();
    upload.facts = get_some(row, 4)?.unwrap_or_default();
    let same =
        upload.id.as_bytes() == &get_id(row, 0)? && upload.dataset.as_bytes() == &get_id(row, 1)?;
    same.then_some(upload)
        .ok_or(CatalogError::Damaged { what: "upload" })
}

/// `upload, number, row`.
pub(super) fn part(row: &Row<'_>) -> Result<PartRow, CatalogError> {
    let part: PartRow = get_encoded(row, 2)?;
    let same = part.upload == UploadId::from_bytes(get_id(row, 0)?)
        && u64::from(part.number) == get_int(row, 1)?;
    same.then_some(part)
        .ok_or(CatalogError::Damaged { what: "part" })
}
