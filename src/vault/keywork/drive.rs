//! Doing what was begun, step by step, each of which may have been done before.

use super::super::error::{ErrorKind, VaultError};
use super::super::log::record::Recorded;
use super::super::{Call, Vault};
use super::{Noticed, Unopened};
use crate::catalog::{
    EraseScope, FLOOR_ERASED, KeyWorkRow, ListQuery, Mutation, UploadQuery, VersionQuery, WorkEnd,
};
use crate::ledger::erasure::{Certificate, hash_of_signed};
use crate::ledger::tlog::{KeyKind, Signer};
use crate::ledger::{Intent, ObjectRef};
use crate::types::{BucketName, DatasetId, KeyWorkId, PrincipalId, limits};

/// How far the clocks of two processes, and the order of their commits, may be apart.
const NOTICE_LAG_MS: u64 = 60_000;
/// Rows of an erased dataset that one commit takes out.
const ERASE_ROWS: u32 = 1_000;

/// Work as it is asked for.
pub(super) struct Begin {
    pub(super) dataset: DatasetId,
    pub(super) bucket: BucketName,
    pub(super) scope: Option<EraseScope>,
    pub(super) persons: Vec<PrincipalId>,
    pub(super) reason: String,
}

impl Vault {
    /// What begins work on a dataset's keys when it is committed; from then on it is carried to its
    /// end by whoever runs.
    pub(super) async fn prepare_key_work(&self, begin: Begin) -> Result<KeyWorkRow, VaultError> {
        self.judge_work(&begin).await?;
        let there = self.keyring.versions_of(&begin.dataset)?;
        let newest = there.last().copied().unwrap_or_default();
        let floor = match begin.scope {
            Some(EraseScope::Dataset) => FLOOR_ERASED,
            Some(EraseScope::Object(_) | EraseScope::Version(..) | EraseScope::Published(_))
            | None => {
                // Work that was refused after it was judged leaves its key. A rotation needs no
                // other, and destroys all that came before it.
                let next = if begin.scope.is_none() && there.len() >= limits::KEY_VERSIONS_MAX {
                    newest
                } else {
                    newest.saturating_add(1)
                };
                // The new key first: nobody can write from the moment on that the old one is
                // refused, unless there is another. One that nothing was begun with is used all
                // the same, and goes with the next rotation.
                self.keyring
                    .ensure_key(&begin.dataset, next, self.entropy.as_ref())?;
                next
            }
        };
        Ok(KeyWorkRow {
            id: KeyWorkId::random(self.entropy.as_ref())?,
            dataset: begin.dataset,
            bucket: begin.bucket,
            scope: begin.scope,
            floor,
            keys: there,
            persons: begin.persons,
            reason: begin.reason,
            begun: self.now(),
            tally: crate::catalog::Tally::default(),
            end: None,
        })
    }

    /// Begins it without asking anybody.
    pub(super) async fn begin_key_work(&self, begin: Begin) -> Result<KeyWorkRow, VaultError> {
        let row = self.prepare_key_work(begin).await?;
        self.commit(vec![Mutation::BeginKeyWork(row.clone())])
            .await?;
        self.guard.forget();
        Ok(row)
    }

    /// Does what is left of it; the row at its end. Done by two at once it is done once: what the
    /// slower one is refused is what the faster one did.
    pub(in crate::vault) async fn carry_on(
        &self,
        row: &KeyWorkRow,
        unopened: Unopened,
    ) -> Result<KeyWorkRow, VaultError> {
        let done = self.do_steps(row, unopened).await;
        self.guard.forget();
        let now = self.catalog.key_work(&row.id).await?;
        match (done, now.filter(|now| now.end.is_some())) {
            (_, Some(now)) => Ok(now),
            (Err(error), None) => Err(error),
            (Ok(()), None) => Err(VaultError::new(
                ErrorKind::Internal,
                "work on keys did not end",
            )),
        }
    }

    async fn do_steps(&self, row: &KeyWorkRow, unopened: Unopened) -> Result<(), VaultError> {
        if self.settings.snapshots_kept {
            // Never by a catalog that is not the vault's own: the other may need key and blobs.
            self.look_at_chain().await?;
        }
        match &row.scope {
            // Of before: empty, or its deletion would not stand.
            None if row.is_of_deleted() => {
                self.keyring.destroy_below(&row.dataset, row.floor)?;
            }
            Some(EraseScope::Dataset) => {
                // First of all: from here on nothing of it opens, wherever it lies.
                self.keyring.destroy_below(&row.dataset, row.floor)?;
                self.take_rows_out(row).await?;
            }
            Some(EraseScope::Object(_) | EraseScope::Version(..) | EraseScope::Published(_))
            | None => {
                self.keyring
                    .ensure_key(&row.dataset, row.floor, self.entropy.as_ref())?;
                self.rewrap_dataset(row, unopened).await?;
                // A catalog that is lost now is rebuilt from the snapshots: with tables that open.
                self.settle_in_snapshots().await?;
                self.keyring.destroy_below(&row.dataset, row.floor)?;
            }
        }
        let kept = self.delete_doomed(row).await?;
        let end = WorkEnd {
            at: self.now(),
            certificate: self.certify(row, kept).await?,
        };
        let work = row.id;
        let mut last = vec![Mutation::EndKeyWork { work, end }];
        if row.scope == Some(EraseScope::Dataset) {
            last.extend(self.forgetting(&row.bucket, &row.dataset).await?);
        }
        self.commit(last).await
    }

