//! The arguments that say what keeps a root identity, and those of `kluis unseal`, without logic.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::values::{self, CustodianArg};

/// What is to keep a new root identity.
#[derive(Debug, Args)]
#[command(next_help_heading = "Root identity")]
#[expect(clippy::struct_excessive_bools, reason = "one for each kind")]
pub struct RootArgs {
    /// Seal the root identity with a passphrase, which is asked for or read from `KLUIS_PASSPHRASE`
    #[arg(long, conflicts_with = "custodian")]
    pub passphrase: bool,
    /// Have the root identity kept by the key of a key service that `[transit]` names
    #[arg(long, conflicts_with_all = ["custodian", "passphrase"])]
    pub transit: bool,
    /// Have the root identity kept by a key on the PKCS#11 token that `[pkcs11]` names
    ///
    /// An AES-256 key that never leaves the token; it is made there if the token has none of that
    /// label. The PIN is read from `KLUIS_PIN` or the file, or asked for.
    #[arg(long, group = "pinned", conflicts_with_all = ["custodian", "passphrase", "transit"])]
    pub pkcs11: bool,
    /// Have the root identity kept by the age plugin that `[plugin]` names
    #[arg(long, group = "pinned", conflicts_with_all = ["custodian", "passphrase", "transit"])]
    pub plugin: bool,
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

/// What keeps the root of a new vault, where something else than files does.
#[derive(Debug, Args)]
pub struct KeeperArgs {
    /// The key service.
    #[command(flatten)]
    pub transit: TransitArgs,
    /// The token.
    #[command(flatten)]
    pub token: TokenArgs,
    /// The plugin.
    #[command(flatten)]
    pub plugin: PluginArgs,
    /// A file with the PIN of the token or plugin [default: it is asked for]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    #[arg(help_heading = "Root identity", requires = "pinned")]
    pub pin_file: Option<PathBuf>,
}

/// The token of a new vault.
#[derive(Debug, Args)]
#[command(next_help_heading = "Root identity")]
pub struct TokenArgs {
    /// The PKCS#11 module of the token's maker, a library
    #[arg(long, value_name = "FILE", requires = "pkcs11", value_hint = ValueHint::FilePath)]
    pub pkcs11_module: Option<PathBuf>,
    /// The token's label
    #[arg(long, value_name = "LABEL", requires = "pkcs11")]
    pub pkcs11_label: Option<String>,
    /// The token's serial number, where several have that label
    #[arg(long, value_name = "SERIAL", requires = "pkcs11")]
    pub pkcs11_serial: Option<String>,
    /// The label of the key on it [default: kluis-root]
    #[arg(long, value_name = "LABEL", requires = "pkcs11")]
    pub pkcs11_key: Option<String>,
}

/// The age plugin of a new vault.
#[derive(Debug, Args)]
#[command(next_help_heading = "Root identity")]
pub struct PluginArgs {
    /// The file of the plugin's identity, `AGE-PLUGIN-NAME-1…`
    #[arg(long, value_name = "FILE", requires = "plugin", value_hint = ValueHint::FilePath)]
    pub plugin_identity: Option<PathBuf>,
    /// To whom the root is encrypted, `age1…` [default: that identity]
    #[arg(long, value_name = "RECIPIENT", requires = "plugin")]
    pub plugin_recipient: Option<String>,
    /// The directory of the program `age-plugin-NAME` [default: the system's path]
    #[arg(long, value_name = "DIR", requires = "plugin", value_hint = ValueHint::DirPath)]
    pub plugin_dir: Option<PathBuf>,
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
