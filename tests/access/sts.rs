//! Sessions for whoever an issuer's token names: how they are made, what they may, how they end.

use data_encoding::BASE64URL_NOPAD;
use kluis::policy::Grant;
use kluis::token::{Issuer, Keys as IssuerKeys};
use kluis::types::Timestamp;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::json;

use crate::world::{Got, Keys, World, asked, name};

const URL: &str = "https://id.example.org";
const HOUR_MS: u64 = 3_600_000;
const FORM: &str = "application/x-www-form-urlencoded";

#[expect(clippy::disallowed_methods, reason = "keys are made on the spot")]
fn random() -> SystemRandom {
    SystemRandom::new()
}

/// An issuer that is believed.
pub(crate) struct Provider(Ed25519KeyPair);

impl Provider {
    pub(crate) fn new() -> Self {
        let key = Ed25519KeyPair::generate_pkcs8(&random()).expect("a key");
        Self(Ed25519KeyPair::from_pkcs8(key.as_ref()).expect("a key"))
    }

    pub(crate) fn issuer(&self, once: bool) -> Issuer {
        let x = BASE64URL_NOPAD.encode(self.0.public_key().as_ref());
        let keys = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "1", "x": x}]});
        Issuer {
            name: "sram".to_owned(),
            url: URL.to_owned(),
            audience: "kluis".to_owned(),
            once,
            groups: Some("groups".to_owned()),
            passports: true,
            keys: IssuerKeys::read(keys.to_string().as_bytes()).expect("keys"),
        }
    }

    pub(crate) fn token(&self, subject: &str, now: Timestamp, lasts: u64) -> String {
        self.token_with(subject, now, lasts, &json!({}))
    }

    /// A token with further claims.
    pub(crate) fn token_with(
        &self,
        subject: &str,
        now: Timestamp,
        lasts: u64,
        more: &serde_json::Value,
    ) -> String {
        let b64 = |text: String| BASE64URL_NOPAD.encode(text.as_bytes());
        let header = json!({"alg": "EdDSA", "kid": "1"});
        let mut claims = json!({
            "iss": URL, "sub": subject, "aud": "kluis", "exp": now.seconds() + lasts,
        });
        for (name, value) in more.as_object().expect("claims") {
            claims[name] = value.clone();
        }
        let message = format!("{}.{}", b64(header.to_string()), b64(claims.to_string()));
        let signature = BASE64URL_NOPAD.encode(self.0.sign(message.as_bytes()).as_ref());
        format!("{message}.{signature}")
    }
}

/// Asks for a session in a role's scope.
pub(crate) async fn assume(world: &World, token: &str, role: &str) -> Got {
    let form = form_urlencoded::Serializer::new(String::new())
        .append_pair("Action", "AssumeRoleWithWebIdentity")
        .append_pair("Version", "2011-06-15")
        .append_pair("RoleArn", &format!("arn:aws:iam::kluis:role/{role}"))
        .append_pair("RoleSessionName", "job-7")
        .append_pair("WebIdentityToken", token)
        .finish();
    let request = asked("POST", "/").with("content-type", FORM).body(form);
    world.serve(None, &request).await
}

pub(crate) fn keys(got: &Got) -> Keys {
    assert_eq!(got.status, 200, "{}", got.body);
    Keys {
        id: got.element("AccessKeyId"),
        secret: got.element("SecretAccessKey"),
        token: Some(got.element("SessionToken")),
    }
}

pub(crate) async fn link(world: &World, subject: &str, principal: &str) {
    let local = world.local();
    let linked = world
        .vault
        .link_identity(&local, ("sram", subject), name(principal));
    linked.await.expect("linked");
}

/// Rosa reads `icu--ecg` for one purpose and `icu--mri` for another, and signs in as `r|1`.
async fn stage(once: bool) -> (World, Provider) {
    let world = World::new().await;
    let provider = Provider::new();
    world.vault.replace_issuers(vec![provider.issuer(once)]);
    let olivia = world.keys("olivia", None).await;
    for request in [
        asked("PUT", "/icu--ecg"),
        asked("PUT", "/icu--mri"),
        asked("PUT", "/icu--ecg/k").body("x"),
        asked("PUT", "/icu--mri/k").body("x"),
    ] {
        assert_eq!(world.serve(Some(&olivia), &request).await.status, 200);
    }
    world.person("rosa").await;
    for (dataset, purpose) in [("ecg", "ehds:research"), ("mri", "care:treatment")] {
        let grant = Grant {
            dataset: Some(dataset.parse().expect("a name")),
            purpose: Some(purpose.to_owned()),
            ..world.draft("rosa", "reader")
        };
        world.grant(grant).await;
    }
    link(&world, "r|1", "rosa").await;
    (world, provider)
}

