//! Asking for an erasure or a rotation, and what is said of it afterwards.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::super::error::{ErrorKind, VaultError};
use super::super::people::assurance::circumstances;
use super::super::{Approved, Call, Done, Vault};
use super::Unopened;
use super::drive::Begin;
use crate::catalog::{EraseScope, KeyWorkRow, Mutation};
use crate::ledger::{AuthMethod, Nature, Session};
#[cfg(test)]
use crate::types::PrincipalId;
use crate::types::{
    ActKind, Action, ApprovalId, BucketName, KeyWorkId, ProjectName, VersionName, limits,
};

/// An erasure that was agreed on.
#[cfg(test)]
pub(in crate::vault) struct Agreed {
    pub(in crate::vault) scope: EraseScope,
    pub(in crate::vault) persons: Vec<PrincipalId>,
    pub(in crate::vault) reason: String,
}

impl Vault {
    /// Erases what two persons agreed on: keys destroyed in the ring and its copies, ciphertext
    /// deleted, a certificate signed. When it returns, all of that is done; when it fails midway,
    /// it is carried on by whoever runs, and nothing of it can be read meanwhile.
    pub async fn erase(
        &self,
        call: &Call,
        (project, id): (&ProjectName, ApprovalId),
    ) -> Result<KeyWorkRow, VaultError> {
        let mut intent = Self::admin_intent(call, Some(project), &format!("erase approval={id}"));
        intent.action = Some(Action::DatasetDelete);
        let (approved, begin) = match self.agreed(call, project, id).await {
            Ok(agreed) => agreed,
            Err(error) => return Err(self.turn_away(call, intent, error).await),
        };
        intent.object.dataset = Some(begin.bucket.dataset.clone());
        intent.action = begin.scope.as_ref().map(EraseScope::action);
        intent.query = Some(super::super::kept(&format!("erase {}", approved.words())));
        let recorded = self.begin(call, intent).await?;
        let started = async {
            let row = self.prepare_key_work(begin).await?;
            let mutations = vec![Mutation::BeginKeyWork(row.clone())];
            let _done: Done = self.carry_out(approved, mutations).await?;
            Ok(row)
        };
        match started.await {
            Ok(row) => self.finish(call, recorded, &row, Unopened::Wait).await,
            Err(error) => recorded.settle(Err(error)),
        }
    }

    /// That two persons agreed on this erasure, and what it is.
    async fn agreed(
        &self,
        call: &Call,
        project: &ProjectName,
        id: ApprovalId,
    ) -> Result<(Approved, Begin), VaultError> {
        const OTHER: VaultError =
            VaultError::new(ErrorKind::InvalidArgument, "the approval is for no erasure");
        let row = self.find_act(project, id).await?;
        let approved = self.approved(call, id, &row.act).await?;
        let (ActKind::Erase, Some((name, dataset)), Some(second)) =
            (row.act.kind, &row.act.dataset, &row.approver)
        else {
            return Err(OTHER);
        };
        let bucket = BucketName {
            project: project.clone(),
            dataset: name.clone(),
        };
        let what = row.act.terms.first().ok_or(OTHER)?;
        let scope = EraseScope::parse(what).ok_or(OTHER)?;
        if matches!(scope, EraseScope::Version(_, VersionName::Null)) {
            let why = "`null` may be another write by now: ask anew, which names the one there is";
            return Err(VaultError::new(ErrorKind::InvalidArgument, why));
        }
        let there = if what == EraseScope::DELETED {
            self.forgetting(&bucket, dataset).await?.is_some()
        } else {
            let there = self.catalog.dataset(&bucket).await?;
            there.is_some_and(|there| there.id == *dataset)
        };
        if !there {
            return Err(VaultError::new(
                ErrorKind::NoSuchDataset,
                "the dataset is gone, or another has its name",
            ));
        }
        let begin = Begin {
            dataset: *dataset,
            bucket,
            scope: Some(scope),
            persons: vec![row.asker.clone(), second.clone()],
            reason: row.reason.clone(),
        };
        Ok((approved, begin))
    }

    /// The same for tests, without the two.
    #[cfg(test)]
    pub(in crate::vault) async fn erase_agreed(
        &self,
        call: &Call,
        bucket: &BucketName,
        agreed: Agreed,
    ) -> Result<KeyWorkRow, VaultError> {
        let absent = VaultError::new(ErrorKind::NoSuchDataset, "no such dataset");
        let dataset = self.catalog.dataset(bucket).await?.ok_or(absent)?.id;
        let intent = Self::admin_intent(call, Some(&bucket.project), "erase");
        let recorded = self.begin(call, intent).await?;
        let begun = self.begin_key_work(Begin {
            dataset,
            bucket: bucket.clone(),
            scope: Some(agreed.scope),
            persons: agreed.persons,
            reason: agreed.reason,
        });
        match begun.await {
            Ok(row) => self.finish(call, recorded, &row, Unopened::Wait).await,
            Err(error) => recorded.settle(Err(error)),
        }
    }

