//! What was asked, from a record: the questions that it can have been. Where the record's own words
//! leave it open (a listing of a folder that is called like a version), there is more than one.

use crate::ledger::{AuthMethod, Intent, Session};
use crate::types::limits::RECORD_TEXT_BYTES_MAX;
use crate::types::{Action, PrincipalId};

/// A question that a record may tell of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Question {
    pub(super) principal: PrincipalId,
    pub(super) key: String,
    pub(super) version: Option<u32>,
    /// About a job that nobody had placed yet.
    pub(super) unplaced: bool,
}

/// The log cuts what was asked to so many characters (`vault::cut`), of grants to so many bytes
/// (`vault::kept`).
const CUT: usize = 512;

/// Whether a text may have been longer than the log kept of it.
fn may_be_cut(query: &str) -> bool {
    let full = RECORD_TEXT_BYTES_MAX.saturating_sub(char::MAX.len_utf8());
    query.chars().count() == CUT || query.len() > full
}

/// The first word behind `name=`.
fn word<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split(' ').find_map(|word| word.strip_prefix(name))
}

/// Who was decided on: who asked; on the vault's host whom the command named. What describes a
/// dataset is free text, and stands behind that name.
fn principal(session: &Session, action: Action, query: &str) -> Option<PrincipalId> {
    if session.auth != AuthMethod::Local {
        return session.principal.clone();
    }
    let named: &[&str] = if action == Action::DatasetConfigure {
        &["by="]
    } else {
        &["auditor=", "approver=", "publisher=", "creator="]
    };
    let named = named.iter().find_map(|name| word(query, name));
    session
        .principal
        .clone()
        .or_else(|| named.and_then(|name| name.parse().ok()))
}

/// Whether a question about `action` is about keys that begin so.
const fn under(action: Action) -> bool {
    matches!(
        action,
        Action::ObjectList | Action::VersionList | Action::UploadManage
    )
}

/// Every question that the record can tell of, the likeliest first; or why there is none.
pub(super) fn questions(session: &Session, intent: &Intent) -> Result<Vec<Question>, &'static str> {
    let query = intent.query.as_deref().unwrap_or_default();
    let action = intent.action.ok_or("the record names no action")?;
    let principal = principal(session, action, query).ok_or("the record does not say on whom")?;
    let numbered = query.strip_prefix("version=").and_then(|rest| {
        let (number, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        Some((number.parse::<u32>().ok()?, rest))
    });
    // A publication's record has the number that it gives, and asked about what is current.
    let numbered = numbered.filter(|_| action != Action::DatasetPublish);
    let version = numbered.map(|(number, _)| number);
    let asks = |key: &str, version| Question {
        principal: principal.clone(),
        key: key.to_owned(),
        version,
        unplaced: false,
    };
    if let (Action::DatasetHead, Some(rest)) = (action, query.strip_prefix("job=")) {
        let version = word(rest, "version=").and_then(|number| number.parse().ok());
        let unplaced = true;
        return Ok(vec![Question {
            unplaced,
            ..asks("", version)
        }]);
    }
    if let Some(key) = &intent.object.key {
        return Ok(vec![asks(key.as_str(), version)]);
    }
    let mut found = Vec::new();
    if under(action) {
        if let Some((number, rest)) = numbered {
            let prefix = rest.strip_prefix("prefix=").unwrap_or_default();
            found.push(asks(prefix, Some(number)));
        }
        found.push(asks(query, None));
        if may_be_cut(query) {
            return Err("what was asked is longer than the record keeps");
        }
    } else if action == Action::GrantManage {
        // A prefix may hold anything; it stands last.
        let at = query.match_indices(" prefix=");
        found.extend(at.map(|(at, word)| {
            let rest = query.get(at.saturating_add(word.len())..);
            asks(rest.unwrap_or_default(), None)
        }));
        if may_be_cut(query) {
            return Err("what was asked is longer than the record keeps");
        }
    }
    if found.is_empty() {
        found.push(asks("", version));
    }
    Ok(found)
}

