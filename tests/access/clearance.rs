//! AZ-13: an owner in all but her clearance is refused whatever is asked about a dataset, by
//! whatever door: **every operation is asked** that is not of a project alone.

use crate::table::{Else, check, fill, operations, request};
use crate::world::{Keys, World, asked, name};

/// What is of the project, or of its people: no dataset's label is above that. A grant opens
/// nothing to whom it is for beyond her own clearance.
const OF_THE_PROJECT: [&str; 12] = [
    "SetDefaults",
    "CreateBucket",
    "CreateDataset",
    "CreateGrant",
    "ListGrants",
    "ListMembers",
    "GetGrant",
    "ApproveGrant",
    "ConfirmGrant",
    "WithdrawGrant",
    "GetLogTerms",
    "SetLogTerms",
];
const APPROVALS: &str = "/.kluis/v1/projects/icu/approvals";
const RECORDS: &str = "/.kluis/v1/projects/icu/records";

async fn clear(world: &World, who: &str, label: Option<&str>) {
    let label = label.map(|label| label.parse().expect("a label"));
    let cleared = world.vault.clear(&world.local(), name(who), label).await;
    cleared.expect("cleared");
}

/// Olivia clears herself for all and labels a dataset `secret`.
async fn raise(world: &World, olivia: &Keys, bucket: &str) {
    let uri = format!("/.kluis/v1/datasets/{bucket}");
    let raise = asked("POST", uri).body(r#"{"label": "secret"}"#);
    let got = world.serve(Some(olivia), &raise).await;
    assert_eq!(got.status, 200, "{}", got.body);
}

#[tokio::test]
async fn below_clearance_everything_about_a_dataset_is_refused() {
    let world = World::with_records().await;
    let olivia = world.keys("olivia", None).await;
    let there = fill(&world, &olivia).await;
    let low = world.member("lowen", "owner").await;
    clear(&world, "olivia", Some("secret")).await;
    for bucket in ["icu--ecg", "icu--locked", "icu--empty"] {
        raise(&world, &olivia, bucket).await;
    }
    let all = operations();
    for name in OF_THE_PROJECT {
        assert!(all.contains(&name), "{name}");
    }
    for operation in all {
        if OF_THE_PROJECT.contains(&operation) {
            continue;
        }
        let (request, expected) = request(operation, &there).expect("in the table");
        let expected = match expected {
            Else::OfTheLog => Else::Refused,
            Else::Refused | Else::Nothing | Else::Herself => expected,
        };
        let got = world.serve(Some(&low), &request).await;
        check("below clearance", operation, expected, &got);
    }
    let read = asked("GET", "/icu--ecg/secret-key");
    assert_eq!(world.serve(Some(&olivia), &read).await.status, 200);
}

/// Both persons are judged as the act is done, and who signed an erasure reads its list no longer
/// than she is cleared for what stood in it.
#[tokio::test]
async fn an_act_above_the_clearance_of_who_signed_is_not_done() {
    let world = World::new().await;
    let olivia = world.keys("olivia", None).await;
    let there = fill(&world, &olivia).await;
    clear(&world, "olivia", Some("secret")).await;
    clear(&world, "oscar", Some("secret")).await;
    raise(&world, &olivia, "icu--ecg").await;
    let glass = asked("POST", format!("{APPROVALS}/{}/break-glass", there.glass));
    let erase = asked("POST", format!("{APPROVALS}/{}/erase", there.erasure));
    let list = asked("GET", "/.kluis/v1/projects/icu/erasures");
    let listed = async || world.serve(Some(&olivia), &list).await.body;
    assert!(listed().await.contains("secret-other"));
    for who in ["olivia", "oscar"] {
        clear(&world, who, None).await;
        for act in [&glass, &erase] {
            let got = world.serve(Some(&olivia), act).await;
            assert_eq!(got.status, 403, "{who} {}: {}", act.uri, got.body);
        }
        assert_eq!(listed().await.contains("secret-other"), who != "olivia");
        clear(&world, who, Some("secret")).await;
    }
    for act in [glass, erase] {
        let got = world.serve(Some(&olivia), &act).await;
        assert!(got.status < 300, "{}: {} {}", act.uri, got.status, got.body);
    }
}

/// An owner's look at the log leaves out what is above her clearance. A label hides nothing from
/// the auditor: an owner could keep her out by it.
#[tokio::test]
async fn a_label_hides_records_from_owners_and_not_from_auditors() {
    let world = World::with_records().await;
    let olivia = world.keys("olivia", None).await;
    for uri in [
        "/icu--ecg",
        "/icu--mri",
        "/icu--ecg/in-ecg",
        "/icu--mri/in-mri",
    ] {
        let got = world.serve(Some(&olivia), &asked("PUT", uri)).await;
        assert_eq!(got.status, 200, "{}", got.body);
    }
    let copy = asked("PUT", "/icu--mri/copied").with("x-amz-copy-source", "/icu--ecg/in-ecg");
    let oscar = world.member("oscar", "owner").await;
    world.grant(world.draft("oscar", "exporter")).await;
    assert_eq!(world.serve(Some(&oscar), &copy).await.status, 200);
    let low = world.member("lowen", "owner").await;
    let anna = world.member("anna", "auditor").await;
    let told = async |who: &Keys, query: &str| {
        world.settled().await;
        let uri = format!("{RECORDS}{query}");
        let got = world.serve(Some(who), &asked("GET", uri)).await;
        let shows = |key: &str| got.body.contains(key);
        (got.status, shows("in-ecg"), shows("in-mri"))
    };
    assert_eq!(told(&low, "").await, (200, true, true));
    clear(&world, "olivia", Some("secret")).await;
    raise(&world, &olivia, "icu--ecg").await;
    assert_eq!(told(&low, "").await, (200, false, true));
    assert_eq!(told(&low, "?dataset=ecg").await, (403, false, false));
    assert_eq!(told(&low, "?dataset=mri").await, (200, false, true));
    for who in [&olivia, &anna] {
        assert_eq!(told(who, "").await, (200, true, true));
        assert_eq!(told(who, "?dataset=ecg").await.0, 200);
    }
}
