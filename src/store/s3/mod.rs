//! A store that speaks S3, addressed path-style. Blobs are written and read by a thin client; the
//! AWS SDK lists, deletes and looks after the bucket. Nothing that the store says about a blob
//! (checksums, tags, types) is passed on.

mod answer;
mod client;
mod config;
mod download;
mod fuzz;
mod locked;
mod outgoing;
mod parking;
mod pool;
mod presign;
mod retry;
mod sdk;
mod sign;
#[cfg(test)]
mod tests;
mod wire;

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration, Object};
use bytes::Bytes;
use futures_util::stream;
use tokio::sync::OnceCell;

use self::client::{Client, Taking};
use self::config::Target;
pub use self::config::{S3ConfigError, S3StoreConfig};
#[doc(hidden)]
pub use self::fuzz::fuzz_answer;
pub use self::locked::knows_no_locks;
use self::outgoing::Upload;
use self::pool::Pool;
use self::sdk::{judged, sdk};
pub(crate) use self::sign::{EMPTY_PAYLOAD, Parts, Signer};
pub(crate) use self::wire::{Dialer, NO_AUTHORITY};
use super::body::Exact;
use super::{BlobBody, BlobEntry, BlobStore, BlobStream, StoreError, probe};
use crate::types::limits::{STORE_LIST_PAGES_MAX, STORE_REPLAY_BYTES_MAX};
use crate::types::{BlobId, Clock, Entropy, Timestamp};

/// The most keys that S3 lists at once.
const PAGE_KEYS_MAX: usize = 1_000;

/// Blobs as objects of one bucket.
pub struct S3Store {
    client: Arc<Client>,
    sdk: aws_sdk_s3::Client,
    bucket: String,
    prefix: String,
    /// Where others than the gateway reach the store.
    public: Target,
    /// Set when a bucket must be told where it is to be.
    location: Option<BucketLocationConstraint>,
    /// Whether it refuses a name that is taken when it is asked to; found out when it matters.
    refuses_taken: OnceCell<bool>,
}

