//! Names that people choose: projects, datasets, buckets, object keys. Checked once, here.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::limits;

/// Why a name was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
#[non_exhaustive]
pub enum NameError {
    /// Not 1 to 63 (dataset) or 1 to 30 (all others) characters.
    #[error("a name is 1 to 30 characters long, a dataset's at most 63")]
    Length,
    /// Something other than a lower-case letter, a digit or a single inner hyphen.
    #[error("a name is made of a-z, 0-9 and single hyphens inside")]
    Character,
    /// A bucket whose name is not `<project>--<dataset>` or a dataset of the default project.
    #[error("a bucket is named <project>--<dataset>")]
    Bucket,
    /// A dataset that no S3 client could name: `<project>--<dataset>` is beyond S3's bound.
    #[error("a bucket's name, <project>--<dataset>, is at most 63 characters long")]
    BucketTooLong,
    /// An object key of no bytes.
    #[error("an object key is not empty")]
    KeyEmpty,
    /// An object key of more than 1,024 bytes.
    #[error("an object key is at most 1024 bytes long")]
    KeyTooLong,
    /// A control character, which neither XML nor a terminal can carry.
    #[error("an object key has no control character")]
    KeyControl,
    /// A path segment that is `.` or `..`, which no file system could mount.
    #[error("an object key has no path segment that is . or ..")]
    KeyDots,
}

/// Lower-case letters, digits, single hyphens inside: so that `--` can only be the separator.
fn check_label(text: &str, max: usize) -> Result<(), NameError> {
    if text.is_empty() || text.len() > max {
        return Err(NameError::Length);
    }
    let plain = text
        .bytes()
        .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    if !plain || text.starts_with('-') || text.ends_with('-') || text.contains("--") {
        return Err(NameError::Character);
    }
    Ok(())
}

macro_rules! label {
    ($(#[$doc:meta])* $name:ident, $max:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                check_label(text, $max)?;
                Ok(Self(text.into()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
    };
}

label! {
    /// Who works together; the domain of a policy.
    ProjectName, limits::PROJECT_NAME_BYTES_MAX
}
label! {
    /// What is uploaded, granted and erased as one, within its project.
    DatasetName, limits::DATASET_NAME_BYTES_MAX
}

label! {
    /// Compute nodes that one rule holds for (AZ-12), as an operator enrolled them. A scheduler may
    /// call its own partitions otherwise.
    PartitionName, limits::PARTITION_NAME_BYTES_MAX
}
label! {
    /// What data may be computed on for, such as `civil` or `defence` (AZ-12).
    UseClass, limits::USE_CLASS_BYTES_MAX
}

/// A dataset as S3 names it: `<project>--<dataset>`, or `<dataset>` in the default project.
///
/// Whatever is made has a name within S3's bound ([`Self::for_s3`]). What is there is read by its
/// name in full, too, however long that is: which project is the default one is a setting, and
/// another one leaves nothing without a name. No two have one name: a name without `--` is no
/// other's, since neither a project's nor a dataset's holds that.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct BucketName {
    /// The project.
    pub project: ProjectName,
    /// The dataset within it.
    pub dataset: DatasetName,
}

impl BucketName {
    /// Reads a bucket's name; one without `--` belongs to `default_project`.
    pub fn parse(text: &str, default_project: &ProjectName) -> Result<Self, NameError> {
        let (project, dataset) = match text.split_once("--") {
            Some((project, dataset)) => (project.parse()?, dataset),
            None => (default_project.clone(), text),
        };
        if text.len() < 3 {
            return Err(NameError::Bucket);
        }
        Ok(Self {
            project,
            dataset: dataset.parse()?,
        })
    }

    /// The name that S3 clients are told, within S3's bound: with its project, and without it only
    /// where the whole would be too long. `None` where there is no such name.
    #[must_use]
    pub fn for_s3(&self, default_project: &ProjectName) -> Option<String> {
        let whole = self.to_string();
        if whole.len() <= limits::BUCKET_NAME_BYTES_MAX {
            return Some(whole);
        }
        (self.project == *default_project).then(|| self.dataset.to_string())
    }
}

impl fmt::Display for BucketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}--{}", self.project, self.dataset)
    }
}