async fn reads(world: &World, keys: &Keys, dataset: &str) -> u16 {
    let get = asked("GET", format!("/icu--{dataset}/k"));
    world.serve(Some(keys), &get).await.status
}

#[tokio::test]
async fn a_token_becomes_a_session_that_reads_what_its_principal_may() {
    let (world, provider) = stage(false).await;
    let token = provider.token("r|1", world.vault.now(), 300);
    let got = assume(&world, &token, "kluis").await;
    let rosa = keys(&got);
    assert!(rosa.id.starts_with("KLUT"));
    assert_eq!(got.headers["cache-control"], "no-store");
    assert!(!got.body.contains(&token));
    let (intent, session) = world.last_intent();
    assert_eq!(intent.operation, "AssumeRoleWithWebIdentity");
    assert_eq!(
        session.principal, None,
        "the token is the proof, not a signature"
    );
    let told = intent.query.expect("what was made");
    for part in ["issuer=sram", "subject=r|1", "principal=rosa", &rosa.id] {
        assert!(told.contains(part), "{told}");
    }
    // However much a token says, and whatever it looks like, the record says who was let in.
    let loud = json!({
        "acr": "gold principal=olivia credential=KLUT groups=admins",
        "amr": ["a".repeat(240), "b".repeat(240)],
    });
    let token = provider.token_with("r|1", world.vault.now(), 300, &loud);
    let again = keys(&assume(&world, &token, "kluis").await);
    let told = world.last_intent().0.query.expect("what was made");
    let whole = format!(
        "session issuer=sram subject=r|1 principal=rosa credential={}",
        again.id
    );
    assert!(told.starts_with(&whole), "{told}");
    let quoted = r#" acr="gold principal=olivia credential=KLUT groups=admins""#;
    assert!(told.contains(quoted), "{told}");
    assert_eq!(reads(&world, &rosa, "ecg").await, 200);
    assert_eq!(reads(&world, &rosa, "mri").await, 200);
    let (_, session) = world.last_intent();
    assert_eq!(session.principal, Some(name("rosa")));
    assert_eq!(
        session.access_key.map(|key| key.to_string()),
        Some(rosa.id.clone())
    );
    let put = asked("PUT", "/icu--ecg/new").body("x");
    assert_eq!(world.serve(Some(&rosa), &put).await.status, 403);

    let mut who = asked("POST", "/")
        .with("content-type", FORM)
        .body("Action=GetCallerIdentity&Version=2011-06-15");
    who.service = "sts";
    let told = world.serve(Some(&rosa), &who).await;
    assert_eq!(
        told.element("Arn"),
        "arn:aws:iam::kluis:user/rosa",
        "{}",
        told.body
    );
    assert_eq!(world.serve(None, &who).await.status, 403);
    let mut other = asked("GET", "/icu--ecg/k");
    other.service = "sts";
    assert_ne!(
        world.serve(Some(&rosa), &other).await.status,
        200,
        "for another service"
    );
    who.service = "s3";
    assert_ne!(
        world.serve(Some(&rosa), &who).await.status,
        200,
        "for another service"
    );
}

#[tokio::test]
async fn a_session_lives_an_hour_and_no_longer_and_the_next_one_goes_on() {
    let (world, provider) = stage(false).await;
    // A job that waits 72 h and runs 48 h, renewing with the token that its node is given anew.
    let mut longest = 0;
    for _hour in 0..120 {
        let token = provider.token("r|1", world.vault.now(), 600);
        let rosa = keys(&assume(&world, &token, "icu/ecg").await);
        assert_eq!(reads(&world, &rosa, "ecg").await, 200);
        world.wait(HOUR_MS - 1_000);
        longest = longest.max(HOUR_MS - 1_000);
        assert_eq!(reads(&world, &rosa, "ecg").await, 200);
        world.wait(1_000);
        assert_eq!(reads(&world, &rosa, "ecg").await, 403);
    }
    assert!(longest < HOUR_MS);
}

