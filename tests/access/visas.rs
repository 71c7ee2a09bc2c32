//! Groups by visa over the edge (GA4GH passports): who is in them, until when, and what visas are
//! not held.

use data_encoding::BASE64URL_NOPAD;
use kluis::token::{Issuer, Keys as IssuerKeys, VisaIssuer};
use kluis::types::Timestamp;
use kluis::vault::{ErrorKind, VisaTerms};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

use crate::sts::{Provider, assume, keys, link};
use crate::world::{DAY_MS, Got, Keys, World, asked, name};

const BROKER: &str = "https://id.example.org";
const ISSUER: &str = "https://ega.example.org";
const JKU: &str = "https://ega.example.org/jwks";
const DATASET: &str = "https://ega.example.org/datasets/1";

#[expect(clippy::disallowed_methods, reason = "keys are made on the spot")]
fn random() -> SystemRandom {
    SystemRandom::new()
}

/// One who signs visas, by a key of its own.
struct Signer(EcdsaKeyPair);

impl Signer {
    fn new() -> Self {
        let kind = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let key = EcdsaKeyPair::generate_pkcs8(kind, &random()).expect("a key");
        Self(EcdsaKeyPair::from_pkcs8(kind, key.as_ref(), &random()).expect("a key"))
    }

    fn issuer(&self) -> VisaIssuer {
        let point = self.0.public_key().as_ref();
        let b64 = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
        let keys = json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": "e",
            "x": b64(&point[1..33]), "y": b64(&point[33..])}]});
        VisaIssuer {
            name: "ega".to_owned(),
            url: ISSUER.to_owned(),
            places: vec![JKU.to_owned()],
            asserted_ms_max: 30 * DAY_MS,
            same_subject: false,
            keys: IssuerKeys::read(keys.to_string().as_bytes()).expect("keys"),
        }
    }

    /// Signs a visa with what is said otherwise of its header, its claims and its object.
    fn visa(&self, world: &World, [head, claims, object]: [Value; 3]) -> String {
        let now = world.vault.now().seconds();
        let mut header = json!({"alg": "ES256", "kid": "e", "jku": JKU,
            "typ": "vnd.ga4gh.visa+jwt"});
        let mut visa = json!({"iss": ISSUER, "sub": "e|1", "iat": now, "exp": now + 3_000});
        let mut inner = json!({"type": "ControlledAccessGrants", "asserted": now - 60,
            "value": DATASET, "source": "https://ega.example.org/dacs/1", "by": "dac"});
        for (all, more) in [
            (&mut header, head),
            (&mut visa, claims),
            (&mut inner, object),
        ] {
            for (name, value) in more.as_object().expect("claims") {
                all[name] = value.clone();
            }
        }
        visa["ga4gh_visa_v1"] = inner;
        let b64 = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
        let parts = [header, visa].map(|part| b64(part.to_string().as_bytes()));
        let message = parts.join(".");
        let signature = self.0.sign(&random(), message.as_bytes()).expect("signed");
        format!("{message}.{}", b64(signature.as_ref()))
    }

    /// One of Rosa's that says nothing otherwise.
    fn good(&self, world: &World) -> String {
        self.visa(world, [json!({}), json!({}), json!({})])
    }

    fn lasting(&self, world: &World, seconds: u64) -> String {
        let end = world.vault.now().seconds() + seconds;
        self.visa(world, [json!({}), json!({"exp": end}), json!({})])
    }
}

fn terms() -> VisaTerms {
    VisaTerms {
        kind: "ControlledAccessGrants".to_owned(),
        value: DATASET.to_owned(),
        source: None,
        by: Some("dac".to_owned()),
    }
}

