//! How far a session is to reach, in the words it is asked for with.

use std::str::FromStr;

use super::{DatasetName, ProjectName, limits};

/// What a session is for, within what its principal may.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SessionScope {
    /// Only this project.
    pub project: Option<ProjectName>,
    /// Only this dataset of it.
    pub dataset: Option<DatasetName>,
    /// Only grants of this purpose.
    pub purpose: Option<String>,
}

/// A text is no scope.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
#[error("a role is written PROJECT, PROJECT/DATASET or PROJECT/DATASET/PURPOSE, or kluis for all")]
pub struct SessionScopeError;

impl FromStr for SessionScope {
    type Err = SessionScopeError;

    /// Reads `PROJECT[/DATASET[/PURPOSE]]`, or `kluis` for all that the principal may.
    fn from_str(text: &str) -> Result<Self, SessionScopeError> {
        if text == "kluis" {
            return Ok(Self::default());
        }
        let mut parts = text.splitn(3, '/');
        let project = parts.next().unwrap_or_default();
        let project = project.parse().map_err(|_no_name| SessionScopeError)?;
        let dataset = parts.next().map(str::parse).transpose();
        let purpose = parts.next().map(str::to_owned);
        if purpose.as_ref().is_some_and(|text| {
            text.is_empty()
                || text.len() > limits::GRANT_TEXT_BYTES_MAX
                || text.contains(char::is_control)
        }) {
            return Err(SessionScopeError);
        }
        Ok(Self {
            project: Some(project),
            dataset: dataset.map_err(|_no_name| SessionScopeError)?,
            purpose,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_read_and_what_is_none_is_refused() {
        let read = |text: &str| text.parse::<SessionScope>();
        assert_eq!(read("kluis"), Ok(SessionScope::default()));
        let whole = read("icu/ecg/ehds:x/y").unwrap();
        assert_eq!(whole.project.unwrap().as_str(), "icu");
        assert_eq!(whole.dataset.unwrap().as_str(), "ecg");
        assert_eq!(whole.purpose.as_deref(), Some("ehds:x/y"));
        for bad in [
            "",
            "ICU",
            "Bad Role!",
            "icu/",
            "icu/ecg/",
            "../lab",
            "icu/ecg/a\nb",
            &format!("icu/ecg/{}", "p".repeat(limits::GRANT_TEXT_BYTES_MAX + 1)),
        ] {
            assert_eq!(read(bad), Err(SessionScopeError), "{bad}");
        }
    }
}
