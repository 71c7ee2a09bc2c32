//! The roster: rows about who works here beside persons and grants, each under a kind and a name,
//! with a revision by which a writer sees that nobody came in between.

use bytes::Bytes;

use super::approval::NoticeRow;
use crate::policy::Demand;
use crate::types::{
    BucketName, ClaimId, DatasetId, DatasetName, Network, PartitionName, PrincipalId, ProjectName,
    Timestamp, UseClass,
};

/// Which kind of row. Its number is in files and is never given to another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum RosterKind {
    /// A compute node, by its name.
    Node,
    /// A job's right, by its name.
    Job,
    /// What a project demands of how people signed in, by the project's name.
    Demand,
    /// An organisation that tells who its people are, by its name.
    Source,
    /// A person as her organisation tells of her, by her principal.
    Person,
    /// A group as an organisation tells of it, by its principal.
    Team,
    /// What an organisation calls one of those two, behind the organisation's name.
    Alias,
    /// What tokens claim and stands for a group, behind the issuer's name.
    Claim,
    /// Where a project's notices are sent, by its name.
    Webhook,
    /// A notice that is to be sent, by project, time and id.
    Push,
    /// A grant whose coming end was told, by its id.
    Ending,
    /// What visas assert and stands for a group, behind the name of the visas' issuer.
    Visa,
    /// A dataset that was deleted and whose keys are there, by [`DeletedRow::name`].
    Deleted,
}

/// A row's value; its kind is the variant's.
#[expect(
    clippy::large_enum_variant,
    reason = "few are held at once, and none moves in the data path"
)]
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RosterRow {
    /// A compute node.
    Node(NodeRow),
    /// A job's right.
    Job(JobRow),
    /// What a project demands.
    Demand(Demand),
    /// An organisation that tells who its people are.
    Source(SourceRow),
    /// A person as her organisation tells of her.
    Person(PersonRow),
    /// A group as an organisation tells of it.
    Team(TeamRow),
    /// Whom an organisation's own name for somebody means.
    Alias(AliasRow),
    /// The group that a claimed one stands for.
    Claim(ClaimRow),
    /// Where a project's notices are sent.
    Webhook(WebhookRow),
    /// A notice that is to be sent.
    Push(NoticeRow),
    /// A grant whose coming end was told.
    Ending(EndingRow),
    /// The group that what a visa asserts stands for.
    Visa(ClaimRow),
    /// A dataset that was deleted and whose keys are there.
    Deleted(DeletedRow),
}

/// A row with its revision.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RosterEntry {
    /// 1 at first, one more with each change.
    pub revision: u64,
    /// The row.
    pub row: RosterRow,
}

/// A dataset that was deleted when it was empty. Its keys are there until two persons erase them:
/// with a copy of catalog and store from before, what it held can be read again until then.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeletedRow {
    /// Its identity, under which its keys are kept.
    pub dataset: DatasetId,
    /// What it was called; another may be called so by now.
    pub bucket: BucketName,
    /// When it was deleted.
    pub at: Timestamp,
    /// By whom; nobody who is known, on the vault's host.
    pub by: Option<PrincipalId>,
}

impl DeletedRow {
    /// What the names of all that were called so begin with.
    #[must_use]
    pub fn names_of(bucket: &BucketName) -> String {
        format!("{}/{}\n", bucket.project, bucket.dataset)
    }

    /// Its name in the roster.
    #[must_use]
    pub fn name(bucket: &BucketName, dataset: &DatasetId) -> String {
        format!("{}{dataset}", Self::names_of(bucket))
    }
}

/// A compute node whose key an operator has enrolled.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeRow {
    /// Its cluster.
    pub cluster: String,
    /// Its Ed25519 public key.
    pub key: [u8; 32],
    /// From where it speaks; empty for: from one address within each session.
    pub networks: Vec<Network>,
    /// Since when.
    pub enrolled: Timestamp,
    /// The partition it is in.
    pub partition: Option<PartitionName>,
    /// What data of a use class may be computed on here for; in order, each once.
    pub uses: Vec<UseClass>,
}

/// What a person lets a job read in her name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JobRow {
    /// Who.
    pub principal: PrincipalId,
    /// On which issuer's word about which subject she asked, if on one's.
    pub word: Option<(String, String)>,
    /// How well she was known then: the class and the methods of her sign-in.
    pub assurance: (Option<String>, Vec<String>),
    /// In which project.
    pub project: ProjectName,
    /// Which dataset.
    pub dataset: DatasetName,
    /// Which version of it; `None` for what is current.
    pub version: Option<u32>,
    /// For which purpose alone.
    pub purpose: Option<String>,
    /// On which cluster.
    pub cluster: String,
    /// Under which account of the cluster.
    pub account: String,
    /// On how many nodes at most.
    pub nodes_max: u32,
    /// When it was asked for.
    pub created: Timestamp,
    /// Until when it may start.
    pub start_by: Timestamp,
    /// How long it may run, in milliseconds.
    pub lasts_ms: u64,
    /// The scheduler's number of the job, once it has started.
    pub number: Option<String>,
    /// When it is over whatever happens, once it has started.
    pub over: Option<Timestamp>,
    /// The nodes that it runs on now.
    pub nodes: Vec<String>,
    /// How many nodes have left it.
    pub left: u32,
    /// When it ended.
    pub ended: Option<Timestamp>,
}

