//! The directory `.kluis` at the top: looked up by name, in no listing.

use super::state::State;

/// Its name.
pub(super) const NAME: &[u8] = b".kluis";
/// Its inode.
pub(super) const DIRECTORY: u64 = 2;
const STATUS: u64 = 3;
const ERRORS: u64 = 4;

/// Its files.
pub(super) const FILES: [(u64, &str); 2] = [(STATUS, "status"), (ERRORS, "errors")];

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
