//! A version as it was opened: its verified root and index, and its pages, fetched as they are
//! needed and kept within a bound.

use std::fmt::Write as _;
use std::sync::Arc;

use super::NodeError;
use super::gateway::{Asking, Gateway};
use super::kept::Kept;
use super::tree::Place;
use crate::manifest::{Digest, Entry, Index, Page, PageRef, Part, Root, Scope, SignerKey, digest};
use crate::seal::{DataKey, open_blob};
use crate::types::{BucketName, Secret, Timestamp};
use crate::wire::{PartRoot, VersionList, VersionRoot};
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
    /// Of the version only what lies under this; all of it if it is empty.
    pub prefix: String,
}

const BAD: NodeError = NodeError::Integrity("the gateway's answer is none");

/// How much is in a version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Totals {
    /// Its objects.
    pub objects: u64,
    /// Their plaintext bytes.
    pub bytes: u64,
    /// Objects that no directory can show.
    pub hidden: u64,
}

/// What was signed of a version.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct About {
    /// Project and name of the dataset.
    pub bucket: BucketName,
    /// The version's number.
    pub number: u32,
    /// When it was frozen.
    pub frozen: Timestamp,
    /// The digest of the root before.
    pub previous: Digest,
    /// Of a whole version: who may know of a part is not told how much there is beside it.
    pub totals: Option<Totals>,
}

/// What the gateway opened: of the kind that was asked for.
enum Opened {
    Whole(VersionRoot),
    Part(PartRoot),
}

impl Opened {
    fn read(answer: &[u8], prefix: &str) -> Result<Self, NodeError> {
        let read = if prefix.is_empty() {
            serde_json::from_slice(answer).map(Self::Whole)
        } else {
            serde_json::from_slice(answer).map(Self::Part)
        };
        read.map_err(|_not_json| BAD)
    }

    /// The key that it is said to be signed under.
    fn signer(&self) -> Result<SignerKey, NodeError> {
        let (Self::Whole(VersionRoot { signer, .. }) | Self::Part(PartRoot { signer, .. })) = self;
        signer.parse().map_err(|_text| BAD)
    }

    const fn straight(&self) -> bool {
        match self {
            Self::Whole(root) => root.straight,
            Self::Part(part) => part.straight,
        }
    }
}

/// A root that the key signed: of the whole, with its digest and the key of its index, or of a
/// part.
enum Signed<'a> {
    Whole(Root, Digest, &'a str),
    Part(Part),
}

impl<'a> Signed<'a> {
    fn read(opened: &'a Opened, signer: SignerKey) -> Result<Self, NodeError> {
        match opened {
            Opened::Whole(whole) => {
                let (root, digest) = signer.open(&bytes(&whole.envelope)?)?;
                Ok(Self::Whole(root, digest, &whole.index_key))
            }
            Opened::Part(part) => Ok(Self::Part(signer.open_part(&bytes(&part.part)?)?)),
        }
    }

    /// The digest of the whole version's root.
    const fn digest(&self) -> Digest {
        match self {
            Self::Whole(_, digest, _) => *digest,
            Self::Part(part) => part.whole,
        }
    }

    fn about(&self) -> About {
        match self {
            Self::Whole(root, _, _) => About {
                bucket: root.bucket.clone(),
                number: root.number,
                frozen: root.frozen,
                previous: root.previous,
                totals: Some(Totals {
                    objects: root.objects,
                    bytes: root.bytes,
                    hidden: root.hidden,
                }),
            },
            Self::Part(part) => About {
                bucket: part.bucket.clone(),
                number: part.number,
                frozen: part.frozen,
                previous: part.previous,
                totals: None,
            },
        }
    }
}

