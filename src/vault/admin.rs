//! Administration: projects, principals, credentials, grants. Called by commands on the vault's
//! own host; each act is recorded like any request.

use data_encoding::BASE64;

use super::Vault;
use super::ask::Call;
use super::error::{ErrorKind, VaultError};
use crate::catalog::{CredentialRow, Mutation, PrincipalRow, ProjectRow};
use crate::ledger::{Intent, ObjectRef};
use crate::types::{
    AccessKeyId, Action, BucketName, KeyScope, LogTerms, PrincipalId, PrincipalKind, ProjectName,
    SecretText, Timestamp,
};

/// A credential as it is handed out, once.
pub struct NewCredential {
    /// The public half.
    pub id: AccessKeyId,
    /// The secret half; the vault keeps it sealed and never shows it again.
    pub secret: SecretText,
}

impl Vault {
    pub(super) fn admin_intent(call: &Call, project: Option<&ProjectName>, what: &str) -> Intent {
        let object = ObjectRef {
            project: project.cloned(),
            ..ObjectRef::default()
        };
        let mut intent = Self::intent(call, None, object);
        intent.query = Some(super::kept(what));
        intent
    }

    /// Makes what the mutations say, recorded as one act.
    pub(super) async fn administer(
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
            defaults: None,
            log: LogTerms::default(),
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
            suspended: None,
            clearance: None,
        };
        self.administer(call, intent, vec![Mutation::CreatePrincipal(row.clone())])
            .await?;
        Ok(row)
    }

    /// Makes an S3 credential for a principal, of this scope, which it keeps for ever.
    pub async fn create_credential(
        &self,
        call: &Call,
        principal: PrincipalId,
        (expires, scope): (Option<Timestamp>, KeyScope),
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
            scope: None,
        };
        let what = format!("credential={id} principal={} {scope}", row.principal);
        let intent = Self::admin_intent(call, None, what.trim_end());
        if expires.is_some_and(|end| end <= self.now()) {
            let error = VaultError::new(ErrorKind::InvalidArgument, "its end is over already");
            return Err(self.turn_away(call, intent, error).await);
        }
        if let Err(error) = scope.check() {
            let error = VaultError::caused(ErrorKind::InvalidArgument, "no such scope", error);
            return Err(self.turn_away(call, intent, error).await);
        }
        let owner = self.catalog.principal(&row.principal).await?;
        if owner.is_some_and(|owner| owner.kind == PrincipalKind::Group) {
            let error = VaultError::new(ErrorKind::InvalidArgument, "a group has no credential");
            return Err(self.turn_away(call, intent, error).await);
        }
        let mut changes = vec![Mutation::CreateCredential(row)];
        if !scope.is_everything() {
            changes.push(Mutation::ScopeCredential {
                credential: id.clone(),
                scope,
            });
        }
        self.administer(call, intent, changes).await?;
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

    /// Deletes an empty dataset, from the vault's own host.
    pub async fn remove_dataset(&self, call: &Call, bucket: &BucketName) -> Result<(), VaultError> {
        let mut intent = Self::admin_intent(call, Some(&bucket.project), "dataset");
        intent.object.dataset = Some(bucket.dataset.clone());
        intent.action = Some(Action::DatasetDelete);
        let recorded = self.begin(call, intent).await?;
        let result = async {
            let absent = VaultError::new(ErrorKind::NoSuchDataset, "no such dataset");
            let row = self.catalog.dataset(bucket).await?.ok_or(absent)?;
            self.drop_dataset(&row, None).await
        }
        .await;
        recorded.settle(result)
    }

    /// Records an act on the vault as a whole, before it is done.
    pub async fn record_act(&self, call: &Call, what: &str) -> Result<(), VaultError> {
        let intent = Self::admin_intent(call, None, what);
        self.note(call, intent, Ok(())).await
    }

    /// Records that the clock of the vault's machine moved, beside the time that passed.
    pub async fn record_clock(&self, moved_ms: i64) -> Result<(), VaultError> {
        let call = self.system_call("ClockMoved")?;
        let intent = Self::admin_intent(&call, None, &format!("the clock moved by {moved_ms} ms"));
        self.note(&call, intent, Ok(())).await
    }

    /// Records that the clock of the vault's machine and the store's lie apart: by how much the
    /// store's is ahead; `None` when they agree again.
    pub async fn record_clocks_apart(&self, ahead_ms: Option<i64>) -> Result<(), VaultError> {
        let call = self.system_call("ClocksApart")?;
        let what = match ahead_ms {
            Some(ms) => format!("the store's clock is {ms} ms ahead of this machine's"),
            None => "the store's clock and this machine's agree again".to_owned(),
        };
        self.note(&call, Self::admin_intent(&call, None, &what), Ok(()))
            .await
    }

    /// Records what was said while custodians unsealed the root, which was before the log was open.
    pub async fn record_unsealing(&self, what: &str) -> Result<(), VaultError> {
        let call = self.system_call("Unseal")?;
        let intent = Self::admin_intent(&call, None, what);
        self.note(&call, intent, Ok(())).await
    }

    /// Records that what a project (`None`: the vault itself) has in the log is removed, its time
    /// being over; call before it is.
    pub async fn record_expiry(
        &self,
        call: &Call,
        project: Option<&ProjectName>,
        what: &str,
    ) -> Result<(), VaultError> {
        let intent = Self::admin_intent(call, project, what);
        self.note(call, intent, Ok(())).await
    }

    /// Records that the log is being read (AU-16); call before showing it.
    pub async fn record_log_reading(&self, call: &Call, query: &str) -> Result<(), VaultError> {
        let mut intent = Self::admin_intent(call, None, query);
        intent.action = Some(Action::LogRead);
        match super::whole(query) {
            Ok(()) => self.note(call, intent, Ok(())).await,
            Err(error) => Err(self.turn_away(call, intent, error).await),
        }
    }
}

fn credential_context(id: &AccessKeyId, principal: &PrincipalId) -> String {
    format!("{id}/{principal}")
}
