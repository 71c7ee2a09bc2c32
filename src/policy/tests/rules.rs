//! What a grant covers, when, and what a decision says of it.

use crate::policy::testkit::{NOW, ana, ask, ask_at, builtin, deny, grant, policy};
use crate::policy::{Grant, GrantEffect, PolicySource};
use crate::types::{Action, GrantId, Timestamp};

#[test]
fn a_decision_names_its_line_its_grant_purpose_and_permit() {
    let view = ana(
        &builtin(),
        vec![grant(1, "job", "ecg"), grant(2, "reader", "mri")],
    );
    let decision = ask(&view, Action::ObjectRead, "mri/a");
    assert!(decision.allowed);
    assert_eq!(decision.rule, "p, reader, object.read, allow");
    assert_eq!(decision.grant, Some(GrantId::from_bytes([2; 16])));
    assert_eq!(decision.purpose.as_deref(), Some("purpose 2"));
    assert_eq!(decision.permit.as_deref(), Some("permit 2"));
    assert_eq!(decision.version, view.version());
}

#[test]
fn the_narrowest_grant_is_named() {
    let grants = vec![
        grant(1, "reader", "*"),
        grant(2, "reader", "ecg"),
        grant(3, "reader", "ecg/a/"),
    ];
    let view = ana(&builtin(), grants);
    for (on, id) in [("mri/x", 1), ("ecg/x", 2), ("ecg/a/x", 3)] {
        let grant = ask(&view, Action::ObjectRead, on).grant;
        assert_eq!(grant, Some(GrantId::from_bytes([id; 16])), "{on}");
    }
}

#[test]
fn a_prefix_covers_the_keys_and_listings_that_begin_with_it() {
    let view = ana(&builtin(), vec![grant(1, "owner", "ecg/adults/")]);
    let cases = [
        (Action::ObjectRead, "ecg/adults/1", true),
        (Action::ObjectRead, "ecg/adults/", true),
        (Action::ObjectRead, "ecg/adults", false),
        (Action::ObjectRead, "ecg/Adults/1", false),
        (Action::ObjectRead, "ecg/x/adults/1", false),
        (Action::ObjectList, "ecg/adults/", true),
        (Action::ObjectList, "ecg/adults/2024", true),
        (Action::ObjectList, "ecg/adult", false),
        (Action::ObjectList, "ecg", false),
        (Action::UploadManage, "ecg", false),
        (Action::GrantManage, "ecg/adults/2024", true),
        (Action::GrantManage, "ecg", false),
        (Action::DatasetDelete, "ecg", false),
        (Action::DatasetHead, "ecg", true),
        (Action::DatasetHead, "mri", false),
        (Action::DatasetHead, "*", false),
    ];
    for (action, on, allowed) in cases {
        assert_eq!(ask(&view, action, on).allowed, allowed, "{action} {on}");
    }
}

#[test]
fn a_grant_over_one_dataset_says_nothing_of_the_project() {
    let one = ana(&builtin(), vec![grant(1, "owner", "ecg")]);
    let all = ana(&builtin(), vec![grant(1, "owner", "*")]);
    for action in [
        Action::DatasetCreate,
        Action::GrantManage,
        Action::DatasetHead,
    ] {
        assert!(!ask(&one, action, "*").allowed, "{action}");
        assert!(ask(&all, action, "*").allowed, "{action}");
        assert!(ask(&all, action, "mri").allowed, "{action}");
    }
}

