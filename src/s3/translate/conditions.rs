//! Conditions: `If-Match` and its kin (RFC 9110, section 13).

use s3s::dto::{ETag, ETagCondition, Timestamp};

use super::times::named;
use crate::vault::{ReadConditions, TagMatch, WriteConditions};

/// How tags are compared (RFC 9110, section 8.8.3.2).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Compare {
    /// A weak tag equals nothing (`If-Match`).
    Strong,
    /// Weakness is overlooked (`If-None-Match`).
    Weak,
}

/// The four conditions of a read or of a copy's source, as they were sent.
pub(in crate::s3) struct Sent {
    /// `If-Match`.
    pub(in crate::s3) matches: Option<ETagCondition>,
    /// `If-None-Match`.
    pub(in crate::s3) differs: Option<ETagCondition>,
    /// `If-Modified-Since`.
    pub(in crate::s3) modified: Option<Timestamp>,
    /// `If-Unmodified-Since`.
    pub(in crate::s3) unmodified: Option<Timestamp>,
}

impl Sent {
    /// In the vault's words.
    pub(in crate::s3) fn conditions(self) -> ReadConditions {
        ReadConditions {
            matches: self.matches.map(|c| tags(&c, Compare::Strong)),
            differs: self.differs.map(|c| tags(&c, Compare::Weak)),
            modified_since: self.modified.map(named),
            unmodified_since: self.unmodified.map(named),
        }
    }
}

/// The conditions of a write.
pub(in crate::s3) fn write(
    matches: Option<&ETagCondition>,
    differs: Option<&ETagCondition>,
) -> WriteConditions {
    WriteConditions {
        matches: matches.map(|c| tags(c, Compare::Strong)),
        differs: differs.map(|c| tags(c, Compare::Weak)),
        ..WriteConditions::default()
    }
}

fn tags(condition: &ETagCondition, compare: Compare) -> TagMatch {
    match condition {
        ETagCondition::Any => TagMatch::Any,
        ETagCondition::ETag(tag) => TagMatch::Tags(split(tag, compare)),
    }
}

/// The tags of a list. The library reads `"a", "b"` as one tag from the first quote to the last.
fn split(tag: &ETag, compare: Compare) -> Vec<String> {
    let (mut weak, text) = match tag {
        ETag::Strong(text) => (false, text.as_str()),
        ETag::Weak(text) => (true, text.as_str()),
    };
    let mut out = Vec::new();
    let mut rest = text;
    loop {
        let (value, behind) = match rest.split_once('"') {
            None => (rest, None),
            Some((value, behind)) => (value, Some(behind)),
        };
        if !weak || compare == Compare::Weak {
            out.push(value.to_owned());
        }
        // Between two tags: `, ` and perhaps `W/`, then the next opening quote.
        let Some((between, next)) = behind.and_then(|b| b.split_once('"')) else {
            return out;
        };
        weak = between.trim_end().ends_with("W/");
        rest = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(header: &str, compare: Compare) -> TagMatch {
        tags(
            &ETagCondition::parse_http_header(header.as_bytes()).unwrap(),
            compare,
        )
    }

    fn of(tags: &[&str]) -> TagMatch {
        TagMatch::Tags(tags.iter().map(|t| (*t).to_owned()).collect())
    }

    #[test]
    fn tags_are_read_as_sent() {
        for (header, strong, weak) in [
            ("\"a-1\"", of(&["a-1"]), of(&["a-1"])),
            ("a-1", of(&["a-1"]), of(&["a-1"])),
            ("W/\"a\"", of(&[]), of(&["a"])),
            ("\"a\", \"b\"", of(&["a", "b"]), of(&["a", "b"])),
            ("\"a\",\"b\",W/\"c\"", of(&["a", "b"]), of(&["a", "b", "c"])),
            ("W/\"a\", \"b\"", of(&["b"]), of(&["a", "b"])),
            ("\"\"", of(&[""]), of(&[""])),
        ] {
            assert_eq!(parsed(header, Compare::Strong), strong, "{header}");
            assert_eq!(parsed(header, Compare::Weak), weak, "{header}");
        }
        assert_eq!(parsed("*", Compare::Strong), TagMatch::Any);
    }

    #[test]
    fn a_write_is_conditional_on_what_is_there() {
        let any = ETagCondition::Any;
        let tag = ETagCondition::ETag(ETag::Strong("a".to_owned()));
        assert_eq!(write(None, None), WriteConditions::default());
        assert_eq!(write(None, Some(&any)).differs, Some(TagMatch::Any));
        assert_eq!(write(Some(&tag), None).matches, Some(of(&["a"])));
        assert_eq!(write(None, Some(&tag)).differs, Some(of(&["a"])));
        let weak = ETagCondition::ETag(ETag::Weak("a".to_owned()));
        assert_eq!(write(Some(&weak), None).matches, Some(of(&[])));
    }
}
