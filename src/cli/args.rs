//! The arguments of `kluis`, without logic: completions and manual pages are made from them.
//!
//! No argument takes a secret: an argument can be read by every process of the machine.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueHint};
use clap_complete::Shell;

use super::approval_args::ApprovalCommand;
pub use super::audit_args::AuditCommand;
use super::credential_args::CredentialCommand;
#[cfg(feature = "mount")]
pub use super::dataset_args::Mount;
pub use super::dataset_args::{DatasetCommand, Remote};
use super::grant_args::{GrantCommand, GroupCommand};
pub use super::init_args::{Demo, Init, StoreArgs};
use super::job_args::{JobCommand, NodeCommand};
use super::key_args::{Drill, KeyCommand};
use super::login_args::{Kept, Login, Whoami};
use super::project_args::{DefaultsArgs, DemandArgs, LogArgs};
use super::recover_args::Recover;
use super::remote::Caller;
use super::root_args::Unseal;
use super::scim_args::ScimCommand;
use super::values;
use super::way::{CONFIG, Signed};
use super::webhook::WebhookCommand;
use crate::types::{
    Action, BucketName, Label, ObjectKey, PartitionName, PrincipalId, ProjectName, Timestamp,
};

const AFTER: &str = "\
Exit codes:
  0  done
  1  no: denied, absent, not valid or not proved
  2  an error of use or configuration
  3  unavailable: try again

Secrets are read from files or from the environment (docs/configuration.md), never from arguments.

Example:
  kluis demo
  kluis init --dir /srv/kluis --project icu-sepsis --owner a.jansen
  kluis serve --config /srv/kluis/kluis.toml";

