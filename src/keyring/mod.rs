//! The key ring: what the root identity opens, and every key below it.
//!
//! ```text
//! DIR/root.pub             whose ring it is: the root identity's public half
//! DIR/ring.age             the ring key, encrypted to the root identity
//! DIR/datasets/<id>.key          a dataset's first key, wrapped under the ring key
//! DIR/datasets/<id>.d/<n>.key    its key of version n, from 2 on; each bound to id and version
//! ```
//!
//! So a key is made by one durable creation of a file and destroyed by deleting one; the
//! root identity opens the ring and is not needed after that. Copies of the directory that are
//! named to the ring are kept with it: a key that is made is in each of them, and one that is
//! destroyed is in none, before either call returns. All derivations stand in
//! `seal::keys`. The calls do plain file I/O: on a runtime, [`KeyRing::dataset`] touches the disk
//! at most once for each dataset, the others are rare.
//!
//! Who can write in the directory can put a ring of his own there, encrypted to the same public
//! half: it opens no dataset, but would seal new ones. [`KeyRing::fingerprint`] is what to pin
//! against that.

mod copies;
mod datasets;
mod error;
mod files;
mod ring;
mod root;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_versions;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;
use data_encoding::HEXLOWER;
pub use error::KeyRingError;
pub(crate) use files::{read_if_there as take_file, replace as replace_file};
pub use ring::RootMark;
pub use root::{
    FileIdentity, Gathered, Gathering, Keeper, KeptRoot, Quorum, RootFile, RootIdentity,
    ScryptWork, Share, ShareKey, ShareLock, ShareRefused, SplitError, Wrapped,
    file_needs_passphrase, is_recipient, open_share, split,
};
pub(crate) use root::{decrypt as decrypt_with, encrypt as encrypt_to};
use zeroize::Zeroizing;

use crate::seal::keys::{Label, Parent, mac};
use crate::seal::{DatasetKey, open_bytes, seal_bytes};
use crate::types::{BlobId, DatasetId, Entropy, ProjectName, Secret, Timestamp};

/// An open key ring. **Implements none of Debug, Clone, Serialize.**
///
/// ```compile_fail
/// fn print(ring: &kluis::keyring::KeyRing) { println!("{ring:?}"); }
/// ```
pub struct KeyRing {
    /// `None`: in memory only.
    directory: Option<PathBuf>,
    /// Directories that hold what `directory` holds.
    copies: Vec<PathBuf>,
    keys: RingKeys,
    root: RootMark,
    state: RwLock<State>,
}

/// What the ring key is for: each derived once, the ring key itself forgotten.
struct RingKeys {
    datasets: Secret<32>,
    secrets: Secret<32>,
    snapshots: Secret<32>,
    names: Secret<32>,
    log: Secret<32>,
    log_sign: Secret<32>,
    log_scopes: Secret<32>,
    log_state: Secret<32>,
    log_files: Secret<32>,
    log_names: Secret<32>,
    publish: Secret<32>,
    print: Secret<32>,
}

#[derive(Default)]
struct State {
    /// Each dataset's keys in order of version, at least one.
    open: HashMap<DatasetId, Vec<Arc<DatasetKey>>>,
    /// Below which version this process destroyed keys: a load that was under way must not bring
    /// one back.
    floors: HashMap<DatasetId, u32>,
}

impl RingKeys {
    fn derive(ring: &Secret<32>) -> Result<Self, KeyRingError> {
        let parent = Parent::new(ring, &[]);
        let child = |label| parent.child(label, &[]).map_err(KeyRingError::Seal);
        Ok(Self {
            datasets: child(Label::RingDatasets)?,
            secrets: child(Label::RingSecrets)?,
            snapshots: child(Label::RingSnapshots)?,
            names: child(Label::RingNames)?,
            log: child(Label::RingLog)?,
            log_sign: child(Label::RingLogSign)?,
            log_scopes: child(Label::RingLogScopes)?,
            log_state: child(Label::RingLogState)?,
            log_files: child(Label::RingLogFiles)?,
            log_names: child(Label::RingLogNames)?,
            publish: child(Label::RingPublish)?,
            print: child(Label::RingPrint)?,
        })
    }
}

