//! A volume as a file: Parquet, zstd, encrypted whole under a key of its own, which the footer
//! names wrapped under the vault's master key for volumes, in the form that the tools of Apache
//! Parquet read (`seal::wrap_file_key`).
//!
//! What a volume is (log, lane, numbers) is authenticated with each of its pages, so that the store
//! can neither swap volumes nor splice them.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::RecordBatch;
use bytes::Bytes;
use data_encoding::HEXLOWER;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::encryption::decrypt::{FileDecryptionProperties, KeyRetriever};
use parquet::encryption::encrypt::FileEncryptionProperties;
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, PageIndexPolicy};
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;
use serde::{Deserialize, Serialize};

use super::ArchiveError;
use super::columns::{batch, schema};
use super::fold::Row;
use crate::ledger::Tag;
use crate::seal::{open_file_key, wrap_file_key};
use crate::types::limits::{ARCHIVE_BATCH_ROWS, ARCHIVE_GROUP_ROWS};
use crate::types::{Entropy, Secret};

/// What the master key is called in volumes.
const MASTER: &str = "kluis-log-files";
/// Where a volume says what it is.
const META: &str = "kluis.volume";
const SCHEMA: &str = "kluis.volume/1";
/// How Parquet ends a file whose footer is encrypted.
const SEALED_END: &[u8; 4] = b"PARE";

/// What a volume is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Meta {
    /// `kluis.volume/1`.
    pub schema: String,
    /// The log.
    pub origin: String,
    /// The lane.
    pub lane: String,
    /// The number of its first record.
    pub first: u64,
    /// The number behind its last record.
    pub end: u64,
    /// Runs of records that could not be read when it was made: from, up to.
    pub lost: Vec<(u64, u64)>,
    /// The tags of scopes whose time is over, as 32 hex digits, ascending: of their records none is
    /// here but those that another scope keeps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) expired: Vec<String>,
}

impl Meta {
    /// A volume of these records.
    #[must_use]
    pub fn new(origin: &str, lane: &str, (first, end): (u64, u64), lost: Vec<(u64, u64)>) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            origin: origin.to_owned(),
            lane: lane.to_owned(),
            first,
            end,
            lost,
            expired: Vec::new(),
        }
    }

    /// The same place without the records of these scopes.
    #[must_use]
    pub fn without(&self, scopes: &BTreeSet<Tag>) -> Self {
        Self {
            expired: scopes.iter().map(|tag| HEXLOWER.encode(tag)).collect(),
            ..self.clone()
        }
    }

    /// The scopes whose time is over.
    #[must_use]
    pub fn expired(&self) -> BTreeSet<Tag> {
        let tags = self.expired.iter().filter_map(|text| tag(text));
        tags.collect()
    }

    /// Whether it is the same run of records.
    #[must_use]
    pub fn is_of(&self, other: &Self) -> bool {
        let Self {
            origin,
            lane,
            first,
            end,
            ..
        } = self;
        (origin, lane, first, end) == (&other.origin, &other.lane, &other.first, &other.end)
    }

    /// Authenticated with each page.
    fn bound(&self) -> Vec<u8> {
        let Self {
            schema,
            origin,
            lane,
            first,
            end,
            ..
        } = self;
        format!("{schema}\0{origin}\0{lane}\0{first}\0{end}").into_bytes()
    }
}

fn tag(text: &str) -> Option<Tag> {
    HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()
}

/// The master key of volumes. **Implements none of Debug, Clone, Serialize.**
pub struct VolumeKeys(Arc<Retriever>);

struct Retriever(Secret<32>);

/// The key material of Parquet's own key tools, internally stored, wrapped once.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Material {
    key_material_type: String,
    internal_storage: bool,
    is_footer_key: bool,
    #[serde(rename = "kmsInstanceID")]
    kms_instance_id: String,
    #[serde(rename = "kmsInstanceURL")]
    kms_instance_url: String,
    #[serde(rename = "masterKeyID")]
    master_key_id: String,
    #[serde(rename = "wrappedDEK")]
    wrapped: String,
    double_wrapping: bool,
}

