//! Rules that a value must keep, alone or beside another. Pure: nothing is opened here.

use std::time::Duration;

use super::problem::{Fault, Problem};
use super::settings::{Config, LabelSection, Limits, Server, Store, Straight, Volumes};
use super::value::{ByteSize, GateKind, PlainHttp, RootKind, StoreKind, Worm};
use crate::types::{Label, Labels, ProjectName, limits};

const DAY: Duration = Duration::from_hours(24);
const HOUR: Duration = Duration::from_hours(1);
const TICK: Duration = Duration::from_millis(100);

/// The default of `labels.order`.
pub(super) fn labels() -> Labels {
    #[cfg_attr(
        not(test),
        expect(clippy::expect_used, reason = "a constant; the tests below read it")
    )]
    let order = "public < internal < confidential < secret"
        .parse()
        .expect("an order");
    order
}

/// One of the labels above.
pub(super) fn label(name: &str) -> Label {
    #[cfg_attr(
        not(test),
        expect(clippy::expect_used, reason = "constants; the tests below read them")
    )]
    let label = name.parse().expect("a label");
    label
}

/// The default of `server.default_project`.
pub(super) fn default_project() -> ProjectName {
    #[cfg_attr(
        not(test),
        expect(clippy::expect_used, reason = "a constant; the tests below read it")
    )]
    let name = "main".parse().expect("`main` is a name");
    name
}

/// Collects what does not hold.
#[derive(Default)]
struct Rules(Vec<Problem>);

impl Rules {
    fn hold(&mut self, holds: bool, key: &'static str, rule: &'static str, hint: &'static str) {
        if !holds {
            self.0.push(Problem {
                place: None,
                fault: Fault::Rule { key, rule, hint },
            });
        }
    }

    fn time(&mut self, key: &'static str, time: Duration, max: Duration) {
        self.hold(
            (TICK..=max).contains(&time),
            key,
            "is out of range",
            "it is at least 100ms, and no longer than an hour where it bounds a wait, 3650d \
             elsewhere",
        );
    }
}

impl Config {
    /// Every rule that this configuration breaks.
    pub(super) fn faults(&self) -> Vec<Problem> {
        let mut rules = Rules::default();
        server(&mut rules, &self.server);
        bounds(&mut rules, &self.limits);
        rules.hold(
            self.ops.listen.ip().is_loopback() || self.ops.allow_remote,
            "ops.listen",
            "is not a loopback address",
            "health and metrics are plain HTTP without credentials: listen on 127.0.0.1, or set \
             ops.allow_remote = true where a firewall guards the port",
        );
        rules.hold(
            self.ops.listen.port() == 0 || self.ops.listen != self.server.listen,
            "ops.listen",
            "is the address of the S3 listener",
            "give health and metrics a port of their own",
        );
        store(&mut rules, &self.store);
        straight(&mut rules, &self.straight, &self.store);
        volumes(&mut rules, &self.volumes, &self.store);
        root(&mut rules, self);
        keepers(&mut rules, self);
        self.rest(&mut rules);
        rules.0
    }

