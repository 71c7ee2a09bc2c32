//! The arguments of `kluis-audit`, without logic.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueHint};

use super::args_of_proof::{ProveCommand, PseudonymCommand, VerifyErasure, VerifyRecord};
use crate::cli::values;
#[cfg(feature = "sql")]
use crate::ledger::Outcome;
use crate::ledger::export::Form;
#[cfg(feature = "sql")]
use crate::types::{Action, GrantId, ObjectKey};
use crate::types::{DatasetName, EventId, PrincipalId, ProjectName, Timestamp};

const AFTER: &str = "\
Exit codes:
  0  done; the evidence holds
  1  no: the evidence does not hold, denied, absent
  2  an error of use or configuration
  3  unavailable: try again

Example:
  kluis-audit key > log.vkey
  kluis-audit bundle --project icu --auditor t.visser --out icu-audit
  kluis-audit verify icu-audit --log log.vkey --kept seen/";

/// Evidence of Kluis's log: handed out on the vault's host, checked anywhere
#[derive(Debug, Parser)]
#[command(name = "kluis-audit", version, after_long_help = AFTER, max_term_width = 100)]
#[command(arg_required_else_help = true, infer_subcommands = false)]
pub(super) struct Cli {
    /// The vault's configuration file, for what is done on its host
    #[arg(long, global = true, value_name = "PATH", default_value = "kluis.toml")]
    #[arg(value_hint = ValueHint::FilePath, help_heading = "Global options")]
    pub(super) config: PathBuf,
    /// Print data as JSON, one object a line: numbers are numbers, what is not there is null
    #[arg(long, global = true, help_heading = "Global options")]
    pub(super) json: bool,
    /// What to do
    #[command(subcommand)]
    pub(super) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Check a bundle, or a copy of a log's directory; needs neither the vault nor a network
    Verify(Verify),
    /// Check a certificate of erasure; needs neither the vault nor a network
    ///
    /// The certificate alone shows what the log's key has signed. With a bundle it is also shown
    /// that the log has a record of it.
    #[command(
        after_long_help = "Example:\n  kluis-audit verify-erasure certificate.txt --log log.vkey --bundle bundle/\n  kluis-audit verify-erasure certificate.txt --log log.vkey \\\n    --dataset icu-sepsis/ecg-2024 --what object=patients/7.dcm"
    )]
    VerifyErasure(VerifyErasure),
    /// Check the proof of one record; needs neither the vault nor a network
    VerifyRecord(VerifyRecord),
    /// Make a bundle of records, with what it takes to check them and to decide them again
    Bundle(Bundle),
    /// Ask the log: SQL over the table `requests`, or the common questions by flags
    #[cfg(feature = "sql")]
    Query(Box<Query>),
    /// Write requests in a form that others read, one line each
    Export(Export),
    /// Decide recorded requests again, with the policy version that each names
    Replay(Replay),
    /// Hold the store's own access log or inventory against the records: what went around Kluis
    Reconcile(Reconcile),
    /// Close what was recorded into encrypted files of columns in the store, where it is queried
    /// and kept
    Ship(Ship),
    /// Keys for pseudonyms of people, and who is meant by one; needs neither the vault nor a
    /// network
    Pseudonym {
        /// What to do.
        #[command(subcommand)]
        command: PseudonymCommand,
    },
    /// Remove the records whose time is over, as their projects say (`kluis project log`)
    Expire(Expire),
    /// Show the log's newest checkpoint to witnesses, and keep it with their cosignatures
    Cosign(Cosign),
    /// Be a witness: cosign checkpoints of logs that only ever grow (c2sp.org/tlog-witness)
    Witness {
        /// What to do.
        #[command(subcommand)]
        command: WitnessCommand,
    },
    /// Print the public key of the vault's log, to be given to those who verify
    Key,
    /// Look at checkpoints
    Checkpoint {
        /// What to do with it.
        #[command(subcommand)]
        command: CheckpointCommand,
    },
    /// Prove that a record or an entry is in a log, or that a log only grew
    Prove {
        /// What to prove.
        #[command(subcommand)]
        command: ProveCommand,
    },
}

