//! What is said of datasets: owner, label, source, legal basis, end (UP-6); legal holds (ER-2);
//! clearances (AZ-13). Raising a label is one person's word, lowering it takes two (AZ-10).

use std::sync::Arc;

use crate::catalog::{Card, CardDefaults, DatasetRow, Mutation, Stage};
use crate::ledger::Intent;
use crate::policy::{Ask, Decision};
use crate::types::{
    Act, ActKind, Action, ApprovalId, BucketName, Label, PrincipalId, PrincipalKind, ProjectName,
    Rank, Timestamp, UseClass, limits,
};
use crate::vault::Vault;
use crate::vault::access::proof::policy_ref;
use crate::vault::acts::terms::is_text;
use crate::vault::ask::Call;
use crate::vault::error::{ErrorKind, VaultError};
use crate::vault::people::assurance::circumstances;
use crate::vault::people::assurance::refusal_or;

/// What is to change of a dataset's description; the rest stays.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CardChange {
    /// Another owner.
    pub owner: Option<PrincipalId>,
    /// Another label.
    pub label: Option<Label>,
    /// Another source.
    pub source: Option<String>,
    /// Another legal basis.
    pub basis: Option<String>,
    /// Another end.
    pub ends: Option<Timestamp>,
    /// A legal hold for this reason, or (`Some(None)`) none any more.
    pub held: Option<Option<String>>,
    /// Another use class, or (`Some(None)`) none any more.
    pub use_class: Option<Option<UseClass>>,
    /// The approval of a label's lowering.
    pub approval: Option<ApprovalId>,
}

/// A dataset as its owner sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Described {
    /// The dataset, with its card if it has one.
    pub row: DatasetRow,
    /// Where it stands now.
    pub stage: Stage,
    /// When the next stage comes, if one comes by itself.
    pub next: Option<Timestamp>,
}

const LACKS: VaultError = VaultError::new(
    ErrorKind::InvalidArgument,
    "a dataset has an owner, a label, a source, a legal basis and an end",
);
const NO_LABEL: VaultError = VaultError::new(
    ErrorKind::InvalidArgument,
    "no such label; `labels.order` has those there are",
);
const TWO: VaultError = VaultError::new(
    ErrorKind::TakesTwo,
    "lowering a label takes two persons: `kluis approval ask label.lower`",
);
const MAY_NOT: VaultError = VaultError::new(
    ErrorKind::AccessDenied,
    "nothing that is granted lets it be done in this name",
);
const NO_CREATOR: VaultError = VaultError::new(
    ErrorKind::InvalidArgument,
    "a dataset is made by a person or a workload",
);
const THERE: VaultError = VaultError::new(ErrorKind::DatasetExists, "the dataset is there already");
const ABSENT: VaultError = VaultError::new(ErrorKind::NoSuchDataset, "no such dataset");

impl Vault {
    /// Makes a dataset in the name of whoever signed, or on the vault's own host of whoever may
    /// make it herself, with what she says of it beyond her project's defaults. One commit does
    /// both: what is refused leaves nothing behind.
    pub async fn found_dataset(
        &self,
        call: &Call,
        bucket: BucketName,
        creator: Option<&PrincipalId>,
        said_of_it: CardChange,
    ) -> Result<DatasetRow, VaultError> {
        let mut made = Self::card_intent(call, &bucket, Action::DatasetCreate);
        let creator = match Self::actor(call, creator) {
            Ok(creator) => creator,
            Err(error) => return Err(self.turn_away(call, made, error).await),
        };
        made.query = Some(crate::vault::cut(&format!("dataset creator={creator}")));
        let checked = async {
            let decision = self.may_found(call, &bucket, &creator).await?;
            if self.catalog.dataset(&bucket).await?.is_some() {
                return Err(THERE);
            }
            let founding = self.founding(call, &bucket, &creator, said_of_it);
            founding.await.map(|checked| (decision, checked))
        };
        let (decision, (card, described)) = match checked.await {
            Ok(checked) => checked,
            Err(error) => return Err(self.turn_away(call, made, error).await),
        };
        made.policy = Some(policy_ref(&decision));
        let recorded = self.begin(call, made).await?;
        let described = match described {
            Some(intent) => Some(self.begin(call, intent).await?),
            None => None,
        };
        let result = self.make_dataset(&bucket, creator, card, false).await;
        match described {
            Some(described) => recorded.settle(described.settle(result)),
            None => recorded.settle(result),
        }
    }

