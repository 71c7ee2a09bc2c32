//! The scope of a lasting credential: which part of its owner's rights it carries.

use std::fmt;

use super::{DatasetName, Network, ObjectKey, ProjectName, limits};

/// Which part of its owner's rights a lasting credential carries. A request must lie within all of
/// it, **and** be allowed to the owner: a scope gives nothing.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct KeyScope {
    /// Only this project.
    pub project: Option<ProjectName>,
    /// Only this dataset of it.
    pub dataset: Option<DatasetName>,
    /// Only this published version of that.
    pub version: Option<u32>,
    /// Only keys of that dataset that begin so; empty for all.
    pub prefix: String,
    /// Only what changes nothing.
    pub only_reads: bool,
    /// Only by grants of this purpose.
    pub purpose: Option<String>,
    /// Only from these networks, in order, each once; empty for any.
    pub networks: Vec<Network>,
}

/// Why a scope was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum KeyScopeError {
    /// A dataset of no project.
    #[error("a dataset is scoped with its project")]
    Project,
    /// A version or a prefix of no dataset.
    #[error("a version or a prefix is scoped with its dataset")]
    Dataset,
    /// A version that no dataset has.
    #[error("versions count from 1")]
    Version,
    /// A prefix that no key begins with.
    #[error("no key begins with this prefix")]
    Prefix,
    /// A purpose that no grant has.
    #[error("a purpose is 1 to 128 characters, none of them a control")]
    Purpose,
    /// Too many networks, or not in order, each once.
    #[error("a scope names at most 32 networks, in order, each once")]
    Networks,
}

impl KeyScope {
    /// Whether it narrows nothing.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it leaves a project whole: then what its owner may do there beside data is within
    /// it.
    #[must_use]
    pub const fn is_of_projects(&self) -> bool {
        let Self {
            project: _,
            dataset,
            version: _,
            prefix: _,
            only_reads,
            purpose,
            networks: _,
        } = self;
        dataset.is_none() && !*only_reads && purpose.is_none()
    }

    /// Refuses what narrows to nothing that there can be.
    pub fn check(&self) -> Result<(), KeyScopeError> {
        if self.dataset.is_some() && self.project.is_none() {
            return Err(KeyScopeError::Project);
        }
        if self.dataset.is_none() && (self.version.is_some() || !self.prefix.is_empty()) {
            return Err(KeyScopeError::Dataset);
        }
        if self.version == Some(0) {
            return Err(KeyScopeError::Version);
        }
        // What a key may be, its beginning may be.
        if !self.prefix.is_empty() && self.prefix.parse::<ObjectKey>().is_err() {
            return Err(KeyScopeError::Prefix);
        }
        let is_none = |text: &str| !is_reference(text);
        if self.purpose.as_deref().is_some_and(is_none) {
            return Err(KeyScopeError::Purpose);
        }
        let ordered = self.networks.is_sorted_by(|one, next| one < next);
        if !ordered || self.networks.len() > limits::GRANT_NETWORKS_MAX {
            return Err(KeyScopeError::Networks);
        }
        Ok(())
    }
}

/// As people and records read it: words by one space, nothing for a scope of everything.
impl fmt::Display for KeyScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match (&self.project, &self.dataset) {
            (None, _) => None,
            (Some(project), None) => Some(format!("in={project}")),
            (Some(project), Some(dataset)) => Some(format!("in={project}/{dataset}")),
        };
        let version = self.version.map(|number| format!("version={number}"));
        let prefix = (!self.prefix.is_empty()).then(|| format!("prefix={:?}", self.prefix));
        let reads = self.only_reads.then(|| "read-only".to_owned());
        let purpose = self
            .purpose
            .as_ref()
            .map(|text| format!("purpose={text:?}"));
        let networks: Vec<String> = self.networks.iter().map(ToString::to_string).collect();
        let from = (!networks.is_empty()).then(|| format!("from={}", networks.join(",")));
        let words = [place, version, prefix, reads, purpose, from];
        let words: Vec<String> = words.into_iter().flatten().collect();
        f.write_str(&words.join(" "))
    }
}

