//! A part of a version, for whoever may know of what lies under a prefix and of no more: made from
//! the signed whole when it is asked for, and signed in turn (`manifest::part`).
//!
//! Nothing of it is stored. Pages that lie within the prefix are the whole's own, with their keys;
//! those at its edges are cut here, and leave as they are, over the same line as the keys do.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use zeroize::Zeroizing;

use crate::catalog::PublicationRow;
use crate::manifest::{Built, Index, Page, PageRef, Part, Range, Root, Scope, SignerKey, digest};
use crate::seal::{DataKey, open_blob};
use crate::types::{Action, BlobId, PublicationId, Secret};
use crate::vault::error::{ErrorKind, VaultError};
use crate::vault::versions::release::{BROKEN, version};
use crate::vault::{Call, Vault, asked};

const NO_PREFIX: VaultError =
    VaultError::new(ErrorKind::InvalidArgument, "the prefix of a part is none");
const NO_PAGE: VaultError =
    VaultError::new(ErrorKind::InvalidArgument, "the part has no such page");

/// A part as a node begins with it. Neither the key of the whole's index is among it, which names
/// all, nor the whole's root, which counts all.
pub struct PartOpening {
    /// The part's root and its signature.
    pub part: Vec<u8>,
    /// The key that it is signed under, for a node that has none pinned.
    pub signer: SignerKey,
    /// Whether nodes of the project may read sealed bytes from the store itself.
    pub straight: bool,
}

/// Where a page of a part comes from.
enum Source {
    /// A page of the whole, as it is.
    Whole(usize),
    /// What of a page of the whole lies in a range.
    Cut(usize, Range),
    /// The directories on the way to the prefix.
    Way(Vec<u8>),
}

/// A part as it was made.
pub(in crate::vault) struct Made {
    part: Part,
    /// It holds the keys of pages.
    index: Zeroizing<Vec<u8>>,
    /// In the order of the index.
    sources: Vec<Source>,
}

/// The parts that are in use.
#[derive(Default)]
pub(in crate::vault) struct Parts(Mutex<Vec<(PublicationId, Arc<Made>)>>);

impl Parts {
    /// How many are kept; one of a million files takes some 100 KiB.
    const KEPT: usize = 16;

    fn get(&self, id: PublicationId, prefix: &str) -> Option<Arc<Made>> {
        let kept = self.0.lock().ok()?;
        let is_it =
            |(of, made): &&(PublicationId, Arc<Made>)| *of == id && made.part.prefix == prefix;
        let (_, made) = kept.iter().find(is_it)?;
        Some(Arc::clone(made))
    }

    fn keep(&self, id: PublicationId, made: &Arc<Made>) {
        if let Ok(mut kept) = self.0.lock() {
            if kept.len() >= Self::KEPT {
                kept.remove(0);
            }
            kept.push((id, Arc::clone(made)));
        }
    }
}

impl Vault {
    /// Begins with the part of a version under a prefix: the part's root.
    pub async fn open_part(
        &self,
        call: &Call,
        bucket: &str,
        prefix: &str,
    ) -> Result<PartOpening, VaultError> {
        let proof = self
            .authorize_under(call, bucket, prefix, Action::ObjectList)
            .await?;
        let mut intent = Self::intent_of(call, &proof);
        let opened = async {
            let (row, number) = version(&proof)?;
            let made = self.part(&row, prefix).await?;
            let envelope = self.signer()?.sign_part(&made.part)?;
            let found = data_encoding::HEXLOWER.encode(&digest(&made.part.encode()?));
            let text = format!("version={number} part={found} prefix={prefix}");
            intent.query = Some(crate::vault::cut(&text));
            Ok::<_, VaultError>(PartOpening {
                part: envelope,
                signer: self.publisher_key()?,
                straight: self.is_straight(&proof),
            })
        };
        let opening = opened.await;
        self.noted(call, intent, opening).await
    }

    /// The index of a part, in clear: it holds the keys of the pages that lie within the prefix.
    pub async fn part_index(
        &self,
        call: &Call,
        bucket: &str,
        prefix: &str,
    ) -> Result<Bytes, VaultError> {
        self.piece_of_part(call, (bucket, prefix), None).await
    }

    /// Page `number` of a part: sealed as the whole has it, or in clear where it was cut.
    pub async fn part_page(
        &self,
        call: &Call,
        (bucket, prefix): (&str, &str),
        number: usize,
    ) -> Result<Bytes, VaultError> {
        self.piece_of_part(call, (bucket, prefix), Some(number))
            .await
    }

