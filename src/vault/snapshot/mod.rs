//! Snapshots of the catalog in the store, sealed and incremental: what `kluis recover` rebuilds a
//! lost catalog from.
//!
//! A snapshot holds the changes of a run of commits, or a part of the whole catalog. Its name is a
//! keyed function of its number, so the store cannot tell it from any other blob; number, contents
//! and the digest of the one before are authenticated, so the store can lose the newest but can
//! neither forge one nor drop one unnoticed in between. How far the chain is stands in the
//! catalog: where the store holds more than that, the catalog is an older copy, or another vault
//! has gone on, and nothing is written.

mod base;
mod begin;
mod format;
mod line;
mod wait;

use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::sync::{Mutex, Notify, watch};

pub use begin::Adopted;
pub use format::{Back, Body, Snapshot};

use super::Vault;
use super::error::{ErrorKind, VaultError};
use crate::catalog::Link;
use crate::seal::open_snapshot;
use crate::store::{BlobEntry, StoreError};
use crate::types::{BlobId, limits};

/// The numbers of pointers to bases begin here: no snapshot ever gets so far.
pub(super) const POINTERS: u64 = 1 << 63;

/// How far the snapshots are, for those who wait.
#[derive(Default)]
pub(super) struct Progress {
    wanted: Notify,
    covered: watch::Sender<u64>,
    /// One snapshot after the other. The sealed bytes of the one that is being tried.
    turn: Mutex<Option<Bytes>>,
}

/// Why no snapshot may follow, and no gateway serve: catalog and store do not belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainFault {
    /// The catalog is a copy from before the newest snapshots.
    #[error("the catalog is older than its snapshots in the store number={number}")]
    Older {
        /// The first snapshot that it does not know.
        number: u64,
    },
    /// Another catalog goes on with this vault: after a recovery elsewhere, or an adoption.
    #[error("another catalog has gone on with this vault number={number}")]
    Forked {
        /// The first snapshot that is not of this catalog.
        number: u64,
    },
    /// The newest snapshot that the catalog knows is gone: the store is older than the catalog, or
    /// another catalog has gone on and cleared away.
    #[error("the newest snapshot of the catalog is not in the store number={number} blob={blob}")]
    Lost {
        /// Which.
        number: u64,
        /// Its name in the store, for whoever can bring it back.
        blob: BlobId,
    },
    /// The catalog was adopted, and no base of it is in the store yet.
    #[error("the adoption of the catalog was cut short")]
    Unbased,
}

impl From<ChainFault> for VaultError {
    fn from(fault: ChainFault) -> Self {
        let reason = "catalog and store do not belong together";
        Self::caused(ErrorKind::Integrity, reason, fault)
    }
}

impl VaultError {
    /// What is wrong between catalog and store, if it is that.
    #[must_use]
    pub fn chain_fault(&self) -> Option<ChainFault> {
        std::error::Error::source(self)?.downcast_ref().copied()
    }
}

/// SHA-256 of a snapshot's sealed bytes.
pub(super) fn digest(sealed: &[u8]) -> [u8; 32] {
    let digest = ring::digest::digest(&ring::digest::SHA256, sealed);
    digest.as_ref().try_into().unwrap_or_default()
}

/// A snapshot as it was read, and what its sealed bytes are.
pub(super) struct Read {
    /// What it holds; `None` where it does not authenticate.
    pub(super) snapshot: Option<Snapshot>,
    /// Which bytes those were; `None` where the store did not hand them out.
    pub(super) link: Option<Link>,
}

impl Vault {
    /// Whether the store has a blob, and how it lists it.
    async fn stat(&self, id: BlobId) -> Result<Option<BlobEntry>, StoreError> {
        let before = u128::from_be_bytes(*id.as_bytes()).checked_sub(1);
        let before = before.map(|n| BlobId::from_bytes(n.to_be_bytes()));
        let page = self.store.list(before, 1).await?;
        Ok(page.first().filter(|entry| entry.id == id).copied())
    }

    /// A blob's bytes, all of them.
    async fn sealed_bytes(&self, id: BlobId, bytes: u64) -> Result<Vec<u8>, StoreError> {
        // One commit alone may be larger than a snapshot is meant to be.
        let bound = limits::SNAPSHOT_BYTES_MAX.max(limits::CATALOG_CHANGE_BYTES_MAX);
        let bound = u64::try_from(bound).unwrap_or(u64::MAX);
        if bytes == 0 || bytes > bound.saturating_mul(2) {
            return Err(StoreError::Length);
        }
        let mut stream = self.store.get(id, 0..bytes, bytes).await?;
        let mut sealed = Vec::new();
        while let Some(piece) = stream.next().await {
            sealed.extend_from_slice(&piece?);
        }
        Ok(sealed)
    }

    /// Reads a snapshot of `bytes` sealed bytes back.
    pub(super) async fn read_snapshot(&self, number: u64, bytes: u64) -> Result<Read, VaultError> {
        let id = self.keyring.snapshot_blob_id(number);
        let sealed = match self.sealed_bytes(id, bytes).await {
            Ok(sealed) => sealed,
            Err(StoreError::NotFound | StoreError::Length) => {
                return Ok(Read {
                    snapshot: None,
                    link: None,
                });
            }
            Err(error) => return Err(error.into()),
        };
        let key = self.keyring.snapshot_key();
        let plain = open_snapshot(&key, &number.to_be_bytes(), &sealed).ok();
        let snapshot = plain
            .and_then(|plain| Snapshot::decode(&plain))
            .filter(|snapshot| snapshot.number == number);
        let link = Link {
            number,
            bytes,
            digest: digest(&sealed),
            created: snapshot
                .as_ref()
                .map_or_else(Default::default, |s| s.created),
        };
        Ok(Read {
            snapshot,
            link: Some(link),
        })
    }
}
