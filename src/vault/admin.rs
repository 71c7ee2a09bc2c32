//! Administration: projects, principals, credentials, grants. Called by commands on the vault's
//! own host; each act is recorded like any request.

use data_encoding::BASE64;

use super::Vault;
use super::ask::Call;
use super::error::{ErrorKind, VaultError};
use super::guard::policy_ref;
use crate::catalog::{CredentialRow, Mutation, PrincipalRow, ProjectRow};
use crate::ledger::{Intent, ObjectRef};
use crate::policy::{Ask, Grant, GrantEffect};
use crate::types::{
    AccessKeyId, Action, BucketName, GrantId, PrincipalId, PrincipalKind, ProjectName, SecretText,
    Timestamp, limits,
};

/// A credential as it is handed out, once.
pub struct NewCredential {
    /// The public half.
    pub id: AccessKeyId,
    /// The secret half; the vault keeps it sealed and never shows it again.
    pub secret: SecretText,
}

impl Vault {
    fn admin_intent(call: &Call, project: Option<&ProjectName>, what: &str) -> Intent {
        let object = ObjectRef {
            project: project.cloned(),
            ..ObjectRef::default()
        };
        let mut intent = Self::intent(call, None, object);
        intent.query = Some(super::cut(what));
        intent
    }

    /// Makes what the mutations say, recorded as one act.
    async fn administer(
        &self,
        call: &Call,
        intent: Intent,
        mutations: Vec<Mutation>,
    ) -> Result<(), VaultError> {
        let recorded = self.begin(call, intent).await?;
        let result = self.commit(mutations).await;
        self.guard.forget();
        recorded.settle(result)
    }

    /// Makes a project.
    pub async fn create_project(
        &self,
        call: &Call,
        name: ProjectName,
    ) -> Result<ProjectRow, VaultError> {
        let row = ProjectRow {
            name,
            created: self.now(),
        };
        let intent = Self::admin_intent(call, Some(&row.name), "project");
        self.administer(call, intent, vec![Mutation::CreateProject(row.clone())])
            .await?;
        Ok(row)
    }

    /// Makes a person, or a workload that acts for one (ID-1).
    pub async fn create_principal(
        &self,
        call: &Call,
        id: PrincipalId,
        acts_for: Option<PrincipalId>,
    ) -> Result<PrincipalRow, VaultError> {
        let kind = match &acts_for {
            None => PrincipalKind::Person,
            Some(_) => PrincipalKind::Workload,
        };
        let intent = Self::admin_intent(call, None, &format!("principal={id}"));
        if let Some(person) = &acts_for {
            let row = self.catalog.principal(person).await?;
            if row.is_none_or(|row| row.kind != PrincipalKind::Person) {
                let error =
                    VaultError::new(ErrorKind::InvalidArgument, "a workload acts for a person");
                return Err(self.turn_away(call, intent, error).await);
            }
        }
        let row = PrincipalRow {
            id,
            kind,
            acts_for,
            created: self.now(),
        };
        self.administer(call, intent, vec![Mutation::CreatePrincipal(row.clone())])
            .await?;
        Ok(row)
    }

    /// Makes an S3 credential for a principal.
    pub async fn create_credential(
        &self,
        call: &Call,
        principal: PrincipalId,
        expires: Option<Timestamp>,
    ) -> Result<NewCredential, VaultError> {
        let mut random = [0_u8; 10];
        self.entropy.fill(&mut random)?;
        // 80 bits in 16 characters of base32, behind a prefix that names the product.
        let text = format!("KLUS{}", data_encoding::BASE32_NOPAD.encode(&random));
        let id: AccessKeyId = text
            .parse()
            .map_err(|error| VaultError::caused(ErrorKind::Internal, "not an access key", error))?;
        let mut bytes = zeroize::Zeroizing::new([0_u8; 30]);
        self.entropy.fill(bytes.as_mut())?;
        let secret = SecretText::new(BASE64.encode(bytes.as_ref()));
        let context = credential_context(&id, &principal);
        let sealed = self.keyring.seal_secret(
            context.as_bytes(),
            secret.expose().as_bytes(),
            self.entropy.as_ref(),
        )?;
        let row = CredentialRow {
            id: id.clone(),
            principal,
            sealed_secret: sealed,
            created: self.now(),
            expires,
        };
        let what = format!("credential={id} principal={}", row.principal);
        let intent = Self::admin_intent(call, None, &what);
        self.administer(call, intent, vec![Mutation::CreateCredential(row)])
            .await?;
        Ok(NewCredential { id, secret })
    }

