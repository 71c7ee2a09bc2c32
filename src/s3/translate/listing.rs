//! Listings: page sizes, continuation tokens, `encoding-type=url`.

use data_encoding::BASE64URL_NOPAD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::S3Result;
use s3s::dto::EncodingType;

use crate::s3::error::invalid_argument;
use crate::types::limits;

/// What `encoding-type=url` leaves as it is: RFC 3986's unreserved characters and `/`.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');

/// Says which form of token this is.
const TOKEN_FORM: u8 = 1;

/// The size of a page: as asked, at most 1,000.
pub(in crate::s3) fn page(asked: Option<i32>) -> S3Result<usize> {
    let Some(asked) = asked else {
        return Ok(limits::PAGE_ENTRIES_MAX);
    };
    usize::try_from(asked)
        .map(|n| n.min(limits::PAGE_ENTRIES_MAX))
        .map_err(|_negative| invalid_argument("A page's size is 0 to 1000."))
}

/// A page's size as S3 repeats it.
pub(in crate::s3) fn told(page: usize) -> Option<i32> {
    i32::try_from(page).ok()
}

/// How texts of one answer are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::s3) enum Texts {
    /// As they are.
    Plain,
    /// Percent-encoded.
    Url,
}

impl Texts {
    /// As the client asked, where the answer will repeat the texts `echoed`.
    pub(in crate::s3) fn asked(
        encoding: Option<&EncodingType>,
        echoed: [Option<&str>; 3],
    ) -> S3Result<Self> {
        let texts = match encoding.map(EncodingType::as_str) {
            None | Some("") => Self::Plain,
            Some(EncodingType::URL) => Self::Url,
            Some(_) => return Err(invalid_argument("encoding-type is url.")),
        };
        texts.check(&echoed)?;
        Ok(texts)
    }

    /// Refuses a text of the request that the answer would repeat and cannot.
    pub(in crate::s3) fn check(self, echoed: &[Option<&str>]) -> S3Result<()> {
        let mut texts = echoed.iter().flatten();
        if self == Self::Url || texts.all(|text| fits_xml(text)) {
            return Ok(());
        }
        Err(invalid_argument(
            "XML cannot carry these characters; ask with encoding-type=url.",
        ))
    }

    /// One text.
    pub(in crate::s3) fn write(self, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Url => utf8_percent_encode(text, KEPT).to_string(),
        }
    }

    /// What the answer says about it.
    pub(in crate::s3) fn told(self) -> Option<EncodingType> {
        (self == Self::Url).then(|| EncodingType::from_static(EncodingType::URL))
    }
}

/// Whether XML 1.0 can carry a text (its production `Char`; Rust's `char` has no surrogates).
pub(in crate::s3) fn fits_xml(text: &str) -> bool {
    text.chars().all(|c| match c {
        '\t' | '\n' | '\r' => true,
        '\u{fffe}' | '\u{ffff}' => false,
        c => c >= ' ',
    })
}

/// A token that continues behind `after`.
///
/// It grants nothing: whoever may list may begin anywhere (`start-after`). So it is not
/// authenticated, only opaque and read strictly.
pub(in crate::s3) fn token(after: &str) -> String {
    let mut bytes = vec![TOKEN_FORM];
    bytes.extend_from_slice(after.as_bytes());
    BASE64URL_NOPAD.encode(&bytes)
}

/// Where a token continues.
pub(in crate::s3) fn after(token: &str) -> S3Result<String> {
    BASE64URL_NOPAD
        .decode(token.as_bytes())
        .ok()
        .and_then(|bytes| {
            let (form, text) = bytes.split_first()?;
            let fits = *form == TOKEN_FORM && text.len() <= limits::OBJECT_KEY_BYTES_MAX;
            fits.then(|| String::from_utf8(text.to_vec()).ok())?
        })
        .filter(|text| !text.is_empty())
        .ok_or_else(|| invalid_argument("The continuation token is not one of ours."))
}

/// Up to and with the first delimiter behind the prefix: what a key is folded into, if anything.
pub(in crate::s3) fn folded<'a>(key: &'a str, prefix: &str, delimiter: &str) -> Option<&'a str> {
    let rest = key.strip_prefix(prefix)?;
    let at = rest.find(delimiter)?;
    let end = prefix
        .len()
        .saturating_add(at)
        .saturating_add(delimiter.len());
    key.get(..end)
}

