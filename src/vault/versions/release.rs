//! What a node needs to open a published version by itself: the root with the key of its index,
//! pieces of the manifest as they are sealed, and sealed bytes of blobs; keys of objects are
//! released in [`super::keys`].

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use sync_wrapper::SyncStream;

use crate::catalog::{ObjectRow, PublicationRow};
use crate::manifest::{Index, Root, SignerKey};
use crate::policy::{Ask, Decision};
use crate::seal::{DataKey, layout, manifest_key_version, open_blob, open_manifest_key};
use crate::store::BlobStream;
use crate::types::{Action, BlobId, ObjectKey, PublicationId, Timestamp, limits};
use crate::vault::access::lease::Lease;
use crate::vault::access::proof::Authorized;
use crate::vault::error::{ErrorKind, VaultError};
use crate::vault::log::record::Recorded;
use crate::vault::{Call, PlainBody, Vault};

pub(in crate::vault) const NO_VERSION: VaultError =
    VaultError::new(ErrorKind::InvalidArgument, "this is no published version");
pub(in crate::vault) const BROKEN: VaultError =
    VaultError::new(ErrorKind::Integrity, "a manifest is damaged");

/// A version as a node begins with it.
pub struct Opening {
    /// The root and its signature.
    pub envelope: Bytes,
    /// The data key of the index.
    pub index_key: DataKey,
    /// The key that it is signed under, for a node that has none pinned.
    pub signer: SignerKey,
    /// Whether nodes of the project may read sealed bytes from the store itself.
    pub straight: bool,
}

/// Objects in order of key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Run {
    /// The first object's key.
    pub from: ObjectKey,
    /// How many objects, at least 1.
    pub count: usize,
}

/// The pages of the versions that are in use, so that a page is found without reading the index.
#[derive(Default)]
pub(in crate::vault) struct Indexes(std::sync::Mutex<Vec<(PublicationId, Arc<Index>)>>);

impl Indexes {
    /// How many are kept; one of ten million files takes some 2 MiB.
    const KEPT: usize = 16;

    fn get(&self, id: &PublicationId) -> Option<Arc<Index>> {
        let kept = self.0.lock().ok()?;
        let found = kept.iter().find(|(known, _)| known == id)?;
        Some(Arc::clone(&found.1))
    }

    fn keep(&self, id: PublicationId, index: Arc<Index>) {
        if let Ok(mut kept) = self.0.lock() {
            if kept.len() >= Self::KEPT {
                kept.remove(0);
            }
            kept.push((id, index));
        }
    }
}

/// The publication that a proof is about.
pub(in crate::vault) fn version(
    proof: &Authorized,
) -> Result<(Arc<PublicationRow>, u32), VaultError> {
    let row = proof.publication().ok_or(NO_VERSION)?;
    Ok((Arc::clone(row), proof.number().ok_or(BROKEN)?))
}

/// The publication whose contents may be handed on. The proof is of a right to know of the dataset;
/// what has ended is read no more.
pub(in crate::vault) fn in_use(
    proof: &Authorized,
    now: Timestamp,
) -> Result<(Arc<PublicationRow>, u32), VaultError> {
    crate::vault::access::barrier::in_use(proof.dataset()?, now)?;
    version(proof)
}

/// That there are runs, and not too many objects in them.
pub(in crate::vault) fn checked(runs: &[Run]) -> Result<(), VaultError> {
    let counts = runs.iter().map(|run| run.count);
    let total = counts.fold(0, usize::saturating_add);
    let sound = runs.iter().all(|run| run.count >= 1) && total <= limits::RELEASE_KEYS_MAX;
    if !sound || runs.is_empty() {
        let reason = "too many objects at once, or none";
        return Err(VaultError::new(ErrorKind::InvalidArgument, reason));
    }
    Ok(())
}

impl Vault {
    /// Begins with a version: its root and the key of its index.
    pub async fn open_version(&self, call: &Call, bucket: &str) -> Result<Opening, VaultError> {
        let proof = self
            .authorize_under(call, bucket, "", Action::ObjectList)
            .await?;
        let intent = Self::intent_of(call, &proof);
        let opened = async {
            let (row, _) = version(&proof)?;
            let issue = row.issue.as_ref().ok_or(BROKEN)?;
            Ok::<_, VaultError>(Opening {
                envelope: issue.envelope.clone(),
                index_key: self.index_key(&row)?,
                signer: self.publisher_key()?,
                straight: self.is_straight(&proof),
            })
        };
        let opening = opened.await;
        self.noted(call, intent, opening).await
    }

    pub(in crate::vault) fn index_key(&self, row: &PublicationRow) -> Result<DataKey, VaultError> {
        let issue = row.issue.as_ref().ok_or(BROKEN)?;
        let version = manifest_key_version(&issue.sealed_key).ok_or(BROKEN)?;
        let dataset = self.keyring.dataset_at(&row.dataset, version)?;
        Ok(open_manifest_key(&dataset, &row.id, &issue.sealed_key)?)
    }

