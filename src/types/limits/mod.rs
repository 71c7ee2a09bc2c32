//! Every bound of the vault, in one place. A loop over foreign input, a queue or a buffer without
//! a bound here is a fault.

mod acts;
mod bodies;
mod grants;
mod node;
mod packs;
mod recovery;
mod tables;
mod versions;

pub use acts::*;
pub use bodies::*;
pub use grants::*;
pub use node::*;
pub use packs::*;
pub use recovery::*;
pub use tables::*;
pub use versions::*;

/// A bucket's name (S3).
pub const BUCKET_NAME_BYTES_MAX: usize = 63;
/// A project's name: half of a bucket's, so that each project has room for its datasets' names.
pub const PROJECT_NAME_BYTES_MAX: usize = 30;
/// A dataset's name: a bucket's, since in the default project a bucket is called by it alone. In
/// another one, [`BUCKET_NAME_BYTES_MAX`] bounds it together with its project's.
pub const DATASET_NAME_BYTES_MAX: usize = BUCKET_NAME_BYTES_MAX;
/// The longest name that a request's bucket is read from: project, dataset and version in full.
pub const BUCKET_REF_BYTES_MAX: usize = PROJECT_NAME_BYTES_MAX + 2 + DATASET_NAME_BYTES_MAX + 10;
/// An object's key (S3).
pub const OBJECT_KEY_BYTES_MAX: usize = 1024;
/// A principal's name.
pub const PRINCIPAL_BYTES_MAX: usize = 128;
/// All files of a policy together: about 20,000 lines, far more than anyone reviews.
pub const POLICY_BYTES_MAX: usize = 1024 * 1024;
/// Roles of one policy.
pub const POLICY_ROLES_MAX: usize = 128;
/// A role's name.
pub const ROLE_NAME_BYTES_MAX: usize = 64;
/// A model's matcher; casbin's engine parses it without a bound of its own.
pub const POLICY_MATCHER_BYTES_MAX: usize = 2 * 1024;
/// Parentheses inside one another in a model's matcher.
pub const POLICY_MATCHER_DEPTH_MAX: usize = 8;
/// Grants of one subject in one project.
pub const SUBJECT_GRANTS_MAX: usize = 10_000;
/// Groups that one principal is a member of, and members of one group that are listed at once.
pub const GROUPS_OF_MAX: usize = 256;
/// Networks that one grant names, and actions: far more than a person reads before she approves.
pub const GRANT_NETWORKS_MAX: usize = 32;
/// A purpose code or a permit reference.
pub const GRANT_TEXT_BYTES_MAX: usize = 128;
/// One term of an act: an object's key fits.
pub const ACT_TERM_BYTES_MAX: usize = 1_100;
/// A day in milliseconds.
pub const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
/// How long before its end the owner of a dataset is told, in milliseconds (ER-2).
pub const DATASET_NOTICE_MS: u64 = 30 * DAY_MS;
/// How long a dataset that has ended can still be taken back into use, in milliseconds.
pub const DATASET_QUARANTINE_MS: u64 = 30 * DAY_MS;
/// A dataset's source or legal basis.
pub const CARD_TEXT_BYTES_MAX: usize = 512;
/// Labels of one installation.
pub const LABELS_MAX: usize = 16;
/// A label's name.
pub const LABEL_BYTES_MAX: usize = 32;
/// How long break-glass lasts at most, in minutes: a working day.
pub const BREAK_GLASS_MINUTES_MAX: u32 = 8 * 60;
/// Notices on a page of what one person was told.
pub const NOTICES_TOLD_MAX: usize = 1_000;
/// Pages of notices that a command shows at once: those of 400 days, a hundred a day.
pub const NOTICE_PAGES_MAX: usize = 40;
/// How long the catalog keeps a notice, in milliseconds; the log keeps what it tells of.
pub const NOTICE_KEPT_MS: u64 = 400 * DAY_MS;
/// How long before its end the owner is told of a grant, in milliseconds, at most; of shorter ones
/// when a quarter of their time is left.
pub const GRANT_NOTICE_MS: u64 = 14 * DAY_MS;
/// Ends of grants that are forgotten at once, after they are over.
pub const ENDINGS_FORGET_MAX: usize = 100;
/// Receivers of notices, one for each project; each has a connection of its own.
pub const WEBHOOKS_MAX: usize = 256;
/// The address of a receiver.
pub const WEBHOOK_URL_BYTES_MAX: usize = 1_024;
/// Notices of one project that wait for its receiver; those beyond are shown and not sent.
pub const WEBHOOK_WAITING_MAX: usize = 1_000;
/// For how long a notice is sent again, in milliseconds.
pub const WEBHOOK_TRIED_MS: u64 = DAY_MS;
/// What a receiver may answer, in bytes; nothing of it is kept.
pub const WEBHOOK_ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Notices that one receiver is sent in a round.
pub const WEBHOOK_ROUND_MAX: usize = 100;
/// Notices that one commit forgets.
pub const NOTICES_FORGET_MAX: usize = 100;
/// The reason that somebody gives.
pub const REASON_BYTES_MAX: usize = 1_000;
/// Uses of grants and credentials of one commit, and that a gateway keeps before it writes them.
pub const USES_MAX: usize = 100_000;
/// A JSON Web Token: what fits in a header, with room for the longest keys' signatures.
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// An issuer's set of keys: 64 RSA keys of 8,192 bits with their certificates.
pub const TOKEN_KEYS_BYTES_MAX: usize = 512 * 1024;
/// Keys of one issuer; a token without a key's id is tried with each.
pub const TOKEN_KEYS_MAX: usize = 64;
/// A token's subject (255 characters by OIDC's core, section 2).
pub const TOKEN_SUBJECT_BYTES_MAX: usize = 255;
/// The class or a method of a sign-in, as its token names it.
pub const ASSURANCE_BYTES_MAX: usize = 255;
/// A group as a token claims it.
pub const CLAIM_BYTES_MAX: usize = 255;
/// Groups that one token may claim: what fits in [`TOKEN_BYTES_MAX`] at 64 bytes each.
pub const CLAIMS_MAX: usize = 256;
/// Groups of the vault that one session is in by what its token claims: the session's token names
/// each in 35 bytes, within [`SESSION_TOKEN_BYTES_MAX`].
pub const CLAIMED_GROUPS_MAX: usize = 32;
/// A token with a passport: 32 visas of a kilobyte that are written twice in base64.
pub const PASSPORT_BYTES_MAX: usize = 64 * 1024;
/// Visas of one passport; those of a person with grants of several committees are below 50.
pub const VISAS_MAX: usize = 64;
/// One visa; an RSA key of 8,192 bits leaves 6 KiB for what it says.
pub const VISA_BYTES_MAX: usize = 8 * 1024;
/// A text of a visa: 255 characters is GA4GH's own bound for URLs. A list of linked identities that
/// is longer is no visa here.
pub const VISA_TEXT_BYTES_MAX: usize = 255;
/// Conditions of one visa, in all its alternatives; known ones have up to three.
pub const VISA_CLAUSES_MAX: usize = 16;
/// What of visas one session rests on: its token and its record name each.
pub const VISAS_HELD_MAX: usize = 16;
/// Issuers of visas that one vault believes, and where each may say that its keys are.
pub const VISA_ISSUERS_MAX: usize = 32;
/// See [`VISA_ISSUERS_MAX`].
pub const VISA_PLACES_MAX: usize = 8;
/// How old what a visa asserts may be if its issuer's entry says nothing, and at most, in days.
pub const VISA_DAYS: u32 = 365;
/// See [`VISA_DAYS`].
pub const VISA_DAYS_MAX: u32 = 3_650;
/// Claims of one issuer that stand for groups; all are in memory while sessions use them.
pub const ISSUER_CLAIMS_MAX: usize = 1_000;
/// Methods of one sign-in, and what a project may demand.
pub const ASSURANCES_MAX: usize = 16;
/// Attempts to be somebody that may fail from one peer at once, if the configuration says nothing
/// else: a site behind one address that changes its keys.
pub const ATTEMPTS_BURST: u32 = 100;
/// And in each second from then on.
pub const ATTEMPTS_PER_SECOND: u32 = 1;
/// Peers whose failures are counted at a time; beyond, a new peer's attempts are refused.
pub const ATTEMPTS_PEERS_MAX: usize = 100_000;
/// What an organisation sends of its people at once: a group of 10,000 members by 100 bytes.
pub const SCIM_BODY_BYTES_MAX: usize = 1024 * 1024;
/// Members of a group that an organisation keeps.
pub const SCIM_MEMBERS_MAX: usize = 10_000;
/// Operations of one PATCH; known clients send up to 100.
pub const SCIM_OPERATIONS_MAX: usize = 1_000;
/// Attributes of one object; the schemas have some 30.
pub const SCIM_ATTRIBUTES_MAX: usize = 256;
/// Members by bytes of filters that one PATCH holds against them: some 50 ms. One member named by
/// its id is not counted, which is what known clients send.
pub const SCIM_FILTERED_MAX: usize = 16 * 1024 * 1024;
/// A filter or path, and in it terms and brackets inside one another: known clients send one term.
pub const SCIM_FILTER_BYTES_MAX: usize = 2 * 1024;
/// See [`SCIM_FILTER_BYTES_MAX`].
pub const SCIM_FILTER_TERMS_MAX: usize = 32;
/// See [`SCIM_FILTER_BYTES_MAX`].
pub const SCIM_FILTER_DEPTH_MAX: usize = 8;
/// A name to show.
pub const SCIM_TEXT_BYTES_MAX: usize = 256;
/// Resources on one page.
pub const SCIM_PAGE_MAX: usize = 200;
/// Members of all groups on one page, and of all that one list holds a filter against: ten of the
/// largest.
pub const SCIM_PAGE_MEMBERS_MAX: usize = 100_000;
/// Rows that one list looks through: some 0.3 s.
pub const SCIM_SCAN_MAX: usize = 200_000;
/// Requests of one organisation at once, and in each second: known clients send tens.
pub const SCIM_BURST: u32 = 200;
/// See [`SCIM_BURST`].
pub const SCIM_PER_SECOND: u32 = 50;
/// Principals of one name that are tried before a name without meaning is given.
pub const SCIM_NAMES_MAX: usize = 100;
/// How long an organisation's credential lives at most, in days, and if nothing is said.
pub const SCIM_DAYS_MAX: u32 = 730;
/// Organisations that tell who their people are.
pub const SCIM_SOURCES_MAX: usize = 64;
/// Issuers of one vault.
pub const ISSUERS_MAX: usize = 32;
/// How long a session's credential lives at most, in milliseconds (ID-5: an hour).
pub const SESSION_MS_MAX: u64 = 60 * 60 * 1_000;
/// The shortest one by an issuer's word, in milliseconds: clients ask for a new one when the old
/// one has less left.
pub const SESSION_MS_MIN: u64 = 15 * 60 * 1_000;
/// A job's session, in milliseconds, at most and if nothing is said: its node renews it by itself,
/// at two thirds of that.
pub const JOB_SESSION_MS: u64 = 15 * 60 * 1_000;
/// How long a job may wait: ID-5 asks for 72 h; a queue of a month is the longest that is known.
pub const JOB_WAITS_MS_MAX: u64 = 30 * 24 * 60 * 60 * 1_000;
/// How long a job may run.
pub const JOB_LASTS_MS_MAX: u64 = 30 * 24 * 60 * 60 * 1_000;
/// Nodes of one job; its row names each of them.
pub const JOB_NODES_MAX: u32 = 1_024;
/// Jobs of one person that wait or run; a submission looks through them.
pub const JOBS_OPEN_MAX: usize = 1_000;
/// Jobs that are over and that a submission forgets.
pub const JOBS_FORGET_MAX: usize = 100;
/// A job's name: a principal's, a slash and 32 digits.
pub const JOB_NAME_BYTES_MAX: usize = PRINCIPAL_BYTES_MAX + 33;
/// The name of a node, cluster or account: three of them and a number fit into a principal's name.
pub const NODE_NAME_BYTES_MAX: usize = 40;
/// How long a node's statement about a job may be good, in milliseconds; clocks may be a minute
/// apart.
pub const STATEMENT_MS_MAX: u64 = 3 * 60 * 1_000;
/// A session's token as it is sent; with its form it stays below what clients put into a header.
pub const SESSION_TOKEN_BYTES_MAX: usize = 4 * 1024;
/// Spent tokens that one commit forgets because they are over.
pub const SPENT_FORGET_MAX: usize = 1_000;
/// Cases of one table of expectations.
pub const EXPECTATIONS_MAX: usize = 10_000;
/// User metadata of one object, names and values together (S3: 2 KB, of which clients vary).
pub const USER_METADATA_BYTES_MAX: usize = 8 * 1024;

