//! Sealed bytes of many small objects in one answer: files of a directory, or of a job's order,
//! cost one round trip together instead of one each.
//!
//! Nothing is stored differently for it: the gateway fetches the objects' own blobs side by side
//! and sends them in the order that was asked for. Each run of objects has a record, durable
//! before its first byte, as every read has.

use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::future::try_join_all;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, stream};
use sync_wrapper::SyncStream;

use crate::catalog::PublicationRow;
use crate::ledger::{Handed, Intent, run_words};
use crate::seal::layout;
use crate::store::{SharedStore, StoreError};
use crate::types::{Action, BlobId, Clock, ObjectKey, Timestamp, limits};
use crate::vault::access::guard::{Authorized, Lease, policy_ref};
use crate::vault::error::{ErrorKind, VaultError};
use crate::vault::log::record::Recorded;
use crate::vault::versions::release::{Run, checked, in_use};
use crate::vault::{Call, PlainBody, Vault};

/// How long one answer may take, in ms: its right is not judged again for each object.
const ANSWER_MS_MAX: u64 = 20_000;
/// Blobs that are fetched at once for one answer, and their bytes.
const AT_ONCE: usize = 32;
const AT_ONCE_BYTES: u64 = 4 * 1024 * 1024;

/// One small object on its way.
struct Item {
    run: usize,
    key: ObjectKey,
    blob: BlobId,
    /// Sealed bytes of the blob.
    whole: u64,
}

/// A run that was decided on.
struct Planned {
    intent: Intent,
    items: Vec<Item>,
    error: Option<VaultError>,
}

/// An answer that is being sent.
struct Sending {
    fetched: BoxStream<'static, (Item, Result<Bytes, StoreError>)>,
    records: Vec<(Recorded, Option<VaultError>)>,
    lease: Lease,
    clock: Arc<dyn Clock>,
    until: Timestamp,
}

impl Vault {
    /// Sends the sealed blobs of runs of objects, in order, each as: the key's length in 2 bytes,
    /// the key, the blob's length in 4, the blob; numbers big-endian. What is larger than
    /// [`limits::PACK_OBJECT_BYTES_MAX`], what the caller may not read, what the store does not
    /// give, and what goes beyond [`limits::PACK_BYTES_MAX`] is left out.
    pub async fn read_pack(
        &self,
        call: &Call,
        bucket: &str,
        runs: Vec<Run>,
    ) -> Result<PlainBody, VaultError> {
        let proof = self
            .authorize(call, bucket, None, Action::DatasetHead)
            .await?;
        let planned = in_use(&proof, self.now()).and_then(|found| checked(&runs).map(|()| found));
        let (row, number) = match planned {
            Ok(planned) => planned,
            Err(error) => {
                let intent = Self::intent_of(call, &proof);
                return Err(self.turn_away(call, intent, error).await);
            }
        };
        let plans = runs.iter().enumerate();
        let plans = plans.map(|(at, run)| self.plan_run(call, &proof, (&row, number), (at, run)));
        let mut plans = try_join_all(plans).await?;
        limit(&mut plans, number);
        let mut items = Vec::new();
        let mut begun = Vec::new();
        for plan in plans {
            if let Some(error) = plan.error {
                self.note(call, plan.intent, Err(&error)).await?;
            } else if !plan.items.is_empty() {
                let run = begun.len();
                items.extend(plan.items.into_iter().map(|item| Item { run, ..item }));
                begun.push(self.begin(call, plan.intent));
            }
        }
        let recorded = try_join_all(begun).await?;
        if recorded.is_empty() && !call.is_recorded() {
            self.note(call, Self::intent_of(call, &proof), Ok(()))
                .await?;
        }
        let now = self.clock.now().millis();
        let sending = Sending {
            fetched: fetched(Arc::clone(&self.store), items),
            records: recorded.into_iter().map(|one| (one, None)).collect(),
            lease: proof.lease(),
            clock: Arc::clone(&self.clock),
            until: Timestamp::from_millis(now.saturating_add(ANSWER_MS_MAX)),
        };
        let body = stream::unfold(Some(sending), |sending| async { sending?.advance().await });
        Ok(Box::pin(SyncStream::new(Box::pin(body))))
    }

