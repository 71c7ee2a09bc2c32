//! Whether who may read a project's log sees people's names in it, or pseudonyms (AU-15): a setting
//! of the project. Who manages grants there knows the people anyway, and always sees names.

use std::sync::Arc;

use crate::ledger::Pseudonyms;
use crate::policy::{Ask, SubjectPolicy};
use crate::types::{Action, DatasetName, PrincipalId, ProjectName, Secret};
use crate::vault::Vault;
use crate::vault::access::proof::policy_ref;
use crate::vault::ask::Call;
use crate::vault::error::{ErrorKind, VaultError};
use crate::vault::people::assurance::circumstances;

/// What an auditor asks for on the vault's own host.
#[derive(Clone, Copy)]
pub struct LogAsk<'a> {
    /// Whose records.
    pub project: &'a ProjectName,
    /// Who asks.
    pub auditor: &'a PrincipalId,
    /// What for, in words.
    pub query: &'a str,
    /// Whether it cannot be shown without people's names.
    pub names: bool,
}

/// To whoever asks for what cannot be shown without names.
pub(in crate::vault) const NAMES: VaultError = VaultError::new(
    ErrorKind::AccessDenied,
    "the project's people are shown under pseudonyms, and this names them",
);

impl Vault {
    /// Decides whether an auditor may have a project's log, and records that (AU-16); call before
    /// anything of it is read for her. What comes back hides people from her (AU-15); `None`: she
    /// sees names.
    pub async fn hand_out_log(
        &self,
        call: &Call,
        ask: LogAsk<'_>,
    ) -> Result<Option<Arc<Pseudonyms>>, VaultError> {
        let LogAsk {
            project, auditor, ..
        } = ask;
        let mut intent = Self::admin_intent(call, Some(project), ask.query);
        intent.action = Some(Action::LogRead);
        if let Err(error) = crate::vault::whole(ask.query) {
            return Err(self.turn_away(call, intent, error).await);
        }
        let subject = match self.subject(project, auditor).await {
            Ok(subject) => subject,
            Err(error) => return Err(self.turn_away(call, intent, error).await),
        };
        let decision = subject.decide(&Ask {
            project,
            principal: auditor,
            dataset: None,
            key: "",
            action: Action::LogRead,
            now: self.now(),
            when: circumstances(call),
        });
        intent.policy = Some(policy_ref(&decision));
        if !decision.allowed {
            let denied = VaultError::new(ErrorKind::AccessDenied, "no grant to read this log");
            return Err(self.turn_away(call, intent, denied).await);
        }
        self.guard.used(&decision, self.now());
        let reader = (&*subject, auditor);
        let hidden = match self.hidden(call, reader, (project, None)).await {
            Ok(Some(_)) if ask.names => Err(NAMES),
            hidden => hidden,
        };
        match hidden {
            Ok(hidden) => self.note(call, intent, Ok(())).await.map(|()| hidden),
            Err(error) => Err(self.turn_away(call, intent, error).await),
        }
    }

    /// Decides whether somebody may have the key to the project's pseudonyms, and records that:
    /// with it she finds out who is meant, for names that she knows. She manages the project's
    /// grants.
    pub async fn hand_out_names(
        &self,
        call: &Call,
        project: &ProjectName,
        who: &PrincipalId,
    ) -> Result<Secret<32>, VaultError> {
        let mut intent = Self::admin_intent(call, Some(project), &format!("names for={who}"));
        intent.action = Some(Action::GrantManage);
        match self.manages(call, project, who).await {
            Ok(()) => self.note(call, intent, Ok(())).await?,
            Err(error) => return Err(self.turn_away(call, intent, error).await),
        }
        Ok(self.keyring.log_names_key(project))
    }

    /// The key to the pseudonyms under which people are shown to a reader of this log; `None`
    /// where she sees names.
    pub(in crate::vault) async fn hidden(
        &self,
        call: &Call,
        (subject, principal): (&SubjectPolicy, &PrincipalId),
        (project, dataset): (&ProjectName, Option<&DatasetName>),
    ) -> Result<Option<Arc<Pseudonyms>>, VaultError> {
        let row = self.catalog.project(project).await?;
        if row.is_some_and(|row| !row.log.pseudonyms) {
            return Ok(None);
        }
        let manages = subject.decide(&Ask {
            project,
            principal,
            dataset,
            key: "",
            action: Action::GrantManage,
            now: self.now(),
            when: circumstances(call),
        });
        Ok((!manages.allowed).then(|| self.pseudonyms(project)))
    }

    fn pseudonyms(&self, project: &ProjectName) -> Arc<Pseudonyms> {
        let key = self.keyring.log_names_key(project);
        Arc::new(Pseudonyms::new(&key, project.clone()))
    }
}
