//! The thin client: signed requests over the pool, and what their answers mean. The SDK costs
//! 150 µs of CPU for each request, so blobs are written and read without it.

use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, HOST};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body as _;
use hyper::body::Incoming;

use super::answer::{check_range, is_error, refusal};
use super::outgoing::{Outgoing, Upload};
use super::pool::{Link, Pool};
use super::retry::{Again, Refusal, Retries};
use super::sign::{EMPTY_PAYLOAD, Parts, Signer, UNSIGNED_PAYLOAD};
use crate::store::StoreError;
use crate::types::limits::STORE_ERROR_BYTES_MAX;
use crate::types::{BlobId, Clock, Entropy};

/// Under which names a blob may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taking {
    /// Any: it is random, and nobody else's.
    Any,
    /// One that the store has not: it is asked to refuse another.
    New,
}

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
        let more = wanted.as_deref().map(|range| ("range", range));
        let request = self.request(&Method::GET, id, more, upload.begin())?;
        let (link, answer) = self.pool.send(request, &upload).await?;
        if !answer.status().is_success() {
            return Err(self.refused(link, answer).await);
        }
        let (head, body) = answer.into_parts();
        check_range(head.status, &head.headers, range, whole)?;
        Ok((link, body))
    }

    /// One try to store a blob.
    pub(super) async fn store(
        &self,
        id: BlobId,
        upload: &Arc<Upload>,
        taking: Taking,
    ) -> Result<(), Refusal> {
        let more = (taking == Taking::New).then_some(("if-none-match", "*"));
        let request = self.request(&Method::PUT, id, more, upload.begin())?;
        let (link, answer) = self.pool.send(request, upload).await?;
        let status = answer.status();
        if status != StatusCode::OK {
            let refusal = self.refused(link, answer).await;
            let taken = more.is_some() && status == StatusCode::PRECONDITION_FAILED;
            return Err(if taken {
                Refusal::last(StoreError::Taken)
            } else {
                refusal
            });
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

    /// A signed request for a blob; `more` is a header that it has besides, whose name stands
    /// between `host` and `x-amz-content-sha256`.
    fn request(
        &self,
        method: &Method,
        id: BlobId,
        more: Option<(&'static str, &str)>,
        body: Outgoing,
    ) -> Result<Request<Outgoing>, Refusal> {
        let path = format!("{}{id}", self.base);
        let get = *method == Method::GET;
        let payload = if get { EMPTY_PAYLOAD } else { UNSIGNED_PAYLOAD };
        let plain = [
            ("host", self.authority.as_str()),
            ("x-amz-content-sha256", payload),
        ];
        let longer = [plain[0], more.unwrap_or_default(), plain[1]];
        let signature = self.signer.sign(
            &Parts {
                method: method.as_str(),
                path: &path,
                query: "",
                headers: if more.is_some() { &longer } else { &plain },
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
        if let Some((name, value)) = more {
            request = request.header(name, value);
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
