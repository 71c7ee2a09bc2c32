//! The system calls of the disk cache. Below its directory, which others may write to, nothing is
//! reached by a path: folders are opened without links, and files by their names in them.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, Timespec, Timestamps, UTIME_NOW, fchmod,
    fstat, futimens, mkdirat, openat, renameat, statat, unlinkat,
};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::types::limits;

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);
/// Neither a link nor a pipe that would wait for ever.
const PLAIN: OFlags = OFlags::NOFOLLOW
    .union(OFlags::NONBLOCK)
    .union(OFlags::CLOEXEC);
/// What a file costs a disk beside its bytes.
pub(super) const FILE_BYTES: u64 = 4096;
/// How old a file must be that was never finished, to be removed.
const UNFINISHED: Duration = Duration::from_hours(1);
const LOCK: &str = "lock";

/// Where a chunk is kept.
#[derive(Clone, Debug)]
pub(super) struct Spot {
    /// The folder below the root.
    pub(super) folder: String,
    /// The file in it.
    pub(super) name: String,
}

/// A file of the cache, as room is made.
pub(super) struct Held {
    pub(super) used: SystemTime,
    pub(super) bytes: u64,
    folder: CString,
    name: CString,
}

/// The cache's directory.
pub(super) struct Folders(OwnedFd);

impl Folders {
    /// Opens it; the way to it is its owner's, it is itself no link.
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        Ok(Self(openat(CWD, root, DIRECTORY, Mode::empty())?))
    }

    fn folder(&self, name: impl rustix::path::Arg) -> rustix::io::Result<OwnedFd> {
        openat(&self.0, name, DIRECTORY, Mode::empty())
    }

    /// Whether there is a file.
    pub(super) fn has(&self, spot: &Spot) -> bool {
        let stat = self
            .folder(&spot.folder)
            .and_then(|folder| statat(folder, &spot.name, AtFlags::SYMLINK_NOFOLLOW));
        stat.is_ok_and(|stat| is_file(&stat))
    }

    /// Reads a file that must be one, of this length, and marks it as used now.
    pub(super) fn read(&self, spot: &Spot, sealed: &mut [u8]) -> io::Result<()> {
        let folder = self.folder(&spot.folder)?;
        let file = openat(folder, &spot.name, OFlags::RDONLY | PLAIN, Mode::empty())?;
        let mut file = File::from(file);
        let metadata = file.metadata()?;
        if !metadata.is_file() || usize::try_from(metadata.len()) != Ok(sealed.len()) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        file.read_exact(sealed)?;
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_NOW,
        };
        let used = Timestamps {
            last_access: now,
            last_modification: now,
        };
        // Another's file stays as old as it is.
        let _unchanged = futimens(&file, &used);
        Ok(())
    }

    /// Writes a file, whole or not at all; `temporary` is a name of this process alone.
    pub(super) fn write(&self, spot: &Spot, temporary: &str, sealed: &[u8]) -> io::Result<()> {
        let folder = match self.folder(&spot.folder) {
            Err(Errno::NOENT) => self.make(&spot.folder)?,
            opened => opened?,
        };
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | PLAIN;
        let mode = Mode::from_raw_mode(0o644);
        let file = match openat(&folder, temporary, flags, mode) {
            // One that a process of this number left.
            Err(Errno::EXIST) => {
                unlinkat(&folder, temporary, AtFlags::empty())?;
                openat(&folder, temporary, flags, mode)?
            }
            opened => opened?,
        };
        let written = File::from(file)
            .write_all(sealed)
            .and_then(|()| Ok(renameat(&folder, temporary, &folder, &spot.name)?));
        if written.is_err() {
            unlink(&folder, temporary);
        }
        written
    }

    /// Makes a folder. Who shares the directory shares what is in it.
    fn make(&self, name: &str) -> io::Result<OwnedFd> {
        let made = match mkdirat(&self.0, name, Mode::RWXU) {
            Err(Errno::EXIST) => false,
            made => made.map(|()| true)?,
        };
        let folder = self.folder(name)?;
        if made && fstat(&folder)?.st_uid == geteuid().as_raw() {
            fchmod(&folder, Mode::from_raw_mode(fstat(&self.0)?.st_mode))?;
        }
        Ok(folder)
    }

    /// Removes whatever has a file's name.
    pub(super) fn remove(&self, spot: &Spot) {
        if let Ok(folder) = self.folder(&spot.folder) {
            unlink(&folder, &spot.name);
        }
    }

    /// Removes a file that was listed; whether it is gone.
    pub(super) fn free(&self, held: &Held) -> bool {
        let folder = self.folder(held.folder.as_c_str());
        folder.is_ok_and(|folder| unlinkat(folder, held.name.as_c_str(), AtFlags::empty()).is_ok())
    }

    /// The file whose lock lets one process make room, made if there is none.
    pub(super) fn lock(&self) -> io::Result<File> {
        match self.lock_there() {
            // Whatever has the name is no lock.
            Ok(None) => {
                unlink(&self.0, LOCK);
                self.lock_there()?
                    .ok_or_else(|| io::ErrorKind::InvalidData.into())
            }
            there => there?.ok_or_else(|| io::ErrorKind::InvalidData.into()),
        }
    }

    /// `None` where something else has its name. One that is there is opened as that: in a
    /// directory of many, systems refuse to open another's file with the flag that makes one.
    fn lock_there(&self) -> io::Result<Option<File>> {
        let open = |flags| openat(&self.0, LOCK, flags | PLAIN, Mode::from_raw_mode(0o666));
        let opened = match open(OFlags::RDONLY) {
            Err(Errno::NOENT) => open(OFlags::RDWR | OFlags::CREATE | OFlags::EXCL),
            opened => opened,
        };
        let file = match opened {
            Err(Errno::LOOP | Errno::NXIO | Errno::NODEV) => return Ok(None),
            opened => File::from(opened?),
        };
        Ok(file.metadata()?.is_file().then_some(file))
    }

    /// All files; what was never finished long ago is removed, and what is none.
    pub(super) fn list(&self) -> io::Result<Vec<Held>> {
        let mut held = Vec::new();
        let mut seen = 0_usize;
        for entry in Dir::read_from(&self.0)?.flatten() {
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            seen = seen.saturating_add(1);
            if seen > limits::DISK_FOLDERS_MAX {
                break;
            }
            if let Ok(folder) = self.folder(name) {
                list(&folder, name, &mut held);
            }
        }
        Ok(held)
    }
}

