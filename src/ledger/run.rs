//! Objects that were handed out under one record: a run of a published version's names, from the
//! record's key to the last one that its query names, both of it, in byte order.
//!
//! ```text
//! query = "version=" number (" objects=" | " packed=") count " last=" key
//! ```
//!
//! A record says no more of what stood between, so a run answers what it *may* have handed out:
//! whoever asks who got a key must be told of each run that may have held it.

use std::fmt;

use super::record::Intent;
use crate::types::Action;

/// Records of older programs kept so many characters of the text: of one that is as long, the last
/// key may be cut.
const CUT_CHARS: usize = 512;

/// What was handed out of each object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Handed {
    /// Its key.
    Objects,
    /// Its sealed bytes.
    Packed,
}

/// How a record tells of a run. It fits [`crate::types::limits::RECORD_TEXT_BYTES_MAX`] whatever
/// the key, and is not to be cut.
#[must_use]
pub fn run_words(number: u32, handed: Handed, count: usize, last: impl fmt::Display) -> String {
    let what = match handed {
        Handed::Objects => "objects",
        Handed::Packed => "packed",
    };
    format!("version={number} {what}={count} last={last}")
}

/// Where a run ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RunEnd<'a> {
    /// The last object's key, or what the record holds of its beginning.
    pub last: &'a str,
    /// Whether the key may have been longer.
    pub cut: bool,
}

impl<'a> RunEnd<'a> {
    /// Reads a record's action and query; `None` where it tells of no run.
    #[must_use]
    pub fn read(action: Option<Action>, query: Option<&'a str>) -> Option<Self> {
        let query = query.filter(|_| action == Some(Action::ObjectRead))?;
        let (number, rest) = query.strip_prefix("version=")?.split_once(' ')?;
        let count = rest.strip_prefix("objects=");
        let (count, last) = count
            .or_else(|| rest.strip_prefix("packed="))?
            .split_once(" last=")?;
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        (digits(number) && digits(count) && !last.is_empty()).then(|| Self {
            last,
            cut: query.chars().count() == CUT_CHARS,
        })
    }

    /// Of a record.
    #[must_use]
    pub fn of(intent: &'a Intent) -> Option<Self> {
        Self::read(intent.action, intent.query.as_deref())
    }

    /// Whether a run that begins at `first` may have held `key`.
    #[must_use]
    pub fn may_hold(&self, first: &str, key: &str) -> bool {
        first <= key && (key <= self.last || (self.cut && key.starts_with(self.last)))
    }

    /// Whether a run that begins at `first` may have held a key that begins with `prefix`.
    #[must_use]
    pub fn may_hold_under(&self, first: &str, prefix: &str) -> bool {
        let cut = self.cut && prefix.starts_with(self.last);
        (first <= prefix || first.starts_with(prefix)) && (prefix <= self.last || cut)
    }

