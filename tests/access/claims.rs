//! Groups by claim over the edge: who is in them, for how long, and what claims are refused.

use kluis::catalog::Mutation;
use kluis::policy::Grant;
use kluis::token::Issuer;
use kluis::vault::ErrorKind;
use serde_json::{Value, json};

use crate::sts::{Provider, assume, keys, link};
use crate::world::{Got, Keys, World, asked, name};

const CLAIM: &str = "urn:mace:umc:l\u{e9}zers";

/// Rosa, who holds nothing, signs in as `r|1`; readers read `icu--ecg`.
async fn stage() -> (World, Provider) {
    let world = World::new().await;
    let provider = Provider::new();
    world.vault.replace_issuers(vec![provider.issuer(false)]);
    let olivia = world.keys("olivia", None).await;
    for request in [
        asked("PUT", "/icu--ecg"),
        asked("PUT", "/icu--ecg/k").body("x"),
    ] {
        assert_eq!(world.serve(Some(&olivia), &request).await.status, 200);
    }
    world.person("rosa").await;
    link(&world, "r|1", "rosa").await;
    group(&world, "readers", "reader").await;
    map(&world, ("sram", CLAIM), "readers")
        .await
        .expect("mapped");
    (world, provider)
}

async fn group(world: &World, called: &str, role: &str) {
    let local = world.local();
    let made = world.vault.create_group(&local, name(called));
    made.await.expect("a group");
    world.grant(world.draft(called, role)).await;
}

async fn map(world: &World, claimed: (&str, &str), group: &str) -> Result<(), ErrorKind> {
    let local = world.local();
    let mapped = world.vault.map_claim(&local, claimed, name(group)).await;
    mapped.map_err(|error| error.kind())
}

async fn unmap(world: &World, claimed: (&str, &str)) -> Result<(), ErrorKind> {
    let local = world.local();
    let unmapped = world.vault.unmap_claim(&local, claimed).await;
    unmapped.map_err(|error| error.kind())
}

async fn session(world: &World, provider: &Provider, more: &Value) -> Got {
    let token = provider.token_with("r|1", world.vault.now(), 300, more);
    assume(world, &token, "kluis").await
}

async fn claiming(world: &World, provider: &Provider, groups: Value) -> Keys {
    keys(&session(world, provider, &json!({"groups": groups})).await)
}

async fn reads(world: &World, keys: &Keys) -> bool {
    let got = world.serve(Some(keys), &asked("GET", "/icu--ecg/k")).await;
    assert!([200, 403].contains(&got.status), "{}", got.body);
    got.status == 200
}

/// What is granted outlives the session in which somebody was in a group.
#[tokio::test]
async fn nobody_gives_for_good_what_she_has_by_a_claim_for_an_hour() {
    let (world, provider) = stage().await;
    group(&world, "data-owners", "owner").await;
    map(&world, ("sram", "owners"), "data-owners")
        .await
        .expect("mapped");
    world.person("stan").await;
    let claimed = claiming(&world, &provider, json!(["owners"])).await;
    let put = asked("PUT", "/icu--ecg/new").body("x");
    assert_eq!(
        world.serve(Some(&claimed), &put).await.status,
        200,
        "an owner"
    );
    let grants = "/.kluis/v1/projects/icu/grants";
    let body = |who: &str, role: &str| {
        json!({
            "principal": who, "role": role, "purpose": "p", "permit": "T",
            "expires": "2100-01-01T00:00:00Z",
        })
        .to_string()
    };
    for (who, role) in [
        ("rosa", "owner"),
        ("rosa", "reader"),
        ("stan", "owner"),
        ("stan", "reader"),
    ] {
        let asked = asked("POST", grants).body(body(who, role));
        let got = world.serve(Some(&claimed), &asked).await;
        assert_eq!(got.status, 403, "{who} {role}: {}", got.body);
    }
    // Nor what another proposed.
    let olivia = world.keys("olivia", None).await;
    let proposal = body("stan", "reader").replace('{', "{\"propose\":true,");
    let proposed = world
        .serve(Some(&olivia), &asked("POST", grants).body(proposal))
        .await;
    assert_eq!(proposed.status, 201, "{}", proposed.body);
    let id = proposed.json()["grant"].as_str().expect("an id").to_owned();
    for verb in ["approve", "confirm"] {
        let asked = asked("POST", format!("{grants}/{id}/{verb}"));
        assert_eq!(
            world.serve(Some(&claimed), &asked).await.status,
            403,
            "{verb}"
        );
    }
    let approve = asked("POST", format!("{grants}/{id}/approve"));
    assert_eq!(world.serve(Some(&olivia), &approve).await.status, 200);
}

