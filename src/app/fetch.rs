//! Fetches one small document, or posts one small form: bounded in bytes and in time, following
//! nothing. HTTPS; plain HTTP only to this machine.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// How long all of it may take.
const TIME_MAX: Duration = Duration::from_secs(10);

/// Why there is no document.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Not a URL that is fetched.
    #[error("a URL is https://…, or http:// to this machine")]
    Url,
    /// The certificates to trust cannot be read.
    #[error("no certificate to trust path={}", path.display())]
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
pub async fn get(
    url: &str,
    ca_file: Option<&Path>,
    bytes_max: usize,
) -> Result<Vec<u8>, FetchError> {
    let (status, body) = exchange(url, None, ca_file, bytes_max).await?;
    if status == StatusCode::OK {
        Ok(body)
    } else {
        Err(FetchError::Status(status))
    }
}

/// Posts a form; the answer's status, and its body of at most `bytes_max` bytes.
pub async fn post(
    url: &str,
    form: String,
    ca_file: Option<&Path>,
    bytes_max: usize,
) -> Result<(StatusCode, Vec<u8>), FetchError> {
    exchange(url, Some(form), ca_file, bytes_max).await
}

async fn exchange(
    url: &str,
    form: Option<String>,
    ca_file: Option<&Path>,
    bytes_max: usize,
) -> Result<(StatusCode, Vec<u8>), FetchError> {
    let exchanging = exchange_in_time(url, form, ca_file, bytes_max);
    tokio::time::timeout(TIME_MAX, exchanging)
        .await
        .map_err(|_late| FetchError::Time)?
}

async fn exchange_in_time(
    url: &str,
    form: Option<String>,
    ca_file: Option<&Path>,
    bytes_max: usize,
) -> Result<(StatusCode, Vec<u8>), FetchError> {
    let uri: Uri = url.parse().map_err(|_no_url| FetchError::Url)?;
    let host = uri.host().ok_or(FetchError::Url)?.to_owned();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let local = bare == "localhost"
        || bare
            .parse()
            .is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
    let tls = match uri.scheme_str() {
        Some("https") => true,
        Some("http") if local => false,
        _other => return Err(FetchError::Url),
    };
    let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let stream = TcpStream::connect((bare, port))
        .await
        .map_err(FetchError::Connect)?;
    if !tls {
        return ask(stream, &uri, form, bytes_max).await;
    }
    let name = ServerName::try_from(bare.to_owned()).map_err(|_no_name| FetchError::Url)?;
    let connector = TlsConnector::from(Arc::new(client(ca_file)?));
    let stream = connector
        .connect(name, stream)
        .await
        .map_err(FetchError::Connect)?;
    ask(stream, &uri, form, bytes_max).await
}

async fn ask<S>(
    stream: S,
    uri: &Uri,
    form: Option<String>,
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
    let request = if form.is_some() {
        let kind = "application/x-www-form-urlencoded";
        Request::post(path).header(header::CONTENT_TYPE, kind)
    } else {
        Request::get(path)
    };
    let request = request
        .header(header::HOST, host)
        .header(header::ACCEPT, "application/json")
        .body(Full::new(Bytes::from(form.unwrap_or_default())))
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

fn client(ca_file: Option<&Path>) -> Result<ClientConfig, FetchError> {
    let untrusted = || FetchError::Trust {
        path: ca_file.map(Path::to_owned).unwrap_or_default(),
    };
    let mut roots = RootCertStore::empty();
    if let Some(path) = ca_file {
        for certificate in CertificateDer::pem_file_iter(path).map_err(|_unread| untrusted())? {
            let certificate = certificate.map_err(|_unread| untrusted())?;
            roots.add(certificate).map_err(FetchError::Tls)?;
        }
    } else {
        let native = rustls_native_certs::load_native_certs();
        let _counts = roots.add_parsable_certificates(native.certs);
    }
    if roots.is_empty() {
        return Err(untrusted());
    }
    let config = ClientConfig::builder_with_provider(super::tls::provider())
        .with_safe_default_protocol_versions()
        .map_err(FetchError::Tls)?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
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
