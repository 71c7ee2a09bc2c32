//! Acts that take two persons (AZ-10): what is asked for, word for word.

use std::fmt;
use std::str::FromStr;

use super::{DatasetId, DatasetName, IdError, ProjectName};

/// What kind of act. Each says in [`ActKind::terms`] what one of it is exactly.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum ActKind {
    /// Lower a dataset's label.
    LowerLabel,
    /// Open data to a person for a short time without a grant.
    BreakGlass,
    /// Destroy keys: what was sealed under them can never be read again.
    Erase,
    /// Keep a project's records in the log for a shorter time.
    ShortenLog,
}

impl ActKind {
    /// Every kind.
    pub const ALL: &'static [Self] = &[
        Self::LowerLabel,
        Self::BreakGlass,
        Self::Erase,
        Self::ShortenLog,
    ];

    /// The word that people and records use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LowerLabel => "label.lower",
            Self::BreakGlass => "break-glass",
            Self::Erase => "erase",
            Self::ShortenLog => "log.shorten",
        }
    }

    /// The terms that an act of this kind has, in order, each once.
    #[must_use]
    pub const fn terms(self) -> &'static [&'static str] {
        match self {
            // The label from now on.
            Self::LowerLabel => &["to"],
            // Who may read, and for how many minutes.
            Self::BreakGlass => &["who", "minutes"],
            // `dataset`, `version=N`, `object=KEY` or `write=VERSION:KEY`.
            Self::Erase => &["what"],
            // For how many days the records are kept from now on.
            Self::ShortenLog => &["days"],
        }
    }

    /// The terms that the vault adds when the act is asked for: what is to change, as it is then.
    #[must_use]
    pub const fn found(self) -> &'static [&'static str] {
        match self {
            // The label until then: one that was raised meanwhile is another step.
            Self::LowerLabel => &["from"],
            Self::BreakGlass | Self::Erase | Self::ShortenLog => &[],
        }
    }

    /// Whether it is about one dataset; if not, it is about a project.
    #[must_use]
    pub const fn on_dataset(self) -> bool {
        match self {
            Self::LowerLabel | Self::BreakGlass | Self::Erase => true,
            Self::ShortenLog => false,
        }
    }
}

impl FromStr for ActKind {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let mut all = Self::ALL.iter().copied();
        all.find(|kind| kind.as_str() == text).ok_or(IdError::Act)
    }
}

impl fmt::Display for ActKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One act. **Two acts are the same only if all of it is**: an approval of one is none of another.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Act {
    /// Its kind.
    pub kind: ActKind,
    /// The project; of an act on the vault as a whole the one whose officers decide about it.
    pub project: ProjectName,
    /// The dataset by name and identity, so that one made anew under an old name is another.
    pub dataset: Option<(DatasetName, DatasetId)>,
    /// The value of each of the kind's terms, in their order, and of those that the vault adds.
    pub terms: Vec<String>,
}

impl Act {
    /// Its terms with their names.
    pub fn named_terms(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let values = self.terms.iter().map(String::as_str);
        let names = self.kind.terms().iter().chain(self.kind.found());
        names.copied().zip(values)
    }
}

/// As the log has it: `label.lower icu/ecg to=internal from=secret`.
impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.project)?;
        if let Some((name, _)) = &self.dataset {
            write!(f, "/{name}")?;
        }
        for (name, value) in self.named_terms() {
            write!(f, " {name}={value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_words_of_their_own() {
        for kind in ActKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(*kind));
        }
        for bad in ["", "erase ", "Erase", "label"] {
            assert_eq!(bad.parse::<ActKind>(), Err(IdError::Act), "{bad}");
        }
    }

    #[test]
    fn an_act_says_all_of_itself() {
        let act = Act {
            kind: ActKind::BreakGlass,
            project: "icu".parse().unwrap(),
            dataset: Some(("ecg".parse().unwrap(), DatasetId::from_bytes([1; 16]))),
            terms: vec!["zoe".to_owned(), "30".to_owned()],
        };
        assert_eq!(act.to_string(), "break-glass icu/ecg who=zoe minutes=30");
    }
}