    /// Replaces a dataset's key and destroys the old one; no data is read or written.
    pub async fn rotate_key(
        &self,
        call: &Call,
        bucket: &BucketName,
    ) -> Result<KeyWorkRow, VaultError> {
        let mut intent = Self::admin_intent(call, Some(&bucket.project), "rotate key");
        intent.object.dataset = Some(bucket.dataset.clone());
        let recorded = self.begin(call, intent).await?;
        let begun = async {
            let absent = VaultError::new(ErrorKind::NoSuchDataset, "no such dataset");
            let dataset = self.catalog.dataset(bucket).await?.ok_or(absent)?.id;
            self.begin_key_work(Begin {
                dataset,
                bucket: bucket.clone(),
                scope: None,
                persons: Vec::new(),
                reason: String::new(),
            })
            .await
        };
        match begun.await {
            Ok(row) => self.finish(call, recorded, &row, Unopened::Wait).await,
            Err(error) => recorded.settle(Err(error)),
        }
    }

    /// The erasures in a project, of datasets that the caller may ask for or approve acts on.
    pub async fn erasures(
        &self,
        call: &Call,
        project: &ProjectName,
    ) -> Result<Vec<KeyWorkRow>, VaultError> {
        let mut intent = Self::admin_intent(call, Some(project), "erasures");
        intent.action = Some(Action::ActAsk);
        match self.seen_erasures(call, project).await {
            Ok(rows) => {
                self.note(call, intent, Ok(())).await?;
                Ok(rows)
            }
            Err(error) => Err(self.turn_away(call, intent, error).await),
        }
    }

    /// The certificate of one of them.
    pub async fn certificate(
        &self,
        call: &Call,
        (project, work): (&ProjectName, KeyWorkId),
    ) -> Result<String, VaultError> {
        const ABSENT: VaultError = VaultError::new(ErrorKind::AccessDenied, "no such certificate");
        let mut intent = Self::admin_intent(call, Some(project), &format!("work={work}"));
        intent.action = Some(Action::ActAsk);
        let found = async {
            let rows = self.seen_erasures(call, project).await?;
            if !rows.iter().any(|row| row.id == work) {
                return Err(ABSENT);
            }
            self.erasure_certificate(&work).await?.ok_or(ABSENT)
        };
        let file = found.await;
        self.noted(call, intent, file).await
    }

    async fn seen_erasures(
        &self,
        call: &Call,
        project: &ProjectName,
    ) -> Result<Vec<KeyWorkRow>, VaultError> {
        let by = self.signing_person(call).await?;
        self.own_in(call, &by, project).await?;
        let when = circumstances(call);
        let mut seen: Vec<KeyWorkRow> = Vec::new();
        let mut after = None;
        loop {
            let page = self
                .catalog
                .key_works(None, after, limits::PAGE_ENTRIES_MAX)
                .await?;
            let Some(last) = page.last() else {
                return Ok(seen);
            };
            after = Some((last.begun, last.id));
            for row in page {
                if row.scope.is_none() || row.bucket.project != *project {
                    continue;
                }
                let place = (project, Some(&row.bucket.dataset));
                // The list of a certificate names keys: a label holds for whoever agreed on it,
                // too.
                let signed = row.persons.contains(&by) && !self.guard.is_above(place, &by).await?;
                if signed || self.sees(place, &by, &when).await? {
                    seen.push(row);
                }
            }
        }
    }

    /// The certificate of an erasure with the list of what was erased, as it is verified; `None`
    /// where there is none, or not yet.
    pub async fn erasure_certificate(
        &self,
        work: &KeyWorkId,
    ) -> Result<Option<String>, VaultError> {
        let row = self.catalog.key_work(work).await?;
        let Some(end) = row.and_then(|row| row.end) else {
            return Ok(None);
        };
        if end.certificate.is_empty() {
            return Ok(None);
        }
        let mut file = end.certificate;
        file.push('\n');
        let mut from = 0;
        loop {
            let page = self
                .catalog
                .erased(work, from, limits::PAGE_ENTRIES_MAX)
                .await?;
            if page.is_empty() {
                return Ok(Some(file));
            }
            for write in page {
                file.push_str(&write.line());
                file.push('\n');
                from = from.saturating_add(1);
            }
        }
    }

    /// A call of the vault itself, which carries on what somebody began.
    pub(super) fn own_call(&self, operation: &'static str) -> Result<Call, VaultError> {
        let session = Session {
            principal: None,
            responsible: None,
            access_key: None,
            auth: AuthMethod::Local,
            client_ip: "local".to_owned(),
            user_agent: String::new(),
            source: "key work".to_owned(),
        };
        Ok(Call {
            session: Arc::new(session),
            event: self.new_event()?,
            time: self.now(),
            operation,
            nature: Nature::Admin,
            bounds: None,
            recorded: Arc::new(AtomicBool::new(false)),
        })
    }
}
