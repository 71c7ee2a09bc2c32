//! Persons made here whom an organisation adopts, and organisations that share an issuer (ID-7).

use super::people::{by, organisation, organisation_at, said, user};
use super::support::{World, kind};
use crate::catalog::{Linking, Mutation, RosterEntry, RosterKind, RosterRow};
use crate::scim::{Group, ScimError, User};
use crate::types::{PrincipalId, SecretText};
use crate::vault::{Adoption, ErrorKind, ScimAsk, VaultError};

fn person(name: &str) -> PrincipalId {
    name.parse().unwrap()
}

const REFUSED: Option<ErrorKind> = Some(ErrorKind::InvalidArgument);

/// Stan, whom `uni` is to call so.
async fn adopt(world: &World, name: &str, external: Option<&str>) -> Result<(), VaultError> {
    adopt_one(world, "stan", ("uni", name, external)).await
}

async fn adopt_one(
    world: &World,
    who: &str,
    (source, name, external): (&str, &str, Option<&str>),
) -> Result<(), VaultError> {
    let adoption = Adoption {
        source: source.parse().unwrap(),
        user_name: name.to_owned(),
        external_id: external.map(str::to_owned),
    };
    let call = world.call(None);
    world.vault.scim_adopt(&call, person(who), adoption).await
}

async fn whose(world: &World, issuer: &str, subject: &str) -> Option<String> {
    let link = world.vault.catalog().identity(issuer, subject).await;
    link.unwrap().map(|link| link.principal.to_string())
}

async fn listed(world: &World, token: &SecretText) -> Vec<String> {
    let ask = ScimAsk {
        count: 100,
        ..ScimAsk::default()
    };
    let by = by(world, token).await;
    let page = world.vault.scim_users(&by, &ask).await.unwrap().page;
    page.iter().map(|found| found.id.to_string()).collect()
}

async fn may_head(world: &World, who: &str) -> Option<ErrorKind> {
    let call = world.call(Some(who));
    kind(
        world
            .vault
            .head_dataset(&call, super::support::BUCKET)
            .await,
    )
}

#[tokio::test]
async fn an_adopted_person_keeps_what_she_has_and_falls_with_her_organisation() {
    let world = World::new().await;
    let uni = organisation(&world, "uni").await;
    world.grant("stan", "reader").await;
    assert_eq!(may_head(&world, "stan").await, None);
    adopt(&world, "Stan@Uni", Some("4711")).await.unwrap();
    assert_eq!(may_head(&world, "stan").await, None, "hers as before");
    assert_eq!(whose(&world, "sram", "4711").await.as_deref(), Some("stan"));
    // The organisation finds him, lists him, puts him into its groups.
    let vault = &world.vault;
    let teller = by(&world, &uni).await;
    assert_eq!(listed(&world, &uni).await, ["stan"]);
    let found = vault.scim_user(&teller, "stan").await.unwrap();
    assert_eq!(found.what.user_name, "Stan@Uni");
    let again = vault.scim_create_user(&teller, user("stan@uni")).await;
    assert_eq!(said(again), Some(ScimError::Uniqueness), "he is there");
    let team = Group {
        display_name: "team".to_owned(),
        external_id: None,
        members: vec![person("stan")],
    };
    vault.scim_create_group(&teller, team).await.unwrap();
    // It may say that he is not active, never that he is somebody else.
    let other = |old: &User, _: &PrincipalId| {
        Ok(User {
            external_id: Some("9".to_owned()),
            ..old.clone()
        })
    };
    let nobody = |old: &User, _: &PrincipalId| {
        Ok(User {
            external_id: None,
            ..old.clone()
        })
    };
    let changed = vault.scim_change_user(&teller, "stan", None, other).await;
    assert_eq!(said(changed), Some(ScimError::Mutability));
    let changed = vault.scim_change_user(&teller, "stan", None, nobody).await;
    assert_eq!(said(changed), Some(ScimError::Mutability));
    assert_eq!(whose(&world, "sram", "9").await, None);
    let inactive = |old: &User, _: &PrincipalId| {
        Ok(User {
            active: false,
            ..old.clone()
        })
    };
    let changed = vault.scim_change_user(&teller, "stan", None, inactive);
    changed.await.unwrap();
    let denied = Some(ErrorKind::AccessDenied);
    assert_eq!(may_head(&world, "stan").await, denied);
    // Deleted he is suspended, and nobody's any more.
    vault.scim_delete_user(&teller, "stan", None).await.unwrap();
    assert!(listed(&world, &uni).await.is_empty());
    assert_eq!(whose(&world, "sram", "4711").await, None);
    assert_eq!(kind(adopt(&world, "stan@uni", Some("4711")).await), REFUSED);
    let host = world.call(None);
    vault.suspend(&host, person("stan"), false).await.unwrap();
    adopt(&world, "stan@uni", Some("4711")).await.unwrap();
    assert_eq!(may_head(&world, "stan").await, None);
}

