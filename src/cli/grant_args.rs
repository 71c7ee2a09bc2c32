//! The arguments of `kluis grant` and `kluis group`, without logic.

use clap::{Args, Subcommand};

use super::values;
use super::way::Signed;
use crate::types::{
    Action, DatasetName, GrantId, Network, PartitionName, PrincipalId, ProjectName, Timestamp,
};

/// Commands on grants.
#[derive(Debug, Subcommand)]
pub enum GrantCommand {
    /// Make a grant, or propose one for an owner to approve
    ///
    /// Over the network who signs approves it, with `--propose` proposes it: she must manage grants
    /// over all that it covers, and on a terminal she sees what it is before it is made. On the
    /// vault's host `--proposer` names who asks; `--approver` names who approves only where the
    /// configuration says `policy.host_approves = true`.
    #[command(
        after_long_help = "Example:\n  kluis grant create icu-sepsis --to train-job --role job --dataset ecg-2024 \\\n    --purpose ehds:scientific-research --permit HDAB-NL-2026-0417 \\\n    --expires 2027-12-31 --credentials a.jansen.env\n  kluis grant create icu-sepsis --to b.devries --role reader \\\n    --dataset ecg-2024 --network 10.12.0.0/16 \\\n    --purpose ehds:scientific-research --permit HDAB-NL-2026-0417 \\\n    --expires 2027-12-31 --propose --credentials b.devries.env"
    )]
    Create(Box<GrantArgs>),
    /// List a project's grants and proposals: what stands behind each, and whether it is in force
    ///
    /// `in force`; `proposed` waits for an owner; `not yet` begins later; `ended` is over; `lapsed`
    /// was not confirmed by a review. What was withdrawn is in the log alone (`kluis-audit query`).
    /// Over the network: all to whoever manages grants of the project, to others their own.
    /// `--json` tells all of each, as `kluis grant show` does of one.
    #[command(
        after_long_help = "Example:\n  kluis grant list icu-sepsis --json\n  kluis grant list icu-sepsis --credentials a.jansen.env"
    )]
    List {
        /// The project
        project: ProjectName,
        /// Show purpose, permit, approver, narrowings and times, too: some 230 columns
        #[arg(long)]
        wide: bool,
    },
    /// Show all of one grant
    #[command(
        after_long_help = "Example:\n  kluis grant show icu-sepsis 0123456789abcdef0123456789abcdef"
    )]
    Show(GrantPlace),
    /// Approve a proposed grant: it is in force from then on
    ///
    /// Over the network, on a terminal, it shows first what the grant is, and asks.
    #[command(
        after_long_help = "Example:\n  kluis grant approve icu-sepsis 0123456789abcdef0123456789abcdef \\\n    --credentials a.jansen.env"
    )]
    Approve {
        /// Which.
        #[command(flatten)]
        place: GrantPlace,
        /// On the vault's host: who approves it
        #[arg(long, value_name = "PERSON")]
        approver: Option<PrincipalId>,
        /// Do not ask over the network
        #[arg(long)]
        yes: bool,
    },
    /// Withdraw a grant or a proposal
    ///
    /// New requests are refused within a second, running transfers are cut within a minute.
    #[command(
        after_long_help = "Example:\n  kluis grant withdraw icu-sepsis 0123456789abcdef0123456789abcdef"
    )]
    Withdraw {
        /// Which.
        #[command(flatten)]
        place: GrantPlace,
        /// On the vault's host: on whose word; needed for a grant that denies
        #[arg(long, value_name = "PERSON")]
        approver: Option<PrincipalId>,
    },
    /// Review a project's grants: when each was last used and when it lapses; confirm some
    #[command(
        after_long_help = "Example:\n  kluis grant review icu-sepsis\n  kluis grant review icu-sepsis --confirm 0123456789abcdef0123456789abcdef \\\n    --credentials a.jansen.env"
    )]
    Review {
        /// The project
        project: ProjectName,
        /// Confirm that this grant is still needed; may be repeated
        #[arg(long, value_name = "GRANT")]
        confirm: Vec<GrantId>,
        /// On the vault's host: who confirms it
        #[arg(long, value_name = "PERSON", requires = "confirm")]
        approver: Option<PrincipalId>,
    },
}

