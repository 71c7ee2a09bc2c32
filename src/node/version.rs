//! A version as it was opened: its verified root and index, and its pages, fetched as they are
//! needed and kept within a bound.

use std::fmt::Write as _;
use std::sync::Arc;

use super::NodeError;
use super::gateway::{Asking, Gateway};
use super::kept::Kept;
use super::tree::Place;
use crate::manifest::{Digest, Index, Page, Root, SignerKey, digest};
use crate::seal::{DataKey, open_blob};
use crate::types::{BucketName, Secret};
use bytes::Bytes;
use data_encoding::BASE64;
use http::Method;

/// What is asked for, and what it must be.
#[derive(Clone)]
pub struct VersionAsk {
    /// The dataset.
    pub bucket: BucketName,
    /// The version's number.
    pub number: u32,
    /// The key that it must be signed under; the gateway's word is taken if none is given.
    pub signer: Option<SignerKey>,
    /// The root's digest, if it is known.
    pub root: Option<Digest>,
}

#[derive(serde::Deserialize)]
struct Opened {
    envelope: String,
    index_key: String,
    signer: String,
    #[serde(default)]
    straight: bool,
}

#[derive(serde::Deserialize)]
struct Listed {
    versions: Vec<Numbered>,
}

#[derive(serde::Deserialize)]
struct Numbered {
    number: u32,
}

const BAD: NodeError = NodeError::Integrity("the gateway's answer is none");

/// An opened version.
pub struct Version {
    gateway: Arc<Gateway>,
    /// `/.kluis/v1/versions/<bucket>`.
    path: String,
    root: Root,
    digest: Digest,
    signer: SignerKey,
    straight: bool,
    /// How many entries stand before each page.
    starts: Vec<u64>,
    index: Index,
    pages: Kept<usize, Page>,
}

impl Version {
    /// Opens a version: two requests. `pages_bytes` bounds the pages in memory.
    pub async fn open(
        gateway: Arc<Gateway>,
        ask: &VersionAsk,
        pages_bytes: usize,
    ) -> Result<Self, NodeError> {
        let path = format!("/.kluis/v1/versions/{}--v{}", ask.bucket, ask.number);
        let answer = gateway.ask(&get(format!("{path}/root"))).await?;
        let opened: Opened = serde_json::from_slice(&answer).map_err(|_not_json| BAD)?;
        let envelope = BASE64
            .decode(opened.envelope.as_bytes())
            .map_err(|_text| BAD)?;
        let told: SignerKey = opened.signer.parse().map_err(|_text| BAD)?;
        let signer = ask.signer.unwrap_or(told);
        let (root, found) = signer.open(&envelope)?;
        if root.bucket != ask.bucket || root.number != ask.number {
            return Err(NodeError::Integrity("this is another version"));
        }
        if ask.root.is_some_and(|pinned| pinned != found) {
            return Err(NodeError::Integrity(
                "the root is not the one that is pinned",
            ));
        }
        let key = zeroize::Zeroizing::new(
            BASE64
                .decode(opened.index_key.as_bytes())
                .map_err(|_t| BAD)?,
        );
        let key: &[u8; 32] = key.as_slice().try_into().map_err(|_length| BAD)?;
        let key = DataKey::of_secret(Secret::take(&mut key.clone()));
        let sealed = gateway.ask(&get(format!("{path}/index"))).await?;
        if digest(&sealed) != root.index.digest {
            return Err(NodeError::Integrity("the index is not that of the root"));
        }
        let (_, plain) = open_blob(&key, Some(root.index.blob), &sealed)?;
        let index = Index::decode(&plain)?;
        if u32::try_from(index.pages().len()).ok() != Some(root.pages) {
            return Err(NodeError::Integrity("the index is not that of the root"));
        }
        Ok(Self {
            gateway,
            path,
            root,
            digest: found,
            signer,
            straight: opened.straight,
            starts: starts(&index),
            index,
            pages: Kept::new(pages_bytes),
        })
    }

