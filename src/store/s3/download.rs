//! A blob's range on its way out of the store. When the connection breaks, or was given to others
//! while nobody read, it goes on from the offset that was reached: blobs never change.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use http_body::Body as _;

use super::client::Client;
use super::parking::{Answer, Spot};
use super::retry::{Refusal, Retries};
use crate::store::body::chunk_of;
use crate::store::{BlobStream, StoreError};
use crate::types::BlobId;

struct Download {
    client: Arc<Client>,
    id: BlobId,
    /// What is still to come.
    left: Range<u64>,
    /// How long the blob is as a whole.
    whole: u64,
    /// The answer before its first read.
    open: Option<Answer>,
    /// The answer between two reads.
    spot: Spot,
    /// One budget for the whole range, so that a store that breaks each time is not asked for ever.
    retries: Retries,
}

/// Opens a range, with retries until the head of the answer has come, and makes a stream of it.
pub(super) async fn open(
    client: Arc<Client>,
    id: BlobId,
    range: Range<u64>,
    whole: u64,
) -> Result<BlobStream, StoreError> {
    if range.is_empty() || range.end > whole {
        return Err(StoreError::Length);
    }
    let retries = client.retries();
    let spot = Spot::new(Arc::clone(&client.pool.parking));
    let mut download = Download {
        client,
        id,
        left: range,
        whole,
        open: None,
        spot,
        retries,
    };
    while download.open.is_none() {
        match open_one(&download.client, id, &download.left, whole).await {
            Ok(answer) => download.open = Some(answer),
            Err(refusal) => download.retries.after(refusal).await?,
        }
    }
    Ok(Box::pin(stream::try_unfold(download, Download::advance)))
}

async fn open_one(
    client: &Client,
    id: BlobId,
    range: &Range<u64>,
    whole: u64,
) -> Result<Answer, Refusal> {
    let (link, body) = client.open(id, range, whole).await?;
    let rest = Bytes::new();
    Ok(Answer { link, body, rest })
}

impl Download {
    /// The next chunk and the rest.
    async fn advance(mut self) -> Result<Option<(Bytes, Self)>, StoreError> {
        while !self.left.is_empty() {
            match self.chunk().await {
                Ok(chunk) => return Ok(Some((chunk, self))),
                Err(refusal) => {
                    self.retries.after(refusal).await?;
                }
            }
        }
        Ok(None)
    }

    async fn chunk(&mut self) -> Result<Bytes, Refusal> {
        let Answer {
            mut link,
            mut body,
            mut rest,
        } = match self.open.take().or_else(|| self.spot.take()) {
            Some(answer) => answer,
            None => open_one(&self.client, self.id, &self.left, self.whole).await?,
        };
        if rest.is_empty() {
            let frame = link.frame(&mut body).await?;
            rest = frame.ok_or_else(|| Refusal::later(StoreError::Length))?;
            let bytes = u64::try_from(rest.len()).unwrap_or(u64::MAX);
            if self.left.start.saturating_add(bytes) > self.left.end {
                return Err(Refusal::last(StoreError::Length));
            }
        }
        let ahead = chunk_of(&self.left);
        let most = usize::try_from(ahead.end.saturating_sub(ahead.start)).unwrap_or(usize::MAX);
        let chunk = rest.split_to(rest.len().min(most));
        let bytes = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        self.left.start = self.left.start.saturating_add(bytes);
        if !self.left.is_empty() {
            self.spot.park(Answer { link, body, rest });
            return Ok(chunk);
        }
        if body.is_end_stream() {
            link.release();
            return Ok(chunk);
        }
        // Only a body of no announced length can go on beyond the range.
        match link.frame(&mut body).await {
            Ok(None) => link.release(),
            Ok(Some(_more)) => return Err(Refusal::last(StoreError::Length)),
            // All bytes are here; how the connection ended is nobody's loss.
            Err(_broken) => drop(link),
        }
        Ok(chunk)
    }
}
