//! Organisations that tell who their people are: what they may say, and what ends with it.

use futures_util::StreamExt as _;

use super::support::{World, place, sample};
use crate::catalog::{Linking, Mutation, PrincipalRow, RosterKind};
use crate::scim::{Filter, Group, ScimError, User};
use crate::types::{PrincipalId, PrincipalKind, SecretText, limits};
use crate::vault::{Call, ErrorKind, ReadAsk, ScimAsk, ScimRefusal, SourceDraft, Span, Teller};

fn person(name: &str) -> PrincipalId {
    name.parse().unwrap()
}

/// An organisation whose people sign in under their external ids: `uni` at `sram`, each other one
/// at an issuer of its own.
pub(super) async fn organisation(world: &World, name: &str) -> SecretText {
    let issuer = if name == "uni" { "sram" } else { name };
    organisation_at(world, name, Some(issuer)).await.unwrap()
}

/// One whose people sign in there.
pub(super) async fn organisation_at(
    world: &World,
    name: &str,
    issuer: Option<&str>,
) -> Result<SecretText, ErrorKind> {
    let draft = SourceDraft {
        name: name.parse().unwrap(),
        acts_for: person("olivia"),
        linked: issuer.map(|issuer| (issuer.to_owned(), Linking::ExternalId)),
        days: 30,
    };
    let made = world.vault.create_source(&world.call(None), draft).await;
    made.map(|made| made.token).map_err(|error| error.kind())
}

pub(super) async fn by(world: &World, token: &SecretText) -> Teller {
    let call = Call {
        operation: "Scim",
        ..world.call(None)
    };
    world.vault.teller(&call, Some(token)).await.unwrap()
}

pub(super) fn user(name: &str) -> User {
    User {
        user_name: name.to_owned(),
        external_id: Some(format!("x-{name}")),
        display_name: None,
        active: true,
    }
}

fn group(name: &str, members: &[&PrincipalId]) -> Group {
    Group {
        display_name: name.to_owned(),
        external_id: None,
        members: members.iter().map(|id| (*id).clone()).collect(),
    }
}

pub(super) fn said<T>(result: Result<T, ScimRefusal>) -> Option<ScimError> {
    match result {
        Ok(_) => None,
        Err(ScimRefusal::Said(error)) => Some(error),
        Err(ScimRefusal::Vault(error)) => panic!("{}", error.reason()),
    }
}

async fn make(world: &World, token: &SecretText, name: &str) -> PrincipalId {
    let by = by(world, token).await;
    world
        .vault
        .scim_create_user(&by, user(name))
        .await
        .unwrap()
        .id
}

async fn set_active(world: &World, token: &SecretText, id: &PrincipalId, active: bool) {
    let by = by(world, token).await;
    let change = |old: &User, _: &PrincipalId| {
        Ok(User {
            active,
            ..old.clone()
        })
    };
    world
        .vault
        .scim_change_user(&by, id.as_str(), None, change)
        .await
        .unwrap();
}

/// Reads a segment a second from what `who` opened before `end`; how long that went on.
async fn cut_after(world: &World, who: &str, end: impl AsyncFnOnce()) -> u64 {
    let call = world.call(Some(who));
    let reading = world
        .vault
        .read_object(&call, place("big"), ReadAsk::default());
    let mut body = reading.await.unwrap().body;
    body.next().await.unwrap().unwrap();
    end().await;
    let mut ms = 0;
    while let Ok(_segment) = body.next().await.expect("the object is long enough") {
        ms += 1000;
        world.wait(1000);
    }
    ms
}

