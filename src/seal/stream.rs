//! Sealing and opening a blob segment by segment, in place (the STREAM construction). It knows
//! neither the store nor the catalog; `FORMAT.md` has the rules, `layout` the offsets.

use bytes::{Bytes, BytesMut};
use subtle::ConstantTimeEq as _;

use super::header::{self, BOUND_BYTES, CLEAR_BYTES, Description, HEADER_BYTES};
use super::keys::{Label, Parent};
use super::suite::{Cipher, NONCE_ZERO, Suite, TAG_BYTES};
use super::{OpenError, Refusal, SealError, layout};
use crate::types::{BlobId, Entropy, Secret, VersionId};

/// A blob's own key: 32 random bytes that seal one blob and nothing else.
/// **Implements none of Debug, Display, Clone, Serialize.**
///
/// ```compile_fail
/// fn print(key: &kluis::seal::DataKey) { println!("{key:?}"); }
/// ```
/// ```compile_fail
/// fn copy(key: &kluis::seal::DataKey) -> kluis::seal::DataKey { key.clone() }
/// ```
pub struct DataKey(pub(super) Secret<32>);

impl DataKey {
    /// Draws a fresh key.
    pub fn random(entropy: &dyn Entropy) -> Result<Self, SealError> {
        //= src/seal/FORMAT.md#keys
        //# A data key MUST seal one blob only; that is what makes the counters below safe as nonces.
        Secret::random(entropy)
            .map(Self)
            .map_err(SealError::Entropy)
    }

    /// The key as it stands in a manifest's index.
    #[must_use]
    pub const fn of_secret(secret: Secret<32>) -> Self {
        Self(secret)
    }

    /// The key's bytes, for an index or for whom it was released to.
    #[must_use]
    pub const fn secret(&self) -> Secret<32> {
        self.0.duplicate()
    }

    /// A second copy, for a table that shares the blob.
    #[must_use]
    pub const fn duplicate(&self) -> Self {
        Self(self.0.duplicate())
    }
}

/// What a blob's description must say, as far as whoever reads a part table knows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Origin {
    /// The version that the blob was written for.
    pub owner: VersionId,
    /// Which of that version's blobs it is.
    pub index: u32,
}

/// The keys of one blob.
pub(super) struct BlobKeys {
    pub(super) segments: Cipher,
    pub(super) description: Cipher,
    pub(super) commitment: Secret<32>,
}

impl BlobKeys {
    pub(super) fn derive(suite: Suite, blob: &BlobId, key: &DataKey) -> Result<Self, SealError> {
        //= src/seal/FORMAT.md#keys
        //# The salt MUST be the blob id.
        let parent = Parent::new(&key.0, blob.as_bytes());
        //= src/seal/FORMAT.md#keys
        //# The info MUST be a label, one zero byte and the first 16 bytes of the header, so that suite and length class are bound into each key.
        let context = header::prefix(suite);
        let child = |label| parent.child(label, &context);
        Ok(Self {
            segments: Cipher::new(suite, &child(Label::BlobSegments)?)?,
            description: Cipher::new(suite, &child(Label::BlobDescription)?)?,
            commitment: child(Label::BlobCommitment)?,
        })
    }
}

/// Which segment comes next, of how many.
struct Cursor {
    plaintext_bytes: u64,
    next: u64,
    segments: u64,
}

impl Cursor {
    fn new(plaintext_bytes: u64, next: u64) -> Option<Self> {
        let segments = layout::segments(plaintext_bytes);
        let here = layout::is_blob_length(plaintext_bytes) && next < segments;
        here.then_some(Self {
            plaintext_bytes,
            next,
            segments,
        })
    }

    /// The next segment's plaintext length; `None` after the last.
    fn bytes(&self) -> Option<usize> {
        layout::segment_bytes(self.plaintext_bytes, self.next)
    }

    /// The next segment's nonce: 11 bytes of counter, 1 byte that says whether it is the last.
    fn nonce(&self) -> [u8; 12] {
        //= src/seal/FORMAT.md#segments
        //# The nonce MUST be an 11-byte counter, 0 for the first segment, followed by one byte: 1 for the last segment, 0 for any other.
        let last = self.next.saturating_add(1) == self.segments;
        nonce(self.next, last)
    }

    const fn advance(&mut self) {
        self.next = self.next.saturating_add(1);
    }
}

/// `counter (11) ‖ last (1)`.
pub(super) fn nonce(counter: u64, last: bool) -> [u8; 12] {
    header::concat([&[0; 3], &counter.to_be_bytes(), &[u8::from(last)]])
}

/// Seals one blob. **It sees each segment once and in order, so no nonce comes twice.**
pub struct Sealer {
    cipher: Cipher,
    bound: [u8; BOUND_BYTES],
    cursor: Cursor,
}

