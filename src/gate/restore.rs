//! Brings a lane's directory and the store to one state: what the directory lacks is made again
//! from the store, what the store lacks is sent to it, what contradicts is refused.

use std::collections::BTreeSet;

use super::blob::{Batch, Digest, Whole, decode_mark, digest, encode_mark};
use super::lane::Head;
use super::names::{Item, Kind, batch_number, batch_of};
use super::place::{Listing, Place, word};
use super::{GateError, broken};
use crate::journal::{FILE_HEADER_BYTES, LaneFiles};
use crate::types::limits::GATE_PIECE_BYTES;

/// What to do where neither can be believed.
const BOTH: &str = "the directory and the store hold different records; if no gateway wrote here \
                    without the store, move the lane's directory away: it is made again from the \
                    store";

/// What a file that is put together has as a blob beside its bytes: the seal's 48 bytes, and the 48
/// in front of them.
const WHOLE_OVERHEAD: u64 = 96;

/// A file of a lane as the store has it.
#[derive(Clone, Copy, Debug)]
struct Stored {
    ordinal: u64,
    /// Its number of batches that are listed.
    batches: u64,
    whole: Option<u64>,
}

/// What the store has of a lane.
pub(super) struct Shelved {
    files: Vec<Stored>,
    listing: Listing,
}

impl Shelved {
    /// Reads a listing: the files from the newest mark on, without a gap.
    pub(super) fn of(
        lane: &str,
        listing: Listing,
    ) -> Result<(Self, Option<(Item, u64)>), GateError> {
        let marks = listing.iter().filter(|(item, _)| item.kind == Kind::Mark);
        let mark = marks.max_by_key(|(item, _)| item.number);
        let mark = mark.map(|(item, bytes)| (*item, *bytes));
        let from = mark.map_or(0, |(item, _)| item.number);
        let mut files: Vec<Stored> = Vec::new();
        for item in listing.keys().filter(|item| item.kind == Kind::Batch) {
            let (ordinal, index) = batch_of(item.number);
            if ordinal < from {
                continue;
            }
            let whole = listing.get(&Item::new(Kind::Whole, ordinal)).copied();
            let next = files
                .last()
                .map_or(from, |file| file.ordinal.saturating_add(1));
            match files.last_mut() {
                Some(file) if file.ordinal == ordinal => {
                    if file.batches != index && whole.is_none() {
                        return Err(lost(lane, Item::new(Kind::Batch, item.number)));
                    }
                    file.batches = index.saturating_add(1);
                }
                _ if index == 0 && ordinal == next => files.push(Stored {
                    ordinal,
                    batches: 1,
                    whole,
                }),
                _ => return Err(lost(lane, Item::new(Kind::Batch, item.number))),
            }
        }
        let newest = files.last().map(|file| file.ordinal);
        let wholes = listing.keys().filter(|item| item.kind == Kind::Whole);
        if let Some(beyond) = wholes.max().filter(|item| Some(item.number) > newest) {
            return Err(lost(lane, *beyond));
        }
        if from > 0 && files.is_empty() {
            return Err(broken(format!(
                "the store has a mark of `{lane}` and no file"
            )));
        }
        Ok((Self { files, listing }, mark))
    }

    fn at(&self, kind: Kind, number: u64) -> Result<(Item, u64), GateError> {
        let item = Item::new(kind, number);
        let bytes = self.listing.get(&item);
        bytes
            .map(|bytes| (item, *bytes))
            .ok_or_else(|| lost("the lane", item))
    }

    fn batch(&self, ordinal: u64, index: u64) -> Result<(Item, u64), GateError> {
        let number = batch_number(ordinal, index);
        self.at(
            Kind::Batch,
            number.ok_or_else(|| broken("a number is too large"))?,
        )
    }

    /// The first batch of each file: its beginning.
    pub(super) fn heads(&self, place: &Place, lane: &str) -> Result<Vec<Batch>, GateError> {
        let at = self.files.iter().map(|file| self.batch(file.ordinal, 0));
        let read = place.read(lane, &at.collect::<Result<Vec<_>, _>>()?)?;
        let mut heads: Vec<Batch> = Vec::new();
        for (opened, file) in read.iter().zip(&self.files) {
            let head = Batch::decode(&opened.plain);
            let head = head.filter(|head| {
                let after = heads.last().is_none_or(|before| before.first <= head.first);
                head.offset == 0 && head.bytes.len() >= FILE_HEADER_BYTES && after
            });
            let wrong = || broken(format!("file {} of `{lane}` does not begin", file.ordinal));
            heads.push(head.ok_or_else(wrong)?);
        }
        Ok(heads)
    }

