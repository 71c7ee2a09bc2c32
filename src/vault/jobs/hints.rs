//! What is taken all the same, and good for nothing as things stand: said to who makes it, since a
//! slip of the pen looks like that.

use super::super::{Vault, VaultError};
use crate::catalog::{NodeRow, RosterKind, RosterRow};
use crate::policy::Grant;
use crate::types::{BucketName, UseClass, limits};

impl Vault {
    /// Of a grant: partitions that no node is in, and a version that is not published. Shown to who
    /// may make it.
    pub async fn grant_hints(&self, grant: &Grant) -> Result<Vec<String>, VaultError> {
        let mut hints = Vec::new();
        for partition in &grant.terms.partitions {
            let is_in = |node: &NodeRow| node.partition.as_ref() == Some(partition);
            if !self.has_node(is_in).await? {
                hints.push(format!("no node is enrolled in partition {partition}"));
            }
        }
        if let (Some(number), Some(dataset)) = (grant.terms.version, &grant.dataset) {
            let bucket = BucketName {
                project: grant.project.clone(),
                dataset: dataset.clone(),
            };
            let row = self.catalog.dataset(&bucket).await?;
            let there = match &row {
                Some(row) => self.catalog.publication(&row.id, number).await?.is_some(),
                None => true,
            };
            if !there {
                hints.push(format!("version {number} of {dataset} is not published"));
            }
        }
        Ok(hints)
    }

    /// Of a use class that a dataset is for: that no node may compute for it.
    pub async fn use_hints(&self, class: &UseClass) -> Result<Vec<String>, VaultError> {
        if self.has_node(|node| node.uses.contains(class)).await? {
            return Ok(Vec::new());
        }
        Ok(vec![format!(
            "no node is enrolled for the use class {class}: no job reads the dataset, and those that \
             read it are cut within a minute"
        )])
    }

    /// Whether any node is such a one.
    pub(super) async fn has_node(&self, is: impl Fn(&NodeRow) -> bool) -> Result<bool, VaultError> {
        let mut after = String::new();
        loop {
            let most = limits::PAGE_ENTRIES_MAX;
            let page = self.catalog.roster_page(RosterKind::Node, &after, most);
            let page = page.await?;
            for (name, entry) in &page {
                if matches!(&entry.row, RosterRow::Node(node) if is(node)) {
                    return Ok(true);
                }
                after.clone_from(name);
            }
            if page.is_empty() {
                return Ok(false);
            }
        }
    }
}
