//! Terms: networks, actions, purposes, versions, proposals and lapses narrow, and never widen.

use proptest::prelude::*;

use crate::policy::testkit::{NOW, ana, builtin, dataset, deny, grant, person, project};
use crate::policy::{
    Ask, Bar, Circumstances, Grant, GrantEffect, Ground, ProjectPolicy, Standing, SubjectPolicy,
    Terms, Verdict,
};
use crate::types::{Action, Network, PartitionName};

fn networks(texts: &[&str]) -> Vec<Network> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn on(terms: Terms) -> SubjectPolicy {
    let narrow = Grant {
        terms,
        ..grant(1, "reader", "ecg")
    };
    ana(&builtin(), vec![narrow])
}

fn reads(view: &SubjectPolicy, when: Circumstances<'_>) -> bool {
    may(view, Action::ObjectRead, when)
}

fn may(view: &SubjectPolicy, action: Action, when: Circumstances<'_>) -> bool {
    view.decide(&Ask {
        project: &project("icu"),
        principal: &person("ana"),
        dataset: Some(&dataset("ecg")),
        key: "a",
        action,
        now: NOW,
        when,
    })
    .allowed
}

fn from(address: &str) -> Circumstances<'static> {
    Circumstances {
        client: Some(address.parse().unwrap()),
        ..Circumstances::default()
    }
}

#[test]
fn az_12_a_grant_for_a_network_holds_there_and_nowhere_else() {
    let view = on(Terms {
        networks: networks(&["10.12.0.0/16", "2001:db8::/32"]),
        ..Terms::default()
    });
    for inside in ["10.12.4.17", "::ffff:10.12.4.17", "2001:db8::7"] {
        assert!(reads(&view, from(inside)), "{inside}");
    }
    for outside in ["10.13.0.1", "2001:db9::", "127.0.0.1"] {
        assert!(!reads(&view, from(outside)), "{outside}");
    }
    assert!(!reads(&view, Circumstances::default()), "from nowhere");
}

#[test]
fn a_denial_for_a_network_holds_where_it_is_unknown_too() {
    let barred = Grant {
        terms: Terms {
            networks: networks(&["10.0.0.0/8"]),
            ..Terms::default()
        },
        ..deny(2, "reader", "ecg")
    };
    let view = ana(&builtin(), vec![grant(1, "reader", "ecg"), barred]);
    assert!(reads(&view, from("192.0.2.1")));
    assert!(!reads(&view, from("10.0.0.1")));
    assert!(!reads(&view, Circumstances::default()), "fail closed");
}

#[test]
fn named_actions_are_all_that_a_grant_gives() {
    let view = on(Terms {
        actions: vec![Action::ObjectRead],
        ..Terms::default()
    });
    let plain = Circumstances::default();
    assert!(may(&view, Action::ObjectRead, plain));
    for other in [Action::ObjectHead, Action::ObjectList, Action::ObjectWrite] {
        assert!(!may(&view, other, plain), "{other}");
    }
    // What the role does not have is not had by naming it.
    let wide = on(Terms {
        actions: Action::ALL.to_vec(),
        ..Terms::default()
    });
    assert!(!may(&wide, Action::ObjectExport, plain));
}

#[test]
fn a_credential_for_one_purpose_uses_no_grant_of_another() {
    let view = ana(
        &builtin(),
        vec![grant(1, "reader", "ecg"), grant(2, "reader", "mri")],
    );
    let of = |purpose| Circumstances {
        purpose: Some(purpose),
        ..Circumstances::default()
    };
    assert!(reads(&view, of("purpose 1")));
    for other in ["purpose 2", "", "purpose 1 "] {
        assert!(!reads(&view, of(other)), "{other}");
    }
    let without = Grant {
        purpose: None,
        ..grant(1, "reader", "ecg")
    };
    assert!(!reads(&ana(&builtin(), vec![without]), of("purpose 1")));
    // A denial is for every purpose.
    let both = vec![grant(1, "reader", "ecg"), deny(2, "reader", "ecg")];
    assert!(!reads(&ana(&builtin(), both), of("purpose 1")));
}