    /// That who is named could make this dataset over the network: somebody who can sign, with the
    /// right to.
    async fn may_found(
        &self,
        call: &Call,
        bucket: &BucketName,
        creator: &PrincipalId,
    ) -> Result<Decision, VaultError> {
        let row = self.catalog.principal(creator).await?;
        if row.is_none_or(|row| row.kind == PrincipalKind::Group) {
            return Err(NO_CREATOR);
        }
        self.card_right(call, bucket, creator, Action::DatasetCreate)
            .await
    }

    /// The description of a dataset that is to be made, and what the log says of it where it is
    /// more than the project's defaults.
    async fn founding(
        &self,
        call: &Call,
        bucket: &BucketName,
        creator: &PrincipalId,
        mut change: CardChange,
    ) -> Result<(Option<Card>, Option<Intent>), VaultError> {
        let default = self.first_card(&bucket.project, creator).await?;
        if change == CardChange::default() {
            return Ok((default, None));
        }
        let _speaker = self.speaker(call, Some(creator))?;
        if default.is_none() && change.owner.is_none() {
            change.owner = Some(self.guard.answers_for(creator).await?);
        }
        let decision = self
            .card_right(call, bucket, creator, Action::DatasetConfigure)
            .await?;
        let cleared = self.clearance(creator).await?;
        let rank = |card: &Card| self.settings.labels.of_data(Some(card));
        let card = self.changed(default.as_ref(), &change, cleared).await?;
        if default.as_ref().is_some_and(|old| rank(&card) < rank(old)) {
            return Err(TWO);
        }
        let mut intent = Self::card_intent(call, bucket, Action::DatasetConfigure);
        intent.event = self.new_event()?;
        intent.policy = Some(policy_ref(&decision));
        intent.query = Some(crate::vault::kept(&format!("by={creator} {}", said(&card))));
        Ok((Some(card), Some(intent)))
    }

    /// Says what a dataset is, on the word of whoever signed or, on the host, of whoever is named.
    pub async fn set_card(
        &self,
        call: &Call,
        bucket: &BucketName,
        change: CardChange,
        by: Option<&PrincipalId>,
    ) -> Result<Described, VaultError> {
        let mut intent = Self::card_intent(call, bucket, Action::DatasetConfigure);
        let checked = async {
            let by = self.speaker(call, by)?;
            let decision = self
                .card_right(call, bucket, &by, Action::DatasetConfigure)
                .await?;
            if change.held.is_some() {
                self.card_right(call, bucket, &by, Action::ObjectLock)
                    .await?;
            }
            let row = self.catalog.dataset(bucket).await?.ok_or(ABSENT)?;
            let cleared = self.clearance(&by).await?;
            if self.settings.labels.of_data(row.card.as_deref()) > cleared {
                return Err(crate::vault::access::barrier::ABOVE);
            }
            let card = self.changed(row.card.as_deref(), &change, cleared).await?;
            let lowers = row.card.as_ref().is_some_and(|old| {
                let rank = |card: &Card| self.settings.labels.of_data(Some(card));
                rank(&card) < rank(old)
            });
            let lowered = row.card.as_ref().filter(|_| lowers);
            let approved = if let Some(old) = lowered {
                let act = Act {
                    kind: ActKind::LowerLabel,
                    project: bucket.project.clone(),
                    dataset: Some((bucket.dataset.clone(), row.id)),
                    terms: vec![card.label.to_string(), old.label.to_string()],
                };
                Some(
                    self.approved(call, change.approval.ok_or(TWO)?, &act)
                        .await?,
                )
            } else {
                None
            };
            Ok((row, card, approved, decision, by))
        };
        let (row, card, approved, decision, by) = match checked.await {
            Ok(checked) => checked,
            Err(error) => return Err(self.turn_away(call, intent, error).await),
        };
        intent.policy = Some(policy_ref(&decision));
        let words = approved.as_ref().map(crate::vault::Approved::words);
        // An approval's words end in a reason, and have been recorded before.
        let said = format!("by={by} {} {}", said(&card), words.unwrap_or_default());
        intent.query = Some(crate::vault::kept(said.trim()));
        let set = Mutation::SetCard {
            dataset: row.id,
            was: row.card.as_deref().cloned(),
            card: card.clone(),
        };
        match approved {
            None => self.administer(call, intent, vec![set]).await?,
            Some(approved) => {
                let recorded = self.begin(call, intent).await?;
                let _done = recorded.settle(self.carry_out(approved, vec![set]).await)?;
            }
        }
        Ok(self.described(DatasetRow {
            card: Some(Arc::new(card)),
            ..row
        }))
    }

