//! Writing the next snapshot of the chain, each number once.
//!
//! What a number will hold is durable in the catalog before it is sent, down to the random bytes of
//! its seal: a try that the store did not answer is sent again as the same bytes, so that it does
//! not matter which of them arrives, or how late.

use bytes::Bytes;
use futures_util::stream;

use super::{Back, Body, ChainFault, Snapshot, Vault, digest};
use crate::catalog::{Attempt, Chain, Link};
use crate::seal::seal_snapshot;
use crate::store::{BlobEntry, StoreError};
use crate::types::{Entropy, EntropyError, Secret, Timestamp, limits};
use crate::vault::error::VaultError;

/// Random bytes that were drawn before.
struct Drawn([u8; 32]);

impl Entropy for Drawn {
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyError> {
        match <&mut [u8; 32]>::try_from(out) {
            Ok(out) => *out = self.0,
            Err(_other) => return Err(EntropyError),
        }
        Ok(())
    }
}

impl Vault {
    /// Writes what changed since the last snapshot into the store, up to
    /// [`limits::SNAPSHOT_BYTES_MAX`]; returns how many commits are in the store by this call, 0
    /// when nothing was new. It errs with a [`ChainFault`] where catalog and store do not belong
    /// together: nothing is written then.
    pub async fn write_snapshot(&self) -> Result<u64, VaultError> {
        let mut pending = self.snapshots.turn.lock().await;
        let before = self.catalog.chain().await?.map(|chain| chain.upto);
        let chain = self.settled(&mut pending).await?;
        if chain.unbased {
            return Err(ChainFault::Unbased.into());
        }
        // What was there before, a commit that a lost answer hid among it.
        let settled = before.map_or(0, |before| chain.upto.saturating_sub(before));
        let changes = self.catalog.changes(0, limits::SNAPSHOT_BYTES_MAX).await?;
        let Some((upto, _)) = changes.last() else {
            self.snapshots.covered.send_replace(chain.upto);
            return Ok(settled);
        };
        let upto = *upto;
        let commits = u64::try_from(changes.len()).unwrap_or(u64::MAX);
        let body = Body::Changes(changes);
        self.put_next(chain, body, upto, &mut pending).await?;
        Ok(settled.saturating_add(commits))
    }

    /// Says in the store that this catalog goes on with the vault, by a snapshot without changes:
    /// whoever went on with it before finds it and stops.
    pub async fn claim(&self) -> Result<(), VaultError> {
        let mut pending = self.snapshots.turn.lock().await;
        let chain = self.settled(&mut pending).await?;
        // A listing that is behind must not make it write over what another wrote there.
        let number = chain.next;
        let id = self.keyring.snapshot_blob_id(number);
        match self.store.get(id, 0..1, 1).await {
            Err(StoreError::NotFound) => {}
            Ok(_) | Err(StoreError::Length) => return Err(ChainFault::Forked { number }.into()),
            Err(error) => return Err(error.into()),
        }
        let upto = chain.upto;
        let none = Body::Changes(Vec::new());
        self.put_next(chain, none, upto, &mut pending).await?;
        Ok(())
    }

    /// Whether catalog and store belong together; errs with a [`ChainFault`] where not. A snapshot
    /// that was under way when the last process ended is brought to its end.
    pub async fn check_chain(&self) -> Result<Chain, VaultError> {
        let mut pending = self.snapshots.turn.lock().await;
        let chain = self.settled(&mut pending).await?;
        if chain.unbased {
            return Err(ChainFault::Unbased.into());
        }
        self.snapshots.covered.send_replace(chain.upto);
        Ok(chain)
    }

    /// The same without bringing anything to its end, and with no turn taken: for what comes next
    /// and cannot be taken back, in whichever process. What another one writes meanwhile is no
    /// fault. A catalog that has no chain yet passes: the first snapshot finds out.
    pub async fn look_at_chain(&self) -> Result<(), VaultError> {
        let mut seen = self.catalog.chain().await?;
        loop {
            let Some(chain) = seen else { return Ok(()) };
            let found = self.judge_chain(&chain).await;
            let now = self.catalog.chain().await?;
            if found.is_ok() || now.as_ref() == Some(&chain) {
                return found;
            }
            seen = now;
        }
    }

