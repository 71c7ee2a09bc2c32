//! Ranges: `Range`, `partNumber`, `x-amz-copy-source-range`, `Content-Range`.

use s3s::S3Result;
use s3s::dto::Range;

use super::part_number;
use crate::s3::error::{invalid_argument, invalid_request};
use crate::types::ByteRange;
use crate::vault::Span;

/// What a read asks for. A range and a part together contradict each other.
pub(in crate::s3) fn span(range: Option<Range>, part: Option<i32>) -> S3Result<Span> {
    match (range, part) {
        (Some(_), Some(_)) => Err(invalid_request(
            "A request names a range or a part, not both.",
        )),
        (None, Some(part)) => Ok(Span::Part(part_number(part)?)),
        (None, None) => Ok(Span::All),
        (Some(range), None) => Ok(of_range(range)),
    }
}

const fn of_range(range: Range) -> Span {
    match range {
        Range::Int {
            first,
            last: Some(last),
        } => Span::Between(first, last),
        Range::Int { first, last: None } => Span::From(first),
        Range::Suffix { length } => Span::Last(length),
    }
}

/// The range of a copied part: both ends are named, `bytes=first-last`.
pub(in crate::s3) fn copied(range: Option<&str>) -> S3Result<Span> {
    let Some(text) = range else {
        return Ok(Span::All);
    };
    match Range::parse(text).map(of_range) {
        Ok(span @ Span::Between(..)) => Ok(span),
        Ok(Span::All | Span::From(_) | Span::Last(_) | Span::Part(_)) | Err(_) => Err(
            invalid_argument("x-amz-copy-source-range is bytes=first-last."),
        ),
    }
}

/// `Content-Range` of a range out of `whole` bytes.
pub(in crate::s3) fn content_range(range: ByteRange, whole: u64) -> String {
    let last = range.end().saturating_sub(1);
    format!("bytes {}-{last}/{whole}", range.start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_become_spans() {
        for (text, expected) in [
            ("bytes=0-0", Span::Between(0, 0)),
            ("bytes=5-9", Span::Between(5, 9)),
            ("bytes=5-", Span::From(5)),
            ("bytes=-5", Span::Last(5)),
            ("bytes=-0", Span::Last(0)),
        ] {
            let range = Range::parse(text).unwrap();
            assert_eq!(span(Some(range), None).unwrap(), expected, "{text}");
        }
        assert_eq!(span(None, None).unwrap(), Span::All);
        assert_eq!(span(None, Some(3)).unwrap(), Span::Part(3));
    }

    #[test]
    fn a_range_and_a_part_contradict_each_other() {
        let range = Range::parse("bytes=0-0").unwrap();
        assert!(span(Some(range), Some(1)).is_err());
        assert!(span(None, Some(0)).is_err());
        assert!(span(None, Some(10_001)).is_err());
    }

    #[test]
    fn a_copied_range_names_both_ends() {
        assert_eq!(copied(None).unwrap(), Span::All);
        assert_eq!(copied(Some("bytes=1-2")).unwrap(), Span::Between(1, 2));
        for bad in [
            "",
            "bytes=",
            "bytes=1-",
            "bytes=-1",
            "1-2",
            "bytes=2-1",
            "bytes=1-2,4-5",
        ] {
            assert!(copied(Some(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn content_ranges_include_their_last_byte() {
        let range = ByteRange::new(5, 10).unwrap();
        assert_eq!(content_range(range, 20), "bytes 5-9/20");
    }
}
