//! Contents: chunks of blobs, fetched sealed, opened here, kept while there is room, and fetched
//! ahead of a reader that goes on in order.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::Method;

use tokio::sync::Semaphore;

use super::ahead::{Ahead, Read};
use super::buffers::{Buffers, Chunk};
use super::disk::DiskCache;
use super::gateway::Asking;
use super::kept::Kept;
use super::keys::Keys;
use super::opening::{CHUNK, Opening, PART, SHORT, Wanted};
use super::reads::Touched;
use super::straight::Straight;
use super::version::{Version, encoded};
use super::{NodeError, tree::Found, tree::Kind};
use crate::manifest::FileEntry;
use crate::seal::{Extent, Table};
use crate::types::{BlobId, ByteRange, limits};

/// Blobs of one object whose URLs are asked for together.
const URLS_AHEAD: usize = 16;
/// Objects whose URLs are asked for together, each with at most that many.
const URLS_AT_ONCE: usize = limits::RELEASE_KEYS_MAX / URLS_AHEAD;

/// Where an object's bytes come from.
pub(super) struct Source {
    pub(super) key: String,
    pub(super) table: Table,
}

impl Source {
    /// The first blobs.
    fn blobs(&self) -> Vec<BlobId> {
        let blobs = self.table.extents().iter().map(|extent| extent.blob);
        blobs.take(URLS_AHEAD).collect()
    }

    /// The blobs from one on, as many as are asked about together.
    pub(super) fn blobs_from(&self, blob: BlobId) -> Vec<BlobId> {
        let blobs = self.table.extents().iter().map(|extent| extent.blob);
        blobs
            .skip_while(|other| *other != blob)
            .take(URLS_AHEAD)
            .collect()
    }
}

/// One open file.
pub struct Open {
    /// What the manifest says of it.
    pub file: FileEntry,
    source: Arc<Source>,
    flow: Mutex<Flow>,
}

/// How the file is being read.
#[derive(Default)]
struct Flow {
    ahead: Ahead,
    touched: Touched,
    /// One share of what may be ahead, of a file that is read in order.
    share: Option<Arc<()>>,
}

impl Open {
    /// The object's key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.source.key
    }

    /// What was read through it.
    #[must_use]
    pub fn touched(&self) -> Touched {
        self.flow().touched.clone()
    }

    fn flow(&self) -> std::sync::MutexGuard<'_, Flow> {
        self.flow.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a read, and what is to be fetched ahead after it.
    fn note(&self, range: ByteRange, shares: &Shares) -> Read {
        let mut flow = self.flow();
        flow.touched.add(range);
        let read = flow.ahead.note(range, self.file.bytes, shares.chunks());
        match read {
            Read::InOrder(_) if flow.share.is_none() => flow.share = Some(shares.take()),
            Read::InOrder(_) => {}
            Read::Alone => flow.share = None,
        }
        read
    }
}

/// What may be ahead of all who read in order, shared by them evenly.
struct Shares {
    taken: Arc<()>,
    chunks_max: u64,
}

impl Shares {
    /// Of a memory of so many bytes: half of it.
    fn new(bytes_max: usize) -> Self {
        let bytes = u64::try_from(bytes_max / 2).unwrap_or(u64::MAX);
        Self {
            taken: Arc::default(),
            chunks_max: bytes.checked_div(CHUNK).unwrap_or_default(),
        }
    }

    fn take(&self) -> Arc<()> {
        Arc::clone(&self.taken)
    }

    /// Chunks that may be ahead of each.
    fn chunks(&self) -> u64 {
        let readers = Arc::strong_count(&self.taken).saturating_sub(1).max(1);
        let readers = u64::try_from(readers).unwrap_or(u64::MAX);
        let each = self.chunks_max.checked_div(readers).unwrap_or_default();
        each.clamp(1, limits::NODE_AHEAD_CHUNKS_MAX)
    }
}

/// What was read: parts of chunks, in order. Most reads lie in one, which is handed on as it is.
pub struct Plain(Vec<(Arc<Chunk>, std::ops::Range<usize>)>);

