//! Jobs: what a node's statement opens, for whom, for how long; and everybody whom it does not.

use data_encoding::BASE64URL_NOPAD;
use kluis::policy::Grant;
use kluis::types::GrantId;
use kluis::vault::NodeDraft;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};

use crate::versions;
use crate::world::{Got, Keys, World, asked, icu, name};

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const HERE: &str = "127.0.0.1:5";

/// A compute node.
pub(crate) struct Node {
    name: &'static str,
    pub(crate) key: Ed25519KeyPair,
}

/// A node of `hpc`, in no partition.
pub(crate) fn draft(name: &str, key: [u8; 32]) -> NodeDraft {
    NodeDraft {
        name: name.to_owned(),
        cluster: "hpc".to_owned(),
        key,
        networks: Vec::new(),
        partition: None,
        uses: Vec::new(),
    }
}

impl Node {
    #[expect(clippy::disallowed_methods, reason = "keys are made on the spot")]
    fn new(name: &'static str) -> Self {
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key");
        let key = Ed25519KeyPair::from_pkcs8(key.as_ref()).expect("a key");
        Self { name, key }
    }

    pub(crate) async fn enrolled(world: &World, name: &'static str, cluster: &str) -> Self {
        Self::enrolled_in(world, name, cluster, (None, &[])).await
    }

    /// One in a partition, and with use classes.
    pub(crate) async fn enrolled_in(
        world: &World,
        name: &'static str,
        cluster: &str,
        (partition, uses): (Option<&str>, &[&str]),
    ) -> Self {
        let node = Self::new(name);
        let key = node.key.public_key().as_ref().try_into();
        let draft = NodeDraft {
            cluster: cluster.to_owned(),
            partition: partition.map(|name| name.parse().expect("a partition")),
            uses: uses
                .iter()
                .map(|class| class.parse().expect("a class"))
                .collect(),
            ..draft(name, key.expect("32 bytes"))
        };
        let made = world.vault.enrol_node(&world.local(), draft).await;
        let _row = made.expect("enrolled");
        node
    }

    pub(crate) fn claims(&self, world: &World, act: &str, job: &str) -> Value {
        let now = world.vault.now().seconds();
        let jti = world.vault.new_event().expect("an id").to_string();
        json!({
            "iss": self.name, "aud": "kluis", "sub": job, "iat": now, "exp": now + 60, "jti": jti,
            "act": act, "number": "7", "account": "rosa",
        })
    }

    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let message = format!("{}.{}", part(header), part(claims));
        let signature = self.key.sign(message.as_bytes());
        format!("{message}.{}", BASE64URL_NOPAD.encode(signature.as_ref()))
    }

    fn state(&self, world: &World, act: &str, job: &str) -> String {
        self.sign(&json!({"alg": "EdDSA"}), &self.claims(world, act, job))
    }

    pub(crate) async fn start(&self, world: &World, job: &str) -> Got {
        tell(world, "start", &self.state(world, "start", job)).await
    }
}

/// Sends a statement.
pub(crate) async fn tell(world: &World, verb: &str, statement: &str) -> Got {
    let body = json!({ "statement": statement }).to_string();
    let request = asked("POST", format!("/.kluis/v1/jobs/{verb}")).body(body);
    world.serve(None, &request).await
}

pub(crate) fn keys(got: &Got) -> Keys {
    assert_eq!(got.status, 200, "{}", got.body);
    let told = got.json();
    let text = |name: &str| told[name].as_str().expect("text").to_owned();
    Keys {
        id: text("access_key_id"),
        secret: text("secret_access_key"),
        token: Some(text("session_token")),
    }
}

pub(crate) struct Stage {
    pub(crate) world: World,
    pub(crate) rosa: Keys,
    pub(crate) grant: GrantId,
    pub(crate) node: Node,
}

/// Rosa reads `icu--ecg`, of which there is a version, and `icu--mri`; node `gpu-1` is of `hpc`.
pub(crate) async fn stage() -> Stage {
    let world = World::new().await;
    let olivia = world.keys("olivia", None).await;
    for request in [
        asked("PUT", "/icu--ecg"),
        asked("PUT", "/icu--mri"),
        asked("PUT", "/icu--ecg/k").body("x"),
        asked("PUT", "/icu--mri/k").body("x"),
        versions::publish(),
    ] {
        assert!(world.serve(Some(&olivia), &request).await.status < 300);
    }
    world.person("rosa").await;
    let far = world.vault.now().plus_millis(365 * 24 * HOUR_MS);
    let grant = Grant {
        expires: Some(far),
        ..world.draft("rosa", "reader")
    };
    let grant = world.grant(grant).await;
    let rosa = world.keys("rosa", None).await;
    let node = Node::enrolled(&world, "gpu-1", "hpc").await;
    Stage {
        world,
        rosa,
        grant,
        node,
    }
}

