//! A gateway in memory, its people, and signed requests.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, sign,
};
use aws_sigv4::sign::v4::SigningParams;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use kluis::app::log_keys;
use kluis::app::system::{SystemClock, SystemEntropy};
use kluis::catalog::{CardDefaults, MemoryCatalog};
use kluis::journal::{Journal as _, MemoryJournal, Pages, SharedJournal, Wal, WalConfig};
use kluis::keyring::KeyRing;
use kluis::ledger::tlog::VerifierKey;
use kluis::ledger::{AuthMethod, Entry, Intent, Nature, Session};
use kluis::notary::{DirShelf, Lane, Notary, NotaryParts, Prover};
use kluis::policy::{Grant, GrantEffect, Policy, Terms};
use kluis::s3::{S3Edge, S3Settings, router};
use kluis::store::memory::MemoryStore;
use kluis::types::{Clock, GrantId, KeyScope, PrincipalId, ProjectName, Timestamp, limits};
use kluis::vault::{Call, LabelRules, NewCredential, Parts, ReviewTimes, Settings, Vault};
use ring::digest;

use crate::schema;

/// The log's name.
const ORIGIN: &str = "kluis/test";
pub(crate) const DAY_MS: u64 = 86_400_000;

/// The system's clock, moved ahead: signatures are made and checked by the wall clock, and
/// everything else by this one.
pub(crate) struct Ahead(AtomicU64);

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        SystemClock.now().plus_millis(self.0.load(Ordering::SeqCst))
    }
}

/// A gateway without sockets and disks.
pub(crate) struct World {
    pub(crate) vault: Arc<Vault>,
    edge: S3Edge,
    journal: Arc<MemoryJournal>,
    /// A journal in files, in the place of the one in memory.
    files: Option<(Arc<Wal>, tempfile::TempDir)>,
    keyring: Arc<KeyRing>,
    ahead: Arc<Ahead>,
}

/// Both halves of a credential, and the session's token if it has one.
#[derive(Clone)]
pub(crate) struct Keys {
    pub(crate) id: String,
    pub(crate) secret: String,
    pub(crate) token: Option<String>,
}

impl From<NewCredential> for Keys {
    fn from(made: NewCredential) -> Self {
        Self {
            id: made.id.to_string(),
            secret: made.secret.expose().to_owned(),
            token: None,
        }
    }
}

/// A request before it is signed.
#[derive(Clone)]
pub(crate) struct Asked {
    pub(crate) method: &'static str,
    pub(crate) uri: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
    /// Which service it is signed for.
    pub(crate) service: &'static str,
}

pub(crate) fn asked(method: &'static str, uri: impl Into<String>) -> Asked {
    Asked {
        method,
        uri: uri.into(),
        headers: Vec::new(),
        body: Vec::new(),
        service: "s3",
    }
}

impl Asked {
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }
}

/// What came back.
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: String,
}

impl Got {
    /// The text of an XML element.
    pub(crate) fn element(&self, name: &str) -> String {
        let (open, close) = (format!("<{name}>"), format!("</{name}>"));
        let after = self.body.split_once(&open).map(|(_, after)| after);
        let text = after.and_then(|after| after.split_once(&close));
        let (text, _) = text.unwrap_or_else(|| panic!("no {name} in {}", self.body));
        text.to_owned()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

pub(crate) fn name(text: &str) -> PrincipalId {
    text.parse().expect("a name")
}

pub(crate) fn icu() -> ProjectName {
    "icu".parse().expect("a name")
}

#[expect(
    clippy::disallowed_methods,
    reason = "signatures are checked by the wall clock"
)]
pub(crate) fn wall() -> SystemTime {
    SystemTime::now()
}

/// Says where the log is read and proved.
fn show_log(vault: &Vault, dir: &std::path::Path, keyring: &KeyRing) {
    let journal = dir.join("journal");
    vault.show_records(Pages::new(journal.clone(), keyring.log_key()));
    vault.show_proofs(Prover {
        log: dir.join("log"),
        journal,
        origin: ORIGIN.to_owned(),
        keys: log_keys(keyring),
    });
}

