//! Where root mounts. A path that anybody else can change while it is walked is a lever: whoever
//! puts a link in it decides what root mounts over, or unmounts. So the way is walked once, a
//! directory at a time and through no link, each of them must be root's, and mounting is done on
//! the directory that was opened, not on its name.

use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Component, Path};

use rustix::fs::{CWD, Mode, OFlags, fstat, open, openat};
use rustix::mount::{MountFlags, UnmountFlags};

const STEP: OFlags = OFlags::PATH
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);
const DEVICE: &str = "/dev/fuse";
/// As the kernel names it: a type, and of which kind.
const TYPE: &str = "fuse.kluis";

/// A directory that root mounts on: the one above it, and its name there.
pub(super) struct Point {
    above: OwnedFd,
    name: OsString,
}

fn unsound(what: &str, at: &Path) -> io::Error {
    let at = at.display();
    let message = format!("root mounts where root alone decides, and {what} place={at}");
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

fn of_roots(directory: &OwnedFd, at: &Path) -> io::Result<()> {
    let owner = fstat(directory)?.st_uid;
    if owner == 0 {
        return Ok(());
    }
    Err(unsound(&format!("this belongs to account {owner}"), at))
}

/// Refuses a directory whose entries others than root may exchange: in one that others write, for
/// each other's unless it is sticky (`/tmp`).
fn unwritten(directory: &OwnedFd, at: &Path) -> io::Result<()> {
    let mode = Mode::from_raw_mode(fstat(directory)?.st_mode);
    if mode.intersects(Mode::WGRP | Mode::WOTH) && !mode.contains(Mode::SVTX) {
        return Err(unsound("others may write a directory on the way", at));
    }
    Ok(())
}

fn in_proc(directory: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", directory.as_raw_fd())
}

impl Point {
    /// Walks to a directory, which is not opened itself.
    pub(super) fn of(directory: &Path) -> io::Result<Self> {
        let whole = std::path::absolute(directory)?;
        let Some(Component::Normal(name)) = whole.components().next_back() else {
            return Err(unsound("this is no name of a directory", &whole));
        };
        let way = whole.parent().unwrap_or_else(|| Path::new("/"));
        let mut above = openat(CWD, "/", STEP, Mode::empty())?;
        for step in way.components() {
            let step = match step {
                Component::Normal(step) => step,
                Component::ParentDir => "..".as_ref(),
                Component::RootDir | Component::CurDir | Component::Prefix(_) => continue,
            };
            above = openat(&above, step, STEP, Mode::empty()).map_err(|error| match error {
                // Of a link, too.
                rustix::io::Errno::NOTDIR => unsound("a link is on the way", &whole),
                other => other.into(),
            })?;
            of_roots(&above, &whole)?;
            unwritten(&above, &whole)?;
        }
        Ok(Self {
            above,
            name: name.to_owned(),
        })
    }

    fn open(&self) -> io::Result<OwnedFd> {
        let opened = openat(&self.above, &self.name, STEP, Mode::empty());
        opened.map_err(|error| match error {
            rustix::io::Errno::NOTDIR => {
                unsound("this is a link, or no directory", Path::new(&self.name))
            }
            other => other.into(),
        })
    }

    /// Mounts on it, read-only; the connection to the kernel.
    pub(super) fn mount(&self, source: &str, allow_other: bool) -> io::Result<OwnedFd> {
        let there = self.open()?;
        of_roots(&there, Path::new(&self.name))?;
        let mode = fstat(&there)?.st_mode;
        let connection = open(DEVICE, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        let number = connection.as_raw_fd();
        let mut options =
            format!("fd={number},rootmode={mode:o},user_id=0,group_id=0,default_permissions");
        if allow_other {
            options.push_str(",allow_other");
        }
        let options = CString::new(options)?;
        let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
        let flags = flags | MountFlags::NOATIME;
        rustix::mount::mount(
            source,
            in_proc(&there),
            TYPE,
            flags,
            Some(options.as_c_str()),
        )?;
        Ok(connection)
    }

    /// Unmounts what is mounted on it, at once for all who come after.
    pub(super) fn unmount(&self) -> io::Result<()> {
        let there = self.open()?;
        Ok(rustix::mount::unmount(
            in_proc(&there),
            UnmountFlags::DETACH,
        )?)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    /// A place of this account's, and the same below a link to it.
    fn places() -> (tempfile::TempDir, std::path::PathBuf, std::path::PathBuf) {
        let top = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(top.path().join("real/data")).unwrap();
        symlink("real", top.path().join("linked")).unwrap();
        let (real, linked) = (top.path().join("real/data"), top.path().join("linked/data"));
        (top, real, linked)
    }

    #[test]
    fn no_link_is_on_the_way_and_none_is_mounted_on() {
        let (top, real, linked) = places();
        let refused = Point::of(&linked).map(drop).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
        symlink("real/data", top.path().join("last")).unwrap();
        // An account other than root is refused for the way already.
        let last = Point::of(&top.path().join("last"));
        let last = last.and_then(|point| point.open().map(drop));
        assert_eq!(last.unwrap_err().kind(), io::ErrorKind::InvalidInput);
        let whole = Point::of(&real).and_then(|point| point.open().map(drop));
        assert_eq!(whole.is_ok(), rustix::process::geteuid().is_root());
    }

    #[test]
    fn a_directory_of_another_account_is_not_mounted_below_or_on() {
        let (top, real, _) = places();
        if !rustix::process::geteuid().is_root() {
            assert!(Point::of(&real).is_err(), "this account is another");
            return;
        }
        std::os::unix::fs::chown(&real, Some(12345), None).unwrap();
        let on = Point::of(&real).unwrap().mount("none", false);
        assert_eq!(on.unwrap_err().kind(), io::ErrorKind::InvalidInput);
        std::os::unix::fs::chown(top.path().join("real"), Some(12345), None).unwrap();
        let below = Point::of(&real).map(drop).unwrap_err();
        assert!(below.to_string().contains("12345"), "{below}");
    }

    #[test]
    fn a_directory_that_others_write_is_not_walked_through() {
        let (top, real, _) = places();
        if !rustix::process::geteuid().is_root() {
            assert!(Point::of(&real).is_err(), "this account is another");
            return;
        }
        let above = top.path().join("real");
        let of_mode = |path: &Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
            Point::of(&real).map(drop).map_err(|error| error.kind())
        };
        for mode in [0o777, 0o775, 0o757, 0o2775, 0o722] {
            let refused = of_mode(&above, mode);
            assert_eq!(refused, Err(io::ErrorKind::InvalidInput), "{mode:o}");
        }
        for mode in [0o755, 0o700, 0o1777, 0o1775] {
            assert_eq!(of_mode(&above, mode), Ok(()), "{mode:o}");
        }
        // What is mounted on is covered, whoever wrote it.
        assert_eq!(of_mode(&real, 0o777), Ok(()));
    }

    #[test]
    fn a_directory_that_was_exchanged_after_the_walk_is_not_unmounted() {
        let (top, real, _) = places();
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let point = Point::of(&real).unwrap();
        std::fs::remove_dir(&real).unwrap();
        symlink("/", &real).unwrap();
        let refused = point.unmount().unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput, "{refused}");
        assert!(top.path().exists());
    }

    #[test]
    fn a_place_without_a_name_is_none() {
        for nameless in ["/", "/tmp/.."] {
            assert!(Point::of(Path::new(nameless)).is_err(), "{nameless}");
        }
    }
}
