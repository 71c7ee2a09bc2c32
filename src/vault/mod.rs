//! Use cases: decide, record, do, record. Written once; every edge calls these and no other way
//! leads to an object.

mod access;
mod acts;
mod admin;
mod ask;
mod datasets;
mod drill;
mod error;
mod grants;
mod jobs;
mod keywork;
mod lifecycle;
mod log;
mod notices;
mod objects;
mod people;
mod recover;
mod scim;
mod snapshot;
mod sweep;
mod versions;

#[cfg(test)]
mod tests;

use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use bytes::Bytes;
use futures_util::Stream;

pub use access::barrier::LabelRules;
pub use acts::{ActDraft, Approved, Done};
pub use admin::NewCredential;
pub use ask::{
    AtEnd, BodyChecks, BodyError, Call, CompletedPart, Completing, CopySource, Deleted, Doomed,
    Holding, Input, InputBody, KeyWish, NewObject, Place, ReadAsk, ReadConditions, Reading,
    Removed, Replaced, Seen, Span, TagMatch, Tags, Turned, Wishes, WriteConditions,
};
pub use datasets::cards::{CardChange, Described};
pub use datasets::cors::CorsAsk;
pub use drill::Drilled;
pub use error::{ErrorKind, VaultError};
pub use grants::{GrantDraft, GrantUse, NOBODY_SPEAKS, ReviewTimes};
pub use jobs::{Job, JobAsk, NodeDraft};
pub use keywork::{Noticed, Unopened, erasure_words};
pub use lifecycle::{Expires, Lifecycled};
pub use log::names::LogAsk;
pub use log::proofs::ProofAsk;
pub use log::records::{RecordAsk, RecordPage};
pub use log::terms::LogTermsChange;
pub use notices::{EndingsSeen, NoticePage};
pub use people::assurance::Assured;
pub use people::members::{Member, Members};
pub use recover::{Fork, Recovered, Unknown};
pub use versions::part::PartOpening;
pub use versions::publish::Published;

pub use crate::journal::Filter as RecordFilter;
pub use notices::webhooks::{Push, SECRET_PREFIX, Trying, Webhook};
pub use people::session::{Assumed, Bounds, JobBounds, Rests, Word};
pub use people::sign_in::AssumeAsk;
pub use people::visas::{VisaTerms, VisaWord};
pub use scim::{Adoption, Found, Listed, NewSource, ScimAsk, ScimRefusal, SourceDraft, Teller};
pub use snapshot::{Adopted, Back, Body, ChainFault, Snapshot};
pub use sweep::{GRACE_MS_MIN, SweepAsk, Swept};
pub use versions::keys::{Release, Released};
pub use versions::release::{Opening, Run};
pub use versions::straight::{Presigned, StraightAsk};
pub use versions::told::ReadReport;

use crate::catalog::{Mutation, SharedCatalog};
use crate::journal::SharedJournal;
use crate::keyring::KeyRing;
use crate::notary::Prover;
use crate::policy::{Policy, SubjectPolicy};
use crate::store::SharedStore;
use crate::token::{Issuer, VisaIssuer};
use crate::types::{
    Clock, Entropy, EventId, PrincipalId, ProjectName, SecretText, Timestamp, limits,
};

/// An object's plaintext, in order; each piece has authenticated. An error cuts the stream.
pub type PlainBody = Pin<Box<dyn Stream<Item = Result<Bytes, VaultError>> + Send + Sync>>;

const NOBODY: VaultError = VaultError::new(ErrorKind::AccessDenied, "nobody was recognised");

/// A text as the log keeps it: at most 512 characters.
fn cut(text: &str) -> String {
    text.chars().take(512).collect()
}

/// A text of an act as the log keeps it: as much of it as a record holds.
fn kept(text: &str) -> String {
    crate::ledger::clip(text, limits::RECORD_TEXT_BYTES_MAX).to_owned()
}

