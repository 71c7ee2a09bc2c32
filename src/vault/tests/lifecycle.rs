//! Lifecycles and CORS through the use cases: what is deleted when, and that the log says by which
//! rule; what pages are told.

use std::sync::Arc;

use super::keywork;
use super::ports::{Gate, Gated};
use super::support::{BUCKET, World, input, kind, place};
use crate::catalog::{
    CorsRule, EraseScope, Expiry, LifecycleFilter, LifecycleRule, Noncurrent, Setting, SettingKind,
    SharedCatalog, UploadQuery, VersionQuery,
};
use crate::ledger::{AuthMethod, Entry, Outcome};
use crate::types::{Action, Lock, Retention, RetentionMode, Versioning, limits};
use crate::vault::{
    CorsAsk, ErrorKind, KeyWish, Lifecycled, NewObject, Parts, Place, ReadAsk, Span, Tags,
    VaultError, Wishes, WriteConditions,
};

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

fn rule(id: &str, prefix: &str) -> LifecycleRule {
    LifecycleRule {
        id: id.to_owned(),
        enabled: true,
        filter: LifecycleFilter {
            prefix: prefix.to_owned(),
            ..LifecycleFilter::default()
        },
        ..LifecycleRule::default()
    }
}

fn expiring(id: &str, prefix: &str, days: u32) -> LifecycleRule {
    LifecycleRule {
        expiry: Some(Expiry::Days(days)),
        ..rule(id, prefix)
    }
}

async fn set(world: &World, who: &str, rules: Vec<LifecycleRule>) -> Result<(), VaultError> {
    let call = world.call(Some(who));
    let kind = SettingKind::Lifecycle;
    let value = Some(Setting::Lifecycle(rules));
    let done = world.vault.set_setting(&call, BUCKET, kind, value).await;
    assert!(call.is_recorded());
    done
}

async fn run(world: &World) -> Lifecycled {
    world.vault.run_lifecycle(world.vault.now()).await.unwrap()
}

async fn tagged(world: &World, key: &str, tags: Tags) {
    let new = NewObject {
        tags,
        ..NewObject::default()
    };
    let call = world.call(Some("olivia"));
    world
        .vault
        .write_object(&call, place(key), new, input(b"x", 1))
        .await
        .unwrap();
}

/// What the system did, as the log has it: action, key and rule.
fn told(world: &World) -> Vec<(Action, String, String)> {
    let entries = world.journal.entries();
    let system = entries.iter().any(|entry| {
        matches!(entry, Entry::Session(session)
            if session.source == "system" && session.auth == AuthMethod::Local
                && session.principal.is_none())
    });
    assert!(system);
    let deeds = entries.iter().filter_map(|entry| match entry {
        Entry::Intent { intent, .. } if intent.operation == "LifecycleExpiration" => {
            let policy = intent.policy.as_ref().unwrap();
            let key = intent.object.key.as_ref().unwrap().to_string();
            Some((intent.action.unwrap(), key, policy.rule.clone()))
        }
        _ => None,
    });
    deeds.collect()
}

#[tokio::test]
async fn what_is_due_goes_under_its_rules_name() {
    let world = World::new().await;
    for key in ["logs/1", "logs/2", "data/1"] {
        world.put("olivia", key, b"x").await.unwrap();
    }
    tagged(&world, "data/2", vec![("tmp".to_owned(), "1".to_owned())]).await;
    let mut tags = expiring("tagged", "data/", 1);
    tags.filter.tags = vec![("tmp".to_owned(), "1".to_owned())];
    let off = LifecycleRule {
        enabled: false,
        ..expiring("off", "", 1)
    };
    set(
        &world,
        "olivia",
        vec![expiring("logs", "logs/", 2), tags, off],
    )
    .await
    .unwrap();
    assert_eq!(run(&world).await, Lifecycled::default());
    world.wait(2 * DAY_MS);
    assert_eq!(run(&world).await.expired, 1, "the tagged one");
    world.wait(DAY_MS);
    assert_eq!(run(&world).await.expired, 2);
    assert_eq!(run(&world).await, Lifecycled::default(), "once");
    assert_eq!(world.names("olivia", "").await.unwrap(), ["data/1"]);
    let delete = |key: &str, rule: &str| {
        let rule = format!("lifecycle:{rule}");
        (Action::ObjectDelete, key.to_owned(), rule)
    };
    let expected = [
        delete("data/2", "tagged"),
        delete("logs/1", "logs"),
        delete("logs/2", "logs"),
    ];
    assert_eq!(told(&world), expected);
    assert_eq!(world.last_completion().outcome, Outcome::Success);
}

