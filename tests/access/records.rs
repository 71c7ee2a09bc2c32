//! The log asked over the network: by an auditor, by a dataset's owner, and by everybody else.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::versions;
use crate::world::{DAY_MS, Keys, World, asked};

const RECORDS: &str = "/.kluis/v1/projects/icu/records";

/// A vault in which olivia owns `ecg` and `mri`, rosa read one object and was refused another, and
/// tess audits.
async fn world() -> (World, [Keys; 3]) {
    let world = World::with_records().await;
    let olivia = world.keys("olivia", None).await;
    let rosa = world.member("rosa", "reader").await;
    let tess = world.member("tess", "auditor").await;
    for (keys, method, uri, status) in [
        (&olivia, "PUT", "/icu--ecg", 200),
        (&olivia, "PUT", "/icu--mri", 200),
        (&olivia, "PUT", "/icu--ecg/a/1", 200),
        (&olivia, "PUT", "/icu--mri/b", 200),
        (&rosa, "GET", "/icu--ecg/a/1", 200),
        (&rosa, "GET", "/icu--mri/b", 200),
        (&rosa, "PUT", "/icu--ecg/c", 403),
    ] {
        let got = world.serve(Some(keys), &asked(method, uri)).await;
        assert_eq!(got.status, status, "{method} {uri} {}", got.body);
    }
    (world, [olivia, rosa, tess])
}

async fn page(world: &World, keys: &Keys, query: &str) -> Value {
    world.settled().await;
    let got = world
        .serve(Some(keys), &asked("GET", format!("{RECORDS}?{query}")))
        .await;
    assert_eq!(got.status, 200, "{query} {}", got.body);
    let page = got.json();
    assert_eq!(page["missing"], 0);
    page
}

/// What each record of an answer is: who, which operation, how it ended.
fn told(page: &Value) -> Vec<String> {
    let records = page["records"].as_array().expect("records").iter();
    let told = records.map(|record| {
        let (who, what) = (&record["actor"]["sub"], &record["operation"]);
        let how = &record["outcome"]["detail"];
        format!("{} {} {}", text(who), text(what), text(how))
    });
    told.collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}

#[tokio::test]
async fn an_auditor_asks_the_common_questions() {
    let (world, [_, rosa, tess]) = world().await;
    for (query, answer) in [
        (
            "dataset=ecg&key=a/1&action=object.read",
            vec!["rosa GetObject success"],
        ),
        ("principal=rosa&prefix=a/", vec!["rosa GetObject success"]),
        (
            "principal=rosa&refused=true",
            vec!["rosa PutObject refused"],
        ),
        (
            "principal=rosa&outcome=success&dataset=mri",
            vec!["rosa GetObject success"],
        ),
        (
            "purpose=test:access&permit=T-1&action=object.write&principal=rosa",
            vec![],
        ),
        (
            "purpose=test:access&permit=T-1&dataset=mri&action=object.read",
            vec!["rosa GetObject success"],
        ),
        ("permit=T-2", vec![]),
        ("job=rosa", vec![]),
        ("ip=10.0.0.1", vec![]),
        ("until=2020-01-01T00:00:00Z", vec![]),
        ("since=2199-01-01T00:00:00Z", vec![]),
        ("after_expiry=true", vec![]),
    ] {
        assert_eq!(told(&page(&world, &tess, query).await), answer, "{query}");
    }
    let got = page(&world, &tess, "key=a/1&action=object.read").await;
    let event = text(&got["records"][0]["event_id"]).to_owned();
    let one = page(&world, &tess, &format!("event={event}")).await;
    assert_eq!(one["records"], got["records"]);
    assert_eq!(one["records"][0]["policy"]["effect"], "allow");
    let grant = text(&one["records"][0]["grant_id"]).to_owned();
    let under = page(&world, &tess, &format!("grant={grant}&action=object.read")).await;
    assert_eq!(told(&under).len(), 2);
    // Asked when her right had ended: refused, and found by that.
    world.person("olga").await;
    let mut grant = world.draft("olga", "auditor");
    grant.expires = Some(world.vault.now().plus_millis(90 * DAY_MS));
    world.grant(grant).await;
    let olga = world.keys("olga", None).await;
    world.wait(31 * DAY_MS);
    let tried = world
        .serve(Some(&rosa), &asked("GET", "/icu--ecg/a/1"))
        .await;
    assert_eq!(tried.status, 403);
    let after = page(&world, &olga, "after_expiry=true&principal=rosa").await;
    assert_eq!(told(&after), ["rosa GetObject refused"]);
}

