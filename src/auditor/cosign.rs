//! `kluis-audit cosign`: shows the log's newest checkpoint to the witnesses of a policy and keeps
//! it with their cosignatures, beside the log, for bundles. It runs beside the gateway: no witness
//! can hold up a request, and a log whose witnesses are away goes on.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, header};

use super::args;
use super::source::DirSource;
use super::verify::trusted;
use crate::app::{Dial, FetchError, Place, post, write_file};
use crate::cli::open::Desk;
use crate::cli::output::{CliError, Exit, Output};
use crate::cli::serve::runtime;
use crate::cli::words::count;
use crate::ledger::evidence::Source as _;
use crate::ledger::tlog::{
    AddCheckpoint, Checkpoint, Note, NoteSignature, TrustPolicy, TrustedWitness, consistency_proof,
    read_cosignature,
};
use crate::notary::EntryError;
use crate::types::limits::NOTE_BYTES_MAX;

/// How long one witness may take for one answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often `--watch` shows a new checkpoint.
const LOOK: Duration = Duration::from_secs(5);

/// Runs it.
pub(super) fn run(
    ask: &args::Cosign,
    desk: Desk<'_>,
    output: &mut Output,
) -> Result<Exit, CliError> {
    let dir = desk.config()?.proof.dir;
    let policy = trusted(None, Some(&ask.trust))?;
    runtime()?.block_on(async {
        let mut asked = Asked {
            ways: ways(&policy, ask.ca.as_deref())?,
            sizes: vec![0; policy.witnesses().len()],
        };
        let mut last = None;
        loop {
            let done = round(&dir, &policy, &mut asked, &mut last, output).await;
            match done {
                Ok(exit) if !ask.watch => return Ok(exit),
                Err(error) if !ask.watch => return Err(error),
                Err(error) => output.error(&error),
                Ok(_) => {}
            }
            tokio::time::sleep(LOOK).await;
        }
    })
}

/// The way to a witness.
struct Way {
    place: Place,
    dial: Option<Dial>,
}

/// The ways to all witnesses of a policy, found before any of them is asked: over TLS, to whoever
/// shows a certificate that `ca` vouches for, or the system; in clear to this machine alone.
fn ways(policy: &TrustPolicy, ca: Option<&Path>) -> Result<Vec<Way>, CliError> {
    let way = |witness: &TrustedWitness| {
        let url = witness.url.as_deref().ok_or(FetchError::Url)?;
        let place = Place::of(&format!("{}/add-checkpoint", url.trim_end_matches('/')))?;
        let dial = place.dial(ca)?;
        Ok(Way { place, dial })
    };
    let ways = policy.witnesses().iter().map(|witness| {
        way(witness).map_err(|error: FetchError| {
            let told = CliError::of(Exit::Usage, &error);
            CliError::new(
                Exit::Usage,
                format!("witness {}: {}", witness.name, told.message()),
            )
        })
    });
    ways.collect()
}

/// What is known of the witnesses.
struct Asked {
    ways: Vec<Way>,
    /// The size that each has seen.
    sizes: Vec<u64>,
}

