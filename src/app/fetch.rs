//! Asks for one small document, or hands one over: bounded in bytes and in time, following nothing.
//! HTTPS; plain HTTP only to this machine.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::dial::Dial;
use crate::types::is_this_machine;

/// How long all of it may take.
const TIME_MAX: Duration = Duration::from_secs(10);

/// Why there is no document.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    /// Not a URL that is fetched.
    #[error("a URL is https://…, or http:// to this machine")]
    Url,
    /// The file of the certificates to trust cannot be read.
    #[error("the certificates to trust cannot be read: {}", path.display())]
    TrustFile {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// What was read has no certificate to trust.
    #[error("no certificate to trust in {}", path.display())]
    Trust {
        /// Which file, or nothing for the system's.
        path: PathBuf,
    },
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
    /// The connection failed.
    #[error("the connection failed")]
    Connect(#[source] std::io::Error),
    /// HTTP failed.
    #[error("HTTP failed")]
    Http(#[source] hyper::Error),
    /// Another status than 200; a redirection is not followed.
    #[error("the answer's status={0}")]
    Status(StatusCode),
    /// The body broke off, or is longer than it may be.
    #[error("the body broke off or is too long")]
    Body,
    /// It took too long.
    #[error("it took too long")]
    Time,
}

/// Fetches a document of at most `bytes_max` bytes.
pub(crate) async fn get(
    url: &str,
    ca_file: Option<&Path>,
    bytes_max: usize,
) -> Result<Vec<u8>, FetchError> {
    let place = Place::of(url)?;
    let dial = place.dial(ca_file)?;
    let wanted = (header::ACCEPT, HeaderValue::from_static("application/json"));
    let request = (Method::GET, &[wanted][..], Bytes::new());
    let (status, body) = ask_in_time((&place, None), dial.as_ref(), request, bytes_max).await?;
    if status != StatusCode::OK {
        return Err(FetchError::Status(status));
    }
    Ok(body)
}

/// Where something is.
pub(crate) struct Place {
    uri: Uri,
    host: String,
    port: u16,
    tls: bool,
    local: bool,
}

impl Place {
    /// Reads a URL: `https://…`, or `http://` to this machine.
    pub(crate) fn of(url: &str) -> Result<Self, FetchError> {
        let uri: Uri = url.parse().map_err(|_no_url| FetchError::Url)?;
        let host = uri.host().ok_or(FetchError::Url)?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let local = is_this_machine(host);
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") if local => false,
            _other => return Err(FetchError::Url),
        };
        Ok(Self {
            host: host.to_owned(),
            port: uri.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            tls,
            local,
            uri,
        })
    }

    /// Its host, without brackets.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Whether it names this machine itself.
    pub(crate) const fn is_local(&self) -> bool {
        self.local
    }

    /// The URL without what comes behind its host and port.
    pub(crate) fn origin(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        let authority = self.uri.authority();
        let authority = authority.map_or("", |authority| authority.as_str());
        format!("{scheme}://{authority}")
    }

    /// The addresses that its name stands for now.
    pub(crate) async fn addresses(&self) -> Result<Vec<SocketAddr>, FetchError> {
        let finding = tokio::net::lookup_host((&*self.host, self.port));
        let found = tokio::time::timeout(TIME_MAX, finding).await;
        let found = found.map_err(|_late| FetchError::Time)?;
        Ok(found.map_err(FetchError::Connect)?.collect())
    }

    async fn reach(&self, at: Option<&[SocketAddr]>) -> Result<TcpStream, FetchError> {
        let stream = match at {
            Some(found) => TcpStream::connect(found).await,
            None => TcpStream::connect((&*self.host, self.port)).await,
        };
        stream.map_err(FetchError::Connect)
    }

    /// What it is dialled with; nothing where it is on this machine, without TLS.
    pub(crate) fn dial(&self, ca_file: Option<&Path>) -> Result<Option<Dial>, FetchError> {
        self.tls.then(|| Dial::new(ca_file, None)).transpose()
    }
}

/// A request: its method, what its head says beside the host, its body.
type Wanted<'a> = (Method, &'a [(HeaderName, HeaderValue)], Bytes);