    /// The ordinal of each file.
    pub(super) fn ordinals(&self) -> impl Iterator<Item = u64> {
        self.files.iter().map(|file| file.ordinal)
    }

    /// The beginning of a file.
    pub(super) fn head(&self, place: &Place, lane: &str, ordinal: u64) -> Result<Batch, GateError> {
        let opened = place.read_one(lane, self.batch(ordinal, 0)?)?;
        let head = Batch::decode(&opened.plain);
        let none = || broken(format!("file {ordinal} of `{lane}` does not begin"));
        head.ok_or_else(none)
    }

    /// The number of batches of a file, and whether it is put together.
    pub(super) fn of_file(&self, ordinal: u64) -> Option<(u64, bool)> {
        let file = self.files.iter().find(|file| file.ordinal == ordinal)?;
        Some((file.batches, file.whole.is_some()))
    }

    /// A file's bytes of its batches, and the digests of those that may be the last: the next file
    /// may not have known of one that only took a name.
    fn batches(
        &self,
        (place, lane): (&Place, &str),
        file: Stored,
        head: &Batch,
    ) -> Result<(Vec<u8>, Vec<Digest>), GateError> {
        let at = (0..file.batches).map(|index| self.batch(file.ordinal, index));
        let at = at.collect::<Result<Vec<_>, _>>()?;
        let mut bytes = Vec::new();
        let mut previous = head.previous;
        let mut ends = Vec::new();
        for (opened, (item, _)) in place.read(lane, &at)?.iter().zip(&at) {
            let batch = Batch::decode(&opened.plain).filter(|batch| {
                let here = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                batch.previous == previous && batch.first == head.first && batch.offset == here
            });
            let batch = batch.ok_or_else(|| {
                broken(format!(
                    "{} of `{lane}` does not follow the one before",
                    word(*item)
                ))
            })?;
            bytes.extend_from_slice(&batch.bytes);
            previous = opened.digest;
            if !batch.bytes.is_empty() {
                ends.clear();
            }
            ends.push(previous);
        }
        Ok((bytes, ends))
    }

    /// Whether a batch may be the last of a file: nothing that holds bytes stands behind it.
    pub(super) fn ends_with(
        &self,
        (place, lane): (&Place, &str),
        ordinal: u64,
        end: &Digest,
    ) -> Result<bool, GateError> {
        let batches = self.of_file(ordinal).map_or(0, |(batches, _)| batches);
        for index in (0..batches).rev() {
            let opened = place.read_one(lane, self.batch(ordinal, index)?)?;
            if opened.digest == *end {
                return Ok(true);
            }
            if Batch::decode(&opened.plain).is_none_or(|batch| !batch.bytes.is_empty()) {
                break;
            }
        }
        Ok(false)
    }
}

fn lost(lane: &str, item: Item) -> GateError {
    broken(format!(
        "the store has lost what it acknowledged of `{lane}`, before {}",
        word(item)
    ))
}

/// Does it for a lane whose lock is held; how far the lane is in the store then. A listing comes in
/// pages, and full files may be put together beside it: what does not fit is looked at again.
pub(super) fn reconcile(place: &Place, lane: &str, files: &LaneFiles) -> Result<Head, GateError> {
    match compare(place, lane, files) {
        Err(GateError::Broken { .. }) => compare(place, lane, files),
        done => done,
    }
}

fn compare(place: &Place, lane: &str, files: &LaneFiles) -> Result<Head, GateError> {
    let (shelved, mark) = Shelved::of(lane, place.list(lane)?)?;
    let mark = mark.map(|at| stored_mark(place, lane, files, at));
    let mark = mark.transpose()?;
    let ours = Ours { place, lane, files };
    let mut head = Head::default();
    let heads = shelved.heads(place, lane)?;
    // One of an earlier filling of the place would hide what stands in front of it.
    if let (Some((_, begins)), Some(first)) = (&mark, heads.first())
        && first.first != *begins
    {
        return Err(broken(format!(
            "the mark of `{lane}` is not that of its first file: the store has put an older one in \
             its place, or lost a newer one"
        )));
    }
    marks(place, lane, files, mark)?;
    let from = files.mark()?.unwrap_or(0);
    let mut newest = None;
    for (at, (stored, begun)) in shelved.files.iter().zip(&heads).enumerate() {
        let next = heads.get(at.saturating_add(1));
        let behind = next.is_some_and(|next| next.first > begun.first);
        // One that was begun again was never written on; one in front of the mark is done with.
        let void = next.is_some_and(|next| next.first == begun.first) || begun.first < from;
        let after = next.map(|next| &next.previous);
        let seen = ours.file(&shelved, *stored, (begun, behind, void), after)?;
        head = Head {
            ordinal: stored.ordinal.saturating_add(1),
            index: stored.batches,
            previous: seen.as_ref().and_then(Held::last).unwrap_or_default(),
        };
        newest = seen.map(|seen| (begun.first, seen.len));
    }
    let firsts: BTreeSet<u64> = heads.iter().map(|head| head.first).collect();
    ours.send_rest(&mut head, newest, &firsts)?;
    Ok(head)
}

