//! The contract of the store port against a real S3 endpoint. It **requires** the endpoint: set
//! `KLUIS_TEST_S3_ENDPOINT`, `KLUIS_TEST_S3_ACCESS_KEY_ID`, `KLUIS_TEST_S3_SECRET_ACCESS_KEY` and
//! `KLUIS_TEST_S3_BUCKET` (and `KLUIS_TEST_S3_REGION` if it is not us-east-1). `tests/run` starts a
//! store and sets them.

use std::sync::Arc;
use std::time::Duration;

use kluis::store::locked::{LockStore, Proved, VersionId, prove};
use kluis::store::s3::{S3Store, S3StoreConfig};
// The contract suite names these through its parent.
use kluis::store::{BlobBody, BlobStore, BodyAborted, SharedStore, StoreError};
use kluis::types::{
    BlobId, Clock, Entropy, EntropyError, Retention, RetentionMode, SecretText, Timestamp,
};

#[path = "../src/store/contract.rs"]
mod contract;
#[path = "../src/store/locked/contract.rs"]
mod locks;

struct WallClock;

impl Clock for WallClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "a real store refuses any other time"
    )]
    fn now(&self) -> Timestamp {
        let now = std::time::SystemTime::now();
        let since = now
            .duration_since(std::time::UNIX_EPOCH)
            .expect("a time after 1970");
        Timestamp::from_millis(u64::try_from(since.as_millis()).expect("a time before 584 million"))
    }
}

#[expect(clippy::disallowed_methods, reason = "a test's configuration")]
fn setting(name: &str) -> Option<String> {
    std::env::var(format!("KLUIS_TEST_S3_{name}")).ok()
}

fn required(name: &str) -> String {
    setting(name)
        .unwrap_or_else(|| panic!("set KLUIS_TEST_S3_{name}: this test needs a real store"))
}

fn config(prefix: &str) -> S3StoreConfig {
    let secret = SecretText::new(required("SECRET_ACCESS_KEY"));
    let (endpoint, bucket) = (required("ENDPOINT"), required("BUCKET"));
    let mut config = S3StoreConfig::new(endpoint, bucket, required("ACCESS_KEY_ID"), secret);
    if let Some(region) = setting("REGION") {
        config.region = region;
    }
    prefix.clone_into(&mut config.prefix);
    config
}

async fn open(config: &S3StoreConfig) -> S3Store {
    let entropy = Arc::new(contract::CountingEntropy::default());
    let store = S3Store::open(config, Arc::new(WallClock), entropy).expect("a valid configuration");
    store.ensure_bucket().await.expect("a bucket");
    assert!(
        !store.ensure_bucket().await.expect("a bucket"),
        "it was made twice"
    );
    store
}

#[tokio::test]
async fn a_real_store_keeps_the_contract() {
    contract::holds(Arc::new(open(&config("contract/")).await)).await;
}

/// In a bucket of its own for this process: what is locked in it outlives the test.
#[tokio::test]
async fn a_real_store_refuses_to_delete_what_is_locked() {
    let mut settings = config("log/");
    settings.bucket = format!("locked-{}", std::process::id());
    let entropy = Arc::new(contract::CountingEntropy::default());
    let store = S3Store::open(&settings, Arc::new(WallClock), entropy).expect("valid");
    assert!(store.ensure_locking_bucket().await.expect("a bucket"));
    locks::holds(&store, WallClock.now()).await;
    // A bucket like any other has none, and says so.
    let store = open(&config("log/")).await;
    for mode in [RetentionMode::Compliance, RetentionMode::Governance] {
        let told = prove(&store, mode, WallClock.now())
            .await
            .expect("an answer");
        assert!(matches!(told, Proved::Lacks(_)), "{told:?}");
    }
}

