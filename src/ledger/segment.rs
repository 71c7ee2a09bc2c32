//! A segment: a run of one lane's records, as one entry of the log. It holds no record, but for
//! each scope the root of the tree of that scope's rows. Specified in `docs/audit.md`, "The log".

use super::cbor::{Reader, Writer};
use super::codec::CodecError;
use super::scope::Tag;
use super::tlog::Hash;
use crate::types::Timestamp;
use crate::types::limits::{LOG_ENTRY_BYTES_MAX, LOG_SCOPES_MAX, LOG_SEGMENT_RECORDS_MAX};

const VERSION: u64 = 1;
const LANE_BYTES_MAX: usize = 63;

/// The rows of one scope in a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ScopeRoot {
    /// Whose they are, for whoever holds the scope key.
    pub tag: Tag,
    /// How many.
    pub count: u64,
    /// The root of their tree.
    pub root: Hash,
}

/// A run of one lane's records.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Segment {
    /// The lane.
    pub lane: String,
    /// The number of its first record.
    pub first: u64,
    /// How many records.
    pub count: u64,
    /// When it was made.
    pub time: Timestamp,
    /// Each scope that has rows in it, by ascending tag.
    pub scopes: Vec<ScopeRoot>,
    /// The records could not be read any more: nothing but their numbers is known.
    pub lost: bool,
}

