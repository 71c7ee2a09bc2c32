//! A part of a version: what lies under a prefix, for whoever may know of no more.
//!
//! The signed whole names everything, so a part is made of it: pages that lie within the prefix as
//! they are, pages at its edges cut, and the directories on the way to it. It depends on the
//! version and the prefix alone, so who has the whole can make it again and compare. Its root is
//! signed by the same key and names the root of the whole, and no name beside the prefix. What the
//! whole's root tells beyond that, how much there is of everything, is not in it.

use super::ManifestError;
use super::build::Built;
use super::page::{AFTER, Entry, HIDDEN, Page};
use super::root::{Digest, SignerKey, name};
use super::wire::{Reader, put_counted, put_short};
use crate::types::{BucketName, Timestamp, limits};

const MAGIC: [u8; 8] = *b"KLUISP2\0";

/// A part's root.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Part {
    /// The digest of the whole version's root.
    pub whole: Digest,
    /// The version's number, from 1.
    pub number: u32,
    /// When it was frozen.
    pub frozen: Timestamp,
    /// SHA-256 of the root of the version before; zeros for the first.
    pub previous: Digest,
    /// How many pages its index names.
    pub pages: u32,
    /// The index's length in bytes.
    pub index_bytes: u32,
    /// SHA-256 of the index.
    pub index: Digest,
    /// Project and name of the dataset.
    pub bucket: BucketName,
    /// What every key of the part begins with.
    pub prefix: String,
}

impl Part {
    /// The one encoding.
    pub fn encode(&self) -> Result<Vec<u8>, ManifestError> {
        let mut out = Vec::with_capacity(256);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&self.whole);
        out.extend_from_slice(&self.number.to_be_bytes());
        out.extend_from_slice(&self.frozen.millis().to_be_bytes());
        out.extend_from_slice(&self.previous);
        out.extend_from_slice(&self.pages.to_be_bytes());
        out.extend_from_slice(&self.index_bytes.to_be_bytes());
        out.extend_from_slice(&self.index);
        put_short(&mut out, self.bucket.project.as_str().as_bytes())?;
        put_short(&mut out, self.bucket.dataset.as_str().as_bytes())?;
        put_counted(&mut out, self.prefix.as_bytes())?;
        Ok(out)
    }

    /// Reads exactly what [`Self::encode`] writes.
    pub fn decode(bytes: &[u8]) -> Result<Self, ManifestError> {
        let mut reader = Reader::new(bytes);
        //= src/manifest/FORMAT.md#part
        //# The magic MUST be `KLUISP2` followed by one zero byte.
        if reader.array()? != MAGIC {
            return Err(ManifestError::Form);
        }
        let part = Self {
            whole: reader.array()?,
            number: reader.u32()?,
            frozen: Timestamp::from_millis(reader.u64()?),
            previous: reader.array()?,
            pages: reader.u32()?,
            index_bytes: reader.u32()?,
            index: reader.array()?,
            bucket: BucketName {
                project: name(reader.short()?)?,
                dataset: name(reader.short()?)?,
            },
            prefix: std::str::from_utf8(reader.counted()?)
                .map_err(|_text| ManifestError::Form)?
                .to_owned(),
        };
        reader.finish()?;
        //= src/manifest/FORMAT.md#part
        //# The number MUST be at least 1; `previous` MUST be zero for number 1 and for no other.
        if part.number < 1 || (part.number == 1) != (part.previous == [0; 32]) {
            return Err(ManifestError::Form);
        }
        //= src/manifest/FORMAT.md#part
        //# The prefix MUST be 1 to 1,024 bytes of UTF-8.
        Scope::of(&part.prefix).map(|_sound| part)
    }
}

impl SignerKey {
    /// Opens a part's envelope: its root, if this key signed it.
    pub fn open_part(&self, envelope: &[u8]) -> Result<Part, ManifestError> {
        Part::decode(self.verified(envelope)?)
    }
}

/// A range of sort keys that begin alike.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Range {
    start: Vec<u8>,
}

impl Range {
    /// Where it begins.
    #[must_use]
    pub fn start(&self) -> &[u8] {
        &self.start
    }

    /// Whether a sort key lies within.
    #[must_use]
    pub fn holds(&self, key: &[u8]) -> bool {
        key.starts_with(&self.start)
    }

    /// Whether a sort key lies behind its end.
    #[must_use]
    pub fn is_before(&self, key: &[u8]) -> bool {
        key > self.start.as_slice() && !self.holds(key)
    }
}

