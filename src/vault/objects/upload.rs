//! Multipart uploads: parts of any size, each sealed by itself, in any order, from many clients.

use crate::catalog::{
    BlobUse, Facts, Mutation, PartPage, PartRow, UploadPage, UploadQuery, UploadRow,
};
use crate::seal::{Binding, BlobKind, Place as SealPlace, Table, seal_table};
use crate::types::{Action, ChecksumKind, Checksums, ETag, UploadId, VersionId, limits};
use crate::vault::Vault;
use crate::vault::access::proof::Authorized;
use crate::vault::ask::{Call, CopySource, Input, NewObject, Place, Span};
use crate::vault::error::{ErrorKind, VaultError};
use crate::vault::log::record::Recorded;
use crate::vault::objects::intake::Owner;
use crate::vault::objects::lock::{check_wishes, wished};
use crate::vault::objects::tags::check_tags;
use crate::vault::objects::write::{blobs_of, check_body_bytes, check_meta};

pub(in crate::vault) const NO_UPLOAD: VaultError =
    VaultError::new(ErrorKind::NoSuchUpload, "no such upload");

impl Vault {
    /// Begins an upload. `checksum`: the algorithm announced, and whether it is composite.
    pub async fn create_upload(
        &self,
        call: &Call,
        place: Place<'_>,
        new: NewObject,
        checksum: Option<(ChecksumKind, bool)>,
    ) -> Result<UploadRow, VaultError> {
        let proof = self
            .authorize(call, place.bucket, Some(place.key), Action::ObjectWrite)
            .await?;
        self.authorize_tags(call, place, &new.tags).await?;
        self.authorize_lock(call, place, &new.wishes).await?;
        let recorded = self.begin(call, Self::intent_of(call, &proof)).await?;
        let result = async {
            check_meta(&new.meta)?;
            check_tags(&new.tags, limits::OBJECT_TAGS_MAX)?;
            check_wishes(proof.dataset()?, &new.wishes, self.now())?;
            let initiator = call.session.principal.clone();
            let row = UploadRow {
                id: UploadId::random(self.entropy.as_ref())?,
                dataset: proof.dataset()?.id,
                key: proof.key()?.clone(),
                initiator: initiator.ok_or(crate::vault::NOBODY)?,
                initiated: self.now(),
                meta: new.meta,
                checksum,
                tags: new.tags,
                facts: wished(proof.dataset()?, new.wishes),
            };
            let mut mutations = vec![Mutation::CreateUpload(row.clone())];
            if !row.tags.is_empty() {
                mutations.push(Mutation::SetUploadTags {
                    upload: row.id,
                    tags: row.tags.clone(),
                });
            }
            if row.facts != Facts::default() {
                mutations.push(Mutation::SetUploadFacts {
                    upload: row.id,
                    facts: row.facts.clone(),
                });
            }
            self.commit(mutations).await?;
            Ok(row)
        }
        .await;
        recorded.settle(result)
    }

    /// Stores a part. Its number may be used again: the newest wins. The facts are its upload's.
    pub async fn put_part(
        &self,
        call: &Call,
        place: Place<'_>,
        upload: &str,
        number: u32,
        input: Input,
    ) -> Result<(PartRow, Facts), VaultError> {
        let proof = self
            .authorize(call, place.bucket, Some(place.key), Action::ObjectWrite)
            .await?;
        let intent = Self::intent_of(call, &proof);
        let checked = async {
            check_part_number(number)?;
            check_body_bytes(input.bytes)?;
            self.find_upload(call, &proof, upload).await
        };
        let upload = match checked.await {
            Ok(upload) => upload,
            Err(error) => return Err(self.turn_away(call, intent, error).await),
        };
        let mut recorded = self.begin(call, intent).await?;
        let result = self
            .store_part(&proof, &mut recorded, (&upload, number), input)
            .await;
        recorded.settle(result.map(|row| (row, upload.facts)))
    }

    async fn store_part(
        &self,
        proof: &Authorized,
        recorded: &mut Recorded,
        (upload, number): (&UploadRow, u32),
        mut input: Input,
    ) -> Result<PartRow, VaultError> {
        let version = VersionId::random(self.entropy.as_ref())?;
        let bytes = input.bytes;
        input
            .checks
            .compute
            .extend(upload.checksum.map(|(kind, _)| kind));
        let owner = Owner {
            dataset: proof.dataset()?.id,
            version,
            kind: BlobKind::Part,
        };
        let taken = self.take_in(owner, proof.lease(), input).await?;
        recorded.count(bytes);
        let row = self.part_row(upload, number, version, taken.checksums, &taken.table)?;
        let blobs = BlobUse {
            fresh: taken.flight.blobs.clone(),
            shared: Vec::new(),
        };
        self.commit_part(upload, row, blobs).await
    }

