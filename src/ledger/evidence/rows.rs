//! The files of a bundle: its manifest, the rows and the sessions.
//!
//! ```text
//! rows     = "KLUISRW1" group*       group = entry(8) tag(16) seed(32) count(4) row{count}
//!                                    row   = seq(8) len(4) record
//!                                          | seq(8) ff ff ff ff leaf(32)          not shown
//! policies = "KLUISPO1" { version(32) len(4) text }*
//! sessions = "KLUISSE1" { len(4) session }*                                       big-endian
//! ```

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::sync::Arc;

use data_encoding::HEXLOWER;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use crate::ledger::hash::array;
use crate::ledger::tlog::Hash;
use crate::ledger::{Entry, Scope, Session, SessionHash, Tag, decode};
use crate::types::limits::{
    BUNDLE_SESSIONS_MAX, LOG_SEGMENT_BYTES_MAX, LOG_SEGMENT_RECORDS_MAX, POLICY_TEXT_BYTES_MAX,
};

const ROWS: &[u8; 8] = b"KLUISRW1";
const SESSIONS: &[u8; 8] = b"KLUISSE1";
const POLICIES: &[u8; 8] = b"KLUISPO1";
/// Stands in the place of a record's length where only its leaf is told.
const HIDDEN: u32 = u32::MAX;
/// The schema of the manifest.
const SCHEMA: &str = "kluis.bundle/1";
/// The longest record: a policy's text and what surrounds it.
const RECORD_MAX: usize = POLICY_TEXT_BYTES_MAX + 64;

/// Why a file of a bundle is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RowsError {
    /// Not its form, or beyond a bound.
    #[error("the file has not the form of its kind")]
    Malformed,
    /// It cannot be read.
    #[error("the file cannot be read")]
    Io(#[from] io::Error),
}

/// A scope that a bundle claims to hold whole.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestScope {
    /// The project; empty for the vault's own records.
    pub project: String,
    /// Its tag, as 32 hex digits.
    pub tag: String,
}

/// What a bundle claims: every row of these scopes in these entries of the log.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// `kluis.bundle/1`.
    pub schema: String,
    /// The log.
    pub origin: String,
    /// The first entry.
    pub first: u64,
    /// The entry behind the last.
    pub end: u64,
    /// The scopes.
    pub scopes: Vec<ManifestScope>,
    /// Which of their records are shown, where it is not all: `dataset=ecg principal=j.devries`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown: Option<String>,
}

impl Manifest {
    /// What a bundle of these entries and scopes says.
    #[must_use]
    pub fn new(origin: &str, (first, end): (u64, u64), scopes: &[(Scope, Tag)]) -> Self {
        let scopes = scopes.iter().map(|(scope, tag)| ManifestScope {
            project: scope.name().to_owned(),
            tag: HEXLOWER.encode(tag),
        });
        Self {
            schema: SCHEMA.to_owned(),
            origin: origin.to_owned(),
            first,
            end,
            scopes: scopes.collect(),
            shown: None,
        }
    }

    /// Reads a manifest.
    pub fn parse(bytes: &[u8]) -> Result<(Self, Vec<(Scope, Tag)>), RowsError> {
        let read: Option<Self> = serde_json::from_slice(bytes).ok();
        let manifest = read.filter(|manifest| manifest.schema == SCHEMA);
        let manifest = manifest.ok_or(RowsError::Malformed)?;
        let scopes = manifest.scopes.iter().map(|scope| {
            let tag = HEXLOWER
                .decode(scope.tag.as_bytes())
                .ok()?
                .try_into()
                .ok()?;
            let scope = match scope.project.as_str() {
                "" => Scope::Vault,
                name => Scope::Project(name.parse().ok()?),
            };
            Some((scope, tag))
        });
        let mut scopes: Vec<(Scope, Tag)> =
            scopes.collect::<Option<_>>().ok_or(RowsError::Malformed)?;
        scopes.sort_unstable_by_key(|(_, tag)| *tag);
        let distinct = scopes.is_sorted_by(|(_, a), (_, b)| a < b);
        if manifest.first > manifest.end || !distinct {
            return Err(RowsError::Malformed);
        }
        Ok((manifest, scopes))
    }
}

