//! A body on its way in: cut into segments, summed, sealed, and handed to the store as blobs.
//!
//! **The last segment of the last blob is withheld until length and checksums agree**, so that a
//! body that turns out wrong never becomes a whole blob in the store.

use std::sync::{Arc, Mutex};

use bytes::{Buf as _, Bytes, BytesMut};
use futures_util::{StreamExt as _, stream};

use crate::seal::{BlobKind, DataKey, Description, Extent, Sealer, Suite, Table, layout};
use crate::store::{BlobBody, BodyAborted};
use crate::types::{BlobId, Checksums, DatasetId, VersionId, limits};
use crate::vault::access::lease::Lease;
use crate::vault::ask::{BodyError, Input, InputBody};
use crate::vault::error::{ErrorKind, VaultError};
use crate::vault::objects::checksum::Checksummer;
use crate::vault::sweep::Flight;
use crate::vault::{AtEnd, Vault};

/// What a body became.
pub(in crate::vault) struct Taken {
    /// Its blobs, with their keys.
    pub(in crate::vault) table: Table,
    /// Their names, all fresh, and in flight until this is dropped.
    pub(in crate::vault) flight: Flight,
    /// Its checksums.
    pub(in crate::vault) checksums: Checksums,
}

/// Whose blobs they are.
#[derive(Clone, Copy)]
pub(in crate::vault) struct Owner {
    pub(in crate::vault) dataset: DatasetId,
    pub(in crate::vault) version: VersionId,
    pub(in crate::vault) kind: BlobKind,
}

impl Vault {
    /// Takes a body in: reads, checks, seals, stores. On an error nothing of it stays behind but
    /// what the sweeper will find.
    pub(in crate::vault) async fn take_in(
        &self,
        owner: Owner,
        lease: Lease,
        input: Input,
    ) -> Result<Taken, VaultError> {
        let total = input.bytes;
        let mut flight = Flight::new(Arc::clone(&self.in_flight));
        let mut intake = Intake::new(input, lease);
        if total == 0 {
            let checksums = intake.finish().await?;
            return Ok(Taken {
                table: Table::new(Vec::new())?,
                flight,
                checksums,
            });
        }
        let mut extents = Vec::new();
        let mut start = 0;
        while start < total {
            let bytes = (total - start).min(limits::BLOB_PLAINTEXT_BYTES_MAX);
            let last = start + bytes == total;
            let index = u32::try_from(extents.len()).unwrap_or(u32::MAX);
            let blob = BlobId::random(self.entropy.as_ref())?;
            flight.add(blob);
            let put = self
                .put_blob(
                    Blob {
                        id: blob,
                        owner,
                        index,
                        bytes,
                        last,
                    },
                    intake,
                )
                .await;
            match put {
                Ok((extent, back)) => {
                    extents.push(extent);
                    intake = back;
                }
                Err(error) => {
                    self.drop_blobs(&flight.blobs).await;
                    return Err(error);
                }
            }
            start += bytes;
        }
        let checksums = match intake.into_checksums() {
            Ok(checksums) => checksums,
            Err(error) => {
                self.drop_blobs(&flight.blobs).await;
                return Err(error);
            }
        };
        Ok(Taken {
            table: Table::new(extents)?,
            flight,
            checksums,
        })
    }

    async fn put_blob(&self, blob: Blob, intake: Intake) -> Result<(Extent, Intake), VaultError> {
        let key = DataKey::random(self.entropy.as_ref())?;
        let description = Description {
            kind: blob.owner.kind,
            dataset: blob.owner.dataset,
            owner: blob.owner.version,
            index: blob.index,
            plaintext_bytes: blob.bytes,
            created: self.now(),
        };
        let suite = Suite::Aes256Gcm;
        let (sealer, header) = Sealer::new(suite, blob.id, &key, &description)?;
        let sealed_bytes = layout::sealed_bytes(blob.bytes);
        let back = Arc::new(Mutex::new(None));
        let body = sealing(Sealing {
            intake: Some(intake),
            sealer,
            next: Some(header),
            left: blob.bytes,
            last: blob.last,
            fault: None,
            back: Arc::clone(&back),
        });
        let stored = self.store.put(blob.id, sealed_bytes, body).await;
        let returned = back.lock().ok().and_then(|mut back| back.take());
        match (returned, stored) {
            (Some((_, Some(fault))), _) => Err(fault),
            (_, Err(error)) => Err(error.into()),
            (Some((intake, None)), Ok(())) if intake.at == blob.bytes => {
                let extent = Extent {
                    blob: blob.id,
                    key,
                    suite,
                    blob_plaintext_bytes: blob.bytes,
                    owner: blob.owner.version,
                    index: blob.index,
                    start: 0,
                    len: blob.bytes,
                };
                Ok((extent, Intake { at: 0, ..intake }))
            }
            (_, Ok(())) => Err(VaultError::new(
                ErrorKind::Unavailable,
                "the store took less than it was sent",
            )),
        }
    }

    /// Deletes blobs that nothing will refer to; what fails is left to the sweeper.
    pub(in crate::vault) async fn drop_blobs(&self, blobs: &[BlobId]) {
        for blob in blobs {
            if let Err(error) = self.store.delete(*blob).await {
                tracing::debug!(%blob, %error, "an orphan is left to the sweeper");
            }
        }
    }
}

