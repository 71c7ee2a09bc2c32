//! Decisions made again: the same, others, and those that cannot be made.

use std::sync::Arc;

use super::again::{Again, Verdict};
use crate::ledger::{AuthMethod, Intent, PolicyRef, Session, samples};
use crate::policy::{
    Ask, Bar, Circumstances, CredentialScope, Decision, Grant, GrantEffect, Policy, ProjectPolicy,
    SubjectPolicy, Terms,
};
use crate::types::{Action, GrantId, Timestamp};

const BEGUN: Timestamp = Timestamp::from_millis(1_000_000);

fn grant(expires: u64) -> Grant {
    Grant {
        id: GrantId::from_bytes([7; 16]),
        project: "icu".parse().unwrap(),
        principal: "ana".parse().unwrap(),
        role: "reader".to_owned(),
        dataset: None,
        prefix: "a/".to_owned(),
        effect: GrantEffect::Allow,
        purpose: Some("research".to_owned()),
        permit: Some("P-1".to_owned()),
        starts: Timestamp::from_millis(0),
        expires: Some(Timestamp::from_millis(expires)),
        approver: "olga".parse().unwrap(),
        created: Timestamp::from_millis(0),
        terms: Terms::default(),
    }
}

fn subject(grants: Vec<Grant>) -> SubjectPolicy {
    let policy = Arc::new(Policy::builtin().unwrap());
    let project = ProjectPolicy::new(&policy, &"icu".parse().unwrap()).unwrap();
    project.subject(&"ana".parse().unwrap(), grants).unwrap()
}

fn decide(subject: &SubjectPolicy, now: Timestamp, purpose: Option<&str>) -> Decision {
    subject.decide(&Ask {
        project: &"icu".parse().unwrap(),
        principal: &"ana".parse().unwrap(),
        dataset: Some(&"ecg".parse().unwrap()),
        key: "a/1",
        action: Action::ObjectRead,
        now,
        when: Circumstances {
            purpose,
            ..Circumstances::default()
        },
    })
}

fn record(decision: &Decision) -> (Session, Intent) {
    let mut session = samples::session();
    session.principal = Some("ana".parse().unwrap());
    session.auth = AuthMethod::SigV4Header;
    session.client_ip = "10.0.0.1".to_owned();
    session.access_key = Some("KLUTAAAAAAAAAAAAAAAA".parse().unwrap());
    let mut intent = samples::intent(samples::event(1));
    intent.time = BEGUN;
    intent.object.project = Some("icu".parse().unwrap());
    intent.object.dataset = Some("ecg".parse().unwrap());
    intent.object.key = Some("a/1".parse().unwrap());
    intent.query = None;
    intent.policy = Some(PolicyRef {
        allowed: decision.allowed,
        rule: decision.rule.clone(),
        version: decision.version,
        grant: decision.grant,
        purpose: decision.purpose.clone(),
        permit: decision.permit.clone(),
    });
    (session, intent)
}

/// What the log holds of these rights.
fn kept(subject: &SubjectPolicy) -> Again {
    let mut again = Again::default();
    let policy = Policy::builtin().unwrap();
    again.take(policy.hash(), policy.text()).unwrap();
    for piece in subject.kept() {
        again.take(subject.version(), &piece).unwrap();
        again.take(subject.version(), &piece).unwrap();
    }
    again
}

fn judged(again: &mut Again, (session, intent): &(Session, Intent)) -> Verdict {
    again.judge(Some(session), intent, None).unwrap()
}

#[test]
fn az_5_what_was_decided_is_decided_again() {
    for (grants, allowed) in [
        (vec![grant(2_000_000)], true),
        (vec![grant(500_000)], false),
        (vec![], false),
    ] {
        let subject = subject(grants);
        let decision = decide(&subject, BEGUN, None);
        assert_eq!(decision.allowed, allowed);
        assert_eq!(
            judged(&mut kept(&subject), &record(&decision)),
            Verdict::Same
        );
    }
    let barred = subject(vec![grant(2_000_000)]).barred(Bar::Suspended);
    let decision = decide(&barred, BEGUN, None);
    assert_eq!(decision.rule, "barred: suspended");
    assert_eq!(
        judged(&mut kept(&barred), &record(&decision)),
        Verdict::Same
    );
}

#[test]
fn az_5_a_record_that_says_otherwise_is_different() {
    let subject = subject(vec![grant(2_000_000)]);
    let honest = record(&decide(&subject, BEGUN, None));
    let change = |change: fn(&mut Intent)| {
        let mut bent = honest.clone();
        change(&mut bent.1);
        let verdict = judged(&mut kept(&subject), &bent);
        assert!(matches!(verdict, Verdict::Different(_)), "{verdict:?}");
    };
    change(|intent| intent.policy.as_mut().unwrap().allowed = false);
    change(|intent| intent.policy.as_mut().unwrap().rule = "p, owner, object.read, allow".into());
    change(|intent| intent.policy.as_mut().unwrap().grant = None);
    change(|intent| intent.policy.as_mut().unwrap().permit = Some("P-2".into()));
    change(|intent| intent.object.key = Some("b/1".parse().unwrap()));
    change(|intent| intent.action = Some(Action::ObjectWrite));
    change(|intent| intent.time = Timestamp::from_millis(3_000_000));
    let mut other = honest;
    other.0.principal = Some("eve".parse().unwrap());
    let verdict = judged(&mut kept(&subject), &other);
    assert!(!matches!(verdict, Verdict::Same), "{verdict:?}");
}

