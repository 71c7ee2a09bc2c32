//! The thin client: signed requests over the pool, and what their answers mean. The SDK costs
//! 150 µs of CPU for each request, so blobs are written and read without it.

use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, HOST, RANGE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body as _;
use hyper::body::Incoming;

use super::answer::{check_range, is_error, refusal};
use super::outgoing::{Outgoing, Upload};
use super::pool::{Link, Pool};
use super::retry::{Again, Refusal, Retries};
use super::sign::{EMPTY_PAYLOAD, Parts, Signer, UNSIGNED_PAYLOAD};
use crate::types::limits::STORE_ERROR_BYTES_MAX;
use crate::types::{BlobId, Clock, Entropy};

/// Everything that requests share.
pub(super) struct Client {
    pub(super) pool: Arc<Pool>,
    pub(super) signer: Signer,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
    /// The `Host` header.
    pub(super) authority: String,
    /// `/bucket/prefix`, to which a blob's name is appended.
    pub(super) base: String,
    pub(super) retries: u32,
}

impl Client {
    pub(super) fn retries(&self) -> Retries {
        Retries::new(self.retries, Arc::clone(&self.entropy))
    }

    /// One try to open a range.
    pub(super) async fn open(
        &self,
        id: BlobId,
        range: &Range<u64>,
        whole: u64,
    ) -> Result<(Link, Incoming), Refusal> {
        let upload = Upload::whole(Vec::new());
        // Stores do more for a range than for the whole, which small blobs are read as.
        let part = (range.start, range.end) != (0, whole);
        let last = range.end.saturating_sub(1);
        let wanted = part.then(|| format!("bytes={}-{last}", range.start));
        let request = self.request(&Method::GET, id, wanted.as_deref(), upload.begin())?;
        let (link, answer) = self.pool.send(request, &upload).await?;
        if !answer.status().is_success() {
            return Err(self.refused(link, answer).await);
        }
        let (head, body) = answer.into_parts();
        check_range(head.status, &head.headers, range, whole)?;
        Ok((link, body))
    }

    /// One try to store a blob.
    pub(super) async fn store(&self, id: BlobId, upload: &Arc<Upload>) -> Result<(), Refusal> {
        let request = self.request(&Method::PUT, id, None, upload.begin())?;
        let (link, answer) = self.pool.send(request, upload).await?;
        if answer.status() != StatusCode::OK {
            return Err(self.refused(link, answer).await);
        }
        if !upload.is_sent() {
            let reason = "the store acknowledged a blob before it had all of it";
            return Err(Refusal::failed(reason, Again::Never));
        }
        let (head, body) = answer.into_parts();
        // An answer cut after its head has acknowledged nothing.
        let (text, link) = self.read(link, body, STORE_ERROR_BYTES_MAX).await?;
        if is_error(&text) {
            return Err(refusal(
                StatusCode::INTERNAL_SERVER_ERROR,
                &head.headers,
                &text,
            ));
        }
        if let Some(link) = link {
            link.release();
        }
        Ok(())
    }

    /// A signed request for a blob.
    fn request(
        &self,
        method: &Method,
        id: BlobId,
        range: Option<&str>,
        body: Outgoing,
    ) -> Result<Request<Outgoing>, Refusal> {
        let path = format!("{}{id}", self.base);
        let get = *method == Method::GET;
        let payload = if get { EMPTY_PAYLOAD } else { UNSIGNED_PAYLOAD };
        let plain = [
            ("host", self.authority.as_str()),
            ("x-amz-content-sha256", payload),
        ];
        let ranged = [plain[0], ("range", range.unwrap_or_default()), plain[1]];
        let signature = self.signer.sign(
            &Parts {
                method: method.as_str(),
                path: &path,
                query: "",
                headers: if range.is_some() { &ranged } else { &plain },
                payload,
            },
            self.clock.now(),
        );
        let bytes = body.bytes();
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, &self.authority)
            .header("x-amz-content-sha256", HeaderValue::from_static(payload))
            .header("x-amz-date", signature.date)
            .header(AUTHORIZATION, signature.authorization);
        // A proxy must not compress what is asked for by its offsets.
        request = if get {
            request.header(ACCEPT_ENCODING, "identity")
        } else {
            request.header(CONTENT_LENGTH, bytes)
        };
        if let Some(range) = range {
            request = request.header(RANGE, range);
        }
        let invalid = |e: http::Error| Refusal::failed(&e.to_string(), Again::Never);
        request.body(body).map_err(invalid)
    }

    /// Reads why a request was refused, no further than it matters.
    pub(super) async fn refused(&self, link: Link, answer: Response<Incoming>) -> Refusal {
        let (head, body) = answer.into_parts();
        let (text, link) = match self.read(link, body, STORE_ERROR_BYTES_MAX).await {
            Ok((text, link)) => (text, link),
            Err(_unread) => (Bytes::new(), None),
        };
        if let Some(link) = link {
            link.release();
        }
        refusal(head.status, &head.headers, &text)
    }

    /// Reads up to `bytes_max` bytes of an answer. The connection comes back if that was all of it.
    pub(super) async fn read(
        &self,
        mut link: Link,
        mut body: Incoming,
        bytes_max: usize,
    ) -> Result<(Bytes, Option<Link>), Refusal> {
        let mut text = BytesMut::new();
        while !body.is_end_stream() {
            let Some(chunk) = link.frame(&mut body).await? else {
                break;
            };
            let room = bytes_max.saturating_sub(text.len());
            if chunk.len() > room {
                text.extend_from_slice(&chunk.slice(..room));
                return Ok((text.freeze(), None));
            }
            text.extend_from_slice(&chunk);
        }
        Ok((text.freeze(), Some(link)))
    }
}
