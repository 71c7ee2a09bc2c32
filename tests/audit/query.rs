//! Questions, as auditors ask them: by flags and in SQL, over volumes and the newest records.

use super::{Vault, told};

impl Vault {
    #[track_caller]
    pub(super) fn asks(&self, args: &[&str]) -> String {
        let hers = ["--json", "query", "--project", "icu", "--auditor", "tess"];
        told(&self.audit(&[&hers[..], args].concat()), 0, "")
    }

    #[track_caller]
    fn sql(&self, sql: &str) -> String {
        self.asks(&["--sql", sql])
    }

    #[track_caller]
    fn refused(&self, sql: &str, code: i32, text: &str) {
        let hers = [
            "query",
            "--project",
            "icu",
            "--auditor",
            "tess",
            "--sql",
            sql,
        ];
        let told = told(&self.audit(&hers), code, text);
        assert!(told.is_empty(), "{sql}: {told}");
    }
}

fn lines(text: &str) -> usize {
    text.lines().filter(|line| !line.is_empty()).count()
}

#[test]
fn the_same_question_has_the_same_answer_from_volumes_and_from_the_journal() {
    let vault = Vault::founded();
    vault.kluis(
        &["dataset", "create", "icu/ecg", "--creator", "ana"],
        "icu--ecg",
    );
    let made = ["--action", "dataset.create", "--dataset", "ecg"];
    let before = vault.asks(&made);
    assert_eq!(lines(&before), 1, "{before}");
    assert!(before.contains("\"outcome\":\"success\""), "{before}");
    vault.ships();
    assert_eq!(vault.asks(&made), before);
    // Half in volumes, half in the journal.
    vault.kluis(
        &["dataset", "create", "icu/eeg", "--creator", "ana"],
        "icu--eeg",
    );
    let both = vault.asks(&["--action", "dataset.create"]);
    assert_eq!(lines(&both), 2, "{both}");
    let sql = "SELECT dataset, count(*) AS n FROM requests WHERE action = 'dataset.create' \
               GROUP BY dataset ORDER BY dataset";
    let counted = "{\"dataset\":\"ecg\",\"n\":1}\n{\"dataset\":\"eeg\",\"n\":1}\n";
    assert_eq!(vault.sql(sql), counted);
    vault.ships();
    assert_eq!(vault.sql(sql), counted);
    assert_eq!(vault.asks(&["--dataset", "none"]), "");
    assert_eq!(vault.asks(&["--until", "2020-01-01"]), "");
    assert_eq!(lines(&vault.asks(&["--limit", "2"])), 2);
}

#[test]
fn every_look_is_in_the_log_and_so_is_every_refusal_of_one() {
    let vault = Vault::founded();
    vault.serves_once();
    vault.asks(&["--principal", "ana"]);
    vault.sql("SELECT 1");
    let foreign = [
        "query",
        "--project",
        "icu",
        "--auditor",
        "ana",
        "--sql",
        "SELECT 2",
    ];
    told(&vault.audit(&foreign), 1, "no grant to read this log");
    let looks = vault.sql("SELECT query, outcome FROM requests WHERE operation = 'audit query'");
    for line in [
        "{\"query\":\"query project=icu auditor=tess principal=ana\",\"outcome\":\"success\"}",
        "{\"query\":\"query project=icu auditor=tess sql=SELECT 1\",\"outcome\":\"success\"}",
        "{\"query\":\"query project=icu auditor=ana sql=SELECT 2\",\"outcome\":\"refused\"}",
    ] {
        assert!(looks.contains(line), "{line} is not in {looks}");
    }
}

#[test]
fn an_auditor_sees_her_project_and_nothing_else() {
    let vault = Vault::founded();
    vault.kluis(&["project", "create", "onco", "--owner", "bas"], "onco");
    vault.kluis(
        &["dataset", "create", "onco/mri", "--creator", "bas"],
        "onco--mri",
    );
    for shipped in [false, true] {
        if shipped {
            vault.ships();
        }
        let projects = vault.sql("SELECT DISTINCT project FROM requests");
        assert_eq!(projects, "{\"project\":\"icu\"}\n");
        assert_eq!(
            vault.sql("SELECT * FROM requests WHERE dataset = 'mri'"),
            ""
        );
        assert_eq!(
            vault.sql("SELECT * FROM requests WHERE project <> 'icu' OR true LIMIT 0"),
            ""
        );
        // An error on a row would tell that it is there.
        let probe = "SELECT count(*) AS n FROM requests WHERE \
                     1 / (CASE WHEN project = 'onco' THEN 0 ELSE 1 END) = 5";
        assert_eq!(vault.sql(probe), "{\"n\":0}\n");
        let probe = "SELECT sum(1 / (CASE WHEN dataset = 'mri' THEN 0 ELSE 1 END)) > 0 AS yes \
                     FROM requests";
        assert_eq!(vault.sql(probe), "{\"yes\":true}\n");
        // What columns a volume has for itself is not to be had.
        vault.refused("SELECT data FROM requests", 2, "No field named data");
        vault.refused("SELECT * FROM volumes", 2, "not found");
    }
    // The operator of the host sees all of it, and that stands in the log.
    let all = vault.audit(&["--json", "query", "--vault", "--action", "dataset.create"]);
    assert!(told(&all, 0, "").contains("mri"));
    let look = [
        "--json",
        "query",
        "--vault",
        "--nature",
        "log",
        "--all-columns",
    ];
    told(&vault.audit(&look), 0, "query vault action=dataset.create");
    told(
        &vault.audit(&["query", "--sql", "SELECT 1"]),
        2,
        "--auditor",
    );
}

