//! From a request to its records: intent before, completion after, refusals in one.

use std::sync::Arc;

use crate::journal::CompletionSlot;
use crate::ledger::{Completion, Intent, Nature, ObjectRef, Outcome};
use crate::types::{Action, BucketRef, Clock, EventId};
use crate::vault::access::proof::{Authorized, policy_ref};
use crate::vault::error::{ErrorKind, VaultError};
use crate::vault::log::share::Share;
use crate::vault::{Call, Turned, Vault};

/// A request whose intent is durable. **Only with one of these does anything leave the vault.**
/// Dropped without a word, it is recorded as aborted.
pub(in crate::vault) struct Recorded {
    slot: Option<Box<dyn CompletionSlot>>,
    _share: Option<Share>,
    event: EventId,
    clock: Arc<dyn Clock>,
    bytes: u64,
    object_bytes: Option<u64>,
}

impl Recorded {
    /// Counts bytes handed out or taken in.
    pub(in crate::vault) const fn count(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Says how long the object is.
    pub(in crate::vault) const fn object_bytes(&mut self, bytes: u64) {
        self.object_bytes = Some(bytes);
    }

    /// The request was served.
    pub(in crate::vault) fn succeed(mut self) {
        self.end(Outcome::Success, 200, String::new());
    }

    /// The request was not served, or not to its end.
    pub(in crate::vault) fn fail(mut self, error: &VaultError) {
        self.end(
            outcome_of(error.kind()),
            error.kind().status(),
            error.reason(),
        );
    }

    /// The stream was cut by the vault itself.
    pub(in crate::vault) fn cut(mut self, error: &VaultError) {
        self.end(Outcome::Aborted, error.kind().status(), error.reason());
    }

    /// Closes the record by how the rest of the request went.
    pub(in crate::vault) fn settle<T>(
        self,
        result: Result<T, VaultError>,
    ) -> Result<T, VaultError> {
        match &result {
            Ok(_) => self.succeed(),
            Err(error) => self.fail(error),
        }
        result
    }

    fn end(&mut self, outcome: Outcome, status: u16, reason: String) {
        if let Some(slot) = self.slot.take() {
            slot.complete(Completion {
                event: self.event,
                time: self.clock.now(),
                outcome,
                status,
                reason,
                bytes: self.bytes,
                object_bytes: self.object_bytes,
            });
        }
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        self.end(Outcome::Aborted, 0, String::from("cut before its end"));
    }
}

/// What break-glass allowed says so.
pub(in crate::vault) fn flagged(mut intent: Intent) -> Intent {
    let policy = intent.policy.as_ref();
    let flag = policy.and_then(|policy| nature_of(policy.purpose.as_deref()));
    intent.nature = flag.unwrap_or(intent.nature);
    intent
}

/// What a grant of this purpose makes of a record, if it is break-glass.
pub(in crate::vault) fn nature_of(purpose: Option<&str>) -> Option<Nature> {
    let glass =
        purpose.is_some_and(|purpose| purpose.starts_with(crate::vault::acts::emergency::PURPOSE));
    glass.then_some(Nature::Emergency)
}

const fn outcome_of(kind: ErrorKind) -> Outcome {
    if kind.status() >= 500 {
        Outcome::Failed
    } else {
        Outcome::Refused
    }
}

impl Vault {
    /// An intent as the call begins it.
    pub(in crate::vault) fn intent(
        call: &Call,
        action: Option<Action>,
        object: ObjectRef,
    ) -> Intent {
        Intent {
            event: call.event,
            time: call.time,
            action,
            operation: call.operation.to_owned(),
            nature: call.nature,
            object,
            source_object: None,
            range: None,
            query: None,
            policy: None,
        }
    }

    /// The intent of an allowed request.
    pub(in crate::vault) fn intent_of(call: &Call, proof: &Authorized) -> Intent {
        let object = ObjectRef {
            project: Some(proof.bucket().project.clone()),
            dataset: Some(proof.bucket().dataset.clone()),
            key: proof.key().ok().cloned(),
            version: None,
        };
        let mut intent = Self::intent(call, Some(proof.action()), object);
        intent.policy = Some(policy_ref(proof.decision()));
        intent.query = proof.number().map(|number| format!("version={number}"));
        intent
    }

