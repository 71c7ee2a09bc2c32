//! Acts that take two persons (AZ-10): one asks for exactly this, another approves it, it is done
//! once and in time.
//!
//! Both sign: a command on the vault's host names nobody here, so that who runs the platform can
//! neither ask nor approve. The use case of an act takes an [`Approved`] by value, which
//! [`Vault::approved`] alone makes, and spends it with [`Vault::carry_out`] in the commit that does
//! the act.

pub(in crate::vault) mod emergency;
pub(in crate::vault) mod terms;

use std::collections::HashSet;

use super::Vault;
use super::access::barrier::ABOVE;
use super::access::proof::policy_ref;
use super::acts::terms::{check_draft, gains};
use super::ask::Call;
use super::error::{ErrorKind, VaultError};
use super::people::assurance::circumstances;
use super::people::assurance::refusal_or;
use super::people::pace::Pace;
use crate::catalog::{
    ApprovalRow, ApprovalState, ApprovalStep, EraseScope, Mutation, WaitingCheck,
};
use crate::ledger::{AuthMethod, Intent};
use crate::policy::{Ask, Assurance, Circumstances, Decision};
use crate::types::{
    Act, ActKind, Action, ApprovalId, BucketName, DatasetName, PrincipalId, PrincipalKind,
    ProjectName, Timestamp, limits,
};

/// An act as somebody words it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ActDraft {
    /// Its kind.
    pub kind: ActKind,
    /// The project.
    pub project: ProjectName,
    /// The dataset, where the kind is about one.
    pub dataset: Option<DatasetName>,
    /// The value of each of the kind's terms, by name.
    pub terms: Vec<(String, String)>,
    /// Why.
    pub reason: String,
}

/// Proof that two persons agreed on one act. **Made by [`Vault::approved`] and by nothing else,
/// bound to that act, spent by value.**
///
/// ```compile_fail
/// fn forge(row: kluis::catalog::ApprovalRow) -> kluis::vault::Approved {
///     kluis::vault::Approved { row, by: row.asker.clone() }
/// }
/// ```
///
/// ```compile_fail
/// async fn twice(vault: &kluis::vault::Vault, approved: kluis::vault::Approved) {
///     let _one = vault.carry_out(approved, Vec::new()).await;
///     let _two = vault.carry_out(approved, Vec::new()).await;
/// }
/// ```
#[must_use]
#[derive(Debug)]
pub struct Approved {
    row: ApprovalRow,
    by: PrincipalId,
}

impl Approved {
    /// The act, exactly.
    #[must_use]
    pub const fn act(&self) -> &Act {
        &self.row.act
    }

    /// What the act's record says of it.
    #[must_use]
    pub fn words(&self) -> String {
        words(&self.row)
    }
}

/// Proof that an approval was spent, durably. What does an act outside the catalog takes it.
#[must_use]
#[derive(Debug)]
pub struct Done {
    row: ApprovalRow,
}

impl Done {
    /// The act that may be done now.
    #[must_use]
    pub const fn act(&self) -> &Act {
        &self.row.act
    }

    /// The row as it was approved: who asked, who approved, why.
    #[must_use]
    pub const fn row(&self) -> &ApprovalRow {
        &self.row
    }
}

const NO_APPROVAL: VaultError = VaultError::new(ErrorKind::AccessDenied, "no such approval");
const NO_RIGHT: VaultError = VaultError::new(
    ErrorKind::AccessDenied,
    "who asks or approves has no right to",
);
const OVER: VaultError = VaultError::new(
    ErrorKind::Conflict,
    "the approval was not made, or used, in time: ask again",
);

/// Why what was asked for cannot be done now.
const fn unready(state: ApprovalState) -> VaultError {
    let why = match state {
        ApprovalState::Asked => "it waits for a second person, who approves it",
        ApprovalState::Spent => "it is done already",
        ApprovalState::Refused => "another person refused it",
        ApprovalState::Withdrawn => "who asked for it took it back",
        ApprovalState::Approved => return OVER,
    };
    VaultError::new(ErrorKind::Conflict, why)
}

