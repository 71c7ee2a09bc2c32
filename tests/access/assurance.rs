//! Projects that demand a better sign-in: who is known well enough, and what others are told.

use kluis::policy::Demand;
use serde_json::json;

use crate::sts::{Provider, assume, keys, link};
use crate::world::{Keys, World, asked, icu};

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
