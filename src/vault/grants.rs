//! Grants: proposed, approved by an owner, confirmed in reviews, withdrawn.
//!
//! Who acts is proved by the request's signature. On the vault's own host, where nobody signs, the
//! command names her, and the record says that it was so (`docs/decisions/0012-approvers.md`).

use super::ask::Call;
use super::error::{ErrorKind, VaultError};
use super::guard::{circumstances, policy_ref};
use super::{NOBODY, Vault};
use crate::catalog::Mutation;
use crate::ledger::{AuthMethod, Intent};
use crate::policy::{Ask, Decision, Grant, GrantEffect, Standing, Terms};
use crate::types::{Action, BucketName, GrantId, PrincipalId, ProjectName, Timestamp, limits};

/// When a grant lapses that no review confirms.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReviewTimes {
    /// Of what lets bytes out or shows the log, in milliseconds.
    pub privileged_ms: u64,
    /// Of every other grant, in milliseconds.
    pub other_ms: u64,
}

/// A grant as a review shows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GrantUse {
    /// The grant.
    pub grant: Grant,
    /// When a request was last allowed by it, to the minute or so.
    pub used: Option<Timestamp>,
    /// Whether its role lets bytes out, shows the log or manages grants.
    pub privileged: bool,
}

const NO_GRANT: VaultError = VaultError::new(ErrorKind::InvalidArgument, "no such grant");
const MAY_NOT: VaultError = VaultError::new(
    ErrorKind::AccessDenied,
    "the approver may not manage grants here",
);

impl Vault {
    /// Makes a grant, in force at once. Its approver must be one who may manage grants in the
    /// project; only a project's first grant, which makes its first owner, needs none: so an
    /// operator can found a project and cannot afterwards let anyone in (AZ-3).
    pub async fn create_grant(&self, call: &Call, grant: Grant) -> Result<GrantId, VaultError> {
        let intent = Self::grant_intent(call, &grant);
        let checked = async {
            self.check_grant(&grant)?;
            if self.is_founding(&grant).await? {
                return Ok(Terms::default());
            }
            Self::actor(call, Some(&grant.approver))?;
            check_complete(&self.guard.policy(), &grant)?;
            self.check_approver(call, &grant, &grant.approver).await?;
            Ok(Terms {
                standing: Standing::Approved,
                lapses: self.lapse(&grant),
                ..grant.terms.clone()
            })
        };
        match checked.await {
            Ok(terms) => {
                self.make_grant(call, intent, Grant { terms, ..grant })
                    .await
            }
            Err(error) => Err(self.turn_away(call, intent, error).await),
        }
    }

    /// Asks for a grant. It gives nothing until an owner approves it. Whoever asks must know of the
    /// dataset already, or manage its grants; on the host anyone may.
    pub async fn propose_grant(&self, call: &Call, grant: Grant) -> Result<GrantId, VaultError> {
        let intent = Self::grant_intent(call, &grant);
        let checked = async {
            let proposer = Self::actor(call, Some(&grant.approver))?;
            self.check_grant(&grant)?;
            check_complete(&self.guard.policy(), &grant)?;
            self.check_proposer(call, &grant, &proposer).await?;
            Ok(Terms {
                standing: Standing::Proposed,
                lapses: None,
                proposer: Some(proposer),
                ..grant.terms.clone()
            })
        };
        match checked.await {
            Ok(terms) => {
                self.make_grant(call, intent, Grant { terms, ..grant })
                    .await
            }
            Err(error) => Err(self.turn_away(call, intent, error).await),
        }
    }

    /// Approves a proposal: it is in force from now on.
    pub async fn approve_grant(
        &self,
        call: &Call,
        (project, id): (&ProjectName, GrantId),
        approver: Option<&PrincipalId>,
    ) -> Result<Grant, VaultError> {
        self.settle_grant(call, (project, id), approver, Standing::Proposed)
            .await
    }

    /// Confirms in a review that a grant is still needed: it lapses a period later.
    pub async fn confirm_grant(
        &self,
        call: &Call,
        (project, id): (&ProjectName, GrantId),
        approver: Option<&PrincipalId>,
    ) -> Result<Grant, VaultError> {
        self.settle_grant(call, (project, id), approver, Standing::Approved)
            .await
    }

