//! Versions: whether a dataset keeps them, and their listing.

use s3s::dto::{
    BucketVersioningStatus, CommonPrefix, DeleteMarkerEntry, GetBucketVersioningInput,
    GetBucketVersioningOutput, ListObjectVersionsInput, ListObjectVersionsOutput, ObjectVersion,
    ObjectVersionStorageClass, Owner, PutBucketVersioningInput, PutBucketVersioningOutput,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result};

use super::{Handlers, call_of, ok, verify_xml};
use crate::catalog::{VersionEntry, VersionPage, VersionQuery};
use crate::s3::error::{invalid_argument, not_served};
use crate::s3::translate::listing::{self, Texts};
use crate::s3::translate::{etag, length, times, version_named};
use crate::types::Versioning;

impl Handlers {
    /// Whether versions are kept.
    pub(super) async fn get_bucket_versioning(
        &self,
        request: S3Request<GetBucketVersioningInput>,
    ) -> S3Result<S3Response<GetBucketVersioningOutput>> {
        let call = call_of(&request)?;
        let status = match self.vault.versioning(&call, &request.input.bucket).await? {
            Versioning::Off => None,
            Versioning::Enabled => Some(BucketVersioningStatus::ENABLED),
            Versioning::Suspended => Some(BucketVersioningStatus::SUSPENDED),
        };
        ok(GetBucketVersioningOutput {
            mfa_delete: None,
            status: status.map(BucketVersioningStatus::from_static),
        })
    }

    /// Enables or suspends the keeping of versions.
    pub(super) async fn put_bucket_versioning(
        &self,
        request: S3Request<PutBucketVersioningInput>,
    ) -> S3Result<S3Response<PutBucketVersioningOutput>> {
        let call = call_of(&request)?;
        verify_xml(&request)?;
        let asked = request.input.versioning_configuration;
        if asked
            .mfa_delete
            .is_some_and(|mfa| mfa.as_str() == "Enabled")
        {
            return Err(not_served("a second factor for deletes"));
        }
        let status = asked.status.as_ref().map(BucketVersioningStatus::as_str);
        let state = match status {
            Some(BucketVersioningStatus::ENABLED) => Versioning::Enabled,
            Some(BucketVersioningStatus::SUSPENDED) => Versioning::Suspended,
            Some(_) | None => {
                return Err(S3Error::with_message(
                    S3ErrorCode::MalformedXML,
                    "The status is Enabled or Suspended.",
                ));
            }
        };
        let bucket = &request.input.bucket;
        self.vault.set_versioning(&call, bucket, state).await?;
        ok(PutBucketVersioningOutput::default())
    }

    /// Lists versions and delete markers.
    pub(super) async fn list_object_versions(
        &self,
        request: S3Request<ListObjectVersionsInput>,
    ) -> S3Result<S3Response<ListObjectVersionsOutput>> {
        let call = call_of(&request)?;
        let asked = request.input;
        let echoed = [&asked.prefix, &asked.delimiter, &asked.key_marker].map(Option::as_deref);
        let texts = Texts::asked(asked.encoding_type.as_ref(), echoed)?;
        let limit = listing::page(asked.max_keys)?;
        let behind = version_named(asked.version_id_marker.as_deref())?;
        let after = listing::some(asked.key_marker.clone());
        if after.is_none() && behind.is_some() {
            return Err(invalid_argument("version-id-marker needs a key-marker."));
        }
        let query = VersionQuery {
            prefix: asked.prefix.clone().unwrap_or_default(),
            delimiter: listing::some(asked.delimiter.clone()),
            after: after.map(|key| (key, behind)),
            limit,
        };
        let vault = &self.vault;
        let page = vault.list_versions(&call, &asked.bucket, query).await?;
        let owner = self.owner(&asked.bucket);
        let listed = listed(page, texts, Some(&owner));
        ok(ListObjectVersionsOutput {
            common_prefixes: Some(listed.prefixes),
            delete_markers: Some(listed.markers),
            delimiter: listing::some(asked.delimiter).map(|text| texts.write(&text)),
            encoding_type: texts.told(),
            is_truncated: Some(listed.last.is_some()),
            key_marker: Some(texts.write(asked.key_marker.as_deref().unwrap_or_default())),
            max_keys: listing::told(limit),
            name: Some(asked.bucket),
            next_version_id_marker: listed.last.as_ref().and_then(|(_, name)| name.clone()),
            next_key_marker: listed.last.map(|(text, _)| texts.write(&text)),
            prefix: Some(texts.write(asked.prefix.as_deref().unwrap_or_default())),
            version_id_marker: asked.version_id_marker,
            versions: Some(listed.versions),
            ..ListObjectVersionsOutput::default()
        })
    }
}

