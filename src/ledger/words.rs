//! The words of a record's sets, both ways, for what keeps records as columns.

use super::record::{AuthMethod, Nature, Outcome};
use super::view::{auth_word, nature_word, outcome_word};

/// A set whose members have words.
pub trait Word: Sized + Copy + 'static {
    /// All of them.
    const ALL: &'static [Self];

    /// Its word.
    fn word(self) -> &'static str;

    /// The member of this word.
    #[must_use]
    fn from_word(word: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|member| member.word() == word)
    }
}

impl Word for AuthMethod {
    const ALL: &'static [Self] = &[
        Self::None,
        Self::SigV4Header,
        Self::SigV4Query,
        Self::Local,
        Self::Bearer,
    ];

    fn word(self) -> &'static str {
        auth_word(self)
    }
}

impl Word for Nature {
    const ALL: &'static [Self] = &[Self::Normal, Self::Admin, Self::Log, Self::Emergency];

    fn word(self) -> &'static str {
        nature_word(self)
    }
}

impl Word for Outcome {
    const ALL: &'static [Self] = &[
        Self::Success,
        Self::Refused,
        Self::Failed,
        Self::Aborted,
        Self::OpenAtCrash,
    ];

    fn word(self) -> &'static str {
        outcome_word(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_member_has_a_word_of_its_own() {
        fn check<T: Word + PartialEq + std::fmt::Debug>(count: usize) {
            assert_eq!(T::ALL.len(), count);
            for member in T::ALL {
                assert_eq!(T::from_word(member.word()), Some(*member));
            }
            assert_eq!(T::from_word("nothing"), None);
        }
        check::<AuthMethod>(5);
        check::<Nature>(4);
        check::<Outcome>(5);
    }
}
