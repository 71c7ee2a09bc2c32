//! Grants: proposed, approved by an owner, confirmed in reviews, withdrawn.
//!
//! Who acts is proved by the request's signature. On the vault's own host, where nobody signs, the
//! command names her, and the record says that it was so (`docs/decisions/0012-approvers.md`).

pub(in crate::vault) mod checks;
mod owners;
pub(in crate::vault) mod room;

use std::collections::HashMap;

use super::access::proof::policy_ref;
use super::ask::Call;
use super::error::{ErrorKind, VaultError};
use super::grants::checks::{MAY_NOT, check_complete};
use super::grants::room::Room;
use super::{NOBODY, Vault};
use crate::catalog::Mutation;
use crate::ledger::{AuthMethod, Intent};
use crate::policy::{Grant, GrantEffect, Standing, Terms, check_grants};
use crate::types::{
    Action, DatasetName, GrantId, Network, PartitionName, PrincipalId, ProjectName, Timestamp,
    limits,
};

/// When a grant lapses that no review confirms.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReviewTimes {
    /// Of what lets bytes out, shows the log or loosens locks, in milliseconds.
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
    /// Whether its role lets bytes out, shows the log, loosens locks or manages grants.
    pub privileged: bool,
    /// Whether the policy has its role: without it the grant gives nothing, or denies everything.
    pub known: bool,
}

/// A grant as somebody words it, who is to be its approver or proposer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GrantDraft {
    /// The project.
    pub project: ProjectName,
    /// Who is to hold it.
    pub principal: PrincipalId,
    /// The role.
    pub role: String,
    /// One dataset, or all of the project.
    pub dataset: Option<DatasetName>,
    /// Only this published version of the dataset; `None` for what is current.
    pub version: Option<u32>,
    /// Only keys that begin so.
    pub prefix: String,
    /// Allow or deny.
    pub effect: GrantEffect,
    /// For what.
    pub purpose: Option<String>,
    /// The permit.
    pub permit: Option<String>,
    /// From when; now if not said.
    pub starts: Option<Timestamp>,
    /// Until when.
    pub expires: Option<Timestamp>,
    /// Only these of the role's actions.
    pub actions: Vec<Action>,
    /// Only from these networks.
    pub networks: Vec<Network>,
    /// Only for jobs on these partitions.
    pub partitions: Vec<PartitionName>,
}

/// Why nothing is done on the host in an owner's name.
pub const NOBODY_SPEAKS: &str = "on the vault's host nobody acts in another's name \
    (policy.host_approves is false): she signs with her own credential";

const NO_GRANT: VaultError = VaultError::new(ErrorKind::InvalidArgument, "no such grant");

impl Vault {
    /// A grant on the word of whoever signed.
    pub fn word_grant(&self, call: &Call, draft: GrantDraft) -> Result<Grant, VaultError> {
        let by = Self::actor(call, None)?;
        Ok(Grant {
            id: GrantId::random(self.entropy.as_ref())?,
            project: draft.project,
            principal: draft.principal,
            role: draft.role,
            dataset: draft.dataset,
            prefix: draft.prefix,
            effect: draft.effect,
            purpose: draft.purpose,
            permit: draft.permit,
            starts: draft.starts.unwrap_or_else(|| self.now()),
            expires: draft.expires,
            approver: by,
            created: self.now(),
            terms: Terms {
                version: draft.version,
                actions: draft.actions,
                networks: draft.networks,
                partitions: draft.partitions,
                ..Terms::default()
            },
        })
    }

    /// Makes a grant, in force at once. Its approver must be one who may manage grants in the
    /// project; only a project's first grant, which makes its first owner and is made on the host,
    /// needs none: so an operator can found a project and cannot afterwards let anyone in (AZ-3).
    pub async fn create_grant(&self, call: &Call, grant: Grant) -> Result<Grant, VaultError> {
        let intent = Self::grant_intent(call, &grant);
        match self.judge_made(call, &grant).await {
            Ok((terms, rests)) => {
                self.make_grant(call, intent, (Grant { terms, ..grant }, rests))
                    .await
            }
            Err(error) => Err(self.turn_away(call, intent, error).await),
        }
    }