/// A page in S3's words.
#[derive(Default)]
struct Listed {
    versions: Vec<ObjectVersion>,
    markers: Vec<DeleteMarkerEntry>,
    prefixes: Vec<CommonPrefix>,
    /// Key and version of the last entry, if more follow it; a folded prefix has no version.
    last: Option<(String, Option<String>)>,
}

fn listed(page: VersionPage, texts: Texts, owner: Option<&Owner>) -> Listed {
    let mut out = Listed {
        last: page.entries.last().filter(|_| page.more).map(position),
        ..Listed::default()
    };
    for entry in page.entries {
        match entry {
            VersionEntry::Prefix(text) => out.prefixes.push(CommonPrefix {
                prefix: Some(texts.write(&text)),
            }),
            VersionEntry::Version {
                key,
                name,
                latest,
                modified,
                object: Some((bytes, tag)),
            } => out.versions.push(ObjectVersion {
                e_tag: Some(etag(&tag)),
                is_latest: Some(latest),
                key: Some(texts.write(key.as_str())),
                last_modified: times::told(modified),
                owner: owner.cloned(),
                size: Some(length(bytes)),
                storage_class: Some(ObjectVersionStorageClass::from_static(
                    ObjectVersionStorageClass::STANDARD,
                )),
                version_id: Some(name.to_string()),
                ..ObjectVersion::default()
            }),
            VersionEntry::Version {
                key,
                name,
                latest,
                modified,
                object: None,
            } => out.markers.push(DeleteMarkerEntry {
                is_latest: Some(latest),
                key: Some(texts.write(key.as_str())),
                last_modified: times::told(modified),
                owner: owner.cloned(),
                version_id: Some(name.to_string()),
            }),
        }
    }
    out
}

fn position(entry: &VersionEntry) -> (String, Option<String>) {
    match entry {
        VersionEntry::Version { key, name, .. } => (key.to_string(), Some(name.to_string())),
        VersionEntry::Prefix(text) => (text.clone(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{ETag, Timestamp, VersionId, VersionName};

    fn version(name: VersionName, marker: bool) -> VersionEntry {
        let id = VersionId::from_bytes([1; 16]);
        VersionEntry::Version {
            key: "a b".parse().unwrap(),
            name,
            latest: marker,
            modified: Timestamp::from_millis(1_500),
            object: (!marker).then(|| (5, ETag::of(&id, 1))),
        }
    }

    #[test]
    fn entries_keep_their_kinds() {
        let id = VersionName::Id(VersionId::from_bytes([2; 16]));
        let page = VersionPage {
            entries: vec![
                version(id, true),
                version(VersionName::Null, false),
                VersionEntry::Prefix("c/".to_owned()),
            ],
            more: false,
        };
        let listed = listed(page, Texts::Url, None);
        assert_eq!(listed.markers[0].version_id, Some("02".repeat(16)));
        assert_eq!(listed.markers[0].is_latest, Some(true));
        assert_eq!(listed.versions[0].version_id.as_deref(), Some("null"));
        assert_eq!(listed.versions[0].key.as_deref(), Some("a%20b"));
        assert_eq!(listed.prefixes[0].prefix.as_deref(), Some("c/"));
        assert_eq!(listed.last, None);
    }

    #[test]
    fn a_page_continues_behind_its_last_version() {
        let page = |entry| VersionPage {
            entries: vec![entry],
            more: true,
        };
        let last = listed(page(version(VersionName::Null, true)), Texts::Plain, None).last;
        assert_eq!(last, Some(("a b".to_owned(), Some("null".to_owned()))));
        let fold = VersionEntry::Prefix("c/".to_owned());
        let last = listed(page(fold), Texts::Plain, None).last;
        assert_eq!(last, Some(("c/".to_owned(), None)));
    }
}