/// Tags of one object (S3).
pub const OBJECT_TAGS_MAX: usize = 10;
/// Tags of one dataset (S3).
pub const DATASET_TAGS_MAX: usize = 50;
/// Days of a retention by default: a hundred years.
pub const RETENTION_DAYS_MAX: u32 = 36_500;
/// The name of a key, as clients write it: an ARN of a cloud's key service is shorter.
pub const KEY_NAME_BYTES_MAX: usize = 512;
/// Rules of one CORS setting (S3), and values of one of its lists.
pub const CORS_RULES_MAX: usize = 100;
/// Grants that a view of a policy looks at.
pub const DATASET_GRANTS_TOLD_MAX: usize = 10_000;
/// Rules of one lifecycle (S3).
pub const LIFECYCLE_RULES_MAX: usize = 1000;
/// Bytes of a rule's name (S3).
pub const RULE_NAME_BYTES_MAX: usize = 255;
/// Characters of a tag's name, and of its value (S3).
pub const TAG_NAME_CHARS_MAX: usize = 128;
/// See [`TAG_NAME_CHARS_MAX`].
pub const TAG_VALUE_CHARS_MAX: usize = 256;

/// Datasets of one vault, each with a key of its own: 100,000 keys in memory are about 10 MB.
pub const DATASETS_MAX: usize = 100_000;
/// Keys of one dataset that may be there when another is made: two while it is rotated, and those
/// of work that was refused after its key was made. A rotation leaves the newest alone.
pub const KEY_VERSIONS_MAX: usize = 64;

