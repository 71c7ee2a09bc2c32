//! Reading from the store itself, under URLs that the gateway gives for a minute. The store is
//! believed nothing: what it sends is opened as what comes from the gateway is. Where it is not
//! reached, refuses or is wrong, the gateway is asked instead.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_LENGTH, HOST, RANGE};
use http::{Method, Request, Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout};

use super::GatewayError;
use super::gateway::Gateway;
use super::line::{Lines, Patience, Take};
use super::opening::Wanted;
use super::version::Version;
use crate::store::s3::Dialer;
use crate::types::{BlobId, limits};
use crate::wire::{ObjectBlobs, PresignedUrls, UrlsRequest};

/// With the store: short, since the gateway can be asked instead.
const LINE: Patience = Patience {
    dial: Duration::from_secs(2),
    head: Duration::from_secs(5),
    idle: Duration::from_secs(5),
};
/// How long one chunk may take altogether, however steadily it drips.
const CHUNK_MAX: Duration = Duration::from_secs(30);
/// How long the store is left alone once it was not reached, or refused.
const REST: Duration = Duration::from_secs(15);
/// How long before its end a URL is no longer used: clocks differ, and a request takes time.
const MARGIN: Duration = Duration::from_secs(15);

/// A URL and until when it is used.
type Url = (Arc<Uri>, Instant);

/// The store, as nodes see it.
pub(super) struct Straight {
    ca_file: Option<PathBuf>,
    urls: Mutex<HashMap<BlobId, Url>>,
    /// The connections, and what they lead to.
    lines: Mutex<Option<(String, Arc<Lines>)>>,
    resting: Mutex<Option<Instant>>,
    /// One question at a time: who waits finds the answer there.
    asking: tokio::sync::Mutex<()>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Straight {
    pub(super) fn new(gateway: &Gateway) -> Self {
        Self {
            ca_file: gateway.ca_file(),
            urls: Mutex::default(),
            lines: Mutex::default(),
            resting: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
        }
    }

    /// Whether the store is to be tried now.
    pub(super) fn ready(&self) -> bool {
        lock(&self.resting).is_none_or(|until| Instant::now() >= until)
    }

    fn rest(&self) {
        *lock(&self.resting) = Some(Instant::now() + REST);
    }

    fn here(&self, blob: &BlobId) -> Option<Arc<Uri>> {
        let urls = lock(&self.urls);
        let (url, until) = urls.get(blob)?;
        (Instant::now() < *until).then(|| Arc::clone(url))
    }

    /// The URL of the first of an object's blobs; those of the others are asked for with it.
    pub(super) async fn url(
        &self,
        version: &Version,
        key: &str,
        blobs: &[BlobId],
    ) -> Option<Arc<Uri>> {
        let first = blobs.first()?;
        if !self.ready() {
            return None;
        }
        if let Some(url) = self.here(first) {
            return Some(url);
        }
        self.ask(version, &[(key, blobs.to_vec())]).await;
        self.here(first)
    }

    /// Asks for the URLs of objects' blobs that are not here.
    pub(super) async fn ask(&self, version: &Version, objects: &[(&str, Vec<BlobId>)]) {
        let _one = self.asking.lock().await;
        let mut wanted = Vec::new();
        for (key, blobs) in objects {
            let missing = blobs.iter().filter(|blob| self.here(blob).is_none());
            let blobs: Vec<String> = missing.map(ToString::to_string).collect();
            if !blobs.is_empty() {
                wanted.push(ObjectBlobs {
                    key: (*key).to_owned(),
                    blobs,
                });
            }
        }
        if wanted.is_empty() {
            return;
        }
        let body = serde_json::to_vec(&UrlsRequest { objects: wanted }).unwrap_or_default();
        let asking = version.asking(Method::POST, "urls", String::new(), body.into());
        // The URLs' life counts from before the question.
        let asked = Instant::now();
        let answer = match version.gateway().once(&asking).await {
            Ok(answer) => serde_json::from_slice::<PresignedUrls>(&answer).ok(),
            Err(error) => {
                tracing::debug!(%error, "no URLs of the store");
                None
            }
        };
        let Some(answer) = answer else {
            return self.rest();
        };
        let life = Duration::from_secs(answer.seconds.min(limits::STRAIGHT_SECONDS));
        let until = asked + life.saturating_sub(MARGIN);
        let mut urls = lock(&self.urls);
        if urls.len() > limits::NODE_KEYS_MAX {
            urls.retain(|_, (_, until)| Instant::now() < *until);
        }
        for given in answer.urls {
            if let (Ok(blob), Ok(url)) = (given.blob.parse(), given.url.parse::<Uri>())
                && urls.len() <= limits::NODE_KEYS_MAX.saturating_mul(2)
            {
                urls.insert(blob, (Arc::new(url), until));
            }
        }
    }

    /// The connections to where a URL leads.
    fn lines(&self, url: &Uri) -> Result<Arc<Lines>, GatewayError> {
        let none = || GatewayError::Unreachable("a URL of the store is none".into());
        let scheme = url.scheme_str().ok_or_else(none)?;
        let authority = url.authority().ok_or_else(none)?;
        let server = format!("{scheme}://{authority}");
        let mut lines = lock(&self.lines);
        if let Some((known, lines)) = lines.as_ref()
            && *known == server
        {
            return Ok(Arc::clone(lines));
        }
        let dialer = Dialer::to_url(&server, self.ca_file.as_deref())
            .map_err(|error| GatewayError::broken(&error))?;
        let made = Arc::new(Lines::new(dialer, limits::STRAIGHT_CONNECTIONS_MAX, LINE));
        *lines = Some((server, Arc::clone(&made)));
        Ok(made)
    }

    /// Reads the sealed bytes of a chunk.
    pub(super) async fn read(
        &self,
        url: &Uri,
        wanted: &Wanted,
        take: Take<'_>,
    ) -> Result<(), GatewayError> {
        let lines = self.lines(url)?;
        let make = || {
            let path = url
                .path_and_query()
                .map_or("/", http::uri::PathAndQuery::as_str);
            let last = wanted.to.saturating_sub(1);
            let request = Request::builder()
                .method(Method::GET)
                .uri(path)
                .header(HOST, lines.authority())
                .header(ACCEPT_ENCODING, "identity")
                .header(RANGE, format!("bytes={}-{last}", wanted.from));
            let request = request.body(Full::new(Bytes::new()));
            request.map_err(|error| GatewayError::broken(&error))
        };
        let bytes = wanted.bytes().to_string();
        let judge = |answer: Response<Incoming>| {
            let length = answer.headers().get(CONTENT_LENGTH);
            let fits = length.is_some_and(|length| length.as_bytes() == bytes.as_bytes());
            if answer.status().is_success() && fits {
                return Ok(answer);
            }
            // Its words are not wanted: the connection goes with them.
            let status = answer.status().as_u16();
            Err(std::future::ready(GatewayError::Refused {
                status,
                code: "Store".into(),
                title: String::new(),
            }))
        };
        let read = timeout(CHUNK_MAX, lines.read(&make, judge, take));
        let done = read
            .await
            .unwrap_or_else(|late| Err(GatewayError::broken(&late)));
        if done.is_err() {
            lock(&self.urls).remove(&wanted.blob);
            self.rest();
        }
        done
    }
}
