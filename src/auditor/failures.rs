//! What could not be done with single volumes. Each stands for itself: one that is missing, or does
//! not open, is told, and keeps nothing from being done with the others.

use crate::archive::Meta;
use crate::cli::output::{CliError, Exit, Output};
use crate::types::limits::{WORM_AWAY_MAX, WORM_NAMED_MAX};

/// The volumes, as far as they are named, and how many there are.
#[derive(Default, Debug)]
pub(super) struct Failures {
    /// The first of them in words.
    pub(super) words: Vec<String>,
    pub(super) count: u64,
    /// How many of them no other try mends: they are missing, or are not what the log has.
    lost: u64,
    /// How many in a row could not be had.
    away: usize,
}

impl Failures {
    /// With one it was done.
    pub(super) const fn went(&mut self) {
        self.away = 0;
    }

    /// Notes one with which it was not; whether another may fare better: a store that is away has
    /// none of them.
    pub(super) fn note(&mut self, meta: &Meta, what: &str, error: &CliError) -> bool {
        self.count = self.count.saturating_add(1);
        if self.words.len() < WORM_NAMED_MAX {
            let Meta {
                lane, first, end, ..
            } = meta;
            self.words.push(format!(
                "the volume of records {first} to {end} of lane {lane} {what}: {}",
                error.message()
            ));
        }
        if error.exit() == Exit::Unavailable {
            self.away = self.away.saturating_add(1);
        } else {
            self.lost = self.lost.saturating_add(1);
            self.away = 0;
        }
        self.away < WORM_AWAY_MAX
    }

    /// Says it; how a command ends that did all else.
    pub(super) fn tell(&self, output: &mut Output) -> Exit {
        for words in &self.words {
            output.note(&format!("warning: {words}"));
        }
        if self.count == 0 {
            return Exit::Done;
        }
        output.hint(&format!(
            "{} such volumes: all else was done; the next run tries again",
            self.count
        ));
        if self.lost == 0 {
            return Exit::Unavailable;
        }
        output.hint(
            "a volume that is missing, or is another, is evidence of a loss: bring it back from a \
             copy of the store; the log still proves what was in it",
        );
        Exit::No
    }
}

/// How a command ends of which two parts ended so: what is lost goes before what may mend itself.
pub(super) const fn worse(one: Exit, other: Exit) -> Exit {
    match (one, other) {
        (Exit::No, _) | (_, Exit::No) => Exit::No,
        (Exit::Done, end) | (end, _) => end,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(failures: &mut Failures, exit: Exit) -> bool {
        let meta = Meta::new("vault.example/log", "gateway", (3, 9), Vec::new());
        failures.note(&meta, "is not done", &CliError::new(exit, "why"))
    }

    #[test]
    fn a_store_that_is_away_is_asked_no_more_and_a_lost_volume_stops_nothing() {
        let mut failures = Failures::default();
        for _ in 1..WORM_AWAY_MAX {
            assert!(note(&mut failures, Exit::Unavailable));
        }
        assert!(!note(&mut failures, Exit::Unavailable));
        for _ in 0..2 * WORM_AWAY_MAX {
            assert!(note(&mut failures, Exit::No), "others are asked for");
        }
        assert!(note(&mut failures, Exit::Unavailable), "not in a row");
        failures.went();
        assert_eq!(failures.words.len(), WORM_NAMED_MAX);
        assert!(failures.words[0].contains("records 3 to 9 of lane gateway is not done: why"));
    }

    #[test]
    fn what_is_lost_goes_before_what_may_mend_itself() {
        let all = [Exit::Done, Exit::Usage, Exit::Unavailable];
        for end in all {
            assert_eq!(worse(end, Exit::No), Exit::No);
            assert_eq!(worse(Exit::No, end), Exit::No);
            assert_eq!(worse(Exit::Done, end), end);
            assert_eq!(worse(end, Exit::Done), end);
        }
    }
}