fn ask(bucket: &str) -> Value {
    json!({
        "bucket": bucket, "cluster": "hpc", "account": "rosa",
        "waits_seconds": 7 * 24 * 3_600, "lasts_seconds": 2 * 24 * 3_600 + 60,
    })
}

async fn submit(world: &World, keys: &Keys, ask: &Value) -> Got {
    let request = asked("POST", "/.kluis/v1/jobs").body(ask.to_string());
    world.serve(Some(keys), &request).await
}

impl Stage {
    /// A job of rosa's for version 1.
    pub(crate) async fn job(&self) -> String {
        let got = submit(&self.world, &self.rosa, &ask("icu--ecg--v1")).await;
        assert_eq!(got.status, 201, "{}", got.body);
        got.json()["job"].as_str().expect("a name").to_owned()
    }

    async fn get(&self, keys: &Keys, path: &str) -> u16 {
        self.world
            .serve(Some(keys), &asked("GET", path))
            .await
            .status
    }

    pub(crate) async fn reads(&self, keys: &Keys) -> bool {
        match self.get(keys, "/icu--ecg--v1/k").await {
            200 => true,
            403 => false,
            other => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn a_job_reads_its_version_and_nothing_else() {
    let stage = stage().await;
    let world = &stage.world;
    let job = stage.job().await;
    let session = keys(&stage.node.start(world, &job).await);
    let (intent, _) = world.last_intent();
    let told = intent.query.expect("what was made");
    for part in [&*job, "number=7", "node=gpu-1", "person=rosa", &session.id] {
        assert!(told.contains(part), "{told}");
    }
    assert!(stage.reads(&session).await);
    let (_, by) = world.last_intent();
    assert_eq!(by.principal, Some(name("job-7@gpu-1.hpc")));
    assert_eq!(by.responsible, Some(name("rosa")));
    for other in [
        "/icu--ecg/k",
        "/icu--mri/k",
        "/icu--ecg",
        "/.kluis/v1/projects/icu/grants",
    ] {
        let status = stage.get(&session, other).await;
        let own = stage.get(&stage.rosa, other).await;
        assert_eq!((status, own), (403, 200), "{other}");
    }
    let grants = asked("GET", "/.kluis/v1/projects/icu/grants");
    let grants = world.serve(Some(&session), &grants).await;
    assert!(!grants.body.contains("rosa"));
    let list = world.serve(Some(&session), &asked("GET", "/")).await;
    assert!(!list.body.contains("icu--"), "{}", list.body);
    let put = asked("PUT", "/icu--ecg/new").body("x");
    assert_eq!(world.serve(Some(&session), &put).await.status, 403);
    let more = submit(world, &session, &ask("icu--ecg--v1")).await;
    assert_eq!(more.status, 403, "a job lets no other job read");
}

/// ID-5: queued for 72 hours and running for 48, it reads its last byte, and nothing that the node
/// was given lives for an hour. Nobody does anything meanwhile.
#[tokio::test]
async fn a_job_waits_three_days_and_runs_two_without_anybody() {
    let stage = stage().await;
    let world = &stage.world;
    let job = stage.job().await;
    world.wait(72 * HOUR_MS);
    let mut longest = 0;
    let mut session = None;
    for _ in 0..(48 * 6) {
        let got = stage.node.start(world, &job).await;
        longest = longest.max(got.json()["expires_in"].as_u64().expect("seconds"));
        let next = keys(&got);
        if let Some(last) = session.replace(next.clone()) {
            assert!(stage.reads(&last).await, "the one before is still good");
        }
        assert!(stage.reads(&next).await);
        world.wait(10 * MINUTE_MS);
    }
    let last = session.expect("a session");
    assert!(stage.reads(&last).await);
    world.wait(5 * MINUTE_MS);
    assert!(
        !stage.reads(&last).await,
        "a session does not outlive its quarter"
    );
    assert!(longest <= 3_600, "{longest}");
    let late = stage.node.start(world, &job).await;
    assert_eq!(late.status, 403, "it has run for as long as it may");
}

#[tokio::test]
async fn forged_foreign_and_stale_statements_start_nothing() {
    let stage = stage().await;
    let world = &stage.world;
    let job = stage.job().await;
    let (node, now) = (&stage.node, world.vault.now().seconds());
    let eddsa = json!({"alg": "EdDSA"});
    let bent = |field: &str, value: Value| {
        let mut claims = node.claims(world, "start", &job);
        claims[field] = value;
        node.sign(&eddsa, &claims)
    };
    let good = node.claims(world, "start", &job);
    let unsigned = {
        let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        format!("{}.{}.", part(&json!({"alg": "none"})), part(&good))
    };
    let stranger = Node::enrolled(world, "login-1", "desks").await;
    let unknown = Node::new("gpu-9");
    let thief = Node::new("gpu-1");
    for (what, statement, status) in [
        ("nothing", String::new(), 400),
        ("no algorithm", unsigned, 400),
        (
            "a shared secret",
            node.sign(&json!({"alg": "HS256"}), &good),
            400,
        ),
        ("another's key", thief.state(world, "start", &job), 400),
        (
            "a node that nobody enrolled",
            unknown.state(world, "start", &job),
            400,
        ),
        (
            "another cluster's node",
            stranger.state(world, "start", &job),
            403,
        ),
        ("another audience", bent("aud", json!("other")), 400),
        ("over", bent("exp", json!(now)), 400),
        ("without an end", bent("exp", Value::Null), 400),
        ("good for a day", bent("exp", json!(now + 86_400)), 400),
        ("from the future", bent("iat", json!(now + 600)), 400),
        ("another account", bent("account", json!("root")), 403),
        ("no number", bent("number", json!("7; rm")), 400),
        ("another act", bent("act", json!("end")), 400),
        ("an unknown act", bent("act", json!("own")), 400),
        ("an unknown job", bent("sub", json!("rosa/00")), 403),
        ("no job", bent("sub", json!("")), 400),
    ] {
        let got = tell(world, "start", &statement).await;
        assert_eq!(got.status, status, "{what}: {}", got.body);
        let (intent, by) = world.last_intent();
        assert_eq!(
            (intent.operation.as_str(), by.principal),
            ("StartJob", None),
            "{what}"
        );
    }
}

#[tokio::test]
async fn a_statement_a_number_and_a_node_are_good_once() {
    let stage = stage().await;
    let (world, node) = (&stage.world, &stage.node);
    let job = stage.job().await;
    let once = node.state(world, "start", &job);
    assert_eq!(tell(world, "start", &once).await.status, 200);
    assert_eq!(
        tell(world, "start", &once).await.status,
        403,
        "a statement is good once"
    );
    let mut claims = node.claims(world, "start", &job);
    claims["number"] = json!("8");
    let other = node.sign(&json!({"alg": "EdDSA"}), &claims);
    assert_eq!(
        tell(world, "start", &other).await.status,
        403,
        "one job of the scheduler's"
    );
    let second = Node::enrolled(world, "gpu-2", "hpc").await;
    assert_eq!(second.start(world, &job).await.status, 403, "on one node");
}

#[tokio::test]
async fn a_session_is_of_no_use_elsewhere() {
    let stage = stage().await;
    let world = &stage.world;
    let job = stage.job().await;
    let session = keys(&stage.node.start(world, &job).await);
    let get = asked("GET", "/icu--ecg--v1/k");
    for (peer, status) in [("127.0.0.2:5", 403), ("[::1]:5", 403), ("127.0.0.1:6", 200)] {
        let got = world.serve_from(peer, Some(&session), &get).await;
        assert_eq!(got.status, status, "{peer}");
    }
    // A node that has networks speaks from these and from nowhere else.
    let removed = world.vault.remove_node(&world.local(), "gpu-1").await;
    removed.expect("removed");
    assert!(
        !stage.reads(&session).await,
        "nothing is believed of a node that is removed"
    );
    let key = stage.node.key.public_key().as_ref().try_into();
    let draft = NodeDraft {
        networks: vec!["10.0.0.0/8".parse().expect("a network")],
        ..draft("gpu-1", key.expect("32 bytes"))
    };
    let made = world.vault.enrol_node(&world.local(), draft).await;
    let _row = made.expect("enrolled");
    assert_eq!(stage.node.start(world, &job).await.status, 403);
    let body = json!({ "statement": stage.node.state(world, "start", &job) }).to_string();
    let request = asked("POST", "/.kluis/v1/jobs/start").body(body);
    let got = world.serve_from("10.1.2.3:5", None, &request).await;
    let session = keys(&got);
    for (peer, status) in [("10.9.9.9:5", 200), (HERE, 403)] {
        let got = world.serve_from(peer, Some(&session), &get).await;
        assert_eq!(got.status, status, "{peer}");
    }
}

#[tokio::test]
async fn a_job_ends_with_its_end_its_person_and_its_grant() {
    let stage = stage().await;
    let world = &stage.world;
    let local = world.local();
    // Its own end: once and for good.
    let job = stage.job().await;
    let session = keys(&stage.node.start(world, &job).await);
    let again = stage.node.state(world, "again", &job);
    assert_eq!(tell(world, "end", &again).await.status, 204);
    assert!(!stage.reads(&session).await, "it runs nowhere now");
    let session = keys(&stage.node.start(world, &job).await);
    assert!(stage.reads(&session).await, "requeued");
    let end = stage.node.state(world, "end", &job);
    assert_eq!(tell(world, "start", &end).await.status, 400);
    assert_eq!(tell(world, "end", &end).await.status, 204);
    assert!(!stage.reads(&session).await);
    assert_eq!(stage.node.start(world, &job).await.status, 403);
    let twice = stage.node.state(world, "end", &job);
    assert_eq!(
        tell(world, "end", &twice).await.status,
        204,
        "an epilog may run twice"
    );
    // Its person's word.
    let job = stage.job().await;
    let session = keys(&stage.node.start(world, &job).await);
    let olivia = world.keys("olivia", None).await;
    let cancel = asked("DELETE", format!("/.kluis/v1/jobs/{job}"));
    assert_eq!(
        world.serve(Some(&olivia), &cancel).await.status,
        403,
        "another's job"
    );
    assert_eq!(
        world.serve(Some(&session), &cancel).await.status,
        403,
        "the job's own"
    );
    assert!(stage.reads(&session).await);
    assert_eq!(world.serve(Some(&stage.rosa), &cancel).await.status, 204);
    assert!(!stage.reads(&session).await);
    // Her standing, before and after it started.
    let (waiting, running) = (stage.job().await, stage.job().await);
    let session = keys(&stage.node.start(world, &running).await);
    for suspended in [true, false] {
        let done = world.vault.suspend(&local, name("rosa"), suspended).await;
        done.expect("suspended");
        assert_eq!(stage.reads(&session).await, !suspended);
        let status = stage.node.start(world, &waiting).await.status;
        assert_eq!(status, if suspended { 403 } else { 200 });
    }
    // Her grant.
    let done = world
        .vault
        .revoke_grant(&local, (&icu(), stage.grant), None)
        .await;
    done.expect("withdrawn");
    assert!(!stage.reads(&session).await);
    assert_eq!(stage.node.start(world, &running).await.status, 403);
    let more = submit(world, &stage.rosa, &ask("icu--ecg--v1")).await;
    assert_eq!(more.status, 403, "nor can she let another read");
}

#[tokio::test]
async fn a_job_that_waits_too_long_never_starts() {
    let stage = stage().await;
    let job = stage.job().await;
    stage.world.wait(7 * 24 * HOUR_MS);
    let late = stage.node.start(&stage.world, &job).await;
    assert_eq!(late.status, 403);
    let list = stage
        .world
        .serve(Some(&stage.rosa), &asked("GET", "/.kluis/v1/jobs"))
        .await;
    assert!(!list.body.contains(&job));
}

#[tokio::test]
async fn what_is_no_job_is_refused() {
    let stage = stage().await;
    for (field, value) in [
        ("cluster", json!("")),
        ("cluster", json!("HPC")),
        ("cluster", json!("a,b")),
        ("account", json!("ro sa")),
        ("account", json!("x".repeat(41))),
        ("nodes", json!(0)),
        ("nodes", json!(1_025)),
        ("waits_seconds", json!(0)),
        ("lasts_seconds", json!(31 * 24 * 3_600)),
        ("lasts_seconds", json!(u64::MAX)),
        ("purpose", json!("")),
        ("unknown", json!(1)),
        // What no node could ever start: nobody is to wait for that in a queue.
        ("cluster", json!("hpc2")),
        ("purpose", json!("nosuch")),
    ] {
        let mut bent = ask("icu--ecg--v1");
        bent[field] = value;
        let got = submit(&stage.world, &stage.rosa, &bent).await;
        assert_eq!(got.status, 400, "{bent}: {}", got.body);
    }
    let mut other = ask("icu--ecg--v1");
    other["purpose"] = json!("nosuch");
    let got = submit(&stage.world, &stage.rosa, &other).await;
    assert!(got.body.contains("purpose"), "why: {}", got.body);
    let (intent, _) = stage.world.last_intent();
    assert!(
        intent.policy.is_some_and(|policy| policy.allowed),
        "else she may"
    );
    other["purpose"] = json!("test:access");
    let got = submit(&stage.world, &stage.rosa, &other).await;
    assert_eq!(got.status, 201, "{}", got.body);
    // Who may not know of the dataset is told no more than before.
    stage.world.person("nora").await;
    let nora = stage.world.keys("nora", None).await;
    for purpose in [json!(null), json!("nosuch")] {
        other["purpose"] = purpose;
        let got = submit(&stage.world, &nora, &other).await;
        assert_eq!(got.status, 403, "{}", got.body);
        assert!(!got.body.contains("purpose"), "{}", got.body);
    }
    for bucket in ["icu--none", "lab--ecg", "icu--ecg--v9"] {
        let got = submit(&stage.world, &stage.rosa, &ask(bucket)).await;
        assert!(matches!(got.status, 403 | 404), "{bucket}: {}", got.body);
    }
}

#[tokio::test]
async fn many_nodes_of_one_job_begin_at_once_and_end_one_by_one() {
    let stage = stage().await;
    let world = &stage.world;
    let mut wide = ask("icu--ecg--v1");
    wide["nodes"] = json!(3);
    let job = submit(world, &stage.rosa, &wide).await.json();
    let job = job["job"].as_str().expect("a name");
    let two = Node::enrolled(world, "gpu-2", "hpc").await;
    let three = Node::enrolled(world, "gpu-3", "hpc").await;
    let (a, b, c) = tokio::join!(
        stage.node.start(world, job),
        two.start(world, job),
        three.start(world, job)
    );
    let sessions = [keys(&a), keys(&b), keys(&c)];
    for session in &sessions {
        assert!(stage.reads(session).await);
    }
    let end = two.state(world, "end", job);
    assert_eq!(tell(world, "end", &end).await.status, 204);
    let [one, two_keys, _] = &sessions;
    assert!(stage.reads(one).await);
    assert!(!stage.reads(two_keys).await);
}

/// A node has many users: what one of them tries at others' keys ends nobody's job.
#[tokio::test]
async fn a_node_starts_jobs_while_others_of_its_address_try_keys() {
    let stage = stage().await;
    let world = &stage.world;
    let job = stage.job().await;
    for number in 0..200_u32 {
        let unknown = Keys {
            id: format!("KLUS{number:016}"),
            ..stage.rosa.clone()
        };
        let got = world
            .serve(Some(&unknown), &asked("GET", "/icu--ecg/k"))
            .await;
        assert!(matches!(got.status, 403 | 503));
    }
    let session = keys(&stage.node.start(world, &job).await);
    assert!(stage.reads(&session).await);
    // A statement that is not the node's is bounded as they are.
    let forged = Node::new("gpu-1").state(world, "start", &job);
    assert_eq!(tell(world, "start", &forged).await.status, 503);
    let end = stage.node.state(world, "end", &job);
    assert_eq!(tell(world, "end", &end).await.status, 204);
}

/// Credential stuffing: nothing comes of it but records.
#[tokio::test]
async fn every_attempt_is_refused_and_stands_in_the_log() {
    let stage = stage().await;
    let world = &stage.world;
    let thief = Node::new("gpu-1");
    for number in 0..200_u32 {
        // Three attempts: as many as may fail in that time.
        world.wait(3_000);
        let wrong = Keys {
            secret: format!("{number:040}"),
            ..stage.rosa.clone()
        };
        let unknown = Keys {
            id: format!("KLUS{number:016}"),
            ..stage.rosa.clone()
        };
        for keys in [wrong, unknown] {
            let got = world.serve(Some(&keys), &asked("GET", "/icu--ecg/k")).await;
            assert_eq!(got.status, 403, "{}", got.body);
            assert_eq!(world.last_intent().1.principal, None);
        }
        let job = format!("rosa/{number:032x}");
        let guessed = thief.state(world, "start", &job);
        assert_eq!(tell(world, "start", &guessed).await.status, 400);
        assert_eq!(world.last_intent().0.operation, "StartJob");
    }
}

/// Under a point of small order anybody makes signatures that hold: such a node would be everybody.
#[tokio::test]
async fn a_key_that_anybody_can_sign_under_is_no_nodes() {
    let world = World::new().await;
    let mut least = [0; 32];
    least[0] = 1;
    for key in [[0; 32], least] {
        let draft = draft("gpu-9", key);
        let made = world.vault.enrol_node(&world.local(), draft).await;
        assert!(made.is_err());
    }
}