impl S3Store {
    /// Checks the configuration; reads certificates for `https` (blocks); no request is made.
    pub fn open(
        config: &S3StoreConfig,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, S3ConfigError> {
        let target = config::check(config)?;
        let public = match &config.public_endpoint {
            Some(url) => Target::parse(url).ok_or(S3ConfigError::Endpoint)?,
            None => target.clone(),
        };
        let signer = Signer::new(
            config.access_key.clone(),
            config.secret_key.duplicate(),
            config.region.clone(),
            "s3",
        );
        // Only AWS itself insists; other stores refuse a location that they do not know.
        let aws = target.host.ends_with(".amazonaws.com") && config.region != "us-east-1";
        let location = aws.then(|| config.region.as_str().into());
        let client = Arc::new(Client {
            authority: target.authority.clone(),
            pool: Arc::new(Pool::new(Dialer::new(target, config)?, config)),
            signer,
            clock,
            entropy,
            base: format!("/{}/{}", config.bucket, config.prefix),
            retries: config.retries,
        });
        Ok(Self {
            sdk: sdk(config, &client),
            client,
            bucket: config.bucket.clone(),
            prefix: config.prefix.clone(),
            public,
            location,
            refuses_taken: OnceCell::new(),
        })
    }

    /// The SDK's client for this endpoint, for those who speak more S3 than a store needs.
    #[must_use]
    pub const fn sdk(&self) -> &aws_sdk_s3::Client {
        &self.sdk
    }

    /// Makes the bucket if there is none; true if it was made.
    pub async fn ensure_bucket(&self) -> Result<bool, StoreError> {
        self.make_bucket(false).await
    }

    async fn make_bucket(&self, locks: bool) -> Result<bool, StoreError> {
        if self.bucket_exists().await? {
            return Ok(false);
        }
        let location = self.location.clone().map(|location| {
            CreateBucketConfiguration::builder()
                .location_constraint(location)
                .build()
        });
        let mut retries = self.client.retries();
        loop {
            let request = self.sdk.create_bucket().bucket(&self.bucket);
            let request = request
                .set_create_bucket_configuration(location.clone())
                .set_object_lock_enabled_for_bucket(locks.then_some(true));
            match request.send().await {
                Ok(_) => return Ok(true),
                Err(e) => retries.after(judged(&e)).await?,
            }
        }
    }

    async fn bucket_exists(&self) -> Result<bool, StoreError> {
        let mut retries = self.client.retries();
        loop {
            let request = self.sdk.head_bucket().bucket(&self.bucket);
            let refusal = match request.send().await {
                Ok(_) => return Ok(true),
                Err(e) => judged(&e),
            };
            if matches!(refusal.error, StoreError::NotFound) {
                return Ok(false);
            }
            retries.after(refusal).await?;
        }
    }

    /// Sends a blob until it is there or will not be.
    async fn send(
        &self,
        id: BlobId,
        bytes: u64,
        body: BlobBody,
        taking: Taking,
    ) -> Result<(), StoreError> {
        let body = Exact::new(bytes, body);
        let upload = if bytes <= STORE_REPLAY_BYTES_MAX || taking == Taking::New {
            Upload::whole(body.gather().await.map_err(StoreError::Aborted)?)
        } else {
            Upload::stream(bytes, body)
        };
        let mut retries = self.client.retries();
        loop {
            let Err(refusal) = self.client.store(id, &upload, taking).await else {
                return Ok(());
            };
            if !upload.replayable() {
                return Err(refusal.error);
            }
            retries.after(refusal).await?;
        }
    }

    /// Writes a blob twice, under a name of its own: whether the second is refused.
    async fn find_refusal(&self) -> Result<bool, StoreError> {
        let id = BlobId::random(self.client.entropy.as_ref())
            .map_err(|_none| failed("there is no randomness for the name of a blob"))?;
        let body = || Box::pin(stream::iter([Ok(Bytes::from_static(b"?"))]));
        let first = self.send(id, 1, body(), Taking::New).await;
        let second = self.send(id, 1, body(), Taking::New).await;
        self.delete(id).await?;
        match (first, second) {
            (Ok(()), Err(StoreError::Taken)) => Ok(true),
            (Ok(()), Ok(()))
            | (Err(StoreError::Failed { .. }), _)
            | (_, Err(StoreError::Failed { .. })) => Ok(false),
            (Err(error), _) | (Ok(()), Err(error)) => Err(error),
        }
    }

    fn key(&self, id: BlobId) -> String {
        format!("{}{id}", self.prefix)
    }

    /// One page of at most `keys` keys, with retries.
    async fn page(
        &self,
        after: Option<BlobId>,
        token: Option<String>,
        keys: usize,
    ) -> Result<(Vec<Object>, Option<String>), StoreError> {
        let keys = i32::try_from(keys.min(PAGE_KEYS_MAX)).unwrap_or(1);
        let mut retries = self.client.retries();
        loop {
            let request = self.sdk.list_objects_v2().bucket(&self.bucket);
            let request = request
                .set_prefix((!self.prefix.is_empty()).then(|| self.prefix.clone()))
                .set_start_after(after.map(|id| self.key(id)))
                .set_continuation_token(token.clone())
                .max_keys(keys);
            match request.send().await {
                Ok(page) => {
                    // The SDK makes an empty page of almost any text: a real one says this.
                    let Some(more) = page.is_truncated else {
                        return Err(failed("its listing cannot be understood"));
                    };
                    let token = page.next_continuation_token.filter(|_| more);
                    if more && token.is_none() {
                        return Err(failed("its listing is cut but cannot be continued"));
                    }
                    return Ok((page.contents.unwrap_or_default(), token));
                }
                Err(e) => retries.after(judged(&e)).await?,
            }
        }
    }

    /// What a listing says of a blob; `None` for what is none of ours.
    fn entry(&self, object: &Object) -> Option<Result<BlobEntry, StoreError>> {
        let name = object.key()?.strip_prefix(&self.prefix)?;
        let id = name.parse().ok()?;
        let bytes = object.size().and_then(|size| size.try_into().ok());
        let modified = object.last_modified().and_then(|t| t.to_millis().ok());
        let modified = modified.and_then(|millis| millis.try_into().ok());
        let (Some(bytes), Some(modified)) = (bytes, modified) else {
            return Some(Err(failed(
                "its listing lacks the length or time of a blob",
            )));
        };
        Some(Ok(BlobEntry {
            id,
            bytes,
            modified: Timestamp::from_millis(modified),
        }))
    }
}

#[async_trait]
impl BlobStore for S3Store {
    async fn put(&self, id: BlobId, bytes: u64, body: BlobBody) -> Result<(), StoreError> {
        self.send(id, bytes, body, Taking::Any).await
    }

