//! `kluis-audit prove` and `verify-record`.

use super::archive::LogKeys;
use super::args_of_proof::{ProveCommand, ProveEvent, VerifyRecord};
use super::bundle::records;
use super::entries::{broken, each, signed};
use super::look::{newest, print};
use super::records::{Held, Records};
use super::source::DirSource;
use super::verify::{text, trusted};
use crate::cli::open::{Desk, call};
use crate::cli::output::{CliError, Exit, Output};
use crate::cli::words::count;
use crate::ledger::evidence::RecordProof;
use crate::ledger::tlog::{
    AddCheckpoint, LogProof, Note, VerifierKey, consistency_proof, inclusion_proof,
};
use crate::ledger::{Entry, Scope, ScopeKey, Segment, View, Word as _};
use crate::notary::EntryError;
use crate::types::limits::{LOG_FILE_BYTES_MAX, NOTE_BYTES_MAX};
use crate::types::{EventId, Timestamp};

/// How far a lane's clock may have gone back between a request and its entry.
const BACK_MS: u64 = 60 * 60 * 1000;

fn unproved(error: &EntryError) -> CliError {
    let exit = match error {
        EntryError::Io(_) => Exit::Unavailable,
        EntryError::Tile(_) | EntryError::Entry { .. } | EntryError::Range(_) => Exit::No,
    };
    CliError::of(exit, error)
}

/// Prints a proof.
pub(super) fn run(
    command: &ProveCommand,
    desk: Desk<'_>,
    output: &mut Output,
) -> Result<Exit, CliError> {
    match command {
        ProveCommand::Event(ask) => event(ask, desk, output),
        ProveCommand::Inclusion { dir, entry } => {
            let (mut source, note, checkpoint) = newest(dir)?;
            proof(&mut source, (*entry, checkpoint.size, note), None, output)
        }
        ProveCommand::Consistency { dir, from } => {
            let (mut source, note, checkpoint) = newest(dir)?;
            let size = checkpoint.size;
            let proof = consistency_proof(*from, size, |node| source.node(node, size));
            let proof = AddCheckpoint {
                old: *from,
                proof: proof.map_err(|error| unproved(&error))?,
                note,
            };
            print(&proof.to_string(), output)
        }
    }
}

/// Prints the proof that an entry is in the log.
fn proof(
    source: &mut DirSource,
    (index, size, note): (u64, u64, Note),
    extra: Option<Vec<u8>>,
    output: &mut Output,
) -> Result<Exit, CliError> {
    let proof = inclusion_proof(index, size, |node| source.node(node, size));
    let proof = LogProof {
        extra,
        index,
        proof: proof.map_err(|error| unproved(&error))?,
        note,
    };
    print(&proof.to_string(), output)
}

/// When a request began, in milliseconds: its id (UUID version 7) begins so.
fn begun_ms(event: EventId) -> u64 {
    u64::try_from(u128::from_be_bytes(*event.as_bytes()) >> 80).unwrap_or(0)
}

/// Whether a record is the one that is asked for.
fn is_asked(ask: &ProveEvent, entry: &Entry) -> bool {
    let end = matches!(entry, Entry::Completion(_));
    let whole = matches!(entry, Entry::Whole { .. });
    entry.event() == Some(ask.event) && (end == ask.end || whole)
}