/// Rosa, who holds nothing, signs in as `r|1` and is `e|1` to the issuer of visas; readers read
/// `icu--ecg`, and whoever the committee granted the dataset is a reader.
async fn stage() -> (World, Provider, Signer) {
    let world = World::new().await;
    let (provider, signer) = (Provider::new(), Signer::new());
    world.vault.replace_issuers(vec![provider.issuer(false)]);
    world.vault.replace_visa_issuers(vec![signer.issuer()]);
    let olivia = world.keys("olivia", None).await;
    for request in [
        asked("PUT", "/icu--ecg"),
        asked("PUT", "/icu--ecg/k").body("x"),
    ] {
        assert_eq!(world.serve(Some(&olivia), &request).await.status, 200);
    }
    world.person("rosa").await;
    link(&world, "r|1", "rosa").await;
    let local = world.local();
    let linked = world
        .vault
        .link_identity(&local, ("ega", "e|1"), name("rosa"));
    linked.await.expect("linked");
    let made = world.vault.create_group(&local, name("readers"));
    made.await.expect("a group");
    world.grant(world.draft("readers", "reader")).await;
    map(&world, &terms(), "readers").await.expect("mapped");
    (world, provider, signer)
}

async fn map(world: &World, terms: &VisaTerms, group: &str) -> Result<(), ErrorKind> {
    let local = world.local();
    let mapped = world.vault.map_visa(&local, ("ega", terms), name(group));
    mapped.await.map_err(|error| error.kind())
}

async fn session(world: &World, provider: &Provider, passport: &Value) -> Got {
    let more = json!({"ga4gh_passport_v1": passport});
    let token = provider.token_with("r|1", world.vault.now(), 300, &more);
    assume(world, &token, "kluis").await
}

async fn bringing(world: &World, provider: &Provider, visas: &[String]) -> Keys {
    keys(&session(world, provider, &json!(visas)).await)
}

async fn reads(world: &World, keys: &Keys) -> bool {
    let got = world.serve(Some(keys), &asked("GET", "/icu--ecg/k")).await;
    assert!([200, 403].contains(&got.status), "{}", got.body);
    got.status == 200
}

fn told(world: &World) -> String {
    let (intent, _) = world.last_intent();
    intent.query.expect("what was made")
}

#[tokio::test]
async fn id_6_who_brings_a_visa_is_in_its_group_until_just_before_it_ends() {
    let (world, provider, signer) = stage().await;
    let none = bringing(&world, &provider, &[]).await;
    assert!(!told(&world).contains("visas="));
    assert!(!reads(&world, &none).await);
    let visa = signer.lasting(&world, 1_200);
    let end = world.vault.now().plus_millis(1_200_000);
    let got = session(&world, &provider, &json!([visa])).await;
    let rosa = keys(&got);
    let told = told(&world);
    assert!(!told.contains(&visa), "{told}");
    assert!(got.element("Expiration") < end.to_string(), "{}", got.body);
    assert!(told.contains("groups=readers not_held="), "{told}");
    let held = told.split_once(" visas=").expect("by which").1;
    let (row, digest) = held.split_once('@').expect("a row and a visa");
    assert_eq!((row.len(), digest.find(' ')), (32, Some(16)), "{told}");
    assert!(reads(&world, &rosa).await);
    assert!(!reads(&world, &none).await, "that session alone");
    assert!(!reads(&world, &world.keys("rosa", None).await).await);
    world.wait(1_100_000);
    assert!(reads(&world, &rosa).await);
    world.wait(100_000);
    assert!(!reads(&world, &rosa).await, "the visa ends");
    // What is asserted is too old before the visa ends.
    let asserted = world.vault.now().seconds() - 30 * DAY_MS / 1_000 + 1_000;
    let old = signer.visa(
        &world,
        [json!({}), json!({}), json!({"asserted": asserted})],
    );
    let rosa = bringing(&world, &provider, &[old]).await;
    assert!(reads(&world, &rosa).await);
    world.wait(1_000_000);
    assert!(!reads(&world, &rosa).await, "it was asserted 30 days ago");
}