    /// Queues the intent; durable when the future says so.
    pub(in crate::vault) fn begin<'a>(
        &self,
        call: &'a Call,
        intent: Intent,
    ) -> impl Future<Output = Result<Recorded, VaultError>> + use<'a> {
        let event = intent.event;
        self.guard.signed(&call.session, intent.time);
        let begun = self.shares.take(&call.session).map(|share| {
            let durable = self.journal.begin(&call.session, flagged(intent));
            (share, durable)
        });
        let clock = Arc::clone(&self.clock);
        async move {
            let (share, durable) = begun?;
            let slot = durable.await?;
            call.mark_recorded();
            Ok(Recorded {
                slot: Some(slot),
                _share: share,
                event,
                clock,
                bytes: 0,
                object_bytes: None,
            })
        }
    }

    /// Records a request that is over; durable when it returns.
    pub(in crate::vault) async fn note(
        &self,
        call: &Call,
        intent: Intent,
        result: Result<(), &VaultError>,
    ) -> Result<(), VaultError> {
        let (outcome, status, reason) = match result {
            Ok(()) => (Outcome::Success, 200, String::new()),
            Err(error) => (
                outcome_of(error.kind()),
                error.kind().status(),
                error.reason(),
            ),
        };
        let completion = Completion {
            event: intent.event,
            time: self.now(),
            outcome,
            status,
            reason,
            bytes: 0,
            object_bytes: None,
        };
        self.guard.signed(&call.session, intent.time);
        self.journal
            .note(&call.session, flagged(intent), completion)
            .await?;
        call.mark_recorded();
        Ok(())
    }

    /// Records a refusal and gives back what to answer: the refusal, or that it could not be
    /// recorded.
    pub(in crate::vault) async fn turn_away(
        &self,
        call: &Call,
        intent: Intent,
        error: VaultError,
    ) -> VaultError {
        match self.note(call, intent, Err(&error)).await {
            Ok(()) => error,
            Err(unrecorded) => unrecorded,
        }
    }

    /// Records a request that changes nothing, by what came of it: that it was let, or its refusal.
    pub(in crate::vault) async fn noted<T>(
        &self,
        call: &Call,
        intent: Intent,
        result: Result<T, VaultError>,
    ) -> Result<T, VaultError> {
        match result {
            Ok(found) => {
                self.note(call, intent, Ok(())).await?;
                Ok(found)
            }
            Err(error) => Err(self.turn_away(call, intent, error).await),
        }
    }

    /// Records a request that the edge refused before any use case saw it: a wrong signature, an
    /// unknown operation, XML that is none.
    pub async fn record_turned(&self, call: &Call, turned: Turned<'_>) -> Result<(), VaultError> {
        let bucket = turned.bucket.unwrap_or_default();
        let bucket = BucketRef::parse(bucket, &self.settings.default_project).ok();
        let bucket = bucket.map(|named| named.bucket);
        let object = ObjectRef {
            project: bucket.as_ref().map(|bucket| bucket.project.clone()),
            dataset: bucket.map(|bucket| bucket.dataset),
            key: turned.key.and_then(|key| key.parse().ok()),
            version: None,
        };
        let intent = Self::intent(call, None, object);
        let outcome = match turned.status {
            0..400 => Outcome::Success,
            400..500 => Outcome::Refused,
            500.. => Outcome::Failed,
        };
        let completion = Completion {
            event: call.event,
            time: self.now(),
            outcome,
            status: turned.status,
            reason: turned.reason.chars().take(256).collect(),
            bytes: 0,
            object_bytes: None,
        };
        self.guard.signed(&call.session, call.time);
        self.journal.note(&call.session, intent, completion).await?;
        call.mark_recorded();
        Ok(())
    }
}
