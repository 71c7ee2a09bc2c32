//! What can be wrong with a configuration, and where.

use std::fmt;
use std::path::{Path, PathBuf};

/// Where in the file, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Line.
    pub line: usize,
    /// Column, in characters.
    pub column: usize,
}

impl Place {
    /// The place of a byte offset in a text.
    pub(super) fn of(text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line = before.matches('\n').count().saturating_add(1);
        let last = before.rsplit('\n').next().unwrap_or_default();
        Self {
            line,
            column: last.chars().count().saturating_add(1),
        }
    }
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It is not TOML.
    #[error("not valid TOML: {message}")]
    Syntax {
        /// What the parser said.
        message: String,
    },
    /// No such setting.
    #[error("unknown key `{key}`")]
    Unknown {
        /// What was written.
        key: String,
        /// The known key that looks most like it.
        nearest: Option<String>,
    },
    /// The value is of another kind.
    #[error("`{key}` is {expected}, not {found}")]
    Kind {
        /// Which setting.
        key: String,
        /// What it takes.
        expected: &'static str,
        /// What was written.
        found: String,
    },
    /// The value, alone or beside another, breaks a rule.
    #[error("`{key}` {rule}")]
    Rule {
        /// Which setting.
        key: &'static str,
        /// The rule.
        rule: &'static str,
        /// How to mend it.
        hint: &'static str,
    },
}

impl Fault {
    /// How to mend it, where that can be said.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown {
                nearest: Some(nearest),
                ..
            } => Some(format!("did you mean `{nearest}`?")),
            Self::Rule { hint, .. } if !hint.is_empty() => Some((*hint).to_owned()),
            Self::Unknown { nearest: None, .. }
            | Self::Syntax { .. }
            | Self::Kind { .. }
            | Self::Rule { .. } => None,
        }
    }
}

/// One fault with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where; none where the fault is in what the file does not say.
    pub place: Option<Place>,
    /// What.
    pub fault: Fault,
}

/// All that is wrong with one configuration; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    file: Option<PathBuf>,
    list: Vec<Problem>,
}

impl Problems {
    pub(super) const fn new(list: Vec<Problem>) -> Self {
        Self { file: None, list }
    }

    pub(super) fn in_file(self, path: &Path) -> Self {
        Self {
            file: Some(path.to_owned()),
            ..self
        }
    }

    /// The faults, in the file's order.
    #[must_use]
    pub fn list(&self) -> &[Problem] {
        &self.list
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.list.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            if let Some(file) = &self.file {
                write!(f, "{}: ", file.display())?;
            }
            if let Some(place) = problem.place {
                write!(f, "line {}, column {}: ", place.line, place.column)?;
            }
            write!(f, "{}", problem.fault)?;
            if let Some(hint) = problem.fault.hint() {
                write!(f, "; {hint}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Place;

    #[test]
    fn places_count_lines_and_characters_from_one() {
        let text = "a\né = 1\n";
        assert_eq!(Place::of(text, 0), Place { line: 1, column: 1 });
        assert_eq!(Place::of(text, 2), Place { line: 2, column: 1 });
        assert_eq!(Place::of(text, 5), Place { line: 2, column: 3 });
        assert_eq!(Place::of(text, 999), Place { line: 3, column: 1 });
    }
}