#[tokio::test]
async fn a_session_ends_with_the_first_visa_that_it_rests_on_and_lasts_15_minutes() {
    let (world, provider, signer) = stage().await;
    let status = VisaTerms {
        kind: "ResearcherStatus".to_owned(),
        by: None,
        ..terms()
    };
    map(&world, &status, "readers").await.expect("mapped");
    let base = world.vault.now().seconds();
    let first = |seconds: u64| {
        let end = json!({"exp": base + seconds});
        signer.visa(&world, [json!({}), end, json!({})])
    };
    let second = |seconds: u64| {
        let (end, kind) = (
            json!({"exp": base + seconds}),
            json!({"type": "ResearcherStatus"}),
        );
        signer.visa(&world, [json!({}), end, kind])
    };
    let ends = async |visas: &[String]| {
        let got = session(&world, &provider, &json!(visas)).await;
        let expiration = got.element("Expiration");
        (expiration, reads(&world, &keys(&got)).await)
    };
    // A millisecond before the visa does.
    let at = |seconds: u64| Timestamp::from_millis((base + seconds) * 1_000 - 1).to_string();
    assert_eq!(
        ends(&[first(2_000), second(1_200)]).await,
        (at(1_200), true)
    );
    assert_eq!(
        ends(&[first(1_200), second(2_000)]).await,
        (at(1_200), true)
    );
    // Of two that say the same, that which lasts; one that opens nothing shortens nothing.
    assert_eq!(ends(&[first(1_200), first(2_000)]).await, (at(2_000), true));
    let other = json!({"value": "https://ega.example.org/datasets/2"});
    let end = json!({"exp": base + 1_200});
    let idle = signer.visa(&world, [json!({}), end, other]);
    assert_eq!(ends(&[first(2_000), idle]).await, (at(2_000), true));
    let (hour, opened) = ends(&[first(9_000)]).await;
    assert!(opened && hour > at(3_600) && hour < at(4_500), "{hour}");
    // A session is not shorter than 15 minutes: such a visa is not held.
    for short in [1, 600, 900] {
        let (hour, opened) = ends(&[first(short)]).await;
        assert!(!opened && hour > at(3_600), "{short}: {hour}");
    }
    assert_eq!(ends(&[first(900), second(2_000)]).await, (at(2_000), true));
}

/// Visas that are not held, each with what is wrong with it and the word for that.
fn bad(world: &World, signer: &Signer) -> Vec<(&'static str, String, &'static str)> {
    let now = world.vault.now().seconds();
    let none = || json!({});
    let head =
        |name: &str, value: Value| signer.visa(world, [json!({name: value}), none(), none()]);
    let said =
        |name: &str, value: Value| signer.visa(world, [none(), json!({name: value}), none()]);
    let object =
        |name: &str, value: Value| signer.visa(world, [none(), none(), json!({name: value})]);
    let good = signer.good(world);
    let (message, _) = good.rsplit_once('.').expect("a signature");
    let needs = json!([[{"type": "AffiliationAndRole", "value": "pattern:*"}]]);
    let old = json!(now - 31 * DAY_MS / 1_000);
    vec![
        ("another's key", Signer::new().good(world), "signature"),
        ("no signature", format!("{message}."), "signature"),
        ("alg none", head("alg", json!("none")), "form"),
        ("key confusion", head("alg", json!("HS256")), "form"),
        ("another key's id", head("kid", json!("1")), "signature"),
        ("no place of keys", head("jku", json!(null)), "access-token"),
        ("another place", head("jku", json!("https://evil")), "jku"),
        ("the broker's name", said("iss", json!(BROKER)), "issuer"),
        ("another's", said("sub", json!("e|2")), "subject"),
        ("the token's own", said("sub", json!("r|1")), "subject"),
        ("over", said("exp", json!(now)), "time"),
        ("of the future", said("iat", json!(now + 600)), "time"),
        (
            "asserted then",
            object("asserted", json!(now + 600)),
            "time",
        ),
        ("asserted long ago", object("asserted", old), "time"),
        (
            "an access token",
            said("scope", json!("openid")),
            "access-token",
        ),
        ("for another", said("aud", json!("other")), "audience"),
        (
            "conditions unmet",
            object("conditions", needs),
            "conditions",
        ),
        ("no conditions", object("conditions", json!(null)), "form"),
        (
            "another value",
            object("value", json!(format!("{DATASET}2"))),
            "unmapped",
        ),
        (
            "in capitals",
            object("value", json!(DATASET.to_uppercase())),
            "unmapped",
        ),
        (
            "another type",
            object("type", json!("https://example.org/new")),
            "unmapped",
        ),
        ("another authority", object("by", json!("self")), "unmapped"),
        ("garbage", "x.y.z".to_owned(), "form"),
        ("nothing", String::new(), "form"),
    ]
}

