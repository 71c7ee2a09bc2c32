//! The proof of one record, asked over the network and checked with the log's key alone.

use kluis::ledger::Entry;
use kluis::ledger::evidence::RecordProof;
use kluis::ledger::tlog::TrustPolicy;
use serde_json::Value;

use crate::world::{Asked, Keys, World, asked};

const RECORDS: &str = "/.kluis/v1/projects/icu/records";

fn proof(event: &str, query: &str) -> Asked {
    asked("GET", format!("{RECORDS}/{event}/proof{query}"))
}

/// The first record of a question, by its event.
async fn event(world: &World, keys: &Keys, query: &str) -> String {
    world.settled().await;
    let page = asked("GET", format!("{RECORDS}?{query}"));
    let got = world.serve(Some(keys), &page).await.json();
    let event = got["records"][0]["event_id"].as_str();
    event.expect("an event").to_owned()
}

/// Rosa has read an object of `ecg`, tess audits `icu`.
async fn world() -> (World, Keys, Keys, String) {
    let world = World::with_records().await;
    let olivia = world.keys("olivia", None).await;
    let rosa = world.member("rosa", "reader").await;
    let tess = world.member("tess", "auditor").await;
    for (keys, method, uri) in [
        (&olivia, "PUT", "/icu--ecg"),
        (&olivia, "PUT", "/icu--ecg/a"),
        (&rosa, "GET", "/icu--ecg/a"),
    ] {
        assert_eq!(
            world.serve(Some(keys), &asked(method, uri)).await.status,
            200
        );
    }
    let read = event(&world, &tess, "principal=rosa&action=object.read").await;
    (world, rosa, tess, read)
}

#[tokio::test]
async fn a_record_is_proved_to_its_auditor_by_its_event() {
    let (world, _, tess, read) = world().await;
    // Not before it is under a checkpoint.
    assert_eq!(
        world.serve(Some(&tess), &proof(&read, "")).await.status,
        503
    );
    let trust = TrustPolicy::log(world.notarized().await);
    for (query, ends) in [("", false), ("?end=true", true), ("?end=false", false)] {
        let got = world.serve(Some(&tess), &proof(&read, query)).await;
        assert_eq!(got.status, 200, "{query} {}", got.body);
        assert!(
            got.headers["content-type"]
                .to_str()
                .expect("text")
                .contains("text/plain")
        );
        let proven = RecordProof::verify(got.body.as_bytes(), &trust).expect("it holds");
        let of = proven.entry.event().expect("a request");
        assert_eq!(read.replace('-', ""), of.to_string().replace('-', ""));
        // What ended as it began is one record, of both.
        let whole = matches!(proven.entry, Entry::Whole { .. });
        let end = matches!(proven.entry, Entry::Completion(_));
        assert!(whole || end == ends, "{query}");
        let person = proven.session.as_ref().and_then(|s| s.principal.clone());
        assert_eq!(person.is_some(), !end);
        // What was changed on the way does not hold.
        for at in [40, got.body.len() / 2, got.body.len() - 20] {
            let mut bent = got.body.clone().into_bytes();
            bent[at] = if bent[at] == b'A' { b'B' } else { b'A' };
            assert!(RecordProof::verify(&bent, &trust).is_err(), "{at}");
        }
    }
    // A refusal is one record, which is its begin and its end; a later checkpoint proves as well.
    world.serve(Some(&tess), &asked("GET", "/icu--ecg/a")).await;
    let refused = event(&world, &tess, "principal=tess&refused=true").await;
    let trust = TrustPolicy::log(world.notarized().await);
    for query in ["", "?end=true"] {
        for event in [&refused, &read] {
            let got = world.serve(Some(&tess), &proof(event, query)).await;
            RecordProof::verify(got.body.as_bytes(), &trust).expect("it holds");
        }
    }
}

