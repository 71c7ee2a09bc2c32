//! What must hold of a grant, and of whoever proposes, approves or withdraws it.

use crate::ledger::AuthMethod;
use crate::policy::{Ask, Decision, Grant, GrantEffect, Policy, Standing};
use crate::types::{
    Action, BucketName, Network, PrincipalId, PrincipalKind, ProjectName, Timestamp, is_reference,
    limits,
};
use crate::vault::Vault;
use crate::vault::access::subjects::takes_another;
use crate::vault::ask::Call;
use crate::vault::error::{ErrorKind, VaultError};
use crate::vault::people::assurance::circumstances;
use crate::vault::people::assurance::refusal_or;

pub(in crate::vault) const MAY_NOT: VaultError = VaultError::new(
    ErrorKind::AccessDenied,
    "the approver may not manage grants here",
);

/// What is asked of projects as wholes, beside [`Action::GrantManage`], which is judged for itself
/// (`owners`): a denial of a part denies it, too.
const OF_PROJECTS: [Action; 4] = [
    Action::LogRead,
    Action::DatasetConfigure,
    Action::ActAsk,
    Action::ActApprove,
];

impl Vault {
    /// What must hold of any grant.
    pub(in crate::vault) fn check_grant(&self, grant: &Grant) -> Result<(), VaultError> {
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
            || terms.partitions.len() > limits::GRANT_PARTITIONS_MAX
        {
            return wrong("it names too many networks, partitions or actions");
        }
        if terms
            .version
            .is_some_and(|number| number == 0 || grant.dataset.is_none())
        {
            return wrong("a version is one of a dataset, from 1 on");
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
        let emergency =
            |purpose: &String| purpose.starts_with(crate::vault::acts::emergency::PURPOSE);
        if grant.purpose.as_ref().is_some_and(emergency) {
            return wrong("break-glass is no grant that somebody makes, nor prolongs");
        }
        let texts = [&grant.purpose, &grant.permit].into_iter().flatten();
        let mut texts = texts.map(String::as_str);
        if !texts.all(is_reference) {
            return wrong("a purpose or permit is 1 to 128 characters, none of them a control");
        }
        Ok(())
    }

    /// That there is whom it is for, and what it covers: else it is a slip of the pen.
    pub(in crate::vault) async fn check_there(
        &self,
        grant: &Grant,
        people: bool,
    ) -> Result<(), VaultError> {
        let wrong = |why| Err(VaultError::new(ErrorKind::InvalidArgument, why));
        if people && self.catalog.principal(&grant.principal).await?.is_none() {
            return wrong("no such principal");
        }
        let Some(dataset) = &grant.dataset else {
            return Ok(());
        };
        let bucket = BucketName {
            project: grant.project.clone(),
            dataset: dataset.clone(),
        };
        match self.catalog.dataset(&bucket).await? {
            Some(_) => Ok(()),
            None => wrong("no such dataset"),
        }
    }

    pub(in crate::vault) async fn check_proposer(
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
            let subject = self
                .guard
                .subject_of(call, &grant.project, proposer)
                .await?;
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
        let hers = waiting.clone();
        let hers = hers.filter(|g| g.terms.proposer.as_ref() == Some(proposer));
        let why = if hers.count() >= limits::GRANT_PROPOSALS_OF_ONE_MAX {
            "too many of your proposals wait for approval"
        } else if waiting.count() >= limits::GRANT_PROPOSALS_MAX {
            "too many proposals wait for approval"
        } else {
            return Ok(());
        };
        Err(VaultError::new(ErrorKind::Conflict, why))
    }

    /// An approver manages grants over all that the grant covers. What lets bytes out, shows the
    /// log or loosens locks is never approved by whom it is for: see `docs/decisions/`.
    pub(in crate::vault) async fn check_approver(
        &self,
        call: &Call,
        grant: &Grant,
        approver: &PrincipalId,
    ) -> Result<Decision, VaultError> {
        const SELF: VaultError =
            VaultError::new(ErrorKind::AccessDenied, "this role needs another approver");
        if self.is_privileged(grant)
            && grant.effect == GrantEffect::Allow
            && self.is_for(&grant.principal, approver).await?
        {
            return Err(SELF);
        }
        self.decide_managing(call, grant, approver).await
    }

    /// Whether what a principal gets, a person has by it: hers, her workload's, or that of a group
    /// in which either is.
    async fn is_for(&self, grantee: &PrincipalId, who: &PrincipalId) -> Result<bool, VaultError> {
        let person = self.guard.answers_for(who).await?;
        if self.guard.answers_for(grantee).await? == person {
            return Ok(true);
        }
        let mut after: Option<PrincipalId> = None;
        loop {
            let limit = limits::PAGE_ENTRIES_MAX;
            let page = self.catalog.members(grantee, after.as_ref(), limit).await?;
            for member in &page {
                if self.guard.answers_for(member).await? == person {
                    return Ok(true);
                }
            }
            match page.last() {
                Some(last) => after = Some(last.clone()),
                None => return Ok(false),
            }
        }
    }

    /// That whoever takes away what is asked of all of the project manages all of it: else the
    /// owner of one dataset, by a denial on it, would keep an auditor out of the project's log.
    pub(in crate::vault) async fn check_denies(
        &self,
        call: &Call,
        grant: &Grant,
        approver: &PrincipalId,
    ) -> Result<(), VaultError> {
        const PART: VaultError = VaultError::new(
            ErrorKind::AccessDenied,
            "it denies what is asked of the whole project (its log, its defaults, acts of two \
             persons): whoever manages the grants of all of it may make it, or name other actions",
        );
        let policy = self.guard.policy();
        if !OF_PROJECTS
            .iter()
            .any(|action| policy.takes(grant, *action))
        {
            return Ok(());
        }
        // A denial outlives the session, as any grant does.
        let lasting = call.without_claims();
        let managing = self.manages(&lasting, &grant.project, approver);
        managing.await.map_err(|error| {
            if error.kind() == ErrorKind::AccessDenied {
                PART
            } else {
                error
            }
        })
    }

    /// That what is made reaches no further than what its approver manages these grants by: a right
    /// that ends, or holds from some places alone, is no way to one that does not.
    pub(in crate::vault) async fn check_lent(
        &self,
        grant: &Grant,
        approver: &PrincipalId,
    ) -> Result<(), VaultError> {
        const FURTHER: VaultError = VaultError::new(
            ErrorKind::InvalidArgument,
            "it reaches further than the grant that you manage these by: it must end no later, \
             and keep to its networks, partitions and actions",
        );
        if grant.effect == GrantEffect::Deny {
            return Ok(());
        }
        let project = &grant.project;
        let mut held = self.catalog.grants_of(project, approver).await?;
        for group in self.groups_in_force(approver).await? {
            held.extend(self.catalog.grants_of(project, &group).await?);
        }
        if held.iter().any(|basis| self.lends(basis, grant)) {
            return Ok(());
        }
        Err(FURTHER)
    }

    /// Whether who manages grants by `basis` may make `grant`.
    fn lends(&self, basis: &Grant, grant: &Grant) -> bool {
        let now = self.now();
        let (own, made) = (&basis.terms, &grant.terms);
        let manages = Action::GrantManage;
        let is_basis = basis.effect == GrantEffect::Allow
            && own.standing == Standing::Approved
            && self.reach(basis).contains(&manages)
            && basis.starts <= now
            && basis.ends().is_none_or(|end| now < end)
            && (basis.dataset.is_none() || basis.dataset == grant.dataset)
            && grant.prefix.starts_with(&basis.prefix);
        let ends = basis
            .ends()
            .is_none_or(|end| grant.expires.is_some_and(|made| made <= end));
        let covered = |net: &Network| own.networks.iter().any(|own| own.covers(net));
        let networks = own.networks.is_empty()
            || !made.networks.is_empty() && made.networks.iter().all(covered);
        let partitions = is_part(&made.partitions, &own.partitions);
        // Whoever only lets others in makes nobody who does more than that and lets others in.
        let actions = !self.reach(grant).contains(&manages) || is_part(&made.actions, &own.actions);
        is_basis && ends && networks && partitions && actions
    }

    pub(in crate::vault) async fn decide_managing(
        &self,
        call: &Call,
        grant: &Grant,
        approver: &PrincipalId,
    ) -> Result<Decision, VaultError> {
        let project = &grant.project;
        // A grant outlives the session, so the right to give it does not rest on what a token
        // claims.
        let lasting = call.without_claims();
        let subject = self.guard.subject_of(&lasting, project, approver).await?;
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
            self.guard.used(&decision, self.now());
            Ok(decision)
        } else {
            Err(refusal_or(&decision, MAY_NOT))
        }
    }

