//! Time and randomness as parameters, so that every test is deterministic.

use std::fmt;

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Timestamp(u64);

impl Timestamp {
    /// Later than every moment: the end of what has none.
    pub const MAX: Self = Self(u64::MAX);

    /// Wraps milliseconds since the epoch.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Reads RFC 3339; nothing for what is none, or before 1970.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let format = &time::format_description::well_known::Rfc3339;
        let moment = time::OffsetDateTime::parse(text, format).ok()?;
        let millis = moment.unix_timestamp_nanos().div_euclid(1_000_000);
        u64::try_from(millis).ok().map(Self)
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down: what S3's `Last-Modified` can carry.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        self.0 / 1000
    }

    /// The moment `millis` later; at the end of time it stays there.
    #[must_use]
    pub const fn plus_millis(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// Milliseconds from `earlier` to here; 0 when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339, UTC, milliseconds: `2027-03-02T08:15:04.112Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = i128::from(self.0).saturating_mul(1_000_000);
        let Ok(t) = time::OffsetDateTime::from_unix_timestamp_nanos(nanos) else {
            return f.write_str("9999-12-31T23:59:59.999Z");
        };
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            t.year(),
            u8::from(t.month()),
            t.day(),
            t.hour(),
            t.minute(),
            t.second(),
            t.millisecond()
        )
    }
}

/// The wall clock.
pub trait Clock: Send + Sync + 'static {
    /// Now, UTC.
    fn now(&self) -> Timestamp;

    /// Now, for what cannot be undone: never later than [`Self::now`], and never later than the
    /// time that passed allows, however the clock is set meanwhile. Whoever sets a clock ahead
    /// ends nothing by it that is kept until a moment.
    fn settled(&self) -> Timestamp {
        self.now()
    }
}

/// The operating system gave no randomness; nothing can be sealed.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
#[error("no randomness to be had")]
pub struct EntropyError;

/// A source of bytes that no one can foretell.
pub trait Entropy: Send + Sync + 'static {
    /// Fills `out` whole.
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyError>;
}

#[cfg(test)]
mod tests {
    use super::Timestamp;

    #[test]
    fn timestamps_print_as_rfc_3339() {
        assert_eq!(
            Timestamp::from_millis(0).to_string(),
            "1970-01-01T00:00:00.000Z"
        );
        assert_eq!(
            Timestamp::from_millis(1_803_975_304_112).to_string(),
            "2027-03-02T08:15:04.112Z"
        );
        assert_eq!(
            Timestamp::from_millis(u64::MAX).to_string(),
            "9999-12-31T23:59:59.999Z"
        );
    }
}
