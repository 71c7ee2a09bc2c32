//! Multipart uploads: begin, complete, abort, list.

use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, ChecksumAlgorithm, ChecksumType,
    CommonPrefix, CompleteMultipartUploadInput, CompleteMultipartUploadOutput,
    CompletedMultipartUpload, CompletedPart, CreateMultipartUploadInput,
    CreateMultipartUploadOutput, Initiator, ListMultipartUploadsInput, ListMultipartUploadsOutput,
    ListPartsInput, ListPartsOutput, MultipartUpload, Owner, Part, StorageClass,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result};

use super::{Handlers, call_of, ok, place};
use crate::catalog::{PartRow, UploadQuery, UploadRow};
use crate::s3::error::invalid_argument;
use crate::s3::translate::checksums::{self, Told, checksum_type, tell_checksums};
use crate::s3::translate::listing::{self, Texts};
use crate::s3::translate::metadata::sent_metadata;
use crate::s3::translate::wishes::{sent_wishes, tell_sealed};
use crate::s3::translate::{conditions, etag, length, part_number, tags, times};
use crate::types::{ChecksumKind, limits};
use crate::vault::{CompletedPart as Completed, Completing, NewObject};

fn algorithm(checksum: Option<(ChecksumKind, bool)>) -> Option<ChecksumAlgorithm> {
    checksum.map(|(kind, _)| ChecksumAlgorithm::from_static(checksums::name(kind)))
}

fn kind_of(checksum: Option<(ChecksumKind, bool)>) -> Option<ChecksumType> {
    checksum.map(|(_, composite)| checksum_type(composite))
}

fn initiator(row: &UploadRow) -> Initiator {
    Initiator {
        display_name: Some(row.initiator.to_string()),
        id: Some(row.initiator.to_string()),
    }
}

fn standard() -> StorageClass {
    StorageClass::from_static(StorageClass::STANDARD)
}

/// The parts of a completion, each with number and tag.
fn completed(upload: Option<CompletedMultipartUpload>) -> S3Result<Vec<Completed>> {
    let parts = upload.and_then(|upload| upload.parts).unwrap_or_default();
    let most = usize::try_from(limits::PARTS_MAX).unwrap_or(usize::MAX);
    if parts.is_empty() || parts.len() > most {
        return Err(malformed("A completion names 1 to 10000 parts."));
    }
    parts.iter().map(one_part).collect()
}

fn one_part(part: &CompletedPart) -> S3Result<Completed> {
    let (Some(number), Some(tag)) = (part.part_number, &part.e_tag) else {
        return Err(malformed("A part has a number and an entity tag."));
    };
    Ok(Completed {
        number: part_number(number)?,
        etag: tag.value().to_owned(),
        checksums: checksums::of_part(part)?,
    })
}

fn malformed(message: &'static str) -> S3Error {
    S3Error::with_message(S3ErrorCode::MalformedXML, message)
}

fn listed_part(row: &PartRow) -> Part {
    let mut part = Part {
        e_tag: Some(etag(&row.etag)),
        last_modified: times::told(row.modified),
        part_number: i32::try_from(row.number).ok(),
        size: Some(length(row.bytes)),
        ..Part::default()
    };
    tell_checksums!(part, Told::of(&row.checksums));
    part
}

