//! Completing an upload: its parts become one object, once.

use bytes::Bytes;

use crate::catalog::{Mutation, ObjectRow, Origin, PartRow, UploadRow, attaching};
use crate::seal::{Table, open_table};
use crate::types::{Action, ChecksumKind, Checksums, UploadId, VersionId, limits};
use crate::vault::Vault;
use crate::vault::access::proof::Authorized;
use crate::vault::ask::{Call, Completing, Place};
use crate::vault::error::{ErrorKind, VaultError};
use crate::vault::log::record::Recorded;
use crate::vault::objects::checksum::{combine_crc, composite};
use crate::vault::objects::lock::again;
use crate::vault::objects::upload::{NO_UPLOAD, part_binding};
use crate::vault::objects::write::{Draft, condition, same_tag};

const BAD_PART: VaultError = VaultError::new(
    ErrorKind::InvalidPart,
    "a part is not there, or has another tag",
);

impl Vault {
    /// Turns an upload into an object: all of it at once, or nothing. One that was completed so
    /// before is answered as it was then, as long as its object is the current one.
    pub async fn complete_upload(
        &self,
        call: &Call,
        place: Place<'_>,
        upload: &str,
        completing: Completing,
    ) -> Result<ObjectRow, VaultError> {
        let proof = self
            .authorize(call, place.bucket, Some(place.key), Action::ObjectWrite)
            .await?;
        self.authorize_conditions(call, place, &completing.conditions)
            .await?;
        let version = VersionId::random(self.entropy.as_ref())?;
        let mut intent = Self::intent_of(call, &proof);
        let found = match self.find_upload(call, &proof, upload).await {
            Ok(found) => found,
            Err(error) => {
                let before = self.completed(call, &proof, upload, &completing).await;
                let Ok(Some(row)) = before else {
                    let error = before.err().unwrap_or(error);
                    return Err(self.turn_away(call, intent, error).await);
                };
                intent.object.version = Some(row.version);
                self.note(call, intent, Ok(())).await?;
                return Ok(row);
            }
        };
        intent.object.version = Some(version);
        let mut recorded = self.begin(call, intent).await?;
        let result = async {
            let making = (&proof, version, &mut recorded);
            match self.complete_found(making, &found, &completing).await {
                // Another completion was faster: if it was the same, so is its answer.
                Err(error) if error.kind() == ErrorKind::NoSuchUpload => {
                    let before = self.completed(call, &proof, upload, &completing).await?;
                    before.ok_or(error)
                }
                made => made,
            }
        }
        .await;
        recorded.settle(result)
    }

    async fn complete_found(
        &self,
        (proof, version, recorded): (&Authorized, VersionId, &mut Recorded),
        found: &UploadRow,
        completing: &Completing,
    ) -> Result<ObjectRow, VaultError> {
        let parts = match self.chosen_parts(found, completing).await {
            // The upload may have ended after it was found: then so did its parts.
            Err(_) if self.catalog.upload(&found.id).await?.is_none() => return Err(NO_UPLOAD),
            chosen => chosen?,
        };
        let mut row = self.assemble((proof, version), found, &parts, completing)?;
        recorded.object_bytes(row.bytes);
        loop {
            let committed = self.commit(completion(found, &parts, &row, completing)?);
            let committed = committed.await;
            match committed.map_err(|error| self.resealed_after(error, &row)) {
                Ok(()) => return Ok(row),
                Err(Ok(sealed_table)) => row.sealed_table = sealed_table,
                Err(Err(error)) => return Err(error),
            }
        }
    }

    /// The object that this very completion made before, if it is the current one and the upload
    /// was the caller's own, or she oversees it.
    async fn completed(
        &self,
        call: &Call,
        proof: &Authorized,
        upload: &str,
        completing: &Completing,
    ) -> Result<Option<ObjectRow>, VaultError> {
        let (Ok(id), dataset, key) = (upload.parse(), proof.dataset()?.id, proof.key()?) else {
            return Ok(None);
        };
        let Some(row) = self.catalog.object(&dataset, key).await? else {
            return Ok(None);
        };
        let origin = self.catalog.origin(&dataset, key, &row.version).await?;
        let Some(origin) = origin.filter(|origin| origin.upload == id) else {
            return Ok(None);
        };
        let same = origin.completion == digest(completing) && row.dataset == dataset;
        if !same || row.key != *key {
            return Ok(None);
        }
        let own = call.session.principal.as_ref() == Some(&origin.initiator);
        let known = own || self.oversees(call, proof, key.as_str()).await?;
        if known {
            check_told(completing, row.bytes, &row.checksums)?;
        }
        Ok(known.then_some(row))
    }

    /// The parts that a completion names, as they are now.
    async fn chosen_parts(
        &self,
        upload: &UploadRow,
        completing: &Completing,
    ) -> Result<Vec<PartRow>, VaultError> {
        let wanted = &completing.parts;
        if wanted.is_empty() || wanted.len() > usize::try_from(limits::PARTS_MAX).unwrap_or(0) {
            return Err(VaultError::new(
                ErrorKind::InvalidArgument,
                "1 to 10000 parts complete",
            ));
        }
        if wanted.is_sorted_by(|a, b| a.number < b.number) {
            let mut there = self.all_parts(upload.id).await?.into_iter();
            let mut chosen = Vec::with_capacity(wanted.len());
            for want in wanted {
                let part = there
                    .find(|part| part.number == want.number)
                    .ok_or(BAD_PART)?;
                if !same_tag(&want.etag, &part.etag) {
                    return Err(BAD_PART);
                }
                for (kind, text) in &want.checksums {
                    if part.checksums.get(*kind) != Some(text) {
                        return Err(BAD_PART);
                    }
                }
                chosen.push(part);
            }
            return Ok(chosen);
        }
        Err(VaultError::new(
            ErrorKind::InvalidPartOrder,
            "the parts are not in ascending order",
        ))
    }

