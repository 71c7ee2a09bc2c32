//! Contents: chunks of blobs, fetched sealed, opened here, kept while there is room, and fetched
//! ahead of a reader that goes on in order.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use http::Method;

use super::gateway::GatewayError;
use super::kept::Kept;
use super::keys::Keys;
use super::reads::Touched;
use super::version::{Version, encoded};
use super::{NodeError, tree::Found, tree::Kind};
use crate::manifest::FileEntry;
use crate::seal::{Extent, HEADER_BYTES, Table, layout};
use crate::types::{BlobId, ByteRange, limits};

/// Plaintext bytes of a chunk.
const CHUNK: u64 = limits::NODE_CHUNK_BYTES;

/// One open file.
pub struct Open {
    /// The object's key.
    pub key: String,
    /// What the manifest says of it.
    pub file: FileEntry,
    table: Table,
    flow: Mutex<Flow>,
}

/// How the file is being read.
#[derive(Default)]
struct Flow {
    /// Where the next read would go on.
    next: u64,
    /// Chunks to fetch ahead.
    ahead: u64,
    touched: Touched,
}

impl Open {
    /// What was read through it.
    #[must_use]
    pub fn touched(&self) -> Touched {
        self.flow().touched.clone()
    }

    fn flow(&self) -> std::sync::MutexGuard<'_, Flow> {
        self.flow.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a read; the range that is worth fetching ahead after it.
    fn note(&self, range: ByteRange) -> Option<ByteRange> {
        let mut flow = self.flow();
        flow.touched.add(range);
        // The kernel's own read-ahead comes in several requests, which may overtake each other.
        let near = range.start() <= flow.next.saturating_add(CHUNK)
            && range.end().saturating_add(CHUNK) >= flow.next;
        flow.ahead = if near {
            flow.ahead
                .saturating_mul(2)
                .clamp(1, limits::NODE_AHEAD_CHUNKS_MAX)
        } else {
            0
        };
        flow.next = flow.next.max(range.end());
        if !near {
            flow.next = range.end();
        }
        let end = flow.next.saturating_add(flow.ahead.saturating_mul(CHUNK));
        ByteRange::new(range.end(), end.min(self.file.bytes))
    }
}

/// A piece of a blob: which chunk, and what of it.
struct Piece<'a> {
    extent: &'a Extent,
    chunk: u64,
    from: usize,
    to: usize,
}

/// The contents of a version.
pub struct Contents {
    version: Arc<Version>,
    keys: Arc<Keys>,
    chunks: Kept<(BlobId, u64), Vec<u8>>,
}

impl Contents {
    /// With room for so many bytes of chunks.
    #[must_use]
    pub fn new(version: Arc<Version>, keys: Arc<Keys>, bytes_max: usize) -> Self {
        Self {
            version,
            keys,
            chunks: Kept::new(bytes_max),
        }
    }

    /// Drops every plaintext that is kept.
    pub fn forget(&self) {
        self.chunks.clear();
    }

