//! SCIM over the edge: every endpoint against who must be refused; what an organisation's
//! credential opens, and what it does not; attacks in bodies, filters and paths.

use kluis::api::Api;
use kluis::scim::{GROUP, PATCH, USER};
use kluis::types::limits;
use kluis::vault::SourceDraft;
use serde_json::{Value, json};

use crate::world::{Asked, Got, World, asked, name};

const BASE: &str = "/.kluis/v1/scim/v2";

async fn organisation(world: &World, called: &str) -> String {
    let draft = SourceDraft {
        name: called.parse().expect("a name"),
        acts_for: name("olivia"),
        linked: None,
        days: 30,
    };
    let made = world.vault.create_source(&world.local(), draft).await;
    made.expect("an organisation").token.expose().to_owned()
}

fn bearing(request: Asked, token: &str) -> Asked {
    request.with("authorization", format!("Bearer {token}"))
}

async fn say(world: &World, token: &str, method: &'static str, path: &str, body: Value) -> Got {
    let request = asked(method, format!("{BASE}/{path}"));
    let request = if body.is_null() {
        request
    } else {
        request.body(body.to_string())
    };
    world.serve(None, &bearing(request, token)).await
}

fn user(name: &str) -> Value {
    json!({"schemas": [USER], "userName": name})
}

/// Every endpoint of SCIM, about a person and a group that are there.
fn requests() -> Vec<Asked> {
    let endpoints = Api::endpoints().iter();
    let ours = endpoints.filter(|endpoint| endpoint.operation.starts_with("Scim"));
    let all: Vec<Asked> = ours
        .map(|endpoint| {
            let kind = if endpoint.path.contains("Groups") {
                "uni.team"
            } else {
                "uni.ann"
            };
            let path = endpoint
                .path
                .replace("{id}", kind)
                .replace("{*rest}", "Nothing");
            let method = match endpoint.method.as_str() {
                "GET" => "GET",
                "POST" => "POST",
                "PUT" => "PUT",
                "PATCH" => "PATCH",
                "DELETE" => "DELETE",
                other => panic!("{other}"),
            };
            let body = match method {
                "PATCH" => json!({"schemas": [PATCH], "Operations": [
                    {"op": "replace", "path": "displayName", "value": "taken"}]}),
                "POST" if path.ends_with(".search") => {
                    json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"]})
                }
                "POST" | "PUT" if kind == "uni.team" => {
                    json!({"schemas": [GROUP], "displayName": "taken"})
                }
                "POST" | "PUT" => user("taken"),
                _ => Value::Null,
            };
            let request = asked(method, format!("/.kluis/v1/{path}"));
            if body.is_null() {
                request
            } else {
                request.body(body.to_string())
            }
        })
        .collect();
    assert_eq!(all.len(), 21, "every endpoint is asked");
    all
}

async fn with_people(world: &World) -> String {
    let token = organisation(world, "uni").await;
    let made = say(world, &token, "POST", "Users", user("ann")).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let team =
        json!({"schemas": [GROUP], "displayName": "team", "members": [{"value": "uni.ann"}]});
    let made = say(world, &token, "POST", "Groups", team).await;
    assert_eq!(made.status, 201, "{}", made.body);
    token
}