#[tokio::test]
async fn id_7_whoever_is_somebodys_already_is_not_adopted() {
    let world = World::new().await;
    let uni = organisation(&world, "uni").await;
    let teller = by(&world, &uni).await;
    let vault = &world.vault;
    vault.scim_create_user(&teller, user("ann")).await.unwrap();
    let host = || world.call(None);
    let link = async |subject: &str, who: &str| {
        let call = host();
        let linked = vault.link_identity(&call, ("sram", subject), person(who));
        linked.await.unwrap();
    };
    link("hers", "ruben").await;
    for (name, external, why) in [
        ("ann", Some("new"), "the name means another one"),
        ("ANN", Some("new"), "in whatever case"),
        ("stan", Some("x-ann"), "the external id means another one"),
        ("stan", Some("hers"), "the subject is another one's"),
        ("stan", None, "the organisation would say it later"),
        ("no name", Some("new"), "a name that is none"),
        ("stan", Some("new\n"), "an id that is none"),
    ] {
        let adopted = adopt(&world, name, external).await;
        assert_eq!(kind(adopted), REFUSED, "{why}");
    }
    for who in ["uni.ann", "nobody", "job-1", "uni.scim"] {
        let adopted = adopt_one(&world, who, ("uni", "new", Some("new"))).await;
        assert_eq!(kind(adopted), REFUSED, "{who}");
    }
    let adopted = adopt_one(&world, "stan", ("lab", "new", Some("new"))).await;
    assert_eq!(kind(adopted), REFUSED, "no such organisation");
    // Linked by hand to another subject there: who is who is not for a name to say.
    let adopted = adopt_one(&world, "ruben", ("uni", "ruben", Some("other"))).await;
    assert_eq!(kind(adopted), REFUSED);
    assert_eq!(
        listed(&world, &uni).await,
        ["uni.ann"],
        "nothing came of it"
    );
    assert_eq!(whose(&world, "sram", "new").await, None);
    // To the very same one: it is him.
    let adopted = adopt_one(&world, "ruben", ("uni", "ruben", Some("hers"))).await;
    adopted.unwrap();
    // And nobody is told of by two.
    organisation(&world, "lab").await;
    let adopted = adopt_one(&world, "ruben", ("lab", "ruben", Some("2"))).await;
    assert_eq!(kind(adopted), REFUSED);
    vault
        .renew_source(&host(), &"lab".parse().unwrap(), None)
        .await
        .unwrap();
    let adopted = adopt_one(&world, "stan", ("lab", "stan", Some("2"))).await;
    assert_eq!(kind(adopted), REFUSED, "an organisation that has ended");
}

/// A principal whose name begins like an organisation's people, and whom another one adopted.
#[tokio::test]
async fn an_adopted_person_is_shown_to_her_organisation_alone() {
    let world = World::new().await;
    let (uni, lab) = (
        organisation(&world, "uni").await,
        organisation(&world, "lab").await,
    );
    let host = world.call(None);
    for name in ["uni.zed", "lab.yan"] {
        let made = world.vault.create_principal(&host, person(name), None);
        made.await.unwrap();
    }
    for (who, source) in [("uni.zed", "lab"), ("lab.yan", "lab")] {
        let adopted = adopt_one(&world, who, (source, who, Some(who))).await;
        adopted.unwrap();
    }
    assert!(listed(&world, &uni).await.is_empty());
    assert_eq!(listed(&world, &lab).await, ["lab.yan", "uni.zed"]);
    let teller = by(&world, &uni).await;
    let seen = world.vault.scim_user(&teller, "uni.zed").await;
    assert_eq!(said(seen), Some(ScimError::Absent));
    let ended = world.vault.scim_delete_user(&teller, "uni.zed", None).await;
    assert_eq!(said(ended), Some(ScimError::Absent));
}