    /// Commits a part's row; if that fails, its fresh blobs go again.
    async fn commit_part(
        &self,
        upload: &UploadRow,
        mut row: PartRow,
        blobs: BlobUse,
    ) -> Result<PartRow, VaultError> {
        loop {
            let put = Mutation::PutPart {
                row: row.clone(),
                blobs: blobs.clone(),
            };
            let committed = self.commit(vec![put]).await;
            match committed.map_err(|error| self.resealed_part_after(error, (upload, &row))) {
                Ok(()) => return Ok(row),
                Err(Ok(sealed_table)) => row.sealed_table = sealed_table,
                Err(Err(error)) => {
                    self.drop_refused(&blobs.fresh, &error).await;
                    return Err(error);
                }
            }
        }
    }

    fn part_row(
        &self,
        upload: &UploadRow,
        number: u32,
        version: VersionId,
        checksums: Checksums,
        table: &Table,
    ) -> Result<PartRow, VaultError> {
        let mut row = PartRow {
            upload: upload.id,
            number,
            version,
            bytes: table.bytes(),
            etag: ETag::of(&version, 1),
            modified: self.now(),
            checksums,
            sealed_table: bytes::Bytes::new(),
        };
        let key = self.keyring.dataset(&upload.dataset)?;
        row.sealed_table = seal_table(&key, &part_binding(upload, &row), table)?;
        Ok(row)
    }

    /// Stores a part that is a range of another object, without moving a byte.
    pub async fn copy_part(
        &self,
        call: &Call,
        from: CopySource<'_>,
        to: Place<'_>,
        upload: &str,
        number: u32,
    ) -> Result<(PartRow, Facts), VaultError> {
        let source = self.authorize_source(call, &from, to).await?;
        let proof = self
            .authorize(call, to.bucket, Some(to.key), Action::ObjectWrite)
            .await?;
        self.check_labels(call, &source.read, &proof).await?;
        let intent = source.told(call, Self::intent_of(call, &proof));
        let span = from.span;
        let (whole, table, mut recorded) = self.begin_copy(call, &source, from, intent).await?;
        let result = async {
            check_part_number(number)?;
            let upload = self.find_upload(call, &proof, upload).await?;
            check_copied(span, whole.bytes)?;
            check_body_bytes(table.bytes())?;
            self.pace_copies(call, &table)?;
            recorded.count(table.bytes());
            let version = VersionId::random(self.entropy.as_ref())?;
            let row = self.part_row(&upload, number, version, Checksums::default(), &table)?;
            let blobs = BlobUse {
                fresh: Vec::new(),
                shared: blobs_of(&table),
            };
            let row = self.commit_part(&upload, row, blobs).await?;
            Ok((row, upload.facts))
        }
        .await;
        recorded.settle(result)
    }

    /// Drops an upload and its parts.
    pub async fn abort_upload(
        &self,
        call: &Call,
        place: Place<'_>,
        upload: &str,
    ) -> Result<(), VaultError> {
        let proof = self
            .authorize(call, place.bucket, Some(place.key), Action::UploadManage)
            .await?;
        let recorded = self.begin(call, Self::intent_of(call, &proof)).await?;
        let result = async {
            let upload = self.find_upload(call, &proof, upload).await?.id;
            self.commit(vec![Mutation::AbortUpload {
                upload,
                now: self.now(),
            }])
            .await
        }
        .await;
        recorded.settle(result)
    }

    /// One page of an upload's parts, those after number `after`.
    pub async fn list_parts(
        &self,
        call: &Call,
        place: Place<'_>,
        upload: &str,
        after: u32,
        limit: usize,
    ) -> Result<(UploadRow, PartPage), VaultError> {
        let proof = self
            .authorize(call, place.bucket, Some(place.key), Action::UploadManage)
            .await?;
        let recorded = self.begin(call, Self::intent_of(call, &proof)).await?;
        let result = async {
            let upload = self.find_upload(call, &proof, upload).await?;
            let limit = limit.min(limits::PAGE_ENTRIES_MAX);
            let page = self.catalog.parts(&upload.id, after, limit).await?;
            Ok((upload, page))
        }
        .await;
        recorded.settle(result)
    }