impl Handlers {
    /// Begins an upload.
    pub(super) async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let call = call_of(&request)?;
        let mut asked = request.input;
        let checksum = checksums::of_upload(
            asked
                .checksum_algorithm
                .as_ref()
                .map(ChecksumAlgorithm::as_str),
            asked.checksum_type.as_ref().map(ChecksumType::as_str),
        )?;
        let new = NewObject {
            meta: sent_metadata!(asked)?,
            tags: tags::of_header(asked.tagging.as_deref())?,
            wishes: sent_wishes!(asked),
            ..NewObject::default()
        };
        let place = place(&asked.bucket, &asked.key, None)?;
        let row = self
            .vault
            .create_upload(&call, place, new, checksum)
            .await?;
        let mut output = CreateMultipartUploadOutput {
            bucket: Some(asked.bucket),
            checksum_algorithm: algorithm(row.checksum),
            checksum_type: kind_of(row.checksum),
            key: Some(asked.key),
            upload_id: Some(row.id.to_string()),
            ..CreateMultipartUploadOutput::default()
        };
        tell_sealed!(output, &row.facts);
        ok(output)
    }

    /// Makes an object of an upload's parts.
    pub(super) async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let call = call_of(&request)?;
        let asked = request.input;
        let bytes = asked.mpu_object_size.map(u64::try_from).transpose();
        let completing = Completing {
            parts: completed(asked.multipart_upload)?,
            conditions: conditions::write(asked.if_match.as_ref(), asked.if_none_match.as_ref()),
            expected: checksums::of_completion(&request.headers)?,
            bytes: bytes.map_err(|_negative| invalid_argument("A size is not negative."))?,
        };
        let place = place(&asked.bucket, &asked.key, None)?;
        let vault = &self.vault;
        let row = vault
            .complete_upload(&call, place, &asked.upload_id, completing)
            .await?;
        let told = Told::of(&row.checksums);
        let location = format!("/{}/{}", asked.bucket, Texts::Url.write(&asked.key));
        let mut output = CompleteMultipartUploadOutput {
            bucket: Some(asked.bucket),
            checksum_type: told.kind(),
            e_tag: Some(etag(&row.etag)),
            key: Some(asked.key),
            location: Some(location),
            expiration: self.expiration(&row).await,
            version_id: row.versioned.then(|| row.name().to_string()),
            ..CompleteMultipartUploadOutput::default()
        };
        tell_checksums!(output, told);
        tell_sealed!(output, &row.attached.facts);
        ok(output)
    }

    /// Gives an upload up.
    pub(super) async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let call = call_of(&request)?;
        let asked = request.input;
        let place = place(&asked.bucket, &asked.key, None)?;
        self.vault
            .abort_upload(&call, place, &asked.upload_id)
            .await?;
        ok(AbortMultipartUploadOutput::default())
    }

    /// Lists an upload's parts.
    pub(super) async fn list_parts(
        &self,
        request: S3Request<ListPartsInput>,
    ) -> S3Result<S3Response<ListPartsOutput>> {
        let call = call_of(&request)?;
        let asked = request.input;
        let limit = listing::page(asked.max_parts)?;
        let after = u32::try_from(asked.part_number_marker.unwrap_or(0))
            .map_err(|_negative| invalid_argument("A marker is not negative."))?;
        let place = place(&asked.bucket, &asked.key, None)?;
        let vault = &self.vault;
        let (upload, page) = vault
            .list_parts(&call, place, &asked.upload_id, after, limit)
            .await?;
        let last = page.parts.last().filter(|_| page.more);
        ok(ListPartsOutput {
            checksum_algorithm: algorithm(upload.checksum),
            checksum_type: kind_of(upload.checksum),
            initiator: Some(initiator(&upload)),
            is_truncated: Some(last.is_some()),
            max_parts: listing::told(limit),
            next_part_number_marker: last.and_then(|part| i32::try_from(part.number).ok()),
            owner: Some(self.owner(&asked.bucket)),
            part_number_marker: asked.part_number_marker,
            parts: Some(page.parts.iter().map(listed_part).collect()),
            storage_class: Some(standard()),
            bucket: Some(asked.bucket),
            key: Some(asked.key),
            upload_id: Some(asked.upload_id),
            ..ListPartsOutput::default()
        })
    }

    /// Lists uploads that are under way.
    pub(super) async fn list_multipart_uploads(
        &self,
        request: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        let call = call_of(&request)?;
        let asked = request.input;
        let echoed = [&asked.prefix, &asked.delimiter, &asked.key_marker].map(Option::as_deref);
        let texts = Texts::asked(asked.encoding_type.as_ref(), echoed)?;
        let limit = listing::page(asked.max_uploads)?;
        let upload = listing::some(asked.upload_id_marker.clone())
            .map(|id| id.parse())
            .transpose()
            .map_err(|_foreign| invalid_argument("upload-id-marker is not one of ours."))?;
        let prefix = asked.prefix.clone().unwrap_or_default();
        let delimiter = listing::some(asked.delimiter);
        let after = listing::some(asked.key_marker.clone())
            .map(|key| listing::behind(key, &prefix, delimiter.as_deref()));
        let query = UploadQuery {
            prefix: prefix.clone(),
            after: after.map(|key| (key, upload)),
            limit,
        };
        let page = self.vault.list_uploads(&call, &asked.bucket, query).await?;
        let folds = Folds { prefix, delimiter };
        let last = page.uploads.last().filter(|_| page.more);
        let fold = last.and_then(|row| folds.of(row));
        let owner = self.owner(&asked.bucket);
        ok(ListMultipartUploadsOutput {
            encoding_type: texts.told(),
            is_truncated: Some(last.is_some()),
            key_marker: Some(texts.write(asked.key_marker.as_deref().unwrap_or_default())),
            max_uploads: listing::told(limit),
            next_key_marker: last.map(|row| texts.write(fold.unwrap_or_else(|| row.key.as_str()))),
            // Behind a common prefix no upload is named.
            next_upload_id_marker: last
                .filter(|_| fold.is_none())
                .map(|row| row.id.to_string()),
            common_prefixes: Some(folds.prefixes(&page.uploads, texts)),
            delimiter: folds.delimiter.as_deref().map(|text| texts.write(text)),
            prefix: Some(texts.write(&folds.prefix)),
            upload_id_marker: asked.upload_id_marker,
            uploads: Some(
                page.uploads
                    .iter()
                    .filter(|row| folds.of(row).is_none())
                    .map(|row| listed_upload(row, texts, &owner))
                    .collect(),
            ),
            bucket: Some(asked.bucket),
            ..ListMultipartUploadsOutput::default()
        })
    }
}