#[tokio::test]
async fn id_3_who_claims_a_group_is_in_it_for_that_session_and_no_longer() {
    let (world, provider) = stage().await;
    let silent = keys(&session(&world, &provider, &json!({})).await);
    assert!(!reads(&world, &silent).await);
    let lasting = world.keys("rosa", None).await;
    let member = claiming(&world, &provider, json!(["staff", CLAIM, CLAIM])).await;
    assert!(reads(&world, &member).await);
    let (_, told) = world.last_intent();
    assert_eq!(told.principal, Some(name("rosa")), "she, and no group");
    let list = world.serve(Some(&member), &asked("GET", "/")).await;
    assert!(list.body.contains("icu--ecg"), "{}", list.body);
    let put = asked("PUT", "/icu--ecg/new").body("x");
    assert_eq!(world.serve(Some(&member), &put).await.status, 403);
    // Neither her other session nor her lasting credential is a member, before or after.
    assert!(!reads(&world, &silent).await);
    assert!(!reads(&world, &lasting).await);
    // One claim as a text, as some providers send it.
    let one = claiming(&world, &provider, json!(CLAIM)).await;
    let (intent, _) = world.last_intent();
    let told = intent.query.expect("what was made");
    assert!(told.contains("groups=readers acr="), "{told}");
    assert!(reads(&world, &one).await);
    world.wait(3_600_000);
    let got = world
        .serve(Some(&member), &asked("GET", "/icu--ecg/k"))
        .await;
    assert_eq!(got.status, 403, "an hour at most");
}

#[tokio::test]
async fn what_looks_like_a_claim_is_another() {
    let (world, provider) = stage().await;
    map(&world, ("sram", "admins"), "readers")
        .await
        .expect("mapped");
    for other in [
        "urn:mace:umc:le\u{301}zers",
        "urn:mace:umc:l\u{e8}zers",
        "URN:MACE:UMC:L\u{c9}ZERS",
        "urn:mace:umc:l\u{e9}zers ",
        "urn:mace:umc:l\u{e9}zer",
        "\u{200b}admins",
        "\u{430}dmins",
        "ADMINS",
        "sram\u{2028}admins",
        "admins/../admins",
        "*",
        "readers",
        "a',group='readers",
    ] {
        let keys = claiming(&world, &provider, json!([other])).await;
        assert!(!reads(&world, &keys).await, "{other:?}");
    }
    // Two spellings stand for two groups, or for one and nothing.
    group(&world, "others", "depositor").await;
    map(&world, ("sram", "urn:mace:umc:le\u{301}zers"), "others")
        .await
        .expect("another claim");
    let keys = claiming(&world, &provider, json!(["urn:mace:umc:le\u{301}zers"])).await;
    assert!(!reads(&world, &keys).await);
}

#[tokio::test]
async fn claims_that_are_none_or_too_many_get_no_session() {
    let (world, provider) = stage().await;
    let deep = (0..200).fold(json!(CLAIM), |inner, _| json!([inner]));
    let many: Vec<String> = (0..257).map(|n| format!("g{n}")).collect();
    for (what, groups) in [
        ("null", Value::Null),
        ("a number", json!(7)),
        ("true", json!(true)),
        ("an object", json!({CLAIM: true})),
        ("one that is none", json!([CLAIM, 7])),
        ("one that is null", json!([CLAIM, null])),
        ("lists in lists", json!([[CLAIM]])),
        ("deep", deep),
        ("nothing", json!([""])),
        ("a control", json!(["a\u{0}b"])),
        ("a line", json!(["sram\nadmins"])),
        ("long", json!(["x".repeat(256)])),
        ("many", json!(many)),
    ] {
        let got = session(&world, &provider, &json!({"groups": groups})).await;
        assert_eq!(got.status, 400, "{what}: {}", got.body);
        assert_eq!(got.element("Code"), "InvalidIdentityToken", "{what}");
        let (intent, _) = world.last_intent();
        assert_eq!(intent.operation, "AssumeRoleWithWebIdentity", "{what}");
    }
    let most: Vec<String> = (0..256).map(|n| format!("g{n}")).collect();
    let full = claiming(&world, &provider, json!(most)).await;
    assert!(!reads(&world, &full).await);
    // Of groups that stand for one here, a session holds 32: one left out could hold a denial.
    for n in 0..33 {
        map(&world, ("sram", &format!("g{n}")), "readers")
            .await
            .expect("mapped");
    }
    let got = session(&world, &provider, &json!({"groups": &most[..33]})).await;
    assert_eq!(got.status, 400, "{}", got.body);
    let held = claiming(&world, &provider, json!(&most[..32])).await;
    assert!(reads(&world, &held).await);
}

#[tokio::test]
async fn one_issuers_claim_is_not_anothers() {
    let (world, provider) = stage().await;
    let other = Provider::new();
    let second = Issuer {
        name: "idp".to_owned(),
        url: "https://idp.example.org".to_owned(),
        ..other.issuer(false)
    };
    let deaf = Provider::new();
    let third = Issuer {
        name: "deaf".to_owned(),
        url: "https://deaf.example.org".to_owned(),
        groups: None,
        ..deaf.issuer(false)
    };
    let all = vec![provider.issuer(false), second, third];
    world.vault.replace_issuers(all);
    let local = world.local();
    for issuer in ["idp", "deaf"] {
        let linked = world
            .vault
            .link_identity(&local, (issuer, "r|1"), name("rosa"));
        linked.await.expect("linked");
    }
    let from = |url: &str| json!({"iss": url, "groups": [CLAIM]});
    let strange = session(&world, &other, &from("https://idp.example.org")).await;
    assert!(
        !reads(&world, &keys(&strange)).await,
        "another issuer's word"
    );
    // The issuers' file names no claim of this one.
    map(&world, ("deaf", CLAIM), "readers")
        .await
        .expect("mapped");
    let unheard = session(&world, &deaf, &from("https://deaf.example.org")).await;
    assert!(!reads(&world, &keys(&unheard)).await);
    let own = claiming(&world, &provider, json!([CLAIM])).await;
    assert!(reads(&world, &own).await);
}

