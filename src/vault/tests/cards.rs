//! UP-6, AZ-13, ER-2: what is said of a dataset, and what follows from it.

use futures_util::StreamExt as _;

use super::support::*;
use crate::catalog::{CardDefaults, Stage};
use crate::types::{ActKind, ApprovalId, BucketName, Label, Timestamp, limits};
use crate::vault::{
    ActDraft, CardChange, CopySource, Described, ErrorKind, NewObject, Place, Span, VaultError,
    WriteConditions,
};

fn bucket(name: &str) -> BucketName {
    BucketName {
        project: "icu".parse().unwrap(),
        dataset: name.parse().unwrap(),
    }
}

fn label(name: &str) -> Label {
    name.parse().unwrap()
}

pub(super) async fn set(
    world: &World,
    who: &str,
    change: CardChange,
) -> Result<Described, ErrorKind> {
    set_of(world, who, "ecg", change).await
}

async fn set_of(
    world: &World,
    who: &str,
    dataset: &str,
    change: CardChange,
) -> Result<Described, ErrorKind> {
    let call = world.call(Some(who));
    let told = world
        .vault
        .set_card(&call, &bucket(dataset), change, None)
        .await;
    assert!(call.is_recorded(), "set or refused, it is in the log");
    told.map_err(|error| error.kind())
}

pub(super) fn to(name: &str) -> CardChange {
    CardChange {
        label: Some(label(name)),
        ..CardChange::default()
    }
}

async fn clear(world: &World, who: &str, name: Option<&str>) {
    let call = world.call(None);
    let done = world
        .vault
        .clear(&call, who.parse().unwrap(), name.map(label))
        .await;
    done.unwrap();
}

/// Oscar, an owner beside olivia; all three who read are cleared for everything.
pub(super) async fn world() -> World {
    let world = World::new().await;
    let local = world.call(None);
    world
        .vault
        .create_principal(&local, "oscar".parse().unwrap(), None)
        .await
        .unwrap();
    world.grant("oscar", "owner").await;
    for who in ["olivia", "oscar"] {
        clear(&world, who, Some("secret")).await;
    }
    world.put("olivia", "a", b"bytes").await.unwrap();
    world
}

/// A dataset of which nothing is said, in a project without defaults.
async fn bare() -> World {
    let world = World::empty();
    let local = world.call(None);
    world
        .vault
        .create_project(&local, "icu".parse().unwrap())
        .await
        .unwrap();
    world
        .vault
        .create_principal(&local, "olivia".parse().unwrap(), None)
        .await
        .unwrap();
    world.grant("olivia", "owner").await;
    let call = world.call(Some("olivia"));
    world
        .vault
        .create_dataset(&call, BUCKET, false)
        .await
        .unwrap();
    world
}

fn whole() -> CardChange {
    CardChange {
        owner: Some("olivia".parse().unwrap()),
        label: Some(label("internal")),
        source: Some("icu monitors".to_owned()),
        basis: Some("consent".to_owned()),
        ends: Some(Timestamp::from_millis(2_000_000_000_000)),
        ..CardChange::default()
    }
}

#[tokio::test]
async fn up_6_nothing_is_taken_before_all_is_said() {
    let world = bare().await;
    let before = world.blobs().await;
    let refused = world.put("olivia", "a", b"bytes").await;
    assert_eq!(kind(refused), Some(ErrorKind::NotDescribed));
    let call = world.call(Some("olivia"));
    let begun = world
        .vault
        .create_upload(&call, place("a"), NewObject::default(), None)
        .await;
    assert_eq!(kind(begun), Some(ErrorKind::NotDescribed));
    assert_eq!(world.blobs().await, before, "not a byte");
    // Whatever one of the five lacks.
    let cuts: [fn(&mut CardChange); 5] = [
        |change| change.owner = None,
        |change| change.label = None,
        |change| change.source = None,
        |change| change.basis = None,
        |change| change.ends = None,
    ];
    for (number, cut) in cuts.into_iter().enumerate() {
        let mut change = whole();
        cut(&mut change);
        assert_eq!(
            set(&world, "olivia", change).await.unwrap_err(),
            ErrorKind::InvalidArgument,
            "{number}"
        );
        assert_eq!(
            kind(world.put("olivia", "a", b"b").await),
            Some(ErrorKind::NotDescribed)
        );
    }
    set(&world, "olivia", whole()).await.unwrap();
    world.put("olivia", "a", b"bytes").await.unwrap();
}

