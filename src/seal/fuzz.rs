//! One entry for fuzzers to the decoders of this room that stand behind a key: whatever the bytes,
//! nothing here may panic, and what decodes must encode to itself again.

use super::header::{self, Description};
use super::table::Table;

/// Reads `data` as a header, as a description and as a part table's plaintext. Hidden: for `tests`
/// and the fuzzing package.
///
/// Returns whether one of them took it, so that a fuzzer can tell seeds apart; `None` where a
/// decoder took what its encoder would not have written.
#[must_use]
pub fn fuzz_decoders(data: &[u8]) -> Option<bool> {
    let mut any = header::parse(data).is_ok();
    if let Ok(description) = Description::decode(data) {
        any = true;
        if description.encode() != data {
            return None;
        }
    }
    if let Some(same) = Table::reencodes(data) {
        any = true;
        if !same {
            return None;
        }
    }
    Some(any)
}
