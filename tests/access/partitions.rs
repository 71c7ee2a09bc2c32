//! AZ-12: on which nodes a job may read what: grants for partitions, datasets of a use class.

use kluis::policy::{Grant, GrantEffect, Terms};
use kluis::types::BucketName;
use kluis::vault::{CardChange, ErrorKind};
use ring::signature::KeyPair as _;
use serde_json::json;

use crate::jobs::{Node, Stage, draft, keys, stage};
use crate::world::{World, asked, icu, name};

/// Says what jobs may compute on `icu--ecg` for; nothing for whatever.
async fn set_class(world: &World, class: Option<&str>) {
    let bucket = BucketName {
        project: icu(),
        dataset: "ecg".parse().expect("a dataset"),
    };
    let change = CardChange {
        use_class: Some(class.map(|class| class.parse().expect("a class"))),
        ..CardChange::default()
    };
    let (local, olivia) = (world.local(), name("olivia"));
    let set = world.vault.set_card(&local, &bucket, change, Some(&olivia));
    let told = set.await.expect("described");
    let card = told.row.card.expect("a card");
    assert_eq!(
        card.use_class.as_ref().map(kluis::types::UseClass::as_str),
        class
    );
}

/// Whether a job of rosa's reads on this node; one that is refused to start does not.
async fn reads_on(stage: &Stage, node: &Node) -> bool {
    let job = stage.job().await;
    let started = node.start(&stage.world, &job).await;
    match started.status {
        200 => stage.reads(&keys(&started)).await,
        403 => false,
        other => panic!("{other}: {}", started.body),
    }
}

async fn nodes(world: &World) -> [Node; 3] {
    [
        Node::enrolled_in(world, "civ-1", "hpc", (Some("civil"), &["civil"])).await,
        Node::enrolled_in(
            world,
            "sec-1",
            "hpc",
            (Some("secure"), &["defence", "civil", "civil"]),
        )
        .await,
        Node::enrolled_in(world, "any-1", "hpc", (None, &[])).await,
    ]
}

async fn reads_on_each(stage: &Stage, nodes: &[Node; 3]) -> [bool; 3] {
    let mut all = [false; 3];
    for (reads, node) in all.iter_mut().zip(nodes) {
        *reads = reads_on(stage, node).await;
    }
    all
}

#[tokio::test]
async fn az_12_a_civil_partition_cannot_read_a_defence_dataset() {
    let stage = stage().await;
    let world = &stage.world;
    let nodes = nodes(world).await;
    assert_eq!(reads_on_each(&stage, &nodes).await, [true; 3]);
    set_class(world, Some("defence")).await;
    assert_eq!(reads_on_each(&stage, &nodes).await, [false, true, false]);
    let job = stage.job().await;
    assert_eq!(nodes[0].start(world, &job).await.status, 403);
    let (intent, _) = world.last_intent();
    assert!(
        intent.policy.is_some_and(|policy| policy.allowed),
        "by its grant"
    );
    set_class(world, Some("civil")).await;
    assert_eq!(reads_on_each(&stage, &nodes).await, [true, true, false]);
    // What nobody is enrolled for is computed on nowhere; who runs no job reads by her grant.
    set_class(world, Some("dual-use")).await;
    assert_eq!(reads_on_each(&stage, &nodes).await, [false; 3]);
    assert!(stage.reads(&stage.rosa).await);
    set_class(world, None).await;
    assert_eq!(reads_on_each(&stage, &nodes).await, [true; 3]);
}

#[tokio::test]
async fn az_12_a_job_that_runs_is_cut_off_when_its_dataset_is_closed_to_its_node() {
    let stage = stage().await;
    let world = &stage.world;
    let [civil, ..] = nodes(world).await;
    let session = keys(&civil.start(world, &stage.job().await).await);
    assert!(stage.reads(&session).await);
    set_class(world, Some("defence")).await;
    assert!(!stage.reads(&session).await);
    set_class(world, Some("civil")).await;
    assert!(stage.reads(&session).await);
}

#[tokio::test]
async fn az_12_a_node_that_is_put_elsewhere_is_another_node() {
    let stage = stage().await;
    let world = &stage.world;
    let local = world.local();
    set_class(world, Some("defence")).await;
    let [_, secure, _] = nodes(world).await;
    let job = stage.job().await;
    let session = keys(&secure.start(world, &job).await);
    assert!(stage.reads(&session).await);
    let removed = world.vault.remove_node(&local, "sec-1").await;
    removed.expect("removed");
    let again = Node::enrolled_in(world, "sec-1", "hpc", (Some("civil"), &["civil"])).await;
    assert!(
        !stage.reads(&session).await,
        "what it was enrolled for is over"
    );
    assert_eq!(again.start(world, &job).await.status, 403);
}

