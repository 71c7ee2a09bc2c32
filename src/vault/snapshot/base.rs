//! Bases: the whole catalog as snapshots, so that a recovery need not replay the vault's whole
//! life, and older snapshots can go.
//!
//! Pages of a base and snapshots of changes take turns: who waits for a snapshot does not wait for
//! a base. Once all pages are read back, a pointer under a name of its own tells a recovery where
//! the base begins; what is older than the base before it is deleted then, never what is younger.

use bytes::Bytes;
use futures_util::stream;

use super::{Back, Body, ChainFault, POINTERS, Snapshot, Vault};
use crate::catalog::{Base, Chain, Link, Mutation, codec};
use crate::seal::seal_snapshot;
use crate::store::StoreError;
use crate::types::limits;
use crate::vault::error::{ErrorKind, VaultError};

/// How many snapshots are deleted before another may be written.
const PRUNE_STEP: u64 = 64;

impl Vault {
    /// Whether so much was written since the newest base that a recovery gains by another one.
    pub async fn base_is_due(&self) -> Result<bool, VaultError> {
        let Some(chain) = self.catalog.chain().await? else {
            return Ok(false);
        };
        let since = chain.since;
        let base = chain.base.map_or(0, |base| base.bytes);
        Ok(since.count >= limits::SNAPSHOT_BASE_COUNT_MAX
            || (since.count >= limits::SNAPSHOT_BASE_COUNT_MIN && since.bytes >= base))
    }

    /// Writes the whole catalog as snapshots; returns how many.
    pub async fn rebase(&self) -> Result<u64, VaultError> {
        self.rebase_by(limits::SNAPSHOT_BYTES_MAX).await
    }

    /// The same in pages of about so many bytes.
    pub(in crate::vault) async fn rebase_by(&self, page_bytes: usize) -> Result<u64, VaultError> {
        let mut pages: Vec<Link> = Vec::new();
        let mut cursor = None;
        let mut seq = 0;
        loop {
            let mut pending = self.snapshots.turn.lock().await;
            let chain = self.settled(&mut pending).await?;
            // In its turn, the first above all: a commit that the base lacks must be in a snapshot
            // behind its first page, or a recovery that begins there never meets it.
            let (mut mutations, next) = self.catalog.dump(cursor, page_bytes).await?;
            if let (true, Some(Mutation::RestoreSeq(now))) = (pages.is_empty(), mutations.first()) {
                seq = *now;
                mutations.remove(0);
            }
            let body = Body::Page {
                first: pages.first().map_or(chain.next, |page| page.number),
                page: u32::try_from(pages.len()).unwrap_or(u32::MAX),
                seq,
                last: next.is_none(),
                mutations: codec::encode(&mutations),
            };
            let upto = chain.upto;
            let chain = self.put_next(chain, body, upto, &mut pending).await?;
            pages.extend(chain.head);
            cursor = next;
            if cursor.is_none() {
                break;
            }
        }
        for page in &pages {
            if !self.is_there(page).await? {
                let reason = "a page of a base did not come back as it was written";
                return Err(VaultError::new(ErrorKind::Integrity, reason));
            }
        }
        self.point_to(&pages, seq).await?;
        Ok(u64::try_from(pages.len()).unwrap_or(u64::MAX))
    }

    /// The base is whole: a recovery begins with it from now on.
    async fn point_to(&self, pages: &[Link], seq: u64) -> Result<(), VaultError> {
        let mut pending = self.snapshots.turn.lock().await;
        let mut chain = self.settled(&mut pending).await?;
        let Some(first) = pages.first().map(|page| page.number) else {
            return Ok(());
        };
        self.put_pointer(&mut chain, first).await?;
        if let Some(before) = chain.base.take() {
            chain.keep_from = before.first;
        }
        let later = |page: &&Link| page.number >= first;
        let bytes = pages.iter().filter(later).map(|page| page.bytes).sum();
        chain.base = Some(Base { first, bytes });
        chain.since = crate::catalog::Since::default();
        chain.unbased = false;
        chain.upto = chain.upto.max(seq);
        self.catalog.keep_chain(&chain).await?;
        self.snapshots.covered.send_replace(chain.upto);
        Ok(())
    }

    /// Writes a pointer under the next name for one that nothing has.
    async fn put_pointer(&self, chain: &mut Chain, first: u64) -> Result<(), VaultError> {
        let mut number = POINTERS.saturating_add(chain.bases);
        // One whose answer was lost is passed over: the newest counts.
        while self
            .stat(self.keyring.snapshot_blob_id(number))
            .await?
            .is_some()
        {
            number = number.saturating_add(1);
            if number.saturating_sub(POINTERS) > chain.bases.saturating_add(limits::SNAPSHOT_GAP) {
                return Err(ChainFault::Forked { number }.into());
            }
        }
        let snapshot = Snapshot {
            number,
            created: self.now(),
            back: Some(Back {
                lineage: chain.lineage,
                previous: [0; 32],
                doubted: chain.doubted.is_some(),
            }),
            body: Body::Pointer { first },
        };
        let key = self.keyring.snapshot_key();
        let plain = snapshot.encode();
        let entropy = self.entropy.as_ref();
        let sealed: Bytes = seal_snapshot(&key, &number.to_be_bytes(), &plain, entropy)?;
        let bytes = u64::try_from(sealed.len()).unwrap_or(u64::MAX);
        let body = Box::pin(stream::once(std::future::ready(Ok(sealed))));
        let id = self.keyring.snapshot_blob_id(number);
        self.store.put_new(id, bytes, body).await?;
        chain.bases = number.saturating_sub(POINTERS).saturating_add(1);
        Ok(())
    }

    /// Deletes up to `most` snapshots that are older than the base before the newest; returns how
    /// many numbers are done with. Snapshots of changes take their turn in between.
    pub async fn prune_snapshots(&self, most: u64) -> Result<u64, VaultError> {
        let mut done = 0;
        while done < most {
            let step = PRUNE_STEP.min(most.saturating_sub(done));
            let pruned = self.prune_some(step).await?;
            if pruned == 0 {
                break;
            }
            done = done.saturating_add(pruned);
        }
        Ok(done)
    }

    async fn prune_some(&self, most: u64) -> Result<u64, VaultError> {
        let mut pending = self.snapshots.turn.lock().await;
        let Some(chain) = self.catalog.chain().await? else {
            return Ok(0);
        };
        if chain.floor >= chain.keep_from || chain.doubted.is_some() {
            return Ok(0);
        }
        let mut chain = self.settled(&mut pending).await?;
        let floor = chain.floor;
        let end = chain.keep_from.min(floor.saturating_add(most));
        for number in floor..end {
            let id = self.keyring.snapshot_blob_id(number);
            match self.store.delete(id).await {
                Ok(()) => {}
                // Below the floor it is nobody's, and the sweep tries it again.
                Err(error @ StoreError::Kept { .. }) => {
                    tracing::warn!(number, %error, "an old snapshot stays in the store");
                }
                Err(error) => return Err(error.into()),
            }
        }
        chain.floor = end;
        self.catalog.keep_chain(&chain).await?;
        Ok(end.saturating_sub(floor))
    }
}
