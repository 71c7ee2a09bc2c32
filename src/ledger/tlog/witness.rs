//! What a witness answers to a checkpoint (c2sp.org/tlog-witness): it cosigns what continues the
//! last checkpoint of that log that it has seen, and nothing else. Whoever keeps what it has seen
//! must store the new state before the cosignature leaves.

use super::checkpoint::{Checkpoint, CheckpointError};
use super::note::{Note, NoteError, NoteSignature, VerifierKey};
use super::proof::verify_consistency;
use super::wire::AddCheckpoint;

/// Why a witness does not cosign; each has a status of HTTP.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
#[non_exhaustive]
pub enum WitnessRefusal {
    /// 400: not the form of a request.
    #[error("the request is malformed")]
    Malformed,
    /// 403: no key of the log that the witness trusts has signed it.
    #[error("the checkpoint is not signed by a key that is trusted")]
    Unsigned,
    /// 404: a log that the witness does not know.
    #[error("the log is not known")]
    Unknown,
    /// 409: it goes on from another size than the witness has seen.
    #[error("the witness has seen size {0}")]
    Seen(u64),
    /// 409: another root of the same size: the log was forked.
    #[error("the witness has seen another root of size {0}")]
    Forked(u64),
    /// 422: the proof does not hold.
    #[error("the proof of consistency does not hold")]
    Proof,
}

impl WitnessRefusal {
    /// The status, and the size in its body where it has one.
    #[must_use]
    pub const fn status(self) -> (u16, Option<u64>) {
        match self {
            Self::Malformed => (400, None),
            Self::Unsigned => (403, None),
            Self::Unknown => (404, None),
            Self::Seen(size) | Self::Forked(size) => (409, Some(size)),
            Self::Proof => (422, None),
        }
    }
}

/// A request whose checkpoint was signed by a log that is trusted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Submitted {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    request: AddCheckpoint,
}

impl Submitted {
    /// Reads the body of `add-checkpoint`.
    pub fn open(body: &[u8], logs: &[VerifierKey]) -> Result<Self, WitnessRefusal> {
        let request = AddCheckpoint::parse(body).map_err(|_form| WitnessRefusal::Malformed)?;
        let text: Result<Checkpoint, _> = request.note.text().parse();
        let checkpoint = text.map_err(|_form| WitnessRefusal::Malformed)?;
        let mut known = false;
        for log in logs.iter().filter(|log| log.name() == checkpoint.origin) {
            known = true;
            match Checkpoint::open(&request.note, log) {
                Ok(_same) => {
                    return Ok(Self {
                        checkpoint,
                        request,
                    });
                }
                Err(CheckpointError::Note(NoteError::Unsigned)) => {}
                Err(_wrong) => return Err(WitnessRefusal::Unsigned),
            }
        }
        Err(if known {
            WitnessRefusal::Unsigned
        } else {
            WitnessRefusal::Unknown
        })
    }

    /// Whether it continues `seen`, the last checkpoint of this log that was cosigned. If so, it is
    /// to be stored in the place of that one, and then cosigned.
    pub fn judge(&self, seen: Option<&Checkpoint>) -> Result<(), WitnessRefusal> {
        let (old, new) = (self.request.old, &self.checkpoint);
        if old > new.size {
            return Err(WitnessRefusal::Malformed);
        }
        let size = seen.map_or(0, |seen| seen.size);
        if old != size {
            return Err(WitnessRefusal::Seen(size));
        }
        let Some(seen) = seen.filter(|seen| seen.size > 0) else {
            // An empty tree is the beginning of each.
            let empty = self.request.proof.is_empty();
            return if empty {
                Ok(())
            } else {
                Err(WitnessRefusal::Proof)
            };
        };
        if seen.size == new.size && seen.root != new.root {
            return Err(WitnessRefusal::Forked(size));
        }
        let trees = ((seen.size, &seen.root), (new.size, &new.root));
        verify_consistency(trees.0, trees.1, &self.request.proof)
            .map_err(|_proof| WitnessRefusal::Proof)
    }

    /// What is cosigned.
    #[must_use]
    pub fn text(&self) -> &str {
        self.request.note.text()
    }
}