#[test]
fn a_query_only_asks() {
    let vault = Vault::founded();
    vault.serves_once();
    let secret = vault.text("secret.csv");
    std::fs::write(&secret, "a\n1\n").expect("written");
    let out = vault.text("out.csv");
    for (sql, text) in [
        ("CREATE TABLE t AS SELECT 1", "DDL"),
        ("CREATE VIEW v AS SELECT 1", "DDL"),
        ("DROP TABLE requests", "DDL"),
        (
            &format!("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '{secret}'"),
            "DDL",
        ),
        ("INSERT INTO requests SELECT * FROM requests", "DML"),
        ("DELETE FROM requests", "DML"),
        (&format!("COPY (SELECT 1) TO '{out}'"), "DML"),
        ("SET datafusion.execution.batch_size = 1", "SetVariable"),
        ("PREPARE p AS SELECT 1", "Prepare"),
        ("EXPLAIN SELECT * FROM requests", "not for its plan"),
        ("EXPLAIN ANALYZE SELECT * FROM requests", "not for its plan"),
        ("SELECT 1; SELECT 2", "single SQL"),
        (&format!("SELECT * FROM '{secret}'"), "not found"),
        ("SELECT * FROM information_schema.tables", "not"),
        ("SELECT", "SQL"),
        ("", "No SQL"),
    ] {
        vault.refused(sql, 2, text);
    }
    assert!(!vault.path("out.csv").exists());
    // Beyond its memory it is refused.
    let large = "SELECT repeat('x', 10000) AS x FROM generate_series(1, 100000) a \
                 ORDER BY a.value % 7";
    vault.refused(large, 3, "too much memory");
    // What no count covers is bounded by the system.
    let bomb = "SELECT length(repeat('x', 400000000 + a.value)) AS n FROM generate_series(1, 99) a";
    let hers = [
        "query",
        "--project",
        "icu",
        "--auditor",
        "tess",
        "--sql",
        bomb,
    ];
    let output = vault.audit(&hers);
    assert!(
        !output.status.success() && output.stdout.is_empty(),
        "{output:?}"
    );
    let long = format!("SELECT '{}'", "x".repeat(70_000));
    vault.refused(&long, 1, "longer than a record of it holds");
    // What a comment pads is asked no more than it is recorded.
    let padded = format!("/* {} */ SELECT principal FROM requests", "x".repeat(2_048));
    vault.refused(&padded, 1, "longer than a record of it holds");
    let deep = format!("SELECT {}1{}", "(".repeat(900), ")".repeat(900));
    vault.refused(&deep, 2, "RecursionLimit");
}

#[test]
fn answers_come_as_table_csv_and_parquet() {
    let vault = Vault::founded();
    vault.ships();
    let hers = ["query", "--project", "icu", "--auditor", "tess", "--sql"];
    let sql = "SELECT operation, project, event FROM requests ORDER BY time LIMIT 1";
    let asked = |args: &[&str]| vault.audit(&[&hers[..], &[sql], args].concat());
    let table = told(&asked(&[]), 0, "| operation");
    assert_eq!(lines(&table), 5, "{table}");
    let csv = told(&asked(&["--format", "csv"]), 0, "operation,project,event\n");
    assert_eq!(lines(&csv), 2);
    told(&asked(&["--format", "parquet"]), 2, "--out");
    let out = vault.text("answer.parquet");
    told(&asked(&["--format", "parquet", "--out", &out]), 0, "1 rows");
    let bytes = std::fs::read(&out).expect("read");
    assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"));
    told(
        &asked(&["--format", "parquet", "--out", &out]),
        2,
        "is there already",
    );
}