    /// A text that no key of the run is behind: the last key, or, where that may be cut, what there
    /// is of it and the last character that there is.
    #[must_use]
    pub fn bound(&self) -> String {
        let end = if self.cut { "\u{10ffff}" } else { "" };
        format!("{}{end}", self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::limits::{OBJECT_KEY_BYTES_MAX, RECORD_TEXT_BYTES_MAX};

    fn read(query: &str) -> Option<RunEnd<'_>> {
        RunEnd::read(Some(Action::ObjectRead), Some(query))
    }

    /// Whether the run from `first` to `last` may hold `key`.
    fn holds(first: &str, last: &str, key: &str) -> bool {
        let words = run_words(1, Handed::Objects, 2, last);
        let end = read(&words).unwrap();
        assert!(!end.cut, "{words}");
        end.may_hold(first, key)
    }

    fn holds_under(first: &str, last: &str, prefix: &str) -> bool {
        let words = run_words(1, Handed::Packed, 2, last);
        read(&words).unwrap().may_hold_under(first, prefix)
    }

    /// As older programs kept it.
    fn older(last: &str) -> String {
        let words = run_words(1, Handed::Objects, 2, last);
        words.chars().take(CUT_CHARS).collect()
    }

    #[test]
    fn a_run_holds_its_ends_and_what_is_between_in_byte_order() {
        for key in ["p01", "p02", "p019", "p40", "p4", "p1/x"] {
            assert!(holds("p01", "p40", key), "{key}");
        }
        for key in ["p", "p0", "p00", "p/01", "P20", "o", ""] {
            assert!(!holds("p01", "p40", key), "{key}");
        }
        for key in ["p400", "p40/", "p5", "q", "é", "p4\u{10ffff}"] {
            assert!(!holds("p01", "p40", key), "{key}");
        }
        // Not as numbers, nor as a person would sort them.
        assert!(!holds("p2", "p9", "p10"));
        assert!(holds("p10", "p9", "p2"));
        assert!(!holds("a", "b", "A"));
        // One that ends before it begins holds nothing.
        assert!(!holds("b", "a", "a") && !holds("b", "a", "b"));
    }

    #[test]
    fn bytes_decide_of_letters_beyond_ascii() {
        assert!(holds("e", "z", "f"));
        assert!(!holds("e", "z", "é"), "é is 0xc3 …, behind z");
        assert!(holds("z", "ü", "é"));
        assert!(!holds("z", "é", "ü"));
        // As UTF-16 sorts them, it would be the other way round.
        assert!(!holds("a", "\u{ff21}", "\u{1f600}"));
        assert!(holds("a", "\u{1f600}", "\u{ff21}"));
        // The same letter, written otherwise, is another key.
        assert!(!holds("é", "é", "e\u{301}"));
    }

    #[test]
    fn a_prefix_fits_where_any_key_of_the_run_may_begin_so() {
        for prefix in ["", "a", "a/1", "a/2", "a/10", "a/3"] {
            assert!(holds_under("a/1", "a/3", prefix), "{prefix}");
        }
        // The directory that begins with the run's end, or in which it begins.
        assert!(holds_under("a/9", "c/1", "b/"));
        assert!(holds_under("a/9", "c/1", "a/"));
        assert!(holds_under("a/9", "c/1", "c/"));
        // Keys of the directory `a/1/` stand between `a/1` and `a/2`.
        assert!(holds_under("a/1", "a/3", "a/1/"));
        for prefix in ["a/0", "a/30", "a/4", "b", "A", "a/3/", "a1", "é"] {
            assert!(!holds_under("a/1", "a/3", prefix), "{prefix}");
        }
        assert!(!holds_under("b/1", "b/2", "a/"));
        assert!(!holds_under("b/1", "b/2", "b/3"));
        assert!(!holds_under("b/1", "b/2", "c/"));
    }

    #[test]
    fn a_last_key_that_was_cut_hides_nothing() {
        let last = format!("d/{}z", "x".repeat(900));
        let words = older(&last);
        let end = read(&words).unwrap();
        assert!(end.cut && last.starts_with(end.last));
        let rest = end.last.len();
        let before = format!("d/{}", "x".repeat(rest - 3));
        for key in ["d/a", "d/w", &before, end.last, &last] {
            assert!(end.may_hold("c", key), "{key}");
            assert!(key <= end.bound().as_str(), "{key}");
        }
        // What the lost rest may have been.
        assert!(end.may_hold("c", &format!("{}zzz", end.last)));
        assert!(end.may_hold_under("c", &last));
        // What it cannot have been.
        for key in ["d/y", "e", "b", "d/xy"] {
            assert!(!end.may_hold("c", key), "{key}");
            assert!(!end.may_hold_under("c", key), "{key}");
        }
        // Characters were counted, not bytes.
        let words = older(&"é".repeat(500));
        assert!(read(&words).unwrap().cut);
    }

    #[test]
    fn a_record_of_today_is_never_cut() {
        let last = "é".repeat(OBJECT_KEY_BYTES_MAX / 2);
        let words = run_words(u32::MAX, Handed::Objects, usize::MAX, &last);
        assert!(words.len() <= RECORD_TEXT_BYTES_MAX);
        let end = read(&words).unwrap();
        assert_eq!((end.last, end.cut), (&*last, false));
        assert!(!end.may_hold("a", &format!("{last}x")));
        assert_eq!(end.bound(), last);
        // Of one as long as a cut one it is not known: it is taken for cut.
        let head = run_words(1, Handed::Objects, 2, "").len();
        let words = run_words(1, Handed::Objects, 2, "x".repeat(CUT_CHARS - head));
        assert!(read(&words).unwrap().cut);
        for len in [CUT_CHARS - head - 1, CUT_CHARS - head + 1] {
            let words = run_words(1, Handed::Objects, 2, "x".repeat(len));
            assert!(!read(&words).unwrap().cut, "{len}");
        }
    }

    #[test]
    fn other_records_tell_of_no_run() {
        for query in [
            "",
            "version=1",
            "version=1 packed",
            "version=1 objects=2",
            "version=1 objects=2 last=",
            "version=1 objects= last=b",
            "version=1 objects=x last=b",
            "version= objects=2 last=b",
            "version=-1 objects=2 last=b",
            "version=1 open=2 last=b",
            "version=1 blob=2 sealed=0-9",
            "version=1  objects=2 last=b",
            " version=1 objects=2 last=b",
            "prefix=version=1 objects=2 last=b",
        ] {
            assert_eq!(read(query), None, "{query}");
        }
        let words = run_words(1, Handed::Objects, 2, "b");
        // A listing's prefix may be any text.
        for action in [None, Some(Action::ObjectList), Some(Action::LogRead)] {
            assert_eq!(RunEnd::read(action, Some(&words)), None, "{action:?}");
        }
        assert_eq!(RunEnd::read(Some(Action::ObjectRead), None), None);
        // A key may look like anything.
        let odd = "a last=b version=2 objects=1 last=c";
        assert_eq!(
            read(&run_words(1, Handed::Packed, 3, odd)).unwrap().last,
            odd
        );
    }
}