#[tokio::test]
async fn up_6_what_is_said_means_something() {
    let world = bare().await;
    let bends: [fn(&mut CardChange); 7] = [
        |change| change.owner = Some("nobody".parse().unwrap()),
        |change| change.label = Some("cosmic".parse().unwrap()),
        |change| change.source = Some(String::new()),
        |change| change.source = Some("a\nb".to_owned()),
        |change| change.basis = Some("x".repeat(limits::CARD_TEXT_BYTES_MAX + 1)),
        |change| change.basis = Some(" consent".to_owned()),
        |change| change.held = Some(Some(String::new())),
    ];
    for (number, bend) in bends.into_iter().enumerate() {
        let mut change = whole();
        bend(&mut change);
        assert_eq!(
            set(&world, "olivia", change).await.unwrap_err(),
            ErrorKind::InvalidArgument,
            "{number}"
        );
    }
}

#[tokio::test]
async fn up_6_a_projects_defaults_serve_what_says_nothing() {
    let world = bare().await;
    let icu = "icu".parse().unwrap();
    let olivia = "olivia".parse().unwrap();
    for wrong in [
        CardDefaults {
            label: label("cosmic"),
            ..defaults()
        },
        CardDefaults {
            days: 0,
            ..defaults()
        },
        CardDefaults {
            source: String::new(),
            ..defaults()
        },
    ] {
        let told = world
            .vault
            .set_defaults(&world.call(None), &icu, wrong, Some(&olivia))
            .await;
        assert_eq!(kind(told), Some(ErrorKind::InvalidArgument));
    }
    let local = world.call(None);
    world
        .vault
        .create_principal(&local, "stan".parse().unwrap(), None)
        .await
        .unwrap();
    let told = world
        .vault
        .set_defaults(&world.call(Some("stan")), &icu, defaults(), None)
        .await;
    assert_eq!(kind(told), Some(ErrorKind::AccessDenied));
    world
        .vault
        .set_defaults(&world.call(None), &icu, defaults(), Some(&olivia))
        .await
        .unwrap();
    // The dataset that was there already, and one that is made now.
    world.put("olivia", "a", b"bytes").await.unwrap();
    let call = world.call(Some("olivia"));
    let row = world
        .vault
        .create_dataset(&call, "icu--mri", false)
        .await
        .unwrap();
    let card = row.card.unwrap();
    assert_eq!(
        (card.owner.as_str(), card.label.as_str()),
        ("olivia", "internal")
    );
    assert_eq!(
        card.ends,
        world.vault.now().plus_millis(3_650 * limits::DAY_MS)
    );
}

#[tokio::test]
async fn only_who_configures_says_what_a_dataset_is() {
    let world = world().await;
    for who in ["ruben", "dirk", "job-1", "anna", "stan"] {
        assert_eq!(
            set(&world, who, to("secret")).await.unwrap_err(),
            ErrorKind::AccessDenied,
            "{who}"
        );
        let call = world.call(Some(who));
        let told = world.vault.describe_dataset(&call, &bucket("ecg")).await;
        let knows = matches!(who, "ruben" | "dirk" | "job-1");
        assert_eq!(told.is_ok(), knows, "{who}");
    }
    // Absent and forbidden look alike to whoever may not know.
    let told = world
        .vault
        .describe_dataset(&world.call(Some("stan")), &bucket("gone"))
        .await;
    assert_eq!(kind(told), Some(ErrorKind::AccessDenied));
}

