//! What keeps a request from a dataset whatever is granted: its label, the installation's ceiling,
//! what jobs may compute on it for, what was not said of it, its end. Judged behind the decision
//! and before anything is looked up in the dataset; on a read a comparison of two ranks and of two
//! times.

use crate::catalog::{Card, DatasetRow, Stage};
use crate::types::{Action, Label, Labels, Rank, Timestamp};
use crate::vault::error::{ErrorKind, VaultError};
use crate::vault::people::session::JobBounds;

/// The labels of an installation, and what stands where nothing is said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LabelRules {
    /// All labels in order.
    pub order: Labels,
    /// That of data which was here before it had to have one.
    pub unlabelled: Label,
    /// What principals are cleared for of whom nothing else is said.
    pub clearance: Label,
    /// The highest that may be uploaded.
    pub ceiling: Label,
}

impl LabelRules {
    /// Whether this is one of the labels.
    #[must_use]
    pub fn knows(&self, label: &Label) -> bool {
        self.order.rank(label).is_some()
    }

    /// How confidential data is: one of an unknown label more than anybody is cleared for.
    pub(in crate::vault) fn of_data(&self, card: Option<&Card>) -> Rank {
        let label = card.map_or(&self.unlabelled, |card| &card.label);
        self.order.rank(label).unwrap_or(Rank::TOP)
    }

    /// What somebody is cleared for: by an unknown label for nothing.
    pub(in crate::vault) fn of_person(&self, clearance: Option<&Label>) -> Rank {
        let label = clearance.unwrap_or(&self.clearance);
        self.order.rank(label).unwrap_or(Rank::NONE)
    }

    /// The highest that may be uploaded.
    pub(in crate::vault) fn highest(&self) -> Rank {
        self.order.rank(&self.ceiling).unwrap_or(Rank::NONE)
    }
}

pub(in crate::vault) const ABOVE: VaultError = VaultError::new(
    ErrorKind::AccessDenied,
    "barred: the dataset's label is above the clearance",
);

/// Judges one request on a dataset; of a job on a node by what that is enrolled for, too.
pub(in crate::vault) fn judge(
    rules: &LabelRules,
    row: &DatasetRow,
    (rank, cleared): (Rank, Rank),
    job: Option<&JobBounds>,
    (action, now): (Action, Timestamp),
) -> Result<(), VaultError> {
    if rank > cleared {
        return Err(ABOVE);
    }
    let use_class = row.card.as_ref().and_then(|card| card.use_class.as_ref());
    if let (Some(use_class), Some(job)) = (use_class, job)
        && !job.uses.contains(use_class)
    {
        let why = "barred: the node is not enrolled for the dataset's use class";
        return Err(VaultError::new(ErrorKind::AccessDenied, why));
    }
    if is_use(action) {
        in_use(row, now)?;
    }
    if row.card.is_none() && action == Action::ObjectWrite {
        let why = "barred: the dataset is not described";
        return Err(VaultError::new(ErrorKind::NotDescribed, why));
    }
    if action == Action::ObjectWrite && rank > rules.highest() {
        let why = "barred: the dataset's label is above the installation's ceiling";
        return Err(VaultError::new(ErrorKind::AboveCeiling, why));
    }
    Ok(())
}

/// That a dataset has not ended.
pub(in crate::vault) fn in_use(row: &DatasetRow, now: Timestamp) -> Result<(), VaultError> {
    let ended = |card: &Card| card.stage(now) >= Stage::Quarantine;
    if row.card.as_deref().is_some_and(ended) {
        let why = "barred: the dataset has ended and is in quarantine";
        return Err(VaultError::new(ErrorKind::Quarantined, why));
    }
    Ok(())
}

/// Whether an action uses the data, and so ends with it. What is left ends a dataset, puts its end
/// off or says that it is there.
const fn is_use(action: Action) -> bool {
    match action {
        Action::ObjectRead
        | Action::ObjectHead
        | Action::ObjectList
        | Action::ObjectWrite
        | Action::ObjectTag
        | Action::ObjectExport
        | Action::VersionRead
        | Action::VersionList
        | Action::UploadManage
        | Action::DatasetPublish => true,
        Action::ObjectDelete
        | Action::ObjectLock
        | Action::LockBypass
        | Action::VersionDelete
        | Action::DatasetHead
        | Action::DatasetCreate
        | Action::DatasetDelete
        | Action::DatasetConfigure
        | Action::GrantManage
        | Action::LogRead
        | Action::ActAsk
        | Action::ActApprove => false,
    }
}
