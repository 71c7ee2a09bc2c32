//! How rows and their parts are encoded: the fields in order of declaration.

use super::CodecError;
use super::wire::{Reader, Wire};
use crate::catalog::{
    BlobUse, CredentialRow, DatasetRow, ObjectMeta, ObjectRow, PartRow, PrincipalRow, ProjectRow,
    UploadRow,
};
use crate::policy::{Grant, GrantEffect};
use crate::types::{BucketName, ChecksumKind, Checksums, PrincipalKind};

/// Taking a value apart field by field, so that a new field cannot be forgotten.
macro_rules! fields {
    ($type:ident { $($field:ident),* $(,)? }) => {
        impl Wire for $type {
            fn write(&self, out: &mut Vec<u8>) {
                let Self { $($field),* } = self;
                $($field.write(out);)*
            }

            fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
                $(let $field = Wire::read(reader)?;)*
                Ok(Self { $($field),* })
            }
        }
    };
}

/// An enumeration without fields, as one byte.
macro_rules! bytes {
    ($type:ident { $($variant:ident = $byte:literal),* $(,)? }) => {
        impl Wire for $type {
            fn write(&self, out: &mut Vec<u8>) {
                out.push(match self { $(Self::$variant => $byte),* });
            }

            fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
                match u8::read(reader)? {
                    $($byte => Ok(Self::$variant),)*
                    _ => Err(CodecError::Value),
                }
            }
        }
    };
}

bytes!(PrincipalKind {
    Person = 0,
    Workload = 1,
});
bytes!(GrantEffect { Allow = 0, Deny = 1 });
bytes!(ChecksumKind {
    Crc32 = 0,
    Crc32c = 1,
    Crc64Nvme = 2,
    Sha1 = 3,
    Sha256 = 4,
});

fields!(BucketName { project, dataset });
fields!(Checksums { values, composite });
fields!(BlobUse { fresh, shared });
fields!(ProjectRow { name, created });
fields!(DatasetRow {
    id,
    bucket,
    created,
    creator,
});
fields!(PrincipalRow {
    id,
    kind,
    acts_for,
    created,
});
fields!(CredentialRow {
    id,
    principal,
    sealed_secret,
    created,
    expires,
});
fields!(Grant {
    id,
    project,
    principal,
    role,
    dataset,
    prefix,
    effect,
    purpose,
    permit,
    starts,
    expires,
    approver,
    created,
});
fields!(ObjectMeta {
    content_type,
    content_encoding,
    content_language,
    content_disposition,
    cache_control,
    expires,
    user,
});
fields!(ObjectRow {
    dataset,
    key,
    version,
    bytes,
    etag,
    modified,
    meta,
    checksums,
    part_bytes,
    sealed_table,
});
fields!(UploadRow {
    id,
    dataset,
    key,
    initiator,
    initiated,
    meta,
    checksum,
});
fields!(PartRow {
    upload,
    number,
    version,
    bytes,
    etag,
    modified,
    checksums,
    sealed_table,
});
