//! Inodes and attributes, the same in every mount of a version.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{FileAttr, FileType, INodeNo};

use crate::node::{Found, Kind, Place};
use crate::types::Timestamp;

/// The top directory.
pub(super) const TOP: u64 = 1;
/// Bits of an inode that say which entry of its page it is; pages hold far fewer.
const SLOT_BITS: u32 = 24;

/// The inode of a place: the page's number from 1 on, then the slot's.
pub(super) fn inode(place: Place) -> u64 {
    let page = u64::try_from(place.page).unwrap_or(u64::MAX);
    let slot = u64::try_from(place.slot).unwrap_or(u64::MAX);
    (page.saturating_add(1) << SLOT_BITS) | slot
}

/// The place of an inode; `None` for those that stand for no entry.
pub(super) fn place(inode: u64) -> Option<Place> {
    let page = (inode >> SLOT_BITS).checked_sub(1)?;
    Some(Place {
        page: usize::try_from(page).ok()?,
        slot: usize::try_from(inode & ((1 << SLOT_BITS) - 1)).ok()?,
    })
}

/// What all attributes share.
#[derive(Clone, Copy)]
pub(super) struct Common {
    pub(super) owner: (u32, u32),
    /// Who alone passes the top.
    pub(super) reader: Option<u32>,
    pub(super) frozen: Timestamp,
}

fn time(at: Timestamp) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(at.millis())
}

impl Common {
    /// A directory's attributes.
    pub(super) fn directory(&self, inode: u64) -> FileAttr {
        let mut attributes = self.attributes(inode, 0, self.frozen, FileType::Directory);
        // The kernel asks this of everybody who enters, whoever owns the directory below.
        if let Some(reader) = self.reader.filter(|_| inode == TOP) {
            attributes.uid = reader;
            attributes.perm = 0o500;
        }
        attributes
    }

    /// The attributes of a link of the mount's own.
    pub(super) fn link(&self, inode: u64, bytes: u64) -> FileAttr {
        self.attributes(inode, bytes, self.frozen, FileType::Symlink)
    }

    /// A file's attributes.
    pub(super) fn file(&self, inode: u64, bytes: u64, modified: Timestamp) -> FileAttr {
        self.attributes(inode, bytes, modified, FileType::RegularFile)
    }

    /// An entry's attributes.
    pub(super) fn of(&self, found: &Found) -> FileAttr {
        let inode = inode(found.place);
        match &found.kind {
            Kind::Directory => self.directory(inode),
            Kind::File(file) => self.file(inode, file.bytes, file.modified),
        }
    }

    fn attributes(&self, inode: u64, size: u64, at: Timestamp, kind: FileType) -> FileAttr {
        let directory = kind == FileType::Directory;
        let at = time(at);
        FileAttr {
            ino: INodeNo(inode),
            size,
            blocks: size.div_ceil(512),
            atime: at,
            mtime: at,
            ctime: at,
            crtime: at,
            kind,
            perm: if directory { 0o555 } else { 0o444 },
            nlink: if directory { 2 } else { 1 },
            uid: self.owner.0,
            gid: self.owner.1,
            rdev: 0,
            blksize: 1 << 20,
            flags: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_top_is_its_readers_alone_and_what_lies_below_is_as_ever() {
        let everybodys = Common {
            owner: (0, 0),
            reader: None,
            frozen: Timestamp::from_millis(0),
        };
        let own = Common {
            reader: Some(12345),
            ..everybodys
        };
        let seen = |common: &Common, inode| {
            let attributes = common.directory(inode);
            (attributes.uid, attributes.perm)
        };
        assert_eq!(seen(&everybodys, TOP), (0, 0o555));
        assert_eq!(seen(&own, TOP), (12345, 0o500));
        assert_eq!(seen(&own, 1 << SLOT_BITS), (0, 0o555));
    }

    #[test]
    fn inodes_and_places_are_each_others() {
        for (page, slot) in [(0, 0), (0, 1), (7, 4_000), (1 << 20, (1 << 24) - 1)] {
            let there = Place { page, slot };
            assert_eq!(place(inode(there)), Some(there));
        }
        for special in [0, 1, 2, 15, (1 << 24) - 1] {
            assert_eq!(place(special), None);
        }
    }
}
