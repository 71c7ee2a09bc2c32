//! Grants: the rows that owners make. The catalog keeps them, the policy reads them.

use super::demand::Assurance;
use super::held::Place;
use crate::types::{
    Action, DatasetName, GrantId, IpAddr, Network, PartitionName, PrincipalId, ProjectName,
    Timestamp, is_from,
};

/// Whether a grant gives or takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GrantEffect {
    /// It allows what its role allows.
    Allow,
    /// It denies what its role allows, whatever else is granted.
    Deny,
}

/// Who holds which role over what, for what, until when.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Grant {
    /// Its identity.
    pub id: GrantId,
    /// The project, the domain of the policy.
    pub project: ProjectName,
    /// Who holds it: a person, a workload, or a group for its members.
    pub principal: PrincipalId,
    /// The role's name, one that `policies/roles` defines.
    pub role: String,
    /// One dataset, or all of the project.
    pub dataset: Option<DatasetName>,
    /// Only keys that begin so; empty for all.
    pub prefix: String,
    /// Allow or deny.
    pub effect: GrantEffect,
    /// For what (a code such as `ehds:scientific-research`).
    pub purpose: Option<String>,
    /// The permit or approval that it rests on.
    pub permit: Option<String>,
    /// From when.
    pub starts: Timestamp,
    /// Until when; at this moment it is over.
    pub expires: Option<Timestamp>,
    /// Who approved it; of a proposal, who made it.
    pub approver: PrincipalId,
    /// When it was made.
    pub created: Timestamp,
    /// What narrows it further, and whether it is in force.
    pub terms: Terms,
}

/// What a grant says beyond its role and place. The default narrows nothing and is in force.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Terms {
    /// Only this published version of the dataset; `None` for what is current.
    pub version: Option<u32>,
    /// Only these of the role's actions, in order, each once; empty for all.
    pub actions: Vec<Action>,
    /// Only from these networks; empty for anywhere.
    pub networks: Vec<Network>,
    /// Only for jobs on nodes of these partitions; empty for any, and for whoever runs no job
    /// (AZ-12).
    pub partitions: Vec<PartitionName>,
    /// Whether it is in force.
    pub standing: Standing,
    /// Unless a review confirms it before, it lapses at this moment (AZ-9). Never so of a denial.
    pub lapses: Option<Timestamp>,
    /// Who asked for it.
    pub proposer: Option<PrincipalId>,
}

/// Whether a grant is in force.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Standing {
    /// It was approved.
    #[default]
    Approved,
    /// It waits for an owner's approval and gives nothing (AZ-3).
    Proposed,
}

/// What a request brings beside its question.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Circumstances<'a> {
    /// The peer's address, where there is one.
    pub client: Option<IpAddr>,
    /// The one purpose that the caller's credential is for; `None` for any.
    pub purpose: Option<&'a str>,
    /// The published version that is asked for; `None` for what is current.
    pub version: Option<u32>,
    /// The only place that the caller's credential is for.
    pub within: Option<Within<'a>>,
    /// How well the caller is known.
    pub assurance: Assurance<'a>,
    /// On which nodes it is asked.
    pub ground: Ground<'a>,
}

/// On which compute nodes something is asked, as far as an enrolled node vouches for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Ground<'a> {
    /// On none that is in a partition.
    #[default]
    Elsewhere,
    /// On one of this partition.
    In(&'a PartitionName),
    /// For a job that nobody has placed yet: what it reads is decided again where it runs.
    Unplaced,
}

/// How far a credential reaches, whatever its owner may.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Within<'a> {
    /// The only project.
    pub project: Option<&'a ProjectName>,
    /// The only dataset of it.
    pub dataset: Option<&'a DatasetName>,
    /// The only version of that.
    pub version: Option<u32>,
    /// What all keys begin with that it is for; empty for all keys.
    pub prefix: &'a str,
    /// Whether it is for reading alone.
    pub only_reads: bool,
    /// The only networks that it is used from; empty for any.
    pub networks: &'a [Network],
}

impl Within<'_> {
    /// Whether a credential that reaches so far is for this place at all, in the same sense as a
    /// grant over it would be.
    pub(super) fn admits(&self, place: &Place<'_>) -> bool {
        let Self {
            project,
            dataset,
            version,
            prefix,
            only_reads,
            networks,
        } = self;
        project.is_none_or(|only| place.project == only.as_str())
            && dataset.is_none_or(|only| place.dataset == only.as_str())
            && (version.is_none() || place.when.version == *version)
            && place.is_within(prefix, false)
            && (!only_reads || place.action.only_reads())
            && is_from(networks, place.when.client)
    }
}

impl Grant {
    /// The moment at which it is over: its end or its lapse, whichever comes first.
    #[must_use]
    pub fn ends(&self) -> Option<Timestamp> {
        let lapses = match self.effect {
            GrantEffect::Allow => self.terms.lapses,
            GrantEffect::Deny => None,
        };
        match (self.expires, lapses) {
            (Some(end), Some(lapse)) => Some(end.min(lapse)),
            (end, lapse) => end.or(lapse),
        }
    }
}

impl Terms {
    /// What keeps a grant on these terms from allowing (or denying) `action` in these
    /// circumstances. Where it is unknown whence a request comes, what denies by network or
    /// partition denies, and what allows does not.
    pub(super) fn exclude(
        &self,
        (action, denies): (Action, bool),
        when: &Circumstances<'_>,
    ) -> Option<Excluded> {
        let from = match when.client {
            _ if self.networks.is_empty() => true,
            Some(client) => self.networks.iter().any(|net| net.contains(client)),
            None => denies,
        };
        if !from {
            return Some(Excluded::Network);
        }
        if !is_there(&self.partitions, when.ground, denies) {
            return Some(Excluded::Partition);
        }
        if !self.actions.is_empty() && !self.actions.contains(&action) {
            return Some(Excluded::Action);
        }
        let other = self
            .version
            .is_some_and(|version| when.version != Some(version));
        other.then_some(Excluded::Version)
    }
}

/// Whether what names these partitions covers what is asked on this ground.
pub(super) fn is_there(partitions: &[PartitionName], ground: Ground<'_>, denies: bool) -> bool {
    match ground {
        _ if partitions.is_empty() => true,
        Ground::In(partition) => partitions.contains(partition),
        Ground::Unplaced => !denies,
        Ground::Elsewhere => denies,
    }
}

/// Which term excludes a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Excluded {
    Network,
    Partition,
    Action,
    Version,
}
