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
/// Bytes of the frames that wait: 8,192 records of 300 bytes are 2.4 MB, of 16 KiB would be 128 MiB.
pub const JOURNAL_QUEUE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Requests between intent and completion; each has room kept for its completion.
pub const JOURNAL_OPEN_MAX: usize = 8_192;
/// Bytes that one write and one fdatasync of the journal carry.
pub const JOURNAL_GROUP_BYTES_MAX: usize = 1024 * 1024;
/// One preallocated journal file. Half of it holds the completions of all open requests:
/// 8,192 × 640 bytes = 5 MiB.
pub const JOURNAL_FILE_BYTES: usize = 16 * 1024 * 1024;
/// The smallest journal file: a policy's text, a full record and a beginning fit.
pub const JOURNAL_FILE_BYTES_MIN: usize = 256 * 1024;
/// The largest journal file that a reader opens.
pub const JOURNAL_FILE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Files of one lane, and lanes of one journal: 1,048,576 × 16 MiB = 16 TiB.
pub const JOURNAL_FILES_MAX: usize = 1024 * 1024;
/// Intents that a reader holds until their completions come: those of eight busy gateways.
pub const JOURNAL_PAIRS_MAX: usize = 65_536;
/// Sessions that a journal file's dictionary holds before it begins anew.
pub const JOURNAL_SESSIONS_MAX: usize = 4_096;
/// How often the writer looks for completions that wait for company; they wait twice that at most.
pub const JOURNAL_LINGER_MS: u64 = 100;
/// The longest pause between two attempts to write again after a fault.
pub const JOURNAL_RETRY_MS_MAX: u64 = 5_000;
/// One encoded record: six texts of 2,048, two keys of 1,024 and 1 KiB for the rest are 15 KiB.
pub const RECORD_BYTES_MAX: usize = 16 * 1024;
/// One free text of a record (rule, query, purpose, user agent); its maker cuts it to this.
pub const RECORD_TEXT_BYTES_MAX: usize = 2_048;
/// The reason in a completion; shorter, because room is kept for each.
pub const RECORD_REASON_BYTES_MAX: usize = 512;
/// Open events that one entry carries into the next file: 512 × 17 bytes = 8.5 KiB.
pub const RECORD_EVENTS_MAX: usize = 512;
/// The text of one policy version, written once so that decisions can be replayed.
pub const POLICY_TEXT_BYTES_MAX: usize = 64 * 1024;
/// How long a request waits for its intent record to be durable.
pub const JOURNAL_WAIT_MS_MAX: u64 = 5_000;
/// Commits waiting for the catalog's writer.
pub const CATALOG_QUEUE_MAX: usize = 4_096;
/// Commits that share one transaction.
pub const CATALOG_GROUP_MAX: usize = 512;