/// How to verify.
#[derive(Debug, Args)]
pub(super) struct Verify {
    /// A bundle, or a copy of a log's directory
    #[arg(value_hint = ValueHint::DirPath)]
    pub(super) dir: PathBuf,
    /// A file with the log's public key, as `kluis-audit key` printed it
    #[arg(long, value_name = "FILE", required_unless_present = "trust")]
    pub(super) log: Option<PathBuf>,
    /// A file that says which logs and how many witnesses are trusted (c2sp.org/tlog-policy)
    #[arg(long, value_name = "FILE", conflicts_with = "log")]
    pub(super) trust: Option<PathBuf>,
    /// A directory of checkpoints of earlier verifications: the log must be a continuation of each.
    /// If the evidence holds, its checkpoint is added
    #[arg(long, value_name = "DIR")]
    pub(super) kept: Option<PathBuf>,
    /// For how many days records must have been kept before they were removed
    #[arg(long, value_name = "DAYS", default_value_t = crate::types::limits::LOG_KEPT_DAYS)]
    pub(super) retention: u32,
    /// Print the requests that hold, as they are in the log
    #[arg(long)]
    pub(super) requests: bool,
    /// Decide the requests that hold again, with the policy versions in the bundle
    #[arg(long)]
    pub(super) replay: bool,
}

/// Whose records.
#[derive(Debug, Args)]
pub(super) struct Whose {
    /// The project
    #[arg(long, required_unless_present = "vault")]
    pub(super) project: Option<ProjectName>,
    /// Who asks; her grants must let her read this project's log
    #[arg(long, required_unless_present = "vault")]
    pub(super) auditor: Option<PrincipalId>,
    /// All projects and the vault's own records, as the operator of the vault's host. It stands in
    /// the log
    #[arg(long, conflicts_with_all = ["project", "auditor"])]
    pub(super) vault: bool,
}

/// How an answer is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
#[cfg(feature = "sql")]
pub(super) enum Format {
    /// A table for a person.
    Table,
    /// One JSON object for each row.
    Json,
    /// With a line of names.
    Csv,
    /// A file that anything reads; not encrypted.
    Parquet,
}

/// What to ask.
#[cfg(feature = "sql")]
#[derive(Debug, Args)]
pub(super) struct Query {
    /// Whose records.
    #[command(flatten)]
    pub(super) whose: Whose,
    /// A query in SQL, of the table `requests`
    #[arg(long, value_name = "QUERY", conflicts_with_all = ["filters", "limit"])]
    pub(super) sql: Option<String>,
    /// Which requests.
    #[command(flatten)]
    pub(super) filters: QueryFilters,
    /// Show the first so many
    #[arg(long, default_value_t = 10_000)]
    pub(super) limit: usize,
    /// How the answer is written
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Write the answer into a new file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) out: Option<PathBuf>,
    /// Then go on with requests as they end, until interrupted
    #[arg(long, conflicts_with_all = ["sql", "out"])]
    pub(super) follow: bool,
}

#[cfg(feature = "sql")]
impl Query {
    /// How the answer is written.
    pub(super) fn format(&self, json: bool) -> Format {
        let format = if json { Format::Json } else { Format::Table };
        self.format.unwrap_or(format)
    }
}