/// When `key` expires, as its reader is told.
async fn told_end(world: &World, key: &str) -> Option<(u64, String)> {
    let call = world.call(Some("olivia"));
    let seen = world
        .vault
        .head_object(&call, place(key), ReadAsk::default());
    let told = seen.await.unwrap().expires?;
    Some((told.at.millis(), told.rule))
}

#[tokio::test]
async fn a_reader_is_told_when_an_object_expires_as_the_rules_are_now() {
    let world = World::new().await;
    world.put("olivia", "logs/1", b"x").await.unwrap();
    tagged(&world, "data/1", vec![("tmp".to_owned(), "1".to_owned())]).await;
    assert_eq!(told_end(&world, "logs/1").await, None);
    let mut tags = expiring("tagged", "data/", 1);
    tags.filter.tags = vec![("tmp".to_owned(), "1".to_owned())];
    let rules = vec![expiring("logs", "logs/", 2), tags];
    set(&world, "olivia", rules).await.unwrap();
    // Days are counted to the midnight that follows.
    let end = |days| (world.vault.now().millis() / DAY_MS + 1 + days) * DAY_MS;
    let logs = Some((end(2), "logs".to_owned()));
    assert_eq!(told_end(&world, "logs/1").await, logs);
    let tmp = Some((end(1), "tagged".to_owned()));
    assert_eq!(told_end(&world, "data/1").await, tmp);
    // Its tags are what counts, and the rules that are there, at once.
    tagged(&world, "data/1", Vec::new()).await;
    assert_eq!(told_end(&world, "data/1").await, None);
    let off = LifecycleRule {
        enabled: false,
        ..expiring("logs", "logs/", 2)
    };
    set(&world, "olivia", vec![off]).await.unwrap();
    assert_eq!(told_end(&world, "logs/1").await, None);
}

#[tokio::test]
async fn only_a_current_object_is_told_its_end() {
    let world = filled().await;
    set(&world, "olivia", vec![expiring("all", "", 1)])
        .await
        .unwrap();
    assert!(told_end(&world, "k").await.is_some());
    let call = world.call(Some("olivia"));
    let ask = ReadAsk::default();
    let seen = world.vault.head_object(&call, place("k"), ask);
    let named = Place {
        version: seen.await.unwrap().version,
        ..place("k")
    };
    assert!(named.version.is_some());
    let call = world.call(Some("olivia"));
    let seen = world.vault.head_object(&call, named, ReadAsk::default());
    assert_eq!(seen.await.unwrap().expires, None);
}

/// A dataset with Object Lock: three versions of `k`, of which the second is locked for 30 days,
/// and an upload.
async fn filled() -> World {
    let world = World::new().await;
    let call = || world.call(Some("olivia"));
    let vault = &world.vault;
    let state = Versioning::Enabled;
    vault.set_versioning(&call(), BUCKET, state).await.unwrap();
    let lock = crate::types::LockDefaults::default();
    vault.set_object_lock(&call(), BUCKET, lock).await.unwrap();
    let until = vault.now().plus_millis(30 * DAY_MS);
    let mode = RetentionMode::Governance;
    let locked = NewObject {
        wishes: Wishes {
            lock: Lock {
                retention: Some(Retention { mode, until }),
                hold: false,
            },
            key: KeyWish::Default,
        },
        ..NewObject::default()
    };
    for new in [NewObject::default(), locked, NewObject::default()] {
        let body = input(b"x", 1);
        let written = vault.write_object(&call(), place("k"), new, body).await;
        written.unwrap();
    }
    let none = NewObject::default();
    let begun = vault.create_upload(&call(), place("up"), none, None).await;
    begun.unwrap();
    world
}

