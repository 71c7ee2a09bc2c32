//! Labels (AZ-13): how confidential a dataset is, in an order that an installation names.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::{IdError, limits};

/// A label's name: 1 to 32 of `a-z 0-9 -`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Label(Arc<str>);

impl Label {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Label {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let ok = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-');
        if text.is_empty() || text.len() > limits::LABEL_BYTES_MAX || !text.bytes().all(ok) {
            return Err(IdError::Label);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A place in the order; a higher one is more confidential.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Rank(u8);

impl Rank {
    /// Below every label: who has this is cleared for nothing.
    pub const NONE: Self = Self(0);
    /// Above every label: nobody is cleared for this.
    pub const TOP: Self = Self(u8::MAX);
}

/// The labels of an installation from the lowest to the highest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Labels(Vec<Label>);

impl Labels {
    /// Where a name stands; `None` for one that is not among them.
    #[must_use]
    pub fn rank(&self, label: &Label) -> Option<Rank> {
        let place = self.0.iter().position(|known| known == label)?;
        u8::try_from(place.saturating_add(1)).ok().map(Rank)
    }

    /// They all, the lowest first.
    #[must_use]
    pub fn all(&self) -> &[Label] {
        &self.0
    }
}

/// Written `public < internal < confidential < secret`: 1 to 16 names, each once.
impl FromStr for Labels {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let names: Result<Vec<Label>, IdError> =
            text.split('<').map(|name| name.trim().parse()).collect();
        let names = names?;
        let twice = names.iter().enumerate().any(|(at, name)| {
            let later = names.iter().skip(at.saturating_add(1));
            later.into_iter().any(|other| other == name)
        });
        if twice || names.len() > limits::LABELS_MAX {
            return Err(IdError::Labels);
        }
        Ok(Self(names))
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.0.iter().map(Label::as_str).collect();
        f.write_str(&names.join(" < "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_read_and_written() {
        let labels: Labels = "public < internal<secret".parse().unwrap();
        assert_eq!(labels.to_string(), "public < internal < secret");
        let rank = |name: &str| labels.rank(&name.parse().unwrap());
        assert!(rank("public") < rank("internal") && rank("internal") < rank("secret"));
        assert!(Some(Rank::NONE) < rank("public") && rank("secret") < Some(Rank::TOP));
        assert_eq!(rank("confidential"), None);
    }

    #[test]
    fn what_is_no_order_is_refused() {
        let many: Vec<String> = (0..=limits::LABELS_MAX).map(|n| format!("l{n}")).collect();
        for bad in ["", "a < a", "a <", "A", "a > b", "a,b", &many.join("<")] {
            assert!(bad.parse::<Labels>().is_err(), "{bad}");
        }
    }
}