    /// Puts a grant that stands as `from` in force on the word of who calls.
    async fn settle_grant(
        &self,
        call: &Call,
        (project, id): (&ProjectName, GrantId),
        approver: Option<&PrincipalId>,
        from: Standing,
    ) -> Result<Grant, VaultError> {
        let mut intent = Self::admin_intent(call, Some(project), &format!("grant={id}"));
        intent.action = Some(Action::GrantManage);
        let checked = async {
            let approver = Self::actor(call, approver)?;
            let grant = self.find_grant(project, id).await;
            // To who may manage nothing here, what is there and what is not look alike.
            let Ok(grant) = grant else {
                self.manages(call, project, &approver).await?;
                return Err(NO_GRANT);
            };
            let decision = self.check_approver(call, &grant, &approver).await?;
            if grant.terms.standing != from {
                let why = "it does not stand as it must for this";
                return Err(VaultError::new(ErrorKind::Conflict, why));
            }
            self.check_grant(&grant)?;
            let terms = Terms {
                standing: Standing::Approved,
                lapses: self.lapse(&grant),
                ..grant.terms.clone()
            };
            Ok((
                Grant {
                    approver,
                    terms,
                    ..grant
                },
                decision,
            ))
        };
        let (grant, decision) = match checked.await {
            Ok(settled) => settled,
            Err(error) => return Err(self.turn_away(call, intent, error).await),
        };
        intent.policy = Some(policy_ref(&decision));
        intent.query = Some(super::cut(&words(&grant)));
        let change = Mutation::SetTerms {
            grant: id,
            approver: grant.approver.clone(),
            terms: grant.terms.clone(),
        };
        self.administer(call, intent, vec![change]).await?;
        Ok(grant)
    }

    /// Withdraws a grant. Who manages grants here may, and who proposed it may take it back; on the
    /// host anyone may, except that a denial falls only on an owner's word.
    pub async fn revoke_grant(
        &self,
        call: &Call,
        (project, id): (&ProjectName, GrantId),
        by: Option<&PrincipalId>,
    ) -> Result<(), VaultError> {
        let mut intent = Self::admin_intent(call, Some(project), &format!("grant={id}"));
        intent.action = Some(Action::GrantManage);
        let checked = async {
            let local = call.session.auth == AuthMethod::Local && by.is_none();
            if local {
                let grant = self.find_grant(project, id).await?;
                return match grant.effect {
                    GrantEffect::Allow => Ok(()),
                    GrantEffect::Deny => Err(MAY_NOT),
                };
            }
            let by = Self::actor(call, by)?;
            let Ok(grant) = self.find_grant(project, id).await else {
                self.manages(call, project, &by).await?;
                return Err(NO_GRANT);
            };
            let own = grant.terms.standing == Standing::Proposed
                && grant.terms.proposer.as_ref() == Some(&by);
            if !own {
                self.decide_managing(call, &grant, &by).await?;
            }
            Ok(())
        };
        if let Err(error) = checked.await {
            return Err(self.turn_away(call, intent, error).await);
        }
        self.administer(call, intent, vec![Mutation::DeleteGrant(id)])
            .await
    }

    /// The grants of a project with their last uses, for a review: all to who manages grants of the
    /// whole project, and to others what they hold or asked for.
    pub async fn review_grants(
        &self,
        call: &Call,
        project: &ProjectName,
        by: Option<&PrincipalId>,
    ) -> Result<Vec<GrantUse>, VaultError> {
        let mut intent = Self::admin_intent(call, Some(project), "grants");
        intent.action = Some(Action::GrantManage);
        let read = async {
            let by = match (by, call.session.auth) {
                (None, AuthMethod::Local) => None,
                (by, _) => Some(Self::actor(call, by)?),
            };
            let all = match &by {
                None => true,
                Some(by) => self.manages(call, project, by).await.is_ok(),
            };
            let mut mine: Vec<PrincipalId> = Vec::new();
            if let Some(by) = by.filter(|_| !all) {
                mine = self.catalog.groups_of(&by).await?;
                mine.push(by);
            }
            let grants = self
                .catalog
                .grants(project, limits::GUARD_CACHE_MAX)
                .await?;
            let uses = self
                .catalog
                .grant_uses(project, limits::GUARD_CACHE_MAX)
                .await?;
            let uses: std::collections::HashMap<GrantId, Timestamp> = uses.into_iter().collect();
            let shown = grants.into_iter().filter(|grant| {
                let asked = grant.terms.proposer.as_ref();
                all || mine.contains(&grant.principal) || asked.is_some_and(|p| mine.contains(p))
            });
            Ok(shown
                .map(|grant| GrantUse {
                    used: uses.get(&grant.id).copied(),
                    privileged: self.is_privileged(&grant)
                        || self.allows(&grant, Action::GrantManage),
                    grant,
                })
                .collect())
        };
        match read.await {
            Ok(rows) => {
                self.note(call, intent, Ok(())).await?;
                Ok(rows)
            }
            Err(error) => Err(self.turn_away(call, intent, error).await),
        }
    }

