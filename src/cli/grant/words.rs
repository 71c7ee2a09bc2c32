//! A grant in two sentences, for whoever is to answer for it: what it lets, and what it does not.

use crate::policy::{Grant, GrantEffect, Standing};
use crate::types::Action;

/// What is worth saying when a grant does not let it.
const GRAVE: [Action; 6] = [
    Action::ObjectRead,
    Action::ObjectWrite,
    Action::ObjectDelete,
    Action::ObjectExport,
    Action::LogRead,
    Action::GrantManage,
];

/// Who may do what with which data, for what, on which permit, until when; and what it does not
/// let. `reach` is what the gateway's policy makes of its role, where it said so.
pub(super) fn summary(grant: &Grant, reach: Option<&[Action]>) -> [String; 2] {
    let who = &grant.principal;
    let deeds = reach.map_or_else(
        || format!("do what the role {} lets", grant.role),
        |reach| deeds(reach, "and"),
    );
    let role = reach.map_or_else(String::new, |_told| format!(" (role {})", grant.role));
    let narrowed = narrowed(grant);
    if grant.effect == GrantEffect::Deny {
        return [
            format!(
                "{who} may not {deeds} in {}{narrowed}{role}, {}, whatever else is granted.",
                place(grant),
                span(grant)
            ),
            format!(
                "It does not hold for workloads that act for {who}, lets nobody do anything, and \
                 only an owner's word takes it back."
            ),
        ];
    }
    let first = format!(
        "{who} may {deeds} in {}{narrowed}{}, {}{role}.",
        place(grant),
        rests(grant),
        span(grant)
    );
    let beyond = reach.map_or_else(
        || "do anything that this role does not let".to_owned(),
        |reach| {
            let manages = reach.contains(&Action::GrantManage);
            let not: Vec<Action> = GRAVE
                .into_iter()
                .filter(|action| !reach.contains(action))
                // Who decides about the data reads what is done with it.
                .filter(|action| *action != Action::LogRead || !manages)
                .collect();
            if not.is_empty() {
                "do anything elsewhere or later".to_owned()
            } else {
                self::deeds(&not, "or")
            }
        },
    );
    let second = format!(
        "It does not let {who} (of a group: its members) {beyond}, nor anybody else do anything; \
         withdrawn, it is refused within a second."
    );
    [first, second]
}

fn place(grant: &Grant) -> String {
    let project = &grant.project;
    let Some(dataset) = &grant.dataset else {
        return format!("all of project {project}");
    };
    let version = grant.terms.version;
    let version = version.map_or_else(String::new, |number| format!(" version {number}"));
    let prefix = if grant.prefix.is_empty() {
        String::new()
    } else {
        format!(" under {:?}", grant.prefix)
    };
    format!("{project}/{dataset}{version}{prefix}")
}

fn narrowed(grant: &Grant) -> String {
    let said = |what: &str, all: Vec<String>| {
        if all.is_empty() {
            String::new()
        } else {
            format!(", only {what} {}", all.join(" or "))
        }
    };
    let texts = |all: &[_]| all.iter().map(ToString::to_string).collect();
    let partitions = grant.terms.partitions.iter();
    let partitions = partitions.map(ToString::to_string).collect();
    format!(
        "{}{}",
        said("from", texts(&grant.terms.networks)),
        said("for jobs on", partitions)
    )
}

fn rests(grant: &Grant) -> String {
    let said = |word: &str, text: &Option<String>| {
        // Others' words: in quotes, and nothing in them moves or hides what stands beside them.
        let text = text.as_ref();
        text.map_or_else(String::new, |text| format!(", {word} {text:?}"))
    };
    format!(
        "{}{}",
        said("for", &grant.purpose),
        said("on permit", &grant.permit)
    )
}

fn span(grant: &Grant) -> String {
    let from = if grant.starts > grant.created {
        format!("from {} ", grant.starts)
    } else {
        String::new()
    };
    let until = grant
        .expires
        .map_or_else(|| "with no end".to_owned(), |end| format!("until {end}"));
    let lapse = match (grant.terms.standing, grant.terms.lapses) {
        (Standing::Approved, Some(at)) if grant.expires.is_none_or(|end| at < end) => {
            format!(", or {at} if no review confirms it")
        }
        _ => String::new(),
    };
    format!("{from}{until}{lapse}")
}

/// Actions in words, each said once.
fn deeds(actions: &[Action], joined: &str) -> String {
    let mut said: Vec<&str> = Vec::new();
    for word in actions.iter().map(|action| deed(*action)) {
        if !said.contains(&word) {
            said.push(word);
        }
    }
    match said.split_last() {
        None => "do nothing".to_owned(),
        Some((last, [])) => (*last).to_owned(),
        Some((last, rest)) => format!("{} {joined} {last}", rest.join(", ")),
    }
}

