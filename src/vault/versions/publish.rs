//! Publishing: a dataset is frozen in one transaction of the catalog, its manifest is written from
//! what was frozen, and only then is it a version. No object's bytes are read or copied.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;

use crate::catalog::{BlobUse, Issue, Mutation, ObjectRow, PublicationRow};
use crate::ledger::Intent;
use crate::manifest::{
    Builder, Built, Digest, FileEntry, Index, IndexRef, Listed, ManifestError, PageRef, Root,
    Signer, SignerKey, digest,
};
use crate::policy::Ask;
use crate::seal::{BlobKind, DataKey, Description, Suite, seal_blob, seal_manifest_key};
use crate::types::{
    Action, BlobId, BucketName, ChecksumKind, DatasetId, PrincipalId, PublicationId, Timestamp,
    VersionId, limits,
};
use crate::vault::Vault;
use crate::vault::access::proof::Authorized;
use crate::vault::ask::Call;
use crate::vault::error::{ErrorKind, VaultError};
use crate::vault::people::assurance::circumstances;
use crate::vault::sweep::Flight;

/// How often a publication is tried that another one overtakes.
const TRIES: u32 = 5;

/// A published version.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Published {
    /// Its root.
    pub root: Root,
    /// The root's SHA-256.
    pub digest: Digest,
    /// Who published it.
    pub publisher: PrincipalId,
    /// The key that the root is signed under.
    pub signer: SignerKey,
}

/// What of a manifest was written so far.
struct Writing {
    dataset: DatasetId,
    publication: PublicationId,
    frozen: Timestamp,
    pages: Vec<PageRef>,
    objects: u64,
    bytes: u64,
    flight: Flight,
}

/// A manifest but for its root.
struct Written {
    writing: Writing,
    hidden: u64,
    index: IndexRef,
    sealed_key: Bytes,
}

impl Vault {
    /// The key that this vault's versions are signed under.
    pub fn publisher_key(&self) -> Result<SignerKey, VaultError> {
        Ok(self.signer()?.key())
    }

    pub(in crate::vault) fn signer(&self) -> Result<Signer, VaultError> {
        Ok(Signer::new(&self.keyring.publishing_seed())?)
    }

    /// Publishes a dataset for the caller, whether or not anything changed.
    pub async fn publish(&self, call: &Call, bucket: &str) -> Result<Published, VaultError> {
        let published = self.publish_asked(call, bucket, true).await;
        published.map(|(version, _)| version)
    }

    /// Publishes a dataset for the caller; where nothing changed since the last version and not
    /// `again`, that is the answer and nothing is made. Whether one was made.
    pub async fn publish_asked(
        &self,
        call: &Call,
        bucket: &str,
        again: bool,
    ) -> Result<(Published, bool), VaultError> {
        let proof = self
            .authorize(call, bucket, None, Action::DatasetPublish)
            .await?;
        let publisher = call.session.principal.clone().ok_or(crate::vault::NOBODY)?;
        let (bucket, id) = (proof.bucket().clone(), proof.dataset()?.id);
        let intent = Self::intent_of(call, &proof);
        self.publish_recorded(call, intent, (bucket, id), (publisher, again))
            .await
    }

    /// The same from the vault's own host, for a publisher who may.
    pub async fn publish_for(
        &self,
        call: &Call,
        bucket: &BucketName,
        publisher: PrincipalId,
        again: bool,
    ) -> Result<(Published, bool), VaultError> {
        let what = format!("publish publisher={publisher}");
        let mut intent = Self::admin_intent(call, Some(&bucket.project), &what);
        intent.object.dataset = Some(bucket.dataset.clone());
        intent.action = Some(Action::DatasetPublish);
        let checked = async {
            let _speaker = self.speaker(call, Some(&publisher))?;
            let subject = self.guard.subject(&bucket.project, &publisher).await?;
            let decision = subject.decide(&Ask {
                project: &bucket.project,
                principal: &publisher,
                dataset: Some(&bucket.dataset),
                key: "",
                action: Action::DatasetPublish,
                now: self.now(),
                when: circumstances(call),
            });
            let denied = VaultError::new(ErrorKind::AccessDenied, "the publisher may not publish");
            let absent = VaultError::new(ErrorKind::NoSuchDataset, "no such dataset");
            intent.policy = Some(crate::vault::access::proof::policy_ref(&decision));
            if !decision.allowed {
                return Err(denied);
            }
            self.guard.used(&decision, self.now());
            Ok(self.catalog.dataset(bucket).await?.ok_or(absent)?.id)
        };
        match checked.await {
            Ok(id) => {
                let whose = (publisher, again);
                self.publish_recorded(call, intent, (bucket.clone(), id), whose)
                    .await
            }
            Err(error) => Err(self.turn_away(call, intent, error).await),
        }
    }

