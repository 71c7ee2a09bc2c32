//! An object on its way out: blobs fetched, segments opened one by one, each handed over only
//! after it has authenticated.

use std::sync::Arc;

use bytes::{Buf as _, Bytes, BytesMut};
use futures_util::{StreamExt as _, stream};
use sync_wrapper::SyncStream;

use crate::seal::{Extent, HEADER_BYTES, Opener, Origin, Table, layout};
use crate::store::{BlobStream, SharedStore};
use crate::types::{BlobId, ByteRange, PrincipalId, limits};
use crate::vault::PlainBody;
use crate::vault::access::lease::Lease;
use crate::vault::error::{ErrorKind, VaultError};
use crate::vault::log::record::Recorded;
use crate::vault::objects::tables::{Tables, Taken};
use crate::vault::objects::write::slice;

const BROKEN: VaultError = VaultError::new(ErrorKind::Integrity, "a part table is broken");

/// The plaintext of a range of an object, not begun. Of its extents it holds what the part table
/// says; the keys to open one are derived when its turn comes, and are gone with it.
pub(in crate::vault) struct Plaintext {
    store: SharedStore,
    /// What is to be read, all of it and nothing beside it.
    table: Table,
    /// The extent whose turn is next.
    next: usize,
    current: Option<Open>,
    _room: Option<Taken>,
}

/// A slice of one blob, ready to be fetched.
struct Slice {
    blob: BlobId,
    opener: Opener,
    sealed: std::ops::Range<u64>,
    /// Sealed bytes of the whole blob.
    whole: u64,
    header: bool,
    skip: usize,
    take: u64,
    origin: Origin,
}

/// A blob being read.
struct Open {
    stream: BlobStream,
    pending: Bytes,
    slice: Slice,
}

impl Slice {
    fn of(extent: &Extent) -> Result<Self, VaultError> {
        let end = extent.start.checked_add(extent.len);
        let cut = end.and_then(|end| ByteRange::new(extent.start, end));
        let cut = cut.ok_or(BROKEN)?;
        let plan = layout::sealed_range(extent.blob_plaintext_bytes, cut).ok_or(BROKEN)?;
        Ok(Self {
            blob: extent.blob,
            opener: extent.opener(plan.first_segment)?,
            sealed: plan.sealed,
            whole: layout::sealed_bytes(extent.blob_plaintext_bytes),
            header: plan.includes_header,
            skip: plan.skip,
            take: plan.take,
            origin: extent.origin(),
        })
    }
}

impl Plaintext {
    /// Plans the reading of `range` of an object whose blobs are `table`. What is held of a long
    /// table takes its place in `room`, or there is none: `SlowDown`.
    pub(in crate::vault) fn plan(
        store: &SharedStore,
        table: Table,
        range: ByteRange,
        (room, who): (&Arc<Tables>, Option<&PrincipalId>),
    ) -> Result<Self, VaultError> {
        // Of a long table a short range holds little. To find it walks over the lengths of what is
        // before it, a thousandth of what it took to open the table.
        let table = if range.len() < table.bytes() {
            slice(&table, range)?
        } else {
            table
        };
        let held = table.held_bytes();
        let long = held > limits::TABLE_SHORT_BYTES;
        Ok(Self {
            store: Arc::clone(store),
            _room: long.then(|| room.take(who, held)).transpose()?,
            table,
            next: 0,
            current: None,
        })
    }

    /// The next extent's slice, its keys derived now; `None` behind the last.
    fn turn(&mut self) -> Result<Option<Slice>, VaultError> {
        let slice = self.table.extents().get(self.next).map(Slice::of);
        self.next = self.next.saturating_add(1);
        slice.transpose()
    }