/// An opened version.
pub struct Version {
    gateway: Arc<Gateway>,
    /// `/.kluis/v1/versions/<bucket>`.
    path: String,
    root: About,
    digest: Digest,
    signer: SignerKey,
    straight: bool,
    /// Of a part, what all its keys begin with.
    prefix: String,
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
        let query = part_query(&ask.prefix);
        let answer = gateway.ask(&get(format!("{path}/root"), &query)).await?;
        let opened = Opened::read(&answer, &ask.prefix)?;
        let told = opened.signer()?;
        let signer = ask.signer.unwrap_or(told);
        let what = Signed::read(&opened, signer)?;
        let (root, found) = (what.about(), what.digest());
        if root.bucket != ask.bucket || root.number != ask.number {
            return Err(NodeError::Integrity("this is another version"));
        }
        if ask.root.is_some_and(|pinned| pinned != found) {
            return Err(NodeError::Integrity(
                "the root is not the one that is pinned",
            ));
        }
        let piece = gateway.ask(&get(format!("{path}/index"), &query)).await?;
        let index = match &what {
            Signed::Whole(root, _, key) => whole_index(root, key, &piece)?,
            Signed::Part(part) => part_index(part, &ask.prefix, &piece)?,
        };
        Ok(Self {
            gateway,
            path,
            root,
            digest: found,
            signer,
            straight: opened.straight(),
            prefix: ask.prefix.clone(),
            starts: starts(&index),
            index,
            pages: Kept::new(pages_bytes),
        })
    }

    /// The number of a dataset's newest version, by the gateway's word.
    pub async fn newest(gateway: &Gateway, bucket: &BucketName) -> Result<u32, NodeError> {
        let asking = get(format!("/.kluis/v1/versions/{bucket}"), "");
        let answer = gateway.ask(&asking).await?;
        let listed: VersionList = serde_json::from_slice(&answer).map_err(|_not_json| BAD)?;
        let numbers = listed.versions.iter().map(|version| version.number);
        numbers.max().ok_or(NodeError::Absent)
    }

    /// What it is.
    #[must_use]
    pub const fn root(&self) -> &About {
        &self.root
    }

    /// What all its keys begin with; empty where it is the whole version.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// How many entries it shows, directories too.
    #[must_use]
    pub fn entries_count(&self) -> u64 {
        let pages = self.index.pages().iter();
        pages.map(|page| u64::from(page.entries)).sum()
    }

    /// Whether no object is in it: of a part, that its prefix is no key's beginning.
    pub async fn is_empty(&self) -> Result<bool, NodeError> {
        for number in 0..self.index.pages().len() {
            let page = self.page(number).await?;
            for entry in (0..page.len()).filter_map(|at| page.get(at)) {
                if matches!(entry.entry()?, Entry::File(_)) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
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

    /// How the part is named in a request; nothing for the whole version.
    pub(super) fn part(&self) -> String {
        part_query(&self.prefix)
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
        let piece = get(path, &part_query(&self.prefix));
        let piece = self.gateway.ask(&piece).await?;
        //= src/manifest/FORMAT.md#index
        //# A reader MUST compare the digest of a sealed page before it opens it.
        if digest(&piece) != named.digest {
            return Err(NodeError::Integrity("a page is not that of the index"));
        }
        let plain = if !self.prefix.is_empty() && is_clear(named) {
            piece.to_vec()
        } else {
            let key = DataKey::of_secret(named.key.duplicate());
            open_blob(&key, Some(named.blob), &piece)?.1.to_vec()
        };
        let page = Page::decode(plain)?;
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

/// The index of a whole version, if it is the root's.
fn whole_index(root: &Root, key: &str, sealed: &[u8]) -> Result<Index, NodeError> {
    const OTHER: NodeError = NodeError::Integrity("the index is not that of the root");
    let key = zeroize::Zeroizing::new(bytes(key)?);
    let key: &[u8; 32] = key.as_slice().try_into().map_err(|_length| BAD)?;
    let key = DataKey::of_secret(Secret::take(&mut key.clone()));
    if digest(sealed) != root.index.digest {
        return Err(OTHER);
    }
    let (_, plain) = open_blob(&key, Some(root.index.blob), sealed)?;
    let index = Index::decode(&plain)?;
    let same = u32::try_from(index.pages().len()).ok() == Some(root.pages);
    same.then_some(index).ok_or(OTHER)
}

/// The index of a part, if it is the one that was signed, and names nothing but the prefix.
fn part_index(part: &Part, prefix: &str, plain: &[u8]) -> Result<Index, NodeError> {
    const OTHER: NodeError = NodeError::Integrity("the index is not that of the part");
    // Bucket, number and the pinned digest were compared as a whole version's are.
    //= src/manifest/FORMAT.md#part
    //# A reader MUST compare bucket, number and prefix with those that it asked for.
    if part.prefix != prefix {
        return Err(NodeError::Integrity("this is the part of something else"));
    }
    if digest(plain) != part.index {
        return Err(OTHER);
    }
    let index = Index::decode(plain)?;
    let scope = Scope::of(prefix)?;
    let within = |page: &PageRef| scope.holds(&page.first) && scope.holds(&page.last);
    let same = u32::try_from(index.pages().len()).ok() == Some(part.pages);
    let sound = same && index.pages().iter().all(within);
    sound.then_some(index).ok_or(OTHER)
}

/// Whether a part's page was cut, so that no blob holds it.
fn is_clear(page: &PageRef) -> bool {
    page.blob.as_bytes() == &[0; 16]
}

/// How a part is asked for; nothing for a whole version.
fn part_query(prefix: &str) -> String {
    if prefix.is_empty() {
        return String::new();
    }
    format!("prefix={}", encoded(prefix))
}

fn bytes(text: &str) -> Result<Vec<u8>, NodeError> {
    BASE64.decode(text.as_bytes()).map_err(|_text| BAD)
}

fn get(path: String, query: &str) -> Asking {
    Asking {
        method: Method::GET,
        path,
        query: query.to_owned(),
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
