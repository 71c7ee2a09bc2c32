//! Directories and names of a version, found in its pages.

use std::sync::Arc;

use super::NodeError;
use super::version::Version;
use crate::manifest::{Entry, EntryRef, FileEntry, Page};

/// Where an entry stands: the same in every mount of the version, so that an inode is made of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Place {
    /// Its page.
    pub page: usize,
    /// Its number in the page.
    pub slot: usize,
}

/// What stands at a place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A file.
    File(Box<FileEntry>),
    /// A directory.
    Directory,
}

/// An entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// Where it stands.
    pub place: Place,
    /// The path of the directory that it is in: empty, or with a slash at the end.
    pub directory: Vec<u8>,
    /// Its name.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: Kind,
}

impl Found {
    fn of(place: Place, entry: &EntryRef<'_>) -> Result<Self, NodeError> {
        Ok(Self {
            place,
            directory: entry.directory.to_vec(),
            name: entry.name.to_vec(),
            kind: match entry.entry()? {
                Entry::File(file) => Kind::File(Box::new(file)),
                Entry::Directory => Kind::Directory,
            },
        })
    }

    /// The path of a directory, with a slash at the end.
    #[must_use]
    pub fn path(&self) -> Vec<u8> {
        [&self.directory[..], &self.name, b"/"].concat()
    }

    /// The object's key, of a file.
    pub fn key(&self) -> Result<String, NodeError> {
        let key = [&self.directory[..], &self.name].concat();
        String::from_utf8(key).map_err(|_text| NodeError::Absent)
    }
}

impl Version {
    /// The entry of a name in a directory.
    pub async fn find(&self, directory: &[u8], name: &[u8]) -> Result<Found, NodeError> {
        for slash in [&b""[..], b"/"] {
            let key = [directory, &[0xff], name, slash].concat();
            let number = self.index().seek(&key);
            if number >= self.index().pages().len() {
                continue;
            }
            let page = self.page(number).await?;
            let slot = page.seek(&key);
            if let Some(entry) = page.get(slot).filter(|entry| entry.sort_key() == key) {
                let place = Place { page: number, slot };
                return Found::of(place, &entry);
            }
        }
        Err(NodeError::Absent)
    }

    /// What stands at a place.
    pub async fn at(&self, place: Place) -> Result<Found, NodeError> {
        let page = self.page(place.page).await?;
        let entry = page.get(place.slot).ok_or(NodeError::Absent)?;
        Found::of(place, &entry)
    }

    /// Entries of a directory in order, those after `after`, at most `limit`.
    pub async fn entries(
        &self,
        directory: &[u8],
        after: Option<Place>,
        limit: usize,
    ) -> Result<Vec<Found>, NodeError> {
        let mut out = Vec::new();
        let (mut number, mut slot) = match after {
            Some(place) => (place.page, Some(place.slot.saturating_add(1))),
            None => (self.index().seek(&[directory, &[0xff]].concat()), None),
        };
        while out.len() < limit && number < self.index().pages().len() {
            let page: Arc<Page> = self.page(number).await?;
            let begin = slot
                .take()
                .unwrap_or_else(|| page.seek(&[directory, &[0xff]].concat()));
            for at in begin..page.len() {
                let entry = page.get(at).ok_or(NodeError::Absent)?;
                if entry.directory != directory || out.len() >= limit {
                    return Ok(out);
                }
                let place = Place {
                    page: number,
                    slot: at,
                };
                out.push(Found::of(place, &entry)?);
            }
            number = number.saturating_add(1);
            slot = Some(0);
        }
        Ok(out)
    }
}