#[tokio::test]
async fn id_3_whom_her_organisation_ends_loses_what_runs() {
    let world = World::new().await;
    world
        .put("olivia", "big", &sample(100 * 65_536))
        .await
        .unwrap();
    let token = organisation(&world, "uni").await;
    let ann = make(&world, &token, "ann").await;
    assert_eq!(ann.as_str(), "uni.ann");
    let team = group("readers", &[&ann]);
    let team = world
        .vault
        .scim_create_group(&by(&world, &token).await, team)
        .await
        .unwrap();
    world.grant(team.id.as_str(), "reader").await;
    let reads = async || {
        world
            .get("uni.ann", "big", Span::Between(0, 0))
            .await
            .is_ok()
    };
    assert!(reads().await);

    let ms = cut_after(&world, "uni.ann", async || {
        set_active(&world, &token, &ann, false).await;
    });
    assert!(ms.await <= 60_000, "inactive");
    assert!(!reads().await);
    set_active(&world, &token, &ann, true).await;
    assert!(reads().await);

    let ms = cut_after(&world, "uni.ann", async || {
        let by = by(&world, &token).await;
        let change = |old: &Group, _: &PrincipalId| {
            Ok(Group {
                members: Vec::new(),
                ..old.clone()
            })
        };
        world
            .vault
            .scim_change_group(&by, team.id.as_str(), None, change)
            .await
            .unwrap();
    });
    assert!(ms.await <= 60_000, "out of the group");
    assert!(!reads().await);
    let by_now = by(&world, &token).await;
    let back = |old: &Group, _: &PrincipalId| {
        Ok(Group {
            members: vec![ann.clone()],
            ..old.clone()
        })
    };
    world
        .vault
        .scim_change_group(&by_now, team.id.as_str(), None, back)
        .await
        .unwrap();
    assert!(reads().await);

    let ms = cut_after(&world, "uni.ann", async || {
        let by = by(&world, &token).await;
        world
            .vault
            .scim_delete_user(&by, "uni.ann", None)
            .await
            .unwrap();
    });
    assert!(ms.await <= 60_000, "deleted");
    assert!(!reads().await);
}

