//! Visas that are forged, bent, foreign, stale or conditional. Keys are made on the spot.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::tests::{NOW, Signer, URL, ec, with};
use super::*;

const ISSUER: &str = "https://visas.example.org";
const JKU: &str = "https://visas.example.org/jwks";
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

fn issuer(signer: &Signer) -> VisaIssuer {
    VisaIssuer {
        name: "visas".to_owned(),
        url: ISSUER.to_owned(),
        places: vec![JKU.to_owned()],
        asserted_ms_max: 30 * DAY_MS,
        same_subject: false,
        keys: Keys::read(signer.keys().to_string().as_bytes()).unwrap(),
    }
}

fn header() -> Value {
    json!({"alg": "ES256", "kid": "ec", "jku": JKU, "typ": "vnd.ga4gh.visa+jwt"})
}

fn grants() -> Value {
    json!({"iss": ISSUER, "sub": "p|1", "jti": "7", "iat": NOW.seconds() - 60,
        "exp": NOW.seconds() + 7_200,
        "ga4gh_visa_v1": {"type": "ControlledAccessGrants", "asserted": NOW.seconds() - 3_600,
            "value": "https://ega.example.org/d/1", "source": "https://ega.example.org/dac/1",
            "by": "dac"}})
}

/// The same with one thing said otherwise, or not at all.
fn bent(pointer: &str, value: Value) -> Value {
    let mut all = grants();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let object = all.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    if value == json!("absent") {
        object.remove(name);
    } else {
        object.insert(name.to_owned(), value);
    }
    all
}

fn head(name: &str, value: Value) -> Value {
    let mut header = header();
    if value == json!("absent") {
        header.as_object_mut().unwrap().remove(name);
    } else {
        header[name] = value;
    }
    header
}

fn judged(visa: &str, signer: &Signer) -> Result<Visa, VisaError> {
    verify_visa(visa, "kluis", &[issuer(signer)], NOW)
}

#[test]
fn a_visa_of_a_configured_issuer_is_believed() {
    let signer = Signer::new();
    for header in [
        header(),
        head("typ", json!("absent")),
        head("typ", json!("JWT")),
        head("typ", json!("application/vnd.ga4gh.visa+JWT")),
    ] {
        let visa = judged(&signer.sign(&header, &grants()), &signer).unwrap();
        assert_eq!(
            (&*visa.issuer, &*visa.subject, &*visa.kind),
            ("visas", "p|1", "ControlledAccessGrants")
        );
        assert_eq!(visa.by.as_deref(), Some("dac"));
        assert_eq!(visa.ends, NOW.plus_millis(7_200_000));
    }
    for more in [
        bent("/aud", json!(["kluis", "other"])),
        bent("/scope", json!("openidx profile")),
        bent("/ga4gh_visa_v1/conditions", json!([])),
        bent("/ga4gh_visa_v1/asserted", json!(NOW.seconds() + 60)),
        bent("/ga4gh_visa_v1/new", json!({"not": "known"})),
        bent("/ga4gh_visa_v1/type", json!("https://example.org/custom")),
    ] {
        let visa = judged(&signer.sign(&header(), &more), &signer).unwrap();
        assert_eq!(visa.ends, NOW.plus_millis(7_200_000), "{more}");
    }
}

/// What is wrong with each header, or with whoever signed.
fn forged(signer: &Signer, other: &Signer) -> Vec<(&'static str, String, VisaError)> {
    use VisaError::{Access, Malformed, Place, Signature};
    let by = |name: &str, value: Value| signer.sign(&head(name, value), &grants());
    let text = |name: &str, value: &str| by(name, json!(value));
    let place = |place: &str| (text("jku", place), Place);
    let own = head("jwk", other.keys()["keys"][0].clone());
    let cases = [
        ("none", (text("alg", "none"), Malformed)),
        ("key confusion", (text("alg", "HS256"), Malformed)),
        ("another algorithm", (text("alg", "RS256"), Signature)),
        ("one not for visas", (text("alg", "EdDSA"), Malformed)),
        (
            "another's key",
            (other.sign(&header(), &grants()), Signature),
        ),
        ("its own key", (other.sign(&own, &grants()), Signature)),
        ("the other key's id", (text("kid", "ed"), Signature)),
        ("an unknown key's id", (text("kid", "x"), Signature)),
        ("no key's id", (text("kid", "absent"), Signature)),
        ("no place of keys", (text("jku", "absent"), Access)),
        ("another place", place("https://evil.example/jwks")),
        ("a place within", place(&format!("{JKU}/../x"))),
        ("a place that begins so", place(&format!("{JKU}?a"))),
        ("a place in capitals", place(&JKU.to_uppercase())),
        (
            "what must be understood",
            (by("crit", json!(["exp"])), Malformed),
        ),
        ("an access token", (text("typ", "at+jwt"), Malformed)),
        (
            "a passport",
            (text("typ", "vnd.ga4gh.passport+jwt"), Malformed),
        ),
    ];
    let flat = cases.map(|(what, (visa, why))| (what, visa, why));
    flat.into_iter().collect()
}