#[tokio::test]
async fn who_is_no_organisation_is_refused_everywhere() {
    let world = World::new().await;
    let token = with_people(&world).await;
    let olivia = world.keys("olivia", None).await;
    let ended = organisation(&world, "gone").await;
    let gone = "gone".parse().expect("a name");
    world
        .vault
        .renew_source(&world.local(), &gone, None)
        .await
        .expect("ended");
    let (start, secret) = token.rsplit_once('_').expect("two parts");
    let wrong = [
        String::new(),
        format!("{start}_{}", "A".repeat(secret.len())),
        format!("kscim_lab_{secret}"),
        ended,
        olivia.secret.clone(),
    ];
    let mut peer = 0;
    for request in requests() {
        peer += 1;
        let from = format!("127.2.0.{peer}:5");
        for token in &wrong {
            let got = world
                .serve_from(&from, None, &bearing(request.clone(), token))
                .await;
            assert_eq!(got.status, 401, "{} {}", request.uri, got.body);
            assert!(got.headers.contains_key("www-authenticate"));
            assert!(!got.body.contains("ann"), "{}", got.body);
        }
        let got = world.serve_from(&from, None, &request).await;
        assert_eq!(got.status, 401, "nobody: {} {}", request.uri, got.body);
        // A signature, even an owner's, is no organisation's credential.
        let got = world.serve_from(&from, Some(&olivia), &request).await;
        assert_eq!(got.status, 401, "signed: {} {}", request.uri, got.body);
    }
    // Another organisation finds nothing of this one's, and changes nothing.
    let other = organisation(&world, "lab").await;
    for request in requests()
        .into_iter()
        .filter(|asked| asked.uri.contains("uni."))
    {
        let got = world.serve(None, &bearing(request.clone(), &other)).await;
        assert_eq!(got.status, 404, "{} {}", request.uri, got.body);
    }
    let ann = say(&world, &token, "GET", "Users/uni.ann", Value::Null)
        .await
        .json();
    assert_eq!(
        (ann["userName"].as_str(), ann["active"].as_bool()),
        (Some("ann"), Some(true))
    );
    assert_eq!(ann["displayName"], Value::Null);
}

#[tokio::test]
async fn an_organisation_is_served_everywhere_and_nowhere_else() {
    for request in requests() {
        let world = World::new().await;
        let token = with_people(&world).await;
        let got = world.serve(None, &bearing(request.clone(), &token)).await;
        let expected = [200, 201, 204].contains(&got.status)
            || got.status == 501 && request.uri.ends_with("v2/.search")
            || got.status == 404
                && ["Nothing", "ResourceTypes/", "Schemas/"]
                    .iter()
                    .any(|p| request.uri.contains(p));
        assert!(
            expected,
            "{} {}: {} {}",
            request.method, request.uri, got.status, got.body
        );
    }
    let world = World::new().await;
    let token = with_people(&world).await;
    for path in [
        "/",
        "/icu--ecg",
        "/.kluis/v1/identity",
        "/.kluis/v1/projects/icu/grants",
        "/.kluis/v1/scim",
    ] {
        let got = world
            .serve(None, &bearing(asked("GET", path), &token))
            .await;
        assert!(
            [400, 403, 404].contains(&got.status),
            "{path}: {} {}",
            got.status,
            got.body
        );
    }
}

#[tokio::test]
async fn what_it_told_is_in_the_log_by_its_agent_and_its_person() {
    let world = World::new().await;
    let token = with_people(&world).await;
    let patch = json!({"schemas": [PATCH], "Operations": [{"op": "replace", "path": "active", "value": false}]});
    say(&world, &token, "PATCH", "Users/uni.ann", patch).await;
    let (intent, session) = world.last_intent();
    assert_eq!(intent.operation, "ScimPatchUser");
    let words = intent.query.expect("words");
    assert!(
        words.contains("scim=uni")
            && words.contains("user=uni.ann")
            && words.contains("active=false"),
        "{words}"
    );
    assert_eq!(session.principal, Some(name("uni.scim")));
    assert_eq!(session.responsible, Some(name("olivia")));
    assert!(!words.contains(&token));
    // A refusal too, with its reason.
    let got = say(
        &world,
        &token,
        "PATCH",
        "Users/uni.ann",
        json!({"schemas": [PATCH]}),
    )
    .await;
    assert_eq!(
        (got.status, got.json()["scimType"].as_str()),
        (400, Some("invalidSyntax"))
    );
    let (intent, session) = world.last_intent();
    assert_eq!(
        (intent.operation.as_str(), session.principal),
        ("ScimPatchUser", Some(name("uni.scim")))
    );
}

