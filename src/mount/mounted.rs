//! Whether a directory is a mount of FUSE's already. A second mount on it would cover the first,
//! and whoever unmounts by name takes down one for the other.

use std::ffi::OsStr;
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// The mounts that this process sees (`proc_pid_mountinfo(5)`).
const TABLE: &str = "/proc/self/mountinfo";
/// The kernel allows 100,000 mounts; a table beyond this is not read whole.
const TABLE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The type of the mount on a directory, `fuse.kluis`, if it is one of FUSE's.
pub fn fuse_on(directory: &Path) -> io::Result<Option<String>> {
    let place = directory.canonicalize().or_else(|error| {
        // Of one whose program died the system says nothing but where it is.
        let whole = std::path::absolute(directory)?;
        match (whole.parent(), whole.file_name()) {
            (Some(above), Some(name)) => Ok(above.canonicalize()?.join(name)),
            _ => Err(error),
        }
    })?;
    let mut table = Vec::new();
    std::fs::File::open(TABLE)?
        .take(TABLE_BYTES_MAX)
        .read_to_end(&mut table)?;
    let kind = kind_of(&table, place.as_os_str());
    Ok(kind.filter(|kind| *kind == "fuse" || *kind == "fuseblk" || kind.starts_with("fuse.")))
}

/// The type of the last mount on a place: it covers those before it.
fn kind_of(table: &[u8], place: &OsStr) -> Option<String> {
    let lines = table.split(|byte| *byte == b'\n');
    let mut kinds = lines.filter_map(|line| {
        let mut fields = line.split(|byte| *byte == b' ');
        let point = fields.nth(4)?;
        if unescaped(point) != place.as_bytes() {
            return None;
        }
        // Behind it: the mount's options, optional fields, a hyphen, the type.
        let mut rest = fields.skip(1).skip_while(|field| *field != b"-");
        rest.nth(1)
    });
    kinds
        .next_back()
        .map(|kind| String::from_utf8_lossy(kind).into_owned())
}

/// A path as it is: the table has space, tab, newline and backslash as three octal digits.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, tail)) = rest.split_first() {
        let digits = tail.first_chunk::<3>().filter(|_| *byte == b'\\');
        let value = digits.and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 8).ok()
        });
        if let Some(value) = value {
            out.push(value);
            rest = tail.get(3..).unwrap_or_default();
        } else {
            out.push(*byte);
            rest = tail;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &[u8] = b"22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/root rw\n\
        40 22 0:45 / /data/ct ro,nosuid shared:5 master:2 - fuse.kluis kluis-1 ro,user_id=0\n\
        41 22 0:46 / /data/a\\040b\\134c ro - fuse.sshfs host: rw\n\
        42 22 0:47 / /data/over ro - fuse.kluis kluis-2 ro\n\
        43 22 0:48 / /data/over rw - tmpfs none rw\n\
        44 22 0:49 / /data/win rw - fuseblk /dev/sdb rw\n\
        45 short\n46 22 0:50 / /data/bare rw -\n";

    #[test]
    fn the_last_mount_on_a_place_is_told() {
        let kind = |place: &str| kind_of(MOUNTS, OsStr::new(place));
        assert_eq!(kind("/data/ct").as_deref(), Some("fuse.kluis"));
        assert_eq!(kind("/data/a b\\c").as_deref(), Some("fuse.sshfs"));
        assert_eq!(kind("/data/over").as_deref(), Some("tmpfs"));
        assert_eq!(kind("/data/win").as_deref(), Some("fuseblk"));
        for none in ["/data", "/data/c", "/data/ct/", "/data/bare", "short", ""] {
            assert_eq!(kind(none), None, "{none}");
        }
    }

    #[test]
    fn a_directory_without_a_mount_is_none_of_fuse_and_one_that_is_not_there_an_error() {
        let top = tempfile::tempdir().unwrap();
        assert_eq!(fuse_on(top.path()).unwrap(), None);
        assert_eq!(fuse_on(Path::new("/proc")).unwrap(), None);
        assert!(fuse_on(&top.path().join("no/way")).is_err());
    }

    #[test]
    fn an_escape_that_is_none_is_left_as_it_is() {
        assert_eq!(unescaped(b"a\\04"), b"a\\04");
        assert_eq!(unescaped(b"a\\999b\\040"), b"a\\999b ");
        assert_eq!(unescaped(b"\\777"), b"\\777", "no byte");
    }
}