    /// Asks for a grant. It gives nothing until an owner approves it. Whoever asks must know of the
    /// dataset already, or manage its grants; on the host anyone may.
    pub async fn propose_grant(&self, call: &Call, grant: Grant) -> Result<Grant, VaultError> {
        let grant = as_proposal(grant);
        let intent = Self::grant_intent(call, &grant);
        match self.judge_proposed(call, &grant).await {
            Ok(terms) => {
                let rests = vec![Self::room_for(&grant, Room::Proposed)];
                self.make_grant(call, intent, (Grant { terms, ..grant }, rests))
                    .await
            }
            Err(error) => Err(self.turn_away(call, intent, error).await),
        }
    }

    /// The grant as it would be made, or proposed: judged as for that, recorded, and not made.
    pub async fn try_grant(
        &self,
        call: &Call,
        grant: Grant,
        propose: bool,
    ) -> Result<Grant, VaultError> {
        let grant = if propose { as_proposal(grant) } else { grant };
        let mut intent = Self::grant_intent(call, &grant);
        let said = format!("dry_run {}", words(&grant));
        intent.query = Some(super::cut(&said));
        let judged = async {
            let terms = if propose {
                self.judge_proposed(call, &grant).await?
            } else {
                self.judge_made(call, &grant).await?.0
            };
            // Who could not make it herself does not learn who there is, at no cost and unseen.
            let makes = !propose || self.judge_made(call, &grant).await.is_ok();
            self.check_there(&grant, makes).await?;
            Ok(terms)
        };
        let judged = judged.await;
        let terms = self.noted(call, intent, judged).await?;
        Ok(Grant { terms, ..grant })
    }

    /// What a grant's role and its own narrowing let through, or deny, by the policy of now.
    pub fn reach(&self, grant: &Grant) -> Vec<Action> {
        let (policy, terms) = (self.guard.policy(), &grant.terms);
        let reaches = |action: &Action| {
            policy.role_allows(&grant.role, *action)
                && (terms.actions.is_empty() || terms.actions.contains(action))
                && (terms.version.is_none() || action.only_reads())
        };
        Action::ALL.iter().copied().filter(reaches).collect()
    }

    /// The terms of a grant that may be made, and what the commit that makes it rests on.
    async fn judge_made(
        &self,
        call: &Call,
        grant: &Grant,
    ) -> Result<(Terms, Vec<Mutation>), VaultError> {
        self.check_grant(grant)?;
        let room = Self::room_for(grant, Room::Made);
        // On the vault's own host alone: over the network nobody lets herself in.
        if call.session.auth == AuthMethod::Local && self.is_founding(grant).await? {
            let terms = Terms {
                standing: Standing::Approved,
                lapses: None,
                ..grant.terms.clone()
            };
            return Ok((terms, vec![room]));
        }
        self.speaker(call, Some(&grant.approver))?;
        check_complete(&self.guard.policy(), grant)?;
        self.check_approver(call, grant, &grant.approver).await?;
        self.check_named(grant).await?;
        let mut rests = self.judge_reach(call, grant, &grant.approver).await?;
        rests.push(room);
        let terms = Terms {
            standing: Standing::Approved,
            lapses: self.lapse(grant),
            ..grant.terms.clone()
        };
        Ok((terms, rests))
    }

    /// That a grant may come into force on this word: it lends no more than its approver has, and
    /// closes nothing. What the commit rests on.
    async fn judge_reach(
        &self,
        call: &Call,
        grant: &Grant,
        approver: &PrincipalId,
    ) -> Result<Vec<Mutation>, VaultError> {
        self.check_pace(&grant.project)?;
        self.check_lent(grant, approver).await?;
        self.check_denies(call, grant, approver).await?;
        self.check_owned_under(grant, approver).await
    }

