//! A vault in memory, its people, and short ways to ask it things.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};

use crate::catalog::{CardDefaults, ListEntry, ListQuery, MemoryCatalog, SharedCatalog};
use crate::journal::{MemoryJournal, SharedJournal};
use crate::keyring::KeyRing;
use crate::ledger::{AuthMethod, Completion, Entry, Nature, Session};
use crate::policy::{Grant, GrantEffect, Policy, Terms};
use crate::store::fault::FaultStore;
use crate::store::memory::MemoryStore;
use crate::store::{BlobStore as _, SharedStore};
use crate::types::{
    BlobId, BucketName, Clock, Entropy, EntropyError, GrantId, KeyScope, Timestamp,
};
use crate::vault::{
    BodyChecks, Call, CardChange, ErrorKind, Input, LabelRules, NewObject, Parts, Place, ReadAsk,
    ReviewTimes, Settings, Span, Vault, VaultError,
};

/// When each test begins: 2027-01-15.
const START: u64 = 1_800_000_000_000;
pub(in crate::vault) const BUCKET: &str = "icu--ecg";

/// For ever, and for all that its owner may: a credential's terms.
pub(in crate::vault) fn unbound() -> (Option<Timestamp>, KeyScope) {
    (None, KeyScope::default())
}

/// A clock that a test sets.
pub(in crate::vault) struct TestClock(pub(in crate::vault) AtomicU64);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// `SplitMix64` (Steele, Lea, Flood 2014): the same bytes each time.
pub(in crate::vault) struct TestEntropy(pub(in crate::vault) AtomicU64);

