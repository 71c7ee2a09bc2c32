//! A connection to the store: TCP, perhaps TLS over it, and a count of what the store took.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::config::{S3ConfigError, S3StoreConfig, Target};

/// Connects to one endpoint.
pub(crate) struct Dialer {
    target: Target,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Dialer {
    /// Blocks to read certificates.
    pub(super) fn new(target: Target, config: &S3StoreConfig) -> Result<Self, S3ConfigError> {
        Self::to(target, config.ca_file.as_deref())
    }

    /// To an endpoint that is no store, by its URL; its certificate may also come from `ca_file`.
    pub(crate) fn to_url(url: &str, ca_file: Option<&Path>) -> Result<Self, S3ConfigError> {
        let target = Target::parse(url).ok_or(S3ConfigError::Endpoint)?;
        Self::to(target, ca_file)
    }

    /// The `Host` header.
    pub(crate) fn authority(&self) -> &str {
        &self.target.authority
    }

    fn to(target: Target, ca_file: Option<&Path>) -> Result<Self, S3ConfigError> {
        let tls = if target.tls {
            let name = ServerName::try_from(target.host.clone())
                .map_err(|_invalid| S3ConfigError::Endpoint)?;
            Some((TlsConnector::from(Arc::new(client_config(ca_file)?)), name))
        } else {
            None
        };
        Ok(Self { target, tls })
    }

    /// TCP without Nagle's delay, then TLS.
    pub(crate) async fn dial(&self, sent: Arc<AtomicU64>) -> io::Result<Wire> {
        let address = (self.target.host.as_str(), self.target.port);
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        let stream = match &self.tls {
            None => Stream::Plain(tcp),
            Some((connector, name)) => {
                let tls = connector
                    .connect(name.clone(), tcp)
                    .await
                    .map_err(in_words)?;
                Stream::Tls(Box::new(tls))
            }
        };
        Ok(Wire { stream, sent })
    }
}

/// A server's certificate is of nobody whom this machine trusts.
pub(crate) const NO_AUTHORITY: &str = "its certificate is of no authority that is trusted here";

/// Why TLS cannot be spoken with a server, for whoever is to mend it.
fn in_words(error: io::Error) -> io::Error {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    let told = match inner {
        Some(rustls::Error::InvalidCertificate(why)) => of_certificate(why),
        Some(rustls::Error::InvalidMessage(_)) => "no TLS is spoken there".to_owned(),
        Some(_) | None => return error,
    };
    io::Error::new(error.kind(), told)
}

fn of_certificate(why: &CertificateError) -> String {
    use CertificateError as Why;
    let told = if matches!(why, Why::UnknownIssuer) {
        NO_AUTHORITY
    } else if matches!(why, Why::Expired | Why::ExpiredContext { .. }) {
        "its certificate has ended"
    } else if matches!(why, Why::NotValidYet | Why::NotValidYetContext { .. }) {
        "its certificate does not hold yet: is this machine's clock right?"
    } else if matches!(
        why,
        Why::NotValidForName | Why::NotValidForNameContext { .. }
    ) {
        "its certificate is for another name"
    } else if why.to_string().contains("CaUsedAsEndEntity") {
        "its certificate is an authority's own (CA:TRUE), which no server may show"
    } else {
        return format!("its certificate is not accepted: {why}");
    };
    told.to_owned()
}

fn client_config(ca_file: Option<&Path>) -> Result<ClientConfig, S3ConfigError> {
    let mut roots = RootCertStore::empty();
    // Certificates of the machine that cannot be read or parsed are missing, not fatal: an
    // endpoint that needs them is refused at the handshake.
    let native = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(native.certs);
    if let Some(path) = ca_file {
        let unreadable = |source| S3ConfigError::CaFile {
            path: path.to_owned(),
            source,
        };
        let mut found = false;
        for certificate in CertificateDer::pem_file_iter(path).map_err(unreadable)? {
            roots.add(certificate.map_err(unreadable)?)?;
            found = true;
        }
        if !found {
            return Err(unreadable(pem::Error::NoItemsFound));
        }
    }
    if roots.is_empty() {
        return Err(S3ConfigError::NoAuthorities);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

/// One connection; every byte that the system takes for sending is counted in `sent`.
pub(crate) struct Wire {
    stream: Stream,
    sent: Arc<AtomicU64>,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Wire {
    fn count(&self, polled: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(bytes)) = polled {
            let bytes = u64::try_from(*bytes).unwrap_or(u64::MAX);
            self.sent.fetch_add(bytes, Ordering::Relaxed);
            self.acknowledge_at_once();
        }
    }

    /// Stores that send the head of an answer and its body apart, with Nagle's algorithm on, wait
    /// for the acknowledgement of the head, which Linux delays by 40 ms (RFC 1122, 4.2.3.2) unless
    /// it is told not to. Sending turns the delay on again, so that it is said after each write.
    fn acknowledge_at_once(&self) {
        let tcp = match &self.stream {
            Stream::Plain(tcp) => tcp,
            Stream::Tls(tls) => tls.get_ref().0,
        };
        // Without it all works, only slower.
        let _unsupported = tcp.set_quickack(true);
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Stream::Tls(tls) => Pin::new(tls.as_mut()).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = match &mut self.stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Stream::Tls(tls) => Pin::new(tls.as_mut()).poll_write(cx, buf),
        };
        self.count(&polled);
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Stream::Tls(tls) => Pin::new(tls.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Stream::Tls(tls) => Pin::new(tls.as_mut()).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = match &mut self.stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, bufs),
            Stream::Tls(tls) => Pin::new(tls.as_mut()).poll_write_vectored(cx, bufs),
        };
        self.count(&polled);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(tcp) => tcp.is_write_vectored(),
            Stream::Tls(tls) => tls.is_write_vectored(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(error: rustls::Error) -> String {
        in_words(io::Error::new(io::ErrorKind::InvalidData, error)).to_string()
    }

    #[test]
    fn why_a_server_is_not_trusted_is_told_in_words() {
        use rustls::{InvalidMessage, OtherError};
        #[derive(Debug, thiserror::Error)]
        #[error("of an authority")]
        struct CaUsedAsEndEntity;
        let of = |why: CertificateError| told(rustls::Error::InvalidCertificate(why));
        let other = OtherError(Arc::new(CaUsedAsEndEntity));
        for (found, words) in [
            (of(CertificateError::UnknownIssuer), NO_AUTHORITY),
            (of(CertificateError::Expired), "has ended"),
            (of(CertificateError::NotValidYet), "clock"),
            (of(CertificateError::NotValidForName), "another name"),
            (of(CertificateError::Other(other)), "CA:TRUE"),
            (of(CertificateError::BadSignature), "not accepted"),
            (
                told(rustls::Error::InvalidMessage(
                    InvalidMessage::InvalidContentType,
                )),
                "no TLS is spoken there",
            ),
        ] {
            assert!(found.contains(words), "{words}: {found}");
        }
        let closed = io::Error::from(io::ErrorKind::ConnectionReset);
        assert_eq!(in_words(closed).kind(), io::ErrorKind::ConnectionReset);
    }
}
