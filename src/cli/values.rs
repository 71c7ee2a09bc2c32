//! The kinds of value that arguments take beyond those of `types`: how each is read.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::keyring::is_recipient;
use crate::ledger::{Outcome, parse_event};
use crate::manifest::SignerKey;
use crate::types::{
    AccessKeyId, BucketName, BucketRef, DatasetName, EventId, NameError, PrincipalId, ProjectName,
    SessionScope, SessionScopeError, Timestamp, is_small_order,
};

/// Why a value was refused.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ValueError {
    /// A dataset that is not written `project/dataset`.
    #[error("a dataset is written project/dataset, each of a-z, 0-9 and single hyphens inside")]
    Dataset,
    /// A dataset with its project, where that is named apart.
    #[error("the project is named apart: {0}")]
    Apart(DatasetName),
    /// A name that is no dataset's.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A version that is not written `project/dataset@number`.
    #[error("a version is written project/dataset@number")]
    Version,
    /// A version that is neither that nor `project/dataset@latest`.
    #[error("a version is written project/dataset@number or project/dataset@latest")]
    VersionOrLatest,
    /// A job that is not written `person/id`.
    #[error("a job is written person/id, as `kluis job list` shows it")]
    Job,
    /// An access key's id that cannot be one.
    #[error(
        "an access key's id is 20 upper-case letters and digits, as `kluis credential list` shows it"
    )]
    AccessKey,
    /// A hash that is not 64 hex digits.
    #[error("a SHA-256 is written as 64 lower-case hex digits")]
    Digest,
    /// A key of versions that is not 64 hex digits.
    #[error(
        "a signer is written as 64 lower-case hex digits, as `kluis dataset versions` shows it"
    )]
    Signer,
    /// A key that is not 32 bytes in base64, or that anybody can sign under.
    #[error("a node's key is 32 bytes in base64, as `kluis node init` prints it; no other")]
    NodeKey,
    /// A term that is not written `name=value`.
    #[error("a term is written name=value")]
    Term,
    /// A time that is neither a date nor a moment.
    #[error("a time is written 2027-12-31 or 2027-12-31T12:00:00Z")]
    Time,
    /// An event that is not written as `audit tail` shows it.
    #[error("an event is written as 32 hex digits or as a UUID")]
    Event,
    /// An outcome that no request has.
    #[error("an outcome is success, refused, failed, aborted or open-at-crash")]
    Outcome,
    /// A time that is none.
    #[error("a time is written 90s, 15m, 1h or 7d, a year at most")]
    Span,
    /// A custodian that is not written `name=age1…` or `name=@file`.
    #[error("a custodian is written NAME=age1... or NAME=@FILE")]
    Custodian,
    /// A store that is not written `s3://bucket` or `s3://bucket/prefix`.
    #[error("a store is written s3://BUCKET or s3://BUCKET/PREFIX")]
    Store,
}

/// Reads how far a session is to reach: as it is written, once it is such a text.
pub fn role(text: &str) -> Result<String, SessionScopeError> {
    text.parse::<SessionScope>().map(|_scope| text.to_owned())
}

/// A custodian, and what her share is sealed with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CustodianArg {
    /// Who.
    pub name: PrincipalId,
    /// With what.
    pub lock: Lock,
}

/// What a share is sealed with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Lock {
    /// An age recipient.
    Recipient(String),
    /// A file with a passphrase.
    File(PathBuf),
}

/// Reads `name=age1…` or `name=@file`.
pub fn custodian(text: &str) -> Result<CustodianArg, ValueError> {
    let (name, lock) = text.split_once('=').ok_or(ValueError::Custodian)?;
    let name = name.parse().map_err(|_name| ValueError::Custodian)?;
    let lock = match lock.strip_prefix('@') {
        Some(file) if !file.is_empty() => Lock::File(file.into()),
        None if is_recipient(lock) => Lock::Recipient(lock.to_owned()),
        Some(_) | None => return Err(ValueError::Custodian),
    };
    Ok(CustodianArg { name, lock })
}

/// Reads `project/dataset`.
pub fn dataset(text: &str) -> Result<BucketName, ValueError> {
    let (project, dataset) = text.split_once('/').ok_or(ValueError::Dataset)?;
    let project: ProjectName = project.parse().map_err(|_name| ValueError::Dataset)?;
    let dataset: DatasetName = dataset.parse().map_err(|_name| ValueError::Dataset)?;
    Ok(BucketName { project, dataset })
}

/// A project, or a dataset of one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Spot {
    /// The project.
    pub project: ProjectName,
    /// The dataset, if one is named.
    pub dataset: Option<DatasetName>,
}

/// Reads `project/dataset` or `project`.
pub fn spot(text: &str) -> Result<Spot, ValueError> {
    if text.contains('/') {
        let BucketName { project, dataset } = dataset(text)?;
        let dataset = Some(dataset);
        return Ok(Spot { project, dataset });
    }
    let project = text.parse().map_err(|_name| ValueError::Dataset)?;
    Ok(Spot {
        project,
        dataset: None,
    })
}