/// What a request's bucket names: a dataset, or one of its published versions, which is called
/// `<project>--<dataset>--v<n>`. A version's name always says its project.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct BucketRef {
    /// The dataset.
    pub bucket: BucketName,
    /// The version's number, at least 1.
    pub version: Option<u32>,
}

impl BucketRef {
    /// Reads a bucket's name.
    pub fn parse(text: &str, default_project: &ProjectName) -> Result<Self, NameError> {
        if let Some((bucket, number)) = text.rsplit_once("--v")
            && bucket.contains("--")
        {
            let bucket = BucketName::parse(bucket, default_project)?;
            let version = Some(version_number(number).ok_or(NameError::Bucket)?);
            return Ok(Self { bucket, version });
        }
        BucketName::parse(text, default_project).map(|bucket| Self {
            bucket,
            version: None,
        })
    }
}

/// A version's number, written in one way: no sign, no zero in front.
fn version_number(text: &str) -> Option<u32> {
    let number: u32 = text.parse().ok()?;
    let sound = (1..=limits::VERSIONS_MAX).contains(&number) && number.to_string() == text;
    sound.then_some(number)
}

impl fmt::Display for BucketRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.bucket, f)?;
        match self.version {
            Some(number) => write!(f, "--v{number}"),
            None => Ok(()),
        }
    }
}

/// An object's name: 1 to 1,024 bytes of UTF-8, no control character, no `.` or `..` segment.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey(Arc<str>);

impl ObjectKey {
    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ObjectKey {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::KeyEmpty);
        }
        if text.len() > limits::OBJECT_KEY_BYTES_MAX {
            return Err(NameError::KeyTooLong);
        }
        if text.chars().any(unprintable) {
            return Err(NameError::KeyControl);
        }
        if text.split('/').any(|segment| matches!(segment, "." | "..")) {
            return Err(NameError::KeyDots);
        }
        Ok(Self(text.into()))
    }
}

