//! Load for any S3 endpoint: GET or PUT over N connections for T seconds, and what it cost the
//! server.
//!
//! Prints one line of JSON: requests, errors, requests and bytes per second, latencies, and of the
//! processes named by `--pid` the CPU seconds and the largest resident memory. The requests are
//! signed in the header with `UNSIGNED-PAYLOAD`, by a signer that keeps its key, so that the load
//! generator takes as little as it can of a machine that it shares with the server.
//!
//! ```text
//! cargo build --release --features measure --bin kload
//! target/release/kload --env owner.env fill --size 4096 --objects 1000
//! target/release/kload --env owner.env get --size 4096 --objects 1000 --connections 16
//! ```

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a tool for measuring: it reads clocks and prints figures"
)]

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::{Parser, ValueEnum};
use data_encoding::HEXLOWER;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use ring::rand::{SecureRandom, SystemRandom};
use ring::{digest, hmac};
use serde_json::json;
use time::OffsetDateTime;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A connection that fails this often in a row gives up, so that a dead server ends the run.
const FAILURES_IN_A_ROW_MAX: u32 = 20;
/// A signature may be this old; far below the quarter of an hour that servers allow.
const DATE_SECONDS_MAX: u64 = 30;
const CLOCK_TICKS_PER_SECOND: f64 = 100.0; // USER_HZ: fixed at 100 on Linux for /proc.

#[derive(Parser)]
#[command(about = "Load for any S3 endpoint, and what it cost the server")]
struct Args {
    /// What every request does; `fill` writes each object once and ends
    op: Op,
    /// Env file with `AWS_ENDPOINT_URL`, credentials, `AWS_REGION` and `KLUIS_BUCKET`
    #[arg(long)]
    env: PathBuf,
    /// Names of the objects start with this
    #[arg(long, default_value = "kload/")]
    prefix: String,
    /// Size of each object in bytes
    #[arg(long, default_value_t = 4096)]
    size: usize,
    /// Number of objects
    #[arg(long, default_value_t = 64)]
    objects: u64,
    /// Connections at the same time
    #[arg(long, default_value_t = 8)]
    connections: u64,
    /// Seconds that the load lasts
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Processes whose CPU time and memory are measured
    #[arg(long)]
    pid: Vec<u32>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Op {
    Get,
    Head,
    Put,
    Fill,
}

/// Where requests go and who signs them.
struct Target {
    authority: String,
    bucket: String,
    region: String,
    access_key: String,
    secret: String,
}

impl Target {
    /// Reads `NAME=value` lines, with or without `export` and quotes.
    fn load(path: &PathBuf) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(path)?;
        let values: HashMap<&str, &str> = text
            .lines()
            .filter_map(|line| line.trim_start_matches("export ").split_once('='))
            .map(|(name, value)| (name.trim(), value.trim().trim_matches(['"', '\''])))
            .collect();
        let get = |name: &str| {
            let missing = || format!("{} lacks {name}", path.display());
            values
                .get(name)
                .map(ToString::to_string)
                .ok_or_else(missing)
        };
        let endpoint = get("AWS_ENDPOINT_URL")?;
        let authority = endpoint
            .strip_prefix("http://")
            .ok_or("only http:// endpoints are measured")?;
        Ok(Self {
            authority: authority.trim_end_matches('/').to_owned(),
            bucket: get("KLUIS_BUCKET")?,
            region: get("AWS_REGION")?,
            access_key: get("AWS_ACCESS_KEY_ID")?,
            secret: get("AWS_SECRET_ACCESS_KEY")?,
        })
    }
}

/// Signs with one date for some seconds, and with the key of that day.
struct Signer {
    target: Arc<Target>,
    since: Instant,
    date: String,
    scope: String,
    key: hmac::Key,
}

impl Signer {
    fn new(target: Arc<Target>) -> Self {
        let now = OffsetDateTime::now_utc();
        let day = format!(
            "{:04}{:02}{:02}",
            now.year(),
            u8::from(now.month()),
            now.day()
        );
        let date = format!(
            "{day}T{:02}{:02}{:02}Z",
            now.hour(),
            now.minute(),
            now.second()
        );
        let mut key = hmac::Key::new(
            hmac::HMAC_SHA256,
            format!("AWS4{}", target.secret).as_bytes(),
        );
        for step in [day.as_str(), target.region.as_str(), "s3", "aws4_request"] {
            let tag = hmac::sign(&key, step.as_bytes());
            key = hmac::Key::new(hmac::HMAC_SHA256, tag.as_ref());
        }
        let scope = format!("{day}/{}/s3/aws4_request", target.region);
        Self {
            target,
            since: Instant::now(),
            date,
            scope,
            key,
        }
    }