impl Plain {
    /// The bytes, copied only where they lie in several chunks.
    #[must_use]
    pub fn bytes(&self) -> std::borrow::Cow<'_, [u8]> {
        let parts = self.0.iter();
        let mut parts = parts.map(|(chunk, range)| chunk.get(range.clone()).unwrap_or_default());
        match self.0.as_slice() {
            [] => (&[]).into(),
            [_] => parts.next().unwrap_or_default().into(),
            _ => parts.collect::<Vec<_>>().concat().into(),
        }
    }
}

/// A piece of a blob: which chunk, and what of it.
struct Piece<'a> {
    extent: &'a Extent,
    chunk: u64,
    from: usize,
    to: usize,
}

impl Piece<'_> {
    /// The part of the blob that it lies in, and where in that; `None` if it lies in several.
    fn part(&self) -> Option<(u64, std::ops::Range<usize>)> {
        let part = usize::try_from(PART).ok()?;
        let first = self.from.checked_div(part)?;
        if first != self.to.checked_sub(1)?.checked_div(part)? {
            return None;
        }
        let before = first.checked_mul(part)?;
        let range = self.from.checked_sub(before)?..self.to.checked_sub(before)?;
        let parts = CHUNK.checked_div(PART)?;
        let at = self.chunk.checked_mul(parts)?;
        Some((at.checked_add(u64::try_from(first).ok()?)?, range))
    }
}

/// The contents of a version.
pub struct Contents {
    pub(super) version: Arc<Version>,
    pub(super) keys: Arc<Keys>,
    pub(super) chunks: Kept<(BlobId, u64), Chunk>,
    /// Parts of chunks, for reads that stand alone.
    parts: Kept<(BlobId, u64), Chunk>,
    buffers: Arc<Buffers>,
    pub(super) straight: Option<Straight>,
    disk: Option<Arc<DiskCache>>,
    shares: Shares,
    /// Those who bring many files at once.
    pub(super) bringing: Arc<Semaphore>,
}

impl Contents {
    /// With room for so many bytes of chunks, and a cache of sealed ones on the disk if one is
    /// wanted.
    #[must_use]
    pub fn new(
        version: Arc<Version>,
        keys: Arc<Keys>,
        bytes_max: usize,
        disk: Option<Arc<DiskCache>>,
    ) -> Self {
        let straight = version.straight().then(|| Straight::new(version.gateway()));
        Self {
            version,
            keys,
            straight,
            disk,
            shares: Shares::new(bytes_max),
            bringing: Arc::new(Semaphore::new(limits::NODE_BRINGING_MAX)),
            parts: Kept::new(bytes_max / 8),
            chunks: Kept::new(bytes_max.saturating_sub(bytes_max / 8)),
            buffers: Buffers::new(bytes_max),
        }
    }

    /// The same, without reading from the store itself.
    #[must_use]
    pub fn through_gateway(self) -> Self {
        Self {
            straight: None,
            ..self
        }
    }

    /// Whether a chunk of a blob is on the disk.
    pub(super) fn has_on_disk(&self, extent: &Extent, chunk: u64) -> bool {
        let wanted = Wanted::new(extent, chunk);
        let disk = self.disk.as_ref();
        disk.is_some_and(|disk| wanted.is_ok_and(|wanted| disk.has(&wanted)))
    }

    /// Begins to open a chunk.
    pub(super) fn opening(&self, extent: &Extent, wanted: &Wanted) -> Opening {
        Opening::new(extent, wanted, self.disk.is_some(), &self.buffers)
    }

    /// The plaintext of a chunk whose sealed bytes have come, which are kept on the disk.
    pub(super) fn opened(&self, wanted: &Wanted, opening: Opening) -> Result<Chunk, NodeError> {
        let (plain, sealed) = opening.finish()?;
        if let (Some(disk), Some(sealed)) = (&self.disk, sealed) {
            disk.keep(wanted, sealed);
        }
        Ok(plain)
    }

    /// How many chunks came from the disk.
    #[must_use]
    pub fn disk_hits(&self) -> u64 {
        self.disk.as_ref().map_or(0, |disk| disk.hits())
    }

