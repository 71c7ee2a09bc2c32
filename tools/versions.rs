//! Fills a vault's dataset with many small objects, as many requests would, so that publishing and
//! mounting can be measured at sizes that take days to upload.
//!
//! ```text
//! versions CONFIG PROJECT/DATASET OBJECTS tree    1,000 to a directory, 1,000 of these to another
//! versions CONFIG PROJECT/DATASET OBJECTS flat    all in one directory
//! ```
//!
//! Rows, part tables and blobs are those of the gateway, made by its own code under the vault's
//! keys; what is left out is the log, since nobody asked. Only the first 1,000 objects have their
//! blobs in the store, for those are read. No gateway may run meanwhile. `tests/load/versions.py`
//! does all of it.

#![expect(
    clippy::print_stdout,
    reason = "a tool for measuring tells its figures to who started it"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "a tool for measuring reads the clock"
)]

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use futures_util::stream;
use kluis::app::system::{SystemClock, SystemEntropy};
use kluis::app::{open_catalog, open_keys, open_store};
use kluis::catalog::{
    Attached, BlobUse, Condition, DatasetRow, Mutation, ObjectMeta, ObjectRow, SharedCatalog,
};
use kluis::config::{Config, Environment};
use kluis::keyring::KeyRing;
use kluis::seal::{
    Binding, BlobKind, DataKey, DatasetKey, Description, Extent, Place, Suite, Table, seal_blob,
    seal_table,
};
use kluis::store::SharedStore;
use kluis::types::{
    BlobId, BucketName, Checksums, Clock as _, ETag, ObjectKey, Timestamp, VersionId,
};

const USAGE: &str = "versions CONFIG PROJECT/DATASET OBJECTS tree | flat";

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Rows in one commit.
const BATCH: usize = 20_000;
/// Objects whose blobs are stored too.
const STORED: u64 = 1_000;
/// An object's plaintext, in bytes.
const OBJECT_BYTES: u64 = 100;

fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [config, bucket, objects, shape] = words.as_slice() else {
        return Err(USAGE.into());
    };
    let flat = match shape.as_str() {
        "flat" => true,
        "tree" => false,
        _ => return Err(USAGE.into()),
    };
    let environment = Environment::process();
    let config = Config::load(Path::new(config))?;
    let (project, dataset) = bucket.split_once('/').ok_or(USAGE)?;
    let bucket = BucketName {
        project: project.parse()?,
        dataset: dataset.parse()?,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let catalog: SharedCatalog = open_catalog(&config)?;
        let keyring = open_keys(&config, &environment, &|_| None).await?;
        let store = open_store(&config, &environment, false).await?;
        let dataset = catalog.dataset(&bucket).await?.ok_or("no such dataset")?;
        let filler = Filler::new(catalog, &keyring, store, dataset)?;
        filler.fill(objects.parse()?, flat).await
    })
}

/// What objects are made with.
struct Filler {
    catalog: SharedCatalog,
    store: SharedStore,
    dataset: DatasetRow,
    key: Arc<DatasetKey>,
    entropy: SystemEntropy,
    now: Timestamp,
}

impl Filler {
    fn new(
        catalog: SharedCatalog,
        keyring: &KeyRing,
        store: SharedStore,
        dataset: DatasetRow,
    ) -> Result<Self, Failure> {
        let key = keyring.dataset(&dataset.id)?;
        Ok(Self {
            catalog,
            store,
            dataset,
            key,
            entropy: SystemEntropy::new(),
            now: SystemClock.now(),
        })
    }

    async fn fill(&self, objects: u64, flat: bool) -> Result<(), Failure> {
        let begun = Instant::now();
        let mut batch = Vec::with_capacity(BATCH);
        for number in 0..objects {
            let key = if flat {
                format!("all/{number:08}")
            } else {
                let (high, low) = (number / 1_000_000, number / 1_000 % 1_000);
                format!("tree/{high:02}/{low:03}/{number:08}.bin")
            };
            batch.push(self.object(&key, number < STORED).await?);
            if batch.len() == BATCH {
                self.flush(&mut batch).await?;
            }
        }
        self.flush(&mut batch).await?;
        let seconds = begun.elapsed().as_secs_f64();
        println!("{objects} objects in {seconds:.0} s");
        Ok(())
    }

    /// A small object: its blob sealed under a key of its own, its table under the dataset's.
    async fn object(&self, key: &str, stored: bool) -> Result<Mutation, Failure> {
        let key: ObjectKey = key.parse()?;
        let version = VersionId::random(&self.entropy)?;
        let blob = BlobId::random(&self.entropy)?;
        let data = DataKey::random(&self.entropy)?;
        if stored {
            let description = Description {
                kind: BlobKind::Object,
                dataset: self.dataset.id,
                owner: version,
                index: 0,
                plaintext_bytes: OBJECT_BYTES,
                created: self.now,
            };
            let plain = vec![b'k'; usize::try_from(OBJECT_BYTES)?];
            let sealed = seal_blob(Suite::Aes256Gcm, blob, &data, &description, &plain)?;
            let bytes = u64::try_from(sealed.len())?;
            let body = Box::pin(stream::once(std::future::ready(Ok(sealed))));
            self.store.put(blob, bytes, body).await?;
        }
        let table = Table::new(vec![Extent {
            blob,
            key: data,
            suite: Suite::Aes256Gcm,
            blob_plaintext_bytes: OBJECT_BYTES,
            owner: version,
            index: 0,
            start: 0,
            len: OBJECT_BYTES,
        }])?;
        let etag = ETag::of(&version, 1);
        let binding = Binding {
            dataset: self.dataset.id,
            version,
            place: Place::Object { key: &key },
            bytes: OBJECT_BYTES,
            etag: &etag,
        };
        let sealed_table = seal_table(&self.key, &binding, &table)?;
        Ok(Mutation::PutObject {
            row: ObjectRow {
                dataset: self.dataset.id,
                key,
                version,
                bytes: OBJECT_BYTES,
                etag,
                modified: self.now,
                meta: ObjectMeta::default(),
                checksums: Checksums::default(),
                part_bytes: vec![OBJECT_BYTES],
                sealed_table,
                versioned: false,
                attached: Attached::default(),
            },
            blobs: BlobUse {
                fresh: vec![blob],
                shared: Vec::new(),
            },
            condition: Condition::None,
        })
    }

    async fn flush(&self, batch: &mut Vec<Mutation>) -> Result<(), Failure> {
        self.catalog.commit(std::mem::take(batch)).await?;
        // Otherwise the log of changes would be most of the file: snapshots shorten it elsewhere.
        let mut chain = self.catalog.chain().await?.unwrap_or_default();
        chain.upto = self.catalog.change_seq().await?;
        self.catalog.keep_chain(&chain).await?;
        Ok(())
    }
}