#[tokio::test]
async fn az_13_nobody_does_anything_above_her_clearance() {
    let world = world().await;
    let read = async |who: &str| kind(world.get(who, "a", Span::All).await);
    assert_eq!(read("ruben").await, None);
    set(&world, "olivia", to("confidential")).await.unwrap();
    for who in ["ruben", "job-1"] {
        assert_eq!(read(who).await, Some(ErrorKind::AccessDenied), "{who}");
        assert_eq!(
            world.names(who, "").await,
            Err(ErrorKind::AccessDenied),
            "{who}"
        );
        let call = world.call(Some(who));
        assert_eq!(
            kind(world.vault.head_dataset(&call, BUCKET).await),
            Some(ErrorKind::AccessDenied)
        );
        let call = world.call(Some(who));
        assert!(
            world.vault.list_datasets(&call).await.unwrap().is_empty(),
            "{who}"
        );
        assert_eq!(
            set(&world, who, to("public")).await.unwrap_err(),
            ErrorKind::AccessDenied
        );
    }
    assert_eq!(
        kind(world.put("dirk", "b", b"up").await),
        Some(ErrorKind::AccessDenied)
    );
    let told = world.last_completion();
    assert_eq!(
        told.reason,
        "barred: the dataset's label is above the clearance"
    );
    // A workload is never cleared for more than its person.
    clear(&world, "job-1", Some("secret")).await;
    assert_eq!(read("job-1").await, Some(ErrorKind::AccessDenied));
    clear(&world, "ruben", Some("confidential")).await;
    assert_eq!(read("job-1").await, None);
    assert_eq!(read("ruben").await, None);
    clear(&world, "job-1", Some("public")).await;
    assert_eq!(read("job-1").await, Some(ErrorKind::AccessDenied));
    clear(&world, "ruben", None).await;
    assert_eq!(read("ruben").await, Some(ErrorKind::AccessDenied));
}

#[tokio::test]
async fn az_13_a_label_that_is_no_more_clears_nobody() {
    let mut world = world().await;
    set(&world, "olivia", to("secret")).await.unwrap();
    world.relabel("public < internal < confidential");
    for who in ["olivia", "ruben"] {
        let told = kind(world.get(who, "a", Span::All).await);
        assert_eq!(told, Some(ErrorKind::AccessDenied), "{who}");
    }
}

pub(super) async fn copy(world: &World, from: &str, to: &str) -> Option<ErrorKind> {
    let source = CopySource {
        place: Place {
            bucket: from,
            key: "a",
            version: None,
        },
        conditions: crate::vault::ReadConditions::default(),
        span: Span::All,
    };
    let target = Place {
        bucket: to,
        key: "copied",
        version: None,
    };
    let call = world.call(Some("oscar"));
    let told = world
        .vault
        .copy_object(&call, source, target, None, WriteConditions::default())
        .await;
    assert!(call.is_recorded());
    kind(told)
}

/// The world with a dataset `low` to copy to, for Oscar, who may.
async fn with_low() -> World {
    let world = world().await;
    let exporter = world.draft("oscar", "exporter");
    world.make_grant(exporter).await.unwrap();
    let call = world.call(Some("olivia"));
    let made = world.vault.create_dataset(&call, "icu--low", false).await;
    made.unwrap();
    world
}

#[tokio::test]
async fn az_13_copying_up_is_fine_and_copying_down_is_not() {
    let world = with_low().await;
    set(&world, "olivia", to("confidential")).await.unwrap();
    let refused = Some(ErrorKind::AccessDenied);
    assert_eq!(copy(&world, BUCKET, "icu--low").await, refused);
    let said = set_of(&world, "olivia", "low", to("confidential")).await;
    said.unwrap();
    assert_eq!(copy(&world, BUCKET, "icu--low").await, None);
    set_of(&world, "olivia", "low", to("secret")).await.unwrap();
    assert_eq!(copy(&world, BUCKET, "icu--low").await, None);
}