#[test]
fn exports_hold_the_same_requests_in_every_form() {
    let vault = Vault::founded();
    vault.kluis(&["project", "create", "onco", "--owner", "bas"], "onco");
    vault.ships();
    vault.kluis(
        &["dataset", "create", "icu/ecg", "--creator", "ana"],
        "icu--ecg",
    );
    let hers = ["export", "--project", "icu", "--auditor", "tess", "--form"];
    let asked = |form: &str| told(&vault.audit(&[&hers[..], &[form]].concat()), 0, "");
    let json = asked("json");
    assert!(
        json.contains("\"dataset\":\"ecg\"") && !json.contains("onco"),
        "{json}"
    );
    for (form, word) in [
        ("ocsf", "\"type_uid\":600505"),
        ("fhir", "\"resourceType\":\"AuditEvent\""),
        ("nen7513", "\"EventActionCode\":\"C\""),
        ("ldv", "\"resourceSpans\""),
    ] {
        let text = asked(form);
        assert!(
            text.contains(word) && !text.contains("onco"),
            "{form}: {text}"
        );
    }
    // Each look is one more request in the next.
    assert_eq!(lines(&asked("csv")), lines(&json) + 6);
    let out = vault.text("log.csv");
    let file = [&hers[..], &["csv", "--out", &out]].concat();
    told(&vault.audit(&file), 0, "requests are in");
    told(&vault.audit(&file), 2, "is there already");
    let early = [&hers[..], &["csv", "--until", "2020-01-01"]].concat();
    assert_eq!(lines(&told(&vault.audit(&early), 0, "")), 1);
    let foreign = [
        "export",
        "--project",
        "icu",
        "--auditor",
        "ana",
        "--form",
        "csv",
    ];
    told(&vault.audit(&foreign), 1, "no grant to read this log");
}

#[test]
fn a_volume_that_was_bent_swapped_or_lost_is_an_error_and_no_answer() {
    let vault = Vault::founded();
    vault.ships();
    let volumes = vault.volumes();
    let honest: Vec<Vec<u8>> = volumes
        .iter()
        .map(|v| std::fs::read(v).expect("read"))
        .collect();
    let all = "SELECT * FROM requests";
    for at in [8, honest[0].len() / 2, honest[0].len() - 20] {
        for (path, bytes) in volumes.iter().zip(&honest) {
            let mut bent = bytes.clone();
            let at = at.min(bent.len() - 20);
            bent[at] ^= 1;
            std::fs::write(path, bent).expect("written");
        }
        let hers = [
            "query",
            "--project",
            "icu",
            "--auditor",
            "tess",
            "--sql",
            all,
        ];
        let output = vault.audit(&hers);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
    }
    for (path, bytes) in volumes.iter().zip(honest.iter().rev()) {
        std::fs::write(path, bytes).expect("written");
    }
    vault.refused(all, 1, "");
    for (path, bytes) in volumes.iter().zip(&honest) {
        std::fs::write(path, bytes).expect("written");
    }
    assert!(!vault.sql(all).is_empty());
    std::fs::remove_file(&volumes[0]).expect("removed");
    vault.refused(all, 1, "no such blob");
}

#[test]
fn what_ends_is_followed_as_it_ends() {
    use std::io::{BufRead as _, BufReader};
    use std::process::Stdio;

    let vault = Vault::founded();
    vault.serves_once();
    let config = vault.text("kluis.toml");
    let mut command = super::command(env!("CARGO_BIN_EXE_kluis-audit"));
    let hers = [
        "--config",
        &config,
        "--json",
        "query",
        "--project",
        "icu",
        "--auditor",
        "tess",
    ];
    let mut child = command
        .args(hers)
        .args(["--action", "dataset.create", "--follow"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    for name in ["ecg", "mri"] {
        let dataset = format!("icu/{name}");
        vault.kluis(
            &["dataset", "create", &dataset, "--creator", "ana"],
            "icu--",
        );
        let line = lines.next().expect("it goes on").expect("a line");
        let wanted = format!("\"dataset\":\"{name}\"");
        assert!(line.contains(&wanted) && line.contains("success"), "{line}");
    }
    child.kill().expect("it runs still");
    child.wait().expect("it ends");
    let both = vault.asks(&["--action", "dataset.create"]);
    assert_eq!(both.lines().count(), 2);
    // It cannot be asked to follow what has an end.
    let flags = [
        "query",
        "--project",
        "icu",
        "--auditor",
        "tess",
        "--follow",
        "--sql",
        "SELECT 1",
    ];
    told(&vault.audit(&flags), 2, "cannot be used with");
}
