//! Lifecycles, in and out. What is not served (moving objects to other classes) is refused, never
//! ignored.

use s3s::dto::{
    AbortIncompleteMultipartUpload, ExpirationStatus, LifecycleExpiration, LifecycleRule as Rule,
    LifecycleRuleAndOperator, LifecycleRuleFilter, NoncurrentVersionExpiration, Tag,
    TimestampFormat,
};
use s3s::{S3Error, S3ErrorCode, S3Result};

use super::listing::Texts;
use super::{tags, times};
use crate::catalog::{Expiry, FilterForm, LifecycleFilter, LifecycleRule, Noncurrent};
use crate::s3::error::{invalid_argument, invalid_request, not_served};
use crate::types::limits;
use crate::vault::Expires;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

fn malformed(message: &'static str) -> S3Error {
    S3Error::with_message(S3ErrorCode::MalformedXML, message)
}

/// The rules as a client sent them. One without a name gets one of its own.
pub(in crate::s3) fn read(rules: Vec<Rule>) -> S3Result<Vec<LifecycleRule>> {
    let mut out: Vec<LifecycleRule> = Vec::with_capacity(rules.len().min(64));
    if rules.len() > limits::LIFECYCLE_RULES_MAX {
        return Err(invalid_request("There are too many rules."));
    }
    for (number, rule) in (1..).zip(rules) {
        let rule = one(rule, number)?;
        if out.iter().any(|other| other.id == rule.id) {
            return Err(invalid_argument("Two rules have one name."));
        }
        out.push(rule);
    }
    Ok(out)
}

fn one(rule: Rule, number: u32) -> S3Result<LifecycleRule> {
    let moves = rule.transitions.is_some_and(|list| !list.is_empty())
        || rule
            .noncurrent_version_transitions
            .is_some_and(|list| !list.is_empty());
    if moves {
        return Err(not_served("another storage class than STANDARD"));
    }
    let id = rule.id.filter(|id| !id.is_empty());
    let id = id.unwrap_or_else(|| format!("rule-{number}"));
    if id.len() > limits::RULE_NAME_BYTES_MAX {
        return Err(invalid_argument("A rule's name is too long."));
    }
    let enabled = match rule.status.as_str() {
        ExpirationStatus::ENABLED => true,
        ExpirationStatus::DISABLED => false,
        _ => return Err(malformed("A status is Enabled or Disabled.")),
    };
    let (expiry, lone_markers) = rule.expiration.map_or(Ok((None, false)), expiry)?;
    let abort = rule.abort_incomplete_multipart_upload;
    Ok(LifecycleRule {
        id,
        enabled,
        filter: filter(rule.prefix, rule.filter)?,
        expiry,
        lone_markers,
        noncurrent: rule
            .noncurrent_version_expiration
            .as_ref()
            .map(noncurrent)
            .transpose()?,
        abort_days: abort
            .map(|abort| days(abort.days_after_initiation))
            .transpose()?,
    })
}

/// A number of days, at least one.
fn days(days: Option<i32>) -> S3Result<u32> {
    let count = days.ok_or_else(|| malformed("A number of days is missing."))?;
    let count = u32::try_from(count).ok().filter(|count| *count > 0);
    count.ok_or_else(|| invalid_argument("A number of days is positive."))
}

fn expiry(asked: LifecycleExpiration) -> S3Result<(Option<Expiry>, bool)> {
    let markers = asked.expired_object_delete_marker.unwrap_or(false);
    match (asked.days, asked.date) {
        (Some(_), None) | (None, Some(_)) if markers => {
            Err(malformed("Delete markers have a rule of their own."))
        }
        (Some(count), None) => Ok((Some(Expiry::Days(days(Some(count))?)), false)),
        (None, Some(date)) => {
            let moment = times::named(date);
            if !moment.millis().is_multiple_of(DAY_MS) {
                return Err(invalid_argument("A date is at midnight, UTC."));
            }
            Ok((Some(Expiry::At(moment)), false))
        }
        (None, None) if asked.expired_object_delete_marker.is_some() => Ok((None, markers)),
        (Some(_), Some(_)) | (None, None) => Err(malformed("An expiry has days or a date.")),
    }
}