#[tokio::test]
async fn az_12_a_copy_leads_out_of_no_use_class() {
    let world = with_low().await;
    let class = |name: Option<&str>| CardChange {
        use_class: Some(name.map(|name| name.parse().unwrap())),
        ..CardChange::default()
    };
    assert_eq!(copy(&world, BUCKET, "icu--low").await, None);
    set(&world, "olivia", class(Some("defence"))).await.unwrap();
    let refused = Some(ErrorKind::AccessDenied);
    assert_eq!(copy(&world, BUCKET, "icu--low").await, refused);
    for (other, taken) in [(Some("civil"), refused), (Some("defence"), None)] {
        let said = set_of(&world, "olivia", "low", class(other)).await;
        said.unwrap();
        assert_eq!(copy(&world, BUCKET, "icu--low").await, taken, "{other:?}");
    }
    set(&world, "olivia", class(None)).await.unwrap();
    assert_eq!(copy(&world, BUCKET, "icu--low").await, None);
}

#[tokio::test]
async fn az_13_the_ceiling_refuses_before_the_first_byte() {
    let mut world = world().await;
    set(&world, "olivia", to("secret")).await.unwrap();
    world.put("olivia", "b", b"bytes").await.unwrap();
    world.lower_ceiling("confidential");
    let before = world.blobs().await;
    assert_eq!(
        kind(world.put("olivia", "c", b"bytes").await),
        Some(ErrorKind::AboveCeiling)
    );
    assert_eq!(world.blobs().await, before);
    assert_eq!(
        kind(world.get("olivia", "b", Span::All).await),
        None,
        "what is here is read"
    );
}

async fn asked(world: &World, to: &str) -> ApprovalId {
    let draft = ActDraft {
        kind: ActKind::LowerLabel,
        project: "icu".parse().unwrap(),
        dataset: Some("ecg".parse().unwrap()),
        terms: vec![("to".to_owned(), to.to_owned())],
        reason: "names were removed".to_owned(),
    };
    let row = world
        .vault
        .ask_act(&world.call(Some("olivia")), draft)
        .await
        .unwrap();
    row.id
}

#[tokio::test]
async fn az_10_what_was_raised_meanwhile_is_not_lowered_by_an_approval_of_before() {
    let world = world().await;
    let approval = async |to: &str| {
        let (id, icu) = (asked(&world, to).await, "icu".parse().unwrap());
        let oscar = world.call(Some("oscar"));
        world.vault.approve_act(&oscar, (&icu, id)).await.unwrap();
        CardChange {
            approval: Some(id),
            ..self::to(to)
        }
    };
    let before = approval("public").await;
    set(&world, "olivia", to("secret")).await.unwrap();
    assert_eq!(
        set(&world, "olivia", before.clone()).await.unwrap_err(),
        ErrorKind::AccessDenied,
        "two persons agreed on another step"
    );
    // Nor once it is lowered to something between; only back where it was.
    let between = approval("confidential").await;
    set(&world, "olivia", between).await.unwrap();
    assert_eq!(
        set(&world, "olivia", before.clone()).await.unwrap_err(),
        ErrorKind::AccessDenied
    );
    let back = approval("internal").await;
    set(&world, "olivia", back).await.unwrap();
    let told = set(&world, "olivia", before).await.unwrap();
    assert_eq!(told.row.card.unwrap().label, label("public"));
}

#[tokio::test]
async fn az_10_lowering_a_label_takes_two_persons() {
    let world = world().await;
    set(&world, "olivia", to("secret")).await.unwrap();
    assert_eq!(
        set(&world, "olivia", to("internal")).await.unwrap_err(),
        ErrorKind::TakesTwo
    );
    let id = asked(&world, "internal").await;
    let by = |approval, name: &str| CardChange {
        approval: Some(approval),
        ..to(name)
    };
    assert_eq!(
        set(&world, "olivia", by(id, "internal")).await.unwrap_err(),
        ErrorKind::Conflict,
        "not approved"
    );
    let icu = "icu".parse().unwrap();
    world
        .vault
        .approve_act(&world.call(Some("oscar")), (&icu, id))
        .await
        .unwrap();
    for other in ["public", "confidential"] {
        assert_eq!(
            set(&world, "olivia", by(id, other)).await.unwrap_err(),
            ErrorKind::AccessDenied,
            "{other}"
        );
    }
    assert_eq!(
        set(&world, "oscar", by(id, "internal")).await.unwrap_err(),
        ErrorKind::AccessDenied
    );
    let told = set(&world, "olivia", by(id, "internal")).await.unwrap();
    assert_eq!(told.row.card.unwrap().label, label("internal"));
    set(&world, "olivia", to("secret")).await.unwrap();
    assert_eq!(
        set(&world, "olivia", by(id, "internal")).await.unwrap_err(),
        ErrorKind::Conflict,
        "once"
    );
    assert_eq!(
        kind(world.get("ruben", "a", Span::All).await),
        Some(ErrorKind::AccessDenied)
    );
}

