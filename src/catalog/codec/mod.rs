//! The canonical encoding of mutations: what the change log and the snapshots hold.
//!
//! One version byte, then a list of mutations. Integers are big-endian and of fixed width, texts
//! and lists carry their length in 4 bytes, an enumeration is one byte. Each value has exactly one
//! encoding, so `encode(decode(x)) == x` for every `x` that decodes. The decoder trusts nothing:
//! no length is believed beyond the bytes that are there, and trailing bytes are an error.

mod chain;
mod keywork;
mod mutation;
mod roster;
mod rows;
mod wire;

#[cfg(test)]
mod tests;

use bytes::Bytes;

pub(super) use wire::{Reader, Wire};

use super::Mutation;

/// The version of this encoding.
const VERSION: u8 = 1;

/// Bytes that are not the encoding of anything. At fault: who wrote them.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CodecError {
    /// Another version than 1.
    #[error("encoded by an unknown version")]
    Version,
    /// The bytes end inside a value.
    #[error("the bytes end too early")]
    Short,
    /// Bytes follow the last value.
    #[error("bytes follow the end")]
    Trailing,
    /// A value that its type does not allow.
    #[error("a value is not allowed")]
    Value,
}

/// Encodes the mutations of one commit.
///
/// A text or list of 4 GiB or more has no encoding: it yields bytes that do not decode. Commits
/// are bounded far below ([`crate::types::limits::CATALOG_CHANGE_BYTES_MAX`]).
#[must_use]
pub fn encode(mutations: &[Mutation]) -> Bytes {
    let mut out = vec![VERSION];
    wire::write_list(mutations, &mut out);
    out.into()
}

/// Decodes what [`encode`] wrote.
pub fn decode(bytes: &[u8]) -> Result<Vec<Mutation>, CodecError> {
    let mut reader = Reader::new(bytes);
    if u8::read(&mut reader)? != VERSION {
        return Err(CodecError::Version);
    }
    let mutations = Vec::read(&mut reader)?;
    reader.finish()?;
    Ok(mutations)
}

/// For fuzzing: whether these bytes, if they decode at all, encode to themselves again.
#[must_use]
pub fn decodes_canonically(bytes: &[u8]) -> bool {
    decode(bytes).is_ok_and(|mutations| encode(&mutations) == bytes) || decode(bytes).is_err()
}

/// Encodes one row or part of a row.
pub(super) fn encode_value<T: Wire>(value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    value.write(&mut out);
    out
}

/// Decodes one row or part of a row, of which nothing may be left over.
pub(super) fn decode_value<T: Wire>(bytes: &[u8]) -> Result<T, CodecError> {
    let mut reader = Reader::new(bytes);
    let value = T::read(&mut reader)?;
    reader.finish()?;
    Ok(value)
}