#[test]
fn forged_visas_are_not_held() {
    let (signer, other) = (Signer::new(), Signer::new());
    for (what, visa, why) in forged(&signer, &other) {
        assert_eq!(judged(&visa, &signer).unwrap_err(), why, "{what}");
    }
    let good = signer.sign(&header(), &grants());
    let parts: Vec<&str> = good.split('.').collect();
    let evil = BASE64URL_NOPAD.encode(bent("/sub", json!("admin")).to_string().as_bytes());
    for bad in [
        format!("{}.{evil}.{}", parts[0], parts[2]),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{}.{}", parts[0], parts[1]),
        format!("{good}.{}", parts[2]),
        format!("{good}="),
        format!("{good} "),
        String::new(),
        "..".to_owned(),
        "x".repeat(limits::VISA_BYTES_MAX + 1),
    ] {
        assert!(judged(&bad, &signer).is_err(), "{bad:.80}");
    }
    let mut long = grants();
    long["more"] = json!("x".repeat(limits::VISA_BYTES_MAX));
    let long = signer.sign(&header(), &long);
    assert_eq!(judged(&long, &signer).unwrap_err(), VisaError::TooLong);
}

#[test]
fn one_visa_issuers_key_signs_for_no_other() {
    let (signer, other) = (Signer::new(), Signer::new());
    let second = VisaIssuer {
        name: "second".to_owned(),
        url: "https://second.example.org".to_owned(),
        places: vec!["https://second.example.org/jwks".to_owned()],
        ..issuer(&other)
    };
    let issuers = [issuer(&signer), second];
    let told = |visa: &str| verify_visa(visa, "kluis", &issuers, NOW).map(|visa| visa.issuer);
    let own = bent("/iss", json!("https://second.example.org"));
    let place = head("jku", json!("https://second.example.org/jwks"));
    assert_eq!(told(&other.sign(&place, &own)).unwrap(), "second");
    // By its own key in another's name, by another's in its own, and with another's place.
    assert_eq!(
        told(&other.sign(&header(), &grants())),
        Err(VisaError::Signature)
    );
    assert_eq!(told(&signer.sign(&place, &own)), Err(VisaError::Signature));
    assert_eq!(told(&other.sign(&header(), &own)), Err(VisaError::Place));
    for iss in [
        "https://visas.example.org/",
        "https://VISAS.example.org",
        "",
    ] {
        let visa = signer.sign(&header(), &bent("/iss", json!(iss)));
        assert_eq!(told(&visa), Err(VisaError::Issuer), "{iss}");
    }
}