#[tokio::test]
async fn visas_that_are_forged_foreign_or_stale_are_not_held_and_others_count() {
    let (world, provider, signer) = stage().await;
    let cases = bad(&world, &signer);
    for (what, visa, why) in &cases {
        let keys = bringing(&world, &provider, std::slice::from_ref(visa)).await;
        let told = told(&world);
        assert!(
            told.contains(&format!("not_held=0:{why} acr=")),
            "{what}: {told}"
        );
        assert!(!reads(&world, &keys).await, "{what}");
    }
    let mut all: Vec<String> = cases.iter().map(|(_, visa, _)| visa.clone()).collect();
    all.insert(7, signer.good(&world));
    let rosa = bringing(&world, &provider, &all).await;
    assert!(reads(&world, &rosa).await, "the one that is good");
    // The same passport by another person's token opens nothing.
    world.person("otto").await;
    link(&world, "o|1", "otto").await;
    let more = json!({"ga4gh_passport_v1": all});
    let token = provider.token_with("o|1", world.vault.now(), 300, &more);
    let got = assume(&world, &token, "kluis").await;
    let told = told(&world);
    assert!(
        told.contains("principal=otto") && told.contains(" visas= groups= "),
        "{told}"
    );
    assert!(!reads(&world, &keys(&got)).await);
}

#[tokio::test]
async fn a_visa_is_its_subjects_by_a_link_by_its_own_issuer_or_where_that_is_said() {
    let (world, provider, signer) = stage().await;
    let of = |subject: &str| {
        let claims = json!({"sub": subject});
        signer.visa(&world, [json!({}), claims, json!({})])
    };
    let opens = async |visa: &str| {
        let keys = bringing(&world, &provider, &[visa.to_owned()]).await;
        (reads(&world, &keys).await, keys)
    };
    let (linked, same) = (of("e|1"), of("r|1"));
    let (does, held) = opens(&linked).await;
    assert!(does);
    assert!(
        !opens(&same).await.0,
        "the same words of two issuers are two people"
    );
    // Said of the issuer, they are one.
    let said = VisaIssuer {
        same_subject: true,
        ..signer.issuer()
    };
    world.vault.replace_visa_issuers(vec![said]);
    assert!(opens(&same).await.0);
    assert!(opens(&linked).await.0);
    assert!(!opens(&of("R|1")).await.0);
    // The broker's own visas, by its own words.
    let broker = VisaIssuer {
        name: "sram".to_owned(),
        url: BROKER.to_owned(),
        ..signer.issuer()
    };
    world.vault.replace_visa_issuers(vec![broker]);
    let local = world.local();
    let granted = terms();
    let mapped = world
        .vault
        .map_visa(&local, ("sram", &granted), name("readers"));
    mapped.await.expect("mapped");
    world.wait(100);
    let own = |subject: &str| {
        let claims = json!({"iss": BROKER, "sub": subject});
        signer.visa(&world, [json!({}), claims, json!({})])
    };
    assert!(opens(&own("r|1")).await.0);
    assert!(!opens(&own("r|2")).await.0);
    assert!(!opens(&own("e|1")).await.0, "linked to another issuer");
    // What rests on a link ends with it, and does not come back with another's.
    assert!(reads(&world, &held).await);
    let unlinked = world.vault.unlink_identity(&local, ("ega", "e|1"));
    unlinked.await.expect("unlinked");
    world.wait(100);
    assert!(!reads(&world, &held).await);
    world.person("otto").await;
    let linked = world
        .vault
        .link_identity(&local, ("ega", "e|1"), name("otto"));
    linked.await.expect("linked");
    world.wait(100);
    assert!(!reads(&world, &held).await, "somebody else's");
}

