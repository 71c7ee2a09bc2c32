//! How work on keys is encoded.

use super::CodecError;
use super::rows::fields;
use super::wire::{Reader, Wire};
use crate::catalog::{DoomedBlob, EraseScope, ErasedWrite, KeyWorkRow, Tally, WorkEnd};

impl Wire for EraseScope {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Dataset => out.push(0),
            Self::Object(key) => {
                out.push(1);
                key.write(out);
            }
            Self::Version(key, name) => {
                out.push(2);
                key.write(out);
                name.write(out);
            }
            Self::Published(number) => {
                out.push(3);
                number.write(out);
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        match u8::read(reader)? {
            0 => Ok(Self::Dataset),
            1 => Wire::read(reader).map(Self::Object),
            2 => Ok(Self::Version(Wire::read(reader)?, Wire::read(reader)?)),
            3 => Wire::read(reader).map(Self::Published),
            _ => Err(CodecError::Value),
        }
    }
}

fields!(KeyWorkRow {
    id,
    dataset,
    bucket,
    scope,
    floor,
    keys,
    persons,
    reason,
    begun,
    tally,
    end,
});
fields!(WorkEnd { at, certificate });
fields!(Tally {
    writes,
    bytes,
    blobs,
    digest,
});
fields!(ErasedWrite {
    key,
    version,
    bytes,
});
fields!(DoomedBlob { id, shared });