#[test]
fn a_version_that_is_gone_or_altered_is_told_and_not_guessed() {
    let subject = subject(vec![grant(2_000_000)]);
    let record = record(&decide(&subject, BEGUN, None));
    let policy = Policy::builtin().unwrap();
    let piece = subject.kept().remove(0);
    let verdict = |texts: &[([u8; 32], &str)]| {
        let mut again = Again::default();
        for (version, text) in texts {
            again.take(*version, text).unwrap();
        }
        judged(&mut again, &record).word()
    };
    let version = subject.version();
    assert_eq!(verdict(&[]), "gone");
    assert_eq!(verdict(&[(policy.hash(), policy.text())]), "gone");
    assert_eq!(verdict(&[(version, &piece)]), "gone");
    let whole = [(policy.hash(), policy.text()), (version, &piece)];
    assert_eq!(verdict(&whole), "same");
    let bent = piece.replace("\"reader\"", "\"owner\"");
    assert_eq!(verdict(&[whole[0], (version, &bent)]), "altered");
    assert_eq!(verdict(&[whole[0], whole[1], (version, &bent)]), "altered");
    let bent = policy.text().replacen("object.read", "object.head", 1);
    assert_eq!(verdict(&[(policy.hash(), &bent), whole[1]]), "altered");
    // Another version's text spoils nothing.
    assert_eq!(verdict(&[whole[0], whole[1], ([9; 32], &bent)]), "same");
}

#[test]
fn the_moment_is_any_between_begin_and_end() {
    // It ended while the request was on its way.
    let subject = subject(vec![grant(1_000_500)]);
    let late = record(&decide(&subject, Timestamp::from_millis(1_000_600), None));
    assert_eq!(judged(&mut kept(&subject), &late), Verdict::Same);
    let mut end = samples::completion(samples::event(1));
    end.time = Timestamp::from_millis(1_000_400);
    let verdict = kept(&subject).judge(Some(&late.0), &late.1, Some(&end));
    assert!(
        matches!(verdict, Some(Verdict::Different(_))),
        "{verdict:?}"
    );
}

/// A scheduler's job reads by its person's rights, under a name of its own.
#[test]
fn a_jobs_decision_is_its_persons() {
    let subject = subject(vec![grant(2_000_000)]);
    let (mut session, intent) = record(&decide(&subject, BEGUN, None));
    session.principal = Some("job-7@n2.c1".parse().unwrap());
    session.responsible = Some("ana".parse().unwrap());
    let mut again = kept(&subject);
    assert_eq!(
        judged(&mut again, &(session.clone(), intent.clone())),
        Verdict::Same
    );
    // In nobody else's name, and in hers only where the record says so.
    for person in [None, Some("olga")] {
        session.responsible = person.map(|name| name.parse().unwrap());
        let told = judged(&mut again, &(session.clone(), intent.clone()));
        assert!(matches!(told, Verdict::Altered(_)), "{told:?}");
    }
}

#[test]
fn what_a_credential_was_bound_to_counts() {
    let subject = subject(vec![grant(2_000_000)]);
    let narrow = record(&decide(&subject, BEGUN, Some("teaching")));
    let mut again = kept(&subject);
    assert!(matches!(judged(&mut again, &narrow), Verdict::Different(_)));
    let mut scope = CredentialScope {
        credential: "KLUTAAAAAAAAAAAAAAAA".parse().unwrap(),
        project: None,
        dataset: None,
        version: None,
        only_reads: false,
        purpose: Some("teaching".to_owned()),
        acr: None,
        amr: Vec::new(),
        partition: None,
        prefix: String::new(),
        networks: Vec::new(),
    };
    let text = scope.text();
    again.take(CredentialScope::version(&text), &text).unwrap();
    assert_eq!(judged(&mut again, &narrow), Verdict::Same);
    // One that is not what it is named by is nobody's.
    scope.purpose = None;
    again
        .take(CredentialScope::version(&text), &scope.text())
        .unwrap();
    assert_eq!(judged(&mut again, &narrow), Verdict::Same);
    let other = scope.text();
    again
        .take(CredentialScope::version(&other), &other)
        .unwrap();
    assert_eq!(judged(&mut again, &narrow).word(), "altered");
}

#[test]
fn what_was_not_decided_or_not_told_is_not_judged() {
    let subject = subject(vec![]);
    let (session, mut intent) = record(&decide(&subject, BEGUN, None));
    let mut again = kept(&subject);
    assert_eq!(again.judge(None, &intent, None).unwrap().word(), "unclear");
    intent.object.project = None;
    assert_eq!(
        again.judge(Some(&session), &intent, None).unwrap().word(),
        "unclear"
    );
    intent.policy = None;
    assert_eq!(again.judge(Some(&session), &intent, None), None);
}