#[tokio::test]
async fn what_is_withdrawn_ends_and_does_not_come_back() {
    let (world, provider) = stage().await;
    let member = claiming(&world, &provider, json!([CLAIM])).await;
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
    unmap(&world, ("sram", CLAIM)).await.expect("unmapped");
    world.wait(100);
    assert!(!reads(&world, &member).await, "nothing stands for it");
    map(&world, ("sram", CLAIM), "readers")
        .await
        .expect("mapped");
    world.wait(100);
    assert!(!reads(&world, &member).await, "said anew, it is another");
    let next = claiming(&world, &provider, json!([CLAIM])).await;
    assert!(reads(&world, &next).await);
    // What a group is denied, who claims it is denied.
    let no = Grant {
        effect: kluis::policy::GrantEffect::Deny,
        ..world.draft("readers", "reader")
    };
    world.grant(no).await;
    world.wait(100);
    assert!(!reads(&world, &next).await);
}

#[tokio::test]
async fn what_stands_for_a_group_is_one_group_that_is_there() {
    let (world, _provider) = stage().await;
    let long = "x".repeat(256);
    for (issuer, claim, group, kind) in [
        ("sram", CLAIM, "readers", ErrorKind::Conflict),
        ("sram", "new", "nobody", ErrorKind::InvalidArgument),
        ("sram", "new", "rosa", ErrorKind::InvalidArgument),
        ("sram", "", "readers", ErrorKind::InvalidArgument),
        ("", "new", "readers", ErrorKind::InvalidArgument),
        ("sram", "a\nb", "readers", ErrorKind::InvalidArgument),
        ("sram\na", "b", "readers", ErrorKind::InvalidArgument),
        ("sram", &long, "readers", ErrorKind::InvalidArgument),
    ] {
        let got = map(&world, (issuer, claim), group).await;
        assert_eq!(got, Err(kind), "{issuer:?} {claim:?} {group}");
    }
    assert!(unmap(&world, ("sram", "new")).await.is_err());
    assert!(unmap(&world, ("idp", CLAIM)).await.is_err());
    assert_eq!(unmap(&world, ("sram", CLAIM)).await, Ok(()));
}

#[tokio::test]
async fn nobody_lets_herself_out_through_a_group_that_she_claims() {
    let (world, provider) = stage().await;
    link(&world, "o|1", "olivia").await;
    let olivia = world.keys("olivia", None).await;
    let made = world.serve(Some(&olivia), &asked("PUT", "/icu--out")).await;
    assert_eq!(made.status, 200, "{}", made.body);
    world.grant(world.draft("rosa", "owner")).await;
    for (approver, expected) in [("olivia", 403), ("rosa", 200)] {
        let group = format!("exporters-of-{approver}");
        let local = world.local();
        let made = world.vault.create_group(&local, name(&group));
        made.await.expect("a group");
        let grant = Grant {
            approver: name(approver),
            ..world.draft(&group, "exporter")
        };
        // As one was made before what lets bytes out was for a person by name.
        let made = vec![Mutation::CreateGrant(grant)];
        world.vault.catalog().commit(made).await.expect("a grant");
        map(&world, ("sram", &group), &group).await.expect("mapped");
        let token = provider.token_with("o|1", world.vault.now(), 300, &json!({"groups": [group]}));
        let session = keys(&assume(&world, &token, "kluis").await);
        let copy =
            asked("PUT", format!("/icu--out/{approver}")).with("x-amz-copy-source", "icu--ecg/k");
        let got = world.serve(Some(&session), &copy).await;
        assert_eq!(got.status, expected, "{approver}: {}", got.body);
    }
}

#[tokio::test]
async fn a_job_rests_on_nothing_that_a_session_claims() {
    let (world, provider) = stage().await;
    let _node = crate::jobs::Node::enrolled(&world, "gpu-1", "hpc").await;
    let member = claiming(&world, &provider, json!([CLAIM])).await;
    let body = json!({"bucket": "icu--ecg", "cluster": "hpc", "account": "rosa",
        "waits_seconds": 60, "lasts_seconds": 60});
    let submit = asked("POST", "/.kluis/v1/jobs").body(body.to_string());
    let got = world.serve(Some(&member), &submit).await;
    assert_eq!(got.status, 403, "{}", got.body);
    world.grant(world.draft("rosa", "reader")).await;
    world.wait(100);
    let got = world.serve(Some(&member), &submit).await;
    assert!([200, 201].contains(&got.status), "{}", got.body);
}
