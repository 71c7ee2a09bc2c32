//! The versions that a node has seen, kept on its disk, so that a gateway or a store that has gone
//! back to an older state cannot pass it off as the present one.
//!
//! One file for each dataset of each vault, which its signing key tells apart; one line for each
//! version: its number, the digest of its root, and that of the root before. A number never
//! changes its root, a root's neighbours are those of its chain, and what is asked for as the
//! newest is not older than what was newest before. An older version that is asked for **by its
//! number** is mounted: that is what numbers are for.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use rustix::fs::{FlockOperation, flock};

use super::version::About;
use crate::manifest::{Digest, SignerKey};
use crate::types::limits;

/// Why a version is not believed, or what was seen cannot be looked up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SeenError {
    /// The directory or a file of it cannot be read or written.
    #[error("what this node has seen cannot be kept in {path}")]
    Disk {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not what is written here.
    #[error("{0} is damaged; to forget what this node has seen of the dataset, remove it")]
    Damaged(PathBuf),
    /// The same number had another root.
    #[error("this node has seen another version of this number: number=`{0}`")]
    Other(u32),
    /// A root names another one before it than the one that was seen, or is so named itself.
    #[error("the version does not follow from those that this node has seen: number=`{0}`")]
    Chain(u32),
    /// The newest is older than one that was seen.
    #[error(
        "the newest version is older than one that this node has seen: newest=`{newest}` seen=`{seen}`"
    )]
    Older {
        /// What the gateway says is the newest.
        newest: u32,
        /// What was.
        seen: u32,
    },
}

/// Roots by number, each with the one before it.
#[derive(Default)]
struct Roots(BTreeMap<u32, (Digest, Digest)>);

impl Roots {
    /// Of lines that are whole; `None` if one of them is not as [`line()`] writes it.
    fn parse(text: &str) -> Option<Self> {
        let mut roots = BTreeMap::new();
        for line in text.lines() {
            let mut words = line.split(' ');
            let number = words.next()?.parse().ok().filter(|number| *number > 0)?;
            let mut digest = || {
                let bytes = HEXLOWER.decode(words.next()?.as_bytes()).ok()?;
                Digest::try_from(bytes).ok()
            };
            let row = (digest()?, digest()?);
            if words.next().is_some() || roots.insert(number, row).is_some() {
                return None;
            }
        }
        Some(Self(roots))
    }

    /// Whether a version fits; `true` if it is new.
    fn judge(
        &self,
        number: u32,
        (digest, previous): (&Digest, &Digest),
        newest: bool,
    ) -> Result<bool, SeenError> {
        let last = self.0.last_key_value().map(|(number, _)| *number);
        if let Some(seen) = last.filter(|seen| newest && *seen > number) {
            return Err(SeenError::Older {
                newest: number,
                seen,
            });
        }
        if let Some(known) = self.0.get(&number) {
            return if (&known.0, &known.1) == (digest, previous) {
                Ok(false)
            } else {
                Err(SeenError::Other(number))
            };
        }
        let before = number.checked_sub(1).and_then(|before| self.0.get(&before));
        let after = number.checked_add(1).and_then(|after| self.0.get(&after));
        let follows = before.is_none_or(|(root, _)| root == previous)
            && after.is_none_or(|(_, previous)| previous == digest);
        if follows {
            Ok(true)
        } else {
            Err(SeenError::Chain(number))
        }
    }
}

fn line(number: u32, digest: &Digest, previous: &Digest) -> String {
    let (digest, previous) = (HEXLOWER.encode(digest), HEXLOWER.encode(previous));
    format!("{number} {digest} {previous}\n")
}

fn make(directory: &Path) -> Result<(), SeenError> {
    let made = std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory);
    made.map_err(|source| SeenError::Disk {
        path: directory.to_owned(),
        source,
    })
}

/// What a node has seen.
pub struct Seen {
    directory: PathBuf,
}

impl Seen {
    /// Kept in a directory, which is made if it is not there, for its owner alone.
    pub fn at(directory: PathBuf) -> Result<Self, SeenError> {
        make(&directory)?;
        Ok(Self { directory })
    }

