//! ID-7: people of different organisations are never one principal, whatever they are called.

use proptest::prelude::*;

use super::people::{by, organisation, said, user};
use super::support::World;
use crate::scim::{ScimError, User, folded};

/// Two tellings, each by an organisation about a user name.
async fn told_of(one: (&str, &str), other: (&str, &str)) {
    let world = World::new().await;
    let mut tokens = vec![(one.0, organisation(&world, one.0).await)];
    if one.0 != other.0 {
        tokens.push((other.0, organisation(&world, other.0).await));
    }
    let tell = async |(source, name): (&str, &str)| {
        let token = tokens.iter().find(|(name, _)| *name == source);
        let by = by(&world, &token.unwrap().1).await;
        let user = User {
            external_id: None,
            ..user(name)
        };
        world.vault.scim_create_user(&by, user).await
    };
    let first = tell(one).await;
    let second = tell(other).await;
    let first = first.unwrap_or_else(|_refused| panic!("{one:?}")).id;
    if (one.0, folded(one.1)) == (other.0, folded(other.1)) {
        assert_eq!(
            said(second),
            Some(ScimError::Uniqueness),
            "{one:?} {other:?}"
        );
    } else {
        let second = second.unwrap_or_else(|_refused| panic!("{other:?}")).id;
        assert_ne!(first, second, "{one:?} {other:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    #[test]
    fn id_7_two_people_are_one_principal_only_if_one_organisation_says_so(
        sources in prop::sample::select(vec![("uni", "uni"), ("uni", "lab"), ("uni", "uni-a")]),
        one in "[aA][nN]{0,2}[.@_-]?[a2]?", other in "[aA][nN]{0,2}[.@_-]?[a2]?",
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(told_of((sources.0, &one), (sources.1, &other)));
    }
}