    /// The next piece of plaintext; `None` at the end.
    pub(in crate::vault) async fn next(&mut self) -> Result<Option<Bytes>, VaultError> {
        loop {
            if let Some(open) = &mut self.current {
                if open.slice.take > 0 {
                    return open.segment().await.map(Some);
                }
                self.current = None;
            }
            let Some(slice) = self.turn()? else {
                return Ok(None);
            };
            let stream = self
                .store
                .get(slice.blob, slice.sealed.clone(), slice.whole)
                .await?;
            let mut open = Open {
                stream,
                pending: Bytes::new(),
                slice,
            };
            if open.slice.header {
                let header = open.gather(HEADER_BYTES).await?;
                open.slice
                    .opener
                    .check_header(&header, Some(open.slice.origin))?;
            }
            self.current = Some(open);
        }
    }

    /// The stream that a client gets: what was opened already, then the rest. It owns the record
    /// and completes it with the bytes that were really taken from it.
    pub(in crate::vault) fn release(
        self,
        first: Option<Bytes>,
        lease: Lease,
        recorded: Recorded,
    ) -> PlainBody {
        let going = Going {
            plaintext: self,
            first,
            lease,
            recorded: Some(recorded),
        };
        Box::pin(SyncStream::new(Box::pin(stream::unfold(
            going,
            |mut going| async move { going.step().await.map(|piece| (piece, going)) },
        ))))
    }
}

struct Going {
    plaintext: Plaintext,
    first: Option<Bytes>,
    lease: Lease,
    /// Gone when the stream has ended, well or not: nothing comes after that.
    recorded: Option<Recorded>,
}

impl Going {
    async fn step(&mut self) -> Option<Result<Bytes, VaultError>> {
        let mut recorded = self.recorded.take()?;
        if let Err(error) = self.lease.check().await {
            recorded.cut(&error);
            return Some(Err(error));
        }
        let next = match self.first.take() {
            Some(first) => Ok(Some(first)),
            None => self.plaintext.next().await,
        };
        match next {
            Ok(Some(piece)) => {
                recorded.count(u64::try_from(piece.len()).unwrap_or(u64::MAX));
                self.recorded = Some(recorded);
                Some(Ok(piece))
            }
            Ok(None) => {
                recorded.succeed();
                None
            }
            Err(error) => {
                recorded.fail(&error);
                Some(Err(error))
            }
        }
    }
}

impl Open {
    /// Sees that something is there to be taken.
    async fn fetch(&mut self) -> Result<(), VaultError> {
        while self.pending.is_empty() {
            match self.stream.next().await {
                Some(piece) => self.pending = piece?,
                None => return Err(crate::store::StoreError::Length.into()),
            }
        }
        Ok(())
    }

    /// Exactly `bytes` sealed bytes from the store; at least one.
    async fn gather(&mut self, bytes: usize) -> Result<BytesMut, VaultError> {
        self.fetch().await?;
        if self.pending.len() == bytes {
            // A store that hands over just this piece needs no copy of it.
            match std::mem::take(&mut self.pending).try_into_mut() {
                Ok(own) => return Ok(own),
                Err(shared) => self.pending = shared,
            }
        }
        let mut gathered = BytesMut::with_capacity(bytes);
        while gathered.len() < bytes {
            self.fetch().await?;
            let take = self.pending.len().min(bytes - gathered.len());
            gathered.extend_from_slice(self.pending.get(..take).unwrap_or_default());
            self.pending.advance(take);
        }
        Ok(gathered)
    }

    /// Fetches and opens the next segment, and cuts it to what was asked for.
    async fn segment(&mut self) -> Result<Bytes, VaultError> {
        let sealed = self.slice.opener.next_sealed_bytes().ok_or(BROKEN)?;
        let mut segment = self.gather(sealed).await?;
        self.slice.opener.open(&mut segment)?;
        let mut plain = segment.freeze();
        plain.advance(self.slice.skip.min(plain.len()));
        self.slice.skip = 0;
        let take = usize::try_from(self.slice.take).unwrap_or(usize::MAX);
        plain.truncate(take);
        let got = u64::try_from(plain.len()).unwrap_or(u64::MAX);
        self.slice.take = self.slice.take.saturating_sub(got);
        Ok(plain)
    }
}

/// A segment never holds more than this; what the store sends is gathered in pieces of it.
const _: () = assert!(
    limits::SEGMENT_BYTES <= 1 << 20,
    "one segment is a small allocation"
);
