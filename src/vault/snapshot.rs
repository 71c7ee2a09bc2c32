//! Snapshots of the catalog in the store, sealed and incremental: what `kluis recover` rebuilds a
//! lost catalog from.
//!
//! A snapshot holds the changes of a run of commits. Its name is a keyed function of its number,
//! so the store cannot tell it from any other blob, and its number and contents are authenticated,
//! so the store can lose the newest but can neither forge one nor drop one unnoticed in between.

use std::time::Duration;

use bytes::{BufMut as _, Bytes};
use futures_util::{StreamExt as _, stream};

use tokio::sync::{Notify, watch};

use super::Vault;
use super::error::{ErrorKind, VaultError};
use crate::seal::{open_snapshot, seal_snapshot};
use crate::types::{BlobId, Timestamp, limits};

/// What one snapshot holds.
#[derive(Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Its number, from 0.
    pub number: u64,
    /// When it was made.
    pub created: Timestamp,
    /// Commit number and encoded mutations of each commit, in order.
    pub changes: Vec<(u64, Bytes)>,
}

/// How far the snapshots are, for those who wait.
#[derive(Default)]
pub(super) struct Progress {
    wanted: Notify,
    covered: watch::Sender<u64>,
}

/// How long an acknowledgement waits for its snapshot.
const WAIT: Duration = Duration::from_secs(30);

/// How often who waits for another's snapshots looks, and how often it asks for one.
const LOOK: Duration = Duration::from_millis(50);
/// See [`LOOK`]; a multiple of it.
const ASK: Duration = Duration::from_secs(5);

const MAGIC: &[u8; 8] = b"KLUISsn1";

impl Snapshot {
    /// `magic (8) ‖ number (8) ‖ created ms (8) ‖ count (4) ‖ count × (commit (8) ‖ length (4) ‖
    /// mutations)`, big-endian.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_slice(MAGIC);
        out.put_u64(self.number);
        out.put_u64(self.created.millis());
        out.put_u32(u32::try_from(self.changes.len()).unwrap_or(u32::MAX));
        for (seq, change) in &self.changes {
            out.put_u64(*seq);
            out.put_u32(u32::try_from(change.len()).unwrap_or(u32::MAX));
            out.put_slice(change);
        }
        out
    }

    /// Reads exactly what [`Self::encode`] writes; `None` for anything else.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(MAGIC)?;
        let (number, rest) = rest.split_first_chunk()?;
        let (created, rest) = rest.split_first_chunk()?;
        let (count, mut rest) = rest.split_first_chunk()?;
        let mut changes = Vec::new();
        for _ in 0..u32::from_be_bytes(*count) {
            let (seq, tail) = rest.split_first_chunk()?;
            let (len, tail) = tail.split_first_chunk()?;
            let len = usize::try_from(u32::from_be_bytes(*len)).ok()?;
            let (change, tail) = tail.split_at_checked(len)?;
            changes.push((u64::from_be_bytes(*seq), Bytes::copy_from_slice(change)));
            rest = tail;
        }
        rest.is_empty().then_some(Self {
            number: u64::from_be_bytes(*number),
            created: Timestamp::from_millis(u64::from_be_bytes(*created)),
            changes,
        })
    }
}

impl Vault {
    /// Writes what changed since the last snapshot into the store; returns how many commits it
    /// now holds, 0 when nothing was new. A crash between the store and the catalog makes the next
    /// one hold the same commits again, which recovery passes over.
    pub async fn write_snapshot(&self, number: u64) -> Result<usize, VaultError> {
        let changes = self.catalog.changes(0, limits::SNAPSHOT_BYTES_MAX).await?;
        let Some((upto, _)) = changes.last() else {
            return Ok(0);
        };
        let upto = *upto;
        let snapshot = Snapshot {
            number,
            created: self.now(),
            changes,
        };
        let key = self.keyring.snapshot_key();
        let context = number.to_be_bytes();
        let sealed = seal_snapshot(&key, &context, &snapshot.encode(), self.entropy.as_ref())?;
        let bytes = u64::try_from(sealed.len()).unwrap_or(u64::MAX);
        let body = Box::pin(stream::once(std::future::ready(Ok(sealed))));
        self.store
            .put(self.keyring.snapshot_blob_id(number), bytes, body)
            .await?;
        self.catalog.forget_changes(upto).await?;
        self.snapshots.covered.send_replace(upto);
        Ok(snapshot.changes.len())
    }

