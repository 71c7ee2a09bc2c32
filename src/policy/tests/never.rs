//! What must never be allowed: without a policy, across projects, by hostile text, by mistake.

use std::sync::Arc;

use proptest::prelude::*;

use crate::policy::testkit::{
    NOW, ana, ask, builtin, dataset, deny, grant, person, policy, project,
};
use crate::policy::{
    Ask, Circumstances, Grant, Policy, PolicyError, PolicySource, ProjectPolicy, SubjectPolicy,
};
use crate::types::{Action, Timestamp};

static_assertions::assert_impl_all!(ProjectPolicy: Send, Sync);
static_assertions::assert_impl_all!(SubjectPolicy: Send, Sync);
static_assertions::assert_impl_all!(Policy: Send, Sync);

/// Asks everything about `ecg`, `mri` and the project.
fn nothing_is_allowed(view: &SubjectPolicy) {
    for action in Action::ALL {
        for on in ["*", "ecg", "ecg/a", "mri/b"] {
            let decision = ask(view, *action, on);
            assert!(!decision.allowed, "{action} {on}: {}", decision.rule);
        }
    }
}

#[test]
fn az_4_an_empty_policy_denies_everything() {
    for roles in [&[][..], &[("reader", ""), ("owner", "# nothing\n")]] {
        let policy = policy(roles);
        nothing_is_allowed(&ana(&policy, vec![]));
        let grants = vec![grant(1, "reader", "*"), grant(2, "owner", "*")];
        nothing_is_allowed(&ana(&policy, grants));
    }
    nothing_is_allowed(&ana(&builtin(), vec![]));
    nothing_is_allowed(&ana(&builtin(), vec![grant(1, "operator", "*")]));
}

#[test]
fn az_4_an_unreadable_policy_compiles_to_nothing() {
    let damaged = |model: &str, role: &str| {
        Policy::compile(&PolicySource {
            model: model.to_owned(),
            roles: vec![("reader".to_owned(), role.to_owned())],
        })
    };
    let model = PolicySource::builtin().model;
    let line = "p, reader, object.read, allow";
    assert!(damaged(&model, line).is_ok());
    for cut in (0..model.len()).filter(|cut| model.is_char_boundary(*cut)) {
        // Cut within the matcher's last bytes the text is still short of its end.
        if cut + 1 < model.len() {
            assert!(damaged(&model[..cut], line).is_err(), "{cut}");
        }
    }
    for cut in 1..line.len() {
        assert!(damaged(&model, &line[..cut]).is_err(), "{cut}");
    }
}

#[test]
fn an_unknown_role_gives_nothing_and_its_denial_denies_everything() {
    for role in [
        "",
        "Reader",
        "reader ",
        "deny:reader",
        "*",
        "p, reader",
        "?",
    ] {
        nothing_is_allowed(&ana(&builtin(), vec![grant(1, role, "*")]));
        let grants = vec![
            grant(1, "owner", "*"),
            grant(2, "auditor", "*"),
            deny(3, role, "*"),
        ];
        nothing_is_allowed(&ana(&builtin(), grants));
    }
}

#[test]
fn a_view_answers_for_its_own_subject_and_project_only() {
    let view = ana(&builtin(), vec![grant(1, "owner", "*")]);
    for (domain, subject, fault) in [
        ("icu", "bob", "fault: another principal"),
        ("other", "ana", "fault: another project"),
    ] {
        let decision = view.decide(&Ask {
            project: &project(domain),
            principal: &person(subject),
            dataset: Some(&dataset("ecg")),
            key: "a",
            action: Action::ObjectRead,
            now: NOW,
            when: Circumstances::default(),
        });
        assert!(!decision.allowed);
        assert_eq!(decision.rule, fault);
    }
}

#[test]
fn foreign_and_too_many_grants_are_errors() {
    let icu = ProjectPolicy::new(&builtin(), &project("icu")).unwrap();
    let of_bob = Grant {
        principal: person("bob"),
        ..grant(1, "reader", "*")
    };
    let of_mri = Grant {
        project: project("mri"),
        ..grant(1, "reader", "*")
    };
    for foreign in [of_bob, of_mri] {
        let refused = icu.subject(&person("ana"), vec![grant(2, "reader", "*"), foreign]);
        assert!(matches!(refused.err(), Some(PolicyError::ForeignGrant)));
    }
    let many = vec![grant(1, "reader", "*"); 10_001];
    let refused = icu.subject(&person("ana"), many);
    assert!(matches!(refused.err(), Some(PolicyError::TooManyGrants)));
}

