//! Chunks that follow each other in a blob, fetched by one request: a store spends a third of the
//! work on a range of 16 MiB that it spends on 16 of 1 MiB.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::FutureExt as _;
use tokio::sync::oneshot;

use super::buffers::Chunk;
use super::content::{Contents, Source};
use super::opening::{Opening, Wanted};
use super::{GatewayError, NodeError};
use crate::seal::Extent;
use crate::types::{BlobId, limits};

/// A chunk of a blob.
type Place = (BlobId, u64);

/// Chunks in order, cut where one does not follow the one before it, and where a request would
/// bring too much.
fn stretches(wanted: &[Place]) -> impl Iterator<Item = &[Place]> {
    let follows = |a: &Place, b: &Place| a.0 == b.0 && a.1.checked_add(1) == Some(b.1);
    let most = usize::try_from(limits::NODE_STRETCH_CHUNKS_MAX).unwrap_or(1);
    wanted
        .chunk_by(follows)
        .flat_map(move |run| run.chunks(most))
}

/// A chunk that is on its way, and who waits for it.
struct Coming {
    wanted: Wanted,
    opened: oneshot::Sender<Chunk>,
}

/// What has not come yet of a stretch.
struct Stretch<'a> {
    contents: &'a Contents,
    extent: &'a Extent,
    coming: VecDeque<Coming>,
    /// The first of them, as far as it came.
    opening: Option<Opening>,
}

impl Stretch<'_> {
    /// What is to be asked for; a chunk of which a part came is asked for whole.
    fn left(&mut self) -> Option<Wanted> {
        self.opening = None;
        let (first, last) = (self.coming.front()?, self.coming.back()?);
        Some(first.wanted.up_to(&last.wanted))
    }

    fn take(&mut self, mut piece: &[u8]) -> Result<(), GatewayError> {
        while !piece.is_empty() {
            let first = self.coming.front();
            let first = first
                .ok_or_else(|| GatewayError::Unreachable("more came than was asked for".into()))?;
            let (contents, extent) = (self.contents, self.extent);
            let opening = self
                .opening
                .get_or_insert_with(|| contents.opening(extent, &first.wanted));
            let (head, tail) = piece.split_at(opening.left().min(piece.len()));
            opening.take(head)?;
            piece = tail;
            if opening.left() == 0
                && let (Some(opening), Some(one)) = (self.opening.take(), self.coming.pop_front())
            {
                match contents.opened(&one.wanted, opening) {
                    // Who waited may have gone.
                    Ok(plain) => drop(one.opened.send(plain)),
                    // Who waits asks for it alone, and another if need be.
                    Err(error) => tracing::warn!(%error, "a chunk of a stretch is passed over"),
                }
            }
        }
        Ok(())
    }
}

impl Contents {
    /// A chunk that somebody brings: from here on all who read it wait for what is sent, and fetch
    /// it themselves where nothing is.
    pub(super) fn expect(self: &Arc<Self>, at: Place) -> oneshot::Sender<Chunk> {
        let (opened, coming) = oneshot::channel();
        let contents = Arc::clone(self);
        let mut waits = Box::pin(async move {
            let fetch = async {
                let plain: Chunk = coming.await.map_err(|_dropped| NodeError::Absent)?;
                let weight = plain.len();
                Ok((plain, weight))
            };
            // One that did not come is fetched by whoever reads it.
            let _kept = contents.chunks.get(at, fetch).await;
        });
        // The place is taken now, not when the task first runs.
        if waits.as_mut().now_or_never().is_none() {
            tokio::spawn(waits);
        }
        opened
    }

    /// Fetches chunks of one file, without waiting for them: what follows each other together.
    pub(super) fn start_all(self: &Arc<Self>, source: &Arc<Source>, wanted: &[Place]) {
        for stretch in stretches(wanted) {
            match stretch {
                [one] => self.start(Arc::clone(source), *one),
                [(blob, _), ..] => self.start_stretch(source, *blob, stretch),
                [] => {}
            }
        }
    }

    fn start_stretch(self: &Arc<Self>, source: &Arc<Source>, blob: BlobId, of: &[Place]) {
        let (contents, source) = (Arc::clone(self), Arc::clone(source));
        let expected: Vec<_> = of.iter().map(|at| (at.1, self.expect(*at))).collect();
        tokio::spawn(async move {
            let mut extents = source.table.extents().iter();
            let Some(extent) = extents.find(|extent| extent.blob == blob) else {
                return;
            };
            let coming = expected.into_iter().filter_map(|(chunk, opened)| {
                let wanted = Wanted::new(extent, chunk).ok()?;
                Some(Coming { wanted, opened })
            });
            let stretch = Stretch {
                contents: &contents,
                extent,
                coming: coming.collect(),
                opening: None,
            };
            contents.bring_stretch(&source, stretch).await;
        });
    }

    /// From the store, and what did not come from there from the gateway; once, since who reads
    /// what is missing asks with all patience.
    async fn bring_stretch(&self, source: &Source, mut stretch: Stretch<'_>) {
        if let Some(straight) = &self.straight {
            let blobs = source.blobs_from(stretch.extent.blob);
            let url = straight.url(&self.version, &source.key, &blobs).await;
            if let (Some(url), Some(wanted)) = (url, stretch.left()) {
                let mut take = |piece: &[u8]| stretch.take(piece);
                if let Err(error) = straight.read(&url, &wanted, &mut take).await {
                    tracing::debug!(%error, "the store is passed over");
                }
            }
        }
        if let Some(wanted) = stretch.left() {
            let asking = self.asking(source, &wanted);
            let gateway = self.version.gateway();
            let mut take = |piece: &[u8]| stretch.take(piece);
            if let Err(error) = gateway.read(&asking, &mut take).await {
                tracing::debug!(%error, "a stretch did not come to its end");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_each_other_is_one_request_up_to_a_bound() {
        let blob = |n| BlobId::from_bytes([n; 16]);
        let most = limits::NODE_STRETCH_CHUNKS_MAX;
        let mut wanted: Vec<Place> = (0..most + 3).map(|chunk| (blob(1), chunk)).collect();
        wanted.extend([(blob(1), 40), (blob(2), 41), (blob(2), 0), (blob(2), 1)]);
        let lengths: Vec<usize> = stretches(&wanted).map(<[Place]>::len).collect();
        assert_eq!(lengths, [usize::try_from(most).unwrap(), 3, 1, 1, 2]);
        let all: Vec<Place> = stretches(&wanted).flatten().copied().collect();
        assert_eq!(all, wanted, "each once, in order");
        assert_eq!(stretches(&[]).count(), 0);
    }
}
