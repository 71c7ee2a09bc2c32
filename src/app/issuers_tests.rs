//! Tests of the file that names issuers: what is believed, refused, kept and told.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::super::policy_files::{self, tests::vault};
use super::super::shutdown::channel;
use super::*;

const KEYS: &str = r#"{"keys": [{"kty": "OKP", "crv": "Ed25519",
    "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

fn written(text: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("issuers.toml");
    std::fs::write(&path, text).unwrap();
    std::fs::write(dir.path().join("keys.json"), KEYS).unwrap();
    (dir, path)
}

const GOOD: &str = "[[issuer]]\nname = 'k8s'\nurl = 'https://k8s'\naudience = 'kluis'\n\
                    jwks_file = 'keys.json'\n";

#[tokio::test]
async fn issuers_come_with_their_keys_and_tokens_are_good_once_unless_said() {
    let (_dir, path) = written(&format!(
        "{GOOD}[[issuer]]\nname = 'b'\nurl = 'u'\naudience = 'a'\njwks_file = 'keys.json'\nonce = false\n"
    ));
    let loaded = Fetched::new(KEYS_FRESH).load(&path).await.unwrap();
    assert!(loaded.errors.is_empty());
    let told: Vec<_> = loaded
        .issuers
        .iter()
        .map(|i| (i.name.as_str(), i.once))
        .collect();
    assert_eq!(told, [("k8s", true), ("b", false)]);
}

const VISAS: &str = "[[visa_issuer]]\nname = 'ega'\nurl = 'https://ega'\n\
                     jku = ['https://ega/jwks']\njwks_file = 'keys.json'\n";

