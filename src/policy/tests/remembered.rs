//! What casbin said once must not be said of another question.

use crate::policy::testkit::{NOW, ana, ask, ask_at, builtin, deny, grant, person, project};
use crate::policy::{Grant, Policy, PolicySource, ProjectPolicy};
use crate::types::Action;
use std::sync::Arc;

const READ: Action = Action::ObjectRead;

/// The built-in policy with a further condition in its matcher.
fn narrowed(condition: &str) -> Arc<Policy> {
    let mut source = PolicySource::builtin();
    source.model = source
        .model
        .lines()
        .map(|line| {
            if line.starts_with("m = ") {
                format!("{line} && {condition}\n")
            } else {
                format!("{line}\n")
            }
        })
        .collect();
    Arc::new(Policy::compile(&source).unwrap())
}

#[test]
fn each_question_of_one_view_has_its_own_answer() {
    let ends = NOW.plus_millis(10);
    let grants = vec![
        Grant {
            expires: Some(ends),
            ..grant(1, "reader", "ecg")
        },
        deny(2, "reader", "ecg/adults/"),
    ];
    let view = ana(&builtin(), grants);
    for _ in 0..3 {
        assert!(ask(&view, READ, "ecg/children/1").allowed);
        assert!(!ask(&view, READ, "ecg/adults/1").allowed);
        assert!(!ask(&view, READ, "mri/children/1").allowed);
        assert!(!ask(&view, Action::ObjectWrite, "ecg/children/1").allowed);
        assert!(!ask_at(&view, READ, "ecg/children/1", ends).allowed);
    }
}

/// One enforcer serves all who hold the same roles.
#[test]
fn what_is_said_of_one_subject_is_not_said_of_another() {
    let icu = ProjectPolicy::new(&builtin(), &project("icu")).unwrap();
    let holding = |name: &str, on: &str| {
        let mut held = grant(1, "reader", on);
        held.principal = person(name);
        icu.subject(&person(name), vec![held]).unwrap()
    };
    let (ana, bo) = (holding("ana", "ecg"), holding("bo", "mri"));
    let bo_asks = |on: &str| {
        let (name, key) = on.split_once('/').unwrap();
        bo.decide(&crate::policy::Ask {
            project: &project("icu"),
            principal: &person("bo"),
            dataset: Some(&name.parse().unwrap()),
            key,
            action: READ,
            now: NOW,
            when: crate::policy::Circumstances::default(),
        })
    };
    for _ in 0..2 {
        assert!(ask(&ana, READ, "ecg/1").allowed);
        assert!(!bo_asks("ecg/1").allowed);
        assert!(bo_asks("mri/1").allowed);
        assert!(!ask(&ana, READ, "mri/1").allowed);
    }
}

#[test]
fn a_further_condition_is_asked_each_time() {
    let policy = narrowed(r#"r.dataset != "closed""#);
    let view = ana(&policy, vec![grant(1, "owner", "*")]);
    for _ in 0..2 {
        assert!(ask(&view, READ, "ecg/1").allowed);
        assert!(!ask(&view, READ, "closed/1").allowed);
    }
}
