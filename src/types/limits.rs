//! Every bound of the vault, in one place. A loop over foreign input, a queue or a buffer without
//! a bound here is a fault.

/// A project's name: 30 + 2 + 31 = 63, S3's bound for a bucket.
pub const PROJECT_NAME_BYTES_MAX: usize = 30;
/// A dataset's name.
pub const DATASET_NAME_BYTES_MAX: usize = 31;
/// An object's key (S3).
pub const OBJECT_KEY_BYTES_MAX: usize = 1024;
/// A principal's name.
pub const PRINCIPAL_BYTES_MAX: usize = 128;
/// User metadata of one object, names and values together (S3: 2 KB, of which clients vary).
pub const USER_METADATA_BYTES_MAX: usize = 8 * 1024;

/// Plaintext bytes of a full segment of a sealed blob.
pub const SEGMENT_BYTES: usize = 64 * 1024;
/// Plaintext bytes of one blob; a longer body becomes several, so that the 5 GiB bound of stores
/// is far away and a failed PUT loses little.
pub const BLOB_PLAINTEXT_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Plaintext bytes of one PUT or one part (S3: 5 GiB).
pub const BODY_BYTES_MAX: u64 = 5 * 1024 * 1024 * 1024;
/// Bytes of one object (S3: 5 TiB; newer: 50 TB).
pub const OBJECT_BYTES_MAX: u64 = 50 * 1024 * 1024 * 1024 * 1024;
/// Parts of one multipart upload (S3).
pub const PARTS_MAX: u32 = 10_000;
/// Extents of one object: 10,000 parts, of which copies may cut each several times.
pub const EXTENTS_MAX: usize = 100_000;
/// Entries of one page of a listing (S3).
pub const PAGE_ENTRIES_MAX: usize = 1_000;
/// Keys of one `DeleteObjects` (S3).
pub const DELETE_KEYS_MAX: usize = 1_000;
/// An XML body that a client sends: 10,000 parts of a completion with five checksums each fit.
pub const XML_BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Frames waiting for the journal's writer; at the bound a request is refused with 503.
pub const JOURNAL_QUEUE_MAX: usize = 8_192;
/// One encoded record.
pub const RECORD_BYTES_MAX: usize = 16 * 1024;
/// How long a request waits for its intent record to be durable.
pub const JOURNAL_WAIT_MS_MAX: u64 = 5_000;
/// Commits waiting for the catalog's writer.
pub const CATALOG_QUEUE_MAX: usize = 4_096;
/// Commits that share one transaction.
pub const CATALOG_GROUP_MAX: usize = 512;
/// One encoded commit: four sealed part tables of `EXTENTS_MAX` rows of 160 bytes (4 × 16 MB).
pub const CATALOG_CHANGE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How long a commit waits for another process that writes the same catalog file.
pub const CATALOG_LOCK_MS_MAX: u64 = 5_000;
/// Listings, dumps and other long reads of the catalog at once: a blocking thread each.
pub const CATALOG_SCANS_MAX: usize = 8;
/// Idle read connections that are kept; each holds at most 2 MiB of pages.
pub const CATALOG_READERS_MAX: usize = 16;
/// Blobs of one `RestoreBlobs`: 24 bytes each.
pub const CATALOG_RESTORE_BLOBS_MAX: usize = 4_096;
/// One value in the catalog's file: an encoded commit, and as much again for its framing.
pub const CATALOG_VALUE_BYTES_MAX: i32 = 2 * 64 * 1024 * 1024;
/// Grants of one principal in one project; with more, reading them fails, since leaving one out
/// could leave out a denial.
pub const CATALOG_GRANTS_MAX: usize = 10_000;