    /// Who acts: the one who signed, or, on the host, the one who is named. Nobody acts for
    /// another by naming her.
    fn actor(call: &Call, named: Option<&PrincipalId>) -> Result<PrincipalId, VaultError> {
        match (&call.session.principal, named, call.session.auth) {
            (Some(signed), None, _) => Ok(signed.clone()),
            (Some(signed), Some(named), _) if signed == named => Ok(signed.clone()),
            (None, Some(named), AuthMethod::Local) => Ok(named.clone()),
            (Some(_), Some(_), _) => Err(VaultError::new(
                ErrorKind::AccessDenied,
                "the approver is another than who signed",
            )),
            (None, _, _) => Err(NOBODY),
        }
    }

    async fn find_grant(&self, project: &ProjectName, id: GrantId) -> Result<Grant, VaultError> {
        let found = self.catalog.grant(&id).await?;
        found
            .filter(|grant| grant.project == *project)
            .ok_or(NO_GRANT)
    }

    fn grant_intent(call: &Call, grant: &Grant) -> Intent {
        let mut intent = Self::admin_intent(call, Some(&grant.project), &words(grant));
        intent.action = Some(Action::GrantManage);
        intent.object.dataset.clone_from(&grant.dataset);
        intent
    }

    async fn make_grant(
        &self,
        call: &Call,
        intent: Intent,
        grant: Grant,
    ) -> Result<GrantId, VaultError> {
        let id = grant.id;
        let terms = (grant.terms != Terms::default()).then(|| Mutation::SetTerms {
            grant: id,
            approver: grant.approver.clone(),
            terms: grant.terms.clone(),
        });
        let create = Mutation::CreateGrant(grant);
        let mutations = std::iter::once(create).chain(terms).collect();
        self.administer(call, intent, mutations).await?;
        Ok(id)
    }

    /// What must hold of any grant.
    fn check_grant(&self, grant: &Grant) -> Result<(), VaultError> {
        let wrong = |why| Err(VaultError::new(ErrorKind::InvalidArgument, why));
        let policy = self.guard.policy();
        if !policy.roles().iter().any(|role| *role == grant.role) {
            return wrong("no such role");
        }
        if grant.expires.is_some_and(|end| end <= grant.starts) {
            return wrong("it ends before it starts");
        }
        let terms = &grant.terms;
        if terms.networks.len() > limits::GRANT_NETWORKS_MAX
            || terms.actions.len() > Action::ALL.len()
        {
            return wrong("it names too many networks or actions");
        }
        if !terms.actions.is_sorted_by(|a, b| a < b) {
            return wrong("its actions are named in order, each once");
        }
        let allows = |action: &Action| policy.role_allows(&grant.role, *action);
        if grant.effect == GrantEffect::Allow && !terms.actions.iter().all(allows) {
            return wrong("its role does not allow all the actions that it names");
        }
        if grant.prefix.len() > limits::OBJECT_KEY_BYTES_MAX {
            return wrong("a prefix is no longer than a key");
        }
        let texts = [&grant.purpose, &grant.permit].into_iter().flatten();
        let mut texts = texts.map(String::as_str);
        if !texts.all(is_reference) {
            return wrong("a purpose or permit is 1 to 128 characters, none of them a control");
        }
        Ok(())
    }

    async fn check_proposer(
        &self,
        call: &Call,
        grant: &Grant,
        proposer: &PrincipalId,
    ) -> Result<(), VaultError> {
        const UNKNOWN: VaultError = VaultError::new(
            ErrorKind::AccessDenied,
            "the proposer knows of no such place",
        );
        if call.session.auth != AuthMethod::Local {
            let subject = self.guard.subject(&grant.project, proposer).await?;
            let asks = |action| Ask {
                project: &grant.project,
                principal: proposer,
                dataset: grant.dataset.as_ref(),
                key: "",
                action,
                now: self.now(),
                when: circumstances(call),
            };
            let knows = [Action::DatasetHead, Action::GrantManage];
            if !knows
                .into_iter()
                .any(|action| subject.decide(&asks(action)).allowed)
            {
                return Err(UNKNOWN);
            }
        }
        let all = limits::GUARD_CACHE_MAX;
        let grants = self.catalog.grants(&grant.project, all).await?;
        let waiting = grants
            .iter()
            .filter(|g| g.terms.standing == Standing::Proposed);
        if waiting.count() >= limits::GRANT_PROPOSALS_MAX {
            let why = "too many proposals wait for approval";
            return Err(VaultError::new(ErrorKind::Conflict, why));
        }
        Ok(())
    }

    /// An approver manages grants over all that the grant covers. What lets bytes out or shows
    /// the log is never approved by whom it is for: see `docs/decisions/`.
    async fn check_approver(
        &self,
        call: &Call,
        grant: &Grant,
        approver: &PrincipalId,
    ) -> Result<Decision, VaultError> {
        const SELF: VaultError =
            VaultError::new(ErrorKind::AccessDenied, "this role needs another approver");
        if self.is_privileged(grant) && grant.effect == GrantEffect::Allow {
            let groups = self.catalog.groups_of(approver).await?;
            if grant.principal == *approver || groups.contains(&grant.principal) {
                return Err(SELF);
            }
        }
        self.decide_managing(call, grant, approver).await
    }