fn is_file(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
}

fn used(stat: &Stat) -> SystemTime {
    let seconds = u64::try_from(stat.st_mtime).unwrap_or(0);
    let nanos = u32::try_from(stat.st_mtime_nsec).unwrap_or(0);
    let since = Duration::from_secs(seconds).checked_add(Duration::from_nanos(nanos.into()));
    since
        .and_then(|since| SystemTime::UNIX_EPOCH.checked_add(since))
        .unwrap_or(SystemTime::UNIX_EPOCH)
}

/// What a file of so many bytes takes.
pub(super) const fn cost(bytes: u64) -> u64 {
    bytes.saturating_add(FILE_BYTES)
}

fn list(folder: &OwnedFd, of: &CStr, held: &mut Vec<Held>) {
    let Ok(files) = Dir::read_from(folder) else {
        return;
    };
    for file in files.flatten() {
        let name = file.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let Ok(stat) = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) else {
            continue;
        };
        let used = used(&stat);
        let unfinished = name.to_bytes().starts_with(b".");
        let old = used.elapsed().is_ok_and(|age| age > UNFINISHED);
        if !is_file(&stat) || (unfinished && old) || held.len() >= limits::DISK_FILES_MAX {
            unlink(folder, name);
        } else if !unfinished {
            held.push(Held {
                used,
                bytes: cost(u64::try_from(stat.st_size).unwrap_or(u64::MAX)),
                folder: of.to_owned(),
                name: name.to_owned(),
            });
        }
    }
}

fn unlink(folder: impl AsFd, name: impl rustix::path::Arg) {
    match unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => tracing::debug!(%error, "a file of the disk cache stays"),
    }
}
