//! Forged, bent, foreign and stale tokens. Keys are made on the spot.

use data_encoding::BASE64URL_NOPAD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};
use ring::{digest, hmac};
use serde_json::{Value, json};

use super::*;

pub(super) const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
pub(super) const URL: &str = "https://id.example.org";

fn b64(bytes: impl AsRef<[u8]>) -> String {
    BASE64URL_NOPAD.encode(bytes.as_ref())
}

#[expect(clippy::disallowed_methods, reason = "keys are made on the spot")]
fn random() -> SystemRandom {
    SystemRandom::new()
}

/// Two keys of an issuer: P-256 and Ed25519.
pub(super) struct Signer {
    ec: EcdsaKeyPair,
    ed: Ed25519KeyPair,
}

impl Signer {
    pub(super) fn new() -> Self {
        let random = random();
        let kind = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let ec = EcdsaKeyPair::generate_pkcs8(kind, &random).unwrap();
        let ed = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
        Self {
            ec: EcdsaKeyPair::from_pkcs8(kind, ec.as_ref(), &random).unwrap(),
            ed: Ed25519KeyPair::from_pkcs8(ed.as_ref()).unwrap(),
        }
    }

    pub(super) fn keys(&self) -> Value {
        let point = self.ec.public_key().as_ref();
        json!({"keys": [
            {"kty": "EC", "crv": "P-256", "kid": "ec", "use": "sig", "alg": "ES256",
             "x": b64(&point[1..33]), "y": b64(&point[33..])},
            {"kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": b64(self.ed.public_key())},
            {"kty": "oct", "kid": "secret", "k": b64("secret")},
        ]})
    }

    pub(super) fn issuer(&self) -> Issuer {
        Issuer {
            name: "example".to_owned(),
            url: URL.to_owned(),
            audience: "kluis".to_owned(),
            once: false,
            groups: Some("groups".to_owned()),
            passports: true,
            keys: Keys::read(self.keys().to_string().as_bytes()).unwrap(),
        }
    }

    pub(super) fn sign(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", b64(header.to_string()), b64(claims.to_string()));
        let signature = match header["alg"].as_str() {
            Some("EdDSA") => b64(self.ed.sign(message.as_bytes())),
            Some("none") => String::new(),
            Some("HS256") => {
                // The public key as a shared secret: the old confusion.
                let key = hmac::Key::new(hmac::HMAC_SHA256, self.ec.public_key().as_ref());
                b64(hmac::sign(&key, message.as_bytes()))
            }
            _ => return self.sign_raw(&message),
        };
        format!("{message}.{signature}")
    }

    /// Signs a header and claims as they are, with the P-256 key.
    pub(super) fn sign_raw(&self, message: &str) -> String {
        let signature = self.ec.sign(&random(), message.as_bytes()).unwrap();
        format!("{message}.{}", b64(signature))
    }
}

fn claims() -> Value {
    json!({"iss": URL, "sub": "zo\u{eb}|1", "aud": "kluis", "exp": NOW.seconds() + 300,
           "iat": NOW.seconds()})
}

pub(super) fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

pub(super) fn ec() -> Value {
    json!({"alg": "ES256", "kid": "ec"})
}

#[test]
fn a_token_of_a_configured_issuer_is_believed() {
    let signer = Signer::new();
    let issuers = [signer.issuer()];
    for header in [
        ec(),
        json!({"alg": "ES256"}),
        json!({"alg": "EdDSA", "kid": "ed"}),
    ] {
        for claims in [claims(), with("aud", json!(["other", "kluis"]))] {
            let token = signer.sign(&header, &claims);
            let believed = verify(&token, &issuers, NOW).unwrap();
            assert_eq!(believed.issuer, "example");
            assert_eq!(believed.subject, "zo\u{eb}|1", "as it is");
            assert_eq!(believed.expires, NOW.plus_millis(300_000));
            let (message, _) = token.rsplit_once('.').unwrap();
            let hash = digest::digest(&digest::SHA256, message.as_bytes());
            assert_eq!(believed.digest, hash.as_ref());
        }
    }
}