#[tokio::test]
async fn issuers_of_visas_come_with_their_keys_and_are_strict_unless_said() {
    let more = "[[visa_issuer]]\nname = 'k8s'\nurl = 'https://k8s'\njku = ['a', 'b']\n\
                jwks_file = 'keys.json'\nsubject = 'same'\nasserted_days_max = 30\n";
    let (_dir, path) = written(&format!("{GOOD}passports = true\n{VISAS}{more}"));
    let loaded = Fetched::new(KEYS_FRESH).load(&path).await.unwrap();
    assert!(loaded.errors.is_empty());
    assert!(loaded.issuers[0].passports);
    let day = 24 * 60 * 60 * 1_000;
    let told = loaded.visa_issuers.iter().map(|issuer| {
        let days = issuer.asserted_ms_max / day;
        (
            &*issuer.name,
            issuer.places.len(),
            issuer.same_subject,
            days,
        )
    });
    let expected = [("ega", 1, false, 365), ("k8s", 2, true, 30)];
    assert_eq!(told.collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn entries_of_visa_issuers_that_cannot_be_are_refused() {
    for bad in [
        VISAS.replace("jku = ['https://ega/jwks']\n", ""),
        VISAS.replace("['https://ega/jwks']", "[]"),
        VISAS.replace("'https://ega/jwks'", "''"),
        VISAS.replace("['https://ega/jwks']", "'https://ega/jwks'"),
        VISAS.replace("'https://ega/jwks'", &"'x',".repeat(9)),
        VISAS.replace("jwks_file = 'keys.json'\n", ""),
        VISAS.replace("'ega'", "''"),
        VISAS.replace("'ega'", "\"e\\nga\""),
        format!("{VISAS}jwks_url = 'https://ega/jwks'\n"),
        format!("{VISAS}subject = 'any'\n"),
        format!("{VISAS}asserted_days_max = 0\n"),
        format!("{VISAS}asserted_days_max = 3651\n"),
        format!("{VISAS}audience = 'kluis'\n"),
        format!("{VISAS}{VISAS}"),
        // One name for two, and two names for one.
        format!("{GOOD}{}", VISAS.replace("'ega'", "'k8s'")),
        format!("{GOOD}{}", VISAS.replace("'https://ega'", "'https://k8s'")),
    ] {
        let (_dir, path) = written(&bad);
        assert!(Fetched::new(KEYS_FRESH).load(&path).await.is_err(), "{bad}");
    }
}

#[tokio::test]
async fn files_that_do_not_say_who_are_refused() {
    for bad in [
        "issuer = 3",
        "[[issuer]]\nname = 'a'",
        &GOOD.replace("jwks_file", "jwks"),
        &GOOD.replace("jwks_file = 'keys.json'\n", ""),
        &GOOD.replace("'k8s'", "''"),
        &format!("{GOOD}jwks_url = 'https://k8s/keys'\n"),
        &format!("{GOOD}{GOOD}"),
        &GOOD.repeat(40),
    ] {
        let (_dir, path) = written(bad);
        assert!(Fetched::new(KEYS_FRESH).load(&path).await.is_err(), "{bad}");
    }
    let (_dir, path) = written(&GOOD.replace("keys.json", "none.json"));
    let loaded = Fetched::new(KEYS_FRESH).load(&path).await.unwrap();
    let told = (loaded.issuers.len(), loaded.errors.len());
    assert_eq!(told, (0, 1), "nobody is believed");
}

/// Answers one request each, with these texts.
async fn serve(answers: Vec<String>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    drop(tokio::spawn(async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            let _read = stream.read(&mut request).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    }));
    url
}

fn http(status: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

#[tokio::test]
async fn fetched_keys_stay_while_the_issuer_is_away_or_at_fault() {
    let away = http("503 Service Unavailable", "");
    let garbage = http("200 OK", "<html>");
    let url = serve(vec![http("200 OK", KEYS), away, garbage]).await;
    let (_dir, path) =
        written(&GOOD.replace("jwks_file = 'keys.json'", &format!("jwks_url = '{url}'")));
    let mut fetched = Fetched::new(KEYS_FRESH);
    for (round, errors) in [(0, 0), (1, 0), (2, 1), (3, 0), (4, 1)] {
        let loaded = fetched.load(&path).await.unwrap();
        let told = (loaded.issuers.len(), loaded.errors.len());
        assert_eq!(told, (1, errors), "{round}");
        if round >= 1 {
            fetched.fresh = Duration::ZERO;
        }
    }
}

#[tokio::test]
async fn keys_that_never_came_are_nobodys() {
    for answer in [
        http("404 Not Found", KEYS),
        http("302 Found", KEYS),
        http("200 OK", &"x".repeat(limits::TOKEN_KEYS_BYTES_MAX + 1)),
        http("200 OK", "{}"),
        "garbage".to_owned(),
    ] {
        let url = serve(vec![answer.clone()]).await;
        let (_dir, path) =
            written(&GOOD.replace("jwks_file = 'keys.json'", &format!("jwks_url = '{url}'")));
        let loaded = Fetched::new(KEYS_FRESH).load(&path).await.unwrap();
        let told = (loaded.issuers.len(), loaded.errors.len());
        assert_eq!(told, (0, 1), "{answer:.40}");
    }
}

#[test]
fn what_changed_is_told_once_and_what_is_mended_too() {
    let mut watch = Watch::default();
    let text = |text: &str| Some(text.as_bytes().to_vec());
    for (taken, wrong, news) in [
        (None, "cannot read it", News::Fault),
        (None, "cannot read it", News::None),
        (None, "it is at fault", News::Fault),
        (text("a"), "", News::Mended),
        (text("a"), "", News::None),
        (text("b"), "", News::Changed),
        (text("c"), "keys are away", News::Fault),
        (text("c"), "keys are away", News::None),
        (None, "it is at fault", News::Fault),
        (text("c"), "", News::Mended),
        (text("c"), "", News::None),
    ] {
        assert_eq!(watch.note(taken.clone(), wrong), news, "{taken:?} {wrong}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_at_fault_is_warned_of_and_counted_until_it_is_mended() {
    const LOOK: Duration = Duration::from_secs(5);
    let (dir, path) = written("[[issuer]]\nname = 'k8s'");
    let vault = vault(policy_files::load(None).unwrap());
    let (health, (trigger, shutdown)) = (Arc::new(Health::default()), channel());
    let told = Arc::clone(&health);
    let watching = tokio::spawn(watch(vault, path.clone(), LOOK, told, shutdown));
    let failures = || health.metrics.issuers_reload_failures.get();
    let warned = async |expected: &str| {
        let before = failures();
        tokio::time::sleep(LOOK * 2).await;
        let told = health.issuers.seen().unwrap_err();
        assert!(told.contains(expected), "{told}");
        assert!(failures() > before, "it is counted");
    };
    warned("nobody is believed yet: ").await;
    std::fs::write(&path, GOOD).unwrap();
    tokio::time::sleep(LOOK * 2).await;
    assert_eq!(health.issuers.seen(), Ok(()));
    let counted = failures();
    tokio::time::sleep(LOOK * 2).await;
    assert_eq!(failures(), counted, "nothing is at fault");
    std::fs::remove_file(&path).unwrap();
    warned("what was good of them stays: cannot read ").await;
    std::fs::write(&path, GOOD).unwrap();
    std::fs::remove_file(dir.path().join("keys.json")).unwrap();
    warned("keys.json").await;
    std::fs::write(dir.path().join("keys.json"), KEYS).unwrap();
    tokio::time::sleep(LOOK * 2).await;
    assert_eq!(health.issuers.seen(), Ok(()));
    trigger.drain();
    watching.await.unwrap();
}
