//! Where notices may go, and what receivers that lie, hang and redirect get out of it.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::types::{NoticeId, SecretText};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn notice() -> NoticeRow {
    NoticeRow {
        id: NoticeId::from_bytes([7; 16]),
        to: "olivia".parse().unwrap(),
        at: Timestamp::from_millis(1_800_000_000_000),
        project: "icu".parse().unwrap(),
        dataset: Some("ecg".parse().unwrap()),
        text: "break-glass: \"stan\"".to_owned(),
    }
}

fn webhook(url: &str) -> Webhook {
    Webhook {
        url: SecretText::new(url.to_owned()),
        secret: SecretText::new(SECRET.to_owned()),
        host: "x".to_owned(),
        sealed: Bytes::new(),
    }
}

async fn send(url: &str, private: bool) -> Result<(), Unsent> {
    let sender = Sender {
        private,
        ca_file: None,
    };
    let now = Timestamp::from_millis(1_800_000_000_000);
    sender.send(&webhook(url), &notice(), now).await
}

/// A receiver that answers every connection so, and counts what came.
async fn receiver_of(answer: &'static [u8]) -> (String, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!(
        "http://{}/hook?token=secret",
        listener.local_addr().unwrap()
    );
    let task = tokio::task::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let head = head_of(&mut stream).await;
        let _written = stream.write_all(answer).await;
        head
    });
    (url, task)
}

async fn head_of(stream: &mut TcpStream) -> String {
    let mut got = Vec::new();
    let mut piece = [0; 4096];
    while !got.ends_with(b"\"}") {
        let read = stream.read(&mut piece).await.unwrap();
        if read == 0 {
            break;
        }
        got.extend_from_slice(&piece[..read]);
    }
    String::from_utf8(got).unwrap()
}

/// The example of the published scheme (Standard Webhooks, "Signature scheme").
#[test]
fn a_signature_is_the_schemes() {
    let body = r#"{"test": 2432232314}"#;
    let of = ("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330);
    assert_eq!(
        signature(SECRET, of, body).unwrap(),
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    );
    for key in ["", "whsec_", "MfKQ", "whsec_*"] {
        let signed = signature(key, of, body);
        assert!(signed.is_err() || key == "whsec_", "{key}");
    }
}

#[test]
fn only_the_internet_and_what_is_said_is_spoken_to() {
    let judge = |ip: &str| {
        let ip = ip.parse().unwrap();
        (allowed(ip, false, false), allowed(ip, false, true))
    };
    for open in [
        "93.184.216.34",
        "2606:4700::1111",
        "100.63.0.1",
        "172.32.0.1",
    ] {
        assert_eq!(judge(open), (true, true), "{open}");
    }
    for within in [
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "fd00::1",
        "::ffff:10.0.0.1",
    ] {
        assert_eq!(judge(within), (false, true), "{within}");
    }
    for never in [
        "127.0.0.1",
        "::1",
        "0.0.0.0",
        "::",
        "169.254.169.254",
        "fe80::1",
        "224.0.0.1",
        "255.255.255.255",
        "192.0.0.8",
        "198.18.0.1",
        "192.0.2.1",
        "2001:db8::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "2002:a9fe:a9fe::",
        "::ffff:169.254.169.254",
    ] {
        assert_eq!(judge(never), (false, false), "{never}");
    }
    assert!(allowed("127.0.0.1".parse().unwrap(), true, false));
    assert!(
        !allowed("10.0.0.1".parse().unwrap(), true, true),
        "localhost is this machine"
    );
}

#[test]
fn an_address_is_https_or_this_machine() {
    for url in [
        "https://hooks.example.org/kluis?token=x",
        "http://127.0.0.1:8080/",
        "http://localhost/hook",
        "http://[::1]:9/",
    ] {
        assert!(receiver(url, false).is_ok(), "{url}");
    }
    assert_eq!(
        receiver("https://hooks.example.org/s/secret?t=x", false).unwrap(),
        "https://hooks.example.org"
    );
    for url in [
        "",
        "hooks.example.org",
        "http://hooks.example.org/",
        "ftp://127.0.0.1/",
        "https://10.0.0.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::ffff:10.0.0.1]/",
        "https://user:word@hooks.example.org/",
        "https://hooks.example.org\\@10.0.0.1/",
        "https://hooks.example.org/ x",
        "file:///etc/passwd",
    ] {
        assert!(receiver(url, false).is_err(), "{url}");
    }
    assert!(receiver("https://10.0.0.1/", true).is_ok());
    assert!(receiver("https://169.254.169.254/", true).is_err());
}

#[tokio::test]
async fn a_notice_is_sent_signed_and_once() {
    let (url, task) = receiver_of(b"HTTP/1.1 204 No Content\r\n\r\n").await;
    send(&url, false).await.unwrap();
    let got = task.await.unwrap();
    let (head, sent) = got.split_once("\r\n\r\n").unwrap();
    assert!(
        head.starts_with("POST /hook?token=secret HTTP/1.1"),
        "{head}"
    );
    assert_eq!(sent, body(&notice()));
    let id = "07070707070707070707070707070707";
    let signed = signature(SECRET, (id, 1_800_000_000), sent).unwrap();
    for line in [
        format!("webhook-id: {id}"),
        "webhook-timestamp: 1800000000".to_owned(),
        format!("webhook-signature: {signed}"),
    ] {
        assert!(head.contains(&line), "{line}\n{head}");
    }
    assert!(!got.contains("whsec_"));
}

#[tokio::test]
async fn no_redirection_is_followed_and_no_answer_believed() {
    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = other.local_addr().unwrap();
    let answer: &'static str =
        format!("HTTP/1.1 307 Go\r\nlocation: http://{to}/\r\ncontent-length: 0\r\n\r\n").leak();
    let (url, _task) = receiver_of(answer.as_bytes()).await;
    assert!(matches!(send(&url, false).await, Err(Unsent::Status(307))));
    let spoken = tokio::time::timeout(Duration::from_millis(50), other.accept()).await;
    assert!(spoken.is_err(), "nobody was spoken to");
    for answer in [
        &b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n"[..],
        b"HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 10000000000\r\n\r\n",
        b"220 mail.example.org ESMTP\r\n",
        b"",
    ] {
        let (url, _task) = receiver_of(answer).await;
        assert!(send(&url, false).await.is_err(), "{answer:?}");
    }
    let huge: &'static [u8] = [
        &b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n"[..],
        &vec![b'x'; 1_000_000],
    ]
    .concat()
    .leak();
    let (url, _task) = receiver_of(huge).await;
    assert!(
        send(&url, false).await.is_err(),
        "an answer beyond its bound"
    );
}

/// Names that mean this machine without being its names, and addresses in other spellings.
#[tokio::test]
async fn what_only_resolves_to_this_machine_is_not_spoken_to() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    for host in [
        "127.1",
        "2130706433",
        "0x7f000001",
        "[::ffff:127.0.0.1]",
        "0.0.0.0",
        "0",
    ] {
        let url = format!("https://{host}:{port}/");
        for private in [false, true] {
            let told = send(&url, private).await;
            let refused = matches!(
                told,
                Err(Unsent::Network(_) | Unsent::Place(_) | Unsent::Reach(FetchError::Connect(_)))
            );
            assert!(refused, "{url}: {told:?}");
        }
    }
    let spoken = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
    assert!(spoken.is_err(), "nobody was spoken to");
}