impl KeyRing {
    /// Makes a ring in `dir`, which must hold none; durable when it returns `Ok`.
    pub fn create(
        dir: &Path,
        root: &RootIdentity,
        entropy: &dyn Entropy,
    ) -> Result<Self, KeyRingError> {
        let file = dir.join("ring.age");
        if file.exists() {
            return Err(KeyRingError::Exists { path: file });
        }
        files::make_directory(dir)?;
        files::check_directory(dir)?;
        files::make_directory(&dir.join("datasets"))?;
        let ring = Secret::random(entropy).map_err(KeyRingError::Entropy)?;
        let sealed = root.encrypt(&ring::plain(&ring, RootMark::FIRST))?;
        // This file makes the ring: of two who try at once, one gets here and the other nowhere.
        files::create(&file, &sealed)?;
        name_root(dir, root)?;
        Self::of(Some(dir.into()), (&ring, RootMark::FIRST))
    }

    /// Opens the ring in `dir`.
    pub fn open(dir: &Path, root: &RootIdentity) -> Result<Self, KeyRingError> {
        let (ring, mark) = open_ring(dir, root)?;
        check_root_name(dir, root)?;
        Self::of(Some(dir.into()), (&ring, mark))
    }

    /// Whether [`Self::change_root`] may begin: each of the `copies` holds the ring of `dir`, under
    /// the old root or already under the new one. Another vault's would be lost: nobody else has
    /// what it is to be encrypted from.
    pub fn may_change_root(
        dir: &Path,
        copies: &[PathBuf],
        roots: (&RootIdentity, &RootIdentity),
    ) -> Result<(), KeyRingError> {
        let (ring, _) = open_either(dir, roots)?;
        for copy in copies {
            copies::check(copy)?;
            let path = copy.join("ring.age");
            match open_either(copy, roots) {
                Ok((there, _)) if there.same_as(&ring) => {}
                Ok(_) | Err(KeyRingError::WrongRoot { .. }) => {
                    return Err(KeyRingError::OtherRing { path });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Encrypts the ring to another root identity, in `dir` and in its `copies`; from then on the
    /// old one opens none of them. At whatever step it is cut short, one of the two opens each of
    /// them, and doing it again ends it. A copy of another ring is refused before anything is
    /// written. **An older copy of `ring.age` still opens to the old one**: destroy those.
    pub fn change_root(
        dir: &Path,
        copies: &[PathBuf],
        (old, new): (&RootIdentity, &RootIdentity),
        at: Timestamp,
    ) -> Result<(), KeyRingError> {
        // What was cut short behind this directory is ended with the new one alone.
        let (ring, mark) = match open_ring(dir, old) {
            Err(KeyRingError::WrongRoot { .. }) => open_ring(dir, new)?,
            Ok((ring, mark)) => (ring, mark.next(at)),
            Err(error) => return Err(error),
        };
        let sealed = new.encrypt(&ring::plain(&ring, mark))?;
        Self::may_change_root(dir, copies, (old, new))?;
        for dir in copies.iter().map(PathBuf::as_path).chain([dir]) {
            // Both names first, so that the ring opens to either whatever stands beside them.
            let both = format!("{}\n{}\n", old.recipient(), new.recipient());
            files::replace(&dir.join("root.pub"), both.as_bytes())?;
            files::replace(&dir.join("ring.age"), &sealed)?;
            name_root(dir, new)?;
        }
        Ok(())
    }

    /// A ring that is gone with the process, for tests and self-checks.
    pub fn in_memory(entropy: &dyn Entropy) -> Result<Self, KeyRingError> {
        let ring = Secret::random(entropy).map_err(KeyRingError::Entropy)?;
        Self::of(None, (&ring, RootMark::FIRST))
    }

    fn of(
        directory: Option<PathBuf>,
        (ring, root): (&Secret<32>, RootMark),
    ) -> Result<Self, KeyRingError> {
        Ok(Self {
            directory,
            copies: Vec::new(),
            keys: RingKeys::derive(ring)?,
            root,
            state: RwLock::default(),
        })
    }

    /// Seals a short secret for the catalog, bound to `context`: what it belongs to.
    pub fn seal_secret(
        &self,
        context: &[u8],
        plain: &[u8],
        entropy: &dyn Entropy,
    ) -> Result<Bytes, KeyRingError> {
        seal_bytes(&self.keys.secrets, Label::Secret, context, plain, entropy)
            .map_err(KeyRingError::Seal)
    }

    /// Opens what [`Self::seal_secret`] sealed for the same context.
    pub fn open_secret(
        &self,
        context: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, KeyRingError> {
        open_bytes(&self.keys.secrets, Label::Secret, context, sealed).map_err(KeyRingError::Secret)
    }

    /// The key of the log.
    #[must_use]
    pub const fn log_key(&self) -> Secret<32> {
        self.keys.log.duplicate()
    }

    /// The seed of the key that signs the log's checkpoints.
    #[must_use]
    pub const fn log_signing_seed(&self) -> Secret<32> {
        self.keys.log_sign.duplicate()
    }

    /// The key of the tags and salts of the log's scopes.
    #[must_use]
    pub const fn log_scope_key(&self) -> Secret<32> {
        self.keys.log_scopes.duplicate()
    }

    /// The key that the log's state is sealed under.
    #[must_use]
    pub const fn log_state_key(&self) -> Secret<32> {
        self.keys.log_state.duplicate()
    }

    /// The key that the keys of the log's files are wrapped under.
    #[must_use]
    pub const fn log_files_key(&self) -> Secret<32> {
        self.keys.log_files.duplicate()
    }

    /// The key under which a project's people have their pseudonyms in what is shown of the log. It
    /// tells nothing of any other project's.
    #[must_use]
    pub fn log_names_key(&self, project: &ProjectName) -> Secret<32> {
        let name = project.as_str().as_bytes();
        mac(&self.keys.log_names, &[b"kluis/log/1/names\0", name])
    }

    /// The seed of the key that signs published versions.
    #[must_use]
    pub const fn publishing_seed(&self) -> Secret<32> {
        self.keys.publish.duplicate()
    }

    /// The key of the catalog's snapshots.
    #[must_use]
    pub const fn snapshot_key(&self) -> Secret<32> {
        self.keys.snapshots.duplicate()
    }

    /// The name of a snapshot in the store: the first half of HMAC-SHA256 of its number. A
    /// recovery finds it without a listing; the store cannot tell it from any other blob's name.
    #[must_use]
    pub fn snapshot_blob_id(&self, sequence: u64) -> BlobId {
        BlobId::from_bytes(self.name(sequence))
    }

    /// A public name of this ring, 32 hex digits, that no other ring has: to be pinned in the
    /// configuration, and to tell which ring made a backup.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let (half, _) = self.keys.print.expose().split_at(16);
        HEXLOWER.encode(half)
    }

    /// The how-manieth root the ring was opened with, and since when it is that.
    #[must_use]
    pub const fn root(&self) -> RootMark {
        self.root
    }

    fn name(&self, sequence: u64) -> [u8; 16] {
        let tag = mac(&self.keys.names, &[&sequence.to_be_bytes()]);
        let mut name = [0; 16];
        for (to, from) in name.iter_mut().zip(tag.expose()) {
            *to = *from;
        }
        name
    }

    // A panic of another holder cannot leave the maps half changed, so poison is passed over.
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The ring key, if `root` opens it.
fn open_ring(dir: &Path, root: &RootIdentity) -> Result<(Secret<32>, RootMark), KeyRingError> {
    files::check_directory(dir)?;
    let file = dir.join("ring.age");
    let sealed = files::read(&file)?;
    let damaged = || KeyRingError::Damaged { path: file.clone() };
    let plain = root.decrypt(&sealed).map_err(|cause| {
        if matches!(cause, age::DecryptError::NoMatchingKeys) {
            return KeyRingError::WrongRoot { path: file.clone() };
        }
        damaged()
    })?;
    ring::parse(&plain).ok_or_else(damaged)
}

/// The same, if one of the two does.
fn open_either(
    dir: &Path,
    (old, new): (&RootIdentity, &RootIdentity),
) -> Result<(Secret<32>, RootMark), KeyRingError> {
    match open_ring(dir, old) {
        Err(KeyRingError::WrongRoot { .. }) => open_ring(dir, new),
        told => told,
    }
}

/// Writes whose ring it is.
fn name_root(dir: &Path, root: &RootIdentity) -> Result<(), KeyRingError> {
    let public = format!("{}\n", root.recipient());
    files::replace(&dir.join("root.pub"), public.as_bytes())
}

/// Refuses a `root.pub` of another identity, as a ring encrypted anew would then be for its owner.
/// One that is missing, as after a crash in the middle of the creation, is written.
fn check_root_name(dir: &Path, root: &RootIdentity) -> Result<(), KeyRingError> {
    let path = dir.join("root.pub");
    match files::read_if_there(&path)? {
        None => name_root(dir, root),
        // Two lines while it is changed.
        Some(public)
            if public
                .split(|byte| *byte == b'\n')
                .any(|name| name == root.recipient().as_bytes()) =>
        {
            Ok(())
        }
        Some(_) => Err(KeyRingError::Damaged { path }),
    }
}
