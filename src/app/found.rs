//! Founding a vault: the files that `kluis init` and the demo both make. Nothing that is there
//! already is overwritten, but for [`write_file`], whose caller owns the file.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::system::SystemEntropy;
use crate::catalog::{CatalogError, SqliteCatalog};
use crate::config::Config;
use crate::keyring::{KeyRing, KeyRingError, RootIdentity, ScryptWork};
use crate::types::SecretText;
use crate::vault::NewCredential;

/// Makes a directory with mode 0700, and those above it; one that is there is kept.
pub fn create_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// The directory that a file is in.
fn folder(path: &Path) -> &Path {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or_else(|| Path::new("."))
}

/// Makes the directory that a file is to be in.
pub fn create_folder(path: &Path) -> io::Result<()> {
    create_dir(folder(path))
}

/// A new file that is to be written: whether it can be made is known before there is what goes
/// into it. It goes with this unless it was written.
pub struct NewFile {
    path: PathBuf,
    file: File,
    written: bool,
}

impl NewFile {
    /// Makes it, empty; one that is there is an error.
    pub fn create(path: &Path, mode: u32) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(mode).open(path)?;
        Ok(Self {
            path: path.to_owned(),
            file,
            written: false,
        })
    }

    /// Writes it whole, or takes it away.
    pub fn write(mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.file.sync_all()?;
        self.written = true;
        File::open(folder(&self.path))?.sync_all()
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if self.written {
            return;
        }
        if let Err(error) = std::fs::remove_file(&self.path) {
            let path = self.path.display();
            tracing::warn!(%error, %path, "a file that was begun is left");
        }
    }
}

/// Writes a new file, whole or not at all; one that is there is an error.
pub fn create_file(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    NewFile::create(path, mode)?.write(bytes)
}

/// The place beside a file where its next content grows, with nothing there: a link that somebody
/// laid there is taken away, not followed.
fn cleared(path: &Path, ending: &str) -> io::Result<PathBuf> {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    let beside = PathBuf::from(name);
    match std::fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(beside),
    }
}

/// A file that grows beside its place, for its maker's eyes alone, to be renamed there once it is
/// whole.
#[cfg(feature = "audit")]
pub(crate) fn create_partial(path: &Path) -> io::Result<(PathBuf, File)> {
    let beside = cleared(path, ".partial")?;
    let mut options = OpenOptions::new();
    let file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)?;
    Ok((beside, file))
}

/// Writes a whole file or none, in the place of the one that is there; which of both is there is
/// durable when it returns: what the old one named may go.
pub fn write_file(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let beside = cleared(path, ".new")?;
    create_file(&beside, bytes, mode)?;
    // The umask may have taken bits away that were asked for.
    std::fs::set_permissions(&beside, Permissions::from_mode(mode))?;
    std::fs::rename(&beside, path)?;
    File::open(folder(path))?.sync_all()
}

/// Makes a root identity in a plain file and the key ring; each is made only if it is not there.
pub fn make_keys(config: &Config) -> Result<(), KeyRingError> {
    let file = &config.keys.identity;
    let root = if file.exists() {
        RootIdentity::from_file(file, None)?
    } else {
        let root = RootIdentity::generate();
        root.to_file(file, None, ScryptWork::STANDARD)?;
        root
    };
    if !config.keys.dir.join("ring.age").exists() {
        make_ring(config, &root)?;
    }
    Ok(())
}

/// Makes the key ring of a root identity, where there is none.
pub fn make_ring(config: &Config, root: &RootIdentity) -> Result<(), KeyRingError> {
    let ring = KeyRing::create(&config.keys.dir, root, &SystemEntropy::new())?;
    drop(ring);
    Ok(())
}

/// Makes an empty catalog, unless one is there.
pub fn make_catalog(config: &Config) -> Result<(), CatalogError> {
    drop(SqliteCatalog::open(&config.catalog.path)?);
    Ok(())
}

/// A credential as lines for a shell: what S3 clients read from their environment.
#[must_use]
pub fn env_lines(credential: &NewCredential, region: &str, endpoint: Option<&str>) -> SecretText {
    let endpoint = endpoint.map(|endpoint| format!("AWS_ENDPOINT_URL={endpoint}\n"));
    SecretText::new(format!(
        "{}AWS_ACCESS_KEY_ID={}\nAWS_SECRET_ACCESS_KEY={}\nAWS_REGION={region}\n\
         AWS_DEFAULT_REGION={region}\n",
        endpoint.unwrap_or_default(),
        credential.id,
        credential.secret.expose(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_never_takes_the_place_of_another() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        create_file(&path, b"one", 0o600).unwrap();
        let told = create_file(&path, b"two", 0o600).unwrap_err();
        assert_eq!(told.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_new_file_that_was_not_written_is_not_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let file = NewFile::create(&path, 0o600).unwrap();
        assert!(NewFile::create(&path, 0o600).is_err(), "it is taken");
        assert!(path.exists(), "who is refused takes nothing away");
        drop(file);
        assert!(!path.exists());
        NewFile::create(&path, 0o600).unwrap().write(b"1").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"1");
    }

    #[test]
    fn a_file_is_replaced_whole_and_its_left_over_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(dir.path().join("f.new"), b"half").unwrap();
        write_file(&path, b"one", 0o644).unwrap();
        write_file(&path, b"two", 0o600).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert!(!dir.path().join("f.new").exists());
    }

    #[test]
    fn keys_and_catalog_that_are_there_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::parse("", dir.path()).unwrap();
        create_folder(&config.catalog.path).unwrap();
        let look = || {
            make_keys(&config).unwrap();
            make_catalog(&config).unwrap();
            std::fs::read(&config.keys.identity).unwrap()
        };
        assert_eq!(look(), look());
    }
}
