//! How grants are shown: the same wherever they were asked for.

use serde_json::{Value, json};

use super::super::output::{CliError, NEVER, Output};
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

/// A table of grants.
pub(in crate::cli) fn list(
    grants: &[Grant],
    now: Timestamp,
    output: &mut Output,
) -> Result<(), CliError> {
    let rows: Vec<_> = grants.iter().map(|grant| cells(grant, now)).collect();
    output.rows(COLUMNS, &rows)
}

/// A table of a review.
pub(super) fn review(
    rows: &[GrantUse],
    now: Timestamp,
    output: &mut Output,
) -> Result<(), CliError> {
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
            if row.privileged { "yes" } else { "no" }.to_owned(),
            standing(grant, now).to_owned(),
        ]
    };
    let rows: Vec<_> = rows.iter().map(cells).collect();
    output.rows(REVIEW, &rows)
}

/// All of one grant.
pub(super) fn whole(grant: &Grant, now: Timestamp) -> Value {
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
}
