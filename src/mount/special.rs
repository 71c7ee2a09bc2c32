//! The directory `.kluis` at the top: looked up by name, in no listing.

use fuser::FileType;

use super::state::State;

/// Its name.
pub(super) const NAME: &[u8] = b".kluis";
/// Its inode.
pub(super) const DIRECTORY: u64 = 2;
const STATUS: u64 = 3;
const ERRORS: u64 = 4;

/// A symbolic link to where a plan is written.
pub(super) const PLAN: u64 = 5;

/// Its files.
pub(super) const FILES: [(u64, &str); 3] = [(STATUS, "status"), (ERRORS, "errors"), (PLAN, "plan")];

/// What a file is.
pub(super) const fn kind(inode: u64) -> FileType {
    if inode == PLAN {
        FileType::Symlink
    } else {
        FileType::RegularFile
    }
}

/// A file's text as it is now.
pub(super) fn text(state: &State, inode: u64) -> Option<String> {
    match inode {
        STATUS => Some(state.status()),
        ERRORS => Some(state.errors()),
        _ => None,
    }
}

/// The inode of a file by its name.
pub(super) fn inode_of(name: &[u8]) -> Option<u64> {
    let found = FILES.iter().find(|(_, known)| known.as_bytes() == name);
    found.map(|(inode, _)| *inode)
}
