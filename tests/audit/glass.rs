//! AZ-11: what was done by break-glass, asked of the log as an auditor asks.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;

use super::erasure::field;
use super::{Vault, told};

/// The value of a line `NAME=value` of a file.
fn value(vault: &Vault, file: &str, name: &str) -> String {
    let text = std::fs::read_to_string(vault.path(file)).expect("read");
    let mut lines = text.lines().filter_map(|line| line.split_once('='));
    let (_, value) = lines.find(|(key, _)| *key == name).expect("a value");
    value.to_owned()
}

/// The status of a listing of the dataset, signed with the credential in `file`.
#[expect(
    clippy::disallowed_methods,
    reason = "a signature holds for a quarter of an hour by the wall's clock"
)]
fn lists(vault: &Vault, address: &str, file: &str) -> u16 {
    let (id, secret) = (
        value(vault, file, "AWS_ACCESS_KEY_ID"),
        value(vault, file, "AWS_SECRET_ACCESS_KEY"),
    );
    let identity = Credentials::new(id, secret, None, None, "test").into();
    let params = SigningParams::builder()
        .identity(&identity)
        .region("kluis")
        .name("s3")
        .time(SystemTime::now())
        .settings(SigningSettings::default())
        .build()
        .expect("parameters")
        .into();
    let (path, unsigned) = ("/icu--ecg?list-type=2", "UNSIGNED-PAYLOAD");
    let url = format!("http://{address}{path}");
    let fixed = [("host", address), ("x-amz-content-sha256", unsigned)];
    let body = SignableBody::Precomputed(unsigned.to_owned());
    let signable = SignableRequest::new("GET", &url, fixed.into_iter(), body).expect("signable");
    let (signature, _) = sign(signable, &params).expect("signed").into_parts();
    let mut lines = format!("GET {path} HTTP/1.1\r\nconnection: close\r\n");
    for (name, value) in fixed.into_iter().chain(signature.headers()) {
        lines = format!("{lines}{name}: {value}\r\n");
    }
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream
        .write_all(format!("{lines}\r\n").as_bytes())
        .expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let status = answer.split(' ').nth(1).expect("a status");
    status.parse().expect("a number")
}

#[test]
fn az_11_what_break_glass_let_somebody_do_is_found_and_nothing_else() {
    let vault = Vault::founded();
    for who in ["ola", "zoe"] {
        vault.kluis(&["principal", "create", who], who);
        let file = vault.text(&format!("{who}.env"));
        let made = ["credential", "create", who, "--output", &file];
        vault.kluis(&made, who);
    }
    let owner = ["grant", "create", "icu", "--to", "ola", "--role", "owner"];
    vault.kluis(&[&owner[..], &["--approver", "ana"]].concat(), "GRANT");
    vault.kluis(
        &["dataset", "create", "icu/ecg", "--creator", "ana"],
        "icu--ecg",
    );
    let serving = vault.serve();
    let endpoint = value(&vault, "ana.env", "AWS_ENDPOINT_URL");
    let address = endpoint.strip_prefix("http://").expect("an address");
    let (ana, ola) = (vault.text("ana.env"), vault.text("ola.env"));
    assert_eq!(lists(&vault, address, "zoe.env"), 403, "she holds nothing");
    assert_eq!(lists(&vault, address, "ana.env"), 200, "hers as every day");
    let terms = ["who=zoe", "minutes=5", "--reason", "a patient in theatre 3"];
    let ask = ["approval", "ask", "break-glass", "icu/ecg"];
    let asked = vault.tells(&[&ask[..], &terms, &["--credentials", &ana]].concat());
    let act = field(&asked, "approval");
    vault.tells(&["approval", "approve", "icu", &act, "--credentials", &ola]);
    vault.tells(&[
        "approval",
        "break-glass",
        "icu",
        &act,
        "--credentials",
        &ana,
    ]);
    assert_eq!(lists(&vault, address, "zoe.env"), 200);
    assert_eq!(lists(&vault, address, "ana.env"), 200, "hers as every day");
    drop(serving);
    // From the journal, and from volumes.
    for _ in 0..2 {
        let found = vault.asks(&["--break-glass"]);
        let of = |who: &str, operation: &str| {
            let lines = found
                .lines()
                .filter(|line| line.contains(&format!("\"{who}\"")) && line.contains(operation));
            lines.count()
        };
        assert_eq!(of("zoe", "ListObjectsV2"), 1, "{found}");
        assert_eq!(of("ana", "BreakGlass"), 1, "{found}");
        assert_eq!(of("ana", "ListObjectsV2"), 0, "{found}");
        assert_eq!(found.lines().count(), 2, "{found}");
        let hers = vault.asks(&["--break-glass", "--principal", "zoe"]);
        assert_eq!(hers.lines().count(), 1, "{hers}");
        vault.ships();
    }
    let both = [
        "query",
        "--project",
        "icu",
        "--auditor",
        "tess",
        "--break-glass",
    ];
    let both = [&both[..], &["--nature", "normal"]].concat();
    told(&vault.audit(&both), 2, "cannot be used with");
}