/// What belongs to a prefix.
pub struct Scope {
    ranges: Vec<Range>,
    /// The directories on the way, from the top down, each with the one that it is in.
    way: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Scope {
    /// Of a prefix, which may end anywhere.
    pub fn of(prefix: &str) -> Result<Self, ManifestError> {
        let bytes = prefix.as_bytes();
        if bytes.is_empty() || bytes.len() > limits::OBJECT_KEY_BYTES_MAX {
            return Err(ManifestError::Form);
        }
        let cut = bytes.iter().rposition(|b| *b == b'/');
        let cut = cut.map_or(0, |at| at.saturating_add(1));
        let (directory, name) = bytes.split_at(cut);
        // Directories below the prefix with what is in them, then objects that nothing shows.
        let mut starts = vec![bytes.to_vec(), [HIDDEN, &[AFTER], bytes].concat()];
        if !name.is_empty() {
            starts.push([directory, &[AFTER], name].concat());
        }
        starts.sort();
        let mut way = Vec::new();
        let mut above = Vec::new();
        for part in directory.split_inclusive(|b| *b == b'/') {
            let below = [&above[..], part].concat();
            way.push((above, part.strip_suffix(b"/").unwrap_or(part).to_vec()));
            above = below;
        }
        let ranges = starts.into_iter().map(|start| Range { start }).collect();
        Ok(Self { ranges, way })
    }

    /// Where entries of the part are, in order.
    #[must_use]
    pub fn ranges(&self) -> &[Range] {
        &self.ranges
    }

    /// The sort key of the last directory on the way, if there is one: with it are the others.
    #[must_use]
    pub fn last_on_the_way(&self) -> Option<Vec<u8>> {
        self.way.last().map(|(above, name)| on_the_way(above, name))
    }

    /// Whether an entry may be in the part.
    #[must_use]
    pub fn holds(&self, key: &[u8]) -> bool {
        self.ranges.iter().any(|range| range.holds(key))
            || self
                .way
                .iter()
                .any(|(above, name)| on_the_way(above, name) == key)
    }

    /// The pages of the directories on the way: those within another, and the one at the top, which
    /// comes behind everything.
    pub fn way(&self) -> Result<Vec<Built>, ManifestError> {
        let Some((top, below)) = self.way.split_first() else {
            return Ok(Vec::new());
        };
        let pages = [below, std::slice::from_ref(top)];
        let pages = pages.into_iter().filter(|page| !page.is_empty());
        pages.map(directories).collect()
    }
}

fn on_the_way(above: &[u8], name: &[u8]) -> Vec<u8> {
    [above, &[AFTER], name, b"/"].concat()
}

/// A page of directories, each the only entry of the one that it is in; the deepest comes first.
fn directories(way: &[(Vec<u8>, Vec<u8>)]) -> Result<Built, ManifestError> {
    let mut built = Built {
        bytes: Vec::new(),
        entries: 0,
        first: Vec::new(),
        last: Vec::new(),
    };
    for (above, name) in way.iter().rev() {
        put_counted(&mut built.bytes, above)?;
        built.bytes.extend_from_slice(&1_u32.to_be_bytes());
        Entry::Directory.encode(name, &mut built.bytes)?;
        built.entries = built.entries.saturating_add(1);
        built.last = on_the_way(above, name);
        if built.first.is_empty() {
            built.first.clone_from(&built.last);
        }
    }
    Ok(built)
}

impl Page {
    /// The entries of a range as a page of their own; `None` if there are none.
    pub fn cut(&self, range: &Range) -> Result<Option<Built>, ManifestError> {
        let entries = (self.seek(range.start())..self.len()).map_while(|at| self.get(at));
        let entries: Vec<_> = entries
            .take_while(|entry| range.holds(&entry.sort_key()))
            .collect();
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        for run in entries.chunk_by(|a, b| a.directory == b.directory) {
            let directory = run.first().map_or(&[][..], |entry| entry.directory);
            put_counted(&mut bytes, directory)?;
            let count = u32::try_from(run.len()).map_err(|_many| ManifestError::TooLarge)?;
            bytes.extend_from_slice(&count.to_be_bytes());
            for entry in run {
                entry.encode(&mut bytes)?;
            }
        }
        Ok(Some(Built {
            first: first.sort_key(),
            last: last.sort_key(),
            entries: u32::try_from(entries.len()).map_err(|_many| ManifestError::TooLarge)?,
            bytes,
        }))
    }
}
