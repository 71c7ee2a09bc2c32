//! Deletes: one object, or up to a thousand at once.

use s3s::dto::{
    DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, DeletedObject,
    ETag, Error, ObjectIdentifier,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result};

use super::{Handlers, call_of, ok, place, verify_xml};
use crate::s3::error::invalid_argument;
use crate::s3::translate::listing::fits_xml;
use crate::s3::translate::{conditions, times, version_named};
use crate::types::limits;
use crate::vault::{Deleted, Doomed, ErrorKind, Removed, TagMatch, VaultError, WriteConditions};

impl Handlers {
    /// Deletes an object; one that is not there counts as deleted.
    pub(super) async fn delete_object(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let call = call_of(&request)?;
        let asked = request.input;
        let place = place(&asked.bucket, &asked.key, asked.version_id.as_deref())?;
        let when = WriteConditions {
            modified: asked.if_match_last_modified_time.map(times::named),
            bytes: asked.if_match_size.map(size).transpose()?,
            ..conditions::write(asked.if_match.as_ref(), None)
        };
        let bypass = asked.bypass_governance_retention.unwrap_or(false);
        match self.vault.delete_object(&call, place, when, bypass).await {
            Ok(removed) => ok(DeleteObjectOutput {
                delete_marker: removed.marker.then_some(true),
                version_id: removed.version.map(|name| name.to_string()),
                ..DeleteObjectOutput::default()
            }),
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
        let bypass = asked.bypass_governance_retention.unwrap_or(false);
        let mut keys = keys(asked.delete.objects)?;
        for doomed in &mut keys {
            doomed.bypass = bypass;
        }
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
fn keys(objects: Vec<ObjectIdentifier>) -> S3Result<Vec<Doomed>> {
    if objects.is_empty() || objects.len() > limits::DELETE_KEYS_MAX {
        return Err(S3Error::with_message(
            S3ErrorCode::MalformedXML,
            "One request deletes 1 to 1000 objects.",
        ));
    }
    objects.into_iter().map(one_key).collect()
}

fn one_key(object: ObjectIdentifier) -> S3Result<Doomed> {
    // A character reference such as `&#1;` is no XML 1.0, and the answer could not repeat it.
    if !fits_xml(&object.key) {
        return Err(S3Error::with_message(
            S3ErrorCode::MalformedXML,
            "A key holds characters that XML cannot carry.",
        ));
    }
    let version = version_named(object.version_id.as_deref())?;
    let tag = object.e_tag.map(|tag| match tag {
        ETag::Strong(tag) => TagMatch::Tags(vec![tag]),
        // A weak tag equals nothing.
        ETag::Weak(_) => TagMatch::Tags(Vec::new()),
    });
    Ok(Doomed {
        key: object.key,
        bypass: false,
        version,
        conditions: WriteConditions {
            matches: tag,
            differs: None,
            modified: object.last_modified_time.map(times::named),
            bytes: object.size.map(size).transpose()?,
        },
    })
}

fn size(bytes: i64) -> S3Result<u64> {
    u64::try_from(bytes).map_err(|_negative| invalid_argument("A size is not negative."))
}

/// How each key ended, in S3's words.
fn told(ends: Vec<Deleted>, quiet: bool) -> (Vec<DeletedObject>, Vec<Error>) {
    let mut deleted = Vec::new();
    let mut errors = Vec::new();
    for (doomed, end) in ends {
        match end {
            Err(error) if error.kind() != ErrorKind::NoSuchObject => {
                errors.push(failed(doomed, error));
            }
            Ok(_) | Err(_) if quiet => {}
            other => deleted.push(gone(doomed, other.unwrap_or_default())),
        }
    }
    (deleted, errors)
}

fn gone(doomed: Doomed, removed: Removed) -> DeletedObject {
    let marker = removed.version.filter(|_| removed.marker);
    DeletedObject {
        delete_marker: removed.marker.then_some(true),
        delete_marker_version_id: marker.map(|name| name.to_string()),
        key: Some(doomed.key),
        version_id: doomed.version.map(|name| name.to_string()),
    }
}

fn failed(doomed: Doomed, error: VaultError) -> Error {
    let error = S3Error::from(error);
    Error {
        code: Some(error.code().as_str().to_owned()),
        key: Some(doomed.key),
        message: error.message().map(str::to_owned),
        version_id: doomed.version.map(|name| name.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::VersionName;

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
    fn what_a_key_asks_is_read_or_refused() {
        let versioned = ObjectIdentifier {
            version_id: Some("v".to_owned()),
            ..object("a")
        };
        assert!(keys(vec![versioned]).is_err());
        let sized = |size| ObjectIdentifier {
            size: Some(size),
            ..object("a")
        };
        assert!(keys(vec![sized(-1)]).is_err());
        let when = keys(vec![sized(1)]).unwrap().remove(0).conditions;
        assert_eq!(when.bytes, Some(1));
        let weak = ObjectIdentifier {
            e_tag: Some(ETag::Weak("t".to_owned())),
            ..object("a")
        };
        let when = keys(vec![weak]).unwrap().remove(0).conditions;
        assert_eq!(when.matches, Some(TagMatch::Tags(Vec::new())));
    }

    #[test]
    fn markers_are_told_apart_from_versions() {
        let marker = Removed {
            version: Some(VersionName::Null),
            marker: true,
        };
        let made = gone(Doomed::default(), marker);
        assert_eq!(made.delete_marker_version_id.as_deref(), Some("null"));
        assert_eq!((made.delete_marker, made.version_id), (Some(true), None));
        let named = Doomed {
            version: Some(VersionName::Null),
            ..Doomed::default()
        };
        let version = Removed {
            marker: false,
            ..marker
        };
        let gone = gone(named, version);
        assert_eq!(gone.version_id.as_deref(), Some("null"));
        assert_eq!(
            (gone.delete_marker, gone.delete_marker_version_id),
            (None, None)
        );
    }

    #[test]
    fn quiet_tells_errors_only() {
        let doomed = |key: &str| Doomed {
            key: key.to_owned(),
            ..Doomed::default()
        };
        let ends = || -> Vec<Deleted> {
            vec![
                (doomed("a"), Ok(Removed::default())),
                (
                    doomed("b"),
                    Err(VaultError::new(ErrorKind::NoSuchObject, "x")),
                ),
                (
                    doomed("c"),
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
}