/// The rows of one scope in one entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Group {
    /// The entry.
    pub entry: u64,
    /// The scope.
    pub tag: Tag,
    /// The seed of its salts.
    pub seed: [u8; 32],
    /// Number and canonical bytes of each record that is shown.
    pub rows: Vec<(u64, Vec<u8>)>,
    /// Number and leaf of each record that is not.
    pub hidden: Vec<(u64, Hash)>,
}

/// A row of a group.
pub(super) enum Shown<'a> {
    Record(&'a [u8]),
    Leaf(&'a Hash),
}

impl Group {
    /// All rows: those that are shown in their order, and between them by their numbers those that
    /// are not. Nothing is sorted: what is out of order stays so, and is found.
    pub(super) fn all(&self) -> Vec<(u64, Shown<'_>)> {
        let mut shown = self.rows.iter().peekable();
        let mut hidden = self.hidden.iter().peekable();
        let mut all = Vec::with_capacity(self.rows.len().saturating_add(self.hidden.len()));
        loop {
            let first = match (shown.peek(), hidden.peek()) {
                (Some((a, _)), Some((b, _))) => a <= b,
                (Some(_), None) => true,
                (None, _) => false,
            };
            if first {
                all.extend(
                    shown
                        .next()
                        .map(|(seq, record)| (*seq, Shown::Record(record))),
                );
            } else if let Some((seq, leaf)) = hidden.next() {
                all.push((*seq, Shown::Leaf(leaf)));
            } else {
                return all;
            }
        }
    }
}

fn word(len: usize) -> [u8; 4] {
    u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes()
}

/// Writes rows, group by group.
pub struct RowsWriter<W>(W);

impl<W: Write> RowsWriter<W> {
    /// Begins the file.
    pub fn new(mut out: W) -> io::Result<Self> {
        out.write_all(ROWS)?;
        Ok(Self(out))
    }

    /// Writes a group.
    pub fn group(&mut self, group: &Group) -> io::Result<()> {
        self.0.write_all(&group.entry.to_be_bytes())?;
        self.0.write_all(&group.tag)?;
        self.0.write_all(&group.seed)?;
        let all = group.all();
        self.0.write_all(&word(all.len()))?;
        for (seq, row) in all {
            self.0.write_all(&seq.to_be_bytes())?;
            match row {
                Shown::Record(record) => {
                    self.0.write_all(&word(record.len()))?;
                    self.0.write_all(record)?;
                }
                Shown::Leaf(leaf) => {
                    self.0.write_all(&HIDDEN.to_be_bytes())?;
                    self.0.write_all(leaf)?;
                }
            }
        }
        Ok(())
    }

    /// Ends the file.
    pub fn finish(mut self) -> io::Result<W> {
        self.0.flush()?;
        Ok(self.0)
    }
}

/// Reads rows, group by group.
pub struct RowsReader<R>(R);

fn array_of<const N: usize>(from: &mut impl Read) -> Result<[u8; N], RowsError> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes).map_err(short)?;
    Ok(bytes)
}

/// An end in the middle is the form's fault, not the disk's.
fn short(error: io::Error) -> RowsError {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        RowsError::Malformed
    } else {
        RowsError::Io(error)
    }
}

/// A count of at most `most`.
fn count(from: &mut impl Read, most: usize) -> Result<usize, RowsError> {
    let count = u32::from_be_bytes(array_of(from)?);
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    (count <= most).then_some(count).ok_or(RowsError::Malformed)
}