async fn left(world: &World) -> usize {
    let query = VersionQuery {
        limit: 100,
        ..VersionQuery::default()
    };
    let call = world.call(Some("olivia"));
    let page = world.vault.list_versions(&call, BUCKET, query).await;
    page.unwrap().entries.len()
}

#[tokio::test]
async fn older_versions_markers_and_uploads_go_and_what_is_locked_stays() {
    let world = filled().await;
    let old = LifecycleRule {
        noncurrent: Some(Noncurrent {
            days: 1,
            keep: None,
        }),
        ..rule("old", "k")
    };
    let uploads = LifecycleRule {
        abort_days: Some(1),
        ..rule("uploads", "")
    };
    let markers = LifecycleRule {
        lone_markers: true,
        ..rule("markers", "")
    };
    let rules = vec![old, uploads, markers, expiring("all", "", 5)];
    set(&world, "olivia", rules).await.unwrap();
    world.wait(3 * DAY_MS);
    let done = run(&world).await;
    assert_eq!((done.versions, done.uploads, done.refused), (1, 1, 1));
    let call = world.call(Some("olivia"));
    let query = UploadQuery::default();
    let uploads = world.vault.list_uploads(&call, BUCKET, query).await;
    assert!(uploads.unwrap().uploads.is_empty());
    assert_eq!(left(&world).await, 2, "the current one and the locked one");
    // The current one expires into a marker; once its lock ends, all of it goes.
    world.wait(3 * DAY_MS);
    assert_eq!(run(&world).await.expired, 1);
    assert_eq!(left(&world).await, 3);
    world.wait(30 * DAY_MS);
    assert_eq!(run(&world).await.versions, 2);
    assert_eq!(run(&world).await.versions, 1, "nothing is below it");
    assert_eq!(left(&world).await, 0);
}

#[tokio::test]
async fn rules_are_the_owners_and_within_bounds() {
    let world = World::new().await;
    for who in ["ruben", "dirk", "job-1", "anna", "stan"] {
        let refused = set(&world, who, vec![expiring("a", "", 1)]).await;
        assert_eq!(kind(refused), Some(ErrorKind::AccessDenied), "{who}");
    }
    let mut tagged = LifecycleRule {
        lone_markers: true,
        ..rule("a", "")
    };
    tagged.filter.tags = vec![("a".to_owned(), String::new())];
    let mut sized = LifecycleRule {
        abort_days: Some(1),
        ..rule("a", "")
    };
    sized.filter.larger = Some(1);
    let kept = LifecycleRule {
        noncurrent: Some(Noncurrent {
            days: 1,
            keep: Some(0),
        }),
        ..rule("a", "")
    };
    let twice = vec![expiring("a", "", 1), expiring("a", "x", 1)];
    for rules in [
        vec![],
        twice,
        vec![rule("nothing", "")],
        vec![expiring("a", "", 0)],
        vec![expiring("", "", 1)],
        vec![expiring("a\n", "", 1)],
        vec![expiring("a", &"p".repeat(1025), 1)],
        vec![tagged],
        vec![sized],
        vec![kept],
    ] {
        let refused = set(&world, "olivia", rules.clone()).await;
        assert_eq!(kind(refused), Some(ErrorKind::InvalidRule), "{rules:?}");
    }
}

#[tokio::test]
async fn a_run_without_a_log_deletes_nothing() {
    let world = World::new().await;
    world.put("olivia", "k", b"x").await.unwrap();
    set(&world, "olivia", vec![expiring("all", "", 1)])
        .await
        .unwrap();
    world.wait(3 * DAY_MS);
    world.journal.refuse(true);
    let now = world.vault.now();
    let stopped = world.vault.run_lifecycle(now).await;
    assert_eq!(kind(stopped), Some(ErrorKind::LogUnavailable));
    world.journal.refuse(false);
    assert_eq!(world.names("olivia", "").await.unwrap(), ["k"]);
}