    async fn publish_recorded(
        &self,
        call: &Call,
        intent: Intent,
        (bucket, dataset): (BucketName, DatasetId),
        (publisher, again): (PrincipalId, bool),
    ) -> Result<(Published, bool), VaultError> {
        let recorded = self.begin(call, intent.clone()).await?;
        let row = PublicationRow {
            id: PublicationId::random(self.entropy.as_ref())?,
            dataset,
            publisher,
            frozen: self.now(),
            issue: None,
        };
        let result = async {
            let _turn = self.publishing.begin(dataset, &bucket.project)?;
            self.commit(vec![Mutation::Freeze(row.clone())]).await?;
            let result = self.issue_or_last(call, &intent, &bucket, (&row, again));
            let result = result.await;
            if !matches!(result, Ok((_, true))) {
                self.unfreeze(&row).await;
            }
            result
        }
        .await;
        recorded.settle(result)
    }

    async fn issue_or_last(
        &self,
        call: &Call,
        intent: &Intent,
        bucket: &BucketName,
        (row, again): (&PublicationRow, bool),
    ) -> Result<(Published, bool), VaultError> {
        if !again && let Some(last) = self.unchanged(row).await? {
            let mut noted = intent.clone();
            noted.event = self.new_event()?;
            noted.query = Some(format!("version={} unchanged", last.root.number));
            self.note(call, noted, Ok(())).await?;
            return Ok((last, false));
        }
        let made = self.issue(call, intent, bucket, row).await?;
        Ok((made, true))
    }

    /// The last version, if it is verified and holds just what was frozen: the same writes under
    /// the same names, with the same of what can change without a write.
    async fn unchanged(&self, row: &PublicationRow) -> Result<Option<Published>, VaultError> {
        let Some(last) = self.versions_of(&row.dataset).await?.pop() else {
            return Ok(None);
        };
        let signer = self.publisher_key()?;
        let opened = last
            .issue
            .and_then(|issue| signer.open(&issue.envelope).ok());
        let Some((root, digest)) = opened else {
            return Ok(None);
        };
        let same = |(new, old): (&ObjectRow, &ObjectRow)| {
            (&new.key, new.version, &new.attached) == (&old.key, old.version, &old.attached)
        };
        let (mut from, mut objects) = (String::new(), 0_u64);
        loop {
            let page = limits::PAGE_ENTRIES_MAX;
            let new = self.catalog.frozen_from(&row.id, &from, page).await?;
            let old = self.catalog.frozen_from(&last.id, &from, page).await?;
            // Pages end where part tables are large, and those were sealed apart.
            let count = new.len().min(old.len());
            if !new.iter().zip(&old).all(same) {
                return Ok(None);
            }
            let Some(read) = new.iter().take(count).next_back() else {
                let ends = new.is_empty() && old.is_empty() && objects == root.objects;
                return Ok(ends.then_some(Published {
                    root,
                    digest,
                    publisher: last.publisher,
                    signer,
                }));
            };
            from = format!("{}\0", read.key);
            objects = objects.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        }
    }

    /// Drops what was frozen and not issued. An error does not say that nothing was committed: a
    /// version that is there may have been seen, and its number is never given away again. What is
    /// left, by a crash too, the sweeper drops.
    async fn unfreeze(&self, row: &PublicationRow) {
        let issued = self.versions_of(&row.dataset).await;
        let undone = match issued {
            Ok(versions) if versions.iter().any(|version| version.id == row.id) => return,
            Ok(_) => {
                let (publication, now) = (row.id, self.now());
                self.commit(vec![Mutation::DropPublication { publication, now }])
                    .await
            }
            Err(error) => Err(error),
        };
        if let Err(left) = undone {
            tracing::warn!(reason = %left.reason(), "a frozen dataset is left");
        }
    }