/// The vault that proves who read what
///
/// Kluis speaks S3 to its clients and keeps what they upload sealed, under random names, in any
/// S3-compatible store or a directory. Every request is decided by the project's policy, and no
/// byte is handed out before the record of that read is durable.
#[derive(Debug, Parser)]
#[command(name = "kluis", version, after_long_help = AFTER, max_term_width = 100)]
#[command(arg_required_else_help = true, infer_subcommands = false)]
pub struct Cli {
    /// The configuration file
    #[arg(long, global = true, value_name = "PATH", default_value = CONFIG)]
    #[arg(value_hint = ValueHint::FilePath, help_heading = "Global options")]
    pub config: PathBuf,
    /// Print data as JSON, one object a line: numbers are numbers, what is not there is null
    #[arg(long, global = true, help_heading = "Global options")]
    pub json: bool,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a vault: configuration, root identity, catalog
    ///
    /// Asks for directory and passphrase, where no option says them, when it runs on a terminal.
    /// Nothing that is there already is overwritten.
    #[command(
        after_long_help = "Example:\n  kluis init --dir /srv/kluis --project icu-sepsis --owner a.jansen\n  kluis init --dir . --store s3://kluis-blobs \\\n    --store-endpoint https://s3.example.org"
    )]
    Init(Init),
    /// Serve the vault until a signal
    ///
    /// The first SIGINT or SIGTERM lets running streams finish (`server.shutdown_wait`), the second
    /// ends at once.
    #[command(after_long_help = "Example:\n  kluis serve --config /srv/kluis/kluis.toml")]
    Serve,
    /// Hand a custodian's share over to a vault that waits sealed
    ///
    /// Where custodians keep the root, `kluis serve` and commands that need the keys wait until
    /// enough of them came, each on this machine with her own share. Without a share it says how
    /// far they are. A share is refused by name when it is not what its custodian was given.
    #[command(
        after_long_help = "A share may be opened elsewhere, so that no identity comes to this machine:\n  age -d -i me.txt ana.share | ssh vault kluis unseal --share -\n\nExample:\n  kluis unseal\n  kluis unseal --share ana.share --identity me.txt"
    )]
    Unseal(Unseal),
    /// Show a whole vault at work on this machine
    ///
    /// Makes a vault in a directory, a project with an owner, a job and an auditor, uploads a small
    /// dataset, reads it as the job, is refused as a stranger, shows the records and stays up.
    /// Started again on the same directory it goes on where it was.
    #[command(
        after_long_help = "Example:\n  kluis demo\n  kluis demo --dir /tmp/vault --listen 127.0.0.1:9100 --headless\n  kluis demo --headless --store s3://blobs \\\n    --store-endpoint http://127.0.0.1:8333"
    )]
    Demo(Demo),
    /// Projects, and who may do what in them
    #[command(after_long_help = "Example:\n  kluis project list")]
    Project {
        /// What to do with projects
        #[command(subcommand)]
        command: ProjectCommand,
    },
    /// Grants: who may do what, for which purpose, on which permit, until when
    ///
    /// A data owner works from any machine, signed with her own credential; on the vault's host the
    /// operator sees them, proposes, and withdraws what allows.
    #[command(after_long_help = "Example:\n  kluis grant list icu-sepsis")]
    Grant {
        /// Who signs.
        #[command(flatten)]
        signed: Signed,
        /// What to do with grants
        #[command(subcommand)]
        command: GrantCommand,
    },
    /// Datasets: make, list, show, delete
    #[command(after_long_help = "Example:\n  kluis dataset list --project icu-sepsis")]
    Dataset {
        /// Who signs.
        #[command(flatten)]
        signed: Signed,
        /// What to do with datasets
        #[command(subcommand)]
        command: DatasetCommand,
    },
    /// Show a published version as a read-only directory
    ///
    /// Runs until a signal or until it is unmounted. Names and sizes come from the version's signed
    /// manifest, contents as sealed bytes that are opened here. The credential comes from a file as
    /// `kluis credential create --output` writes it, read again when it changes, from the session
    /// of `kluis login`, or from the environment (`AWS_ENDPOINT_URL`, `AWS_ACCESS_KEY_ID`,
    /// `AWS_SECRET_ACCESS_KEY`). File and environment may name a service account's token in the
    /// key's place (`AWS_WEB_IDENTITY_TOKEN_FILE`, `AWS_ROLE_ARN`), which is exchanged for short
    /// sessions.
    #[cfg(feature = "mount")]
    #[command(
        after_long_help = "Example:\n  kluis mount icu-sepsis/ecg-2024@3 /data/ecg --credentials job.env"
    )]
    Mount(Mount),
    /// Persons, and workloads that act for them
    #[command(after_long_help = "Example:\n  kluis principal list")]
    Principal {
        /// What to do with principals
        #[command(subcommand)]
        command: PrincipalCommand,
    },
    /// Groups of principals, who hold what the group is granted
    #[command(after_long_help = "Example:\n  kluis group show radiology")]
    Group {
        /// What to do with groups
        #[command(subcommand)]
        command: GroupCommand,
    },
    /// Organisations that tell who their people are (SCIM)
    #[command(after_long_help = "Example:\n  kluis scim list")]
    Scim {
        /// What to do with organisations
        #[command(subcommand)]
        command: ScimCommand,
    },
    /// Acts that take two persons: ask, approve, refuse
    ///
    /// Lowering a label, break-glass, destroying keys, shortening the log. One person asks for
    /// exactly one act, another one approves it within 72 hours, and it is done once within 24.
    /// Both sign with their own credentials, from wherever they are; nobody can on the host by
    /// naming them.
    #[command(after_long_help = "Example:\n  kluis approval list icu-sepsis --credentials ana.env")]
    Approval {
        /// What to do with acts
        #[command(subcommand)]
        command: ApprovalCommand,
    },
    /// What you were told of your datasets: break-glass, their end, ends of grants on them
    #[command(after_long_help = "Example:\n  kluis notices --credentials ana.env")]
    Notices {
        /// Who asks
        #[command(flatten)]
        caller: Caller,
        /// Older ones too [default: the newest 1,000]
        #[arg(long)]
        all: bool,
    },
    /// Where projects have notices sent, signed
    #[command(after_long_help = "Example:\n  kluis webhook list")]
    Webhook {
        /// What to do with receivers
        #[command(subcommand)]
        command: WebhookCommand,
    },
    /// S3 credentials
    #[command(after_long_help = "Example:\n  kluis credential list a.jansen")]
    Credential {
        /// What to do with credentials
        #[command(subcommand)]
        command: CredentialCommand,
    },
    /// Sign in with an OpenID provider, for an hour at most
    ///
    /// By the browser on this machine (authorization code with PKCE), or with `--device` by one
    /// elsewhere. The session is kept in a file that nobody else can read; no password and no token
    /// of the provider is. Once signed in, `kluis login` alone does it again.
    #[command(
        after_long_help = "A shell takes the session by eval; AWS tools by a line in ~/.aws/config:\n  credential_process = kluis login --process\n\nExample:\n  kluis login --issuer https://id.example.org --client-id kluis \\\n    --endpoint https://s3.example.org\n  kluis login --device\n  kluis login --env"
    )]
    Login(Login),
    /// Forget the session that `kluis login` kept
    #[command(after_long_help = "Example:\n  kluis logout")]
    Logout(Kept),
    /// Say whom the gateway takes you for
    ///
    /// By the credential that is named, else by the session of `kluis login`, else by the
    /// environment.
    #[command(after_long_help = "Example:\n  kluis whoami\n  kluis whoami --credentials job.env")]
    Whoami(Whoami),
    /// Jobs of a scheduler that read in your name
    #[command(after_long_help = "Example:\n  kluis job list --credentials me.env")]
    Job {
        /// What to do with jobs
        #[command(subcommand)]
        command: JobCommand,
    },
    /// Compute nodes, whose keys vouch for the jobs on them
    #[command(after_long_help = "Example:\n  kluis node list")]
    Node {
        /// What to do with nodes
        #[command(subcommand)]
        command: NodeCommand,
    },
    /// Keys: inventory, rotation, copies, certificates of erasure
    #[command(after_long_help = "Example:\n  kluis key inventory")]
    Key {
        /// What to do with keys
        #[command(subcommand)]
        command: KeyCommand,
    },
    /// The rules of access: check, test, explain
    #[command(after_long_help = "Example:\n  kluis policy check")]
    Policy {
        /// What to do with the policy
        #[command(subcommand)]
        command: PolicyCommand,
    },
    /// The log of requests
    #[command(after_long_help = "Example:\n  kluis audit tail --project icu-sepsis")]
    Audit {
        /// Who signs.
        #[command(flatten)]
        signed: Signed,
        /// What to do with the log
        #[command(subcommand)]
        command: AuditCommand,
    },
    /// What the configuration says, and what is wrong with it
    #[command(after_long_help = "Example:\n  kluis config check")]
    Config {
        /// What to do with the configuration
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Rebuild a lost catalog from the store and the keys
    ///
    /// Says how fresh the result is and what cannot be proved. The catalog that the configuration
    /// names must not exist. Exit 1 says that something is missing; the result is put in place all
    /// the same. While it is in doubt, the gateway serves it and sweeps nothing.
    #[command(
        after_long_help = "Example:\n  kluis recover --dry-run\n  kluis recover\n  \
        kluis recover --accept\n  kluis recover --adopt"
    )]
    Recover(Recover),
    /// Restore catalog and keys elsewhere, open every byte, and say how long that took
    ///
    /// The gateway serves on. RPO is what would have been lost, RTO how long it took.
    #[command(after_long_help = "Example:\n  kluis drill --into /tmp/drill")]
    Drill(Drill),
    /// Check store, catalog, keys, clock, disk and policy, and say how to mend what is wrong
    #[command(after_long_help = "Example:\n  kluis doctor\n  kluis doctor --json")]
    Doctor,
    /// Print a shell's completion script
    #[command(after_long_help = "Example:\n  kluis completions bash")]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page, or write one for each command
    #[command(
        after_long_help = "Example:\n  kluis man\n  kluis man --dir /usr/local/share/man/man1"
    )]
    Man {
        /// Write all pages into this directory
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        dir: Option<PathBuf>,
    },
}

