//! The one table of settings: names, kinds, defaults and what each is for.
//!
//! The comments below are what users read: `docs/configuration.md` is made of them.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::problem::Problem;
use super::reader::{Document, Section};
use super::value::{
    ByteSize, GateKind, LogFormat, LogLevel, PlainHttp, RootKind, StoreKind, StreamForm,
    TlsVersion, Value, Worm, WormMode,
};
use crate::types::limits::LISTED_BLOBS_MAX;
use crate::types::{Label, Labels, ProjectName};

/// One setting, as tables show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its section.
    pub section: &'static str,
    /// Its name in the section.
    pub key: &'static str,
    /// What it takes.
    pub kind: &'static str,
    /// Its value, as TOML.
    pub value: String,
    /// What it is for.
    pub doc: &'static str,
}

/// A section's name, what it is about, and its keys.
pub(super) struct SectionInfo {
    pub(super) name: &'static str,
    pub(super) doc: &'static str,
    pub(super) keys: &'static [&'static str],
}

macro_rules! settings {
    ($(
        $(#[doc = $section_doc:literal])+
        $section:ident: $name:ident {
            $($(#[doc = $doc:literal])+ $key:ident: $kind:ty = $default:expr,)*
        }
    )*) => {
        $(
            $(#[doc = $section_doc])+
            #[derive(Clone, PartialEq, Debug)]
            pub struct $name {
                $($(#[doc = $doc])+ pub $key: $kind,)*
            }

            impl Default for $name {
                fn default() -> Self {
                    Self { $($key: $default,)* }
                }
            }

            impl $name {
                fn read(section: &mut Section<'_, '_>) -> Self {
                    Self { $($key: section.take(stringify!($key), || $default),)* }
                }
            }
        )*

        /// Everything that can be set, section by section.
        #[derive(Clone, PartialEq, Debug, Default)]
        pub struct Config {
            $($(#[doc = $section_doc])+ pub $section: $name,)*
        }

        pub(super) const SECTIONS: &[SectionInfo] = &[$(SectionInfo {
            name: stringify!($section),
            doc: concat!($($section_doc),+),
            keys: &[$(stringify!($key)),*],
        },)*];

        impl Config {
            /// Reads a text; where it is at fault, the default stands in and a problem is told.
            pub(super) fn read(text: &str) -> (Self, Vec<Problem>) {
                let mut document = Document::parse(text);
                let config = Self {
                    $($section: document.section(stringify!($section), $name::read),)*
                };
                (config, document.finish())
            }

            /// Takes relative paths from `base`.
            pub(super) fn resolve(&mut self, base: &Path) {
                $($(self.$section.$key.resolve(base);)*)*
            }

            /// Every setting with its value here, in the order of the documentation.
            #[must_use]
            pub fn rows(&self) -> Vec<Row> {
                vec![$($(Row {
                    section: stringify!($section),
                    key: stringify!($key),
                    kind: <$kind as Value>::KIND,
                    value: self.$section.$key.show(),
                    doc: concat!($($doc),+).trim_ascii(),
                },)*)*]
            }
        }
    };
}

const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

const DAY: Duration = Duration::from_hours(24);
const KIB: u64 = 1024;

settings! {
    /// The S3 listener.
    server: Server {
        /// The address that S3 clients connect to.
        listen: SocketAddr = loopback(9000),
        /// Where plain HTTP may be spoken: on loopback only, or everywhere because something in
        /// front ends TLS.
        plain_http: PlainHttp = PlainHttp::Loopback,
        /// The certificate chain, PEM, the server's own certificate first. With `tls_key` it
        /// switches TLS on.
        tls_cert: Option<PathBuf> = None,
        /// The private key of the certificate, PEM.
        tls_key: Option<PathBuf> = None,
        /// The oldest version of TLS that is spoken.
        tls_min_version: TlsVersion = TlsVersion::V13,
        /// How often the certificate's files are looked at for a change.
        tls_reload_interval: Duration = seconds(5),
        /// The region that clients sign for.
        region: String = "kluis".to_owned(),
        /// The domain under which buckets are host names (`bucket.s3.example.org`); none for
        /// paths only.
        domain: Option<String> = None,
        /// The project of buckets whose name has no `--`.
        default_project: ProjectName = super::check::default_project(),
        /// How long running streams may take to finish after the first signal to stop.
        shutdown_wait: Duration = seconds(30),
    }
    /// Bounds on what a client can ask of the S3 listener.
    limits: Limits {
        /// Connections open at once; further ones wait in the system's queue.
        connections_max: u32 = 4096,
        /// Streams open at once on one HTTP/2 connection.
        connection_streams_max: u32 = 64,
        /// Bytes of one request's line and headers; also the read buffer and the write buffer of a
        /// connection.
        header_bytes_max: ByteSize = ByteSize(64 * KIB),
        /// How long the TLS handshake may take, and then the first request's headers.
        header_timeout: Duration = seconds(10),
        /// How long a connection without a request stays open.
        keep_alive: Duration = seconds(60),
        /// How long a transfer may make no progress. A transfer that progresses has no time-out.
        idle_timeout: Duration = seconds(60),
        /// How long the gateway may work on an answer's head while no byte of the request's body
        /// arrives.
        request_time: Duration = seconds(60),
        /// Attempts to sign in or sign that may fail from one peer at once, then one a second; what
        /// it tries beyond is refused unseen. 0 for no bound: behind a proxy all clients are one
        /// peer.
        failed_attempts: u32 = crate::types::limits::ATTEMPTS_BURST,
    }
    /// The listener for health and metrics.
    ops: Ops {
        /// The address of `/healthz`, `/readyz` and `/metrics`.
        listen: SocketAddr = loopback(9001),
        /// Whether that address may be one that other machines reach; it speaks plain HTTP and
        /// asks for no credential.
        allow_remote: bool = false,
    }
    /// Where sealed blobs live.
    store: Store {
        /// A directory, or an S3-compatible store.
        kind: StoreKind = StoreKind::Local,
        /// The directory of a local store.
        path: PathBuf = "data/store".into(),
        /// The URL of an S3 store.
        endpoint: Option<String> = None,
        /// The bucket of an S3 store.
        bucket: Option<String> = None,
        /// The region that requests to an S3 store are signed for.
        region: String = "us-east-1".to_owned(),
        /// What the names of all blobs begin with in an S3 store.
        prefix: Option<String> = None,
        /// Connections to an S3 store open at once.
        connections_max: u32 = 256,
        /// How long connecting to an S3 store may take.
        connect_timeout: Duration = seconds(5),
        /// How long an S3 store may take to begin its answer.
        header_timeout: Duration = seconds(30),
        /// How long a body to or from an S3 store may make no progress.
        idle_timeout: Duration = seconds(30),
        /// How often a request that can be repeated is repeated.
        retries: u32 = 3,
        /// Certificates to trust for an S3 store, PEM; none for the system's.
        ca_file: Option<PathBuf> = None,
        /// A file with the access key id. `KLUIS_STORE_ACCESS_KEY_ID` goes before it.
        access_key_id_file: Option<PathBuf> = None,
        /// A file with the secret access key. `KLUIS_STORE_SECRET_ACCESS_KEY` goes before it.
        secret_access_key_file: Option<PathBuf> = None,
    }
    /// Nodes that read sealed bytes from the store itself (`docs/mount.md`).
    straight: Straight {
        /// Projects whose mounts may: they are given URLs of the store that live for a minute.
        /// The store must be an S3 store.
        projects: Vec<ProjectName> = Vec::new(),
        /// The URL under which nodes reach the store; none where it is that of `store.endpoint`.
        endpoint: Option<String> = None,
    }
    /// The vault's own database.
    catalog: Catalog {
        /// The SQLite file.
        path: PathBuf = "data/catalog.sqlite".into(),
        /// How far the newest sealed snapshot in the store may lag.
        snapshot_interval: Duration = seconds(5),
        /// Whether an acknowledgement waits for its snapshot.
        snapshot_wait: bool = false,
        /// How many blobs of the store `kluis recover` takes account of at most, at 64 bytes of
        /// memory each: a store that lists for ever ends it with an error. Raise it for a vault
        /// that has more.
        listed_max: u32 = LISTED_BLOBS_MAX,
    }
    /// The root identity and the key ring.
    keys: Keys {
        /// The directory of the sealed key ring.
        dir: PathBuf = "data/keys".into(),
        /// What keeps the root identity (`docs/keys.md`); a file of another kind is refused.
        root: RootKind = RootKind::File,
        /// The file of the root `age` identity, or what says how it is kept. Keep a copy elsewhere:
        /// without it nothing opens.
        identity: PathBuf = "root.age".into(),
        /// Directories, best on other disks, in which the key ring is kept a second time: a key
        /// that is made is in all of them, a key that is destroyed is in none. `kluis key copy`
        /// begins one.
        copies: Vec<PathBuf> = Vec::new(),
        /// A file with the passphrase of the root identity; none where it has no passphrase.
        passphrase_file: Option<PathBuf> = None,
        /// The socket at which a process waits for its custodians' shares, if they keep the root.
        unseal_socket: PathBuf = "data/unseal.sock".into(),
    }
    /// A key service whose key keeps the root (`keys.root = "transit"`): OpenBao's transit engine.
    transit: Transit {
        /// Its URL, `https://bao.example.org:8200`; plain HTTP only to this machine.
        url: Option<String> = None,
        /// Where the engine is mounted.
        mount: String = "transit".to_owned(),
        /// The key.
        key: String = "kluis-root".to_owned(),
        /// A file with the token, which may encrypt and decrypt with that key; read each time.
        token_file: Option<PathBuf> = None,
        /// Certificates to trust, PEM; none for the system's.
        ca_file: Option<PathBuf> = None,
    }
    /// A token whose key keeps the root (`keys.root = "pkcs11"`).
    pkcs11: Pkcs11 {
        /// The PKCS#11 module of the token's maker, a library.
        module: Option<PathBuf> = None,
        /// The token's label.
        token: Option<String> = None,
        /// Its serial number, where several tokens have that label.
        serial: Option<String> = None,
        /// The label of the AES-256 key on it.
        key: String = "kluis-root".to_owned(),
        /// A file with the PIN; none where it is asked for or typed on the token.
        pin_file: Option<PathBuf> = None,
        /// How long the token may take.
        wait: Duration = seconds(20),
    }
    /// An `age` plugin that keeps the root (`keys.root = "plugin"`).
    plugin: Plugin {
        /// The file of its identity, `AGE-PLUGIN-NAME-1…`.
        identity: Option<PathBuf> = None,
        /// To whom the root is encrypted; none for that identity.
        recipient: Option<String> = None,
        /// The directory of the program `age-plugin-NAME`; none for the system's path.
        dir: Option<PathBuf> = None,
        /// A file with the PIN that the plugin asks for; none where it asks for none.
        pin_file: Option<PathBuf> = None,
        /// How long the plugin may take, a touch included.
        wait: Duration = seconds(60),
    }
    /// The durable log of requests.
    journal: Journal {
        /// What makes a record durable before its request is served: "local" (the directory below),
        /// "store" (the store; the directory may be lost, as that of a gateway without a disk), or
        /// "both". Keep "store" and "both" to stores that keep what they acknowledge
        /// (`docs/audit.md`, "The gate in the store").
        gate: GateKind = GateKind::Local,
        /// Its directory.
        dir: PathBuf = "data/journal".into(),
        /// Bytes of one file before the next is begun, 16MiB to 64MiB.
        file_bytes: ByteSize = ByteSize(64 * KIB * KIB),
        /// How long a request waits for its record to be durable before it is refused.
        wait: Duration = seconds(5),
    }
    /// The log that the journal's records are proved by: tiles and signed checkpoints.
    proof: Proof {
        /// Its directory.
        dir: PathBuf = "data/log".into(),
        /// The log's name in its checkpoints and of its key; none for one made of the key ring's
        /// fingerprint. It cannot be changed once the log has begun.
        origin: Option<String> = None,
        /// How often what was recorded since is put under a new checkpoint.
        interval: Duration = seconds(1),
    }
    /// The log's volumes in the store, and their locks (`docs/audit.md`).
    volumes: Volumes {
        /// The bucket that they are in; none for `store.bucket`. It has the same endpoint and
        /// credential. Choose it before the first volume is written: they do not move by
        /// themselves.
        bucket: Option<String> = None,
        /// Whether they are under Object Lock until their time is over: "off", "try" (where the
        /// bucket has it and keeps it), or "require": otherwise neither the gateway nor `ship`
        /// starts.
        worm: Worm = Worm::Try,
        /// Whether nobody can take a lock off before its end, or who holds a right of the store's
        /// to do so.
        worm_mode: WormMode = WormMode::Compliance,
    }
    /// The log, streamed to a receiver of syslog over TLS as it grows (RFC 5424, RFC 5425).
    syslog: Syslog {
        /// The receiver, `siem.example.org:6514`; none for no stream.
        address: Option<String> = None,
        /// The form of a request in a message: "json" is the record's own.
        form: StreamForm = StreamForm::Json,
        /// Only requests that name this project; none for all.
        project: Option<ProjectName> = None,
        /// Certificates to trust, PEM; none for the system's.
        ca_file: Option<PathBuf> = None,
        /// Our own certificate chain, PEM, where the receiver asks for one.
        tls_cert: Option<PathBuf> = None,
        /// Its private key, PEM.
        tls_key: Option<PathBuf> = None,
        /// Whether a connection that just ends, without TLS's `close_notify`, is a receipt. For
        /// receivers that send none (rsyslog with `gtls`). It costs the proof: whoever is on the
        /// path can then take messages away, and they count as received.
        bare_end: bool = false,
    }
    /// The log, streamed to a receiver of OpenTelemetry as it grows (OTLP over HTTP, logs).
    otlp: Otlp {
        /// The receiver, `https://collector.example.org:4318/v1/logs`; none for no stream.
        url: Option<String> = None,
        /// The form of a request in a log record's body: "json" is the record's own.
        form: StreamForm = StreamForm::Json,
        /// Only requests that name this project; none for all.
        project: Option<ProjectName> = None,
        /// Certificates to trust, PEM; none for the system's.
        ca_file: Option<PathBuf> = None,
        /// A file with a bearer token to show; read each time.
        token_file: Option<PathBuf> = None,
    }
    /// Notices to owners, sent to where projects have them sent (`kluis webhook`).
    notices: Notices {
        /// Whether receivers may lie in networks within an organisation (10.0.0.0/8 and such).
        private: bool = false,
        /// Certificates to trust, PEM; none for the system's.
        ca_file: Option<PathBuf> = None,
    }
    /// The rules of access.
    policy: Policy {
        /// A directory with `model.conf` and role files; none for those built in.
        dir: Option<PathBuf> = None,
        /// How often the files are looked at for a change.
        reload_interval: Duration = seconds(5),
        /// Whether commands on the vault's host may approve, describe and publish in the name that
        /// they give. Without it an owner signs herself, and the host founds, proposes and
        /// withdraws. `true` lets who runs the platform act for an owner: for a vault that is one
        /// person's alone, and for tests.
        host_approves: bool = false,
        /// A grant that no review confirms lapses so long after its approval; at least a day.
        review: Duration = DAY.saturating_mul(365),
        /// The same of a grant that lets bytes out, shows the log or loosens locks.
        review_privileged: Duration = DAY.saturating_mul(92),
    }
    /// How confidential data is, in words (`docs/datasets.md`).
    labels: LabelSection {
        /// The labels from the lowest to the highest.
        order: Labels = super::check::labels(),
        /// The label of data that was here before it had to have one.
        unlabelled: Label = super::check::label("internal"),
        /// What principals are cleared for of whom `kluis principal clear` says nothing.
        clearance: Label = super::check::label("internal"),
        /// The highest label that may be uploaded.
        ceiling: Label = super::check::label("secret"),
    }
    /// Jobs of schedulers (`docs/jobs.md`).
    jobs: Jobs {
        /// How long a job's session is good for; its node renews it at two thirds of that. 1s to
        /// 15m.
        session: Duration = Duration::from_millis(crate::types::limits::JOB_SESSION_MS),
    }
    /// Who is believed about who people are.
    identity: Identity {
        /// A file that names issuers of tokens and their keys (`docs/sign-in.md`); none for none.
        issuers: Option<PathBuf> = None,
        /// How often the file, and keys in files, are looked at for a change.
        reload_interval: Duration = seconds(5),
    }
    /// The removal of what nothing refers to.
    sweep: Sweep {
        /// How old an unreferred blob is before it is removed; at least a day.
        grace: Duration = DAY,
        /// How often it runs; the lifecycles of datasets are applied before.
        interval: Duration = Duration::from_hours(1),
        /// How long nothing came of an unfinished upload before it is aborted.
        /// A legal hold on its dataset keeps it.
        upload_age: Duration = DAY.saturating_mul(7),
    }
    /// The operator's log. It is not the audit log, and holds no names and no secrets.
    log: Log {
        /// Text, JSON lines, or text on a terminal and JSON elsewhere.
        format: LogFormat = LogFormat::Auto,
        /// The least important event that is logged.
        level: LogLevel = LogLevel::Info,
    }
}