/// Which requests.
#[cfg(feature = "sql")]
#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of the command line"
)]
#[group(id = "filters", multiple = true)]
#[command(next_help_heading = "Filters, all of which must hold")]
pub(super) struct QueryFilters {
    /// On a dataset of this name
    #[arg(long)]
    pub(super) dataset: Option<DatasetName>,
    /// On this object, or on a run of objects that may have held it (column `key_last`)
    #[arg(long)]
    pub(super) key: Option<ObjectKey>,
    /// On objects whose keys begin so, or on a run that may have held one
    #[arg(long)]
    pub(super) prefix: Option<String>,
    /// By a principal, or by a workload that acts for it
    #[arg(long)]
    pub(super) principal: Option<PrincipalId>,
    /// By a job: a workload of this name
    #[arg(long)]
    pub(super) job: Option<PrincipalId>,
    /// What was asked: object.read, object.write, object.list, …
    #[arg(long)]
    pub(super) action: Option<Action>,
    /// How it ended: success, refused, failed, aborted, open-at-crash
    #[arg(long, value_parser = values::outcome)]
    pub(super) outcome: Option<Outcome>,
    /// What was refused
    #[arg(long, conflicts_with = "outcome")]
    pub(super) refused: bool,
    /// What was asked by those whose right in the project had ended by then
    #[arg(long, requires = "project")]
    pub(super) after_expiry: bool,
    /// For a purpose, as grants name it
    #[arg(long)]
    pub(super) purpose: Option<String>,
    /// Under a permit, as grants name it
    #[arg(long)]
    pub(super) permit: Option<String>,
    /// Under a grant
    #[arg(long)]
    pub(super) grant: Option<GrantId>,
    /// From an address
    #[arg(long)]
    pub(super) ip: Option<String>,
    /// normal, admin, log (readings of the log itself), or emergency
    #[arg(long, value_parser = ["normal", "admin", "log", "emergency"])]
    pub(super) nature: Option<String>,
    /// Break-glass, and all that it let somebody do
    #[arg(long, conflicts_with = "nature")]
    pub(super) break_glass: bool,
    /// This one request
    #[arg(long, value_parser = values::event)]
    pub(super) event: Option<EventId>,
    /// Begun at this time or later: 2027-01-01 or 2027-01-01T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = values::time)]
    pub(super) since: Option<Timestamp>,
    /// Begun before this time
    #[arg(long, value_name = "TIME", value_parser = values::time)]
    pub(super) until: Option<Timestamp>,
    /// Show every column
    #[arg(long)]
    pub(super) all_columns: bool,
}

/// A form of export.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(super) enum ExportForm {
    /// The record's own JSON, kluis.audit/1.
    Json,
    /// OCSF 1.8, Datastore Activity.
    Ocsf,
    /// FHIR R4 `AuditEvent`, as NDJSON; of reads by IHE BALP.
    Fhir,
    /// The fields of NEN 7513.
    Nen7513,
    /// Spans of the Logboek Dataverwerkingen: OTLP in JSON.
    Ldv,
    /// With a line of names.
    Csv,
}

impl From<ExportForm> for Form {
    fn from(form: ExportForm) -> Self {
        match form {
            ExportForm::Json => Self::Json,
            ExportForm::Ocsf => Self::Ocsf,
            ExportForm::Fhir => Self::Fhir,
            ExportForm::Nen7513 => Self::Nen,
            ExportForm::Ldv => Self::Otel,
            ExportForm::Csv => Self::Csv,
        }
    }
}

/// What to export.
#[derive(Debug, Args)]
pub(super) struct Export {
    /// Whose records.
    #[command(flatten)]
    pub(super) whose: Whose,
    /// The form
    #[arg(long, value_enum)]
    pub(super) form: ExportForm,
    /// Show people under pseudonyms of this project, made with this key (`kluis-audit pseudonym
    /// new`). Refused to whom the project shows its own pseudonyms
    #[arg(long, value_name = "FILE", requires = "project")]
    pub(super) pseudonyms: Option<PathBuf>,
    /// Write into a new file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) out: Option<PathBuf>,
    /// Leave out what began before: a date or a moment
    #[arg(long, value_parser = values::time)]
    pub(super) since: Option<Timestamp>,
    /// Leave out what began at this moment or later
    #[arg(long, value_parser = values::time)]
    pub(super) until: Option<Timestamp>,
}

impl Export {
    /// The question as the log keeps it.
    pub(super) fn words(&self) -> String {
        let since = told("since", self.since);
        let until = told("until", self.until);
        format!(
            "export {}form={:?}{since}{until}{}",
            self.whose.words(),
            self.form,
            if self.pseudonyms.is_some() {
                " pseudonyms"
            } else {
                ""
            }
        )
    }
}

