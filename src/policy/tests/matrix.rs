//! Every role against every action, as the table that `docs/policy.md` shows to people.

use crate::policy::testkit::{ana, ask, builtin, deny, grant};
use crate::types::Action;

const PAGE: &str = include_str!("../../../docs/policy.md");

/// The table as the decisions give it.
fn decided() -> String {
    let policy = builtin();
    let mut table = String::from("| action |");
    for role in policy.roles() {
        table.extend([" ", role, " |"]);
    }
    table += "\n|---|";
    table += &"---|".repeat(policy.roles().len());
    for action in Action::ALL {
        table.extend(["\n| `", action.as_str(), "` |"]);
        for role in policy.roles() {
            let view = ana(&policy, vec![grant(1, role, "*")]);
            let allowed = ask(&view, *action, "ecg/a").allowed;
            assert_eq!(
                allowed,
                policy.role_allows(role, *action),
                "{role} {action}"
            );
            table += if allowed { " yes |" } else { " |" };
        }
    }
    table
}

#[test]
fn the_page_shows_what_is_decided() {
    let table = decided();
    assert!(PAGE.contains(&table), "docs/policy.md lacks:\n{table}\n");
}

#[test]
fn a_denying_grant_denies_exactly_what_its_role_allows() {
    let policy = builtin();
    for role in policy.roles() {
        // All roles together allow everything that any role allows.
        let mut grants: Vec<_> = (1..)
            .zip(policy.roles())
            .map(|(id, role)| grant(id, role, "*"))
            .collect();
        grants.push(deny(0xff, role, "ecg"));
        let view = ana(&policy, grants);
        for action in Action::ALL {
            let denied = policy.role_allows(role, *action);
            assert_eq!(
                ask(&view, *action, "ecg/a").allowed,
                !denied,
                "{role} {action}"
            );
            assert!(ask(&view, *action, "mri/a").allowed, "{role} {action}");
        }
    }
}

#[test]
fn no_role_reads_both_data_and_log_and_only_the_exporter_exports() {
    let policy = builtin();
    for role in policy.roles() {
        let may = |action| policy.role_allows(role, action);
        assert!(!(may(Action::LogRead) && may(Action::ObjectRead)), "{role}");
        assert_eq!(may(Action::ObjectExport), role == "exporter", "{role}");
        assert!(!(may(Action::ObjectExport) && may(Action::ObjectRead)));
    }
    for action in Action::ALL {
        assert!(!policy.role_allows("operator", *action), "{action}");
        assert!(!policy.role_allows("nobody", *action), "{action}");
    }
}