#[tokio::test]
async fn id_7_no_organisation_links_a_subject_that_another_of_its_issuer_expects() {
    let world = World::new().await;
    let uni = organisation(&world, "uni").await;
    let taken = organisation_at(&world, "lab", Some("sram")).await;
    assert_eq!(taken.err(), Some(ErrorKind::InvalidArgument));
    // Without the issuer it tells of its people, whom somebody links by hand.
    let lab = organisation_at(&world, "lab", None).await.unwrap();
    let vault = &world.vault;
    let teller = by(&world, &lab).await;
    vault.scim_create_user(&teller, user("ann")).await.unwrap();
    assert_eq!(whose(&world, "sram", "x-ann").await, None);
    let first = by(&world, &uni).await;
    let ann = vault.scim_create_user(&first, user("ann")).await.unwrap();
    let ann = ann.id.to_string();
    assert_eq!(whose(&world, "sram", "x-ann").await, Some(ann));
    // One that has ended makes room, and does not come back while another is there.
    let (host, name) = (world.call(None), "uni".parse().unwrap());
    vault.renew_source(&host, &name, None).await.unwrap();
    organisation_at(&world, "med", Some("sram")).await.unwrap();
    let back = vault.renew_source(&host, &name, Some(30)).await;
    assert_eq!(kind(back.map(drop)), REFUSED);
}

/// A vault of before, in which two link at one issuer: the later one links nobody new.
#[tokio::test]
async fn id_7_of_two_that_link_at_one_issuer_the_first_is_believed() {
    let world = World::new().await;
    let uni = organisation(&world, "uni").await;
    world.wait(1_000);
    let lab = organisation_at(&world, "lab", None).await.unwrap();
    let catalog = world.vault.catalog();
    let entry = catalog.roster(RosterKind::Source, "lab").await.unwrap();
    let entry = entry.unwrap();
    let RosterRow::Source(mut row) = entry.row else {
        panic!("another row");
    };
    row.issuer = Some("sram".to_owned());
    row.linking = Linking::ExternalId;
    let change = Mutation::SetRoster {
        kind: RosterKind::Source,
        name: "lab".to_owned(),
        was: Some(entry.revision),
        entry: Some(RosterEntry {
            revision: entry.revision + 1,
            row: RosterRow::Source(row),
        }),
    };
    catalog.commit(vec![change]).await.unwrap();
    let vault = &world.vault;
    let teller = by(&world, &lab).await;
    let taken = vault.scim_create_user(&teller, user("ann")).await;
    assert_eq!(said(taken), Some(ScimError::Uniqueness));
    assert_eq!(whose(&world, "sram", "x-ann").await, None);
    let adopted = adopt_one(&world, "stan", ("lab", "stan", Some("s"))).await;
    assert_eq!(kind(adopted), REFUSED);
    // Whom it does not link it tells of.
    let plain = User {
        external_id: None,
        ..user("bob")
    };
    let bob = vault.scim_create_user(&teller, plain).await.unwrap();
    let link = |old: &User, _: &PrincipalId| {
        Ok(User {
            external_id: Some("x-ann".to_owned()),
            ..old.clone()
        })
    };
    let linked = vault.scim_change_user(&teller, bob.id.as_str(), None, link);
    assert_eq!(said(linked.await), Some(ScimError::Uniqueness));
    let first = by(&world, &uni).await;
    vault.scim_create_user(&first, user("ann")).await.unwrap();
}

/// An operator unlinks a subject that was the wrong one, or moves it: no change of hers undoes
/// that, and none is refused for it.
#[tokio::test]
async fn what_was_unlinked_by_hand_stays_so_and_hinders_no_change() {
    let world = World::new().await;
    let uni = organisation(&world, "uni").await;
    adopt(&world, "stan@uni", Some("4711")).await.unwrap();
    let teller = by(&world, &uni).await;
    let vault = &world.vault;
    let ann = User {
        external_id: Some("12".to_owned()),
        ..user("ann")
    };
    let ann = vault.scim_create_user(&teller, ann).await.unwrap().id;
    assert_eq!(whose(&world, "sram", "12").await, Some(ann.to_string()));
    for subject in ["4711", "12"] {
        let call = world.call(None);
        let unlinked = vault.unlink_identity(&call, ("sram", subject)).await;
        unlinked.unwrap();
    }
    // Ann's is somebody else's by now.
    let call = world.call(None);
    let linked = vault.link_identity(&call, ("sram", "12"), person("ruben"));
    linked.await.unwrap();
    let renamed = |old: &User, _: &PrincipalId| {
        Ok(User {
            display_name: Some("new".to_owned()),
            active: false,
            ..old.clone()
        })
    };
    for who in ["stan", ann.as_str()] {
        let changed = vault.scim_change_user(&teller, who, None, renamed).await;
        assert_eq!(said(changed), None, "{who}");
        assert!(may_head(&world, who).await.is_some(), "{who} is not active");
    }
    assert_eq!(whose(&world, "sram", "4711").await, None);
    assert_eq!(whose(&world, "sram", "12").await.as_deref(), Some("ruben"));
}
