//! Sealed records: short secrets, part tables and snapshots, each sealed whole under a key that no
//! other record has. A key derived from 32 random bytes needs no nonce and has no bound on the
//! number of records, as 12 random bytes would.

use bytes::{BufMut as _, Bytes, BytesMut};
use zeroize::Zeroizing;

use super::keys::{Label, Parent};
use super::suite::{Cipher, NONCE_ZERO, Suite, TAG_BYTES};
use super::{OpenError, Refusal, SealError};
use crate::types::{Entropy, Secret};

/// Bytes of a record's salt.
pub(super) const SALT_BYTES: usize = 32;

/// Seals `plain` under `key` for the purpose `label`, bound to `context`.
pub(crate) fn seal_bytes(
    key: &Secret<32>,
    label: Label,
    context: &[u8],
    plain: &[u8],
    entropy: &dyn Entropy,
) -> Result<Bytes, SealError> {
    //= src/seal/FORMAT.md#sealed-record
    //# The salt MUST be 32 random bytes, or for a part table the value below; so each key seals one record only.
    let salt = Secret::random(entropy).map_err(SealError::Entropy)?;
    let mut out = BytesMut::new();
    append(
        &mut out,
        &one_time(key, label, &salt)?,
        (&salt, context),
        plain,
    )?;
    Ok(out.freeze())
}

/// Opens what [`seal_bytes`] sealed with the same key, label and context.
pub(crate) fn open_bytes(
    key: &Secret<32>,
    label: Label,
    context: &[u8],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    open_precisely(key, label, context, sealed).map_err(OpenError::from)
}

/// Seals a snapshot of the catalog; `context` says which one it is.
pub fn seal_snapshot(
    key: &Secret<32>,
    context: &[u8],
    plain: &[u8],
    entropy: &dyn Entropy,
) -> Result<Bytes, SealError> {
    seal_bytes(key, Label::Snapshot, context, plain, entropy)
}

/// Seals the log's state, bound to the log's origin.
pub fn seal_log_state(
    key: &Secret<32>,
    origin: &str,
    plain: &[u8],
    entropy: &dyn Entropy,
) -> Result<Bytes, SealError> {
    seal_bytes(key, Label::LogState, origin.as_bytes(), plain, entropy)
}

/// Opens what [`seal_log_state`] sealed with the same key and origin.
pub fn open_log_state(
    key: &Secret<32>,
    origin: &str,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    open_bytes(key, Label::LogState, origin.as_bytes(), sealed)
}

/// Opens what [`seal_snapshot`] sealed with the same key and context.
pub fn open_snapshot(
    key: &Secret<32>,
    context: &[u8],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    open_bytes(key, Label::Snapshot, context, sealed)
}

/// The key that seals the one record of this salt.
pub(super) fn one_time(
    key: &Secret<32>,
    label: Label,
    salt: &Secret<SALT_BYTES>,
) -> Result<Cipher, SealError> {
    let key = Parent::new(key, salt.expose()).child(label, &[])?;
    Cipher::new(Suite::Aes256Gcm, &key)
}

/// Appends `salt ‖ ciphertext ‖ tag`; on an error nothing is appended.
pub(super) fn append(
    out: &mut BytesMut,
    cipher: &Cipher,
    (salt, context): (&Secret<SALT_BYTES>, &[u8]),
    plain: &[u8],
) -> Result<(), SealError> {
    let room = plain.len().checked_add(SALT_BYTES + TAG_BYTES);
    out.reserve(room.ok_or(SealError::Length)?);
    out.put_slice(salt.expose());
    let mut sealed = out.split_off(out.len());
    sealed.put_slice(plain);
    let tag = cipher.seal(NONCE_ZERO, context, &mut sealed)?;
    sealed.put_slice(&tag);
    out.unsplit(sealed);
    Ok(())
}

pub(super) fn open_precisely(
    key: &Secret<32>,
    label: Label,
    context: &[u8],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    let (salt, sealed) = sealed
        .split_first_chunk::<SALT_BYTES>()
        .ok_or(Refusal::Record)?;
    let cipher = one_time(key, label, &Secret::take(&mut salt.to_owned()))?;
    let mut buffer = Zeroizing::new(sealed.to_vec());
    let plain = cipher.open(NONCE_ZERO, context, &mut buffer);
    let bytes = plain.ok_or(Refusal::Record)?.len();
    buffer.truncate(bytes);
    Ok(buffer)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::seal::testing::Draws;

    fn key(byte: u8) -> Secret<32> {
        Secret::take(&mut [byte; 32])
    }

    proptest! {
        #[test]
        fn records_round_trip_and_no_changed_bit_opens(
            plain in prop::collection::vec(any::<u8>(), 0..100), at in any::<prop::sample::Index>(), bit in 0u8..8,
        ) {
            let sealed = seal_snapshot(&key(1), b"7", &plain, &Draws::new(1)).unwrap();
            prop_assert_eq!(sealed.len(), plain.len() + 48);
            prop_assert_eq!(&*open_snapshot(&key(1), b"7", &sealed).unwrap(), &plain);
            let mut bad = sealed.to_vec();
            let at = at.index(bad.len());
            bad[at] ^= 1 << bit;
            prop_assert_eq!(open_snapshot(&key(1), b"7", &bad), Err(OpenError::NotAuthentic));
        }
    }

    #[test]
    fn another_key_label_context_or_length_is_refused() {
        let sealed = seal_bytes(&key(1), Label::Secret, b"a", b"text", &Draws::new(1)).unwrap();
        assert!(open_bytes(&key(1), Label::Secret, b"a", &sealed).is_ok());
        assert!(open_bytes(&key(2), Label::Secret, b"a", &sealed).is_err());
        assert!(open_bytes(&key(1), Label::Snapshot, b"a", &sealed).is_err());
        assert!(open_bytes(&key(1), Label::Secret, b"b", &sealed).is_err());
        for cut in 0..sealed.len() {
            assert!(open_bytes(&key(1), Label::Secret, b"a", &sealed[..cut]).is_err());
        }
        let long = [&sealed[..], &[0]].concat();
        assert!(open_bytes(&key(1), Label::Secret, b"a", &long).is_err());
    }

    #[test]
    fn the_same_record_twice_looks_different() {
        let draws = Draws::new(1);
        let a = seal_bytes(&key(1), Label::Secret, b"", b"same", &draws).unwrap();
        let b = seal_bytes(&key(1), Label::Secret, b"", b"same", &draws).unwrap();
        assert_ne!(a[..32], b[..32]);
        assert_ne!(a[32..36], b[32..36]);
    }

    #[test]
    fn without_randomness_nothing_is_sealed() {
        let failed = seal_snapshot(&key(1), b"", b"x", &crate::seal::testing::Dry);
        assert!(matches!(failed, Err(SealError::Entropy(_))));
    }
}
