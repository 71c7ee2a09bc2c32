//! What every command on a vault begins and ends with: configuration, vault, catalog; and what it
//! says when one of them cannot be had.

use std::path::Path;

use super::output::{CliError, Exit, Output};
use super::{belongs, config_command, serve, unseal};
use crate::app::{
    FinishError, Lane, OpenVaultError, Opened, OpenedRoot, Opening, TransitError, UnsealError,
    open_catalog,
};
use crate::catalog::{CatalogError, SharedCatalog};
use crate::config::{Config, Environment, SecretError};
use crate::gate::GateError;
use crate::journal::JournalError;
use crate::keyring::KeyRingError;
use crate::policy::PolicyError;
use crate::vault::{ChainFault, ErrorKind, VaultError};

/// For whoever runs elsewhere what looks at the vault itself.
const ON_THE_HOST: &str = "this runs on the vault's host; from any machine `kluis whoami`, `grant`, \
                           `dataset`, `group show` and others ask its gateway (`kluis login`, or \
                           `--credentials FILE`)";

/// What a command works on.
#[derive(Clone, Copy)]
pub(crate) struct Desk<'a> {
    /// The configuration file.
    pub(crate) path: &'a Path,
    /// Where secrets come from.
    pub(crate) environment: &'a Environment,
}

impl Desk<'_> {
    /// The configuration.
    pub(crate) fn config(&self) -> Result<Config, CliError> {
        let absent = matches!(self.path.try_exists(), Ok(false));
        config_command::load(self.path).map_err(|error| {
            if absent {
                return error.hint(ON_THE_HOST);
            }
            error
        })
    }

    /// The catalog, for commands that only look.
    pub(crate) fn catalog(&self) -> Result<SharedCatalog, CliError> {
        Ok(open_catalog(&self.config()?).map_err(|error| refuse(&error))?)
    }

    /// Opens the vault in the lane of commands, acts, and closes it again. What was done is in the
    /// log before this returns.
    pub(crate) fn act<T>(
        &self,
        output: &mut Output,
        act: impl AsyncFnOnce(&Opened) -> Result<T, CliError>,
    ) -> Result<T, CliError> {
        let config = self.config()?;
        unseal::announce(&config, output);
        self.act_on((&config, None), output, act)
    }

    /// The same with a configuration, and with a root that is open already.
    pub(crate) fn act_on<T>(
        &self,
        (config, root): (&Config, Option<&OpenedRoot>),
        output: &mut Output,
        act: impl AsyncFnOnce(&Opened) -> Result<T, CliError>,
    ) -> Result<T, CliError> {
        belongs::see(config)?;
        let opening = Opening {
            config,
            environment: self.environment,
            lane: Lane::Admin,
            ask: &serve::passphrase,
            root,
            journal: None,
            health: None,
        };
        serve::runtime()?.block_on(async {
            let opened = Opened::open(opening).await;
            let opened = opened.map_err(|error| refuse(&error))?;
            let result = match apart(&opened).await {
                None => opened.with_snapshots(config, act(&opened)).await,
                Some(refused) => {
                    opened.journal.close().await.map_err(|e| journal(&e))?;
                    return Err(refused);
                }
            };
            if let Err(error) = opened.finish(config).await {
                unfinished(&error, output);
            }
            result
        })
    }
}

/// Why nothing is done on a catalog that is not the vault's own: it would be lost. A store that
/// does not answer says nothing of that.
async fn apart(opened: &Opened) -> Option<CliError> {
    let looked = opened.vault.look_at_chain().await;
    let fault = looked.err()?.chain_fault()?;
    Some(CliError::of(Exit::No, &fault).hint(chain_hint(fault)))
}

/// What to do where catalog and store do not belong together.
pub(crate) const fn chain_hint(fault: ChainFault) -> &'static str {
    match fault {
        ChainFault::Older { .. } => {
            "move the catalog's file away and rebuild it with `kluis recover`, which loses nothing \
             that a snapshot holds; only where this older state is meant, `kluis recover --adopt`"
        }
        ChainFault::Forked { .. } => {
            "see that one gateway alone serves this vault. What this catalog has and no snapshot \
             holds is lost to the other: where the other is right, leave this one; where this one \
             is right, stop the other and run `kluis recover --adopt` here"
        }
        ChainFault::Lost { .. } => {
            "do not move the catalog away: it has more than the store. See that the configuration \
             names the right store, and whether the store can bring the blob back; where it is gone \
             for good, `kluis recover --adopt` writes this catalog into the store anew"
        }
        ChainFault::Unbased => "run `kluis recover --adopt` again",
    }
}