    async fn judge_chain(&self, chain: &Chain) -> Result<(), VaultError> {
        if chain.unbased {
            return Err(ChainFault::Unbased.into());
        }
        let number = chain.next;
        match (self.ends(chain).await?, &chain.attempt) {
            (None, _) => Ok(()),
            (Some(entry), None) => Err(self.fault(chain, entry.bytes).await?.into()),
            (Some(_), Some(attempt)) if self.is_there(&attempt.link).await? => Ok(()),
            (Some(_), Some(_)) => Err(ChainFault::Forked { number }.into()),
        }
    }

    /// The chain with nothing under way, its newest snapshot in the store and the next one not.
    pub(super) async fn settled(&self, pending: &mut Option<Bytes>) -> Result<Chain, VaultError> {
        let mut chain = match self.catalog.chain().await? {
            Some(chain) => chain,
            None => self.begin_chain().await?,
        };
        loop {
            let number = chain.next;
            let there = self.ends(&chain).await?;
            chain = match (chain.attempt.clone(), there) {
                (None, None) => return Ok(chain),
                (None, Some(entry)) => return Err(self.fault(&chain, entry.bytes).await?.into()),
                (Some(attempt), Some(_)) => {
                    if !self.is_there(&attempt.link).await? {
                        return Err(ChainFault::Forked { number }.into());
                    }
                    self.linked(chain, &attempt, pending).await?
                }
                (Some(attempt), None) => {
                    match self
                        .sealed_again(&chain, &attempt, pending.as_ref())
                        .await?
                    {
                        Some(sealed) => self.send(chain, &attempt, sealed, pending).await?,
                        None => self.pass_over(chain).await?,
                    }
                }
            };
        }
    }

    /// What the store has under the number of the next snapshot. The newest must be there: where
    /// another catalog has gone on for long, it is not.
    async fn ends(&self, chain: &Chain) -> Result<Option<BlobEntry>, VaultError> {
        let next = self.keyring.snapshot_blob_id(chain.next);
        let head = async {
            match &chain.head {
                Some(head) => self.has_head(head).await,
                None => Ok(true),
            }
        };
        let (head, next) = tokio::join!(head, self.stat(next));
        match (head?, next?, &chain.head) {
            // What is there tells more than what is not.
            (false, None, Some(head)) => {
                let number = head.number;
                let blob = self.keyring.snapshot_blob_id(number);
                Err(ChainFault::Lost { number, blob }.into())
            }
            (_, next, _) => Ok(next),
        }
    }

