//! Whose a vault is. What a command writes into it belongs to whom runs it: of another user's files
//! the gateway can read none, so that nothing is written into a vault that is another's.

use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::process::geteuid;

use super::output::{CliError, Exit};
use crate::config::Config;

/// Accounts beyond this many bytes are not looked through: a number is shown then.
const ACCOUNTS_BYTES_MAX: u64 = 1024 * 1024;

/// The user that owns a vault: that of its catalog, or of the journal where there is none.
pub(super) fn owner(config: &Config) -> Option<u32> {
    let places = [config.catalog.path.as_path(), config.journal.dir.as_path()];
    places.into_iter().find_map(user_of)
}

/// Refuses to write into a vault of another user's.
pub(super) fn see(config: &Config) -> Result<(), CliError> {
    match owner(config) {
        Some(owner) => judge(owner, geteuid().as_raw()),
        // One that is not there yet is whose makes it.
        None => Ok(()),
    }
}

fn judge(owner: u32, own: u32) -> Result<(), CliError> {
    if owner == own {
        return Ok(());
    }
    let (theirs, mine) = (name(owner), name(own));
    let says = format!("this vault is user {theirs}'s, and {mine} runs this: nothing is done");
    let hint = format!("as root: `runuser -u {theirs} -- kluis …`");
    Err(CliError::new(Exit::Usage, says).hint(hint))
}

/// The owner of what is at a path, if something is.
pub(super) fn user_of(path: &Path) -> Option<u32> {
    let metadata = std::fs::symlink_metadata(path).ok()?;
    if metadata.is_symlink() {
        return Some(std::fs::metadata(path).ok()?.uid());
    }
    Some(metadata.uid())
}

/// A user's name, or the number where this machine's accounts have none.
pub(super) fn name(user: u32) -> String {
    let mut text = String::new();
    let accounts = std::fs::File::open("/etc/passwd");
    let read = accounts.and_then(|file| file.take(ACCOUNTS_BYTES_MAX).read_to_string(&mut text));
    let found = read.ok().and_then(|_bytes| name_in(&text, user));
    found.map_or_else(|| user.to_string(), str::to_owned)
}

/// The first account of a number (`passwd(5)`).
fn name_in(accounts: &str, user: u32) -> Option<&str> {
    accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let number = fields.nth(1)?;
        (number.parse() == Ok(user)).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_not_own_a_vault_is_refused_whoever_it_is() {
        for (owner, own) in [(1, 0), (0, 1), (1, 2), (u32::MAX, 0)] {
            let refused = judge(owner, own).unwrap_err();
            assert_eq!(refused.exit(), Exit::Usage);
            let hint = refused.hints().join(" ");
            assert!(
                hint.contains(&format!("runuser -u {} -- kluis", name(owner))),
                "{hint}"
            );
        }
        for user in [0, 1, u32::MAX] {
            assert!(judge(user, user).is_ok());
        }
    }

    #[test]
    fn an_account_is_found_by_its_whole_number_alone() {
        let accounts = "root:x:0:0:root:/root:/bin/sh\n\n:x:7:7::/:\nshort\nshort:x\nbent:x:one:1::/:\n\
                        kluis:x:998:998::/var/lib/kluis:/sbin/nologin\nother:x:998:1::/:\n";
        assert_eq!(name_in(accounts, 0), Some("root"));
        assert_eq!(name_in(accounts, 998), Some("kluis"));
        for none in [1, 7, 9, 98, 99_800] {
            assert_eq!(name_in(accounts, none), None, "{none}");
        }
        assert_eq!(name(u32::MAX - 1), (u32::MAX - 1).to_string());
    }
}
