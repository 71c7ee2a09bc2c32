//! Moments: S3's clients see whole seconds, everywhere the same.

use s3s::dto;
use time::OffsetDateTime;

use crate::types::Timestamp;

/// A moment as S3 tells it, rounded down to the second.
pub(in crate::s3) fn told(moment: Timestamp) -> Option<dto::Timestamp> {
    let seconds = i64::try_from(moment.seconds()).ok()?;
    OffsetDateTime::from_unix_timestamp(seconds)
        .ok()
        .map(dto::Timestamp::from)
}

/// A moment that a client named; before 1970 counts as 1970.
pub(in crate::s3) fn named(moment: dto::Timestamp) -> Timestamp {
    let seconds = OffsetDateTime::from(moment).unix_timestamp();
    Timestamp::from_millis(u64::try_from(seconds).unwrap_or(0).saturating_mul(1000))
}

#[cfg(test)]
mod tests {
    use s3s::dto::TimestampFormat;

    use super::*;

    #[test]
    fn moments_lose_their_milliseconds() {
        let told = told(Timestamp::from_millis(1_803_975_304_999)).unwrap();
        let mut text = Vec::new();
        told.format(TimestampFormat::DateTime, &mut text).unwrap();
        assert_eq!(text, b"2027-03-02T08:15:04.000Z");
        assert_eq!(named(told), Timestamp::from_millis(1_803_975_304_000));
    }

    #[test]
    fn moments_out_of_reach_do_no_harm() {
        assert!(told(Timestamp::from_millis(u64::MAX)).is_none());
        let old = OffsetDateTime::from_unix_timestamp(-5).unwrap();
        assert_eq!(named(old.into()), Timestamp::from_millis(0));
    }
}