/// The command did its work, and its end failed.
fn unfinished(error: &FinishError, output: &mut Output) {
    let told = CliError::of(Exit::Unavailable, error);
    output.note(&format!("warning: {}", told.message()));
    match error {
        FinishError::Snapshot(error) => output.hint(error.chain_fault().map_or(
            "the change is in the catalog; the next command or gateway tries again",
            chain_hint,
        )),
        FinishError::Lane(_) | FinishError::Journal(_) => {
            output.hint("`kluis doctor` says what is wrong");
        }
    }
}

/// What to do about a gate that cannot be had.
pub(crate) fn gate(error: &GateError) -> CliError {
    let (exit, hint) = match error {
        GateError::Journal(error) => return journal(error),
        GateError::Unfit { .. } => (
            Exit::Usage,
            "use a store with conditional writes and a read that sees each write, or set \
             journal.gate = \"local\" on a disk that stays; docs/audit.md names stores",
        ),
        GateError::Left => (
            Exit::Usage,
            "set `journal.gate` to what it was; docs/audit.md, \"Leaving the gate\", says how to \
             go back to the directory alone",
        ),
        GateError::Broken { .. } => (
            Exit::No,
            "docs/audit.md, \"The gate in the store\", says which of the two to keep",
        ),
        GateError::Store(_) | GateError::Stopped | GateError::System(_) => (
            Exit::Unavailable,
            "`kluis doctor` says what the store lacks",
        ),
    };
    CliError::of(exit, error).hint(hint)
}

/// A vault that does not open, in words.
pub(crate) fn refuse(error: &OpenVaultError) -> CliError {
    let (exit, hint) = match error {
        OpenVaultError::PassphraseNeeded { .. } => (
            Exit::Usage,
            "set KLUIS_PASSPHRASE or `keys.passphrase_file`, or start it on a terminal",
        ),
        OpenVaultError::Keys(error) => return keys(error),
        OpenVaultError::Gate(error) => return gate(error),
        OpenVaultError::RootKind { .. } => (
            Exit::Usage,
            "set `keys.root` to what keeps the root; a file that was changed unasked is to be \
             restored from its backup",
        ),
        OpenVaultError::Unseal(error) => return unsealing(error),
        OpenVaultError::Transit(error) => return transit(error),
        OpenVaultError::Keeper(error) => return super::keeper::refuse(error),
        OpenVaultError::Record(_) => (
            Exit::Unavailable,
            "see that the disk of the journal has room; without a record nothing is opened",
        ),
        OpenVaultError::Secret(error) => (Exit::Usage, secret_hint(error)),
        OpenVaultError::StoreSetting { .. } | OpenVaultError::StoreConfig(_) => {
            (Exit::Usage, "docs/configuration.md explains `[store]`")
        }
        OpenVaultError::StoreMissing { .. } => (
            Exit::Usage,
            "is its disk mounted, and `store.path` right? An empty store is never made in its place",
        ),
        OpenVaultError::CatalogMissing { .. } => (
            Exit::Usage,
            "`kluis init` makes a vault; `kluis recover` rebuilds a catalog that was lost",
        ),
        OpenVaultError::CatalogServed { .. } => (
            Exit::Usage,
            "stop the gateway, replace its program too, and start it: docs/upgrading.md",
        ),
        OpenVaultError::Lane(_) => (
            Exit::Usage,
            "may this user read and write the journal's directory?",
        ),
        OpenVaultError::Store(_) => (
            Exit::Unavailable,
            "`kluis doctor` says what the store lacks",
        ),
        OpenVaultError::Catalog(error) => return catalog(error),
        OpenVaultError::Journal(error) => return journal(error),
        OpenVaultError::Policy(_) => (
            Exit::Usage,
            "`kluis policy check` names every fault; nothing is allowed without a policy",
        ),
    };
    CliError::of(exit, error).hint(hint)
}

/// What to do about a secret that cannot be had.
const fn secret_hint(error: &SecretError) -> &'static str {
    match error {
        SecretError::Read { .. } => {
            "is its path right, and may this user read it? docs/configuration.md names settings \
             and variables"
        }
        SecretError::Exposed { .. } => "a secret file is for its owner alone: chmod 600",
        SecretError::Shape { .. } => "write the secret alone into it, on one line",
        SecretError::Missing { .. } => "docs/configuration.md names settings and variables",
    }
}