/// Prints the proof of a request's record.
fn event(ask: &ProveEvent, desk: Desk<'_>, output: &mut Output) -> Result<Exit, CliError> {
    let config = desk.config()?;
    let question = format!("prove {}event={}", ask.whose.words(), ask.event);
    let (keys, volumes) = desk.act(output, async |opened| {
        let call = call(opened, "audit prove")?;
        super::admit(opened, &call, &ask.whose, (&question, true)).await?;
        Ok((
            LogKeys::of(&config, opened).await?,
            LogKeys::of(&config, opened).await?,
        ))
    })?;
    let public: VerifierKey = keys
        .notary
        .public(&keys.origin)
        .map_err(|error| CliError::of(Exit::Usage, &error))?;
    let mut log = DirSource::new(&config.proof.dir);
    let (note, checkpoint) = signed(&mut log, "checkpoint", &public)?;
    let size = checkpoint.size;
    let mut search = Search {
        ask,
        records: records(desk, &config, volumes)?,
        key: keys.notary.scope_key(),
        found: None,
    };
    // The journal is read from its beginning: a completion belongs where its intent does.
    each(&mut log, (0, size), |index, segment| {
        search.look(index, &segment)
    })?;
    let absent = || {
        CliError::new(
            Exit::No,
            "no such record is under a checkpoint yet, or to be seen",
        )
    };
    let (index, extra) = search.found.ok_or_else(absent)?;
    proof(&mut log, (index, size, note), Some(extra), output)
}

/// Looks for a record.
struct Search<'a> {
    ask: &'a ProveEvent,
    records: Records,
    key: ScopeKey,
    /// The entry, and the proof.
    found: Option<(u64, Vec<u8>)>,
}

impl Search<'_> {
    fn look(&mut self, index: u64, segment: &Segment) -> Result<(), CliError> {
        if self.found.is_some() {
            return Ok(());
        }
        // A volume from before the request cannot hold it.
        let begun = Timestamp::from_millis(begun_ms(self.ask.event).saturating_sub(BACK_MS));
        let part = self.records.of(segment, segment.time >= begun)?;
        let held = part
            .records
            .iter()
            .find(|held| is_asked(self.ask, &held.entry));
        let Some(held) = held else {
            return Ok(());
        };
        let scope = match &self.ask.whose.project {
            Some(project) => Some(Scope::Project(project.clone())),
            None => held.scopes.first().cloned(),
        };
        let Some(scope) = scope.filter(|scope| held.scopes.contains(scope)) else {
            return Ok(());
        };
        let of_scope = |held: &&Held| held.scopes.contains(&scope);
        let rows = part.records.iter().filter(of_scope);
        let rows: Vec<(u64, &[u8])> = rows.map(|held| (held.seq, held.bytes.as_slice())).collect();
        let session = held.session.as_ref().map(|(_, session)| session.as_ref());
        let place = (segment, &self.key.tag(&scope));
        let proof = RecordProof::of(&self.key, place, &rows, held.seq, session);
        let wrong = || broken(&format!("what is kept is not what entry {index} says"));
        self.found = Some((index, proof.ok_or_else(wrong)?.encode()));
        Ok(())
    }
}

/// Checks the proof of a record, and prints the record.
pub(super) fn verify(ask: &VerifyRecord, output: &mut Output) -> Result<Exit, CliError> {
    let trust = trusted(ask.log.as_deref(), ask.trust.as_deref())?;
    let file = text(&ask.file, LOG_FILE_BYTES_MAX.saturating_add(NOTE_BYTES_MAX))?;
    let proven = RecordProof::verify(file.as_bytes(), &trust);
    let proven = proven.map_err(|error| CliError::of(Exit::No, &error))?;
    let lane = &proven.segment.lane;
    match View::of(lane, proven.seq, proven.session.as_deref(), &proven.entry) {
        Some(view) => output.value(&view.json())?,
        None => {
            if let Entry::Completion(end) = &proven.entry {
                output.value(&serde_json::json!({
                    "event_id": end.event.to_string(),
                    "lane": lane,
                    "seq": proven.seq,
                    "phase": "complete",
                    "time_end": end.time.to_string(),
                    "outcome": end.outcome.word(),
                    "code": end.status,
                    "bytes_sent": end.bytes,
                }))?;
            }
        }
    }
    output.note(&format!(
        "the record is in entry {} of {} of log {}, cosigned by {}",
        proven.index,
        proven.judged.checkpoint.size,
        proven.judged.checkpoint.origin,
        count(proven.judged.cosigned.len(), "witness", "witnesses")
    ));
    Ok(Exit::Done)
}
