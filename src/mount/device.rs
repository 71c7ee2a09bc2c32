//! Connections to the kernel that others made: a descriptor that whoever started the mount opened
//! and mounted (`/dev/fd/N`, as Apptainer and others pass it), and the session of a mount that
//! died, taken over by its successor. And mounting and unmounting as root.

use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd as _, AsRawFd as _, IntoRawFd as _, OwnedFd};
use std::path::Path;
use std::process::Command;

use fuser::{Config, Session, SessionACL};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, send, socketpair};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, geteuid, getpid, pidfd_getfd, pidfd_open};

use super::filesystem::Filesystem;
use super::point::Point;
use crate::types::limits;

/// The number of a descriptor that a directory is written as.
pub(super) fn number_of(directory: &Path) -> Option<i32> {
    let digits = directory.to_str()?.strip_prefix("/dev/fd/")?;
    let plain = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    plain.then(|| digits.parse().ok())?
}

/// A descriptor of this process by its number. Its own copy, so that nobody else closes it.
pub(super) fn inherited(number: i32) -> io::Result<OwnedFd> {
    let this = pidfd_open(getpid(), PidfdFlags::empty())?;
    Ok(pidfd_getfd(&this, number, PidfdGetfdFlags::empty())?)
}

/// Bytes of the kernel's first request.
const INIT_BYTES: usize = 40 + 64;
const FUSE_INIT: u32 = 26;
/// The kernel's notice that makes it ask again for everything that was not answered.
const FUSE_NOTIFY_RESEND: i32 = 7;

/// The first request of a session as the kernel sends it: protocol 7.31, which offers everything.
fn init() -> [u8; INIT_BYTES] {
    let mut request = [0; INIT_BYTES];
    let words = [
        (0, u32::try_from(INIT_BYTES).unwrap_or_default()),
        (4, FUSE_INIT),
        (8, 1),
        (40, 7),
        (44, 31),
        (48, limits::MOUNT_READAHEAD_BYTES),
        (52, u32::MAX),
    ];
    for (at, word) in words {
        for (place, byte) in request.iter_mut().skip(at).zip(word.to_ne_bytes()) {
            *place = byte;
        }
    }
    request
}

/// Goes on with a session that another process began: the kernel greets a connection once, and it
/// did. `fuser` is greeted over a pair of sockets instead, which then gives way to the connection
/// under the same number; and the kernel is told to ask again for what the dead process took and
/// never answered. An error where the kernel cannot (before Linux 6.9): **then nobody would ever
/// be answered, and the caller must let the connection go.**
pub(super) fn resumed(
    filesystem: Filesystem,
    connection: &OwnedFd,
    config: &Config,
) -> io::Result<Session<Filesystem>> {
    let flags = SocketFlags::CLOEXEC;
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    send(&ours, &init(), SendFlags::empty())?;
    let session = Session::from_fd(filesystem, theirs, config.acl, config.clone())?;
    let number = session.as_fd().as_raw_fd();
    // No thread of the session reads yet. Should another thread of this process take the number in
    // between, the session would read from what is not its own: it is left alone instead, and not
    // even closed.
    let session = ManuallyDrop::new(session);
    nix::unistd::close(number).map_err(io::Error::from)?;
    let placed = rustix::io::fcntl_dupfd_cloexec(connection, number)?;
    if placed.as_raw_fd() != number {
        return Err(io::Error::other("the connection's number was taken"));
    }
    // The session owns the number from here on.
    let _number = placed.into_raw_fd();
    let session = ManuallyDrop::into_inner(session);
    resend(connection)?;
    Ok(session)
}

/// Tells the kernel to ask again for what was taken and not answered.
fn resend(connection: &OwnedFd) -> io::Result<()> {
    let mut notice = Vec::with_capacity(16);
    notice.extend_from_slice(&16_u32.to_ne_bytes());
    notice.extend_from_slice(&FUSE_NOTIFY_RESEND.to_ne_bytes());
    notice.extend_from_slice(&0_u64.to_ne_bytes());
    rustix::io::write(connection, &notice)?;
    Ok(())
}

/// Unmounts a directory at once, for all who come after; what is open ends with the session.
pub fn unmount(directory: &Path) -> io::Result<()> {
    if geteuid().is_root() {
        return Point::of(directory)?.unmount();
    }
    let mut command = Command::new("fusermount3");
    let status = command.args(["-u", "-z", "--"]).arg(directory).status()?;
    if status.success() {
        return Ok(());
    }
    Err(io::Error::other("fusermount3 does not unmount it"))
}

/// A mount of root's that is being made: taken down where that comes to nothing.
pub(super) struct Making<'a>(Option<&'a Path>);

impl Making<'_> {
    /// It stands.
    pub(super) fn done(mut self) {
        self.0 = None;
    }
}

impl Drop for Making<'_> {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.0.map(unmount) {
            tracing::warn!(%error, "it cannot be unmounted");
        }
    }
}

/// Mounts as root, which `fuser` does by name: see [`Point`].
pub(super) fn mounted<'a>(
    filesystem: Filesystem,
    (directory, name): (&'a Path, &str),
    config: &Config,
) -> io::Result<(Session<Filesystem>, Making<'a>)> {
    let others = !matches!(config.acl, SessionACL::Owner);
    let connection = Point::of(directory)?.mount(name, others)?;
    let making = Making(Some(directory));
    let session = Session::from_fd(filesystem, connection, config.acl, config.clone())?;
    Ok((session, making))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn a_descriptor_is_named_by_its_number_alone() {
        assert_eq!(number_of(Path::new("/dev/fd/3")), Some(3));
        for other in [
            "/dev/fd/",
            "/dev/fd/+3",
            "/dev/fd/-1",
            "/dev/fd/3/x",
            "/dev/fd/99999999999",
            "/data",
        ] {
            assert_eq!(number_of(Path::new(other)), None, "{other}");
        }
    }

    #[test]
    fn a_descriptor_is_copied_and_one_that_is_not_there_is_refused() {
        let (reader, writer) = io::pipe().unwrap();
        let copy = inherited(writer.as_raw_fd()).unwrap();
        drop(writer);
        rustix::io::write(&copy, b"x").unwrap();
        drop(copy);
        let mut text = String::new();
        { reader }.read_to_string(&mut text).unwrap();
        assert_eq!(text, "x");
        assert!(inherited(1_000_000).is_err());
    }
}
