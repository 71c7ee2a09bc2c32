//! The forms hold what the record holds. Whether they are valid is judged by the libraries of their
//! own worlds: `tests/exports/test_exports.py`, on the lines that are written here.

use serde_json::{Value, json};

use super::{Form, inert, nen};
use crate::ledger::{Completion, Intent, Outcome, Session, View, samples};
use crate::types::Action;

const FORMS: [(Form, &str); 5] = [
    (Form::Ocsf, "ocsf.jsonl"),
    (Form::Fhir, "fhir.ndjson"),
    (Form::Nen, "nen7513.jsonl"),
    (Form::Otel, "ldv.jsonl"),
    (Form::Csv, "requests.csv"),
];

type Request = (Option<Session>, Intent, Option<Completion>);

/// Every action with every outcome, a stranger, a request that is open.
fn requests() -> Vec<Request> {
    let outcomes = [
        Outcome::Success,
        Outcome::Refused,
        Outcome::Failed,
        Outcome::Aborted,
        Outcome::OpenAtCrash,
    ];
    let mut all = Vec::new();
    for (n, action) in Action::ALL.iter().enumerate() {
        let event = samples::event(u8::try_from(n).unwrap());
        let mut intent = samples::intent(event);
        intent.action = Some(*action);
        let mut completion = samples::completion(event);
        completion.outcome = outcomes[n % outcomes.len()];
        completion.reason = "=cmd|' /C calc'!A0 \"quoted\"\nline".into();
        all.push((Some(samples::session()), intent, Some(completion)));
    }
    let event = samples::event(200);
    all.push((
        Some(samples::stranger()),
        samples::bare_intent(event),
        Some(samples::completion(event)),
    ));
    all.push((None, samples::bare_intent(event), None));
    all
}

fn line(form: Form, (session, intent, completion): &Request) -> String {
    let view = View {
        lane: "gw-1",
        seq: 9,
        session: session.as_ref(),
        intent: Some(intent),
        completion: completion.as_ref(),
    };
    form.line(&view).unwrap()
}

fn value(form: Form, request: &Request) -> Value {
    serde_json::from_str(&line(form, request)).unwrap()
}

fn read() -> Request {
    requests().swap_remove(
        Action::ALL
            .iter()
            .position(|a| *a == Action::ObjectRead)
            .unwrap(),
    )
}

#[track_caller]
fn holds(value: &Value, fields: &[(&str, Value)]) {
    for (pointer, expected) in fields {
        assert_eq!(
            value.pointer(pointer),
            Some(expected),
            "{pointer} in {value}"
        );
    }
}

#[test]
fn the_lines_are_those_that_others_judge() {
    for (form, name) in FORMS {
        let path = format!(
            "{}/tests/vectors/exports/{name}",
            env!("CARGO_MANIFEST_DIR")
        );
        let lines = requests()
            .iter()
            .map(|request| line(form, request))
            .collect::<Vec<_>>();
        let mut text: String = form
            .head()
            .into_iter()
            .chain(lines)
            .collect::<Vec<_>>()
            .join("\n");
        text.push('\n');
        let version = format!("\"version\":\"{}\"", env!("CARGO_PKG_VERSION"));
        let text = text.replace(&version, "\"version\":\"0\"");
        #[expect(
            clippy::disallowed_methods,
            reason = "a switch of tests, not of the product"
        )]
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text, "{path}");
    }
}

#[test]
fn ocsf_says_who_did_what_to_which_object() {
    let mut request = read();
    request.2.as_mut().unwrap().outcome = Outcome::Success;
    holds(
        &value(Form::Ocsf, &request),
        &[
            ("/type_uid", json!(600_501)),
            ("/actor/user/uid", json!("m.jansen@umcg.nl")),
            ("/actor/app_uid", json!("j.devries")),
            ("/databucket/file/path", json!("records/00001.dat")),
            ("/status_id", json!(1)),
            ("/actor/authorizations/0/decision", json!("allow")),
            ("/unmapped/permit", json!("HDAB-NL-2026-0417")),
        ],
    );
    request.2.as_mut().unwrap().outcome = Outcome::Refused;
    let refused = [
        ("/status_id", json!(2)),
        ("/action_id", json!(2)),
        ("/disposition_id", json!(2)),
    ];
    holds(&value(Form::Ocsf, &request), &refused);
}

#[test]
fn fhir_claims_a_profile_for_a_read_that_succeeded_alone() {
    let mut request = read();
    request.2.as_mut().unwrap().outcome = Outcome::Success;
    let good = value(Form::Fhir, &request);
    assert!(good.pointer("/meta/profile/0").is_some());
    holds(
        &good,
        &[
            ("/outcome", json!("0")),
            ("/action", json!("R")),
            ("/subtype/0/code", json!("read")),
        ],
    );
    request.2.as_mut().unwrap().outcome = Outcome::Refused;
    let refused = value(Form::Fhir, &request);
    assert!(refused.get("meta").is_none());
    holds(
        &refused,
        &[("/type/code", json!("110113")), ("/outcome", json!("4"))],
    );
}

#[test]
fn what_nen_7513_requires_is_in_every_event() {
    for request in requests() {
        let event = value(Form::Nen, &request);
        for name in nen::REQUIRED {
            assert!(
                event[name].as_str().is_some_and(|text| !text.is_empty()),
                "{name} in {event}"
            );
        }
    }
    let event = value(Form::Nen, &read());
    holds(
        &event,
        &[
            ("/RoleIDCode", json!("reader")),
            ("/ResponsibleUserID", json!("m.jansen@umcg.nl")),
        ],
    );
}

#[test]
fn no_form_breaks_its_line_and_no_cell_is_a_formula() {
    for (form, _) in FORMS {
        for request in requests() {
            let line = line(form, &request);
            assert!(!line.contains(['\n', '\r']), "{line}");
        }
    }
    assert!(line(Form::Csv, &read()).contains("\"'=cmd"));
}

#[test]
fn what_a_spreadsheet_would_calculate_is_marked_and_nothing_else() {
    for formula in [
        "=1+1",
        "+1",
        "-1",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "\n=1",
        " =1",
        "\u{ff1d}1",
        "\u{ff20}a",
    ] {
        assert_eq!(inert(formula), format!("'{formula}"), "{formula:?}");
    }
    for text in ["", " ", "a=1", "1-1", "aws-sdk", "'=1", "é", "p-abc"] {
        assert_eq!(inert(text), text, "{text:?}");
    }
}