    /// Ends a credential; it is refused from now on.
    pub async fn revoke_credential(&self, call: &Call, id: AccessKeyId) -> Result<(), VaultError> {
        let intent = Self::admin_intent(call, None, &format!("credential={id}"));
        self.administer(call, intent, vec![Mutation::DeleteCredential(id)])
            .await
    }

    pub(super) fn open_credential(&self, row: &CredentialRow) -> Result<SecretText, VaultError> {
        let context = credential_context(&row.id, &row.principal);
        let plain = self
            .keyring
            .open_secret(context.as_bytes(), &row.sealed_secret)?;
        let text = std::str::from_utf8(&plain).map_err(|error| {
            VaultError::caused(ErrorKind::Integrity, "a credential is damaged", error)
        })?;
        Ok(SecretText::new(text.to_owned()))
    }

    /// Makes a grant. Its approver must be one who may manage grants in the project; only a
    /// project's first grant, which makes its first owner, needs none: so an operator can found a
    /// project and cannot afterwards let anyone in (AZ-3).
    pub async fn create_grant(&self, call: &Call, grant: Grant) -> Result<GrantId, VaultError> {
        let id = grant.id;
        let what = format!(
            "grant={id} principal={} role={} dataset={} approver={}",
            grant.principal,
            grant.role,
            grant
                .dataset
                .as_ref()
                .map_or("*", |dataset| dataset.as_str()),
            grant.approver,
        );
        let mut intent = Self::admin_intent(call, Some(&grant.project), &what);
        intent.action = Some(Action::GrantManage);
        let checked = async {
            self.check_role(&grant)?;
            self.check_approver(&grant).await
        };
        if let Err(error) = checked.await {
            return Err(self.turn_away(call, intent, error).await);
        }
        self.administer(call, intent, vec![Mutation::CreateGrant(grant)])
            .await?;
        Ok(id)
    }

    fn check_role(&self, grant: &Grant) -> Result<(), VaultError> {
        if !self
            .guard
            .policy()
            .roles()
            .iter()
            .any(|role| *role == grant.role)
        {
            return Err(VaultError::new(ErrorKind::InvalidArgument, "no such role"));
        }
        if grant.expires.is_some_and(|end| end <= grant.starts) {
            return Err(VaultError::new(
                ErrorKind::InvalidArgument,
                "it ends before it starts",
            ));
        }
        Ok(())
    }