/// One grant.
#[derive(Debug, Args)]
pub struct GrantPlace {
    /// The project
    pub project: ProjectName,
    /// The grant, as `list` shows it
    pub grant: GrantId,
}

impl GrantPlace {
    pub(super) const fn both(&self) -> (&ProjectName, GrantId) {
        (&self.project, self.grant)
    }
}

/// Arguments of `grant create`.
#[derive(Debug, Args)]
pub struct GrantArgs {
    /// The project
    pub project: ProjectName,
    /// Who is to hold it: a person, a workload or a group
    #[arg(long, value_name = "PRINCIPAL")]
    pub to: PrincipalId,
    /// The role, as the policy has it: owner, contributor, depositor, reader, job, exporter,
    /// auditor, operator, officer, responder, lock-breaker
    #[arg(long, value_name = "ROLE")]
    pub role: String,
    /// On the vault's host: who approves it
    #[arg(long, value_name = "PERSON")]
    pub approver: Option<PrincipalId>,
    /// On the vault's host: who asks for it, for an owner to approve
    #[arg(long, value_name = "PERSON", conflicts_with = "approver")]
    pub proposer: Option<PrincipalId>,
    /// Over the network: only ask for it, for an owner to approve
    #[arg(long, conflicts_with_all = ["approver", "proposer"])]
    pub propose: bool,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    /// Deny what the role allows, whatever else is granted
    #[arg(long)]
    pub deny: bool,
    /// One dataset [default: all of the project]
    #[arg(long, value_name = "DATASET", help_heading = "What it covers")]
    #[arg(value_parser = values::in_project)]
    pub dataset: Option<DatasetName>,
    /// Only this published version of the dataset [default: what is current, and all versions]
    #[arg(
        long,
        value_name = "NUMBER",
        requires = "dataset",
        help_heading = "What it covers"
    )]
    pub version: Option<u32>,
    /// Only keys that begin so
    #[arg(long, value_name = "PREFIX", default_value = "", requires = "dataset")]
    #[arg(help_heading = "What it covers")]
    pub prefix: String,
    /// Only this of the role's actions; may be repeated [default: all of them]
    #[arg(long, value_name = "ACTION", help_heading = "What it covers")]
    pub action: Vec<Action>,
    /// Only from this network, as 10.12.0.0/16; may be repeated [default: from anywhere]
    #[arg(long, value_name = "NETWORK", help_heading = "What it covers")]
    pub network: Vec<Network>,
    /// Only for jobs on nodes of this partition; may be repeated [default: wherever]
    #[arg(long, value_name = "PARTITION", help_heading = "What it covers")]
    pub partition: Vec<PartitionName>,
    /// From when: 2027-01-01 or 2027-01-01T12:00:00Z [default: now]
    #[arg(long, value_name = "TIME", value_parser = values::time, help_heading = "What it covers")]
    pub starts: Option<Timestamp>,
    /// Until when; at this moment it is over. Needed, like purpose and permit, unless it denies or
    /// its role is an owner's
    #[arg(long, value_name = "TIME", value_parser = values::time, help_heading = "What it covers")]
    pub expires: Option<Timestamp>,
    /// For what, as a code: ehds:scientific-research
    #[arg(long, value_name = "CODE", help_heading = "What it rests on")]
    pub purpose: Option<String>,
    /// The permit or approval
    #[arg(long, value_name = "REFERENCE", help_heading = "What it rests on")]
    pub permit: Option<String>,
}

