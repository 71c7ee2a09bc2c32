//! A directory of one mount's own, in memory, locked for as long as the mount lives; and the end of
//! those whose mount was killed.

use std::ffi::OsStr;
use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, flock, fstat, openat, unlinkat};
use rustix::process::geteuid;

use crate::types::limits;

/// What a name begins with. Mounts of before held no lock and called theirs otherwise.
pub(super) const PREFIX: &str = "kluis-mount-";
/// Digits behind it.
const DIGITS: usize = 32;
/// The one file in it.
const FILE: &str = "plan";
/// Between two steps of whoever makes one, it is nobody's yet.
const YOUNG: Duration = Duration::from_secs(5);
const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// The directory; it goes with this.
pub(super) struct Own {
    path: PathBuf,
    /// Locked: while this is open the directory is somebody's.
    held: OwnedFd,
}

impl Own {
    /// Makes one in `place`, with an empty file in it that its owner alone reads and writes.
    pub(super) fn new(place: &Path, name: &str, mode: u32) -> io::Result<(Self, File)> {
        let path = place.join(name);
        DirBuilder::new().mode(mode).create(&path)?;
        let held = openat(CWD, &path, DIRECTORY, Mode::empty());
        let held = held.inspect_err(|_error| {
            // Nobody's: it would be swept, and it can go now.
            let _gone = std::fs::remove_dir(&path);
        })?;
        // Dropped with an error, it removes the directory again.
        let own = Self { path, held };
        flock(&own.held, FlockOperation::NonBlockingLockExclusive)?;
        // In what is locked, whatever stands at the path by now.
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = openat(&own.held, FILE, flags, Mode::RUSR | Mode::WUSR)?;
        Ok((own, File::from(file)))
    }

    /// Where its file is.
    pub(super) fn file(&self) -> PathBuf {
        self.path.join(FILE)
    }

    /// Removes it.
    pub(super) fn remove(&self) -> io::Result<()> {
        remove(&self.path, &self.held)
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let _gone = self.remove();
    }
}

/// Removes what its makers put in it, and it if nothing else is there.
fn remove(path: &Path, held: &OwnedFd) -> io::Result<()> {
    match unlinkat(held, FILE, AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    std::fs::remove_dir(path)
}

fn is_own_name(name: &OsStr) -> bool {
    let digits = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
    digits.is_some_and(|digits| {
        digits.len() == DIGITS && digits.bytes().all(|b| b.is_ascii_hexdigit())
    })
}

/// Removes what mounts of this account left in `place` when they were killed.
pub(super) fn sweep(place: &Path) {
    let Ok(entries) = std::fs::read_dir(place) else {
        return;
    };
    for entry in entries.take(limits::MOUNT_SWEPT_MAX).flatten() {
        if !is_own_name(&entry.file_name()) {
            continue;
        }
        let path = entry.path();
        match sweep_one(&path) {
            Ok(true) => tracing::info!(?path, "what a mount left that was killed is gone"),
            Ok(false) => {}
            Err(error) => tracing::debug!(%error, ?path, "it is left as it is"),
        }
    }
}

/// Removes one, if it is this account's and nobody's who lives.
fn sweep_one(path: &Path) -> io::Result<bool> {
    let held = openat(CWD, path, DIRECTORY, Mode::empty())?;
    if fstat(&held)?.st_uid != geteuid().as_raw() {
        return Ok(false);
    }
    let age = File::from(held.try_clone()?)
        .metadata()?
        .modified()?
        .elapsed();
    if age.is_ok_and(|age| age < YOUNG) {
        return Ok(false);
    }
    match flock(&held, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => remove(path, &held).map(|()| true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use rustix::fs::{Timespec, Timestamps, UTIME_OMIT, futimens};

    use super::*;

    fn named(digit: &str) -> String {
        format!("{PREFIX}{}", digit.repeat(DIGITS))
    }

    /// As a mount leaves it that was killed a minute ago.
    fn left(place: &Path, name: &str) -> PathBuf {
        let path = place.join(name);
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join(FILE), "a\n").unwrap();
        age(&path);
        path
    }

    fn age(path: &Path) {
        let held = openat(CWD, path, DIRECTORY, Mode::empty()).unwrap();
        let time = |tv_sec, tv_nsec| Timespec { tv_sec, tv_nsec };
        let times = Timestamps {
            last_access: time(0, UTIME_OMIT),
            last_modification: time(1_000_000, 0),
        };
        futimens(&held, &times).unwrap();
    }

    #[test]
    fn what_a_killed_mount_left_goes_and_what_is_held_or_anothers_stays() {
        let top = tempfile::tempdir().unwrap();
        let place = top.path();
        let dead = left(place, &named("0"));
        let (own, _file) = Own::new(place, &named("1"), 0o700).unwrap();
        age(&own.path);
        let young = left(place, &named("2"));
        std::fs::write(young.join("more"), "").unwrap();
        std::fs::remove_file(young.join("more")).unwrap();
        let fuller = left(place, &named("3"));
        std::fs::write(fuller.join("notes"), "mine").unwrap();
        age(&fuller);
        // Of before, of others, and what only is called so.
        let others = [
            "kluis-0123456789abcdef0123456789abcdef",
            "kluis-mount-12",
            "plan",
        ];
        let others = others.map(|name| left(place, name));
        let elsewhere = left(place, "elsewhere");
        symlink(&elsewhere, place.join(named("4"))).unwrap();
        std::fs::write(place.join(named("5")), "a file").unwrap();
        sweep(place);
        assert!(!dead.exists(), "nobody lives who made it");
        assert!(own.file().exists() && young.join(FILE).exists());
        assert_eq!(std::fs::read(fuller.join("notes")).unwrap(), b"mine");
        assert!(others.iter().all(|path| path.join(FILE).exists()));
        assert!(elsewhere.join(FILE).exists() && place.join(named("5")).exists());
        let path = own.path.clone();
        drop(own);
        assert!(!path.exists());
    }

    #[test]
    fn another_accounts_is_left_to_it() {
        let top = tempfile::tempdir().unwrap();
        let path = left(top.path(), &named("0"));
        if !geteuid().is_root() {
            return;
        }
        std::os::unix::fs::chown(&path, Some(12345), None).unwrap();
        age(&path);
        sweep(top.path());
        assert!(path.join(FILE).exists());
    }

    #[test]
    fn one_is_made_once_and_is_its_owners() {
        let top = tempfile::tempdir().unwrap();
        let (own, _file) = Own::new(top.path(), &named("a"), 0o711).unwrap();
        assert!(Own::new(top.path(), &named("a"), 0o700).is_err());
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&own.path), mode(&own.file())), (0o711, 0o600));
    }
}
