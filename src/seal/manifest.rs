//! The key of a published version's index, sealed under the dataset's key: where that key is
//! destroyed, no version opens any more.

use bytes::Bytes;

use super::keys::Label;
use super::record::{open_bytes, seal_bytes};
use super::{DataKey, DatasetKey, OpenError, SealError};
use crate::types::{Entropy, PublicationId, Secret};

/// Seals the data key of an index.
pub fn seal_manifest_key(
    key: &DatasetKey,
    publication: &PublicationId,
    index: &DataKey,
    entropy: &dyn Entropy,
) -> Result<Bytes, SealError> {
    let context = publication.as_bytes();
    let plain = index.0.expose();
    seal_bytes(&key.secret, Label::ManifestKey, context, plain, entropy)
}

/// Opens what [`seal_manifest_key`] sealed for the same publication.
pub fn open_manifest_key(
    key: &DatasetKey,
    publication: &PublicationId,
    sealed: &[u8],
) -> Result<DataKey, OpenError> {
    let context = publication.as_bytes();
    let plain = open_bytes(&key.secret, Label::ManifestKey, context, sealed)?;
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
    }
}