    async fn decide_managing(
        &self,
        call: &Call,
        grant: &Grant,
        approver: &PrincipalId,
    ) -> Result<Decision, VaultError> {
        let project = &grant.project;
        let subject = self.guard.subject(project, approver).await?;
        let decision = subject.decide(&Ask {
            project,
            principal: approver,
            dataset: grant.dataset.as_ref(),
            key: &grant.prefix,
            action: Action::GrantManage,
            now: self.now(),
            when: circumstances(call),
        });
        if decision.allowed {
            Ok(decision)
        } else {
            Err(MAY_NOT)
        }
    }

    /// That somebody manages grants of the whole project.
    async fn manages(
        &self,
        call: &Call,
        project: &ProjectName,
        who: &PrincipalId,
    ) -> Result<(), VaultError> {
        let subject = self.guard.subject(project, who).await?;
        let ask = Ask {
            project,
            principal: who,
            dataset: None,
            key: "",
            action: Action::GrantManage,
            now: self.now(),
            when: circumstances(call),
        };
        if subject.decide(&ask).allowed {
            Ok(())
        } else {
            Err(MAY_NOT)
        }
    }

    fn allows(&self, grant: &Grant, action: Action) -> bool {
        self.guard.policy().role_allows(&grant.role, action)
    }

    /// Whether a grant lets bytes out or shows the log.
    fn is_privileged(&self, grant: &Grant) -> bool {
        let delicate = [Action::ObjectExport, Action::LogRead];
        delicate.iter().any(|action| self.allows(grant, *action))
    }

    /// When a grant lapses that is confirmed now. Who manages grants does not lapse, or a project
    /// could lose its last owner; a review shows her as overdue.
    fn lapse(&self, grant: &Grant) -> Option<Timestamp> {
        if grant.effect == GrantEffect::Deny || self.allows(grant, Action::GrantManage) {
            return None;
        }
        let times = self.settings.review;
        let after = if self.is_privileged(grant) {
            times.privileged_ms
        } else {
            times.other_ms
        };
        let begins = self.now().max(grant.starts);
        Some(begins.plus_millis(after))
    }

    /// Whether the grant makes the first owner of a project that holds nothing yet.
    async fn is_founding(&self, grant: &Grant) -> Result<bool, VaultError> {
        let policy = self.guard.policy();
        if grant.effect != GrantEffect::Allow
            || !policy.role_allows(&grant.role, Action::GrantManage)
            || !self.catalog.grants(&grant.project, 1).await?.is_empty()
        {
            return Ok(false);
        }
        // A project that has lost its owners and holds data is nobody's to take over.
        let mut after: Option<BucketName> = None;
        loop {
            let page = self
                .catalog
                .datasets(after.as_ref(), limits::PAGE_ENTRIES_MAX)
                .await?;
            if page.iter().any(|row| row.bucket.project == grant.project) {
                return Ok(false);
            }
            match page.last() {
                Some(last) => after = Some(last.bucket.clone()),
                None => return Ok(true),
            }
        }
    }
}

/// What the record says of a grant that is made or approved.
fn words(grant: &Grant) -> String {
    let dataset = grant.dataset.as_ref().map_or("*", |name| name.as_str());
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    format!(
        "grant={} principal={} role={} dataset={dataset} approver={} purpose={} permit={} \
         expires={}",
        grant.id,
        grant.principal,
        grant.role,
        grant.approver,
        text(&grant.purpose),
        text(&grant.permit),
        grant
            .expires
            .map_or_else(String::new, |end| end.to_string()),
    )
}

/// AZ-1: what opens data says for what, on which permit and until when. An owner's own grant is an
/// office, and a denial needs no reason.
fn check_complete(policy: &crate::policy::Policy, grant: &Grant) -> Result<(), VaultError> {
    let exempt =
        grant.effect == GrantEffect::Deny || policy.role_allows(&grant.role, Action::GrantManage);
    if exempt || (grant.purpose.is_some() && grant.permit.is_some() && grant.expires.is_some()) {
        return Ok(());
    }
    Err(VaultError::new(
        ErrorKind::InvalidArgument,
        "a grant says its purpose, its permit and its end",
    ))
}

/// Whether a text can stand as a purpose or a permit.
fn is_reference(text: &str) -> bool {
    let bounded = (1..=limits::GRANT_TEXT_BYTES_MAX).contains(&text.len());
    bounded && text.trim() == text && !text.chars().any(char::is_control)
}
