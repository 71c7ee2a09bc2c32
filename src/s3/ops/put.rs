//! Writes: a whole object, or one part of it.

use s3s::dto::{PutObjectInput, PutObjectOutput, UploadPartInput, UploadPartOutput};
use s3s::{S3Request, S3Response, S3Result};

use super::{Handlers, call_of, input_of, ok, place};
use crate::s3::translate::checksums::{Told, tell_checksums};
use crate::s3::translate::metadata::sent_metadata;
use crate::s3::translate::wishes::{sent_wishes, tell_sealed};
use crate::s3::translate::{conditions, etag, length, part_number, tags};
use crate::vault::NewObject;

impl Handlers {
    /// Writes an object.
    pub(super) async fn put_object(
        &self,
        mut request: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        let call = call_of(&request)?;
        let blob = request.input.body.take();
        let input = input_of(&request, blob)?;
        let mut asked = request.input;
        let new = NewObject {
            meta: sent_metadata!(asked)?,
            tags: tags::of_header(asked.tagging.as_deref())?,
            conditions: conditions::write(asked.if_match.as_ref(), asked.if_none_match.as_ref()),
            wishes: sent_wishes!(asked),
        };
        let place = place(&asked.bucket, &asked.key, None)?;
        let row = self.vault.write_object(&call, place, new, input).await?;
        let told = Told::of(&row.checksums);
        let mut output = PutObjectOutput {
            checksum_type: told.kind(),
            e_tag: Some(etag(&row.etag)),
            size: Some(length(row.bytes)),
            expiration: self.expiration(&row).await,
            version_id: row.versioned.then(|| row.name().to_string()),
            ..PutObjectOutput::default()
        };
        tell_checksums!(output, told);
        tell_sealed!(output, &row.attached.facts);
        ok(output)
    }

    /// Writes a part.
    pub(super) async fn upload_part(
        &self,
        mut request: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        let call = call_of(&request)?;
        let number = part_number(request.input.part_number)?;
        let blob = request.input.body.take();
        let input = input_of(&request, blob)?;
        let asked = request.input;
        let place = place(&asked.bucket, &asked.key, None)?;
        let vault = &self.vault;
        let (row, facts) = vault
            .put_part(&call, place, &asked.upload_id, number, input)
            .await?;
        let mut output = UploadPartOutput {
            e_tag: Some(etag(&row.etag)),
            ..UploadPartOutput::default()
        };
        tell_sealed!(output, &facts);
        tell_checksums!(output, Told::of(&row.checksums));
        ok(output)
    }
}