#[tokio::test]
async fn attacks_in_bodies_are_refused() {
    let world = World::new().await;
    let token = with_people(&world).await;
    let deep = format!(
        "{{\"schemas\":[\"{USER}\"],\"userName\":\"a\",\"x\":{}{}}}",
        "[".repeat(10_000),
        "]".repeat(10_000)
    );
    let long = format!(
        "{{\"schemas\":[\"{USER}\"],\"userName\":\"a\",\"x\":\"{}\"}}",
        "a".repeat(limits::SCIM_BODY_BYTES_MAX)
    );
    for (body, kind) in [
        (deep, "invalidSyntax"),
        (long, "tooMany"),
        ("{".to_owned(), "invalidSyntax"),
        (String::new(), "invalidSyntax"),
        ("<User/>".to_owned(), "invalidSyntax"),
        (user("\u{430}nn").to_string(), "invalidValue"),
        (user("ANN").to_string(), "uniqueness"),
        (user("../olivia").to_string(), ""),
        (user("olivia").to_string(), ""),
    ] {
        let request = bearing(
            asked("POST", format!("{BASE}/Users")).body(body.clone()),
            &token,
        );
        let got = world.serve(None, &request).await;
        if kind.is_empty() {
            // A name like any other: it is this organisation's own, whatever it looks like.
            assert_eq!(got.status, 201, "{}", got.body);
            let id = got.json()["id"].as_str().expect("an id").to_owned();
            assert!(id.starts_with("uni."), "{id}");
            continue;
        }
        assert!(
            (400..410).contains(&got.status),
            "{} {}",
            got.status,
            got.body
        );
        assert_eq!(got.json()["scimType"], kind, "{}", got.body);
    }
}

#[tokio::test]
async fn attacks_in_filters_and_paths_are_refused() {
    let world = World::new().await;
    let token = with_people(&world).await;
    for (filter, status) in [
        (
            "userName%20eq%20%22ann%22%20or%20%221%22%20eq%20%221%22",
            400,
        ),
        ("userName%20eq%20%22ann%22%27%20OR%201%3D1--", 400),
        ("userName%20eq%20%22%25%22", 200),
        ("%28%28%28%28%28%28%28%28%28%28userName%20pr", 400),
        ("password%20sw%20%22a%22", 200),
    ] {
        let got = say(
            &world,
            &token,
            "GET",
            &format!("Users?filter={filter}"),
            Value::Null,
        )
        .await;
        assert_eq!(got.status, status, "{filter}: {}", got.body);
        if status == 200 {
            assert_eq!(got.json()["totalResults"], 0, "{filter}");
        }
    }
    for path in [
        "Users/olivia",
        "Users/uni.scim",
        "Users/uni.team",
        "Users/..%2F..%2Fidentity",
        "Users/%00",
        "Users/uni.ann%2F",
        "Groups/uni.ann",
        "Groups/uni.scim",
        "Users/UNI.ANN",
    ] {
        let got = say(&world, &token, "DELETE", path, Value::Null).await;
        assert_eq!(got.status, 404, "{path}: {}", got.body);
    }
    let twice = say(
        &world,
        &token,
        "GET",
        "Users?filter=active%20pr&filter=active%20pr",
        Value::Null,
    )
    .await;
    assert_eq!(twice.status, 400);
}

#[tokio::test]
async fn pages() {
    let world = World::new().await;
    let token = with_people(&world).await;
    for number in 0..5 {
        let made = say(&world, &token, "POST", "Users", user(&format!("p{number}"))).await;
        assert_eq!(
            made.headers["location"],
            format!("{BASE}/Users/uni.p{number}")
        );
        assert_eq!(made.headers["etag"], "W/\"1\"");
    }
    let list = async |query: &str| {
        say(
            &world,
            &token,
            "GET",
            &format!("Users?{query}"),
            Value::Null,
        )
        .await
        .json()
    };
    let page = list("startIndex=2&count=2").await;
    let ids: Vec<&str> = page["Resources"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|u| u["id"].as_str().expect("an id"))
        .collect();
    assert_eq!(
        (page["totalResults"].as_u64(), ids),
        (Some(6), vec!["uni.p0", "uni.p1"])
    );
    for (query, shown) in [
        ("count=0", 0),
        ("count=-3", 0),
        ("startIndex=-3", 6),
        ("startIndex=7", 0),
        ("count=9999", 6),
    ] {
        let page = list(query).await;
        assert_eq!(
            page["Resources"].as_array().map(Vec::len),
            Some(shown),
            "{query}"
        );
        assert_eq!(page["totalResults"], 6, "{query}");
    }
}

