//! A process killed in the middle of its commits: what it was told is durable is there.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use super::*;
use crate::types::{LogTerms, Timestamp};

const VICTIMS_FILE: &str = "victim.db";

/// Both roles: started by the test runner it starts itself again with a file's name, which makes
/// that process the victim.
#[test]
fn a_killed_process_loses_no_acknowledged_commit() {
    let file = std::env::args().find(|arg| arg.ends_with(VICTIMS_FILE));
    if let Some(file) = file {
        return commit_for_ever(Path::new(&file));
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(VICTIMS_FILE);
    let mut acknowledged = 0;
    for round in 1..=3_u64 {
        acknowledged = kill_after(&path, acknowledged + 40 * round);
        let catalog = SqliteCatalog::open(&path).unwrap();
        let seq = runtime().block_on(catalog.change_seq()).unwrap();
        assert!(seq >= acknowledged, "{seq} < {acknowledged}");
        for number in 1..=seq {
            let row = runtime().block_on(catalog.project(&name(number))).unwrap();
            assert!(row.is_some(), "{number} of {seq}");
        }
        let none = runtime().block_on(catalog.project(&name(seq + 1))).unwrap();
        assert_eq!(none, None);
        acknowledged = seq;
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
}

fn name(number: u64) -> ProjectName {
    format!("p{number}").parse().unwrap()
}

/// Commits from many tasks at once, one project per commit, and tells of each answer.
fn commit_for_ever(path: &Path) {
    let catalog = SqliteCatalog::open(path).unwrap();
    runtime().block_on(async {
        let begun = catalog.change_seq().await.unwrap();
        for first in (begun + 1..).step_by(8) {
            let commits = (first..first + 8).map(|number| {
                let row = ProjectRow {
                    name: name(number),
                    created: Timestamp::from_millis(number),
                    defaults: None,
                    log: LogTerms::default(),
                };
                catalog.commit(vec![Mutation::CreateProject(row)])
            });
            for answer in futures_util::future::join_all(commits).await {
                answer.unwrap();
            }
            writeln!(std::io::stdout().lock(), "\nacknowledged {}", first + 7).unwrap();
        }
    });
}

/// Starts a victim and kills it once it acknowledged this number; the last one it told of.
fn kill_after(path: &Path, number: u64) -> u64 {
    let (_, module) = module_path!().split_once("::").unwrap();
    let this_test = format!("{module}::a_killed_process_loses_no_acknowledged_commit");
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &this_test, "--nocapture"])
        .arg(path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut last = 0;
    for line in BufReader::new(victim.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let Some(told) = line.strip_prefix("acknowledged ") else {
            continue;
        };
        last = told.parse().unwrap();
        if last >= number {
            // Goes on reading: what it said before it died counts too.
            victim.kill().unwrap();
        }
    }
    victim.wait().unwrap();
    assert!(last >= number, "the victim stopped by itself at {last}");
    last
}
