//! The encoding's letters: integers, texts, lists, names, and a reader that cannot forget bytes.

use std::str::FromStr;

use bytes::Bytes;

use super::CodecError;
use crate::types::{
    AccessKeyId, ApprovalId, BlobId, ClaimId, DatasetId, DatasetName, ETag, GrantId, KeyWorkId,
    Label, NoticeId, ObjectKey, PartitionName, PrincipalId, ProjectName, PublicationId, Timestamp,
    UploadId, UseClass, VersionId,
};

/// Elements for which room is made on the word of a length alone.
const RESERVE_MAX: usize = 1024;

/// A type with exactly one encoding per value.
pub(in crate::catalog) trait Wire: Sized {
    /// Appends the encoding.
    fn write(&self, out: &mut Vec<u8>);
    /// Takes a value off the front.
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError>;
}

/// Bytes not read yet.
pub(in crate::catalog) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(in crate::catalog) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], CodecError> {
        let (head, tail) = self.0.split_at_checked(count).ok_or(CodecError::Short)?;
        self.0 = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        let (head, tail) = self.0.split_first_chunk().ok_or(CodecError::Short)?;
        self.0 = tail;
        Ok(*head)
    }

    /// A length that the bytes left can hold, at one byte or more per element.
    fn length(&mut self) -> Result<usize, CodecError> {
        let length = usize::try_from(u32::read(self)?).map_err(|_too_big| CodecError::Short)?;
        if length > self.0.len() {
            return Err(CodecError::Short);
        }
        Ok(length)
    }

    fn text(&mut self) -> Result<&'a str, CodecError> {
        let length = self.length()?;
        std::str::from_utf8(self.take(length)?).map_err(|_not_utf8| CodecError::Value)
    }

    /// Whether nothing is left.
    pub(in crate::catalog) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Nothing may be left.
    pub(in crate::catalog) const fn finish(self) -> Result<(), CodecError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(CodecError::Trailing)
        }
    }
}

fn write_length(length: usize, out: &mut Vec<u8>) {
    // A length beyond 4 bytes becomes one that the bytes do not hold: the decoder refuses it.
    u32::try_from(length).unwrap_or(u32::MAX).write(out);
}

fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    write_length(bytes.len(), out);
    out.extend_from_slice(bytes);
}

pub(super) fn write_list<T: Wire>(items: &[T], out: &mut Vec<u8>) {
    write_length(items.len(), out);
    for item in items {
        item.write(out);
    }
}

macro_rules! integers {
    ($($type:ident),*) => {$(
        impl Wire for $type {
            fn write(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_be_bytes());
            }

            fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
                reader.array().map(Self::from_be_bytes)
            }
        }
    )*};
}

integers!(u8, u32, u64);

impl Wire for [u8; 32] {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        reader.array()
    }
}

impl Wire for bool {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        match u8::read(reader)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(CodecError::Value),
        }
    }
}

impl Wire for String {
    fn write(&self, out: &mut Vec<u8>) {
        write_bytes(self.as_bytes(), out);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        reader.text().map(Self::from)
    }
}

impl Wire for Bytes {
    fn write(&self, out: &mut Vec<u8>) {
        write_bytes(self, out);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let length = reader.length()?;
        reader.take(length).map(Self::copy_from_slice)
    }
}

impl Wire for Timestamp {
    fn write(&self, out: &mut Vec<u8>) {
        self.millis().write(out);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        u64::read(reader).map(Self::from_millis)
    }
}

impl<T: Wire> Wire for Option<T> {
    fn write(&self, out: &mut Vec<u8>) {
        self.is_some().write(out);
        if let Some(value) = self {
            value.write(out);
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        bool::read(reader)?.then(|| T::read(reader)).transpose()
    }
}

impl<T: Wire> Wire for Vec<T> {
    fn write(&self, out: &mut Vec<u8>) {
        write_list(self, out);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let length = reader.length()?;
        let mut items = Self::with_capacity(length.min(RESERVE_MAX));
        for _ in 0..length {
            items.push(T::read(reader)?);
        }
        Ok(items)
    }
}

impl<A: Wire, B: Wire> Wire for (A, B) {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
        self.1.write(out);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok((A::read(reader)?, B::read(reader)?))
    }
}

macro_rules! ids {
    ($($type:ident),*) => {$(
        impl Wire for $type {
            fn write(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(self.as_bytes());
            }

            fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
                reader.array().map(Self::from_bytes)
            }
        }
    )*};
}

ids!(
    ApprovalId,
    BlobId,
    DatasetId,
    VersionId,
    UploadId,
    GrantId,
    NoticeId,
    ClaimId,
    PublicationId,
    KeyWorkId
);

macro_rules! names {
    ($($type:ident),*) => {$(
        impl Wire for $type {
            fn write(&self, out: &mut Vec<u8>) {
                write_bytes(self.as_str().as_bytes(), out);
            }

            fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
                Self::from_str(reader.text()?).map_err(|_not_a_name| CodecError::Value)
            }
        }
    )*};
}

names!(
    ProjectName,
    DatasetName,
    ObjectKey,
    PrincipalId,
    AccessKeyId,
    ETag,
    Label,
    PartitionName,
    UseClass
);