fn settings() -> Settings {
    Settings {
        default_project: icu(),
        snapshot_wait: false,
        snapshots_kept: false,
        host_approves: true,
        log_origin: ORIGIN.to_owned(),
        straight: vec![icu()],
        job_session_ms: limits::JOB_SESSION_MS,
        attempts: limits::ATTEMPTS_BURST,
        listed_max: limits::LISTED_BLOBS_MAX,
        day_ms: limits::DAY_MS,
        review: ReviewTimes {
            privileged_ms: 92 * DAY_MS,
            other_ms: 365 * DAY_MS,
        },
        labels: LabelRules {
            order: "public < internal < confidential < secret"
                .parse()
                .expect("labels"),
            unlabelled: "internal".parse().expect("a label"),
            clearance: "internal".parse().expect("a label"),
            ceiling: "secret".parse().expect("a label"),
        },
    }
}

impl World {
    /// Project `icu` of olivia.
    pub(crate) async fn new() -> Self {
        Self::made(false).await
    }

    /// The same with a journal in files, whose records can be asked.
    pub(crate) async fn with_records() -> Self {
        Self::made(true).await
    }

    async fn made(in_files: bool) -> Self {
        let ahead = Arc::new(Ahead(AtomicU64::new(0)));
        let clock: Arc<dyn Clock> = Arc::<Ahead>::clone(&ahead);
        let journal = MemoryJournal::new(Arc::clone(&clock), 100_000);
        let mut shared: SharedJournal = Arc::<MemoryJournal>::clone(&journal);
        let entropy = Arc::new(SystemEntropy::new());
        let keyring = Arc::new(KeyRing::in_memory(entropy.as_ref()).expect("a ring"));
        let files = in_files.then(|| {
            let dir = tempfile::tempdir().expect("a directory");
            let (lane, key) = ("gateway".to_owned(), keyring.log_key());
            let config = WalConfig::new(dir.path().join("journal"), lane, key);
            let (clock, entropy) = (Arc::clone(&clock), Arc::<SystemEntropy>::clone(&entropy));
            (Wal::open(config, clock, entropy).expect("a journal"), dir)
        });
        if let Some((wal, _)) = &files {
            shared = Arc::<Wal>::clone(wal);
        }
        let parts = Parts {
            store: Arc::new(MemoryStore::new(Arc::clone(&clock))),
            catalog: Arc::new(MemoryCatalog::new()),
            journal: shared,
            keyring: Arc::clone(&keyring),
            policy: Arc::new(Policy::builtin().expect("the shipped policy")),
            clock,
            entropy,
        };
        let vault = Arc::new(Vault::new(parts, settings()));
        if let Some((_, dir)) = &files {
            show_log(&vault, dir.path(), &keyring);
        }
        let edge = S3Settings {
            region: "kluis".to_owned(),
            domain: None,
            source: "test".to_owned(),
            body_idle: Duration::from_secs(5),
        };
        let world = Self {
            edge: router(Arc::clone(&vault), &edge).expect("an edge"),
            vault,
            journal,
            files,
            keyring,
            ahead,
        };
        world.found(&icu(), "olivia").await;
        world
    }

    /// A project with its first owner.
    pub(crate) async fn found(&self, project: &ProjectName, owner: &str) {
        let local = self.local();
        let made = self.vault.create_project(&local, project.clone());
        made.await.expect("a project");
        self.person(owner).await;
        let grant = Grant {
            project: project.clone(),
            approver: name(owner),
            ..self.draft(owner, "owner")
        };
        let made = self.vault.create_grant(&local, grant);
        made.await.expect("a founding grant");
        let defaults = CardDefaults {
            label: "internal".parse().expect("a label"),
            source: "icu monitors".to_owned(),
            basis: "consent".to_owned(),
            days: 3_650,
        };
        let owner = name(owner);
        let set = self
            .vault
            .set_defaults(&local, project, defaults, Some(&owner));
        set.await.expect("defaults");
    }

