//! How the engine reads volumes: from the store, by ranges, with their keys at hand.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use datafusion::common::DataFusionError;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use datafusion::parquet::arrow::async_reader::AsyncFileReader;
use datafusion::parquet::encryption::decrypt::FileDecryptionProperties;
use datafusion::parquet::errors::{ParquetError, Result as ParquetResult};
use datafusion::parquet::file::metadata::{
    PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader,
};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::sync::OnceCell;

use crate::archive::{Place, VolumeKeys, is_sealed, read_meta};
use crate::cli::output::{CliError, Exit};
use crate::store::SharedStore;
use crate::types::BlobId;

/// The volumes by the names that the engine knows them by.
pub(super) struct Volumes {
    store: SharedStore,
    known: HashMap<String, Arc<Known>>,
}

struct Known {
    id: BlobId,
    place: Place,
    keys: Arc<FileDecryptionProperties>,
    /// The footer, once it was read and found to be this volume's.
    metadata: OnceCell<Arc<ParquetMetaData>>,
}

impl std::fmt::Debug for Volumes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Volumes")
    }
}

impl Volumes {
    pub(super) fn new(
        store: SharedStore,
        keys: &VolumeKeys,
        places: &[Place],
    ) -> Result<Self, CliError> {
        let mut known = HashMap::new();
        for place in places {
            let wrong = |error: &dyn std::error::Error| CliError::of(Exit::No, error);
            let id = place.blob().map_err(|error| wrong(&error))?;
            let keys = keys
                .decrypt(Some(&place.meta))
                .map_err(|error| wrong(&error))?;
            let place = place.clone();
            let metadata = OnceCell::new();
            known.insert(
                id.to_string(),
                Arc::new(Known {
                    id,
                    place,
                    keys,
                    metadata,
                }),
            );
        }
        Ok(Self { store, known })
    }
}

impl ParquetFileReaderFactory for Volumes {
    fn create_reader(
        &self,
        _partition: usize,
        file: PartitionedFile,
        _hint: Option<usize>,
        _metrics: &ExecutionPlanMetricsSet,
    ) -> datafusion::common::Result<Box<dyn AsyncFileReader + Send>> {
        let name = file.object_meta.location.as_ref();
        let known = self.known.get(name).cloned();
        let unknown = || DataFusionError::Internal("a volume that is none".to_owned());
        Ok(Box::new(VolumeReader {
            known: known.ok_or_else(unknown)?,
            store: Arc::clone(&self.store),
        }))
    }
}

struct VolumeReader {
    known: Arc<Known>,
    store: SharedStore,
}

fn foreign(error: impl std::error::Error + Send + Sync + 'static) -> ParquetError {
    ParquetError::External(Box::new(error))
}

impl VolumeReader {
    async fn range(&self, range: Range<u64>) -> ParquetResult<Bytes> {
        let whole = self.known.place.bytes;
        if range.start >= range.end || range.end > whole {
            return Err(ParquetError::EOF("beyond the volume".to_owned()));
        }
        let last = range.end == whole;
        let stream = self.store.get(self.known.id, range, whole).await;
        let mut stream = stream.map_err(foreign)?;
        let mut bytes = BytesMut::new();
        while let Some(piece) = stream.next().await {
            bytes.extend_from_slice(&piece.map_err(foreign)?);
        }
        // Before the engine looks at the end: one in clear would be read without any key.
        if last {
            is_sealed(&bytes).map_err(foreign)?;
        }
        Ok(bytes.freeze())
    }

    async fn read_metadata(&mut self) -> ParquetResult<Arc<ParquetMetaData>> {
        let known = Arc::clone(&self.known);
        let read = known.metadata.get_or_try_init(|| async {
            let options = Some(Arc::clone(&known.keys));
            let metadata = ParquetMetaDataReader::new()
                .with_decryption_properties(options)
                .with_page_index_policy(PageIndexPolicy::Required)
                .load_and_finish(&mut *self, known.place.bytes)
                .await?;
            let metadata = Arc::new(metadata);
            let arrow =
                ArrowReaderMetadata::try_new(Arc::clone(&metadata), ArrowReaderOptions::new())?;
            let meta = read_meta(&arrow).map_err(foreign)?;
            if meta != known.place.meta {
                return Err(ParquetError::General("another volume".to_owned()));
            }
            Ok(metadata)
        });
        read.await.map(Arc::clone)
    }
}

impl AsyncFileReader for VolumeReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        self.range(range).boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        self.read_metadata().boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::system::{SystemClock, SystemEntropy};
    use crate::archive::tests::in_clear;
    use crate::archive::{Meta, Row, write_volume};
    use crate::ledger::{Entry, MarkKind};
    use crate::store::memory::MemoryStore;
    use crate::types::{Secret, Timestamp};

    fn row() -> Row {
        Row {
            seq: 0,
            entry: Entry::Mark {
                time: Timestamp::from_millis(5),
                kind: MarkKind::Opened,
            },
            session: None,
            end: None,
        }
    }

    /// What the engine makes of the file that the store gives for a volume.
    async fn opened(bytes: Bytes, meta: &Meta, keys: &VolumeKeys) -> ParquetResult<usize> {
        let store: SharedStore = Arc::new(MemoryStore::new(Arc::new(SystemClock)));
        let (id, len) = (BlobId::from_bytes([3; 16]), bytes.len() as u64);
        let body = Box::pin(futures_util::stream::once(std::future::ready(Ok(bytes))));
        store.put(id, len, body).await.unwrap();
        let place = Place::new(meta.clone(), id, len, (5, 5), 1);
        let volumes = Volumes::new(Arc::clone(&store), keys, &[place]).unwrap();
        let known = Arc::clone(&volumes.known[&id.to_string()]);
        let mut reader = VolumeReader { known, store };
        let metadata = reader.get_metadata(None).await?;
        Ok(metadata.num_row_groups())
    }

    #[tokio::test]
    async fn a_file_in_clear_is_never_asked() {
        let keys = VolumeKeys::new(Secret::take(&mut [7; 32]));
        let meta = Meta::new("log", "gw", (0, 1), Vec::new());
        let honest = write_volume(&keys, &meta, &[row()], &SystemEntropy::new()).unwrap();
        assert_eq!(opened(honest, &meta, &keys).await.unwrap(), 1);
        let forged = opened(in_clear(&meta, &[row()]), &meta, &keys).await;
        let told = forged.unwrap_err().to_string();
        assert!(told.contains("not encrypted"), "{told}");
    }
}
