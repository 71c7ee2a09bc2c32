//! Projects that demand a better sign-in: who is known well enough, and what others are told.

use kluis::policy::Demand;
use serde_json::json;

use crate::sts::{Provider, assume, keys, link};
use crate::world::{Keys, World, asked, icu};

const PROJECT: &str = "/.kluis/v1/projects/icu";
/// No request's.
const EVENT: &str = "0198f0c2-7a1e-7c3b-9d51-0c6a5d0f2b11";

async fn demand(world: &World, acr: &[&str], amr: &[&str], log_only: bool) {
    let texts = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect();
    let demand = Demand {
        acr: texts(acr),
        amr: texts(amr),
        log_only,
    };
    let (local, project) = (world.local(), icu());
    let set = world.vault.demand_assurance(&local, &project, demand);
    set.await.expect("set");
}

async fn told(world: &World, keys: &Keys, path: &str) -> (u16, bool) {
    let got = world.serve(Some(keys), &asked("GET", path)).await;
    (got.status, got.body.contains("AssuranceTooLow"))
}

#[tokio::test]
async fn a_sign_in_below_what_the_project_demands_is_refused_with_its_reason() {
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
    let rosa = world.member("rosa", "reader").await;
    link(&world, "r|1", "rosa").await;
    let stranger = {
        world.person("zoe").await;
        world.keys("zoe", None).await
    };
    let session = async |more: serde_json::Value| {
        let token = provider.token_with("r|1", world.vault.now(), 300, &more);
        keys(&assume(&world, &token, "kluis").await)
    };
    let strong = session(json!({"acr": "loa3", "amr": ["pwd", "mfa"]})).await;
    let weak = session(json!({"acr": "loa1", "amr": ["pwd"]})).await;
    let one = session(json!({"acr": "loa3", "amr": "mfa"})).await;
    let silent = session(json!({})).await;
    let all = [&strong, &weak, &one, &silent, &rosa];
    for keys in all {
        assert_eq!(
            told(&world, keys, "/icu--ecg/k").await,
            (200, false),
            "nothing is demanded"
        );
    }
    let (yes, no) = ((200, false), (403, true));
    for (acr, amr, expected) in [
        (&["loa3"][..], &[][..], [yes, no, yes, no, no]),
        (&["loa1", "loa2"], &[], [no, yes, no, no, no]),
        (&[], &["mfa"], [yes, no, yes, no, no]),
        (&["loa3"], &["mfa", "pwd"], [yes, no, no, no, no]),
        (&[], &["MFA"], [no, no, no, no, no]),
    ] {
        demand(&world, acr, amr, false).await;
        for (keys, expected) in all.into_iter().zip(expected) {
            let got = told(&world, keys, "/icu--ecg/k").await;
            assert_eq!(got, expected, "{acr:?} {amr:?}");
        }
        let got = told(&world, &stranger, "/icu--ecg/k").await;
        assert_eq!(got, (403, false), "who has no right learns nothing");
    }
    let (intent, _) = world.last_intent();
    assert!(intent.policy.is_some(), "the refusal has its decision");
    // An endpoint of the API and a listing of what may be seen.
    let body = world
        .serve(Some(&weak), &asked("GET", "/.kluis/v1/versions/icu--ecg"))
        .await;
    assert_eq!(
        (body.status, &*body.json()["code"].to_string()),
        (403, "\"AssuranceTooLow\"")
    );
    let list = world.serve(Some(&weak), &asked("GET", "/")).await;
    assert!(!list.body.contains("icu--ecg"), "{}", list.body);
    // For the log alone, and not at all any more.
    demand(&world, &["loa3"], &[], true).await;
    assert_eq!(told(&world, &weak, "/icu--ecg/k").await, yes);
    demand(&world, &["loa9"], &[], false).await;
    assert_eq!(told(&world, &strong, "/icu--ecg/k").await, no);
    demand(&world, &[], &[], false).await;
    assert_eq!(told(&world, &rosa, "/icu--ecg/k").await, yes);
}

