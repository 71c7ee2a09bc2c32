//! What is taken all the same, and good for nothing as things stand: said to whoever makes it,
//! since a slip of the pen looks like that.

use super::super::{Vault, VaultError};
use std::collections::BTreeSet;

use crate::catalog::{NodeRow, RosterKind, RosterRow};
use crate::policy::{Grant, GrantEffect};
use crate::types::{BucketName, PrincipalId, UseClass, limits};

impl Vault {
    /// Of a grant: partitions that no node is in, a version that is not published, and of a denial
    /// the workloads that it does not stop. Shown to whoever may make it.
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
        if grant.effect == GrantEffect::Deny {
            hints.extend(self.not_denied(grant).await?);
        }
        Ok(hints)
    }

    /// The workloads that act for whoever is denied and hold grants of the same project themselves:
    /// a denial is of one principal, and whose key she holds goes on.
    async fn not_denied(&self, denial: &Grant) -> Result<Option<String>, VaultError> {
        let most = limits::GUARD_CACHE_MAX;
        let grants = self.catalog.grants(&denial.project, most).await?;
        let holders: BTreeSet<&PrincipalId> = grants
            .iter()
            .filter(|grant| grant.effect == GrantEffect::Allow)
            .map(|grant| &grant.principal)
            .collect();
        let mut go_on = Vec::new();
        for holder in holders {
            let row = self.catalog.principal(holder).await?;
            if row.is_some_and(|row| row.acts_for.as_ref() == Some(&denial.principal)) {
                go_on.push(holder.as_str());
            }
        }
        Ok((!go_on.is_empty()).then(|| {
            format!(
                "not denied by this, and acting for {}: {}; deny each, or suspend the person",
                denial.principal,
                go_on.join(", ")
            )
        }))
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
