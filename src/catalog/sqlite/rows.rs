//! How rows come out of their columns.

use rusqlite::Row;

use super::sql::{get_bytes, get_encoded, get_id, get_int, get_key, get_name, get_time};
use crate::catalog::codec::Wire as _;
use crate::catalog::{
    CatalogError, CredentialRow, DatasetRow, ObjectMeta, ObjectRow, PartRow, PrincipalRow,
    ProjectRow, UploadRow,
};
use crate::policy::Grant;
use crate::types::{
    BucketName, Checksums, DatasetId, PrincipalKind, Timestamp, UploadId, VersionId,
};

/// An object's metadata, checksums and parts' lengths: the column `bodies.detail`.
pub(super) type Detail = (ObjectMeta, (Checksums, Vec<u64>));

/// Writes that column.
pub(super) fn encode_detail(row: &ObjectRow) -> Vec<u8> {
    let mut out = Vec::new();
    row.meta.write(&mut out);
    row.checksums.write(&mut out);
    row.part_bytes.write(&mut out);
    out
}

/// `name, created`.
pub(super) fn project(row: &Row<'_>) -> Result<ProjectRow, CatalogError> {
    Ok(ProjectRow {
        name: get_name(row, 0)?,
        created: get_time(row, 1)?,
    })
}

/// `id, project, name, created, creator`.
pub(super) fn dataset(row: &Row<'_>) -> Result<DatasetRow, CatalogError> {
    Ok(DatasetRow {
        id: DatasetId::from_bytes(get_id(row, 0)?),
        bucket: BucketName {
            project: get_name(row, 1)?,
            dataset: get_name(row, 2)?,
        },
        created: get_time(row, 3)?,
        creator: get_name(row, 4)?,
    })
}

/// `id, workload, acts_for, created`.
pub(super) fn principal(row: &Row<'_>) -> Result<PrincipalRow, CatalogError> {
    let acts_for: Option<String> = row.get(2)?;
    let damaged = |_not_a_name| CatalogError::Damaged { what: "name" };
    Ok(PrincipalRow {
        id: get_name(row, 0)?,
        kind: if row.get(1)? {
            PrincipalKind::Workload
        } else {
            PrincipalKind::Person
        },
        acts_for: acts_for
            .map(|name| name.parse())
            .transpose()
            .map_err(damaged)?,
        created: get_time(row, 3)?,
    })
}

/// `id, principal, sealed_secret, created, expires`.
pub(super) fn credential(row: &Row<'_>) -> Result<CredentialRow, CatalogError> {
    let expires: Option<i64> = row.get(4)?;
    let damaged = |_negative| CatalogError::Damaged { what: "number" };
    Ok(CredentialRow {
        id: get_name(row, 0)?,
        principal: get_name(row, 1)?,
        sealed_secret: get_bytes(row, 2)?,
        created: get_time(row, 3)?,
        expires: expires
            .map(u64::try_from)
            .transpose()
            .map_err(damaged)?
            .map(Timestamp::from_millis),
    })
}

/// `id, project, principal, row`: the columns that were searched must say what the row says, or a
/// grant of one would serve another.
pub(super) fn grant(row: &Row<'_>) -> Result<Grant, CatalogError> {
    let grant: Grant = get_encoded(row, 3)?;
    let same = grant.id.as_bytes() == &get_id(row, 0)?
        && grant.project.as_str() == row.get_ref(1)?.as_str()?
        && grant.principal.as_str() == row.get_ref(2)?.as_str()?;
    same.then_some(grant)
        .ok_or(CatalogError::Damaged { what: "grant" })
}

/// `dataset, key, version, bytes, etag, modified, detail, sealed_table`.
pub(super) fn object(row: &Row<'_>) -> Result<ObjectRow, CatalogError> {
    let (meta, (checksums, part_bytes)): Detail = get_encoded(row, 6)?;
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
    })
}

/// `id, dataset, row`.
pub(super) fn upload(row: &Row<'_>) -> Result<UploadRow, CatalogError> {
    let upload: UploadRow = get_encoded(row, 2)?;
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
