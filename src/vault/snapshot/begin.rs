//! How a chain begins: for a new vault, for one of a program that kept none, for a catalog that is
//! adopted.

use super::{Body, ChainFault, Snapshot, Vault};
use crate::catalog::{Chain, Link, Mutation};
use crate::types::Secret;
use crate::vault::error::VaultError;
use crate::vault::recover::Listed;

/// What an adoption left behind.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Adopted {
    /// The last commit of the catalog that was adopted.
    pub commit: u64,
    /// The last commit that the snapshots before held.
    pub before: u64,
    /// Snapshots written: the whole catalog.
    pub snapshots: u64,
}

/// The newest snapshots as the store has them.
struct Newest {
    /// The newest that the store hands out.
    link: Option<Link>,
    /// The newest that authenticates.
    snapshot: Option<Snapshot>,
    /// The last commit that they hold.
    upto: u64,
}

impl Vault {
    /// Begins the chain of a catalog that has none: it must know what the newest snapshot holds.
    pub(super) async fn begin_chain(&self) -> Result<Chain, VaultError> {
        let listed = self.list_snapshots().await?;
        let newest = self.newest(&listed).await?;
        let next = listed.next();
        if let Some(snapshot) = &newest.snapshot {
            // Only a catalog that keeps a chain writes snapshots that have one.
            let later = snapshot.back.is_some();
            if later || self.catalog.change_seq().await? < newest.upto {
                return Err(ChainFault::Older {
                    number: snapshot.number,
                }
                .into());
            }
            if !self.holds(snapshot).await? {
                return Err(ChainFault::Forked {
                    number: snapshot.number,
                }
                .into());
            }
        }
        let chain = Chain {
            lineage: self.lineage()?,
            head: newest.link,
            next,
            // Older changes that it has still are written once more.
            upto: 0,
            ..Chain::default()
        };
        self.catalog.keep_chain(&chain).await?;
        Ok(chain)
    }

    pub(in crate::vault) fn lineage(&self) -> Result<[u8; 32], VaultError> {
        Ok(*Secret::random(self.entropy.as_ref())?.expose())
    }

    /// Whether the catalog's changes are those of a snapshot, as far as it has them still.
    async fn holds(&self, snapshot: &Snapshot) -> Result<bool, VaultError> {
        let Body::Changes(theirs) = &snapshot.body else {
            return Ok(true);
        };
        for (seq, change) in theirs {
            let after = seq.saturating_sub(1);
            let own = self.catalog.changes(after, 0).await?;
            let own = own.first().filter(|(number, _)| number == seq);
            if own.is_some_and(|(_, own)| own != change) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn newest(&self, listed: &Listed) -> Result<Newest, VaultError> {
        let mut newest = Newest {
            link: None,
            snapshot: None,
            upto: 0,
        };
        for (number, bytes) in listed.found.iter().rev() {
            let read = self.read_snapshot(*number, *bytes).await?;
            newest.link = newest.link.or(read.link);
            let Some(snapshot) = read.snapshot else {
                continue;
            };
            newest.upto = newest.upto.max(snapshot.upto().unwrap_or(0));
            newest.snapshot.get_or_insert(snapshot);
            // A page that is not the last, or a claim, says nothing of commits.
            if newest.upto > 0 {
                break;
            }
        }
        Ok(newest)
    }

    /// Goes on with the catalog that is there although its snapshots in the store say more: the
    /// whole of it is written as the new end of the chain. What the store has beyond it stays, and
    /// is not swept until somebody accepts the catalog as it is.
    pub async fn adopt(&self) -> Result<Adopted, VaultError> {
        let mut adopted = Adopted::default();
        {
            let mut pending = self.snapshots.turn.lock().await;
            let listed = self.list_snapshots().await?;
            let newest = self.newest(&listed).await?;
            adopted.commit = self.catalog.change_seq().await?;
            adopted.before = newest.upto;
            let known = self.catalog.chain().await?.unwrap_or_default();
            // What was under way may arrive late: its number is left to it.
            let under_way = u64::from(known.attempt.is_some());
            let free = known.next.saturating_add(under_way);
            let chain = Chain {
                lineage: self.lineage()?,
                head: newest.link,
                next: listed.next().max(free),
                upto: known.upto,
                attempt: None,
                bases: listed.bases.max(known.bases),
                base: None,
                floor: known.floor,
                keep_from: known.floor,
                since: known.since,
                unbased: true,
                doubted: Some(self.now()),
            };
            self.catalog.keep_chain(&chain).await?;
            *pending = None;
            // No commit gets the number of one that the snapshots before hold.
            let seq = Mutation::RestoreSeq(newest.upto);
            self.catalog.commit(vec![seq]).await?;
        }
        adopted.snapshots = self.rebase().await?;
        Ok(adopted)
    }

    /// Takes the catalog for what it is, after a recovery that was not whole or an adoption: what
    /// it does not know is swept from now on. False where there was nothing to accept.
    pub async fn accept(&self) -> Result<bool, VaultError> {
        let mut pending = self.snapshots.turn.lock().await;
        // What is under way says that the catalog is in doubt: it ends first.
        let mut chain = self.settled(&mut pending).await?;
        if chain.unbased {
            return Err(ChainFault::Unbased.into());
        }
        let doubted = chain.doubted.take().is_some();
        if doubted {
            self.catalog.keep_chain(&chain).await?;
        }
        Ok(doubted)
    }
}
