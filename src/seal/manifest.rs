//! The key of a published version's index, sealed under the dataset's key: where that key is
//! destroyed, no version opens any more.

use bytes::Bytes;

use super::keys::Label;
use super::record::{open_bytes, seal_bytes};
use super::{DataKey, DatasetKey, OpenError, SealError};
use crate::types::{Entropy, PublicationId, Secret};

/// Bytes of a key sealed by the first release, under a dataset's first key: `salt ‖ key ‖ tag`.
const BARE_BYTES: usize = 32 + 32 + 16;

/// Seals the data key of an index: `key version (4) ‖ sealed record`.
pub fn seal_manifest_key(
    key: &DatasetKey,
    publication: &PublicationId,
    index: &DataKey,
    entropy: &dyn Entropy,
) -> Result<Bytes, SealError> {
    let version = key.version.to_be_bytes();
    let context = [&publication.as_bytes()[..], &version].concat();
    let plain = index.0.expose();
    let sealed = seal_bytes(&key.secret, Label::ManifestKey, &context, plain, entropy)?;
    Ok([&version[..], &sealed].concat().into())
}

/// Which of the dataset's keys it says it is sealed under.
#[must_use]
pub fn manifest_key_version(sealed: &[u8]) -> Option<u32> {
    if sealed.len() == BARE_BYTES {
        return Some(1);
    }
    sealed
        .first_chunk()
        .map(|version| u32::from_be_bytes(*version))
}

/// Opens what [`seal_manifest_key`] sealed for the same publication.
pub fn open_manifest_key(
    key: &DatasetKey,
    publication: &PublicationId,
    sealed: &[u8],
) -> Result<DataKey, OpenError> {
    let id = publication.as_bytes();
    let plain = if sealed.len() == BARE_BYTES {
        open_bytes(&key.secret, Label::ManifestKey, id, sealed)?
    } else {
        let (version, sealed) = sealed
            .split_first_chunk::<4>()
            .ok_or(OpenError::NotAuthentic)?;
        let context = [&id[..], version].concat();
        open_bytes(&key.secret, Label::ManifestKey, &context, sealed)?
    };
    let bytes: &[u8; 32] = plain
        .as_slice()
        .try_into()
        .map_err(|_length: std::array::TryFromSliceError| OpenError::NotAuthentic)?;
    let secret = Secret::fill_with(|out| {
        *out = *bytes;
        Ok::<(), OpenError>(())
    })?;
    Ok(DataKey(secret))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::testing::Draws;

    #[test]
    fn a_sealed_key_opens_for_its_publication_alone() {
        let dataset = |byte| DatasetKey {
            secret: Secret::take(&mut [byte; 32]),
            version: 1,
        };
        let id = PublicationId::from_bytes([3; 16]);
        let index = DataKey::random(&Draws::new(1)).unwrap();
        let sealed = seal_manifest_key(&dataset(1), &id, &index, &Draws::new(2)).unwrap();
        let opened = open_manifest_key(&dataset(1), &id, &sealed).unwrap();
        assert!(opened.0.same_as(&index.0));
        assert!(open_manifest_key(&dataset(2), &id, &sealed).is_err());
        let other = PublicationId::from_bytes([4; 16]);
        assert!(open_manifest_key(&dataset(1), &other, &sealed).is_err());
        assert!(open_manifest_key(&dataset(1), &id, &sealed[1..]).is_err());
        assert_eq!(manifest_key_version(&sealed), Some(1));
        let mut bent = sealed.to_vec();
        bent[3] = 2;
        assert_eq!(manifest_key_version(&bent), Some(2));
        assert!(
            open_manifest_key(&dataset(1), &id, &bent).is_err(),
            "the version is bound"
        );
        // What the first release sealed, without a version.
        let bare = seal_bytes(
            &dataset(1).secret,
            Label::ManifestKey,
            id.as_bytes(),
            index.0.expose(),
            &Draws::new(3),
        );
        let bare = bare.unwrap();
        assert_eq!(manifest_key_version(&bare), Some(1));
        let opened = open_manifest_key(&dataset(1), &id, &bare).unwrap();
        assert!(opened.0.same_as(&index.0));
    }
}
