//! Walks a parsed TOML document: takes what is known, and tells of everything else.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Fault, Place, Problem};
use super::settings::SECTIONS;
use super::value::Value;

/// How unlike the nearest known key may be: a guess beyond this would mislead.
const LIKENESS_MIN: f64 = 0.75;

/// A document being read.
pub(super) struct Document<'t> {
    text: &'t str,
    root: Option<Spanned<DeTable<'t>>>,
    problems: Vec<Problem>,
}

impl<'t> Document<'t> {
    /// Parses; a syntax error becomes a problem and the document counts as empty.
    pub(super) fn parse(text: &'t str) -> Self {
        let mut document = Self {
            text,
            root: None,
            problems: Vec::new(),
        };
        match DeTable::parse(text) {
            Ok(root) => document.root = Some(root),
            Err(error) => {
                let place = error.span().map(|span| Place::of(text, span.start));
                let fault = Fault::Syntax {
                    message: error.message().to_owned(),
                };
                document.problems.push(Problem { place, fault });
            }
        }
        document
    }

    /// Reads one section by `read`; an absent one is empty.
    pub(super) fn section<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&mut Section<'_, 't>) -> T,
    ) -> T {
        let found = self.root.as_ref().and_then(|root| root.get_ref().get(name));
        let table = found.and_then(|value| value.get_ref().as_table());
        let mut section = Section {
            name,
            text: self.text,
            table,
            problems: &mut self.problems,
        };
        if let (Some(value), None) = (found, table) {
            section.wrong(name.to_owned(), "a section", value);
        }
        read(&mut section)
    }

    /// Tells of every key that is not known, and gives all problems in the file's order.
    pub(super) fn finish(mut self) -> Vec<Problem> {
        let root = self.root.take();
        for (key, value) in root.iter().flat_map(|root| root.get_ref().iter()) {
            let name = key.get_ref().as_ref();
            match SECTIONS.iter().find(|section| section.name == name) {
                None => self.unknown(name.to_owned(), key, nearest(None, name)),
                Some(section) => {
                    for (key, _) in value.get_ref().as_table().into_iter().flatten() {
                        let inner = key.get_ref().as_ref();
                        if !section.keys.contains(&inner) {
                            let near = nearest(Some(name), inner);
                            self.unknown(format!("{name}.{inner}"), key, near);
                        }
                    }
                }
            }
        }
        self.problems
            .sort_by_key(|p| p.place.map_or((0, 0), |p| (p.line, p.column)));
        self.problems
    }

    fn unknown<T>(&mut self, key: String, at: &Spanned<T>, nearest: Option<String>) {
        let place = Some(Place::of(self.text, at.span().start));
        self.problems.push(Problem {
            place,
            fault: Fault::Unknown { key, nearest },
        });
    }
}

/// One section being read.
pub(super) struct Section<'a, 't> {
    name: &'static str,
    text: &'t str,
    table: Option<&'a DeTable<'t>>,
    problems: &'a mut Vec<Problem>,
}

impl<'t> Section<'_, 't> {
    /// One setting, or its default where the file does not say or is at fault.
    pub(super) fn take<T: Value>(&mut self, key: &'static str, default: impl Fn() -> T) -> T {
        let Some(value) = self.table.and_then(|table| table.get(key)) else {
            return default();
        };
        T::read(value.get_ref()).unwrap_or_else(|| {
            self.wrong(format!("{}.{key}", self.name), T::KIND, value);
            default()
        })
    }

    fn wrong(&mut self, key: String, expected: &'static str, value: &Spanned<DeValue<'t>>) {
        let place = Some(Place::of(self.text, value.span().start));
        let written = self.text.get(value.span()).unwrap_or_default();
        let short = written.len() <= 60 && !written.contains('\n');
        let written_out = value.get_ref();
        let found = if written_out.is_table() {
            "a section".to_owned()
        } else if written_out.is_array() || !short {
            article(written_out.type_str())
        } else {
            format!("{} `{written}`", article(written_out.type_str()))
        };
        self.problems.push(Problem {
            place,
            fault: Fault::Kind {
                key,
                expected,
                found,
            },
        });
    }
}

fn article(kind: &str) -> String {
    match kind {
        "integer" => "an integer".to_owned(),
        "string" => "the text".to_owned(),
        "array" => "an array".to_owned(),
        other => format!("a {other}"),
    }
}

/// The known key most like `key`: in its own section first, then anywhere.
fn nearest(section: Option<&str>, key: &str) -> Option<String> {
    let own = SECTIONS.iter().find(|s| Some(s.name) == section);
    let own_keys = own
        .iter()
        .flat_map(|s| s.keys.iter().map(|k| (*k, format!("{}.{k}", s.name))));
    let sections = SECTIONS
        .iter()
        .filter(|_| section.is_none())
        .map(|s| (s.name, s.name.to_owned()));
    let all = SECTIONS
        .iter()
        .flat_map(|s| s.keys.iter().map(|k| (*k, format!("{}.{k}", s.name))));
    best(own_keys.chain(sections), key).or_else(|| best(all, key))
}

fn best(known: impl Iterator<Item = (&'static str, String)>, key: &str) -> Option<String> {
    known
        .map(|(name, shown)| (strsim::jaro_winkler(name, key), shown))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .min_by(|a, b| b.0.total_cmp(&a.0))
        .map(|(_, shown)| shown)
}