/// Plaintext bytes of a full segment of a sealed blob.
pub const SEGMENT_BYTES: usize = 64 * 1024;
/// Plaintext bytes of one blob; a longer body becomes several, so that the 5 GiB bound of stores
/// is far away and a failed PUT loses little.
pub const BLOB_PLAINTEXT_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Sealed bytes that a store hands over at once: one sealed segment, so that a local store's is
/// opened where it was read, and a stalled stream holds nothing beyond what waits to be sent.
pub const STORE_CHUNK_BYTES: u64 = 64 * 1024 + 16;
/// Where in a blob the first of those chunks begins; the header before it comes with it.
pub const STORE_CHUNKS_BEGIN: u64 = 136;
/// What hyper buffers of a connection to a store; it hands on chunks of up to twice this. With four
/// times as much, a thousand stalled clients cost 445 MiB.
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
/// Of those, the deletions that run at once: their records and commits share a sync.
pub const DELETES_AT_ONCE: usize = 32;
/// An XML body that a client sends: 10,000 parts of a completion with five checksums each fit.
pub const XML_BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Frames waiting for the journal's writer; at the bound a request is refused with 503.
pub const JOURNAL_QUEUE_MAX: usize = 8_192;
/// Bytes of the frames that wait: 8,192 records of 300 bytes are 2.4 MB, of 16 KiB would be
/// 128 MiB.
pub const JOURNAL_QUEUE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Requests between intent and completion; each has room kept for its completion.
pub const JOURNAL_OPEN_MAX: usize = 8_192;
/// Of those, how many one caller may have: a quarter.
pub const JOURNAL_OPEN_SHARE: usize = JOURNAL_OPEN_MAX / 4;
/// Bytes that one write and one fdatasync of the journal carry.
pub const JOURNAL_GROUP_BYTES_MAX: usize = 1024 * 1024;
/// One preallocated journal file, as small as a gateway's may be. Half of it holds the completions
/// of all open requests: 8,192 × 640 bytes = 5 MiB.
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
/// While other requests are under way, the journal syncs no more often than this: a sync costs as
/// much CPU as the rest of a small request, and the store is read meanwhile anyway.
pub const JOURNAL_PACE_US: u64 = 1_000;
/// The same while nobody waits for a record in the queue: a reader asks for his when the store has
/// answered, and most are durable by then.
pub const JOURNAL_PACE_LAZY_US: u64 = 3_000;
/// The longest pause between two attempts to write again after a fault.
pub const JOURNAL_RETRY_MS_MAX: u64 = 5_000;
/// How long one try of a batch of the gate is waited for before the same bytes are sent again.
pub const GATE_PUT_MS_MAX: u64 = 20_000;
/// How long any other work on the gate's place may take: a listing of 100,000 blobs, 16 reads of
/// whole files.
pub const GATE_CALL_MS_MAX: u64 = 120_000;
/// Blobs of the gate that are read or removed side by side: 16 files of 64 MiB are 1 GiB at most,
/// while a lost directory is made again.
pub const GATE_GETS: usize = 16;
/// What a journal that the store lacks is sent in.
pub const GATE_PIECE_BYTES: u64 = 4 * 1024 * 1024;
/// The largest blob of the gate: a whole file, its seal and what stands in front.
pub const GATE_BLOB_BYTES_MAX: u64 = 64 * 1024 * 1024 + 4_096;
/// Free bytes of the journal's disk below which the operator is warned: a million requests of
/// about 1 KiB of records each.
pub const JOURNAL_FREE_BYTES_WARN: u64 = 1024 * 1024 * 1024;
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
/// Pieces of the rights behind one version: 10,000 grants of some 4 KiB.
pub const RIGHTS_PIECES_MAX: usize = 1_024;
/// How long a request waits for its intent record to be durable.
pub const JOURNAL_WAIT_MS_MAX: u64 = 5_000;
/// Commits waiting for the catalog's writer.
pub const CATALOG_QUEUE_MAX: usize = 4_096;
/// Their encoded changes, in bytes: seven of the largest completions; 4,096 small ones are a tenth.
/// As long as the longest commit ([`CATALOG_CHANGE_BYTES_MAX`]), which has room alone.
pub const CATALOG_QUEUE_BYTES_MAX: usize = CATALOG_CHANGE_BYTES_MAX;
/// Commits that share one transaction.
pub const CATALOG_GROUP_MAX: usize = 512;
/// Answers of one kind that the guard keeps in memory; at the bound it starts anew.
pub const GUARD_CACHE_MAX: usize = 100_000;
/// Encoded changes in one snapshot of the catalog, unless one commit alone is larger.
pub const SNAPSHOT_BYTES_MAX: usize = 8 * 1024 * 1024;
/// For how long snapshots may fail before readiness warns: two dozen of them at the usual interval.
pub const SNAPSHOT_LAG_WARN_MS: u64 = 2 * 60 * 1000;
/// How far this machine's clock and the store's are thought to lie apart: S3 refuses who is further
/// away. A blob this much older than the newest snapshot may still have come after it.
pub const SNAPSHOT_CLOCKS_APART_MS: u64 = 15 * 60 * 1000;
/// How far beyond a snapshot's number another one is looked for: what a program of before burnt in
/// six days without a store. Fewer in tests, whose names are slow.
pub const SNAPSHOT_GAP: u64 = if cfg!(test) { 200 } else { 100_000 };
/// Names of snapshots to come that the sweep spares: those of a day at the usual interval. What
/// another catalog wrote before that is found, and ends the sweep. Fewer in tests, as above.
pub const SNAPSHOT_AHEAD: u64 = if cfg!(test) { 20 } else { 20_000 };
/// How far a recovery looks while blobs in the store are unexplained: 120 days of burnt numbers.
pub const SNAPSHOT_SEARCH_MAX: u64 = 2_000_000;
/// How far beyond a pointer to a base another one is looked for: one is lost with a lost answer.
pub const SNAPSHOT_POINTER_GAP: u64 = if cfg!(test) { 8 } else { 256 };
/// Snapshots between two bases, at the least (a busy day) ...
pub const SNAPSHOT_BASE_COUNT_MIN: u64 = 20_000;
/// ... and at the most, however few bytes they hold: 20 minutes of a recovery at 5 ms each.
pub const SNAPSHOT_BASE_COUNT_MAX: u64 = 240_000;
/// Blobs in a row that a store may refuse to delete before a sweep takes it that it deletes none.
pub const SWEEP_REFUSALS_MAX: u64 = 1_000;
/// Snapshots that one sweep deletes: 6 times what the busiest hour writes.
pub const SNAPSHOT_PRUNE_MAX: u64 = 4_320;
/// Part tables in one page of the catalog, beside the last: a page of a thousand of the largest
/// would be 9 GB.
pub const PAGE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Part tables of all parts of an upload that is completed: 100,000 extents of 93 bytes, sealed, in
/// 10,000 parts, twice over for parts that the completion leaves out.
pub const COMPLETION_BYTES_MAX: usize = 32 * 1024 * 1024;
/// One encoded commit: four sealed part tables of `EXTENTS_MAX` rows of 160 bytes (4 × 16 MB).
pub const CATALOG_CHANGE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How long a commit waits for another process that writes the same catalog file.
pub const CATALOG_LOCK_MS_MAX: u64 = 5_000;
/// Listings, dumps and other long reads of the catalog at once: a blocking thread each.
pub const CATALOG_SCANS_MAX: usize = 8;
/// Idle read connections that are kept; each holds at most 512 KiB of pages.
pub const CATALOG_READERS_MAX: usize = 8;
/// What SQLite's own memory is kept to, all connections together.
pub const CATALOG_HEAP_BYTES: i64 = 8 * 1024 * 1024;
/// Blobs of one `RestoreBlobs`: 24 bytes each.
pub const CATALOG_RESTORE_BLOBS_MAX: usize = 4_096;
/// One value in the catalog's file: an encoded commit, and as much again for its framing.
pub const CATALOG_VALUE_BYTES_MAX: i32 = 2 * 64 * 1024 * 1024;
/// Grants of one principal in one project; with more, reading them fails, since leaving one out
/// could leave out a denial.
pub const CATALOG_GRANTS_MAX: usize = 10_000;