/// Reads a witness's answer: lines of signatures, of which the one by `witness` must verify over
/// `note`. Others are passed over.
pub fn read_cosignature(
    answer: &[u8],
    note: &Note,
    witness: &VerifierKey,
) -> Result<NoteSignature, NoteError> {
    let lines = std::str::from_utf8(answer).map_err(|_not_utf8| NoteError::Signature)?;
    let whole = format!("{}\n{lines}", note.text());
    let answered = Note::parse(whole.as_bytes())?;
    if answered.text() != note.text() {
        return Err(NoteError::Malformed);
    }
    super::checkpoint::cosigned_at(&answered, witness)?;
    Ok(answered.verified(witness)?.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::tlog::tree_tests::node;
    use crate::ledger::tlog::{Growth, Hash, KeyKind, Signer, consistency_proof, cosigned_at};
    use crate::types::Secret;

    fn signer(name: &str, kind: KeyKind, seed: u8) -> Signer {
        Signer::new(name, kind, &Secret::take(&mut [seed; 32])).unwrap()
    }

    /// A log of so many entries, and its request from an earlier size.
    struct Log {
        growths: Vec<Checkpoint>,
        leaves: Vec<Hash>,
        signer: Signer,
    }

    impl Log {
        fn new(tag: u8, size: u64) -> Self {
            let mut growth = Growth::new();
            let mut growths = vec![Checkpoint::new("log".into(), 0, growth.root())];
            let mut leaves = Vec::new();
            for n in 0..size {
                let leaf = vec![tag, u8::try_from(n).unwrap()];
                growth.push(leaf.clone()).unwrap();
                leaves.push(crate::ledger::leaf_hash(&leaf));
                growths.push(Checkpoint::new("log".into(), growth.size(), growth.root()));
            }
            Self {
                growths,
                leaves,
                signer: signer("log", KeyKind::Note, 1),
            }
        }

        fn request(&self, old: u64, new: u64) -> AddCheckpoint {
            let at = |size: u64| &self.growths[usize::try_from(size).unwrap()];
            let proof = if old == 0 || old == new {
                Vec::new()
            } else {
                consistency_proof(old, new, |at| node(&self.leaves, at)).unwrap()
            };
            let note = at(new).sign(&self.signer).unwrap();
            AddCheckpoint { old, proof, note }
        }
    }

    fn answer(
        request: &AddCheckpoint,
        seen: &mut Option<Checkpoint>,
    ) -> Result<(), WitnessRefusal> {
        let log = signer("log", KeyKind::Note, 1);
        let opened = Submitted::open(request.to_string().as_bytes(), &[log.public().clone()])?;
        opened.judge(seen.as_ref())?;
        *seen = Some(opened.checkpoint);
        Ok(())
    }

    #[test]
    fn what_continues_is_cosigned_and_nothing_else() {
        let (log, fork) = (Log::new(1, 9), Log::new(2, 9));
        let mut seen = None;
        assert_eq!(answer(&log.request(0, 3), &mut seen), Ok(()));
        assert_eq!(answer(&log.request(3, 3), &mut seen), Ok(()));
        assert_eq!(answer(&log.request(3, 7), &mut seen), Ok(()));
        // From another size, backwards, and another history.
        assert_eq!(
            answer(&log.request(3, 9), &mut seen),
            Err(WitnessRefusal::Seen(7))
        );
        assert_eq!(
            answer(&log.request(0, 3), &mut seen),
            Err(WitnessRefusal::Seen(7))
        );
        assert_eq!(
            answer(&fork.request(7, 7), &mut seen),
            Err(WitnessRefusal::Forked(7))
        );
        assert_eq!(
            answer(&fork.request(7, 9), &mut seen),
            Err(WitnessRefusal::Proof)
        );
        let mut bent = log.request(7, 9);
        bent.proof[0][0] ^= 1;
        assert_eq!(answer(&bent, &mut seen), Err(WitnessRefusal::Proof));
        bent.proof.pop();
        assert_eq!(answer(&bent, &mut seen), Err(WitnessRefusal::Proof));
        let mut ahead = log.request(7, 7);
        ahead.old = 8;
        assert_eq!(answer(&ahead, &mut seen), Err(WitnessRefusal::Malformed));
        assert_eq!(seen.as_ref().map(|seen| seen.size), Some(7));
        assert_eq!(answer(&log.request(7, 9), &mut seen), Ok(()));
        let mut fresh = None;
        let mut needless = log.request(3, 7);
        needless.old = 0;
        assert_eq!(answer(&needless, &mut fresh), Err(WitnessRefusal::Proof));
    }

    #[test]
    fn strangers_and_nonsense_are_refused() {
        let log = Log::new(1, 2);
        let body = log.request(0, 2).to_string();
        let key = |name: &str, seed| vec![signer(name, KeyKind::Note, seed).public().clone()];
        let cut = |body: &[u8], keys: &[VerifierKey]| Submitted::open(body, keys).err();
        let open = |body: &str, keys: &[VerifierKey]| cut(body.as_bytes(), keys);
        assert_eq!(open(&body, &[]), Some(WitnessRefusal::Unknown));
        assert_eq!(open(&body, &key("other", 1)), Some(WitnessRefusal::Unknown));
        assert_eq!(open(&body, &key("log", 2)), Some(WitnessRefusal::Unsigned));
        assert_eq!(
            open("old 0\n\nno note", &key("log", 1)),
            Some(WitnessRefusal::Malformed)
        );
        let bent = body.replace("\n2\n", "\n3\n");
        assert_eq!(open(&bent, &key("log", 1)), Some(WitnessRefusal::Unsigned));
        for len in 0..body.len() {
            let cut = cut(&body.as_bytes()[..len], &key("log", 1));
            assert!(cut.is_some(), "cut to {len}");
        }
    }

    #[test]
    fn an_answer_is_believed_by_its_signature_alone() {
        let log = Log::new(1, 2);
        let note = log.request(0, 2).note;
        let witness = signer("witness", KeyKind::Cosignature, 3);
        let mut answered = Note::parse(note.to_string().as_bytes()).unwrap();
        answered.add(witness.cosign(note.text(), 77)).unwrap();
        let lines = answered.to_string();
        let line = lines.lines().last().unwrap().to_owned() + "\n";
        let read = read_cosignature(line.as_bytes(), &note, witness.public()).unwrap();
        let mut kept = note.clone();
        kept.add(read).unwrap();
        assert_eq!(cosigned_at(&kept, witness.public()), Ok(77));
        let other = signer("witness", KeyKind::Cosignature, 4);
        assert!(read_cosignature(line.as_bytes(), &note, other.public()).is_err());
        let moved = log.request(0, 1).note;
        assert!(read_cosignature(line.as_bytes(), &moved, witness.public()).is_err());
        for bad in ["", "\n", "yes", "\u{2014} witness AAAA\n"] {
            assert!(read_cosignature(bad.as_bytes(), &note, witness.public()).is_err());
        }
    }
}
