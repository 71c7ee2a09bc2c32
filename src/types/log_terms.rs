//! How a project's records are kept in the log, and for how long. Rules alone.

use super::limits::{LOG_KEPT_DAYS, LOG_KEPT_DAYS_MAX, LOG_KEPT_DAYS_MIN};

/// What a project asks of the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LogTerms {
    /// For how many days its records are kept; `None` for [`LOG_KEPT_DAYS`].
    pub days: Option<u32>,
    /// Whether who may read them, and does not manage its grants, sees pseudonyms in the place of
    /// people's names.
    pub pseudonyms: bool,
}

impl LogTerms {
    /// For how many days its records are kept.
    #[must_use]
    pub const fn kept_days(&self) -> u32 {
        match self.days {
            Some(days) => days,
            None => LOG_KEPT_DAYS,
        }
    }

    /// Whether records may be kept for so long.
    #[must_use]
    pub const fn may_be(days: u32) -> bool {
        days >= LOG_KEPT_DAYS_MIN && days <= LOG_KEPT_DAYS_MAX
    }
}