#[test]
fn forged_tokens_are_refused() {
    let (signer, other) = (Signer::new(), Signer::new());
    let issuers = [signer.issuer()];
    let header = |text: &str| json!({"alg": text, "kid": "ec"});
    for (what, token) in [
        ("none", signer.sign(&header("none"), &claims())),
        ("None", signer.sign(&header("None"), &claims())),
        ("key confusion", signer.sign(&header("HS256"), &claims())),
        ("another's key", other.sign(&ec(), &claims())),
        (
            "another algorithm",
            signer.sign(&header("ES384"), &claims()),
        ),
        ("RSA by an EC key", signer.sign(&header("RS256"), &claims())),
        (
            "the other key's id",
            signer.sign(&json!({"alg": "ES256", "kid": "ed"}), &claims()),
        ),
        (
            "an unknown key's id",
            signer.sign(&json!({"alg": "ES256", "kid": "x"}), &claims()),
        ),
        (
            "a secret's id",
            signer.sign(&json!({"alg": "HS256", "kid": "secret"}), &claims()),
        ),
        (
            "its own key",
            other.sign(
                &json!({"alg": "ES256", "jwk": other.keys()["keys"][0]}),
                &claims(),
            ),
        ),
        (
            "a key to fetch",
            other.sign(
                &json!({"alg": "ES256", "jku": "https://evil.example"}),
                &claims(),
            ),
        ),
    ] {
        let told = verify(&token, &issuers, NOW);
        let refused = matches!(told, Err(TokenError::Malformed | TokenError::Signature));
        assert!(refused, "{what}: {told:?}");
    }
    let good = signer.sign(&ec(), &claims());
    let parts: Vec<&str> = good.split('.').collect();
    let evil = b64(with("sub", json!("admin")).to_string());
    for bent in [
        format!("{}.{evil}.{}", parts[0], parts[2]),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{}.{}", parts[0], parts[1]),
        format!("{good}.{}", parts[2]),
        format!("{good}="),
        format!(" {good}"),
        String::new(),
        "..".to_owned(),
        "x".repeat(limits::TOKEN_BYTES_MAX + 1),
    ] {
        assert!(verify(&bent, &issuers, NOW).is_err(), "{bent:.80}");
    }
}

#[test]
fn tokens_for_others_and_out_of_their_time_are_refused() {
    let signer = Signer::new();
    let issuers = [signer.issuer()];
    let at = NOW.seconds();
    for (claims, why) in [
        (
            with("iss", json!("https://id.example.org/")),
            TokenError::Issuer,
        ),
        (
            with("iss", json!("https://ID.example.org")),
            TokenError::Issuer,
        ),
        (without("iss"), TokenError::Malformed),
        (with("iss", json!([URL])), TokenError::Malformed),
        (with("aud", json!("other")), TokenError::Audience),
        (with("aud", json!([])), TokenError::Audience),
        (with("aud", json!("kluis ")), TokenError::Audience),
        (without("aud"), TokenError::Malformed),
        (with("exp", json!(at)), TokenError::Time),
        (with("exp", json!("9999999999")), TokenError::Malformed),
        (with("exp", json!(-1)), TokenError::Malformed),
        (without("exp"), TokenError::Time),
        (with("nbf", json!(at + 61)), TokenError::Time),
        (with("nbf", json!("soon")), TokenError::Malformed),
        (with("iat", json!(at + 61)), TokenError::Time),
        (without("sub"), TokenError::Subject),
        (with("sub", json!("")), TokenError::Subject),
        (with("sub", json!("a\nb")), TokenError::Subject),
        (with("sub", json!("s".repeat(256))), TokenError::Subject),
        (with("sub", json!({"a": 1})), TokenError::Malformed),
    ] {
        let token = signer.sign(&ec(), &claims);
        assert_eq!(verify(&token, &issuers, NOW), Err(why), "{claims}");
    }
    let token = signer.sign(&ec(), &claims());
    assert_eq!(verify(&token, &[], NOW), Err(TokenError::Issuer));
    let later = NOW.plus_millis(300_000);
    assert!(verify(&token, &issuers, Timestamp::from_millis(later.millis() - 1)).is_ok());
    assert_eq!(verify(&token, &issuers, later), Err(TokenError::Time));
}