/// The `null` that a run listed may be another by the time that it deletes it.
#[tokio::test]
async fn what_is_written_while_a_run_deletes_stays() {
    for steps in 0..60 {
        let mut world = World::new().await;
        let gate = Gate::polite();
        world.rewire(|parts| Parts {
            catalog: Arc::new(Gated::new(Arc::clone(&parts.catalog), &gate)) as SharedCatalog,
            ..parts
        });
        for (state, bytes) in [
            (Versioning::Enabled, b"0"),
            (Versioning::Suspended, b"1"),
            (Versioning::Enabled, b"2"),
            (Versioning::Suspended, b""),
        ] as [(Versioning, &[u8]); 4]
        {
            let call = world.call(Some("olivia"));
            let set = world.vault.set_versioning(&call, BUCKET, state);
            set.await.unwrap();
            if !bytes.is_empty() {
                world.put("olivia", "k", bytes).await.unwrap();
            }
        }
        let old = LifecycleRule {
            noncurrent: Some(Noncurrent {
                days: 1,
                keep: None,
            }),
            ..rule("old", "k")
        };
        set(&world, "olivia", vec![old]).await.unwrap();
        world.wait(3 * DAY_MS);
        let write = async {
            for _step in 0..steps {
                tokio::task::yield_now().await;
            }
            world.put("olivia", "k", b"new").await.unwrap();
        };
        let (_done, ()) = tokio::join!(run(&world), write);
        let read = world.get("olivia", "k", Span::All).await;
        assert_eq!(read.unwrap(), b"new", "acknowledged after {steps} steps");
    }
}

/// Pages end within a key, at a version that the run itself deletes.
#[tokio::test]
async fn the_newest_and_what_is_kept_stay_over_many_pages() {
    for marker in [false, true] {
        let world = World::new().await;
        let state = Versioning::Enabled;
        let call = world.call(Some("olivia"));
        world
            .vault
            .set_versioning(&call, BUCKET, state)
            .await
            .unwrap();
        let all = limits::PAGE_ENTRIES_MAX * 5 / 2;
        for number in 0..all {
            let body = number.to_string();
            world.put("olivia", "k", body.as_bytes()).await.unwrap();
        }
        if marker {
            let call = world.call(Some("olivia"));
            let any = WriteConditions::default();
            let deleted = world.vault.delete_object(&call, place("k"), any, false);
            deleted.await.unwrap();
        }
        let old = LifecycleRule {
            noncurrent: Some(Noncurrent {
                days: 1,
                keep: Some(2),
            }),
            ..rule("old", "")
        };
        set(&world, "olivia", vec![old]).await.unwrap();
        world.wait(3 * DAY_MS);
        let kept = if marker { 2 } else { 3 };
        let gone = run(&world).await;
        assert_eq!(gone.versions, u64::try_from(all - kept).unwrap());
        assert_eq!(gone.refused, 0);
        assert_eq!(left(&world).await, 3);
        let read = world.get("olivia", "k", Span::All).await;
        if marker {
            assert!(read.is_err(), "what was deleted does not come back");
        } else {
            assert_eq!(read.unwrap(), (all - 1).to_string().as_bytes());
        }
    }
}

/// Once a hold is acknowledged, a run that was under way deletes nothing more.
#[tokio::test]
async fn er_2_a_hold_stops_a_run_that_has_begun() {
    for steps in (0..60).step_by(2) {
        let mut world = World::new().await;
        for number in 0..3 * limits::DELETES_AT_ONCE {
            let key = format!("k{number}");
            world.put("olivia", &key, b"x").await.unwrap();
        }
        set(&world, "olivia", vec![expiring("all", "", 1)])
            .await
            .unwrap();
        world.wait(3 * DAY_MS);
        let gate = Gate::polite();
        world.rewire(|parts| Parts {
            catalog: Arc::new(Gated::new(Arc::clone(&parts.catalog), &gate)) as SharedCatalog,
            ..parts
        });
        let hold = async {
            for _step in 0..steps {
                tokio::task::yield_now().await;
            }
            world.hold("case 7").await;
            world.names("olivia", "").await.unwrap().len()
        };
        let (done, at_hold) = tokio::join!(run(&world), hold);
        let now = world.names("olivia", "").await.unwrap().len();
        assert_eq!(now, at_hold, "after {steps} steps: {done:?}");
    }
}