    /// A piece of a version's manifest as it is sealed: the index, or page `number`.
    pub async fn sealed_piece(
        &self,
        call: &Call,
        bucket: &str,
        page: Option<usize>,
    ) -> Result<Bytes, VaultError> {
        let proof = self
            .authorize_under(call, bucket, "", Action::ObjectList)
            .await?;
        let mut intent = Self::intent_of(call, &proof);
        if let (Some(page), Some(number)) = (page, proof.number()) {
            intent.query = Some(format!("version={number} page={page}"));
        }
        let recorded = self.begin(call, intent).await?;
        let piece = async {
            let (row, _) = version(&proof)?;
            let root = self.root(&row)?;
            let (blob, bytes) = match page {
                None => (root.index.blob, root.index.bytes),
                Some(page) => {
                    let index = self.index(&row, &root).await?;
                    let page = index.pages().get(page);
                    let page = page.ok_or(VaultError::new(
                        ErrorKind::InvalidArgument,
                        "the version has no such page",
                    ))?;
                    (page.blob, page.bytes)
                }
            };
            self.fetch(blob, bytes.into()).await
        };
        recorded.settle(piece.await)
    }

    pub(in crate::vault) fn root(&self, row: &PublicationRow) -> Result<Root, VaultError> {
        let issue = row.issue.as_ref().ok_or(BROKEN)?;
        Ok(self.publisher_key()?.open(&issue.envelope)?.0)
    }

    pub(in crate::vault) async fn index(
        &self,
        row: &PublicationRow,
        root: &Root,
    ) -> Result<Arc<Index>, VaultError> {
        if let Some(index) = self.indexes.get(&row.id) {
            return Ok(index);
        }
        let sealed = self.fetch(root.index.blob, root.index.bytes.into()).await?;
        let (_, plain) = open_blob(&self.index_key(row)?, Some(root.index.blob), &sealed)?;
        let index = Arc::new(Index::decode(&plain)?);
        self.indexes.keep(row.id, Arc::clone(&index));
        Ok(index)
    }

    /// A whole sealed blob of this plaintext length, which bounds the memory.
    pub(in crate::vault) async fn fetch(
        &self,
        blob: BlobId,
        plaintext_bytes: u64,
    ) -> Result<Bytes, VaultError> {
        let whole = layout::sealed_bytes(plaintext_bytes);
        let mut stream = self.store.get(blob, 0..whole, whole).await?;
        let mut sealed = bytes::BytesMut::new();
        while let Some(piece) = stream.next().await {
            sealed.extend_from_slice(&piece?);
        }
        Ok(sealed.freeze())
    }

    /// Whether the caller may read an object now.
    pub(in crate::vault) async fn may_read(
        &self,
        call: &Call,
        proof: &Authorized,
        key: &ObjectKey,
    ) -> Result<Decision, VaultError> {
        let principal = call.subject().ok_or(crate::vault::NOBODY)?;
        let project = &proof.bucket().project;
        let subject = self.guard.subject_of(call, project, principal).await?;
        Ok(subject.decide(&Ask {
            project,
            principal,
            dataset: Some(&proof.bucket().dataset),
            key: key.as_str(),
            action: Action::ObjectRead,
            now: self.now(),
            when: proof.circumstances(call),
        }))
    }

    /// The objects of a run up to the first that the caller may not read, and the decision on the
    /// first of them.
    pub(in crate::vault) async fn readable(
        &self,
        call: &Call,
        proof: &Authorized,
        row: &PublicationRow,
        run: &Run,
    ) -> Result<(Vec<ObjectRow>, Option<Decision>), VaultError> {
        let principal = call.subject().ok_or(crate::vault::NOBODY)?;
        let subject = self
            .guard
            .subject_of(call, &proof.bucket().project, principal)
            .await?;
        let now = self.now();
        let decide = |key: &ObjectKey| {
            subject.decide(&Ask {
                project: &proof.bucket().project,
                principal,
                dataset: Some(&proof.bucket().dataset),
                key: key.as_str(),
                action: Action::ObjectRead,
                now,
                when: proof.circumstances(call),
            })
        };
        let first = decide(&run.from);
        if !first.allowed {
            return Ok((Vec::new(), Some(first)));
        }
        self.guard.used(&first, now);
        let mut objects = if run.count == 1 {
            let found = self.catalog.frozen(&row.id, &run.from).await?;
            found.into_iter().collect()
        } else {
            let from = run.from.as_str();
            self.catalog.frozen_from(&row.id, from, run.count).await?
        };
        if objects.first().is_none_or(|object| object.key != run.from) {
            return Ok((Vec::new(), Some(first)));
        }
        // Of one grant for all, so that the record's decision holds for each.
        let same = |key: &ObjectKey| {
            let decision = decide(key);
            decision.allowed && decision.grant == first.grant && decision.rule == first.rule
        };
        let fit = objects
            .iter()
            .take_while(|object| same(&object.key))
            .count();
        objects.truncate(fit.max(1));
        Ok((objects, Some(first)))
    }