    /// A dataset's description and where it stands, for whoever may know that it is there.
    pub async fn describe_dataset(
        &self,
        call: &Call,
        bucket: &BucketName,
    ) -> Result<Described, VaultError> {
        let mut intent = Self::card_intent(call, bucket, Action::DatasetHead);
        let found = async {
            let by = Self::actor(call, None)?;
            let decision = self
                .card_right(call, bucket, &by, Action::DatasetHead)
                .await?;
            let row = self.catalog.dataset(bucket).await?.ok_or(ABSENT)?;
            if self.settings.labels.of_data(row.card.as_deref()) > self.clearance(&by).await? {
                return Err(crate::vault::access::barrier::ABOVE);
            }
            Ok((row, decision))
        };
        match found.await {
            Ok((row, decision)) => {
                intent.policy = Some(policy_ref(&decision));
                self.note(call, intent, Ok(())).await?;
                Ok(self.described(row))
            }
            Err(error) => Err(self.turn_away(call, intent, error).await),
        }
    }

    /// Says what a project's datasets are that say nothing themselves. Those that it has already
    /// and that have no description get one now.
    pub async fn set_defaults(
        &self,
        call: &Call,
        project: &ProjectName,
        defaults: CardDefaults,
        by: Option<&PrincipalId>,
    ) -> Result<(), VaultError> {
        let mut intent = Self::admin_intent(call, Some(project), "defaults");
        intent.action = Some(Action::DatasetConfigure);
        let checked = async {
            let by = self.speaker(call, by)?;
            let subject = self.guard.subject_of(call, project, &by).await?;
            let decision = subject.decide(&Ask {
                project,
                principal: &by,
                dataset: None,
                key: "",
                action: Action::DatasetConfigure,
                now: self.now(),
                when: circumstances(call),
            });
            if !decision.allowed {
                return Err(refusal_or(&decision, MAY_NOT));
            }
            self.guard.used(&decision, self.now());
            self.check_words(&defaults.label, [&defaults.source, &defaults.basis])?;
            if defaults.days == 0 || defaults.days > limits::RETENTION_DAYS_MAX {
                return Err(LACKS);
            }
            self.undescribed(project, &defaults).await
        };
        let mut changes = match checked.await {
            Ok(changes) => changes,
            Err(error) => return Err(self.turn_away(call, intent, error).await),
        };
        let CardDefaults {
            label,
            source,
            basis,
            days,
        } = &defaults;
        let said = format!("defaults label={label} source={source} basis={basis} days={days}");
        intent.query = Some(crate::vault::kept(&said));
        let (project, defaults) = (project.clone(), Some(defaults));
        changes.insert(0, Mutation::SetDefaults { project, defaults });
        self.administer(call, intent, changes).await
    }

    /// Clears a principal for a label and all below, or (`None`) leaves it at the default.
    pub async fn clear(
        &self,
        call: &Call,
        principal: PrincipalId,
        clearance: Option<Label>,
    ) -> Result<(), VaultError> {
        let words = clearance.as_ref().map_or("default", Label::as_str);
        let intent = Self::admin_intent(call, None, &format!("clear={principal} for={words}"));
        let known = clearance
            .as_ref()
            .is_none_or(|label| self.settings.labels.knows(label));
        if !known {
            return Err(self.turn_away(call, intent, NO_LABEL).await);
        }
        let change = Mutation::SetClearance {
            principal,
            clearance,
        };
        self.administer(call, intent, vec![change]).await
    }

    /// What a new dataset of this project begins with.
    pub(in crate::vault) async fn first_card(
        &self,
        project: &ProjectName,
        creator: &PrincipalId,
    ) -> Result<Option<Card>, VaultError> {
        let row = self.catalog.project(project).await?;
        let Some(defaults) = row.and_then(|row| row.defaults) else {
            return Ok(None);
        };
        let owner = self.guard.answers_for(creator).await?;
        Ok(Some(defaults.card(owner, self.now())))
    }

    /// What a dataset is, and where it stands.
    pub fn described(&self, row: DatasetRow) -> Described {
        let now = self.now();
        let card = row.card.as_deref();
        let stage = card.map_or(Stage::Active, |card| card.stage(now));
        let next = card.and_then(|card| {
            let ends = card.ends.millis();
            let at = match stage {
                Stage::Active => ends.saturating_sub(limits::DATASET_NOTICE_MS),
                Stage::Notice if card.held.is_none() => ends,
                Stage::Quarantine => ends.saturating_add(limits::DATASET_QUARANTINE_MS),
                Stage::Notice | Stage::Ended => return None,
            };
            Some(Timestamp::from_millis(at))
        });
        Described { row, stage, next }
    }

    fn card_intent(call: &Call, bucket: &BucketName, action: Action) -> Intent {
        let mut intent = Self::admin_intent(call, Some(&bucket.project), "");
        intent.query = None;
        intent.action = Some(action);
        intent.object.dataset = Some(bucket.dataset.clone());
        intent
    }