#[tokio::test]
async fn who_got_a_key_among_others_is_found_by_it() {
    let (world, [olivia, rosa, tess]) = world().await;
    let runs = r#"{"runs":[{"from":"a/1","count":3}]}"#;
    let keys = asked("POST", "/.kluis/v1/versions/icu--ecg--v1/keys").body(runs);
    for (who, asking) in [
        (&olivia, asked("PUT", "/icu--ecg/a/2")),
        (&olivia, asked("PUT", "/icu--ecg/a/3")),
        (&olivia, asked("PUT", "/icu--ecg/a/4")),
        (&olivia, versions::publish()),
        (&rosa, keys),
    ] {
        let got = world.serve(Some(who), &asking).await;
        assert!(matches!(got.status, 200 | 201), "{}", got.body);
    }
    let released = "rosa ReleaseKeys success";
    for asked in [
        "key=a/2",
        "key=a/3",
        "prefix=a/2",
        "prefix=a/3",
        // No object of the version, and the record does not say so.
        "key=a/20",
    ] {
        let query = format!("action=object.read&dataset=ecg&{asked}");
        assert_eq!(
            told(&page(&world, &tess, &query).await),
            [released],
            "{asked}"
        );
        let hers = page(&world, &olivia, &query).await;
        assert_eq!(told(&hers), [released], "{asked}");
    }
    let both = ["rosa GetObject success", released];
    for asked in ["key=a/1", "prefix=a/", "prefix="] {
        let query = format!("action=object.read&dataset=ecg&{asked}");
        assert_eq!(told(&page(&world, &tess, &query).await), both, "{asked}");
    }
    for asked in [
        "dataset=ecg&key=a/4",
        "dataset=ecg&key=a/30",
        "dataset=ecg&key=a",
        "dataset=ecg&key=b",
        "dataset=ecg&key=a/0",
        "dataset=ecg&key=A/2",
        "dataset=ecg&prefix=a/4",
        "dataset=ecg&prefix=b",
        "dataset=ecg&prefix=a/3/",
        "dataset=mri&key=a/2",
        "dataset=mri&prefix=a/",
        "dataset=ecg&key=a/2&principal=olivia",
        "dataset=ecg&key=a/2&refused=true",
    ] {
        let page = page(&world, &tess, &format!("action=object.read&{asked}")).await;
        assert_eq!(told(&page), [""; 0], "{asked}");
    }
    let one = page(&world, &tess, "action=object.read&dataset=ecg&key=a/2").await;
    let object = &one["records"][0]["object"];
    assert_eq!(
        (text(&object["key"]), text(&object["key_last"])),
        ("a/1", "a/3")
    );
}

#[tokio::test]
async fn pages_join_into_the_whole() {
    let (world, [_, _, tess]) = world().await;
    // Each look is in the log of the dataset too, and would be one more.
    world.settled().await;
    let until = format!("&until={}", world.vault.now());
    let whole = page(&world, &tess, &format!("dataset=ecg&limit=1000{until}")).await;
    assert_eq!(whole["next"], Value::Null);
    let all = whole["records"].as_array().expect("records").clone();
    assert!(all.len() >= 3, "{all:?}");
    for limit in [1, 2, 3] {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let query = format!("dataset=ecg&limit={limit}{until}{cursor}");
            let page = page(&world, &tess, &query).await;
            let records = page["records"].as_array().expect("records");
            assert!(records.len() <= limit);
            seen.extend(records.iter().cloned());
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(seen, all, "{limit}");
        let names: BTreeSet<&str> = seen.iter().map(|r| text(&r["event_id"])).collect();
        assert_eq!(names.len(), seen.len());
    }
}

