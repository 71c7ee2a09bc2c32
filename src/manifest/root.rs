//! The root: a few hundred bytes that stand for a whole version, and their signature.

use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

use super::ManifestError;
use super::part::Part;
use super::wire::{Reader, put_short};
use crate::types::{
    BlobId, BucketName, DatasetId, PublicationId, Secret, Timestamp, is_small_order,
};

/// SHA-256.
pub type Digest = [u8; 32];

/// SHA-256 of some bytes.
#[must_use]
pub fn digest(bytes: &[u8]) -> Digest {
    let mut out = [0; 32];
    let found = ring::digest::digest(&ring::digest::SHA256, bytes);
    for (to, from) in out.iter_mut().zip(found.as_ref()) {
        *to = *from;
    }
    out
}

const MAGIC: [u8; 8] = *b"KLUISM1\0";
const SIGNATURE_BYTES: usize = 64;

/// The index's place and digest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IndexRef {
    /// Its blob.
    pub blob: BlobId,
    /// Its plaintext length in bytes.
    pub bytes: u32,
    /// SHA-256 of the sealed blob.
    pub digest: Digest,
}

/// What a version is, in short.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Root {
    /// The dataset.
    pub dataset: DatasetId,
    /// Its freezing.
    pub publication: PublicationId,
    /// The version's number, from 1.
    pub number: u32,
    /// When it was frozen.
    pub frozen: Timestamp,
    /// SHA-256 of the root of the version before; zeros for the first.
    pub previous: Digest,
    /// How many objects it holds.
    pub objects: u64,
    /// Their plaintext bytes.
    pub bytes: u64,
    /// How many of the objects have names that no directory can show.
    pub hidden: u64,
    /// How many pages the index names.
    pub pages: u32,
    /// The index.
    pub index: IndexRef,
    /// Project and name.
    pub bucket: BucketName,
}

impl Root {
    /// The one encoding.
    pub fn encode(&self) -> Result<Vec<u8>, ManifestError> {
        let mut out = Vec::with_capacity(256);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(self.dataset.as_bytes());
        out.extend_from_slice(self.publication.as_bytes());
        out.extend_from_slice(&self.number.to_be_bytes());
        out.extend_from_slice(&self.frozen.millis().to_be_bytes());
        out.extend_from_slice(&self.previous);
        out.extend_from_slice(&self.objects.to_be_bytes());
        out.extend_from_slice(&self.bytes.to_be_bytes());
        out.extend_from_slice(&self.hidden.to_be_bytes());
        out.extend_from_slice(&self.pages.to_be_bytes());
        out.extend_from_slice(self.index.blob.as_bytes());
        out.extend_from_slice(&self.index.bytes.to_be_bytes());
        out.extend_from_slice(&self.index.digest);
        put_short(&mut out, self.bucket.project.as_str().as_bytes())?;
        put_short(&mut out, self.bucket.dataset.as_str().as_bytes())?;
        Ok(out)
    }

    /// Reads exactly what [`Self::encode`] writes.
    pub fn decode(bytes: &[u8]) -> Result<Self, ManifestError> {
        let mut reader = Reader::new(bytes);
        //= src/manifest/FORMAT.md#root
        //# The magic MUST be `KLUISM1` followed by one zero byte.
        if reader.array()? != MAGIC {
            return Err(ManifestError::Form);
        }
        let root = Self {
            dataset: DatasetId::from_bytes(reader.array()?),
            publication: PublicationId::from_bytes(reader.array()?),
            number: reader.u32()?,
            frozen: Timestamp::from_millis(reader.u64()?),
            previous: reader.array()?,
            objects: reader.u64()?,
            bytes: reader.u64()?,
            hidden: reader.u64()?,
            pages: reader.u32()?,
            index: IndexRef {
                blob: BlobId::from_bytes(reader.array()?),
                bytes: reader.u32()?,
                digest: reader.array()?,
            },
            bucket: BucketName {
                project: name(reader.short()?)?,
                dataset: name(reader.short()?)?,
            },
        };
        reader.finish()?;
        //= src/manifest/FORMAT.md#root
        //# The number MUST be at least 1; `previous` MUST be zero for number 1 and for no other.
        let first = root.previous == [0; 32];
        let sound = root.number >= 1
            && (root.number == 1) == first
            && root.hidden <= root.objects
            && (root.objects == 0) == (root.pages == 0);
        sound.then_some(root).ok_or(ManifestError::Form)
    }
}

