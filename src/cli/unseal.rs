//! `kluis unseal`: a custodian hands her share over to a vault that waits; and what options say
//! about who keeps a new root.

use std::io::{IsTerminal as _, Read as _};
use std::path::Path;

use super::init::passphrase;
use super::open::{Desk, refuse};
use super::output::{CliError, Exit, Output};
use super::root_args::{RootArgs, Unseal};
use super::serve::runtime;
use super::values::Lock;
use crate::app::{NewRoot, OpenVaultError, Sharing, Told, hand_over};
use crate::config::{Config, Environment, RootKind, read_secret_file};
use crate::keyring::{KeyRingError, RootIdentity, ScryptWork, ShareKey, ShareLock, open_share};
use crate::types::{SecretText, limits};

/// Runs it.
pub(super) fn run(ask: &Unseal, desk: Desk<'_>, output: &mut Output) -> Result<Exit, CliError> {
    let config = desk.config()?;
    if config.keys.root != RootKind::Custodians {
        return Err(
            CliError::new(Exit::Usage, "no custodians keep this vault's root")
                .hint("`keys.root` says what keeps it"),
        );
    }
    let share = match &ask.share {
        None => None,
        Some(path) if path == Path::new("-") => Some(from_stdin()?),
        Some(path) => Some(from_file(path, ask.identity.as_deref(), desk.environment)?),
    };
    let socket = &config.keys.unseal_socket;
    let told = runtime()?.block_on(hand_over(socket, share.as_ref()));
    let told = told.map_err(|error| refuse(&OpenVaultError::Unseal(error)))?;
    tell(&told, output)
}

fn tell(told: &Told, output: &mut Output) -> Result<Exit, CliError> {
    if output.is_json() {
        let value = serde_json::to_value(told);
        output.value(&value.map_err(|error| CliError::of(Exit::Unavailable, &error))?)?;
    }
    let whose = told.custodian.as_ref().map(|name| format!(" of {name}"));
    let whose = whose.unwrap_or_default();
    let far = format!("{} of {} shares are here", told.have, told.needed);
    match told.state.as_str() {
        "open" => output.note(&format!("the share{whose} was the last: the vault opens")),
        "taken" => output.note(&format!("the share{whose} is taken: {far}")),
        "sealed" => {
            let names = told.custodians.join(", ");
            output.note(&format!("sealed: {far}; custodians: {names}"));
        }
        _refused => {
            let why = told.why.as_deref().unwrap_or("refused");
            return Err(CliError::new(Exit::No, why).hint(format!("nothing was taken: {far}")));
        }
    }
    Ok(Exit::Done)
}

fn from_stdin() -> Result<SecretText, CliError> {
    let most = u64::try_from(limits::SHARE_BYTES_MAX).unwrap_or_default();
    let mut text = String::with_capacity(limits::SHARE_BYTES_MAX);
    let read = std::io::stdin().take(most).read_to_string(&mut text);
    let text = SecretText::new(text);
    let _bytes = read?;
    Ok(SecretText::new(text.expose().trim().to_owned()))
}

fn from_file(
    path: &Path,
    identity: Option<&Path>,
    environment: &Environment,
) -> Result<SecretText, CliError> {
    let failed = |error: KeyRingError| refuse(&OpenVaultError::Keys(error));
    let asks = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    if let Some(file) = identity {
        let word = if crate::keyring::file_needs_passphrase(file).map_err(failed)? {
            passphrase(true, asks, environment)?
        } else {
            None
        };
        let identity = RootIdentity::from_file(file, word.as_ref()).map_err(failed)?;
        return open_share(path, Some(&ShareKey::Identity(&identity))).map_err(failed);
    }
    // One that was opened elsewhere needs nothing.
    match open_share(path, None) {
        Err(KeyRingError::ShareLocked { .. }) => {}
        opened => return opened.map_err(failed),
    }
    let word = match environment.get(crate::config::Variable::Passphrase) {
        Some(word) => word,
        None if asks => {
            rpassword::prompt_password("Passphrase of the share: ").map(SecretText::new)?
        }
        None => return Err(failed(KeyRingError::ShareLocked { path: path.into() })),
    };
    open_share(path, Some(&ShareKey::Passphrase(&word))).map_err(failed)
}

/// What is to keep a new root, as the options say.
pub(super) fn new_root(ask: &RootArgs, environment: &Environment) -> Result<NewRoot, CliError> {
    if ask.transit {
        return Ok(NewRoot::Transit);
    }
    if ask.pkcs11 {
        return Ok(NewRoot::Pkcs11);
    }
    if ask.plugin {
        return Ok(NewRoot::Plugin);
    }
    if !ask.custodian.is_empty() {
        return sharing(ask).map(NewRoot::Custodians);
    }
    let asks = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    Ok(NewRoot::File(passphrase(
        ask.passphrase,
        asks,
        environment,
    )?))
}

fn sharing(ask: &RootArgs) -> Result<Sharing, CliError> {
    let (Some(needed), Some(dir)) = (ask.needed, &ask.shares) else {
        return Err(CliError::new(
            Exit::Usage,
            "custodians need --needed and --shares",
        ));
    };
    let mut custodians = Vec::new();
    for one in &ask.custodian {
        let lock = match &one.lock {
            Lock::Recipient(recipient) => ShareLock::Recipient(recipient.clone()),
            Lock::File(file) => {
                let word = read_secret_file(file)
                    .map_err(|error| refuse(&OpenVaultError::Secret(error)))?;
                ShareLock::Passphrase(word, ScryptWork::STANDARD)
            }
        };
        custodians.push((one.name.clone(), lock));
    }
    let dir = dir.clone();
    Ok(Sharing {
        custodians,
        needed,
        dir,
    })
}

/// Says what is to be done with what keeps a new root.
pub(super) fn farewell(new: &NewRoot, output: &mut Output) {
    let NewRoot::Custodians(sharing) = new else {
        return;
    };
    output.note("hand each custodian her share, and keep no copy of it here:");
    for (name, _) in &sharing.custodians {
        output.note(&format!("  {}", sharing.file(name).display()));
    }
    output.hint(&format!(
        "{} of them open the vault: each runs `kluis unseal --share FILE` when it waits",
        sharing.needed
    ));
}

/// Says that a command waits, before it does.
pub(super) fn announce(config: &Config, output: &mut Output) {
    if config.keys.root == RootKind::Custodians {
        output.note("the root is kept by custodians: this command waits for their shares");
        output.hint("each custodian runs `kluis unseal --share FILE` on this machine");
    }
}
