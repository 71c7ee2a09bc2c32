//! The index: which page holds which part of the sorted whole, and what it must hash to.

use super::ManifestError;
use super::root::Digest;
use super::wire::{Reader, put_counted};
use crate::types::{BlobId, Secret, limits};

/// One page, as the index names it.
pub struct PageRef {
    /// Its blob.
    pub blob: BlobId,
    /// The blob's data key.
    pub key: Secret<32>,
    /// Its plaintext length in bytes.
    pub bytes: u32,
    /// SHA-256 of the sealed blob.
    pub digest: Digest,
    /// How many entries it holds, at least 1.
    pub entries: u32,
    /// The sort key of its first entry.
    pub first: Vec<u8>,
    /// The sort key of its last entry.
    pub last: Vec<u8>,
}

/// All pages, in order.
pub struct Index {
    pages: Vec<PageRef>,
}

impl Index {
    /// Puts pages in order.
    pub fn new(mut pages: Vec<PageRef>) -> Result<Self, ManifestError> {
        pages.sort_by(|a, b| a.first.cmp(&b.first));
        let index = Self { pages };
        if index.is_sound() {
            Ok(index)
        } else {
            Err(ManifestError::Form)
        }
    }

    /// The pages in order.
    #[must_use]
    pub fn pages(&self) -> &[PageRef] {
        &self.pages
    }

    /// The pages in order.
    #[must_use]
    pub fn into_pages(self) -> Vec<PageRef> {
        self.pages
    }

    /// The number of the page that holds `key`, or the first that holds anything after it.
    #[must_use]
    pub fn seek(&self, key: &[u8]) -> usize {
        self.pages
            .partition_point(|page| page.last.as_slice() < key)
    }

    fn is_sound(&self) -> bool {
        //= src/manifest/FORMAT.md#index
        //# Pages MUST be in order and MUST NOT overlap.
        let apart = self.pages.windows(2).all(|pair| match pair {
            [a, b] => a.last < b.first,
            _ => true,
        });
        apart
            && self.pages.len() <= limits::MANIFEST_PAGES_MAX
            && self.pages.iter().all(|page| {
                page.first <= page.last
                    && page.entries >= 1
                    && usize::try_from(page.bytes)
                        .is_ok_and(|n| n <= limits::MANIFEST_PAGE_BYTES_MAX)
            })
    }

    /// The one encoding; it holds keys.
    pub fn encode(&self) -> Result<zeroize::Zeroizing<Vec<u8>>, ManifestError> {
        let mut out = zeroize::Zeroizing::new(Vec::new());
        let count = u32::try_from(self.pages.len()).map_err(|_many| ManifestError::TooLarge)?;
        out.extend_from_slice(&count.to_be_bytes());
        for page in &self.pages {
            out.extend_from_slice(page.blob.as_bytes());
            out.extend_from_slice(page.key.expose());
            out.extend_from_slice(&page.bytes.to_be_bytes());
            out.extend_from_slice(&page.digest);
            out.extend_from_slice(&page.entries.to_be_bytes());
            put_counted(&mut out, &page.first)?;
            put_counted(&mut out, &page.last)?;
        }
        Ok(out)
    }

    /// Reads exactly what [`Self::encode`] writes.
    pub fn decode(bytes: &[u8]) -> Result<Self, ManifestError> {
        let mut reader = Reader::new(bytes);
        let count = usize::try_from(reader.u32()?).map_err(|_many| ManifestError::TooLarge)?;
        if count > limits::MANIFEST_PAGES_MAX || count > reader.left() {
            return Err(ManifestError::Form);
        }
        let mut pages = Vec::with_capacity(count);
        for _ in 0..count {
            pages.push(PageRef {
                blob: BlobId::from_bytes(reader.array()?),
                key: Secret::take(&mut reader.array()?),
                bytes: reader.u32()?,
                digest: reader.array()?,
                entries: reader.u32()?,
                first: reader.counted()?.to_vec(),
                last: reader.counted()?.to_vec(),
            });
        }
        reader.finish()?;
        let index = Self { pages };
        index.is_sound().then_some(index).ok_or(ManifestError::Form)
    }
}