    fn rest(&self, rules: &mut Rules) {
        rules.time(
            "catalog.snapshot_interval",
            self.catalog.snapshot_interval,
            DAY,
        );
        rules.hold(
            self.catalog.listed_max > 0,
            "catalog.listed_max",
            "is out of range",
            "a vault has at least one blob",
        );
        journal(rules, self);
        rules.time("proof.interval", self.proof.interval, HOUR);
        let origin = self.proof.origin.as_deref().unwrap_or("kluis");
        rules.hold(
            (1..=200).contains(&origin.len())
                && !origin.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+'),
            "proof.origin",
            "is not a log's name",
            "write it like a URL without its scheme, \"vault.example.org/log\": no spaces, no +",
        );
        rules.hold(
            self.syslog.tls_cert.is_some() == self.syslog.tls_key.is_some(),
            "syslog.tls_cert",
            "and `syslog.tls_key` go together",
            "set both where the receiver asks for a certificate, else none",
        );
        rules.time("policy.reload_interval", self.policy.reload_interval, HOUR);
        rules.time(
            "identity.reload_interval",
            self.identity.reload_interval,
            HOUR,
        );
        label_names(rules, &self.labels);
        sessions(rules, self.jobs.session);
        let long = DAY.saturating_mul(3650);
        for (name, time) in [
            ("policy.review", self.policy.review),
            ("policy.review_privileged", self.policy.review_privileged),
        ] {
            rules.hold(
                (DAY..=long).contains(&time),
                name,
                "is out of range",
                "reviews are at least 1d and at most 3650d apart",
            );
        }
        rules.hold(
            (DAY..=long).contains(&self.sweep.grace),
            "sweep.grace",
            "is out of range",
            "it is at least 1d: a younger blob may belong to a write that is still running",
        );
        rules.time("sweep.interval", self.sweep.interval, long);
        rules.hold(
            (DAY..=long).contains(&self.sweep.upload_age),
            "sweep.upload_age",
            "is out of range",
            "it is at least 1d: an upload may rest over night",
        );
    }
}

fn sessions(rules: &mut Rules, session: Duration) {
    let most = Duration::from_millis(limits::JOB_SESSION_MS);
    rules.hold(
        (Duration::from_secs(1)..=most).contains(&session),
        "jobs.session",
        "is out of range",
        "it is 1s to 15m: a node that is lost is to be worth nothing soon",
    );
}

fn label_names(rules: &mut Rules, labels: &LabelSection) {
    for (name, label) in [
        ("labels.unlabelled", &labels.unlabelled),
        ("labels.clearance", &labels.clearance),
        ("labels.ceiling", &labels.ceiling),
    ] {
        rules.hold(
            labels.order.rank(label).is_some(),
            name,
            "is not one of `labels.order`",
            "name one of the labels that stand there",
        );
    }
}

fn server(rules: &mut Rules, server: &Server) {
    let tls = server.tls_cert.is_some() && server.tls_key.is_some();
    rules.hold(
        server.tls_cert.is_some() == server.tls_key.is_some(),
        "server.tls_cert",
        "and `server.tls_key` go together",
        "set both for TLS, none for plain HTTP",
    );
    rules.hold(
        tls || server.listen.ip().is_loopback() || server.plain_http == PlainHttp::Allow,
        "server.listen",
        "would speak plain HTTP to other machines",
        "set server.tls_cert and server.tls_key, listen on 127.0.0.1, or set \
         server.plain_http = \"allow\" where something in front ends TLS",
    );
    rules.hold(
        word(&server.region, 32),
        "server.region",
        "is not a region",
        "1 to 32 of a-z, 0-9 and -",
    );
    let domain = server.domain.as_deref().unwrap_or("localhost");
    rules.hold(
        domain.len() <= 190 && domain.split('.').all(|label| word(label, 63)),
        "server.domain",
        "is not a domain",
        "write it like \"s3.example.org\": lower case, no scheme, no port",
    );
    rules.time(
        "server.tls_reload_interval",
        server.tls_reload_interval,
        HOUR,
    );
    rules.hold(
        server.shutdown_wait <= DAY,
        "server.shutdown_wait",
        "is out of range",
        "it is at most 1d",
    );
}

fn bounds(rules: &mut Rules, limits: &Limits) {
    rules.hold(
        (1..=1_000_000).contains(&limits.connections_max),
        "limits.connections_max",
        "is out of range",
        "it is 1 to 1000000; each open connection costs memory and a file descriptor",
    );
    rules.hold(
        (1..=1000).contains(&limits.connection_streams_max),
        "limits.connection_streams_max",
        "is out of range",
        "it is 1 to 1000",
    );
    rules.hold(
        (ByteSize(16 << 10)..=ByteSize(1 << 20)).contains(&limits.header_bytes_max),
        "limits.header_bytes_max",
        "is out of range",
        "it is 16KiB to 1MiB: S3 allows 8 KiB of metadata, and a stalled client holds it twice",
    );
    rules.hold(
        limits.failed_attempts <= 1_000_000,
        "limits.failed_attempts",
        "is out of range",
        "it is 0 to 1000000",
    );
    rules.time("limits.header_timeout", limits.header_timeout, HOUR);
    rules.time("limits.keep_alive", limits.keep_alive, HOUR);
    rules.time("limits.idle_timeout", limits.idle_timeout, HOUR);
    rules.time("limits.request_time", limits.request_time, HOUR);
}

