//! What a log's next round begins with. Sealed, since it names projects; bound to the log's origin.
//!
//! ```text
//! "KLUISLS3" ‖ base(8) ‖ known(1) [ root(32) ]
//! ‖ lanes(4) × { len(1) name next(8) known(1) [ anchor(48) ] }
//! ‖ open(4)  × { event(16) scopes(1) × { len(1) project } }
//! ‖ entries(4) × { len(4) entry }                          big-endian; nothing follows
//! ```
//!
//! *root* is that of the tree of `base` entries: what stands in front of the state's own entries is
//! bound to it. States of before are read, and not written: `KLUISLS2` has no root, `KLUISLS1` no
//! anchors either.

use std::collections::BTreeMap;

use crate::journal::Anchor;
use crate::ledger::tlog::Hash;
use crate::ledger::{Scope, Scopes};
use crate::types::EventId;
use crate::types::limits::{
    LOG_ENTRY_BYTES_MAX, LOG_LANES_MAX, LOG_OPEN_MAX, LOG_ROUND_SEGMENTS_MAX,
};

const MAGIC: &[u8; 8] = b"KLUISLS3";
const ROOTLESS: &[u8; 8] = b"KLUISLS2";
const UNANCHORED: &[u8; 8] = b"KLUISLS1";

/// How much of a lane is in the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Covered {
    /// The number of the first record that is not.
    pub(super) next: u64,
    /// What stands behind the last one that is, where it is known.
    pub(super) anchor: Option<Anchor>,
}

/// Between two rounds.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct State {
    /// The log's size before the entries below.
    pub(super) base: u64,
    /// The root of the tree then, where it is known.
    pub(super) root: Option<Hash>,
    /// Of each lane, how much of it is in the log.
    pub(super) lanes: BTreeMap<String, Covered>,
    /// The requests that are open.
    pub(super) scopes: Scopes,
    /// The entries of the last round, which may not all be written.
    pub(super) entries: Vec<Vec<u8>>,
}

fn number(len: usize) -> [u8; 4] {
    u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes()
}

fn short(out: &mut Vec<u8>, text: &str) {
    out.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(text.as_bytes());
}

impl State {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&self.base.to_be_bytes());
        out.push(u8::from(self.root.is_some()));
        out.extend_from_slice(self.root.as_ref().map_or(&[], |root| root));
        out.extend_from_slice(&number(self.lanes.len()));
        for (name, covered) in &self.lanes {
            short(&mut out, name);
            out.extend_from_slice(&covered.next.to_be_bytes());
            out.push(u8::from(covered.anchor.is_some()));
            out.extend_from_slice(covered.anchor.as_ref().map_or(&[], |anchor| anchor));
        }
        out.extend_from_slice(&number(self.scopes.open().len()));
        for (event, scopes) in self.scopes.open() {
            out.extend_from_slice(event.as_bytes());
            out.push(u8::try_from(scopes.len()).unwrap_or(u8::MAX));
            for scope in scopes {
                short(&mut out, scope.name());
            }
        }
        out.extend_from_slice(&number(self.entries.len()));
        for entry in &self.entries {
            out.extend_from_slice(&number(entry.len()));
            out.extend_from_slice(entry);
        }
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = Rest(bytes);
        let magic = rest.array::<8>()?;
        let (rooted, anchored) = (magic == *MAGIC, magic != *UNANCHORED);
        if ![*MAGIC, *ROOTLESS, *UNANCHORED].contains(&magic) {
            return None;
        }
        let base = u64::from_be_bytes(rest.array()?);
        let root = if rooted { rest.known().ok()? } else { None };
        let mut lanes = BTreeMap::new();
        for _ in 0..rest.count(LOG_LANES_MAX)? {
            let name = rest.short()?.to_owned();
            let next = u64::from_be_bytes(rest.array()?);
            let anchor = if anchored { rest.known().ok()? } else { None };
            lanes.insert(name, Covered { next, anchor });
        }
        let mut open = BTreeMap::new();
        for _ in 0..rest.count(LOG_OPEN_MAX)? {
            let event = EventId::from_bytes(rest.array()?);
            let [scopes] = rest.array()?;
            let scopes = (0..scopes).map(|_| Some(Scope::Project(rest.short()?.parse().ok()?)));
            open.insert(event, scopes.collect::<Option<Vec<_>>>()?);
        }
        let mut entries = Vec::new();
        for _ in 0..rest.count(LOG_ROUND_SEGMENTS_MAX)? {
            let len = rest.count(LOG_ENTRY_BYTES_MAX)?;
            entries.push(rest.take(len)?.to_vec());
        }
        rest.0.is_empty().then_some(Self {
            base,
            root,
            lanes,
            scopes: Scopes::new(open),
            entries,
        })
    }
}