#[tokio::test]
async fn a_scope_narrows_what_the_session_may() {
    let (world, provider) = stage(false).await;
    let token = provider.token("r|1", world.vault.now(), 300);
    for (role, ecg, mri) in [
        ("kluis", 200, 200),
        ("icu", 200, 200),
        ("icu/ecg", 200, 403),
        ("lab", 403, 403),
        ("icu/ecg/ehds:research", 200, 403),
        ("icu/ecg/care:treatment", 403, 403),
        ("icu/mri/care:treatment", 403, 200),
    ] {
        let rosa = keys(&assume(&world, &token, role).await);
        assert_eq!(reads(&world, &rosa, "ecg").await, ecg, "{role}");
        assert_eq!(reads(&world, &rosa, "mri").await, mri, "{role}");
        let list = world.serve(Some(&rosa), &asked("GET", "/")).await;
        assert_eq!(
            list.body.contains("icu--mri"),
            mri == 200,
            "{role}: {}",
            list.body
        );
    }
    // An owner's session for one dataset manages grants of nothing else.
    link(&world, "o|1", "olivia").await;
    let token = provider.token("o|1", world.vault.now(), 300);
    let narrow = keys(&assume(&world, &token, "icu/ecg").await);
    let grants = "/.kluis/v1/projects/icu/grants";
    let body = json!({
        "principal": "rosa", "role": "reader", "dataset": "mri", "purpose": "p", "permit": "q",
        "expires": "2199-12-31T00:00:00Z",
    });
    let make = asked("POST", grants).body(body.to_string());
    assert_eq!(world.serve(Some(&narrow), &make).await.status, 403);
    let wide = keys(&assume(&world, &token, "kluis").await);
    assert_eq!(world.serve(Some(&wide), &make).await.status, 201);
}

#[tokio::test]
async fn forged_foreign_and_stale_tokens_get_no_session() {
    let (world, provider) = stage(false).await;
    let now = world.vault.now();
    let stranger = Provider::new();
    let good = provider.token("r|1", now, 300);
    let (signed, signature) = good.rsplit_once('.').expect("a signature");
    let first = if signature.starts_with('A') { "B" } else { "A" };
    let bent = format!("{signed}.{first}{}", &signature[1..]);
    for (what, token, status, code) in [
        (
            "another's key",
            stranger.token("r|1", now, 300),
            400,
            "InvalidIdentityToken",
        ),
        ("bent", bent, 400, "InvalidIdentityToken"),
        ("none", String::new(), 400, "InvalidIdentityToken"),
        (
            "over",
            provider.token("r|1", now, 0),
            400,
            "ExpiredTokenException",
        ),
        (
            "nobody here",
            provider.token("r|2", now, 300),
            403,
            "AccessDenied",
        ),
        (
            "another spelling",
            provider.token("R|1", now, 300),
            403,
            "AccessDenied",
        ),
        ("long", "x".repeat(20_000), 400, "InvalidIdentityToken"),
    ] {
        let got = assume(&world, &token, "kluis").await;
        assert_eq!(
            (got.status, got.element("Code").as_str()),
            (status, code),
            "{what}"
        );
        let (intent, session) = world.last_intent();
        assert_eq!(intent.operation, "AssumeRoleWithWebIdentity", "{what}");
        assert_eq!(session.principal, None);
    }
    let local = world.local();
    world
        .vault
        .suspend(&local, name("rosa"), true)
        .await
        .expect("suspended");
    assert_eq!(assume(&world, &good, "kluis").await.status, 403);
    world
        .vault
        .suspend(&local, name("rosa"), false)
        .await
        .expect("let be");
    world.vault.replace_issuers(Vec::new());
    assert_eq!(assume(&world, &good, "kluis").await.status, 400);
}

#[tokio::test]
async fn a_token_that_is_good_once_is_good_once() {
    let (world, provider) = stage(true).await;
    let token = provider.token("r|1", world.vault.now(), 300);
    let first = keys(&assume(&world, &token, "kluis").await);
    assert_eq!(reads(&world, &first, "ecg").await, 200);
    let again = assume(&world, &token, "kluis").await;
    assert_eq!(
        (again.status, again.element("Code").as_str()),
        (403, "AccessDenied")
    );
    let next = provider.token("r|1", world.vault.now(), 301);
    assert_eq!(assume(&world, &next, "kluis").await.status, 200);
}

