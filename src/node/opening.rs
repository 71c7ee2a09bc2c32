//! Which sealed bytes hold a chunk, and how they are opened as they come.

use std::sync::Arc;

use super::buffers::{Buffers, Chunk};
use super::{GatewayError, NodeError};
use crate::seal::{Extent, HEADER_BYTES, layout};
use crate::types::{BlobId, ByteRange, limits};

/// Plaintext bytes of a chunk.
pub(super) const CHUNK: u64 = limits::NODE_CHUNK_BYTES;

pub(super) const SHORT: NodeError = NodeError::Integrity("a blob is not as long as its table says");

/// Plaintext bytes of a part of a chunk: what is fetched for a read that stands alone.
pub(super) const PART: u64 = limits::NODE_PART_BYTES;

/// The sealed bytes that hold one chunk of a blob, or several, or a part of one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Wanted {
    pub(super) blob: BlobId,
    pub(super) chunk: u64,
    /// Where they begin in the blob as it is stored.
    pub(super) from: u64,
    /// Where they end.
    pub(super) to: u64,
    first_segment: u64,
    header: bool,
}

impl Wanted {
    pub(super) fn new(extent: &Extent, chunk: u64) -> Result<Self, NodeError> {
        Self::piece(extent, chunk, chunk.saturating_mul(CHUNK), CHUNK)
    }

    /// One part of a chunk.
    pub(super) fn part(extent: &Extent, part: u64) -> Result<Self, NodeError> {
        let start = part.saturating_mul(PART);
        let chunk = start.checked_div(CHUNK).ok_or(SHORT)?;
        Self::piece(extent, chunk, start, PART)
    }

    fn piece(extent: &Extent, chunk: u64, start: u64, bytes: u64) -> Result<Self, NodeError> {
        let whole = extent.blob_plaintext_bytes;
        let range = ByteRange::new(start, start.saturating_add(bytes).min(whole)).ok_or(SHORT)?;
        let plan = layout::sealed_range(whole, range).ok_or(SHORT)?;
        Ok(Self {
            blob: extent.blob,
            chunk,
            from: plan.sealed.start,
            to: plan.sealed.end,
            first_segment: plan.first_segment,
            header: plan.includes_header,
        })
    }

    /// All from this chunk up to a later one of the same blob.
    pub(super) const fn up_to(&self, last: &Self) -> Self {
        Self {
            to: last.to,
            ..*self
        }
    }

    /// How many they are: a chunk and what seals it.
    pub(super) fn bytes(&self) -> usize {
        usize::try_from(self.to.saturating_sub(self.from)).unwrap_or_default()
    }
}

/// Sealed bytes as they come, opened segment by segment in the buffer that is kept.
pub(super) struct Opening {
    opener: Result<crate::seal::Opener, NodeError>,
    origin: crate::seal::Origin,
    header: bool,
    /// Opened bytes up to `done`, sealed ones behind.
    buffer: Chunk,
    done: usize,
    left: usize,
    fault: Option<NodeError>,
    /// What came, as it came, for a cache of sealed bytes.
    sealed: Option<Chunk>,
}

impl Opening {
    /// Of one chunk; what comes is kept as it is if `sealed` says so.
    pub(super) fn new(
        extent: &Extent,
        wanted: &Wanted,
        sealed: bool,
        buffers: &Arc<Buffers>,
    ) -> Self {
        let expected = wanted.bytes();
        Self {
            opener: extent.opener(wanted.first_segment).map_err(NodeError::from),
            origin: extent.origin(),
            header: wanted.header,
            buffer: buffers.take(expected),
            done: 0,
            left: expected,
            fault: None,
            sealed: sealed.then(|| buffers.take(expected)),
        }
    }

    /// How many bytes have not come yet.
    pub(super) const fn left(&self) -> usize {
        self.left
    }

    /// Takes a piece. An error says that more came than there is.
    pub(super) fn take(&mut self, piece: &[u8]) -> Result<(), GatewayError> {
        if piece.len() > self.left {
            return Err(GatewayError::Unreachable(
                "more came than was asked for".into(),
            ));
        }
        self.left = self.left.saturating_sub(piece.len());
        if let Some(sealed) = &mut self.sealed {
            sealed.extend_from_slice(piece);
        }
        if self.fault.is_none()
            && let Err(fault) = self.open(piece)
        {
            self.fault = Some(fault);
        }
        Ok(())
    }

    fn open(&mut self, mut piece: &[u8]) -> Result<(), NodeError> {
        let Ok(opener) = &mut self.opener else {
            return Err(SHORT);
        };
        while !piece.is_empty() {
            let wanted = if self.header {
                HEADER_BYTES
            } else {
                opener.next_sealed_bytes().ok_or(SHORT)?
            };
            let here = self.buffer.len().saturating_sub(self.done);
            let (head, tail) = piece.split_at(wanted.saturating_sub(here).min(piece.len()));
            self.buffer.extend_from_slice(head);
            piece = tail;
            let segment = self.buffer.get_mut(self.done..).ok_or(SHORT)?;
            if segment.len() < wanted {
                return Ok(());
            }
            if self.header {
                opener.check_header(segment, Some(self.origin))?;
                self.header = false;
            } else {
                self.done = self.done.saturating_add(opener.open_slice(segment)?);
            }
            self.buffer.truncate(self.done);
        }
        Ok(())
    }

    /// The plaintext, if all of it came and authenticated, with what came.
    pub(super) fn finish(self) -> Result<(Chunk, Option<Chunk>), NodeError> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        self.opener?;
        if self.left > 0 || self.header || self.buffer.len() != self.done {
            return Err(SHORT);
        }
        Ok((self.buffer, self.sealed))
    }
}
