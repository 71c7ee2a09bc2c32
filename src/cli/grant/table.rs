//! How grants are shown: the same wherever they were asked for.

use serde_json::{Value, json};

use super::super::cell::{NEVER, yes_or_no};
use super::super::output::{CliError, Output};
use super::super::project::end;
use crate::policy::{Grant, GrantEffect, Standing};
use crate::types::{Action, DatasetName, PrincipalId, Timestamp};
use crate::vault::GrantUse;

const COLUMNS: [&str; 14] = [
    "grant",
    "principal",
    "effect",
    "role",
    "covers",
    "actions",
    "networks",
    "partitions",
    "starts",
    "expires",
    "purpose",
    "permit",
    "approver",
    "standing",
];
/// What fits a terminal of 100 columns.
const NARROW: [&str; 6] = [
    "grant",
    "principal",
    "role",
    "covers",
    "expires",
    "standing",
];
const REVIEW: [&str; 9] = [
    "grant",
    "principal",
    "role",
    "covers",
    "last_used",
    "lapses",
    "expires",
    "privileged",
    "standing",
];

/// A table of grants; with JSON all of each.
pub(in crate::cli) fn list(
    grants: &[Grant],
    (wide, now): (bool, Timestamp),
    output: &mut Output,
) -> Result<(), CliError> {
    if output.is_json() {
        let mut grants = grants.iter();
        return grants.try_for_each(|grant| output.value(&whole(grant, now)));
    }
    if wide {
        let rows: Vec<_> = grants.iter().map(|grant| cells(grant, now)).collect();
        return output.rows(COLUMNS, &rows);
    }
    let rows: Vec<_> = grants.iter().map(|grant| narrow(grant, now)).collect();
    output.rows(NARROW, &rows)
}

/// A table of a review.
pub(super) fn review(
    rows: &[GrantUse],
    now: Timestamp,
    output: &mut Output,
) -> Result<(), CliError> {
    if output.is_json() {
        return rows.iter().try_for_each(|row| {
            let mut told = whole(&row.grant, now);
            if let Value::Object(members) = &mut told {
                let used = row.used.map(|at| at.to_string());
                let _none = members.insert("last_used".to_owned(), json!(used));
                let _none = members.insert("privileged".to_owned(), json!(row.privileged));
            }
            output.value(&told)
        });
    }
    let cells = |row: &GrantUse| {
        let grant = &row.grant;
        [
            grant.id.to_string(),
            grant.principal.to_string(),
            grant.role.clone(),
            covers(grant),
            row.used
                .map_or_else(|| NEVER.to_owned(), |at| at.to_string()),
            end(grant.terms.lapses),
            end(grant.expires),
            yes_or_no(row.privileged),
            standing(grant, now).to_owned(),
        ]
    };
    let rows: Vec<_> = rows.iter().map(cells).collect();
    output.rows(REVIEW, &rows)
}

/// All of one grant.
pub(in crate::cli) fn whole(grant: &Grant, now: Timestamp) -> Value {
    json!({
        "grant": grant.id.to_string(),
        "project": grant.project.as_str(),
        "principal": grant.principal.as_str(),
        "effect": effect(grant),
        "role": grant.role,
        "dataset": grant.dataset.as_ref().map(DatasetName::as_str),
        "version": grant.terms.version,
        "prefix": grant.prefix,
        "actions": actions(grant),
        "networks": texts(&grant.terms.networks),
        "partitions": texts(&grant.terms.partitions),
        "purpose": grant.purpose,
        "permit": grant.permit,
        "starts": grant.starts.to_string(),
        "expires": grant.expires.map(|end| end.to_string()),
        "lapses": grant.terms.lapses.map(|end| end.to_string()),
        "standing": standing(grant, now),
        "proposer": grant.terms.proposer.as_ref().map(PrincipalId::as_str),
        "approver": approver(grant).map(PrincipalId::as_str),
        "created": grant.created.to_string(),
    })
}

fn covers(grant: &Grant) -> String {
    let dataset = grant.dataset.as_ref().map_or("*", |name| name.as_str());
    let version = grant.terms.version;
    let version = version.map_or_else(String::new, |number| format!("--v{number}"));
    format!("{dataset}{version}:{}*", grant.prefix)
}

