//! What has become of a job's right is told to the node that vouches for its account, and to nobody
//! else.

use serde_json::{Value, json};

use crate::jobs::{Node, Stage, keys, stage, tell};
use crate::world::asked;

const DAY_MS: u64 = 24 * 60 * 60_000;

/// Code and words of the answer to a statement with these claims changed.
async fn told(stage: &Stage, node: &Node, verb: &str, bent: &[(&str, Value)]) -> (String, String) {
    let world = &stage.world;
    let mut claims = node.claims(world, verb, "");
    for (name, value) in bent {
        claims[*name] = value.clone();
    }
    let statement = node.sign(&json!({"alg": "EdDSA"}), &claims);
    let got = tell(world, verb, &statement).await;
    assert_eq!(got.status, 403, "{}", got.body);
    let problem = got.json();
    let text = |name: &str| problem[name].as_str().expect("text").to_owned();
    (text("code"), text("title"))
}

async fn why(stage: &Stage, job: &str) -> String {
    let (code, title) = told(stage, &stage.node, "start", &[("sub", json!(job))]).await;
    assert_eq!(code, "JobOver", "{title}");
    let (intent, _) = stage.world.last_intent();
    assert_eq!(intent.operation, "StartJob");
    title
}

async fn cancel(stage: &Stage, job: &str) {
    let request = asked("DELETE", format!("/.kluis/v1/jobs/{job}"));
    let got = stage.world.serve(Some(&stage.rosa), &request).await;
    assert_eq!(got.status, 204, "{}", got.body);
}

#[tokio::test]
async fn each_end_of_a_right_has_its_words() {
    let stage = stage().await;
    let (world, node) = (&stage.world, &stage.node);

    let waits = stage.job().await;
    cancel(&stage, &waits).await;
    assert_eq!(why(&stage, &waits).await, "the job was cancelled");

    let runs = stage.job().await;
    let session = keys(&node.start(world, &runs).await);
    assert!(stage.reads(&session).await);
    cancel(&stage, &runs).await;
    assert!(!stage.reads(&session).await);
    assert_eq!(why(&stage, &runs).await, "the job was cancelled");

    let ended = stage.job().await;
    let _session = keys(&node.start(world, &ended).await);
    let mut claims = node.claims(world, "end", &ended);
    claims["act"] = json!("end");
    let statement = node.sign(&json!({"alg": "EdDSA"}), &claims);
    assert_eq!(tell(world, "end", &statement).await.status, 204);
    assert_eq!(why(&stage, &ended).await, "the job has ended");

    let taken = stage.job().await;
    let _session = keys(&node.start(world, &taken).await);
    let other = [("sub", json!(taken)), ("number", json!("8"))];
    let (code, title) = told(&stage, node, "start", &other).await;
    let words = "another job has started with its right";
    assert_eq!((code.as_str(), title.as_str()), ("JobOver", words));

    let second = Node::enrolled(world, "gpu-2", "hpc").await;
    let (code, title) = told(&stage, &second, "start", &[("sub", json!(taken))]).await;
    let words = "the job runs on as many nodes as it may";
    assert_eq!((code.as_str(), title.as_str()), ("JobOver", words));

    let late = stage.job().await;
    world.wait(3 * DAY_MS);
    let words = "the job has run for as long as it may";
    assert_eq!(why(&stage, &taken).await, words);
    world.wait(5 * DAY_MS);
    assert_eq!(why(&stage, &late).await, "the job has waited too long");
}

/// Another cluster, another account or a guessed name: that there is such a right is not told.
#[tokio::test]
async fn nobody_else_learns_what_became_of_it_or_that_it_is_there() {
    let stage = stage().await;
    let desks = Node::enrolled(&stage.world, "login-1", "desks").await;
    let job = stage.job().await;
    let absent = format!("rosa/{:032x}", 7);
    for over in [false, true] {
        if over {
            cancel(&stage, &job).await;
        }
        let (own, sub) = (&stage.node, json!(job));
        let mut answers = vec![
            told(&stage, &desks, "start", &[("sub", sub.clone())]).await,
            told(&stage, own, "start", &[("sub", json!(absent))]).await,
        ];
        for number in ["7", "8"] {
            let bent = [
                ("sub", sub.clone()),
                ("account", json!("root")),
                ("number", json!(number)),
            ];
            answers.push(told(&stage, own, "start", &bent).await);
        }
        for (code, title) in answers {
            let alike = ("AccessDenied", "Access denied.");
            assert_eq!((code.as_str(), title.as_str()), alike, "{over}");
        }
    }
}
