//! What went wrong between the vault and the token or plugin that keeps its root, in words.

use super::output::{CliError, Exit};
use crate::app::{KeeperError, Refused};

/// With what to do about it.
pub(super) fn refuse(error: &KeeperError) -> CliError {
    let (exit, hint) = match error {
        KeeperError::Setting { .. } => (
            Exit::Usage,
            "docs/configuration.md explains `[pkcs11]` and `[plugin]`",
        ),
        KeeperError::Secret(_) => (
            Exit::Usage,
            "is the file there, one line long for a PIN, and for its owner alone (chmod 600)?",
        ),
        KeeperError::Tries { .. } => (
            Exit::No,
            "put the right PIN where it is read from, then remove that file; a token locks after \
             a few wrong ones",
        ),
        KeeperError::Count(_) => (
            Exit::Unavailable,
            "see that the disk of the root's file has room; without the count no PIN is tried",
        ),
        KeeperError::Start(_) | KeeperError::Answer => (
            Exit::Unavailable,
            "try the token's or plugin's own tool; a PIN may have been counted as refused",
        ),
        KeeperError::Busy { .. } => (
            Exit::Unavailable,
            "one PIN is tried at a time: try again when that is done",
        ),
        KeeperError::Late { .. } => (
            Exit::Unavailable,
            "is it plugged in, and waits it for a touch? `pkcs11.wait` and `plugin.wait` say how long",
        ),
        KeeperError::Refused(refused) => of_device(refused),
        KeeperError::Root(_) => (Exit::No, "restore the file of the root from its backup"),
    };
    CliError::of(exit, error).hint(hint)
}

const fn of_device(refused: &Refused) -> (Exit, &'static str) {
    match refused {
        Refused::NotBuilt => (Exit::Usage, "build it with the feature `pkcs11`"),
        Refused::Module => (
            Exit::Usage,
            "`pkcs11.module` is the absolute path of the maker's library, for this machine's kind",
        ),
        Refused::ModuleExposed | Refused::PluginExposed => (
            Exit::Usage,
            "it runs with what opens the vault: root or this user owns it, and nobody else writes it",
        ),
        Refused::TokenMissing => (
            Exit::Unavailable,
            "is it plugged in? `pkcs11-tool --module FILE -L` shows labels and serial numbers",
        ),
        Refused::TokenTwice => (Exit::Usage, "set `pkcs11.serial` to the right one's"),
        Refused::TokenGone => (Exit::Unavailable, "plug it in again, and try again"),
        Refused::PinMissing => (
            Exit::Usage,
            "set KLUIS_PIN or a `pin_file`, or run it on a terminal to be asked",
        ),
        Refused::PinWrong | Refused::Login(_) => (
            Exit::No,
            "after two in a row it is not tried again without a person",
        ),
        Refused::PinLocked => (
            Exit::No,
            "its security officer sets a new PIN, with the maker's tool",
        ),
        Refused::PinFinal => (
            Exit::No,
            "log in once with the token's own tool; that sets its count back",
        ),
        Refused::KeyMissing => (
            Exit::Usage,
            "is this the token that the root was given to, and `pkcs11.key` the label?",
        ),
        Refused::KeyTwice => (Exit::Usage, "give one of them another label"),
        Refused::KeyExposed => (
            Exit::No,
            "it must be AES-256, sensitive and not extractable; `kluis init` makes one that is",
        ),
        Refused::Mechanism => (
            Exit::Usage,
            "an age plugin keeps a root on devices without AES: docs/keys.md",
        ),
        Refused::NotWrapped => (
            Exit::No,
            "another key of that label? Else restore the file of the root from its backup",
        ),
        Refused::Identity | Refused::Recipient => (
            Exit::Usage,
            "the plugin's own tool writes both; exactly one identity stands in the file",
        ),
        Refused::PluginMissing(_) => (
            Exit::Usage,
            "install it, or name its directory in `plugin.dir`",
        ),
        Refused::Plugin => (
            Exit::Unavailable,
            "is its device plugged in? `age -d -i` with the same identity says more",
        ),
        Refused::Failed(_) | Refused::Ask => (Exit::Unavailable, "the device's own tool says more"),
    }
}
