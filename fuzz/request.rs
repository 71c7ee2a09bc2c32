//! Whole requests to a gateway in memory, written as text: a line with method and target, lines of
//! headers, an empty line, the body. Those that carry no signature are signed as its owner would,
//! so that what stands behind the signature is reached: queries, tokens, XML, framing, conditions.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, sign,
};
use aws_sigv4::sign::v4::SigningParams;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use kluis::app::system::{SystemClock, SystemEntropy};
use kluis::catalog::{CardDefaults, MemoryCatalog};
use kluis::journal::{MemoryJournal, SharedJournal};
use kluis::keyring::KeyRing;
use kluis::ledger::{AuthMethod, Nature, Session};
use kluis::policy::{Grant, GrantEffect, Policy, Terms};
use kluis::s3::{S3Edge, S3Settings, router};
use kluis::store::memory::MemoryStore;
use kluis::types::{GrantId, KeyScope};
use kluis::vault::{Call, NewCredential, Parts, Settings, Vault};

/// The bucket that is there when a request comes, with one object in it.
const BEFORE: [&str; 2] = ["PUT /fuzz--data", "PUT /fuzz--data/a\n\nsome bytes"];

/// Requests that are served, for a fuzzer to bend.
pub(crate) const SEEDS: [&str; 16] = [
    "GET /fuzz--data/a\nrange: bytes=1-2\nif-none-match: \"x\", W/\"y\"",
    "HEAD /fuzz--data/a?partNumber=1\nx-amz-checksum-mode: ENABLED",
    "GET /fuzz--data?list-type=2&continuation-token=AWE&prefix=a&delimiter=%2F&encoding-type=url",
    "GET /fuzz--data?marker=a&max-keys=1",
    "GET /fuzz--data?uploads&key-marker=a",
    "GET /fuzz--data?versioning",
    "GET /fuzz--data/a?attributes\nx-amz-object-attributes: ETag,Checksum,ObjectParts",
    "PUT /fuzz--data/b?x-id=PutObject\nx-amz-meta-a: =?utf-8?q?b?=\ncontent-md5: \
     1B2M2Y8AsgTpgAmY7PhCfg==\ncontent-length: 0",
    "PUT /fuzz--data/c\nx-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER\n\
     x-amz-trailer: x-amz-checksum-crc32\nx-amz-decoded-content-length: 1\n\
     content-encoding: aws-chunked\n\n1\r\na\r\n0\r\nx-amz-checksum-crc32:6Le+Qw==\r\n\r\n",
    "PUT /fuzz--data/d\nx-amz-copy-source: /fuzz--data/a\nx-amz-copy-source-if-match: x",
    "POST /fuzz--data?delete\ncontent-md5: aFPqFnlCon58cZ4Qt7zwvQ==\n\n<Delete><Object><Key>a</Key></Object></Delete>",
    "POST /fuzz--data/e?uploads\nx-amz-checksum-algorithm: CRC32C",
    "POST /fuzz--data/e?uploadId=x\n\n<CompleteMultipartUpload><Part><PartNumber>1</PartNumber>\
     <ETag>\"x\"</ETag></Part></CompleteMultipartUpload>",
    "PUT /fuzz--new\n\n<CreateBucketConfiguration><LocationConstraint>kluis</LocationConstraint>\
     </CreateBucketConfiguration>",
    "GET /fuzz--data/a?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=K%2F20260101%2Fkluis%2Fs3\
     %2Faws4_request&X-Amz-Date=20260101T000000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host\
     &X-Amz-Signature=0000000000000000000000000000000000000000000000000000000000000000",
    "GET /\nauthorization: AWS4-HMAC-SHA256 Credential=K/20260101/kluis/s3/aws4_request, \
     SignedHeaders=host;x-amz-date, \
     Signature=0000000000000000000000000000000000000000000000000000000000000000\n\
     x-amz-date: 20260101T000000Z",
];

