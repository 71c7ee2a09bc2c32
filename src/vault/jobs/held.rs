//! Whether a job's session still holds, as of now: the guard's cache answers, and looks again
//! before it says no.

use std::net::IpAddr;
use std::sync::Arc;

use super::super::VaultError;
use super::super::access::guard::Guard;
use super::super::people::session::JobBounds;
use super::node::is_at;
use crate::catalog::{JobRow, NodeRow, RosterKind, RosterRow};
use crate::types::Timestamp;

impl Guard {
    /// Whether a job still runs on a node that is still enrolled.
    pub(in crate::vault) async fn job_runs(
        &self,
        job: &JobBounds,
        now: Timestamp,
    ) -> Result<bool, VaultError> {
        let runs = |row: &JobRow| {
            row.ended.is_none()
                && row.principal == job.person
                && row.over.is_some_and(|over| now < over)
                && row.nodes.contains(&job.node)
        };
        let generation = self.generation().await?;
        let kept = self.cached(|cache| cache.jobs.get(&job.name).map(Arc::clone));
        let row = match kept.filter(|row| runs(row)) {
            Some(row) => row,
            None => match self.catalog.roster(RosterKind::Job, &job.name).await? {
                Some(entry) => {
                    let RosterRow::Job(row) = entry.row else {
                        return Ok(false);
                    };
                    let row = Arc::new(row);
                    self.keep(generation, |cache| {
                        let _old = cache.jobs.insert(job.name.clone(), Arc::clone(&row));
                    });
                    row
                }
                None => return Ok(false),
            },
        };
        let node = self.enrolled(&job.node).await?;
        // One that was put elsewhere is another node: its jobs ask again.
        let stays = |node: &NodeRow| node.partition == job.partition && node.uses == job.uses;
        if !runs(&row) || !node.is_some_and(|node| stays(&node)) {
            return Ok(false);
        }
        match &row.word {
            Some((issuer, subject)) => self.is_linked((issuer, subject), &row.principal).await,
            None => Ok(true),
        }
    }

    async fn enrolled(&self, name: &str) -> Result<Option<Arc<NodeRow>>, VaultError> {
        let generation = self.generation().await?;
        if let Some(row) = self.cached(|cache| cache.nodes.get(name).map(Arc::clone)) {
            return Ok(Some(row));
        }
        let entry = self.catalog.roster(RosterKind::Node, name).await?;
        let Some(RosterRow::Node(row)) = entry.map(|entry| entry.row) else {
            return Ok(None);
        };
        let row = Arc::new(row);
        self.keep(generation, |cache| {
            let _old = cache.nodes.insert(name.to_owned(), Arc::clone(&row));
        });
        Ok(Some(row))
    }

    /// Whether a request of a job's session comes from where its node is.
    pub(in crate::vault) async fn is_at_node(
        &self,
        job: &JobBounds,
        client: Option<IpAddr>,
    ) -> Result<bool, VaultError> {
        let node = self.enrolled(&job.node).await?;
        Ok(node.is_some_and(|node| is_at(&node, client, job.client)))
    }
}
