//! Reads `model.conf` strictly: four definitions, three of which are fixed.
//!
//! casbin's own reader forgives much (it folds lines, overwrites what is defined twice, skips
//! unknown sections) and its effector panics at an effect that it does not know. So the text is
//! read here, and casbin gets definitions that were checked.

use super::error::ModelFault;
use super::matcher;

/// What a request is made of.
pub(super) const REQUEST: &str = "sub, dom, dataset, key, act, now";
/// What a line of a role file is made of.
pub(super) const LINE: &str = "role, act, eft";
/// Default deny, deny overrides; one of the four texts that casbin's effector knows.
pub(super) const EFFECT: &str = "some(where (p.eft == allow)) && !some(where (p.eft == deny))";

/// A checked model; everything but the matcher is the same in all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Model {
    /// The matcher, as written.
    pub(super) matcher: String,
    /// Whether it is the fixed conditions and nothing else.
    pub(super) is_built_in: bool,
}

/// Which definition a section holds.
const SECTIONS: [(&str, &str); 4] = [
    ("[request_definition]", "r"),
    ("[policy_definition]", "p"),
    ("[policy_effect]", "e"),
    ("[matchers]", "m"),
];

/// Reads a model; on failure, everything that is wrong with it, by line (from 1; 0: the whole).
pub(super) fn read(text: &str) -> Result<Model, Vec<(usize, ModelFault)>> {
    let mut faults = Vec::new();
    let mut seen: [Option<&str>; 4] = [None; 4];
    let mut section = None;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if line.starts_with('[') {
            section = SECTIONS.iter().position(|(head, _)| *head == line);
            if section.is_none() {
                faults.push((number, ModelFault::Unknown));
            }
        } else if let Err(fault) = definition(line, section, &mut seen) {
            faults.push((number, fault));
        }
    }
    if faults.is_empty() && seen.iter().any(Option::is_none) {
        faults.push((0, ModelFault::Missing));
    }
    match (faults.is_empty(), seen[3]) {
        (true, Some(matcher)) => Ok(Model {
            matcher: matcher.to_owned(),
            is_built_in: matcher::is_fixed(matcher),
        }),
        _ => Err(faults),
    }
}

/// Reads `name = value` in its section.
fn definition<'t>(
    line: &'t str,
    section: Option<usize>,
    seen: &mut [Option<&'t str>; 4],
) -> Result<(), ModelFault> {
    let (name, value) = line.split_once('=').ok_or(ModelFault::Line)?;
    let (name, value) = (name.trim(), value.trim());
    let section = section.ok_or(ModelFault::Unknown)?;
    let (_, expected) = SECTIONS.get(section).ok_or(ModelFault::Unknown)?;
    if name != *expected {
        return Err(ModelFault::Unknown);
    }
    let slot = seen.get_mut(section).ok_or(ModelFault::Unknown)?;
    if slot.replace(value).is_some() {
        return Err(ModelFault::Twice);
    }
    match name {
        "r" if !same(value, REQUEST) => Err(ModelFault::Definition),
        "p" if !same(value, LINE) => Err(ModelFault::Definition),
        "e" if !same(value, EFFECT) => Err(ModelFault::Effect),
        "m" => matcher::check(value),
        _ => Ok(()),
    }
}

/// Equal but for spaces.
fn same(a: &str, b: &str) -> bool {
    let letters = |text: &str| text.split_whitespace().collect::<String>();
    letters(a) == letters(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = include_str!("../../policies/model.conf");

    #[test]
    fn the_shipped_model_is_read() {
        assert!(read(GOOD).unwrap().matcher.starts_with("r.act == p.act"));
        assert!(read(&GOOD.replace('\n', "\r\n")).is_ok());
    }

    #[test]
    fn changed_models_are_refused_by_line() {
        use ModelFault::{Definition, Effect, Line, Missing, Twice, Unknown};
        let line_of = |what: &str| {
            let at = GOOD.lines().position(|l| l.starts_with(what)).unwrap();
            at + 1
        };
        let change = |from: &str, to: &str| GOOD.replacen(from, to, 1);
        let r = line_of("r = ");
        let e = line_of("e = ");
        let cases = [
            (String::new(), 0, Missing),
            (
                change("[matchers]", "[matcher]"),
                line_of("[matchers]"),
                Unknown,
            ),
            (change("r = sub, dom", "r = dom, sub"), r, Definition),
            (change("r = sub", "r2 = sub"), r, Unknown),
            (change("r = sub", "r sub"), r, Line),
            (
                change("p = role, act, eft", "p = role, act"),
                line_of("p = "),
                Definition,
            ),
            (change(" && !some(where (p.eft == deny))", ""), e, Effect),
            (change("!some", "some"), e, Effect),
            (change(EFFECT, "!some(where (p.eft == deny))"), e, Effect),
            (change(EFFECT, "priority(p.eft) || deny"), e, Effect),
            (change(EFFECT, "whatever"), e, Effect),
            (
                change("\n[policy_effect]", "r = x\n[policy_effect]"),
                line_of("p = ") + 1,
                Unknown,
            ),
            (format!("{GOOD}m = true\n"), GOOD.lines().count() + 1, Twice),
            (
                format!("{GOOD}[role_definition]\n"),
                GOOD.lines().count() + 1,
                Unknown,
            ),
        ];
        for (text, line, fault) in cases {
            let faults = read(&text).unwrap_err();
            assert!(faults.contains(&(line, fault)), "{fault:?}: {faults:?}");
        }
    }
}
