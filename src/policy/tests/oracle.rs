//! Random roles, grants and questions against an oracle that shares no code with the decisions.

use std::sync::Arc;

use proptest::prelude::*;

use crate::policy::testkit::{NOW, dataset, grant, person, policy, project};
use crate::policy::{Ask, Circumstances, Grant, GrantEffect, ProjectPolicy};
use crate::types::{Action, GrantId, Timestamp};

const DATASETS: [&str; 3] = ["ecg", "mri", "ecg-2"];
const KEYS: [&str; 6] = ["", "a", "a/", "a/b", "ab", "b,\"\n(*"];
const ROLES: [&str; 3] = ["one", "two", "three"];

type Line = (usize, bool);
type Row = (usize, Option<usize>, usize, bool, u64, Option<u64>);

fn lines() -> impl Strategy<Value = Vec<Line>> {
    prop::collection::vec((0..Action::ALL.len(), prop::bool::weighted(0.85)), 0..8)
}

fn grants() -> impl Strategy<Value = Vec<Grant>> {
    let one = (
        0..ROLES.len() + 1,
        prop::option::of(0..DATASETS.len()),
        0..KEYS.len(),
        prop::bool::weighted(0.8),
        0..3_u64,
        prop::option::of(0..4_u64),
    );
    prop::collection::vec(one, 0..7).prop_map(|rows| {
        let ids = 1_u8..;
        let make = |(id, (role, on, prefix, allow, starts, ends)): (u8, Row)| Grant {
            id: GrantId::from_bytes([id; 16]),
            role: (*ROLES.get(role).unwrap_or(&"unknown")).to_owned(),
            dataset: on.map(|i| dataset(DATASETS[i])),
            prefix: KEYS[prefix].to_owned(),
            effect: if allow {
                GrantEffect::Allow
            } else {
                GrantEffect::Deny
            },
            starts: NOW.plus_millis(starts),
            expires: ends.map(|millis| NOW.plus_millis(millis)),
            ..grant(id, "", "*")
        };
        ids.zip(rows).map(make).collect()
    })
}

/// The rules, said once more in the plainest way.
fn expected(roles: &[Vec<Line>], grants: &[Grant], ask: &Ask<'_>) -> bool {
    let (mut allowed, mut denied) = (false, false);
    for grant in grants {
        // Of a dataset where the whole project is asked about: it can only deny.
        let part = grant.dataset.is_some() && ask.dataset.is_none();
        let here = match (&grant.dataset, ask.dataset) {
            (Some(granted), Some(asked)) => granted == asked,
            (None, _) | (Some(_), None) => true,
        };
        let (key, prefix) = (ask.key.as_bytes(), grant.prefix.as_bytes());
        let (may_allow, may_deny) = match ask.action {
            Action::DatasetHead => (true, !part && prefix.is_empty()),
            Action::ObjectList
            | Action::VersionList
            | Action::DatasetConfigure
            | Action::GrantManage
            | Action::LogRead
            | Action::ActAsk
            | Action::ActApprove
            | Action::DatasetCreate
            | Action::DatasetPublish
            | Action::DatasetDelete => {
                let common = key.iter().zip(prefix).all(|(a, b)| a == b);
                (common && key.len() >= prefix.len(), common)
            }
            Action::ObjectRead
            | Action::ObjectHead
            | Action::ObjectWrite
            | Action::ObjectDelete
            | Action::ObjectExport
            | Action::ObjectTag
            | Action::ObjectLock
            | Action::LockBypass
            | Action::VersionRead
            | Action::VersionDelete
            | Action::UploadManage => (key.starts_with(prefix), !part && key.starts_with(prefix)),
        };
        let may_allow = may_allow && !part;
        let early = ask.now.millis() < grant.starts.millis();
        let late = grant
            .expires
            .is_some_and(|end| ask.now.millis() >= end.millis());
        if !here || early || late {
            continue;
        }
        let role = ROLES.iter().position(|role| *role == grant.role);
        let Some(role) = role else {
            denied |= may_deny && grant.effect == GrantEffect::Deny;
            continue;
        };
        for (action, allows) in &roles[role] {
            if Action::ALL[*action] == ask.action {
                let allows = *allows && grant.effect == GrantEffect::Allow;
                allowed |= allows && may_allow;
                denied |= !allows && may_deny;
            }
        }
    }
    allowed && !denied
}

fn text(role: &str, lines: &[Line]) -> String {
    let line = |(action, allow): &Line| {
        let effect = if *allow { "allow" } else { "deny" };
        format!("p, {role}, {}, {effect}\n", Action::ALL[*action])
    };
    lines.iter().map(line).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn decisions_agree_with_the_oracle(
        roles in prop::collection::vec(lines(), ROLES.len()),
        grants in grants(),
    ) {
        let texts: Vec<_> = ROLES.iter().zip(&roles).map(|(r, l)| text(r, l)).collect();
        let files: Vec<_> = ROLES.into_iter().zip(texts.iter().map(String::as_str)).collect();
        let policy = policy(&files);
        let icu = Arc::new(ProjectPolicy::new(&policy, &project("icu")).unwrap());
        let view = icu.subject(&person("ana"), grants.clone()).unwrap();
        let names = DATASETS.map(dataset);
        for (index, action) in Action::ALL.iter().enumerate() {
            for key in KEYS {
                let step = u64::try_from(index).unwrap() % 4;
                let on = names.get(index % 4);
                let ask = Ask {
                    project: &project("icu"),
                    principal: &person("ana"),
                    dataset: on,
                    key,
                    action: *action,
                    now: Timestamp::from_millis(NOW.millis() + step),
                    when: Circumstances::default(),
                };
                let decision = view.decide(&ask);
                prop_assert_eq!(decision.allowed, expected(&roles, &grants, &ask), "{:?}", ask);
                prop_assert_eq!(decision.grant.is_some(), !decision.rule.is_empty());
                // Whatever is decided can be explained, to the same end.
                let explained = view.explain(&ask);
                prop_assert_eq!(&explained.decision, &decision);
                prop_assert_eq!(explained.considered.len(), grants.len());
            }
        }
    }
}