    /// The terms of a grant that may be proposed.
    async fn judge_proposed(&self, call: &Call, grant: &Grant) -> Result<Terms, VaultError> {
        let proposer = Self::actor(call, Some(&grant.approver))?;
        // A proposal is hers, and may reach further than a key that changes nothing.
        self.own_in(call, &proposer, &grant.project).await?;
        self.check_grant(grant)?;
        check_complete(&self.guard.policy(), grant)?;
        self.check_proposer(call, grant, &proposer).await?;
        self.check_named(grant).await?;
        self.check_pace(&grant.project)?;
        Ok(Terms {
            standing: Standing::Proposed,
            lapses: None,
            proposer: Some(proposer),
            ..grant.terms.clone()
        })
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

    /// Puts a grant that stands as `from` in force on the word of whoever calls.
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
            let approver = self.speaker(call, approver)?;
            let grant = self.find_grant(project, id).await;
            // To whoever may manage nothing here, what is there and what is not look alike.
            let Ok(grant) = grant else {
                self.manages(call, project, &approver).await?;
                return Err(NO_GRANT);
            };
            let decision = self.check_approver(call, &grant, &approver).await?;
            if grant.terms.standing != from {
                let why = match from {
                    Standing::Proposed => "the grant is in force already",
                    Standing::Approved => "the grant is proposed: it is approved first",
                };
                return Err(VaultError::new(ErrorKind::InvalidArgument, why));
            }
            self.check_grant(&grant)?;
            self.check_named(&grant).await?;
            let mut rests = Vec::new();
            // A review gives nothing that was not given.
            if from == Standing::Proposed {
                rests = self.judge_reach(call, &grant, &approver).await?;
                rests.push(Self::room_for(&grant, Room::Approved));
            }
            let terms = Terms {
                standing: Standing::Approved,
                lapses: self.lapse(&grant),
                ..grant.terms.clone()
            };
            let grant = Grant {
                approver,
                terms,
                ..grant
            };
            Ok((grant, decision, rests))
        };
        let (grant, decision, mut changes) = match checked.await {
            Ok(settled) => settled,
            Err(error) => return Err(self.turn_away(call, intent, error).await),
        };
        intent.policy = Some(policy_ref(&decision));
        intent.query = Some(super::kept(&words(&grant)));
        intent.object.dataset.clone_from(&grant.dataset);
        changes.push(Mutation::SetTerms {
            grant: id,
            approver: grant.approver.clone(),
            terms: grant.terms.clone(),
        });
        self.administer(call, intent, changes).await?;
        Ok(grant)
    }

    /// Withdraws a grant. Who manages grants here may, and who proposed it may take it back; an
    /// owner's only an owner. On the host anyone may, except that a denial falls only on an owner's
    /// word, as long as there is one.
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
                    GrantEffect::Allow => self.check_owned_without(&grant).await,
                    GrantEffect::Deny if self.closes_project(&grant).await? => Ok(Vec::new()),
                    GrantEffect::Deny => Err(MAY_NOT),
                };
            }
            let by = self.speaker(call, by)?;
            let Ok(grant) = self.find_grant(project, id).await else {
                self.manages(call, project, &by).await?;
                return Err(NO_GRANT);
            };
            let own = grant.terms.standing == Standing::Proposed
                && grant.terms.proposer.as_ref() == Some(&by);
            if own {
                self.own_in(call, &by, project).await.map(|()| Vec::new())
            } else {
                self.decide_managing(call, &grant, &by).await?;
                self.check_withdraws(&grant, &by).await?;
                self.check_owned_without(&grant).await
            }
        };
        let mut changes = match checked.await {
            Ok(rests) => rests,
            Err(error) => return Err(self.turn_away(call, intent, error).await),
        };
        changes.push(Mutation::DeleteGrant(id));
        self.administer(call, intent, changes).await
    }

    /// The grants of a project with their last uses, for a review: all to whoever manages grants of
    /// the whole project, and to others what they hold or asked for.
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
            self.seen_grants(call, project, by).await
        };
        let rows = read.await;
        self.noted(call, intent, rows).await
    }

    async fn seen_grants(
        &self,
        call: &Call,
        project: &ProjectName,
        by: Option<PrincipalId>,
    ) -> Result<Vec<GrantUse>, VaultError> {
        let all = match &by {
            None => true,
            Some(by) => self.manages(call, project, by).await.is_ok(),
        };
        let mut mine: Vec<PrincipalId> = Vec::new();
        if let Some(by) = by.filter(|_| !all) {
            self.own_in(call, &by, project).await?;
            mine = self.catalog.groups_of(&by).await?;
            if call.session.principal.as_ref() == Some(&by) {
                mine.extend(self.guard.claimed_in(call).await?);
            }
            mine.push(by);
        }
        let most = limits::GUARD_CACHE_MAX;
        let grants = self.catalog.grants(project, most).await?;
        let uses = self.catalog.grant_uses(project, most).await?;
        let uses: HashMap<GrantId, Timestamp> = uses.into_iter().collect();
        let seen = grants.into_iter().filter(|grant| {
            let asked = grant.terms.proposer.as_ref();
            all || mine.contains(&grant.principal) || asked.is_some_and(|p| mine.contains(p))
        });
        let policy = self.guard.policy();
        let shown = seen.map(|grant| GrantUse {
            used: uses.get(&grant.id).copied(),
            privileged: self.is_privileged(&grant) || self.allows(&grant, Action::GrantManage),
            known: check_grants(&policy, std::slice::from_ref(&grant)).is_empty(),
            grant,
        });
        Ok(shown.collect())
    }

    /// One grant with its last use, to those who see it in a review.
    pub async fn show_grant(
        &self,
        call: &Call,
        (project, id): (&ProjectName, GrantId),
    ) -> Result<GrantUse, VaultError> {
        let mut intent = Self::admin_intent(call, Some(project), &format!("grant={id}"));
        intent.action = Some(Action::GrantManage);
        let found = async {
            let by = Self::actor(call, None)?;
            let rows = self.seen_grants(call, project, Some(by)).await?;
            // Absent, or another's: alike to whoever may not know.
            rows.into_iter()
                .find(|row| row.grant.id == id)
                .ok_or(MAY_NOT)
        };
        let row = found.await;
        self.noted(call, intent, row).await
    }

    /// Who acts: the one who signed, or, on the host, the one who is named. Nobody acts for
    /// another by naming her.
    pub(super) fn actor(
        call: &Call,
        named: Option<&PrincipalId>,
    ) -> Result<PrincipalId, VaultError> {
        match (&call.session.principal, named, call.session.auth) {
            (Some(signed), None, _) => Ok(signed.clone()),
            (Some(signed), Some(named), _) if signed == named => Ok(signed.clone()),
            (None, Some(named), AuthMethod::Local) => Ok(named.clone()),
            (Some(_), Some(_), _) => Err(VaultError::new(
                ErrorKind::AccessDenied,
                "the approver is not the signer",
            )),
            (None, _, _) => Err(NOBODY),
        }
    }

    /// Who acts with the right of an owner. On the host nobody does in another's name, unless this
    /// vault lets it (`policy.host_approves`): there, who runs the platform could (AZ-3).
    pub(super) fn speaker(
        &self,
        call: &Call,
        named: Option<&PrincipalId>,
    ) -> Result<PrincipalId, VaultError> {
        let who = Self::actor(call, named)?;
        if call.session.principal.is_none() && !self.settings.host_approves {
            return Err(VaultError::new(ErrorKind::AccessDenied, NOBODY_SPEAKS));
        }
        Ok(who)
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
        (grant, rests): (Grant, Vec<Mutation>),
    ) -> Result<Grant, VaultError> {
        let id = grant.id;
        let terms = (grant.terms != Terms::default()).then(|| Mutation::SetTerms {
            grant: id,
            approver: grant.approver.clone(),
            terms: grant.terms.clone(),
        });
        let create = Mutation::CreateGrant(grant.clone());
        let changes = rests.into_iter().chain([create]).chain(terms).collect();
        self.administer(call, intent, changes).await?;
        Ok(grant)
    }
}