    pub(crate) async fn person(&self, person: &str) {
        let local = self.local();
        let made = self.vault.create_principal(&local, name(person), None);
        made.await.expect("a person");
    }

    pub(crate) async fn keys(&self, whose: &str, expires: Option<Timestamp>) -> Keys {
        self.lend(whose, (expires, KeyScope::default())).await
    }

    /// A credential that carries a part of its owner's rights.
    pub(crate) async fn scoped(&self, whose: &str, scope: KeyScope) -> Keys {
        self.lend(whose, (None, scope)).await
    }

    async fn lend(&self, whose: &str, terms: (Option<Timestamp>, KeyScope)) -> Keys {
        let local = self.local();
        let made = self.vault.create_credential(&local, name(whose), terms);
        made.await.expect("a credential").into()
    }

    /// A grant over all of `icu` that olivia approves.
    pub(crate) fn draft(&self, to: &str, role: &str) -> Grant {
        let now = self.vault.now();
        Grant {
            id: GrantId::random(&SystemEntropy::new()).expect("an id"),
            project: icu(),
            principal: name(to),
            role: role.to_owned(),
            dataset: None,
            prefix: String::new(),
            effect: GrantEffect::Allow,
            purpose: Some("test:access".to_owned()),
            permit: Some("T-1".to_owned()),
            starts: now,
            // An owner's is an office, which has no end.
            expires: (role != "owner").then(|| now.plus_millis(30 * DAY_MS)),
            approver: name("olivia"),
            created: now,
            terms: Terms::default(),
        }
    }

    pub(crate) async fn grant(&self, grant: Grant) -> GrantId {
        let local = self.local();
        let made = self.vault.create_grant(&local, grant).await;
        made.expect("a grant").id
    }

    /// A person with a role in `icu`, and her keys.
    pub(crate) async fn member(&self, who: &str, role: &str) -> Keys {
        self.person(who).await;
        self.grant(self.draft(who, role)).await;
        self.keys(who, None).await
    }

    /// A call of the host.
    pub(crate) fn local(&self) -> Call {
        let session = Session {
            principal: None,
            responsible: None,
            access_key: None,
            auth: AuthMethod::Local,
            client_ip: "local".to_owned(),
            user_agent: "test".to_owned(),
            source: "test".to_owned(),
        };
        Call {
            session: Arc::new(session),
            event: self.vault.new_event().expect("an event"),
            time: self.vault.now(),
            operation: "test",
            nature: Nature::Admin,
            bounds: None,
            recorded: Arc::new(AtomicBool::new(false)),
        }
    }

    /// Lets time pass for everything but signatures.
    pub(crate) fn wait(&self, ms: u64) {
        let _before: u64 = self.ahead.0.fetch_add(ms, Ordering::SeqCst);
    }

    /// How many entries are in the log for good.
    fn written(&self) -> u64 {
        match &self.files {
            Some((wal, _)) => wal.durable(),
            None => self.journal.entries().len() as u64,
        }
    }

    /// Waits until the ends of all requests are in the log.
    pub(crate) async fn settled(&self) {
        while self
            .files
            .as_ref()
            .is_some_and(|(wal, _)| wal.waiting() > 0)
        {
            tokio::task::yield_now().await;
        }
    }

    /// Puts all that was recorded under a checkpoint; the log's key.
    pub(crate) async fn notarized(&self) -> VerifierKey {
        self.settled().await;
        let (wal, dir) = self.files.as_ref().expect("a journal in files");
        let mut notary = Notary::open(NotaryParts {
            journal: dir.path().join("journal"),
            origin: ORIGIN.to_owned(),
            keys: log_keys(&self.keyring),
            shelf: Box::new(DirShelf::keep(&dir.path().join("log")).expect("a place")),
            settle: None,
            clock: Arc::<Ahead>::clone(&self.ahead),
            entropy: Arc::new(SystemEntropy::new()),
        })
        .expect("a log");
        let (name, durable) = ("gateway", wal.durable());
        notary.round(&[Lane { name, durable }]).expect("a round");
        log_keys(&self.keyring).public(ORIGIN).expect("a key")
    }