    /// Whether files are read from the store; their URLs are asked for if so.
    pub(super) async fn is_straight(&self, sources: &[Arc<Source>]) -> bool {
        let Some(straight) = self.straight.as_ref().filter(|straight| straight.ready()) else {
            return false;
        };
        let objects: Vec<(&str, Vec<BlobId>)> = sources
            .iter()
            .map(|source| (source.key.as_str(), source.blobs()))
            .collect();
        for batch in objects.chunks(URLS_AT_ONCE) {
            straight.ask(&self.version, batch).await;
        }
        straight.ready()
    }

    /// Drops every plaintext that is kept.
    pub fn forget(&self) {
        self.chunks.clear();
        self.parts.clear();
        self.buffers.clear();
    }

    /// Bytes of plaintext that are kept.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.chunks.weight().saturating_add(self.parts.weight())
    }

    /// Opens a file: its keys are released by then. `ahead` as in [`Keys::table`].
    pub async fn open(&self, found: &Found, ahead: usize) -> Result<Open, NodeError> {
        let Kind::File(file) = &found.kind else {
            return Err(NodeError::Absent);
        };
        let key = found.key()?;
        let table = self.keys.table(&key, file, ahead).await?;
        Ok(Open {
            source: Arc::new(Source { key, table }),
            file: (**file).clone(),
            flow: Mutex::default(),
        })
    }

    /// Reads up to `len` bytes from `offset` on; fewer at the end of the file alone.
    pub async fn read(
        self: &Arc<Self>,
        open: &Arc<Open>,
        offset: u64,
        len: u64,
    ) -> Result<Plain, NodeError> {
        let end = offset.saturating_add(len).min(open.file.bytes);
        let Some(range) = ByteRange::new(offset, end) else {
            return Ok(Plain(Vec::new()));
        };
        let patience = self.version.gateway().patience();
        self.keys.lease().check(open.key(), patience).await?;
        let read = open.note(range, &self.shares);
        let alone = read == Read::Alone;
        if let Read::InOrder(Some(ahead)) = read {
            self.fetch_ahead(open, ahead);
        }
        let mut parts = Vec::with_capacity(2);
        for piece in pieces(&open.source.table, range) {
            let part = piece
                .part()
                .filter(|_| alone && self.is_part_enough(&piece));
            let (chunk, range) = if let Some((part, range)) = part {
                (self.part(&open.source, piece.extent, part).await?, range)
            } else {
                let chunk = self.chunk(&open.source, piece.extent, piece.chunk).await?;
                (chunk, piece.from..piece.to)
            };
            chunk.get(range.clone()).ok_or(SHORT)?;
            parts.push((chunk, range));
        }
        Ok(Plain(parts))
    }

    /// Fetches what lies in a range and is not here, without waiting for it.
    pub fn fetch_ahead(self: &Arc<Self>, open: &Arc<Open>, range: ByteRange) {
        let mut missing = Vec::new();
        for piece in pieces(&open.source.table, range) {
            let at = (piece.extent.blob, piece.chunk);
            if self.chunks.is_wanted(&at) {
                continue;
            }
            if self.has_on_disk(piece.extent, piece.chunk) {
                self.start(Arc::clone(&open.source), at);
            } else {
                missing.push(at);
            }
        }
        self.start_all(&open.source, &missing);
    }

    /// Fetches one chunk, without waiting for it.
    pub(super) fn start(self: &Arc<Self>, source: Arc<Source>, at: (BlobId, u64)) {
        let contents = Arc::clone(self);
        tokio::spawn(async move {
            let mut extents = source.table.extents().iter();
            if let Some(extent) = extents.find(|extent| extent.blob == at.0)
                && let Err(error) = contents.chunk(&source, extent, at.1).await
            {
                tracing::debug!(%error, "nothing could be fetched ahead");
            }
        });
    }

    pub(super) async fn chunk(
        &self,
        source: &Source,
        extent: &Extent,
        chunk: u64,
    ) -> Result<Arc<Chunk>, NodeError> {
        let fetch = async {
            let wanted = Wanted::new(extent, chunk)?;
            let plain = self.fetch(source, extent, &wanted).await?;
            let weight = plain.len();
            Ok((plain, weight))
        };
        self.chunks.get((extent.blob, chunk), fetch).await
    }

    /// Whether the part that a read lies in is to be fetched, and not the whole chunk: nobody reads
    /// another part of it, and no disk is to keep it.
    fn is_part_enough(&self, piece: &Piece<'_>) -> bool {
        let at = (piece.extent.blob, piece.chunk);
        if self.disk.is_some() || self.chunks.is_wanted(&at) {
            return false;
        }
        let parts = CHUNK.checked_div(PART).unwrap_or_default();
        let first = piece.chunk.saturating_mul(parts);
        let mine = piece.part().map(|(part, _)| part);
        let others = (first..first.saturating_add(parts)).filter(|part| Some(*part) != mine);
        let mut others = others.map(|part| (piece.extent.blob, part));
        !others.any(|part| self.parts.is_wanted(&part))
    }

    /// A part of a chunk, for a read that stands alone.
    async fn part(
        &self,
        source: &Source,
        extent: &Extent,
        part: u64,
    ) -> Result<Arc<Chunk>, NodeError> {
        let fetch = async {
            let wanted = Wanted::part(extent, part)?;
            let plain = self.fetch(source, extent, &wanted).await?;
            let weight = plain.len();
            Ok((plain, weight))
        };
        self.parts.get((extent.blob, part), fetch).await
    }

    /// From the nearest place that has it: the disk, the store, the gateway. What does not
    /// authenticate is asked of the next.
    async fn fetch(
        &self,
        source: &Source,
        extent: &Extent,
        wanted: &Wanted,
    ) -> Result<Chunk, NodeError> {
        if let Some(plain) = self.disk_chunk(extent, wanted).await {
            return Ok(plain);
        }
        if let Some(plain) = self.store_chunk(source, extent, wanted).await {
            return Ok(plain);
        }
        match self.gateway_chunk(source, extent, wanted).await {
            // A wire between may have bent it: once more.
            Err(NodeError::Integrity(_)) => self.gateway_chunk(source, extent, wanted).await,
            done => done,
        }
    }

    async fn disk_chunk(&self, extent: &Extent, wanted: &Wanted) -> Option<Chunk> {
        let disk = self.disk.as_ref()?;
        let sealed = disk.load(wanted, self.buffers.take(wanted.bytes())).await?;
        let mut opening = Opening::new(extent, wanted, false, &self.buffers);
        let plain = opening
            .take(&sealed)
            .ok()
            .and_then(|()| opening.finish().ok());
        if plain.is_none() {
            disk.spoilt(wanted);
        }
        Some(plain?.0)
    }

    async fn store_chunk(
        &self,
        source: &Source,
        extent: &Extent,
        wanted: &Wanted,
    ) -> Option<Chunk> {
        let straight = self.straight.as_ref()?;
        let blobs = source.blobs_from(extent.blob);
        let url = straight.url(&self.version, &source.key, &blobs).await?;
        let mut opening = self.opening(extent, wanted);
        let mut take = |piece: &[u8]| opening.take(piece);
        if let Err(error) = straight.read(&url, wanted, &mut take).await {
            tracing::debug!(%error, "the store is passed over");
            return None;
        }
        match self.opened(wanted, opening) {
            Ok(plain) => Some(plain),
            Err(error) => {
                tracing::warn!(%error, "what the store sent is passed over");
                None
            }
        }
    }

    /// The question to the gateway for sealed bytes.
    pub(super) fn asking(&self, source: &Source, wanted: &Wanted) -> Asking {
        // In order of name, as the signature has it.
        let (blob, from, to) = (wanted.blob, wanted.from, wanted.to);
        let key = encoded(&source.key);
        let query = format!("blob={blob}&from={from}&key={key}&to={to}");
        self.version
            .asking(Method::GET, "sealed", query, Bytes::new())
    }

    async fn gateway_chunk(
        &self,
        source: &Source,
        extent: &Extent,
        wanted: &Wanted,
    ) -> Result<Chunk, NodeError> {
        let asking = self.asking(source, wanted);
        let gateway = self.version.gateway();
        let mut tries = gateway.tries();
        loop {
            let mut opening = self.opening(extent, wanted);
            match gateway
                .read(&asking, &mut |piece| opening.take(piece))
                .await
            {
                Ok(()) => return self.opened(wanted, opening),
                Err(error) => tries.again(error).await?,
            }
        }
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