#[tokio::test]
async fn raising_a_label_cuts_what_runs() {
    let world = world().await;
    world.put("olivia", "long", &sample(300_000)).await.unwrap();
    let call = world.call(Some("ruben"));
    let ask = crate::vault::ReadAsk::default();
    let mut reading = world
        .vault
        .read_object(&call, place("long"), ask)
        .await
        .unwrap();
    assert!(reading.body.next().await.unwrap().is_ok());
    set(&world, "olivia", to("confidential")).await.unwrap();
    world.wait(11_000);
    let mut end: Option<VaultError> = None;
    while let Some(piece) = reading.body.next().await {
        end = piece.err();
        if end.is_some() {
            break;
        }
    }
    assert_eq!(end.map(|error| error.kind()), Some(ErrorKind::AccessDenied));
}

#[tokio::test]
async fn er_2_a_dataset_ends_by_the_clock_unless_it_is_held() {
    let world = world().await;
    let day = limits::DAY_MS;
    let ends = world.vault.now().plus_millis(40 * day);
    let until = |ends| CardChange {
        ends: Some(ends),
        ..CardChange::default()
    };
    set(&world, "olivia", until(ends)).await.unwrap();
    let stage = async || {
        world
            .vault
            .describe_dataset(&world.call(Some("olivia")), &bucket("ecg"))
            .await
            .unwrap()
            .stage
    };
    let read = async || kind(world.get("ruben", "a", Span::All).await);
    assert_eq!(stage().await, Stage::Active);
    world.wait(10 * day);
    assert_eq!((stage().await, read().await), (Stage::Notice, None));
    world.put("olivia", "long", &sample(300_000)).await.unwrap();
    let call = world.call(Some("ruben"));
    let ask = crate::vault::ReadAsk::default();
    let mut reading = world
        .vault
        .read_object(&call, place("long"), ask)
        .await
        .unwrap();
    assert!(reading.body.next().await.unwrap().is_ok());
    world.wait(30 * day);
    assert_eq!(
        (stage().await, read().await),
        (Stage::Quarantine, Some(ErrorKind::Quarantined))
    );
    let mut cut = false;
    while let Some(piece) = reading.body.next().await {
        cut = piece.is_err();
    }
    assert!(cut, "what runs is cut");
    assert_eq!(
        kind(world.put("olivia", "b", b"b").await),
        Some(ErrorKind::Quarantined)
    );
    assert_eq!(world.names("olivia", "").await, Err(ErrorKind::Quarantined));
    // Her owner takes it back into use, or a hold does.
    let hold = CardChange {
        held: Some(Some("case 7".to_owned())),
        ..CardChange::default()
    };
    assert_eq!(
        set(&world, "ruben", hold.clone()).await.unwrap_err(),
        ErrorKind::AccessDenied
    );
    set(&world, "olivia", hold).await.unwrap();
    assert_eq!((stage().await, read().await), (Stage::Notice, None));
    let release = CardChange {
        held: Some(None),
        ..CardChange::default()
    };
    set(&world, "olivia", release).await.unwrap();
    assert_eq!(read().await, Some(ErrorKind::Quarantined));
    world.wait(30 * day);
    assert_eq!(stage().await, Stage::Ended);
    set(
        &world,
        "olivia",
        until(world.vault.now().plus_millis(90 * day)),
    )
    .await
    .unwrap();
    assert_eq!((stage().await, read().await), (Stage::Active, None));
}
