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
use crate::ledger::{Entry, samples, session_hash};
use crate::types::Timestamp;

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