    async fn all_parts(&self, upload: UploadId) -> Result<Vec<PartRow>, VaultError> {
        const TOO_MANY: VaultError = VaultError::new(
            ErrorKind::TooLarge,
            "the parts are made of too many pieces of other objects",
        );
        let mut all: Vec<PartRow> = Vec::new();
        let mut bytes = 0_usize;
        loop {
            let after = all.last().map_or(0, |part| part.number);
            let page = self
                .catalog
                .parts(&upload, after, limits::PAGE_ENTRIES_MAX)
                .await?;
            let tables = page.parts.iter().map(|part| part.sealed_table.len());
            bytes = tables.fold(bytes, usize::saturating_add);
            if bytes > limits::COMPLETION_BYTES_MAX {
                return Err(TOO_MANY);
            }
            all.extend(page.parts);
            if !page.more {
                return Ok(all);
            }
        }
    }

    fn assemble(
        &self,
        (proof, version): (&Authorized, VersionId),
        upload: &UploadRow,
        parts: &[PartRow],
        completing: &Completing,
    ) -> Result<ObjectRow, VaultError> {
        let mut tables = Vec::with_capacity(parts.len());
        for part in parts {
            let key = self.key_of(&upload.dataset, &part.sealed_table)?;
            tables.push(open_table(
                &key,
                &part_binding(upload, part),
                &part.sealed_table,
            )?);
        }
        let table = Table::concat(tables)?;
        if table.bytes() > limits::OBJECT_BYTES_MAX {
            return Err(VaultError::new(
                ErrorKind::TooLarge,
                "an object is at most 50 TiB",
            ));
        }
        let checksums = whole_checksums(upload, parts);
        check_told(completing, table.bytes(), &checksums)?;
        let draft = Draft {
            meta: upload.meta.clone(),
            tags: upload.tags.clone(),
            checksums,
            part_bytes: parts.iter().map(|part| part.bytes).collect(),
            wishes: again(upload.facts.clone()),
        };
        self.object_row(proof, version, draft, &table)
    }
}

/// That the object is what the client says it is, by its length and checksums.
fn check_told(
    completing: &Completing,
    bytes: u64,
    checksums: &Checksums,
) -> Result<(), VaultError> {
    if completing.bytes.is_some_and(|told| told != bytes) {
        let why = "the length is another";
        return Err(VaultError::new(ErrorKind::InvalidArgument, why));
    }
    let mut told = completing.expected.iter();
    if told.all(|(kind, text)| checksums.get(*kind) == Some(text)) {
        return Ok(());
    }
    let why = "a checksum is another";
    Err(VaultError::new(ErrorKind::BadDigest, why))
}

/// What a completion commits.
fn completion(
    upload: &UploadRow,
    parts: &[PartRow],
    row: &ObjectRow,
    completing: &Completing,
) -> Result<Vec<Mutation>, VaultError> {
    let chosen = parts.iter().map(|part| (part.number, part.version));
    let known = parts.iter().any(|part| !part.checksums.values.is_empty());
    let sums = parts.iter().filter(|_| known);
    let mut mutations = vec![Mutation::CompleteUpload {
        upload: upload.id,
        parts: chosen.collect(),
        row: row.clone(),
        condition: condition(&completing.conditions)?,
    }];
    mutations.extend(attaching(row));
    mutations.push(Mutation::SetOrigin {
        dataset: row.dataset,
        key: row.key.clone(),
        version: row.version,
        origin: Origin {
            upload: upload.id,
            initiator: upload.initiator.clone(),
            completion: digest(completing),
            parts: sums.map(|part| part.checksums.clone()).collect(),
        },
    });
    Ok(mutations)
}

/// What a completion names: SHA-256 over number and tag of each part.
fn digest(completing: &Completing) -> Bytes {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    for part in &completing.parts {
        context.update(&part.number.to_be_bytes());
        let length = u64::try_from(part.etag.len()).unwrap_or(u64::MAX);
        context.update(&length.to_be_bytes());
        context.update(part.etag.as_bytes());
    }
    Bytes::copy_from_slice(context.finish().as_ref())
}

/// What is known of the whole from its parts: CRC-64/NVME of the bytes where every part has one,
/// and the algorithm that the upload announced, composite or of the bytes.
fn whole_checksums(upload: &UploadRow, parts: &[PartRow]) -> Checksums {
    let texts = |kind| {
        parts
            .iter()
            .map(move |part| (part.checksums.get(kind).map(str::to_owned), part.bytes))
    };
    if let Some((kind, true)) = upload.checksum {
        let whole = composite(kind, texts(kind).map(|(text, _)| text));
        let values = whole.map(|text| (kind, text)).into_iter().collect();
        return Checksums {
            values,
            composite: true,
        };
    }
    let mut kinds = vec![ChecksumKind::Crc64Nvme];
    kinds.extend(upload.checksum.map(|(kind, _)| kind));
    kinds.sort_unstable();
    kinds.dedup();
    let values = kinds
        .into_iter()
        .filter_map(|kind| combine_crc(kind, texts(kind)).map(|text| (kind, text)))
        .collect();
    Checksums {
        values,
        composite: false,
    }
}