#[test]
fn a_grant_of_a_version_is_of_that_version_alone() {
    let view = on(Terms {
        version: Some(3),
        ..Terms::default()
    });
    for (version, allowed) in [(Some(3), true), (Some(2), false), (None, false)] {
        let when = Circumstances {
            version,
            ..Circumstances::default()
        };
        assert_eq!(reads(&view, when), allowed, "{version:?}");
    }
}

#[test]
fn az_3_a_proposal_gives_and_takes_nothing() {
    let proposed = |grant: Grant| Grant {
        terms: Terms {
            standing: Standing::Proposed,
            ..Terms::default()
        },
        ..grant
    };
    let view = ana(&builtin(), vec![proposed(grant(1, "reader", "ecg"))]);
    assert!(!reads(&view, Circumstances::default()));
    let rows = vec![
        grant(1, "reader", "ecg"),
        proposed(deny(2, "reader", "ecg")),
    ];
    assert!(reads(&ana(&builtin(), rows), Circumstances::default()));
}

#[test]
fn az_9_what_no_review_confirms_lapses_and_a_denial_does_not() {
    let lapses = |grant: Grant, at| Grant {
        terms: Terms {
            lapses: Some(at),
            ..Terms::default()
        },
        ..grant
    };
    let later = NOW.plus_millis(1);
    for (at, allowed) in [(later, true), (NOW, false)] {
        let view = ana(&builtin(), vec![lapses(grant(1, "reader", "ecg"), at)]);
        assert_eq!(reads(&view, Circumstances::default()), allowed);
    }
    let rows = vec![
        grant(1, "reader", "ecg"),
        lapses(deny(2, "reader", "ecg"), NOW),
    ];
    assert!(!reads(&ana(&builtin(), rows), Circumstances::default()));
}

#[test]
fn a_member_has_what_her_groups_hold_and_no_other_group() {
    let icu = ProjectPolicy::new(&builtin(), &project("icu")).unwrap();
    let of_team = Grant {
        principal: person("team"),
        ..grant(1, "reader", "ecg")
    };
    let groups = [person("team")];
    let view = icu.member(&person("ana"), &groups, vec![of_team.clone()]);
    assert!(reads(&view.unwrap(), Circumstances::default()));
    assert!(
        icu.member(&person("ana"), &[], vec![of_team.clone()])
            .is_err()
    );
    let others = [person("staff")];
    assert!(icu.member(&person("ana"), &others, vec![of_team]).is_err());
}

#[test]
fn who_is_barred_may_do_nothing_and_the_record_says_why() {
    let icu = (project("icu"), person("ana"), dataset("ecg"));
    for (bar, rule) in [
        (Bar::Suspended, "barred: suspended"),
        (Bar::Unknown, "barred: unknown"),
    ] {
        let view = ana(&builtin(), vec![grant(1, "owner", "*")]).barred(bar);
        for action in Action::ALL {
            let decision = view.decide(&Ask {
                project: &icu.0,
                principal: &icu.1,
                dataset: Some(&icu.2),
                key: "",
                action: *action,
                now: NOW,
                when: Circumstances::default(),
            });
            assert!(!decision.allowed, "{action}");
            assert_eq!(decision.rule, rule);
        }
    }
}

