//! Names of people replaced by a keyed hash, for whoever may see acts and not persons (AU-15). Who
//! holds the key finds out who is meant by hashing the names that she knows; nobody else does.
//!
//! ```text
//! pseudonym = "p-" ‖ base32(HMAC-SHA256(key, "kluis/pseudonym/1" ‖ 00 ‖ project ‖ 00 ‖ name)[:16])
//! ```
//!
//! So one person is one pseudonym within a project, and another in each other one.

use data_encoding::BASE32_NOPAD;
use ring::hmac;

use super::record::{Intent, Session};
use super::run::RunEnd;
use super::view::View;
use crate::types::{Action, PrincipalId, ProjectName, Secret};

/// A project's key for pseudonyms. **Implements none of Debug, Clone, Serialize.**
pub struct Pseudonyms {
    key: hmac::Key,
    project: ProjectName,
}

impl Pseudonyms {
    /// Of a project, under the key that its controller holds.
    #[must_use]
    pub fn new(secret: &Secret<32>, project: ProjectName) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose());
        Self { key, project }
    }

    /// What a person is called; `None` never for these bytes.
    #[must_use]
    pub fn of(&self, person: &PrincipalId) -> Option<PrincipalId> {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(b"kluis/pseudonym/1\0");
        context.update(self.project.as_str().as_bytes());
        context.update(b"\0");
        context.update(person.as_str().as_bytes());
        let tag = context.sign();
        let half = tag.as_ref().first_chunk::<16>()?;
        let text = BASE32_NOPAD.encode(half).to_ascii_lowercase();
        format!("p-{text}").parse().ok()
    }

    /// What is shown in the place of what names persons in a request.
    #[must_use]
    pub fn cover(&self, view: &View<'_>) -> Cover {
        Cover {
            session: view.session.map(|session| self.session(session)),
            intent: view.intent.map(|intent| self.intent(intent, view.session)),
        }
    }

    /// A session without its persons: their pseudonyms, and no credential, which is one person's.
    #[must_use]
    pub fn session(&self, session: &Session) -> Session {
        let hidden = |person: &Option<PrincipalId>| person.as_ref().and_then(|p| self.of(p));
        Session {
            principal: hidden(&session.principal),
            responsible: hidden(&session.responsible),
            access_key: None,
            ..session.clone()
        }
    }

    /// A request without persons: of what may name one in words, a listing's prefix and where a run
    /// of objects ended are left, and the rule with its persons' names replaced.
    #[must_use]
    pub fn intent(&self, intent: &Intent, session: Option<&Session>) -> Intent {
        let mut hidden = intent.clone();
        let lists = matches!(
            intent.action,
            Some(Action::ObjectList | Action::VersionList)
        );
        let kept = lists || RunEnd::of(intent).is_some();
        hidden.query = hidden.query.filter(|_| kept);
        if let Some(policy) = &mut hidden.policy {
            policy.rule = self.rule(&policy.rule, session);
        }
        hidden
    }

    /// A rule in which who asked has her pseudonym.
    #[must_use]
    pub fn rule(&self, rule: &str, session: Option<&Session>) -> String {
        let persons = session.map(|s| [s.principal.as_ref(), s.responsible.as_ref()]);
        let persons = persons.into_iter().flatten().flatten();
        persons.fold(rule.to_owned(), |rule, person| match self.of(person) {
            Some(name) => rule.replace(person.as_str(), name.as_str()),
            None => rule,
        })
    }
}

/// What is shown of a request in the place of its session and its intent.
pub struct Cover {
    session: Option<Session>,
    intent: Option<Intent>,
}

impl Cover {
    /// The request under it.
    #[must_use]
    pub const fn over<'a>(&'a self, view: &View<'a>) -> View<'a> {
        View {
            session: self.session.as_ref(),
            intent: self.intent.as_ref(),
            ..*view
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ledger::samples;
    use crate::types::EventId;

    fn of(seed: u8, project: &str) -> Pseudonyms {
        Pseudonyms::new(&Secret::take(&mut [seed; 32]), project.parse().unwrap())
    }

    #[test]
    fn a_pseudonym_is_as_specified() {
        let person = "j.devries".parse().unwrap();
        let name = of(7, "icu").of(&person).unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]);
        let tag = hmac::sign(&key, b"kluis/pseudonym/1\0icu\0j.devries");
        let text = BASE32_NOPAD
            .encode(&tag.as_ref()[..16])
            .to_ascii_lowercase();
        assert_eq!(name.as_str(), format!("p-{text}"));
    }

    #[test]
    fn nothing_of_a_request_names_its_persons() {
        let hidden = of(7, "icu");
        let session = samples::session();
        let mut intent = samples::intent(EventId::from_bytes([1; 16]));
        intent.query = Some("grant=1 principal=j.devries".into());
        let policy = intent.policy.as_mut().unwrap();
        policy.rule = "g, j.devries, reader by m.jansen@umcg.nl".into();
        let shown = (
            hidden.session(&session),
            hidden.intent(&intent, Some(&session)),
        );
        let text = format!("{shown:?}");
        for person in ["j.devries", "m.jansen@umcg.nl", "KLUIS0123456789ABCDE"] {
            assert!(!text.contains(person), "{text}");
        }
        assert_eq!(shown.0.client_ip, session.client_ip);
        intent.action = Some(Action::ObjectList);
        intent.query = Some("records/".into());
        let listed = hidden.intent(&intent, Some(&session));
        assert_eq!(listed.query.as_deref(), Some("records/"));
        let run = "version=1 objects=40 last=p40";
        for (action, words, kept) in [
            (Action::ObjectRead, run, Some(run)),
            (Action::ObjectRead, "version=1", None),
            (Action::GrantManage, run, None),
        ] {
            intent.action = Some(action);
            intent.query = Some(words.into());
            let shown = hidden.intent(&intent, Some(&session));
            assert_eq!(shown.query.as_deref(), kept, "{action} {words}");
        }
    }

    proptest! {
        #[test]
        fn one_person_is_one_pseudonym_in_a_project_and_another_elsewhere(
            a in "[a-z]{1,20}", b in "[a-z]{1,20}", p in "[a-z]{1,20}", q in "[a-z]{1,20}",
        ) {
            let (a, b): (PrincipalId, PrincipalId) = (a.parse().unwrap(), b.parse().unwrap());
            let name = of(1, &p).of(&a).unwrap();
            prop_assert_eq!(of(1, &p).of(&a), Some(name.clone()));
            prop_assert_eq!(of(1, &p).of(&b) == Some(name.clone()), a == b);
            prop_assert_eq!(of(1, &q).of(&a) == Some(name.clone()), p == q);
            prop_assert_ne!(of(2, &p).of(&a), Some(name.clone()));
            prop_assert_eq!(name.as_str().len(), 28);
        }
    }
}