#[tokio::test]
async fn au_13_an_owner_sees_the_use_of_her_datasets_and_no_look_at_the_log() {
    let (world, [olivia, rosa, tess]) = world().await;
    let own = page(&world, &olivia, "dataset=ecg&principal=rosa").await;
    assert_eq!(
        told(&own),
        ["rosa GetObject success", "rosa PutObject refused"]
    );
    let all = page(&world, &olivia, "limit=1000").await;
    let records = all["records"].as_array().expect("records");
    assert!(
        records
            .iter()
            .all(|record| record["object"]["dataset"].is_string())
    );
    // Nor one that was about her dataset, or about herself: the looks of others, in words, and the
    // refused ones.
    for query in ["dataset=ecg&principal=olivia", "dataset=mri&principal=rosa"] {
        page(&world, &tess, query).await;
    }
    let refused = asked("GET", format!("{RECORDS}?dataset=ecg"));
    assert_eq!(world.serve(Some(&rosa), &refused).await.status, 403);
    let looks = page(&world, &tess, "nature=log&dataset=ecg").await;
    assert!(told(&looks).contains(&"tess ListRecords success".to_owned()));
    for query in [
        "",
        "nature=log",
        "action=log.read",
        "action=grant.manage",
        "principal=tess",
        "dataset=ecg",
        "dataset=ecg&nature=log",
        "dataset=mri&outcome=refused",
    ] {
        let seen = page(&world, &olivia, query).await;
        let told = told(&seen).join(" ");
        assert!(!told.contains("ListRecords"), "{query}: {seen}");
        assert!(!seen.to_string().contains("principal=olivia"), "{query}");
        assert_eq!(seen["open"].as_u64().unwrap_or(0), 0, "{query}: {seen}");
    }
    // Who owns one dataset sees that one.
    world.person("otto").await;
    let mut grant = world.draft("otto", "owner");
    grant.dataset = Some("mri".parse().expect("a name"));
    world.grant(grant).await;
    let otto = world.keys("otto", None).await;
    let own = page(&world, &otto, "dataset=mri&principal=rosa").await;
    assert_eq!(told(&own), ["rosa GetObject success"]);
    for query in ["", "dataset=ecg", "dataset=none", "principal=rosa"] {
        let refused = asked("GET", format!("{RECORDS}?{query}"));
        let got = world.serve(Some(&otto), &refused).await;
        assert_eq!(got.status, 403, "{query} {}", got.body);
    }
}

#[tokio::test]
async fn au_16_every_look_is_in_the_log_and_so_is_every_refusal_of_one() {
    let (world, [olivia, rosa, tess]) = world().await;
    world.found(&"onco".parse().expect("a name"), "bas").await;
    let bas = world.keys("bas", None).await;
    page(&world, &tess, "principal=rosa").await;
    page(&world, &olivia, "dataset=mri").await;
    for keys in [&rosa, &bas] {
        let got = world.serve(Some(keys), &asked("GET", RECORDS)).await;
        assert_eq!(got.status, 403);
        assert!(!got.body.contains("rosa"), "{}", got.body);
    }
    let foreign = asked("GET", "/.kluis/v1/projects/onco/records");
    for keys in [&tess, &olivia] {
        assert_eq!(world.serve(Some(keys), &foreign).await.status, 403);
    }
    let looks = page(&world, &tess, "nature=log").await;
    for look in [
        "tess ListRecords success",
        "olivia ListRecords success",
        "rosa ListRecords refused",
        "bas ListRecords refused",
    ] {
        assert!(told(&looks).contains(&look.to_owned()), "{look}: {looks}");
    }
    let asked = looks["records"].to_string();
    assert!(asked.contains("records principal=rosa"), "{asked}");
}

/// However a question is written, its record says what was asked.
#[tokio::test]
async fn au_16_no_spelling_keeps_out_of_the_log_what_was_asked() {
    let (world, [_, _, tess]) = world().await;
    let zeros = "0".repeat(600);
    let looked = async || page(&world, &tess, "nature=log").await["records"].to_string();
    for (query, said) in [
        ("%70rincipal=ros%61", "\"records principal=rosa\""),
        (
            &*format!("limit={zeros}5&principal=rosa"),
            "\"records principal=rosa limit=5\"",
        ),
        (
            "purpose=x%20principal=olivia&principal=rosa",
            r#"records principal=rosa purpose=\"x principal=olivia\""#,
        ),
    ] {
        page(&world, &tess, query).await;
        let told = looked().await;
        assert!(told.contains(said), "{query}: {told}");
    }
    // What no record holds whole is refused, and that stands in the log.
    let long = format!(
        "{RECORDS}?key={}&prefix={}",
        "k".repeat(1_024),
        "p".repeat(1_024)
    );
    let got = world.serve(Some(&tess), &asked("GET", &*long)).await;
    assert_eq!(got.status, 400, "{}", got.body);
    assert!(got.body.contains("longer than a record"), "{}", got.body);
    assert!(looked().await.contains("key=kkk"));
}

