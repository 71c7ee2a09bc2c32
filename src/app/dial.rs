//! Connections of our own to others: TLS 1.2 or newer, to whoever shows a certificate that is
//! trusted.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::fetch::FetchError;

/// Dials with certificates that were read once.
pub(crate) struct Dial(TlsConnector);

impl Dial {
    /// Trusts those in `ca_file`, or the system's; shows the certificate and key of `own`, if any.
    pub(crate) fn new(
        ca_file: Option<&Path>,
        own: Option<(&Path, &Path)>,
    ) -> Result<Self, FetchError> {
        let roots = roots(ca_file)?;
        let config = ClientConfig::builder_with_provider(super::tls::provider())
            .with_safe_default_protocol_versions()
            .map_err(FetchError::Tls)?
            .with_root_certificates(roots);
        let config = match own {
            None => config.with_no_client_auth(),
            Some((chain, key)) => {
                let unread = |path: &Path| FetchError::Trust {
                    path: path.to_owned(),
                };
                let certificates = CertificateDer::pem_file_iter(chain)
                    .and_then(Iterator::collect)
                    .map_err(|_unread| unread(chain))?;
                let key = PrivateKeyDer::from_pem_file(key).map_err(|_unread| unread(key))?;
                let config = config.with_client_auth_cert(certificates, key);
                config.map_err(FetchError::Tls)?
            }
        };
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// Connects; `host` without brackets.
    pub(crate) async fn connect(
        &self,
        host: &str,
        port: u16,
    ) -> Result<TlsStream<TcpStream>, FetchError> {
        let stream = TcpStream::connect((host, port)).await;
        self.secure(host, stream.map_err(FetchError::Connect)?)
            .await
    }

    /// Speaks TLS over a connection, to whoever shows a certificate of `host`.
    pub(crate) async fn secure(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, FetchError> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_no_name| FetchError::Url)?;
        let stream = self.0.connect(name, stream).await;
        stream.map_err(FetchError::Connect)
    }
}

fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, FetchError> {
    let untrusted = || FetchError::Trust {
        path: ca_file.map(Path::to_owned).unwrap_or_default(),
    };
    let mut roots = RootCertStore::empty();
    if let Some(path) = ca_file {
        let opened = CertificateDer::pem_file_iter(path).map_err(|error| {
            if let pem::Error::Io(source) = error {
                let path = path.to_owned();
                return FetchError::TrustFile { path, source };
            }
            untrusted()
        });
        for certificate in opened? {
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
    Ok(roots)
}
