//! Who is shown erasures and their certificates, which list keys of what is gone.

use std::sync::Arc;

use super::keywork::{ask, bucket, object, stocked};
use super::support::World;
use crate::types::ProjectName;
use crate::vault::{Assured, Bounds, Call, Rests, Word};

/// A person's session for one project.
fn within(world: &World, who: &str, project: &str) -> Call {
    let bounds = Bounds {
        project: Some(project.parse().unwrap()),
        dataset: None,
        version: None,
        purpose: None,
        assured: Assured::default(),
        expires: world.vault.now().plus_millis(3_600_000),
        rests: Rests::Word(Word {
            issuer: "sram".to_owned(),
            subject: "o|1".to_owned(),
            through: Vec::new(),
            visas: Vec::new(),
        }),
    };
    Call {
        bounds: Some(Arc::new(bounds)),
        ..world.call(Some(who))
    }
}

#[tokio::test]
async fn a_session_of_another_project_is_shown_no_erasure_of_its_persons() {
    let world = stocked().await;
    let call = world.call(None);
    let (place, agreed) = (bucket(), ask(object("a")));
    let erased = world.vault.erase_agreed(&call, &place, agreed);
    let row = erased.await.unwrap();
    let who = row.persons[0].as_str();
    let icu: ProjectName = "icu".parse().unwrap();
    for (project, shown) in [("icu", true), ("lab", false)] {
        let list = within(&world, who, project);
        let listed = world.vault.erasures(&list, &icu).await;
        assert_eq!(listed.is_ok_and(|rows| rows.len() == 1), shown, "{project}");
        let one = within(&world, who, project);
        let told = world.vault.certificate(&one, (&icu, row.id)).await;
        assert_eq!(told.is_ok(), shown, "{project}");
        assert!(list.is_recorded() && one.is_recorded());
    }
}
