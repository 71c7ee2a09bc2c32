//! Tokens and visas as whoever signs in may bring them: signed by an issuer that says anything, or
//! by nobody.

#![expect(
    clippy::disallowed_methods,
    reason = "ring signs with its own randomness, and no answer here depends on it"
)]

use std::sync::OnceLock;

use data_encoding::BASE64URL_NOPAD;
use kluis::token::{self, Issuer, Keys, VisaIssuer, session_end, verify_visa, visas_end};
use kluis::types::Timestamp;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};

const URL: &str = "https://id.example.org";
const AUDIENCE: &str = "vault";
const PLACE: &str = "https://id.example.org/jwks";
const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const ASSERTED_MS_MAX: u64 = 86_400_000;

/// The key of RFC 7515, appendix A.3.
const X: &str = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
const Y: &str = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";
const D: &str = "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI";

fn key() -> &'static EcdsaKeyPair {
    static KEY: OnceLock<EcdsaKeyPair> = OnceLock::new();
    KEY.get_or_init(|| {
        let [x, y, d] =
            [X, Y, D].map(|part| BASE64URL_NOPAD.decode(part.as_bytes()).expect("base64url"));
        let public = [&[4], x.as_slice(), &y].concat();
        let form = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let random = SystemRandom::new();
        EcdsaKeyPair::from_private_key_and_public_key(form, &d, &public, &random).expect("a key")
    })
}

fn keys() -> Keys {
    let one = serde_json::json!({"kty": "EC", "crv": "P-256", "kid": "k", "x": X, "y": Y});
    let set = serde_json::json!({ "keys": [one] });
    Keys::read(set.to_string().as_bytes()).expect("a set of keys")
}

fn issuer() -> [Issuer; 1] {
    [Issuer {
        name: "id".to_owned(),
        url: URL.to_owned(),
        audience: AUDIENCE.to_owned(),
        once: false,
        groups: Some("groups".to_owned()),
        passports: true,
        keys: keys(),
    }]
}

fn visa_issuer() -> [VisaIssuer; 1] {
    [VisaIssuer {
        name: "visas".to_owned(),
        url: URL.to_owned(),
        places: vec![PLACE.to_owned()],
        asserted_ms_max: ASSERTED_MS_MAX,
        same_subject: true,
        keys: keys(),
    }]
}

/// Of a text with the header on its first line and what is said behind it: what is to be signed.
fn unsigned(text: &str) -> String {
    let (header, said) = text.split_once('\n').unwrap_or((text, ""));
    let parts = [header, said].map(|part| BASE64URL_NOPAD.encode(part.as_bytes()));
    parts.join(".")
}

fn signed(text: &str) -> String {
    let body = unsigned(text);
    let signature = key().sign(&SystemRandom::new(), body.as_bytes());
    let signature = BASE64URL_NOPAD.encode(signature.expect("a signature").as_ref());
    format!("{body}.{signature}")
}

/// Token and visa as they come, unsigned, wrongly signed, and signed.
pub(crate) fn tokens(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let body = unsigned(&text);
    let forged = [
        text.as_ref().to_owned(),
        format!("{body}."),
        format!("{body}.{}", "A".repeat(86)),
    ];
    for token in forged {
        assert!(token::verify(&token, &issuer(), NOW).is_err(), "forged");
        assert!(
            verify_visa(&token, AUDIENCE, &visa_issuer(), NOW).is_err(),
            "forged"
        );
    }
    let signed = signed(&text);
    if let Ok(claims) = token::verify(&signed, &issuer(), NOW) {
        assert_eq!(
            (claims.issuer.as_str(), claims.audience.as_str()),
            ("id", AUDIENCE)
        );
        // A minute is what clocks may be apart.
        assert!(claims.expires.plus_millis(60_000) > NOW);
    }
    if let Ok(visa) = verify_visa(&signed, AUDIENCE, &visa_issuer(), NOW) {
        assert!(visa.ends > NOW && visa.ends <= NOW.plus_millis(ASSERTED_MS_MAX));
        let ends = visas_end(&[visa]);
        let ends: Vec<Timestamp> = ends.into_iter().flatten().collect();
        assert!(session_end(NOW, 3_600_000, &ends) <= NOW.plus_millis(3_600_000));
    }
}

/// A token, and a visa with a condition, that are believed as they are.
pub(crate) const SEEDS: [&[u8]; 2] = [
    br#"{"alg":"ES256","kid":"k","typ":"JWT"}
{"iss":"https://id.example.org","sub":"ana","aud":["vault"],"iat":1799999990,"exp":1800000500,"acr":"high","amr":["mfa"],"groups":["a","b"],"ga4gh_passport_v1":["x"]}"#,
    br#"{"alg":"ES256","kid":"k","jku":"https://id.example.org/jwks","typ":"vnd.ga4gh.visa+jwt"}
{"iss":"https://id.example.org","sub":"ana","iat":1799999990,"exp":1800000500,"ga4gh_visa_v1":{"type":"ControlledAccessGrants","asserted":1799999000,"value":"https://data.example.org/1","source":"https://dac.example.org","by":"dac","conditions":[[{"type":"AffiliationAndRole","value":"const:faculty@example.org"}]]}}"#,
];

/// Else nothing of what lies behind a signature is reached.
pub(crate) fn seeds_are_believed() {
    let [token, visa] = SEEDS.map(|seed| signed(&String::from_utf8_lossy(seed)));
    let claims = token::verify(&token, &issuer(), NOW).expect("a token");
    assert_eq!(claims.visas, ["x"]);
    let visa = verify_visa(&visa, AUDIENCE, &visa_issuer(), NOW).expect("a visa");
    assert_eq!(visas_end(&[visa]), [None], "it depends on another");
}