#[tokio::test]
async fn what_is_shown_and_versions() {
    let world = World::new().await;
    let token = with_people(&world).await;
    let made = say(&world, &token, "POST", "Users", user("p0")).await;
    assert_eq!(made.status, 201);
    let list = async |query: &str| {
        let got = say(
            &world,
            &token,
            "GET",
            &format!("Users?{query}"),
            Value::Null,
        )
        .await;
        got.json()
    };
    let only = list("attributes=userName&filter=userName%20eq%20%22ann%22").await;
    let keys: Vec<&String> = only["Resources"][0]
        .as_object()
        .expect("an object")
        .keys()
        .collect();
    assert_eq!(keys, ["id", "schemas", "userName"]);
    let team = say(
        &world,
        &token,
        "GET",
        "Groups/uni.team?excludedAttributes=members,meta.version",
        Value::Null,
    )
    .await
    .json();
    assert_eq!(team["members"], Value::Null);
    assert!(team["meta"]["version"].is_null() && team["meta"]["created"].is_string());
    let of_ann = say(
        &world,
        &token,
        "GET",
        "Groups?filter=members.value%20eq%20%22uni.ann%22",
        Value::Null,
    )
    .await
    .json();
    assert_eq!(of_ann["Resources"][0]["members"][0]["value"], "uni.ann");
    let put = |match_: &'static str| {
        bearing(
            asked("PUT", format!("{BASE}/Users/uni.p0")).body(user("p0x").to_string()),
            &token,
        )
        .with("if-match", match_)
    };
    for (tag, status) in [
        ("W/\"7\"", 412),
        ("nonsense", 412),
        ("W/\"1\"", 200),
        ("W/\"1\"", 412),
        ("*", 200),
        ("\"2\"", 200),
    ] {
        let got = world.serve(None, &put(tag)).await;
        assert_eq!(got.status, status, "{tag}: {}", got.body);
    }
    let get = bearing(
        asked("GET", format!("{BASE}/Users/uni.p0")).with("if-none-match", "W/\"2\""),
        &token,
    );
    assert_eq!(world.serve(None, &get).await.status, 304);
}

/// Stuffing: what fails is bounded for each peer, and nobody who was recognised is kept out.
#[tokio::test]
async fn a_list_of_credentials_is_not_tried_faster_than_one_a_second() {
    let world = World::new().await;
    let olivia = world.keys("olivia", None).await;
    let other = world.keys("olivia", None).await;
    let list = asked("GET", "/");
    let (bad, good) = ("192.0.2.7:9", "192.0.2.8:9");
    assert_eq!(
        world.serve_from(bad, Some(&olivia), &list).await.status,
        200
    );
    // Guesses until one is refused unseen; the bucket fills by one a second of the wall's clock.
    let drain = async || {
        for number in 0..10 * limits::ATTEMPTS_BURST {
            let guess = crate::world::Keys {
                id: if number % 2 == 0 {
                    other.id.clone()
                } else {
                    format!("KLUS{number:016}")
                },
                secret: "guess".to_owned(),
                token: None,
            };
            let got = world.serve_from(bad, Some(&guess), &list).await;
            match got.status {
                403 => {}
                503 => return number,
                other => panic!("{other} {}", got.body),
            }
        }
        panic!("it is never bounded")
    };
    assert!(drain().await >= limits::ATTEMPTS_BURST);
    let (intent, session) = world.last_intent();
    assert_eq!(
        (intent.operation.as_str(), session.principal),
        ("GET", None)
    );
    // A stolen pair is not found out, not even a right one.
    let mut unseen = false;
    for _ in 0..10 {
        drain().await;
        unseen |= world.serve_from(bad, Some(&other), &list).await.status == 503;
        if unseen {
            break;
        }
    }
    assert!(unseen);
    // Who was recognised from there goes on; everybody goes on from elsewhere.
    assert_eq!(
        world.serve_from(bad, Some(&olivia), &list).await.status,
        200
    );
    assert_eq!(
        world.serve_from(good, Some(&other), &list).await.status,
        200
    );
    world.wait(2_000);
    assert_eq!(
        world.serve_from(bad, Some(&other), &list).await.status,
        200,
        "a bucket fills again"
    );
}