fn noncurrent(asked: &NoncurrentVersionExpiration) -> S3Result<Noncurrent> {
    let keep = asked.newer_noncurrent_versions.map(|count| {
        let count = u32::try_from(count).ok().filter(|count| *count > 0);
        count.ok_or_else(|| invalid_argument("A number of versions is positive."))
    });
    Ok(Noncurrent {
        days: days(asked.noncurrent_days)?,
        keep: keep.transpose()?,
    })
}

fn filter(
    outside: Option<String>,
    asked: Option<LifecycleRuleFilter>,
) -> S3Result<LifecycleFilter> {
    let size = |bytes: Option<i64>| {
        let bytes = bytes.map(u64::try_from).transpose();
        bytes.map_err(|_negative| invalid_argument("A size is not negative."))
    };
    let Some(asked) = asked else {
        let prefix = outside.ok_or_else(|| malformed("A rule has a filter."))?;
        return Ok(LifecycleFilter {
            prefix,
            form: FilterForm::Outside,
            ..LifecycleFilter::default()
        });
    };
    if outside.is_some() {
        return Err(malformed("A rule has a filter or a prefix."));
    }
    let LifecycleRuleFilter {
        and,
        object_size_greater_than: larger,
        object_size_less_than: smaller,
        prefix,
        tag,
    } = asked;
    // A prefix of no letters is no condition; some clients write it beside the one.
    let prefix = prefix.filter(|prefix| !prefix.is_empty());
    let alone = usize::from(larger.is_some())
        .saturating_add(usize::from(smaller.is_some()))
        .saturating_add(usize::from(prefix.is_some()))
        .saturating_add(usize::from(tag.is_some()));
    match and {
        Some(and) if alone == 0 => Ok(LifecycleFilter {
            prefix: and.prefix.unwrap_or_default(),
            tags: tags::of_xml(and.tags.unwrap_or_default())?,
            larger: size(and.object_size_greater_than)?,
            smaller: size(and.object_size_less_than)?,
            form: FilterForm::And,
        }),
        None if alone <= 1 => Ok(LifecycleFilter {
            prefix: prefix.unwrap_or_default(),
            tags: tags::of_xml(tag.into_iter().collect())?,
            larger: size(larger)?,
            smaller: size(smaller)?,
            form: FilterForm::Single,
        }),
        Some(_) | None => Err(malformed("A filter has one condition, or And.")),
    }
}

/// A rule as S3 tells it.
pub(in crate::s3) fn told(rule: LifecycleRule) -> Rule {
    let status = if rule.enabled {
        ExpirationStatus::ENABLED
    } else {
        ExpirationStatus::DISABLED
    };
    let count = |count: u32| i32::try_from(count).ok();
    let expiry = rule.expiry.map(|expiry| match expiry {
        Expiry::Days(days) => LifecycleExpiration {
            days: count(days),
            ..LifecycleExpiration::default()
        },
        Expiry::At(moment) => LifecycleExpiration {
            date: times::told(moment),
            ..LifecycleExpiration::default()
        },
    });
    let markers = rule.lone_markers.then(|| LifecycleExpiration {
        expired_object_delete_marker: Some(true),
        ..LifecycleExpiration::default()
    });
    let (prefix, filter) = filter_told(rule.filter);
    Rule {
        abort_incomplete_multipart_upload: rule.abort_days.map(|days| {
            AbortIncompleteMultipartUpload {
                days_after_initiation: count(days),
            }
        }),
        expiration: expiry.or(markers),
        filter,
        id: Some(rule.id),
        noncurrent_version_expiration: rule.noncurrent.map(|old| NoncurrentVersionExpiration {
            newer_noncurrent_versions: old.keep.and_then(count),
            noncurrent_days: count(old.days),
        }),
        noncurrent_version_transitions: None,
        prefix,
        status: ExpirationStatus::from_static(status),
        transitions: None,
    }
}