impl VolumeKeys {
    /// From the master key.
    #[must_use]
    pub fn new(master: Secret<32>) -> Self {
        Self(Arc::new(Retriever(master)))
    }

    fn encrypt(
        &self,
        meta: &Meta,
        entropy: &dyn Entropy,
    ) -> Result<Arc<FileEncryptionProperties>, ArchiveError> {
        let key = Secret::random(entropy).map_err(crate::seal::SealError::Entropy)?;
        let material = Material {
            key_material_type: "PKMT1".to_owned(),
            internal_storage: true,
            is_footer_key: true,
            kms_instance_id: "DEFAULT".to_owned(),
            kms_instance_url: "DEFAULT".to_owned(),
            master_key_id: MASTER.to_owned(),
            wrapped: wrap_file_key(&self.0.0, MASTER, &key, entropy)?,
            double_wrapping: false,
        };
        let material = serde_json::to_vec(&material).map_err(ParquetError::from_error)?;
        let properties = FileEncryptionProperties::builder(key.expose().to_vec())
            .with_footer_key_metadata(material)
            .with_aad_prefix(meta.bound())
            .with_aad_prefix_storage(true);
        Ok(properties.build()?)
    }

    /// What opens a volume: the one that `meta` says, or any of this key.
    pub fn decrypt(
        &self,
        meta: Option<&Meta>,
    ) -> Result<Arc<FileDecryptionProperties>, ArchiveError> {
        let retriever = Arc::<Retriever>::clone(&self.0);
        let properties = FileDecryptionProperties::with_key_retriever(retriever);
        let properties = match meta {
            Some(meta) => properties.with_aad_prefix(meta.bound()),
            None => properties,
        };
        Ok(properties.build()?)
    }
}

trait FromError {
    fn from_error(error: serde_json::Error) -> Self;
}

impl FromError for ParquetError {
    fn from_error(error: serde_json::Error) -> Self {
        Self::External(Box::new(error))
    }
}

impl KeyRetriever for Retriever {
    fn retrieve_key(&self, metadata: &[u8]) -> parquet::errors::Result<Vec<u8>> {
        let material: Material =
            serde_json::from_slice(metadata).map_err(ParquetError::from_error)?;
        if material.master_key_id != MASTER || material.double_wrapping {
            return Err(ParquetError::General("a key of another kind".to_owned()));
        }
        let key = open_file_key(&self.0, MASTER, &material.wrapped);
        let key = key.map_err(|error| ParquetError::External(Box::new(error)))?;
        Ok(key.expose().to_vec())
    }
}