impl Vault {
    /// Asks for an act. It is done only after another person approved it.
    pub async fn ask_act(&self, call: &Call, draft: ActDraft) -> Result<ApprovalRow, VaultError> {
        let mut intent = Self::act_intent(call, &draft.project, draft.dataset.as_ref());
        intent.action = Some(Action::ActAsk);
        intent.query = Some(super::cut(&format!("{} {}", draft.kind, draft.reason)));
        let checked = async {
            let asker = self.signing_person(call).await?;
            check_draft(&draft)?;
            let place = (&draft.project, draft.dataset.as_ref());
            let decision = self
                .may_ask(place, draft.kind, &asker, &circumstances(call))
                .await?;
            let mut row = self.word_act(draft, asker).await?;
            self.name_write(&mut row.act).await?;
            self.name_label(&mut row.act).await?;
            self.check_effect(&row.act).await?;
            self.keep_pace(&row.asker)?;
            Ok((row, decision))
        };
        let (row, decision) = match checked.await {
            Ok(checked) => checked,
            Err(error) => return Err(self.turn_away(call, intent, error).await),
        };
        intent.policy = Some(policy_ref(&decision));
        intent.query = Some(super::kept(&words(&row)));
        let (asked, now) = (row.clone(), self.now());
        let room = Mutation::CheckWaiting(room_for(&row, now));
        self.administer(call, intent, vec![room, Mutation::AskApproval { row, now }])
            .await?;
        Ok(asked)
    }

    /// Approves what another person asked for.
    pub async fn approve_act(
        &self,
        call: &Call,
        place: (&ProjectName, ApprovalId),
    ) -> Result<ApprovalRow, VaultError> {
        self.step_act(call, place, ApprovalState::Approved).await
    }

    /// Refuses it, before it is approved or after.
    pub async fn refuse_act(
        &self,
        call: &Call,
        place: (&ProjectName, ApprovalId),
    ) -> Result<ApprovalRow, VaultError> {
        self.step_act(call, place, ApprovalState::Refused).await
    }

    /// Takes back what one asked for oneself.
    pub async fn withdraw_act(
        &self,
        call: &Call,
        place: (&ProjectName, ApprovalId),
    ) -> Result<ApprovalRow, VaultError> {
        self.step_act(call, place, ApprovalState::Withdrawn).await
    }

    async fn step_act(
        &self,
        call: &Call,
        (project, id): (&ProjectName, ApprovalId),
        to: ApprovalState,
    ) -> Result<ApprovalRow, VaultError> {
        let mut intent = Self::act_intent(call, project, None);
        intent.action = Some(Action::ActApprove);
        intent.query = Some(format!("approval={id} to={to:?}"));
        let checked = async {
            let by = self.signing_person(call).await?;
            self.own_in(call, &by, project).await?;
            let row = self.find_act(project, id).await?;
            let decision = match to {
                ApprovalState::Withdrawn if row.asker == by => None,
                ApprovalState::Asked
                | ApprovalState::Approved
                | ApprovalState::Refused
                | ApprovalState::Withdrawn
                | ApprovalState::Spent => Some(
                    self.may_approve(&row.act, &by, &circumstances(call))
                        .await?,
                ),
            };
            if to == ApprovalState::Approved && (row.asker == by || gains(&row.act, &by)) {
                let same = "who asks, or gains, is not the second person";
                return Err(VaultError::new(ErrorKind::TakesTwo, same));
            }
            if to == ApprovalState::Withdrawn && row.asker != by {
                return Err(NO_APPROVAL);
            }
            let now = self.now();
            let due = now.plus_millis(limits::APPROVAL_GOOD_MS);
            Ok((row, decision, ApprovalStep { to, by, due, now }))
        };
        let (row, decision, step) = match checked.await {
            Ok(checked) => checked,
            Err(error) => return Err(self.turn_away(call, intent, error).await),
        };
        intent.policy = decision.as_ref().map(policy_ref);
        intent.object.dataset = row.act.dataset.as_ref().map(|(name, _)| name.clone());
        intent.query = Some(super::kept(&format!("to={to:?} {}", words(&row))));
        let change = Mutation::StepApproval { approval: id, step };
        self.administer(call, intent, vec![change]).await?;
        self.find_act(project, id).await
    }

