//! The life of a grant over the network, as owner and researcher live it.

use serde_json::json;

use crate::world::{Keys, World, asked, name};

const GRANTS: &str = "/.kluis/v1/projects/icu/grants";

async fn ecg(world: &World) -> Keys {
    let olivia = world.keys("olivia", None).await;
    for request in [
        asked("PUT", "/icu--ecg"),
        asked("PUT", "/icu--ecg/k").body("x"),
    ] {
        let got = world.serve(Some(&olivia), &request).await;
        assert_eq!(got.status, 200, "{}", got.body);
    }
    olivia
}

async fn reads(world: &World, keys: &Keys) -> u16 {
    world
        .serve(Some(keys), &asked("GET", "/icu--ecg/k"))
        .await
        .status
}

#[tokio::test]
async fn proposed_approved_used_reviewed_withdrawn() {
    let world = World::new().await;
    let olivia = ecg(&world).await;
    let rosa = world.member("rosa", "depositor").await;
    assert_eq!(reads(&world, &rosa).await, 403);
    let body = json!({
        "principal": "rosa", "role": "reader", "dataset": "ecg", "propose": true,
        "purpose": "ehds:scientific-research", "permit": "HDAB-7",
        "networks": ["127.0.0.0/8"], "actions": ["object.read", "object.list"],
        "expires": "2199-12-31T00:00:00Z",
    });
    let made = world
        .serve(Some(&rosa), &asked("POST", GRANTS).body(body.to_string()))
        .await;
    assert_eq!(made.status, 201, "{}", made.body);
    let told = made.json();
    assert_eq!(told["standing"], "proposed");
    assert_eq!(told["approver"], serde_json::Value::Null);
    let id = told["grant"].as_str().expect("an id").to_owned();
    assert_eq!(reads(&world, &rosa).await, 403);

    let approve = asked("POST", format!("{GRANTS}/{id}/approve"));
    assert_eq!(world.serve(Some(&rosa), &approve).await.status, 403);
    let approved = world.serve(Some(&olivia), &approve).await;
    assert_eq!(approved.json()["approver"], "olivia", "{}", approved.body);
    assert_eq!(world.serve(Some(&olivia), &approve).await.status, 400);
    assert_eq!(reads(&world, &rosa).await, 200);
    let (intent, session) = world.last_intent();
    let policy = intent.policy.expect("a decision");
    assert_eq!(policy.grant.map(|id| id.to_string()), Some(id.clone()));
    assert_eq!(policy.purpose.as_deref(), Some("ehds:scientific-research"));
    assert_eq!(policy.permit.as_deref(), Some("HDAB-7"));
    assert_eq!(session.principal, Some(name("rosa")));
    let head = world
        .serve(Some(&rosa), &asked("HEAD", "/icu--ecg/k"))
        .await;
    assert_eq!(head.status, 403, "not among its actions");

    world.vault.keep_uses().await.expect("kept");
    let list = world
        .serve(Some(&olivia), &asked("GET", GRANTS))
        .await
        .json();
    let rows = list["grants"].as_array().expect("a list");
    let row = rows
        .iter()
        .find(|row| row["grant"] == id.as_str())
        .expect("hers");
    assert!(
        row["last_used"].is_string() && row["lapses"].is_string(),
        "{row}"
    );
    let own = world.serve(Some(&rosa), &asked("GET", GRANTS)).await.json();
    let own = own["grants"].as_array().expect("a list");
    assert!(own.len() == 2 && own.iter().all(|row| row["principal"] == "rosa"));
    let confirm = asked("POST", format!("{GRANTS}/{id}/confirm"));
    assert_eq!(world.serve(Some(&rosa), &confirm).await.status, 403);
    assert_eq!(world.serve(Some(&olivia), &confirm).await.status, 200);

    let withdraw = asked("DELETE", format!("{GRANTS}/{id}"));
    assert_eq!(world.serve(Some(&rosa), &withdraw).await.status, 403);
    assert_eq!(world.serve(Some(&olivia), &withdraw).await.status, 204);
    assert_eq!(reads(&world, &rosa).await, 403);
    assert_eq!(
        world.serve(Some(&olivia), &withdraw).await.status,
        400,
        "no such grant"
    );
}

#[tokio::test]
async fn what_is_no_grant_is_refused_with_a_word_why() {
    let world = World::new().await;
    let olivia = ecg(&world).await;
    world.person("rosa").await;
    let good = json!({
        "principal": "rosa", "role": "reader", "purpose": "p", "permit": "q",
        "expires": "2199-12-31T00:00:00Z",
    });
    let with = |member: &str, value: serde_json::Value| {
        let mut body = good.clone();
        body[member] = value;
        body.to_string()
    };
    for (body, why) in [
        (with("purpose", json!(null)), "purpose"),
        (with("permit", json!("")), "permit"),
        (with("expires", json!(null)), "end"),
        (with("expires", json!("2199-12-31")), "expires"),
        (with("role", json!("king")), "role"),
        (with("networks", json!(["10.0.0.1/8"])), "networks"),
        (with("actions", json!(["object.fly"])), "actions"),
        (with("actions", json!(["object.write"])), "actions"),
        (with("version", json!(1)), "version"),
        (with("version", json!("1")), "JSON"),
        (with("version", json!(-1)), "JSON"),
        (with("approver", json!("olivia")), "approver"),
        (with("principal", json!("nobody")), "principal"),
        (with("dataset", json!("../lab")), "dataset"),
        ("{".repeat(10_000), "JSON"),
        (String::new(), "JSON"),
    ] {
        let got = world
            .serve(Some(&olivia), &asked("POST", GRANTS).body(body.clone()))
            .await;
        assert_eq!(got.status, 400, "{body:.200}: {}", got.body);
        assert!(got.body.contains(why), "{body:.200}: {}", got.body);
    }
    let lab = asked("POST", "/.kluis/v1/projects/lab/grants").body(good.to_string());
    assert_eq!(world.serve(Some(&olivia), &lab).await.status, 403);
    let bad = asked("GET", format!("{GRANTS}/notanid"));
    assert_eq!(world.serve(Some(&olivia), &bad).await.status, 400);
}

