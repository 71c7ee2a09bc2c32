//! Which volumes there are and where in the store. It can be made again from the store, since each
//! volume says what it is.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::file::Meta;
use crate::types::BlobId;
use crate::types::limits::ARCHIVE_VOLUMES_MAX;

const SCHEMA: &str = "kluis.volumes/1";

/// Why an index is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone)]
#[non_exhaustive]
pub enum IndexError {
    /// Not its form.
    #[error("the index of volumes has not its form")]
    Malformed,
    /// A volume is missing or comes twice.
    #[error("the volumes of lane {lane} do not follow one another at record {at}")]
    Gap {
        /// The lane.
        lane: String,
        /// Where.
        at: u64,
    },
    /// More than can be looked through.
    #[error("too many volumes")]
    TooMany,
}

/// A volume and where it is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// What it is.
    pub meta: Meta,
    /// Its name in the store, 32 hex digits.
    blob: String,
    /// Its length in the store.
    pub bytes: u64,
    /// The oldest moment in it, in milliseconds since the epoch.
    pub oldest_ms: u64,
    /// The newest moment in it.
    pub newest_ms: u64,
    /// How many rows it has.
    pub rows: u64,
    /// Its version under a lock, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Held>,
}

/// A volume's version in the store, which is locked there.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Held {
    /// What the store calls it.
    pub version: String,
    /// Until when it was locked at least, in milliseconds since the epoch.
    pub until_ms: u64,
    /// Whether in compliance mode.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub compliance: bool,
}

impl Place {
    /// A volume at this place.
    #[must_use]
    pub fn new(meta: Meta, blob: BlobId, bytes: u64, times: (u64, u64), rows: u64) -> Self {
        Self {
            meta,
            blob: blob.to_string(),
            bytes,
            oldest_ms: times.0,
            newest_ms: times.1,
            rows,
            held: None,
        }
    }

    /// The same, locked.
    #[must_use]
    pub fn held(mut self, held: Option<Held>) -> Self {
        self.held = held;
        self
    }

    /// Its name in the store.
    pub fn blob(&self) -> Result<BlobId, IndexError> {
        self.blob.parse().map_err(|_id| IndexError::Malformed)
    }
}

/// All volumes of a log.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Index {
    schema: String,
    /// The log.
    pub origin: String,
    /// The terms by which its locks were last looked at; none where nothing is locked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terms: Option<String>,
    /// By lane, in the order of their records.
    volumes: Vec<Place>,
}

