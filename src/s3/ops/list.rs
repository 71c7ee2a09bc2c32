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

/// What both versions of the call ask alike.
struct Asked {
    texts: Texts,
    prefix: String,
    delimiter: Option<String>,
    limit: usize,
}

/// Reads it, with where the listing starts: a text that the answer repeats too. The inputs share
/// the names of fields, but no type.
macro_rules! asked {
    ($input:expr, $start:expr) => {{
        let start: Option<&str> = $start.as_deref();
        let echoed = [$input.prefix.as_deref(), $input.delimiter.as_deref(), start];
        let texts = Texts::asked($input.encoding_type.as_ref(), echoed)?;
        Asked {
            texts,
            prefix: $input.prefix.unwrap_or_default(),
            delimiter: listing::some($input.delimiter),
            limit: listing::page($input.max_keys)?,
        }
    }};
}

impl Asked {
    /// The vault's question: this page, behind `after`.
    fn query(&self, after: Option<String>) -> ListQuery {
        ListQuery {
            prefix: self.prefix.clone(),
            delimiter: self.delimiter.clone(),
            after,
            limit: self.limit,
        }
    }
}

/// Writes what both versions answer alike.
macro_rules! tell_page {
    ($output:ident, $bucket:expr, $asked:expr, $listed:expr) => {{
        let asked: &Asked = $asked;
        let listed: Listed = $listed;
        $output.is_truncated = Some(listed.last.is_some());
        $output.common_prefixes = Some(listed.prefixes);
        $output.contents = Some(listed.contents);
        $output.delimiter = asked
            .delimiter
            .as_deref()
            .map(|text| asked.texts.write(text));
        $output.encoding_type = asked.texts.told();
        $output.max_keys = listing::told(asked.limit);
        $output.name = Some($bucket);
        $output.prefix = Some(asked.texts.write(&asked.prefix));
    }};
}

impl Handlers {
    /// Lists objects, first version.
    pub(super) async fn list_objects(
        &self,
        request: S3Request<ListObjectsInput>,
    ) -> S3Result<S3Response<ListObjectsOutput>> {
        let call = call_of(&request)?;
        let input = request.input;
        let asked = asked!(input, input.marker);
        let marker = listing::some(input.marker);
        let query = asked.query(marker.clone());
        let page = self.vault.list_objects(&call, &input.bucket, query).await?;
        let owner = self.owner(&input.bucket);
        let listed = listed(page, asked.texts, Some(&owner));

        let mut output = ListObjectsOutput {
            marker: Some(asked.texts.write(marker.as_deref().unwrap_or_default())),
            next_marker: listed.last.as_deref().map(|text| asked.texts.write(text)),
            ..ListObjectsOutput::default()
        };
        tell_page!(output, input.bucket, &asked, listed);
        ok(output)
    }

    /// Lists objects, second version.
    pub(super) async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let call = call_of(&request)?;
        let input = request.input;
        let asked = asked!(input, input.start_after);
        let start = listing::some(input.start_after);
        let token = input.continuation_token;
        let continued = token
            .as_deref()
            .filter(|token| !token.is_empty())
            .map(listing::after)
            .transpose()?;
        let query = asked.query(continued.or_else(|| start.clone()));
        let page = self.vault.list_objects(&call, &input.bucket, query).await?;
        let count = page.entries.len();
        let owner = self.owner(&input.bucket);
        let owner = Some(owner).filter(|_| input.fetch_owner == Some(true));
        let listed = listed(page, asked.texts, owner.as_ref());

        let mut output = ListObjectsV2Output {
            continuation_token: token,
            key_count: listing::told(count),
            next_continuation_token: listed.last.as_deref().map(listing::token),
            start_after: start.map(|text| asked.texts.write(&text)),
            ..ListObjectsV2Output::default()
        };
        tell_page!(output, input.bucket, &asked, listed);
        ok(output)
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