/// How uploads are folded into common prefixes.
struct Folds {
    prefix: String,
    delimiter: Option<String>,
}

impl Folds {
    fn of<'a>(&self, row: &'a UploadRow) -> Option<&'a str> {
        listing::folded(row.key.as_str(), &self.prefix, self.delimiter.as_deref()?)
    }

    /// Each once; the uploads stand in order of key.
    fn prefixes(&self, uploads: &[UploadRow], texts: Texts) -> Vec<CommonPrefix> {
        let mut folds: Vec<&str> = uploads.iter().filter_map(|row| self.of(row)).collect();
        folds.dedup();
        let told = |text: &str| CommonPrefix {
            prefix: Some(texts.write(text)),
        };
        folds.into_iter().map(told).collect()
    }
}

fn listed_upload(row: &UploadRow, texts: Texts, owner: &Owner) -> MultipartUpload {
    let initiator = initiator(row);
    MultipartUpload {
        checksum_algorithm: algorithm(row.checksum),
        checksum_type: kind_of(row.checksum),
        initiated: times::told(row.initiated),
        owner: Some(owner.clone()),
        initiator: Some(initiator),
        key: Some(texts.write(row.key.as_str())),
        storage_class: Some(standard()),
        upload_id: Some(row.id.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use s3s::dto::ETag;

    use super::*;

    fn part(number: i32, tag: &str) -> CompletedPart {
        CompletedPart {
            e_tag: Some(ETag::Strong(tag.to_owned())),
            part_number: Some(number),
            ..CompletedPart::default()
        }
    }

    fn upload(parts: Vec<CompletedPart>) -> CompletedMultipartUpload {
        CompletedMultipartUpload { parts: Some(parts) }
    }

    fn code(upload: impl Into<Option<CompletedMultipartUpload>>) -> Option<String> {
        completed(upload.into())
            .err()
            .map(|e| e.code().as_str().to_owned())
    }

    #[test]
    fn a_completion_names_its_parts() {
        let mut second = part(2, "b");
        second.checksum_crc32 = Some("NhCmhg==".to_owned());
        let parts = completed(Some(upload(vec![part(1, "a"), second]))).unwrap();
        assert_eq!(parts[0].etag, "a");
        assert_eq!(
            parts[1].checksums,
            [(ChecksumKind::Crc32, "NhCmhg==".to_owned())]
        );
    }

    #[test]
    fn a_completion_without_parts_or_with_too_many_is_malformed() {
        assert_eq!(code(None).as_deref(), Some("MalformedXML"));
        assert_eq!(code(upload(Vec::new())).as_deref(), Some("MalformedXML"));
        let many = vec![part(1, "a"); 10_001];
        assert_eq!(code(upload(many)).as_deref(), Some("MalformedXML"));
        let untagged = CompletedPart {
            e_tag: None,
            ..part(1, "a")
        };
        assert_eq!(
            code(upload(vec![untagged])).as_deref(),
            Some("MalformedXML")
        );
        for number in [0, -1, 10_001] {
            let bad = upload(vec![part(number, "a")]);
            assert_eq!(code(bad).as_deref(), Some("InvalidArgument"), "{number}");
        }
    }
}
