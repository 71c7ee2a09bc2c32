//! A signed 4 KiB GET through the whole gateway but its sockets and disks: S3 edge, policy,
//! catalog, audit record, store, cipher. Run under callgrind with two counts; the difference of the
//! totals, divided by the difference of the counts, is what one request costs.
//! `tests/load/instructions.sh` does that.
//!
//! ```text
//! cargo run --release --features measure --bin instructions -- 1000
//! ```

#![expect(
    clippy::disallowed_methods,
    reason = "a tool for measuring: it reads the clock to sign requests"
)]

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, SignableBody, SignableRequest, SigningSettings, sign,
};
use aws_sigv4::sign::v4::SigningParams;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use kluis::app::system::{SystemClock, SystemEntropy};
use kluis::catalog::{CardDefaults, SqliteCatalog};
use kluis::journal::{MemoryJournal, SharedJournal};
use kluis::keyring::KeyRing;
use kluis::ledger::{AuthMethod, Nature, Session};
use kluis::policy::{Grant, GrantEffect, Policy, Terms};
use kluis::s3::{S3Edge, S3Settings, router};
use kluis::store::memory::MemoryStore;
use kluis::types::{GrantId, KeyScope, SecretText};
use kluis::vault::{Call, LabelRules, NewCredential, Parts, Settings, Vault};

type Failure = Box<dyn std::error::Error + Send + Sync>;

const BUCKET: &str = "bench--small";

fn main() -> Result<(), Failure> {
    let count: u64 = std::env::args().nth(1).unwrap_or_default().parse()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(run(count))
}

async fn run(count: u64) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let vault = vault(&folder.path().join("catalog.sqlite"))?;
    let credential = found(&vault).await?;
    let settings = S3Settings {
        region: "kluis".to_owned(),
        domain: None,
        source: "bench".to_owned(),
        body_idle: Duration::from_mins(1),
    };
    let edge = router(Arc::clone(&vault), &settings)?;
    let made = request(&credential, "PUT", BUCKET, Bytes::new())?;
    expect(&edge, made, 200, 0).await?;
    let object = format!("{BUCKET}/object");
    let put = request(&credential, "PUT", &object, Bytes::from(vec![7; 4096]))?;
    expect(&edge, put, 200, 0).await?;
    // One signature serves all: what it costs a client to sign is not what is measured.
    let signed = request(&credential, "GET", &object, Bytes::new())?;
    for _ in 0..count {
        expect(&edge, signed.clone(), 200, 4096).await?;
    }
    Ok(())
}

fn vault(catalog: &std::path::Path) -> Result<Arc<Vault>, Failure> {
    let entropy = Arc::new(SystemEntropy::new());
    let journal: SharedJournal = MemoryJournal::new(Arc::new(SystemClock), 64);
    let parts = Parts {
        store: Arc::new(MemoryStore::new(Arc::new(SystemClock))),
        catalog: SqliteCatalog::open(catalog)?,
        journal,
        keyring: Arc::new(KeyRing::in_memory(entropy.as_ref())?),
        policy: Arc::new(Policy::builtin()?),
        clock: Arc::new(SystemClock),
        entropy,
    };
    let settings = Settings {
        log_origin: "kluis/bench".to_owned(),
        default_project: "main".parse()?,
        snapshot_wait: false,
        snapshots_kept: false,
        host_approves: true,
        straight: Vec::new(),
        job_session_ms: kluis::types::limits::JOB_SESSION_MS,
        attempts: 0,
        listed_max: kluis::types::limits::LISTED_BLOBS_MAX,
        day_ms: kluis::types::limits::DAY_MS,
        labels: LabelRules {
            order: "public < internal < confidential < secret".parse()?,
            unlabelled: "internal".parse()?,
            clearance: "internal".parse()?,
            ceiling: "secret".parse()?,
        },
        review: kluis::vault::ReviewTimes {
            privileged_ms: u64::MAX,
            other_ms: u64::MAX,
        },
    };
    Ok(Arc::new(Vault::new(parts, settings)))
}

async fn found(vault: &Arc<Vault>) -> Result<NewCredential, Failure> {
    let call = || -> Result<Call, Failure> {
        Ok(Call {
            session: Arc::new(Session {
                principal: None,
                responsible: None,
                access_key: None,
                auth: AuthMethod::Local,
                client_ip: "local".to_owned(),
                user_agent: "bench".to_owned(),
                source: "bench".to_owned(),
            }),
            event: vault.new_event()?,
            time: vault.now(),
            operation: "bench",
            nature: Nature::Admin,
            bounds: None,
            recorded: Arc::new(AtomicBool::new(false)),
        })
    };
    vault.create_project(&call()?, "bench".parse()?).await?;
    vault
        .create_principal(&call()?, "olivia".parse()?, None)
        .await?;
    let grant = Grant {
        id: GrantId::random(&SystemEntropy::new())?,
        project: "bench".parse()?,
        principal: "olivia".parse()?,
        role: "owner".to_owned(),
        dataset: None,
        prefix: String::new(),
        effect: GrantEffect::Allow,
        purpose: None,
        permit: None,
        starts: vault.now(),
        expires: None,
        approver: "olivia".parse()?,
        created: vault.now(),
        terms: Terms::default(),
    };
    vault.create_grant(&call()?, grant).await?;
    let defaults = CardDefaults {
        label: "internal".parse()?,
        source: "bench".to_owned(),
        basis: "bench".to_owned(),
        days: 9,
    };
    let (bench, olivia) = ("bench".parse()?, "olivia".parse()?);
    vault
        .set_defaults(&call()?, &bench, defaults, Some(&olivia))
        .await?;
    Ok(vault
        .create_credential(&call()?, "olivia".parse()?, (None, KeyScope::default()))
        .await?)
}

fn request(
    credential: &NewCredential,
    method: &str,
    path: &str,
    body: Bytes,
) -> Result<http::Request<Full<Bytes>>, Failure> {
    let uri = format!("http://127.0.0.1/{path}");
    let secret = SecretText::new(credential.secret.expose().to_owned());
    let keys = Credentials::new(credential.id.as_str(), secret.expose(), None, None, "bench");
    let identity = keys.into();
    let mut settings = SigningSettings::default();
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    let params = SigningParams::builder()
        .identity(&identity)
        .region("kluis")
        .name("s3")
        .time(SystemTime::now())
        .settings(settings)
        .build()?
        .into();
    let host = [("host", "127.0.0.1")];
    let signable = SignableRequest::new(
        method,
        &uri,
        host.into_iter(),
        SignableBody::UnsignedPayload,
    )?;
    let (instructions, _) = sign(signable, &params)?.into_parts();
    let mut request = http::Request::builder().method(method).uri(&uri);
    request = request
        .header("host", "127.0.0.1")
        .header("content-length", body.len());
    let mut request = request.body(Full::new(body))?;
    instructions.apply_to_request_http1x(&mut request);
    Ok(request)
}

async fn expect(
    edge: &S3Edge,
    request: http::Request<Full<Bytes>>,
    status: u16,
    bytes: usize,
) -> Result<(), Failure> {
    let answer = edge.serve(request).await;
    let got = answer.status().as_u16();
    let body = answer.into_body().collect().await?.to_bytes();
    if got != status || (bytes > 0 && body.len() != bytes) {
        return Err(format!("{got}: {}", String::from_utf8_lossy(&body)).into());
    }
    Ok(())
}