    /// Takes the rows of an erased dataset out of the catalog, some in each commit.
    async fn take_rows_out(&self, row: &KeyWorkRow) -> Result<(), VaultError> {
        while self.holds_rows(&row.dataset).await? {
            let (work, limit) = (row.id, ERASE_ROWS);
            self.catalog
                .commit(vec![Mutation::EraseRows { work, limit }])
                .await?;
        }
        Ok(())
    }

    async fn holds_rows(&self, dataset: &DatasetId) -> Result<bool, VaultError> {
        let one = ListQuery {
            limit: 1,
            ..ListQuery::default()
        };
        let version = VersionQuery {
            limit: 1,
            ..VersionQuery::default()
        };
        let upload = UploadQuery {
            limit: 1,
            ..UploadQuery::default()
        };
        let catalog = &self.catalog;
        Ok(!catalog.publications(dataset, 0, 1).await?.is_empty()
            || !catalog.list(dataset, &one).await?.entries.is_empty()
            || !catalog
                .versions(dataset, &version)
                .await?
                .entries
                .is_empty()
            || !catalog.uploads(dataset, &upload).await?.uploads.is_empty())
    }

    /// Deletes the blobs of an erasure from the store; how many stay because of copies.
    async fn delete_doomed(&self, row: &KeyWorkRow) -> Result<u64, VaultError> {
        loop {
            let (blobs, kept) = self
                .catalog
                .doomed(&row.id, limits::PAGE_ENTRIES_MAX)
                .await?;
            if blobs.is_empty() {
                return Ok(kept);
            }
            for blob in &blobs {
                self.store.delete(*blob).await?;
            }
            let work = row.id;
            self.catalog
                .commit(vec![Mutation::ForgetDoomed { work, blobs }])
                .await?;
        }
    }

    /// The certificate of an erasure, signed by the log's key; nothing for a rotation.
    async fn certify(&self, row: &KeyWorkRow, kept: u64) -> Result<String, VaultError> {
        let Some(scope) = &row.scope else {
            return Ok(String::new());
        };
        let gone = VaultError::new(ErrorKind::Internal, "work on keys is gone");
        let now = self.catalog.key_work(&row.id).await?.ok_or(gone)?;
        let person = |at: usize| {
            let nobody = VaultError::new(ErrorKind::Internal, "an erasure without persons");
            row.persons.get(at).cloned().ok_or(nobody)
        };
        let certificate = Certificate {
            log: self.settings.log_origin.clone(),
            work: row.id,
            dataset: row.dataset,
            bucket: row.bucket.clone(),
            scope: erasure_words(scope),
            asked_by: person(0)?,
            approved_by: person(1)?,
            reason: row.reason.clone(),
            begun: row.begun,
            ended: self.now(),
            keys: row.keys.clone(),
            copies: u64::try_from(self.keyring.copies().len()).unwrap_or(u64::MAX),
            writes: now.tally.writes,
            bytes: now.tally.bytes,
            blobs: now.tally.blobs,
            kept,
            digest: now.tally.digest,
        };
        let seed = self.keyring.log_signing_seed();
        let unsigned = |error| VaultError::caused(ErrorKind::Internal, "no signature", error);
        let signer =
            Signer::new(&self.settings.log_origin, KeyKind::Note, &seed).map_err(unsigned)?;
        certificate.sign(&signer).map_err(|error| {
            VaultError::caused(ErrorKind::Internal, "the certificate has no form", error)
        })
    }