    /// An approver manages grants over all that the grant covers. What lets bytes out or shows
    /// the log is never approved by whom it is for: see `docs/decisions/`.
    async fn check_approver(&self, grant: &Grant) -> Result<(), VaultError> {
        const SELF: VaultError =
            VaultError::new(ErrorKind::AccessDenied, "this role needs another approver");
        if self.is_founding(grant).await? {
            return Ok(());
        }
        let policy = self.guard.policy();
        let delicate = [Action::ObjectExport, Action::LogRead];
        if grant.principal == grant.approver
            && delicate
                .iter()
                .any(|action| policy.role_allows(&grant.role, *action))
        {
            return Err(SELF);
        }
        let (project, approver) = (&grant.project, &grant.approver);
        let subject = self.guard.subject(project, approver).await?;
        let ask = Ask {
            project,
            principal: approver,
            dataset: grant.dataset.as_ref(),
            key: &grant.prefix,
            action: Action::GrantManage,
            now: self.now(),
        };
        if subject.decide(&ask).allowed {
            return Ok(());
        }
        Err(VaultError::new(
            ErrorKind::AccessDenied,
            "the approver may not manage grants here",
        ))
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

    /// Withdraws a grant.
    pub async fn revoke_grant(
        &self,
        call: &Call,
        project: &ProjectName,
        id: GrantId,
    ) -> Result<(), VaultError> {
        let mut intent = Self::admin_intent(call, Some(project), &format!("grant={id}"));
        intent.action = Some(Action::GrantManage);
        let there = self
            .catalog
            .grants(project, limits::GUARD_CACHE_MAX)
            .await?;
        if !there.iter().any(|grant| grant.id == id) {
            let error = VaultError::new(ErrorKind::InvalidArgument, "no such grant");
            return Err(self.turn_away(call, intent, error).await);
        }
        self.administer(call, intent, vec![Mutation::DeleteGrant(id)])
            .await
    }

    /// Makes a dataset for `owner`, from the vault's own host.
    pub async fn found_dataset(
        &self,
        call: &Call,
        bucket: BucketName,
        owner: PrincipalId,
    ) -> Result<crate::catalog::DatasetRow, VaultError> {
        let mut intent = Self::admin_intent(call, Some(&bucket.project), "dataset");
        intent.object.dataset = Some(bucket.dataset.clone());
        intent.action = Some(Action::DatasetCreate);
        let recorded = self.begin(call, intent).await?;
        let result = self.make_dataset(&bucket, owner, false).await;
        recorded.settle(result)
    }

    /// Deletes an empty dataset, from the vault's own host.
    pub async fn remove_dataset(&self, call: &Call, bucket: &BucketName) -> Result<(), VaultError> {
        let mut intent = Self::admin_intent(call, Some(&bucket.project), "dataset");
        intent.object.dataset = Some(bucket.dataset.clone());
        intent.action = Some(Action::DatasetDelete);
        let recorded = self.begin(call, intent).await?;
        let result = async {
            let absent = VaultError::new(ErrorKind::NoSuchDataset, "no such dataset");
            let row = self.catalog.dataset(bucket).await?.ok_or(absent)?;
            self.commit(vec![Mutation::DeleteDataset(row.id)]).await
        }
        .await;
        self.guard.forget();
        recorded.settle(result)
    }

    /// Records an act on the vault as a whole, before it is done.
    pub async fn record_act(&self, call: &Call, what: &str) -> Result<(), VaultError> {
        let intent = Self::admin_intent(call, None, what);
        self.note(call, intent, Ok(())).await
    }

    /// Decides whether an auditor may have a project's log, and records that (AU-16); call before
    /// anything of it is read for her.
    pub async fn hand_out_log(
        &self,
        call: &Call,
        project: &ProjectName,
        auditor: &PrincipalId,
        query: &str,
    ) -> Result<(), VaultError> {
        let mut intent = Self::admin_intent(call, Some(project), query);
        intent.action = Some(Action::LogRead);
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
        });
        intent.policy = Some(policy_ref(&decision));
        if decision.allowed {
            return self.note(call, intent, Ok(())).await;
        }
        let denied = VaultError::new(ErrorKind::AccessDenied, "no grant to read this log");
        Err(self.turn_away(call, intent, denied).await)
    }

    /// Records that the log is being read (AU-16); call before showing it.
    pub async fn record_log_reading(&self, call: &Call, query: &str) -> Result<(), VaultError> {
        let mut intent = Self::admin_intent(call, None, query);
        intent.action = Some(Action::LogRead);
        self.note(call, intent, Ok(())).await
    }
}

fn credential_context(id: &AccessKeyId, principal: &PrincipalId) -> String {
    format!("{id}/{principal}")
}