#[tokio::test]
async fn a_name_is_never_given_twice() {
    let world = World::new().await;
    world.put("olivia", "k", b"bytes").await.unwrap();
    let token = organisation(&world, "uni").await;
    let first = make(&world, &token, "ann").await;
    world.grant(first.as_str(), "reader").await;
    assert!(world.get("uni.ann", "k", Span::All).await.is_ok());
    let by_one = by(&world, &token).await;
    world
        .vault
        .scim_delete_user(&by_one, "uni.ann", None)
        .await
        .unwrap();
    let second = make(&world, &token, "Ann").await;
    assert_eq!(second.as_str(), "uni.ann.2");
    assert!(
        world.get("uni.ann.2", "k", Span::All).await.is_err(),
        "nothing is inherited"
    );
    assert!(world.get("uni.ann", "k", Span::All).await.is_err());
    // A group of the same name is another principal too.
    let by_two = by(&world, &token).await;
    let team = world
        .vault
        .scim_create_group(&by_two, group("ann", &[]))
        .await
        .unwrap();
    assert_eq!(team.id.as_str(), "uni.ann.3");
    // What cannot be part of a name gets one without meaning.
    let odd = world
        .vault
        .scim_create_group(&by_two, group("Ärzte & Co", &[]))
        .await
        .unwrap();
    assert!(odd.id.as_str().starts_with("uni.id-"), "{}", odd.id);
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
async fn id_7_an_organisation_speaks_of_nobody_elses() {
    let world = World::new().await;
    let uni = organisation(&world, "uni").await;
    let lab = organisation(&world, "lab").await;
    let ann = make(&world, &uni, "ann").await;
    let lab = by(&world, &lab).await;
    let vault = &world.vault;
    let labs = User {
        external_id: None,
        ..user("ann")
    };
    let labs = vault.scim_create_user(&lab, labs).await.unwrap();
    assert_eq!(labs.id.as_str(), "lab.ann");
    for id in [
        ann.as_str(),
        "olivia",
        "uni.scim",
        "nobody",
        "",
        "lab.ann/../uni.ann",
    ] {
        let same = |old: &User, _: &PrincipalId| {
            Ok(User {
                active: false,
                ..old.clone()
            })
        };
        let absent = Some(ScimError::Absent);
        assert_eq!(said(vault.scim_user(&lab, id).await), absent, "{id}");
        assert_eq!(
            said(vault.scim_change_user(&lab, id, None, same).await),
            absent,
            "{id}"
        );
        assert_eq!(
            said(vault.scim_delete_user(&lab, id, None).await),
            absent,
            "{id}"
        );
        assert_eq!(
            said(vault.scim_delete_group(&lab, id, None).await),
            absent,
            "{id}"
        );
    }
    // Nor makes she others members of her groups, whatever they are called.
    for member in [&ann, &person("olivia"), &person("lab.nobody")] {
        let made = vault.scim_create_group(&lab, group("g", &[member])).await;
        assert_eq!(said(made), Some(ScimError::Value), "{member}");
    }
    let asked = ScimAsk {
        count: 9,
        ..ScimAsk::default()
    };
    let all = vault.scim_users(&lab, &asked).await.unwrap();
    assert_eq!((all.total, all.page[0].id.as_str()), (1, "lab.ann"));
    // An issuer's subject is one person's, whoever says so.
    let local = world.call(None);
    let stan = vault.link_identity(&local, ("lab", "x-eve"), person("stan"));
    stan.await.unwrap();
    assert_eq!(
        said(vault.scim_create_user(&lab, user("eve")).await),
        Some(ScimError::Uniqueness)
    );
    // What an organisation keeps is kept by it alone.
    let team = vault
        .scim_create_group(&lab, group("team", &[]))
        .await
        .unwrap();
    let local = world.call(None);
    let added = vault.add_member(&local, team.id, person("stan")).await;
    assert_eq!(
        added.map_err(|error| error.kind()),
        Err(ErrorKind::InvalidArgument)
    );
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
async fn names_and_ids_are_unique_within_an_organisation() {
    let world = World::new().await;
    let token = organisation(&world, "uni").await;
    let by = by(&world, &token).await;
    let vault = &world.vault;
    let ann = vault.scim_create_user(&by, user("ann")).await.unwrap();
    let bob = vault.scim_create_user(&by, user("bob")).await.unwrap();
    for (name, external) in [("ANN", "x-new"), ("new", "x-ann")] {
        let draft = User {
            user_name: name.to_owned(),
            external_id: Some(external.to_owned()),
            ..user("new")
        };
        let twice = Some(ScimError::Uniqueness);
        assert_eq!(
            said(vault.scim_create_user(&by, draft.clone()).await),
            twice
        );
        let change = |_: &User, _: &PrincipalId| Ok(draft.clone());
        assert_eq!(
            said(
                vault
                    .scim_change_user(&by, bob.id.as_str(), None, change)
                    .await
            ),
            twice
        );
    }
    // Her own name in another case is no other name; her principal stays.
    let renamed = |old: &User, _: &PrincipalId| {
        Ok(User {
            user_name: "ANN".to_owned(),
            ..old.clone()
        })
    };
    let found = vault
        .scim_change_user(&by, "uni.ann", Some(1), renamed)
        .await
        .unwrap();
    assert_eq!((found.id, found.revision), (ann.id, 2));
    let again = vault
        .scim_change_user(&by, "uni.ann", Some(1), renamed)
        .await;
    assert_eq!(said(again), Some(ScimError::Changed), "If-Match");
    // A name that is free again can be taken.
    let moved = |old: &User, _: &PrincipalId| {
        Ok(User {
            user_name: "anna".to_owned(),
            ..old.clone()
        })
    };
    vault
        .scim_change_user(&by, "uni.ann", None, moved)
        .await
        .unwrap();
    let new = User {
        external_id: None,
        ..user("ann")
    };
    let new = vault.scim_create_user(&by, new).await.unwrap();
    assert_eq!(new.id.as_str(), "uni.ann.2");
    let filter = |text: &str| ScimAsk {
        filter: Some(Filter::read(text).unwrap()),
        count: 9,
        ..ScimAsk::default()
    };
    for (text, expected) in [
        (r#"userName eq "ANNA""#, "uni.ann"),
        (r#"externalId eq "x-ann""#, "uni.ann"),
        (r#"id eq "uni.bob""#, "uni.bob"),
        (r#"userName sw "b""#, "uni.bob"),
        (r#"userName eq "ann""#, "uni.ann.2"),
    ] {
        let page = vault.scim_users(&by, &filter(text)).await.unwrap();
        let ids: Vec<String> = page.page.iter().map(|found| found.id.to_string()).collect();
        assert_eq!(ids, [expected], "{text}");
    }
    for text in [
        r#"userName eq "nobody""#,
        r#"id eq "olivia""#,
        r#"externalId eq "X-ANN""#,
    ] {
        assert_eq!(
            vault.scim_users(&by, &filter(text)).await.unwrap().total,
            0,
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_credential_opens_one_organisation_and_nothing_once_it_is_over() {
    let world = World::new().await;
    let token = organisation(&world, "uni").await;
    let other = organisation(&world, "lab").await;
    let vault = &world.vault;
    let refused = async |token: Option<&SecretText>| {
        let call = world.call(None);
        let refused = vault
            .teller(&call, token)
            .await
            .err()
            .map(|error| error.kind());
        assert!(refused.is_none() || call.is_recorded());
        refused
    };
    assert_eq!(refused(Some(&token)).await, None);
    let (_, secret) = token.expose().rsplit_once("uni_").unwrap();
    let (_, foreign) = other.expose().rsplit_once("lab_").unwrap();
    for wrong in [
        String::new(),
        secret.to_owned(),
        format!("kscim_uni_{foreign}"),
        format!("kscim_lab_{secret}"),
        format!("kscim_uni_{secret}x"),
        format!("kscim_none_{secret}"),
        format!("KSCIM_uni_{secret}"),
        "kscim_uni_".to_owned(),
        "k".repeat(limits::TOKEN_BYTES_MAX + 1),
    ] {
        let wrong = SecretText::new(wrong);
        assert_eq!(refused(Some(&wrong)).await, Some(ErrorKind::TokenInvalid));
    }
    assert_eq!(refused(None).await, Some(ErrorKind::TokenInvalid));
    let uni = "uni".parse().unwrap();
    let renewed = vault
        .renew_source(&world.call(None), &uni, Some(30))
        .await
        .unwrap();
    assert_eq!(refused(Some(&token)).await, Some(ErrorKind::TokenInvalid));
    let renewed = renewed.unwrap();
    assert_eq!(refused(Some(&renewed)).await, None);
    let agent = person("uni.scim");
    vault
        .suspend(&world.call(None), agent.clone(), true)
        .await
        .unwrap();
    assert_eq!(refused(Some(&renewed)).await, Some(ErrorKind::AccessDenied));
    vault
        .suspend(&world.call(None), agent, false)
        .await
        .unwrap();
    world.wait(30 * limits::DAY_MS);
    assert_eq!(refused(Some(&renewed)).await, Some(ErrorKind::TokenExpired));
    let renewed = vault
        .renew_source(&world.call(None), &uni, Some(1))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(refused(Some(&renewed)).await, None);
    vault
        .renew_source(&world.call(None), &uni, None)
        .await
        .unwrap();
    assert_eq!(refused(Some(&renewed)).await, Some(ErrorKind::TokenInvalid));
}

#[tokio::test]
async fn an_organisation_is_slowed_and_a_peer_that_guesses_is_refused_unseen() {
    let world = World::new().await;
    let token = organisation(&world, "uni").await;
    let vault = &world.vault;
    let ask = async |token: &SecretText| {
        let call = world.call(None);
        vault
            .teller(&call, Some(token))
            .await
            .err()
            .map(|error| error.kind())
    };
    let mut asked = 0;
    while ask(&token).await.is_none() {
        asked += 1;
    }
    assert_eq!(asked, limits::SCIM_BURST);
    assert_eq!(ask(&token).await, Some(ErrorKind::SlowDown));
    world.wait(1_000);
    assert_eq!(ask(&token).await, None);
    let wrong = SecretText::new("kscim_uni_guess".to_owned());
    for _ in 0..limits::ATTEMPTS_BURST {
        assert_eq!(ask(&wrong).await, Some(ErrorKind::TokenInvalid));
    }
    assert_eq!(ask(&wrong).await, Some(ErrorKind::SlowDown));
    assert_eq!(
        ask(&token).await,
        Some(ErrorKind::SlowDown),
        "right or wrong"
    );
    world.wait(1_000);
    assert_eq!(ask(&token).await, None, "one a second");
}

/// Groups that hold more than a list may look through, made where nobody has to be asked.
async fn large_groups(world: &World, team: &PrincipalId, number: usize) {
    let people: Vec<PrincipalId> = (0..limits::SCIM_MEMBERS_MAX)
        .map(|n| person(&format!("uni.p{n}")))
        .collect();
    let row = |id: &PrincipalId, kind| {
        Mutation::CreatePrincipal(PrincipalRow {
            id: id.clone(),
            kind,
            acts_for: None,
            created: world.vault.now(),
            suspended: None,
            clearance: None,
        })
    };
    let rows = people.iter().map(|id| row(id, PrincipalKind::Person));
    world.catalog.commit(rows.collect()).await.unwrap();
    let entry = world.catalog.roster(RosterKind::Team, team.as_str()).await;
    let entry = entry.unwrap();
    for number in 0..number {
        let group = person(&format!("uni.large{number}"));
        let mut changes = vec![
            row(&group, PrincipalKind::Group),
            Mutation::SetRoster {
                kind: RosterKind::Team,
                name: group.to_string(),
                was: None,
                entry: entry.clone(),
            },
        ];
        changes.extend(people.iter().map(|member| Mutation::AddMember {
            group: group.clone(),
            member: member.clone(),
        }));
        world.catalog.commit(changes).await.unwrap();
    }
}

#[tokio::test]
async fn a_list_of_groups_reads_only_so_many_members() {
    let world = World::new().await;
    let token = organisation(&world, "uni").await;
    let by = by(&world, &token).await;
    let team = world.vault.scim_create_group(&by, group("team", &[])).await;
    let team = team.unwrap().id;
    let large = limits::SCIM_PAGE_MEMBERS_MAX / limits::SCIM_MEMBERS_MAX + 1;
    large_groups(&world, &team, large).await;
    let list = async |filter: &str| {
        let ask = ScimAsk {
            filter: Some(Filter::read(filter).unwrap()),
            count: 1,
            ..ScimAsk::default()
        };
        world.vault.scim_groups(&by, &ask).await
    };
    for filter in [
        r#"members co "x""#,
        r#"members.value sw "uni" or displayName eq "x""#,
        r#"members.value eq "uni.p1" and members co "x""#,
    ] {
        let told = said(list(filter).await);
        assert_eq!(told, Some(ScimError::TooMany), "{filter}");
    }
    // Who is in which is looked up, and so is one group.
    for (filter, total) in [
        (r#"members.value eq "uni.p1""#, large),
        (r#"members[value eq "uni.p1"]"#, large),
        (r#"members.value eq "uni.nobody""#, 0),
        (r#"id eq "uni.large1" and members eq "uni.p1""#, 1),
        (r#"id eq "uni.large1" and members eq "olivia""#, 0),
        (r#"displayName eq "team""#, large + 1),
    ] {
        let listed = list(filter).await.map_err(|_refusal| filter).unwrap();
        assert_eq!(listed.total, total, "{filter}");
        assert!(
            listed
                .page
                .iter()
                .all(|found| found.what.members.is_empty())
        );
    }
}