#[test]
fn what_is_no_visa_or_not_in_its_time_is_not_held() {
    let signer = Signer::new();
    let at = NOW.seconds();
    let object = |name: &str, value: Value| bent(&format!("/ga4gh_visa_v1/{name}"), value);
    let absent = || json!("absent");
    let long = "x".repeat(limits::VISA_TEXT_BYTES_MAX + 1);
    for (claims, why) in [
        (bent("/iss", absent()), VisaError::Malformed),
        (bent("/sub", absent()), VisaError::Malformed),
        (bent("/sub", json!("")), VisaError::Malformed),
        (bent("/sub", json!("a\nb")), VisaError::Malformed),
        (bent("/sub", json!(["p|1"])), VisaError::Malformed),
        (bent("/iat", absent()), VisaError::Malformed),
        (bent("/iat", json!(at + 61)), VisaError::Time),
        (bent("/nbf", json!(at + 61)), VisaError::Time),
        (bent("/exp", absent()), VisaError::Malformed),
        (bent("/exp", json!(at)), VisaError::Time),
        (bent("/exp", json!(-1)), VisaError::Malformed),
        (bent("/exp", json!("9999999999")), VisaError::Malformed),
        (bent("/aud", json!("other")), VisaError::Audience),
        (bent("/aud", json!([])), VisaError::Audience),
        (
            bent("/scope", json!("openid ga4gh_passport_v1")),
            VisaError::Access,
        ),
        (bent("/scope", json!("a openid")), VisaError::Access),
        (bent("/ga4gh_visa_v1", absent()), VisaError::Malformed),
        (bent("/ga4gh_visa_v1", json!([])), VisaError::Malformed),
        (object("type", absent()), VisaError::Malformed),
        (object("type", json!("")), VisaError::Malformed),
        (
            object("type", json!(["ControlledAccessGrants"])),
            VisaError::Malformed,
        ),
        (object("asserted", absent()), VisaError::Malformed),
        (object("asserted", json!(at + 61)), VisaError::Time),
        (
            object("asserted", json!(at - 30 * DAY_MS / 1_000)),
            VisaError::Time,
        ),
        (object("value", absent()), VisaError::Malformed),
        (object("value", json!(long)), VisaError::Malformed),
        (object("value", json!("a\nb")), VisaError::Malformed),
        (object("source", absent()), VisaError::Malformed),
        (object("source", json!(null)), VisaError::Malformed),
        (object("by", absent()), VisaError::Malformed),
        (object("by", json!("")), VisaError::Malformed),
        (object("conditions", json!(null)), VisaError::Malformed),
        (object("conditions", json!("none")), VisaError::Malformed),
        (object("conditions", json!({})), VisaError::Malformed),
    ] {
        let visa = signer.sign(&header(), &claims);
        assert_eq!(judged(&visa, &signer).unwrap_err(), why, "{claims}");
    }
    // Twice the same name is neither the first nor the last.
    let text = grants().to_string();
    for (once, twice) in [
        ("\"sub\":\"p|1\"", "\"sub\":\"p|1\",\"sub\":\"p|2\""),
        ("\"by\":\"dac\"", "\"by\":\"dac\",\"by\":\"self\""),
    ] {
        assert!(text.contains(once));
        let b64 = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
        let message = (b64(&header().to_string()), b64(&text.replace(once, twice)));
        let visa = signer.sign_raw(&format!("{}.{}", message.0, message.1));
        assert_eq!(
            judged(&visa, &signer).unwrap_err(),
            VisaError::Malformed,
            "{twice}"
        );
    }
}

/// A visa of this type and value, as its issuer signed it.
fn visa(kind: &str, value: &str, seconds: u64, conditions: &Value) -> Value {
    let mut claims = grants();
    claims["exp"] = json!(NOW.seconds() + seconds);
    claims["ga4gh_visa_v1"] = json!({"type": kind, "asserted": NOW.seconds(), "value": value,
        "source": "https://umc.example.org", "by": "so", "conditions": conditions});
    claims
}

fn ends(visas: &[Value]) -> Vec<Option<u64>> {
    let signer = Signer::new();
    let believed = visas.iter().map(|claims| {
        let visa = signer.sign(&header(), claims);
        judged(&visa, &signer).unwrap()
    });
    let ends = visas_end(&believed.collect::<Vec<_>>());
    let seconds = |end: Timestamp| end.since(NOW) / 1_000;
    ends.into_iter().map(|end| end.map(seconds)).collect()
}

