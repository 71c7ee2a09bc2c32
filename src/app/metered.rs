//! A store whose calls are counted, and whose last one is noted. It changes nothing else.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::time::Instant;

use super::health::Health;
use crate::ops::StoreCall;
use crate::store::{BlobBody, BlobEntry, BlobStore, BlobStream, SharedStore, StoreError};
use crate::types::BlobId;

/// Counts calls to a store, their failures and their times; of a read the time to its stream.
pub struct MeteredStore {
    inner: SharedStore,
    health: Arc<Health>,
}

impl MeteredStore {
    /// Wraps a store.
    #[must_use]
    pub const fn new(inner: SharedStore, health: Arc<Health>) -> Self {
        Self { inner, health }
    }

    async fn count<T>(
        &self,
        call: StoreCall,
        work: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let begin = Instant::now();
        let outcome = work.await;
        // A client that gave up is no failure of the store.
        let good = matches!(outcome, Ok(_) | Err(StoreError::Aborted(_)));
        self.health.metrics.store_call(call, begin.elapsed(), good);
        self.health.note_store(&outcome);
        outcome
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl BlobStore for MeteredStore {
    async fn put(&self, id: BlobId, bytes: u64, body: BlobBody) -> Result<(), StoreError> {
        self.count(StoreCall::Put, self.inner.put(id, bytes, body))
            .await
    }

    async fn put_new(&self, id: BlobId, bytes: u64, body: BlobBody) -> Result<(), StoreError> {
        self.count(StoreCall::Put, self.inner.put_new(id, bytes, body))
            .await
    }

    async fn get(
        &self,
        id: BlobId,
        range: Range<u64>,
        whole: u64,
    ) -> Result<BlobStream, StoreError> {
        self.count(StoreCall::Get, self.inner.get(id, range, whole))
            .await
    }

    async fn delete(&self, id: BlobId) -> Result<(), StoreError> {
        self.count(StoreCall::Delete, self.inner.delete(id)).await
    }

    async fn list(
        &self,
        after: Option<BlobId>,
        limit: usize,
    ) -> Result<Vec<BlobEntry>, StoreError> {
        self.count(StoreCall::List, self.inner.list(after, limit))
            .await
    }

    fn presign(&self, id: BlobId, seconds: u64) -> Option<String> {
        self.inner.presign(id, seconds)
    }

    async fn probe(&self, id: BlobId) -> Result<(), StoreError> {
        self.count(StoreCall::Probe, self.inner.probe(id)).await
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::{StreamExt as _, stream};

    use super::*;
    use crate::app::system::SystemClock;
    use crate::store::fault::{FaultStore, Injected, PutFault};
    use crate::store::memory::MemoryStore;

    fn stores() -> (Arc<FaultStore>, MeteredStore) {
        let faulty = Arc::new(FaultStore::new(Arc::new(MemoryStore::new(Arc::new(
            SystemClock,
        )))));
        let shared: SharedStore = Arc::<FaultStore>::clone(&faulty);
        (faulty, MeteredStore::new(shared, Arc::default()))
    }

    fn body() -> BlobBody {
        Box::pin(stream::iter([Ok(Bytes::from_static(b"abc"))]))
    }

    const ID: BlobId = BlobId::from_bytes([1; 16]);

    #[tokio::test]
    async fn every_call_reaches_the_store_and_is_counted() {
        let (_, store) = stores();
        assert!(store.put(ID, 3, body()).await.is_ok());
        let mut read = store
            .get(ID, 0..3, 3)
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        assert!(
            read.next()
                .await
                .is_some_and(|bytes| bytes.is_ok_and(|b| b == "abc"))
        );
        assert_eq!(
            store.list(None, 10).await.map(|list| list.len()).ok(),
            Some(1)
        );
        assert!(store.delete(ID).await.is_ok());
        assert!(store.probe(ID).await.is_ok());
        let text = store.health.metrics.text().expect("encodes");
        for call in ["put", "get", "list", "delete", "probe"] {
            let counted = format!("store_call_seconds_count{{call=\"{call}\"}} 1");
            assert!(text.contains(&counted), "{counted} is not in {text}");
        }
        assert!(!text.contains("store_errors_total{"), "{text}");
    }

    #[tokio::test]
    async fn failures_are_counted_and_passed_on_but_not_the_clients() {
        let (faulty, store) = stores();
        faulty.on_put(1, PutFault::Error(Injected::Throttled));
        faulty.on_put(2, PutFault::Error(Injected::Aborted));
        assert!(matches!(
            store.put(ID, 3, body()).await,
            Err(StoreError::Throttled)
        ));
        assert!(matches!(
            store.put(ID, 3, body()).await,
            Err(StoreError::Aborted(_))
        ));
        assert!(matches!(
            store.get(ID, 0..3, 3).await,
            Err(StoreError::NotFound)
        ));
        let text = store.health.metrics.text().expect("encodes");
        assert!(
            text.contains("store_errors_total{call=\"put\"} 1"),
            "{text}"
        );
        assert!(
            text.contains("store_errors_total{call=\"get\"} 1"),
            "{text}"
        );
    }
}