/// The grant as its proposer asks for it: nobody has approved it.
fn as_proposal(grant: Grant) -> Grant {
    let terms = Terms {
        standing: Standing::Proposed,
        proposer: Some(grant.approver.clone()),
        ..grant.terms
    };
    Grant { terms, ..grant }
}

/// What the record says of a grant that is made, proposed or approved.
fn words(grant: &Grant) -> String {
    let dataset = grant.dataset.as_ref().map_or("*", |name| name.as_str());
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let (approver, proposer) = match (grant.terms.standing, &grant.terms.proposer) {
        (Standing::Proposed, Some(proposer)) => (String::new(), format!(" proposer={proposer}")),
        (Standing::Proposed, None) | (Standing::Approved, _) => {
            (grant.approver.to_string(), String::new())
        }
    };
    format!(
        "grant={} principal={} role={} dataset={dataset}{} approver={approver}{proposer} \
         purpose={} permit={} expires={}{}{} prefix={}",
        grant.id,
        grant.principal,
        grant.role,
        grant
            .terms
            .version
            .map_or_else(String::new, |number| format!(" version={number}")),
        text(&grant.purpose),
        text(&grant.permit),
        grant
            .expires
            .map_or_else(String::new, |end| end.to_string()),
        some("networks", &grant.terms.networks),
        some("partitions", &grant.terms.partitions),
        grant.prefix,
    )
}

/// A word for what a grant is narrowed by, if it is.
fn some<T: ToString>(name: &str, all: &[T]) -> String {
    if all.is_empty() {
        return String::new();
    }
    let all: Vec<String> = all.iter().map(ToString::to_string).collect();
    format!(" {name}={}", all.join(","))
}
