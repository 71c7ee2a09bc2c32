//! TLS to the store: an authority of one's own is honoured, a strange one refused.

use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::{ID, open};
use crate::store::contract::{CountingEntropy, FixedClock, read};
use crate::store::s3::{S3ConfigError, S3Store, S3StoreConfig};
use crate::types::SecretText;

const ANSWER: &[u8] = b"HTTP/1.1 206 Partial Content\r\nContent-Length: 1\r\n\
                        Content-Range: bytes 0-0/1\r\n\r\nx";

/// Answers one request on each connection with one byte; returns its port and certificate.
async fn server() -> (u16, String) {
    let names = vec!["localhost".to_owned()];
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            let Ok(mut tls) = acceptor.accept(tcp).await else {
                continue;
            };
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let Ok(byte) = tls.read_u8().await else { break };
                head.push(byte);
            }
            // The client may be gone: it refused the certificate.
            if let Err(e) = tls.write_all(ANSWER).await {
                tracing::debug!(error = %e, "not answered");
            }
        }
    });
    (port, cert.pem())
}

fn config(host: &str, port: u16) -> S3StoreConfig {
    let secret = SecretText::new("secret".to_owned());
    let endpoint = format!("https://{host}:{port}");
    S3StoreConfig::new(endpoint, "vault".to_owned(), "key".to_owned(), secret)
}

#[tokio::test]
async fn only_a_known_authority_and_the_right_name_are_trusted() {
    let (port, pem) = server().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ca.pem");
    std::fs::write(&file, pem).unwrap();
    let mut known = config("localhost", port);
    known.ca_file = Some(file.clone());
    assert_eq!(read(&open(&known), ID, 0..1, 1).await.unwrap(), b"x");
    let mut elsewhere = config("127.0.0.1", port);
    elsewhere.ca_file = Some(file.clone());
    let got = read(&open(&elsewhere), ID, 0..1, 1).await.unwrap_err();
    assert!(got.to_string().contains("certificate"), "{got}");
    let other = generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(&file, other.cert.pem()).unwrap();
    let got = read(&open(&known), ID, 0..1, 1).await.unwrap_err();
    assert!(got.to_string().contains("certificate"), "{got}");
}

#[test]
fn a_missing_or_broken_file_of_authorities_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ca.pem");
    let mut config = config("localhost", 1);
    config.ca_file = Some(file.clone());
    let opened = || {
        let entropy = Arc::new(CountingEntropy::default());
        S3Store::open(&config, Arc::new(FixedClock), entropy)
    };
    let missing = opened().err().unwrap();
    assert!(matches!(missing, S3ConfigError::CaFile { .. }), "{missing}");
    let begin = "-----BEGIN CERTIFICATE-----";
    let end = "-----END CERTIFICATE-----";
    for bad in [
        String::new(),
        "no PEM".to_owned(),
        format!("{begin}\nAAAA\n{end}\n"),
        format!("{begin}\n!!!!\n{end}\n"),
    ] {
        std::fs::write(&file, &bad).unwrap();
        assert!(opened().is_err(), "{bad}");
    }
}