impl Sealer {
    /// Begins a blob and returns its header, 136 bytes. The key must be fresh: it seals this blob
    /// and no other.
    pub fn new(
        suite: Suite,
        blob: BlobId,
        key: &DataKey,
        description: &Description,
    ) -> Result<(Self, Bytes), SealError> {
        let cursor = Cursor::new(description.plaintext_bytes, 0).ok_or(SealError::Length)?;
        let keys = BlobKeys::derive(suite, &blob, key)?;
        let bound = header::bound(suite, &blob);
        let clear: [u8; CLEAR_BYTES] = header::concat([&bound, keys.commitment.expose()]);
        //= src/seal/FORMAT.md#description
        //# The description MUST be sealed with a nonce of 12 zero bytes and the first 64 bytes of the header as associated data.
        let mut encoded = description.encode();
        let tag = keys.description.seal(NONCE_ZERO, &clear, &mut encoded)?;
        let whole: [u8; HEADER_BYTES] = header::concat([&clear, &encoded, &tag]);
        let sealer = Self {
            cipher: keys.segments,
            bound,
            cursor,
        };
        Ok((sealer, Bytes::copy_from_slice(&whole)))
    }

    /// Seals the next segment in place: its plaintext becomes ciphertext and tag. The caller
    /// reserves the 16 bytes of the tag, else the buffer is moved. After an error the segment is
    /// as it was and the blob can go on.
    pub fn seal(&mut self, segment: &mut BytesMut) -> Result<(), SealError> {
        let tag = self.seal_apart(segment)?;
        segment.extend_from_slice(&tag);
        Ok(())
    }

    /// The same for a buffer without room for the tag, which belongs right behind it: allocators
    /// hold a power of two tighter than a little more.
    pub fn seal_apart(&mut self, segment: &mut [u8]) -> Result<[u8; TAG_BYTES], SealError> {
        let bytes = self.cursor.bytes().ok_or(SealError::Finished)?;
        if segment.len() != bytes {
            return Err(SealError::Length);
        }
        //= src/seal/FORMAT.md#segments
        //# The associated data MUST be the first 32 bytes of the header.
        let tag = self
            .cipher
            .seal(self.cursor.nonce(), &self.bound, segment)?;
        self.cursor.advance();
        Ok(tag)
    }

    /// The plaintext length that the next segment must have; `None` after the last.
    #[must_use]
    pub fn next_bytes(&self) -> Option<usize> {
        self.cursor.bytes()
    }

    /// Whether the last segment is sealed.
    #[must_use]
    pub fn finished(&self) -> bool {
        self.cursor.bytes().is_none()
    }
}

/// Opens one blob, or a run of its segments.
///
/// **What it hands over has authenticated as this segment of this blob**; who reads to the end of
/// a blob asks [`Self::finished`] before saying that it ended.
pub struct Opener {
    suite: Suite,
    blob: BlobId,
    keys: BlobKeys,
    bound: [u8; BOUND_BYTES],
    cursor: Cursor,
}

impl Opener {
    /// Begins at a segment. Suite, key and length come from an authentic part table.
    pub fn new(
        suite: Suite,
        blob: BlobId,
        key: &DataKey,
        plaintext_bytes: u64,
        first_segment: u64,
    ) -> Result<Self, OpenError> {
        let cursor = Cursor::new(plaintext_bytes, first_segment).ok_or(OpenError::OutOfTurn)?;
        let keys = BlobKeys::derive(suite, &blob, key).map_err(Refusal::from)?;
        #[cfg(test)]
        crate::seal::testing::MADE.with(|made| made.set(made.get().saturating_add(1)));
        Ok(Self {
            suite,
            blob,
            keys,
            bound: header::bound(suite, &blob),
            cursor,
        })
    }

    /// Checks a blob's header: it is this blob's, of this key, and describes a blob of this length
    /// (and of this origin, where the caller knows it).
    pub fn check_header(
        &self,
        header: &[u8],
        expect: Option<Origin>,
    ) -> Result<Description, OpenError> {
        self.check_header_precisely(header, expect)
            .map_err(OpenError::from)
    }

    pub(super) fn check_header_precisely(
        &self,
        header: &[u8],
        expect: Option<Origin>,
    ) -> Result<Description, Refusal> {
        let parsed = header::parse(header)?;
        if parsed.suite != self.suite {
            return Err(Refusal::Suite);
        }
        //= src/seal/FORMAT.md#header
        //# An opener that knows under which name the blob was fetched MUST refuse another blob id.
        if parsed.blob != self.blob {
            return Err(Refusal::BlobId);
        }
        let description = describe(&self.keys, parsed)?;
        let origin = Origin {
            owner: description.owner,
            index: description.index,
        };
        let length = description.plaintext_bytes == self.cursor.plaintext_bytes;
        if !length || expect.is_some_and(|expect| expect != origin) {
            return Err(Refusal::Origin);
        }
        Ok(description)
    }