const fn deed(action: Action) -> &'static str {
    match action {
        Action::ObjectRead => "read objects",
        Action::ObjectHead | Action::ObjectList | Action::DatasetHead => "see what is there",
        Action::ObjectWrite => "write objects",
        Action::ObjectDelete => "delete objects",
        Action::ObjectTag => "tag objects",
        Action::VersionRead => "read what was overwritten or deleted",
        Action::VersionList => "see all versions",
        Action::VersionDelete => "delete versions for good",
        Action::ObjectLock => "lock objects",
        Action::LockBypass => "loosen locks",
        Action::ObjectExport => "copy objects out of their dataset",
        Action::UploadManage => "manage own uploads",
        Action::DatasetCreate => "make datasets",
        Action::DatasetDelete => "delete empty datasets",
        Action::DatasetConfigure => "describe and configure datasets",
        Action::DatasetPublish => "publish versions",
        Action::GrantManage => "decide who may use the data",
        Action::LogRead => "read the log",
        Action::ActAsk => "ask for acts of two persons",
        Action::ActApprove => "approve acts of two persons",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Terms;
    use crate::types::{GrantId, Timestamp};

    fn grant() -> Grant {
        Grant {
            id: GrantId::from_bytes([7; 16]),
            project: "icu".parse().unwrap(),
            principal: "bob".parse().unwrap(),
            role: "reader".to_owned(),
            dataset: Some("ecg".parse().unwrap()),
            prefix: "adults/".to_owned(),
            effect: GrantEffect::Allow,
            purpose: Some("ehds:scientific-research".to_owned()),
            permit: Some("P-7".to_owned()),
            starts: Timestamp::from_millis(0),
            expires: Some(Timestamp::from_millis(86_400_000)),
            approver: "ana".parse().unwrap(),
            created: Timestamp::from_millis(0),
            terms: Terms::default(),
        }
    }

    const READS: [Action; 3] = [Action::ObjectRead, Action::ObjectHead, Action::ObjectList];

    #[test]
    fn a_grant_is_told_in_two_sentences() {
        let [first, second] = summary(&grant(), Some(&READS));
        assert_eq!(
            first,
            "bob may read objects and see what is there in icu/ecg under \"adults/\", for \
             \"ehds:scientific-research\", on permit \"P-7\", until 1970-01-02T00:00:00.000Z (role reader)."
        );
        assert_eq!(
            second,
            "It does not let bob (of a group: its members) write objects, delete objects, copy objects out of their dataset, \
             read the log or decide who may use the data, nor anybody else do anything; withdrawn, \
             it is refused within a second."
        );
    }

    #[test]
    fn what_narrows_it_is_told_and_what_it_lacks_is_not_hidden() {
        let mut narrow = grant();
        narrow.dataset = None;
        narrow.prefix = String::new();
        narrow.expires = None;
        narrow.starts = Timestamp::from_millis(1);
        narrow.terms.networks = vec![
            "10.0.0.0/8".parse().unwrap(),
            "10.1.0.0/16".parse().unwrap(),
        ];
        narrow.terms.lapses = Some(Timestamp::from_millis(2));
        let [first, _] = summary(&narrow, Some(&READS));
        for part in [
            "in all of project icu, only from 10.0.0.0/8 or 10.1.0.0/16,",
            "from 1970-01-01T00:00:00.001Z with no end",
            "or 1970-01-01T00:00:00.002Z if no review confirms it",
        ] {
            assert!(first.contains(part), "{part}: {first}");
        }
        let [_, second] = summary(&grant(), Some(Action::ALL));
        assert!(
            second.contains("its members) do anything elsewhere or later"),
            "{second}"
        );
        let [_, second] = summary(&grant(), Some(&[Action::GrantManage]));
        assert!(!second.contains("read the log"), "{second}");
        let [first, second] = summary(&grant(), None);
        assert!(first.contains("do what the role reader lets"), "{first}");
        assert!(
            second.contains("do anything that this role does not let"),
            "{second}"
        );
    }

    /// Who proposes words the purpose and the permit, and no part of the sentence.
    #[test]
    fn what_the_proposer_wrote_stays_in_its_quotes() {
        let mut bent = grant();
        bent.purpose = Some("x\", until 1970-01-01 (role none). \u{202e}It".to_owned());
        let [first, _] = summary(&bent, Some(&READS));
        let told = "for \"x\\\", until 1970-01-01 (role none). \\u{202e}It\", on permit";
        assert!(first.contains(told), "{first}");
    }

    #[test]
    fn a_denial_is_not_told_as_a_permission() {
        let denial = Grant {
            effect: GrantEffect::Deny,
            ..grant()
        };
        let [first, second] = summary(&denial, Some(&[Action::ObjectRead]));
        assert!(
            first.starts_with("bob may not read objects in icu/ecg"),
            "{first}"
        );
        assert!(first.ends_with("whatever else is granted."), "{first}");
        assert!(
            second.starts_with("It does not hold for workloads that act for bob, lets nobody"),
            "{second}"
        );
    }

    #[test]
    fn each_thing_is_said_once_and_nothing_is_said_as_nothing() {
        let said = deeds(Action::ALL, "and");
        for action in Action::ALL {
            assert_eq!(said.matches(deed(*action)).count(), 1, "{action}");
        }
        assert_eq!(deeds(&[], "and"), "do nothing");
        assert_eq!(deeds(&[Action::LogRead], "and"), "read the log");
    }
}
