//! Reads: an object's bytes, or what is known of it.

use http::{HeaderMap, HeaderName};
use s3s::dto::{
    Checksum, ChecksumMode, GetObjectAttributesInput, GetObjectAttributesOutput,
    GetObjectAttributesParts, GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput,
    ObjectAttributes, ObjectLockLegalHoldStatus, ObjectLockMode, ObjectPart, Range, StorageClass,
};
use s3s::{S3Request, S3Response, S3Result};

use super::{Handlers, call_of, ok, place};
use crate::catalog::ObjectRow;
use crate::s3::body;
use crate::s3::error::invalid_argument;
use crate::s3::translate::checksums::{Told, tell_checksums};
use crate::s3::translate::conditions::Sent;
use crate::s3::translate::lifecycle::expiration;
use crate::s3::translate::listing;
use crate::s3::translate::wishes::{mode_name, tell_sealed};
use crate::s3::translate::{etag, length, metadata, ranges, tags, times};
use crate::types::{ByteRange, Checksums};
use crate::vault::{ReadAsk, Seen, Span};

const IF_RANGE: HeaderName = http::header::IF_RANGE;

/// What a GET or HEAD asks for. A server may always ignore `Range`, and must when it cannot tell
/// whether `If-Range` holds (RFC 9110, section 13.1.5).
fn span_of(range: Option<Range>, part: Option<i32>, headers: &HeaderMap) -> S3Result<Span> {
    ranges::span(range.filter(|_| !headers.contains_key(IF_RANGE)), part)
}

/// The checksums to tell, to whoever asks for them: those of the whole object to whoever reads all
/// of it, those of a part to whoever asks for it by its number. The type is the object's.
fn told(mode: Option<&ChecksumMode>, seen: &Seen) -> Told {
    let asked = mode.is_some_and(|m| m.as_str() == ChecksumMode::ENABLED);
    match seen.parts.as_slice() {
        [part] if asked => Told {
            composite: seen.row.checksums.composite,
            ..Told::of(part)
        },
        _ if asked && seen.range.is_none() => Told::of(&seen.row.checksums),
        _ => Told::default(),
    }
}

/// Whether a version is under legal hold, as far as it was ever said.
fn held(seen: &Seen) -> Option<ObjectLockLegalHoldStatus> {
    let hold = seen.row.attached.facts.lock.hold;
    hold.then(|| ObjectLockLegalHoldStatus::from_static(ObjectLockLegalHoldStatus::ON))
}

fn bytes_of(seen: &Seen) -> u64 {
    seen.range.map_or(seen.row.bytes, ByteRange::len)
}

fn parts_of(row: &ObjectRow, part: Option<i32>) -> Option<i32> {
    part.filter(|_| !row.part_bytes.is_empty())?;
    i32::try_from(row.part_bytes.len()).ok()
}

/// Reads what GET and HEAD ask alike. Their inputs share the names of fields, but no type.
macro_rules! read_ask {
    ($asked:ident, $headers:expr) => {{
        let span = span_of($asked.range, $asked.part_number, $headers)?;
        let sent = Sent {
            matches: $asked.if_match,
            differs: $asked.if_none_match,
            modified: $asked.if_modified_since,
            unmodified: $asked.if_unmodified_since,
        };
        ReadAsk {
            span,
            conditions: sent.conditions(),
            parts: false,
        }
    }};
}

