//! What a lifecycle's rules say of one key's versions, as they come out of a listing: the newest
//! first. No clock and no catalog: what is due, and by which rule.

use crate::catalog::{Expiry, LifecycleFilter, LifecycleRule};
use crate::types::{ETag, Timestamp, VersionName};

/// One version, as a listing tells it.
pub(super) struct Listed {
    /// The key.
    pub(super) key: String,
    /// What clients call it.
    pub(super) name: VersionName,
    /// Whether it is the newest of its key.
    pub(super) latest: bool,
    /// When it was written.
    pub(super) modified: Timestamp,
    /// Plaintext length in bytes and entity tag; `None` for a delete marker.
    pub(super) object: Option<(u64, ETag)>,
    /// Its tags, where a rule asks for them.
    pub(super) tags: Vec<(String, String)>,
}

impl Listed {
    fn sight(&self) -> Sight<'_> {
        Sight {
            key: &self.key,
            bytes: self.object.as_ref().map_or(0, |(bytes, _)| *bytes),
            tags: &self.tags,
        }
    }
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(super) enum Deed {
    /// Delete the current object, as a client does who names no version.
    Expire,
    /// Delete this version, or this delete marker, for good.
    Delete,
}

/// A deed with what it is done to and the rule that says so.
pub(super) struct Due<'a> {
    pub(super) version: Listed,
    pub(super) deed: Deed,
    pub(super) rule: &'a LifecycleRule,
}

/// What days are counted by.
#[derive(Clone, Copy)]
pub(super) struct Calendar {
    /// The moment that the rules are applied at.
    pub(super) now: Timestamp,
    /// A day's length in milliseconds.
    pub(super) day_ms: u64,
}

impl Calendar {
    /// Whether `days` after `since` are over.
    pub(super) fn is_due(self, days: u32, since: Timestamp) -> bool {
        self.now >= self.end(days, since)
    }

    /// When `days` after `since` are over: at the midnight (UTC) that follows, as in S3.
    fn end(self, days: u32, since: Timestamp) -> Timestamp {
        let day = self.day_ms.max(1);
        let end = since.plus_millis(u64::from(days).saturating_mul(day));
        Timestamp::from_millis(end.millis().div_ceil(day).saturating_mul(day))
    }

    /// From when on an object that was written at `modified` expires.
    fn expires(self, expiry: Expiry, modified: Timestamp) -> Timestamp {
        match expiry {
            Expiry::Days(days) => self.end(days, modified),
            Expiry::At(moment) => moment,
        }
    }
}

/// What a filter looks at.
#[derive(Clone, Copy)]
pub(super) struct Sight<'a> {
    pub(super) key: &'a str,
    /// Plaintext length in bytes; 0 for a delete marker.
    pub(super) bytes: u64,
    pub(super) tags: &'a [(String, String)],
}

/// Whether a filter takes in an object.
fn takes(filter: &LifecycleFilter, sight: Sight<'_>) -> bool {
    sight.key.starts_with(&filter.prefix)
        && filter.tags.iter().all(|tag| sight.tags.contains(tag))
        && filter.larger.is_none_or(|larger| sight.bytes > larger)
        && filter.smaller.is_none_or(|smaller| sight.bytes < smaller)
}

/// The rules in force over an object.
fn in_force<'a>(
    rules: &'a [LifecycleRule],
    sight: Sight<'_>,
) -> impl Iterator<Item = &'a LifecycleRule> {
    rules
        .iter()
        .filter(move |rule| rule.enabled && takes(&rule.filter, sight))
}

/// When a current object that was written at `modified` expires, and by which rule: the one that
/// is due first.
pub(super) fn expiry<'a>(
    rules: &'a [LifecycleRule],
    sight: Sight<'_>,
    (modified, calendar): (Timestamp, Calendar),
) -> Option<(Timestamp, &'a LifecycleRule)> {
    in_force(rules, sight)
        .filter_map(|rule| Some((calendar.expires(rule.expiry?, modified), rule)))
        .min_by_key(|(end, _)| *end)
}

/// Whether some rule has to know the tags of what lies under this key.
pub(super) fn needs_tags(rules: &[LifecycleRule], key: &str) -> bool {
    let mut asking = rules.iter().filter(|rule| !rule.filter.tags.is_empty());
    asking.any(|rule| rule.enabled && key.starts_with(&rule.filter.prefix))
}

