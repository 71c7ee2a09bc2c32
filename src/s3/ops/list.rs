//! Listings of objects, both versions of the call.

use s3s::dto::{
    CommonPrefix, ListObjectsInput, ListObjectsOutput, ListObjectsV2Input, ListObjectsV2Output,
    Object, ObjectStorageClass, Owner,
};
use s3s::{S3Request, S3Response, S3Result};

use super::{Handlers, call_of, ok};
use crate::catalog::{ListEntry, ListQuery, Page};
use crate::s3::translate::listing::{self, Texts};
use crate::s3::translate::{etag, length, times};

/// A page in S3's words.
struct Listed {
    contents: Vec<Object>,
    prefixes: Vec<CommonPrefix>,
    /// The last entry, if more follow it.
    last: Option<String>,
}

fn text_of(entry: &ListEntry) -> &str {
    match entry {
        ListEntry::Object { key, .. } => key.as_str(),
        ListEntry::Prefix(text) => text,
    }
}

fn listed(page: Page, texts: Texts, owner: Option<&Owner>) -> Listed {
    let last = page.entries.last().filter(|_| page.more);
    let last = last.map(|entry| text_of(entry).to_owned());
    let mut contents = Vec::new();
    let mut prefixes = Vec::new();
    for entry in page.entries {
        match entry {
            ListEntry::Prefix(text) => prefixes.push(CommonPrefix {
                prefix: Some(texts.write(&text)),
            }),
            ListEntry::Object {
                key,
                bytes,
                etag: tag,
                modified,
            } => contents.push(Object {
                e_tag: Some(etag(&tag)),
                key: Some(texts.write(key.as_str())),
                last_modified: times::told(modified),
                owner: owner.cloned(),
                size: Some(length(bytes)),
                storage_class: Some(ObjectStorageClass::from_static(
                    ObjectStorageClass::STANDARD,
                )),
                ..Object::default()
            }),
        }
    }
    Listed {
        contents,
        prefixes,
        last,
    }
}

impl Handlers {
    /// Lists objects, first version.
    pub(super) async fn list_objects(
        &self,
        request: S3Request<ListObjectsInput>,
    ) -> S3Result<S3Response<ListObjectsOutput>> {
        let call = call_of(&request)?;
        let asked = request.input;
        let texts = Texts::asked(asked.encoding_type.as_ref())?;
        texts.check(&[
            asked.prefix.as_deref(),
            asked.delimiter.as_deref(),
            asked.marker.as_deref(),
        ])?;
        let limit = listing::page(asked.max_keys)?;
        let query = ListQuery {
            prefix: asked.prefix.clone().unwrap_or_default(),
            delimiter: listing::some(asked.delimiter.clone()),
            after: listing::some(asked.marker.clone()),
            limit,
        };
        let page = self.vault.list_objects(&call, &asked.bucket, query).await?;
        let owner = self.owner(&asked.bucket);
        let listed = listed(page, texts, Some(&owner));
        ok(ListObjectsOutput {
            common_prefixes: Some(listed.prefixes),
            contents: Some(listed.contents),
            delimiter: listing::some(asked.delimiter).map(|text| texts.write(&text)),
            encoding_type: texts.told(),
            is_truncated: Some(listed.last.is_some()),
            marker: Some(texts.write(asked.marker.as_deref().unwrap_or_default())),
            max_keys: listing::told(limit),
            name: Some(asked.bucket),
            next_marker: listed.last.map(|text| texts.write(&text)),
            prefix: Some(texts.write(asked.prefix.as_deref().unwrap_or_default())),
            ..ListObjectsOutput::default()
        })
    }

    /// Lists objects, second version.
    pub(super) async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let call = call_of(&request)?;
        let asked = request.input;
        let texts = Texts::asked(asked.encoding_type.as_ref())?;
        texts.check(&[
            asked.prefix.as_deref(),
            asked.delimiter.as_deref(),
            asked.start_after.as_deref(),
        ])?;
        let limit = listing::page(asked.max_keys)?;
        let start = listing::some(asked.start_after);
        let token = asked.continuation_token;
        let continued = token
            .as_deref()
            .filter(|token| !token.is_empty())
            .map(listing::after)
            .transpose()?;
        let query = ListQuery {
            prefix: asked.prefix.clone().unwrap_or_default(),
            delimiter: listing::some(asked.delimiter.clone()),
            after: continued.or_else(|| start.clone()),
            limit,
        };
        let page = self.vault.list_objects(&call, &asked.bucket, query).await?;
        let count = page.entries.len();
        let owner = self.owner(&asked.bucket);
        let owner = Some(owner).filter(|_| asked.fetch_owner == Some(true));
        let listed = listed(page, texts, owner.as_ref());
        ok(ListObjectsV2Output {
            common_prefixes: Some(listed.prefixes),
            contents: Some(listed.contents),
            continuation_token: token,
            delimiter: listing::some(asked.delimiter).map(|text| texts.write(&text)),
            encoding_type: texts.told(),
            is_truncated: Some(listed.last.is_some()),
            key_count: listing::told(count),
            max_keys: listing::told(limit),
            name: Some(asked.bucket),
            next_continuation_token: listed.last.as_deref().map(listing::token),
            prefix: Some(texts.write(asked.prefix.as_deref().unwrap_or_default())),
            start_after: start.map(|text| texts.write(&text)),
            ..ListObjectsV2Output::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Timestamp, VersionId};

    fn page(more: bool) -> Page {
        Page {
            entries: vec![
                ListEntry::Object {
                    key: "a b".parse().unwrap(),
                    bytes: 5,
                    etag: crate::types::ETag::of(&VersionId::from_bytes([1; 16]), 1),
                    modified: Timestamp::from_millis(1_500),
                },
                ListEntry::Prefix("c/".to_owned()),
            ],
            more,
        }
    }

    #[test]
    fn entries_keep_their_kinds() {
        let listed = listed(page(false), Texts::Url, None);
        assert_eq!(listed.contents[0].key.as_deref(), Some("a%20b"));
        assert_eq!(listed.contents[0].size, Some(5));
        assert_eq!(listed.prefixes[0].prefix.as_deref(), Some("c/"));
        assert_eq!(listed.last, None);
    }

    #[test]
    fn a_page_continues_behind_its_last_entry() {
        assert_eq!(
            listed(page(true), Texts::Plain, None).last.as_deref(),
            Some("c/")
        );
    }

    #[test]
    fn an_empty_page_has_no_continuation() {
        let empty = Page {
            entries: Vec::new(),
            more: true,
        };
        assert_eq!(listed(empty, Texts::Plain, None).last, None);
    }
}