#[test]
fn az_12_a_partition_is_what_an_enrolled_node_vouches_for() {
    let (civil, secure): (PartitionName, PartitionName) =
        ("civil".parse().unwrap(), "secure".parse().unwrap());
    let on = |ground| Circumstances {
        ground,
        ..Circumstances::default()
    };
    let grounds = [
        Ground::In(&civil),
        Ground::In(&secure),
        Ground::Elsewhere,
        Ground::Unplaced,
    ];
    let placed = |row: Grant| Grant {
        terms: Terms {
            partitions: vec![secure.clone()],
            ..Terms::default()
        },
        ..row
    };
    let view = ana(&builtin(), vec![placed(grant(1, "reader", "ecg"))]);
    let may = |view: &SubjectPolicy| grounds.map(|ground| reads(view, on(ground)));
    assert_eq!(may(&view), [false, true, false, true]);
    // A denial there: who cannot show that she is elsewhere is denied, too.
    let rows = vec![grant(1, "reader", "ecg"), placed(deny(2, "reader", "ecg"))];
    let view = ana(&builtin(), rows);
    assert_eq!(may(&view), [true, false, false, true]);
}

fn terms() -> impl Strategy<Value = Terms> {
    let network = prop::sample::select(vec!["10.0.0.0/8", "10.1.0.0/16", "::/0", "0.0.0.0/0"]);
    (
        prop::option::of(0..3_u32),
        prop::sample::subsequence(Action::ALL, 0..3),
        prop::collection::vec(network, 0..2),
        prop::sample::subsequence(vec!["civil", "secure"], 0..2),
        any::<bool>(),
        prop::option::of(0..3_u64),
    )
        .prop_map(|(version, actions, nets, places, proposed, lapses)| Terms {
            version,
            actions,
            networks: networks(&nets),
            partitions: places.iter().map(|name| name.parse().unwrap()).collect(),
            standing: if proposed {
                Standing::Proposed
            } else {
                Standing::Approved
            },
            lapses: lapses.map(|millis| NOW.plus_millis(millis)),
            proposer: None,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the terms of a grant are, it allows nothing that it would not allow without them,
    /// and the explanation comes to the same end.
    #[test]
    fn terms_never_widen(
        rows in prop::collection::vec((terms(), any::<bool>(), 0..4_usize), 1..5),
        client in prop::option::of(prop::sample::select(vec!["10.1.2.3", "192.0.2.1", "::1"])),
        version in prop::option::of(0..3_u32),
        purpose in prop::option::of(prop::sample::select(vec!["purpose 1", "purpose 2"])),
        partition in prop::option::of(prop::sample::select(vec!["civil", "gpu"])),
    ) {
        let partition: Option<PartitionName> = partition.map(|name| name.parse().unwrap());
        let roles = ["reader", "contributor", "owner", "job"];
        let ids = 1_u8..;
        let denials = rows.iter().all(|(_, allow, _)| *allow);
        let with: Vec<Grant> = ids.zip(rows).map(|(id, (terms, allow, role))| Grant {
            effect: if allow { GrantEffect::Allow } else { GrantEffect::Deny },
            terms,
            ..grant(id, roles[role], "ecg")
        }).collect();
        let without = with.iter().map(|row| Grant { terms: Terms::default(), ..row.clone() });
        let (plain, narrow) = (
            ana(&builtin(), without.collect()),
            ana(&builtin(), with),
        );
        let when = Circumstances {
            client: client.map(|text| text.parse().unwrap()),
            purpose,
            version,
            ground: partition.as_ref().map_or(Ground::Elsewhere, Ground::In),
            ..Circumstances::default()
        };
        for action in Action::ALL {
            let (is, was) = (may(&narrow, *action, when), may(&plain, *action, Circumstances::default()));
            // A denial that is narrowed away may let through what it denied.
            prop_assert!(!is || was || !denials, "{}", action);
            let (icu, ana, ecg) = (project("icu"), person("ana"), dataset("ecg"));
            let ask = Ask {
                project: &icu, principal: &ana, dataset: Some(&ecg), key: "a",
                action: *action, now: NOW, when,
            };
            let explained = narrow.explain(&ask);
            prop_assert_eq!(explained.decision.allowed, is);
            let says = |verdict| explained.considered.iter().any(|c| c.verdict == verdict);
            prop_assert_eq!(is, says(Verdict::Allows) && !says(Verdict::Denies));
        }
    }
}