/// The first bytes of what follows, or `None` at the end.
fn start<const N: usize>(from: &mut impl Read) -> Result<Option<[u8; N]>, RowsError> {
    let mut bytes = [0; N];
    let mut have = 0;
    while have < N {
        let part = bytes.get_mut(have..).unwrap_or_default();
        match from.read(part) {
            Ok(0) if have == 0 => return Ok(None),
            Ok(0) => return Err(RowsError::Malformed),
            Ok(read) => have = have.saturating_add(read),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Some(bytes))
}

impl<R: Read> RowsReader<R> {
    /// Reads the beginning of the file.
    pub fn new(mut from: R) -> Result<Self, RowsError> {
        if array_of::<8>(&mut from)? != *ROWS {
            return Err(RowsError::Malformed);
        }
        Ok(Self(from))
    }

    /// The next group; `None` at the end.
    pub fn group(&mut self) -> Result<Option<Group>, RowsError> {
        let Some(entry) = start(&mut self.0)? else {
            return Ok(None);
        };
        let (tag, seed) = (array_of(&mut self.0)?, array_of(&mut self.0)?);
        let rows = count(&mut self.0, LOG_SEGMENT_RECORDS_MAX)?;
        let mut group = Group {
            entry: u64::from_be_bytes(entry),
            tag,
            seed,
            rows: Vec::new(),
            hidden: Vec::new(),
        };
        let mut bytes = 0_usize;
        for _ in 0..rows {
            let seq = u64::from_be_bytes(array_of(&mut self.0)?);
            let len = u32::from_be_bytes(array_of(&mut self.0)?);
            if len == HIDDEN {
                group.hidden.push((seq, array_of(&mut self.0)?));
                continue;
            }
            let len = usize::try_from(len).unwrap_or(usize::MAX);
            if len > RECORD_MAX {
                return Err(RowsError::Malformed);
            }
            let mut record = vec![0; len];
            self.0.read_exact(&mut record).map_err(short)?;
            bytes = bytes.saturating_add(record.len());
            if bytes > LOG_SEGMENT_BYTES_MAX.saturating_add(RECORD_MAX) {
                return Err(RowsError::Malformed);
            }
            group.rows.push((seq, record));
        }
        Ok(Some(group))
    }
}

/// Writes the texts that decisions rest on, each under its name.
pub fn write_policies<'a>(
    out: &mut impl Write,
    texts: impl IntoIterator<Item = ([u8; 32], &'a str)>,
) -> io::Result<()> {
    out.write_all(POLICIES)?;
    for (version, text) in texts {
        out.write_all(&version)?;
        out.write_all(&word(text.len()))?;
        out.write_all(text.as_bytes())?;
    }
    out.flush()
}

/// Hands each text that decisions rest on to `take`, with its name. Whether it is what its name
/// says is for who knows what it means.
pub fn read_policies(
    mut from: impl Read,
    mut take: impl FnMut([u8; 32], String),
) -> Result<(), RowsError> {
    if array_of::<8>(&mut from)? != *POLICIES {
        return Err(RowsError::Malformed);
    }
    while let Some(version) = start(&mut from)? {
        let mut text = vec![0; count(&mut from, POLICY_TEXT_BYTES_MAX)?];
        from.read_exact(&mut text).map_err(short)?;
        let text = String::from_utf8(text).map_err(|_bytes| RowsError::Malformed)?;
        take(version, text);
    }
    Ok(())
}

/// Begins the file of sessions.
pub fn write_sessions_head(out: &mut impl Write) -> io::Result<()> {
    out.write_all(SESSIONS)
}

/// Writes one session's canonical bytes.
pub fn write_session(out: &mut impl Write, session: &[u8]) -> io::Result<()> {
    out.write_all(&word(session.len()))?;
    out.write_all(session)
}

/// Reads all sessions, by their hash: what a record refers to is what hashes to it.
pub fn read_sessions(mut from: impl Read) -> Result<HashMap<SessionHash, Arc<Session>>, RowsError> {
    if array_of::<8>(&mut from)? != *SESSIONS {
        return Err(RowsError::Malformed);
    }
    let mut sessions = HashMap::new();
    while let Some(len) = start(&mut from)? {
        let len = usize::try_from(u32::from_be_bytes(len)).unwrap_or(usize::MAX);
        if len > RECORD_MAX || sessions.len() >= BUNDLE_SESSIONS_MAX {
            return Err(RowsError::Malformed);
        }
        let mut bytes = vec![0; len];
        from.read_exact(&mut bytes).map_err(short)?;
        let Ok(Entry::Session(session)) = decode(&bytes) else {
            return Err(RowsError::Malformed);
        };
        sessions.insert(array(&digest(&SHA256, &bytes)), Arc::new(session));
    }
    Ok(sessions)
}
