//! The arguments of what makes a vault, `kluis init` and `kluis demo`, without logic.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::root_args::{KeeperArgs, RootArgs};
use super::values::StoreUrl;
use crate::types::{PrincipalId, ProjectName};

/// Where blobs go, where a command makes a vault.
#[derive(Debug, Args)]
#[command(next_help_heading = "Store")]
pub struct StoreArgs {
    /// Keep blobs in an S3 store, `s3://BUCKET` or `s3://BUCKET/PREFIX` [default: a directory]
    #[arg(long, value_name = "URL", requires = "store_endpoint")]
    pub store: Option<StoreUrl>,
    /// The URL of the S3 store
    #[arg(long, value_name = "URL", requires = "store", value_hint = ValueHint::Url)]
    pub store_endpoint: Option<String>,
    /// The region that requests to the S3 store are signed for [default: us-east-1]
    #[arg(long, value_name = "REGION", requires = "store")]
    pub store_region: Option<String>,
}

/// Arguments of `init`.
#[derive(Debug, Args)]
pub struct Init {
    /// The directory of the vault [default: the current one]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub dir: Option<PathBuf>,
    /// The address that S3 clients connect to
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9000")]
    pub listen: SocketAddr,
    /// Where blobs go.
    #[command(flatten)]
    pub store: StoreArgs,
    /// What keeps the root identity.
    #[command(flatten)]
    pub root: RootArgs,
    /// The key service, token or plugin that keeps it.
    #[command(flatten)]
    pub service: KeeperArgs,
    /// Make a first project
    #[arg(long, value_name = "NAME", requires = "owner")]
    pub project: Option<ProjectName>,
    /// The owner of the first project
    #[arg(long, value_name = "PERSON", requires = "project")]
    pub owner: Option<PrincipalId>,
}

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// The directory of the vault
    #[arg(long, value_name = "DIR", default_value = "kluis-demo", value_hint = ValueHint::DirPath)]
    pub dir: PathBuf,
    /// The address that S3 clients connect to
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9000")]
    pub listen: SocketAddr,
    /// Skip the show and serve
    #[arg(long)]
    pub headless: bool,
    /// Where blobs go.
    #[command(flatten)]
    pub store: StoreArgs,
}