    /// Carries on all that was begun; how many pieces of work ended. What cannot be done now keeps
    /// nothing else from being done.
    pub async fn resume_key_works(&self, unopened: Unopened) -> Result<usize, VaultError> {
        let mut ended: usize = 0;
        let mut failed = None;
        for row in self.open_key_works().await? {
            match self.resume_key_work(&row, unopened).await {
                Ok(()) => ended = ended.saturating_add(1),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(ended), Err)
    }

    /// Work on keys that is not done.
    pub async fn open_key_works(&self) -> Result<Vec<KeyWorkRow>, VaultError> {
        Ok(self.catalog.open_key_works().await?)
    }

    /// Carries on one piece of it, under a record of its own.
    pub async fn resume_key_work(
        &self,
        row: &KeyWorkRow,
        unopened: Unopened,
    ) -> Result<(), VaultError> {
        let call = self.own_call("key work")?;
        let mut intent = Self::work_intent(&call, row);
        if unopened == Unopened::GiveUp {
            let words = intent.query.unwrap_or_default();
            intent.query = Some(format!("{words} giving up what opens under no key"));
        }
        let recorded = self.begin(&call, intent).await?;
        self.finish(&call, recorded, row, unopened).await.map(drop)
    }

    /// Looks at work that has ended since the last look, at all of it the first time: forgets keys
    /// that another process replaced, and destroys those that are back although that work
    /// destroyed them, as from a backup that nobody manages; how many there were.
    pub async fn notice_key_works(&self, noticed: &mut Noticed) -> Result<usize, VaultError> {
        let mut destroyed: usize = 0;
        for id in noticed.open.clone() {
            let row = self.catalog.key_work(&id).await?;
            if row.as_ref().is_none_or(|row| row.end.is_some()) {
                if let Some(row) = &row {
                    destroyed = destroyed.saturating_add(self.notice_key_work(row)?);
                }
                noticed.open.remove(&id);
            }
        }
        // Of two that began at one time, the later to be committed may come first.
        let settled = self.now().millis().saturating_sub(NOTICE_LAG_MS);
        let mut after = noticed.upto;
        loop {
            let page = self
                .catalog
                .key_works(None, after, limits::PAGE_ENTRIES_MAX)
                .await?;
            for row in &page {
                if row.end.is_none() {
                    noticed.open.insert(row.id);
                } else {
                    destroyed = destroyed.saturating_add(self.notice_key_work(row)?);
                }
                after = Some((row.begun, row.id));
                if row.begun.millis() < settled {
                    noticed.upto = after;
                }
            }
            if page.is_empty() {
                return Ok(destroyed);
            }
        }
    }

    fn notice_key_work(&self, row: &KeyWorkRow) -> Result<usize, VaultError> {
        self.keyring.forget_dataset(&row.dataset);
        let versions = self.keyring.versions_of(&row.dataset)?;
        if versions.iter().any(|version| *version < row.floor) {
            return Ok(self.keyring.destroy_below(&row.dataset, row.floor)?);
        }
        Ok(0)
    }

    /// Carries it on under its record, and puts the certificate's hash into the log.
    pub(super) async fn finish(
        &self,
        call: &Call,
        recorded: Recorded,
        row: &KeyWorkRow,
        unopened: Unopened,
    ) -> Result<KeyWorkRow, VaultError> {
        let result = async {
            let ended = self.carry_on(row, unopened).await?;
            let certificate = ended.end.as_ref().map(|end| end.certificate.as_str());
            if let Some(hash) = certificate.and_then(hash_of_signed) {
                let mut noted = Self::work_intent(call, &ended);
                noted.event = self.new_event()?;
                let hex = data_encoding::HEXLOWER.encode(&hash);
                noted.query = Some(format!("work={} certificate={hex}", ended.id));
                self.note(call, noted, Ok(())).await?;
            }
            Ok(ended)
        }
        .await;
        recorded.settle(result)
    }

    /// What the log says of work on keys.
    pub(super) fn work_intent(call: &Call, row: &KeyWorkRow) -> Intent {
        let key = match &row.scope {
            Some(EraseScope::Object(key) | EraseScope::Version(key, _)) => Some(key.clone()),
            Some(EraseScope::Dataset | EraseScope::Published(_)) | None => None,
        };
        let object = ObjectRef {
            project: Some(row.bucket.project.clone()),
            dataset: Some(row.bucket.dataset.clone()),
            key,
            version: None,
        };
        let action = row.scope.as_ref().map(EraseScope::action);
        let mut intent = Self::intent(call, action, object);
        let persons: Vec<&str> = row.persons.iter().map(PrincipalId::as_str).collect();
        let text = format!(
            "{} work={} persons={} reason={}",
            row.word(),
            row.id,
            persons.join(","),
            row.reason
        );
        intent.query = Some(super::super::cut(&text));
        intent
    }
}

/// What an erasure is about, as its certificate words it.
#[must_use]
pub fn erasure_words(scope: &EraseScope) -> String {
    match scope {
        EraseScope::Dataset => "dataset".to_owned(),
        EraseScope::Object(key) => format!("object {key}"),
        EraseScope::Version(key, name) => format!("version {name} of {key}"),
        EraseScope::Published(number) => format!("published version {number}"),
    }
}
