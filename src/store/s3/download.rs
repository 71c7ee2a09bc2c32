//! A blob's range on its way out of the store. When the connection breaks, or was given to others
//! while nobody read, it goes on from the offset that was reached: blobs never change.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use http_body::Body as _;
use hyper::body::Incoming;

use super::client::Client;
use super::parking::Spot;
use super::pool::Link;
use super::retry::{Refusal, Retries};
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
    open: Option<(Link, Incoming)>,
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
        match download
            .client
            .open(id, &download.left, download.whole)
            .await
        {
            Ok(open) => download.open = Some(open),
            Err(refusal) => download.retries.after(refusal).await?,
        }
    }
    Ok(Box::pin(stream::try_unfold(download, Download::advance)))
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
        let (mut link, mut body) = match self.open.take().or_else(|| self.spot.take()) {
            Some(open) => open,
            None => self.client.open(self.id, &self.left, self.whole).await?,
        };
        let chunk = link.frame(&mut body).await?;
        let chunk = chunk.ok_or_else(|| Refusal::later(StoreError::Length))?;
        let bytes = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        let start = self.left.start.saturating_add(bytes);
        if start > self.left.end {
            return Err(Refusal::last(StoreError::Length));
        }
        self.left.start = start;
        if !self.left.is_empty() {
            self.spot.park(link, body);
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
