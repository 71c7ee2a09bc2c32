//! Secrets that a configuration names but does not hold: from the environment, or from files.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::environment::{Environment, Variable};
use super::settings::Store;
use crate::types::SecretText;

/// A secret file is never longer.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// What the gateway signs its requests to an S3 store with.
pub struct StoreCredentials {
    /// The public half.
    pub access_key_id: String,
    /// The secret half.
    pub secret_access_key: SecretText,
}

/// Why a secret cannot be had. At fault: the operator.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// A file cannot be read.
    #[error("cannot read the secret file {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file is empty, too long, or holds more than one line.
    #[error("the secret file {} is not one line of at most 64 KiB", path.display())]
    Shape {
        /// Which file.
        path: PathBuf,
    },
    /// Others than the owner can read the file.
    #[error("others can read the secret file {}", path.display())]
    Exposed {
        /// Which file.
        path: PathBuf,
    },
    /// Half of a pair is missing.
    #[error("no `{name}` is set, and no file names it")]
    Missing {
        /// The variable that could give it.
        name: &'static str,
    },
}

/// The store's credentials: a variable goes before a file.
pub fn store_credentials(
    store: &Store,
    environment: &Environment,
) -> Result<StoreCredentials, SecretError> {
    let one = |variable: Variable, file: Option<&PathBuf>| {
        if let Some(value) = environment.get(variable) {
            return Ok(value);
        }
        let path = file.ok_or_else(|| SecretError::Missing {
            name: variable.name(),
        })?;
        read_secret_file(path)
    };
    let id = one(
        Variable::StoreAccessKeyId,
        store.access_key_id_file.as_ref(),
    )?;
    Ok(StoreCredentials {
        access_key_id: id.expose().to_owned(),
        secret_access_key: one(
            Variable::StoreSecretAccessKey,
            store.secret_access_key_file.as_ref(),
        )?,
    })
}

/// Reads a file of one line, which nobody but its owner and group may read; the line's end is
/// dropped.
pub fn read_secret_file(path: &Path) -> Result<SecretText, SecretError> {
    let unreadable = |source| SecretError::Read {
        path: path.to_owned(),
        source,
    };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o007 != 0 {
        return Err(SecretError::Exposed {
            path: path.to_owned(),
        });
    }
    // The file's length is reserved, so that no half-read copy is left behind by growth.
    let length = metadata.len().min(SECRET_BYTES_MAX).saturating_add(1);
    let mut text = String::with_capacity(usize::try_from(length).unwrap_or_default());
    let outcome = file.take(length).read_to_string(&mut text);
    while text.ends_with(['\n', '\r']) {
        text.pop();
    }
    let secret = SecretText::new(text);
    outcome.map_err(unreadable)?;
    let text = secret.expose();
    let long = u64::try_from(text.len()).map_or(true, |n| n >= SECRET_BYTES_MAX);
    if text.is_empty() || long || text.contains(['\n', '\0']) {
        return Err(SecretError::Shape {
            path: path.to_owned(),
        });
    }
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    struct Files(tempfile::TempDir);

    impl Files {
        fn new() -> Self {
            Self(tempfile::tempdir().expect("a directory"))
        }

        fn put(&self, name: &str, content: &[u8], mode: u32) -> PathBuf {
            let path = self.0.path().join(name);
            std::fs::write(&path, content).expect("written");
            let permissions = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(&path, permissions).expect("permitted");
            path
        }
    }

    const BOTH: &[(&str, &str)] = &[
        ("KLUIS_STORE_ACCESS_KEY_ID", "id"),
        ("KLUIS_STORE_SECRET_ACCESS_KEY", "secret"),
    ];

    fn both(outcome: Result<StoreCredentials, SecretError>) -> StoreCredentials {
        outcome.unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn a_line_is_read_without_its_end() {
        let files = Files::new();
        for (content, secret) in [("s3cret\n", "s3cret"), ("a b\r\n", "a b"), ("x", "x")] {
            let path = files.put("f", content.as_bytes(), 0o600);
            assert_eq!(read_secret_file(&path).expect("read").expose(), secret);
        }
    }

    #[test]
    fn files_that_others_can_read_are_refused() {
        let files = Files::new();
        for mode in [0o644, 0o604, 0o602, 0o601] {
            let path = files.put(&format!("{mode:o}"), b"s", mode);
            assert!(matches!(
                read_secret_file(&path),
                Err(SecretError::Exposed { .. })
            ));
        }
        assert!(read_secret_file(&files.put("group", b"s", 0o640)).is_ok());
    }

    #[test]
    fn files_of_another_shape_are_refused() {
        let files = Files::new();
        for content in [&b""[..], b"\n", b"a\nb", b"a\0b", &vec![b'a'; 70_000]] {
            let path = files.put("f", content, 0o600);
            assert!(matches!(
                read_secret_file(&path),
                Err(SecretError::Shape { .. })
            ));
        }
        let path = files.put("g", &[0xff, 0xfe], 0o600);
        assert!(matches!(
            read_secret_file(&path),
            Err(SecretError::Read { .. })
        ));
        let absent = files.0.path().join("absent");
        assert!(matches!(
            read_secret_file(&absent),
            Err(SecretError::Read { .. })
        ));
    }

    #[test]
    fn the_environment_goes_before_a_file() {
        let files = Files::new();
        let path = files.put("f", b"from-file", 0o600);
        let store = Store {
            access_key_id_file: Some(path.clone()),
            secret_access_key_file: Some(path),
            ..Store::default()
        };
        let from_env = both(store_credentials(&store, &Environment::of(BOTH)));
        assert_eq!(from_env.access_key_id, "id");
        assert_eq!(from_env.secret_access_key.expose(), "secret");
        let from_file = both(store_credentials(&store, &Environment::of(&[])));
        assert_eq!(from_file.secret_access_key.expose(), "from-file");
    }

    #[test]
    fn half_a_pair_is_no_pair() {
        let store = Store::default();
        for pair in BOTH {
            let half = Environment::of(std::slice::from_ref(pair));
            let told = store_credentials(&store, &half);
            assert!(matches!(told, Err(SecretError::Missing { .. })));
        }
        let empty = Environment::of(&[("KLUIS_STORE_ACCESS_KEY_ID", "")]);
        assert!(!empty.has(Variable::StoreAccessKeyId));
    }
}