    /// Judges a version by what was seen before, and keeps it. `newest`: whether the gateway was
    /// asked for the newest one.
    pub fn judge(
        &self,
        root: &About,
        (digest, signer): (&Digest, SignerKey),
        newest: bool,
    ) -> Result<(), SeenError> {
        let directory = self.directory.join(signer.to_string());
        make(&directory)?;
        let path = directory.join(root.bucket.to_string());
        let disk = |source| SeenError::Disk {
            path: path.clone(),
            source,
        };
        // Nobody else's file is followed to or emptied: it is opened to be appended to.
        let mut file = File::options()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path)
            .map_err(disk)?;
        flock(&file, FlockOperation::LockExclusive).map_err(|error| disk(error.into()))?;
        let mut text = String::new();
        let mut bounded = (&mut file).take(limits::NODE_SEEN_BYTES_MAX);
        match bounded.read_to_string(&mut text) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(SeenError::Damaged(path));
            }
            Err(error) => return Err(disk(error)),
        }
        // A line that a crash cut short was never acted on.
        let whole = text.rfind('\n').map_or(0, |at| at.saturating_add(1));
        let lines = text.get(..whole).unwrap_or_default();
        let roots = Roots::parse(lines).ok_or_else(|| SeenError::Damaged(path.clone()))?;
        if roots.judge(root.number, (digest, &root.previous), newest)? {
            let end = u64::try_from(whole).unwrap_or(u64::MAX);
            let line = line(root.number, digest, &root.previous);
            let kept = file
                .set_len(end)
                .and_then(|()| file.seek(SeekFrom::End(0)))
                .and_then(|_| file.write_all(line.as_bytes()))
                .and_then(|()| file.sync_data());
            kept.map_err(disk)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn of(byte: u8) -> Digest {
        [byte; 32]
    }

    fn known(rows: &[(u32, u8, u8)]) -> Roots {
        let lines = rows.iter().map(|(n, d, p)| line(*n, &of(*d), &of(*p)));
        Roots::parse(&lines.collect::<String>()).expect("what is written is read")
    }

    #[test]
    fn a_number_has_one_root_and_its_neighbours_are_those_of_its_chain() {
        let roots = known(&[(3, 30, 20), (5, 50, 40)]);
        let judge = |number, digest, previous, newest| {
            roots.judge(number, (&of(digest), &of(previous)), newest)
        };
        assert!(matches!(judge(3, 30, 20, false), Ok(false)));
        assert!(matches!(judge(5, 50, 40, true), Ok(false)));
        assert!(matches!(judge(4, 40, 30, false), Ok(true)));
        assert!(matches!(judge(2, 20, 9, false), Ok(true)));
        assert!(matches!(judge(6, 60, 50, true), Ok(true)));
        assert!(matches!(judge(9, 90, 80, true), Ok(true)));
        for (number, digest, previous) in [(3, 31, 20), (3, 30, 21), (5, 30, 20)] {
            assert!(matches!(
                judge(number, digest, previous, false),
                Err(SeenError::Other(_))
            ));
        }
        for (number, digest, previous) in [(4, 41, 30), (4, 40, 31), (2, 21, 9), (6, 60, 51)] {
            assert!(matches!(
                judge(number, digest, previous, false),
                Err(SeenError::Chain(_))
            ));
        }
    }

    #[test]
    fn the_newest_is_not_older_than_what_was_seen() {
        let roots = known(&[(3, 30, 20), (5, 50, 40)]);
        let judge = |newest| roots.judge(3, (&of(30), &of(20)), newest);
        assert!(matches!(
            judge(true),
            Err(SeenError::Older { newest: 3, seen: 5 })
        ));
        assert!(matches!(judge(false), Ok(false)));
    }

    #[test]
    fn a_line_that_was_not_written_here_is_not_read() {
        let good = line(3, &of(1), &of(2));
        for bad in [
            "3\n".to_owned(),
            good.replace("3 ", "0 "),
            good.replace("3 ", "x "),
            good.replace("01", "0g"),
            good.replace("01", "0"),
            good.replace('\n', " 1\n"),
            format!("{good}{good}"),
            format!("{good}\n"),
        ] {
            assert!(Roots::parse(&bad).is_none(), "{bad}");
        }
    }
}