/// Takes the next name in the newest file, for whoever writes the lane from now on: who wrote it
/// before finds the name taken, wherever he goes on.
pub(super) fn take_over(
    place: &Place,
    lane: &str,
    (files, head): (&LaneFiles, &mut Head),
) -> Result<(), GateError> {
    let Some(first) = files.firsts()?.pop().filter(|_| head.ordinal > 0) else {
        return Ok(());
    };
    let len = files.measure(first)?.map_or(0, |extent| extent.end);
    Ours { place, lane, files }.put(head, (first, len), &[])
}

/// The mark that the store has, and the record that it leaves as the first.
fn stored_mark(
    place: &Place,
    lane: &str,
    files: &LaneFiles,
    at: (Item, u64),
) -> Result<(Vec<u8>, u64), GateError> {
    let opened = place.read_one(lane, at)?;
    let mark = decode_mark(&opened.plain);
    let mark = mark.and_then(|mark| Some((mark.to_vec(), files.mark_says(mark)?.0)));
    mark.ok_or_else(|| broken(format!("the mark of `{lane}` is none")))
}

/// Sets the mark that the store has where the directory's is older or missing, and sends ours
/// where the store has nothing yet.
fn marks(
    place: &Place,
    lane: &str,
    files: &LaneFiles,
    stored: Option<(Vec<u8>, u64)>,
) -> Result<(), GateError> {
    let here = files.mark()?;
    let Some((mark, next)) = stored else {
        // A lane that begins to be kept in the store behind what was removed before.
        if let Some(mark) = files.mark_bytes()?
            && !place
                .list(lane)?
                .keys()
                .any(|item| item.kind == Kind::Batch)
        {
            place.put(lane, Item::new(Kind::Mark, 0), &encode_mark(&mark))?;
        }
        return Ok(());
    };
    if here.is_none_or(|here| here < next) {
        files.set_mark(&mark)?;
    }
    Ok(())
}

struct Ours<'a> {
    place: &'a Place,
    lane: &'a str,
    files: &'a LaneFiles,
}

/// A file of the store that was read.
struct Held {
    /// The digests of the batches that may be its last.
    ends: Vec<Digest>,
    /// Its bytes.
    len: u64,
}

impl Held {
    fn last(&self) -> Option<Digest> {
        self.ends.last().copied()
    }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

impl Ours<'_> {
    /// Refuses a file of the store that the next one, which names the digest before it, does not
    /// follow. **Asked before anything here is written**: the directory may hold what the store has
    /// lost.
    fn must_lead_to(
        &self,
        ordinal: u64,
        ends: &[Digest],
        after: Option<&Digest>,
    ) -> Result<(), GateError> {
        if after.is_none_or(|after| ends.contains(after)) {
            return Ok(());
        }
        Err(broken(format!(
            "file {} of `{}` does not follow the one before: the store has lost the end of that, \
             or holds an older copy",
            ordinal.saturating_add(1),
            self.lane
        )))
    }

    /// Holds a file of the directory against the store's; `None` where the store's need not be
    /// read. `after`: the digest that the store's next file names.
    fn file(
        &self,
        shelved: &Shelved,
        stored: Stored,
        (head, behind, void): (&Batch, bool, bool),
        after: Option<&Digest>,
    ) -> Result<Option<Held>, GateError> {
        let Some(bytes) = stored.whole else {
            let (bytes, ends) = shelved.batches((self.place, self.lane), stored, head)?;
            self.must_lead_to(stored.ordinal, &ends, after)?;
            if !void {
                self.hold(head.first, &bytes, behind)?;
            }
            let len = length(&bytes);
            return Ok(Some(Held { ends, len }));
        };
        let same = !void && self.begins_so(head)? && self.is_as_long(head.first, bytes)?;
        if behind && (void || same) {
            return Ok(None);
        }
        let at = (Item::new(Kind::Whole, stored.ordinal), bytes);
        let opened = self.place.read_one(self.lane, at)?;
        let whole = Whole::decode(&opened.plain)
            .filter(|whole| whole.first == head.first && whole.bytes.starts_with(&head.bytes));
        let wrong = || broken(format!("{} of `{}` is another", word(at.0), self.lane));
        let whole = whole.ok_or_else(wrong)?;
        self.must_lead_to(stored.ordinal, &[whole.last], after)?;
        if !void && !same {
            self.files.restore(whole.first, &whole.bytes)?;
        }
        let len = length(&whole.bytes);
        let ends = vec![whole.last];
        Ok(Some(Held { ends, len }))
    }