#[test]
fn a_visa_with_conditions_is_held_only_while_other_visas_meet_them() {
    let clause = |value: &str| json!({"type": "AffiliationAndRole", "value": value});
    let staff = visa("AffiliationAndRole", "staff@umc.nl", 2_000, &json!([]));
    let faculty = visa("AffiliationAndRole", "faculty@umc.nl", 4_000, &json!([]));
    let grant = |conditions: &Value| visa("ControlledAccessGrants", "d1", 3_000, conditions);
    for (conditions, end) in [
        (json!([[clause("const:faculty@umc.nl")]]), Some(3_000)),
        (json!([[clause("pattern:*@umc.nl")]]), Some(3_000)),
        // As long as the visa that it depends on; of alternatives, the one that lasts.
        (json!([[clause("const:staff@umc.nl")]]), Some(2_000)),
        (
            json!([
                [clause("const:staff@umc.nl")],
                [clause("const:faculty@umc.nl")]
            ]),
            Some(3_000),
        ),
        (
            json!([[clause("const:staff@umc.nl"), clause("const:faculty@umc.nl")]]),
            Some(2_000),
        ),
        (
            json!([[{"type": "AffiliationAndRole", "by": "const:so",
                "source": "const:https://umc.example.org"}]]),
            Some(3_000),
        ),
        (json!([[clause("const:nobody@umc.nl")]]), None),
        (
            json!([[clause("const:staff@umc.nl"), clause("const:nobody@umc.nl")]]),
            None,
        ),
        (json!([[clause("const:staff")]]), None),
        (json!([[clause("staff@umc.nl")]]), None),
        (json!([[clause("regex:.*")]]), None),
        (
            json!([[{"type": "affiliationandrole", "value": "pattern:*"}]]),
            None,
        ),
        (
            json!([[{"type": "AffiliationAndRole", "value": "const:staff@umc.nl",
                "source": "const:https://evil.example.org"}]]),
            None,
        ),
        // Both in one visa, not one in each.
        (
            json!([[{"type": "AffiliationAndRole", "value": "const:staff@umc.nl",
                "by": "const:dac"}]]),
            None,
        ),
        // Itself, and another that has conditions, meet nothing.
        (
            json!([[{"type": "ControlledAccessGrants", "value": "pattern:*"}]]),
            None,
        ),
    ] {
        let all = [staff.clone(), grant(&conditions), faculty.clone()];
        assert_eq!(ends(&all), [Some(2_000), end, Some(4_000)], "{conditions}");
    }
    let circle = json!([[{"type": "ControlledAccessGrants", "value": "pattern:*"}]]);
    assert_eq!(ends(&[grant(&circle), grant(&circle)]), [None, None]);
}

#[test]
fn conditions_that_are_none_spoil_their_visa() {
    let signer = Signer::new();
    let clause = json!({"type": "AffiliationAndRole", "value": "pattern:*"});
    let one = std::slice::from_ref(&clause);
    let many = vec![clause.clone(); limits::VISA_CLAUSES_MAX + 1];
    let deep = (0..200).fold(clause.clone(), |inner, _| json!([inner]));
    for conditions in [
        json!([[]]),
        json!([one, []]),
        json!([clause]),
        json!(clause),
        json!([[{"value": "pattern:*"}]]),
        json!([[{"type": "AffiliationAndRole"}]]),
        json!([[{"type": "AffiliationAndRole", "value": 7}]]),
        json!([[{"type": "AffiliationAndRole", "value": "pattern:*", "asserted": "const:1"}]]),
        json!([[{"type": "AffiliationAndRole", "value": "pattern:*", "conditions": []}]]),
        json!([[{"type": "AffiliationAndRole", "other": "const:1"}]]),
        json!([[{"type": "AffiliationAndRole", "value": format!("const:{}", "x".repeat(600))}]]),
        json!([many]),
        json!(vec![one; limits::VISA_CLAUSES_MAX + 1]),
        deep,
    ] {
        let visa = signer.sign(&header(), &visa("A", "b", 900, &conditions));
        let told = judged(&visa, &signer).unwrap_err();
        assert_eq!(told, VisaError::Malformed, "{conditions:.200}");
    }
}

