//! The two hashes of the log: of a session, and of a record as a leaf.

use ring::digest::{Context, Digest, SHA256, digest};

use super::codec::{CodecError, encode_session};
use super::record::{Session, SessionHash};

/// SHA-256(0x00 ‖ record): a leaf as RFC 6962 section 2.1 hashes it.
pub type LeafHash = [u8; 32];

/// SHA-256 of the session entry's canonical bytes.
pub fn session_hash(session: &Session) -> Result<SessionHash, CodecError> {
    let mut bytes = Vec::with_capacity(256);
    encode_session(session, &mut bytes)?;
    Ok(array(&digest(&SHA256, &bytes)))
}

/// The leaf hash of one record's canonical bytes. The prefix keeps a leaf from passing for a node.
#[must_use]
pub fn leaf_hash(record: &[u8]) -> LeafHash {
    let mut context = Context::new(&SHA256);
    context.update(&[0]);
    context.update(record);
    array(&context.finish())
}

/// A SHA-256 digest is 32 bytes long.
pub(super) fn array(digest: &Digest) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest.as_ref());
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::HEXLOWER;

    #[test]
    fn the_empty_leaf_is_the_one_of_rfc_6962() {
        assert_eq!(
            HEXLOWER.encode(&leaf_hash(b"")),
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
        );
    }

    #[test]
    fn a_session_is_no_leaf() {
        let session = crate::ledger::samples::session();
        let mut bytes = Vec::new();
        encode_session(&session, &mut bytes).unwrap();
        assert_ne!(session_hash(&session).unwrap(), leaf_hash(&bytes));
    }
}