    fn request(
        &mut self,
        method: &Method,
        key: &str,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, Failure> {
        if self.since.elapsed().as_secs() > DATE_SECONDS_MAX {
            *self = Self::new(Arc::clone(&self.target));
        }
        let path = format!("/{}/{key}", self.target.bucket);
        let canonical = format!(
            "{method}\n{path}\n\nhost:{}\nx-amz-content-sha256:UNSIGNED-PAYLOAD\nx-amz-date:{}\n\n\
             host;x-amz-content-sha256;x-amz-date\nUNSIGNED-PAYLOAD",
            self.target.authority, self.date
        );
        let hash = HEXLOWER.encode(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
        let text = format!("AWS4-HMAC-SHA256\n{}\n{}\n{hash}", self.date, self.scope);
        let signature = HEXLOWER.encode(hmac::sign(&self.key, text.as_bytes()).as_ref());
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{}, SignedHeaders=host;x-amz-content-sha256;x-amz-date, \
             Signature={signature}",
            self.target.access_key, self.scope
        );
        Ok(Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.target.authority)
            .header("x-amz-date", &self.date)
            .header("x-amz-content-sha256", "UNSIGNED-PAYLOAD")
            .header("authorization", authorization)
            .header("content-length", body.len())
            .body(Full::new(body))?)
    }
}

/// A connection that acknowledges at once what it receives. Some servers send the head of an answer
/// and its body apart with Nagle's algorithm on: against them every load would measure the 40 ms by
/// which a system delays an acknowledgement, and a proxy before them would seem to cost nothing.
struct Prompt(TcpStream);

impl AsyncRead for Prompt {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Prompt {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.0).poll_write(cx, buf)?;
        // Sending turns the delay on again.
        self.0.set_quickack(true)?;
        polled.map(Ok)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

async fn connect(authority: &str) -> Result<SendRequest<Full<Bytes>>, Failure> {
    let stream = TcpStream::connect(authority).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(Prompt(stream))).await?;
    // Ends with the sender; its error shows up in the request that it carried.
    drop(tokio::spawn(connection));
    Ok(sender)
}

/// What one connection did.
#[derive(Default)]
struct Tally {
    micros: Vec<u32>,
    bytes: u64,
    errors: u64,
    last_error: String,
}

/// What all connections share.
struct Plan {
    target: Arc<Target>,
    op: Op,
    prefix: String,
    body: Bytes,
    objects: u64,
    connections: u64,
    next: AtomicU64,
    over: AtomicBool,
}

impl Plan {
    /// The number of the next object, or `None` when the work is done.
    fn take(&self) -> Option<u64> {
        if self.over.load(Ordering::Relaxed) {
            return None;
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        match self.op {
            Op::Fill => (number < self.objects).then_some(number),
            Op::Get | Op::Head | Op::Put => Some(number % self.objects),
        }
    }
}

/// Sends one request and reads its answer to the end; returns the bytes of the object that moved.
async fn exchange(
    sender: &mut SendRequest<Full<Bytes>>,
    signer: &mut Signer,
    plan: &Plan,
    number: u64,
) -> Result<u64, Failure> {
    let (method, body) = match plan.op {
        Op::Get => (Method::GET, Bytes::new()),
        Op::Head => (Method::HEAD, Bytes::new()),
        Op::Put | Op::Fill => (Method::PUT, plan.body.clone()),
    };
    let request = signer.request(&method, &format!("{}{number}", plan.prefix), body)?;
    sender.ready().await?;
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    let mut body = answer.into_body();
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        bytes += frame?.data_ref().map_or(0, Bytes::len);
    }
    if status != StatusCode::OK {
        return Err(format!("{method} answered {status}").into());
    }
    if plan.op == Op::Get && bytes != plan.body.len() {
        return Err(format!("GET answered {bytes} bytes, not {}", plan.body.len()).into());
    }
    let moved = if plan.op == Op::Head {
        0
    } else {
        plan.body.len()
    };
    Ok(u64::try_from(moved)?)
}

/// One connection: request after request until the plan is done; connects again after an error.
async fn work(plan: Arc<Plan>) -> Tally {
    let mut tally = Tally::default();
    let mut signer = Signer::new(Arc::clone(&plan.target));
    let mut sender = None;
    let mut failures_in_a_row = 0;
    while let Some(number) = plan.take() {
        let start = Instant::now();
        let outcome = async {
            let mut open = match sender.take() {
                Some(open) => open,
                None => connect(&plan.target.authority).await?,
            };
            let bytes = exchange(&mut open, &mut signer, &plan, number).await?;
            Ok::<_, Failure>((bytes, open))
        }
        .await;
        match outcome {
            Ok((bytes, open)) => {
                tally
                    .micros
                    .push(u32::try_from(start.elapsed().as_micros()).unwrap_or(u32::MAX));
                tally.bytes += bytes;
                sender = Some(open);
                failures_in_a_row = 0;
            }
            Err(error) => {
                tally.errors += 1;
                tally.last_error = error.to_string();
                failures_in_a_row += 1;
                if failures_in_a_row >= FAILURES_IN_A_ROW_MAX {
                    break;
                }
            }
        }
    }
    tally
}

