//! How often a PIN was refused in a row, kept in a file: a gateway that is started again and again
//! with a wrong PIN would lock its token. The count is durable before a PIN is tried.

use std::path::{Path, PathBuf};

use crate::keyring::{KeyRingError, replace_file, take_file};
use crate::types::limits::PIN_TRIES_MAX;

/// The count for one vault.
pub(super) struct Tries {
    path: PathBuf,
    before: u8,
}

impl Tries {
    /// Reads the count that lies beside the root's file; what is none counts as used up.
    pub(super) fn look(identity: &Path) -> Result<Self, KeyRingError> {
        let mut path = identity.as_os_str().to_owned();
        path.push(".tries");
        let path = PathBuf::from(path);
        let before = match take_file(&path)? {
            None => 0,
            Some(text) => {
                let text = std::str::from_utf8(&text).unwrap_or_default();
                text.trim_end().parse().unwrap_or(u8::MAX)
            }
        };
        Ok(Self { path, before })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a PIN that nobody has just typed may be tried.
    pub(super) const fn may_try(&self) -> bool {
        self.before < PIN_TRIES_MAX
    }

    /// Counts a try, before it is made.
    pub(super) fn begin(&self) -> Result<(), KeyRingError> {
        self.write(self.before.saturating_add(1))
    }

    /// The PIN was never judged.
    pub(super) fn undo(&self) -> Result<(), KeyRingError> {
        if self.before == 0 {
            return self.forget();
        }
        self.write(self.before)
    }

    /// The PIN was right.
    pub(super) fn forget(&self) -> Result<(), KeyRingError> {
        match std::fs::remove_file(&self.path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(KeyRingError::Io {
                doing: "remove the count of refused PINs",
                path: self.path.clone(),
                source,
            }),
            _ => Ok(()),
        }
    }

    fn write(&self, count: u8) -> Result<(), KeyRingError> {
        replace_file(&self.path, format!("{count}\n").as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_try_counts_until_it_is_known_to_be_right_or_never_judged() {
        let dir = tempfile::tempdir().unwrap();
        let identity = dir.path().join("root.age");
        for before in 0..PIN_TRIES_MAX {
            let tries = Tries::look(&identity).unwrap();
            assert!(tries.may_try() && tries.before == before);
            tries.begin().unwrap();
            tries.undo().unwrap();
            assert_eq!(Tries::look(&identity).unwrap().before, before);
            tries.begin().unwrap();
        }
        let tries = Tries::look(&identity).unwrap();
        assert!(!tries.may_try());
        tries.forget().unwrap();
        assert!(Tries::look(&identity).unwrap().may_try());
        assert!(!dir.path().join("root.age.tries").exists());
        tries.forget().unwrap();
    }

    #[test]
    fn a_count_that_is_none_is_used_up() {
        let dir = tempfile::tempdir().unwrap();
        let identity = dir.path().join("root.age");
        for text in [&b""[..], b"-1\n", b"256\n", b"none", &[0xff], b"0 0"] {
            std::fs::write(dir.path().join("root.age.tries"), text).unwrap();
            assert!(!Tries::look(&identity).unwrap().may_try(), "{text:?}");
        }
    }
}