    async fn put_new(&self, id: BlobId, bytes: u64, body: BlobBody) -> Result<(), StoreError> {
        let refuses = self.refuses_taken.get_or_try_init(|| self.find_refusal());
        let taking = if *refuses.await? {
            Taking::New
        } else {
            Taking::Any
        };
        self.send(id, bytes, body, taking).await
    }

    async fn get(
        &self,
        id: BlobId,
        range: Range<u64>,
        whole: u64,
    ) -> Result<BlobStream, StoreError> {
        download::open(Arc::clone(&self.client), id, range, whole).await
    }

    async fn delete(&self, id: BlobId) -> Result<(), StoreError> {
        let mut retries = self.client.retries();
        loop {
            let request = self.sdk.delete_object().bucket(&self.bucket);
            let refusal = match request.key(self.key(id)).send().await {
                Ok(_) => return Ok(()),
                Err(e) => judged(&e),
            };
            // Some stores answer 404 where S3 answers 204.
            if matches!(refusal.error, StoreError::NotFound) {
                return Ok(());
            }
            retries.after(refusal).await?;
        }
    }

    async fn list(
        &self,
        after: Option<BlobId>,
        limit: usize,
    ) -> Result<Vec<BlobEntry>, StoreError> {
        let mut entries: Vec<BlobEntry> = Vec::new();
        let mut token = None;
        for _ in 0..STORE_LIST_PAGES_MAX {
            let left = limit.saturating_sub(entries.len());
            if left == 0 {
                return Ok(entries);
            }
            let (objects, next) = self.page(after, token.clone(), left).await?;
            for entry in objects.iter().filter_map(|object| self.entry(object)) {
                let entry = entry?;
                let previous = entries.last().map(|last| last.id).or(after);
                if previous.is_some_and(|previous| entry.id <= previous) {
                    return Err(failed("its listing is not in the order of names"));
                }
                if entries.len() < limit {
                    entries.push(entry);
                }
            }
            if next.is_none() {
                return Ok(entries);
            }
            if next == token {
                return Err(failed("its listing does not advance"));
            }
            token = next;
        }
        Err(failed("its listing does not end"))
    }

    fn presign(&self, id: BlobId, seconds: u64) -> Option<String> {
        let path = format!("{}{id}", self.client.base);
        let now = self.client.clock.now();
        let authority = &self.public.authority;
        let query = self.client.signer.presign(authority, &path, seconds, now);
        let scheme = if self.public.tls { "https" } else { "http" };
        Some(format!("{scheme}://{authority}{path}?{query}"))
    }

    async fn probe(&self, id: BlobId) -> Result<(), StoreError> {
        if !self.bucket_exists().await? {
            return Err(failed("the bucket does not exist"));
        }
        probe::run(self, id).await
    }
}

fn failed(reason: &str) -> StoreError {
    StoreError::Failed {
        reason: reason.to_owned(),
    }
}