    /// The acts of a project: all of it that the caller may ask for or approve, and her own. All
    /// that wait come first, whatever else was asked since.
    pub async fn acts(
        &self,
        call: &Call,
        project: &ProjectName,
    ) -> Result<Vec<ApprovalRow>, VaultError> {
        let mut intent = Self::act_intent(call, project, None);
        intent.action = Some(Action::ActAsk);
        match self.seen_acts(call, project).await {
            Ok(rows) => {
                self.note(call, intent, Ok(())).await?;
                Ok(rows)
            }
            Err(error) => Err(self.turn_away(call, intent, error).await),
        }
    }

    /// One of them.
    pub async fn show_act(
        &self,
        call: &Call,
        (project, id): (&ProjectName, ApprovalId),
    ) -> Result<ApprovalRow, VaultError> {
        let mut intent = Self::act_intent(call, project, None);
        intent.action = Some(Action::ActAsk);
        intent.query = Some(format!("approval={id}"));
        let found = async {
            let by = self.signing_person(call).await?;
            self.own_in(call, &by, project).await?;
            let row = self.find_act(project, id).await?;
            let seen = self.sees_act(&row, &by, &circumstances(call)).await?;
            seen.then_some(row).ok_or(NO_APPROVAL)
        };
        let row = found.await;
        self.noted(call, intent, row).await
    }

    async fn seen_acts(
        &self,
        call: &Call,
        project: &ProjectName,
    ) -> Result<Vec<ApprovalRow>, VaultError> {
        let by = self.signing_person(call).await?;
        self.own_in(call, &by, project).await?;
        let most = limits::APPROVALS_TOLD_MAX;
        let mut rows = self.catalog.waiting(project, self.now(), most).await?;
        let waiting: HashSet<_> = rows.iter().map(|row| row.id).collect();
        let newest = self.catalog.approvals(project, most).await?;
        rows.extend(newest.into_iter().filter(|row| !waiting.contains(&row.id)));
        rows.truncate(most);
        let when = circumstances(call);
        let mut seen = Vec::new();
        for row in rows {
            if self.sees_act(&row, &by, &when).await? {
                seen.push(row);
            }
        }
        Ok(seen)
    }

    /// Whether somebody is shown an act: her own, or one that she may take part in.
    async fn sees_act(
        &self,
        row: &ApprovalRow,
        who: &PrincipalId,
        when: &Circumstances<'_>,
    ) -> Result<bool, VaultError> {
        Ok(row.asker == *who || self.sees(place_of(&row.act), who, when).await?)
    }

    /// Whether somebody may ask for acts on a place, or approve them: then she is shown what acts
    /// there are. Of a dataset above her clearance she sees nothing.
    pub(super) async fn sees(
        &self,
        place: (&ProjectName, Option<&DatasetName>),
        who: &PrincipalId,
        when: &Circumstances<'_>,
    ) -> Result<bool, VaultError> {
        let subject = self.guard.subject(place.0, who).await?;
        let may = |action| subject.decide(&self.asks(place, who, action, when)).allowed;
        Ok((may(Action::ActApprove) || may(Action::ActAsk))
            && !self.guard.is_above(place, who).await?)
    }