fn straight(rules: &mut Rules, straight: &Straight, store: &Store) {
    rules.hold(
        straight.projects.is_empty() || store.kind == StoreKind::S3,
        "straight.projects",
        "needs an S3 store",
        "a directory gives no URLs: mounts read through the gateway",
    );
    rules.hold(
        straight.endpoint.as_deref().is_none_or(endpoint),
        "straight.endpoint",
        "is not the URL of an S3 store",
        "write it like \"https://s3.example.org\"; credentials do not belong in it",
    );
}

fn journal(rules: &mut Rules, config: &Config) {
    let file = limits::JOURNAL_FILE_BYTES..=limits::JOURNAL_FILE_BYTES_MAX;
    rules.hold(
        file.contains(&config.journal.file_bytes.get()),
        "journal.file_bytes",
        "is out of range",
        "it is 16MiB to 64MiB: half of a file holds the completions of all open requests, and \
         no reader opens a larger one",
    );
    let wait_max = Duration::from_millis(limits::JOURNAL_WAIT_MS_MAX);
    rules.hold(
        (TICK..=wait_max).contains(&config.journal.wait),
        "journal.wait",
        "is out of range",
        "it is 100ms to 5s: a client that waits longer has gone",
    );
    rules.hold(
        config.journal.gate != GateKind::Store || config.catalog.snapshot_wait,
        "journal.gate",
        "is \"store\", and the catalog's changes are not waited for",
        "set catalog.snapshot_wait = true: a lost directory takes the catalog with it, and what \
         was acknowledged must be in the store; or journal.gate = \"both\" on a disk that stays",
    );
}

fn volumes(rules: &mut Rules, volumes: &Volumes, store: &Store) {
    let s3 = store.kind == StoreKind::S3;
    rules.hold(
        s3 || volumes.worm != Worm::Require,
        "volumes.worm",
        "needs an S3 store",
        "a directory locks nothing that its owner cannot unlock: use a bucket with Object Lock, \
         or set volumes.worm = \"try\"",
    );
    let name = volumes.bucket.as_deref();
    rules.hold(
        name.is_none_or(|name| s3 && is_bucket(name)),
        "volumes.bucket",
        "is not a bucket of an S3 store",
        "3 to 63 of a-z, 0-9, . and -, with `store.kind = \"s3\"`",
    );
}

/// What keeps the root is described where it is needed.
fn root(rules: &mut Rules, config: &Config) {
    let transit = &config.transit;
    let used = config.keys.root == RootKind::Transit;
    let url = transit.url.as_deref();
    rules.hold(
        !used || url.is_some_and(endpoint),
        "transit.url",
        "is not the URL of a key service",
        "write it like \"https://bao.example.org:8200\"; `keys.root = \"transit\"` needs it",
    );
    rules.hold(
        !used || transit.token_file.is_some(),
        "transit.token_file",
        "is not set",
        "name a file with the key service's token; `keys.root = \"transit\"` needs it",
    );
    for (name, text) in [
        ("transit.mount", &transit.mount),
        ("transit.key", &transit.key),
    ] {
        let good = text.len() <= 128 && text.split('/').all(|part| plain(part) && part != "..");
        rules.hold(
            good,
            name,
            "is not a name of the key service",
            "parts of A-Z, a-z, 0-9, ., _ and -, with / between them and none at the ends",
        );
    }
}