/// Goes through a listing, version by version, and says what is due. It remembers one version.
pub(super) struct Walk<'a> {
    rules: &'a [LifecycleRule],
    calendar: Calendar,
    /// The key of the version before, when that was written, and how many older versions of it
    /// have come.
    last: Option<(String, Timestamp, u32)>,
    /// A delete marker that is the newest of its key, as long as nothing older has come.
    marker: Option<Listed>,
}

impl<'a> Walk<'a> {
    pub(super) const fn new(rules: &'a [LifecycleRule], calendar: Calendar) -> Self {
        Self {
            rules,
            calendar,
            last: None,
            marker: None,
        }
    }

    /// Takes the next version of the listing; what turned out to be due.
    pub(super) fn next(&mut self, version: Listed) -> Vec<Due<'a>> {
        // The newest of a key is older than nothing: where the version before is gone by now, the
        // listing begins that key again.
        let again = self.last.as_ref().filter(|(key, ..)| *key == version.key);
        if again.is_some() && version.latest {
            self.marker = None;
        }
        let same = again.filter(|_| !version.latest);
        let newer = same.map(|(_, modified, count)| (*modified, *count));
        let mut due = Vec::new();
        if newer.is_some() {
            self.marker = None;
        } else {
            due.extend(self.end());
        }
        let older = newer.map_or(0, |(_, count)| count.saturating_add(1));
        self.last = Some((version.key.clone(), version.modified, older));
        let rule = match newer {
            None if version.object.is_none() && version.latest => {
                self.marker = Some(version);
                return due;
            }
            None => self.expiring(&version),
            Some((replaced, count)) => self.outdated(&version, replaced, count),
        };
        let deed = if newer.is_some() {
            Deed::Delete
        } else {
            Deed::Expire
        };
        due.extend(rule.map(|rule| Due {
            version,
            deed,
            rule,
        }));
        due
    }

    /// The end of a key's versions, or of the listing.
    pub(super) fn end(&mut self) -> Option<Due<'a>> {
        let marker = self.marker.take()?;
        let rule = self.in_force(&marker).find(|rule| {
            rule.lone_markers || matches!(rule.expiry, Some(expiry) if self.over(expiry, &marker))
        })?;
        Some(Due {
            version: marker,
            deed: Deed::Delete,
            rule,
        })
    }

    fn in_force(&self, version: &Listed) -> impl Iterator<Item = &'a LifecycleRule> {
        in_force(self.rules, version.sight())
    }

    fn over(&self, expiry: Expiry, version: &Listed) -> bool {
        self.calendar.now >= self.calendar.expires(expiry, version.modified)
    }

    fn expiring(&self, version: &Listed) -> Option<&'a LifecycleRule> {
        self.in_force(version)
            .find(|rule| matches!(rule.expiry, Some(expiry) if self.over(expiry, version)))
    }

    /// `replaced`: since when it is not the newest; `count`: how many older versions are newer.
    fn outdated(
        &self,
        version: &Listed,
        replaced: Timestamp,
        count: u32,
    ) -> Option<&'a LifecycleRule> {
        self.in_force(version).find(|rule| {
            rule.noncurrent.is_some_and(|rule| {
                self.calendar.is_due(rule.days, replaced) && count >= rule.keep.unwrap_or(0)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use super::*;
    use crate::catalog::Noncurrent;
    use crate::types::VersionId;
    use crate::types::limits::DAY_MS;

    fn day(day: u64) -> Timestamp {
        Timestamp::from_millis(day * DAY_MS)
    }

    const fn at(now: Timestamp) -> Calendar {
        Calendar {
            now,
            day_ms: DAY_MS,
        }
    }

    /// Written on a day; the number tells it apart.
    fn version(key: &str, number: u8, written: u64, marker: bool) -> Listed {
        Listed {
            key: key.to_owned(),
            name: VersionName::Id(VersionId::from_bytes([number; 16])),
            latest: false,
            modified: day(written),
            object: (!marker).then(|| (10, ETag::of(&VersionId::from_bytes([number; 16]), 1))),
            tags: Vec::new(),
        }
    }

    fn newest(version: Listed) -> Listed {
        Listed {
            latest: true,
            ..version
        }
    }

    fn rule(id: &str) -> LifecycleRule {
        LifecycleRule {
            id: id.to_owned(),
            enabled: true,
            ..LifecycleRule::default()
        }
    }

    fn done(rules: &[LifecycleRule], now: u64, versions: Vec<Listed>) -> Vec<(u8, Deed)> {
        let mut walk = Walk::new(rules, at(day(now)));
        let mut due: Vec<Due<'_>> = Vec::new();
        for version in versions {
            due.extend(walk.next(version));
        }
        due.extend(walk.end());
        let number = |name| match name {
            VersionName::Id(id) => id.as_bytes()[0],
            VersionName::Null => 0,
        };
        let told = due.into_iter();
        told.map(|due| (number(due.version.name), due.deed))
            .collect()
    }

    #[test]
    fn days_end_at_midnight() {
        let noon = Timestamp::from_millis(DAY_MS / 2);
        assert!(!at(Timestamp::from_millis(DAY_MS / 2 * 3)).is_due(1, noon));
        assert!(at(day(2)).is_due(1, noon));
        assert!(!at(day(1_000_000)).is_due(u32::MAX, day(1)));
    }

    #[test]
    fn a_shorter_day_ends_as_a_day_does() {
        let of = |now, day_ms| Calendar {
            now: Timestamp::from_millis(now),
            day_ms,
        };
        let since = Timestamp::from_millis(15_000);
        for (now, due) in [
            (15_000, false),
            (25_000, false),
            (29_999, false),
            (30_000, true),
        ] {
            assert_eq!(of(now, 10_000).is_due(1, since), due, "{now}");
            assert!(!of(now, DAY_MS).is_due(1, since), "{now}");
        }
        // A length that is none is no division by it.
        assert!(of(15_001, 0).is_due(1, since));
    }

    #[test]
    fn current_objects_expire_by_age_or_date() {
        let days = LifecycleRule {
            expiry: Some(Expiry::Days(5)),
            ..rule("days")
        };
        let date = LifecycleRule {
            expiry: Some(Expiry::At(day(9))),
            ..rule("date")
        };
        let one = || vec![newest(version("k", 1, 2, false))];
        assert_eq!(done(from_ref(&days), 6, one()), []);
        assert_eq!(done(from_ref(&days), 7, one()), [(1, Deed::Expire)]);
        assert_eq!(done(from_ref(&date), 8, one()), []);
        assert_eq!(done(&[date], 9, one()), [(1, Deed::Expire)]);
        let off = LifecycleRule {
            enabled: false,
            ..days
        };
        assert_eq!(done(&[off], 99, one()), []);
        assert_eq!(done(&[], 99, one()), []);
    }

    #[test]
    fn an_object_is_told_the_rule_that_is_due_first() {
        let days = |id: &str, count| LifecycleRule {
            expiry: Some(Expiry::Days(count)),
            ..rule(id)
        };
        let told = |rules: &[LifecycleRule]| {
            let object = version("k", 1, 2, false);
            let told = expiry(rules, object.sight(), (object.modified, at(day(2))));
            told.map(|(end, rule)| (end, rule.id.clone()))
        };
        let date = LifecycleRule {
            expiry: Some(Expiry::At(day(4))),
            ..rule("date")
        };
        assert_eq!(told(&[]), None);
        let five = (day(7), "five".to_owned());
        assert_eq!(told(&[days("nine", 9), days("five", 5)]), Some(five));
        let all = [days("five", 5), date];
        assert_eq!(told(&all), Some((day(4), "date".to_owned())));
        // Rules that are off, of other objects, or of no current object say nothing.
        let off = LifecycleRule {
            enabled: false,
            ..days("off", 1)
        };
        let mut other = days("other", 1);
        other.filter.prefix = "l".to_owned();
        let mut tagged = days("tagged", 1);
        tagged.filter.tags = vec![("a".to_owned(), "b".to_owned())];
        let old = LifecycleRule {
            noncurrent: Some(Noncurrent {
                days: 1,
                keep: None,
            }),
            ..rule("old")
        };
        assert_eq!(told(&[off, other, tagged, old]), None);
    }

    #[test]
    fn older_versions_go_by_when_they_were_replaced_and_the_newest_of_them_stay() {
        let all = || {
            vec![
                newest(version("k", 4, 9, false)),
                version("k", 3, 8, false),
                version("k", 2, 3, true),
                version("k", 1, 1, false),
                newest(version("other", 5, 1, false)),
            ]
        };
        let noncurrent = |days, keep| LifecycleRule {
            noncurrent: Some(Noncurrent { days, keep }),
            ..rule("old")
        };
        // Replaced on day 9, 8 and 3.
        let gone = |rule, now| done(&[rule], now, all());
        assert_eq!(gone(noncurrent(2, None), 4), []);
        assert_eq!(gone(noncurrent(2, None), 5), [(1, Deed::Delete)]);
        let two = [(2, Deed::Delete), (1, Deed::Delete)];
        assert_eq!(gone(noncurrent(2, None), 10), two);
        assert_eq!(gone(noncurrent(2, Some(1)), 99), two);
        assert_eq!(gone(noncurrent(2, Some(2)), 99), [(1, Deed::Delete)]);
        assert_eq!(gone(noncurrent(2, Some(3)), 99), []);
    }

    /// A listing whose last version is gone begins its key again.
    #[test]
    fn the_newest_is_never_an_older_one_however_often_it_comes() {
        let old = LifecycleRule {
            noncurrent: Some(Noncurrent {
                days: 1,
                keep: Some(1),
            }),
            lone_markers: true,
            ..rule("old")
        };
        let again = |newest: Listed| {
            let newest = || Listed {
                key: newest.key.clone(),
                object: newest.object.clone(),
                tags: Vec::new(),
                ..newest
            };
            vec![
                newest(),
                version("k", 3, 3, false),
                version("k", 2, 2, false),
                newest(),
                version("k", 3, 3, false),
                version("k", 1, 1, false),
            ]
        };
        let gone = [(2, Deed::Delete), (1, Deed::Delete)];
        for marker in [false, true] {
            let versions = again(newest(version("k", 4, 4, marker)));
            assert_eq!(done(from_ref(&old), 99, versions), gone);
        }
        // A marker that comes twice was not alone the first time, as far as anybody knows.
        let marker = || newest(version("k", 4, 4, true));
        let versions = vec![marker(), marker(), version("k", 1, 1, false)];
        assert_eq!(done(from_ref(&old), 99, versions), []);
    }

    #[test]
    fn a_marker_goes_only_when_nothing_is_below_it() {
        let markers = LifecycleRule {
            lone_markers: true,
            ..rule("markers")
        };
        let versions = || {
            vec![
                newest(version("a", 1, 1, true)),
                newest(version("b", 2, 1, true)),
                version("b", 3, 0, false),
                newest(version("c", 4, 1, true)),
            ]
        };
        let lone = [(1, Deed::Delete), (4, Deed::Delete)];
        assert_eq!(done(&[markers], 2, versions()), lone);
        let days = LifecycleRule {
            expiry: Some(Expiry::Days(5)),
            ..rule("days")
        };
        assert_eq!(done(from_ref(&days), 5, versions()), []);
        assert_eq!(done(&[days], 6, versions()), lone);
    }

    #[test]
    fn filters_take_in_what_is_all_they_say() {
        let tag = ("a".to_owned(), "b".to_owned());
        let mut filter = LifecycleFilter {
            prefix: "logs/".to_owned(),
            tags: vec![tag.clone()],
            larger: Some(9),
            smaller: Some(11),
            ..LifecycleFilter::default()
        };
        let tagged = Listed {
            tags: vec![tag],
            ..version("logs/1", 1, 1, false)
        };
        assert!(takes(&filter, tagged.sight()));
        assert!(
            !takes(&filter, version("logs/1", 1, 1, false).sight()),
            "no tag"
        );
        filter.larger = Some(10);
        assert!(!takes(&filter, tagged.sight()), "not larger");
        (filter.larger, filter.smaller) = (None, Some(10));
        assert!(!takes(&filter, tagged.sight()), "not smaller");
        filter.smaller = None;
        assert!(takes(&filter, tagged.sight()));
        filter.prefix = "log/".to_owned();
        assert!(!takes(&filter, tagged.sight()));
    }
}
