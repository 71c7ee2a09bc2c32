//! Signed notes (c2sp.org/signed-note): a text, a blank line, and a line for each signature.

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE64, HEXLOWER};
use ring::digest::{Context, SHA256};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

use crate::types::limits::{NOTE_BYTES_MAX, NOTE_SIGNATURES_MAX};
use crate::types::{Secret, is_small_order};

/// How a line of signature begins.
const DASH: &str = "— ";

/// Why a note, a key or a signature is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
#[non_exhaustive]
pub enum NoteError {
    /// Not the form of a note.
    #[error("this is not a signed note")]
    Malformed,
    /// More than a note may have.
    #[error("the note is too long or has too many signatures")]
    TooLong,
    /// A name with a space, a plus, or nothing at all.
    #[error("a key's name is a text without spaces and without +")]
    Name,
    /// Not a verifier key of a kind that is known here, or its id is another's.
    #[error("this is not a verifier key")]
    Key,
    /// No signature by the key.
    #[error("the note is not signed by the key")]
    Unsigned,
    /// A signature that claims the key and does not verify.
    #[error("a signature under the key does not verify")]
    Signature,
}

/// What a key signs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum KeyKind {
    /// Notes: type 0x01.
    Note,
    /// Checkpoints, with the time: type 0x04 (c2sp.org/tlog-cosignature).
    Cosignature,
}

impl KeyKind {
    /// The byte that stands for it in keys.
    #[must_use]
    pub const fn byte(self) -> u8 {
        match self {
            Self::Note => 1,
            Self::Cosignature => 4,
        }
    }
}

/// One line of signature.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NoteSignature {
    /// The key's name.
    pub name: String,
    /// The key's id.
    pub id: [u8; 4],
    /// What follows the id.
    pub bytes: Vec<u8>,
}

impl fmt::Display for NoteSignature {
    /// The line without its newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blob = [&self.id[..], &self.bytes].concat();
        write!(f, "{DASH}{} {}", self.name, BASE64.encode(&blob))
    }
}

impl FromStr for NoteSignature {
    type Err = NoteError;

    fn from_str(line: &str) -> Result<Self, NoteError> {
        let rest = line.strip_prefix(DASH).ok_or(NoteError::Malformed)?;
        let (name, blob) = rest.split_once(' ').ok_or(NoteError::Malformed)?;
        check_name(name).map_err(|_name| NoteError::Malformed)?;
        let blob = base64(blob).ok_or(NoteError::Malformed)?;
        let (id, bytes) = blob.split_first_chunk().ok_or(NoteError::Malformed)?;
        if bytes.is_empty() {
            return Err(NoteError::Malformed);
        }
        Ok(Self {
            name: name.to_owned(),
            id: *id,
            bytes: bytes.to_vec(),
        })
    }
}

/// Bytes of their one spelling in base64: the library's decoder takes padding in the middle, too.
pub(super) fn base64(text: &str) -> Option<Vec<u8>> {
    let bytes = BASE64.decode(text.as_bytes()).ok()?;
    (BASE64.encode(&bytes) == text).then_some(bytes)
}

fn check_name(name: &str) -> Result<(), NoteError> {
    let wrong = |c: char| c.is_whitespace() || c == '+' || c < ' ';
    if name.is_empty() || name.contains(wrong) {
        return Err(NoteError::Name);
    }
    Ok(())
}

/// A text with its signatures. **Nothing of it is to be believed before a key has verified.**
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

impl Note {
    /// Reads a note; checks its form and no signature.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > NOTE_BYTES_MAX {
            return Err(NoteError::TooLong);
        }
        let note = std::str::from_utf8(bytes).map_err(|_not_utf8| NoteError::Malformed)?;
        if note.contains(|c: char| c < ' ' && c != '\n') {
            return Err(NoteError::Malformed);
        }
        let (text, lines) = note.rsplit_once("\n\n").ok_or(NoteError::Malformed)?;
        let lines = lines.strip_suffix('\n').ok_or(NoteError::Malformed)?;
        if text.is_empty() {
            return Err(NoteError::Malformed);
        }
        let mut signatures = Vec::new();
        for line in lines.split('\n') {
            if signatures.len() >= NOTE_SIGNATURES_MAX {
                return Err(NoteError::TooLong);
            }
            signatures.push(line.parse()?);
        }
        Ok(Self {
            text: format!("{text}\n"),
            signatures,
        })
    }

    /// A note of a text that ends in a newline, signed by `signer`.
    pub fn sign(text: String, signer: &Signer) -> Result<Self, NoteError> {
        let fine = text.ends_with('\n') && !text.contains(|c: char| c < ' ' && c != '\n');
        if !fine || text.len() > NOTE_BYTES_MAX {
            return Err(NoteError::Malformed);
        }
        let signatures = vec![signer.sign(&text)];
        Ok(Self { text, signatures })
    }

    /// What is signed, with its last newline.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signatures, in their order.
    #[must_use]
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// Adds a signature, in the place of one by the same key.
    pub fn add(&mut self, signature: NoteSignature) -> Result<(), NoteError> {
        let same = |other: &NoteSignature| other.name == signature.name && other.id == signature.id;
        self.signatures.retain(|other| !same(other));
        if self.signatures.len() >= NOTE_SIGNATURES_MAX {
            return Err(NoteError::TooLong);
        }
        self.signatures.push(signature);
        Ok(())
    }

    /// Checks that the key has signed it, and that no line claims so wrongly.
    pub fn verify(&self, key: &VerifierKey) -> Result<(), NoteError> {
        self.verified(key).map(|_bytes| ())
    }

    /// The first verified signature by the key.
    pub(super) fn verified(&self, key: &VerifierKey) -> Result<&NoteSignature, NoteError> {
        let mut found = None;
        for signature in &self.signatures {
            if signature.name == key.name && signature.id == key.id {
                key.check(&self.text, &signature.bytes)?;
                found = found.or(Some(signature));
            }
        }
        found.ok_or(NoteError::Unsigned)
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures
            .iter()
            .try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// The message that an Ed25519 cosignature signs, and its time: `time(8) ‖ signature(64)`.
fn cosigned(text: &str, time: u64) -> String {
    format!("cosignature/v1\ntime {time}\n{text}")
}

/// Splits a cosignature into its time in seconds since the epoch and its signature.
pub(super) fn cosignature(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (time, signature) = bytes.split_first_chunk()?;
    let time = u64::from_be_bytes(*time);
    let sane = time <= i64::MAX.unsigned_abs();
    sane.then_some((time, signature))
}

fn key_id(name: &str, kind: KeyKind, key: &[u8; 32]) -> [u8; 4] {
    let mut context = Context::new(&SHA256);
    context.update(name.as_bytes());
    context.update(&[b'\n', kind.byte()]);
    context.update(key);
    let digest = context.finish();
    digest.as_ref().first_chunk().copied().unwrap_or_default()
}

/// The public half of a key, under its name: what a verifier trusts.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub struct VerifierKey {
    name: String,
    id: [u8; 4],
    kind: KeyKind,
    key: [u8; 32],
}

