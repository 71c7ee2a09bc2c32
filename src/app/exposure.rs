//! Whether the files that hold secrets are their owner's alone. One check for `kluis doctor`, for a
//! gateway that starts and for its `/readyz`. A file that everybody reads is refused where it is
//! read, as far as what reads it is this program's; one of a group is told and used: container
//! platforms hand secrets to a process by its group.

use std::fmt;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::config::Config;

/// A file that others than its owner have rights to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Exposed {
    /// Which.
    pub path: PathBuf,
    /// Its permissions, nine bits.
    pub mode: u32,
}

impl Exposed {
    /// Whether it is everybody, and not its group alone.
    #[must_use]
    pub const fn to_everybody(&self) -> bool {
        self.mode & 0o007 != 0
    }
}

impl fmt::Display for Exposed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = if self.to_everybody() {
            "every user"
        } else {
            "its group"
        };
        let (path, mode) = (self.path.display(), self.mode);
        write!(f, "{path} has mode {mode:o}: {who} can read it")
    }
}

/// The files that a configuration names and that hold secrets.
fn secrets(config: &Config) -> impl Iterator<Item = &Path> {
    let named = [
        &config.keys.passphrase_file,
        &config.transit.token_file,
        &config.pkcs11.pin_file,
        &config.plugin.pin_file,
        &config.plugin.identity,
        &config.store.access_key_id_file,
        &config.store.secret_access_key_file,
        &config.server.tls_key,
        &config.syslog.tls_key,
        &config.otlp.token_file,
    ];
    let named = named.into_iter().flatten();
    std::iter::once(&config.keys.identity)
        .chain(named)
        .map(PathBuf::as_path)
}

/// Those of them that others have rights to. One that is not there is none: who reads it says so.
#[must_use]
pub fn exposed(config: &Config) -> Vec<Exposed> {
    let found = secrets(config).filter_map(|path| {
        let mode = std::fs::metadata(path).ok()?.permissions().mode() & 0o777;
        (mode & 0o077 != 0).then(|| Exposed {
            path: path.to_owned(),
            mode,
        })
    });
    found.collect()
}

/// What `/readyz` says of them. **No name of a file**: `kluis doctor` says which.
pub(super) fn warning(found: &[Exposed]) -> Result<(), String> {
    match found.len() {
        0 => Ok(()),
        1 => Err("a secret file is not its owner's alone: `kluis doctor` names it".to_owned()),
        all => Err(format!(
            "{all} secret files are not their owner's alone: `kluis doctor` names them"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_file_that_others_read_is_told_by_its_name_to_the_operator_alone() {
        let dir = tempfile::tempdir().unwrap();
        let text = "[server]\ntls_cert = \"cert.pem\"\ntls_key = \"tls.key\"\n\
            [store]\naccess_key_id_file = \"id\"\n\
            secret_access_key_file = \"s3\"\n[otlp]\ntoken_file = \"absent\"\n";
        let config = Config::parse(text, dir.path()).unwrap();
        let put = |name: &str, mode| {
            let path = dir.path().join(name);
            std::fs::write(&path, "x").unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        for name in ["root.age", "tls.key", "id", "s3"] {
            put(name, 0o600);
        }
        put("cert.pem", 0o644);
        assert_eq!(exposed(&config), []);
        assert_eq!(warning(&exposed(&config)), Ok(()));
        put("tls.key", 0o640);
        put("root.age", 0o604);
        let found = exposed(&config);
        let told: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert!(told[0].ends_with("root.age has mode 604: every user can read it"));
        assert!(told[1].ends_with("tls.key has mode 640: its group can read it"));
        assert_eq!(found.len(), 2);
        let said = warning(&found).unwrap_err();
        assert!(said.starts_with("2 secret files") && !said.contains("tls.key"));
        assert!(
            warning(&found[..1])
                .unwrap_err()
                .starts_with("a secret file")
        );
    }
}
