//! What decisions rest on is in the log before they are made (AZ-5): the rights behind each version
//! and the scopes of credentials, once a day each while they are in use, so that what is kept of a
//! log for a time holds all that it takes to make its decisions again.

use std::collections::HashSet;
use std::sync::Mutex;

use crate::journal::SharedJournal;
use crate::policy::{CredentialScope, Policy, SubjectPolicy};
use crate::types::{AccessKeyId, Timestamp, limits};
use crate::vault::Bounds;
use crate::vault::access::guard::Guard;
use crate::vault::error::VaultError;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// What this process wrote today.
pub(in crate::vault) struct Kept {
    journal: SharedJournal,
    written: Mutex<(u64, HashSet<[u8; 32]>)>,
}

impl Kept {
    pub(in crate::vault) fn new(journal: SharedJournal) -> Self {
        Self {
            journal,
            written: Mutex::default(),
        }
    }

    /// Whether a text has to be written again at `now`.
    fn is_due(&self, version: &[u8; 32], now: Timestamp) -> bool {
        let Ok(mut written) = self.written.lock() else {
            return true;
        };
        let today = now.millis() / DAY_MS;
        if written.0 != today || written.1.len() >= limits::GUARD_CACHE_MAX {
            *written = (today, HashSet::new());
        }
        !written.1.contains(version)
    }

    /// Writes a version's texts unless they were written today; durable when it returns. Two
    /// who come at once may both write: the texts are the same.
    async fn write(
        &self,
        version: [u8; 32],
        now: Timestamp,
        texts: impl FnOnce() -> Vec<String> + Send,
    ) -> Result<(), VaultError> {
        if !self.is_due(&version, now) {
            return Ok(());
        }
        for text in texts() {
            self.journal.policy(version, &text).await?;
        }
        if let Ok(mut written) = self.written.lock() {
            written.1.insert(version);
        }
        Ok(())
    }
}

impl Guard {
    /// Puts what a subject's decisions rest on into the log.
    pub(in crate::vault) async fn keep_rights(
        &self,
        policy: &Policy,
        subject: &SubjectPolicy,
    ) -> Result<(), VaultError> {
        let now = self.now();
        let text = || vec![policy.text().to_owned()];
        self.kept.write(policy.hash(), now, text).await?;
        self.kept
            .write(subject.version(), now, || subject.kept())
            .await
    }

    /// Puts the scope of a credential into the log.
    pub(in crate::vault) async fn keep_scope(&self, scope: &ScopeText) -> Result<(), VaultError> {
        let text = || vec![scope.text.clone()];
        self.kept.write(scope.version, self.now(), text).await
    }
}

/// A credential's scope as the log keeps it: worded once, not at each request.
pub(in crate::vault) struct ScopeText {
    version: [u8; 32],
    text: String,
}

impl ScopeText {
    pub(in crate::vault) fn of(id: &AccessKeyId, bounds: &Bounds) -> Self {
        let scope = bounds.scope();
        let scope = CredentialScope {
            credential: id.clone(),
            project: bounds.project.clone(),
            dataset: bounds.dataset.clone(),
            version: bounds.version,
            only_reads: bounds.only_reads(),
            purpose: bounds.purpose.clone(),
            acr: bounds.assured.acr.clone(),
            amr: bounds.assured.amr.clone(),
            partition: bounds.job().and_then(|job| job.partition.clone()),
            prefix: scope.map_or_else(String::new, |scope| scope.prefix.clone()),
            networks: scope.map_or_else(Vec::new, |scope| scope.networks.clone()),
        };
        let text = scope.text();
        Self {
            version: CredentialScope::version(&text),
            text,
        }
    }
}