#[tokio::test]
async fn er_2_a_run_deletes_nothing_of_a_dataset_under_legal_hold() {
    let world = World::new().await;
    world.put("olivia", "k", b"x").await.unwrap();
    let rules = vec![expiring("all", "", 1)];
    set(&world, "olivia", rules).await.unwrap();
    world.wait(3 * DAY_MS);
    world.hold("case 7").await;
    assert_eq!(run(&world).await, Lifecycled::default());
    assert_eq!(world.names("olivia", "").await.unwrap(), ["k"]);
    world.hold("").await;
    assert_eq!(run(&world).await.expired, 1);
}

#[tokio::test]
async fn er_2_nothing_of_a_dataset_under_legal_hold_is_erased() {
    let world = keywork::stocked().await;
    let bucket = keywork::bucket();
    world.hold("case 7").await;
    let version = EraseScope::Published(1);
    for scope in [EraseScope::Dataset, keywork::object("a"), version] {
        let (call, agreed) = (world.call(None), keywork::ask(scope));
        let refused = world.vault.erase_agreed(&call, &bucket, agreed);
        assert_eq!(kind(refused.await), Some(ErrorKind::Locked));
        assert!(call.is_recorded());
    }
    for place in [BUCKET, keywork::V1] {
        assert!(keywork::get(&world, place, "a").await.is_ok(), "{place}");
    }
    // Other keys for the same data take nothing away.
    let call = world.call(None);
    let rotated = world.vault.rotate_key(&call, &bucket).await;
    assert_eq!(kind(rotated), None);
    world.hold("").await;
    let (call, agreed) = (world.call(None), keywork::ask(keywork::object("a")));
    let erased = world.vault.erase_agreed(&call, &bucket, agreed);
    assert_eq!(kind(erased.await), None);
}

fn page(origin: &str) -> CorsAsk<'_> {
    CorsAsk {
        origin,
        method: "GET",
        headers: &[],
    }
}

#[tokio::test]
async fn a_page_is_told_what_the_owner_set_and_nothing_else() {
    let world = World::new().await;
    let ask = async |bucket: &str, origin: &str| {
        let call = world.call(None);
        let rule = world.vault.preflight(&call, bucket, page(origin)).await;
        assert!(call.is_recorded(), "{bucket} {origin}");
        rule.map(drop).map_err(|error| error.kind())
    };
    let no = Err(ErrorKind::AccessDenied);
    // No rule, no bucket and no name look alike.
    for bucket in [BUCKET, "icu--absent", "other--x", "NOT A NAME", ""] {
        assert_eq!(ask(bucket, "https://a").await, no, "{bucket}");
    }
    let rules = Setting::Cors(vec![CorsRule {
        origins: vec!["https://a".to_owned()],
        methods: vec!["GET".to_owned()],
        ..CorsRule::default()
    }]);
    for who in ["ruben", "dirk", "job-1", "stan"] {
        let call = world.call(Some(who));
        let value = Some(rules.clone());
        let set = world
            .vault
            .set_setting(&call, BUCKET, SettingKind::Cors, value);
        assert_eq!(kind(set.await), Some(ErrorKind::AccessDenied), "{who}");
    }
    let call = world.call(Some("olivia"));
    let set = world
        .vault
        .set_setting(&call, BUCKET, SettingKind::Cors, Some(rules));
    set.await.unwrap();
    assert_eq!(ask(BUCKET, "https://a").await, Ok(()));
    assert_eq!(ask(BUCKET, "https://b").await, no);
    // It gives nobody a right.
    let read = world.get("stan", "k", Span::All).await;
    assert_eq!(kind(read), Some(ErrorKind::AccessDenied));
}