impl Index {
    /// Of a log that has none yet.
    #[must_use]
    pub fn new(origin: &str) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            origin: origin.to_owned(),
            terms: None,
            volumes: Vec::new(),
        }
    }

    /// Of these volumes; one that repeats the records of others is left out, and so is what a lane
    /// has before a gap: what was replaced goes when its lock ends, not in order. Whether all is
    /// there that must be is judged by the log.
    pub fn of(origin: &str, mut volumes: Vec<Place>) -> Result<Self, IndexError> {
        volumes.sort_by(|a, b| {
            // Of two of the same run the one that holds less is the newer.
            let key = |p: &Place| {
                let expired = usize::MAX - p.meta.expired().len();
                (
                    p.meta.lane.clone(),
                    p.meta.first,
                    u64::MAX - p.meta.end,
                    expired,
                )
            };
            key(a).cmp(&key(b))
        });
        let mut index = Self::new(origin);
        for place in volumes {
            let end = index.end_of(&place.meta.lane);
            if place.meta.first > end {
                index.volumes.retain(|p| p.meta.lane != place.meta.lane);
            }
            if place.meta.first >= end {
                index.push(place)?;
            }
        }
        Ok(index)
    }

    /// Reads an index.
    pub fn parse(bytes: &[u8]) -> Result<Self, IndexError> {
        let read: Self = serde_json::from_slice(bytes).map_err(|_form| IndexError::Malformed)?;
        if read.schema != SCHEMA {
            return Err(IndexError::Malformed);
        }
        let mut index = Self::new(&read.origin);
        index.terms = read.terms;
        for place in read.volumes {
            place.blob()?;
            index.push(place)?;
        }
        Ok(index)
    }

    /// Its bytes.
    pub fn encode(&self) -> Result<Vec<u8>, IndexError> {
        serde_json::to_vec(self).map_err(|_form| IndexError::Malformed)
    }

    /// Adds the next volume of its lane.
    pub fn push(&mut self, place: Place) -> Result<(), IndexError> {
        let lane = &place.meta.lane;
        let known = self.volumes.iter().rev().find(|p| p.meta.lane == *lane);
        // The first may begin anywhere: what was before it was removed at its time.
        let follows = known.is_none_or(|last| last.meta.end == place.meta.first);
        if !follows || place.meta.first >= place.meta.end || place.meta.origin != self.origin {
            return Err(IndexError::Gap {
                lane: lane.clone(),
                at: place.meta.first,
            });
        }
        if self.volumes.len() >= ARCHIVE_VOLUMES_MAX {
            return Err(IndexError::TooMany);
        }
        self.volumes.push(place);
        Ok(())
    }

    /// Puts a volume in the place of the one of the same run, which held more.
    pub fn replace(&mut self, place: Place) -> Result<(), IndexError> {
        let (meta, expired) = (place.meta.clone(), place.meta.expired());
        let there = |known: &&mut Place| {
            known.meta.is_of(&meta) && known.meta.expired().is_subset(&expired)
        };
        let gap = IndexError::Gap {
            lane: place.meta.lane.clone(),
            at: place.meta.first,
        };
        let at = self.volumes.iter_mut().find(there).ok_or(gap)?;
        *at = place;
        Ok(())
    }

    /// Writes down by which version a volume is locked now.
    pub fn hold(&mut self, meta: &Meta, held: Held) -> Result<(), IndexError> {
        let there = self.volumes.iter_mut().find(|known| known.meta == *meta);
        let gap = IndexError::Gap {
            lane: meta.lane.clone(),
            at: meta.first,
        };
        there.ok_or(gap)?.held = Some(held);
        Ok(())
    }

    /// Leaves out the volumes that a lane begins with and that hold nothing any more.
    pub fn forget_empty(&mut self) -> Vec<Place> {
        let mut begun = BTreeSet::new();
        let lanes = self
            .volumes
            .iter()
            .map(|p| (p.meta.lane.clone(), p.meta.end));
        let newest: BTreeMap<String, u64> = lanes.collect();
        let mut gone = Vec::new();
        self.volumes.retain(|place| {
            // The last one says where the lane goes on.
            let last = newest.get(&place.meta.lane) == Some(&place.meta.end);
            let stays = place.rows > 0 || last || begun.contains(&place.meta.lane);
            if stays {
                begun.insert(place.meta.lane.clone());
            } else {
                gone.push(place.clone());
            }
            stays
        });
        gone
    }

    /// The volume that holds these records of a lane.
    #[must_use]
    pub fn holding(&self, lane: &str, (first, end): (u64, u64)) -> Option<&Place> {
        let holds = |p: &&Place| p.meta.first <= first && end <= p.meta.end;
        let mut volumes = self.volumes.iter().filter(|p| p.meta.lane == lane);
        volumes.find(holds)
    }

    /// The number of the first record of a lane that no volume holds.
    #[must_use]
    pub fn end_of(&self, lane: &str) -> u64 {
        let last = self.last_of(lane);
        last.map_or(0, |place| place.meta.end)
    }

    /// The volumes of a lane, in the order of their records.
    #[must_use]
    pub fn of_lane(&self, lane: &str) -> impl DoubleEndedIterator<Item = &Place> {
        self.volumes.iter().filter(move |p| p.meta.lane == lane)
    }

    /// The newest volume of a lane.
    #[must_use]
    pub fn last_of(&self, lane: &str) -> Option<&Place> {
        self.volumes.iter().rev().find(|p| p.meta.lane == lane)
    }

    /// All volumes; those of one lane are in the order of their records.
    #[must_use]
    pub fn volumes(&self) -> &[Place] {
        &self.volumes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(lane: &str, first: u64, end: u64) -> Place {
        let meta = Meta::new("log", lane, (first, end), Vec::new());
        Place::new(meta, BlobId::from_bytes([1; 16]), 100, (1, 2), 3)
    }

    #[test]
    fn volumes_follow_one_another() {
        let mut index = Index::new("log");
        index.push(place("a", 5, 9)).unwrap();
        index.push(place("b", 0, 1)).unwrap();
        index.push(place("a", 9, 12)).unwrap();
        assert_eq!(
            (index.end_of("a"), index.end_of("b"), index.end_of("c")),
            (12, 1, 0)
        );
        for bad in [place("a", 13, 14), place("a", 11, 14), place("a", 12, 12)] {
            assert!(index.push(bad).is_err());
        }
        let other = Meta::new("other", "a", (12, 13), Vec::new());
        let other = Place::new(other, BlobId::from_bytes([1; 16]), 1, (1, 2), 3);
        assert!(index.push(other).is_err());
        let bytes = index.encode().unwrap();
        assert_eq!(Index::parse(&bytes), Ok(index));
        for len in 0..bytes.len() {
            assert!(Index::parse(&bytes[..len]).is_err());
        }
    }

    #[test]
    fn an_index_is_made_again_from_what_is_there() {
        let there = vec![
            place("a", 4, 6),
            place("b", 0, 3),
            place("a", 0, 2),
            place("a", 0, 4),
        ];
        let index = Index::of("log", there).unwrap();
        let spans: Vec<_> = index
            .volumes()
            .iter()
            .map(|p| (p.meta.first, p.meta.end))
            .collect();
        assert_eq!(spans, [(0, 4), (4, 6), (0, 3)]);
        let gaps = [(0, 2), (3, 4), (4, 6), (8, 9), (9, 11)].map(|(f, e)| place("a", f, e));
        let mut there = gaps.to_vec();
        there.push(place("b", 0, 1));
        let index = Index::of("log", there).unwrap();
        assert_eq!(index.volumes(), [&gaps[3..], &[place("b", 0, 1)]].concat());
    }

    #[test]
    fn what_holds_less_takes_the_place_of_what_held_more() {
        let less = |place: &Place, tags: &[u8], rows| {
            let tags = tags.iter().map(|tag| [*tag; 16]).collect();
            let meta = place.meta.without(&tags);
            Place::new(meta, BlobId::from_bytes([2; 16]), 50, (1, 2), rows)
        };
        let all = [place("a", 0, 2), place("a", 2, 4), place("b", 0, 3)];
        let mut index = Index::of("log", all.to_vec()).unwrap();
        assert!(index.forget_empty().is_empty());
        // Empty, but not at the lane's beginning: it holds its place.
        index.replace(less(&all[1], &[1, 2], 0)).unwrap();
        assert!(index.forget_empty().is_empty());
        assert_eq!(index.end_of("a"), 4);
        for bad in [less(&all[1], &[1], 0), less(&place("a", 0, 4), &[1], 0)] {
            assert!(index.replace(bad).is_err());
        }
        index.replace(less(&all[0], &[1, 2], 0)).unwrap();
        assert_eq!(Index::parse(&index.encode().unwrap()), Ok(index.clone()));
        // The last of a lane says where it goes on.
        assert_eq!(index.forget_empty().len(), 1);
        assert_eq!((index.end_of("a"), index.end_of("b")), (4, 3));
        // Both are in the store where a crash came between: the newer counts.
        let both = vec![
            all[0].clone(),
            less(&all[0], &[1], 1),
            less(&all[0], &[], 3),
        ];
        let index = Index::of("log", both).unwrap();
        assert_eq!(index.volumes()[0].meta.expired().len(), 1);
    }
}