impl VerifierKey {
    /// A key under a name; one that anybody can sign under is none.
    pub fn new(name: &str, kind: KeyKind, key: [u8; 32]) -> Result<Self, NoteError> {
        check_name(name)?;
        if is_small_order(&key) {
            return Err(NoteError::Key);
        }
        Ok(Self {
            id: key_id(name, kind, &key),
            name: name.to_owned(),
            kind,
            key,
        })
    }

    /// Its name: of a log, the origin of its checkpoints.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it signs.
    #[must_use]
    pub const fn kind(&self) -> KeyKind {
        self.kind
    }

    /// Whether both wrap the same key, whatever their names.
    #[must_use]
    pub fn same_key(&self, other: &Self) -> bool {
        self.key == other.key
    }

    /// Checks a signature's bytes over a text.
    fn check(&self, text: &str, bytes: &[u8]) -> Result<(), NoteError> {
        let verify = |message: &str, signature: &[u8]| {
            UnparsedPublicKey::new(&ED25519, &self.key)
                .verify(message.as_bytes(), signature)
                .map_err(|ring::error::Unspecified| NoteError::Signature)
        };
        match self.kind {
            KeyKind::Note => verify(text, bytes),
            KeyKind::Cosignature => {
                let (time, signature) = cosignature(bytes).ok_or(NoteError::Signature)?;
                verify(&cosigned(text, time), signature)
            }
        }
    }
}

impl fmt::Display for VerifierKey {
    /// `name+id+base64(kind ‖ key)`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blob = [&[self.kind.byte()][..], &self.key].concat();
        let id = HEXLOWER.encode(&self.id);
        write!(f, "{}+{id}+{}", self.name, BASE64.encode(&blob))
    }
}

impl FromStr for VerifierKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(blob)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::Key);
        };
        let blob = base64(blob).ok_or(NoteError::Key)?;
        let (kind, key) = blob.split_first().ok_or(NoteError::Key)?;
        let kind = match *kind {
            1 => KeyKind::Note,
            4 => KeyKind::Cosignature,
            _other => return Err(NoteError::Key),
        };
        let key: [u8; 32] = key.try_into().map_err(|_length| NoteError::Key)?;
        let parsed = Self::new(name, kind, key).map_err(|_name| NoteError::Key)?;
        if HEXLOWER.encode(&parsed.id) == id {
            Ok(parsed)
        } else {
            Err(NoteError::Key)
        }
    }
}

/// A signing key under its name. **Implements neither Debug, Display nor Clone.**
///
/// ```compile_fail
/// fn print(signer: &kluis::ledger::tlog::Signer) { println!("{signer:?}"); }
/// ```
pub struct Signer {
    pair: Ed25519KeyPair,
    public: VerifierKey,
}

impl Signer {
    /// The key pair of a seed (RFC 8032, section 5.1.5).
    pub fn new(name: &str, kind: KeyKind, seed: &Secret<32>) -> Result<Self, NoteError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.expose());
        let pair = pair.map_err(|_rejected| NoteError::Key)?;
        let key = pair.public_key().as_ref();
        let key: [u8; 32] = key.try_into().map_err(|_length| NoteError::Key)?;
        let public = VerifierKey::new(name, kind, key)?;
        Ok(Self { pair, public })
    }

    /// What verifies its signatures.
    #[must_use]
    pub const fn public(&self) -> &VerifierKey {
        &self.public
    }

    fn sign(&self, text: &str) -> NoteSignature {
        NoteSignature {
            name: self.public.name.clone(),
            id: self.public.id,
            bytes: self.pair.sign(text.as_bytes()).as_ref().to_vec(),
        }
    }

    /// A cosignature of a checkpoint's text at `time`, in seconds since the epoch.
    #[must_use]
    pub fn cosign(&self, text: &str, time: u64) -> NoteSignature {
        let mut bytes = time.to_be_bytes().to_vec();
        bytes.extend_from_slice(self.pair.sign(cosigned(text, time).as_bytes()).as_ref());
        NoteSignature {
            name: self.public.name.clone(),
            id: self.public.id,
            bytes,
        }
    }
}