    /// Serves a request, signed if there are keys. **No answer without a record.**
    pub(crate) async fn serve(&self, keys: Option<&Keys>, asked: &Asked) -> Got {
        self.serve_from("127.0.0.1:5", keys, asked).await
    }

    /// The same from another peer.
    pub(crate) async fn serve_from(&self, peer: &str, keys: Option<&Keys>, asked: &Asked) -> Got {
        let before = self.written();
        let mut request = Request::builder()
            .method(asked.method)
            .uri(&asked.uri)
            .header("host", "localhost")
            .header("content-length", asked.body.len());
        for (name, value) in &asked.headers {
            request = request.header(*name, value);
        }
        let mut request = request.body(()).expect("a request");
        if let Some(keys) = keys {
            signed(&mut request, keys, asked);
        }
        let peer: SocketAddr = peer.parse().expect("an address");
        let _none: Option<SocketAddr> = request.extensions_mut().insert(peer);
        let body = Full::new(Bytes::copy_from_slice(&asked.body));
        let answer = self.edge.serve(request.map(|()| body)).await;
        let (parts, body) = answer.into_parts();
        let bytes = match body.collect().await {
            Ok(whole) => whole.to_bytes(),
            Err(_cut) => Bytes::new(),
        };
        assert!(
            self.written() > before,
            "{} {} without a record",
            asked.method,
            asked.uri
        );
        let got = Got {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: String::from_utf8_lossy(&bytes).into_owned(),
        };
        let kind = got.headers.get("content-type");
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        schema::held(
            (asked.method, &asked.uri, &asked.body),
            (got.status, kind, &got.body),
        );
        got
    }

    /// The newest intent in the log.
    pub(crate) fn last_intent(&self) -> (Intent, Session) {
        let entries = self.journal.entries();
        let found = entries.iter().rev().find_map(|entry| {
            let (Entry::Intent { intent, session }
            | Entry::Whole {
                intent, session, ..
            }) = entry
            else {
                return None;
            };
            Some((intent.clone(), *session))
        });
        let (intent, hash) = found.expect("a record");
        let session = entries.iter().find_map(|entry| {
            let Entry::Session(session) = entry else {
                return None;
            };
            let same = kluis::ledger::session_hash(session).ok() == Some(hash);
            same.then(|| session.clone())
        });
        (intent, session.expect("its session"))
    }
}

fn signed(request: &mut Request<()>, keys: &Keys, asked: &Asked) {
    let token = keys.token.clone();
    let identity = Credentials::new(&keys.id, &keys.secret, token, None, "test").into();
    let mut settings = SigningSettings::default();
    settings.payload_checksum_kind = if asked.service == "s3" {
        PayloadChecksumKind::XAmzSha256
    } else {
        PayloadChecksumKind::NoHeader
    };
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    let params = SigningParams::builder()
        .identity(&identity)
        .region("kluis")
        .name(asked.service)
        .time(wall())
        .settings(settings)
        .build()
        .expect("parameters");
    let hash = digest::digest(&digest::SHA256, &asked.body);
    let hash = data_encoding::HEXLOWER.encode(hash.as_ref());
    let headers: Vec<(String, String)> = request
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().expect("text").to_owned()))
        .collect();
    let uri = format!("http://localhost{}", request.uri());
    let named = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let signable = SignableRequest::new(
        request.method().as_str(),
        &uri,
        named,
        SignableBody::Precomputed(hash),
    );
    let (instructions, _) = sign(signable.expect("signable"), &params.into())
        .expect("signed")
        .into_parts();
    instructions.apply_to_request_http1x(request);
}
