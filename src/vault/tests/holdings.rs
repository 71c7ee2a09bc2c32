//! Who is shown to hold what over a dataset.

use super::support::{BUCKET, World};
use crate::policy::{Grant, GrantEffect, Terms};
use crate::types::{Action, PrincipalId};

/// For whom there are statements, and of how many actions.
async fn shown(world: &World) -> Vec<(PrincipalId, bool, usize)> {
    let call = world.call(Some("olivia"));
    let held = world.vault.holdings(&call, BUCKET).await.unwrap();
    let mut shown: Vec<_> = held
        .into_iter()
        .map(|held| (held.principal, held.denies, held.actions.len()))
        .collect();
    shown.sort();
    shown
}

#[tokio::test]
async fn nothing_is_shown_that_is_not_in_force_or_that_allows_less() {
    let world = World::new().await;
    let before = shown(&world).await;
    let draft = || world.draft("stan", "reader");
    let proposed = world
        .vault
        .propose_grant(&world.call(Some("olivia")), draft())
        .await
        .unwrap();
    let day = 86_400_000;
    let terms = |change: fn(&mut Terms)| {
        let mut grant = draft();
        change(&mut grant.terms);
        grant
    };
    let over = Grant {
        expires: Some(world.vault.now().plus_millis(day)),
        ..draft()
    };
    let version = Grant {
        dataset: Some("ecg".parse().unwrap()),
        ..terms(|terms| terms.version = Some(1))
    };
    let network = terms(|terms| terms.networks = vec!["10.0.0.0/8".parse().unwrap()]);
    let partition = terms(|terms| terms.partitions = vec!["gpu".parse().unwrap()]);
    for grant in [over, version, network, partition] {
        world.make_grant(grant).await.unwrap();
    }
    world.wait(day);
    assert_eq!(shown(&world).await, before);
    // Once it is approved it is; one for an action alone shows that one; a denial is shown at once.
    let call = world.call(Some("olivia"));
    let place = (&proposed.project, proposed.id);
    world.vault.approve_grant(&call, place, None).await.unwrap();
    let one = terms(|terms| terms.actions = vec![Action::ObjectHead]);
    world.make_grant(one).await.unwrap();
    let denial = Grant {
        effect: GrantEffect::Deny,
        ..terms(|terms| terms.networks = vec!["10.0.0.0/8".parse().unwrap()])
    };
    world.make_grant(denial).await.unwrap();
    let after = shown(&world).await;
    let new: Vec<_> = after.iter().filter(|told| !before.contains(told)).collect();
    assert_eq!(new.len(), 3, "{new:?}");
    assert!(
        new.iter()
            .any(|(_, denies, actions)| !denies && *actions == 1)
    );
    assert!(
        new.iter()
            .any(|(_, denies, actions)| !denies && *actions > 1)
    );
    assert!(
        new.iter()
            .any(|(_, denies, actions)| *denies && *actions > 1)
    );
}