/// Hands a form over; the answer's status, and its body of at most `bytes_max` bytes.
pub(crate) async fn post_form(
    url: &str,
    form: String,
    ca_file: Option<&Path>,
    bytes_max: usize,
) -> Result<(u16, Vec<u8>), FetchError> {
    let place = Place::of(url)?;
    let dial = place.dial(ca_file)?;
    let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
    let accept = HeaderValue::from_static("application/json");
    let headers = [(header::CONTENT_TYPE, kind), (header::ACCEPT, accept)];
    let wanted = (&headers[..], Bytes::from(form));
    post(&place, dial.as_ref(), wanted, bytes_max).await
}

/// Hands a body over; the answer's status and body, of at most `bytes_max` bytes.
pub(crate) async fn post(
    place: &Place,
    dial: Option<&Dial>,
    (headers, body): (&[(HeaderName, HeaderValue)], Bytes),
    bytes_max: usize,
) -> Result<(u16, Vec<u8>), FetchError> {
    let request = (Method::POST, headers, body);
    let (status, body) = ask_in_time((place, None), dial, request, bytes_max).await?;
    Ok((status.as_u16(), body))
}

/// The same at one of these addresses and no other, whatever the name stands for meanwhile.
pub(crate) async fn post_to(
    (place, addresses): (&Place, &[SocketAddr]),
    dial: Option<&Dial>,
    (headers, body): (&[(HeaderName, HeaderValue)], Bytes),
    bytes_max: usize,
) -> Result<(u16, Vec<u8>), FetchError> {
    let request = (Method::POST, headers, body);
    let to = (place, Some(addresses));
    let (status, body) = ask_in_time(to, dial, request, bytes_max).await?;
    Ok((status.as_u16(), body))
}

async fn ask_in_time(
    (place, at): (&Place, Option<&[SocketAddr]>),
    dial: Option<&Dial>,
    request: Wanted<'_>,
    bytes_max: usize,
) -> Result<(StatusCode, Vec<u8>), FetchError> {
    let asking = async {
        let stream = place.reach(at).await?;
        if let Some(dial) = dial {
            let stream = dial.secure(&place.host, stream).await?;
            ask(stream, &place.uri, request, bytes_max).await
        } else {
            ask(stream, &place.uri, request, bytes_max).await
        }
    };
    tokio::time::timeout(TIME_MAX, asking)
        .await
        .map_err(|_late| FetchError::Time)?
}

async fn ask<S>(
    stream: S,
    uri: &Uri,
    (method, headers, body): Wanted<'_>,
    bytes_max: usize,
) -> Result<(StatusCode, Vec<u8>), FetchError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(FetchError::Http)?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let host = uri.authority().map_or("", |authority| authority.as_str());
    let mut request = Request::builder().method(method).uri(path);
    request = request.header(header::HOST, host);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let request = request
        .body(Full::new(body))
        .map_err(|_no_request| FetchError::Url)?;
    let asking = async {
        let answer = sender
            .send_request(request)
            .await
            .map_err(FetchError::Http)?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), bytes_max).collect().await;
        let body = body.map_err(|_cut| FetchError::Body)?.to_bytes();
        Ok((status, body.to_vec()))
    };
    // The connection is driven here, and gone with the answer.
    tokio::pin!(connection);
    tokio::pin!(asking);
    tokio::select! {
        biased;
        told = &mut asking => told,
        ended = &mut connection => {
            ended.map_err(FetchError::Http)?;
            asking.await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_no_https_is_not_fetched() {
        for url in [
            "",
            "keys",
            "ftp://127.0.0.1/",
            "http://192.0.2.1/keys",
            "http://example.org/keys",
            "http://localhost.example.org/",
            "file:///etc/passwd",
        ] {
            let told = get(url, None, 10).await;
            assert!(matches!(told, Err(FetchError::Url)), "{url}: {told:?}");
        }
    }
}