/// Writes what GET and HEAD have in common.
macro_rules! tell_object {
    ($output:ident, $seen:expr, $mode:expr, $part:expr) => {{
        let seen: &Seen = $seen;
        let (row, meta) = (&seen.row, &seen.row.meta);
        let told = told($mode, seen);
        $output.checksum_type = told.kind();
        tell_checksums!($output, told);
        $output.accept_ranges = Some("bytes".to_owned());
        $output.cache_control = meta.cache_control.clone();
        $output.content_disposition = meta.content_disposition.clone();
        $output.content_encoding = meta.content_encoding.clone();
        $output.content_language = meta.content_language.clone();
        $output.content_length = Some(length(bytes_of(seen)));
        $output.content_range = seen.range.map(|r| ranges::content_range(r, row.bytes));
        $output.content_type = Some(content_type(row));
        $output.e_tag = Some(etag(&row.etag));
        $output.expiration = seen.expires.as_ref().and_then(expiration);
        $output.expires = meta.expires.clone();
        $output.last_modified = times::told(row.modified);
        $output.metadata = metadata::returned(meta);
        $output.parts_count = parts_of(row, $part);
        let facts = &row.attached.facts;
        tell_sealed!($output, facts);
        if let Some(retention) = facts.lock.retention {
            let mode = ObjectLockMode::from_static(mode_name(retention.mode));
            $output.object_lock_mode = Some(mode);
            $output.object_lock_retain_until_date = times::told(retention.until);
        }
        $output.object_lock_legal_hold_status = held(seen);
        $output.tag_count = tags::count(&row.attached.tags);
        $output.version_id = seen.version.map(|name| name.to_string());
    }};
}

/// S3 calls an object that says nothing `binary/octet-stream`.
fn content_type(row: &ObjectRow) -> String {
    let known = row.meta.content_type.as_deref();
    known.unwrap_or("binary/octet-stream").to_owned()
}

/// A page of an object's parts; nothing for one that was not made of parts.
fn parts_told(
    (lengths, sums): (&[u64], &[Checksums]),
    asked: Option<i32>,
    marker: Option<i32>,
) -> S3Result<Option<GetObjectAttributesParts>> {
    if lengths.is_empty() {
        return Ok(None);
    }
    let limit = listing::page(asked)?;
    let after = usize::try_from(marker.unwrap_or(0))
        .map_err(|_negative| invalid_argument("A marker is not negative."))?;
    let numbered = (1..).zip(lengths).skip(after);
    let parts: Vec<ObjectPart> = numbered
        .take(limit)
        .zip(
            sums.iter()
                .map(Some)
                .chain(std::iter::repeat(None))
                .skip(after),
        )
        .map(|((number, bytes), sums)| {
            let mut part = ObjectPart {
                part_number: Some(number),
                size: Some(length(*bytes)),
                ..ObjectPart::default()
            };
            tell_checksums!(part, sums.map(Told::of).unwrap_or_default());
            part
        })
        .collect();
    let last = parts.last().and_then(|part| part.part_number);
    let end = after.saturating_add(parts.len());
    Ok(Some(GetObjectAttributesParts {
        is_truncated: Some(limit > 0 && end < lengths.len()),
        max_parts: listing::told(limit),
        next_part_number_marker: Some(last.or(marker).unwrap_or(0)),
        part_number_marker: Some(marker.unwrap_or(0)),
        parts: Some(parts),
        total_parts_count: i32::try_from(lengths.len()).ok(),
    }))
}

/// Whether a list of attributes holds this one. The library splits headers, not their values.
fn wants(list: &[ObjectAttributes], name: &str) -> bool {
    let mut names = list.iter().flat_map(|value| value.as_str().split(','));
    names.any(|found| found.trim() == name)
}

impl Handlers {
    /// An object's bytes.
    pub(super) async fn get_object(
        &self,
        request: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        let call = call_of(&request)?;
        let asked = request.input;
        let ask = read_ask!(asked, &request.headers);
        let place = place(&asked.bucket, &asked.key, asked.version_id.as_deref())?;
        let reading = self.vault.read_object(&call, place, ask).await?;

        let bytes = bytes_of(&reading.seen);
        let mut output = GetObjectOutput::default();
        tell_object!(
            output,
            &reading.seen,
            asked.checksum_mode.as_ref(),
            asked.part_number
        );
        output.body = if bytes == 0 {
            // Nobody polls an empty body; its record is to be completed all the same.
            body::drain_empty(reading.body).await?;
            None
        } else {
            Some(body::output(reading.body, bytes))
        };
        ok(output)
    }

    /// What is known of an object.
    pub(super) async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let call = call_of(&request)?;
        let asked = request.input;
        let ask = read_ask!(asked, &request.headers);
        let place = place(&asked.bucket, &asked.key, asked.version_id.as_deref())?;
        let seen = self.vault.head_object(&call, place, ask).await?;

