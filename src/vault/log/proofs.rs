//! The proof of one record, for whoever may read it: that it is in the log, checked by anybody with
//! the log's key alone. It names people, so who sees pseudonyms (AU-15) gets none. Each look stands
//! in the log before it is answered (AU-16).

use std::sync::Arc;

use crate::journal::{Filter, Request};
use crate::ledger::{Nature, ObjectRef};
use crate::notary::{ProveAsk, ProveError, Prover};
use crate::types::{Action, DatasetName, EventId, ProjectName, Timestamp};
use crate::vault::error::{ErrorKind, VaultError};
use crate::vault::log::names::NAMES;
use crate::vault::log::records::Look;
use crate::vault::{Call, Vault};

/// How far an event's own time and its record's are believed to lie apart.
const APART_MS: u64 = 60_000;
/// Pages that are looked through for a record.
const PAGES_MAX: usize = 10;

/// Which record.
pub struct ProofAsk {
    /// Whose log.
    pub project: ProjectName,
    /// The dataset, for whoever may read its records alone.
    pub dataset: Option<DatasetName>,
    /// The request.
    pub event: EventId,
    /// The record of its end, not that of its begin.
    pub end: bool,
}

impl Vault {
    /// Says where records are proved.
    pub fn show_proofs(&self, prover: Prover) {
        // Once; what is set again stays as it was.
        drop(self.prover.set(Arc::new(prover)));
    }

    /// The proof that a record of a request is in the log (c2sp.org/tlog-proof).
    pub async fn prove_record(&self, call: &Call, ask: ProofAsk) -> Result<String, VaultError> {
        let mut intent = Self::intent(call, Some(Action::LogRead), ObjectRef::default());
        intent.object.project = Some(ask.project.clone());
        intent.object.dataset.clone_from(&ask.dataset);
        intent.nature = Nature::Log;
        let end = if ask.end { " end" } else { "" };
        intent.query = Some(format!("prove event={}{end}", ask.event));
        let place = (&ask.project, ask.dataset.as_ref());
        let look = match self.may_look(call, place, &mut intent).await {
            Ok(look) => look,
            Err(error) => return Err(self.turn_away(call, intent, error).await),
        };
        if look.hidden.is_some() {
            return Err(self.turn_away(call, intent, NAMES).await);
        }
        let recorded = self.begin(call, intent).await?;
        let proof = self.proof_of(look, ask).await;
        recorded.settle(proof)
    }

    async fn proof_of(&self, look: Look, ask: ProofAsk) -> Result<String, VaultError> {
        const NOWHERE: VaultError =
            VaultError::new(ErrorKind::Unavailable, "this process proves no records");
        const ABSENT: VaultError =
            VaultError::new(ErrorKind::NoSuchObject, "no such record in the journal");
        let prover = Arc::clone(self.prover.get().ok_or(NOWHERE)?);
        let (pages, permit) = self.reader()?;
        let read = tokio::task::spawn_blocking(move || {
            let _held = permit;
            let about = begun(ask.event).millis();
            let filter = Filter {
                project: Some(ask.project.clone()),
                dataset: ask.dataset,
                event: Some(ask.event),
                of_dataset: !look.auditor,
                without: look.without,
                since: Some(Timestamp::from_millis(about.saturating_sub(APART_MS))),
                until: Some(Timestamp::from_millis(about.saturating_add(APART_MS))),
                ..Filter::default()
            };
            let mut from = None;
            let mut found: Option<Request> = None;
            for _ in 0..PAGES_MAX {
                let page = pages.page(&filter, from.as_ref(), 1)?;
                found = page.requests.into_iter().next();
                from = page.next;
                if found.is_some() || from.is_none() {
                    break;
                }
            }
            let found = found.ok_or(ABSENT)?;
            let ask = ProveAsk {
                project: ask.project,
                lane: found.lane.to_string(),
                seq: found.seq,
                event: ask.event,
                begun: found.intent.time,
                end: ask.end,
            };
            prover.prove(&ask).map_err(unproved)
        });
        let died = |error| VaultError::caused(ErrorKind::Internal, "a reader died", error);
        read.await.map_err(died)?
    }
}

/// When a request began: its id (UUID version 7) says so.
fn begun(event: EventId) -> Timestamp {
    let ms = u128::from_be_bytes(*event.as_bytes()) >> 80;
    Timestamp::from_millis(u64::try_from(ms).unwrap_or(0))
}

fn unproved(error: ProveError) -> VaultError {
    let (kind, why) = match &error {
        ProveError::NotYet => (
            ErrorKind::Unavailable,
            "the record is under no checkpoint yet",
        ),
        ProveError::Gone => (
            ErrorKind::NoSuchObject,
            "the journal does not hold what the proof takes any more",
        ),
        ProveError::Differs | ProveError::Note(_) | ProveError::Checkpoint(_) => (
            ErrorKind::Integrity,
            "what is kept is not what the log says",
        ),
        ProveError::Log(_) | ProveError::Io(_) | ProveError::Journal(_) => {
            (ErrorKind::Unavailable, "the log cannot be read")
        }
    };
    VaultError::caused(kind, why, error)
}
