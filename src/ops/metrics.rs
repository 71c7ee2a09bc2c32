//! What is counted. Labels are words of the program, never of its users: every one is an enum or
//! `&'static str`, so no name, key or principal can become one.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// One label's name and value, both the program's own words.
type Label = (&'static str, &'static str);

/// What an answer was an answer to, in the edge's own words: an extension of responses, by which
/// the listener counts. Without it the request counts under its HTTP method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation(pub &'static str);

/// A call to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreCall {
    /// A blob is written.
    Put,
    /// A range of a blob is read.
    Get,
    /// A blob is deleted.
    Delete,
    /// Blobs are listed.
    List,
    /// The store is probed.
    Probe,
}

impl StoreCall {
    const fn label(self) -> [Label; 1] {
        let kind = match self {
            Self::Put => "put",
            Self::Get => "get",
            Self::Delete => "delete",
            Self::List => "list",
            Self::Probe => "probe",
        };
        [("call", kind)]
    }
}

/// A latency: 100 µs to 52 s in steps of two.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.0001, 2.0, 20))
}

/// A number of things that share one cost: 1 to 512, the largest group of commits.
fn group() -> Histogram {
    Histogram::new(exponential_buckets(1.0, 2.0, 10))
}

/// A histogram for each of some labels.
type Histograms = Family<[Label; 1], Histogram, fn() -> Histogram>;

/// So many seconds for each of some labels.
type Seconds = Family<[Label; 1], Gauge<f64, AtomicU64>>;