/// A question about the log as the log keeps it: whole, or it is not answered (AU-16).
fn whole(question: &str) -> Result<(), VaultError> {
    if question.len() <= limits::RECORD_TEXT_BYTES_MAX {
        return Ok(());
    }
    Err(VaultError::new(
        ErrorKind::InvalidArgument,
        "the question is longer than a record of it holds, 2,048 bytes: ask in fewer words",
    ))
}

/// What was asked beyond names, as the log keeps it: of which published version, and of keys that
/// begin so.
fn asked(version: Option<u32>, prefix: Option<&str>) -> Option<String> {
    match (version, prefix) {
        (Some(number), Some(prefix)) => Some(cut(&format!("version={number} prefix={prefix}"))),
        (Some(number), None) => Some(format!("version={number}")),
        (None, prefix) => prefix.map(cut),
    }
}

/// Who a credential belongs to, and the secret that proves it.
pub struct Identity {
    /// Whose it is.
    pub principal: PrincipalId,
    /// The person a workload acts for.
    pub responsible: Option<PrincipalId>,
    /// The credential's secret half.
    pub secret: SecretText,
    /// What it is bound to; `None` for a lasting credential that carries all its owner's rights.
    pub bounds: Option<Arc<Bounds>>,
}

/// What a vault stands on.
pub struct Parts {
    /// Where sealed blobs live.
    pub store: SharedStore,
    /// The vault's database.
    pub catalog: SharedCatalog,
    /// The durable log.
    pub journal: SharedJournal,
    /// The keys.
    pub keyring: Arc<KeyRing>,
    /// The policy in force at the start.
    pub policy: Arc<Policy>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
}

/// What can be set.
pub struct Settings {
    /// The project of a bucket whose name has no `--`.
    pub default_project: ProjectName,
    /// Whether a write is acknowledged only when a snapshot in the store holds it.
    pub snapshot_wait: bool,
    /// Whether somebody writes snapshots, in this process or in the gateway that is running: then
    /// no key is destroyed before they hold what replaces it.
    pub snapshots_kept: bool,
    /// Whether commands on the host may act with an owner's right, in the name that they give.
    pub host_approves: bool,
    /// When grants lapse that no review confirms.
    pub review: ReviewTimes,
    /// The labels of data.
    pub labels: LabelRules,
    /// The log's name, under which certificates are signed.
    pub log_origin: String,
    /// Projects whose nodes may read sealed bytes from the store itself.
    pub straight: Vec<ProjectName>,
    /// How long a job's session is good for, in milliseconds; never longer than
    /// [`limits::JOB_SESSION_MS`].
    pub job_session_ms: u64,
    /// Attempts to be somebody that may fail from one peer at once; 0 for no bound.
    pub attempts: u32,
    /// Blobs that a listing of the whole store keeps at most.
    pub listed_max: u32,
    /// A day of a lifecycle's rule, in milliseconds: [`limits::DAY_MS`] but in tests.
    pub day_ms: u64,
}

/// The vault.
pub struct Vault {
    store: SharedStore,
    catalog: SharedCatalog,
    journal: SharedJournal,
    keyring: Arc<KeyRing>,
    guard: Arc<access::guard::Guard>,
    in_flight: Arc<sweep::InFlight>,
    issuers: ArcSwap<Vec<Issuer>>,
    visa_issuers: ArcSwap<Vec<VisaIssuer>>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    settings: Settings,
    snapshots: snapshot::Progress,
    indexes: versions::release::Indexes,
    made: versions::part::Parts,
    records: OnceLock<log::records::Records>,
    prover: OnceLock<Arc<Prover>>,
    attempts: people::attempts::Attempts,
    shares: Arc<log::share::Shares>,
    /// What packs hold that nobody has taken.
    packed: Arc<versions::room::Room>,
    /// What the part tables of running reads and releases hold.
    tables: Arc<objects::tables::Tables>,
    /// How much of part tables callers copy, in KiB.
    copiers: people::pace::Pace<PrincipalId>,
    /// What is being published.
    publishing: versions::turns::Turns,
    /// How often organisations ask.
    tellers: people::pace::Pace<String>,
    /// How often somebody asks for acts, in seconds.
    askers: people::pace::Pace<PrincipalId>,
    /// One change of an organisation's people, or of a group's, after the other.
    scim_turn: tokio::sync::Mutex<()>,
}