const fn effect(grant: &Grant) -> &'static str {
    match grant.effect {
        GrantEffect::Allow => "allow",
        GrantEffect::Deny => "deny",
    }
}

/// What a grant is good for at a moment: `in force`, or why it is not.
fn standing(grant: &Grant, now: Timestamp) -> &'static str {
    let over = |end: Option<Timestamp>| end.is_some_and(|end| end <= now);
    match (grant.terms.standing, grant.effect) {
        _ if over(grant.expires) => "ended",
        (Standing::Proposed, _) => "proposed",
        (Standing::Approved, GrantEffect::Allow) if over(grant.terms.lapses) => "lapsed",
        (Standing::Approved, _) if grant.starts > now => "not yet",
        (Standing::Approved, _) => "in force",
    }
}

/// Who approved it, if anybody did.
const fn approver(grant: &Grant) -> Option<&PrincipalId> {
    match grant.terms.standing {
        Standing::Approved => Some(&grant.approver),
        Standing::Proposed => None,
    }
}

fn actions(grant: &Grant) -> Vec<&'static str> {
    let all = grant.terms.actions.iter();
    all.map(|action| Action::as_str(*action)).collect()
}

fn texts<T: ToString>(all: &[T]) -> Vec<String> {
    all.iter().map(ToString::to_string).collect()
}

/// What a list says of a grant: a denial as one, an end by its day.
fn narrow(grant: &Grant, now: Timestamp) -> [String; 6] {
    let role = match grant.effect {
        GrantEffect::Allow => grant.role.clone(),
        GrantEffect::Deny => format!("deny {}", grant.role),
    };
    let terms = &grant.terms;
    let less =
        !(terms.actions.is_empty() && terms.networks.is_empty() && terms.partitions.is_empty());
    let mark = if less { " (narrowed)" } else { "" };
    let end = end(grant.expires);
    let day = end.split_once('T').map_or(end.as_str(), |(day, _)| day);
    [
        grant.id.to_string(),
        grant.principal.to_string(),
        role,
        format!("{}{mark}", covers(grant)),
        day.to_owned(),
        standing(grant, now).to_owned(),
    ]
}