macro_rules! metrics {
    ($($(#[doc = $doc:literal])+ $vis:vis $name:ident: $kind:ty = $make:expr,)*) => {
        /// Everything that is counted. Counting is an atomic addition, and a look-up where labels
        /// are. A field's name, after `kluis_`, is its metric's name.
        pub struct Metrics {
            registry: Registry,
            $($(#[doc = $doc])+ $vis $name: $kind,)*
        }

        impl Metrics {
            /// Makes them all, at nothing.
            #[must_use]
            pub fn new() -> Self {
                let mut registry = Registry::with_prefix("kluis");
                $(
                    let $name: $kind = $make;
                    // The library ends a help text with a full stop of its own.
                    let help = concat!($($doc),+).trim_ascii().trim_end_matches('.');
                    registry.register(stringify!($name), help, $name.clone());
                )*
                Self { registry, $($name,)* }
            }
        }
    };
}

metrics! {
    /// Connections open to the listeners.
    pub connections: Gauge = Gauge::default(),
    /// Connections cut because the client took nothing of an answer.
    pub connections_stalled: Counter = Counter::default(),
    /// Streams of HTTP/2 reset because the client took nothing of an answer.
    pub streams_stalled: Counter = Counter::default(),
    /// Requests given up after `limits.request_time`.
    pub requests_timed_out: Counter = Counter::default(),
    /// Answers whose body is being sent.
    pub streams: Gauge = Gauge::default(),
    /// Bytes of the bodies of requests.
    pub received_bytes: Counter = Counter::default(),
    /// Bytes of the bodies of answers.
    pub sent_bytes: Counter = Counter::default(),
    /// Records that wait to be durable.
    pub journal_queue: Gauge = Gauge::default(),
    /// 1 while the journal accepts records, else 0.
    pub journal_ready: Gauge = Gauge::default(),
    /// Bytes free on the journal's disk.
    pub journal_free_bytes: Gauge = Gauge::default(),
    /// When the TLS certificate ends, in seconds since 1970; 0 without one.
    pub tls_certificate_end_seconds: Gauge = Gauge::default(),
    /// Records made durable.
    pub journal_records: Counter = Counter::default(),
    /// Commits to the catalog.
    pub catalog_commits: Counter = Counter::default(),
    /// For how long the catalog's changes could not be put into a snapshot.
    pub snapshot_lag_seconds: Gauge = Gauge::default(),
    /// Commits to the catalog that no snapshot held when one was last tried.
    pub snapshot_waiting: Gauge = Gauge::default(),
    /// Policies that could not be loaded, so that the last good one stayed.
    pub policy_reload_failures: Counter = Counter::default(),
    /// Looks at the file of issuers that found it, or their keys, at fault.
    pub issuers_reload_failures: Counter = Counter::default(),
    /// Requests by operation and class of status.
    requests: Family<[Label; 2], Counter> = Family::default(),
    /// Time until an answer's head, by operation.
    request_seconds: Histograms = Histograms::new_with_constructor(seconds),
    /// Time of making records durable.
    journal_fsync_seconds: Histogram = seconds(),
    /// Time until the store has a batch of records, where it is the gate of the journal.
    journal_put_seconds: Histogram = seconds(),
    /// Failed calls to the store.
    store_errors: Family<[Label; 1], Counter> = Family::default(),
    /// Time of a call to the store.
    store_call_seconds: Histograms = Histograms::new_with_constructor(seconds),
    /// Requests that receivers of the log's streams have taken.
    stream_requests: Family<[Label; 1], Counter> = Family::default(),
    /// Failures to hand over to receivers of the log's streams.
    stream_failures: Family<[Label; 1], Counter> = Family::default(),
    /// Records that were gone before they could be streamed.
    stream_lost: Family<[Label; 1], Counter> = Family::default(),
    /// Seconds since what a receiver lacks came into the log.
    stream_lag_seconds: Seconds = Family::default(),
    /// Times that the clock of this machine moved.
    pub clock_jumps: Counter = Counter::default(),
    /// Time from a record to the checkpoint that covers it; of each checkpoint its oldest record.
    log_checkpoint_seconds: Histogram = seconds(),
    /// Seconds for which the log waits for its witnesses, or for volumes.
    log_lag_seconds: Seconds = Family::default(),
    /// Commits that shared one transaction.
    catalog_group: Histogram = group(),
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// A request was answered: which operation, with which HTTP status, after what time.
    pub fn request(&self, operation: &'static str, status: u16, time: Duration) {
        let class = match status {
            200..300 => "2xx",
            300..400 => "3xx",
            400..500 => "4xx",
            500..600 => "5xx",
            _ => "other",
        };
        self.requests
            .get_or_create(&[("operation", operation), ("status", class)])
            .inc();
        let label = [("operation", operation)];
        self.request_seconds
            .get_or_create(&label)
            .observe(time.as_secs_f64());
    }

    /// A call to the store ended.
    pub fn store_call(&self, call: StoreCall, time: Duration, good: bool) {
        let label = call.label();
        self.store_call_seconds
            .get_or_create(&label)
            .observe(time.as_secs_f64());
        if !good {
            self.store_errors.get_or_create(&label).inc();
        }
    }

    /// A receiver of a stream took requests; the newest came into the log so long ago.
    pub fn stream_taken(&self, stream: &'static str, requests: u64, lag: Duration) {
        let label = [("stream", stream)];
        self.stream_requests.get_or_create(&label).inc_by(requests);
        let lag = lag.as_secs_f64();
        let _before = self.stream_lag_seconds.get_or_create(&label).set(lag);
    }

    /// A receiver of a stream did not take what came into the log so long ago.
    pub fn stream_failed(&self, stream: &'static str, lag: Duration) {
        let label = [("stream", stream)];
        self.stream_failures.get_or_create(&label).inc();
        let lag = lag.as_secs_f64();
        let _before = self.stream_lag_seconds.get_or_create(&label).set(lag);
    }

    /// Records were gone before they could be streamed.
    pub fn stream_lost(&self, stream: &'static str, records: u64) {
        let label = [("stream", stream)];
        self.stream_lost.get_or_create(&label).inc_by(records);
    }

    /// A checkpoint covers records, of which the oldest was made so long ago.
    pub fn log_checkpointed(&self, lag: Duration) {
        self.log_checkpoint_seconds.observe(lag.as_secs_f64());
    }

    /// How long the log waits for its witnesses and for volumes, where there are such.
    pub fn log_lags(&self, cosigned: Option<Duration>, volumes: Option<Duration>) {
        for (behind, lag) in [("cosigned", cosigned), ("volumes", volumes)] {
            if let Some(lag) = lag {
                let gauge = self.log_lag_seconds.get_or_create(&[("behind", behind)]);
                let _before = gauge.set(lag.as_secs_f64());
            }
        }
    }

    /// The journal was synced, with so many records at once.
    pub fn journal_synced(&self, records: u64, time: Duration) {
        self.journal_records.inc_by(records);
        self.journal_fsync_seconds.observe(time.as_secs_f64());
    }

    /// The store has a batch of the journal's records.
    pub fn journal_put(&self, time: Duration) {
        self.journal_put_seconds.observe(time.as_secs_f64());
    }

    /// The catalog committed a group.
    pub fn catalog_committed(&self, commits: u32) {
        self.catalog_commits.inc_by(u64::from(commits));
        self.catalog_group.observe(f64::from(commits));
    }

    /// `OpenMetrics` text, version 1.0.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    #[test]
    fn what_is_counted_shows() {
        let metrics = Metrics::new();
        metrics.request("GetObject", 206, MILLI);
        metrics.request("GetObject", 403, MILLI);
        metrics.request("GetObject", 404, MILLI);
        metrics.store_call(StoreCall::Get, MILLI, true);
        metrics.store_call(StoreCall::Get, MILLI, false);
        metrics.journal_synced(7, MILLI);
        metrics.journal_put(MILLI);
        metrics.catalog_committed(3);
        metrics.sent_bytes.inc_by(4096);
        metrics.connections.inc();
        let text = metrics.text().expect("encodes");
        for line in [
            r#"kluis_requests_total{operation="GetObject",status="2xx"} 1"#,
            r#"kluis_requests_total{operation="GetObject",status="4xx"} 2"#,
            r#"kluis_request_seconds_count{operation="GetObject"} 3"#,
            r#"kluis_store_call_seconds_count{call="get"} 2"#,
            r#"kluis_store_errors_total{call="get"} 1"#,
            "kluis_journal_records_total 7",
            "kluis_journal_fsync_seconds_count 1",
            "kluis_journal_put_seconds_count 1",
            "kluis_catalog_commits_total 3",
            "kluis_catalog_group_sum 3.0",
            "kluis_sent_bytes_total 4096",
            "kluis_connections 1",
            "# EOF",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn a_status_that_is_none_is_counted_as_other() {
        let metrics = Metrics::new();
        metrics.request("GetObject", 0, MILLI);
        metrics.request("GetObject", 999, MILLI);
        let text = metrics.text().expect("encodes");
        assert!(text.contains(r#"status="other"} 2"#), "{text}");
    }

    #[test]
    fn metrics_are_shared_between_threads() {
        static_assertions::assert_impl_all!(Metrics: Send, Sync);
    }
}