/// The bytes end, or say what no state says.
struct Cut;

struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    /// What may not be known.
    fn known<const N: usize>(&mut self) -> Result<Option<[u8; N]>, Cut> {
        match self.array().ok_or(Cut)? {
            [0] => Ok(None),
            [1] => self.array().map(Some).ok_or(Cut),
            [_] => Err(Cut),
        }
    }

    fn count(&mut self, most: usize) -> Option<usize> {
        let count = usize::try_from(u32::from_be_bytes(self.array()?)).ok()?;
        (count <= most).then_some(count)
    }

    fn short(&mut self) -> Option<&'a str> {
        let [len] = self.array()?;
        std::str::from_utf8(self.take(usize::from(len))?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn covered(next: u64, anchor: Option<Anchor>) -> Covered {
        Covered { next, anchor }
    }

    /// The states of logs that older programs kept.
    #[test]
    fn a_state_of_before_is_read_without_a_root() {
        let bytes =
            b"KLUISLS2\0\0\0\0\0\0\0\x05\0\0\0\x01\x05admin\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\0\0";
        let state = State::decode(bytes).unwrap();
        assert_eq!((state.base, state.root), (5, None));
        let lanes = BTreeMap::from([("admin".to_owned(), covered(3, None))]);
        assert_eq!(state.lanes, lanes);
        assert_eq!(State::decode(&state.encode()), Some(state));
    }

    #[test]
    fn a_state_of_before_is_read_without_anchors() {
        let bytes =
            b"KLUISLS1\0\0\0\0\0\0\0\x05\0\0\0\x01\x05admin\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\0";
        let state = State::decode(bytes).unwrap();
        assert_eq!(state.base, 5);
        let lanes = BTreeMap::from([("admin".to_owned(), covered(3, None))]);
        assert_eq!(state.lanes, lanes);
        let mut bent = state.encode();
        let known = bent.len() - 9;
        assert_eq!(bent[known], 0);
        bent[known] = 2;
        assert_eq!(State::decode(&bent), None);
    }

    #[test]
    fn it_is_read_as_it_is_written_and_nothing_else_is() {
        let project = Scope::Project("icu".parse().unwrap());
        let open = BTreeMap::from([(EventId::from_bytes([7; 16]), vec![project])]);
        let state = State {
            base: 5,
            root: Some([8; 32]),
            lanes: BTreeMap::from([
                ("admin".into(), covered(3, None)),
                ("gateway".into(), covered(9, Some([6; 48]))),
            ]),
            scopes: Scopes::new(open),
            entries: vec![b"one".to_vec(), b"two".to_vec()],
        };
        let bytes = state.encode();
        assert_eq!(State::decode(&bytes), Some(state));
        for len in 0..bytes.len() {
            assert_eq!(State::decode(&bytes[..len]), None, "cut to {len}");
        }
        assert_eq!(State::decode(&[&bytes[..], b"x"].concat()), None);
        assert_eq!(
            State::decode(&State::default().encode()),
            Some(State::default())
        );
    }
}
