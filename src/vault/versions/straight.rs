//! URLs under which a node reads sealed blobs from the store itself, so that bytes need no gateway.
//!
//! They are given for objects that the caller may read, behind a durable record that names each
//! blob; they read ciphertext alone, and for a minute at most: a grant that ends stops new ones at
//! once and what is out within the time of AZ-2.

use futures_util::future::try_join_all;
use futures_util::{StreamExt as _, stream};

use crate::ledger::Intent;
use crate::seal::Table;
use crate::types::{Action, BlobId, ObjectKey, limits};
use crate::vault::access::proof::{Authorized, policy_ref};
use crate::vault::error::{ErrorKind, VaultError};
use crate::vault::versions::release::{Run, in_use, version};
use crate::vault::{Call, Vault};

/// Blobs of one object that are to be read from the store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StraightAsk {
    /// The object.
    pub key: ObjectKey,
    /// Its blobs, at least one and at most [`limits::STRAIGHT_BLOBS_MAX`].
    pub blobs: Vec<BlobId>,
}

/// A URL of a blob.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Presigned {
    /// The blob.
    pub blob: BlobId,
    /// Where the store gives it, for [`limits::STRAIGHT_SECONDS`].
    pub url: String,
}

/// What came of one object's URLs, before it is recorded.
struct Signed {
    intent: Intent,
    given: Result<Vec<Presigned>, VaultError>,
    /// Bytes of the part table that was read for it.
    looked: u64,
}

const NOT_SERVED: VaultError = VaultError::new(
    ErrorKind::InvalidState,
    "the project's nodes do not read from the store",
);

impl Vault {
    /// Whether nodes may read a version's sealed bytes from the store itself.
    pub(in crate::vault) fn is_straight(&self, proof: &Authorized) -> bool {
        self.settings.straight.contains(&proof.bucket().project)
    }

    /// Gives URLs of objects' blobs. An object that the caller may not read, or that has no such
    /// blob, is a refusal, which is recorded, and leaves the others.
    pub async fn presign(
        &self,
        call: &Call,
        bucket: &str,
        asks: Vec<StraightAsk>,
    ) -> Result<Vec<Presigned>, VaultError> {
        let proof = self
            .authorize(call, bucket, None, Action::DatasetHead)
            .await?;
        let planned = in_use(&proof, self.now()).and_then(|_| {
            let fits =
                |ask: &StraightAsk| (1..=limits::STRAIGHT_BLOBS_MAX).contains(&ask.blobs.len());
            let total: usize = asks.iter().map(|ask| ask.blobs.len()).sum();
            let sound = !asks.is_empty() && total <= limits::RELEASE_KEYS_MAX;
            if !sound || !asks.iter().all(fits) {
                let reason = "too many blobs at once, or none";
                return Err(VaultError::new(ErrorKind::InvalidArgument, reason));
            }
            if self.is_straight(&proof) {
                Ok(())
            } else {
                Err(NOT_SERVED)
            }
        });
        if let Err(error) = planned {
            let intent = Self::intent_of(call, &proof);
            return Err(self.turn_away(call, intent, error).await);
        }
        let asks = asks.iter().enumerate();
        let asks = asks.map(|(at, ask)| self.presign_one(call, &proof, at, ask));
        let asks: Vec<_> = asks.collect();
        // A few at a time: each opens a table, which may be long.
        let mut asks = stream::iter(asks).buffered(limits::LOOKED_AT_ONCE);
        let (mut all, mut looked) = (Vec::new(), 0_u64);
        while let Some(signed) = asks.next().await {
            let signed = signed?;
            looked = looked.saturating_add(signed.looked);
            all.push(signed);
            if looked > limits::LOOKED_TABLES_BYTES_MAX {
                break;
            }
        }
        let noted = all.into_iter().map(|signed| async move {
            let given = signed.given.as_ref().map(drop);
            self.note(call, signed.intent, given).await?;
            Ok::<_, VaultError>(signed.given.unwrap_or_default())
        });
        Ok(try_join_all(noted).await?.into_iter().flatten().collect())
    }

    async fn presign_one(
        &self,
        call: &Call,
        proof: &Authorized,
        at: usize,
        ask: &StraightAsk,
    ) -> Result<Signed, VaultError> {
        let (row, number) = version(proof)?;
        let mut intent = Self::intent_of(call, proof);
        intent.action = Some(Action::ObjectRead);
        // Each record is a request of its own; the first is the one that the answer names.
        if at > 0 {
            intent.event = self.new_event()?;
        }
        intent.object.key = Some(ask.key.clone());
        let names: Vec<String> = ask.blobs.iter().map(ToString::to_string).collect();
        let (seconds, names) = (limits::STRAIGHT_SECONDS, names.join(","));
        intent.query = Some(format!(
            "version={number} straight={seconds}s blobs={names}"
        ));
        let one = Run {
            from: ask.key.clone(),
            count: 1,
        };
        let (objects, decision) = self.readable(call, proof, &row, &one).await?;
        intent.policy = decision.as_ref().map(policy_ref);
        let given = match objects.first() {
            None if decision.is_some_and(|decision| !decision.allowed) => Err(VaultError::new(
                ErrorKind::AccessDenied,
                "no rule allows it",
            )),
            None => Err(VaultError::new(ErrorKind::NoSuchObject, "no such object")),
            Some(object) => {
                intent.object.version = Some(object.version);
                let table = self.open_released(object);
                table.and_then(|table| self.urls(&table, &ask.blobs))
            }
        };
        let tables = objects.iter().map(|object| object.sealed_table.len());
        Ok(Signed {
            intent,
            given,
            looked: u64::try_from(tables.sum::<usize>()).unwrap_or(u64::MAX),
        })
    }

    /// URLs of an object's blobs, all that are asked for or none.
    fn urls(&self, table: &Table, blobs: &[BlobId]) -> Result<Vec<Presigned>, VaultError> {
        let url = |blob: &BlobId| {
            let mut extents = table.extents().iter();
            extents.find(|extent| extent.blob == *blob)?;
            let url = self.store.presign(*blob, limits::STRAIGHT_SECONDS)?;
            Some(Presigned { blob: *blob, url })
        };
        let urls: Option<Vec<Presigned>> = blobs.iter().map(url).collect();
        let reason = "the object has no such blob, or the store gives no URLs";
        urls.ok_or_else(|| VaultError::new(ErrorKind::InvalidArgument, reason))
    }
}
