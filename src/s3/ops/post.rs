//! Forms that a browser uploads (POST policy). The library has compared every field with the signed
//! policy, the bucket among them (`s3::form`); what is left is a write like any other. Fields are
//! called as headers are: of `acl` and `tagging`, the forms' own words, the library shows nothing.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use s3s::dto::{PostObjectInput, PostObjectOutput};
use s3s::stream::{ByteStream, RemainingLength};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result, dto};

use super::{Handlers, call_of, checks_of, place};
use crate::catalog::ObjectRow;
use crate::s3::body;
use crate::s3::error::{invalid_request, not_served};
use crate::s3::translate::checksums::{Told, of_form, tell_checksums};
use crate::s3::translate::metadata::sent_metadata;
use crate::s3::translate::wishes::{sent_wishes, tell_sealed};
use crate::s3::translate::{conditions, etag, tags};
use crate::vault::{BodyChecks, KeyWish, NewObject};

const VERSION_ID: HeaderName = HeaderName::from_static("x-amz-version-id");

/// What a form may not ask for: what is refused in a header is refused in a field.
fn check(asked: &PostObjectInput) -> S3Result<()> {
    let acl = asked.acl.as_ref().map(dto::ObjectCannedACL::as_str);
    let class = asked.storage_class.as_ref().map(dto::StorageClass::as_str);
    let refused = [
        (
            "an access control list",
            !matches!(acl, None | Some("private" | "bucket-owner-full-control"))
                || asked.grant_full_control.is_some()
                || asked.grant_read.is_some()
                || asked.grant_read_acp.is_some()
                || asked.grant_write_acp.is_some(),
        ),
        (
            "this storage class",
            !matches!(class, None | Some("STANDARD")),
        ),
        (
            "a customer's key",
            asked.sse_customer_algorithm.is_some()
                || asked.sse_customer_key.is_some()
                || asked.sse_customer_key_md5.is_some(),
        ),
        (
            "an encryption context",
            asked.ssekms_encryption_context.is_some() || asked.bucket_key_enabled == Some(true),
        ),
        (
            "this checksum algorithm",
            asked.checksum_md5.is_some()
                || asked.checksum_sha512.is_some()
                || asked.checksum_xxhash128.is_some()
                || asked.checksum_xxhash3.is_some()
                || asked.checksum_xxhash64.is_some(),
        ),
        ("appending", asked.write_offset_bytes.is_some()),
        ("a website", asked.website_redirect_location.is_some()),
        ("an expected owner", asked.expected_bucket_owner.is_some()),
    ];
    match refused.into_iter().find(|(_, asked)| *asked) {
        Some((what, _)) => Err(not_served(what)),
        None => Ok(()),
    }
}

impl Handlers {
    /// Writes the file of a form.
    pub(super) async fn post_object(
        &self,
        mut request: S3Request<PostObjectInput>,
    ) -> S3Result<S3Response<PostObjectOutput>> {
        let call = call_of(&request)?;
        check(&request.input)?;
        let blob = request.input.body.take();
        let length = blob
            .as_ref()
            .map_or_else(RemainingLength::unknown, ByteStream::remaining_length);
        let length = length.exact().and_then(|bytes| u64::try_from(bytes).ok());
        let length = length.ok_or_else(|| S3Error::new(S3ErrorCode::MissingContentLength))?;
        let checks = BodyChecks {
            // What the headers say is of the form.
            at_end: checks_of(&request)?.at_end,
            ..of_form(&request.input)?
        };
        let mut asked = request.input;
        let wishes = sent_wishes!(asked);
        if matches!(wishes.key, KeyWish::Named(_)) {
            // The library does not demand that the policy names it.
            return Err(not_served("the name of a key in a form"));
        }
        let new = NewObject {
            meta: sent_metadata!(asked)?,
            tags: tags::of_header(asked.tagging.as_deref())?,
            conditions: conditions::write(asked.if_match.as_ref(), asked.if_none_match.as_ref()),
            wishes,
        };
        let place = place(&asked.bucket, &asked.key, None)?;
        if asked.key.is_empty() {
            return Err(invalid_request("A form has a field key."));
        }
        let input = body::input(blob, length, checks);
        let row = self.vault.write_object(&call, place, new, input).await?;
        let told = Told::of(&row.checksums);
        let mut output = PostObjectOutput {
            checksum_type: told.kind(),
            e_tag: Some(etag(&row.etag)),
            version_id: row.versioned.then(|| row.name().to_string()),
            ..PostObjectOutput::default()
        };
        tell_checksums!(output, told);
        tell_sealed!(output, &row.attached.facts);
        // The library writes none of it into the answer.
        let mut response = S3Response::new(output);
        response.headers = headers_of(&row);
        Ok(response)
    }
}

/// What a page may want to know of what it uploaded.
fn headers_of(row: &ObjectRow) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let tag = format!("\"{}\"", row.etag.as_str());
    headers.extend(HeaderValue::from_str(&tag).map(|tag| (header::ETAG, tag)));
    if row.versioned {
        let name = HeaderValue::from_str(&row.name().to_string());
        headers.extend(name.map(|name| (VERSION_ID, name)));
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_header_may_not_ask_a_field_may_not() {
        let form = |change: fn(&mut PostObjectInput)| {
            let mut input = PostObjectInput {
                bucket: "b".to_owned(),
                key: "k".to_owned(),
                ..PostObjectInput::default()
            };
            change(&mut input);
            check(&input)
                .err()
                .map(|error| error.code().as_str().to_owned())
        };
        assert_eq!(form(|_| {}), None);
        assert_eq!(
            form(|input| input.acl = Some("private".to_owned().into())),
            None
        );
        for change in [
            (|input| input.acl = Some("public-read".to_owned().into())) as fn(&mut PostObjectInput),
            |input| input.grant_read = Some("id=1".to_owned()),
            |input| input.storage_class = Some("GLACIER".to_owned().into()),
            |input| input.sse_customer_algorithm = Some("AES256".to_owned()),
            |input| input.checksum_sha512 = Some("x".to_owned()),
            |input| input.write_offset_bytes = Some(5),
            |input| input.ssekms_encryption_context = Some("x".to_owned()),
            |input| input.website_redirect_location = Some("/x".to_owned()),
        ] {
            assert_eq!(form(change).as_deref(), Some("NotImplemented"));
        }
    }
}