#[tokio::test]
async fn a_session_is_its_key_secret_and_token_together() {
    let (world, provider) = stage(false).await;
    let now = world.vault.now();
    let one = keys(&assume(&world, &provider.token("r|1", now, 300), "kluis").await);
    let two = keys(&assume(&world, &provider.token("r|1", now, 300), "kluis").await);
    assert_ne!(one.id, two.id);
    let token = one.token.clone().expect("a token");
    let olivia = world.keys("olivia", None).await;
    let flipped = if token.starts_with('A') { "B" } else { "A" };
    for (what, keys) in [
        (
            "without its token",
            Keys {
                token: None,
                ..one.clone()
            },
        ),
        (
            "with another's token",
            Keys {
                token: two.token.clone(),
                ..one.clone()
            },
        ),
        (
            "with another's secret",
            Keys {
                secret: two.secret.clone(),
                ..one.clone()
            },
        ),
        (
            "with a bent token",
            Keys {
                token: Some(format!("{flipped}{}", &token[1..])),
                ..one.clone()
            },
        ),
        (
            "with a cut token",
            Keys {
                token: Some(token[..40].to_owned()),
                ..one.clone()
            },
        ),
        (
            "with a long token",
            Keys {
                token: Some("A".repeat(5_000)),
                ..one.clone()
            },
        ),
        (
            "a lasting key with a token",
            Keys {
                token: one.token.clone(),
                ..olivia.clone()
            },
        ),
    ] {
        let got = world.serve(Some(&keys), &asked("GET", "/icu--ecg/k")).await;
        assert_eq!(got.status, 403, "{what}: {}", got.body);
    }
    // The token in a header that the signature does not cover, and one in the query beside it.
    let query = format!("/icu--ecg/k?X-Amz-Security-Token={token}");
    let twice = world.serve(Some(&one), &asked("GET", query)).await;
    assert_eq!(twice.status, 403, "two tokens: {}", twice.body);
    assert_eq!(reads(&world, &one, "ecg").await, 200);
}

#[tokio::test]
async fn a_session_ends_with_its_link_and_its_principals_standing() {
    let (world, provider) = stage(false).await;
    let rosa = keys(
        &assume(
            &world,
            &provider.token("r|1", world.vault.now(), 300),
            "kluis",
        )
        .await,
    );
    let local = world.local();
    world
        .vault
        .suspend(&local, name("rosa"), true)
        .await
        .expect("suspended");
    assert_eq!(reads(&world, &rosa, "ecg").await, 403);
    world
        .vault
        .suspend(&local, name("rosa"), false)
        .await
        .expect("let be");
    assert_eq!(reads(&world, &rosa, "ecg").await, 200);
    let unlinked = world.vault.unlink_identity(&local, ("sram", "r|1")).await;
    unlinked.expect("unlinked");
    assert_eq!(reads(&world, &rosa, "ecg").await, 403);
    // The same subject, somebody else now: the old session is not hers.
    world.person("zoe").await;
    link(&world, "r|1", "zoe").await;
    assert_eq!(reads(&world, &rosa, "ecg").await, 403);
}

#[tokio::test]
async fn forms_that_are_none_are_refused_and_recorded() {
    let world = World::new().await;
    for (body, code) in [
        ("", "ValidationError"),
        ("Action=AssumeRole&Version=2011-06-15", "InvalidAction"),
        ("Action=GetSessionToken&Version=2011-06-15", "InvalidAction"),
        (
            "Action=AssumeRoleWithWebIdentity&Version=2011-06-15",
            "ValidationError",
        ),
    ] {
        let request = asked("POST", "/").with("content-type", FORM).body(body);
        let got = world.serve(None, &request).await;
        assert_eq!(
            (got.status, got.element("Code").as_str()),
            (400, code),
            "{body}"
        );
    }
    let large = asked("POST", "/")
        .with("content-type", FORM)
        .body("x".repeat(3 << 20));
    assert!(world.serve(None, &large).await.status >= 400);
    for other in [
        asked("POST", "/"),
        asked("POST", "/").with("content-type", "text/plain"),
        asked("POST", "/?a=b").with("content-type", FORM),
    ] {
        let got = world.serve(None, &other).await;
        assert!(got.status >= 400, "no form: {}", got.status);
        assert!(!got.body.contains("sts.amazonaws.com"), "S3's own answer");
    }
}
