//! The rules of a listing, without a database: where it begins and ends, what folds into what.
//!
//! Everything is compared as bytes. An entry (a key, or a folded prefix) belongs to a page exactly
//! if its own text is after the query's `after`.

use super::ListQuery;

/// Above every UTF-8 text: no UTF-8 byte is 0xFF.
const ABOVE_ALL: &[u8] = &[0xff];

/// The keys in question: from `start` (itself included) up to, not including, `end`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: Vec<u8>,
    pub(super) end: Vec<u8>,
}

/// The least byte string above every one that begins with `prefix`.
pub(super) fn successor(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            return end;
        }
    }
    ABOVE_ALL.to_vec()
}

/// The least byte string above `text` itself.
pub(super) fn just_after(text: &[u8]) -> Vec<u8> {
    let mut next = text.to_vec();
    next.push(0);
    next
}

/// The folded prefix under which `key` is listed, if it folds: up to and including the first
/// delimiter after the query's prefix. `key` begins with that prefix.
pub(super) fn folded<'k>(query: &ListQuery, key: &'k str) -> Option<&'k str> {
    let delimiter = query.delimiter.as_deref().filter(|d| !d.is_empty())?;
    let rest = key.get(query.prefix.len()..)?;
    let at = rest.find(delimiter)?;
    let end = query.prefix.len().checked_add(at)?;
    key.get(..end.checked_add(delimiter.len())?)
}

/// Where a listing begins and ends.
pub(super) fn span(query: &ListQuery) -> Span {
    let prefix = query.prefix.as_bytes();
    let end = successor(prefix);
    let start = match query.after.as_deref() {
        None | Some("") => prefix.to_vec(),
        // What `after` folds into was returned before it: nothing under that prefix is wanted.
        Some(after) if after.starts_with(&query.prefix) => folded(query, after)
            .map_or_else(|| just_after(after.as_bytes()), |f| successor(f.as_bytes())),
        Some(after) => just_after(after.as_bytes()).max(prefix.to_vec()),
    };
    Span { start, end }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(prefix: &str, delimiter: &str, after: &str) -> ListQuery {
        ListQuery {
            prefix: prefix.into(),
            delimiter: Some(delimiter.into()),
            after: Some(after.into()),
            limit: 1,
        }
    }

    #[test]
    fn a_successor_is_above_all_that_begin_so() {
        assert_eq!(successor(b"a/"), b"a0");
        assert_eq!(successor(&[b'a', 0xff, 0xff]), b"b");
        assert_eq!(successor(&[0xff]), ABOVE_ALL);
        assert_eq!(successor(b""), ABOVE_ALL);
        let last = "\u{10ffff}".repeat(4);
        assert!(successor(b"") > last.as_bytes().to_vec());
        assert!(successor(last.as_bytes()) > last.as_bytes().to_vec());
    }

    #[test]
    fn folding_begins_after_the_prefix() {
        assert_eq!(folded(&query("a/", "/", ""), "a/b/c"), Some("a/b/"));
        assert_eq!(folded(&query("a/", "/", ""), "a//c"), Some("a//"));
        assert_eq!(folded(&query("a/", "/", ""), "a/c"), None);
        assert_eq!(folded(&query("", "::", ""), "a:b::c"), Some("a:b::"));
        assert_eq!(folded(&query("a:", "::", ""), "a::b"), None);
        assert_eq!(folded(&query("", "", ""), "a/b"), None);
        assert_eq!(folded(&query("", "é", ""), "caf\u{e9}s"), Some("caf\u{e9}"));
    }

    #[test]
    fn a_span_begins_after_what_was_returned() {
        let starts = [
            ("p/", "/", "", &b"p/"[..]),
            ("p/", "/", "a", b"p/"),
            ("p/", "/", "p/x", b"p/x\0"),
            ("p/", "/", "p/x/", b"p/x0"),
            ("p/", "/", "p/x/y/z", b"p/x0"),
            ("p/", "/", "q", b"q\0"),
            ("p/", "", "p/x/y", b"p/x/y\0"),
        ];
        for (prefix, delimiter, after, start) in starts {
            let span = span(&query(prefix, delimiter, after));
            assert_eq!(span.start, start, "{prefix} {after}");
            assert_eq!(span.end, b"p0");
        }
    }
}