pub(super) fn name<T: std::str::FromStr>(bytes: &[u8]) -> Result<T, ManifestError> {
    let text = std::str::from_utf8(bytes).ok();
    text.and_then(|text| text.parse().ok())
        .ok_or(ManifestError::Form)
}

/// Signs roots. **Implements none of Debug, Clone, Serialize.**
pub struct Signer(Ed25519KeyPair);

impl Signer {
    /// Of a seed.
    pub fn new(seed: &Secret<32>) -> Result<Self, ManifestError> {
        Ed25519KeyPair::from_seed_unchecked(seed.expose())
            .map(Self)
            .map_err(|_rejected| ManifestError::Signature)
    }

    /// What verifies its signatures.
    #[must_use]
    pub fn key(&self) -> SignerKey {
        let mut key = [0; 32];
        for (to, from) in key.iter_mut().zip(self.0.public_key().as_ref()) {
            *to = *from;
        }
        SignerKey(key)
    }

    /// The envelope: the root and its signature.
    pub fn sign(&self, root: &Root) -> Result<Vec<u8>, ManifestError> {
        Ok(self.envelope(root.encode()?))
    }

    /// The envelope of a part's root.
    pub fn sign_part(&self, part: &Part) -> Result<Vec<u8>, ManifestError> {
        Ok(self.envelope(part.encode()?))
    }

    fn envelope(&self, mut signed: Vec<u8>) -> Vec<u8> {
        let signature = self.0.sign(&signed);
        signed.extend_from_slice(signature.as_ref());
        signed
    }
}

/// The key that a vault's versions are signed under.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SignerKey([u8; 32]);

impl SignerKey {
    /// Wraps 32 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Opens an envelope: the root, if this key signed it, and its digest.
    pub fn open(&self, envelope: &[u8]) -> Result<(Root, Digest), ManifestError> {
        let root = self.verified(envelope)?;
        Ok((Root::decode(root)?, digest(root)))
    }

    /// What this key signed.
    pub(super) fn verified<'a>(&self, envelope: &'a [u8]) -> Result<&'a [u8], ManifestError> {
        let (signed, signature) = split(envelope)?;
        //= src/manifest/FORMAT.md#root
        //# A reader MUST verify the signature before it believes a byte of the root.
        if is_small_order(&self.0) {
            return Err(ManifestError::Signature);
        }
        UnparsedPublicKey::new(&ED25519, &self.0)
            .verify(signed, signature)
            .map_err(|_unspecified| ManifestError::Signature)?;
        Ok(signed)
    }
}

impl std::fmt::Display for SignerKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl std::str::FromStr for SignerKey {
    type Err = ManifestError;

    fn from_str(text: &str) -> Result<Self, ManifestError> {
        let bytes = data_encoding::HEXLOWER.decode(text.as_bytes());
        let bytes = bytes.map_err(|_not_hex| ManifestError::Form)?;
        bytes
            .try_into()
            .map(Self)
            .map_err(|_length| ManifestError::Form)
    }
}

/// Root and signature of an envelope; neither is believed.
fn split(envelope: &[u8]) -> Result<(&[u8], &[u8]), ManifestError> {
    let at = envelope.len().checked_sub(SIGNATURE_BYTES);
    at.and_then(|at| envelope.split_at_checked(at))
        .ok_or(ManifestError::Form)
}

impl Root {
    /// The root in an envelope of one's own catalog, unverified, with its digest.
    pub fn of_envelope(envelope: &[u8]) -> Result<(Self, Digest), ManifestError> {
        let (root, _) = split(envelope)?;
        Ok((Self::decode(root)?, digest(root)))
    }
}