    /// One page of a dataset's uploads.
    pub async fn list_uploads(
        &self,
        call: &Call,
        bucket: &str,
        query: UploadQuery,
    ) -> Result<UploadPage, VaultError> {
        let proof = self
            .authorize_under(call, bucket, &query.prefix, Action::UploadManage)
            .await?;
        let mut intent = Self::intent_of(call, &proof);
        intent.query = Some(crate::vault::cut(&query.prefix));
        let recorded = self.begin(call, intent).await?;
        let result = self.own_uploads(call, &proof, query).await;
        recorded.settle(result)
    }

    /// One page of the uploads that the caller may know of.
    async fn own_uploads(
        &self,
        call: &Call,
        proof: &Authorized,
        mut query: UploadQuery,
    ) -> Result<UploadPage, VaultError> {
        let dataset = proof.dataset()?.id;
        let limit = query.limit.min(limits::PAGE_ENTRIES_MAX);
        query.limit = limit;
        if self.oversees(call, proof, &query.prefix).await? {
            return Ok(self.catalog.uploads(&dataset, &query).await?);
        }
        let mut own = UploadPage::default();
        query.limit = limits::PAGE_ENTRIES_MAX;
        loop {
            let page = self.catalog.uploads(&dataset, &query).await?;
            query.after = page
                .uploads
                .last()
                .map(|row| (row.key.to_string(), Some(row.id)));
            for row in page.uploads {
                if call.session.principal.as_ref() == Some(&row.initiator) {
                    if own.uploads.len() == limit {
                        own.more = limit > 0;
                        return Ok(own);
                    }
                    own.uploads.push(row);
                }
            }
            if !page.more {
                return Ok(own);
            }
        }
    }

    /// Whether the caller sees other people's uploads under `key`: only who may list and delete
    /// what is there, which takes more than the right to write.
    pub(in crate::vault) async fn oversees(
        &self,
        call: &Call,
        proof: &Authorized,
        key: &str,
    ) -> Result<bool, VaultError> {
        let Some(principal) = &call.session.principal else {
            return Ok(false);
        };
        let bucket = proof.bucket();
        Ok(self
            .may(call, (principal, bucket, key), Action::ObjectDelete)
            .await?
            && self
                .may(call, (principal, bucket, key), Action::ObjectList)
                .await?)
    }

    /// The upload, if it is of this dataset and key and the caller's own, or she oversees it. What
    /// is someone else's looks as if it were not there.
    pub(in crate::vault) async fn find_upload(
        &self,
        call: &Call,
        proof: &Authorized,
        upload: &str,
    ) -> Result<UploadRow, VaultError> {
        let id: UploadId = upload.parse().map_err(|error| {
            VaultError::caused(ErrorKind::NoSuchUpload, "not an upload's id", error)
        })?;
        let row = self.catalog.upload(&id).await?.ok_or(NO_UPLOAD)?;
        let here = row.id == id && row.dataset == proof.dataset()?.id;
        if !here || row.key != *proof.key()? {
            return Err(NO_UPLOAD);
        }
        let own = call.session.principal.as_ref() == Some(&row.initiator);
        if own || self.oversees(call, proof, row.key.as_str()).await? {
            return Ok(row);
        }
        Err(NO_UPLOAD)
    }
}

pub(in crate::vault) const fn part_binding<'a>(
    upload: &UploadRow,
    part: &'a PartRow,
) -> Binding<'a> {
    Binding {
        dataset: upload.dataset,
        version: part.version,
        place: SealPlace::Part {
            upload: upload.id,
            number: part.number,
        },
        bytes: part.bytes,
        etag: &part.etag,
    }
}

/// A copied range lies within its source: unlike a read it is never cut, so that no part is shorter
/// than its maker meant.
fn check_copied(span: Span, whole: u64) -> Result<(), VaultError> {
    match span {
        Span::Between(_, last) if last >= whole => Err(VaultError::new(
            ErrorKind::InvalidRange,
            "the range lies beyond the end of the source",
        )),
        Span::All | Span::From(_) | Span::Between(..) | Span::Last(_) | Span::Part(_) => Ok(()),
    }
}

fn check_part_number(number: u32) -> Result<(), VaultError> {
    if number == 0 || number > limits::PARTS_MAX {
        return Err(VaultError::new(
            ErrorKind::InvalidArgument,
            "part numbers are 1 to 10000",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copied_range_is_never_cut() {
        for span in [Span::All, Span::Between(0, 9), Span::Between(9, 9)] {
            check_copied(span, 10).unwrap();
        }
        for span in [Span::Between(0, 10), Span::Between(0, u64::MAX)] {
            let error = check_copied(span, 10).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidRange, "{span:?}");
        }
    }
}