/// Commands on groups.
#[derive(Debug, Subcommand)]
pub enum GroupCommand {
    /// Make a group
    #[command(after_long_help = "Example:\n  kluis group create radiology")]
    Create {
        /// Its name: 1 to 128 of a-z, 0-9 and . _ @ -
        name: PrincipalId,
    },
    /// Show a group's members
    ///
    /// Over the network: of a group that holds a grant in the project or is proposed for one, to
    /// whoever manages that grant.
    #[command(
        after_long_help = "Example:\n  kluis group show radiology\n  kluis group show radiology --project icu-sepsis --credentials a.jansen.env"
    )]
    Show {
        /// The group
        name: PrincipalId,
        /// Over the network: the project in which it is granted something
        #[arg(long, value_name = "PROJECT")]
        project: Option<ProjectName>,
        /// Who signs.
        #[command(flatten)]
        signed: Signed,
    },
    /// List the groups, with how many members each has
    #[command(after_long_help = "Example:\n  kluis group list")]
    List,
    /// Make a person or workload a member
    #[command(after_long_help = "Example:\n  kluis group add radiology b.devries")]
    Add {
        /// The group
        name: PrincipalId,
        /// The member
        member: PrincipalId,
    },
    /// Take a member out
    #[command(after_long_help = "Example:\n  kluis group remove radiology b.devries")]
    Remove {
        /// The group
        name: PrincipalId,
        /// The member
        member: PrincipalId,
    },
    /// Let what an issuer's tokens claim stand for a group
    ///
    /// Whoever signs in with such a token is a member for that session, an hour at most, and no
    /// longer. The issuers' file says which claim it is (`groups = "groups"`); it is compared byte
    /// by byte. Jobs and acts of two persons do not rest on it.
    #[command(
        after_long_help = "Example:\n  kluis group map radiology --issuer sram --claim urn:mace:umc:radiology"
    )]
    Map {
        /// The group
        name: PrincipalId,
        /// What is claimed
        #[command(flatten)]
        claimed: ClaimedArgs,
    },
    /// Remove a claim's group; sessions lose what rests on it within a minute
    #[command(
        after_long_help = "Example:\n  kluis group unmap --issuer sram --claim urn:mace:umc:radiology"
    )]
    Unmap {
        /// What is claimed
        #[command(flatten)]
        claimed: ClaimedArgs,
    },
    /// List what stands for groups
    #[command(after_long_help = "Example:\n  kluis group claims")]
    Claims,
    /// Let what an issuer's visas assert stand for a group (GA4GH passports)
    ///
    /// Whoever signs in with a token that brings such a visa of hers is a member for that session,
    /// which ends before the visa does. All that is said is compared byte by byte; what is left out
    /// may be anything. Jobs and acts of two persons do not rest on it.
    #[command(
        after_long_help = "Example:\n  kluis group map-visa cardio --issuer ega --type ControlledAccessGrants \\\n    --value https://ega-archive.org/datasets/EGAD00000000432 --by dac"
    )]
    MapVisa {
        /// The group
        name: PrincipalId,
        /// What is asserted
        #[command(flatten)]
        asserted: AssertedArgs,
    },
    /// Remove a visa's group; sessions lose what rests on it within a minute
    #[command(
        after_long_help = "Example:\n  kluis group unmap-visa --issuer ega --type ControlledAccessGrants \\\n    --value https://ega-archive.org/datasets/EGAD00000000432 --by dac"
    )]
    UnmapVisa {
        /// What is asserted
        #[command(flatten)]
        asserted: AssertedArgs,
    },
    /// List what of visas stands for groups, with the ids that records of sign-ins name
    #[command(after_long_help = "Example:\n  kluis group visas")]
    Visas,
}

/// What visas assert.
#[derive(Debug, Args)]
pub struct AssertedArgs {
    /// The visas' issuer, as the issuers' file names it
    #[arg(long, value_name = "ISSUER")]
    pub issuer: String,
    /// Their type: `AffiliationAndRole`, `AcceptedTermsAndPolicies`, `ResearcherStatus`,
    /// `ControlledAccessGrants`, or a custom one's URL
    #[arg(long = "type", value_name = "TYPE")]
    pub kind: String,
    /// What they assert, as it is written
    #[arg(long, value_name = "TEXT")]
    pub value: String,
    /// Which organisation asserts it; any if not said
    #[arg(long, value_name = "URL")]
    pub source: Option<String>,
    /// On whose authority: self, peer, system, so or dac; any if not said
    #[arg(long, value_name = "AUTHORITY")]
    pub by: Option<String>,
}

/// What tokens claim.
#[derive(Debug, Args)]
pub struct ClaimedArgs {
    /// The issuer, as the issuers' file names it
    #[arg(long, value_name = "ISSUER")]
    pub issuer: String,
    /// What its tokens claim, as it is written
    #[arg(long, value_name = "TEXT")]
    pub claim: String,
}