/// Commands on projects.
#[derive(Debug, Subcommand)]
pub enum ProjectCommand {
    /// Make a project with its first owner
    #[command(after_long_help = "Example:\n  kluis project create icu-sepsis --owner a.jansen")]
    Create {
        /// Its name: 1 to 30 of a-z, 0-9 and single hyphens inside
        name: ProjectName,
        /// The person who decides who may use its data; made if new, and said so
        #[arg(long, value_name = "PERSON")]
        owner: PrincipalId,
        /// Make the person though a name like that is known
        #[arg(long)]
        new_owner: bool,
    },
    /// Say what a project's datasets are that say nothing themselves
    ///
    /// A dataset takes no data before its owner, label, source, legal basis and end are set. With
    /// defaults, one that is made by S3's `CreateBucket` has them from its first moment, its maker
    /// being its owner; those that nobody described get them now.
    #[command(
        after_long_help = "Example:\n  kluis project defaults icu-sepsis --label internal --source icu-monitors \\\n    --basis consent-protocol-12 --days 3650 --credentials a.jansen.env"
    )]
    Defaults(DefaultsArgs),
    /// List projects
    #[command(after_long_help = "Example:\n  kluis project list --json")]
    List,
    /// Show or say what a project demands of how people sign in
    ///
    /// Who holds a right and signed in with less is refused with the reason `AssuranceTooLow`; so
    /// is a lasting credential, which knows of no sign-in. What is said takes the place of all that
    /// was demanded; without an option it is shown.
    #[command(
        after_long_help = "Example:\n  kluis project demand icu-sepsis --acr https://refeds.org/profile/mfa\n  kluis project demand icu-sepsis --amr mfa --log-only\n  kluis project demand icu-sepsis\n  kluis project demand icu-sepsis --nothing"
    )]
    Demand(DemandArgs),
    /// Show or change how a project's records are kept in the log, and shown
    ///
    /// Records are kept for five years where nothing else is said. A change holds for those that
    /// are there too. Nobody makes them expire earlier by himself: that takes two persons, who
    /// agree on it by `kluis approval ask log.shorten`.
    #[command(
        after_long_help = "Example:\n  kluis project log icu-sepsis --days 3653 --pseudonyms on\n  kluis project log icu-sepsis --credentials a.jansen.env"
    )]
    Log(LogArgs),
    /// Show a project: its datasets and grants
    #[command(after_long_help = "Example:\n  kluis project show icu-sepsis")]
    Show {
        /// Its name
        name: ProjectName,
    },
}