/// Reads `name=value`; the value may hold further `=`.
pub fn term(text: &str) -> Result<(String, String), ValueError> {
    let (name, value) = text.split_once('=').ok_or(ValueError::Term)?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Reads the id of an access key.
pub fn access_key(text: &str) -> Result<AccessKeyId, ValueError> {
    text.parse().map_err(|_form| ValueError::AccessKey)
}

/// Reads `project/dataset@number`.
pub fn version(text: &str) -> Result<(BucketName, u32), ValueError> {
    let (name, number) = text.rsplit_once('@').ok_or(ValueError::Version)?;
    let name = dataset(name).map_err(|_dataset| ValueError::Version)?;
    let named = format!("{name}--v{number}");
    let found = BucketRef::parse(&named, &name.project).map_err(|_number| ValueError::Version)?;
    found
        .version
        .map(|number| (found.bucket, number))
        .ok_or(ValueError::Version)
}

/// Reads `project/dataset@number`, or `project/dataset@latest`, which has no number.
pub fn newest_or_version(text: &str) -> Result<(BucketName, Option<u32>), ValueError> {
    if let Some(name) = text.strip_suffix("@latest") {
        let name = dataset(name).map_err(|_dataset| ValueError::VersionOrLatest)?;
        return Ok((name, None));
    }
    version(text)
        .map(|(name, number)| (name, Some(number)))
        .map_err(|_number| ValueError::VersionOrLatest)
}

/// Reads a job, `person/id`; also as `kluis job submit` prints it, behind its version.
pub fn job(text: &str) -> Result<String, ValueError> {
    let name = match text.split_once(':') {
        Some((before, name)) if version(before).is_ok() => name,
        _bare => text,
    };
    let (person, id) = name.split_once('/').ok_or(ValueError::Job)?;
    if person.is_empty() || id.is_empty() || id.contains('/') {
        return Err(ValueError::Job);
    }
    Ok(name.to_owned())
}

/// Reads the name of a dataset whose project is named apart.
pub fn in_project(text: &str) -> Result<DatasetName, ValueError> {
    match dataset(text) {
        Ok(whole) if text.contains('/') => Err(ValueError::Apart(whole.dataset)),
        _bare => Ok(text.parse()?),
    }
}

/// Reads a SHA-256 in hex.
pub fn digest(text: &str) -> Result<[u8; 32], ValueError> {
    let bytes = data_encoding::HEXLOWER.decode(text.as_bytes());
    let bytes = bytes.map_err(|_not_hex| ValueError::Digest)?;
    bytes.try_into().map_err(|_length| ValueError::Digest)
}

/// Reads the key that signs versions.
pub fn signer(text: &str) -> Result<SignerKey, ValueError> {
    text.parse().map_err(|_not_hex| ValueError::Signer)
}

/// Reads a node's public key.
pub fn node_key(text: &str) -> Result<[u8; 32], ValueError> {
    let bytes = data_encoding::BASE64.decode(text.as_bytes());
    let bytes = bytes.map_err(|_not_base64| ValueError::NodeKey)?;
    let key = bytes.try_into().map_err(|_length| ValueError::NodeKey)?;
    if is_small_order(&key) {
        return Err(ValueError::NodeKey);
    }
    Ok(key)
}

/// Reads a date, which begins at midnight UTC, or a moment (RFC 3339).
pub fn time(text: &str) -> Result<Timestamp, ValueError> {
    let moment = if text.len() == 10 {
        format!("{text}T00:00:00Z")
    } else {
        text.to_owned()
    };
    Timestamp::parse(&moment).ok_or(ValueError::Time)
}

/// Reads a time that passes: `90s`, `15m`, `1h`, `7d`; a whole number of one unit, a year at most.
pub fn span(text: &str) -> Result<Duration, ValueError> {
    let (number, unit) = text
        .char_indices()
        .next_back()
        .and_then(|(at, _)| text.split_at_checked(at))
        .ok_or(ValueError::Span)?;
    let seconds: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return Err(ValueError::Span),
    };
    let digits = number.bytes().all(|b| b.is_ascii_digit());
    let number: Option<u64> = number.parse().ok().filter(|_| digits);
    let seconds = number.and_then(|number| number.checked_mul(seconds));
    let year = 366 * 24 * 60 * 60;
    let seconds = seconds.filter(|seconds| (1..=year).contains(seconds));
    seconds.map(Duration::from_secs).ok_or(ValueError::Span)
}

/// Reads an event's id, as lines or as JSON show it.
pub fn event(text: &str) -> Result<EventId, ValueError> {
    parse_event(text).ok_or(ValueError::Event)
}

/// Reads an outcome, as lines of the log show it.
pub fn outcome(text: &str) -> Result<Outcome, ValueError> {
    [
        Outcome::Success,
        Outcome::Refused,
        Outcome::Failed,
        Outcome::Aborted,
        Outcome::OpenAtCrash,
    ]
    .into_iter()
    .find(|outcome| outcome.to_string() == text)
    .ok_or(ValueError::Outcome)
}