/// Rosa's grant, for jobs of one partition alone.
async fn only_in(stage: &Stage, partition: &str, effect: GrantEffect) {
    let grant = Grant {
        effect,
        dataset: Some("ecg".parse().expect("a dataset")),
        terms: Terms {
            partitions: vec![partition.parse().expect("a partition")],
            ..Terms::default()
        },
        ..stage.world.draft("rosa", "reader")
    };
    let _id = stage.world.grant(grant).await;
}

async fn without_her_own(stage: &Stage) {
    let (world, local) = (&stage.world, stage.world.local());
    let grant = (&icu(), stage.grant);
    let done = world.vault.revoke_grant(&local, grant, None).await;
    done.expect("withdrawn");
}

#[tokio::test]
async fn az_12_a_grant_for_a_partition_is_good_there_alone() {
    let stage = stage().await;
    let nodes = nodes(&stage.world).await;
    without_her_own(&stage).await;
    only_in(&stage, "secure", GrantEffect::Allow).await;
    assert_eq!(reads_on_each(&stage, &nodes).await, [false, true, false]);
    assert!(!stage.reads(&stage.rosa).await, "no node vouches for her");
}

#[tokio::test]
async fn az_12_a_denial_for_a_partition_denies_who_cannot_show_to_be_elsewhere() {
    let stage = stage().await;
    let nodes = nodes(&stage.world).await;
    only_in(&stage, "civil", GrantEffect::Deny).await;
    assert_eq!(reads_on_each(&stage, &nodes).await, [false, true, false]);
    assert!(!stage.reads(&stage.rosa).await);
}

#[tokio::test]
async fn az_12_over_the_network_partitions_and_use_classes_are_said_and_shown() {
    let stage = stage().await;
    let world = &stage.world;
    let olivia = world.keys("olivia", None).await;
    let grants = "/.kluis/v1/projects/icu/grants";
    let body = |partitions| {
        json!({
            "principal": "rosa", "role": "reader", "dataset": "ecg", "purpose": "p", "permit": "T",
            "expires": "2100-01-01T00:00:00Z", "partitions": partitions,
        })
        .to_string()
    };
    let made = asked("POST", grants).body(body(json!(["secure"])));
    let made = world.serve(Some(&olivia), &made).await;
    assert_eq!(
        made.json()["partitions"],
        json!(["secure"]),
        "{}",
        made.body
    );
    let many: Vec<String> = (0..17).map(|n| format!("p{n}")).collect();
    for bad in [json!(["Secure"]), json!("secure"), json!([""]), json!(many)] {
        let asked = asked("POST", grants).body(body(bad));
        assert_eq!(world.serve(Some(&olivia), &asked).await.status, 400);
    }
    let place = "/.kluis/v1/datasets/icu--ecg";
    for (said, shown) in [("\"defence\"", json!("defence")), ("\"\"", json!(null))] {
        let set = asked("POST", place).body(format!("{{\"use_class\":{said}}}"));
        let set = world.serve(Some(&olivia), &set).await;
        assert_eq!(
            (set.status, &set.json()["use_class"]),
            (200, &shown),
            "{}",
            set.body
        );
    }
    for bad in ["\"De fence\"", "7", "[\"civil\"]"] {
        let set = asked("POST", place).body(format!("{{\"use_class\":{bad}}}"));
        assert_eq!(world.serve(Some(&olivia), &set).await.status, 400, "{bad}");
    }
    let set = asked("POST", place).body("{\"use_class\":\"civil\"}");
    assert_eq!(world.serve(Some(&stage.rosa), &set).await.status, 403);
}

/// By one key for two nodes a job would choose whose partition and use classes it is judged by.
#[tokio::test]
async fn a_key_vouches_for_one_node_and_a_node_is_enrolled_once() {
    let world = World::new().await;
    let node = Node::enrolled(&world, "gpu-1", "hpc").await;
    let key: [u8; 32] = node.key.public_key().as_ref().try_into().expect("32 bytes");
    let enrol = async |name: &str, key| {
        let draft = draft(name, key);
        world.vault.enrol_node(&world.local(), draft).await
    };
    for (name, key, why) in [
        ("gpu-2", key, "each node has its own"),
        ("gpu-1", key, "enrolled already"),
        ("gpu-1", [9; 32], "enrolled already"),
    ] {
        let refused = enrol(name, key).await.expect_err(why);
        assert_eq!(refused.kind(), ErrorKind::Conflict);
        assert!(refused.reason().contains(why), "{}", refused.reason());
        assert!(
            world
                .last_intent()
                .0
                .query
                .is_some_and(|q| q.contains(name))
        );
    }
    let removed = world.vault.remove_node(&world.local(), "gpu-1").await;
    removed.expect("removed");
    let _row = enrol("gpu-2", key).await.expect("it is free again");
}