impl Vault {
    /// Builds a vault of its parts.
    #[must_use]
    pub fn new(parts: Parts, settings: Settings) -> Self {
        let guard = access::guard::Guard::new(&parts, settings.labels.clone());
        Self {
            store: parts.store,
            catalog: parts.catalog,
            journal: parts.journal,
            keyring: parts.keyring,
            guard: Arc::new(guard),
            in_flight: Arc::default(),
            issuers: ArcSwap::default(),
            visa_issuers: ArcSwap::default(),
            clock: parts.clock,
            entropy: parts.entropy,
            attempts: people::attempts::Attempts::new(settings.attempts),
            shares: log::share::Shares::new(limits::JOURNAL_OPEN_SHARE),
            packed: versions::room::Room::new(limits::PACKS_HELD_BYTES_MAX),
            tables: objects::tables::Tables::new(limits::TABLES_HELD_BYTES_MAX),
            settings,
            snapshots: snapshot::Progress::default(),
            indexes: versions::release::Indexes::default(),
            made: versions::part::Parts::default(),
            records: OnceLock::new(),
            prover: OnceLock::new(),
            copiers: people::pace::Pace::new(
                limits::COPIED_TABLES_KIB_MAX,
                limits::COPIED_TABLES_KIB_PER_SECOND,
                limits::COPIERS_MAX,
            ),
            publishing: versions::turns::Turns::default(),
            tellers: people::pace::Pace::new(
                limits::SCIM_BURST,
                limits::SCIM_PER_SECOND,
                limits::SCIM_SOURCES_MAX,
            ),
            askers: acts::pace(),
            scim_turn: tokio::sync::Mutex::default(),
        }
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Now, for what cannot be undone: [`Clock::settled`].
    #[must_use]
    pub fn settled_now(&self) -> Timestamp {
        self.clock.settled()
    }

    /// A name for a request that begins now.
    pub fn new_event(&self) -> Result<EventId, VaultError> {
        Ok(EventId::v7(self.now(), self.entropy.as_ref())?)
    }

    /// The project of a bucket whose name says none.
    #[must_use]
    pub const fn default_project(&self) -> &ProjectName {
        &self.settings.default_project
    }

    /// The catalog, for commands that list what is there.
    #[must_use]
    pub const fn catalog(&self) -> &SharedCatalog {
        &self.catalog
    }

    /// The policy in force.
    #[must_use]
    pub fn policy(&self) -> Arc<Policy> {
        self.guard.policy()
    }

    /// Puts another policy in force, at once and whole. Its text is in the log before any
    /// decision rests on it.
    pub async fn replace_policy(&self, policy: Arc<Policy>) -> Result<(), VaultError> {
        self.journal.policy(policy.hash(), policy.text()).await?;
        self.guard.replace_policy(policy);
        Ok(())
    }

    /// What is decided for one principal in one project, for `policy explain`.
    pub async fn subject(
        &self,
        project: &ProjectName,
        principal: &PrincipalId,
    ) -> Result<Arc<SubjectPolicy>, VaultError> {
        self.guard.subject(project, principal).await
    }

    async fn commit(&self, mutations: Vec<Mutation>) -> Result<(), VaultError> {
        self.catalog.commit(mutations).await?;
        // From here the write stands, whatever the waiting says.
        if self.settings.snapshot_wait {
            self.wait_for_snapshot().await?;
        }
        Ok(())
    }
}
