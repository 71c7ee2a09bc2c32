//! A page: a run of entries, sorted by directory and name.
//!
//! An entry's *sort key* is its directory's path with the slash behind it, a byte 0xFF, and its
//! name; a directory's name has a slash behind it too. No UTF-8 text holds 0xFF, so a directory's
//! entries are one run, in the order in which S3 lists them, and a directory comes behind all that
//! is below it: the order in which a sorted listing completes them.

use super::ManifestError;
use super::root::Digest;
use super::wire::{Reader, put_counted, put_short};
use crate::types::{ETag, Timestamp, VersionId, limits};

/// Between directory and name in a sort key.
pub(super) const AFTER: u8 = 0xff;
/// The directory of objects that no directory can show; no path begins so.
pub(super) const HIDDEN: &[u8] = &[0xfe];

const FILE: u8 = 1;
const DIRECTORY: u8 = 2;

/// A file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileEntry {
    /// Plaintext length in bytes.
    pub bytes: u64,
    /// When it was written.
    pub modified: Timestamp,
    /// The write.
    pub version: VersionId,
    /// The entity tag.
    pub etag: ETag,
    /// CRC-64/NVME of the plaintext, where it is known.
    pub crc64: Option<u64>,
    /// What its part table must hash to (`seal::Table::commitment`).
    pub commitment: Digest,
}

/// What a name stands for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Entry {
    /// A file.
    File(FileEntry),
    /// A directory.
    Directory,
}

impl Entry {
    pub(super) fn encode(&self, name: &[u8], out: &mut Vec<u8>) -> Result<(), ManifestError> {
        match self {
            Self::Directory => {
                out.push(DIRECTORY);
                put_counted(out, name)
            }
            Self::File(file) => {
                out.push(FILE);
                put_counted(out, name)?;
                out.extend_from_slice(&file.bytes.to_be_bytes());
                out.extend_from_slice(&file.modified.millis().to_be_bytes());
                out.extend_from_slice(file.version.as_bytes());
                put_short(out, file.etag.as_str().as_bytes())?;
                out.push(u8::from(file.crc64.is_some()));
                out.extend_from_slice(&file.crc64.unwrap_or_default().to_be_bytes());
                out.extend_from_slice(&file.commitment);
                Ok(())
            }
        }
    }
}

/// One entry in a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EntryRef<'a> {
    /// The directory's path: empty for the top, else with a slash at the end.
    pub directory: &'a [u8],
    /// The name, without a slash at the end.
    pub name: &'a [u8],
    /// Whether it is a directory.
    pub is_directory: bool,
    rest: &'a [u8],
}

impl EntryRef<'_> {
    /// The sort key.
    #[must_use]
    pub fn sort_key(&self) -> Vec<u8> {
        let slash: &[u8] = if self.is_directory { b"/" } else { b"" };
        [self.directory, &[AFTER], self.name, slash].concat()
    }

    /// What the name stands for.
    pub fn entry(&self) -> Result<Entry, ManifestError> {
        if self.is_directory {
            return Ok(Entry::Directory);
        }
        let mut reader = Reader::new(self.rest);
        let file = file(&mut reader)?;
        reader.finish()?;
        Ok(Entry::File(file))
    }

    /// The entry as its page has it.
    pub(super) fn encode(&self, out: &mut Vec<u8>) -> Result<(), ManifestError> {
        out.push(if self.is_directory { DIRECTORY } else { FILE });
        put_counted(out, self.name)?;
        out.extend_from_slice(self.rest);
        Ok(())
    }

    /// The object's key, of a file.
    #[must_use]
    pub fn key(&self) -> Option<String> {
        let directory = if self.directory == HIDDEN {
            b""
        } else {
            self.directory
        };
        String::from_utf8([directory, self.name].concat()).ok()
    }

    /// Whether it is an object that no directory shows.
    #[must_use]
    pub fn is_hidden(&self) -> bool {
        self.directory == HIDDEN
    }
}

fn file(reader: &mut Reader<'_>) -> Result<FileEntry, ManifestError> {
    let bytes = reader.u64()?;
    let modified = Timestamp::from_millis(reader.u64()?);
    let version = VersionId::from_bytes(reader.array()?);
    let etag = std::str::from_utf8(reader.short()?).ok();
    let etag = etag.and_then(|text| text.parse().ok());
    let known = reader.u8()?;
    let crc64 = reader.u64()?;
    let crc64 = match (known, crc64) {
        (1, crc64) => Some(crc64),
        (0, 0) => None,
        _ => return Err(ManifestError::Form),
    };
    Ok(FileEntry {
        bytes,
        modified,
        version,
        etag: etag.ok_or(ManifestError::Form)?,
        crc64,
        commitment: reader.array()?,
    })
}

/// Where an entry lies in a page.
#[derive(Clone, Copy)]
struct Slot {
    directory: (u32, u32),
    at: u32,
    /// Of the entry's kind, name and rest together.
    len: u32,
}

