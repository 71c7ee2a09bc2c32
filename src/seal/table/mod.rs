//! The part table of an object or part: which slices of which blobs make it up, and their data
//! keys. Sealed as one record under the dataset's key, so that 10,000 extents open at once.

mod release;
#[cfg(test)]
mod tests;

use bytes::{BufMut as _, Bytes, BytesMut};
use zeroize::Zeroizing;

use super::keys::{self, Label, Parent};
use super::record::{self, SALT_BYTES};
use super::{Binding, DataKey, OpenError, Opener, Origin, Refusal, SealError, Suite, layout};
use crate::types::limits::EXTENTS_MAX;
use crate::types::{BlobId, ByteRange, Secret, VersionId};

/// The format's number, the first byte of a sealed table.
const FORMAT: u8 = 1;
/// Bytes in clear before the record: format 1, key version 4.
const PREFIX_BYTES: usize = 5;
/// Bytes of an encoded extent: 16 + 32 + 1 + 8 + 16 + 4 + 8 + 8.
const EXTENT_BYTES: usize = 93;
/// Bytes before the extents: their count.
const COUNT_BYTES: usize = 4;

/// A dataset's own key. **Implements none of Debug, Display, Clone, Serialize.**
///
/// ```compile_fail
/// fn print(key: &kluis::seal::DatasetKey) { println!("{key:?}"); }
/// ```
/// ```compile_fail
/// fn copy(key: &kluis::seal::DatasetKey) -> kluis::seal::DatasetKey { key.clone() }
/// ```
pub struct DatasetKey {
    /// The key.
    pub secret: Secret<32>,
    /// Which of the dataset's keys it is; it stands in clear before each table.
    pub version: u32,
}

/// A slice of a blob's plaintext: `len` bytes from `start` on. Copies share blobs and cut them.
pub struct Extent {
    /// The blob.
    pub blob: BlobId,
    /// Its data key.
    pub key: DataKey,
    /// Its cipher.
    pub suite: Suite,
    /// The whole blob's plaintext length in bytes.
    pub blob_plaintext_bytes: u64,
    /// The version that the blob was written for, as its description says.
    pub owner: VersionId,
    /// Which of that version's blobs it is, as its description says.
    pub index: u32,
    /// The slice's offset in the blob's plaintext.
    pub start: u64,
    /// The slice's length in bytes, at least 1.
    pub len: u64,
}

impl Extent {
    /// What the blob's description must say.
    #[must_use]
    pub const fn origin(&self) -> Origin {
        Origin {
            owner: self.owner,
            index: self.index,
        }
    }

    /// An opener of the blob from `first_segment` on.
    pub fn opener(&self, first_segment: u64) -> Result<Opener, OpenError> {
        Opener::new(
            self.suite,
            self.blob,
            &self.key,
            self.blob_plaintext_bytes,
            first_segment,
        )
    }

    /// A second copy, its key's too, cut to a range of the blob's plaintext.
    fn duplicate(&self, cut: ByteRange) -> Self {
        Self {
            blob: self.blob,
            key: self.key.duplicate(),
            suite: self.suite,
            blob_plaintext_bytes: self.blob_plaintext_bytes,
            owner: self.owner,
            index: self.index,
            start: cut.start(),
            len: cut.len(),
        }
    }

    fn is_sound(&self) -> bool {
        //= src/seal/FORMAT.md#part-table
        //# Each slice MUST hold at least one byte and lie within its blob.
        let end = self.start.checked_add(self.len);
        self.len >= 1
            && layout::is_blob_length(self.blob_plaintext_bytes)
            && end.is_some_and(|end| end <= self.blob_plaintext_bytes)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.blob.as_bytes());
        out.extend_from_slice(self.key.0.expose());
        out.push(self.suite.code());
        out.extend_from_slice(&self.blob_plaintext_bytes.to_be_bytes());
        out.extend_from_slice(self.owner.as_bytes());
        out.extend_from_slice(&self.index.to_be_bytes());
        out.extend_from_slice(&self.start.to_be_bytes());
        out.extend_from_slice(&self.len.to_be_bytes());
    }

    fn decode(from: &mut &[u8]) -> Option<Self> {
        let blob = BlobId::from_bytes(*take(from)?);
        let key = Secret::fill_with(|out| {
            out.copy_from_slice(take::<32>(from).ok_or(())?);
            Ok::<(), ()>(())
        });
        let [suite] = *take(from)?;
        Some(Self {
            blob,
            key: DataKey(key.ok()?),
            suite: Suite::from_code(suite)?,
            blob_plaintext_bytes: u64::from_be_bytes(*take(from)?),
            owner: VersionId::from_bytes(*take(from)?),
            index: u32::from_be_bytes(*take(from)?),
            start: u64::from_be_bytes(*take(from)?),
            len: u64::from_be_bytes(*take(from)?),
        })
    }
}