/// A token and a plugin, where one keeps the root.
fn keepers(rules: &mut Rules, config: &Config) {
    let (token, plugin) = (&config.pkcs11, &config.plugin);
    let used = config.keys.root == RootKind::Pkcs11;
    let module = token.module.as_deref();
    rules.hold(
        !used || module.is_some_and(std::path::Path::is_absolute),
        "pkcs11.module",
        "is not set",
        "name the library of the token's maker; `keys.root = \"pkcs11\"` needs it",
    );
    let label = |text: &str| (1..=64).contains(&text.len()) && !text.contains(char::is_control);
    rules.hold(
        token.token.as_deref().map_or(!used, label),
        "pkcs11.token",
        "is not a token's label",
        "write what `pkcs11-tool -L` shows; `keys.root = \"pkcs11\"` needs it",
    );
    rules.hold(
        token.serial.as_deref().is_none_or(label) && label(&token.key),
        "pkcs11.key",
        "or `pkcs11.serial` is none",
        "1 to 64 bytes each",
    );
    let used = config.keys.root == RootKind::Plugin;
    rules.hold(
        !used || plugin.identity.is_some(),
        "plugin.identity",
        "is not set",
        "name the file of the plugin's identity; `keys.root = \"plugin\"` needs it",
    );
    let second = Duration::from_secs(1);
    for (name, wait) in [("pkcs11.wait", token.wait), ("plugin.wait", plugin.wait)] {
        rules.hold(
            (second..=second.saturating_mul(600)).contains(&wait),
            name,
            "is too short or too long",
            "1s to 10m",
        );
    }
}

fn endpoint(url: &str) -> bool {
    let host = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"));
    host.is_some_and(|host| !host.is_empty() && !host.contains(['?', '#', '@', ' ']))
}

fn is_bucket(name: &str) -> bool {
    (3..=63).contains(&name.len()) && name.split('.').all(|part| word(part, 63))
}

fn store(rules: &mut Rules, store: &Store) {
    if store.kind == StoreKind::S3 {
        rules.hold(
            endpoint(store.endpoint.as_deref().unwrap_or_default()),
            "store.endpoint",
            "is not the URL of an S3 store",
            "write it like \"https://s3.example.org\"; credentials do not belong in it",
        );
        let bucket = store.bucket.as_deref().unwrap_or_default();
        rules.hold(
            is_bucket(bucket),
            "store.bucket",
            "is not the name of a bucket",
            "3 to 63 of a-z, 0-9, - and .; the bucket must be there",
        );
    }
    rules.hold(
        word(&store.region, 64),
        "store.region",
        "is not a region",
        "write what the store expects",
    );
    let prefix = store.prefix.as_deref().unwrap_or("kluis");
    rules.hold(
        prefix.len() <= 512 && prefix.split('/').all(|part| plain(part) && part != ".."),
        "store.prefix",
        "is not a prefix",
        "parts of A-Z, a-z, 0-9, ., _ and -, with / between them and none at the ends",
    );
    rules.hold(
        (1..=65_536).contains(&store.connections_max),
        "store.connections_max",
        "is out of range",
        "it is 1 to 65536",
    );
    rules.hold(
        store.retries <= 20,
        "store.retries",
        "is out of range",
        "it is at most 20",
    );
    rules.time("store.connect_timeout", store.connect_timeout, HOUR);
    rules.time("store.header_timeout", store.header_timeout, HOUR);
    rules.time("store.idle_timeout", store.idle_timeout, HOUR);
    rules.hold(
        store.access_key_id_file.is_some() == store.secret_access_key_file.is_some(),
        "store.access_key_id_file",
        "and `store.secret_access_key_file` go together",
        "set both, or none and use the environment",
    );
}

/// `a-z 0-9 -`, not empty, no hyphen at an end.
fn word(text: &str, bytes_max: usize) -> bool {
    (1..=bytes_max).contains(&text.len())
        && text
            .bytes()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn plain(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