#[tokio::test]
async fn a_question_that_is_none_is_refused_in_words() {
    let (world, [_, _, tess]) = world().await;
    for query in [
        "cursor=x",
        "cursor=../a:1",
        "cursor=gateway:1,gateway:2",
        "sql=SELECT",
        "principal=",
        "principal=rosa&principal=tess",
        "dataset=ICU",
        "action=object.fly",
        "outcome=good",
        "refused=yes",
        "refused=true&outcome=success",
        "nature=odd",
        "event=1",
        "since=yesterday",
        "limit=-1",
        "key=",
    ] {
        let got = world
            .serve(Some(&tess), &asked("GET", format!("{RECORDS}?{query}")))
            .await;
        assert_eq!(got.status, 400, "{query} {}", got.body);
    }
    // However many are asked for, a page is bounded; a cursor from elsewhere shows nothing more.
    page(&world, &tess, "limit=99999999").await;
    let beyond = page(&world, &tess, "cursor=gateway:99999999&limit=1").await;
    assert_eq!(told(&beyond), Vec::<String>::new());
}

/// A setting of the project: an auditor sees acts and not persons, and can try no name.
#[tokio::test]
async fn au_15_people_are_under_pseudonyms_where_the_project_says_so() {
    let (world, [olivia, rosa, tess]) = world().await;
    let terms = "/.kluis/v1/projects/icu/log";
    let say = |body: &'static str| asked("PUT", terms).body(body);
    // Nobody but who manages the project's grants says so, and something has to be said.
    for keys in [&rosa, &tess] {
        let got = world
            .serve(Some(keys), &say(r#"{"pseudonyms": true}"#))
            .await;
        assert_eq!(got.status, 403, "{}", got.body);
    }
    for body in ["{}", r#"{"pseudonyms": "yes"}"#, r#"{"pseudonyms": 1}"#] {
        let got = world.serve(Some(&olivia), &say(body)).await;
        assert_eq!(got.status, 400, "{}", got.body);
    }
    let got = world
        .serve(Some(&olivia), &say(r#"{"pseudonyms": true}"#))
        .await;
    assert_eq!(got.json()["pseudonyms"], true);
    assert_eq!(got.json()["days"], 1_827, "it is kept as long as before");
    let reads = "dataset=ecg&action=object.read";
    let seen = page(&world, &tess, reads).await;
    let name = text(&seen["records"][0]["actor"]["sub"]).to_owned();
    assert!(name.starts_with("p-") && name.len() == 28, "{name}");
    let all = page(&world, &tess, "limit=1000").await;
    let whole = all.to_string();
    for person in ["rosa", "olivia", rosa.id.as_str()] {
        assert!(!whole.contains(person), "{person}: {whole}");
    }
    // She asks by pseudonym; a name is nobody's.
    let hers = page(&world, &tess, &format!("principal={name}&{reads}")).await;
    assert_eq!(hers["records"], seen["records"]);
    for guess in ["principal=rosa", "principal=olivia", "job=rosa"] {
        let tried = page(&world, &tess, guess).await;
        assert_eq!(told(&tried), Vec::<String>::new(), "{guess}");
    }
    // Who manages grants knows the people, and sees them.
    let own = page(&world, &olivia, &format!("principal=rosa&{reads}")).await;
    assert_eq!(told(&own), ["rosa GetObject success"]);
    // An auditor who owns one dataset sees names there, and nowhere else.
    let mut grant = world.draft("tess", "owner");
    grant.dataset = Some("mri".parse().expect("a name"));
    world.grant(grant).await;
    let own = page(&world, &tess, "dataset=mri&principal=rosa").await;
    assert_eq!(told(&own), ["rosa GetObject success"]);
    assert!(
        !page(&world, &tess, reads)
            .await
            .to_string()
            .contains("rosa")
    );
    // Off again: names again, and all of it stands in the log.
    let got = world
        .serve(Some(&olivia), &say(r#"{"pseudonyms": false}"#))
        .await;
    assert_eq!(got.json()["pseudonyms"], false);
    let seen = page(&world, &tess, "principal=olivia&limit=1000").await;
    let seen = seen.to_string();
    for said in ["log terms pseudonyms=true", "log terms pseudonyms=false"] {
        assert!(seen.contains(said), "{said}: {seen}");
    }
}