#[test]
fn a_passport_is_a_bounded_list_of_texts_and_a_visa_signs_nobody_in() {
    let signer = Signer::new();
    let issuers = [signer.issuer()];
    let told = |value: Value| {
        let token = signer.sign(&ec(), &with(visa::PASSPORT, value));
        verify(&token, &issuers, NOW).map(|claims| claims.visas)
    };
    assert_eq!(told(json!([])).unwrap(), Vec::<String>::new());
    assert_eq!(told(json!(["a", "", "a"])).unwrap(), ["a", "", "a"]);
    let most = vec!["x"; limits::VISAS_MAX];
    assert_eq!(told(json!(most)).unwrap(), most);
    for value in [
        json!(null),
        json!("a"),
        json!({"0": "a"}),
        json!(["a", 7]),
        json!([["a"]]),
        json!([null]),
        json!(vec!["x"; limits::VISAS_MAX + 1]),
    ] {
        assert_eq!(told(value.clone()), Err(TokenError::Passport), "{value}");
    }
    // Long tokens are those of issuers whose passports are looked at, and not without end.
    let long = "x".repeat(limits::TOKEN_BYTES_MAX);
    assert_eq!(told(json!([long])).unwrap().len(), 1);
    let longer = "x".repeat(limits::PASSPORT_BYTES_MAX);
    assert_eq!(told(json!([longer])), Err(TokenError::TooLong));
    let deaf = [Issuer {
        passports: false,
        ..signer.issuer()
    }];
    let unheard = |value: Value| {
        let token = signer.sign(&ec(), &with(visa::PASSPORT, value));
        verify(&token, &deaf, NOW).map(|claims| claims.visas)
    };
    assert_eq!(unheard(json!(7)).unwrap(), Vec::<String>::new());
    assert_eq!(unheard(json!([long])), Err(TokenError::TooLong));
    // A visa that would pass for a token otherwise.
    let mut claims = with("ga4gh_visa_v1", grants()["ga4gh_visa_v1"].clone());
    claims["iss"] = json!(URL);
    assert_eq!(
        verify(&signer.sign(&ec(), &claims), &issuers, NOW),
        Err(TokenError::Malformed)
    );
    for typ in ["vnd.ga4gh.visa+jwt", "application/VND.ga4gh.visa+jwt"] {
        let header = json!({"alg": "ES256", "kid": "ec", "typ": typ});
        let token = signer.sign(&header, &with("a", json!(1)));
        assert_eq!(
            verify(&token, &issuers, NOW),
            Err(TokenError::Malformed),
            "{typ}"
        );
    }
    let header = json!({"alg": "ES256", "kid": "ec", "typ": "vnd.ga4gh.passport+jwt"});
    let passport = signer.sign(&header, &with(visa::PASSPORT, json!(["v"])));
    assert_eq!(verify(&passport, &issuers, NOW).unwrap().visas, ["v"]);
}

proptest! {
    /// Whatever visas say of their time: a session ends before each that it rests on, before what
    /// they assert is too old, and not after the time that was asked for.
    #[test]
    fn id_6_no_session_outlives_its_visas(
        visas in proptest::collection::vec((0_u64..20_000, 0_u64..4_000_000), 0..8),
        lasts_ms in limits::SESSION_MS_MIN..=limits::SESSION_MS_MAX,
        max_days in 1_u64..40,
    ) {
        let signer = Signer::new();
        let believed = visas.iter().filter_map(|(life, age)| {
            let mut claims = grants();
            claims["exp"] = json!(NOW.seconds() + life);
            claims["ga4gh_visa_v1"]["asserted"] = json!(NOW.seconds() - age);
            let issuers = [VisaIssuer { asserted_ms_max: max_days * DAY_MS, ..issuer(&signer) }];
            let visa = signer.sign(&header(), &claims);
            let told = verify_visa(&visa, "kluis", &issuers, NOW);
            let min = (life * 1_000).min((max_days * DAY_MS).saturating_sub(age * 1_000));
            assert_eq!(told.is_ok(), min > 0, "{told:?}");
            told.ok().map(|visa| (visa, min))
        });
        let (believed, mins): (Vec<Visa>, Vec<u64>) = believed.unzip();
        let ends: Vec<Timestamp> = visas_end(&believed).into_iter().flatten().collect();
        let end = session_end(NOW, lasts_ms, &ends);
        let ttl = end.since(NOW);
        prop_assert!(ttl <= lasts_ms);
        prop_assert!(mins.iter().all(|min| ttl < *min), "{} {:?}", ttl, mins);
        // And no shorter than that asks for.
        let least = mins.iter().map(|min| min - 1).chain([lasts_ms]).min();
        prop_assert_eq!(Some(ttl), least);
    }

    #[test]
    fn bytes_that_are_no_visa_are_refused_and_nothing_else_happens(text in "\\PC{0,200}") {
        let signer = Signer::new();
        prop_assert!(judged(&text, &signer).is_err());
    }
}
