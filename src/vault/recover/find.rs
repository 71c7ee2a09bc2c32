//! Finding snapshots: their names are computed and looked up in the listing.

use std::collections::{HashMap, HashSet};

use super::Vault;
use crate::types::{BlobId, Timestamp, limits};
use crate::vault::error::{ErrorKind, VaultError};
use crate::vault::snapshot::{Body, POINTERS};

/// How many names are computed before others have their turn.
const TURN: u64 = 1_000;

/// What the store lists.
pub(in crate::vault) struct Listed {
    /// Every blob, its length, and when the store says that it was written.
    pub(super) names: HashMap<BlobId, (u64, Timestamp)>,
    /// Number and length of each snapshot, in order.
    pub(in crate::vault) found: Vec<(u64, u64)>,
    /// How many pointers to bases there ever were.
    pub(in crate::vault) bases: u64,
    /// Where the newest bases begin, the newest first.
    pub(super) begins: Vec<u64>,
    /// How long the listing took: what was written meanwhile may be in it.
    pub(super) took_ms: u64,
}

impl Listed {
    /// The number of the next snapshot.
    pub(in crate::vault) fn next(&self) -> u64 {
        let last = self.found.last().map(|(number, _)| *number);
        last.map_or(0, |number| number.saturating_add(1))
    }
}

impl Vault {
    /// Lists the store and finds the snapshots in it.
    pub(in crate::vault) async fn list_snapshots(&self) -> Result<Listed, VaultError> {
        let begun = self.now();
        let names = self.list_store().await?;
        let mut listed = Listed {
            took_ms: self.now().since(begun),
            names,
            found: Vec::new(),
            bases: 0,
            begins: Vec::new(),
        };
        self.find_pointers(&mut listed).await?;
        // The base before the newest is kept, too: where the newest is damaged, it begins there.
        let from = listed.begins.iter().min().copied().unwrap_or(0);
        self.find_snapshots(&mut listed, from, limits::SNAPSHOT_GAP)
            .await;
        Ok(listed)
    }

    async fn list_store(&self) -> Result<HashMap<BlobId, (u64, Timestamp)>, VaultError> {
        // Whether they are foreign or the vault's own, only the whole listing tells.
        const TOO_MANY: VaultError = VaultError::new(
            ErrorKind::InvalidArgument,
            "the store lists more blobs than `catalog.listed_max`: raise it if the vault has so \
             many (64 bytes of memory each), else see who else writes into the store",
        );
        let most = usize::try_from(self.settings.listed_max).unwrap_or(usize::MAX);
        let mut names = HashMap::new();
        let mut after = None;
        loop {
            let page = self.store.list(after, limits::PAGE_ENTRIES_MAX).await?;
            let Some(last) = page.last() else {
                return Ok(names);
            };
            after = Some(last.id);
            let entries = page.iter();
            names.extend(entries.map(|entry| (entry.id, (entry.bytes, entry.modified))));
            if names.len() > most {
                return Err(TOO_MANY);
            }
        }
    }

    async fn find_pointers(&self, listed: &mut Listed) -> Result<(), VaultError> {
        let mut pointers = Vec::new();
        let mut count = 0;
        while count < listed.bases.saturating_add(limits::SNAPSHOT_POINTER_GAP) {
            let number = POINTERS.saturating_add(count);
            count = count.saturating_add(1);
            if let Some((bytes, _)) = listed.names.get(&self.keyring.snapshot_blob_id(number)) {
                pointers.push((number, *bytes));
                listed.bases = count;
            }
        }
        for (number, bytes) in pointers.iter().rev() {
            let read = self.read_snapshot(*number, *bytes).await?;
            if let Some(Body::Pointer { first }) = read.snapshot.map(|snapshot| snapshot.body) {
                listed.begins.push(first);
            }
            if listed.begins.len() == 2 {
                break;
            }
        }
        Ok(())
    }

    /// Looks for snapshots from number `from` on, until `gap` numbers have none; true if it found
    /// any.
    pub(super) async fn find_snapshots(&self, listed: &mut Listed, from: u64, gap: u64) -> bool {
        let before = listed.found.len();
        let mut end = from.saturating_add(gap);
        let mut number = from;
        // Each name has one number at most: none is left where all have theirs.
        while number < end && listed.found.len() < listed.names.len() {
            if let Some((bytes, _)) = listed.names.get(&self.keyring.snapshot_blob_id(number)) {
                listed.found.push((number, *bytes));
                end = number.saturating_add(gap);
            }
            number = number.saturating_add(1);
            if number.is_multiple_of(TURN) {
                tokio::task::yield_now().await;
            }
        }
        listed.found.len() > before
    }

    /// The names of all blobs that are snapshots of this vault, or may become some.
    pub async fn snapshot_names(&self) -> Result<HashSet<BlobId>, VaultError> {
        let Some(chain) = self.catalog.chain().await? else {
            let listed = self.list_snapshots().await?;
            let numbers = 0..listed.next().saturating_add(limits::SNAPSHOT_AHEAD);
            return Ok(self.names_of(numbers, 0..0).await);
        };
        let numbers = chain.floor..chain.next.saturating_add(limits::SNAPSHOT_AHEAD);
        let pointers = chain.bases.saturating_add(limits::SNAPSHOT_POINTER_GAP);
        let pointers = POINTERS..POINTERS.saturating_add(pointers);
        Ok(self.names_of(numbers, pointers).await)
    }

    async fn names_of(
        &self,
        numbers: std::ops::Range<u64>,
        pointers: std::ops::Range<u64>,
    ) -> HashSet<BlobId> {
        let mut names = HashSet::new();
        for number in numbers.chain(pointers) {
            names.insert(self.keyring.snapshot_blob_id(number));
            if number.is_multiple_of(TURN) {
                tokio::task::yield_now().await;
            }
        }
        names
    }
}
