//! Deletes: one object, or up to a thousand at once.

use bytes::Bytes;
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Crc32, Crc32c, Crc64Nvme, Md5, Sha1, Sha256};
use s3s::dto::{
    Checksum, DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput,
    DeletedObject, ETag, Error, ObjectIdentifier,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result};

use super::{Handlers, call_of, ok, scope_of};
use crate::s3::error::not_served;
use crate::s3::translate::listing::fits_xml;
use crate::s3::translate::{checksums, conditions, current_version};
use crate::types::{ChecksumKind, limits};
use crate::vault::{Deleted, ErrorKind, Place, TagMatch, VaultError, WriteConditions};

impl Handlers {
    /// Deletes an object; one that is not there counts as deleted.
    pub(super) async fn delete_object(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let call = call_of(&request)?;
        let asked = request.input;
        current_version(asked.version_id.as_deref())?;
        let place = Place {
            bucket: &asked.bucket,
            key: &asked.key,
        };
        let when = conditions::write(asked.if_match.as_ref(), None)?;
        match self.vault.delete_object(&call, place, when).await {
            Ok(()) => ok(DeleteObjectOutput::default()),
            Err(error) if error.kind() == ErrorKind::NoSuchObject => {
                ok(DeleteObjectOutput::default())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes many objects and tells how each ended.
    pub(super) async fn delete_objects(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let call = call_of(&request)?;
        verify_xml(&request)?;
        let asked = request.input;
        let quiet = asked.delete.quiet.unwrap_or(false);
        let keys = keys(asked.delete.objects)?;
        let ends = self
            .vault
            .delete_objects(&call, &asked.bucket, keys)
            .await?;
        let (deleted, errors) = told(ends, quiet);
        ok(DeleteObjectsOutput {
            deleted: Some(deleted),
            errors: Some(errors),
            ..DeleteObjectsOutput::default()
        })
    }
}

/// The keys to delete, each with its condition.
fn keys(objects: Vec<ObjectIdentifier>) -> S3Result<Vec<(String, WriteConditions)>> {
    if objects.is_empty() || objects.len() > limits::DELETE_KEYS_MAX {
        return Err(S3Error::with_message(
            S3ErrorCode::MalformedXML,
            "One request deletes 1 to 1000 objects.",
        ));
    }
    objects.into_iter().map(one_key).collect()
}

fn one_key(object: ObjectIdentifier) -> S3Result<(String, WriteConditions)> {
    // A character reference such as `&#1;` is no XML 1.0, and the answer could not repeat it.
    if !fits_xml(&object.key) {
        return Err(S3Error::with_message(
            S3ErrorCode::MalformedXML,
            "A key holds characters that XML cannot carry.",
        ));
    }
    current_version(object.version_id.as_deref())?;
    if object.last_modified_time.is_some() || object.size.is_some() {
        return Err(not_served("a delete conditional on time or size"));
    }
    let tag = object.e_tag.map(|tag| match tag {
        ETag::Strong(tag) => TagMatch::Tags(vec![tag]),
        // A weak tag equals nothing.
        ETag::Weak(_) => TagMatch::Tags(Vec::new()),
    });
    let when = WriteConditions {
        matches: tag,
        differs: None,
    };
    Ok((object.key, when))
}

/// How each key ended, in S3's words.
fn told(ends: Vec<Deleted>, quiet: bool) -> (Vec<DeletedObject>, Vec<Error>) {
    let mut deleted = Vec::new();
    let mut errors = Vec::new();
    for (key, end) in ends {
        match end {
            Err(error) if error.kind() != ErrorKind::NoSuchObject => {
                errors.push(failed(key, error));
            }
            Ok(()) | Err(_) if quiet => {}
            Ok(()) | Err(_) => deleted.push(DeletedObject {
                key: Some(key),
                ..DeletedObject::default()
            }),
        }
    }
    (deleted, errors)
}

fn failed(key: String, error: VaultError) -> Error {
    let error = S3Error::from(error);
    Error {
        code: Some(error.code().as_str().to_owned()),
        key: Some(key),
        message: error.message().map(str::to_owned),
        version_id: None,
    }
}

/// Compares the XML with the checksums that came with it; the library does not.
fn verify_xml(request: &S3Request<DeleteObjectsInput>) -> S3Result<()> {
    let expected = checksums::in_headers(&request.headers)?;
    let md5 = checksums::content_md5(&request.headers)?;
    if expected.is_empty() && md5.is_none() {
        return Ok(());
    }
    let sums = sums_of(&scope_of(request)?.watch().kept());
    let found = |kind: ChecksumKind| match kind {
        ChecksumKind::Crc32 => sums.checksum_crc32.as_deref(),
        ChecksumKind::Crc32c => sums.checksum_crc32c.as_deref(),
        ChecksumKind::Crc64Nvme => sums.checksum_crc64nvme.as_deref(),
        ChecksumKind::Sha1 => sums.checksum_sha1.as_deref(),
        ChecksumKind::Sha256 => sums.checksum_sha256.as_deref(),
    };
    let md5 = md5.map(|md5| data_encoding::BASE64.encode(&md5));
    let holds = expected
        .iter()
        .all(|(kind, text)| found(*kind) == Some(text.as_str()))
        && md5.is_none_or(|md5| sums.checksum_md5 == Some(md5));
    if holds {
        Ok(())
    } else {
        Err(VaultError::new(ErrorKind::BadDigest, "the XML's checksum is another").into())
    }
}

fn sums_of(body: &[Bytes]) -> Checksum {
    let mut hasher = ChecksumHasher {
        crc32: Some(Crc32::default()),
        crc32c: Some(Crc32c::default()),
        crc64nvme: Some(Crc64Nvme::default()),
        sha1: Some(Sha1::default()),
        sha256: Some(Sha256::default()),
        md5: Some(Md5::default()),
        ..ChecksumHasher::default()
    };
    for piece in body {
        hasher.update(piece);
    }
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(key: &str) -> ObjectIdentifier {
        ObjectIdentifier {
            key: key.to_owned(),
            ..ObjectIdentifier::default()
        }
    }

    #[test]
    fn one_to_a_thousand_keys() {
        let many = |n: usize| (0..n).map(|i| object(&i.to_string())).collect::<Vec<_>>();
        assert!(keys(many(0)).is_err());
        assert_eq!(keys(many(1)).unwrap().len(), 1);
        assert_eq!(keys(many(1000)).unwrap().len(), 1000);
        assert!(keys(many(1001)).is_err());
    }

    #[test]
    fn what_the_answer_could_not_repeat_is_no_key() {
        for bad in ["a\u{1}", "\0", "\u{ffff}"] {
            let error = keys(vec![object("good"), object(bad)]).unwrap_err();
            assert_eq!(error.code().as_str(), "MalformedXML", "{bad:?}");
        }
    }

    #[test]
    fn what_a_key_asks_beyond_its_tag_is_refused() {
        let versioned = ObjectIdentifier {
            version_id: Some("v".to_owned()),
            ..object("a")
        };
        assert!(keys(vec![versioned]).is_err());
        let sized = ObjectIdentifier {
            size: Some(1),
            ..object("a")
        };
        assert!(keys(vec![sized]).is_err());
        let weak = ObjectIdentifier {
            e_tag: Some(ETag::Weak("t".to_owned())),
            ..object("a")
        };
        let (_, when) = keys(vec![weak]).unwrap().remove(0);
        assert_eq!(when.matches, Some(TagMatch::Tags(Vec::new())));
    }

    #[test]
    fn quiet_tells_errors_only() {
        let ends = || -> Vec<Deleted> {
            vec![
                ("a".to_owned(), Ok(())),
                (
                    "b".to_owned(),
                    Err(VaultError::new(ErrorKind::NoSuchObject, "x")),
                ),
                (
                    "c".to_owned(),
                    Err(VaultError::new(ErrorKind::AccessDenied, "secret")),
                ),
            ]
        };
        let (deleted, errors) = told(ends(), false);
        let names: Vec<_> = deleted.into_iter().filter_map(|d| d.key).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(errors[0].code.as_deref(), Some("AccessDenied"));
        assert_eq!(errors[0].message.as_deref(), Some("Access denied."));
        assert!(told(ends(), true).0.is_empty());
    }

    #[test]
    fn sums_run_over_all_pieces() {
        let sums = sums_of(&[Bytes::from_static(b"he"), Bytes::from_static(b"llo")]);
        assert_eq!(sums.checksum_crc32.as_deref(), Some("NhCmhg=="));
        assert_eq!(
            sums.checksum_md5.as_deref(),
            Some("XUFAKrxLKna5cZ2REBfFkg==")
        );
    }
}