#[tokio::test]
async fn conditions_are_met_by_the_same_persons_visas() {
    let (world, provider, signer) = stage().await;
    let needs = json!([[{"type": "AffiliationAndRole", "value": "const:faculty@umc.nl",
        "by": "const:so"}]]);
    let grant = signer.visa(&world, [json!({}), json!({}), json!({"conditions": needs})]);
    let role = |subject: &str, value: &str| {
        let object = json!({"type": "AffiliationAndRole", "value": value, "by": "so"});
        signer.visa(&world, [json!({}), json!({"sub": subject}), object])
    };
    let opens = async |visas: &[String]| {
        let keys = bringing(&world, &provider, visas).await;
        reads(&world, &keys).await
    };
    let faculty = role("e|1", "faculty@umc.nl");
    assert!(opens(&[grant.clone(), faculty.clone()]).await);
    assert!(!opens(std::slice::from_ref(&grant)).await);
    assert!(!opens(std::slice::from_ref(&faculty)).await);
    for other in [role("e|1", "student@umc.nl"), role("e|2", "faculty@umc.nl")] {
        assert!(!opens(&[grant.clone(), other]).await);
    }
    let stranger = Signer::new();
    let object = json!({"type": "AffiliationAndRole", "value": "faculty@umc.nl", "by": "so"});
    let forged = stranger.visa(&world, [json!({}), json!({}), object]);
    assert!(!opens(&[grant, forged]).await);
}

#[tokio::test]
async fn passports_that_are_none_get_no_session_and_are_looked_at_where_that_is_said() {
    let (world, provider, signer) = stage().await;
    let good = signer.good(&world);
    let deep = (0..100).fold(json!(good), |inner, _| json!([inner]));
    for (what, passport) in [
        ("a text", json!(good)),
        ("null", Value::Null),
        ("an object", json!({"0": good})),
        ("a visa that is none", json!([good, 7])),
        ("lists in lists", json!([[good]])),
        ("deep", deep),
        ("too many", json!(vec![""; 65])),
    ] {
        let got = session(&world, &provider, &passport).await;
        assert_eq!(got.status, 400, "{what}: {}", got.body);
        assert_eq!(got.element("Code"), "InvalidIdentityToken", "{what}");
    }
    // A visa is no token, and what is too long is none.
    assert_eq!(assume(&world, &good, "kluis").await.status, 400);
    let long = session(&world, &provider, &json!(["x".repeat(64 * 1_024)])).await;
    assert_eq!(long.status, 400);
    // As many as may be, and all that they open: a session holds 16.
    let mut full = vec!["x".to_owned(); 63];
    full.push(good.clone());
    let rosa = bringing(&world, &provider, &full).await;
    assert!(reads(&world, &rosa).await);
    let value = |n: usize| format!("https://ega.example.org/datasets/n{n}");
    for n in 0..17 {
        let terms = VisaTerms {
            value: value(n),
            ..terms()
        };
        map(&world, &terms, "readers").await.expect("mapped");
    }
    let many: Vec<String> = (0..17)
        .map(|n| signer.visa(&world, [json!({}), json!({}), json!({"value": value(n)})]))
        .collect();
    let got = session(&world, &provider, &json!(many)).await;
    assert_eq!(got.status, 400, "{}", got.body);
    let rosa = bringing(&world, &provider, &many[..16]).await;
    assert_eq!(told(&world).matches('@').count(), 16, "{}", told(&world));
    assert!(reads(&world, &rosa).await);
    // Of an issuer whose passports are not looked at.
    let deaf = Issuer {
        passports: false,
        ..provider.issuer(false)
    };
    world.vault.replace_issuers(vec![deaf]);
    let rosa = bringing(&world, &provider, &[good]).await;
    assert!(!reads(&world, &rosa).await);
}