    /// That somebody manages grants of the whole project.
    pub(in crate::vault) async fn manages(
        &self,
        call: &Call,
        project: &ProjectName,
        who: &PrincipalId,
    ) -> Result<(), VaultError> {
        let subject = self.guard.subject_of(call, project, who).await?;
        let ask = Ask {
            project,
            principal: who,
            dataset: None,
            key: "",
            action: Action::GrantManage,
            now: self.now(),
            when: circumstances(call),
        };
        let decision = subject.decide(&ask);
        if decision.allowed {
            self.guard.used(&decision, self.now());
            Ok(())
        } else {
            Err(refusal_or(&decision, MAY_NOT))
        }
    }

    pub(in crate::vault) fn allows(&self, grant: &Grant, action: Action) -> bool {
        self.guard.policy().role_allows(&grant.role, action)
    }

    /// Whether a grant lets bytes out, shows the log or loosens locks.
    pub(in crate::vault) fn is_privileged(&self, grant: &Grant) -> bool {
        takes_another(&self.guard.policy(), &grant.role)
    }

    /// When a grant lapses that is confirmed now. Who manages grants does not lapse, or a project
    /// could lose its last owner; a review shows her as overdue.
    pub(in crate::vault) fn lapse(&self, grant: &Grant) -> Option<Timestamp> {
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

    /// AZ-6: what lets bytes out or loosens locks is for a person by name, no group whose members
    /// change and no workload. Asked behind the right to grant: it says what somebody is.
    pub(in crate::vault) async fn check_named(&self, grant: &Grant) -> Result<(), VaultError> {
        let named = [Action::ObjectExport, Action::LockBypass];
        let named = named.iter().any(|action| self.allows(grant, *action));
        if grant.effect == GrantEffect::Deny || !named {
            return Ok(());
        }
        let row = self.catalog.principal(&grant.principal).await?;
        if row.is_none_or(|row| row.kind == PrincipalKind::Person) {
            return Ok(());
        }
        let why = "a role that lets bytes out or loosens locks is granted to a person, \
                   no group or workload";
        Err(VaultError::new(ErrorKind::InvalidArgument, why))
    }

    /// Whether the grant makes the first owner of a project that holds nothing yet.
    pub(in crate::vault) async fn is_founding(&self, grant: &Grant) -> Result<bool, VaultError> {
        let policy = self.guard.policy();
        if grant.effect != GrantEffect::Allow
            || !policy.role_allows(&grant.role, Action::GrantManage)
            || !self.catalog.grants(&grant.project, 1).await?.is_empty()
        {
            return Ok(false);
        }
        // A project that has lost its owners and holds data is nobody's to take over.
        let mut all = self.all_datasets();
        while let Some(row) = all.next().await? {
            if row.bucket.project == grant.project {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Whether a narrowing to `some` is within one to `most`, of which an empty one is none.
fn is_part<T: PartialEq>(some: &[T], most: &[T]) -> bool {
    most.is_empty() || !some.is_empty() && some.iter().all(|one| most.contains(one))
}

/// AZ-1: what opens data says for what, on which permit and until when. An owner's own grant is an
/// office, and a denial needs no reason.
pub(in crate::vault) fn check_complete(policy: &Policy, grant: &Grant) -> Result<(), VaultError> {
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
