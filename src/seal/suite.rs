//! The ciphers of the format, by number, and the one place that calls them.

use bytes::BytesMut;
use ring::aead::{AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

use super::SealError;
use crate::types::Secret;

/// Bytes of an authentication tag, in both suites.
pub const TAG_BYTES: usize = 16;

/// A nonce that a key sees once only.
pub(super) const NONCE_ZERO: [u8; 12] = [0; 12];

/// The cipher of a blob.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Suite {
    /// AES-256-GCM (NIST SP 800-38D): the default.
    Aes256Gcm,
    /// ChaCha20-Poly1305 (RFC 8439), for machines without AES instructions.
    ChaCha20Poly1305,
}

impl Suite {
    /// The number in the header.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Aes256Gcm => 1,
            Self::ChaCha20Poly1305 => 2,
        }
    }

    /// The suite of this number, if there is one.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        //= src/seal/FORMAT.md#header
        //# An opener MUST refuse a suite that it does not know.
        match code {
            1 => Some(Self::Aes256Gcm),
            2 => Some(Self::ChaCha20Poly1305),
            _ => None,
        }
    }

    fn algorithm(self) -> &'static Algorithm {
        match self {
            Self::Aes256Gcm => &AES_256_GCM,
            Self::ChaCha20Poly1305 => &CHACHA20_POLY1305,
        }
    }
}

/// A key ready for use in its cipher.
pub(super) struct Cipher(LessSafeKey);

impl Cipher {
    pub(super) fn new(suite: Suite, key: &Secret<32>) -> Result<Self, SealError> {
        UnboundKey::new(suite.algorithm(), key.expose())
            .map(|key| Self(LessSafeKey::new(key)))
            .map_err(|ring::error::Unspecified| SealError::Cipher)
    }

    /// Seals in place and returns the tag. **The caller answers for the nonce.**
    pub(super) fn seal(
        &self,
        nonce: [u8; 12],
        aad: &[u8],
        plain: &mut [u8],
    ) -> Result<[u8; TAG_BYTES], SealError> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self
            .0
            .seal_in_place_separate_tag(nonce, Aad::from(aad), plain)
            .map_err(|ring::error::Unspecified| SealError::Cipher)?;
        tag.as_ref()
            .try_into()
            .map_err(|_not_16: std::array::TryFromSliceError| SealError::Cipher)
    }

    /// Opens `ciphertext ‖ tag` in place; on `None` nothing in `sealed` is plaintext.
    pub(super) fn open<'a>(
        &self,
        nonce: [u8; 12],
        aad: &[u8],
        sealed: &'a mut [u8],
    ) -> Option<&'a mut [u8]> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.0.open_in_place(nonce, Aad::from(aad), sealed).ok()
    }

    /// [`Self::open`] for a buffer that keeps its allocation; emptied when it does not open.
    pub(super) fn open_buffer(&self, nonce: [u8; 12], aad: &[u8], sealed: &mut BytesMut) -> bool {
        //= src/seal/FORMAT.md#segments
        //# An opener MUST NOT hand over a byte of a segment that did not authenticate.
        let plain = self.open(nonce, aad, sealed).map(|plain| plain.len());
        sealed.truncate(plain.unwrap_or(0));
        plain.is_some()
    }
}
