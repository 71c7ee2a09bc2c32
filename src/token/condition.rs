//! Conditions of a visa: on which other visas of the passport it depends (GA4GH Passport v1.3,
//! "conditions"). Alternatives of which one is met, each a list of clauses that are all met.

use serde::Deserialize;

use super::visa::Visa;
use crate::types::{Timestamp, limits};

/// One clause, as it is written. Anything else in it spoils its visa: a condition on a time, or on
/// a condition, is none.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Clause {
    #[serde(rename = "type")]
    kind: String,
    value: Option<String>,
    source: Option<String>,
    by: Option<String>,
}

/// The conditions of one visa; none where there are no alternatives.
#[derive(Deserialize, Debug, Default)]
#[serde(transparent)]
pub(super) struct Conditions(Vec<Vec<Clause>>);

impl Clause {
    /// Whether it names a type and something more, within bounds.
    fn is_whole(&self) -> bool {
        let more = [&self.value, &self.source, &self.by];
        let all = std::iter::once(&self.kind).chain(more.into_iter().flatten());
        let mut lengths = all.map(String::len);
        more.iter().any(|text| text.is_some())
            && lengths.all(|length| length <= 2 * limits::VISA_TEXT_BYTES_MAX)
    }

    fn is_met_by(&self, visa: &Visa) -> bool {
        let fits = |wanted: &Option<String>, text: Option<&str>| match wanted {
            Some(wanted) => text.is_some_and(|text| meets(wanted, text)),
            None => true,
        };
        self.kind == visa.kind
            && fits(&self.value, Some(&visa.value))
            && fits(&self.source, Some(&visa.source))
            && fits(&self.by, visa.by.as_deref())
    }
}

impl Conditions {
    pub(super) const fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether they are conditions, and not too many. No alternative is empty: nobody meets it.
    pub(super) fn are_whole(&self) -> bool {
        let clauses = self.0.iter().map(Vec::len).sum::<usize>();
        let clauses = clauses.max(self.0.len());
        clauses <= limits::VISA_CLAUSES_MAX
            && self.0.iter().all(|all| !all.is_empty())
            && self.0.iter().flatten().all(Clause::is_whole)
    }

    /// Until when they are met by `others`; nothing if they are not. A visa that has conditions
    /// itself meets none, so there is no circle.
    pub(super) fn end(&self, others: &[Visa]) -> Option<Timestamp> {
        let met = |clause: &Clause| {
            let those = others.iter().filter(|visa| visa.conditions.is_none());
            let those = those.filter(|visa| clause.is_met_by(visa));
            those.map(|visa| visa.ends).max()
        };
        let alternative = |all: &Vec<Clause>| {
            let ends: Option<Vec<Timestamp>> = all.iter().map(met).collect();
            ends?.into_iter().min()
        };
        self.0.iter().filter_map(alternative).max()
    }
}

/// Whether a text is what `wanted` says, as `const:…`, `pattern:…` or `split_pattern:…`. What is
/// said otherwise is met by nothing.
fn meets(wanted: &str, text: &str) -> bool {
    match wanted.split_once(':') {
        Some(("const", wanted)) => wanted == text,
        Some(("pattern", pattern)) => matches(pattern, text),
        Some(("split_pattern", pattern)) => text.split(';').any(|part| matches(pattern, part)),
        _other => false,
    }
}

/// Whether a pattern fits the whole of a text: `?` is any one character, `*` any number of them.
/// At most their lengths' product of steps.
fn matches(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern.chars(), text.chars());
    // Where to go on with one character more under the last asterisk.
    let mut again: Option<(std::str::Chars<'_>, std::str::Chars<'_>)> = None;
    loop {
        let here = text.clone();
        match (pattern.next(), text.next()) {
            (Some('*'), _) => {
                text = here;
                again = Some((pattern.clone(), text.clone()));
                continue;
            }
            (None, None) => return true,
            (Some('?'), Some(_)) => continue,
            (Some(wanted), Some(found)) if wanted == found => continue,
            _differs => {}
        }
        let Some((after, mut from)) = again.take() else {
            return false;
        };
        if from.next().is_none() {
            return false;
        }
        (pattern, text) = (after.clone(), from.clone());
        again = Some((after, from));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same, said as slowly as it is simple.
    fn slow(pattern: &[char], text: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('*', rest)) => (0..=text.len()).any(|from| slow(rest, &text[from..])),
            Some((wanted, rest)) => text.split_first().is_some_and(|(found, after)| {
                (*wanted == '?' || wanted == found) && slow(rest, after)
            }),
        }
    }

    proptest! {
        #[test]
        fn a_pattern_fits_what_the_plain_rule_says(
            pattern in "[ab\u{e9}*?]{0,8}", text in "[ab\u{e9}*?]{0,8}",
        ) {
            let (wanted, found): (Vec<char>, Vec<char>) =
                (pattern.chars().collect(), text.chars().collect());
            prop_assert_eq!(matches(&pattern, &text), slow(&wanted, &found));
        }
    }

    #[test]
    fn what_is_wanted_is_wanted_whole() {
        for (wanted, text, met) in [
            ("const:faculty@umc", "faculty@umc", true),
            ("const:faculty@umc", "faculty@umc.nl", false),
            ("const:faculty@*", "faculty@umc", false),
            ("const:a:b", "a:b", true),
            ("pattern:faculty@*", "faculty@umc", true),
            ("pattern:faculty@*", "Faculty@umc", false),
            ("pattern:*@umc", "faculty@umc.nl", false),
            ("pattern:?", "\u{1f600}", true),
            ("pattern:", "", true),
            ("pattern:", "a", false),
            ("pattern:a.c", "abc", false),
            ("split_pattern:12?,https*", "9,x;123,https%3A;7,y", true),
            ("split_pattern:12?,https*", "9,x;1234,https%3A", false),
            ("split_pattern:a;b", "a;b", false),
            ("faculty@umc", "faculty@umc", false),
            ("regex:.*", "a", false),
            ("Const:a", "a", false),
            (":a", "a", false),
            ("", "", false),
        ] {
            assert_eq!(meets(wanted, text), met, "{wanted} {text}");
        }
    }

    #[test]
    fn a_pattern_takes_no_more_than_its_steps() {
        // Each asterisk tried in turn would never end.
        let pattern = "*a".repeat(127) + "b";
        assert!(!matches(&pattern, &"a".repeat(255)));
    }
}