/// The slices of an object or part, in order. An object of no bytes has none.
pub struct Table {
    extents: Vec<Extent>,
    bytes: u64,
}

impl Table {
    /// A table of these extents, if each is sound and they are not too many.
    pub fn new(extents: Vec<Extent>) -> Result<Self, SealError> {
        //= src/seal/FORMAT.md#part-table
        //# A table MUST NOT hold more than 100,000 extents.
        if extents.len() > EXTENTS_MAX || !extents.iter().all(Extent::is_sound) {
            return Err(SealError::Table);
        }
        let bytes = extents
            .iter()
            .try_fold(0u64, |sum, extent| sum.checked_add(extent.len))
            .ok_or(SealError::Table)?;
        Ok(Self { extents, bytes })
    }

    /// The length of what the table makes up, in bytes.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The extents in order.
    #[must_use]
    pub fn extents(&self) -> &[Extent] {
        &self.extents
    }

    /// How many bytes of memory the extents take.
    #[must_use]
    pub fn held_bytes(&self) -> u64 {
        let bytes = self.extents.capacity().saturating_mul(size_of::<Extent>());
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }

    /// What to read for a range of the whole: extents in order, each with the range of *its blob's*
    /// plaintext. What lies beyond the end is left out.
    pub fn reads(&self, range: ByteRange) -> impl Iterator<Item = (&Extent, ByteRange)> + Send {
        self.extents
            .iter()
            .scan(0u64, |at, extent| {
                let start = *at;
                *at = at.saturating_add(extent.len);
                Some((extent, start, *at))
            })
            .skip_while(move |(_, _, end)| *end <= range.start())
            .take_while(move |(_, start, _)| *start < range.end())
            .filter_map(move |(extent, start, end)| {
                let from = range.start().max(start).checked_sub(start)?;
                let to = range.end().min(end).checked_sub(start)?;
                let from = extent.start.checked_add(from)?;
                let to = extent.start.checked_add(to)?;
                ByteRange::new(from, to).map(|cut| (extent, cut))
            })
    }

    /// The table of a range of the whole, for a copy; `None` if the range ends beyond it.
    #[must_use]
    pub fn slice(&self, range: ByteRange) -> Option<Self> {
        if range.end() > self.bytes {
            return None;
        }
        let cuts = || self.reads(range);
        // The room is exact: a vector that grew would leave keys in the memory it left.
        let mut extents = Vec::with_capacity(cuts().count());
        extents.extend(cuts().map(|(extent, cut)| extent.duplicate(cut)));
        Some(Self {
            extents,
            bytes: range.len(),
        })
    }

    /// Whether the extents make up all of every blob that they are of. Who holds a blob's key opens
    /// all of the blob: what a range copy left out is another object's.
    #[must_use]
    pub fn is_of_whole_blobs(&self) -> bool {
        let is_whole = |extent: &Extent| extent.len == extent.blob_plaintext_bytes;
        if self.extents.iter().all(is_whole) {
            return true;
        }
        let mut pieces: Vec<&Extent> = self.extents.iter().collect();
        pieces.sort_unstable_by_key(|piece| (piece.blob, piece.start));
        pieces.chunk_by(|a, b| a.blob == b.blob).all(|pieces| {
            let reach = pieces.iter().try_fold(0u64, |reach, piece| {
                let end = piece.start.checked_add(piece.len)?;
                (piece.start <= reach).then(|| reach.max(end))
            });
            reach == pieces.first().map(|piece| piece.blob_plaintext_bytes)
        })
    }

    /// A second copy, its keys' too, for an object copied whole.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        ByteRange::new(0, self.bytes)
            .and_then(|all| self.slice(all))
            .unwrap_or(Self {
                extents: Vec::new(),
                bytes: 0,
            })
    }

    /// The tables one after the other, as parts make an object.
    pub fn concat(tables: impl IntoIterator<Item = Self>) -> Result<Self, SealError> {
        let mut extents = Vec::new();
        for table in tables {
            if extents.len().saturating_add(table.extents.len()) > EXTENTS_MAX {
                return Err(SealError::Table);
            }
            extents.extend(table.extents);
        }
        Self::new(extents)
    }

    fn encode(&self) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let count = u32::try_from(self.extents.len()).map_err(|_many| SealError::Table)?;
        let bytes = self.extents.len().checked_mul(EXTENT_BYTES);
        let bytes = bytes.and_then(|n| n.checked_add(COUNT_BYTES));
        // The room is exact: a vector that grew would leave keys in the memory it left.
        let mut out = Vec::with_capacity(bytes.ok_or(SealError::Table)?);
        out.extend_from_slice(&count.to_be_bytes());
        for extent in &self.extents {
            extent.encode(&mut out);
        }
        Ok(Zeroizing::new(out))
    }

    /// Reads exactly what [`Self::encode`] writes.
    fn decode(mut plain: &[u8]) -> Option<Self> {
        let count = usize::try_from(u32::from_be_bytes(*take(&mut plain)?)).ok()?;
        if count > EXTENTS_MAX || count.checked_mul(EXTENT_BYTES)? != plain.len() {
            return None;
        }
        let mut extents = Vec::with_capacity(count);
        for _ in 0..count {
            extents.push(Extent::decode(&mut plain)?);
        }
        Self::new(extents).ok()
    }

    /// For fuzzing: whether what decodes encodes to itself again; `None` if it does not decode.
    pub(super) fn reencodes(plain: &[u8]) -> Option<bool> {
        let again = Self::decode(plain)?.encode();
        Some(again.is_ok_and(|again| *again == plain))
    }
}