    async fn has_head(&self, head: &Link) -> Result<bool, VaultError> {
        let id = self.keyring.snapshot_blob_id(head.number);
        match self.store.get(id, 0..1, head.bytes).await {
            Ok(_stream) => Ok(true),
            Err(StoreError::NotFound | StoreError::Length) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// What it means that the store has a snapshot which is not of this chain.
    async fn fault(&self, chain: &Chain, bytes: u64) -> Result<ChainFault, VaultError> {
        let number = chain.next;
        let read = self.read_snapshot(number, bytes).await?;
        if read.link.is_none() {
            // Listed and not handed out: a store that is not of one mind says nothing yet.
            return Err(StoreError::NotFound.into());
        }
        let back = read.snapshot.and_then(|snapshot| snapshot.back);
        let own = back.is_some_and(|back| back.lineage == chain.lineage);
        Ok(if own {
            ChainFault::Older { number }
        } else {
            ChainFault::Forked { number }
        })
    }

    /// Whether the store has exactly these bytes under a name that it has.
    pub(super) async fn is_there(&self, link: &Link) -> Result<bool, VaultError> {
        let id = self.keyring.snapshot_blob_id(link.number);
        match self.sealed_bytes(id, link.bytes).await {
            Ok(sealed) => Ok(digest(&sealed) == link.digest),
            Err(StoreError::Length) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Seals a body as the next snapshot.
    fn seal_next(
        &self,
        chain: &Chain,
        (created, salt): (Timestamp, [u8; 32]),
        body: Body,
    ) -> Result<Bytes, VaultError> {
        let number = chain.next;
        let previous = chain.head.as_ref().map_or([0; 32], |head| head.digest);
        let snapshot = Snapshot {
            number,
            created,
            back: Some(Back {
                lineage: chain.lineage,
                previous,
                doubted: chain.doubted.is_some(),
            }),
            body,
        };
        let key = self.keyring.snapshot_key();
        let plain = snapshot.encode();
        let context = number.to_be_bytes();
        Ok(seal_snapshot(&key, &context, &plain, &Drawn(salt))?)
    }

    /// The bytes of a snapshot that was tried before; `None` where they cannot be had any more.
    async fn sealed_again(
        &self,
        chain: &Chain,
        attempt: &Attempt,
        pending: Option<&Bytes>,
    ) -> Result<Option<Bytes>, VaultError> {
        let same = |sealed: &Bytes| digest(sealed) == attempt.link.digest;
        if let Some(sealed) = pending.cloned().filter(same) {
            return Ok(Some(sealed));
        }
        if !attempt.changes {
            return Ok(None);
        }
        let mut changes = Vec::new();
        let mut after = 0;
        while after < attempt.upto {
            let page = self.catalog.changes(after, limits::SNAPSHOT_BYTES_MAX);
            let page = page.await?;
            let Some((last, _)) = page.last() else { break };
            after = *last;
            changes.extend(page.into_iter().filter(|(seq, _)| *seq <= attempt.upto));
        }
        let drawn = (attempt.link.created, attempt.salt);
        let sealed = self.seal_next(chain, drawn, Body::Changes(changes))?;
        Ok(Some(sealed).filter(same))
    }

    /// Writes the next snapshot.
    pub(super) async fn put_next(
        &self,
        chain: Chain,
        body: Body,
        upto: u64,
        pending: &mut Option<Bytes>,
    ) -> Result<Chain, VaultError> {
        let (created, salt) = (self.now(), *Secret::random(self.entropy.as_ref())?.expose());
        let changes = matches!(body, Body::Changes(_));
        let sealed = self.seal_next(&chain, (created, salt), body)?;
        let attempt = Attempt {
            link: Link {
                number: chain.next,
                bytes: u64::try_from(sealed.len()).unwrap_or(u64::MAX),
                digest: digest(&sealed),
                created,
            },
            upto,
            salt,
            changes,
        };
        let chain = Chain {
            attempt: Some(attempt.clone()),
            ..chain
        };
        self.catalog.keep_chain(&chain).await?;
        self.send(chain, &attempt, sealed, pending).await
    }

    async fn send(
        &self,
        chain: Chain,
        attempt: &Attempt,
        sealed: Bytes,
        pending: &mut Option<Bytes>,
    ) -> Result<Chain, VaultError> {
        *pending = Some(sealed.clone());
        let body = Box::pin(stream::once(std::future::ready(Ok(sealed))));
        let id = self.keyring.snapshot_blob_id(attempt.link.number);
        match self.store.put_new(id, attempt.link.bytes, body).await {
            Ok(()) => {}
            // By a try whose answer was lost; or by another.
            Err(StoreError::Taken) if self.is_there(&attempt.link).await? => {}
            Err(StoreError::Taken) => {
                let number = attempt.link.number;
                return Err(ChainFault::Forked { number }.into());
            }
            Err(error) => return Err(error.into()),
        }
        self.linked(chain, attempt, pending).await
    }

    /// The snapshot that was under way is in the store.
    async fn linked(
        &self,
        mut chain: Chain,
        attempt: &Attempt,
        pending: &mut Option<Bytes>,
    ) -> Result<Chain, VaultError> {
        chain.attempt = None;
        chain.next = attempt.link.number.saturating_add(1);
        chain.upto = chain.upto.max(attempt.upto);
        chain.since.count = chain.since.count.saturating_add(1);
        chain.since.bytes = chain.since.bytes.saturating_add(attempt.link.bytes);
        chain.head = Some(attempt.link.clone());
        self.catalog.keep_chain(&chain).await?;
        *pending = None;
        self.snapshots.covered.send_replace(chain.upto);
        Ok(chain)
    }

    /// Leaves a number to a page of a base whose bytes are lost: should it arrive after all, it is
    /// a page of nothing.
    async fn pass_over(&self, mut chain: Chain) -> Result<Chain, VaultError> {
        chain.attempt = None;
        chain.next = chain.next.saturating_add(1);
        self.catalog.keep_chain(&chain).await?;
        Ok(chain)
    }
}
