//! What pages cost: steps of SQLite's machine, which are the same on every computer, for few rows
//! and for thirty times as many. A page costs what it returns, not what it passes over.

use rusqlite::{Connection, StatementStatus, params};

use super::{approvals, keywork, list, schema, versions};
use crate::catalog::codec::encode_value;
use crate::catalog::{ApprovalRow, ApprovalState, ErasedWrite, ListQuery, VersionQuery};
use crate::types::{
    Act, ActKind, ApprovalId, DatasetId, KeyWorkId, Timestamp, VersionId, VersionName,
};

const DATASET: DatasetId = DatasetId::from_bytes([1; 16]);
const FEW: u32 = 300;
const MANY: u32 = 9_000;

/// `n` objects below each of `a/` and `d/`, `n` deleted ones below `c/` (a version under a marker
/// each), `n` older versions of `e`, and an object at the top level.
fn filled(n: u32) -> Connection {
    let conn = Connection::open_in_memory().unwrap();
    schema::migrate(&conn, schema::STEPS).unwrap();
    conn.pragma_update(None, "foreign_keys", false).unwrap();
    conn.execute_batch(&format!(
        "CREATE TEMP TABLE n AS WITH RECURSIVE n(i) AS
            (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < {n}) SELECT i FROM n;
        CREATE TEMP VIEW k AS SELECT i, printf('%08d', i) AS name,
            CAST(printf('%016d', i) AS BLOB) AS version FROM n;
        CREATE TEMP TABLE d AS SELECT x'{dataset}' AS id;
        INSERT INTO objects (dataset, key, bytes, etag, modified, version, body, versioned)
            SELECT d.id, CAST(p || name AS BLOB), 1, '{etag}', 1, version, i, 1
                FROM d, k, (SELECT 'a/' AS p UNION SELECT 'd/')
            UNION ALL SELECT d.id, CAST('b' AS BLOB), 1, '{etag}', 1, zeroblob(16), 1, 1 FROM d
            UNION ALL SELECT d.id, CAST('e' AS BLOB), 1, '{etag}', 1, zeroblob(16), 1, 1 FROM d;
        INSERT INTO versions (dataset, key, place, version, versioned, bytes, etag, modified, body)
            SELECT d.id, CAST('c/' || name AS BLOB), place, version, 1, 1, '{etag}', 1, b
                FROM d, k, (SELECT -2 AS place, NULL AS b UNION SELECT -1, 1)
            UNION ALL SELECT d.id, CAST('e' AS BLOB), -i, version, 1, 1, '{etag}', 1, 1 FROM d, k;",
        dataset = "01".repeat(16),
        etag = format!("{:032x}-1", 7),
    ))
    .unwrap();
    conn
}

/// The steps that these statements made since the last time.
fn steps(conn: &Connection, selects: &[&str]) -> i32 {
    let made = selects.iter().map(|select| {
        let statement = conn.prepare_cached(select).unwrap();
        statement.reset_status(StatementStatus::VmStep)
    });
    made.sum()
}

/// The entries of each page at both sizes, after a look at what it cost.
fn costs_the_same(selects: &[&str], page: impl Fn(&Connection) -> Vec<String>) -> Vec<String> {
    let [few, many] = [FEW, MANY].map(|n| {
        let conn = filled(n);
        let entries = page(&conn);
        (steps(&conn, selects), entries)
    });
    assert_eq!(few.1, many.1);
    assert!(few.0 > 0, "these are not the statements that ran");
    assert_eq!(few.0, many.0, "steps for {FEW} and for {MANY}: {:?}", few.1);
    few.1
}

fn listed(query: &ListQuery) -> Vec<String> {
    costs_the_same(&[list::OBJECTS], |conn| {
        let page = list::objects(conn, DATASET.as_bytes(), query, list::OBJECTS).unwrap();
        page.entries
            .iter()
            .map(|entry| format!("{entry:?}"))
            .collect()
    })
}

fn query(prefix: &str, delimiter: &str, after: &str, limit: usize) -> ListQuery {
    ListQuery {
        prefix: prefix.into(),
        delimiter: Some(delimiter.into()),
        after: Some(after.into()),
        limit,
    }
}

#[test]
fn folded_prefixes_cost_no_more_when_more_is_below_them() {
    assert_eq!(listed(&query("", "/", "", 1_000)).len(), 4);
    assert_eq!(listed(&query("", "/", "a/", 1_000)).len(), 3);
    assert_eq!(listed(&query("", "/", "a/00000007", 1_000)).len(), 3);
}

