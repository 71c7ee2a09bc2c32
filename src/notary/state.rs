//! What a log's next round begins with. Sealed, since it names projects; bound to the log's origin.
//!
//! ```text
//! "KLUISLS1" ‖ base(8)
//! ‖ lanes(4) × { len(1) name next(8) }
//! ‖ open(4)  × { event(16) scopes(1) × { len(1) project } }
//! ‖ entries(4) × { len(4) entry }                          big-endian; nothing follows
//! ```

use std::collections::BTreeMap;

use crate::ledger::{Scope, Scopes};
use crate::types::EventId;
use crate::types::limits::{
    LOG_ENTRY_BYTES_MAX, LOG_LANES_MAX, LOG_OPEN_MAX, LOG_ROUND_SEGMENTS_MAX,
};

const MAGIC: &[u8; 8] = b"KLUISLS1";

/// Between two rounds.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct State {
    /// The log's size before the entries below.
    pub(super) base: u64,
    /// Of each lane, the number of the first record that is not in the log.
    pub(super) lanes: BTreeMap<String, u64>,
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
        out.extend_from_slice(&number(self.lanes.len()));
        for (name, next) in &self.lanes {
            short(&mut out, name);
            out.extend_from_slice(&next.to_be_bytes());
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
        if rest.array::<8>()? != *MAGIC {
            return None;
        }
        let base = u64::from_be_bytes(rest.array()?);
        let mut lanes = BTreeMap::new();
        for _ in 0..rest.count(LOG_LANES_MAX)? {
            let name = rest.short()?.to_owned();
            lanes.insert(name, u64::from_be_bytes(rest.array()?));
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
            lanes,
            scopes: Scopes::new(open),
            entries,
        })
    }
}

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

    #[test]
    fn it_is_read_as_it_is_written_and_nothing_else_is() {
        let project = Scope::Project("icu".parse().unwrap());
        let open = BTreeMap::from([(EventId::from_bytes([7; 16]), vec![project])]);
        let state = State {
            base: 5,
            lanes: BTreeMap::from([("admin".into(), 3), ("gateway".into(), 9)]),
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