    async fn card_right(
        &self,
        call: &Call,
        bucket: &BucketName,
        who: &PrincipalId,
        action: Action,
    ) -> Result<Decision, VaultError> {
        let subject = self.guard.subject_of(call, &bucket.project, who).await?;
        let decision = subject.decide(&Ask {
            project: &bucket.project,
            principal: who,
            dataset: Some(&bucket.dataset),
            key: "",
            action,
            now: self.now(),
            when: circumstances(call),
        });
        if decision.allowed {
            self.guard.used(&decision, self.now());
            Ok(decision)
        } else {
            Err(refusal_or(&decision, MAY_NOT))
        }
    }

    /// The card with its change, all of it said and right. Nobody labels above her own clearance:
    /// she could not take it back.
    async fn changed(
        &self,
        old: Option<&Card>,
        change: &CardChange,
        cleared: Rank,
    ) -> Result<Card, VaultError> {
        let text = |new: &Option<String>, old: Option<&String>| new.as_ref().or(old).cloned();
        let card = Card {
            owner: change
                .owner
                .clone()
                .or_else(|| old.map(|c| c.owner.clone()))
                .ok_or(LACKS)?,
            label: change
                .label
                .clone()
                .or_else(|| old.map(|c| c.label.clone()))
                .ok_or(LACKS)?,
            source: text(&change.source, old.map(|c| &c.source)).ok_or(LACKS)?,
            basis: text(&change.basis, old.map(|c| &c.basis)).ok_or(LACKS)?,
            ends: change.ends.or_else(|| old.map(|c| c.ends)).ok_or(LACKS)?,
            held: change
                .held
                .clone()
                .unwrap_or_else(|| old.and_then(|c| c.held.clone())),
            use_class: change
                .use_class
                .clone()
                .unwrap_or_else(|| old.and_then(|c| c.use_class.clone())),
            told: old.map_or(Stage::Active, |c| c.told),
        };
        if change.ends.is_some_and(|end| end <= self.now()) {
            let why = "a dataset's end is to come: this moment is over";
            return Err(VaultError::new(ErrorKind::InvalidArgument, why));
        }
        self.check_words(&card.label, [&card.source, &card.basis])?;
        if !card
            .held
            .iter()
            .all(|why| is_text(why, limits::REASON_BYTES_MAX))
        {
            return Err(LACKS);
        }
        let owner = self.catalog.principal(&card.owner).await?;
        if owner.is_none_or(|row| row.kind != PrincipalKind::Person) {
            let why = "a dataset's owner is a person";
            return Err(VaultError::new(ErrorKind::InvalidArgument, why));
        }
        if change.label.is_some() && self.settings.labels.of_data(Some(&card)) > cleared {
            let why = "nobody labels above her own clearance: she could not take it back";
            return Err(VaultError::new(ErrorKind::InvalidArgument, why));
        }
        Ok(card)
    }

    fn check_words(&self, label: &Label, texts: [&String; 2]) -> Result<(), VaultError> {
        if !self.settings.labels.knows(label) {
            return Err(NO_LABEL);
        }
        if texts
            .into_iter()
            .all(|text| is_text(text, limits::CARD_TEXT_BYTES_MAX))
        {
            Ok(())
        } else {
            Err(LACKS)
        }
    }

    /// What describes the datasets of a project that nobody described.
    async fn undescribed(
        &self,
        project: &ProjectName,
        defaults: &CardDefaults,
    ) -> Result<Vec<Mutation>, VaultError> {
        let mut changes = Vec::new();
        let mut all = self.all_datasets();
        while let Some(row) = all.next().await? {
            if row.bucket.project == *project && row.card.is_none() {
                changes.push(Mutation::SetCard {
                    dataset: row.id,
                    was: None,
                    card: defaults.card(row.creator, self.now()),
                });
            }
        }
        Ok(changes)
    }

    /// What somebody is cleared for. A workload never more than its person.
    pub(in crate::vault) async fn clearance(&self, who: &PrincipalId) -> Result<Rank, VaultError> {
        self.guard.clearance(who).await
    }
}

/// What the record says of a card.
pub(in crate::vault) fn said(card: &Card) -> String {
    let Card {
        owner,
        label,
        source,
        basis,
        ends,
        held,
        use_class,
        told: _,
    } = card;
    let held = held
        .as_ref()
        .map_or_else(String::new, |why| format!(" held={why}"));
    let class = use_class
        .as_ref()
        .map_or_else(String::new, |class| format!(" use_class={class}"));
    // What is decided by stands first, and what may be long last: a record holds 2,048 bytes.
    format!("owner={owner} label={label}{class} ends={ends}{held} source={source} basis={basis}")
}