/// A static key reaches as far as its principal: a tool gets a workload of its own, with a grant on
/// one dataset, and its key reads that and nothing else of its person's.
#[tokio::test]
async fn a_key_of_a_tool_reads_what_the_tool_may_and_nothing_else_of_her() {
    let world = World::new().await;
    let olivia = ecg(&world).await;
    for request in [
        asked("PUT", "/icu--mri"),
        asked("PUT", "/icu--mri/k").body("x"),
    ] {
        assert_eq!(world.serve(Some(&olivia), &request).await.status, 200);
    }
    let (tool, local) = (name("olivia-viewer"), world.local());
    let person = Some(name("olivia"));
    let made = world.vault.create_principal(&local, tool.clone(), person);
    made.await.expect("a workload");
    let mut grant = world.draft("olivia-viewer", "reader");
    grant.dataset = Some("ecg".parse().expect("a name"));
    world.grant(grant).await;
    let keys = world.keys("olivia-viewer", None).await;
    let uses = async || {
        world.vault.keep_uses().await.expect("kept");
        let catalog = world.vault.catalog();
        catalog.credential_uses(&tool, 9).await.expect("read")
    };
    assert_eq!(uses().await, []);
    assert_eq!(reads(&world, &keys).await, 200);
    let noted = uses().await;
    assert_eq!(noted.len(), 1, "when it was last used");
    assert_eq!(noted[0].0.to_string(), keys.id);
    for (method, uri) in [
        ("GET", "/icu--mri/k"),
        ("GET", "/icu--mri"),
        ("PUT", "/icu--ecg/k"),
        ("DELETE", "/icu--ecg/k"),
        ("POST", "/.kluis/v1/versions/icu--ecg"),
        ("PUT", "/icu--made"),
    ] {
        let got = world.serve(Some(&keys), &asked(method, uri)).await;
        assert_eq!(got.status, 403, "{method} {uri} {}", got.body);
    }
    let list = world.serve(Some(&keys), &asked("GET", "/")).await.body;
    assert!(
        list.contains("icu--ecg") && !list.contains("icu--mri"),
        "{list}"
    );
    let id = keys.id.parse().expect("a key");
    let revoked = world.vault.revoke_credential(&local, id).await;
    revoked.expect("revoked");
    assert_eq!(reads(&world, &keys).await, 403);
    assert_eq!(reads(&world, &olivia).await, 200, "hers goes on");
}

/// Of a version that is granted everything opens, and nothing of another or of what is current.
#[tokio::test]
async fn a_grant_of_a_version_opens_that_version_alone() {
    let world = World::new().await;
    let olivia = ecg(&world).await;
    let publish = asked("POST", "/.kluis/v1/versions/icu--ecg");
    for _ in 1..=2 {
        let got = world.serve(Some(&olivia), &publish).await;
        assert!(got.status < 300, "{}", got.body);
    }
    world.person("rosa").await;
    let rosa = world.keys("rosa", None).await;
    let body = |version: u32| {
        let body = json!({
            "principal": "rosa", "role": "reader", "dataset": "ecg", "version": version,
            "purpose": "p", "permit": "q", "expires": "2199-12-31T00:00:00Z",
        });
        asked("POST", GRANTS).body(body.to_string())
    };
    let none = world.serve(Some(&olivia), &body(0)).await;
    assert_eq!(none.status, 400, "{}", none.body);
    let made = world.serve(Some(&olivia), &body(1)).await;
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(made.json()["version"], 1);
    let said = world.last_intent().0.query.unwrap_or_default();
    assert!(said.contains("dataset=ecg version=1 "), "{said}");
    let root = |number| format!("/.kluis/v1/versions/icu--ecg--v{number}/root");
    for (path, status) in [
        ("/icu--ecg--v1/k".to_owned(), 200),
        ("/icu--ecg--v1".to_owned(), 200),
        (root(1), 200),
        ("/icu--ecg--v2/k".to_owned(), 403),
        (root(2), 403),
        ("/icu--ecg--v3/k".to_owned(), 403),
        ("/icu--ecg/k".to_owned(), 403),
        ("/icu--ecg".to_owned(), 403),
        ("/.kluis/v1/datasets/icu--ecg".to_owned(), 403),
    ] {
        let got = world.serve(Some(&rosa), &asked("GET", &path)).await;
        assert_eq!(got.status, status, "{path} {}", got.body);
    }
    // Of the versions she is shown this one, and nothing of how many there are.
    let versions = asked("GET", "/.kluis/v1/versions/icu--ecg");
    let listed = world.serve(Some(&rosa), &versions).await;
    assert_eq!(listed.status, 200, "{}", listed.body);
    let listed = listed.json()["versions"].as_array().cloned();
    let listed = listed.unwrap_or_default();
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!(listed[0]["number"], 1);
    let list = world.serve(Some(&rosa), &asked("GET", "/")).await;
    assert!(!list.body.contains("icu--ecg"), "{}", list.body);
}
