//! The verification: a log and a bundle of it against keys that the verifier had before. Nothing of
//! a row is shown before its segment's root has matched.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read};
use std::sync::Arc;

use super::rows::{Expired, Manifest, RowsError, RowsReader, read_sessions};
use super::walk::Walk;
use crate::ledger::tlog::{Checkpoint, Hash, Judged, Note, TrustPolicy, VerifierKey};
use crate::ledger::{Entry, Scope, Session, SessionHash, Tag, back};
use crate::types::Timestamp;
use crate::types::limits::FINDINGS_MAX;

/// Where the files of a log or a bundle are.
pub trait Source {
    /// A file of at most `limits::LOG_FILE_BYTES_MAX`, whole; `None` where there is none.
    fn read(&mut self, name: &str) -> io::Result<Option<Vec<u8>>>;
    /// A file of any length, to be read once; `None` where there is none.
    fn stream(&mut self, name: &str) -> io::Result<Option<Box<dyn Read>>>;
}

/// What kind of thing was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum FindingKind {
    /// The checkpoint is missing, not signed by a trusted log, or not cosigned by enough witnesses.
    Checkpoint,
    /// The log is shorter than it once was.
    RolledBack,
    /// The log is another one than it once was.
    Forked,
    /// Hashes that do not lead to the checkpoint.
    Tree,
    /// An entry that is not what its hash says, or is no segment.
    Entry,
    /// Records of a lane are left out or doubled between segments.
    Lane,
    /// Records that could not be read any more when the log was made.
    Lost,
    /// Rows that are not those that were logged: taken out, put in, changed, moved.
    Rows,
    /// A row that cannot be read, or does not belong where it stands.
    Record,
    /// Rows that were removed before their time was over.
    Early,
    /// The bundle's own files.
    Bundle,
}

impl FindingKind {
    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Checkpoint => "checkpoint",
            Self::RolledBack => "rolled-back",
            Self::Forked => "forked",
            Self::Tree => "tree",
            Self::Entry => "entry",
            Self::Lane => "lane",
            Self::Lost => "lost",
            Self::Rows => "rows",
            Self::Record => "record",
            Self::Early => "early",
            Self::Bundle => "bundle",
        }
    }
}

/// Something that does not hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// What kind.
    pub kind: FindingKind,
    /// What, in words.
    pub text: String,
}

/// What a verification came to. The evidence holds if there are no findings.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// What does not hold; at most `limits::FINDINGS_MAX`, the last of which then says so.
    pub findings: Vec<Finding>,
    /// The log's checkpoint.
    pub checkpoint: Option<Checkpoint>,
    /// The key that has signed it.
    pub log: Option<VerifierKey>,
    /// Which witnesses cosigned it, and when, in seconds since the epoch.
    pub cosigned: Vec<(String, u64)>,
    /// Kept checkpoints that are beginnings of it.
    pub kept: u64,
    /// The entries that were looked at: from this one up to, not including, that one.
    pub entries: (u64, u64),
    /// The scopes whose rows are here, whole.
    pub scopes: Vec<String>,
    /// Rows that hold.
    pub rows: u64,
    /// Rows that are not shown; that they belong where they stand holds.
    pub hidden: u64,
    /// Which rows are shown, in the maker's words, where it is not all.
    pub shown: Option<String>,
    /// Rows in these entries that are of other scopes, and are no part of the bundle.
    pub others: u64,
    /// Requests among them that began.
    pub requests: u64,
    /// Requests that had not ended.
    pub open: u64,
    /// Rows of these scopes that were removed when their time was over.
    pub expired: u64,
    /// Entries whose time is before that of the entry before: the clock was set back.
    pub clock_set_back: u64,
}

/// A row that holds.
pub struct Seen<'a> {
    /// Its lane.
    pub lane: &'a str,
    /// Its number there.
    pub seq: u64,
    /// Its session.
    pub session: Option<&'a Arc<Session>>,
    /// The record.
    pub entry: Entry,
}

pub(super) type Visit<'a> = &'a mut dyn FnMut(Seen<'_>);

/// What a verifier asks of a log that lets records go: when it is now, and for how many days the
/// records must have been kept at least.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Demand {
    /// The verifier's own time.
    pub now: Timestamp,
    /// At least so many days.
    pub days: u32,
}

/// Verifies what `source` holds. `kept` are older checkpoints that the verifier kept; `visit` is
/// called for each row that holds, in the log's order.
pub fn verify(
    source: &mut dyn Source,
    trust: &TrustPolicy,
    kept: &[Note],
    demand: Demand,
    visit: Visit<'_>,
) -> io::Result<Report> {
    let mut report = Report::default();
    let Some(judged) = checkpoint(source, trust, &mut report)? else {
        return Ok(report);
    };
    report.cosigned.clone_from(&judged.cosigned);
    report.checkpoint = Some(judged.checkpoint.clone());
    report.log = Some(judged.log.clone());
    let kept = older(kept, &judged, &mut report);
    let Some(claims) = Claims::read(source, &judged.checkpoint, &mut report)? else {
        return Ok(report);
    };
    report.entries = claims.range;
    report.scopes = claims
        .scopes
        .iter()
        .map(|(s, _)| s.name().to_owned())
        .collect();
    early(&claims, demand, &mut report);
    let mut walk = Walk::new(claims, report, visit);
    walk.next_group()?;
    walk.tree(source, &judged.checkpoint, kept)?;
    walk.finish()?;
    Ok(walk.report)
}