/// Commands on principals.
#[derive(Debug, Subcommand)]
pub enum PrincipalCommand {
    /// Make a person, or a workload that acts for one
    #[command(
        after_long_help = "Example:\n  kluis principal create b.devries\n  kluis principal create train-job --acts-for b.devries"
    )]
    Create {
        /// The name: 1 to 128 of a-z, 0-9 and . _ @ -
        name: PrincipalId,
        /// The person that a workload acts for [default: a person]
        #[arg(long, value_name = "PERSON")]
        acts_for: Option<PrincipalId>,
    },
    /// List principals
    #[command(after_long_help = "Example:\n  kluis principal list")]
    List,
    /// Suspend a principal: it may do nothing, whatever it holds, nor may what acts for it
    #[command(after_long_help = "Example:\n  kluis principal suspend b.devries")]
    Suspend {
        /// Its name
        name: PrincipalId,
    },
    /// Clear a principal for a label and all below it
    ///
    /// Nobody does anything with a dataset above her clearance, whatever is granted; a workload is
    /// never cleared for more than its person. It is in force within a second.
    #[command(after_long_help = "Example:\n  kluis principal clear b.devries --for confidential")]
    Clear {
        /// Its name
        name: PrincipalId,
        /// The label [default: `labels.clearance` of the configuration]
        #[arg(long = "for", value_name = "LABEL")]
        label: Option<Label>,
    },
    /// Link an issuer's subject to a principal, so that its tokens become sessions
    #[command(
        after_long_help = "Example:\n  kluis principal link train-job --issuer k8s \\\n    --subject system:serviceaccount:icu:train"
    )]
    Link {
        /// Whom it is
        name: PrincipalId,
        /// The issuer, as the issuers' file names it
        #[arg(long, value_name = "ISSUER")]
        issuer: String,
        /// The subject in the issuer's words, compared as it is
        #[arg(long, value_name = "SUBJECT")]
        subject: String,
    },
    /// Let an organisation tell of a person who was made here (SCIM)
    ///
    /// From then on it finds her under her user name, may set her inactive, end her and put her
    /// into its groups; what she was granted stays hers. Where it links people at an issuer she
    /// signs in there as the subject that these names say, which the organisation cannot change.
    /// Refused where an organisation tells of her already, or a name or the subject is somebody
    /// else's.
    #[command(
        after_long_help = "Example:\n  kluis principal adopt a.jansen --organisation sram \\\n    --user-name a.jansen@umc.example --external-id 8f2c41d0"
    )]
    Adopt {
        /// Whom it is to tell of
        name: PrincipalId,
        /// The organisation, as `kluis scim list` names it
        #[arg(long, value_name = "NAME")]
        organisation: ProjectName,
        /// Her user name there
        #[arg(long, value_name = "NAME")]
        user_name: String,
        /// What its own system calls her
        #[arg(long, value_name = "ID")]
        external_id: Option<String>,
    },
    /// Remove a subject's link and end its sessions
    #[command(
        after_long_help = "Example:\n  kluis principal unlink --issuer k8s --subject system:serviceaccount:icu:train"
    )]
    Unlink {
        /// The issuer
        #[arg(long, value_name = "ISSUER")]
        issuer: String,
        /// The subject
        #[arg(long, value_name = "SUBJECT")]
        subject: String,
    },
    /// List the subjects that a principal is linked to
    #[command(after_long_help = "Example:\n  kluis principal links train-job")]
    Links {
        /// Its name
        name: PrincipalId,
    },
    /// End a principal's suspension
    #[command(after_long_help = "Example:\n  kluis principal resume b.devries")]
    Resume {
        /// Its name
        name: PrincipalId,
    },
}

