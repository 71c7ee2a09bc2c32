//! The arguments of `kluis job` and `kluis node`, and of what names a job on a node.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueHint};

use super::remote::Caller;
use super::values;
use crate::types::{BucketName, Network, PartitionName, UseClass};

/// Commands on jobs.
#[derive(Debug, Subcommand)]
pub enum JobCommand {
    /// Let a job read a published version in your name, once it runs
    ///
    /// Prints what the job is to be submitted with. It is no secret: only a node of the cluster can
    /// use it, for a job of that account, once. What the job reads is decided and recorded like
    /// your own reading, and ends with your right to it.
    #[command(
        after_long_help = "Example:\n  kluis job submit icu-sepsis/ecg-2024@3 --cluster hpc1 --account bdevries \\\n    --lasts 2d --credentials me.env"
    )]
    Submit(Submit),
    /// List your jobs that wait or run
    #[command(after_long_help = "Example:\n  kluis job list --credentials me.env")]
    List {
        /// Who asks.
        #[command(flatten)]
        caller: Caller,
    },
    /// End a job of yours: what it reads is cut within a minute
    #[command(
        after_long_help = "Example:\n  kluis job cancel b.devries/4412871 --credentials me.env"
    )]
    Cancel {
        /// The job, as `kluis job submit` or `kluis job list` shows it
        #[arg(value_parser = values::job)]
        job: String,
        /// Who asks.
        #[command(flatten)]
        caller: Caller,
    },
    /// On a node: say that a job has ended here
    ///
    /// For the scheduler's epilog. With the job's last node its right is over for good.
    #[command(
        after_long_help = "Example:\n  kluis job end --node /etc/kluis/node.env --job b.devries/4412871 \\\n    --job-number 4412871 --account bdevries"
    )]
    End {
        /// The job on this node
        #[command(flatten)]
        job: OnNode,
        /// It will start again (requeued)
        #[arg(long)]
        again: bool,
    },
}

/// Arguments of `job submit`.
#[derive(Debug, Args)]
pub struct Submit {
    /// The version, as project/dataset@number
    #[arg(value_parser = values::version, value_name = "VERSION")]
    pub version: (BucketName, u32),
    /// The cluster, as its nodes are enrolled
    #[arg(long, value_name = "NAME")]
    pub cluster: String,
    /// Your account on the cluster
    #[arg(long, value_name = "ACCOUNT")]
    pub account: String,
    /// On how many nodes it may run
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub nodes: u32,
    /// How long it may wait: 90s, 15m, 1h, 7d
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = values::span)]
    pub waits: Duration,
    /// How long it may run
    #[arg(long, value_name = "TIME", default_value = "2d", value_parser = values::span)]
    pub lasts: Duration,
    /// Only grants of this purpose
    #[arg(long, value_name = "CODE")]
    pub purpose: Option<String>,
    /// Who asks.
    #[command(flatten)]
    pub caller: Caller,
}

/// A job on this node.
#[derive(Debug, Args, Clone)]
pub struct OnNode {
    /// This node's identity, as `kluis node init` wrote it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    #[arg(requires_all = ["job", "job_number", "account"])]
    pub node: Option<PathBuf>,
    /// The job, as `kluis job submit` or `kluis job list` shows it
    #[arg(long, value_name = "JOB", requires = "node", value_parser = values::job)]
    pub job: Option<String>,
    /// The scheduler's number of the job
    #[arg(long, value_name = "NUMBER", requires = "node")]
    pub job_number: Option<String>,
    /// The account it runs under
    #[arg(long, value_name = "ACCOUNT", requires = "node")]
    pub account: Option<String>,
}

/// Commands on compute nodes.
#[derive(Debug, Subcommand)]
pub enum NodeCommand {
    /// On a node: make its identity, and print the key to enrol
    #[command(
        after_long_help = "Example:\n  kluis node init gpu-017 --endpoint https://s3.example.org \\\n    --output /etc/kluis/node.env"
    )]
    Init {
        /// The node's name: 1 to 40 of a-z, 0-9 and . _ -
        name: String,
        /// The gateway's URL
        #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
        endpoint: String,
        /// Certificates to trust beside those of the machine
        #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
        ca_file: Option<PathBuf>,
        /// The new file, which nobody else can read
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        output: PathBuf,
    },
    /// Enrol a node: what its key signs about jobs of its cluster is believed
    #[command(
        after_long_help = "Example:\n  kluis node enrol gpu-017 --cluster hpc1 \\\n    --key LkNjc+qlZmqL8sUaN57/FHde+Vz7sm2Cf9OEk/86rWI="
    )]
    Enrol {
        /// Its name
        name: String,
        /// Its cluster
        #[arg(long, value_name = "NAME")]
        cluster: String,
        /// Its public key, as `kluis node init` printed it
        #[arg(long, value_name = "KEY", value_parser = values::node_key)]
        key: [u8; 32],
        /// From where it speaks; may be given several times [default: one address per session]
        #[arg(long, value_name = "NETWORK")]
        network: Vec<Network>,
        /// The partition it is in, which grants may name
        #[arg(long, value_name = "NAME")]
        partition: Option<PartitionName>,
        /// What data of a use class may be computed on there for; may be given several times
        /// [default: only data without a use class]
        #[arg(long = "use", value_name = "CLASS")]
        uses: Vec<UseClass>,
    },
    /// List enrolled nodes
    #[command(after_long_help = "Example:\n  kluis node list")]
    List,
    /// Remove a node: nothing is believed of it, and what its jobs read is cut within a minute
    #[command(after_long_help = "Example:\n  kluis node remove gpu-017")]
    Remove {
        /// Its name
        name: String,
    },
}