/// A gateway without sockets and disks, its owner, and its log.
struct Gateway {
    edge: S3Edge,
    owner: NewCredential,
    journal: Arc<MemoryJournal>,
}

impl Gateway {
    async fn new() -> Self {
        let entropy = Arc::new(SystemEntropy::new());
        let journal = MemoryJournal::new(Arc::new(SystemClock), 8);
        let shared: SharedJournal = Arc::<MemoryJournal>::clone(&journal);
        let parts = Parts {
            store: Arc::new(MemoryStore::new(Arc::new(SystemClock))),
            catalog: Arc::new(MemoryCatalog::new()),
            journal: shared,
            keyring: Arc::new(KeyRing::in_memory(entropy.as_ref()).expect("a ring")),
            policy: Arc::new(Policy::builtin().expect("the shipped policy")),
            clock: Arc::new(SystemClock),
            entropy,
        };
        let settings = Settings {
            job_session_ms: kluis::types::limits::JOB_SESSION_MS,
            attempts: 0,
            listed_max: kluis::types::limits::LISTED_BLOBS_MAX,
            day_ms: kluis::types::limits::DAY_MS,
            log_origin: "kluis/fuzz".to_owned(),
            default_project: "fuzz".parse().expect("a name"),
            snapshot_wait: false,
            snapshots_kept: false,
            host_approves: true,
            straight: Vec::new(),
            labels: kluis::vault::LabelRules {
                order: "public < secret".parse().expect("labels"),
                unlabelled: "public".parse().expect("a label"),
                clearance: "secret".parse().expect("a label"),
                ceiling: "secret".parse().expect("a label"),
            },
            review: kluis::vault::ReviewTimes {
                privileged_ms: u64::MAX,
                other_ms: u64::MAX,
            },
        };
        let vault = Arc::new(Vault::new(parts, settings));
        let owner = found(&vault).await;
        let settings = S3Settings {
            region: "kluis".to_owned(),
            domain: None,
            source: "fuzz".to_owned(),
            body_idle: Duration::from_secs(5),
        };
        let edge = router(vault, &settings).expect("an edge");
        Self {
            edge,
            owner,
            journal,
        }
    }

    /// Serves a request; no fault of the gateway's own, and no answer without a record.
    async fn serve(&self, text: &[u8]) -> Option<StatusCode> {
        let request = self.signed(read(text)?)?;
        let before = self.journal.entries();
        let answer = self.edge.serve(request).await;
        let status = answer.status();
        let _whole = answer.into_body().collect().await;
        assert_ne!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_ne!(self.journal.entries(), before, "{status} without a record");
        Some(status)
    }

    /// Signs a request that has no signature.
    fn signed(&self, mut request: Request<Bytes>) -> Option<Request<Full<Bytes>>> {
        let query = request.uri().query().unwrap_or_default();
        if !request.headers().contains_key("authorization") && !query.contains("X-Amz-") {
            let secret = self.owner.secret.expose();
            let keys = Credentials::new(self.owner.id.as_str(), secret, None, None, "fuzz");
            let identity = keys.into();
            let mut settings = SigningSettings::default();
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
            settings.percent_encoding_mode = PercentEncodingMode::Single;
            let params = SigningParams::builder()
                .identity(&identity)
                .region("kluis")
                .name("s3")
                .time(now())
                .settings(settings)
                .build()
                .ok()?;
            let hash = request.headers_mut().remove("x-amz-content-sha256");
            let hash = hash.and_then(|value| value.to_str().ok().map(str::to_owned));
            let body =
                SignableBody::Precomputed(hash.unwrap_or_else(|| "UNSIGNED-PAYLOAD".to_owned()));
            let headers = request.headers().iter();
            let headers: Option<Vec<_>> = headers
                .map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
                .collect();
            let uri = format!("http://localhost{}", request.uri());
            let method = request.method().as_str();
            let signable = SignableRequest::new(method, &uri, headers?.into_iter(), body).ok()?;
            let (instructions, _) = sign(signable, &params.into()).ok()?.into_parts();
            instructions.apply_to_request_http1x(&mut request);
        }
        Some(request.map(Full::new))
    }
}