/// Commands on the policy.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Check model and roles
    #[command(after_long_help = "Example:\n  kluis policy check\n  kluis policy check policies/")]
    Check {
        /// The policy's directory [default: that of the configuration]
        #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
        dir: Option<PathBuf>,
    },
    /// Run tables of expectations
    #[command(
        after_long_help = "Example:\n  kluis policy test --dir policies/examples/health \\\n    policies/examples/health/expectations.toml"
    )]
    Test {
        /// Files of expectations
        #[arg(required = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
        files: Vec<PathBuf>,
        /// The policy's directory [default: that of the configuration]
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        dir: Option<PathBuf>,
    },
    /// Say why a request would be allowed or denied
    #[command(
        after_long_help = "Example:\n  kluis policy explain --principal train-job --action object.read \\\n    --dataset icu-sepsis/ecg-2024 --key a.csv"
    )]
    Explain {
        /// Who asks
        #[arg(long, value_name = "PRINCIPAL")]
        principal: PrincipalId,
        /// What is asked: object.read, object.write, object.list, …
        #[arg(long, value_name = "ACTION")]
        action: Action,
        /// Of which dataset, as project/dataset
        #[arg(long, value_name = "PROJECT/DATASET", value_parser = values::dataset)]
        #[arg(required_unless_present = "project")]
        dataset: Option<BucketName>,
        /// Of a project as a whole: for log.read, grant.manage
        #[arg(long, value_name = "NAME", conflicts_with = "dataset")]
        project: Option<ProjectName>,
        /// Of which object
        #[arg(long, value_name = "KEY", requires = "dataset")]
        key: Option<ObjectKey>,
        /// At which time: 2027-01-01 or 2027-01-01T12:00:00Z [default: now]
        #[arg(long, value_name = "TIME", value_parser = values::time)]
        at: Option<Timestamp>,
        /// From which address
        #[arg(long, value_name = "ADDRESS")]
        from: Option<std::net::IpAddr>,
        /// In a job on a node of which partition
        #[arg(long, value_name = "PARTITION")]
        partition: Option<PartitionName>,
        /// With a credential that is for one purpose
        #[arg(long, value_name = "CODE")]
        purpose: Option<String>,
        /// In a session that is in this group by what it claims or by a visa; may be repeated
        #[arg(long, value_name = "GROUP")]
        claimed: Vec<PrincipalId>,
    },
}

/// Commands on the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Say what is wrong with the file; print every setting where nothing is
    #[command(after_long_help = "Example:\n  kluis config check --config /srv/kluis/kluis.toml")]
    Check,
    /// Print every setting as Kluis understands it
    #[command(
        after_long_help = "Example:\n  kluis config show --changed\n  kluis config show --json"
    )]
    Show {
        /// Only what differs from the defaults
        #[arg(long)]
        changed: bool,
    },
}

#[cfg(test)]
#[path = "args_tests.rs"]
mod tests;