/// Seals a table under a dataset's key, bound to its row. The same table sealed twice for the same
/// row gives the same bytes; anything else gives another salt and so another key (`FORMAT.md`).
pub fn seal_table(
    key: &DatasetKey,
    binding: &Binding<'_>,
    table: &Table,
) -> Result<Bytes, SealError> {
    //= src/seal/FORMAT.md#part-table
    //# The slices' lengths MUST add up to the length in the binding.
    if table.bytes != binding.bytes {
        return Err(SealError::Table);
    }
    let prefix = prefix(key);
    let context = context(prefix, binding)?;
    let plain = table.encode()?;
    let salt = salt(key, &context, &plain)?;
    let cipher = record::one_time(&key.secret, Label::Table, &salt)?;
    let room = PREFIX_BYTES
        .checked_add(SALT_BYTES)
        .and_then(|n| n.checked_add(plain.len()))
        .and_then(|n| n.checked_add(super::TAG_BYTES));
    let mut out = BytesMut::with_capacity(room.ok_or(SealError::Table)?);
    out.put_slice(&prefix);
    record::append(&mut out, &cipher, (&salt, &context), &plain)?;
    Ok(out.freeze())
}

/// Opens a table, if it was sealed under this key, for this row, with these facts.
pub fn open_table(
    key: &DatasetKey,
    binding: &Binding<'_>,
    sealed: &[u8],
) -> Result<Table, OpenError> {
    let (found, sealed) = sealed
        .split_first_chunk::<PREFIX_BYTES>()
        .ok_or(Refusal::Record)?;
    if *found != prefix(key) {
        return Err(Refusal::Record.into());
    }
    let context = context(*found, binding).map_err(Refusal::from)?;
    let plain = record::open_precisely(&key.secret, Label::Table, &context, sealed)?;
    Table::decode(&plain)
        .filter(|table| table.bytes == binding.bytes)
        .ok_or(OpenError::NotAuthentic)
}

/// Which of the dataset's keys a sealed table says it is sealed under; whether that is so shows
/// when it is opened.
#[must_use]
pub fn table_key_version(sealed: &[u8]) -> Option<u32> {
    let (prefix, _) = sealed.split_first_chunk::<PREFIX_BYTES>()?;
    let (_format, version) = prefix.split_last_chunk::<4>()?;
    Some(u32::from_be_bytes(*version))
}

/// How long a sealed table of so many extents is.
#[must_use]
pub const fn sealed_table_bytes(extents: usize) -> usize {
    const REST: usize = PREFIX_BYTES + SALT_BYTES + COUNT_BYTES + super::TAG_BYTES;
    extents.saturating_mul(EXTENT_BYTES).saturating_add(REST)
}

/// `format (1) ‖ key version (4)`.
fn prefix(key: &DatasetKey) -> [u8; PREFIX_BYTES] {
    super::header::concat([&[FORMAT], &key.version.to_be_bytes()])
}

/// `prefix ‖ binding`.
fn context(prefix: [u8; PREFIX_BYTES], binding: &Binding<'_>) -> Result<Vec<u8>, SealError> {
    let mut out = prefix.to_vec();
    binding.encode(&mut out)?;
    Ok(out)
}

/// HMAC-SHA256 over `context length ‖ context ‖ plaintext`: a synthetic salt, so that a version id
/// that came twice (a retry, a restored machine) still never meets the same key and nonce.
fn salt(key: &DatasetKey, context: &[u8], plain: &[u8]) -> Result<Secret<SALT_BYTES>, SealError> {
    let length = u64::try_from(context.len()).map_err(|_too_long| SealError::Length)?;
    let key = Parent::new(&key.secret, &[]).child(Label::TableSalt, &[])?;
    Ok(keys::mac(&key, &[&length.to_be_bytes(), context, plain]))
}

/// Takes the next `N` bytes off the front.
fn take<'a, const N: usize>(from: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (head, rest) = from.split_first_chunk()?;
    *from = rest;
    Some(head)
}
