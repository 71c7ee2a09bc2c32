//! Rights through the vault: their ends, their approval, and what they show.

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};

use super::support::{BUCKET, World, input, kind, place, sample, unbound};
use crate::catalog::{ListQuery, Mutation, UploadQuery};
use crate::ledger::Outcome;
use crate::policy::GrantEffect;
use crate::types::{BucketName, Entropy as _, Timestamp};
use crate::vault::{
    BodyChecks, BodyError, Call, CopySource, ErrorKind, Input, NewObject, Place, ReadAsk,
    ReadConditions, Span, WriteConditions,
};

/// 60 s, within which a running transfer is cut (AZ-2).
const CUT_MS: u64 = 60_000;

#[tokio::test]
async fn a_grant_ends_at_its_millisecond() {
    let world = World::new().await;
    world.put("olivia", "k", b"x").await.unwrap();
    let start = world.vault.now().millis();
    let mut grant = world.draft("stan", "reader");
    grant.starts = Timestamp::from_millis(start + 10);
    grant.expires = Some(Timestamp::from_millis(start + 1010));
    world.make_grant(grant).await.unwrap();
    let (early, over) = (Some(ErrorKind::GrantNotYet), Some(ErrorKind::GrantOver));
    for (wait, end) in [(9, early), (1, None), (999, None), (1, over), (9, over)] {
        world.wait(wait);
        let got = world.get("stan", "k", Span::All).await;
        assert_eq!(kind(got), end, "{} ms", world.vault.now().millis() - start);
    }
}

#[tokio::test]
async fn a_withdrawn_grant_is_refused_at_once() {
    let world = World::new().await;
    world.put("olivia", "k", b"x").await.unwrap();
    let grant = world.grant("stan", "reader").await;
    world.get("stan", "k", Span::All).await.unwrap();
    let call = world.call(None);
    let project = "icu".parse().unwrap();
    let revoked = world.vault.revoke_grant(&call, (&project, grant), None);
    revoked.await.unwrap();
    let got = world.get("stan", "k", Span::All).await;
    assert_eq!(kind(got), Some(ErrorKind::AccessDenied));
}

/// Reads one segment every second until the stream ends; how long it ran, and how it ended.
async fn slow_read(world: &World, call: &Call, end: impl AsyncFnOnce()) -> (u64, ErrorKind) {
    let reading = world
        .vault
        .read_object(call, place("k"), ReadAsk::default())
        .await;
    let mut body = reading.unwrap().body;
    body.next().await.unwrap().unwrap();
    world.wait(1000);
    end().await;
    let mut ms = 0;
    loop {
        match body.next().await.expect("the object is long enough") {
            Ok(_) => {
                ms += 1000;
                world.wait(1000);
            }
            Err(error) => {
                assert!(body.next().await.is_none(), "nothing comes behind an error");
                return (ms, error.kind());
            }
        }
    }
}

#[tokio::test]
async fn a_running_read_is_cut_within_a_minute() {
    let world = World::new().await;
    let data = sample(100 * 65_536);
    world.put("olivia", "k", &data).await.unwrap();
    let mut grant = world.draft("stan", "reader");
    grant.expires = Some(Timestamp::from_millis(world.vault.now().millis() + 1500));
    world.make_grant(grant).await.unwrap();
    let call = world.call(Some("stan"));
    let (ms, why) = slow_read(&world, &call, async || {}).await;
    assert!(ms <= CUT_MS, "expired, and read on for {ms} ms");
    assert_eq!(why, ErrorKind::AccessDenied);
    let end = world.last_completion();
    assert_eq!((end.event, end.outcome), (call.event, Outcome::Aborted));
    assert_eq!(end.bytes, (1 + ms / 1000) * 65_536);
    assert!(end.reason.contains("ended"), "{}", end.reason);

    let id = world.grant("stan", "reader").await;
    let call = world.call(Some("stan"));
    let revoke = async || {
        let project = "icu".parse().unwrap();
        let revoked = world
            .vault
            .revoke_grant(&world.call(None), (&project, id), None)
            .await;
        revoked.unwrap();
    };
    let (ms, why) = slow_read(&world, &call, revoke).await;
    assert!(ms <= CUT_MS, "withdrawn, and read on for {ms} ms");
    assert_eq!(why, ErrorKind::AccessDenied);
}

