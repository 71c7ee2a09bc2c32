//! The texts in a volume that decisions rest on, without the rest of it.

use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};

use super::ArchiveError;
use super::file::Volume;
use crate::ledger::{Entry, decode};
use crate::types::limits::ARCHIVE_BATCH_ROWS;

/// Hands each text of a policy version in a volume to `take`, in their order, with what it is
/// called.
pub fn texts_of(
    volume: &Volume,
    mut take: impl FnMut([u8; 32], String),
) -> Result<(), ArchiveError> {
    let keys = Arc::clone(&volume.keys);
    let options = ArrowReaderOptions::new().with_file_decryption_properties(keys);
    let bytes = volume.bytes.clone();
    let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(bytes, options)?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), ["data"]);
    let reader = builder
        .with_projection(mask)
        .with_batch_size(ARCHIVE_BATCH_ROWS)
        .build()?;
    for batch in reader {
        let batch = batch?;
        let data = batch.column_by_name("data");
        let data = data.and_then(|column| column.as_binary_opt::<i32>());
        let data = data.ok_or(ArchiveError::Other("a column of another type"))?;
        for record in data.iter().flatten() {
            if let Ok(Entry::Policy { version, text }) = decode(record) {
                take(version, text);
            }
        }
    }
    Ok(())
}