#[tokio::test]
async fn without_a_prefix_foreign_objects_are_passed_over() {
    let others = open(&config("0000-foreign-")).await;
    let id = BlobId::from_bytes([7; 16]);
    others
        .put(id, 1, contract::body(b"x"))
        .await
        .expect("a PUT");
    let all = open(&config(""))
        .await
        .list(None, 100_000)
        .await
        .expect("a listing");
    assert!(all.iter().all(|entry| entry.id != id));
    others.delete(id).await.expect("a deletion");
}

#[tokio::test]
async fn a_listing_of_several_pages_is_whole() {
    let store = open(&config("pages/")).await;
    let ids: Vec<_> = (0..1_203_u128)
        .map(|n| BlobId::from_bytes((n << 90 | n).to_be_bytes()))
        .collect();
    for group in ids.chunks(32) {
        let puts = group
            .iter()
            .map(|id| store.put(*id, 1, contract::body(b"x")));
        for put in futures_util::future::join_all(puts).await {
            put.expect("a PUT");
        }
    }
    let all = store.list(None, 10_000).await.expect("a listing");
    let listed: Vec<_> = all.iter().map(|entry| entry.id).collect();
    assert!(listed == ids, "{} of {} listed", listed.len(), ids.len());
    let page = store.list(Some(ids[99]), 1_050).await.expect("a listing");
    assert_eq!(page.len(), 1_050);
    assert_eq!(page[0].id, ids[100]);
    for group in ids.chunks(32) {
        let deletions = group.iter().map(|id| store.delete(*id));
        for deletion in futures_util::future::join_all(deletions).await {
            deletion.expect("a deletion");
        }
    }
}

#[tokio::test]
async fn a_large_blob_streams_both_ways() {
    let store = open(&config("large/")).await;
    let id = BlobId::from_bytes([8; 16]);
    let sample = contract::sample(40_000_003);
    let pieces = sample
        .chunks(65_552)
        .map(|piece| Ok(sample.slice_ref(piece)));
    let put = store.put(id, 40_000_003, contract::chunks(pieces.collect()));
    put.await.expect("a PUT");
    let got = contract::read(&store, id, 1..40_000_003, 40_000_003)
        .await
        .expect("a GET");
    assert!(got == sample[1..]);
    store.delete(id).await.expect("a deletion");
}

#[tokio::test]
async fn a_wrong_secret_a_wrong_bucket_and_no_store_are_told_apart() {
    let entropy = || Arc::new(contract::CountingEntropy::default());
    let id = BlobId::from_bytes([9; 16]);
    let mut wrong = config("");
    wrong.secret_key = SecretText::new("not-the-secret".to_owned());
    let store = S3Store::open(&wrong, Arc::new(WallClock), entropy()).expect("valid");
    let probed = store.probe(id).await;
    assert!(matches!(probed, Err(StoreError::Denied)), "{probed:?}");
    // A clock that is wrong by months.
    let store = S3Store::open(&config(""), Arc::new(contract::FixedClock), entropy());
    let probed = store
        .expect("valid")
        .probe(id)
        .await
        .expect_err("wrong time");
    assert!(
        !matches!(probed, StoreError::NotFound | StoreError::Timeout),
        "{probed}"
    );
    let mut wrong = config("");
    "kluis-no-such-bucket".clone_into(&mut wrong.bucket);
    let store = S3Store::open(&wrong, Arc::new(WallClock), entropy()).expect("valid");
    let probed = store.probe(id).await.expect_err("no bucket").to_string();
    assert!(probed.contains("bucket does not exist"), "{probed}");
    let mut wrong = config("");
    "http://127.0.0.1:1".clone_into(&mut wrong.endpoint);
    wrong.retries = 1;
    wrong.connect_timeout = Duration::from_secs(1);
    let store = S3Store::open(&wrong, Arc::new(WallClock), entropy()).expect("valid");
    let probed = store.probe(id).await.expect_err("no store").to_string();
    assert!(probed.contains("no connection"), "{probed}");
}