impl Report {
    pub(super) fn find(&mut self, kind: FindingKind, text: impl Into<String>) {
        if self.findings.len() < FINDINGS_MAX {
            let text = if self.findings.len().saturating_add(1) == FINDINGS_MAX {
                "there is more than is told".to_owned()
            } else {
                text.into()
            };
            self.findings.push(Finding { kind, text });
        }
    }
}

/// What was removed must have been due, by the verifier's own clock and demand.
fn early(claims: &Claims, demand: Demand, report: &mut Report) {
    for (scope, tag) in &claims.scopes {
        let Some(expired) = claims.expired.get(tag) else {
            continue;
        };
        let (name, days) = (scope.name(), expired.days);
        if days < demand.days {
            let least = demand.days;
            let text = format!("records of `{name}` were kept for {days} days, not for {least}");
            report.find(FindingKind::Early, text);
        }
        if Timestamp::from_millis(expired.before) > back(demand.now, days) {
            let text = format!("records of `{name}` are gone that are not {days} days old");
            report.find(FindingKind::Early, text);
        }
    }
}

fn checkpoint(
    source: &mut dyn Source,
    trust: &TrustPolicy,
    report: &mut Report,
) -> io::Result<Option<Judged>> {
    let Some(bytes) = source.read("checkpoint")? else {
        report.find(FindingKind::Checkpoint, "there is no checkpoint");
        return Ok(None);
    };
    let told = match Note::parse(&bytes) {
        Ok(note) => match trust.judge(&note) {
            Ok(judged) => return Ok(Some(judged)),
            Err(error) => error.to_string(),
        },
        Err(error) => error.to_string(),
    };
    report.find(FindingKind::Checkpoint, told);
    Ok(None)
}

/// The kept checkpoints by size. One that is larger than the log says at once that it was cut.
fn older(kept: &[Note], judged: &Judged, report: &mut Report) -> BTreeMap<u64, Hash> {
    let trust = TrustPolicy::log(judged.log.clone());
    let size = judged.checkpoint.size;
    let mut roots = BTreeMap::new();
    for note in kept {
        let Ok(Judged { checkpoint, .. }) = trust.judge(note) else {
            let text = "a kept checkpoint is not signed by this log";
            report.find(FindingKind::Checkpoint, text);
            continue;
        };
        if checkpoint.size > size {
            report.find(
                FindingKind::RolledBack,
                format!(
                    "the log had {} entries once, and has {size} now",
                    checkpoint.size
                ),
            );
        }
        let other = roots.insert(checkpoint.size, checkpoint.root);
        if other.is_some_and(|other| other != checkpoint.root) {
            report.find(
                FindingKind::Forked,
                format!("two kept checkpoints of {} entries differ", checkpoint.size),
            );
        }
    }
    roots
}

/// What a bundle claims; of a log without rows nothing but its entries.
pub(super) struct Claims {
    pub(super) range: (u64, u64),
    pub(super) scopes: Vec<(Scope, Tag)>,
    pub(super) rows: Option<RowsReader<io::BufReader<Box<dyn Read>>>>,
    pub(super) sessions: HashMap<SessionHash, Arc<Session>>,
    /// What of the scopes is there no more.
    pub(super) expired: BTreeMap<Tag, Expired>,
}

impl Claims {
    fn read(
        source: &mut dyn Source,
        checkpoint: &Checkpoint,
        report: &mut Report,
    ) -> io::Result<Option<Self>> {
        let Some(bytes) = source.read("bundle.json")? else {
            return Ok(Some(Self {
                range: (0, checkpoint.size),
                scopes: Vec::new(),
                rows: None,
                sessions: HashMap::new(),
                expired: BTreeMap::new(),
            }));
        };
        let fits = |(manifest, _): &(Manifest, _)| {
            manifest.origin == checkpoint.origin && manifest.end <= checkpoint.size
        };
        let Some((manifest, scopes)) = Manifest::parse(&bytes).ok().filter(fits) else {
            report.find(FindingKind::Bundle, "bundle.json is not of this log");
            return Ok(None);
        };
        let (rows, sessions) = (source.stream("rows")?, source.stream("sessions")?);
        let (Some(rows), Some(sessions)) = (rows, sessions) else {
            report.find(
                FindingKind::Bundle,
                "the files rows and sessions are missing",
            );
            return Ok(None);
        };
        let read = RowsReader::new(io::BufReader::new(rows)).and_then(|rows| {
            // Rows are hidden for a reason that the manifest gives, or not at all.
            if rows.is_part() != manifest.shown.is_some() {
                return Err(RowsError::Malformed);
            }
            let sessions = read_sessions(io::BufReader::new(sessions))?;
            Ok((rows, sessions))
        });
        report.shown.clone_from(&manifest.shown);
        match read {
            Ok((rows, sessions)) => Ok(Some(Self {
                range: (manifest.first, manifest.end),
                expired: manifest.expired(),
                scopes,
                rows: Some(rows),
                sessions,
            })),
            Err(RowsError::Io(error)) => Err(error),
            Err(RowsError::Malformed) => {
                report.find(
                    FindingKind::Bundle,
                    "rows or sessions are not of their form",
                );
                Ok(None)
            }
        }
    }
}