/// Whether a text can stand as a purpose or a permit: 1 to [`limits::GRANT_TEXT_BYTES_MAX`] bytes,
/// none of them a control, no space at either end.
#[must_use]
pub fn is_reference(text: &str) -> bool {
    let bounded = (1..=limits::GRANT_TEXT_BYTES_MAX).contains(&text.len());
    bounded && text.trim() == text && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole() -> KeyScope {
        KeyScope {
            project: Some("icu".parse().unwrap()),
            dataset: Some("ecg".parse().unwrap()),
            version: Some(2),
            prefix: "2024/".to_owned(),
            only_reads: true,
            purpose: Some("sepsis".to_owned()),
            networks: vec![
                "10.0.0.0/8".parse().unwrap(),
                "192.0.2.0/24".parse().unwrap(),
            ],
        }
    }

    #[test]
    fn a_scope_that_can_be_met_is_taken() {
        assert_eq!(whole().check(), Ok(()));
        assert_eq!(KeyScope::default().check(), Ok(()));
        assert!(KeyScope::default().is_everything());
        assert!(!whole().is_everything());
    }

    #[test]
    fn a_scope_of_nothing_that_there_can_be_is_refused() {
        type Bend = fn(&mut KeyScope);
        let bends: &[(Bend, KeyScopeError)] = &[
            (|scope| scope.project = None, KeyScopeError::Project),
            (|scope| scope.dataset = None, KeyScopeError::Dataset),
            (|scope| scope.version = Some(0), KeyScopeError::Version),
            (
                |scope| scope.prefix = "a\0b".to_owned(),
                KeyScopeError::Prefix,
            ),
            (
                |scope| scope.prefix = "a".repeat(1_025),
                KeyScopeError::Prefix,
            ),
            (
                |scope| scope.purpose = Some(String::new()),
                KeyScopeError::Purpose,
            ),
            (
                |scope| scope.purpose = Some("a\nb".to_owned()),
                KeyScopeError::Purpose,
            ),
            (
                |scope| scope.purpose = Some("a".repeat(129)),
                KeyScopeError::Purpose,
            ),
            (|scope| scope.networks.reverse(), KeyScopeError::Networks),
            (
                |scope| scope.networks = vec!["10.0.0.0/8".parse().unwrap(); 2],
                KeyScopeError::Networks,
            ),
            (
                |scope| {
                    let net = |n: u8| format!("10.{n}.0.0/16").parse().unwrap();
                    scope.networks = (0..33).map(net).collect();
                },
                KeyScopeError::Networks,
            ),
        ];
        for (bend, error) in bends {
            let mut scope = whole();
            bend(&mut scope);
            assert_eq!(scope.check(), Err(*error), "{scope:?}");
        }
    }

    #[test]
    fn a_scope_is_read_in_words() {
        assert_eq!(
            whole().to_string(),
            "in=icu/ecg version=2 prefix=\"2024/\" read-only purpose=\"sepsis\" \
             from=10.0.0.0/8,192.0.2.0/24"
        );
        assert_eq!(KeyScope::default().to_string(), "");
    }

    #[test]
    fn what_is_narrower_than_a_project_leaves_its_affairs_out() {
        let of = |bend: fn(&mut KeyScope)| {
            let mut scope = KeyScope::default();
            bend(&mut scope);
            scope.is_of_projects()
        };
        assert!(of(|_all| ()));
        assert!(of(|scope| scope.project = Some("icu".parse().unwrap())));
        assert!(!of(|scope| scope.dataset = Some("ecg".parse().unwrap())));
        assert!(!of(|scope| scope.only_reads = true));
        assert!(!of(|scope| scope.purpose = Some("sepsis".to_owned())));
    }
}