    /// Returns when somebody waits for a snapshot.
    pub async fn snapshot_wanted(&self) {
        self.snapshots.wanted.notified().await;
    }

    /// Waits until a snapshot holds what was committed. If none comes, the write stands in the
    /// catalog all the same, unacknowledged.
    pub(super) async fn wait_for_snapshot(&self) -> Result<(), VaultError> {
        // Whatever is wrong here, the write stands: never an error that says it does not.
        let seq = self.catalog.change_seq().await.map_err(|error| {
            VaultError::caused(ErrorKind::Unavailable, "no snapshot can be awaited", error)
        })?;
        let mut covered = self.snapshots.covered.subscribe();
        self.snapshots.wanted.notify_one();
        match tokio::time::timeout(WAIT, covered.wait_for(|upto| *upto >= seq)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(VaultError::new(
                ErrorKind::Unavailable,
                "no snapshot holds the write yet",
            )),
        }
    }

    /// Waits until the snapshots in the store hold all that is committed by now, for what comes
    /// next and cannot be taken back. As long as they come nearer it waits on; who writes them may
    /// be another process.
    pub(super) async fn settle_in_snapshots(&self) -> Result<(), VaultError> {
        if !self.settings.snapshots_kept {
            return Ok(());
        }
        let seq = self.catalog.change_seq().await?;
        let (mut at, mut waited) = (None, Duration::ZERO);
        loop {
            let first = self.catalog.changes(0, 1).await?;
            let Some((first, _)) = first.first().filter(|(first, _)| *first <= seq) else {
                return Ok(());
            };
            if at.replace(*first) != Some(*first) {
                waited = Duration::ZERO;
            } else if waited >= WAIT {
                return Err(VaultError::new(
                    ErrorKind::Unavailable,
                    "no snapshot in the store holds the new tables yet, so the old keys stay; the \
                     work goes on by itself once the store takes snapshots",
                ));
            }
            // Seldom: each try takes a number, and a recovery looks only so far ahead.
            if waited.as_millis().is_multiple_of(ASK.as_millis()) {
                self.snapshots.wanted.notify_one();
            }
            tokio::time::sleep(LOOK).await;
            waited = waited.saturating_add(LOOK);
        }
    }

    /// Whether the catalog has changes that no snapshot holds.
    pub async fn has_changes(&self) -> Result<bool, VaultError> {
        Ok(!self.catalog.changes(0, 1).await?.is_empty())
    }

    /// Reads a snapshot of `bytes` sealed bytes back.
    pub(super) async fn read_snapshot(
        &self,
        number: u64,
        id: BlobId,
        bytes: u64,
    ) -> Result<Snapshot, VaultError> {
        const DAMAGED: VaultError =
            VaultError::new(ErrorKind::Integrity, "a snapshot does not authenticate");
        // One commit alone may be larger than a snapshot is meant to be.
        let bound = limits::SNAPSHOT_BYTES_MAX.max(limits::CATALOG_CHANGE_BYTES_MAX);
        let bound = u64::try_from(bound).unwrap_or(u64::MAX);
        if bytes == 0 || bytes > bound.saturating_mul(2) {
            return Err(DAMAGED);
        }
        let mut stream = self.store.get(id, 0..bytes, bytes).await?;
        let mut sealed = Vec::new();
        while let Some(piece) = stream.next().await {
            sealed.extend_from_slice(&piece?);
        }
        let key = self.keyring.snapshot_key();
        let plain = open_snapshot(&key, &number.to_be_bytes(), &sealed)?;
        Snapshot::decode(&plain)
            .filter(|snapshot| snapshot.number == number)
            .ok_or(DAMAGED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_round_trip_and_nothing_else_is_one() {
        let snapshot = Snapshot {
            number: 7,
            created: Timestamp::from_millis(9),
            changes: vec![(3, Bytes::from_static(b"abc")), (4, Bytes::new())],
        };
        let encoded = snapshot.encode();
        assert_eq!(Snapshot::decode(&encoded), Some(snapshot));
        for end in 0..encoded.len() {
            assert_eq!(Snapshot::decode(&encoded[..end]), None, "cut at {end}");
        }
        let mut longer = encoded.clone();
        longer.push(0);
        assert_eq!(Snapshot::decode(&longer), None);
        let mut other = encoded;
        other[0] ^= 1;
        assert_eq!(Snapshot::decode(&other), None);
    }
}
