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
/// Sealed bytes that a local store reads at once, and what a stalled stream holds of them; large
/// enough that a system call is lost in the copy.
pub const STORE_CHUNK_BYTES: usize = 128 * 1024;
/// What hyper buffers of a connection to a store; it hands on chunks of up to twice this.
pub const STORE_WIRE_BUFFER_BYTES: usize = 64 * 1024;
/// Sealed bytes that a local store writes at once: each write changes threads.
pub const STORE_BATCH_BYTES: usize = 256 * 1024;
/// A blob up to here is gathered before it is sent, so that its PUT can be retried: 3 full
/// segments and their tags fit.
pub const STORE_REPLAY_BYTES_MAX: u64 = 256 * 1024;
/// The body of a store's error or listing: 1,000 keys of 1,024 bytes, each byte escaped as `%XX`,
/// take 3 MiB.
pub const STORE_ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Of an error's body, the part that is read for its code.
pub const STORE_ERROR_BYTES_MAX: usize = 16 * 1024;
/// Pages of one listing, each of up to 1,000 keys: ten million foreign keys in a row.
pub const STORE_LIST_PAGES_MAX: usize = 10_000;
/// The longest that a store's `Retry-After` is obeyed.
pub const STORE_RETRY_AFTER_MS_MAX: u64 = 10_000;
/// Temporary files that one opening of a local store sweeps; the next opening goes on.
pub const STORE_SWEEP_FILES_MAX: usize = 100_000;
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
