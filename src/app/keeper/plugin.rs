//! An age plugin: a program `age-plugin-NAME` that opens what was encrypted to its hardware, by
//! age's own protocol. What it wrapped is an age file that holds the root.

use std::borrow::Cow;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use age::plugin::{Identity, IdentityPluginV1, Recipient, RecipientPluginV1, ResolveError};
use age::secrecy::SecretString;
use data_encoding::BASE64;

use super::words::{Ask, Foreign, Refused, Told, Work};
use crate::keyring::{decrypt_with, encrypt_to};
use crate::types::SecretText;

/// How an identity's line begins.
const IDENTITY_PREFIX: &str = "AGE-PLUGIN-";
/// Messages of a plugin that are shown, and characters of each.
const MESSAGES_MAX: usize = 8;
const MESSAGE_CHARS_MAX: usize = 200;

/// Does what is asked.
pub(super) fn work(asked: &Ask<'_>) -> Result<Told<'static>, Refused> {
    let Foreign::Plugin {
        identity,
        recipient,
    } = &asked.keeper
    else {
        return Err(Refused::Ask);
    };
    let identity = read(identity)?;
    let desk = PluginDesk::new(asked.pin.as_deref());
    let done = match &asked.work {
        Work::Wrap(secret) => wrap(&identity, recipient.as_deref(), (secret, &desk)),
        Work::Open(wrapped) => open(&identity, wrapped, &desk),
    };
    done.map_err(|refused| {
        if refused == Refused::Plugin {
            desk.why()
        } else {
            refused
        }
    })
}

/// Refuses a plugin that others than this user and root could have put into its directory. One that
/// is not there is found missing when it is asked.
pub(super) fn see(identity: &str, dir: &Path) -> Result<(), Refused> {
    let program = format!("age-plugin-{}", read(identity)?.plugin());
    let own = rustix::process::geteuid().as_raw();
    for path in [dir, &dir.join(program)] {
        let Ok(seen) = std::fs::metadata(path) else {
            continue;
        };
        let ours = seen.uid() == 0 || seen.uid() == own;
        if !ours || seen.mode() & 0o022 != 0 {
            return Err(Refused::PluginExposed);
        }
    }
    Ok(())
}

/// Comments, empty lines and exactly one identity.
fn read(text: &str) -> Result<Identity, Refused> {
    let mut lines = text
        .lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    match (lines.next(), lines.next()) {
        (Some(line), None) if line.starts_with(IDENTITY_PREFIX) => {
            line.parse().map_err(|_other: &str| Refused::Identity)
        }
        _ => Err(Refused::Identity),
    }
}

fn wrap(
    identity: &Identity,
    recipient: Option<&str>,
    (secret, desk): (&str, &PluginDesk),
) -> Result<Told<'static>, Refused> {
    let to: Box<dyn age::Recipient> = match recipient {
        None => {
            let of = [identity.clone()];
            let plugin = RecipientPluginV1::new(identity.plugin(), &[], &of, desk.clone());
            Box::new(plugin.map_err(missing)?)
        }
        Some(text) => native(text).map_or_else(|| of_plugin(text, desk), Ok)?,
    };
    let sealed = encrypt_to(&*to, secret.as_bytes()).map_err(|_why| Refused::Plugin)?;
    Ok(Told::Wrapped(Cow::Owned(BASE64.encode(&sealed))))
}

/// Recipients of hardware that age knows without a plugin, a hybrid one among them.
fn native(text: &str) -> Option<Box<dyn age::Recipient>> {
    if let Ok(hybrid) = text.parse::<age::tagpq::Recipient>() {
        return Some(Box::new(hybrid));
    }
    let tag = text.parse::<age::tag::Recipient>().ok()?;
    Some(Box::new(tag))
}

fn of_plugin(text: &str, desk: &PluginDesk) -> Result<Box<dyn age::Recipient>, Refused> {
    let to: Recipient = text.parse().map_err(|_other: &str| Refused::Recipient)?;
    let name = to.plugin().to_owned();
    let plugin = RecipientPluginV1::new(&name, &[to], &[], desk.clone());
    Ok(Box::new(plugin.map_err(missing)?))
}

fn open(identity: &Identity, wrapped: &str, desk: &PluginDesk) -> Result<Told<'static>, Refused> {
    let sealed = BASE64.decode(wrapped.as_bytes());
    let sealed = sealed.map_err(|_text| Refused::NotWrapped)?;
    let of = [identity.clone()];
    let plugin = IdentityPluginV1::new(identity.plugin(), &of, desk.clone()).map_err(missing)?;
    let opened = decrypt_with(&plugin, &sealed).map_err(|_why| Refused::Plugin)?;
    let text = std::str::from_utf8(&opened).map_err(|_binary| Refused::Plugin)?;
    Ok(Told::Opened(Cow::Owned(text.to_owned())))
}