fn filter_told(filter: LifecycleFilter) -> (Option<String>, Option<LifecycleRuleFilter>) {
    let size = |bytes: Option<u64>| bytes.and_then(|bytes| i64::try_from(bytes).ok());
    let tag = |(name, value): (String, String)| Tag {
        key: Some(name),
        value: Some(value),
    };
    let (larger, smaller) = (size(filter.larger), size(filter.smaller));
    match filter.form {
        FilterForm::Outside => (Some(filter.prefix), None),
        FilterForm::And => {
            let and = LifecycleRuleAndOperator {
                object_size_greater_than: larger,
                object_size_less_than: smaller,
                prefix: Some(filter.prefix),
                tags: Some(filter.tags.into_iter().map(tag).collect()),
            };
            let filter = LifecycleRuleFilter {
                and: Some(and),
                ..LifecycleRuleFilter::default()
            };
            (None, Some(filter))
        }
        FilterForm::Single => {
            let other = larger.is_some() || smaller.is_some() || !filter.tags.is_empty();
            let filter = LifecycleRuleFilter {
                and: None,
                object_size_greater_than: larger,
                object_size_less_than: smaller,
                prefix: (!other).then_some(filter.prefix),
                tag: filter.tags.into_iter().next().map(tag),
            };
            (None, Some(filter))
        }
    }
}

