//! Work on the keys of datasets: rotations and erasures, begun in one commit, done in many, ended
//! in one. What is begun stands in the catalog, so that a crash at any step leaves work that is
//! taken up again and never half of a dataset.

use ring::digest::{Context, SHA256};

use crate::types::{
    Action, BlobId, BucketName, DatasetId, KeyWorkId, ObjectKey, PrincipalId, Timestamp, VersionId,
    VersionName,
};

/// The floor of a dataset that is erased whole: no key is ever at or above it.
pub const FLOOR_ERASED: u32 = u32::MAX;

/// Which of the dataset's keys a part table is sealed under, as it says itself (`FORMAT.md`).
pub(super) fn sealed_under(table: &[u8]) -> u32 {
    let version = table.get(1..5).and_then(|bytes| bytes.try_into().ok());
    version.map_or(0, u32::from_be_bytes)
}

/// Which of the dataset's keys the key of an index is sealed under.
pub(super) fn index_sealed_under(sealed: &[u8]) -> u32 {
    let version = sealed.first_chunk().filter(|_| sealed.len() == 84);
    version.map_or(1, |bytes| u32::from_be_bytes(*bytes))
}

/// What is erased.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EraseScope {
    /// A dataset with everything in it.
    Dataset,
    /// Everything that was ever written under a key, in published versions too.
    Object(ObjectKey),
    /// One write of a key, in published versions too. An id is that write, whether versions were
    /// kept then or not. `null`, which only work of before has, is all that were made while none
    /// were kept: an approval is worded with the id of the one that it meant.
    Version(ObjectKey, VersionName),
    /// A published version, by its number: its manifest, and what only it still has. Its number
    /// and signed root stay, so that no other version is ever called so.
    Published(u32),
}

impl EraseScope {
    /// How an approval words the keys of a dataset that was deleted before: they are all that is
    /// left of it.
    pub const DELETED: &'static str = "deleted";

    /// Reads it as an approval words it: `dataset`, `deleted`, `object=KEY`, `version=N` (a
    /// published one), or `write=VERSION:KEY` (one version of an object).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once('=') {
            None => matches!(text, "dataset" | Self::DELETED).then_some(Self::Dataset),
            Some(("object", key)) => key.parse().ok().map(Self::Object),
            Some(("version", number)) => {
                let number: u32 = number.parse().ok()?;
                let canonical = number > 0 && text == format!("version={number}");
                canonical.then_some(Self::Published(number))
            }
            Some(("write", write)) => {
                let (name, key) = write.split_once(':')?;
                Some(Self::Version(key.parse().ok()?, name.parse().ok()?))
            }
            Some(_) => None,
        }
    }

    /// Whether this write of the dataset, or delete marker, is of it; a published version is none.
    pub(super) fn is_about(&self, key: &ObjectKey, write: (&VersionId, bool)) -> bool {
        match self {
            Self::Dataset => true,
            Self::Object(of) => of == key,
            Self::Version(of, name) => of == key && name_meets(name, write),
            Self::Published(_) => false,
        }
    }

    /// What the log calls it.
    #[must_use]
    pub const fn action(&self) -> Action {
        match self {
            Self::Dataset | Self::Published(_) => Action::DatasetDelete,
            Self::Object(_) => Action::ObjectDelete,
            Self::Version(..) => Action::VersionDelete,
        }
    }
}

/// Whether a write goes by the name that an erasure has for it.
pub(super) fn name_meets(name: &VersionName, (version, versioned): (&VersionId, bool)) -> bool {
    match name {
        VersionName::Null => !versioned,
        VersionName::Id(id) => id == version,
    }
}

/// A piece of work on a dataset's keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyWorkRow {
    /// Its identity.
    pub id: KeyWorkId,
    /// The dataset.
    pub dataset: DatasetId,
    /// What the dataset was called.
    pub bucket: BucketName,
    /// What is erased; `None` for a rotation. Vaults of before, where one person's deletion of an
    /// empty dataset destroyed its keys, have `None` with [`FLOOR_ERASED`] as the floor for that.
    pub scope: Option<EraseScope>,
    /// The dataset's keys below this version are destroyed by it, and nothing sealed under them is
    /// written any more; [`FLOOR_ERASED`] where no key is left.
    pub floor: u32,
    /// The versions of the keys that were there below it as the work began.
    pub keys: Vec<u32>,
    /// Who asked for it, then who approved.
    pub persons: Vec<PrincipalId>,
    /// Why, in words.
    pub reason: String,
    /// When.
    pub begun: Timestamp,
    /// How far it came. **Set by the catalog alone.**
    pub tally: Tally,
    /// How it ended; `None` while there is something left to do. Set by
    /// [`super::Mutation::EndKeyWork`] alone.
    pub end: Option<WorkEnd>,
}

impl KeyWorkRow {
    /// Whether it destroys the keys of a dataset that was deleted when it was empty, in a vault of
    /// before.
    #[must_use]
    pub const fn is_of_deleted(&self) -> bool {
        self.scope.is_none() && self.floor == FLOOR_ERASED
    }

    /// Its word, as it is listed and recorded.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self.scope {
            Some(_) => "erase",
            None if self.is_of_deleted() => "delete",
            None => "rotate",
        }
    }
}

/// How a piece of work ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WorkEnd {
    /// When.
    pub at: Timestamp,
    /// The signed certificate of an erasure; empty for a rotation.
    pub certificate: String,
}

/// What an erasure took out of the catalog so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Writes: each version of each object once.
    pub writes: u64,
    /// Their plaintext lengths together.
    pub bytes: u64,
    /// Blobs that nothing else refers to, theirs and those of parts and manifests.
    pub blobs: u64,
    /// `SHA-256(digest before ‖ line)` over the list, from 32 zero bytes on.
    pub digest: [u8; 32],
}

impl Tally {
    /// Adds a write, which is the next line of the list.
    pub fn add(&mut self, write: &ErasedWrite) {
        let mut context = Context::new(&SHA256);
        context.update(&self.digest);
        context.update(write.line().as_bytes());
        for (to, from) in self.digest.iter_mut().zip(context.finish().as_ref()) {
            *to = *from;
        }
        self.writes = self.writes.saturating_add(1);
        self.bytes = self.bytes.saturating_add(write.bytes);
    }
}

/// One write that was erased.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ErasedWrite {
    /// The key.
    pub key: ObjectKey,
    /// The write.
    pub version: VersionId,
    /// Its plaintext length in bytes.
    pub bytes: u64,
}

impl ErasedWrite {
    /// `version bytes key`, without a newline; no key holds one.
    #[must_use]
    pub fn line(&self) -> String {
        format!("{} {} {}", self.version, self.bytes, self.key)
    }
}

/// A blob that an erasure took a reference from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DoomedBlob {
    /// The blob.
    pub id: BlobId,
    /// Whether something else refers to it (a copy): then it stays in the store.
    pub shared: bool,
}
