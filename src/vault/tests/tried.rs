//! A grant that is only tried: judged as one that is made, recorded, and not made.

use super::support::{World, kind};
use crate::policy::{Grant, Standing};
use crate::types::{Action, GrantId, ProjectName};
use crate::vault::ErrorKind;

async fn grants(world: &World) -> usize {
    let icu: ProjectName = "icu".parse().unwrap();
    let all = world.vault.catalog().grants(&icu, 1_000).await.unwrap();
    all.len()
}

#[tokio::test]
async fn what_is_tried_is_told_as_it_would_be_and_not_made() {
    let world = World::new().await;
    let before = grants(&world).await;
    let olivia = world.call(Some("olivia"));
    let draft = world.draft("stan", "reader");
    let tried = world.vault.try_grant(&olivia, draft.clone(), false).await;
    let tried = tried.unwrap();
    assert_eq!(tried.terms.standing, Standing::Approved);
    assert!(tried.terms.lapses.is_some(), "as it would be");
    let tried = world.vault.try_grant(&olivia, draft, true).await.unwrap();
    assert_eq!(tried.terms.standing, Standing::Proposed);
    assert_eq!(grants(&world).await, before);
}

#[tokio::test]
async fn az_3_who_may_not_make_it_may_not_try_it() {
    let world = World::new().await;
    for who in ["stan", "dirk"] {
        let draft = Grant {
            approver: who.parse().unwrap(),
            ..world.draft("stan", "reader")
        };
        let call = world.call(Some(who));
        let tried = world.vault.try_grant(&call, draft.clone(), false).await;
        let made = world.vault.create_grant(&call, draft).await;
        let denied = Some(ErrorKind::AccessDenied);
        assert_eq!((kind(tried), kind(made)), (denied, denied), "{who}");
    }
    let olivia = world.call(Some("olivia"));
    let open = Grant {
        purpose: None,
        ..world.draft("stan", "reader")
    };
    let mut absent = world.draft("stan", "reader");
    absent.dataset = Some("no-such".parse().unwrap());
    let nobody = world.draft("no.such", "reader");
    for slip in [open, absent, nobody] {
        for propose in [false, true] {
            let tried = world.vault.try_grant(&olivia, slip.clone(), propose).await;
            assert_eq!(kind(tried), Some(ErrorKind::InvalidArgument), "{slip:?}");
        }
    }
}

/// A reader may ask for a grant. Whether there is such a person is not said to her.
#[tokio::test]
async fn a_try_of_a_proposal_names_nobody_to_who_could_not_make_it() {
    let world = World::new().await;
    let ruben = world.call(Some("ruben"));
    for to in ["stan", "no.such"] {
        let draft = Grant {
            dataset: Some("ecg".parse().unwrap()),
            approver: "ruben".parse().unwrap(),
            ..world.draft(to, "reader")
        };
        let tried = world.vault.try_grant(&ruben, draft, true).await;
        assert_eq!(kind(tried), None, "{to}");
    }
}

#[tokio::test]
async fn a_grant_reaches_what_its_role_and_its_terms_let() {
    let world = World::new().await;
    let draft = || Grant {
        id: GrantId::from_bytes([1; 16]),
        ..world.draft("stan", "contributor")
    };
    let reach = |grant: &Grant| world.vault.reach(grant);
    let all = reach(&draft());
    assert!(all.contains(&Action::ObjectWrite) && !all.contains(&Action::GrantManage));
    let mut narrow = draft();
    narrow.terms.actions = vec![Action::ObjectRead, Action::LogRead];
    assert_eq!(
        reach(&narrow),
        [Action::ObjectRead],
        "nothing that its role lacks"
    );
    let mut version = draft();
    version.terms.version = Some(3);
    assert!(reach(&version).iter().all(|action| action.only_reads()));
    let unknown = Grant {
        role: "king".to_owned(),
        ..draft()
    };
    assert!(reach(&unknown).is_empty());
}
