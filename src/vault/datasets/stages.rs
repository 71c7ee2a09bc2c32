//! The end of a dataset (ER-2): active, a notice 30 days before its end, quarantine at its end,
//! ended 30 days later, when two persons may destroy its keys. What is refused when is judged by
//! the clock at each request (`barrier`); here each step is put into the log, once.

use std::sync::Arc;

use crate::catalog::{Card, DatasetRow, Mutation};
use crate::types::Timestamp;
use crate::vault::Vault;
use crate::vault::datasets::cards::said;
use crate::vault::error::{ErrorKind, VaultError};

impl Vault {
    /// Logs the steps that datasets have taken by `now`; how many there were.
    pub async fn run_stages(&self, now: Timestamp) -> Result<usize, VaultError> {
        let mut steps = 0_usize;
        let mut all = self.all_datasets();
        while let Some(row) = all.next().await? {
            if self.step_stage(row, now).await? {
                steps = steps.saturating_add(1);
            }
        }
        Ok(steps)
    }

    /// Logs one dataset's step, if it took one. Of two gateways one does.
    async fn step_stage(&self, row: DatasetRow, now: Timestamp) -> Result<bool, VaultError> {
        let Some(was) = row.card.as_ref().map(Arc::clone) else {
            return Ok(false);
        };
        let stage = was.stage(now);
        if stage == was.told {
            return Ok(false);
        }
        let call = self.system_call("dataset stage")?;
        let mut intent = Self::admin_intent(&call, Some(&row.bucket.project), "");
        intent.object.dataset = Some(row.bucket.dataset.clone());
        let told = format!("stage={} {}", stage.as_str(), said(&was));
        intent.query = Some(crate::vault::kept(&told));
        let set = Mutation::SetCard {
            dataset: row.id,
            was: Some(Card::clone(&was)),
            card: Card {
                told: stage,
                ..Card::clone(&was)
            },
        };
        let text = format!(
            "{} is in the stage {}; it ends {}",
            row.bucket,
            stage.as_str(),
            was.ends
        );
        let mut changes = self.notice_to_owner(&row, &text).await?;
        changes.push(set);
        match self.administer(&call, intent, changes).await {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(false),
            Err(error) if error.kind() == ErrorKind::NoSuchDataset => Ok(false),
            Err(error) => Err(error),
        }
    }
}