impl Segment {
    /// The number behind its last record.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.first.saturating_add(self.count)
    }

    /// The rows of a scope.
    #[must_use]
    pub fn scope(&self, tag: &Tag) -> Option<&ScopeRoot> {
        let at = self.scopes.binary_search_by(|scope| scope.tag.cmp(tag));
        at.ok().and_then(|at| self.scopes.get(at))
    }

    fn check(&self) -> Result<(), CodecError> {
        let letters = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-');
        let most = u64::try_from(LOG_SEGMENT_RECORDS_MAX).unwrap_or(u64::MAX);
        let counts = if self.lost {
            self.scopes.is_empty() && self.count > 0
        } else {
            // A record is in the scope of each project that it names: two at most.
            // Each is whatever a stranger wrote; together they may be more than a number holds.
            let mut scopes = self.scopes.iter();
            let rows = scopes.try_fold(0_u64, |rows, scope| rows.checked_add(scope.count));
            (1..=most).contains(&self.count)
                && rows
                    .is_some_and(|rows| (self.count..=self.count.saturating_mul(2)).contains(&rows))
                && self
                    .scopes
                    .iter()
                    .all(|scope| (1..=self.count).contains(&scope.count))
        };
        let ascending = self.scopes.is_sorted_by(|a, b| a.tag < b.tag);
        let lane = !self.lane.is_empty() && self.lane.bytes().all(letters);
        let end = self.first.checked_add(self.count).is_some();
        if counts && ascending && lane && end && self.scopes.len() <= LOG_SCOPES_MAX {
            Ok(())
        } else {
            Err(CodecError::Value)
        }
    }

    /// Its canonical bytes: an entry of the log.
    pub fn encode(&self) -> Result<Vec<u8>, CodecError> {
        self.check()?;
        self.bytes()
    }

    /// The bytes of whatever it says.
    fn bytes(&self) -> Result<Vec<u8>, CodecError> {
        let mut out = Vec::new();
        let mut w = Writer(&mut out);
        w.array(2);
        w.uint(VERSION);
        w.map(5, &[self.lost]);
        w.uint(0);
        w.text(&self.lane, LANE_BYTES_MAX)?;
        w.uint(1);
        w.uint(self.first);
        w.uint(2);
        w.uint(self.count);
        w.uint(3);
        w.uint(self.time.millis());
        w.uint(4);
        w.array(self.scopes.len());
        for scope in &self.scopes {
            w.array(3);
            w.bytes(&scope.tag);
            w.uint(scope.count);
            w.bytes(&scope.root);
        }
        if self.lost {
            w.uint(5);
            w.bool(true);
        }
        if out.len() > LOG_ENTRY_BYTES_MAX {
            return Err(CodecError::TooLong);
        }
        Ok(out)
    }

    /// Reads an entry; takes the canonical bytes alone.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut r = Reader::new(bytes);
        if r.array(2)? != 2 {
            return Err(CodecError::Type);
        }
        if r.uint()? != VERSION {
            return Err(CodecError::Version);
        }
        let mut fields = r.map()?;
        fields.need(&mut r, 0)?;
        let lane = r.text(LANE_BYTES_MAX)?.to_owned();
        fields.need(&mut r, 1)?;
        let first = r.uint()?;
        fields.need(&mut r, 2)?;
        let count = r.uint()?;
        fields.need(&mut r, 3)?;
        let time = Timestamp::from_millis(r.uint()?);
        fields.need(&mut r, 4)?;
        let mut scopes = Vec::new();
        for _ in 0..r.array(LOG_SCOPES_MAX)? {
            if r.array(3)? != 3 {
                return Err(CodecError::Type);
            }
            scopes.push(ScopeRoot {
                tag: r.bytes()?,
                count: r.uint()?,
                root: r.bytes()?,
            });
        }
        let lost = fields.has(&mut r, 5)?;
        // What is not so is left out.
        if lost && !r.bool()? {
            return Err(CodecError::Value);
        }
        fields.end()?;
        r.end()?;
        let segment = Self {
            lane,
            first,
            count,
            time,
            scopes,
            lost,
        };
        segment.check()?;
        Ok(segment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn segment() -> Segment {
        let scope = |tag: u8, count| ScopeRoot {
            tag: [tag; 16],
            count,
            root: [tag; 32],
        };
        Segment {
            lane: "gateway".into(),
            first: 40,
            count: 5,
            time: Timestamp::from_millis(1_803_975_304_112),
            scopes: vec![scope(1, 3), scope(2, 3)],
            lost: false,
        }
    }

    #[test]
    fn it_is_read_as_it_is_written() {
        let lost = Segment {
            scopes: Vec::new(),
            lost: true,
            count: 1_000_000,
            ..segment()
        };
        for segment in [segment(), lost] {
            let bytes = segment.encode().unwrap();
            assert_eq!(Segment::decode(&bytes), Ok(segment));
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let change: [fn(&mut Segment); 16] = [
            |s| s.lane = String::new(),
            |s| s.lane = "Gateway".into(),
            |s| s.lane = "../gateway".into(),
            |s| s.lane = "g".repeat(64),
            |s| s.count = 0,
            |s| s.count = 2,
            |s| s.count = 7,
            |s| s.first = u64::MAX - 2,
            |s| s.scopes.reverse(),
            |s| s.scopes[1] = s.scopes[0],
            |s| s.scopes[0].count = 0,
            |s| s.lost = true,
            // Together they are more than a number holds.
            |s| s.scopes.iter_mut().for_each(|scope| scope.count = u64::MAX),
            |s| s.scopes.iter_mut().for_each(|scope| scope.count = 1 << 63),
            |s| (s.scopes[0].count, s.scopes[1].count) = (u64::MAX, 1),
            |s| s.count = u64::MAX,
        ];
        for (n, change) in change.iter().enumerate() {
            let mut bad = segment();
            change(&mut bad);
            assert!(bad.encode().is_err(), "case {n}");
            // A stranger's bytes are not made here.
            let read = bad.bytes().and_then(|bytes| Segment::decode(&bytes));
            assert!(read.is_err(), "case {n}");
        }
    }

    proptest! {
        #[test]
        fn every_changed_byte_is_refused_or_another_segment(at in 0_usize..200, to: u8) {
            let mut bytes = segment().encode().unwrap();
            let at = at % bytes.len();
            prop_assume!(bytes[at] != to);
            bytes[at] = to;
            if let Ok(other) = Segment::decode(&bytes) {
                prop_assert_ne!(&other, &segment());
                prop_assert_eq!(other.encode(), Ok(bytes));
            }
        }

        #[test]
        fn nothing_else_is_a_segment(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(read) = Segment::decode(&bytes) {
                prop_assert_eq!(read.encode(), Ok(bytes));
            }
        }
    }
}