#[tokio::test]
async fn a_withdrawn_credential_cuts_what_runs_under_it() {
    let world = World::new().await;
    world
        .put("olivia", "k", &sample(100 * 65_536))
        .await
        .unwrap();
    let olivia = || "olivia".parse().unwrap();
    let made = world
        .vault
        .create_credential(&world.call(None), olivia(), unbound())
        .await;
    let id = made.unwrap().id;
    let mut call = world.call(Some("olivia"));
    let mut session = (*call.session).clone();
    session.access_key = Some(id.clone());
    call.session = std::sync::Arc::new(session);
    let revoke = async || {
        let revoked = world.vault.revoke_credential(&world.call(None), id).await;
        revoked.unwrap();
    };
    let (ms, why) = slow_read(&world, &call, revoke).await;
    assert!(ms <= CUT_MS, "{ms} ms");
    assert_eq!(why, ErrorKind::AccessDenied);
}

#[tokio::test]
async fn a_read_under_a_living_right_is_never_cut() {
    let world = World::new().await;
    let data = sample(50 * 65_536);
    world.put("olivia", "k", &data).await.unwrap();
    let call = world.call(Some("job-1"));
    let reading = world
        .vault
        .read_object(&call, place("k"), ReadAsk::default())
        .await;
    let mut body = reading.unwrap().body;
    let mut got = Vec::new();
    while let Some(piece) = body.next().await {
        got.extend_from_slice(&piece.unwrap());
        world.wait(3_600_000);
    }
    assert!(got == data);
}

#[tokio::test]
async fn a_running_upload_is_cut_too_and_leaves_nothing() {
    let world = World::new().await;
    let mut grant = world.draft("stan", "depositor");
    grant.expires = Some(Timestamp::from_millis(world.vault.now().millis() + 1500));
    world.make_grant(grant).await.unwrap();
    let clock = std::sync::Arc::clone(&world.clock);
    let segments = 100;
    let piece = Bytes::from(sample(65_536));
    let body = stream::iter(0..segments).map(move |_| {
        clock.0.fetch_add(1000, std::sync::atomic::Ordering::SeqCst);
        Ok::<_, BodyError>(piece.clone())
    });
    let input = Input {
        bytes: segments * 65_536,
        body: body.boxed(),
        checks: BodyChecks::default(),
    };
    let start = world.vault.now();
    let call = world.call(Some("stan"));
    let put = world
        .vault
        .write_object(&call, place("k"), NewObject::default(), input);
    assert_eq!(kind(put.await), Some(ErrorKind::AccessDenied));
    assert!(world.vault.now().since(start) <= CUT_MS + 1500);
    assert_eq!(world.last_completion().outcome, Outcome::Refused);
    assert!(world.blobs().await.is_empty());
    assert!(world.names("olivia", "").await.unwrap().is_empty());
}

#[tokio::test]
async fn nobody_approves_delicate_roles_for_herself() {
    let world = World::new().await;
    world.grant("ruben", "owner").await;
    for role in ["exporter", "auditor"] {
        let own = world.draft("olivia", role);
        assert_eq!(world.make_grant(own).await, Err(ErrorKind::AccessDenied));
        let mut by_another = world.draft("olivia", role);
        by_another.approver = "ruben".parse().unwrap();
        world.make_grant(by_another).await.unwrap();
    }
    world
        .make_grant(world.draft("olivia", "reader"))
        .await
        .unwrap();
}