#[test]
fn one_issuers_key_speaks_for_no_other_issuer() {
    let (signer, other) = (Signer::new(), Signer::new());
    let second = Issuer {
        name: "second".to_owned(),
        url: "https://second.example.org".to_owned(),
        ..other.issuer()
    };
    let issuers = [signer.issuer(), second];
    let token = other.sign(&ec(), &claims());
    assert_eq!(verify(&token, &issuers, NOW), Err(TokenError::Signature));
    let own = other.sign(&ec(), &with("iss", json!("https://second.example.org")));
    assert_eq!(verify(&own, &issuers, NOW).unwrap().issuer, "second");
}

#[test]
fn what_is_no_set_of_keys_is_refused() {
    let signer = Signer::new();
    let encrypts = json!({"keys": [{
        "kty": "OKP", "crv": "Ed25519", "use": "enc", "x": b64(signer.ed.public_key()),
    }]});
    let secret = json!({"keys": [{"kty": "oct", "k": b64("secret")}]});
    for text in [
        encrypts.to_string(),
        secret.to_string(),
        r#"{"keys": []}"#.to_owned(),
    ] {
        assert_eq!(
            Keys::read(text.as_bytes()).err(),
            Some(KeysError::NoneOfUse),
            "{text}"
        );
    }
    let many = json!({"keys": vec![signer.keys()["keys"][0].clone(); 65]}).to_string();
    let long = " ".repeat(limits::TOKEN_KEYS_BYTES_MAX + 1);
    for text in ["", "{}", "[]", &many, &long] {
        assert_eq!(
            Keys::read(text.as_bytes()).err(),
            Some(KeysError::NotKeys),
            "{text:.60}"
        );
    }
}

#[test]
fn groups_are_texts_within_their_bounds_or_spoil_the_token() {
    let signer = Signer::new();
    let issuers = [signer.issuer()];
    let told = |value: Value| {
        let token = signer.sign(&ec(), &with("groups", value));
        verify(&token, &issuers, NOW).map(|claims| claims.groups)
    };
    let most: Vec<String> = (0..limits::CLAIMS_MAX).map(|n| format!("g{n}")).collect();
    let long = "x".repeat(limits::CLAIM_BYTES_MAX);
    for (value, groups) in [
        (json!([]), Vec::new()),
        (json!("one"), vec!["one"]),
        (
            json!(["l\u{e9}", "le\u{301}", "L\u{c9}"]),
            vec!["l\u{e9}", "le\u{301}", "L\u{c9}"],
        ),
        (json!(["a", "a"]), vec!["a", "a"]),
        (json!([" a "]), vec![" a "]),
        (json!([long]), vec![long.as_str()]),
        (json!(most), most.iter().map(String::as_str).collect()),
    ] {
        assert_eq!(told(value).unwrap(), groups);
    }
    let many = [&most[..], &["one more".to_owned()]].concat();
    for value in [
        Value::Null,
        json!(1),
        json!({}),
        json!({"0": "a"}),
        json!(["a", 1]),
        json!(["a", ["b"]]),
        json!([""]),
        json!(["a\tb"]),
        json!(["\u{7f}"]),
        json!([format!("{long}x")]),
        json!(many),
    ] {
        assert_eq!(told(value.clone()), Err(TokenError::Groups), "{value}");
    }
    let deaf = [Issuer {
        groups: None,
        ..signer.issuer()
    }];
    let token = signer.sign(&ec(), &with("groups", json!(7)));
    assert_eq!(
        verify(&token, &deaf, NOW).unwrap().groups,
        Vec::<String>::new()
    );
    let nested = [Issuer {
        groups: Some("realm.groups".to_owned()),
        ..signer.issuer()
    }];
    let token = signer.sign(&ec(), &with("realm", json!({"groups": ["a"]})));
    assert_eq!(
        verify(&token, &nested, NOW).unwrap().groups,
        Vec::<String>::new()
    );
}
