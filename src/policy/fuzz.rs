//! One entry for fuzzers: whatever the bytes, nothing here may panic, and what compiles must
//! behave.

use std::sync::Arc;

use super::check::{Severity, check};
use super::expect::run_expectations;
use super::project::ProjectPolicy;
use super::source::{Policy, PolicySource};
use super::{Ask, Circumstances, grants_from_text, matcher};
use crate::types::{Action, Timestamp};

/// Reads `data` as a model, as a role file, as the whole text of a policy, as
/// grants and as a table, and asks whatever compiles. Hidden: for `tests` and a fuzzing package.
///
/// Returns whether something compiled, so that a fuzzer can tell seeds apart.
#[must_use]
pub fn fuzz_policy(data: &[u8]) -> bool {
    let text = String::from_utf8_lossy(data).into_owned();
    let builtin = PolicySource::builtin();
    let sources = [
        PolicySource {
            model: text.clone(),
            ..builtin.clone()
        },
        PolicySource {
            roles: vec![("fuzz".to_owned(), text.clone())],
            ..builtin.clone()
        },
        PolicySource {
            roles: vec![(text.clone(), String::new())],
            model: builtin.model,
        },
        PolicySource::from_text(&text).unwrap_or_default(),
    ];
    let mut any = matcher::check(&text).is_ok() || grants_from_text(&text).is_ok();
    for source in sources {
        let errors = check(&source)
            .iter()
            .any(|finding| finding.kind.severity() == Severity::Error);
        let Ok(policy) = Policy::compile(&source) else {
            continue;
        };
        debug_assert!(!errors, "what has an error does not compile");
        any = true;
        let policy = Arc::new(policy);
        drop(run_expectations(&policy, &text));
        let denied = asks_in_vain(&policy);
        debug_assert!(denied.is_none_or(|denied| denied), "nothing is held");
    }
    any
}

/// Asks everything of a subject without grants: nothing may be allowed.
fn asks_in_vain(policy: &Arc<Policy>) -> Option<bool> {
    let (project, principal) = ("fuzz".parse().ok()?, "fuzz".parse().ok()?);
    let domain = ProjectPolicy::new(policy, &project).ok()?;
    let view = domain.subject(&principal, Vec::new()).ok()?;
    let denied = Action::ALL.iter().all(|action| {
        let ask = Ask {
            project: &project,
            principal: &principal,
            dataset: None,
            key: "",
            action: *action,
            now: Timestamp::default(),
            when: Circumstances::default(),
        };
        !view.decide(&ask).allowed
    });
    Some(denied)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MODEL: &str = include_str!("../../policies/model.conf");
    const ROLE: &str = "p, fuzz, object.read, allow\np, fuzz, object.read, deny\n";
    const TABLE: &str = include_str!("../../policies/examples/health/expectations.toml");

    /// Cuts, doubles and replaces pieces of texts that are nearly right.
    fn bent() -> impl Strategy<Value = Vec<u8>> {
        let whole = Policy::builtin().unwrap().text().to_owned();
        let seed = prop::sample::select(vec![
            MODEL.to_owned(),
            ROLE.to_owned(),
            TABLE.to_owned(),
            whole,
        ]);
        let piece = prop::sample::select(vec![
            "",
            "\"",
            "(",
            ")",
            "&&",
            "||",
            "!",
            "\\",
            "[",
            "]",
            "=",
            ",",
            "\0",
            "r.act",
            "é",
            "#",
            "\n",
            "p.eft",
            "eval(",
            "{",
            "}",
            "9999999999999999999999",
        ]);
        (
            seed,
            any::<prop::sample::Index>(),
            0..40_usize,
            piece,
            1..300_usize,
        )
            .prop_map(|(seed, at, cut, piece, times)| {
                let mut bytes = seed.into_bytes();
                let at = at.index(bytes.len());
                let end = (at + cut).min(bytes.len());
                bytes.splice(at..end, piece.repeat(times).into_bytes());
                bytes
            })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(192))]

        #[test]
        fn bent_texts_do_no_harm(data in bent()) {
            let _compiled = fuzz_policy(&data);
        }

        #[test]
        fn random_bytes_do_no_harm(data in prop::collection::vec(any::<u8>(), 0..400)) {
            let _compiled = fuzz_policy(&data);
        }
    }

    #[test]
    fn the_seeds_compile() {
        assert!(fuzz_policy(MODEL.as_bytes()));
        assert!(fuzz_policy(ROLE.as_bytes()));
        assert!(fuzz_policy(Policy::builtin().unwrap().text().as_bytes()));
        assert!(!fuzz_policy(b"p, fuzz"));
    }
}
