//! The files of a bundle: its manifest, the rows, the sessions and the policies.
//!
//! ```text
//! rows     = "KLUISRW1" group*       group = entry(8) tag(16) seed(32) count(4) row{count}
//!                                    row   = seq(8) len(4) record
//!          | "KLUISRW2" group*       group = entry(8) tag(16) count(4) row{count}         a part
//!                                    row   = len(4) seq(8) salt(16) record
//!                                          | ff ff ff ff leaf(32)
//! sessions = "KLUISSE1" { len(4) session }*
//! policies = "KLUISPO1" { version(32) len(4) text }*                              big-endian
//! ```
//!
//! Of a part each record that is shown comes with its own salt, so that nobody can try what the
//! leaves of the others are of.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read, Write};
use std::sync::Arc;

use data_encoding::HEXLOWER;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use crate::ledger::hash::array;
use crate::ledger::tlog::{Edge, Hash};
use crate::ledger::{Entry, Row, Salt, Scope, Session, SessionHash, Tag, decode, salted_leaf};
use crate::types::limits::{
    BUNDLE_SESSIONS_MAX, LOG_SEGMENT_BYTES_MAX, LOG_SEGMENT_RECORDS_MAX, POLICY_TEXT_BYTES_MAX,
};

const ROWS: &[u8; 8] = b"KLUISRW1";
const PART: &[u8; 8] = b"KLUISRW2";
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
    /// What of it is there no more, its time being over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expired: Option<Expired>,
}

/// Records that were removed when their time was over.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expired {
    /// For how many days they were kept.
    pub days: u32,
    /// They came into the log before this moment, in milliseconds since the epoch.
    pub before: u64,
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
            expired: None,
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

    /// Says that what came of this scope into the log before a moment is there no more.
    pub fn expire(&mut self, tag: &Tag, expired: Expired) {
        let tag = HEXLOWER.encode(tag);
        let scopes = self.scopes.iter_mut();
        for scope in scopes.filter(|scope| scope.tag == tag) {
            scope.expired = Some(expired);
        }
    }

    /// The scopes of which something is there no more.
    #[must_use]
    pub fn expired(&self) -> BTreeMap<Tag, Expired> {
        let scopes = self.scopes.iter().filter_map(|scope| {
            let tag = HEXLOWER.decode(scope.tag.as_bytes()).ok()?;
            Some((tag.try_into().ok()?, scope.expired?))
        });
        scopes.collect()
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
    /// All of them.
    pub rows: GroupRows,
}

/// Rows with their numbers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GroupRows {
    /// The seed of their salts, and the canonical bytes of each.
    Whole([u8; 32], Vec<(u64, Vec<u8>)>),
    /// What is told of each.
    Part(Vec<Told>),
}

/// What a bundle of a part tells of a record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Told {
    /// All: its number, salt and canonical bytes.
    Record(u64, Salt, Vec<u8>),
    /// Nothing but its leaf.
    Leaf(Hash),
}

impl Group {
    /// The leaf of each row, in the order in which they stand.
    pub(super) fn leaves(&self) -> Edge {
        let mut buffer = Vec::new();
        match &self.rows {
            GroupRows::Whole(seed, rows) => {
                let row = Row::new(seed);
                let leaf = |(seq, record): &(u64, Vec<u8>)| row.leaf(*seq, record, &mut buffer);
                rows.iter().map(leaf).collect()
            }
            GroupRows::Part(rows) => {
                let leaf = |told: &Told| match told {
                    Told::Record(seq, salt, record) => salted_leaf(*seq, salt, record, &mut buffer),
                    Told::Leaf(leaf) => *leaf,
                };
                rows.iter().map(leaf).collect()
            }
        }
    }

    /// The rows that are shown.
    pub(super) fn shown(self) -> Vec<(u64, Vec<u8>)> {
        match self.rows {
            GroupRows::Whole(_, rows) => rows,
            GroupRows::Part(rows) => {
                let shown = rows.into_iter().filter_map(|told| match told {
                    Told::Record(seq, _, record) => Some((seq, record)),
                    Told::Leaf(_) => None,
                });
                shown.collect()
            }
        }
    }
}

fn word(len: usize) -> [u8; 4] {
    u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes()
}

/// Writes rows, group by group.
pub struct RowsWriter<W> {
    out: W,
    part: bool,
}