/// Plaintext bytes at which a page of a manifest is full: four segments, some 2,000 files.
pub const MANIFEST_PAGE_BYTES: usize = 256 * 1024;
/// The longest page: a full one and one more entry.
pub const MANIFEST_PAGE_BYTES_MAX: usize = 512 * 1024;
/// Pages of one manifest: at 1,000 files each, a thousand million files.
pub const MANIFEST_PAGES_MAX: usize = 1024 * 1024;
/// The name of one file or directory in a mount (Linux).
pub const FILE_NAME_BYTES_MAX: usize = 255;
/// Objects whose keys one request releases.
pub const RELEASE_KEYS_MAX: usize = 1_000;
/// How long a node goes on with the keys that were released to it; it renews at half of that. A
/// grant that is withdrawn stops what is open within this time (AZ-2: 60 s), clocks and a round
/// trip to spare.
pub const LEASE_SECONDS: u64 = 45;
/// How long a URL reads a blob from the store: within the 60 s of AZ-2 after a grant ended.
pub const STRAIGHT_SECONDS: u64 = 55;
/// Connections of one mount to the store.
pub const STRAIGHT_CONNECTIONS_MAX: usize = 32;
/// Blobs of one object that one question for URLs names: their names fit into one record.
pub const STRAIGHT_BLOBS_MAX: usize = 48;