fn transit(error: &TransitError) -> CliError {
    let (exit, hint) = match error {
        TransitError::Setting { .. } => (Exit::Usage, "docs/configuration.md explains `[transit]`"),
        TransitError::Token(_) => (
            Exit::Usage,
            "`transit.token_file` is for its owner alone: chmod 600",
        ),
        TransitError::Reach(_) => (
            Exit::Unavailable,
            "see that the key service runs, is unsealed, and that `transit.ca_file` trusts it",
        ),
        TransitError::Status { status: 403 } => (
            Exit::No,
            "the token has ended or may not use the key: give it `update` on \
             MOUNT/encrypt/KEY and MOUNT/decrypt/KEY",
        ),
        TransitError::Status { status: 400 | 404 } => (
            Exit::Usage,
            "is `transit.mount` and `transit.key` what wrapped this root, and the key still there?",
        ),
        TransitError::Status { .. } | TransitError::Answer => {
            (Exit::Unavailable, "look at the key service's own log")
        }
        TransitError::Root(_) => (Exit::No, "restore the file of the root from its backup"),
    };
    CliError::of(exit, error).hint(hint)
}

fn unsealing(error: &UnsealError) -> CliError {
    let (exit, hint) = match error {
        UnsealError::Socket { .. } => (
            Exit::Usage,
            "`keys.unseal_socket` is a path of at most 107 bytes in a directory of this user",
        ),
        UnsealError::Busy { .. } => (
            Exit::Unavailable,
            "unseal that one first: `kluis unseal` says how far it is",
        ),
        UnsealError::Nobody { .. } => (
            Exit::Unavailable,
            "nothing waits here: `kluis serve` does while it is sealed, and so do commands",
        ),
        UnsealError::Refused => (Exit::No, "start it again with the custodians at hand"),
        UnsealError::Waited { .. } => (
            Exit::Unavailable,
            "start it again with the custodians at hand: each runs `kluis unseal --share FILE`",
        ),
        UnsealError::Answer { .. } => (Exit::Usage, "is `keys.unseal_socket` right?"),
    };
    CliError::of(exit, error).hint(hint)
}

fn keys(error: &KeyRingError) -> CliError {
    let hint = match error {
        KeyRingError::PassphraseWrong { .. } => "check KLUIS_PASSPHRASE or `keys.passphrase_file`",
        KeyRingError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            "restore root.age and the directory of the keys from their backups; `kluis init` makes \
             a new vault"
        }
        KeyRingError::NotARoot { .. } => {
            "the file of the root is no secret: every copy of it is as good"
        }
        KeyRingError::OtherRing { .. } => "`kluis key copy DIR` begins a copy of this vault's keys",
        KeyRingError::OtherRoot => "restore the file of the root from its backup",
        KeyRingError::NotARecipient => "`age-keygen` makes an identity and prints its recipient",
        KeyRingError::ShareLocked { .. } => {
            "`--identity FILE` names the custodian's identity; a passphrase is asked for, or taken \
             from KLUIS_PASSPHRASE"
        }
        KeyRingError::Share(_) => "each custodian hands over her own share, by `kluis unseal`",
        KeyRingError::Split(_) => "docs/keys.md, \"Custodians\"",
        KeyRingError::Exposed { .. } => "the keys are for their owner alone",
        KeyRingError::WrongRoot { .. } => {
            "`keys.identity` names another root: after `kluis key change-root --to FILE` it is \
             FILE; a copy of the keys goes with the root of its time"
        }
        KeyRingError::Io { .. }
        | KeyRingError::Exists { .. }
        | KeyRingError::NotFound
        | KeyRingError::Damaged { .. }
        | KeyRingError::NotAnIdentity { .. }
        | KeyRingError::PassphraseNeeded { .. }
        | KeyRingError::PassphraseEmpty
        | KeyRingError::PassphraseWork { .. }
        | KeyRingError::TooMany { .. }
        | KeyRingError::Secret(_)
        | KeyRingError::Entropy(_)
        | KeyRingError::Seal(_)
        | KeyRingError::Encrypt(_) => "`kluis doctor` looks closer",
    };
    CliError::of(Exit::Usage, error).hint(hint)
}

fn catalog(error: &CatalogError) -> CliError {
    let (exit, hint) = match error {
        CatalogError::Schema { .. } => (
            Exit::Usage,
            "a newer Kluis wrote it: run that version or a later one",
        ),
        CatalogError::Damaged { .. } => (
            Exit::No,
            "move the file away and rebuild it with `kluis recover`",
        ),
        CatalogError::Busy => (Exit::Unavailable, "another process writes it: try again"),
        CatalogError::Full => (
            Exit::Unavailable,
            "make room on its disk, and see that it may be written",
        ),
        CatalogError::Conflict(_) | CatalogError::Failed { .. } => {
            (Exit::Unavailable, "`kluis doctor` looks closer")
        }
    };
    CliError::of(exit, error).hint(hint)
}