    async fn plan_run(
        &self,
        call: &Call,
        proof: &Authorized,
        (row, number): (&PublicationRow, u32),
        (at, run): (usize, &Run),
    ) -> Result<Planned, VaultError> {
        let mut intent = Self::intent_of(call, proof);
        intent.action = Some(Action::ObjectRead);
        // Each record is a request of its own; the first is the one that the answer names.
        if at > 0 {
            intent.event = self.new_event()?;
        }
        intent.object.key = Some(run.from.clone());
        intent.query = Some(format!("version={number} packed"));
        let (objects, decision) = self.readable(call, proof, row, run).await?;
        intent.policy = decision.as_ref().map(policy_ref);
        let error = match (objects.first(), decision) {
            (Some(_), _) => None,
            (None, Some(decision)) if !decision.allowed => Some(VaultError::new(
                ErrorKind::AccessDenied,
                "no rule allows it",
            )),
            (None, _) => Some(VaultError::new(ErrorKind::NoSuchObject, "no such object")),
        };
        let mut items = Vec::new();
        for object in &objects {
            let table = self.open_object(object)?;
            let [extent] = table.extents() else { continue };
            // The rest of a blob that was cut is another object's.
            if !table.is_of_whole_blobs() {
                continue;
            }
            let whole = layout::sealed_bytes(extent.blob_plaintext_bytes);
            if extent.blob_plaintext_bytes <= limits::PACK_OBJECT_BYTES_MAX {
                items.push(Item {
                    run: at,
                    key: object.key.clone(),
                    blob: extent.blob,
                    whole,
                });
            }
        }
        Ok(Planned {
            intent,
            items,
            error,
        })
    }
}

/// Leaves out what goes beyond the bound, and says in each record what is sent under it.
fn limit(plans: &mut [Planned], number: u32) {
    let mut left = limits::PACK_BYTES_MAX;
    for plan in plans {
        let fit = plan.items.iter().take_while(|item| {
            let fits = item.whole <= left;
            left = if fits {
                left.saturating_sub(item.whole)
            } else {
                0
            };
            fits
        });
        let fit = fit.count();
        plan.items.truncate(fit);
        if let Some(last) = plan.items.last() {
            let words = run_words(number, Handed::Packed, plan.items.len(), &last.key);
            plan.intent.query = Some(words);
        }
    }
}

/// Fetches blobs side by side; they come in order.
fn fetched(
    store: SharedStore,
    items: Vec<Item>,
) -> BoxStream<'static, (Item, Result<Bytes, StoreError>)> {
    let total: u64 = items.iter().map(|item| item.whole).sum();
    let count = u64::try_from(items.len()).unwrap_or(u64::MAX);
    let mean = total.checked_div(count).unwrap_or_default().max(1);
    let fit = AT_ONCE_BYTES.checked_div(mean).unwrap_or_default();
    let at_once = usize::try_from(fit).unwrap_or(AT_ONCE).clamp(2, AT_ONCE);
    let fetch = move |item: Item| {
        let store = Arc::clone(&store);
        async move {
            let sealed = whole(&store, &item).await;
            (item, sealed)
        }
    };
    stream::iter(items).map(fetch).buffered(at_once).boxed()
}

async fn whole(store: &SharedStore, item: &Item) -> Result<Bytes, StoreError> {
    let mut stream = store.get(item.blob, 0..item.whole, item.whole).await?;
    let mut sealed = BytesMut::new();
    while let Some(piece) = stream.next().await {
        sealed.extend_from_slice(&piece?);
    }
    Ok(sealed.freeze())
}

impl Sending {
    /// The next piece and the rest; at the end every record is closed.
    async fn advance(mut self) -> Option<(Result<Bytes, VaultError>, Option<Self>)> {
        const LATE: VaultError =
            VaultError::new(ErrorKind::Unavailable, "the answer takes too long");
        while let Some((item, sealed)) = self.fetched.next().await {
            let held = if self.clock.now() > self.until {
                Err(LATE)
            } else {
                self.lease.check().await
            };
            if let Err(error) = held {
                for (recorded, _) in self.records {
                    recorded.cut(&error);
                }
                return Some((Err(error), None));
            }
            let Some((recorded, failed)) = self.records.get_mut(item.run) else {
                continue;
            };
            match sealed {
                Ok(sealed) => {
                    recorded.count(item.whole);
                    return Some((Ok(framed(&item.key, &sealed)), Some(self)));
                }
                Err(error) => *failed = Some(error.into()),
            }
        }
        for (recorded, failed) in self.records {
            match failed {
                Some(error) => recorded.fail(&error),
                None => recorded.succeed(),
            }
        }
        None
    }
}

fn framed(key: &ObjectKey, sealed: &[u8]) -> Bytes {
    let key = key.as_str().as_bytes();
    let mut frame =
        BytesMut::with_capacity(sealed.len().saturating_add(key.len()).saturating_add(6));
    // A key has at most 1,024 bytes, a sealed blob here little more than a MiB.
    frame.put_u16(u16::try_from(key.len()).unwrap_or(u16::MAX));
    frame.extend_from_slice(key);
    frame.put_u32(u32::try_from(sealed.len()).unwrap_or(u32::MAX));
    frame.extend_from_slice(sealed);
    frame.freeze()
}