#[test]
fn a_denial_on_one_dataset_denies_what_is_asked_of_all_of_them() {
    let denying = |role: &str, on: &str, prefix: &str| Grant {
        effect: GrantEffect::Deny,
        prefix: prefix.to_owned(),
        ..grant(9, role, on)
    };
    for (role, action) in [
        ("owner", Action::GrantManage),
        ("auditor", Action::LogRead),
        ("owner", Action::DatasetConfigure),
    ] {
        let all = grant(1, role, "*");
        for (on, prefix) in [("ecg", ""), ("ecg", "raw/"), ("*", ""), ("*", "raw/")] {
            let view = ana(&builtin(), vec![all.clone(), denying(role, on, prefix)]);
            let decision = ask(&view, action, "*");
            assert!(!decision.allowed, "{action} {on} {prefix}");
            assert_eq!(decision.grant, Some(grant(9, "", "*").id), "{action}");
            assert!(!ask(&view, action, "ecg").allowed, "{action}");
            assert_eq!(ask(&view, action, "mri").allowed, on == "ecg", "{action}");
        }
        // What is over, has not begun or is of another role or action takes nothing away.
        let over = Grant {
            expires: Some(NOW),
            ..denying(role, "ecg", "")
        };
        let later = Grant {
            starts: NOW.plus_millis(1),
            ..denying(role, "ecg", "")
        };
        for other in [over, later, denying("job", "ecg", "")] {
            let view = ana(&builtin(), vec![all.clone(), other]);
            assert!(ask(&view, action, "*").allowed, "{action}");
        }
    }
    // That the project is there, and a key in no dataset, are no questions about its parts.
    let view = ana(
        &builtin(),
        vec![grant(1, "owner", "*"), denying("owner", "ecg", "")],
    );
    assert!(ask(&view, Action::DatasetHead, "*").allowed);
    assert!(ask(&view, Action::DatasetCreate, "mri").allowed);
}

#[test]
fn a_window_holds_its_first_millisecond_and_not_its_last() {
    let (starts, expires) = (NOW, NOW.plus_millis(10));
    let windowed = |base: Grant| Grant {
        starts,
        expires: Some(expires),
        ..base
    };
    // One view for all moments: time is asked, never kept.
    let view = ana(&builtin(), vec![windowed(grant(1, "reader", "ecg"))]);
    let shut = ana(
        &builtin(),
        vec![
            grant(1, "reader", "ecg"),
            windowed(deny(2, "reader", "ecg")),
        ],
    );
    for (millis, live) in [
        (NOW.millis() - 1, false),
        (NOW.millis(), true),
        (expires.millis() - 1, true),
        (expires.millis(), false),
        (0, false),
        (u64::MAX, false),
    ] {
        let at = |view| {
            ask_at(
                view,
                Action::ObjectRead,
                "ecg/a",
                Timestamp::from_millis(millis),
            )
        };
        assert_eq!(at(&view).allowed, live, "{millis}");
        assert_eq!(at(&shut).allowed, !live, "{millis}");
    }
}

#[test]
fn deny_overrides_in_whatever_order() {
    let grants = [
        grant(1, "owner", "ecg"),
        deny(2, "reader", "ecg/secret/"),
        grant(3, "reader", "*"),
    ];
    for (a, b, c) in [
        (0, 1, 2),
        (0, 2, 1),
        (1, 0, 2),
        (1, 2, 0),
        (2, 0, 1),
        (2, 1, 0),
    ] {
        let mut ordered = vec![grants[a].clone(), grants[b].clone(), grants[c].clone()];
        // Identities decide the order within a view, so they change as well.
        for (id, grant) in (1_u8..).zip(&mut ordered) {
            grant.id = GrantId::from_bytes([id; 16]);
        }
        let denying = ordered[..].iter().position(|g| *g.prefix != *"").unwrap();
        let denying = ordered[denying].id;
        let view = ana(&builtin(), ordered);
        let decision = ask(&view, Action::ObjectRead, "ecg/secret/1");
        assert!(!decision.allowed);
        assert_eq!(decision.rule, "p, deny:reader, object.read, deny");
        assert_eq!(decision.grant, Some(denying));
        assert!(ask(&view, Action::ObjectRead, "ecg/open").allowed);
        // A reader's words are denied, an owner's others are not.
        assert!(ask(&view, Action::ObjectWrite, "ecg/secret/1").allowed);
    }
}

