//! What is said of a dataset before it may hold anything (UP-6), and of its end (ER-2).

use crate::types::{Label, PrincipalId, Timestamp, UseClass, limits};

/// A dataset's description. All of it is said, or the dataset takes no data.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Card {
    /// The person who answers for the data.
    pub owner: PrincipalId,
    /// How confidential it is.
    pub label: Label,
    /// Where it comes from.
    pub source: String,
    /// On which legal basis it is kept.
    pub basis: String,
    /// Until when it may be kept.
    pub ends: Timestamp,
    /// Why it is under legal hold, if it is: it does not end meanwhile.
    pub held: Option<String>,
    /// What jobs may compute on it for: only on nodes that are enrolled for this use (AZ-12).
    pub use_class: Option<UseClass>,
    /// The stage that the log and the owner were told of last.
    pub told: Stage,
}

/// Where a dataset stands in its life.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Stage {
    /// In use.
    Active,
    /// It ends soon; its owner is told.
    Notice,
    /// It ended: it is not read any more.
    Quarantine,
    /// It waits for two persons to destroy its keys.
    Ended,
}

impl Stage {
    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Notice => "notice",
            Self::Quarantine => "quarantine",
            Self::Ended => "ended",
        }
    }
}

impl Card {
    /// The stage by the clock. While it is held, a dataset goes no further than notice.
    #[must_use]
    pub const fn stage(&self, now: Timestamp) -> Stage {
        let (ends, now) = (self.ends.millis(), now.millis());
        if now < ends.saturating_sub(limits::DATASET_NOTICE_MS) {
            Stage::Active
        } else if now < ends || self.held.is_some() {
            Stage::Notice
        } else if now < ends.saturating_add(limits::DATASET_QUARANTINE_MS) {
            Stage::Quarantine
        } else {
            Stage::Ended
        }
    }
}

/// What a project says of datasets that say nothing themselves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CardDefaults {
    /// How confidential they are.
    pub label: Label,
    /// Where they come from.
    pub source: String,
    /// On which legal basis they are kept.
    pub basis: String,
    /// For how many days, from their making.
    pub days: u32,
}

impl CardDefaults {
    /// The card of a dataset that `owner` makes now.
    #[must_use]
    pub fn card(&self, owner: PrincipalId, now: Timestamp) -> Card {
        Card {
            owner,
            label: self.label.clone(),
            source: self.source.clone(),
            basis: self.basis.clone(),
            ends: now.plus_millis(u64::from(self.days).saturating_mul(limits::DAY_MS)),
            held: None,
            use_class: None,
            told: Stage::Active,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn er_2_a_dataset_goes_through_its_stages_by_the_clock() {
        let day = limits::DAY_MS;
        let mut card = CardDefaults {
            label: "internal".parse().unwrap(),
            source: "icu".to_owned(),
            basis: "consent".to_owned(),
            days: 100,
        }
        .card("ana".parse().unwrap(), Timestamp::from_millis(0));
        let at = |card: &Card, ms: u64| card.stage(Timestamp::from_millis(ms));
        let steps = [
            (0, Stage::Active),
            (70 * day - 1, Stage::Active),
            (70 * day, Stage::Notice),
            (100 * day - 1, Stage::Notice),
            (100 * day, Stage::Quarantine),
            (130 * day - 1, Stage::Quarantine),
            (130 * day, Stage::Ended),
            (u64::MAX, Stage::Ended),
        ];
        for (ms, stage) in steps {
            assert_eq!(at(&card, ms), stage, "{ms}");
        }
        card.held = Some("case 7".to_owned());
        assert_eq!(
            at(&card, u64::MAX),
            Stage::Notice,
            "nothing ends under legal hold"
        );
        assert_eq!(at(&card, 0), Stage::Active);
    }
}
