//! How often a PIN was refused in a row, kept in a file: a gateway that is started again and again
//! with a wrong PIN would lock its token. The count is durable before a PIN is tried, and one
//! process at a time tries one: two that read the same count would each spend a try of their own.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::keyring::{KeyRingError, replace_file, take_file};
use crate::types::limits::PIN_TRIES_MAX;

/// The count for one vault. While this lives no other process has it.
pub(super) struct Tries {
    path: PathBuf,
    before: u8,
    /// The count's own file is replaced, so another one is locked.
    _lock: File,
}

impl Tries {
    /// Reads the count that lies beside the root's file; what is none counts as used up. `None`
    /// while another process has it.
    pub(super) fn take(identity: &Path) -> Result<Option<Self>, KeyRingError> {
        let beside = |end: &str| {
            let mut path = identity.as_os_str().to_owned();
            path.push(end);
            PathBuf::from(path)
        };
        let held = beside(".tries.lock");
        let failed = |source| KeyRingError::Io {
            doing: "lock the count of refused PINs",
            path: held.clone(),
            source,
        };
        let mut options = OpenOptions::new();
        let options = options.create(true).truncate(false).write(true).mode(0o600);
        let lock = options.open(&held).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let path = beside(".tries");
        let before = match take_file(&path)? {
            None => 0,
            Some(text) => {
                let text = std::str::from_utf8(&text).unwrap_or_default();
                text.trim_end().parse().unwrap_or(u8::MAX)
            }
        };
        Ok(Some(Self {
            path,
            before,
            _lock: lock,
        }))
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

    fn take(identity: &Path) -> Tries {
        Tries::take(identity).unwrap().expect("nobody has it")
    }

    #[test]
    fn a_try_counts_until_it_is_known_to_be_right_or_never_judged() {
        let dir = tempfile::tempdir().unwrap();
        let identity = dir.path().join("root.age");
        for before in 0..PIN_TRIES_MAX {
            let tries = take(&identity);
            assert!(tries.may_try() && tries.before == before);
            tries.begin().unwrap();
            tries.undo().unwrap();
            drop(tries);
            let tries = take(&identity);
            assert_eq!(tries.before, before);
            tries.begin().unwrap();
        }
        let tries = take(&identity);
        assert!(!tries.may_try());
        tries.forget().unwrap();
        assert!(!dir.path().join("root.age.tries").exists());
        tries.forget().unwrap();
        drop(tries);
        assert!(take(&identity).may_try());
    }

    #[test]
    fn two_processes_have_the_tries_of_one() {
        let dir = tempfile::tempdir().unwrap();
        let identity = dir.path().join("root.age");
        let mut tried = 0;
        for _start in 0..4 {
            let first = take(&identity);
            assert!(Tries::take(&identity).unwrap().is_none(), "it waits");
            if first.may_try() {
                first.begin().unwrap();
                tried += 1;
            }
            drop(first);
        }
        assert_eq!(tried, PIN_TRIES_MAX);
    }

    #[test]
    fn a_count_that_is_none_is_used_up() {
        let dir = tempfile::tempdir().unwrap();
        let identity = dir.path().join("root.age");
        for text in [&b""[..], b"-1\n", b"256\n", b"none", &[0xff], b"0 0"] {
            std::fs::write(dir.path().join("root.age.tries"), text).unwrap();
            assert!(!take(&identity).may_try(), "{text:?}");
        }
    }
}