impl Entropy for TestEntropy {
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyError> {
        for chunk in out.chunks_mut(8) {
            let state = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::SeqCst);
            let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

/// A vault and what it stands on.
pub(in crate::vault) struct World {
    pub(in crate::vault) vault: Arc<Vault>,
    pub(in crate::vault) catalog: SharedCatalog,
    pub(in crate::vault) journal: Arc<MemoryJournal>,
    pub(in crate::vault) clock: Arc<TestClock>,
    /// What the store really holds.
    pub(in crate::vault) store: Arc<MemoryStore>,
    /// The store as the vault sees it.
    pub(in crate::vault) faults: Arc<FaultStore>,
    pub(in crate::vault) keyring: Arc<KeyRing>,
    entropy: Arc<TestEntropy>,
}

impl World {
    /// A founded vault: project `icu` with owner `olivia`, depositor `dirk`, job `job-1` (for
    /// `ruben`), auditor `anna`; `stan` holds nothing. Dataset `icu/ecg`.
    pub(in crate::vault) async fn new() -> Self {
        let world = Self::empty();
        world.found().await;
        world
    }

    /// A vault with nothing in it.
    pub(in crate::vault) fn empty() -> Self {
        Self::keyed(|entropy| KeyRing::in_memory(entropy).unwrap())
    }

    /// The same with this key ring.
    pub(in crate::vault) fn keyed(ring: impl FnOnce(&dyn Entropy) -> KeyRing) -> Self {
        let clock = Arc::new(TestClock(AtomicU64::new(START)));
        let entropy = Arc::new(TestEntropy(AtomicU64::new(7)));
        let store = Arc::new(MemoryStore::new(Arc::clone(&clock) as Arc<dyn Clock>));
        let faults = Arc::new(FaultStore::new(Arc::clone(&store) as SharedStore));
        let catalog: SharedCatalog = Arc::new(MemoryCatalog::new());
        let journal = MemoryJournal::new(Arc::clone(&clock) as Arc<dyn Clock>, 10_000);
        let keyring = Arc::new(ring(entropy.as_ref()));
        let parts = Parts {
            store: Arc::clone(&faults) as SharedStore,
            catalog: Arc::clone(&catalog),
            journal: Arc::clone(&journal) as SharedJournal,
            keyring: Arc::clone(&keyring),
            policy: Arc::new(Policy::builtin().unwrap()),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            entropy: Arc::clone(&entropy) as Arc<dyn Entropy>,
        };
        Self {
            vault: Arc::new(Vault::new(parts, settings(false))),
            catalog,
            journal,
            clock,
            store,
            faults,
            keyring,
            entropy,
        }
    }

    /// What the vault stands on, for another vault over the same.
    pub(in crate::vault) fn parts(&self) -> Parts {
        Parts {
            store: Arc::clone(&self.faults) as SharedStore,
            catalog: Arc::clone(&self.catalog),
            journal: Arc::clone(&self.journal) as SharedJournal,
            keyring: Arc::clone(&self.keyring),
            policy: Arc::new(Policy::builtin().unwrap()),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            entropy: Arc::clone(&self.entropy) as Arc<dyn Entropy>,
        }
    }

    /// Another vault over other parts: a restart, or a port that misbehaves.
    pub(in crate::vault) fn rewire(&mut self, change: impl FnOnce(Parts) -> Parts) {
        let parts = change(self.parts());
        self.catalog = Arc::clone(&parts.catalog);
        self.vault = Arc::new(Vault::new(parts, settings(false)));
    }

    /// Another order of labels.
    pub(in crate::vault) fn relabel(&mut self, order: &str) {
        let labels = LabelRules {
            order: order.parse().unwrap(),
            ..labels()
        };
        self.restart(labels);
    }

    /// A lower ceiling.
    pub(in crate::vault) fn lower_ceiling(&mut self, ceiling: &str) {
        let labels = LabelRules {
            ceiling: ceiling.parse().unwrap(),
            ..labels()
        };
        self.restart(labels);
    }

    fn restart(&mut self, labels: LabelRules) {
        self.settings(|settings| Settings { labels, ..settings });
    }

    /// Starts it again with other settings.
    pub(in crate::vault) fn settings(&mut self, set: impl FnOnce(Settings) -> Settings) {
        let settings = set(settings(false));
        self.vault = Arc::new(Vault::new(self.parts(), settings));
    }

    /// Lets time pass.
    pub(in crate::vault) fn wait(&self, ms: u64) {
        self.clock.0.fetch_add(ms, Ordering::SeqCst);
    }

    /// The names of all blobs in the store.
    pub(in crate::vault) async fn blobs(&self) -> Vec<BlobId> {
        let page = self.store.list(None, 10_000).await.unwrap();
        page.iter().map(|entry| entry.id).collect()
    }

    /// The blobs that `act` wrote.
    pub(in crate::vault) async fn blobs_of(&self, act: impl Future<Output = ()>) -> Vec<BlobId> {
        let before = self.blobs().await;
        act.await;
        let mut after = self.blobs().await;
        after.retain(|id| !before.contains(id));
        after
    }

    /// The newest completion in the log.
    pub(in crate::vault) fn last_completion(&self) -> Completion {
        let entries = self.journal.entries();
        let found = entries.into_iter().rev().find_map(|entry| match entry {
            Entry::Completion(completion) | Entry::Whole { completion, .. } => Some(completion),
            _ => None,
        });
        found.unwrap()
    }

    /// What a reader gets before it ends, and how it ends; the record must say the same.
    pub(in crate::vault) async fn drain(
        &self,
        who: &str,
        key: &str,
        span: Span,
    ) -> (Vec<u8>, Option<ErrorKind>) {
        let call = self.call(Some(who));
        let ask = ReadAsk {
            span,
            ..ReadAsk::default()
        };
        let reading = self.vault.read_object(&call, place(key), ask).await;
        assert!(call.is_recorded(), "every read is recorded");
        let mut got = Vec::new();
        let mut end = reading.as_ref().err().map(VaultError::kind);
        if let Ok(mut reading) = reading {
            while let Some(piece) = reading.body.next().await {
                assert_eq!(end, None, "nothing comes behind an error");
                match piece {
                    Ok(piece) => got.extend_from_slice(&piece),
                    Err(error) => end = Some(error.kind()),
                }
            }
        }
        let completion = self.last_completion();
        assert_eq!(completion.event, call.event);
        assert_eq!(completion.bytes, got.len() as u64);
        (got, end)
    }

    pub(in crate::vault) async fn found(&self) {
        let local = self.call(None);
        self.vault
            .create_project(&local, "icu".parse().unwrap())
            .await
            .unwrap();
        let people = [
            ("olivia", None, Some("owner")),
            ("ruben", None, Some("reader")),
            ("dirk", None, Some("depositor")),
            ("job-1", Some("ruben"), Some("job")),
            ("anna", None, Some("auditor")),
            ("stan", None, None),
        ];
        for (name, acts_for, role) in people {
            let acts_for = acts_for.map(|person: &str| person.parse().unwrap());
            self.vault
                .create_principal(&self.call(None), name.parse().unwrap(), acts_for)
                .await
                .unwrap();
            if let Some(role) = role {
                self.grant(name, role).await;
            }
        }
        self.set_defaults("icu", "olivia").await;
        self.vault
            .create_dataset(&self.call(Some("olivia")), BUCKET, false)
            .await
            .unwrap();
    }

    /// What the datasets of a project are, on its owner's word.
    pub(in crate::vault) async fn set_defaults(&self, project: &str, owner: &str) {
        let (project, owner) = (project.parse().unwrap(), owner.parse().unwrap());
        let local = self.call(None);
        let set = self
            .vault
            .set_defaults(&local, &project, defaults(), Some(&owner));
        set.await.unwrap();
    }

    /// Puts the dataset under legal hold for this reason; an empty one ends it.
    pub(in crate::vault) async fn hold(&self, reason: &str) {
        let change = CardChange {
            held: Some((!reason.is_empty()).then(|| reason.to_owned())),
            ..CardChange::default()
        };
        let bucket = BucketName::parse(BUCKET, &"icu".parse().unwrap()).unwrap();
        let call = self.call(Some("olivia"));
        let set = self.vault.set_card(&call, &bucket, change, None);
        set.await.unwrap();
    }

    pub(in crate::vault) async fn grant(&self, name: &str, role: &str) -> GrantId {
        self.make_grant(self.draft(name, role)).await.unwrap()
    }

    /// A grant of the whole project, approved by olivia, for a test to change.
    pub(in crate::vault) fn draft(&self, name: &str, role: &str) -> Grant {
        Grant {
            id: GrantId::random(self.vault.entropy.as_ref()).unwrap(),
            project: "icu".parse().unwrap(),
            principal: name.parse().unwrap(),
            role: role.to_owned(),
            dataset: None,
            prefix: String::new(),
            effect: GrantEffect::Allow,
            purpose: Some("test:try".to_owned()),
            permit: Some("T-1".to_owned()),
            starts: self.vault.now(),
            // An owner's is an office, which has no end.
            expires: (role != "owner").then(|| self.vault.now().plus_millis(3_650 * 86_400_000)),
            approver: "olivia".parse().unwrap(),
            created: self.vault.now(),
            terms: Terms::default(),
        }
    }

    pub(in crate::vault) async fn make_grant(&self, grant: Grant) -> Result<GrantId, ErrorKind> {
        let made = self.vault.create_grant(&self.call(None), grant).await;
        made.map(|grant| grant.id).map_err(|error| error.kind())
    }

    pub(in crate::vault) fn call(&self, who: Option<&str>) -> Call {
        let session = Session {
            principal: who.map(|name| name.parse().unwrap()),
            responsible: None,
            access_key: None,
            auth: if who.is_some() {
                AuthMethod::SigV4Header
            } else {
                AuthMethod::Local
            },
            client_ip: "127.0.0.1".to_owned(),
            user_agent: "test".to_owned(),
            source: "test".to_owned(),
        };
        Call {
            session: Arc::new(session),
            event: self.vault.new_event().unwrap(),
            time: self.vault.now(),
            operation: "test",
            nature: Nature::Normal,
            bounds: None,
            recorded: Arc::new(AtomicBool::new(false)),
        }
    }

    pub(in crate::vault) async fn put(
        &self,
        who: &str,
        key: &str,
        bytes: &[u8],
    ) -> Result<(), VaultError> {
        let input = input(bytes, 1000);
        let call = self.call(Some(who));
        let result = self
            .vault
            .write_object(&call, place(key), NewObject::default(), input)
            .await;
        assert!(call.is_recorded(), "every write is recorded");
        result.map(|_| ())
    }

    pub(in crate::vault) async fn get(
        &self,
        who: &str,
        key: &str,
        span: Span,
    ) -> Result<Vec<u8>, VaultError> {
        let ask = ReadAsk {
            span,
            ..ReadAsk::default()
        };
        let call = self.call(Some(who));
        let reading = self.vault.read_object(&call, place(key), ask).await;
        assert!(call.is_recorded(), "every read is recorded");
        let mut body = reading?.body;
        let mut all = Vec::new();
        while let Some(piece) = body.next().await {
            all.extend_from_slice(&piece?);
        }
        Ok(all)
    }

    pub(in crate::vault) async fn names(
        &self,
        who: &str,
        prefix: &str,
    ) -> Result<Vec<String>, ErrorKind> {
        let query = ListQuery {
            prefix: prefix.to_owned(),
            limit: 1000,
            ..ListQuery::default()
        };
        let call = self.call(Some(who));
        let page = self.vault.list_objects(&call, BUCKET, query).await;
        assert!(call.is_recorded(), "every listing is recorded");
        let entries = page.map_err(|error| error.kind())?.entries;
        Ok(entries
            .into_iter()
            .map(|entry| match entry {
                ListEntry::Object { key, .. } => key.to_string(),
                ListEntry::Prefix(prefix) => prefix,
            })
            .collect())
    }
}

/// As a configuration that says nothing has them.
pub(in crate::vault) fn labels() -> LabelRules {
    let label = |name: &str| name.parse().unwrap();
    LabelRules {
        order: "public < internal < confidential < secret".parse().unwrap(),
        unlabelled: label("internal"),
        clearance: label("internal"),
        ceiling: label("secret"),
    }
}

/// Internal data of the ICU, for ten years.
pub(in crate::vault) fn defaults() -> CardDefaults {
    CardDefaults {
        label: "internal".parse().unwrap(),
        source: "icu monitors".to_owned(),
        basis: "consent".to_owned(),
        days: 3_650,
    }
}

/// Ten days for what lets bytes out, shows the log or loosens locks, a hundred for the rest.
pub(in crate::vault) const REVIEW: ReviewTimes = ReviewTimes {
    privileged_ms: 10 * 86_400_000,
    other_ms: 100 * 86_400_000,
};

pub(in crate::vault) fn settings(snapshot_wait: bool) -> Settings {
    Settings {
        default_project: "icu".parse().unwrap(),
        snapshot_wait,
        snapshots_kept: snapshot_wait,
        host_approves: true,
        straight: vec!["icu".parse().unwrap()],
        job_session_ms: crate::types::limits::JOB_SESSION_MS,
        attempts: crate::types::limits::ATTEMPTS_BURST,
        listed_max: 10_000,
        day_ms: crate::types::limits::DAY_MS,
        review: REVIEW,
        labels: labels(),
        log_origin: "kluis/test".to_owned(),
    }
}

pub(in crate::vault) const fn place(key: &str) -> Place<'_> {
    Place {
        bucket: BUCKET,
        key,
        version: None,
    }
}

/// A body that comes in pieces of `piece` bytes.
pub(in crate::vault) fn input(bytes: &[u8], piece: usize) -> Input {
    let pieces: Vec<_> = bytes
        .chunks(piece)
        .map(|piece| Ok(Bytes::copy_from_slice(piece)))
        .collect();
    Input {
        bytes: u64::try_from(bytes.len()).unwrap(),
        body: Box::pin(stream::iter(pieces)),
        checks: BodyChecks::default(),
    }
}

/// Bytes in which every place differs.
pub(in crate::vault) fn sample(bytes: usize) -> Vec<u8> {
    let mut out = vec![0; bytes];
    TestEntropy(AtomicU64::new(99)).fill(&mut out).unwrap();
    out
}

pub(in crate::vault) fn kind<T>(result: Result<T, VaultError>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}