/// Letters of a partition's name.
pub const PARTITION_NAME_BYTES_MAX: usize = 30;
/// Letters of a use class.
pub const USE_CLASS_BYTES_MAX: usize = 30;
/// Use classes that a node is enrolled for.
pub const NODE_USES_MAX: usize = 16;
/// Partitions that a grant names.
pub const GRANT_PARTITIONS_MAX: usize = 16;

/// One entry of the log (c2sp.org/tlog-tiles): its length is written in two bytes.
pub const LOG_ENTRY_BYTES_MAX: usize = 65_535;
/// A signed note: a hundred signatures of 5 kB, as the largest are.
pub const NOTE_BYTES_MAX: usize = 512 * 1024;
/// A certificate of erasure with its list: a million writes with names of a kilobyte.
pub const CERTIFICATE_BYTES_MAX: u64 = 1_100_000_000;
/// Signatures of one note; c2sp.org/signed-note asks for 16 at least.
pub const NOTE_SIGNATURES_MAX: usize = 100;
/// A policy of trust, and its lines: far more than the 96 that c2sp.org/tlog-policy asks for.
pub const TRUST_BYTES_MAX: usize = 256 * 1024;
/// Lines of a policy of trust.
pub const TRUST_LINES_MAX: usize = 1_000;
/// Records of one segment of the log: a bundle holds one's in memory (64 Ki × 400 B = 26 MB).
pub const LOG_SEGMENT_RECORDS_MAX: usize = 65_536;
/// Bytes of one segment's records; beyond, the next record begins another.
pub const LOG_SEGMENT_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Sessions of one bundle: half a gigabyte of them.
pub const BUNDLE_SESSIONS_MAX: usize = 1_000_000;
/// Scopes of one segment, 54 bytes each: its entry stays below `LOG_ENTRY_BYTES_MAX`.
pub const LOG_SCOPES_MAX: usize = 1_000;
/// Segments that one round of the log makes before it publishes them.
pub const LOG_ROUND_SEGMENTS_MAX: usize = 64;
/// Requests whose completions the log waits for, to put them where their intents are: those of
/// eight busy gateways.
pub const LOG_OPEN_MAX: usize = 65_536;
/// Lanes of one log.
pub const LOG_LANES_MAX: usize = 1_024;
/// The longest file of a log: a full bundle of the longest entries.
pub const LOG_FILE_BYTES_MAX: usize = 256 * (2 + LOG_ENTRY_BYTES_MAX);
/// Records of one volume, as long as a segment does not begin below and end above it: a few MB in
/// the store, 200 MB in memory while it is made or checked.
pub const ARCHIVE_RECORDS_MAX: u64 = 262_144;
/// Rows of one group of a volume, which a query reads or leaves as a whole.
pub const ARCHIVE_GROUP_ROWS: usize = 65_536;
/// Rows that are columns at once while a volume is read.
pub const ARCHIVE_BATCH_ROWS: usize = 8_192;
/// Volumes of one log: 13,107,200,000 records in full ones.
pub const ARCHIVE_VOLUMES_MAX: usize = 50_000;
/// One volume in the store: 262,144 records of 16 KiB that nothing compresses would be beyond it,
/// and are not written.
pub const ARCHIVE_VOLUME_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// For how much longer than its records a volume is locked: so long what is over of it may take to
/// be written again without it, and be locked anew, before anything of it is without a lock.
/// Nothing is in the store for longer than this after its time.
pub const WORM_MARGIN_MS: u64 = 3 * 24 * 60 * 60 * 1000;
/// For how long a volume is locked while it is read back and held against the log; one that does
/// not hold can be removed then.
pub const WORM_TRIAL_MS: u64 = 2 * 24 * 60 * 60 * 1000;
/// Volumes in a row that cannot be had from the store before their locks are left for the next run:
/// each is asked for with all its tries, and a store that is away has none of them.
pub const WORM_AWAY_MAX: usize = 20;
/// Strange versions in the store that are named one by one, and locked ones that are read for it.
pub const WORM_NAMED_MAX: usize = 10;
/// Records behind the volumes that one query reads from the journal: about 700 MB as columns.
pub const ARCHIVE_HOT_RECORDS_MAX: usize = 2_000_000;
/// Records that one page of the log over HTTP reads, and again as many for the ends of its
/// requests: some 0.2 s of one core each.
pub const RECORDS_SCAN_MAX: usize = 100_000;
/// Requests on one page: some 1.5 KiB of JSON each.
pub const RECORDS_PAGE_MAX: usize = 1_000;
/// Requests of the log that a command asks a gateway for at once, on a page of at most so many
/// bytes: records of 16 KiB each, written as JSON.
pub const COMMAND_PAGE_RECORDS: usize = 250;
/// See [`COMMAND_PAGE_RECORDS`].
pub const COMMAND_PAGE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// An answer that a command shows as a whole: a list of 30,000 grants.
pub const COMMAND_LIST_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Pages that a command reads before it takes a gateway's log for one without end: 10,000,000,000
/// records, since a page reads 100,000.
pub const COMMAND_PAGES_MAX: usize = 100_000;
/// Records that the proof of one reads at most: for its end, and for what its neighbours in the
/// log's entry belong to. Some 2 s of one core.
pub const PROOF_SCAN_MAX: usize = 1_000_000;
/// Bundles of 256 entries that are looked through for a record's: an hour of sixteen lanes.
pub const PROOF_BUNDLES_MAX: u64 = 256;
/// Lanes that a cursor can name: one or two for each gateway.
pub const RECORDS_LANES_MAX: usize = 64;
/// Pages that are read at once: each keeps a thread and a core busy.
pub const RECORDS_READERS_MAX: usize = 2;
/// Policy texts that a replay holds: a hundred thousand versions of some 5 KiB.
pub const REPLAY_BYTES_MAX: usize = 512 * 1024 * 1024;
/// A line of a store's access log: a key of 1,024 bytes, encoded twice, agent and referer.
pub const RECONCILE_LINE_BYTES_MAX: usize = 64 * 1024;
/// Lines of one log, some 200 bytes of memory each.
pub const RECONCILE_LINES_MAX: u64 = 5_000_000;
/// Requests that a log is held against, some 200 bytes each.
pub const RECONCILE_WINDOWS_MAX: usize = 5_000_000;
/// Blobs that are held at once, some 200 bytes each.
pub const RECONCILE_BLOBS_MAX: usize = 10_000_000;
/// Views of subjects that a replay keeps, as the gateway does.
pub const REPLAY_SUBJECTS_MAX: usize = 10_000;
/// What a query of the log may hold in memory beside them; it writes nothing to a disk.
pub const QUERY_BYTES_MAX: usize = 512 * 1024 * 1024;
/// What the process that asks may have in all, where a function of SQL makes more of a row than is
/// counted: the newest records, the engine's count, the program, and as much again.
pub const QUERY_PROCESS_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;
/// How long one query of the log may take.
pub const QUERY_MS_MAX: u64 = 120_000;
/// For how many days the log keeps a project's records where nothing else was said: five years
/// (NEN 7513, chapter 8), two of which may be leap years: 5 × 365 + 2.
pub const LOG_KEPT_DAYS: u32 = 1_827;
/// The least that a project may ask for: a year.
pub const LOG_KEPT_DAYS_MIN: u32 = 365;
/// The most: a hundred years.
pub const LOG_KEPT_DAYS_MAX: u32 = 36_525;
/// Requests that are handed to a receiver of the log's stream at once: half a megabyte or so.
pub const STREAM_BATCH_REQUESTS: usize = 512;
/// How often a stream that is up to date looks at the log.
pub const STREAM_LOOK_MS: u64 = 1_000;
/// How long handing something to a receiver may take, its connection included.
pub const STREAM_SEND_MS_MAX: u64 = 30_000;
/// The first wait before something is handed over again; each is twice as long as the last.
pub const STREAM_RETRY_MS_MIN: u64 = 1_000;
/// The longest wait.
pub const STREAM_RETRY_MS_MAX: u64 = 60_000;
/// What is read of a receiver's answer.
pub const STREAM_ANSWER_BYTES_MAX: usize = 64 * 1024;
/// By how much a clock may move beside the time that passes before that is told and recorded
/// (AU-14).
pub const CLOCK_JUMP_MS: u64 = 1_000;
/// By how much this machine's clock and the store's may lie apart before that is told and recorded
/// (AU-14); a store's times have whole seconds, so another second is not seen.
pub const CLOCK_APART_MS: u64 = 1_000;
/// For how long the operator is warned of a clock that moved: an hour.
pub const CLOCK_WARN_MS: u64 = 60 * 60 * 1000;
/// How far checkpoints may lag behind records before the operator is warned.
pub const LOG_CHECKPOINT_LAG_WARN_MS: u64 = 10_000;
/// How far cosignatures may lag behind checkpoints before the operator is warned: ten minutes.
pub const LOG_COSIGNED_LAG_WARN_MS: u64 = 10 * 60 * 1000;
/// How far volumes may lag behind the log before the operator is warned: two days, of the week
/// that the journal is kept.
pub const LOG_VOLUME_LAG_WARN_MS: u64 = 2 * 24 * 60 * 60 * 1000;
/// Names that one look for whoever is meant by a pseudonym goes through.
pub const PSEUDONYM_NAMES_MAX: usize = 10_000_000;
/// Checkpoints that a verifier keeps and compares.
pub const LOG_KEPT_MAX: usize = 10_000;
/// Findings that a verification names one by one.
pub const FINDINGS_MAX: usize = 1_000;
/// Custodians of one root: more never meet.
pub const CUSTODIANS_MAX: u8 = 16;
/// A custodian's share as text: twice the 74 bytes of an identity, and what stands around them.
pub const SHARE_BYTES_MAX: usize = 256;
/// Shares that are refused before a process that waits for the right ones gives up.
pub const SHARES_REFUSED_MAX: usize = 20;
/// A root identity as a key service or a token wrapped it: 74 bytes, in base64 with what it adds.
pub const WRAPPED_ROOT_BYTES_MAX: usize = 4 * 1024;
/// PINs in a row that are tried without a person: a card locks after three.
pub const PIN_TRIES_MAX: u8 = 2;