    fn asks<'a>(
        &self,
        (project, dataset): (&'a ProjectName, Option<&'a DatasetName>),
        principal: &'a PrincipalId,
        action: Action,
        when: &Circumstances<'a>,
    ) -> Ask<'a> {
        Ask {
            project,
            principal,
            dataset,
            key: "",
            action,
            now: self.now(),
            when: *when,
        }
    }

    /// Proves that two persons agreed on exactly this act, and that both still have the right to:
    /// for the use case that does it. Who asked does it herself; a command on the host may, once
    /// they agreed. A refusal is the caller's to record.
    pub async fn approved(
        &self,
        call: &Call,
        id: ApprovalId,
        act: &Act,
    ) -> Result<Approved, VaultError> {
        let row = self.find_act(&act.project, id).await?;
        if row.act != *act {
            let other = "the approval is for another act";
            return Err(VaultError::new(ErrorKind::AccessDenied, other));
        }
        let by = match (&call.session.principal, call.session.auth) {
            (Some(who), _) if *who == row.asker => who.clone(),
            (None, AuthMethod::Local) => row.asker.clone(),
            _ => return Err(NO_APPROVAL),
        };
        let over = row.due <= self.now();
        if row.state == ApprovalState::Asked && over {
            return Err(OVER);
        }
        if row.state != ApprovalState::Approved || over {
            return Err(unready(row.state));
        }
        let when = circumstances(call);
        self.may_ask(place_of(act), act.kind, &row.asker, &when)
            .await?;
        // Her own credential's bounds are not those of the second person, whose sign-in was judged
        // when she approved.
        let bare = Circumstances {
            client: when.client,
            assurance: Assurance::Host,
            ..Circumstances::default()
        };
        let approver = row.approver.as_ref().ok_or(OVER)?;
        self.may_approve(act, approver, &bare).await?;
        Ok(Approved { row, by })
    }

    /// Spends an approval in one commit with what the act changes in the catalog: all of it or
    /// nothing, once. What is done elsewhere is done behind it, with the [`Done`].
    pub async fn carry_out(
        &self,
        approved: Approved,
        mutations: Vec<Mutation>,
    ) -> Result<Done, VaultError> {
        let Approved { row, by } = approved;
        let now = self.now();
        let step = ApprovalStep {
            to: ApprovalState::Spent,
            by,
            due: row.due,
            now,
        };
        let approval = row.id;
        let spend = Mutation::StepApproval { approval, step };
        let committed = self.commit(std::iter::once(spend).chain(mutations).collect());
        let committed = committed.await;
        self.guard.forget();
        committed.map(|()| Done { row })
    }

    fn act_intent(call: &Call, project: &ProjectName, dataset: Option<&DatasetName>) -> Intent {
        let mut intent = Self::admin_intent(call, Some(project), "");
        intent.query = None;
        intent.object.dataset = dataset.cloned();
        intent
    }

    /// The person who signed. Neither the host nor a workload is one, nor who is suspended.
    pub(super) async fn signing_person(&self, call: &Call) -> Result<PrincipalId, VaultError> {
        const NO_PERSON: VaultError =
            VaultError::new(ErrorKind::AccessDenied, "two persons sign for this");
        let session = &call.session;
        let signed = session.auth == AuthMethod::SigV4Header && session.responsible.is_none();
        let who = session.principal.as_ref().filter(|_| signed);
        let who = who.ok_or(NO_PERSON)?;
        let row = self.catalog.principal(who).await?;
        let person = row.is_some_and(|row| row.kind == PrincipalKind::Person);
        if person {
            self.own(call, who).await?;
            Ok(who.clone())
        } else {
            Err(NO_PERSON)
        }
    }

    pub(super) async fn find_act(
        &self,
        project: &ProjectName,
        id: ApprovalId,
    ) -> Result<ApprovalRow, VaultError> {
        let found = self.catalog.approval(&id).await?;
        found
            .filter(|row| row.act.project == *project)
            .ok_or(NO_APPROVAL)
    }

    async fn word_act(
        &self,
        draft: ActDraft,
        asker: PrincipalId,
    ) -> Result<ApprovalRow, VaultError> {
        let dataset = match draft.dataset {
            None => None,
            Some(dataset) => {
                let project = draft.project.clone();
                let bucket = BucketName { project, dataset };
                let absent = VaultError::new(ErrorKind::NoSuchDataset, "no such dataset");
                let is_left = |(_, value): &(String, String)| value == EraseScope::DELETED;
                let left = draft.kind == ActKind::Erase && draft.terms.iter().any(is_left);
                let id = if left {
                    self.last_deleted(&bucket).await?.map(|row| row.dataset)
                } else {
                    self.catalog.dataset(&bucket).await?.map(|row| row.id)
                };
                Some((bucket.dataset, id.ok_or(absent)?))
            }
        };
        let now = self.now();
        Ok(ApprovalRow {
            id: ApprovalId::random(self.entropy.as_ref())?,
            act: Act {
                kind: draft.kind,
                project: draft.project,
                dataset,
                terms: draft.terms.into_iter().map(|(_, value)| value).collect(),
            },
            asker,
            reason: draft.reason,
            asked: now,
            state: ApprovalState::Asked,
            due: now.plus_millis(limits::APPROVAL_WAIT_MS),
            approver: None,
            settled: None,
        })
    }

    /// That somebody does not ask again and again: what was asked for is kept, taken back or not.
    fn keep_pace(&self, asker: &PrincipalId) -> Result<(), VaultError> {
        if self
            .askers
            .take_many(asker, u64::from(limits::ASK_SECONDS), self.now())
        {
            return Ok(());
        }
        let often = "acts are asked for more often than they may be";
        Err(VaultError::new(ErrorKind::SlowDown, often))
    }

    /// That somebody may ask for acts here, and has the right to what this one is about.
    async fn may_ask(
        &self,
        place: (&ProjectName, Option<&DatasetName>),
        kind: ActKind,
        who: &PrincipalId,
        when: &Circumstances<'_>,
    ) -> Result<Decision, VaultError> {
        let about = match kind {
            ActKind::LowerLabel => Action::DatasetConfigure,
            ActKind::Erase => Action::DatasetDelete,
            ActKind::BreakGlass => Action::ActAsk,
            ActKind::ShortenLog => Action::GrantManage,
        };
        let asks = self.decides(place, who, Action::ActAsk, when).await?;
        self.decides(place, who, about, when).await?;
        Ok(asks)
    }

    async fn may_approve(
        &self,
        act: &Act,
        who: &PrincipalId,
        when: &Circumstances<'_>,
    ) -> Result<Decision, VaultError> {
        self.decides(place_of(act), who, Action::ActApprove, when)
            .await
    }

    /// Decides, and judges the dataset's label behind that: nobody asks for, approves or does an
    /// act on a dataset above her clearance (AZ-13).
    async fn decides(
        &self,
        place: (&ProjectName, Option<&DatasetName>),
        who: &PrincipalId,
        action: Action,
        when: &Circumstances<'_>,
    ) -> Result<Decision, VaultError> {
        let subject = self.guard.subject(place.0, who).await?;
        let decision = subject.decide(&self.asks(place, who, action, when));
        if !decision.allowed {
            return Err(refusal_or(&decision, NO_RIGHT));
        }
        if self.guard.is_above(place, who).await? {
            return Err(ABOVE);
        }
        self.guard.used(&decision, self.now());
        Ok(decision)
    }
}