pub(crate) fn journal(error: &JournalError) -> CliError {
    let (exit, hint) = match error {
        JournalError::Locked => (
            Exit::Unavailable,
            "another command is running on this vault: try again when it has ended",
        ),
        JournalError::Full => (Exit::Unavailable, "make room on the disk of the journal"),
        JournalError::Damaged { .. } => (
            Exit::No,
            "keep the file for those who investigate; `kluis doctor` names every damage",
        ),
        JournalError::Busy | JournalError::Timeout => {
            (Exit::Unavailable, "the disk of the journal is slow")
        }
        JournalError::Replica { .. } => (
            Exit::Unavailable,
            "`journal.gate` needs the store: see that it is reached and durable (docs/audit.md, \
             \"The gate in the store\")",
        ),
        JournalError::Superseded => (
            Exit::Unavailable,
            "stop the other gateway, then start again: what it wrote is taken over",
        ),
        JournalError::Diverged { .. } => (
            Exit::No,
            "docs/audit.md, \"The gate in the store\", says which of the two to keep",
        ),
        JournalError::TooLarge | JournalError::Failed { .. } => {
            (Exit::Unavailable, "`kluis doctor` looks closer")
        }
    };
    CliError::of(exit, error).hint(hint)
}

/// A use case that did not do it, in words.
pub(crate) fn denied(error: &VaultError) -> CliError {
    match error.chain_fault() {
        Some(fault) => CliError::of(Exit::No, &fault).hint(chain_hint(fault)),
        None => CliError::new(exit_of(error.kind()), error.reason()),
    }
}

/// The kind as an exit code: one total table, as every edge has.
const fn exit_of(kind: ErrorKind) -> Exit {
    match kind {
        ErrorKind::InvalidName | ErrorKind::InvalidBucket | ErrorKind::KeyTooLong => Exit::Usage,
        ErrorKind::AccessDenied
        | ErrorKind::AssuranceTooLow
        | ErrorKind::GrantOver
        | ErrorKind::GrantNotYet
        | ErrorKind::GrantElsewhere
        | ErrorKind::JobOver
        | ErrorKind::TakesTwo
        | ErrorKind::TokenInvalid
        | ErrorKind::TokenExpired
        | ErrorKind::NoSuchDataset
        | ErrorKind::NoSuchPublication
        | ErrorKind::NoSuchObject
        | ErrorKind::NoSuchVersion
        | ErrorKind::IsMarker
        | ErrorKind::NoSuchSetting
        | ErrorKind::NoSuchUpload
        | ErrorKind::Locked
        | ErrorKind::InvalidRule
        | ErrorKind::NotLocking
        | ErrorKind::InvalidState
        | ErrorKind::NotDescribed
        | ErrorKind::AboveCeiling
        | ErrorKind::Quarantined
        | ErrorKind::DatasetExists
        | ErrorKind::DatasetNotEmpty
        | ErrorKind::PreconditionFailed
        | ErrorKind::NotModified
        | ErrorKind::Conflict
        | ErrorKind::InvalidRange
        | ErrorKind::InvalidArgument
        | ErrorKind::MetadataTooLarge
        | ErrorKind::TooManyTags
        | ErrorKind::InvalidTag
        | ErrorKind::TooLarge
        | ErrorKind::PartTooSmall
        | ErrorKind::InvalidPart
        | ErrorKind::InvalidPartOrder
        | ErrorKind::IncompleteBody
        | ErrorKind::BadDigest
        | ErrorKind::BodySignature
        | ErrorKind::BodyTimeout
        | ErrorKind::Integrity => Exit::No,
        ErrorKind::LogUnavailable
        | ErrorKind::SlowDown
        | ErrorKind::Unavailable
        | ErrorKind::Full
        | ErrorKind::Internal => Exit::Unavailable,
    }
}

impl From<VaultError> for CliError {
    fn from(error: VaultError) -> Self {
        denied(&error)
    }
}

impl From<CatalogError> for CliError {
    fn from(error: CatalogError) -> Self {
        catalog(&error)
    }
}

impl From<PolicyError> for CliError {
    fn from(error: PolicyError) -> Self {
        Self::of(Exit::Usage, &error)
    }
}

/// Everything that pages hold, page by page, at most `limit` rows each.
pub(crate) async fn collect<T, K>(
    mut page: impl AsyncFnMut(Option<&K>) -> Result<Vec<T>, CatalogError>,
    key: impl Fn(&T) -> K,
) -> Result<Vec<T>, CliError> {
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let rows = page(after.as_ref()).await?;
        let Some(last) = rows.last() else {
            return Ok(all);
        };
        after = Some(key(last));
        all.extend(rows);
    }
}

/// The vault's own words for an absent row.
pub(crate) fn absent(what: &str, name: &impl std::fmt::Display) -> CliError {
    CliError::new(Exit::No, format!("no such {what}: {name}"))
}

/// A call of a command.
pub(crate) fn call(
    opened: &Opened,
    operation: &'static str,
) -> Result<crate::vault::Call, CliError> {
    Ok(super::call::local(&opened.vault, operation)?)
}