#[test]
fn az_6_read_implies_neither_export_nor_write_nor_grant() {
    for role in ["reader", "job", "contributor", "owner"] {
        let view = ana(&builtin(), vec![grant(1, role, "*")]);
        assert!(ask(&view, Action::ObjectRead, "ecg/a").allowed);
        assert!(!ask(&view, Action::ObjectExport, "ecg/a").allowed, "{role}");
        assert!(!ask(&view, Action::LogRead, "*").allowed, "{role}");
    }
    for role in ["reader", "job"] {
        let view = ana(&builtin(), vec![grant(1, role, "*")]);
        for action in [
            Action::ObjectWrite,
            Action::ObjectDelete,
            Action::GrantManage,
        ] {
            assert!(!ask(&view, action, "ecg/a").allowed, "{role} {action}");
        }
    }
    let exporter = ana(&builtin(), vec![grant(1, "exporter", "*")]);
    assert!(!ask(&exporter, Action::ObjectRead, "ecg/a").allowed);
    // The right to carry out of one dataset is none to carry out of another.
    let view = ana(
        &builtin(),
        vec![grant(1, "reader", "*"), grant(2, "exporter", "ecg/out/")],
    );
    assert!(ask(&view, Action::ObjectExport, "ecg/out/a").allowed);
    assert!(!ask(&view, Action::ObjectExport, "ecg/in/a").allowed);
    assert!(!ask(&view, Action::ObjectExport, "mri/out/a").allowed);
}

/// Texts that would mean something to a CSV reader, a pattern or a script.
const HOSTILE: &[&str] = &[
    "*",
    ".*",
    "[a-z]",
    "a,b",
    "\"",
    "\"a\"",
    "'",
    "a\nb",
    "\r\n",
    "(",
    ")",
    "${x}",
    "`${1}`",
    "r.key",
    "p, owner, object.read, allow",
    "eval(true)",
    "\\",
    "a|b",
    "^",
    "$",
    ":x",
    "{x}",
    "é",
    "e\u{301}",
    "\u{0}",
    "/",
    "//",
    "#",
    " ",
    "\u{202e}",
];

#[test]
fn hostile_text_is_compared_and_never_understood() {
    let policy = builtin();
    for prefix in HOSTILE {
        let hostile = Grant {
            prefix: (*prefix).to_owned(),
            ..grant(1, "reader", "ecg")
        };
        let view = ana(&policy, vec![hostile]);
        for key in HOSTILE.iter().chain(&["a", "b", "abc"]) {
            let allowed = ask(&view, Action::ObjectRead, &format!("ecg/{key}")).allowed;
            assert_eq!(allowed, key.starts_with(prefix), "{prefix:?} {key:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// AZ-8: N projects × M users at random; nobody gets anything in a project where no grant is
    /// hers, whatever she holds elsewhere, under the same dataset names.
    #[test]
    fn az_8_nothing_is_allowed_across_projects(
        held in prop::collection::vec((0..4_usize, 0..5_usize, 0..8_usize, any::<bool>()), 0..24),
    ) {
        let policy = builtin();
        let roles = policy.roles();
        let projects = ["icu", "mri", "icu-2", "i"].map(project);
        let users = ["ana", "bob", "ana2", "a", "ana.b"].map(person);
        let rows: Vec<Grant> = held.iter().map(|(p, u, role, whole)| Grant {
            project: projects[*p].clone(),
            principal: users[*u].clone(),
            ..grant(1, roles[*role], if *whole { "*" } else { "ecg" })
        }).collect();
        for at in &projects {
            let domain = ProjectPolicy::new(&policy, at).unwrap();
            for who in &users {
                let own: Vec<Grant> = rows.iter()
                    .filter(|g| g.project == *at && g.principal == *who).cloned().collect();
                let view = domain.subject(who, own.clone()).unwrap();
                let questions = Action::ALL.iter()
                    .flat_map(|action| projects.iter().map(move |asked| (*action, asked)));
                for (action, asked) in questions {
                    let allowed = view.decide(&Ask {
                        project: asked, principal: who, dataset: Some(&dataset("ecg")),
                        key: "k", action, now: NOW, when: Circumstances::default(),
                    }).allowed;
                    let right = asked == at
                        && own.iter().any(|g| policy.role_allows(&g.role, action));
                    prop_assert_eq!(allowed, right);
                }
            }
        }
    }
}

#[test]
fn one_enforcer_serves_all_who_hold_the_same_roles_and_threads_agree() {
    let policy = builtin();
    let icu = Arc::new(ProjectPolicy::new(&policy, &project("icu")).unwrap());
    std::thread::scope(|scope| {
        for thread in 0..4_u8 {
            let icu = Arc::clone(&icu);
            scope.spawn(move || {
                let on = format!("ecg/{thread}/");
                let view = icu
                    .subject(&person("ana"), vec![grant(1, "reader", &on)])
                    .unwrap();
                for other in 0..4_u8 {
                    let key = format!("ecg/{other}/x");
                    let allowed = ask(&view, Action::ObjectRead, &key).allowed;
                    assert_eq!(allowed, other == thread);
                }
            });
        }
    });
}

#[test]
fn the_end_of_time_is_no_way_in() {
    let over = Grant {
        expires: Some(Timestamp::from_millis(u64::MAX)),
        ..grant(1, "reader", "*")
    };
    let view = ana(&builtin(), vec![over]);
    let at = |millis| {
        crate::policy::testkit::ask_at(
            &view,
            Action::ObjectRead,
            "ecg/a",
            Timestamp::from_millis(millis),
        )
        .allowed
    };
    assert!(at(u64::MAX - 1));
    assert!(!at(u64::MAX));
}
