//! A part table outside the vault: what is released to whoever may read an object and opens it
//! elsewhere, and what a manifest says of it beforehand.

use zeroize::Zeroizing;

use super::Table;
use crate::seal::{OpenError, SealError};

/// Keeps the hash apart from any other of the same bytes.
const LABEL: &[u8] = b"kluis v1 part table commitment\0";

/// SHA-256 of the label and an encoded table.
fn commit(encoded: &[u8]) -> [u8; 32] {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    context.update(LABEL);
    context.update(encoded);
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    out
}

impl Table {
    /// What a manifest says of the table: it names blobs, keys, lengths and order, and shows none
    /// of them, since each key is 32 random bytes.
    pub fn commitment(&self) -> Result<[u8; 32], SealError> {
        Ok(commit(&self.encode()?))
    }

    /// The table in clear, keys and all, for whoever may read the object.
    pub fn release(&self) -> Result<Zeroizing<Vec<u8>>, SealError> {
        self.encode()
    }

    /// A released table that nothing binds, for tests that look into one.
    #[cfg(test)]
    pub(crate) fn receive_unbound(released: &[u8]) -> Option<Self> {
        Self::decode(released)
    }

    /// Takes a released table, if it is the one that a manifest speaks of, of this length.
    pub fn receive(released: &[u8], commitment: &[u8; 32], bytes: u64) -> Result<Self, OpenError> {
        if commit(released) != *commitment {
            return Err(OpenError::NotAuthentic);
        }
        Self::decode(released)
            .filter(|table| table.bytes == bytes)
            .ok_or(OpenError::NotAuthentic)
    }
}