/// Where a listing goes on that ended with `marker`: behind all keys folded into it, if it is what
/// keys are folded into.
pub(in crate::s3) fn behind(marker: String, prefix: &str, delimiter: Option<&str>) -> String {
    let fold = delimiter.and_then(|delimiter| folded(&marker, prefix, delimiter));
    if fold != Some(marker.as_str()) {
        return marker;
    }
    // No key is longer, and no character sorts behind this one, which takes four bytes.
    let room = limits::OBJECT_KEY_BYTES_MAX.saturating_sub(marker.len());
    let last = "\u{10ffff}".repeat(room.div_ceil(4));
    [marker, last].concat()
}

/// A text that counts only when it is not empty.
pub(in crate::s3) fn some(text: Option<String>) -> Option<String> {
    text.filter(|t| !t.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pages_have_a_bound() {
        for (asked, size) in [(None, 1000), (Some(0), 0), (Some(7), 7), (Some(5000), 1000)] {
            assert_eq!(page(asked).unwrap(), size);
        }
        assert!(page(Some(-1)).is_err());
    }

    #[test]
    fn url_encoding_keeps_slashes() {
        for (text, encoded) in [
            ("a/b-c_d.e~f", "a/b-c_d.e~f"),
            ("a b+c", "a%20b%2Bc"),
            ("é&<\u{ffff}", "%C3%A9%26%3C%EF%BF%BF"),
        ] {
            assert_eq!(Texts::Url.write(text), encoded);
            assert_eq!(Texts::Plain.write(text), text);
        }
        let other = EncodingType::from("base64".to_owned());
        assert!(Texts::asked(Some(&other), [None; 3]).is_err());
    }

    #[test]
    fn what_xml_cannot_carry_is_refused_unless_encoded() {
        for bad in ["\0", "a\u{1}", "\u{1f}b", "\u{b}", "\u{fffe}", "\u{ffff}"] {
            assert!(Texts::Plain.check(&[None, Some(bad)]).is_err(), "{bad:?}");
            Texts::Url.check(&[Some(bad)]).unwrap();
        }
        for good in ["", "\t\n\r", "é<&>\"", "\u{7f}", "\u{fffd}", "\u{1f600}"] {
            Texts::Plain.check(&[Some(good), None]).unwrap();
        }
    }

    #[test]
    fn keys_fold_at_the_first_delimiter_behind_the_prefix() {
        for (key, prefix, delimiter, fold) in [
            ("a/b/c", "", "/", Some("a/")),
            ("a/b/c", "a/", "/", Some("a/b/")),
            ("a/b", "a/", "/", None),
            ("a/b", "b", "/", None),
            ("/a", "", "/", Some("/")),
            ("aéb", "a", "é", Some("aé")),
            ("a--b", "", "--", Some("a--")),
        ] {
            assert_eq!(folded(key, prefix, delimiter), fold, "{key} {prefix}");
        }
    }

    #[test]
    fn a_page_that_ended_with_a_fold_goes_on_behind_it() {
        let next = behind("a/".to_owned(), "", Some("/"));
        for inside in ["a/", "a/z", "a/\u{10ffff}\u{10ffff}", "a/~/b"] {
            assert!(next.as_str() > inside, "{inside}");
        }
        assert!(next.as_str() < "a0" && next.as_str() < "b/");
        for (marker, prefix, delimiter) in [
            ("a/b", "", Some("/")),
            ("a/", "a/", Some("/")),
            ("a/", "b", Some("/")),
            ("a/", "", None),
        ] {
            assert_eq!(behind(marker.to_owned(), prefix, delimiter), marker);
        }
    }

    #[test]
    fn foreign_tokens_are_refused() {
        let long = token(&"k".repeat(limits::OBJECT_KEY_BYTES_MAX + 1));
        let padded = format!("{}=", token("ab"));
        for bad in [
            "", "AQ", "Amtr", "AWtl=", "key", "AX8A", "Af__", "!!", &long, &padded,
        ] {
            let verdict = after(bad);
            if bad == "AX8A" {
                assert!(verdict.is_ok(), "{bad}");
            } else {
                assert!(verdict.is_err(), "{bad}");
            }
        }
    }

    proptest! {
        #[test]
        fn tokens_round_trip(text in "\\PC{1,80}") {
            prop_assert_eq!(after(&token(&text)).unwrap(), text);
        }

        #[test]
        fn no_token_panics(text in "[A-Za-z0-9_-]{0,60}") {
            if let Ok(found) = after(&text) {
                prop_assert_eq!(token(&found), text);
            }
        }
    }
}