    /// Bytes of plaintext that are kept.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.chunks.weight()
    }

    /// Opens a file: its keys are released by then. `ahead` as in [`Keys::table`].
    pub async fn open(&self, found: &Found, ahead: usize) -> Result<Open, NodeError> {
        let Kind::File(file) = &found.kind else {
            return Err(NodeError::Absent);
        };
        let key = found.key()?;
        let table = self.keys.table(&key, file, ahead).await?;
        Ok(Open {
            key,
            file: (**file).clone(),
            table,
            flow: Mutex::default(),
        })
    }

    /// Reads up to `len` bytes from `offset` on; fewer at the end of the file alone.
    pub async fn read(
        self: &Arc<Self>,
        open: &Arc<Open>,
        offset: u64,
        len: u64,
    ) -> Result<Bytes, NodeError> {
        let end = offset.saturating_add(len).min(open.file.bytes);
        let Some(range) = ByteRange::new(offset, end) else {
            return Ok(Bytes::new());
        };
        let patience = self.version.gateway().patience();
        self.keys.lease().check(&open.key, patience).await?;
        if let Some(ahead) = open.note(range) {
            self.fetch_ahead(open, ahead);
        }
        let mut out = BytesMut::with_capacity(usize::try_from(range.len()).unwrap_or_default());
        for piece in pieces(&open.table, range) {
            let chunk = self.chunk(open, piece.extent, piece.chunk).await?;
            let bytes = chunk.get(piece.from..piece.to).ok_or(SHORT)?;
            out.extend_from_slice(bytes);
        }
        Ok(out.freeze())
    }

    /// Fetches what lies in a range and is not here, without waiting for it.
    pub fn fetch_ahead(self: &Arc<Self>, open: &Arc<Open>, range: ByteRange) {
        for piece in pieces(&open.table, range) {
            let at = (piece.extent.blob, piece.chunk);
            if self.chunks.is_wanted(&at) {
                continue;
            }
            let (contents, open) = (Arc::clone(self), Arc::clone(open));
            tokio::spawn(async move {
                let extent = open
                    .table
                    .extents()
                    .iter()
                    .find(|extent| extent.blob == at.0);
                if let Some(extent) = extent
                    && let Err(error) = contents.chunk(&open, extent, at.1).await
                {
                    tracing::debug!(%error, "nothing could be fetched ahead");
                }
            });
        }
    }

    async fn chunk(
        &self,
        open: &Open,
        extent: &Extent,
        chunk: u64,
    ) -> Result<Arc<Vec<u8>>, NodeError> {
        let fetch = async {
            let plain = match self.fetch(open, extent, chunk).await {
                // A cache or wire between may have bent it: once more, from the source.
                Err(NodeError::Integrity(_)) => self.fetch(open, extent, chunk).await?,
                done => done?,
            };
            let weight = plain.len();
            Ok((plain, weight))
        };
        self.chunks.get((extent.blob, chunk), fetch).await
    }

    async fn fetch(&self, open: &Open, extent: &Extent, chunk: u64) -> Result<Vec<u8>, NodeError> {
        let whole = extent.blob_plaintext_bytes;
        let start = chunk.saturating_mul(CHUNK);
        let range = ByteRange::new(start, start.saturating_add(CHUNK).min(whole)).ok_or(SHORT)?;
        let plan = layout::sealed_range(whole, range).ok_or(SHORT)?;
        let (from, to) = (plan.sealed.start, plan.sealed.end);
        // In order of name, as the signature has it.
        let blob = extent.blob;
        let key = encoded(&open.key);
        let query = format!("blob={blob}&from={from}&key={key}&to={to}");
        let asking = self
            .version
            .asking(Method::GET, "sealed", query, Bytes::new());
        let expected = usize::try_from(to.saturating_sub(from)).map_err(|_large| SHORT)?;
        let gateway = self.version.gateway();
        let mut tries = gateway.tries();
        loop {
            let mut opening = Opening::new(extent, &plan, expected);
            let mut take = |piece: &[u8]| opening.take(piece);
            match gateway.read(&asking, &mut take).await {
                Ok(()) => return opening.finish(),
                Err(error) => tries.again(error).await?,
            }
        }
    }
}

const SHORT: NodeError = NodeError::Integrity("a blob is not as long as its table says");

/// Sealed bytes as they come, opened segment by segment in the buffer that is kept.
struct Opening {
    opener: Result<crate::seal::Opener, NodeError>,
    origin: crate::seal::Origin,
    header: bool,
    /// Opened bytes up to `done`, sealed ones behind.
    buffer: Vec<u8>,
    done: usize,
    left: usize,
    fault: Option<NodeError>,
}

impl Opening {
    fn new(extent: &Extent, plan: &layout::SealedRange, expected: usize) -> Self {
        Self {
            opener: extent.opener(plan.first_segment).map_err(NodeError::from),
            origin: extent.origin(),
            header: plan.includes_header,
            buffer: Vec::with_capacity(expected),
            done: 0,
            left: expected,
            fault: None,
        }
    }

    fn take(&mut self, piece: &[u8]) -> Result<(), GatewayError> {
        if piece.len() > self.left {
            return Err(GatewayError::Unreachable(
                "more came than was asked for".into(),
            ));
        }
        self.left = self.left.saturating_sub(piece.len());
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

    /// The plaintext, if all of it came and authenticated.
    fn finish(self) -> Result<Vec<u8>, NodeError> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        self.opener?;
        if self.left > 0 || self.header || self.buffer.len() != self.done {
            return Err(SHORT);
        }
        Ok(self.buffer)
    }
}

/// The chunks that hold a range of the whole file, in order.
fn pieces(table: &Table, range: ByteRange) -> impl Iterator<Item = Piece<'_>> + Send {
    table.reads(range).flat_map(|(extent, cut)| {
        let first = cut.start().checked_div(CHUNK).unwrap_or_default();
        let last = cut
            .end()
            .saturating_sub(1)
            .checked_div(CHUNK)
            .unwrap_or_default();
        (first..=last).filter_map(move |chunk| {
            let begin = chunk.saturating_mul(CHUNK);
            let from = cut.start().saturating_sub(begin);
            let to = cut.end().saturating_sub(begin).min(CHUNK);
            Some(Piece {
                extent,
                chunk,
                from: usize::try_from(from).ok()?,
                to: usize::try_from(to).ok()?,
            })
        })
    })
}
