//! What must hold of an act's words before anybody is asked to approve it.

use crate::catalog::EraseScope;
use crate::types::{Act, ActKind, LogTerms, PrincipalId, limits};
use crate::vault::acts::ActDraft;
use crate::vault::error::{ErrorKind, VaultError};

/// What must hold of any act that is asked for.
pub(in crate::vault) fn check_draft(draft: &ActDraft) -> Result<(), VaultError> {
    let wrong = |why| Err(VaultError::new(ErrorKind::InvalidArgument, why));
    if draft.kind.on_dataset() != draft.dataset.is_some() {
        return wrong("an act of this kind is about a dataset, or about none");
    }
    let names = draft.terms.iter().map(|(name, _)| name.as_str());
    if !names.eq(draft.kind.terms().iter().copied()) {
        return wrong("an act has the terms of its kind, in their order");
    }
    let values = draft.terms.iter().map(|(_, value)| value.as_str());
    if !values
        .clone()
        .all(|text| is_text(text, limits::ACT_TERM_BYTES_MAX))
    {
        return wrong("a term is a text without control characters");
    }
    if !is_text(&draft.reason, limits::REASON_BYTES_MAX) {
        return wrong("a reason is 1 to 1,000 bytes, none of them a control");
    }
    let values: Vec<&str> = values.collect();
    if means_something(draft.kind, &values) {
        Ok(())
    } else {
        wrong("a term's value is none that its kind knows")
    }
}

/// A text that can stand in a record and before a person's eyes.
pub(in crate::vault) fn is_text(text: &str, bytes_max: usize) -> bool {
    let bounded = (1..=bytes_max).contains(&text.len());
    bounded && text.trim() == text && !text.chars().any(char::is_control)
}

/// Whether the values are such as the act of this kind can be done with.
fn means_something(kind: ActKind, values: &[&str]) -> bool {
    match (kind, values) {
        (ActKind::LowerLabel, [to]) => is_text(to, limits::LABEL_BYTES_MAX),
        (ActKind::BreakGlass, [who, minutes]) => {
            let bounds = 1..=limits::BREAK_GLASS_MINUTES_MAX;
            who.parse::<PrincipalId>().is_ok()
                && number(minutes).is_some_and(|minutes| bounds.contains(&minutes))
        }
        (ActKind::Erase, [what]) => EraseScope::parse(what).is_some(),
        (ActKind::ShortenLog, [days]) => number(days).is_some_and(LogTerms::may_be),
        (ActKind::LowerLabel | ActKind::BreakGlass | ActKind::Erase | ActKind::ShortenLog, _) => {
            false
        }
    }
}

/// A number in its one spelling: `7`, not `07` nor `+7`.
fn number(text: &str) -> Option<u32> {
    let number: u32 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// Whether an act gives something to this person, who then is not the one to approve it.
pub(in crate::vault) fn gains(act: &Act, who: &PrincipalId) -> bool {
    match act.kind {
        ActKind::BreakGlass => act.terms.first().is_some_and(|name| name == who.as_str()),
        ActKind::LowerLabel | ActKind::Erase | ActKind::ShortenLog => false,
    }
}
