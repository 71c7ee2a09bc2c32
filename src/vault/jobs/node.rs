//! Compute nodes: machines whose key an operator has enrolled, so that jobs on them can be told
//! from jobs elsewhere. Called on the vault's own host; each act is recorded.

use std::net::IpAddr;

use super::super::{Call, ErrorKind, Vault, VaultError};
use crate::catalog::{Mutation, NodeRow, RosterEntry, RosterKind, RosterRow};
use crate::types::{Network, PartitionName, UseClass, is_small_order, limits};

/// Whether a text can name a node, cluster or account: it becomes part of a principal's name.
pub(super) fn is_name(text: &str) -> bool {
    let ok = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
    (1..=limits::NODE_NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(ok)
}

/// Whether a node's words may come from this address: one of its networks; where it has none,
/// any that is the one of before.
pub(super) fn is_at(node: &NodeRow, client: Option<IpAddr>, before: Option<IpAddr>) -> bool {
    match client {
        None => false,
        Some(client) if node.networks.is_empty() => before.is_none_or(|before| before == client),
        Some(client) => node.networks.iter().any(|network| network.contains(client)),
    }
}

/// A node as an operator enrols it.
pub struct NodeDraft {
    /// Its name, as its key signs it.
    pub name: String,
    /// Its cluster.
    pub cluster: String,
    /// Its Ed25519 public key.
    pub key: [u8; 32],
    /// From where it speaks; empty for: from one address within each session.
    pub networks: Vec<Network>,
    /// The partition it is in.
    pub partition: Option<PartitionName>,
    /// What data of a use class may be computed on there for.
    pub uses: Vec<UseClass>,
}

impl Vault {
    /// Enrols a node, which must be new, as its key must be.
    pub async fn enrol_node(&self, call: &Call, draft: NodeDraft) -> Result<NodeRow, VaultError> {
        let name = draft.name;
        let key = data_encoding::BASE64.encode(&draft.key);
        let mut uses = draft.uses;
        uses.sort_unstable();
        uses.dedup();
        let mut what = format!("node={name} cluster={} key={key}", draft.cluster);
        if let Some(partition) = &draft.partition {
            what = format!("{what} partition={partition}");
        }
        if !uses.is_empty() {
            let uses: Vec<&str> = uses.iter().map(UseClass::as_str).collect();
            what = format!("{what} uses={}", uses.join(","));
        }
        let intent = Self::admin_intent(call, None, &what);
        if !is_name(&name) || !is_name(&draft.cluster) {
            let why = "a node or cluster is 1 to 40 of a-z, 0-9 and . _ -";
            let error = VaultError::new(ErrorKind::InvalidArgument, why);
            return Err(self.turn_away(call, intent, error).await);
        }
        if is_small_order(&draft.key) {
            let why = "anybody can sign under this key: a node's is what `kluis node init` prints";
            let error = VaultError::new(ErrorKind::InvalidArgument, why);
            return Err(self.turn_away(call, intent, error).await);
        }
        if uses.len() > limits::NODE_USES_MAX {
            let why = "a node is enrolled for at most 16 use classes";
            let error = VaultError::new(ErrorKind::InvalidArgument, why);
            return Err(self.turn_away(call, intent, error).await);
        }
        if self.node(&name).await?.is_some() {
            let why = "a node of this name is enrolled already";
            let error = VaultError::new(ErrorKind::Conflict, why);
            return Err(self.turn_away(call, intent, error).await);
        }
        let row = NodeRow {
            cluster: draft.cluster,
            key: draft.key,
            networks: draft.networks,
            enrolled: self.now(),
            partition: draft.partition,
            uses,
        };
        let change = Mutation::SetRoster {
            kind: RosterKind::Node,
            name,
            was: None,
            entry: Some(RosterEntry {
                revision: 1,
                row: RosterRow::Node(row.clone()),
            }),
        };
        let own = Mutation::CheckNodeKey(row.key);
        self.administer(call, intent, vec![own, change]).await?;
        Ok(row)
    }

    /// Ends a node: nothing is believed of it from now on, and what its jobs read is cut within a
    /// minute.
    pub async fn remove_node(&self, call: &Call, name: &str) -> Result<(), VaultError> {
        let intent = Self::admin_intent(call, None, &format!("node={name} removed"));
        let entry = self.catalog.roster(RosterKind::Node, name).await?;
        let Some(entry) = entry else {
            let error = VaultError::new(ErrorKind::InvalidArgument, "no such node");
            return Err(self.turn_away(call, intent, error).await);
        };
        let change = Mutation::SetRoster {
            kind: RosterKind::Node,
            name: name.to_owned(),
            was: Some(entry.revision),
            entry: None,
        };
        self.administer(call, intent, vec![change]).await
    }

    /// A node's row.
    pub(super) async fn node(&self, name: &str) -> Result<Option<NodeRow>, VaultError> {
        let entry = self.catalog.roster(RosterKind::Node, name).await?;
        let Some(RosterRow::Node(row)) = entry.map(|entry| entry.row) else {
            return Ok(None);
        };
        Ok(Some(row))
    }
}