/// The same about the person in whose name the session's principal acts: of a job it is hers that
/// counts. Which of the two was asked about says the version of the rights, which is one person's.
pub(super) fn in_her_name(session: &Session, asked: &[Question]) -> Vec<Question> {
    let person = session.responsible.as_ref();
    let person = person.filter(|_| session.auth != AuthMethod::Local);
    let hers = |person: &PrincipalId| {
        let of = |question: &Question| Question {
            principal: person.clone(),
            ..question.clone()
        };
        asked.iter().map(of).collect()
    };
    person.map_or_else(Vec::new, hers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::samples;

    fn asked(action: Action, key: Option<&str>, query: &str) -> Vec<(String, Option<u32>)> {
        let mut intent = samples::intent(samples::event(1));
        intent.action = Some(action);
        intent.object.key = key.map(|key| key.parse().unwrap());
        intent.query = Some(query.to_owned());
        let found = questions(&samples::session(), &intent).unwrap();
        assert!(found.iter().all(|q| q.principal.as_str() == "j.devries"));
        found.into_iter().map(|q| (q.key, q.version)).collect()
    }

    fn one(key: &str, version: Option<u32>) -> Vec<(String, Option<u32>)> {
        vec![(key.to_owned(), version)]
    }

    #[test]
    fn a_record_tells_what_was_asked() {
        use Action::{DatasetHead, GrantManage, ObjectList, ObjectRead};
        assert_eq!(asked(ObjectRead, Some("a/b"), ""), one("a/b", None));
        let run = "version=3 objects=9 last=z";
        assert_eq!(asked(ObjectRead, Some("a/b"), run), one("a/b", Some(3)));
        assert_eq!(asked(ObjectList, None, "adults/"), one("adults/", None));
        let both = asked(ObjectList, None, "version=3 prefix=adults/");
        assert_eq!(both[0], ("adults/".to_owned(), Some(3)));
        assert_eq!(both[1], ("version=3 prefix=adults/".to_owned(), None));
        assert_eq!(
            asked(ObjectList, None, "version=3 page=1")[0],
            (String::new(), Some(3))
        );
        assert_eq!(asked(DatasetHead, None, "version=3"), one("", Some(3)));
        assert_eq!(asked(DatasetHead, None, "version=x"), one("", None));
        let job = "job=ana/0199 version=3 cluster=hpc1 account=version=4";
        assert_eq!(asked(DatasetHead, None, job), one("", Some(3)));
        assert_eq!(asked(DatasetHead, None, "job= version=2"), one("", Some(2)));
        let current = "job=ana/0199 version= cluster=hpc1";
        assert_eq!(asked(DatasetHead, None, current), one("", None));
        let words = "grant=1 permit=a prefix=b expires= prefix=c/d";
        let keys: Vec<_> = asked(GrantManage, None, words);
        assert_eq!(keys.len(), 2);
        assert_eq!(keys[1].0, "c/d");
    }

    #[test]
    fn what_the_record_does_not_hold_is_not_made_up() {
        let mut intent = samples::intent(samples::event(1));
        let stranger = samples::stranger();
        assert!(questions(&stranger, &intent).is_err());
        intent.action = None;
        assert!(questions(&samples::session(), &intent).is_err());
        intent.action = Some(Action::ObjectList);
        intent.object.key = None;
        intent.query = Some("x".repeat(CUT));
        assert!(questions(&samples::session(), &intent).is_err());
    }

    #[test]
    fn on_the_host_the_command_names_her() {
        let mut session = samples::stranger();
        let mut intent = samples::intent(samples::event(1));
        intent.action = Some(Action::LogRead);
        intent.object.key = None;
        intent.query = Some("query project=icu auditor=tess sql=auditor=eve".to_owned());
        assert!(questions(&session, &intent).is_err());
        session.auth = AuthMethod::Local;
        let found = questions(&session, &intent).unwrap();
        assert_eq!(found[0].principal.as_str(), "tess");
        intent.action = Some(Action::DatasetConfigure);
        intent.query = Some("by=olivia owner=olivia source=x auditor=eve by=eve".to_owned());
        let found = questions(&session, &intent).unwrap();
        assert_eq!(found[0].principal.as_str(), "olivia");
        intent.action = Some(Action::DatasetPublish);
        intent.query = Some("version=3 objects=9 root=ab publisher=olivia".to_owned());
        let found = questions(&session, &intent).unwrap();
        assert_eq!(
            (found[0].principal.as_str(), found[0].version),
            ("olivia", None)
        );
        intent.action = Some(Action::DatasetCreate);
        intent.query = Some("dataset creator=dirk".to_owned());
        let found = questions(&session, &intent).unwrap();
        assert_eq!(found[0].principal.as_str(), "dirk");
    }
}
