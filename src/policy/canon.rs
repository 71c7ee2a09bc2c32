//! Grants in canonical form: one JSON array a line, in order. One form for one set of grants,
//! whatever their texts, so that a decision's version can be hashed and a decision of the past be
//! made again (AZ-5).

use serde::Deserialize;
use serde_json::{Value, json};

use super::error::PolicyError;
use super::grant::{Grant, GrantEffect, Standing, Terms};
use crate::types::{Action, DatasetName, GrantId, Network, PrincipalId, Timestamp, limits};

/// Writes grants.
pub(super) fn write(grants: &[Grant]) -> String {
    let mut lines: Vec<String> = grants.iter().map(write_line).collect();
    lines.sort_unstable();
    lines.concat()
}

fn write_line(grant: &Grant) -> String {
    let effect = match grant.effect {
        GrantEffect::Allow => "allow",
        GrantEffect::Deny => "deny",
    };
    let mut fields = vec![
        json!(grant.id.to_string()),
        json!(grant.project.as_str()),
        json!(grant.principal.as_str()),
        json!(grant.role),
        json!(grant.dataset.as_ref().map(DatasetName::as_str)),
        json!(grant.prefix),
        json!(effect),
        json!(grant.purpose),
        json!(grant.permit),
        json!(grant.starts.millis()),
        json!(grant.expires.map(Timestamp::millis)),
        json!(grant.approver.as_str()),
        json!(grant.created.millis()),
    ];
    // Only where there are any, so that the versions of decisions before there were terms stand.
    if grant.terms != Terms::default() {
        fields.push(write_terms(&grant.terms));
    }
    format!("{}\n", json!(fields))
}

fn write_terms(terms: &Terms) -> Value {
    let Terms {
        version,
        actions,
        networks,
        partitions,
        standing,
        lapses,
        proposer,
    } = terms;
    let mut fields = vec![
        json!(version),
        json!(texts(actions.iter().map(|action| action.as_str()))),
        json!(texts(networks)),
        json!(match standing {
            Standing::Approved => "approved",
            Standing::Proposed => "proposed",
        }),
        json!(lapses.map(Timestamp::millis)),
        json!(proposer.as_ref().map(PrincipalId::as_str)),
    ];
    if !partitions.is_empty() {
        fields.push(json!(texts(partitions)));
    }
    json!(fields)
}

fn texts<T: ToString>(all: impl IntoIterator<Item = T>) -> Vec<String> {
    all.into_iter().map(|one| one.to_string()).collect()
}

/// A line's fields, in order: texts that still have to be checked.
#[derive(Deserialize)]
struct Fields(
    String,
    String,
    String,
    String,
    Option<String>,
    String,
    String,
    Option<String>,
    Option<String>,
    u64,
    Option<u64>,
    String,
    u64,
    #[serde(default)] Option<TermsFields>,
);

#[derive(Deserialize)]
struct TermsFields(
    Option<u32>,
    Vec<String>,
    Vec<String>,
    String,
    Option<u64>,
    Option<String>,
    #[serde(default)] Vec<String>,
);

fn read_terms(fields: TermsFields) -> Option<Terms> {
    let actions: Option<Vec<Action>> = fields.1.iter().map(|text| text.parse().ok()).collect();
    let networks: Option<Vec<Network>> = fields.2.iter().map(|text| text.parse().ok()).collect();
    let partitions: Option<Vec<_>> = fields.6.iter().map(|text| text.parse().ok()).collect();
    Some(Terms {
        version: fields.0,
        actions: actions?,
        networks: networks?,
        partitions: partitions?,
        standing: match fields.3.as_str() {
            "approved" => Standing::Approved,
            "proposed" => Standing::Proposed,
            _ => return None,
        },
        lapses: fields.4.map(Timestamp::from_millis),
        proposer: match fields.5 {
            Some(name) => Some(name.parse().ok()?),
            None => None,
        },
    })
}

/// Reads what [`SubjectPolicy::grants_text`](super::SubjectPolicy::grants_text) wrote, and nothing
/// else.
pub fn grants_from_text(text: &str) -> Result<Vec<Grant>, PolicyError> {
    let lines = text.lines().take(limits::SUBJECT_GRANTS_MAX);
    let grants: Option<Vec<Grant>> = lines.map(read_line).collect();
    grants
        .filter(|grants| write(grants) == text)
        .ok_or(PolicyError::NotCanonical)
}