    /// Writes the manifest of what was frozen, and makes it the next version.
    async fn issue(
        &self,
        call: &Call,
        intent: &Intent,
        bucket: &BucketName,
        row: &PublicationRow,
    ) -> Result<Published, VaultError> {
        let manifest = self.write_manifest(row).await?;
        let signer = self.signer()?;
        let mut tries = 0;
        loop {
            let root = self.next_root(bucket, row, &manifest).await?;
            let envelope = signer.sign(&root)?;
            let found = digest(&root.encode()?);
            self.note_root(call, intent, row, (&root, &found)).await?;
            let issue = Mutation::Issue {
                publication: row.id,
                issue: Issue {
                    number: root.number,
                    envelope: envelope.into(),
                    sealed_key: manifest.sealed_key.clone(),
                },
                blobs: BlobUse {
                    fresh: manifest.writing.flight.blobs.clone(),
                    shared: Vec::new(),
                },
            };
            match self.commit(vec![issue]).await {
                Ok(()) => {
                    return Ok(Published {
                        root,
                        digest: found,
                        publisher: row.publisher.clone(),
                        signer: signer.key(),
                    });
                }
                Err(error) if error.kind() == ErrorKind::Conflict && tries < TRIES => tries += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// The root's digest, in the log before the version is there.
    async fn note_root(
        &self,
        call: &Call,
        intent: &Intent,
        row: &PublicationRow,
        (root, found): (&Root, &Digest),
    ) -> Result<(), VaultError> {
        let hex = data_encoding::HEXLOWER.encode(found);
        let (number, objects) = (root.number, root.objects);
        let mut noted = intent.clone();
        noted.event = self.new_event()?;
        let on_whose_word = match &call.session.principal {
            Some(_signed) => String::new(),
            None => format!(" publisher={}", row.publisher),
        };
        noted.query = Some(format!(
            "version={number} objects={objects} root={hex}{on_whose_word}"
        ));
        self.note(call, noted, Ok(())).await
    }

    async fn next_root(
        &self,
        bucket: &BucketName,
        row: &PublicationRow,
        manifest: &Written,
    ) -> Result<Root, VaultError> {
        let last = self.versions_of(&row.dataset).await?.pop();
        let (number, previous) = match last.and_then(|row| row.issue) {
            None => (1, [0; 32]),
            Some(issue) => {
                let (_, digest) = Root::of_envelope(&issue.envelope)?;
                (issue.number.saturating_add(1), digest)
            }
        };
        let writing = &manifest.writing;
        Ok(Root {
            dataset: row.dataset,
            publication: row.id,
            number,
            frozen: row.frozen,
            previous,
            objects: writing.objects,
            bytes: writing.bytes,
            hidden: manifest.hidden,
            pages: u32::try_from(writing.pages.len()).unwrap_or(u32::MAX),
            index: manifest.index,
            bucket: bucket.clone(),
        })
    }

    /// All published versions of a dataset, in order of number.
    pub(in crate::vault) async fn versions_of(
        &self,
        dataset: &DatasetId,
    ) -> Result<Vec<PublicationRow>, VaultError> {
        let mut all: Vec<PublicationRow> = Vec::new();
        loop {
            let after = all.last().and_then(|row| row.issue.as_ref());
            let after = after.map_or(0, |issue| issue.number);
            let page = self
                .catalog
                .publications(dataset, after, limits::PAGE_ENTRIES_MAX)
                .await?;
            let end = page.len() < limits::PAGE_ENTRIES_MAX;
            all.extend(page);
            if end || all.len() >= usize::try_from(limits::VERSIONS_MAX).unwrap_or(usize::MAX) {
                return Ok(all);
            }
        }
    }

    /// A dataset's published versions, each with its signature verified.
    pub async fn published(&self, dataset: &DatasetId) -> Result<Vec<Published>, VaultError> {
        let key = self.publisher_key()?;
        let rows = self.versions_of(dataset).await?.into_iter();
        rows.filter_map(|row| row.issue.map(|issue| (issue, row.publisher)))
            .map(|(issue, publisher)| {
                let (root, digest) = key.open(&issue.envelope)?;
                Ok(Published {
                    root,
                    digest,
                    publisher,
                    signer: key,
                })
            })
            .collect()
    }

    /// The published versions of a dataset that the caller may know of, each judged for itself
    /// (AZ-7); and whether she may know how much is in it, which only who may list all of it does
    /// (UP-5).
    pub async fn list_published(
        &self,
        call: &Call,
        bucket: &str,
    ) -> Result<Vec<(Published, bool)>, VaultError> {
        let proof = self.authorize_versions(call, bucket).await?;
        let mut intent = Self::intent_of(call, &proof);
        intent.query = crate::vault::asked(proof.circumstances(call).version, None);
        let recorded = self.begin(call, intent).await?;
        recorded.settle(self.known_versions(call, &proof).await)
    }

    async fn known_versions(
        &self,
        call: &Call,
        proof: &Authorized,
    ) -> Result<Vec<(Published, bool)>, VaultError> {
        let who = call.subject().ok_or(crate::vault::NOBODY)?;
        let whole = (who, proof.bucket(), "");
        let mut known = Vec::new();
        for version in self.published(&proof.dataset()?.id).await? {
            let number = Some(version.root.number);
            let may = |action| self.may_of(call, whole, number, action);
            if may(Action::DatasetHead).await? {
                let counts = may(Action::ObjectList).await?;
                known.push((version, counts));
            }
        }
        Ok(known)
    }

    async fn write_manifest(&self, row: &PublicationRow) -> Result<Written, VaultError> {
        let mut writing = Writing {
            dataset: row.dataset,
            publication: row.id,
            frozen: row.frozen,
            pages: Vec::new(),
            objects: 0,
            bytes: 0,
            flight: Flight::new(Arc::clone(&self.in_flight)),
        };
        let mut builder = Builder::default();
        let mut from = String::new();
        loop {
            let rows = self
                .catalog
                .frozen_from(&row.id, &from, limits::PAGE_ENTRIES_MAX)
                .await?;
            let Some(last) = rows.last() else { break };
            // The least text after a key.
            from = format!("{}\0", last.key);
            for object in &rows {
                let file = self.describe(object)?;
                let key = object.key.as_str();
                writing.objects = writing.objects.saturating_add(1);
                writing.bytes = writing.bytes.saturating_add(object.bytes);
                for built in builder.add(Listed { key, file })? {
                    self.put_page(&mut writing, built).await?;
                }
            }
        }
        let (rest, hidden) = builder.finish()?;
        for built in rest {
            self.put_page(&mut writing, built).await?;
        }
        let index = Index::new(std::mem::take(&mut writing.pages))?;
        let plain = index.encode()?;
        let (blob, key, digest) = self.put_piece(&mut writing, &plain).await?;
        let dataset = self.keyring.dataset(&row.dataset)?;
        let sealed_key = seal_manifest_key(&dataset, &row.id, &key, self.entropy.as_ref())?;
        writing.pages = index.into_pages();
        let bytes = u32::try_from(plain.len()).map_err(|_large| ManifestError::TooLarge)?;
        Ok(Written {
            writing,
            hidden,
            index: IndexRef {
                blob,
                bytes,
                digest,
            },
            sealed_key,
        })
    }

    /// What a page says of an object. Its part table authenticates here: what is damaged or was
    /// altered by the catalog's host is not published, nor what could never be released.
    fn describe(&self, row: &ObjectRow) -> Result<FileEntry, VaultError> {
        let table = self.open_released(row)?;
        Ok(FileEntry {
            bytes: row.bytes,
            modified: row.modified,
            version: row.version,
            etag: row.etag.clone(),
            crc64: crc64(row),
            commitment: table.commitment()?,
        })
    }

    async fn put_page(&self, writing: &mut Writing, built: Built) -> Result<(), VaultError> {
        let (blob, key, digest) = self.put_piece(writing, &built.bytes).await?;
        writing.pages.push(PageRef {
            blob,
            key: key.secret(),
            bytes: u32::try_from(built.bytes.len()).map_err(|_large| ManifestError::TooLarge)?,
            digest,
            entries: built.entries,
            first: built.first,
            last: built.last,
        });
        Ok(())
    }

    /// Seals a piece of a manifest under a key of its own and stores it.
    async fn put_piece(
        &self,
        writing: &mut Writing,
        plain: &[u8],
    ) -> Result<(BlobId, DataKey, Digest), VaultError> {
        let blob = BlobId::random(self.entropy.as_ref())?;
        let key = DataKey::random(self.entropy.as_ref())?;
        let description = Description {
            kind: BlobKind::Manifest,
            dataset: writing.dataset,
            owner: VersionId::from_bytes(*writing.publication.as_bytes()),
            index: u32::try_from(writing.pages.len()).unwrap_or(u32::MAX),
            plaintext_bytes: u64::try_from(plain.len()).unwrap_or(u64::MAX),
            created: writing.frozen,
        };
        let sealed = seal_blob(Suite::Aes256Gcm, blob, &key, &description, plain)?;
        let found = digest(&sealed);
        writing.flight.add(blob);
        let bytes = u64::try_from(sealed.len()).unwrap_or(u64::MAX);
        let body = Box::pin(stream::once(std::future::ready(Ok(sealed))));
        self.store.put(blob, bytes, body).await?;
        Ok((blob, key, found))
    }
}

/// The CRC-64/NVME that is known of a whole object.
fn crc64(row: &ObjectRow) -> Option<u64> {
    if row.checksums.composite {
        return None;
    }
    let text = row.checksums.get(ChecksumKind::Crc64Nvme)?;
    let bytes = data_encoding::BASE64.decode(text.as_bytes()).ok()?;
    bytes.try_into().ok().map(u64::from_be_bytes)
}
