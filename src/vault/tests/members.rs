//! Who is in a group is told to whoever grants to it, and to nobody else.

use super::support::{World, kind};
use crate::types::{PrincipalId, ProjectName};
use crate::vault::{ErrorKind, Members, VaultError};

const DENIED: Option<ErrorKind> = Some(ErrorKind::AccessDenied);

fn name(text: &str) -> PrincipalId {
    text.parse().unwrap()
}

/// Ruben and his job read through `readers`, which holds nothing yet; lara owns `lab`.
async fn stage() -> World {
    let world = World::new().await;
    let local = world.call(None);
    let vault = &world.vault;
    vault.create_group(&local, name("readers")).await.unwrap();
    for member in ["ruben", "job-1"] {
        let local = world.call(None);
        let added = vault.add_member(&local, name("readers"), name(member));
        added.await.unwrap();
    }
    let local = world.call(None);
    let lara = vault.create_principal(&local, name("lara"), None);
    lara.await.unwrap();
    let local = world.call(None);
    let lab: ProjectName = "lab".parse().unwrap();
    vault.create_project(&local, lab.clone()).await.unwrap();
    let mut first = world.draft("lara", "owner");
    (first.project, first.approver) = (lab, name("lara"));
    world.make_grant(first).await.unwrap();
    world
}

async fn told(world: &World, who: &str, project: &str, group: &str) -> Result<Members, VaultError> {
    let call = world.call(Some(who));
    let place = (&project.parse().unwrap(), &name(group));
    let seen = world.vault.members(&call, place, None).await;
    assert!(call.is_recorded(), "told or refused, it is in the log");
    seen
}

async fn sees(world: &World, who: &str) -> Option<ErrorKind> {
    kind(told(world, who, "icu", "readers").await)
}

#[tokio::test]
async fn an_owner_sees_who_is_in_a_group_that_she_grants_to() {
    let world = stage().await;
    assert_eq!(
        sees(&world, "olivia").await,
        DENIED,
        "it holds nothing here"
    );
    let id = world.grant("readers", "reader").await;
    let seen = told(&world, "olivia", "icu", "readers").await.unwrap();
    let who = seen.members.iter().map(|member| {
        let person = member.acts_for.as_ref().map(PrincipalId::as_str);
        (member.principal.as_str(), person)
    });
    let expected = [("job-1", Some("ruben")), ("ruben", None)];
    assert_eq!(who.collect::<Vec<_>>(), expected);
    assert!(!seen.more && seen.claims.is_empty() && seen.organisation.is_none());
    // Who may come into it by what her session claims is nobody by name.
    let local = world.call(None);
    let claim = ("sram", "urn:readers");
    let mapped = world.vault.map_claim(&local, claim, name("readers"));
    mapped.await.unwrap();
    let seen = told(&world, "olivia", "icu", "readers").await.unwrap();
    assert_eq!(seen.claims, [("sram".to_owned(), "urn:readers".to_owned())]);
    let call = world.call(Some("olivia"));
    let place = (&"icu".parse().unwrap(), &name("readers"));
    let rest = world
        .vault
        .members(&call, place, Some(&name("job-1")))
        .await;
    assert_eq!(
        rest.unwrap().members.len(),
        1,
        "a page begins behind a name"
    );
    let (local, project) = (world.call(None), "icu".parse().unwrap());
    let withdrawn = world.vault.revoke_grant(&local, (&project, id), None);
    withdrawn.await.unwrap();
    world.wait(100);
    assert_eq!(sees(&world, "olivia").await, DENIED, "nor any more");
}

#[tokio::test]
async fn a_group_that_is_proposed_for_a_grant_is_seen_before_it_has_it() {
    let world = stage().await;
    let mut proposal = world.draft("readers", "reader");
    let call = world.call(Some("ruben"));
    proposal.approver = name("ruben");
    world.vault.propose_grant(&call, proposal).await.unwrap();
    assert_eq!(sees(&world, "olivia").await, None);
    assert_eq!(
        sees(&world, "ruben").await,
        DENIED,
        "who asks for it learns nothing"
    );
}

#[tokio::test]
async fn nobody_else_learns_who_is_in_a_group_nor_that_there_is_one() {
    let world = stage().await;
    let _id = world.grant("readers", "reader").await;
    for who in ["ruben", "dirk", "anna", "stan", "job-1", "lara"] {
        assert_eq!(sees(&world, who).await, DENIED, "{who}");
    }
    // An owner elsewhere, of the same group; and what is no group, or not there.
    for (who, project, group) in [
        ("lara", "lab", "readers"),
        ("olivia", "lab", "readers"),
        ("olivia", "none", "readers"),
        ("olivia", "icu", "nobody"),
        ("olivia", "icu", "ruben"),
        ("olivia", "icu", "stan"),
    ] {
        let seen = kind(told(&world, who, project, group).await);
        assert_eq!(seen, DENIED, "{who} {project} {group}");
    }
    // Of one dataset: who manages that one, and no other.
    let mut narrow = world.draft("stan", "owner");
    narrow.dataset = Some("mri".parse().unwrap());
    world.make_grant(narrow).await.unwrap();
    world.wait(100);
    assert_eq!(
        sees(&world, "stan").await,
        DENIED,
        "it reads all of the project"
    );
    let mut there = world.draft("readers", "reader");
    there.dataset = Some("mri".parse().unwrap());
    world.make_grant(there).await.unwrap();
    world.wait(100);
    assert_eq!(sees(&world, "stan").await, None);
    let (local, olivia) = (world.call(None), name("olivia"));
    world.vault.suspend(&local, olivia, true).await.unwrap();
    world.wait(100);
    assert_eq!(sees(&world, "olivia").await, DENIED, "suspended");
    // The host looks at its own catalog, and is nobody here.
    let place = (&"icu".parse().unwrap(), &name("readers"));
    let seen = world.vault.members(&world.call(None), place, None).await;
    assert_eq!(kind(seen), DENIED);
}