    /// Opens the next segment in place: ciphertext and tag become plaintext. A segment of another
    /// length, or that does not authenticate, leaves the buffer empty and the opener where it was.
    pub fn open(&mut self, segment: &mut BytesMut) -> Result<(), OpenError> {
        let bytes = self.next_sealed_bytes().ok_or(OpenError::OutOfTurn)?;
        if segment.len() != bytes {
            segment.clear();
            return Err(Refusal::Length.into());
        }
        let nonce = self.cursor.nonce();
        if !self.keys.segments.open_buffer(nonce, &self.bound, segment) {
            return Err(Refusal::Segment.into());
        }
        self.cursor.advance();
        Ok(())
    }

    /// The same in a slice; how many bytes of plaintext it begins with then.
    pub fn open_slice(&mut self, segment: &mut [u8]) -> Result<usize, OpenError> {
        let bytes = self.next_sealed_bytes().ok_or(OpenError::OutOfTurn)?;
        if segment.len() != bytes {
            return Err(Refusal::Length.into());
        }
        let nonce = self.cursor.nonce();
        let plain = self.keys.segments.open(nonce, &self.bound, segment);
        let plain = plain.ok_or(Refusal::Segment)?.len();
        self.cursor.advance();
        Ok(plain)
    }

    /// How many sealed bytes the next segment has, tag included; `None` after the last.
    #[must_use]
    pub fn next_sealed_bytes(&self) -> Option<usize> {
        self.cursor.bytes().and_then(|n| n.checked_add(TAG_BYTES))
    }

    /// Whether the last segment of the blob was opened.
    #[must_use]
    pub fn finished(&self) -> bool {
        //= src/seal/FORMAT.md#segments
        //# An opener MUST NOT report the end of the plaintext before the last segment authenticated.
        self.cursor.bytes().is_none()
    }
}

/// Checks the commitment and opens the description.
fn describe(keys: &BlobKeys, mut parsed: header::Parsed) -> Result<Description, Refusal> {
    //= src/seal/FORMAT.md#keys
    //# An opener of a header MUST compare the key commitment in constant time, before it opens anything.
    let same = keys.commitment.expose().ct_eq(&parsed.commitment);
    if !bool::from(same) {
        return Err(Refusal::Commitment);
    }
    let sealed = &mut parsed.sealed_description;
    let plain = keys.description.open(NONCE_ZERO, &parsed.clear, sealed);
    Description::decode(plain.ok_or(Refusal::Description)?)
}

/// Seals a whole blob in memory: header, segments, all of it.
pub fn seal_blob(
    suite: Suite,
    blob: BlobId,
    key: &DataKey,
    description: &Description,
    plain: &[u8],
) -> Result<Bytes, SealError> {
    if u64::try_from(plain.len()).ok() != Some(description.plaintext_bytes) {
        return Err(SealError::Length);
    }
    let (mut sealer, header) = Sealer::new(suite, blob, key, description)?;
    let mut out = BytesMut::from(&header[..]);
    let mut rest = plain;
    while let Some(bytes) = sealer.next_bytes() {
        let (head, tail) = rest.split_at_checked(bytes).ok_or(SealError::Length)?;
        let mut segment = BytesMut::from(head);
        sealer.seal(&mut segment)?;
        out.extend_from_slice(&segment);
        rest = tail;
    }
    Ok(out.freeze())
}

/// Opens a whole blob in memory with its key and nothing else, as an export or a recovery does.
/// `blob` is the name it was fetched under, where that is known.
pub fn open_blob(
    key: &DataKey,
    blob: Option<BlobId>,
    sealed: &[u8],
) -> Result<(Description, BytesMut), OpenError> {
    open_blob_precisely(key, blob, sealed).map_err(OpenError::from)
}

pub(super) fn open_blob_precisely(
    key: &DataKey,
    blob: Option<BlobId>,
    sealed: &[u8],
) -> Result<(Description, BytesMut), Refusal> {
    let (header, body) = sealed
        .split_first_chunk::<HEADER_BYTES>()
        .ok_or(Refusal::Header)?;
    let parsed = header::parse(header)?;
    if blob.is_some_and(|blob| blob != parsed.blob) {
        return Err(Refusal::BlobId);
    }
    let (suite, id) = (parsed.suite, parsed.blob);
    let keys = BlobKeys::derive(suite, &id, key)?;
    let description = describe(&keys, parsed)?;
    let bytes = description.plaintext_bytes;
    if u64::try_from(sealed.len()).ok() != Some(layout::sealed_bytes(bytes)) {
        return Err(Refusal::Length);
    }
    let mut opener = Opener {
        suite,
        blob: id,
        keys,
        bound: header::bound(suite, &id),
        cursor: Cursor::new(bytes, 0).ok_or(Refusal::Description)?,
    };
    let mut rest = body;
    let mut plain = BytesMut::with_capacity(body.len());
    while let Some(bytes) = opener.next_sealed_bytes() {
        let (head, tail) = rest.split_at_checked(bytes).ok_or(Refusal::Length)?;
        let mut segment = BytesMut::from(head);
        opener
            .open(&mut segment)
            .map_err(|_refused: OpenError| Refusal::Segment)?;
        plain.unsplit(segment);
        rest = tail;
    }
    Ok((description, plain))
}