/// CPU seconds that a process has used, its ended threads included; 0 for one that is gone.
fn cpu_seconds(pid: u32) -> f64 {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return 0.0;
    };
    // The name in parentheses may hold spaces; user and system time are fields 14 and 15.
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    ticks as f64 / CLOCK_TICKS_PER_SECOND
}

fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

/// The largest sum of resident memory, sampled ten times a second until the plan is over.
async fn watch_memory(plan: Arc<Plan>, pids: Vec<u32>) -> u64 {
    let mut largest = 0;
    while !plan.over.load(Ordering::Relaxed) {
        largest = largest.max(pids.iter().map(|pid| resident_kib(*pid)).sum());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    largest
}

/// The value below which `share` of the sorted values lie, in microseconds.
fn percentile(sorted: &[u32], share: f64) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index into a list, of a share between 0 and 1"
    )]
    let place = (sorted.len() as f64 * share) as usize;
    sorted
        .get(place.min(sorted.len().saturating_sub(1)))
        .copied()
        .unwrap_or(0)
}

async fn run(args: Args) -> Result<bool, Failure> {
    let target = Arc::new(Target::load(&args.env)?);
    let plan = Arc::new(Plan {
        target,
        op: args.op,
        prefix: args.prefix.clone(),
        body: incompressible(args.size)?,
        objects: args.objects.max(1),
        connections: args.connections.max(1),
        next: AtomicU64::new(0),
        over: AtomicBool::new(false),
    });
    let cpu_before: f64 = args.pid.iter().map(|pid| cpu_seconds(*pid)).sum();
    let start = Instant::now();
    let memory = tokio::spawn(watch_memory(Arc::clone(&plan), args.pid.clone()));
    let workers: Vec<_> = (0..plan.connections)
        .map(|_| tokio::spawn(work(Arc::clone(&plan))))
        .collect();
    if args.op != Op::Fill {
        tokio::time::sleep(Duration::from_secs_f64(args.seconds)).await;
        plan.over.store(true, Ordering::Relaxed);
    }
    let mut total = Tally::default();
    for worker in workers {
        let tally = worker.await?;
        total.micros.extend(tally.micros);
        total.bytes += tally.bytes;
        total.errors += tally.errors;
        if tally.errors > 0 {
            total.last_error = tally.last_error;
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    plan.over.store(true, Ordering::Relaxed);
    let cpu: f64 = args.pid.iter().map(|pid| cpu_seconds(*pid)).sum::<f64>() - cpu_before;
    let resident = memory.await?;
    let good = total.errors == 0 && !total.micros.is_empty();
    println!("{}", report(&args, total, seconds, cpu, resident));
    Ok(good)
}

fn report(
    args: &Args,
    mut total: Tally,
    seconds: f64,
    cpu: f64,
    resident_kib: u64,
) -> serde_json::Value {
    total.micros.sort_unstable();
    let requests = total.micros.len() as f64;
    let gigabytes = total.bytes as f64 / 1e9;
    json!({
        "op": args.op.to_possible_value().map(|value| value.get_name().to_owned()),
        "size": args.size,
        "connections": args.connections,
        "seconds": seconds,
        "requests": total.micros.len(),
        "errors": total.errors,
        "last_error": total.last_error,
        "requests_per_s": requests / seconds,
        "mb_per_s": total.bytes as f64 / 1e6 / seconds,
        "p50_us": percentile(&total.micros, 0.50),
        "p99_us": percentile(&total.micros, 0.99),
        "max_us": total.micros.last().copied().unwrap_or(0),
        "cpu_s": cpu,
        "cpu_us_per_request": if requests > 0.0 { cpu * 1e6 / requests } else { 0.0 },
        "cpu_s_per_gb": if gigabytes > 0.0 { cpu / gigabytes } else { 0.0 },
        "resident_mib": resident_kib / 1024,
    })
}

/// Bytes that repeat after a prime number of them, so that no segment is like the next, and that
/// no store can compress: what Kluis sends it cannot be compressed either, and a store that packs
/// only the plaintext would be compared with one that packs nothing.
fn incompressible(size: usize) -> Result<Bytes, Failure> {
    const PERIOD: usize = 1_048_583;
    let mut block = vec![0; size.min(PERIOD)];
    SystemRandom::new()
        .fill(&mut block)
        .map_err(|_unspecified| "the system has no randomness to give")?;
    Ok(block.into_iter().cycle().take(size).collect())
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    if run(Args::parse()).await? {
        Ok(())
    } else {
        Err("there were errors".into())
    }
}