fn cells(grant: &Grant, now: Timestamp) -> [String; 14] {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    [
        grant.id.to_string(),
        grant.principal.to_string(),
        effect(grant).to_owned(),
        grant.role.clone(),
        covers(grant),
        actions(grant).join(","),
        texts(&grant.terms.networks).join(","),
        texts(&grant.terms.partitions).join(","),
        grant.starts.to_string(),
        end(grant.expires),
        text(&grant.purpose),
        text(&grant.permit),
        approver(grant).map_or_else(String::new, ToString::to_string),
        standing(grant, now).to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::super::output::tests::captured;
    use super::*;
    use crate::policy::Terms;
    use crate::types::GrantId;

    const NOW: Timestamp = Timestamp::from_millis(1_000);

    fn grant(starts: u64, expires: Option<u64>, terms: Terms) -> Grant {
        let id = |text: &str| text.parse().unwrap_or_else(|error| panic!("{error}"));
        Grant {
            id: GrantId::from_bytes([7; 16]),
            project: "icu".parse().unwrap_or_else(|error| panic!("{error}")),
            principal: id("bob"),
            role: "reader".to_owned(),
            dataset: None,
            prefix: String::new(),
            effect: GrantEffect::Allow,
            purpose: None,
            permit: None,
            starts: Timestamp::from_millis(starts),
            expires: expires.map(Timestamp::from_millis),
            approver: id("ana"),
            created: Timestamp::from_millis(0),
            terms,
        }
    }

    fn proposed() -> Terms {
        Terms {
            standing: Standing::Proposed,
            ..Terms::default()
        }
    }

    fn lapsing(at: u64) -> Terms {
        Terms {
            lapses: Some(Timestamp::from_millis(at)),
            ..Terms::default()
        }
    }

    #[test]
    fn what_is_granted_today_is_told() {
        let cases = [
            (grant(0, None, Terms::default()), "in force"),
            (grant(1_000, Some(1_001), Terms::default()), "in force"),
            (grant(0, Some(1_000), Terms::default()), "ended"),
            (grant(1_001, None, Terms::default()), "not yet"),
            (grant(0, None, lapsing(1_000)), "lapsed"),
            (grant(0, None, lapsing(1_001)), "in force"),
            (grant(0, None, proposed()), "proposed"),
            (grant(0, Some(999), proposed()), "ended"),
        ];
        for (grant, told) in cases {
            assert_eq!(standing(&grant, NOW), told, "{:?}", grant.terms);
        }
        let denial = Grant {
            effect: GrantEffect::Deny,
            ..grant(0, None, lapsing(1))
        };
        assert_eq!(standing(&denial, NOW), "in force", "no denial lapses");
    }

    #[test]
    fn a_proposal_has_no_approver_and_shows_its_terms() {
        let mut grant = grant(0, None, proposed());
        grant.dataset = Some("ecg".parse().unwrap_or_else(|error| panic!("{error}")));
        grant.terms.version = Some(3);
        grant.terms.networks = vec!["10.12.0.0/16".parse().unwrap_or_else(|e| panic!("{e}"))];
        grant.terms.actions = vec![Action::ObjectRead, Action::ObjectList];
        let row = cells(&grant, NOW);
        let of = |name| row[COLUMNS.iter().position(|column| *column == name).unwrap()].as_str();
        assert_eq!(of("approver"), "");
        assert_eq!(of("networks"), "10.12.0.0/16");
        assert_eq!(of("covers"), "ecg--v3:*");
        assert_eq!(of("actions"), "object.read,object.list");
        grant.terms.standing = Standing::Approved;
        assert_eq!(cells(&grant, NOW)[12], "ana");
    }

    #[test]
    fn a_list_fits_a_terminal_and_hides_no_denial() {
        let mut plain = grant(0, Some(1_893_456_000_000), Terms::default());
        plain.principal = "a.vandenberg@umc".parse().unwrap();
        plain.dataset = Some("ecg-2024".parse().unwrap());
        plain.purpose = Some("ehds:scientific-research".to_owned());
        plain.permit = Some("HDAB-NL-2026-0417".to_owned());
        let mut denial = plain.clone();
        denial.principal = "bob".parse().unwrap();
        denial.effect = GrantEffect::Deny;
        let all = [plain, denial];
        let (mut output, out, _) = captured(false);
        list(&all, (false, NOW), &mut output).unwrap();
        let told = out.text();
        assert!(
            told.lines().all(|line| line.chars().count() <= 100),
            "{told}"
        );
        assert!(!told.contains("narrowed"), "{told}");
        let mut less = all[0].clone();
        less.terms.networks = vec!["10.12.0.0/16".parse().unwrap()];
        assert_eq!(narrow(&less, NOW)[3], "ecg-2024:* (narrowed)");
        assert!(told.contains("deny reader") && told.contains("2030-01-01  in force"));
        let (mut output, out, _) = captured(false);
        list(&all, (true, NOW), &mut output).unwrap();
        assert!(out.text().contains("HDAB-NL-2026-0417"), "{}", out.text());
    }

    #[test]
    fn a_machine_is_told_all_of_a_grant_in_types_of_its_own() {
        let (mut output, out, _) = captured(true);
        let mut narrow = grant(0, None, Terms::default());
        narrow.terms.version = Some(3);
        list(&[narrow.clone()], (false, NOW), &mut output).unwrap();
        let row = GrantUse {
            grant: narrow,
            used: None,
            privileged: true,
            known: true,
        };
        review(&[row], NOW, &mut output).unwrap();
        let told = out.text();
        let mut lines = told
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        let listed = lines.next().unwrap();
        assert_eq!(listed["version"], 3);
        assert_eq!(listed["actions"], json!([]));
        assert_eq!(listed["expires"], Value::Null);
        assert_eq!(listed["starts"], "1970-01-01T00:00:00.000Z");
        let reviewed = lines.next().unwrap();
        assert_eq!(reviewed["privileged"], true);
        assert_eq!(reviewed["last_used"], Value::Null);
    }
}