fn read_line(line: &str) -> Option<Grant> {
    let fields: Fields = serde_json::from_str(line).ok()?;
    Some(Grant {
        id: fields.0.parse::<GrantId>().ok()?,
        project: fields.1.parse().ok()?,
        principal: fields.2.parse().ok()?,
        role: fields.3,
        dataset: match fields.4 {
            Some(name) => Some(name.parse().ok()?),
            None => None,
        },
        prefix: fields.5,
        effect: match fields.6.as_str() {
            "allow" => GrantEffect::Allow,
            "deny" => GrantEffect::Deny,
            _ => return None,
        },
        purpose: fields.7,
        permit: fields.8,
        starts: Timestamp::from_millis(fields.9),
        expires: fields.10.map(Timestamp::from_millis),
        approver: fields.11.parse().ok()?,
        created: Timestamp::from_millis(fields.12),
        terms: match fields.13 {
            Some(terms) => read_terms(terms)?,
            None => Terms::default(),
        },
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::policy::testkit::{NOW, ana, ask, builtin, deny, grant};
    use crate::policy::{Policy, PolicySource};
    use crate::types::Action;

    fn hostile() -> Vec<Grant> {
        let odd = Grant {
            role: "re\"ader".to_owned(),
            prefix: "a,\n\"b".to_owned(),
            permit: None,
            expires: Some(NOW),
            ..deny(0xab, "", "ecg")
        };
        let narrow = Grant {
            terms: Terms {
                version: Some(3),
                actions: vec![Action::ObjectRead],
                networks: vec!["10.0.0.0/8".parse().unwrap()],
                partitions: Vec::new(),
                standing: Standing::Approved,
                lapses: Some(NOW),
                proposer: Some("paul".parse().unwrap()),
            },
            ..grant(3, "reader", "ecg")
        };
        let placed = Grant {
            terms: Terms {
                partitions: vec!["civil".parse().unwrap()],
                ..Terms::default()
            },
            ..grant(4, "reader", "ecg")
        };
        let (allows, denies) = (grant(1, "reader", "*"), deny(2, "reader", "ecg/a"));
        vec![odd, allows, denies, narrow, placed]
    }

    #[test]
    fn the_canonical_form_is_pinned() {
        assert_eq!(
            write(&hostile()[..1]),
            "[\"abababababababababababababababab\",\"icu\",\"ana\",\"re\\\"ader\",\"ecg\",\
             \"a,\\n\\\"b\",\"deny\",\"purpose 171\",null,0,1000000,\"olga\",0]\n"
        );
        let terms = ",0,[3,[\"object.read\"],[\"10.0.0.0/8\"],\"approved\",1000000,\"paul\"]]\n";
        assert!(write(&hostile()[3..4]).ends_with(terms));
        let placed = ",0,[null,[],[],\"approved\",null,null,[\"civil\"]]]\n";
        assert!(write(&hostile()[4..]).ends_with(placed));
    }

    #[test]
    fn az_5_a_decision_of_the_past_can_be_made_again_from_its_texts() {
        let then = ana(&builtin(), hostile());
        let source = PolicySource::from_text(builtin().text()).unwrap();
        let policy = Arc::new(Policy::compile(&source).unwrap());
        let again = ana(&policy, grants_from_text(&then.grants_text()).unwrap());
        assert_eq!(again.version(), then.version());
        for action in Action::ALL {
            for on in ["*", "ecg", "ecg/a", "ecg/b", "mri/a"] {
                assert_eq!(
                    ask(&again, *action, on),
                    ask(&then, *action, on),
                    "{action} {on}"
                );
            }
        }
    }

    #[test]
    fn other_spellings_are_refused() {
        let good = write(&hostile());
        assert_eq!(grants_from_text(&good).unwrap().len(), 5);
        assert_eq!(grants_from_text("").unwrap(), []);
        for bad in [
            good.trim_end().to_owned(),
            format!("{good}\n"),
            good.replacen(',', ", ", 1),
            good.replacen("\"deny\"", "\"Deny\"", 1),
            good.replacen("\"icu\"", "\"Icu\"", 1),
            good.replacen("10.0.0.0/8", "10.0.0.1/8", 1),
            good.replacen("[\"civil\"]", "[]", 1),
            good.replacen("[\"civil\"]", "[\"Civil\"]", 1),
            good.replacen("[\"civil\"]", "null", 1),
            good.replacen("[\"object.read\"]", "[\"object.fly\"]", 1),
            good.replacen("\"approved\"", "\"withdrawn\"", 1),
            good.replacen("0]", "-1]", 1),
            good.replacen("0]", "0,0]", 1),
            good.split_inclusive('\n').rev().collect(),
            "[]\n".to_owned(),
            "{}".to_owned(),
            "[".repeat(100_000),
        ] {
            assert!(grants_from_text(&bad).is_err(), "{bad:.200}");
        }
        let one = write(&hostile()[1..2]);
        assert!(grants_from_text(&one.repeat(10_001)).is_err());
    }
}