#[tokio::test]
async fn what_stands_for_a_group_by_visa_is_withdrawn_like_a_claim() {
    let (world, provider, signer) = stage().await;
    let visas = [signer.good(&world)];
    let member = bringing(&world, &provider, &visas).await;
    assert!(reads(&world, &member).await);
    let suspend = async |on| {
        let local = world.local();
        let done = world.vault.suspend(&local, name("readers"), on).await;
        done.expect("suspended");
        world.wait(100);
    };
    suspend(true).await;
    assert!(!reads(&world, &member).await, "the group is suspended");
    suspend(false).await;
    assert!(reads(&world, &member).await);
    let local = world.local();
    let granted = terms();
    let unmapped = world.vault.unmap_visa(&local, ("ega", &granted));
    unmapped.await.expect("unmapped");
    world.wait(100);
    assert!(!reads(&world, &member).await, "nothing stands for it");
    map(&world, &terms(), "readers").await.expect("mapped");
    world.wait(100);
    assert!(!reads(&world, &member).await, "said anew, it is another");
    let next = bringing(&world, &provider, &visas).await;
    assert!(reads(&world, &next).await);
    // A job would outlive the session.
    let body = json!({"bucket": "icu--ecg", "cluster": "hpc", "account": "rosa",
        "waits_seconds": 60, "lasts_seconds": 60});
    let submit = asked("POST", "/.kluis/v1/jobs").body(body.to_string());
    let got = world.serve(Some(&next), &submit).await;
    assert_eq!(got.status, 403, "{}", got.body);
}

#[tokio::test]
async fn what_cannot_stand_for_a_group_is_refused() {
    let (world, _provider, _signer) = stage().await;
    let with = |change: &dyn Fn(&mut VisaTerms)| {
        let mut terms = VisaTerms {
            value: "new".to_owned(),
            ..terms()
        };
        change(&mut terms);
        terms
    };
    let long = "x".repeat(256);
    for (what, bad) in [
        ("no type", with(&|t| t.kind.clear())),
        (
            "another case",
            with(&|t| t.kind = "controlledAccessGrants".to_owned()),
        ),
        ("links", with(&|t| t.kind = "LinkedIdentities".to_owned())),
        ("no URL", with(&|t| t.kind = "Custom".to_owned())),
        ("no value", with(&|t| t.value.clear())),
        ("two lines", with(&|t| t.value = "a\nb".to_owned())),
        ("a space", with(&|t| t.value = "a b".to_owned())),
        ("long", with(&|t| t.value.clone_from(&long))),
        ("an empty source", with(&|t| t.source = Some(String::new()))),
        ("an empty authority", with(&|t| t.by = Some(String::new()))),
        ("a line in it", with(&|t| t.by = Some("dac\n".to_owned()))),
    ] {
        let got = map(&world, &bad, "readers").await;
        assert_eq!(got, Err(ErrorKind::InvalidArgument), "{what}");
    }
    let new = with(&|_| ());
    for (group, kind) in [
        ("nobody", ErrorKind::InvalidArgument),
        ("rosa", ErrorKind::InvalidArgument),
    ] {
        assert_eq!(map(&world, &new, group).await, Err(kind), "{group}");
    }
    assert_eq!(
        map(&world, &terms(), "readers").await,
        Err(ErrorKind::Conflict)
    );
    // With a source it is something else; withdrawn is what was said.
    let local = world.local();
    assert!(world.vault.unmap_visa(&local, ("ega", &new)).await.is_err());
    assert!(
        world
            .vault
            .unmap_visa(&local, ("sram", &terms()))
            .await
            .is_err()
    );
    let custom = with(&|t| t.kind = "https://ras.nih.gov/visas/v1.1".to_owned());
    assert_eq!(map(&world, &custom, "readers").await, Ok(()));
}