fn missing(error: ResolveError) -> Refused {
    let ResolveError::MissingPlugin { binary_name } = error else {
        return Refused::Identity;
    };
    let name = binary_name.trim_start_matches("age-plugin-");
    Refused::PluginMissing(name.chars().take(MESSAGE_CHARS_MAX).collect())
}

/// What a plugin may ask of whoever runs it: one PIN, and that a message be shown.
#[derive(Clone)]
struct PluginDesk(Arc<Desk>);

struct Desk {
    pin: Option<SecretText>,
    asked: AtomicUsize,
    shown: AtomicUsize,
}

impl PluginDesk {
    fn new(pin: Option<&str>) -> Self {
        Self(Arc::new(Desk {
            pin: pin.map(|pin| SecretText::new(pin.to_owned())),
            asked: AtomicUsize::new(0),
            shown: AtomicUsize::new(0),
        }))
    }

    /// Why it did not do it: whoever asked for a PIN and failed had none or a wrong one.
    fn why(&self) -> Refused {
        let asked = self.0.asked.load(Ordering::Relaxed) > 0;
        match (asked, &self.0.pin) {
            (true, Some(_)) => Refused::PinWrong,
            (true, None) => Refused::PinMissing,
            (false, _) => Refused::Plugin,
        }
    }
}

impl age::Callbacks for PluginDesk {
    fn display_message(&self, message: &str) {
        if self.0.shown.fetch_add(1, Ordering::Relaxed) >= MESSAGES_MAX {
            return;
        }
        let shown = message.chars().filter(|c| !c.is_control());
        let shown: String = shown.take(MESSAGE_CHARS_MAX).collect();
        // Where nobody reads it, it is lost: the plugin waits for a touch, not for an answer.
        let _told = writeln!(std::io::stderr(), "kluis: the plugin says: {shown}");
    }

    fn confirm(&self, _: &str, _: &str, _: Option<&str>) -> Option<bool> {
        None
    }

    fn request_public_string(&self, _: &str) -> Option<String> {
        None
    }

    fn request_passphrase(&self, _: &str) -> Option<SecretString> {
        // Once: a plugin that asks again would be told the same wrong PIN until it locks.
        let first = self.0.asked.fetch_add(1, Ordering::Relaxed) == 0;
        let pin = self.0.pin.as_ref().filter(|_| first)?;
        Some(SecretString::from(pin.expose().to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use age::Callbacks as _;

    use super::*;

    /// Of `age-plugin-kluistest`, by bech32.
    const IDENTITY: &str = "AGE-PLUGIN-KLUISTEST-1TPRP9G";

    #[test]
    fn a_plugin_that_others_could_replace_is_not_started() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("age-plugin-kluistest");
        let mode = |path: &Path, mode| {
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(path, mode).unwrap();
        };
        mode(dir.path(), 0o755);
        assert_eq!(see(IDENTITY, dir.path()), Ok(()), "missing is told later");
        std::fs::write(&program, "").unwrap();
        mode(&program, 0o755);
        assert_eq!(see(IDENTITY, dir.path()), Ok(()));
        for open in [0o775, 0o757] {
            mode(&program, open);
            let told = see(IDENTITY, dir.path());
            assert_eq!(told, Err(Refused::PluginExposed), "{open:o}");
        }
        mode(&program, 0o755);
        mode(dir.path(), 0o777);
        assert_eq!(see(IDENTITY, dir.path()), Err(Refused::PluginExposed));
        mode(dir.path(), 0o755);
        // Root may give files away: another user's is no better.
        if std::os::unix::fs::chown(&program, Some(65_534), None).is_ok() {
            assert_eq!(see(IDENTITY, dir.path()), Err(Refused::PluginExposed));
        }
        assert_eq!(see("no identity", dir.path()), Err(Refused::Identity));
    }

    #[test]
    fn an_identity_is_one_line_of_a_plugin() {
        for text in [
            "",
            "# none\n",
            "AGE-PLUGIN-X",
            "AGE-SECRET-KEY-1QQ",
            "AGE-PLUGIN-../X-1CQTDPY",
        ] {
            assert_eq!(read(text).err(), Some(Refused::Identity), "{text}");
        }
        assert!(read(IDENTITY).is_ok());
        let twice = format!("{IDENTITY}\n{IDENTITY}\n");
        assert_eq!(read(&twice).err(), Some(Refused::Identity));
    }

    #[test]
    fn a_pin_is_told_once() {
        let desk = PluginDesk::new(Some("1234"));
        assert_eq!(desk.why(), Refused::Plugin);
        assert!(desk.request_passphrase("PIN").is_some());
        assert!(desk.request_passphrase("PIN again").is_none());
        assert_eq!(desk.why(), Refused::PinWrong);
        let none = PluginDesk::new(None);
        assert!(none.request_passphrase("PIN").is_none());
        assert_eq!(none.why(), Refused::PinMissing);
        assert!(none.confirm("sure?", "yes", None).is_none());
    }
}