    /// Whether the file is there and begins as it must; its frames are bound by those behind them.
    fn begins_so(&self, head: &Batch) -> Result<bool, GateError> {
        if self.files.measure(head.first)?.is_none() {
            return Ok(false);
        }
        if self.files.read(head.first, 0..length(&head.bytes))? == head.bytes {
            return Ok(true);
        }
        Err(self.contradicts(head.first))
    }

    /// Whether the file has all that the store's has, which is this long as a blob: one of an older
    /// copy of the directory lacks its end.
    fn is_as_long(&self, first: u64, blob: u64) -> Result<bool, GateError> {
        let here = self.files.measure(first)?.map_or(0, |extent| extent.end);
        Ok(here >= blob.saturating_sub(WHOLE_OVERHEAD))
    }

    fn contradicts(&self, first: u64) -> GateError {
        broken(format!("file {first:016x} of `{}`: {BOTH}", self.lane))
    }

    /// Holds a file against its batches, and makes it what they say.
    fn hold(&self, first: u64, stored: &[u8], behind: bool) -> Result<(), GateError> {
        let Some(extent) = self.files.measure(first)? else {
            return Ok(self.files.restore(first, stored)?);
        };
        let here = self.files.read(first, 0..extent.end)?;
        if stored.starts_with(&here) {
            if here.len() < stored.len() {
                tracing::info!(
                    lane = self.lane,
                    first,
                    "a file is completed from the store"
                );
                self.files.restore(first, stored)?;
            }
            return Ok(());
        }
        if !here.starts_with(stored) {
            return Err(self.contradicts(first));
        }
        // More than the store has was never acknowledged. In the newest file it is sent; where the
        // lane went on behind it, it belongs to no log, and is kept beside.
        if behind {
            tracing::warn!(
                lane = self.lane,
                first,
                "a file that goes on where the store's has ended is set aside"
            );
            self.files.set_aside(first)?;
            self.files.restore(first, stored)?;
        }
        Ok(())
    }

    /// Sends what the directory has beyond the store's newest file, whose first record and length
    /// are `newest`. `firsts` are those of all of the store's.
    fn send_rest(
        &self,
        head: &mut Head,
        newest: Option<(u64, u64)>,
        firsts: &BTreeSet<u64>,
    ) -> Result<(), GateError> {
        let mut before: Option<[u8; 16]> = None;
        let all = self.files.firsts()?;
        for first in all.iter().copied() {
            let Some(extent) = self.files.measure(first)? else {
                let lane = self.lane;
                // The store never had it: a power cut before it was whole.
                if all.last() == Some(&first) && newest.is_some_and(|(newest, _)| newest < first) {
                    tracing::warn!(
                        lane,
                        first,
                        "a file that was never acknowledged is set aside"
                    );
                    self.files.set_aside(first)?;
                    continue;
                }
                return Err(broken(format!(
                    "file {first:016x} of `{lane}` has no header"
                )));
            };
            let follows = before.is_none_or(|id| id == extent.before);
            before = Some(extent.id);
            let mut at = match newest {
                Some((newest, end)) if first == newest => end,
                Some((newest, _)) if first < newest => {
                    if !firsts.contains(&first) {
                        return Err(self.contradicts(first));
                    }
                    continue;
                }
                Some(_) | None if follows => 0,
                // Written by a gateway that another had superseded.
                Some(_) | None => return Err(self.contradicts(first)),
            };
            while at < extent.end {
                // A file's first batch is read at each start: its header alone.
                let most = if at == 0 {
                    FILE_HEADER_BYTES.try_into().unwrap_or(u64::MAX)
                } else {
                    GATE_PIECE_BYTES
                };
                let end = extent.end.min(at.saturating_add(most));
                let piece = self.files.read(first, at..end)?;
                self.put(head, (first, at), &piece)?;
                at = end;
            }
        }
        Ok(())
    }

    fn put(
        &self,
        head: &mut Head,
        (first, offset): (u64, u64),
        bytes: &[u8],
    ) -> Result<(), GateError> {
        let begins = offset == 0;
        let item = head.next(begins);
        let item = item.ok_or_else(|| broken("the numbers of a lane are used up"))?;
        let plain = Batch::encode(&head.previous, (first, offset), bytes);
        let sealed = self.place.seal(self.lane, item, &plain)?;
        let digest = digest(&sealed);
        self.place.put_sealed(self.lane, item, &sealed)?;
        head.pass(begins, digest);
        Ok(())
    }
}
