//! Sealed bytes of many small objects in one answer: files of a directory, or of a job's order,
//! cost one round trip together instead of one each.
//!
//! Nothing is stored differently for it: the gateway fetches the objects' own blobs side by side
//! and sends them in the order that was asked for. Each run of objects has a record, durable
//! before its first byte, as every read has.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::future::try_join_all;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, stream};

use crate::catalog::PublicationRow;
use crate::ledger::{Handed, Intent, run_words};
use crate::seal::{layout, sealed_table_bytes};
use crate::store::{SharedStore, StoreError};
use crate::types::{Action, BlobId, ObjectKey, limits};
use crate::vault::access::lease::Lease;
use crate::vault::access::proof::{Authorized, policy_ref};
use crate::vault::error::{ErrorKind, VaultError};
use crate::vault::log::record::Recorded;
use crate::vault::log::share::answerable;
use crate::vault::versions::ending::{Ending, LATE};
use crate::vault::versions::release::{Run, checked, in_use};
use crate::vault::versions::room::{Desk, Taken};
use crate::vault::{Call, PlainBody, Vault};

/// One small object on its way.
struct Item {
    run: usize,
    key: ObjectKey,
    blob: BlobId,
    /// Sealed bytes of the blob.
    whole: u64,
}

impl Item {
    /// How long its frame is.
    fn frame_bytes(&self) -> u64 {
        let key = u64::try_from(self.key.as_str().len()).unwrap_or(u64::MAX);
        self.whole.saturating_add(key).saturating_add(FRAME_BYTES)
    }
}

/// Lengths of a key and of a blob.
const FRAME_BYTES: u64 = 2 + 4;

/// A frame, whose room is taken until the socket has taken it.
struct Frame {
    bytes: BytesMut,
    _room: Taken,
}

impl AsRef<[u8]> for Frame {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Objects as they were fetched, in order.
type Fetched = BoxStream<'static, (Item, Result<Frame, StoreError>)>;

/// A run that was decided on.
struct Planned {
    intent: Intent,
    items: Vec<Item>,
    error: Option<VaultError>,
    /// Bytes of the part tables that were read for it.
    looked: u64,
}

/// An answer that is being sent.
struct Sending {
    fetched: Fetched,
    records: Vec<(Recorded, Option<VaultError>)>,
    lease: Lease,
    /// Its time is over.
    over: Arc<AtomicBool>,
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
        let mut plans = within_bound(plans.collect()).await?;
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
        let desk = self.packed.desk(answerable(&call.session).cloned());
        let over = Arc::new(AtomicBool::new(false));
        let sending = Sending {
            fetched: fetched(Arc::clone(&self.store), desk, items),
            records: recorded.into_iter().map(|one| (one, None)).collect(),
            lease: proof.lease(),
            over: Arc::clone(&over),
        };
        let body = stream::unfold(Some(sending), |sending| async { sending?.advance().await });
        let time = Duration::from_millis(limits::PACK_MS_MAX);
        Ok(Box::pin(Ending::after(time, body.boxed(), over)))
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
        let mut looked = 0_u64;
        for object in &objects {
            let sealed = object.sealed_table.len();
            looked = looked.saturating_add(u64::try_from(sealed).unwrap_or(u64::MAX));
            // An object of more than one piece is not sent: its table needs no opening.
            if sealed > sealed_table_bytes(1) {
                continue;
            }
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
            looked,
        })
    }
}

/// The plans, a few at a time, as far as the tables that they read keep within the bound.
async fn within_bound(
    plans: Vec<impl Future<Output = Result<Planned, VaultError>> + Send>,
) -> Result<Vec<Planned>, VaultError> {
    let mut plans = stream::iter(plans).buffered(limits::LOOKED_AT_ONCE);
    let (mut all, mut looked) = (Vec::new(), 0_u64);
    while let Some(plan) = plans.next().await {
        let plan = plan?;
        looked = looked.saturating_add(plan.looked);
        all.push(plan);
        if looked > limits::LOOKED_TABLES_BYTES_MAX {
            break;
        }
    }
    Ok(all)
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

/// Fetches blobs side by side, each as soon as there is room for it; they come in order.
fn fetched(store: SharedStore, desk: Arc<Desk>, items: Vec<Item>) -> Fetched {
    let total: u64 = items.iter().map(|item| item.whole).sum();
    let count = u64::try_from(items.len()).unwrap_or(u64::MAX);
    let mean = total.checked_div(count).unwrap_or_default().max(1);
    let fit = limits::PACK_AT_ONCE_BYTES
        .checked_div(mean)
        .unwrap_or_default();
    let most = limits::PACK_AT_ONCE;
    let at_once = usize::try_from(fit).unwrap_or(most).clamp(2, most);
    let room = move |item: Item| {
        let desk = Arc::clone(&desk);
        async move {
            let room = desk.take(item.frame_bytes()).await;
            (item, room)
        }
    };
    let fetch = move |(item, room): (Item, Taken)| {
        let store = Arc::clone(&store);
        async move {
            let bytes = framed(&store, &item).await;
            let frame = bytes.map(|bytes| Frame { bytes, _room: room });
            (item, frame)
        }
    };
    let items = stream::iter(items).then(room);
    items.map(fetch).buffered(at_once).boxed()
}

/// The frame of an object: its sealed bytes as the store sends them, behind its key.
async fn framed(store: &SharedStore, item: &Item) -> Result<BytesMut, StoreError> {
    let mut stream = store.get(item.blob, 0..item.whole, item.whole).await?;
    let bytes = usize::try_from(item.frame_bytes()).unwrap_or_default();
    let mut frame = BytesMut::with_capacity(bytes);
    // A key has at most 1,024 bytes, a sealed blob here little more than a MiB.
    let key = item.key.as_str().as_bytes();
    frame.put_u16(u16::try_from(key.len()).unwrap_or(u16::MAX));
    frame.extend_from_slice(key);
    frame.put_u32(u32::try_from(item.whole).unwrap_or(u32::MAX));
    while let Some(piece) = stream.next().await {
        frame.extend_from_slice(&piece?);
    }
    if frame.len() == bytes {
        Ok(frame)
    } else {
        Err(StoreError::Length)
    }
}

impl Sending {
    /// The next piece and the rest; at the end every record is closed.
    async fn advance(mut self) -> Option<(Result<Bytes, VaultError>, Option<Self>)> {
        while let Some((item, frame)) = self.fetched.next().await {
            if let Err(error) = self.lease.check().await {
                self.cut(&error);
                return Some((Err(error), None));
            }
            let Some((recorded, failed)) = self.records.get_mut(item.run) else {
                continue;
            };
            match frame {
                Ok(frame) => {
                    recorded.count(item.whole);
                    return Some((Ok(Bytes::from_owner(frame)), Some(self)));
                }
                Err(error) => *failed = Some(error.into()),
            }
        }
        for (recorded, failed) in self.records.drain(..) {
            match failed {
                Some(error) => recorded.fail(&error),
                None => recorded.succeed(),
            }
        }
        None
    }

    fn cut(&mut self, error: &VaultError) {
        for (recorded, _) in self.records.drain(..) {
            recorded.cut(error);
        }
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        if self.over.load(Ordering::Relaxed) {
            self.cut(&LATE);
        }
    }
}