/// How often somebody asks.
pub(super) fn pace() -> Pace<PrincipalId> {
    let burst = limits::ASKS_BURST.saturating_mul(limits::ASK_SECONDS);
    Pace::new(burst, 1, limits::ASKERS_MAX)
}

/// That one more act may wait, judged in the commit that asks for it.
fn room_for(row: &ApprovalRow, now: Timestamp) -> WaitingCheck {
    let kept = match row.act.kind {
        ActKind::BreakGlass => 0,
        ActKind::LowerLabel | ActKind::Erase | ActKind::ShortenLog => {
            limits::APPROVALS_FOR_EMERGENCIES
        }
    };
    WaitingCheck {
        project: row.act.project.clone(),
        asker: row.asker.clone(),
        own_below: limits::APPROVALS_OF_ONE_MAX,
        all_below: limits::APPROVALS_OPEN_MAX.saturating_sub(kept),
        now,
    }
}

fn place_of(act: &Act) -> (&ProjectName, Option<&DatasetName>) {
    (&act.project, act.dataset.as_ref().map(|(name, _)| name))
}

fn words(row: &ApprovalRow) -> String {
    let approver = row.approver.as_ref().map_or("", PrincipalId::as_str);
    let (id, act, asker, reason) = (row.id, &row.act, &row.asker, &row.reason);
    // The act may be long (a key), and the reason is: who agreed stands in front of both.
    format!("approval={id} asker={asker} approver={approver} {act} reason={reason}")
}
