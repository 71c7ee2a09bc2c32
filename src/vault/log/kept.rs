//! What decisions rest on is in the log before they are made (AZ-5): the rights behind each version
//! and the scopes of credentials, once a day each while they are in use, so that what is kept of a
//! log for a time holds all that it takes to make its decisions again.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

use crate::journal::SharedJournal;
use crate::policy::{CredentialScope, ProjectPolicy, SubjectPolicy};
use crate::types::{AccessKeyId, ProjectName, Timestamp, limits};
use crate::vault::Bounds;
use crate::vault::access::guard::Guard;
use crate::vault::error::VaultError;

const HOUR_MS: u64 = 60 * 60 * 1000;
const DAY_MS: u64 = 24 * HOUR_MS;

/// What this process wrote today.
pub(in crate::vault) struct Kept {
    journal: SharedJournal,
    written: Mutex<(u64, HashSet<[u8; 32]>)>,
    /// Bytes of rights that were written in this hour, by project.
    rights: Mutex<(u64, HashMap<ProjectName, u64>)>,
}

impl Kept {
    pub(in crate::vault) fn new(journal: SharedJournal) -> Self {
        Self {
            journal,
            written: Mutex::default(),
            rights: Mutex::default(),
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

    /// Whether changes of a project's rights may go on at `now`: each writes what was changed into
    /// the log, whole.
    pub(in crate::vault) fn has_room(&self, project: &ProjectName, now: Timestamp) -> bool {
        self.rights.lock().is_ok_and(|rights| {
            let (hour, written) = &*rights;
            let most = limits::RIGHTS_BYTES_PER_HOUR_MAX;
            *hour != now.millis() / HOUR_MS
                || written.get(project).is_none_or(|bytes| *bytes < most)
        })
    }

    /// Counts what was written of a project's rights.
    pub(in crate::vault) fn count(&self, project: &ProjectName, bytes: u64, now: Timestamp) {
        let Ok(mut rights) = self.rights.lock() else {
            return;
        };
        let hour = now.millis() / HOUR_MS;
        if rights.0 != hour || rights.1.len() >= limits::GUARD_CACHE_MAX {
            *rights = (hour, HashMap::new());
        }
        let written = rights.1.entry(project.clone()).or_default();
        *written = written.saturating_add(bytes);
    }

    /// Writes a version's texts unless they were written today; durable when it returns. Two
    /// who come at once may both write: the texts are the same. How many bytes it wrote.
    async fn write(
        &self,
        version: [u8; 32],
        now: Timestamp,
        texts: impl FnOnce() -> Vec<String> + Send,
    ) -> Result<u64, VaultError> {
        let mut bytes = 0_u64;
        if !self.is_due(&version, now) {
            return Ok(bytes);
        }
        for text in texts() {
            self.journal.policy(version, &text).await?;
            let written = u64::try_from(text.len()).unwrap_or(u64::MAX);
            bytes = bytes.saturating_add(written);
        }
        if let Ok(mut written) = self.written.lock() {
            written.1.insert(version);
        }
        Ok(bytes)
    }
}

impl Guard {
    /// Puts what a subject's decisions rest on into the log.
    pub(in crate::vault) async fn keep_rights(
        &self,
        enforcer: &ProjectPolicy,
        subject: &SubjectPolicy,
    ) -> Result<(), VaultError> {
        let (now, policy) = (self.now(), enforcer.policy());
        let text = || vec![policy.text().to_owned()];
        self.kept.write(policy.hash(), now, text).await?;
        let texts = || subject.kept();
        let bytes = self.kept.write(subject.version(), now, texts).await?;
        if bytes > 0 {
            self.kept.count(enforcer.project(), bytes, now);
        }
        Ok(())
    }

    /// Puts the scope of a credential into the log.
    pub(in crate::vault) async fn keep_scope(&self, scope: &ScopeText) -> Result<(), VaultError> {
        let text = || vec![scope.text.clone()];
        let written = self.kept.write(scope.version, self.now(), text);
        written.await.map(|_bytes| ())
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