impl<W: Write> RowsWriter<W> {
    /// Begins the file: of all rows, or of a part of them.
    pub fn new(mut out: W, part: bool) -> io::Result<Self> {
        out.write_all(if part { PART } else { ROWS })?;
        Ok(Self { out, part })
    }

    /// Writes a group, which has the form that was begun with.
    pub fn group(&mut self, group: &Group) -> io::Result<()> {
        let out = &mut self.out;
        out.write_all(&group.entry.to_be_bytes())?;
        out.write_all(&group.tag)?;
        match &group.rows {
            GroupRows::Whole(seed, rows) if !self.part => {
                out.write_all(seed)?;
                out.write_all(&word(rows.len()))?;
                for (seq, record) in rows {
                    out.write_all(&seq.to_be_bytes())?;
                    out.write_all(&word(record.len()))?;
                    out.write_all(record)?;
                }
            }
            GroupRows::Part(rows) if self.part => {
                out.write_all(&word(rows.len()))?;
                for told in rows {
                    match told {
                        Told::Record(seq, salt, record) => {
                            out.write_all(&word(record.len()))?;
                            out.write_all(&seq.to_be_bytes())?;
                            out.write_all(salt)?;
                            out.write_all(record)?;
                        }
                        Told::Leaf(leaf) => {
                            out.write_all(&HIDDEN.to_be_bytes())?;
                            out.write_all(leaf)?;
                        }
                    }
                }
            }
            GroupRows::Whole(..) | GroupRows::Part(_) => {
                return Err(io::Error::from(io::ErrorKind::InvalidInput));
            }
        }
        Ok(())
    }

    /// Ends the file.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }
}

/// Reads rows, group by group.
pub struct RowsReader<R> {
    from: R,
    part: bool,
}

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
        let part = match &array_of::<8>(&mut from)? {
            ROWS => false,
            PART => true,
            _ => return Err(RowsError::Malformed),
        };
        Ok(Self { from, part })
    }

    /// Whether it shows a part of the rows, and of the others their leaves.
    pub(super) const fn is_part(&self) -> bool {
        self.part
    }

    /// The next group; `None` at the end.
    pub fn group(&mut self) -> Result<Option<Group>, RowsError> {
        let Some(entry) = start(&mut self.from)? else {
            return Ok(None);
        };
        let tag = array_of(&mut self.from)?;
        let rows = if self.part {
            GroupRows::Part(self.told()?)
        } else {
            let seed = array_of(&mut self.from)?;
            GroupRows::Whole(seed, self.records()?)
        };
        Ok(Some(Group {
            entry: u64::from_be_bytes(entry),
            tag,
            rows,
        }))
    }

    fn records(&mut self) -> Result<Vec<(u64, Vec<u8>)>, RowsError> {
        let (mut rows, mut bytes) = (Vec::new(), 0);
        for _ in 0..count(&mut self.from, LOG_SEGMENT_RECORDS_MAX)? {
            let seq = u64::from_be_bytes(array_of(&mut self.from)?);
            let len = count(&mut self.from, RECORD_MAX)?;
            rows.push((seq, self.record(len, &mut bytes)?));
        }
        Ok(rows)
    }

    fn told(&mut self) -> Result<Vec<Told>, RowsError> {
        let (mut rows, mut bytes) = (Vec::new(), 0);
        for _ in 0..count(&mut self.from, LOG_SEGMENT_RECORDS_MAX)? {
            rows.push(match u32::from_be_bytes(array_of(&mut self.from)?) {
                HIDDEN => Told::Leaf(array_of(&mut self.from)?),
                len => {
                    let len = usize::try_from(len).unwrap_or(usize::MAX);
                    if len > RECORD_MAX {
                        return Err(RowsError::Malformed);
                    }
                    let seq = u64::from_be_bytes(array_of(&mut self.from)?);
                    let salt = array_of(&mut self.from)?;
                    Told::Record(seq, salt, self.record(len, &mut bytes)?)
                }
            });
        }
        Ok(rows)
    }

    /// One record; `bytes` counts those of its segment.
    fn record(&mut self, len: usize, bytes: &mut usize) -> Result<Vec<u8>, RowsError> {
        let mut record = vec![0; len];
        self.from.read_exact(&mut record).map_err(short)?;
        *bytes = bytes.saturating_add(len);
        if *bytes > LOG_SEGMENT_BYTES_MAX.saturating_add(RECORD_MAX) {
            return Err(RowsError::Malformed);
        }
        Ok(record)
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
/// says is for whoever knows what it means.
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