        let mut output = HeadObjectOutput::default();
        tell_object!(
            output,
            &seen,
            asked.checksum_mode.as_ref(),
            asked.part_number
        );
        ok(output)
    }

    /// What is known of an object, as XML.
    pub(super) async fn get_object_attributes(
        &self,
        request: S3Request<GetObjectAttributesInput>,
    ) -> S3Result<S3Response<GetObjectAttributesOutput>> {
        let call = call_of(&request)?;
        let asked = request.input;
        let place = place(&asked.bucket, &asked.key, asked.version_id.as_deref())?;
        let wants = |name: &str| wants(&asked.object_attributes, name);
        let ask = ReadAsk {
            parts: wants(ObjectAttributes::OBJECT_PARTS),
            ..ReadAsk::default()
        };
        let seen = self.vault.head_object(&call, place, ask).await?;
        let row = &seen.row;
        let parts = wants(ObjectAttributes::OBJECT_PARTS).then(|| {
            let parts = (&row.part_bytes[..], &seen.parts[..]);
            parts_told(parts, asked.max_parts, asked.part_number_marker)
        });
        ok(GetObjectAttributesOutput {
            checksum: wants(ObjectAttributes::CHECKSUM).then(|| {
                let told = Told::of(&row.checksums);
                let mut out = Checksum {
                    checksum_type: told.kind(),
                    ..Checksum::default()
                };
                tell_checksums!(out, told);
                out
            }),
            e_tag: wants(ObjectAttributes::ETAG).then(|| etag(&row.etag)),
            last_modified: times::told(row.modified),
            version_id: seen.version.map(|name| name.to_string()),
            object_parts: parts.transpose()?.flatten(),
            object_size: wants(ObjectAttributes::OBJECT_SIZE).then(|| length(row.bytes)),
            storage_class: wants(ObjectAttributes::STORAGE_CLASS)
                .then(|| StorageClass::from_static(StorageClass::STANDARD)),
            ..GetObjectAttributesOutput::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_come_in_lists() {
        let lists = ["ETag, Checksum", "ObjectSize"].map(|t| ObjectAttributes::from(t.to_owned()));
        assert!(
            ["ETag", "Checksum", "ObjectSize"]
                .iter()
                .all(|name| wants(&lists, name))
        );
        assert!(!wants(&lists, "StorageClass"));
        assert!(!wants(&lists, "Object"));
    }

    #[test]
    fn parts_come_in_pages() {
        let page = |asked, marker| {
            parts_told((&[5, 6, 7], &[]), asked, marker)
                .unwrap()
                .unwrap()
        };
        let numbers = |told: &GetObjectAttributesParts| -> Vec<_> {
            let parts = told.parts.iter().flatten();
            parts
                .map(|p| (p.part_number.unwrap(), p.size.unwrap()))
                .collect()
        };
        let all = page(None, None);
        assert_eq!(numbers(&all), [(1, 5), (2, 6), (3, 7)]);
        assert_eq!(
            (all.is_truncated, all.total_parts_count),
            (Some(false), Some(3))
        );
        let some = page(Some(1), Some(1));
        assert_eq!(numbers(&some), [(2, 6)]);
        assert_eq!(
            (some.is_truncated, some.next_part_number_marker),
            (Some(true), Some(2))
        );
        assert_eq!(numbers(&page(Some(0), None)), []);
        assert_eq!(numbers(&page(Some(9), Some(3))), []);
        assert!(parts_told((&[], &[]), None, None).unwrap().is_none());
        assert!(parts_told((&[1], &[]), Some(-1), None).is_err());
        assert!(parts_told((&[1], &[]), None, Some(-1)).is_err());
    }

    #[test]
    fn if_range_gives_the_whole_object() {
        let range = Range::parse("bytes=1-2").unwrap();
        let mut headers = HeaderMap::new();
        assert_eq!(
            span_of(Some(range), None, &headers).unwrap(),
            Span::Between(1, 2)
        );
        headers.insert(IF_RANGE, http::HeaderValue::from_static("\"a\""));
        assert_eq!(span_of(Some(range), None, &headers).unwrap(), Span::All);
    }
}