#[tokio::test]
async fn a_proof_is_given_within_the_callers_scope_and_each_look_is_recorded() {
    let (world, rosa, tess, read) = world().await;
    world.found(&"onco".parse().expect("a name"), "bas").await;
    let bas = world.keys("bas", None).await;
    let olivia = world.keys("olivia", None).await;
    world.notarized().await;
    for keys in [&rosa, &bas] {
        let got = world.serve(Some(keys), &proof(&read, "")).await;
        assert_eq!(got.status, 403, "{}", got.body);
    }
    // In another project's log it is not: not to her who reads that one either.
    let elsewhere = format!("/.kluis/v1/projects/onco/records/{read}/proof");
    let got = world
        .serve(Some(&bas), &asked("GET", elsewhere.clone()))
        .await;
    assert_eq!(got.status, 404, "{}", got.body);
    let got = world.serve(Some(&tess), &asked("GET", elsewhere)).await;
    assert_eq!(got.status, 403, "{}", got.body);
    // An owner has the use of her dataset proved, and no look at the log.
    let got = world
        .serve(Some(&olivia), &proof(&read, "?dataset=ecg"))
        .await;
    assert_eq!(got.status, 200, "{}", got.body);
    let got = world
        .serve(Some(&olivia), &proof(&read, "?dataset=mri"))
        .await;
    assert_eq!(got.status, 404, "{}", got.body);
    let look = event(&world, &tess, "principal=tess&nature=log").await;
    world.notarized().await;
    assert_eq!(
        world.serve(Some(&olivia), &proof(&look, "")).await.status,
        404
    );
    assert_eq!(
        world.serve(Some(&tess), &proof(&look, "")).await.status,
        200
    );
    // Nor of one that was about her dataset.
    event(&world, &tess, "dataset=ecg&principal=olivia").await;
    let look = event(&world, &tess, "dataset=ecg&nature=log").await;
    world.notarized().await;
    for query in ["", "?dataset=ecg", "?end=true"] {
        let got = world.serve(Some(&olivia), &proof(&look, query)).await;
        assert_eq!(got.status, 404, "{query} {}", got.body);
    }
    for (event, query) in [
        ("0198f0c2", ""),
        ("..", ""),
        (read.as_str(), "?end=yes"),
        (read.as_str(), "?event=1"),
        (read.as_str(), "?dataset=ECG"),
    ] {
        let got = world.serve(Some(&tess), &proof(event, query)).await;
        assert!(matches!(got.status, 400 | 403 | 404), "{event}{query}");
        assert!(!got.body.contains("tlog-proof"), "{event}{query}");
    }
    world.settled().await;
    let looks = asked("GET", format!("{RECORDS}?nature=log&limit=1000"));
    let looks = world.serve(Some(&tess), &looks).await.json();
    let told = |who: &str, how: &str| {
        let all = looks["records"].as_array().expect("records").iter();
        let mut all = all.filter(|record| record["operation"] == "ProveRecord");
        all.any(|r| r["actor"]["sub"] == who && r["outcome"]["detail"] == how)
    };
    assert!(
        told("tess", "success") && told("rosa", "refused"),
        "{looks}"
    );
    assert!(
        looks
            .to_string()
            .contains(&format!("prove event={}", read.replace('-', "")))
    );
}

/// A record names people, so who sees pseudonyms gets none of its own.
#[tokio::test]
async fn au_15_who_sees_pseudonyms_gets_no_proof_that_names_people() {
    let (world, _, tess, read) = world().await;
    let olivia = world.keys("olivia", None).await;
    world.notarized().await;
    let terms = asked("PUT", "/.kluis/v1/projects/icu/log").body(r#"{"pseudonyms": true}"#);
    assert_eq!(world.serve(Some(&olivia), &terms).await.status, 200);
    let got = world.serve(Some(&tess), &proof(&read, "")).await;
    assert_eq!(got.status, 403, "{}", got.body);
    assert_eq!(
        got.body.parse::<Value>().expect("JSON")["code"],
        "AccessDenied"
    );
    let got = world.serve(Some(&olivia), &proof(&read, "")).await;
    assert_eq!(got.status, 200, "{}", got.body);
}