/// A page, checked whole: its entries are in order and nothing is left over.
pub struct Page {
    bytes: Vec<u8>,
    slots: Vec<Slot>,
}

impl Page {
    /// Reads a page.
    pub fn decode(bytes: Vec<u8>) -> Result<Self, ManifestError> {
        if bytes.len() > limits::MANIFEST_PAGE_BYTES_MAX {
            return Err(ManifestError::TooLarge);
        }
        let mut slots = Vec::new();
        let mut reader = Reader::new(&bytes);
        let at = |reader: &Reader<'_>| bytes.len().saturating_sub(reader.left());
        let mut before: Vec<u8> = Vec::new();
        while reader.left() > 0 {
            let directory = reader.counted()?;
            let end = at(&reader);
            let directory_at = (
                small(end.saturating_sub(directory.len()))?,
                small(directory.len())?,
            );
            let entries = reader.u32()?;
            if entries == 0 || !is_directory_path(directory) {
                return Err(ManifestError::Form);
            }
            for _ in 0..entries {
                let start = at(&reader);
                let found = read_entry(&mut reader, directory)?;
                let key = found.sort_key();
                //= src/manifest/FORMAT.md#page
                //# Sort keys MUST ascend strictly within a page.
                if key <= before {
                    return Err(ManifestError::Form);
                }
                before = key;
                slots.push(Slot {
                    directory: directory_at,
                    at: small(start)?,
                    len: small(at(&reader).saturating_sub(start))?,
                });
            }
        }
        Ok(Self { bytes, slots })
    }

    /// How many entries it holds.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Bytes of memory that it takes, about.
    #[must_use]
    pub const fn weight(&self) -> usize {
        self.bytes
            .len()
            .saturating_add(self.slots.len().saturating_mul(16))
    }

    /// One entry.
    #[must_use]
    pub fn get(&self, at: usize) -> Option<EntryRef<'_>> {
        let slot = self.slots.get(at)?;
        let piece = |at: u32, len: u32| {
            let at = usize::try_from(at).ok()?;
            let len = usize::try_from(len).ok()?;
            self.bytes.get(at..at.checked_add(len)?)
        };
        let directory = piece(slot.directory.0, slot.directory.1)?;
        let mut reader = Reader::new(piece(slot.at, slot.len)?);
        read_entry(&mut reader, directory).ok()
    }

    /// The first entry whose sort key is not below `key`; [`Self::len`] if all are.
    #[must_use]
    pub fn seek(&self, key: &[u8]) -> usize {
        let below = |at: usize| {
            self.get(at)
                .is_some_and(|entry| entry.sort_key().as_slice() < key)
        };
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            if below(middle) {
                low = middle.saturating_add(1);
            } else {
                high = middle;
            }
        }
        low
    }
}

fn small(number: usize) -> Result<u32, ManifestError> {
    u32::try_from(number).map_err(|_big| ManifestError::TooLarge)
}

fn read_entry<'a>(
    reader: &mut Reader<'a>,
    directory: &'a [u8],
) -> Result<EntryRef<'a>, ManifestError> {
    let kind = reader.u8()?;
    let name = reader.counted()?;
    let hidden = directory == HIDDEN;
    let (is_directory, rest) = match kind {
        DIRECTORY if !hidden => (true, &[][..]),
        FILE => (false, take_file(reader)?),
        _ => return Err(ManifestError::Form),
    };
    //= src/manifest/FORMAT.md#page
    //# A name MUST be 1 to 255 bytes of UTF-8 without a slash or zero byte, and neither `.` nor `..`.
    if !hidden && !is_name(name) {
        return Err(ManifestError::Form);
    }
    Ok(EntryRef {
        directory,
        name,
        is_directory,
        rest,
    })
}

/// The bytes of a file behind its name, checked.
fn take_file<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], ManifestError> {
    const BEFORE_TAG: usize = 32;
    const BEHIND_TAG: usize = 41;
    let mut peek = reader.peek();
    peek.take(BEFORE_TAG)?;
    let tag = peek.u8()?;
    let len = BEFORE_TAG
        .saturating_add(1)
        .saturating_add(tag.into())
        .saturating_add(BEHIND_TAG);
    let bytes = reader.take(len)?;
    let mut whole = Reader::new(bytes);
    file(&mut whole)?;
    whole.finish()?;
    Ok(bytes)
}

/// Whether a directory can show this name.
#[must_use]
pub(super) fn is_name(name: &[u8]) -> bool {
    !name.is_empty()
        && name.len() <= limits::FILE_NAME_BYTES_MAX
        && name != b"."
        && name != b".."
        && !name.iter().any(|b| matches!(b, b'/' | 0))
        && std::str::from_utf8(name).is_ok()
}

fn is_directory_path(path: &[u8]) -> bool {
    if path.is_empty() || path == HIDDEN {
        return true;
    }
    path.strip_suffix(b"/").is_some_and(|path| {
        path.len() <= limits::OBJECT_KEY_BYTES_MAX && path.split(|b| *b == b'/').all(is_name)
    })
}