#[tokio::test]
async fn an_approver_manages_grants_over_all_that_is_granted() {
    let world = World::new().await;
    let mut part = world.draft("ruben", "owner");
    part.dataset = Some("ecg".parse().unwrap());
    part.prefix = "mine/".to_owned();
    world.make_grant(part).await.unwrap();
    for approver in ["anna", "dirk", "job-1", "stan", "nobody"] {
        let mut grant = world.draft("stan", "reader");
        grant.approver = approver.parse().unwrap();
        assert_eq!(
            world.make_grant(grant).await,
            Err(ErrorKind::AccessDenied),
            "{approver}"
        );
    }
    let by_ruben = |dataset: Option<&str>, prefix: &str| {
        let mut grant = world.draft("stan", "reader");
        grant.approver = "ruben".parse().unwrap();
        grant.dataset = dataset.map(|name| name.parse().unwrap());
        grant.prefix = prefix.to_owned();
        grant
    };
    for (dataset, prefix) in [(None, ""), (Some("ecg"), ""), (Some("eeg"), "mine/")] {
        let refused = world.make_grant(by_ruben(dataset, prefix)).await;
        assert_eq!(
            refused,
            Err(ErrorKind::AccessDenied),
            "{dataset:?} {prefix}"
        );
    }
    world
        .make_grant(by_ruben(Some("ecg"), "mine/x"))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_project_is_founded_once_and_by_an_owner() {
    let world = World::empty();
    let project = || "icu".parse().unwrap();
    let vault = &world.vault;
    vault
        .create_project(&world.call(None), project())
        .await
        .unwrap();
    for name in ["mallory", "olivia"] {
        let made = vault
            .create_principal(&world.call(None), name.parse().unwrap(), None)
            .await;
        made.unwrap();
    }
    for role in ["reader", "exporter", "auditor", "operator"] {
        let grant = world.draft("mallory", role);
        assert_eq!(
            world.make_grant(grant).await,
            Err(ErrorKind::AccessDenied),
            "{role}"
        );
    }
    let mut denial = world.draft("mallory", "owner");
    denial.effect = GrantEffect::Deny;
    assert_eq!(world.make_grant(denial).await, Err(ErrorKind::AccessDenied));
    let first = world.grant("olivia", "owner").await;
    let call = world.call(Some("olivia"));
    vault.create_dataset(&call, BUCKET, false).await.unwrap();
    // As a grant that ends leaves it, or a person who is gone.
    let gone = vec![Mutation::DeleteGrant(first)];
    world.catalog.commit(gone).await.unwrap();
    world.vault.guard.forget();
    let mut again = world.draft("mallory", "owner");
    again.approver = "mallory".parse().unwrap();
    assert_eq!(
        world.make_grant(again).await,
        Err(ErrorKind::AccessDenied),
        "data is there"
    );
}

async fn begin(world: &World, who: &str, key: &str) -> String {
    let call = world.call(Some(who));
    let new = NewObject::default();
    let begun = world.vault.create_upload(&call, place(key), new, None);
    begun.await.unwrap().id.to_string()
}

async fn listed(
    world: &World,
    who: &str,
    prefix: &str,
    limit: usize,
) -> Result<Vec<String>, ErrorKind> {
    let query = UploadQuery {
        prefix: prefix.to_owned(),
        limit,
        ..UploadQuery::default()
    };
    let call = world.call(Some(who));
    let page = world.vault.list_uploads(&call, BUCKET, query).await;
    let page = page.map_err(|error| error.kind())?;
    assert!(!page.more || page.uploads.len() == limit);
    Ok(page
        .uploads
        .into_iter()
        .map(|row| row.key.to_string())
        .collect())
}

#[tokio::test]
async fn uploads_are_their_initiators_own() {
    let world = World::new().await;
    let mut narrow = world.draft("stan", "depositor");
    narrow.prefix = "s/".to_owned();
    world.make_grant(narrow).await.unwrap();
    let dirks = begin(&world, "dirk", "s/dirk").await;
    let stans = begin(&world, "stan", "s/stan").await;
    begin(&world, "olivia", "z").await;
    assert_eq!(listed(&world, "dirk", "", 10).await.unwrap(), ["s/dirk"]);
    assert_eq!(listed(&world, "stan", "s/", 10).await.unwrap(), ["s/stan"]);
    assert_eq!(
        listed(&world, "stan", "", 10).await,
        Err(ErrorKind::AccessDenied)
    );
    assert_eq!(
        listed(&world, "job-1", "", 10).await,
        Err(ErrorKind::AccessDenied)
    );
    let all = listed(&world, "olivia", "", 10).await.unwrap();
    assert_eq!(all, ["s/dirk", "s/stan", "z"], "an owner oversees all");
    assert_eq!(listed(&world, "dirk", "", 0).await.unwrap().len(), 0);

    let absent = Some(ErrorKind::NoSuchUpload);
    let (vault, call) = (&world.vault, || world.call(Some("dirk")));
    let there = place("s/stan");
    assert_eq!(
        kind(vault.abort_upload(&call(), there, &stans).await),
        absent
    );
    assert_eq!(
        kind(vault.list_parts(&call(), there, &stans, 0, 9).await),
        absent
    );
    let put = vault
        .put_part(&call(), there, &stans, 1, input(b"x", 1))
        .await;
    assert_eq!(kind(put), absent);
    let wrong_key = vault.abort_upload(&call(), place("s/other"), &dirks).await;
    assert_eq!(kind(wrong_key), absent);
    vault
        .abort_upload(&call(), place("s/dirk"), &dirks)
        .await
        .unwrap();
    let overseer = world.call(Some("olivia"));
    vault.abort_upload(&overseer, there, &stans).await.unwrap();
}

#[tokio::test]
async fn own_uploads_are_found_among_many() {
    let world = World::new().await;
    for n in 0..30 {
        let who = if n % 10 == 9 { "dirk" } else { "olivia" };
        begin(&world, who, &format!("k/{n:02}")).await;
    }
    let own = ["k/09", "k/19", "k/29"];
    for limit in 1..5 {
        let got = listed(&world, "dirk", "k/", limit).await.unwrap();
        assert_eq!(got, own[..limit.min(3)], "{limit}");
    }
}

#[tokio::test]
async fn a_depositor_sees_nothing_of_what_is_there() {
    let world = World::new().await;
    world.put("dirk", "k", b"given").await.unwrap();
    let denied = Some(ErrorKind::AccessDenied);
    for key in ["k", "absent"] {
        assert_eq!(kind(world.get("dirk", key, Span::All).await), denied);
        let call = world.call(Some("dirk"));
        let head = world
            .vault
            .head_object(&call, place(key), ReadAsk::default());
        assert_eq!(kind(head.await), denied);
        let call = world.call(Some("dirk"));
        let none = WriteConditions::default();
        let delete = world
            .vault
            .delete_object(&call, place(key), none.clone(), false);
        assert_eq!(kind(delete.await), denied);
        let from = CopySource {
            place: place(key),
            conditions: ReadConditions::default(),
            span: Span::All,
        };
        let call = world.call(Some("dirk"));
        let copy = world
            .vault
            .copy_object(&call, from, place("mine"), None, none);
        assert_eq!(kind(copy.await), denied);
    }
    assert_eq!(world.names("dirk", "").await, Err(ErrorKind::AccessDenied));
}

#[tokio::test]
async fn a_prefix_shows_what_lies_under_it_alone() {
    let world = World::new().await;
    for key in ["a/1", "a/2", "ab", "b/1"] {
        world.put("olivia", key, key.as_bytes()).await.unwrap();
    }
    let mut grant = world.draft("stan", "reader");
    grant.prefix = "a/".to_owned();
    world.make_grant(grant).await.unwrap();
    assert_eq!(world.names("stan", "a/").await.unwrap(), ["a/1", "a/2"]);
    for prefix in ["", "a", "b/", "ab"] {
        let got = world.names("stan", prefix).await;
        assert_eq!(got, Err(ErrorKind::AccessDenied), "{prefix}");
    }
    let denied = Some(ErrorKind::AccessDenied);
    for (key, end) in [
        ("a/1", None),
        ("a/9", Some(ErrorKind::NoSuchObject)),
        ("ab", denied),
        ("b/1", denied),
        ("b/9", denied),
    ] {
        assert_eq!(kind(world.get("stan", key, Span::All).await), end, "{key}");
    }
}

const PROJECTS: [&str; 3] = ["p1", "p2", "p3"];
const ROLES: [&str; 6] = [
    "owner",
    "contributor",
    "depositor",
    "reader",
    "job",
    "auditor",
];

/// Projects with a dataset `d` and an object `k` each; users with random roles in random projects.
async fn matrix(seed: u64) -> (World, Vec<(String, usize, &'static str)>) {
    let world = World::empty();
    let local = || world.call(None);
    let vault = &world.vault;
    for project in PROJECTS {
        vault
            .create_project(&local(), project.parse().unwrap())
            .await
            .unwrap();
        let root = format!("root-{project}");
        let call = local();
        let made = vault.create_principal(&call, root.parse().unwrap(), None);
        made.await.unwrap();
        let mut grant = world.draft(&root, "owner");
        grant.project = project.parse().unwrap();
        grant.approver = root.parse().unwrap();
        world.make_grant(grant).await.unwrap();
        world.set_defaults(project, &root).await;
        let bucket = format!("{project}--d");
        let call = world.call(Some(&root));
        vault.create_dataset(&call, &bucket, false).await.unwrap();
        let place = Place {
            bucket: &bucket,
            key: "k",
            version: None,
        };
        let secret = format!("secret of {project}");
        let body = input(secret.as_bytes(), 9);
        let put = vault
            .write_object(&world.call(Some(&root)), place, NewObject::default(), body)
            .await;
        put.unwrap();
    }
    let random = super::support::TestEntropy(seed.into());
    let mut held = Vec::new();
    for user in 0..5 {
        let name = format!("user-{user}");
        let made = vault
            .create_principal(&local(), name.parse().unwrap(), None)
            .await;
        made.unwrap();
        for (project, project_name) in PROJECTS.into_iter().enumerate() {
            let mut dice = [0; 2];
            random.fill(&mut dice).unwrap();
            if dice[0] < 100 {
                let role = ROLES[usize::from(dice[1]) % ROLES.len()];
                let mut grant = world.draft(&name, role);
                grant.project = project_name.parse().unwrap();
                grant.approver = format!("root-{project_name}").parse().unwrap();
                world.make_grant(grant).await.unwrap();
                held.push((name.clone(), project, role));
            }
        }
    }
    (world, held)
}

#[tokio::test]
async fn a_random_matrix_leaks_nothing_across_projects() {
    for seed in 0..6 {
        let (world, held) = matrix(seed).await;
        for user in (0..5).map(|n| format!("user-{n}")) {
            let role = |at: usize| {
                let found = held
                    .iter()
                    .find(|(name, project, _)| *name == user && *project == at);
                found.map(|(_, _, role)| *role)
            };
            for at in 0..PROJECTS.len() {
                one(&world, &user, at, role(at)).await;
                for to in (0..PROJECTS.len()).filter(|to| *to != at) {
                    let refused = copy(&world, &user, at, to).await;
                    assert_eq!(refused, Some(ErrorKind::AccessDenied), "no role exports");
                }
            }
            let sets = world.vault.list_datasets(&world.call(Some(&user))).await;
            let sets: Vec<BucketName> = sets.unwrap().into_iter().map(|row| row.bucket).collect();
            let may_know: Vec<_> = (0..PROJECTS.len())
                .filter(|at| role(*at).is_some_and(|role| role != "auditor"))
                .collect();
            assert_eq!(sets.len(), may_know.len(), "{user}");
            for (set, at) in sets.iter().zip(may_know) {
                assert_eq!(set.project.as_str(), PROJECTS[at]);
            }
        }
    }
}

/// What one user may do in one project, and that absent and forbidden look alike.
async fn one(world: &World, user: &str, at: usize, role: Option<&str>) {
    let bucket = format!("{}--d", PROJECTS[at]);
    let reads = matches!(role, Some("owner" | "contributor" | "reader" | "job"));
    for key in ["k", "absent"] {
        let place = Place {
            bucket: &bucket,
            key,
            version: None,
        };
        let call = world.call(Some(user));
        let reading = world
            .vault
            .read_object(&call, place, ReadAsk::default())
            .await;
        let call = world.call(Some(user));
        let head = world
            .vault
            .head_object(&call, place, ReadAsk::default())
            .await;
        let (got, seen) = (reading.as_ref().err(), head.as_ref().err());
        let want = match (reads, key) {
            (false, _) => Some(ErrorKind::AccessDenied),
            (true, "absent") => Some(ErrorKind::NoSuchObject),
            (true, _) => None,
        };
        assert_eq!(
            got.map(crate::vault::VaultError::kind),
            want,
            "{user} {bucket}"
        );
        assert_eq!(
            seen.map(crate::vault::VaultError::kind),
            want,
            "{user} {bucket}"
        );
    }
    let call = world.call(Some(user));
    let query = ListQuery {
        limit: 9,
        ..ListQuery::default()
    };
    let page = world.vault.list_objects(&call, &bucket, query).await;
    assert_eq!(page.is_ok(), reads, "{user} {bucket}");
}

async fn copy(world: &World, user: &str, at: usize, to: usize) -> Option<ErrorKind> {
    let (source, target) = (
        format!("{}--d", PROJECTS[at]),
        format!("{}--d", PROJECTS[to]),
    );
    let from = CopySource {
        place: Place {
            bucket: &source,
            key: "k",
            version: None,
        },
        conditions: ReadConditions::default(),
        span: Span::All,
    };
    let to = Place {
        bucket: &target,
        key: "stolen",
        version: None,
    };
    let call = world.call(Some(user));
    let none = WriteConditions::default();
    kind(world.vault.copy_object(&call, from, to, None, none).await)
}