/// A listing of a place with denied names in it would show them.
#[test]
fn what_denies_a_part_denies_a_listing_of_the_whole_but_not_its_existence() {
    let lines = "p, no-names, object.list, deny\np, no-names, dataset.head, deny\n";
    let policy = policy(&[
        ("owner", include_str!("../../../policies/roles/owner.csv")),
        ("no-names", lines),
    ]);
    for denying in [
        deny(2, "owner", "ecg/a/b/"),
        grant(2, "no-names", "ecg/a/b/"),
    ] {
        let view = ana(&policy, vec![grant(1, "owner", "*"), denying]);
        for (on, allowed) in [
            ("ecg", false),
            ("ecg/a", false),
            ("ecg/a/b/", false),
            ("ecg/a/b/c", false),
            ("ecg/a/c", true),
            ("ecg/b", true),
            ("mri", true),
        ] {
            assert_eq!(ask(&view, Action::ObjectList, on).allowed, allowed, "{on}");
        }
        assert!(ask(&view, Action::DatasetHead, "ecg").allowed);
        assert!(ask(&view, Action::ObjectRead, "ecg/a/").allowed);
    }
    let whole = vec![grant(1, "owner", "*"), deny(2, "owner", "ecg")];
    assert!(!ask(&ana(&policy, whole), Action::DatasetHead, "ecg").allowed);
}

#[test]
fn a_denying_line_of_a_role_denies_in_whatever_order() {
    let lines = ["p, x, object.read, allow", "p, x, object.read, deny"];
    for (a, b) in [(0, 1), (1, 0)] {
        let text = format!("{}\n{}\n", lines[a], lines[b]);
        let policy = policy(&[("x", &text), ("a", "p, a, object.read, allow")]);
        let view = ana(&policy, vec![grant(1, "x", "ecg"), grant(2, "a", "*")]);
        assert_eq!(
            ask(&view, Action::ObjectRead, "ecg/a").rule,
            "p, x, object.read, deny"
        );
        assert!(ask(&view, Action::ObjectRead, "mri/a").allowed);
        assert!(!policy.role_allows("x", Action::ObjectRead));
        // A denying grant of a denying line does not turn it round.
        let view = ana(&policy, vec![deny(1, "x", "ecg"), grant(2, "a", "*")]);
        assert!(!ask(&view, Action::ObjectRead, "ecg/a").allowed);
    }
}

#[test]
fn the_version_is_that_of_the_policy_and_the_grants() {
    let one = grant(1, "reader", "ecg");
    let two = grant(2, "job", "mri");
    let version = |grants: Vec<Grant>| ana(&builtin(), grants).version();
    let both = version(vec![one.clone(), two.clone()]);
    assert_eq!(both, version(vec![two.clone(), one.clone()]));
    let changed = Grant {
        expires: Some(NOW),
        ..two.clone()
    };
    for other in [vec![], vec![one.clone()], vec![one.clone(), changed]] {
        assert_ne!(both, version(other));
    }
    let mut source = PolicySource::builtin();
    source.model.push('\n');
    let other = crate::policy::Policy::compile(&source).unwrap().into();
    assert_ne!(both, ana(&other, vec![one, two]).version());
}

#[test]
fn a_condition_added_to_the_model_narrows_allowing_and_denying_lines_alike() {
    let mut source = PolicySource::builtin();
    source.model = source.model.replace(
        "r.key, r.now)\n",
        "r.key, r.now) && r.act != \"object.export\" && (r.dom == \"icu\" && r.dataset != \"x\")\n",
    );
    let policy = crate::policy::Policy::compile(&source).unwrap().into();
    let view = ana(
        &policy,
        vec![grant(1, "reader", "*"), grant(2, "exporter", "*")],
    );
    assert!(ask(&view, Action::ObjectRead, "ecg/a").allowed);
    assert!(!ask(&view, Action::ObjectRead, "x/a").allowed);
    assert!(!ask(&view, Action::ObjectExport, "ecg/a").allowed);
    let plain = ana(&builtin(), vec![grant(2, "exporter", "*")]);
    assert!(ask(&plain, Action::ObjectExport, "ecg/a").allowed);
}