/// What neither XML 1.0 nor a terminal can carry; with such a key no listing could be read.
fn unprintable(c: char) -> bool {
    c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}')
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(text: &str) -> Result<String, NameError> {
        BucketName::parse(text, &"main".parse().unwrap()).map(|b| b.to_string())
    }

    #[test]
    fn buckets_split_at_the_first_double_hyphen() {
        assert_eq!(
            bucket("icu-sepsis--ecg-2024").unwrap(),
            "icu-sepsis--ecg-2024"
        );
        assert_eq!(bucket("ecg-2024").unwrap(), "main--ecg-2024");
    }

    #[test]
    fn versions_have_one_name_each() {
        let parse = |text: &str| BucketRef::parse(text, &"main".parse().unwrap());
        let found = parse("icu--ecg--v12").unwrap();
        assert_eq!(
            (found.bucket.to_string(), found.version),
            ("icu--ecg".into(), Some(12))
        );
        assert_eq!(found.to_string(), "icu--ecg--v12");
        // Without its project it is a dataset named v3.
        let found = parse("ecg--v3").unwrap();
        assert_eq!(
            (found.bucket.to_string(), found.version),
            ("ecg--v3".into(), None)
        );
        for bad in [
            "icu--ecg--v",
            "icu--ecg--v0",
            "icu--ecg--v01",
            "icu--ecg--v+1",
            "icu--ecg--v-1",
            "icu--ecg--v1000001",
            "icu--ecg--v1--v1",
            "icu--ecg--vx",
            "icu----v1",
            "--ecg--v1",
            "icu--ecg--v99999999999",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn bad_buckets_are_refused() {
        let long = [
            "d".repeat(64),
            format!("a--{}", "d".repeat(64)),
            format!("{}--d", "p".repeat(31)),
            format!("{}--v1", "d".repeat(64)),
            format!("{}-d", "d".repeat(62)),
            format!("{}--{}", "d".repeat(32), "d".repeat(29)),
        ];
        let long = long.iter().map(String::as_str);
        let short = [
            "", "ab", "--x", "x--", "a--b--c", "a---b", "A--b", "a--b_c", "a..b", "a/b",
        ];
        for bad in short.into_iter().chain(long) {
            assert!(bucket(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_s3_can_name_is_told_within_its_bound() {
        let main: ProjectName = "main".parse().unwrap();
        let other: ProjectName = "icu".parse().unwrap();
        let told = |project: &ProjectName, length: usize| {
            let (project, dataset) = (project.clone(), "d".repeat(length).parse().unwrap());
            BucketName { project, dataset }.for_s3(&main)
        };
        // Only the default project's have a shorter name.
        for (project, length) in [(&main, 57), (&other, 58)] {
            let whole = format!("{project}--{}", "d".repeat(length));
            assert_eq!(told(project, length), Some(whole));
        }
        for length in [58, 63] {
            assert_eq!(told(&main, length), Some("d".repeat(length)));
        }
        for length in [59, 63] {
            assert_eq!(told(&other, length), None);
        }
        assert!("d".repeat(64).parse::<DatasetName>().is_err());
        assert!("p".repeat(31).parse::<ProjectName>().is_err());
    }

    /// Each name of each dataset, and of its versions, is its own and nobody else's.
    #[test]
    fn no_two_datasets_have_one_name() {
        let main: ProjectName = "main".parse().unwrap();
        let mut seen = std::collections::HashMap::new();
        for project in ["main", "m", "main-d", "d", &"p".repeat(30)] {
            for dataset in [
                "d",
                "v1",
                "d-v1",
                "main",
                "main-d",
                &"d".repeat(57),
                &"d".repeat(63),
            ] {
                let bucket = BucketName {
                    project: project.parse().unwrap(),
                    dataset: dataset.parse().unwrap(),
                };
                let mut all = vec![bucket.to_string(), format!("{bucket}--v1000000")];
                all.extend(bucket.for_s3(&main));
                all.sort_unstable();
                all.dedup();
                for name in all {
                    assert!(name.len() <= limits::BUCKET_REF_BYTES_MAX, "{name}");
                    let found = BucketRef::parse(&name, &main).unwrap();
                    assert_eq!(found.bucket, bucket, "{name}");
                    let before = seen.insert(name, found.clone());
                    assert_eq!(before, None, "{found}");
                }
            }
        }
    }

    #[test]
    fn odd_keys_are_keys() {
        let long = "k".repeat(1024);
        for good in [
            "a",
            "/",
            "a//b",
            "a/",
            ".hidden",
            "..a",
            "a/...",
            "ключ/鍵 .txt",
            " ",
            &long,
        ] {
            assert!(good.parse::<ObjectKey>().is_ok(), "{good}");
        }
    }

    #[test]
    fn bad_keys_are_refused() {
        let long = "k".repeat(1025);
        let cases = [
            ("", NameError::KeyEmpty),
            (&*long, NameError::KeyTooLong),
            ("a\nb", NameError::KeyControl),
            ("a\0", NameError::KeyControl),
            ("\u{85}", NameError::KeyControl),
            ("a\u{fffe}", NameError::KeyControl),
            ("\u{ffff}", NameError::KeyControl),
            ("..", NameError::KeyDots),
            ("a/../b", NameError::KeyDots),
            ("./a", NameError::KeyDots),
        ];
        for (bad, why) in cases {
            assert_eq!(bad.parse::<ObjectKey>().unwrap_err(), why, "{bad:?}");
        }
    }
}