#[allow(
    clippy::disallowed_methods,
    clippy::allow_attributes,
    reason = "signatures are checked against the wall clock; the fuzzing package has no such lint"
)]
fn now() -> SystemTime {
    SystemTime::now()
}

/// Reads the text form; `None` for what HTTP itself refuses.
fn read(text: &[u8]) -> Option<Request<Bytes>> {
    let end = text.windows(2).position(|pair| pair == b"\n\n");
    let (head, body) = match end {
        Some(end) => (text.get(..end)?, text.get(end + 2..)?),
        None => (text, &[][..]),
    };
    let mut lines = head.split(|byte| *byte == b'\n');
    let line = std::str::from_utf8(lines.next()?).ok()?;
    let (method, target) = line.split_once(' ')?;
    if !target.starts_with('/') {
        return None;
    }
    let request = Request::builder().method(method).uri(target);
    let mut request = request.body(Bytes::copy_from_slice(body)).ok()?;
    let headers = request.headers_mut();
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(line.get(..colon)?).ok()?;
        let value = HeaderValue::from_bytes(line.get(colon + 1..)?.trim_ascii()).ok()?;
        let _more: bool = headers.append(name, value);
    }
    headers.insert("host", HeaderValue::from_static("localhost"));
    headers.insert("content-length", HeaderValue::from(body.len()));
    Some(request)
}

fn call(vault: &Vault) -> Call {
    Call {
        session: Arc::new(Session {
            principal: None,
            responsible: None,
            access_key: None,
            auth: AuthMethod::Local,
            client_ip: "local".to_owned(),
            user_agent: "fuzz".to_owned(),
            source: "fuzz".to_owned(),
        }),
        event: vault.new_event().expect("an event"),
        time: vault.now(),
        operation: "fuzz",
        nature: Nature::Admin,
        bounds: None,
        recorded: Arc::new(AtomicBool::new(false)),
    }
}

async fn found(vault: &Arc<Vault>) -> NewCredential {
    let name = || "fuzz".parse().expect("a name");
    let owner = || "olivia".parse().expect("a name");
    let call = || call(vault);
    vault
        .create_project(&call(), name())
        .await
        .expect("a project");
    let made = vault.create_principal(&call(), owner(), None).await;
    made.expect("an owner");
    let grant = Grant {
        id: GrantId::random(&SystemEntropy::new()).expect("an id"),
        project: name(),
        principal: owner(),
        role: "owner".to_owned(),
        dataset: None,
        prefix: String::new(),
        effect: GrantEffect::Allow,
        purpose: None,
        permit: None,
        starts: vault.now(),
        expires: None,
        approver: owner(),
        created: vault.now(),
        terms: Terms::default(),
    };
    vault.create_grant(&call(), grant).await.expect("a grant");
    let defaults = CardDefaults {
        label: "public".parse().expect("a label"),
        source: "fuzz".to_owned(),
        basis: "fuzz".to_owned(),
        days: 9,
    };
    let (call, named) = (call(), owner());
    let set = vault
        .set_defaults(&call, &name(), defaults, Some(&named))
        .await;
    set.expect("defaults");
    let call = || self::call(vault);
    let made = vault
        .create_credential(&call(), owner(), (None, KeyScope::default()))
        .await;
    made.expect("a credential")
}

/// One request to a fresh gateway; what it answered, if HTTP let it through.
pub(crate) fn serve(data: &[u8]) -> Option<StatusCode> {
    // Nothing is made for what is no request.
    drop(read(data)?);
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let gateway = Gateway::new().await;
        for text in BEFORE {
            let status = gateway.serve(text.as_bytes()).await;
            assert_eq!(status, Some(StatusCode::OK), "{text}");
        }
        gateway.serve(data).await
    })
}

/// The same, as an entry.
pub(crate) fn request(data: &[u8]) {
    let _answer = serve(data);
}