/// Which decisions to make again.
#[derive(Debug, Args)]
#[command(
    after_help = "Prints each decision that is not the same, and counts; exit code 1 if \
                        there is one.\n\nExample:\n  kluis-audit replay --project icu \
                        --auditor t.visser \\\n    --since 2027-03-01 --until 2027-04-01"
)]
pub(super) struct Replay {
    /// Whose records.
    #[command(flatten)]
    pub(super) whose: Whose,
    /// This one request
    #[arg(long, value_parser = values::event)]
    pub(super) event: Option<EventId>,
    /// Leave out what began before: a date or a moment
    #[arg(long, value_name = "TIME", value_parser = values::time)]
    pub(super) since: Option<Timestamp>,
    /// Leave out what began at this moment or later
    #[arg(long, value_name = "TIME", value_parser = values::time)]
    pub(super) until: Option<Timestamp>,
    /// Print the decisions that are the same too
    #[arg(long)]
    pub(super) all: bool,
}

/// The form of a store's access log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(super) enum LogForm {
    /// S3 server access logs, as AWS writes them into a bucket.
    Aws,
    /// The log of nginx, Apache or another server in front of the store.
    Combined,
}

/// What to reconcile.
#[derive(Debug, Args)]
#[command(
    after_help = "Runs on the vault's host; that it was run stands in the log. Exit code 1 if \
anything went around Kluis, or if a line cannot be read.

Example:
  kluis-audit reconcile --log access.log --form combined --gateway 10.12.0.5"
)]
pub(super) struct Reconcile {
    /// The store's access log
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    #[arg(required_unless_present = "inventory")]
    pub(super) log: Option<PathBuf>,
    /// The form of the log
    #[arg(long, value_enum, default_value = "aws")]
    pub(super) form: LogForm,
    /// An inventory of the bucket: CSV as S3 Inventory writes it, bucket and key first
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) inventory: Option<PathBuf>,
    /// The address that a gateway has in the log; once for each. Everyone else is then a stranger
    #[arg(long, value_name = "ADDRESS")]
    pub(super) gateway: Vec<std::net::IpAddr>,
    /// How far the clocks of store and vault may lie apart
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = values::span)]
    pub(super) slack: Duration,
}

impl Reconcile {
    /// The question as the log keeps it.
    pub(super) fn words(&self) -> String {
        let file = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let (log, inventory) = (file(&self.log), file(&self.inventory));
        format!(
            "reconcile{}{}",
            told("log", log),
            told("inventory", inventory)
        )
    }
}

/// ` name=value`, where there is one.
fn told(name: &str, value: Option<impl std::fmt::Display>) -> String {
    let text = value.map(|value| format!(" {name}={value}"));
    text.unwrap_or_default()
}

impl Bundle {
    /// The part that is shown, in words; empty where it is all.
    pub(super) fn part(&self) -> String {
        let dataset = told("dataset", self.dataset.as_ref());
        let principal = told("principal", self.principal.as_ref());
        let permit = told("permit", self.permit.as_ref());
        format!("{dataset}{principal}{permit}")
    }

    /// The question as the log keeps it.
    pub(super) fn words(&self) -> String {
        let (whose, part) = (self.whose.words(), self.part());
        let (since, until) = (told("since", self.since), told("until", self.until));
        format!("bundle {}{part}{since}{until}", whose.trim_end())
    }
}

impl Replay {
    /// The question as the log keeps it.
    pub(super) fn words(&self) -> String {
        let whose = self.whose.words();
        let (event, since) = (told("event", self.event), told("since", self.since));
        let until = told("until", self.until);
        format!("replay {}{event}{since}{until}", whose.trim_end())
    }
}

impl Whose {
    /// Who asks for whose records, as the log keeps it.
    pub(super) fn words(&self) -> String {
        match (&self.project, &self.auditor) {
            (Some(project), Some(auditor)) => format!("project={project} auditor={auditor} "),
            _ => "vault ".to_owned(),
        }
    }
}

/// What to ship.
#[derive(Debug, Args)]
pub(super) struct Ship {
    /// Close a volume when its oldest record is this old, or when it is full
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = values::span)]
    pub(super) every: Duration,
    /// Close everything that is under a checkpoint, however young
    #[arg(long)]
    pub(super) all: bool,
    /// Remove journal files from the gateway's disk that were full so long ago, once all that is in
    /// them is in volumes
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = values::span)]
    pub(super) keep: Duration,
    /// Go on until interrupted; each day what is over is removed, as `expire` does
    #[arg(long, conflicts_with = "all")]
    pub(super) watch: bool,
}

