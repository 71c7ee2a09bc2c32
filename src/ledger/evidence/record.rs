//! The proof of one record: what it takes to go from its canonical bytes to a root that an entry of
//! the log holds. It stands before the proof of the entry itself, as that form's `extra`
//! (c2sp.org/tlog-proof). Nothing is told of any other record.
//!
//! ```text
//! extra = "KLUISPR1" len(4) entry tag(16) index(8) seq(8) salt(16) len(4) record
//!         count(1) hash(32){count} len(4) session                                 big-endian
//! ```
//!
//! *index* is the record's place among its scope's rows in that entry; *session* is empty where the
//! record names none.

use std::sync::Arc;

use crate::ledger::session_hash;
use crate::ledger::tlog::{
    Edge, Hash, Judged, LogProof, Node, ProofError, TrustError, TrustPolicy, inclusion_proof,
    verify_inclusion,
};
use crate::ledger::{
    CodecError, Entry, Row, Salt, ScopeKey, Segment, Session, Tag, decode, encode, leaf_hash,
    salted_leaf,
};

const HEAD: &[u8; 8] = b"KLUISPR1";

/// Why a proof of a record is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordProofError {
    /// Not its form.
    #[error("this is not the proof of a record")]
    Malformed,
    /// The checkpoint is not one that is trusted.
    #[error("the checkpoint is not trusted: {0}")]
    Trust(#[from] TrustError),
    /// It leads elsewhere.
    #[error("the proof does not hold: {0}")]
    Proof(#[from] ProofError),
    /// The entry or the record is none.
    #[error("the record or its entry cannot be read")]
    Codec(#[from] CodecError),
    /// The record does not belong where the proof puts it.
    #[error("the record is not of this entry, or its session another")]
    Other,
}

/// A record and its way to the root of its scope in one entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordProof {
    entry: Vec<u8>,
    tag: Tag,
    index: u64,
    seq: u64,
    salt: Salt,
    record: Vec<u8>,
    hashes: Vec<Hash>,
    session: Vec<u8>,
}

/// A record that is in the log.
pub struct ProvenRecord {
    /// The checkpoint that it is under, and who has cosigned it.
    pub judged: Judged,
    /// The entry.
    pub index: u64,
    /// What the entry says.
    pub segment: Segment,
    /// The record's number in its lane.
    pub seq: u64,
    /// The record.
    pub entry: Entry,
    /// Its session, where it names one.
    pub session: Option<Arc<Session>>,
}

impl RecordProof {
    /// Of the row with this number, among all rows of the scope `tag` in a segment: number and
    /// canonical bytes of each. `None` if there is no such row, or if they are not what the segment
    /// says.
    #[must_use]
    pub fn of(
        key: &ScopeKey,
        (segment, tag): (&Segment, &Tag),
        rows: &[(u64, &[u8])],
        seq: u64,
        session: Option<&Session>,
    ) -> Option<Self> {
        let salts = Row::new(&key.seed(tag, &segment.lane, segment.first));
        let mut buffer = Vec::new();
        let leaf = |(seq, record): &(u64, &[u8])| salts.leaf(*seq, record, &mut buffer);
        let leaves: Vec<Hash> = rows.iter().map(leaf).collect();
        let edge: Edge = leaves.iter().copied().collect();
        let root = segment.scope(tag)?;
        if (edge.size(), edge.root()) != (root.count, root.root) {
            return None;
        }
        let at = rows.iter().position(|(row, _)| *row == seq)?;
        let (_, record) = rows.get(at)?;
        let index = u64::try_from(at).ok()?;
        let node = |node: Node| -> Result<Hash, ProofError> {
            let width = 1_usize.checked_shl(u32::from(node.level));
            let width = width.ok_or(ProofError::Range)?;
            let first = usize::try_from(node.index).map_err(|_large| ProofError::Range)?;
            let first = first.checked_mul(width).ok_or(ProofError::Range)?;
            let part = leaves.get(first..first.saturating_add(width));
            Ok(part
                .ok_or(ProofError::Range)?
                .iter()
                .copied()
                .collect::<Edge>()
                .root())
        };
        let hashes = inclusion_proof(index, root.count, node).ok()?;
        let mut bytes = Vec::new();
        if let Some(session) = session {
            encode(&Entry::Session(session.clone()), &mut bytes).ok()?;
        }
        Some(Self {
            entry: segment.encode().ok()?,
            tag: *tag,
            index,
            seq,
            salt: salts.salt(seq),
            record: record.to_vec(),
            hashes,
            session: bytes,
        })
    }

    /// As `extra` of the entry's proof.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let long = |out: &mut Vec<u8>, bytes: &[u8]| {
            let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            out.extend_from_slice(&len.to_be_bytes());
            out.extend_from_slice(bytes);
        };
        let mut out = HEAD.to_vec();
        long(&mut out, &self.entry);
        out.extend_from_slice(&self.tag);
        out.extend_from_slice(&self.index.to_be_bytes());
        out.extend_from_slice(&self.seq.to_be_bytes());
        out.extend_from_slice(&self.salt);
        long(&mut out, &self.record);
        out.push(u8::try_from(self.hashes.len()).unwrap_or(u8::MAX));
        out.extend(self.hashes.iter().flatten());
        long(&mut out, &self.session);
        out
    }

    /// Reads exactly what [`Self::encode`] writes.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut rest = Rest(bytes);
        (rest.array::<8>()? == *HEAD).then_some(())?;
        let entry = rest.long()?;
        let tag = rest.array()?;
        let index = u64::from_be_bytes(rest.array()?);
        let seq = u64::from_be_bytes(rest.array()?);
        let salt = rest.array()?;
        let record = rest.long()?;
        let [count] = rest.array()?;
        let hashes = (0..count).map(|_| rest.array()).collect::<Option<_>>()?;
        let session = rest.long()?;
        rest.0.is_empty().then_some(Self {
            entry,
            tag,
            index,
            seq,
            salt,
            record,
            hashes,
            session,
        })
    }

    /// Checks the proof of a record against whom the reader trusts.
    pub fn verify(text: &[u8], trust: &TrustPolicy) -> Result<ProvenRecord, RecordProofError> {
        let proof = LogProof::parse(text).map_err(|_form| RecordProofError::Malformed)?;
        let found = proof.extra.as_deref().and_then(Self::parse);
        let found = found.ok_or(RecordProofError::Malformed)?;
        let judged = trust.judge(&proof.note)?;
        let (size, root) = (judged.checkpoint.size, judged.checkpoint.root);
        verify_inclusion(
            &leaf_hash(&found.entry),
            proof.index,
            size,
            &proof.proof,
            &root,
        )?;
        let segment = Segment::decode(&found.entry)?;
        let scope = segment.scope(&found.tag).ok_or(RecordProofError::Other)?;
        let leaf = salted_leaf(found.seq, &found.salt, &found.record, &mut Vec::new());
        verify_inclusion(&leaf, found.index, scope.count, &found.hashes, &scope.root)?;
        let entry = decode(&found.record)?;
        let session = match entry.session() {
            None if found.session.is_empty() => None,
            None => return Err(RecordProofError::Other),
            Some(hash) => {
                let Entry::Session(session) = decode(&found.session)? else {
                    return Err(RecordProofError::Other);
                };
                if session_hash(&session)? != *hash {
                    return Err(RecordProofError::Other);
                }
                Some(Arc::new(session))
            }
        };
        if !(segment.first..segment.end()).contains(&found.seq) {
            return Err(RecordProofError::Other);
        }
        Ok(ProvenRecord {
            judged,
            index: proof.index,
            segment,
            seq: found.seq,
            entry,
            session,
        })
    }
}

/// Bytes that are still to be read.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }

    fn long(&mut self) -> Option<Vec<u8>> {
        let len = usize::try_from(u32::from_be_bytes(self.array()?)).ok()?;
        let (long, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(long.to_vec())
    }
}