/// Why one witness did not cosign.
#[derive(Debug, thiserror::Error)]
enum Away {
    #[error("it did not answer in time")]
    Late,
    #[error("it cannot be reached")]
    Unreached(#[from] FetchError),
    #[error("its answer cannot be read")]
    Answer,
    #[error("it answered {0}: {1}")]
    Refused(u16, String),
    #[error("it has seen {0} entries, more than the log has: the log was rolled back")]
    Ahead(u64),
    #[error("its cosignature does not verify")]
    Signature,
    #[error("the log's tiles give no proof")]
    Proof(#[from] EntryError),
}

/// Shows the newest checkpoint around, once; keeps it if enough have cosigned.
async fn round(
    dir: &Path,
    policy: &TrustPolicy,
    asked: &mut Asked,
    last: &mut Option<Checkpoint>,
    output: &mut Output,
) -> Result<Exit, CliError> {
    let mut source = DirSource::new(dir);
    let unsigned = || CliError::new(Exit::No, "the vault has no checkpoint yet");
    let bytes = source.read("checkpoint")?.ok_or_else(unsigned)?;
    let mut note = Note::parse(&bytes).map_err(|error| CliError::of(Exit::No, &error))?;
    let checkpoint = policy
        .logs()
        .iter()
        .find_map(|log| Checkpoint::open(&note, log).ok());
    let foreign = || {
        CliError::new(
            Exit::No,
            "the checkpoint is of no log that the policy names",
        )
    };
    let checkpoint = checkpoint.ok_or_else(foreign)?;
    if last.as_ref() == Some(&checkpoint) {
        return Ok(Exit::Done);
    }
    for (at, witness) in policy.witnesses().iter().enumerate() {
        let (Some(size), Some(way)) = (asked.sizes.get(at).copied(), asked.ways.get(at)) else {
            continue;
        };
        let shown = show(&mut source, way, (witness, size), (&note, &checkpoint)).await;
        match shown {
            Ok(cosignature) => {
                let added = note.add(cosignature);
                added.map_err(|error| CliError::of(Exit::No, &error))?;
                if let Some(size) = asked.sizes.get_mut(at) {
                    *size = checkpoint.size;
                }
            }
            Err(error) => {
                let told = CliError::of(Exit::Unavailable, &error);
                output.note(&format!("witness {}: {}", witness.name, told.message()));
            }
        }
    }
    let judged = policy.judge(&note).map_err(|error| {
        CliError::of(Exit::Unavailable, &error)
            .hint("the log goes on; try again when they are back")
    })?;
    write_file(&dir.join("cosigned"), note.to_string().as_bytes(), 0o644)?;
    output.note(&format!(
        "size {} is cosigned by {}",
        checkpoint.size,
        count(judged.cosigned.len(), "witness", "witnesses")
    ));
    *last = Some(checkpoint);
    Ok(Exit::Done)
}

/// Shows a checkpoint to one witness; once more if it has seen another size.
async fn show(
    source: &mut DirSource,
    way: &Way,
    (witness, size): (&TrustedWitness, u64),
    (note, checkpoint): (&Note, &Checkpoint),
) -> Result<NoteSignature, Away> {
    let mut old = size;
    for again in [true, false] {
        let proof = if old == 0 || old == checkpoint.size {
            Vec::new()
        } else {
            let size = checkpoint.size;
            consistency_proof(old, size, |node| source.node(node, size))?
        };
        let asking = AddCheckpoint {
            old,
            proof,
            note: note.clone(),
        };
        let (status, body) = submit(way, asking.to_string()).await?;
        match status {
            200 => {
                let read = read_cosignature(&body, note, &witness.key);
                return read.map_err(|_not_its| Away::Signature);
            }
            409 if again => {
                let text = std::str::from_utf8(&body).ok();
                let seen = text.and_then(|text| text.trim_end().parse().ok());
                let seen: u64 = seen.ok_or(Away::Answer)?;
                if seen > checkpoint.size {
                    return Err(Away::Ahead(seen));
                }
                old = seen;
            }
            status => {
                let told = String::from_utf8_lossy(&body);
                let told = told.trim_end().chars().take(200).collect();
                return Err(Away::Refused(status, told));
            }
        }
    }
    Err(Away::Answer)
}

async fn submit(way: &Way, body: String) -> Result<(u16, Vec<u8>), Away> {
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    let headers = [(header::CONTENT_TYPE, text)];
    let request = (&headers[..], Bytes::from(body));
    let asking = post(&way.place, way.dial.as_ref(), request, NOTE_BYTES_MAX);
    let answer = tokio::time::timeout(PATIENCE, asking).await;
    Ok(answer.map_err(|_late| Away::Late)??)
}
