//! Keeps what the store holds of a lane small: full files as one blob each, and nothing of files
//! that were removed at their time.

use super::blob::{Whole, encode_mark};
use super::names::{Item, Kind, batch_number, batch_of};
use super::place::{Place, word};
use super::restore::Shelved;
use super::{GateError, broken};
use crate::journal::LaneFiles;

/// What sealing adds to a blob: a salt and a tag.
const SEAL_BYTES: usize = 32 + 16;

/// Puts each full file into one blob, which is read back, and removes its batches but the first,
/// which says where the file begins; how many files that was. What was cut short is taken up again.
pub(super) fn compact(place: &Place, lane: &str, files: &LaneFiles) -> Result<u64, GateError> {
    let (shelved, _mark) = Shelved::of(lane, place.list(lane)?)?;
    let ordinals: Vec<u64> = shelved.ordinals().collect();
    let mut made = 0_u64;
    for pair in ordinals.windows(2) {
        let [ordinal, next] = *pair else { continue };
        let Some((batches, whole)) = shelved.of_file(ordinal) else {
            continue;
        };
        if whole && batches <= 1 {
            continue;
        }
        place.goes_on()?;
        let first = shelved.head(place, lane, ordinal)?.first;
        let next = shelved.head(place, lane, next)?;
        // One that was begun again stays as it is: it holds a beginning and nothing else.
        if next.first == first {
            continue;
        }
        let Some(bytes) = files.belonging(first)? else {
            tracing::warn!(
                lane,
                first,
                "a file is not put together in the store: it is damaged"
            );
            continue;
        };
        // Where the whole is there, the last of them may be gone: it must say the same itself.
        if !whole && !shelved.ends_with((place, lane), ordinal, &next.previous)? {
            return Err(broken(format!(
                "file {ordinal} of `{lane}` is cut in the store"
            )));
        }
        let plain = Whole::encode(&next.previous, first, &bytes);
        let item = Item::new(Kind::Whole, ordinal);
        place.put(lane, item, &plain)?;
        let sealed = u64::try_from(plain.len().saturating_add(SEAL_BYTES)).unwrap_or(u64::MAX);
        if *place.read_one(lane, (item, sealed))?.plain != *plain {
            return Err(broken(format!("{} of `{lane}` is another", word(item))));
        }
        let numbers = (1..batches).filter_map(|index| batch_number(ordinal, index));
        let gone: Vec<Item> = numbers.map(|n| Item::new(Kind::Batch, n)).collect();
        place.delete(lane, &gone)?;
        made = made.saturating_add(1);
    }
    Ok(made)
}

/// Says where the lane begins once the files in front of that of `first` are removed.
pub(super) fn mark(
    place: &Place,
    lane: &str,
    files: &LaneFiles,
    first: u64,
) -> Result<(), GateError> {
    let (shelved, _mark) = Shelved::of(lane, place.list(lane)?)?;
    let heads = shelved.heads(place, lane)?;
    let found = heads.iter().zip(shelved.ordinals());
    // The last of those that were begun with the same record is the one that was written on.
    let ordinal = found.filter(|(head, _)| head.first == first).last();
    let (_, ordinal) = ordinal
        .ok_or_else(|| broken(format!("file {first:016x} of `{lane}` is not in the store")))?;
    let mark = encode_mark(&files.mark_for(first)?);
    place.put(lane, Item::new(Kind::Mark, ordinal), &mark)?;
    Ok(())
}

/// Removes what stands in front of the newest mark; how many blobs that was.
pub(super) fn prune(place: &Place, lane: &str) -> Result<u64, GateError> {
    let listing = place.list(lane)?;
    let marks = listing.keys().filter(|item| item.kind == Kind::Mark);
    let Some(mark) = marks.map(|item| item.number).max() else {
        return Ok(0);
    };
    let gone: Vec<Item> = listing
        .into_keys()
        .filter(|item| {
            let ordinal = match item.kind {
                Kind::Batch => batch_of(item.number).0,
                Kind::Whole | Kind::Mark => item.number,
                Kind::Round | Kind::Bundle => return false,
            };
            ordinal < mark
        })
        .collect();
    place.delete(lane, &gone)?;
    Ok(u64::try_from(gone.len()).unwrap_or(u64::MAX))
}