/// Every door to the log, by whatever right: an auditor's, or a dataset's owner's.
#[tokio::test]
async fn id_2_the_log_is_shown_to_who_signed_in_as_is_demanded() {
    let world = World::with_records().await;
    let (provider, olivia) = people(&world).await;
    demand(&world, &["loa3"], &[], true).await;
    let proof = format!("{PROJECT}/records/{EVENT}/proof");
    let records = [
        (format!("{PROJECT}/records"), 200),
        (format!("{PROJECT}/records?dataset=ecg"), 200),
        // No request's, which is told to whoever may know.
        (format!("{proof}?dataset=ecg"), 404),
        (proof, 404),
    ];
    for who in ["olivia", "anna"] {
        let strong = session(&world, &provider, who, "loa3").await;
        let weak = session(&world, &provider, who, "loa1").await;
        for (path, status) in &records {
            assert_eq!(
                told(&world, &strong, path).await,
                (*status, false),
                "{who} {path}"
            );
            assert_eq!(told(&world, &weak, path).await, (403, true), "{who} {path}");
        }
    }
    for (path, _) in &records {
        let got = told(&world, &olivia, path).await;
        assert_eq!(got, (403, true), "a lasting key {path}");
    }
    // Of the log alone.
    assert_eq!(told(&world, &olivia, "/icu--ecg").await.0, 200);
    demand(&world, &["loa3"], &[], false).await;
    for (path, _) in &records {
        let got = told(&world, &olivia, path).await;
        assert_eq!(got, (403, true), "whatever is asked {path}");
    }
}

/// What is decided elsewhere than about objects has the same reason.
#[tokio::test]
async fn id_2_who_manages_with_too_weak_a_sign_in_is_told_so() {
    let world = World::new().await;
    let (provider, olivia) = people(&world).await;
    world.person("zoe").await;
    let stranger = world.keys("zoe", None).await;
    let strong = session(&world, &provider, "olivia", "loa3").await;
    let weak = session(&world, &provider, "olivia", "loa1").await;
    demand(&world, &["loa3"], &[], false).await;
    let grant = json!({
        "principal": "zoe", "role": "reader", "purpose": "p", "permit": "q",
        "expires": "2199-12-31T00:00:00Z",
    });
    let act = json!({
        "act": "erase", "dataset": "ecg", "terms": {"what": "dataset"}, "reason": "its end",
    });
    for (method, path, body, served) in [
        ("GET", format!("{PROJECT}/log"), json!({}), 200),
        ("POST", format!("{PROJECT}/grants"), grant, 201),
        ("POST", format!("{PROJECT}/approvals"), act, 201),
        (
            "POST",
            "/.kluis/v1/datasets/icu--ecg".to_owned(),
            json!({"source": "another"}),
            200,
        ),
    ] {
        let body = if method == "GET" {
            String::new()
        } else {
            body.to_string()
        };
        let request = asked(method, path.clone()).body(body);
        for (who, keys, expected) in [
            ("weak", &weak, (403, true)),
            ("a lasting key", &olivia, (403, true)),
            ("no right", &stranger, (403, false)),
            ("strong", &strong, (served, false)),
        ] {
            let got = world.serve(Some(keys), &request).await;
            let told = (got.status, got.body.contains("AssuranceTooLow"));
            assert_eq!(told, expected, "{who} {path}: {}", got.body);
        }
    }
}

/// Olivia, who owns `icu--ecg`, and anna, who audits; both can sign in.
async fn people(world: &World) -> (Provider, Keys) {
    let provider = Provider::new();
    world.vault.replace_issuers(vec![provider.issuer(false)]);
    let olivia = world.keys("olivia", None).await;
    let made = world.serve(Some(&olivia), &asked("PUT", "/icu--ecg")).await;
    assert_eq!(made.status, 200);
    world.member("anna", "auditor").await;
    for who in ["olivia", "anna"] {
        link(world, who, who).await;
    }
    (provider, olivia)
}

async fn session(world: &World, provider: &Provider, who: &str, acr: &str) -> Keys {
    let more = json!({ "acr": acr });
    let token = provider.token_with(who, world.vault.now(), 300, &more);
    keys(&assume(world, &token, "kluis").await)
}
