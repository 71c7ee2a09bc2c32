//! The arguments that say what keeps a root identity, and those of `kluis unseal`, without logic.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::values::{self, CustodianArg};

/// What is to keep a new root identity.
#[derive(Debug, Args)]
#[command(next_help_heading = "Root identity")]
pub struct RootArgs {
    /// Seal the root identity with a passphrase, which is asked for or read from `KLUIS_PASSPHRASE`
    #[arg(long, conflicts_with = "custodian")]
    pub passphrase: bool,
    /// Have the root identity kept by the key of a key service that `[transit]` names
    #[arg(long, conflicts_with_all = ["custodian", "passphrase"])]
    pub transit: bool,
    /// Share the root identity among custodians, one of them; given once for each
    ///
    /// RECIPIENT is her age recipient (`age1…`, as `age-keygen` prints it), or `@FILE`, a file of
    /// one line with a passphrase. Her share is sealed with it.
    #[arg(long, value_name = "NAME=RECIPIENT", value_parser = values::custodian)]
    #[arg(requires = "needed", requires = "shares")]
    pub custodian: Vec<CustodianArg>,
    /// How many custodians open the vault together, at least 2
    #[arg(long, value_name = "N", requires = "custodian")]
    pub needed: Option<u8>,
    /// The directory for the custodians' shares, `NAME.share`, each for its custodian to take away
    #[arg(long, value_name = "DIR", requires = "custodian", value_hint = ValueHint::DirPath)]
    pub shares: Option<PathBuf>,
}

/// The key service of a new vault.
#[derive(Debug, Args)]
#[command(next_help_heading = "Root identity")]
pub struct TransitArgs {
    /// The URL of the key service (OpenBao), `https://bao.example.org:8200`
    #[arg(long, value_name = "URL", requires = "transit", value_hint = ValueHint::Url)]
    pub transit_url: Option<String>,
    /// The transit key, which is there and may encrypt and decrypt [default: kluis-root]
    #[arg(long, value_name = "NAME", requires = "transit")]
    pub transit_key: Option<String>,
    /// A file with the token for the key service
    #[arg(long, value_name = "FILE", requires = "transit", value_hint = ValueHint::FilePath)]
    pub transit_credential: Option<PathBuf>,
    /// Certificates to trust for the key service, PEM [default: the system's]
    #[arg(long, value_name = "FILE", requires = "transit", value_hint = ValueHint::FilePath)]
    pub transit_ca_file: Option<PathBuf>,
}

/// Arguments of `unseal`.
#[derive(Debug, Args)]
pub struct Unseal {
    /// The file of the share, as it was handed to the custodian; `-` reads an opened one from stdin
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub share: Option<PathBuf>,
    /// The age identity that the share was sealed for [default: its passphrase is asked for]
    #[arg(long, value_name = "FILE", requires = "share", value_hint = ValueHint::FilePath)]
    pub identity: Option<PathBuf>,
}