struct Blob {
    id: BlobId,
    owner: Owner,
    index: u32,
    bytes: u64,
    last: bool,
}

/// A body being read.
struct Intake {
    body: InputBody,
    /// The right to write, judged again while a slow body comes in.
    lease: Lease,
    pending: Bytes,
    /// Plaintext bytes of the current blob taken so far.
    at: u64,
    sums: Option<Checksummer>,
    at_end: Option<AtEnd>,
    checksums: Option<Checksums>,
}

impl Intake {
    fn new(input: Input, lease: Lease) -> Self {
        let checks = input.checks;
        Self {
            body: input.body,
            lease,
            pending: Bytes::new(),
            at: 0,
            sums: Some(Checksummer::new(
                checks.expected,
                &checks.compute,
                checks.md5,
            )),
            at_end: checks.at_end,
            checksums: None,
        }
    }

    /// The next `bytes` bytes of plaintext.
    async fn segment(&mut self, bytes: usize) -> Result<BytesMut, VaultError> {
        self.lease.check().await?;
        let mut segment = BytesMut::with_capacity(bytes);
        while segment.len() < bytes {
            if self.pending.is_empty() {
                match self.body.next().await {
                    Some(piece) => self.pending = piece.map_err(of_body)?,
                    None => return Err(of_body(BodyError::Short)),
                }
                continue;
            }
            let take = self.pending.len().min(bytes - segment.len());
            segment.extend_from_slice(self.pending.get(..take).unwrap_or_default());
            self.pending.advance(take);
        }
        if let Some(sums) = &mut self.sums {
            sums.update(&segment);
        }
        self.at = self
            .at
            .saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        Ok(segment)
    }

    /// Sees that the body ends here and is what its checksums say.
    async fn finish(&mut self) -> Result<Checksums, VaultError> {
        if !self.pending.is_empty() {
            return Err(of_body(BodyError::Framing));
        }
        while let Some(piece) = self.body.next().await {
            if !piece.map_err(of_body)?.is_empty() {
                return Err(of_body(BodyError::Framing));
            }
        }
        let trailing = match self.at_end.take() {
            Some(at_end) => at_end().map_err(of_body)?,
            None => Vec::new(),
        };
        let sums = self.sums.take().ok_or(VaultError::new(
            ErrorKind::Internal,
            "a body was finished twice",
        ))?;
        let checksums = sums.finish(&trailing)?;
        self.checksums = Some(checksums.clone());
        Ok(checksums)
    }

    fn into_checksums(self) -> Result<Checksums, VaultError> {
        self.checksums.ok_or(VaultError::new(
            ErrorKind::Internal,
            "a body was not finished",
        ))
    }
}

fn of_body(error: BodyError) -> VaultError {
    let kind = match error {
        BodyError::Short | BodyError::Framing => ErrorKind::IncompleteBody,
        BodyError::Signature => ErrorKind::BodySignature,
        BodyError::PayloadHash => ErrorKind::BadDigest,
        BodyError::Stalled => ErrorKind::BodyTimeout,
    };
    VaultError::caused(kind, "the body cannot be taken", error)
}

type Back = Arc<Mutex<Option<(Intake, Option<VaultError>)>>>;

/// One blob on its way to the store; gives the intake back when it is dropped.
struct Sealing {
    intake: Option<Intake>,
    sealer: Sealer,
    /// What comes before the next segment: the header, or the tag of the one before.
    next: Option<Bytes>,
    left: u64,
    last: bool,
    fault: Option<VaultError>,
    back: Back,
}

impl Sealing {
    async fn next(&mut self) -> Result<Option<Bytes>, VaultError> {
        if let Some(next) = self.next.take() {
            return Ok(Some(next));
        }
        if self.left == 0 {
            return Ok(None);
        }
        let Some(intake) = &mut self.intake else {
            return Ok(None);
        };
        let bytes = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(limits::SEGMENT_BYTES);
        let mut segment = intake.segment(bytes).await?;
        self.left = self
            .left
            .saturating_sub(u64::try_from(bytes).unwrap_or(u64::MAX));
        if self.left == 0 && self.last {
            intake.finish().await?;
        }
        let tag = self.sealer.seal_apart(&mut segment)?;
        self.next = Some(Bytes::copy_from_slice(&tag));
        Ok(Some(segment.freeze()))
    }
}

impl Drop for Sealing {
    fn drop(&mut self) {
        if let (Some(intake), Ok(mut back)) = (self.intake.take(), self.back.lock()) {
            *back = Some((intake, self.fault.take()));
        }
    }
}

fn sealing(sealing: Sealing) -> BlobBody {
    Box::pin(stream::unfold(sealing, |mut sealing| async move {
        if sealing.fault.is_some() {
            return None;
        }
        match sealing.next().await {
            Ok(Some(bytes)) => Some((Ok(bytes), sealing)),
            Ok(None) => None,
            Err(fault) => {
                sealing.fault = Some(fault);
                Some((Err(BodyAborted), sealing))
            }
        }
    }))
}