fn properties(
    meta: &Meta,
    encryption: Arc<FileEncryptionProperties>,
) -> Result<WriterProperties, ArchiveError> {
    let json = serde_json::to_string(meta).map_err(ParquetError::from_error)?;
    let mut builder = WriterProperties::builder()
        .set_created_by("kluis".to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
        .set_max_row_group_row_count(Some(ARCHIVE_GROUP_ROWS))
        .set_key_value_metadata(Some(vec![KeyValue::new(META.to_owned(), json)]));
    // What ascends is kept as differences; what is random is not looked up in a dictionary.
    for (name, encoding) in [
        ("seq", Encoding::DELTA_BINARY_PACKED),
        ("end_seq", Encoding::DELTA_BINARY_PACKED),
        ("time", Encoding::DELTA_BINARY_PACKED),
        ("time_end", Encoding::DELTA_BINARY_PACKED),
        ("event", Encoding::BYTE_STREAM_SPLIT),
    ] {
        let column = ColumnPath::from(name);
        builder = builder
            .set_column_dictionary_enabled(column.clone(), false)
            .set_column_encoding(column, encoding);
    }
    Ok(builder.with_file_encryption_properties(encryption).build())
}

/// Writes rows as a volume.
pub fn write_volume(
    keys: &VolumeKeys,
    meta: &Meta,
    rows: &[Row],
    entropy: &dyn Entropy,
) -> Result<Bytes, ArchiveError> {
    let properties = properties(meta, keys.encrypt(meta, entropy)?)?;
    let mut writer = ArrowWriter::try_new(Vec::new(), schema(), Some(properties))?;
    for rows in rows.chunks(ARCHIVE_BATCH_ROWS) {
        writer.write(&batch(&meta.lane, rows)?)?;
    }
    Ok(writer.into_inner()?.into())
}

/// An open volume.
pub struct Volume {
    /// What it is.
    pub meta: Meta,
    pub(super) bytes: Bytes,
    pub(super) keys: Arc<FileDecryptionProperties>,
}

impl Volume {
    /// Opens the volume that `meta` says.
    pub fn open(keys: &VolumeKeys, meta: &Meta, bytes: Bytes) -> Result<Self, ArchiveError> {
        is_sealed(&bytes)?;
        let keys = keys.decrypt(Some(meta))?;
        let options = ArrowReaderOptions::new()
            .with_file_decryption_properties(Arc::clone(&keys))
            .with_page_index_policy(PageIndexPolicy::Skip);
        let read = read_meta(&ArrowReaderMetadata::load(&bytes, options)?)?;
        if read != *meta {
            return Err(ArchiveError::Other("another volume"));
        }
        Ok(Self {
            meta: read,
            bytes,
            keys,
        })
    }

    /// Opens a volume of which nothing is known; it is what it says.
    pub fn find(keys: &VolumeKeys, bytes: Bytes) -> Result<Self, ArchiveError> {
        is_sealed(&bytes)?;
        let options =
            ArrowReaderOptions::new().with_file_decryption_properties(keys.decrypt(None)?);
        let meta = read_meta(&ArrowReaderMetadata::load(&bytes, options)?)?;
        Self::open(keys, &meta, bytes)
    }

    /// Its batches, as they are in the file.
    pub fn batches(
        &self,
    ) -> Result<impl Iterator<Item = Result<RecordBatch, ArchiveError>> + use<>, ArchiveError> {
        Ok(super::read::plain(self)?.map(|batch| Ok(batch?)))
    }
}

/// Refuses what does not end as a Parquet file whose footer is encrypted. **One in clear opens with
/// any keys and authenticates nothing**: the library takes keys for what there is to decrypt, and
/// asks for nothing to be so. `end` is the file, or the end of it.
pub fn is_sealed(end: &[u8]) -> Result<(), ArchiveError> {
    if end.ends_with(SEALED_END) {
        Ok(())
    } else {
        Err(ArchiveError::Other("it is not encrypted"))
    }
}

/// What a volume says of itself.
pub fn read_meta(metadata: &ArrowReaderMetadata) -> Result<Meta, ArchiveError> {
    let none = || ArchiveError::Other("it says not what it is");
    let pairs = metadata.metadata().file_metadata().key_value_metadata();
    let pair = pairs.and_then(|pairs| pairs.iter().find(|pair| pair.key == META));
    let json = pair
        .and_then(|pair| pair.value.as_deref())
        .ok_or_else(none)?;
    let meta: Meta = serde_json::from_str(json).map_err(|_form| none())?;
    let names = |schema: &arrow_schema::Schema| -> Vec<String> {
        schema.fields().iter().map(|f| f.name().clone()).collect()
    };
    if names(metadata.schema()) != names(&schema()) {
        return Err(ArchiveError::Other("it has other columns"));
    }
    let lost = meta
        .lost
        .iter()
        .all(|(from, to)| meta.first <= *from && from < to && *to <= meta.end);
    let expired = meta.expired.is_sorted_by(|a, b| a < b)
        && meta.expired.iter().all(|text| tag(text).is_some());
    if meta.schema == SCHEMA && meta.first < meta.end && lost && expired {
        Ok(meta)
    } else {
        Err(none())
    }
}