    async fn piece_of_part(
        &self,
        call: &Call,
        (bucket, prefix): (&str, &str),
        page: Option<usize>,
    ) -> Result<Bytes, VaultError> {
        let proof = self
            .authorize_under(call, bucket, prefix, Action::ObjectList)
            .await?;
        let mut intent = Self::intent_of(call, &proof);
        intent.query = asked(proof.number(), Some(prefix));
        if let (Some(page), Some(number)) = (page, proof.number()) {
            let text = format!("version={number} page={page} prefix={prefix}");
            intent.query = Some(crate::vault::cut(&text));
        }
        let recorded = self.begin(call, intent).await?;
        let piece = async {
            let (row, _) = version(&proof)?;
            let made = self.part(&row, prefix).await?;
            let Some(page) = page else {
                return Ok(Bytes::copy_from_slice(&made.index));
            };
            match made.sources.get(page).ok_or(NO_PAGE)? {
                Source::Whole(number) => {
                    let (index, _) = self.whole(&row).await?;
                    let page = index.pages().get(*number).ok_or(NO_PAGE)?;
                    self.fetch(page.blob, page.bytes.into()).await
                }
                Source::Cut(number, range) => {
                    let (index, _) = self.whole(&row).await?;
                    let page = index.pages().get(*number).ok_or(NO_PAGE)?;
                    let cut = self.page(page).await?.cut(range)?.ok_or(NO_PAGE)?;
                    Ok(cut.bytes.into())
                }
                Source::Way(bytes) => Ok(bytes.clone().into()),
            }
        };
        recorded.settle(piece.await)
    }

    async fn whole(&self, row: &PublicationRow) -> Result<(Arc<Index>, Root), VaultError> {
        let root = self.root(row)?;
        Ok((self.index(row, &root).await?, root))
    }

    /// A page of the whole, opened here.
    async fn page(&self, named: &PageRef) -> Result<Page, VaultError> {
        let sealed = self.fetch(named.blob, named.bytes.into()).await?;
        if digest(&sealed) != named.digest {
            return Err(BROKEN);
        }
        let key = DataKey::of_secret(named.key.duplicate());
        let (_, plain) = open_blob(&key, Some(named.blob), &sealed)?;
        Ok(Page::decode(plain.to_vec())?)
    }

    /// The part of a version under a prefix.
    async fn part(&self, row: &PublicationRow, prefix: &str) -> Result<Arc<Made>, VaultError> {
        if let Some(made) = self.made.get(row.id, prefix) {
            return Ok(made);
        }
        let scope = Scope::of(prefix).map_err(|_form| NO_PREFIX)?;
        let (index, root) = self.whole(row).await?;
        let mut pages = Vec::new();
        for range in scope.ranges() {
            let first = index.seek(range.start());
            let rest = index.pages().iter().enumerate().skip(first);
            for (number, page) in rest.take_while(|(_, page)| !range.is_before(&page.first)) {
                if range.holds(&page.first) && range.holds(&page.last) {
                    pages.push((same(page), Source::Whole(number)));
                } else if let Some(cut) = self.page(page).await?.cut(range)? {
                    pages.push((in_clear(&cut)?, Source::Cut(number, range.clone())));
                }
            }
        }
        if self.has_way(&index, &scope).await? {
            for built in scope.way()? {
                pages.push((in_clear(&built)?, Source::Way(built.bytes)));
            }
        }
        pages.sort_by(|(a, _), (b, _)| a.first.cmp(&b.first));
        let (pages, sources): (Vec<_>, Vec<_>) = pages.into_iter().unzip();
        let encoded = Index::new(pages)?.encode()?;
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let part = Part {
            whole: digest(&root.encode()?),
            number: root.number,
            frozen: root.frozen,
            previous: root.previous,
            pages: count(sources.len()),
            index_bytes: count(encoded.len()),
            index: digest(&encoded),
            bucket: root.bucket,
            prefix: prefix.to_owned(),
        };
        let made = Arc::new(Made {
            part,
            index: encoded,
            sources,
        });
        self.made.keep(row.id, &made);
        Ok(made)
    }

    /// Whether the version has the directories on the way to a prefix.
    async fn has_way(&self, index: &Index, scope: &Scope) -> Result<bool, VaultError> {
        let Some(key) = scope.last_on_the_way() else {
            return Ok(false);
        };
        let Some(named) = index.pages().get(index.seek(&key)) else {
            return Ok(false);
        };
        let page = self.page(named).await?;
        let found = page.get(page.seek(&key));
        Ok(found.is_some_and(|entry| entry.sort_key() == key))
    }
}

/// A page of the whole, as an index names it.
fn same(page: &PageRef) -> PageRef {
    PageRef {
        blob: page.blob,
        key: page.key.duplicate(),
        bytes: page.bytes,
        digest: page.digest,
        entries: page.entries,
        first: page.first.clone(),
        last: page.last.clone(),
    }
}

/// A page that has no blob: it is handed out in clear.
fn in_clear(built: &Built) -> Result<PageRef, VaultError> {
    let bytes = u32::try_from(built.bytes.len());
    Ok(PageRef {
        blob: BlobId::from_bytes([0; 16]),
        key: Secret::take(&mut [0; 32]),
        bytes: bytes.map_err(|_large| BROKEN)?,
        digest: digest(&built.bytes),
        entries: built.entries,
        first: built.first.clone(),
        last: built.last.clone(),
    })
}
