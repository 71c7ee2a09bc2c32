//! Copies, which move no data.

use s3s::dto::{
    CopyObjectInput, CopyObjectOutput, CopyObjectResult, CopyPartResult, MetadataDirective,
    TaggingDirective, UploadPartCopyInput, UploadPartCopyOutput,
};
use s3s::{S3Request, S3Response, S3Result};

use super::{Handlers, call_of, ok, place};
use crate::s3::error::{invalid_argument, invalid_request};
use crate::s3::translate::checksums::{Told, tell_checksums};
use crate::s3::translate::conditions::{self, Sent};
use crate::s3::translate::metadata::sent_metadata;
use crate::s3::translate::wishes::{sent_wishes, tell_sealed};
use crate::s3::translate::{copy_source, etag, part_number, ranges, tags, times};
use crate::vault::{CopySource as From, Replaced, Span};

/// The four conditions on a copy's source.
macro_rules! source_conditions {
    ($asked:ident) => {
        Sent {
            matches: $asked.copy_source_if_match.take(),
            differs: $asked.copy_source_if_none_match.take(),
            modified: $asked.copy_source_if_modified_since.take(),
            unmodified: $asked.copy_source_if_unmodified_since.take(),
        }
        .conditions()
    };
}

/// Whether the copy takes its metadata from the request.
fn replaces(directive: Option<&MetadataDirective>) -> S3Result<bool> {
    match directive.map(MetadataDirective::as_str) {
        None | Some(MetadataDirective::COPY) => Ok(false),
        Some(MetadataDirective::REPLACE) => Ok(true),
        Some(_) => Err(invalid_argument(
            "x-amz-metadata-directive is COPY or REPLACE.",
        )),
    }
}

impl Handlers {
    /// Copies an object.
    pub(super) async fn copy_object(
        &self,
        request: S3Request<CopyObjectInput>,
    ) -> S3Result<S3Response<CopyObjectOutput>> {
        let call = call_of(&request)?;
        let mut asked = request.input;
        let replace = replaces(asked.metadata_directive.as_ref())?;
        let meta = if replace {
            Some(sent_metadata!(asked)?)
        } else {
            None
        };
        let directive = asked
            .tagging_directive
            .as_ref()
            .map(TaggingDirective::as_str);
        let tags = match directive {
            Some(TaggingDirective::REPLACE) => Some(tags::of_header(asked.tagging.as_deref())?),
            Some(_) | None => None,
        };
        let conditions = source_conditions!(asked);
        let source = copy_source(&asked.copy_source)?;
        let onto_itself = source.bucket == asked.bucket && source.key == asked.key;
        if !replace && tags.is_none() && onto_itself && source.version.is_none() {
            return Err(invalid_request(
                "A copy onto itself changes nothing unless it replaces the metadata.",
            ));
        }
        let from = From {
            place: source,
            conditions,
            span: Span::All,
        };
        let to = place(&asked.bucket, &asked.key, None)?;
        let write = conditions::write(asked.if_match.as_ref(), asked.if_none_match.as_ref());
        let replaced = Some(Replaced {
            meta,
            tags,
            wishes: sent_wishes!(asked),
        });
        let vault = &self.vault;
        let row = vault.copy_object(&call, from, to, replaced, write).await?;
        let told = Told::of(&row.checksums);
        let mut result = CopyObjectResult {
            checksum_type: told.kind(),
            e_tag: Some(etag(&row.etag)),
            last_modified: times::told(row.modified),
            ..CopyObjectResult::default()
        };
        tell_checksums!(result, told);
        let mut output = CopyObjectOutput {
            copy_object_result: Some(result),
            copy_source_version_id: source.version.map(|name| name.to_string()),
            expiration: self.expiration(&row).await,
            version_id: row.versioned.then(|| row.name().to_string()),
            ..CopyObjectOutput::default()
        };
        tell_sealed!(output, &row.attached.facts);
        ok(output)
    }

    /// Copies an object, or a range of it, as a part.
    pub(super) async fn upload_part_copy(
        &self,
        request: S3Request<UploadPartCopyInput>,
    ) -> S3Result<S3Response<UploadPartCopyOutput>> {
        let call = call_of(&request)?;
        let mut asked = request.input;
        let number = part_number(asked.part_number)?;
        let span = ranges::copied(asked.copy_source_range.as_deref())?;
        let conditions = source_conditions!(asked);
        let source = copy_source(&asked.copy_source)?;
        let from = From {
            place: source,
            conditions,
            span,
        };
        let to = place(&asked.bucket, &asked.key, None)?;
        let vault = &self.vault;
        let (row, facts) = vault
            .copy_part(&call, from, to, &asked.upload_id, number)
            .await?;
        let mut result = CopyPartResult {
            e_tag: Some(etag(&row.etag)),
            last_modified: times::told(row.modified),
            ..CopyPartResult::default()
        };
        tell_checksums!(result, Told::of(&row.checksums));
        let mut output = UploadPartCopyOutput {
            copy_part_result: Some(result),
            copy_source_version_id: source.version.map(|name| name.to_string()),
            ..UploadPartCopyOutput::default()
        };
        tell_sealed!(output, &facts);
        ok(output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directive_is_copy_or_replace() {
        let directive = |text: &str| MetadataDirective::from(text.to_owned());
        assert!(!replaces(None).unwrap());
        assert!(!replaces(Some(&directive("COPY"))).unwrap());
        assert!(replaces(Some(&directive("REPLACE"))).unwrap());
        for bad in ["", "copy", "MERGE"] {
            assert!(replaces(Some(&directive(bad))).is_err(), "{bad}");
        }
    }
}