/// `x-amz-expiration`: when an object expires, and by which rule, URL-encoded as it may be any
/// text.
pub(in crate::s3) fn expiration(expires: &Expires) -> Option<String> {
    let mut date = Vec::new();
    let moment = times::told(expires.at)?;
    moment.format(TimestampFormat::HttpDate, &mut date).ok()?;
    let date = String::from_utf8(date).ok()?;
    let rule = Texts::Url.write(&expires.rule);
    Some(format!("expiry-date=\"{date}\", rule-id=\"{rule}\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Timestamp;

    #[test]
    fn an_expiry_is_told_in_one_header_whatever_the_rule_is_called() {
        let told = |millis, rule: &str| {
            let at = Timestamp::from_millis(millis);
            let rule = rule.to_owned();
            expiration(&Expires { at, rule })
        };
        let date = "expiry-date=\"Wed, 03 Mar 2027 00:00:00 GMT\"";
        let day = 1_804_032_000_000;
        assert_eq!(told(day, "old"), Some(format!("{date}, rule-id=\"old\"")));
        let quoted = Some(format!("{date}, rule-id=\"a%22%2C%20%C3%A9\""));
        assert_eq!(told(day, "a\", é"), quoted);
        // A date that no header can carry is none.
        assert_eq!(told(u64::MAX, "old"), None);
    }

    fn rule() -> Rule {
        Rule {
            abort_incomplete_multipart_upload: None,
            expiration: Some(LifecycleExpiration {
                days: Some(1),
                ..LifecycleExpiration::default()
            }),
            filter: None,
            id: Some("a".to_owned()),
            noncurrent_version_expiration: None,
            noncurrent_version_transitions: None,
            prefix: Some("p/".to_owned()),
            status: ExpirationStatus::from_static(ExpirationStatus::ENABLED),
            transitions: None,
        }
    }

    fn code(rule: Rule) -> Option<String> {
        let error = read(vec![rule]).err()?;
        Some(error.code().as_str().to_owned())
    }

    fn expiring(expiration: LifecycleExpiration) -> Rule {
        Rule {
            expiration: Some(expiration),
            ..rule()
        }
    }

    fn filtered(filter: LifecycleRuleFilter) -> Rule {
        Rule {
            filter: Some(filter),
            prefix: None,
            ..rule()
        }
    }

    #[test]
    fn what_is_read_is_told_the_same() {
        let tag = |name: &str| Tag {
            key: Some(name.to_owned()),
            value: Some("v".to_owned()),
        };
        let one = LifecycleRuleFilter {
            tag: Some(tag("a")),
            ..LifecycleRuleFilter::default()
        };
        let many = LifecycleRuleFilter {
            and: Some(LifecycleRuleAndOperator {
                object_size_greater_than: Some(5),
                object_size_less_than: None,
                prefix: Some("q/".to_owned()),
                tags: Some(vec![tag("a"), tag("b")]),
            }),
            ..LifecycleRuleFilter::default()
        };
        let date = LifecycleExpiration {
            date: times::told(Timestamp::from_millis(DAY_MS * 20_000)),
            ..LifecycleExpiration::default()
        };
        let old = Rule {
            noncurrent_version_expiration: Some(NoncurrentVersionExpiration {
                newer_noncurrent_versions: Some(2),
                noncurrent_days: Some(3),
            }),
            abort_incomplete_multipart_upload: Some(AbortIncompleteMultipartUpload {
                days_after_initiation: Some(4),
            }),
            expiration: None,
            status: ExpirationStatus::from_static(ExpirationStatus::DISABLED),
            ..rule()
        };
        for sent in [rule(), filtered(one), filtered(many), expiring(date), old] {
            let read = read(vec![sent.clone()]).unwrap().remove(0);
            assert_eq!(told(read), sent);
        }
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        let invalid = Some("InvalidArgument");
        let bad = LifecycleExpiration {
            days: Some(0),
            ..LifecycleExpiration::default()
        };
        assert_eq!(code(expiring(bad)).as_deref(), invalid);
        let noon = LifecycleExpiration {
            date: times::told(Timestamp::from_millis(DAY_MS / 2)),
            ..LifecycleExpiration::default()
        };
        assert_eq!(code(expiring(noon)).as_deref(), invalid);
        let long = Rule {
            id: Some("a".repeat(256)),
            ..rule()
        };
        assert_eq!(code(long).as_deref(), invalid);
        let twice = read(vec![rule(), rule()]).unwrap_err();
        assert_eq!(twice.code().as_str(), "InvalidArgument");
        let malformed = Some("MalformedXML");
        let both = LifecycleExpiration {
            days: Some(1),
            expired_object_delete_marker: Some(true),
            ..LifecycleExpiration::default()
        };
        assert_eq!(code(expiring(both)).as_deref(), malformed);
        let nothing = LifecycleExpiration::default();
        assert_eq!(code(expiring(nothing)).as_deref(), malformed);
        let status = Rule {
            status: ExpirationStatus::from("enabled".to_owned()),
            ..rule()
        };
        assert_eq!(code(status).as_deref(), malformed);
        let nowhere = Rule {
            prefix: None,
            ..rule()
        };
        assert_eq!(code(nowhere).as_deref(), malformed);
        let two = LifecycleRuleFilter {
            prefix: Some("a".to_owned()),
            object_size_less_than: Some(1),
            ..LifecycleRuleFilter::default()
        };
        assert_eq!(code(filtered(two)).as_deref(), malformed);
        let tag = Tag {
            key: Some("a".to_owned()),
            value: Some("v".to_owned()),
        };
        let two = LifecycleRuleFilter {
            tag: Some(tag.clone()),
            object_size_less_than: Some(1),
            prefix: Some(String::new()),
            ..LifecycleRuleFilter::default()
        };
        assert_eq!(code(filtered(two)).as_deref(), malformed);
        // A prefix of no letters is no second condition.
        let one = LifecycleRuleFilter {
            tag: Some(tag),
            prefix: Some(String::new()),
            ..LifecycleRuleFilter::default()
        };
        assert_eq!(code(filtered(one)), None);
        let moved = Rule {
            transitions: Some(vec![s3s::dto::Transition::default()]),
            ..rule()
        };
        assert_eq!(code(moved).as_deref(), Some("NotImplemented"));
    }

    #[test]
    fn rules_without_a_name_get_one() {
        let unnamed = || Rule { id: None, ..rule() };
        let rules = read(vec![unnamed(), unnamed()]).unwrap();
        assert_eq!((&*rules[0].id, &*rules[1].id), ("rule-1", "rule-2"));
    }
}