/// How a person whom an organisation tells of signs in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Linking {
    /// As somebody links her by hand.
    ByHand,
    /// Under her user name, as it is written.
    UserName,
    /// Under her external id.
    ExternalId,
}

/// An organisation that tells who its people are (SCIM).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SourceRow {
    /// SHA-256 of its credential; nothing while it has none.
    pub key: Option<[u8; 32]>,
    /// The workload that acts for it, and for a person of the vault.
    pub agent: PrincipalId,
    /// The issuer at which its people sign in, and under what.
    pub issuer: Option<String>,
    /// See there.
    pub linking: Linking,
    /// Since when.
    pub created: Timestamp,
    /// When its credential ends.
    pub expires: Timestamp,
}

/// A person as her organisation tells of her. Gone from the roster, she stays a principal, which
/// is suspended: no name is ever another one's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PersonRow {
    /// Her organisation.
    pub source: String,
    /// Her name there.
    pub user_name: String,
    /// What its own system calls her.
    pub external_id: Option<String>,
    /// A name to show.
    pub display_name: Option<String>,
    /// Whether she may do anything.
    pub active: bool,
    /// Since when she is told of.
    pub created: Timestamp,
    /// When that was changed.
    pub modified: Timestamp,
}

/// A group as an organisation tells of it; its members are where those of all groups are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TeamRow {
    /// The organisation.
    pub source: String,
    /// Its name there.
    pub display_name: String,
    /// What the organisation's own system calls it.
    pub external_id: Option<String>,
    /// Since when it is told of.
    pub created: Timestamp,
    /// When it or who is in it was changed.
    pub modified: Timestamp,
}

/// Whom an organisation's own name for somebody means.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AliasRow {
    /// The principal.
    pub principal: PrincipalId,
}

/// The group that one which an issuer's tokens claim, or what a visa asserts, stands for. Never
/// changed: another group is another row, of another id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClaimRow {
    /// What sessions name it by.
    pub id: ClaimId,
    /// The group.
    pub group: PrincipalId,
    /// Since when.
    pub created: Timestamp,
}

/// Where a project's notices are sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WebhookRow {
    /// The receiver's address and the key of signatures, sealed: either may open something.
    pub sealed: Bytes,
    /// The address without its path.
    pub host: String,
    /// Since when.
    pub created: Timestamp,
}

/// A grant whose coming end was told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EndingRow {
    /// The end that was told.
    pub ends: Timestamp,
}

impl RosterKind {
    /// Whether what is taken out of the roster can have given somebody something.
    pub(super) const fn gives(self) -> bool {
        !matches!(self, Self::Push | Self::Ending | Self::Deleted)
    }
}

impl RosterRow {
    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> RosterKind {
        match self {
            Self::Node(_) => RosterKind::Node,
            Self::Job(_) => RosterKind::Job,
            Self::Demand(_) => RosterKind::Demand,
            Self::Source(_) => RosterKind::Source,
            Self::Person(_) => RosterKind::Person,
            Self::Team(_) => RosterKind::Team,
            Self::Alias(_) => RosterKind::Alias,
            Self::Claim(_) => RosterKind::Claim,
            Self::Webhook(_) => RosterKind::Webhook,
            Self::Push(_) => RosterKind::Push,
            Self::Ending(_) => RosterKind::Ending,
            Self::Visa(_) => RosterKind::Visa,
            Self::Deleted(_) => RosterKind::Deleted,
        }
    }

    /// Whether it is a node that is enrolled with this key.
    pub(super) fn is_node_of(&self, key: &[u8; 32]) -> bool {
        matches!(self, Self::Node(node) if node.key == *key)
    }

    /// Whether this row takes away what an earlier one gave. A job that starts gives; what keeps an
    /// older row looks again before it refuses.
    pub(super) const fn narrows(&self) -> bool {
        match self {
            // One who is active again is judged anew too; what claims stand for is kept whole.
            Self::Node(_) | Self::Demand(_) | Self::Person(_) | Self::Claim(_) | Self::Visa(_) => {
                true
            }
            // Looked at by nothing that decides.
            Self::Source(_)
            | Self::Team(_)
            | Self::Alias(_)
            | Self::Webhook(_)
            | Self::Push(_)
            | Self::Ending(_)
            | Self::Deleted(_) => false,
            Self::Job(job) => job.ended.is_some() || job.left > 0,
        }
    }
}