#[test]
fn a_page_ends_when_it_is_full() {
    for after in ["", "a/00000100"] {
        assert_eq!(listed(&query("a/", "/", after, 100)).len(), 100);
    }
    assert_eq!(listed(&query("d/", "", "", 1)).len(), 1);
    assert_eq!(listed(&query("zz", "/", "", 1)).len(), 0);
}

/// Nothing that was deleted is passed over.
#[test]
fn delete_markers_cost_a_listing_nothing() {
    assert_eq!(listed(&query("c/", "", "", 1_000)).len(), 0);
    assert_eq!(listed(&query("", "/", "b", 1_000)).len(), 2);
}

#[test]
fn pages_of_versions_cost_what_they_return() {
    let listed = |prefix: &str, delimiter: &str, after: Option<(&str, Option<u32>)>, limit| {
        let version = |i: u32| {
            let id = format!("{i:016}").into_bytes();
            VersionName::Id(VersionId::from_bytes(id.try_into().unwrap()))
        };
        let query = VersionQuery {
            prefix: prefix.into(),
            delimiter: Some(delimiter.into()),
            after: after.map(|(key, name)| (key.into(), name.map(version))),
            limit,
        };
        costs_the_same(&versions::SELECTS, |conn| {
            let page = versions::page(conn, &DATASET, &query).unwrap();
            page.entries
                .iter()
                .map(|entry| format!("{entry:?}"))
                .collect()
        })
    };
    assert_eq!(listed("", "/", None, 4).len(), 4);
    assert_eq!(listed("", "/", Some(("a/", None)), 3).len(), 3);
    assert_eq!(listed("c/", "", None, 100).len(), 100);
    assert_eq!(listed("c/", "", Some(("c/00000100", None)), 100).len(), 100);
    assert_eq!(
        listed("c/", "", Some(("c/00000100", Some(100))), 100).len(),
        100
    );
    assert_eq!(listed("e", "", Some(("e", Some(300))), 100).len(), 100);
}

#[test]
fn an_erased_write_comes_back_for_the_same_behind_few_and_behind_many() {
    costs_the_same(&[keywork::NEXT_ERASED], |conn| {
        let work = KeyWorkId::from_bytes([2; 16]);
        conn.execute(
            "INSERT INTO erased (work, number, key, version, bytes)
             SELECT ?1, i, CAST(name AS BLOB), version, 1 FROM k",
            [work.as_bytes()],
        )
        .unwrap();
        let write = ErasedWrite {
            key: "last".parse().unwrap(),
            version: VersionId::from_bytes([3; 16]),
            bytes: 1,
        };
        keywork::restore_erased(conn, &work, &[write], &[]).unwrap();
        let select = "SELECT max(number) - count(*) FROM erased";
        let gap: i64 = conn.query_row(select, [], |row| row.get(0)).unwrap();
        vec![gap.to_string()]
    });
}

/// Whoever only asks and takes back makes neither asking nor looking dear for others.
#[test]
fn what_waits_costs_the_same_whatever_is_over() {
    let waits = ApprovalRow {
        id: ApprovalId::from_bytes([0xff; 16]),
        act: Act {
            kind: ActKind::ShortenLog,
            project: "icu".parse().unwrap(),
            dataset: None,
            terms: vec!["365".to_owned()],
        },
        asker: "ann".parse().unwrap(),
        reason: "it has ended".to_owned(),
        asked: Timestamp::default(),
        state: ApprovalState::Asked,
        due: Timestamp::from_millis(2 * u64::from(MANY)),
        approver: None,
        settled: None,
    };
    let found = costs_the_same(&[approvals::WAITING], |conn| {
        let over = "INSERT INTO approvals (id, project, asked, due, row)
            SELECT version, 'icu', i, i, x'00' FROM k";
        conn.execute(over, []).unwrap();
        let insert = "INSERT INTO approvals (id, project, asked, due, row)
            VALUES (?1, 'icu', 0, ?2, ?3)";
        let (id, due) = (waits.id.as_bytes(), 2 * MANY);
        let row = encode_value(&waits);
        conn.execute(insert, params![id, due, row]).unwrap();
        let now = Timestamp::from_millis(MANY.into());
        let rows = approvals::waiting(conn, &waits.act.project, now, 9).unwrap();
        rows.iter().map(|row| row.id.to_string()).collect()
    });
    assert_eq!(found, [waits.id.to_string()]);
}