    /// Sealed bytes of one of an object's blobs: `sealed` is a range of the blob as it is stored.
    pub async fn read_sealed(
        &self,
        call: &Call,
        bucket: &str,
        key: &str,
        (blob, sealed): (BlobId, std::ops::Range<u64>),
    ) -> Result<PlainBody, VaultError> {
        let proof = self
            .authorize(call, bucket, Some(key), Action::ObjectRead)
            .await?;
        let mut intent = Self::intent_of(call, &proof);
        let planned = async {
            version(&proof)?;
            let seen = self.look(&proof, &crate::vault::ReadAsk::default()).await?;
            let table = self.open_released(&seen.row)?;
            let whole = table.extents().iter().find(|extent| extent.blob == blob);
            let whole = whole.map(|extent| layout::sealed_bytes(extent.blob_plaintext_bytes));
            let whole = whole.filter(|whole| sealed.start < sealed.end && sealed.end <= *whole);
            let whole = whole.ok_or(VaultError::new(
                ErrorKind::InvalidRange,
                "the object has no such sealed bytes",
            ))?;
            Ok::<_, VaultError>((seen.row, whole))
        };
        let (row, whole) = match planned.await {
            Ok(planned) => planned,
            Err(error) => return Err(self.turn_away(call, intent, error).await),
        };
        intent.object.version = Some(row.version);
        let number = proof.number().unwrap_or_default();
        let (start, end) = (sealed.start, sealed.end);
        intent.query = Some(format!("version={number} blob={blob} sealed={start}-{end}"));
        let (recorded, stream) = tokio::join!(
            self.begin(call, intent),
            self.store.get(blob, sealed, whole)
        );
        let mut recorded = recorded?;
        recorded.object_bytes(row.bytes);
        match stream {
            Ok(stream) => {
                let bytes = end.saturating_sub(start);
                Ok(sealed_body((stream, bytes), proof.lease(), recorded))
            }
            Err(error) => {
                let error = error.into();
                recorded.fail(&error);
                Err(error)
            }
        }
    }

    /// Whether the caller may go on with a version, or its part under a prefix, and with what is
    /// open of it; those objects of `open` that may not be read any more. That the version may not
    /// is an error.
    pub async fn renew(
        &self,
        call: &Call,
        (bucket, prefix): (&str, &str),
        open: &[ObjectKey],
    ) -> Result<Vec<ObjectKey>, VaultError> {
        let proof = self
            .authorize_under(call, bucket, prefix, Action::ObjectList)
            .await?;
        let mut intent = Self::intent_of(call, &proof);
        let judged = async {
            let (_, number) = version(&proof)?;
            intent.query = Some(format!("version={number} open={}", open.len()));
            let mut refused = Vec::new();
            for key in open.iter().take(limits::RELEASE_KEYS_MAX) {
                if !self.may_read(call, &proof, key).await?.allowed {
                    refused.push(key.clone());
                }
            }
            Ok(refused)
        };
        let refused = judged.await;
        self.noted(call, intent, refused).await
    }
}

/// Sealed bytes on their way to a node; the right is judged again as they go. The record is closed
/// with the last of them: what sends them asks no further.
fn sealed_body((stream, bytes): (BlobStream, u64), lease: Lease, recorded: Recorded) -> PlainBody {
    let state = (stream, bytes, lease, Some(recorded));
    let body = stream::unfold(
        state,
        |(mut stream, left, mut lease, recorded)| async move {
            let mut recorded = recorded?;
            if let Err(error) = lease.check().await {
                recorded.cut(&error);
                return Some((Err(error), (stream, left, lease, None)));
            }
            match stream.next().await {
                Some(Ok(piece)) => {
                    let count = u64::try_from(piece.len()).unwrap_or(u64::MAX);
                    recorded.count(count);
                    let left = left.saturating_sub(count);
                    let recorded = if left == 0 {
                        recorded.succeed();
                        None
                    } else {
                        Some(recorded)
                    };
                    Some((Ok(piece), (stream, left, lease, recorded)))
                }
                Some(Err(error)) => {
                    let error = VaultError::from(error);
                    recorded.fail(&error);
                    Some((Err(error), (stream, left, lease, None)))
                }
                // Before all of it came: the record says that it was cut.
                None => None,
            }
        },
    );
    Box::pin(SyncStream::new(Box::pin(body)))
}