/// What to remove.
#[derive(Debug, Args)]
pub(super) struct Expire {
    /// Say what is due, and remove nothing
    #[arg(long)]
    pub(super) dry_run: bool,
}

/// Whom to show checkpoints to.
#[derive(Debug, Args)]
pub(super) struct Cosign {
    /// A file with the log, the witnesses and where they are, and how many of them must cosign
    /// (c2sp.org/tlog-policy)
    #[arg(long, value_name = "FILE")]
    pub(super) trust: PathBuf,
    /// Certificates to trust for witnesses over https://, PEM; the system's if not said
    #[arg(long, value_name = "FILE")]
    pub(super) ca: Option<PathBuf>,
    /// Go on until interrupted
    #[arg(long)]
    pub(super) watch: bool,
}

/// What a witness does.
#[derive(Debug, Subcommand)]
pub(super) enum WitnessCommand {
    /// Make a witness's key and print its public half
    New {
        /// The witness's name, as a URL without a scheme: `witness.example.org/audit`
        #[arg(long)]
        name: String,
        /// The file to make
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Answer `add-checkpoint` over HTTP, or HTTPS with a certificate
    Serve(WitnessServe),
}

/// How a witness serves.
#[derive(Debug, Args)]
pub(super) struct WitnessServe {
    /// The witness's key, as `witness new` made it
    #[arg(long, value_name = "FILE")]
    pub(super) key: PathBuf,
    /// The public key of a log to be witnessed; once for each
    #[arg(long, value_name = "FILE", required = true)]
    pub(super) log: Vec<PathBuf>,
    /// The directory where what was seen is kept. Never put back an older copy
    #[arg(long, value_name = "DIR")]
    pub(super) state: PathBuf,
    /// The address to listen on
    #[arg(long, default_value = "127.0.0.1:8787")]
    pub(super) listen: std::net::SocketAddr,
    /// The certificate chain to speak TLS with, PEM; read again when it changes
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(super) tls_cert: Option<PathBuf>,
    /// Its private key, PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(super) tls_key: Option<PathBuf>,
}

/// What to put into a bundle.
#[derive(Debug, Args)]
#[command(
    after_help = "Of a dataset, a person or a permit the bundle shows the requests that fit all of \
them, and of every other record its leaf: that nothing was altered or left out is checked, what is \
not shown is not told.

Example:
  kluis-audit bundle --project icu --auditor t.visser --permit HDAB-7 \\\n    --out hdab-7"
)]
pub(super) struct Bundle {
    /// Whose records.
    #[command(flatten)]
    pub(super) whose: Whose,
    /// Show requests on a dataset of this name
    #[arg(long)]
    pub(super) dataset: Option<DatasetName>,
    /// Show requests of a principal, and of workloads that act for it
    #[arg(long)]
    pub(super) principal: Option<PrincipalId>,
    /// Show requests under a permit
    #[arg(long)]
    pub(super) permit: Option<String>,
    /// The directory to make
    #[arg(long, value_hint = ValueHint::DirPath)]
    pub(super) out: PathBuf,
    /// Under the newest checkpoint that witnesses have cosigned, as `cosign` keeps it
    #[arg(long)]
    pub(super) cosigned: bool,
    /// Leave out what came into the log before: a date or a moment
    #[arg(long, value_parser = values::time)]
    pub(super) since: Option<Timestamp>,
    /// Leave out what came into the log at this moment or later
    #[arg(long, value_parser = values::time)]
    pub(super) until: Option<Timestamp>,
}

/// What to do with checkpoints.
#[derive(Debug, Subcommand)]
pub(super) enum CheckpointCommand {
    /// Print the newest checkpoint of a log's directory or bundle, or of the configured vault
    Show {
        /// The directory
        dir: Option<PathBuf>,
    },
}

#[cfg(test)]
#[path = "args_tests.rs"]
mod tests;
