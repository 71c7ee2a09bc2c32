//! What must hold of an act's words before anybody is asked to approve it: that they mean
//! something, and would change something as things stand.

use std::sync::Arc;

use crate::catalog::{Card, EraseScope, Version};
use crate::types::{
    Act, ActKind, BucketName, DatasetId, DatasetName, Label, LogTerms, PrincipalId, PrincipalKind,
    ProjectName, VersionName, limits,
};
use crate::vault::Vault;
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

impl Vault {
    /// That an act would change something: two persons are not asked for what one may do, or for
    /// somebody or something that is not there. It is judged again when it is done.
    pub(in crate::vault) async fn check_effect(&self, act: &Act) -> Result<(), VaultError> {
        let term = act.terms.first().map(String::as_str).unwrap_or_default();
        match (act.kind, &act.dataset) {
            (ActKind::LowerLabel, Some((dataset, _))) => self.check_lowers(act, dataset).await,
            (ActKind::Erase, Some((_, dataset))) => self.check_erases(dataset, term).await,
            (ActKind::BreakGlass, _) => self.check_opens(term).await,
            (ActKind::ShortenLog, _) => self.check_shortens(act, term).await,
            (ActKind::LowerLabel | ActKind::Erase, None) => Ok(()),
        }
    }

    /// That a label which is to be lowered becomes a lower one.
    async fn check_lowers(&self, act: &Act, dataset: &DatasetName) -> Result<(), VaultError> {
        let card = self.card_of(&act.project, dataset).await?;
        let to: Option<Label> = act.terms.first().and_then(|text| text.parse().ok());
        let lower = card.zip(to).is_some_and(|(card, to)| {
            let labels = &self.settings.labels;
            let lowered = Card {
                label: to.clone(),
                ..Card::clone(&card)
            };
            labels.knows(&to) && labels.of_data(Some(&lowered)) < labels.of_data(Some(&card))
        });
        if lower {
            return Ok(());
        }
        let why = "no lower label than the dataset has; `labels.order` has those there are";
        Err(VaultError::new(ErrorKind::InvalidArgument, why))
    }

    /// That data is opened to a person who may do anything here at all.
    async fn check_opens(&self, who: &str) -> Result<(), VaultError> {
        const NOBODY: VaultError = VaultError::new(
            ErrorKind::InvalidArgument,
            "break-glass is for a person: nobody of that name may act here",
        );
        let who: PrincipalId = who.parse().map_err(|_no_name| NOBODY)?;
        let row = self.catalog.principal(&who).await?;
        let person = row.is_some_and(|row| row.kind == PrincipalKind::Person);
        if person && self.guard.bar(&who).await?.is_none() {
            return Ok(());
        }
        Err(NOBODY)
    }

    /// Words an erasure of `null` with the id of the write that is called so now: another may be by
    /// the time that it is done, and two persons agree on one.
    pub(in crate::vault) async fn name_write(&self, act: &mut Act) -> Result<(), VaultError> {
        let (ActKind::Erase, Some((_, dataset)), Some(what)) =
            (act.kind, &act.dataset, act.terms.first_mut())
        else {
            return Ok(());
        };
        let Some(EraseScope::Version(key, VersionName::Null)) = EraseScope::parse(what) else {
            return Ok(());
        };
        let there = self.catalog.version(dataset, &key, &VersionName::Null);
        if let Some(Version::Object(row)) = there.await? {
            *what = format!("write={}:{key}", row.version);
        }
        Ok(())
    }

    /// Adds to a lowering the label that the dataset has now.
    pub(in crate::vault) async fn name_label(&self, act: &mut Act) -> Result<(), VaultError> {
        if let (ActKind::LowerLabel, Some((dataset, _))) = (act.kind, &act.dataset) {
            let card = self.card_of(&act.project, dataset).await?;
            act.terms.extend(card.map(|card| card.label.to_string()));
        }
        Ok(())
    }

    async fn card_of(
        &self,
        project: &ProjectName,
        dataset: &DatasetName,
    ) -> Result<Option<Arc<Card>>, VaultError> {
        let bucket = BucketName {
            project: project.clone(),
            dataset: dataset.clone(),
        };
        let row = self.catalog.dataset(&bucket).await?;
        Ok(row.and_then(|row| row.card))
    }

    /// That what is to be erased is there. A lock that keeps it now may be over by then.
    async fn check_erases(&self, dataset: &DatasetId, what: &str) -> Result<(), VaultError> {
        let Some(scope) = EraseScope::parse(what) else {
            return Ok(());
        };
        match self.judge_there(dataset, &scope).await {
            Err(error) if error.kind() == ErrorKind::Locked => Ok(()),
            judged => judged,
        }
    }

    /// That records are kept for longer than they are to be.
    async fn check_shortens(&self, act: &Act, days: &str) -> Result<(), VaultError> {
        let row = self.catalog.project(&act.project).await?;
        let kept = row.map(|row| row.log.kept_days());
        if kept
            .zip(number(days))
            .is_some_and(|(kept, days)| days < kept)
        {
            return Ok(());
        }
        let why = "the records are kept no longer than that: who manages grants may lengthen it";
        Err(VaultError::new(ErrorKind::InvalidArgument, why))
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