    /// The number of a dataset's newest version, by the gateway's word.
    pub async fn newest(gateway: &Gateway, bucket: &BucketName) -> Result<u32, NodeError> {
        let asking = get(format!("/.kluis/v1/versions/{bucket}"));
        let answer = gateway.ask(&asking).await?;
        let listed: Listed = serde_json::from_slice(&answer).map_err(|_not_json| BAD)?;
        let numbers = listed.versions.iter().map(|version| version.number);
        numbers.max().ok_or(NodeError::Absent)
    }

    /// What it is.
    #[must_use]
    pub const fn root(&self) -> &Root {
        &self.root
    }

    /// The root's digest.
    #[must_use]
    pub const fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The key that verified it.
    #[must_use]
    pub const fn signer(&self) -> SignerKey {
        self.signer
    }

    /// Whether sealed bytes may be read from the store itself.
    #[must_use]
    pub const fn straight(&self) -> bool {
        self.straight
    }

    /// Where an entry stands among all, from 0 on.
    #[must_use]
    pub fn number(&self, place: Place) -> Option<u64> {
        let start = self.starts.get(place.page)?;
        start.checked_add(u64::try_from(place.slot).ok()?)
    }

    /// The entry that stands there.
    #[must_use]
    pub fn place(&self, number: u64) -> Option<Place> {
        let behind = self.starts.partition_point(|start| *start <= number);
        let page = behind.checked_sub(1)?;
        let slot = number.checked_sub(*self.starts.get(page)?)?;
        let slot = usize::try_from(slot).ok()?;
        let named = self.index.pages().get(page)?;
        (slot < usize::try_from(named.entries).ok()?).then_some(Place { page, slot })
    }

    /// Which page holds what.
    #[must_use]
    pub const fn index(&self) -> &Index {
        &self.index
    }

    /// Who is asked for the rest.
    #[must_use]
    pub const fn gateway(&self) -> &Arc<Gateway> {
        &self.gateway
    }

    /// A request below the version.
    pub(super) fn asking(&self, method: Method, below: &str, query: String, body: Bytes) -> Asking {
        Asking {
            method,
            path: format!("{}/{below}", self.path),
            query,
            body,
        }
    }

    /// A page, fetched once however many ask for it.
    pub async fn page(&self, number: usize) -> Result<Arc<Page>, NodeError> {
        self.pages.get(number, self.fetch(number)).await
    }

    async fn fetch(&self, number: usize) -> Result<(Page, usize), NodeError> {
        let named = self.index.pages().get(number).ok_or(NodeError::Absent)?;
        let path = format!("{}/pages/{number}", self.path);
        let sealed = self.gateway.ask(&get(path)).await?;
        //= src/manifest/FORMAT.md#index
        //# A reader MUST compare the digest of a sealed page before it opens it.
        if digest(&sealed) != named.digest {
            return Err(NodeError::Integrity("a page is not that of the index"));
        }
        let key = DataKey::of_secret(named.key.duplicate());
        let (_, plain) = open_blob(&key, Some(named.blob), &sealed)?;
        let page = Page::decode(plain.to_vec())?;
        let first = page.get(0).map(|entry| entry.sort_key());
        let last = page
            .get(page.len().saturating_sub(1))
            .map(|entry| entry.sort_key());
        let same = usize::try_from(named.entries) == Ok(page.len())
            && first.as_ref() == Some(&named.first)
            && last.as_ref() == Some(&named.last);
        if !same {
            return Err(NodeError::Integrity("a page is not that of the index"));
        }
        let weight = page.weight();
        Ok((page, weight))
    }
}

/// How many entries stand before each page.
fn starts(index: &Index) -> Vec<u64> {
    let pages = index.pages().iter();
    let starts = pages.scan(0_u64, |sum, page| {
        let start = *sum;
        *sum = sum.saturating_add(page.entries.into());
        Some(start)
    });
    starts.collect()
}

pub(super) fn get(path: String) -> Asking {
    Asking {
        method: Method::GET,
        path,
        query: String::new(),
        body: Bytes::new(),
    }
}

/// A query's value, percent-encoded as `SigV4` wants it.
pub(super) fn encoded(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            _ => {
                // Writing to a String cannot fail.
                let _infallible = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}