/// An S3 store as arguments name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreUrl {
    /// The bucket.
    pub bucket: String,
    /// What blobs' names begin with.
    pub prefix: Option<String>,
}

impl FromStr for StoreUrl {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let rest = text.strip_prefix("s3://").ok_or(ValueError::Store)?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() || bucket.contains([':', '@', '?', ' ']) {
            return Err(ValueError::Store);
        }
        let prefix = prefix.trim_end_matches('/');
        let prefix = (!prefix.is_empty()).then(|| prefix.to_owned());
        Ok(Self {
            bucket: bucket.to_owned(),
            prefix,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_one_number_and_one_unit() {
        for (text, seconds) in [("90s", 90), ("15m", 900), ("1h", 3_600), ("7d", 604_800)] {
            assert_eq!(span(text), Ok(Duration::from_secs(seconds)));
        }
        for bad in [
            "", "1", "h", "0s", "-1h", "+1h", "1h30m", "1 h", "1w", "400d", "1\u{e9}",
        ] {
            assert_eq!(span(bad), Err(ValueError::Span), "{bad}");
        }
        assert_eq!(span(&format!("{}s", u64::MAX)), Err(ValueError::Span));
        assert_eq!(span(&format!("{}d", u64::MAX)), Err(ValueError::Span));
    }

    #[test]
    fn datasets_are_written_with_one_slash() {
        let ecg = dataset("icu-sepsis/ecg-2024").expect("a dataset");
        assert_eq!(ecg.to_string(), "icu-sepsis--ecg-2024");
        for bad in [
            "",
            "ecg",
            "/ecg",
            "icu/",
            "icu/ecg/x",
            "icu--ecg",
            "ICU/ecg",
            "icu/ecg@3",
        ] {
            assert_eq!(dataset(bad), Err(ValueError::Dataset), "{bad}");
        }
    }

    #[test]
    fn a_dataset_whose_project_is_named_apart_is_written_without_it() {
        assert_eq!(in_project("ecg"), Ok("ecg".parse().unwrap()));
        let told = in_project("icu/ecg").unwrap_err();
        assert_eq!(told.to_string(), "the project is named apart: ecg");
        for bad in ["", "ECG", "icu/ECG", "a/b/c"] {
            assert!(matches!(in_project(bad), Err(ValueError::Name(_))), "{bad}");
        }
    }

    #[test]
    fn a_job_is_written_as_it_was_printed() {
        let name = "b.devries/01a2-f".to_owned();
        assert_eq!(job("b.devries/01a2-f"), Ok(name.clone()));
        assert_eq!(job("icu-sepsis/ecg-2024@2:b.devries/01a2-f"), Ok(name));
        for bad in [
            "",
            "bob",
            "/1",
            "bob/",
            "a/b/c",
            "icu/ecg:bob/1/2",
            "icu/ecg@2:bob",
            "icu/ecg@x:bob/1",
        ] {
            assert_eq!(job(bad), Err(ValueError::Job), "{bad}");
        }
    }

    #[test]
    fn a_signer_is_64_hex_digits() {
        let text = "0a".repeat(32);
        assert_eq!(signer(&text), Ok(SignerKey::from_bytes([10; 32])));
        for bad in [
            "",
            "00",
            &text.to_uppercase(),
            &text[1..],
            &format!("{text}0a"),
        ] {
            assert_eq!(signer(bad), Err(ValueError::Signer), "{bad}");
        }
    }

    #[test]
    fn times_are_dates_or_moments() {
        assert_eq!(time("1970-01-02"), Ok(Timestamp::from_millis(86_400_000)));
        assert_eq!(
            time("1970-01-01T01:00:00.5+01:00"),
            Ok(Timestamp::from_millis(500))
        );
        for bad in [
            "",
            "tomorrow",
            "2027-13-01",
            "2027-1-1",
            "1969-12-31",
            "2027-12-31T12:00",
        ] {
            assert_eq!(time(bad), Err(ValueError::Time), "{bad}");
        }
    }

    #[test]
    fn outcomes_and_events_are_those_of_the_log() {
        assert_eq!(outcome("open-at-crash"), Ok(Outcome::OpenAtCrash));
        assert_eq!(outcome("Success"), Err(ValueError::Outcome));
        assert_eq!(event("ab"), Err(ValueError::Event));
        assert!(event("0198f0c2-7a1e-7c3b-9d51-0c6a5d0f2b11").is_ok());
    }

    #[test]
    fn stores_are_urls_without_credentials() {
        let store = |bucket: &str, prefix: Option<&str>| {
            Ok(StoreUrl {
                bucket: bucket.to_owned(),
                prefix: prefix.map(str::to_owned),
            })
        };
        assert_eq!("s3://b".parse(), store("b", None));
        assert_eq!("s3://b/".parse(), store("b", None));
        assert_eq!("s3://b/p/q/".parse(), store("b", Some("p/q")));
        for bad in ["", "b", "s3://", "s3:///p", "https://b", "s3://id:secret@b"] {
            assert_eq!(bad.parse::<StoreUrl>(), Err(ValueError::Store), "{bad}");
        }
    }
}
