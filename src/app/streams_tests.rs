//! A receiver of syslog that ends its connections in several ways, and somebody on the path.

use std::net::SocketAddr;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::*;
use crate::app::tls::provider;
use crate::app::tls::tests::Pair;

#[derive(Clone, Copy, Debug)]
enum End {
    /// It has read all and says so under TLS.
    Notified,
    /// The connection ends: the receiver's own way, or a third party's.
    Bare,
    /// It answers.
    Answers,
}

/// Serves one connection and ends it so; what it read.
async fn serve(listener: TcpListener, tls: TlsAcceptor, end: End) -> Vec<u8> {
    let (stream, _) = listener.accept().await.unwrap();
    let mut stream: TlsStream<TcpStream> = tls.accept(stream).await.unwrap();
    let mut read = Vec::new();
    stream.read_to_end(&mut read).await.unwrap();
    match end {
        End::Notified => stream.shutdown().await.unwrap(),
        End::Bare => stream.get_mut().0.shutdown().await.unwrap(),
        End::Answers => {
            let much = vec![b'x'; STREAM_ANSWER_BYTES_MAX + 1];
            drop(stream.write_all(&much).await);
            drop(stream.shutdown().await);
        }
    }
    read
}

fn receiver(pair: &Pair, port: u16, bare_end: bool) -> SyslogReceiver {
    SyslogReceiver {
        dial: Dial::new(Some(&pair.cert()), None).unwrap(),
        bare_end,
        host: "localhost".to_owned(),
        port,
        syslog: Syslog::new("vault", Form::Json),
    }
}

async fn sent(end: End, bare_end: bool) -> Result<(), Refused> {
    let pair = Pair::new();
    let chain = CertificateDer::pem_file_iter(pair.cert()).unwrap();
    let key = PrivateKeyDer::from_pem_file(pair.0.path().join("key.pem")).unwrap();
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain.map(Result::unwrap).collect(), key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let tls = TlsAcceptor::from(Arc::new(config));
    let served = tokio::spawn(serve(listener, tls, end));
    let answer = receiver(&pair, address.port(), bare_end)
        .send(b"a message")
        .await;
    assert_eq!(served.await.unwrap(), b"a message");
    answer
}

/// Whoever is on the path takes the bytes, and ends the connection in the receiver's place.
#[tokio::test]
async fn an_end_without_close_notify_is_no_receipt() {
    assert!(sent(End::Notified, false).await.is_ok());
    let told = sent(End::Bare, false).await.unwrap_err();
    assert!(told.0.contains("syslog.bare_end"), "{}", told.0);
    // Where the site's receiver sends none, and the site says so.
    assert!(sent(End::Bare, true).await.is_ok());
    for bare_end in [false, true] {
        assert!(sent(End::Answers, bare_end).await.is_err());
    }
}

/// A token that every user of the machine reads is not sent, as no other such secret is used; and
/// what is said of it names no file.
#[test]
fn a_token_that_others_read_is_not_used() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, "secret\n").unwrap();
    let receiver = OtlpReceiver {
        place: Place::of("http://127.0.0.1:4318/v1/logs").unwrap(),
        dial: None,
        token: Some(file.clone()),
        instance: String::new(),
        form: Form::Otel,
    };
    for (mode, taken) in [(0o600, true), (0o640, true), (0o644, false), (0o604, false)] {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        match receiver.headers() {
            Ok(headers) => {
                assert!(taken, "{mode:o}");
                assert_eq!(headers[1].1.to_str().unwrap(), "Bearer secret");
            }
            Err(Refused(told)) => {
                assert!(!taken && told.contains("chmod 600"), "{mode:o}: {told}");
                assert!(!told.contains(&file.display().to_string()), "{told}");
            }
        }
    }
}
