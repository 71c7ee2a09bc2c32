//! The bounds of a node: of its mounts, what they fetch ahead, and their disk caches.

/// Connections of one mount to its gateway; as many chunks are on their way at most.
pub const NODE_CONNECTIONS_MAX: usize = 16;
/// Bytes a second that an answer to a mount brings at least, after the first 20 s.
pub const NODE_PACE_BYTES: usize = 4 * 1024;
/// What hyper buffers of one of them.
pub const NODE_WIRE_BUFFER_BYTES: usize = 512 * 1024;
/// Plaintext bytes that a mount fetches and keeps as one: 16 segments.
pub const NODE_CHUNK_BYTES: u64 = 1024 * 1024;
/// Chunks that one open file is read ahead of its reader: what 15 ms hold at 4 GiB a second.
pub const NODE_AHEAD_CHUNKS_MAX: u64 = 64;
/// Plaintext bytes that are fetched for a read that stands alone: two segments.
pub const NODE_PART_BYTES: u64 = 128 * 1024;
/// Buffers of chunks that are kept to be used again.
pub const NODE_BUFFERS_MAX: usize = 32;
/// Chunks that are fetched by one request.
pub const NODE_STRETCH_CHUNKS_MAX: u64 = 16;
/// Objects whose keys are asked for ahead of a reader that goes through a directory.
pub const NODE_AHEAD_KEYS_MAX: usize = 256;
/// Batches of files that are brought at once ahead of their readers; a pack each.
pub const NODE_BRINGING_MAX: usize = 3;
/// Files of one of them.
pub const NODE_BROUGHT_MAX: usize = 256;
/// Files that are brought ahead of one reader.
pub const NODE_WINDOW_FILES_MAX: u64 = 512;
/// Opens that a mount remembers to know their order again; some 20 bytes each.
pub const NODE_LEARNED_MAX: usize = 2 * 1024 * 1024;
/// Bytes of a plan, and files that it names: the paths of a large training set. With 16 bytes a
/// line beside them, a plan stays within what a mount may take beyond its budget.
pub const PLAN_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// See [`PLAN_BYTES_MAX`].
pub const PLAN_FILES_MAX: usize = 2 * 1024 * 1024;
/// Chunks that are read from a disk cache at once: a thread each.
pub const DISK_READERS_MAX: usize = 8;
/// Chunks that are written to a disk cache at once: a thread each.
pub const DISK_WRITERS_MAX: usize = 8;
/// KiB of chunks that wait for a disk cache: one answer brings hundreds of small files at once.
/// What comes while the disk is further behind is not kept.
pub const DISK_WAITING_KIB_MAX: usize = 32 * 1024;
/// Files of a disk cache; beyond, further ones are removed.
pub const DISK_FILES_MAX: usize = 8 * 1024 * 1024;
/// Folders of a disk cache that are looked into: 256, and what others left there.
pub const DISK_FOLDERS_MAX: usize = 1024;
/// Tables of keys that a mount keeps; some 100 bytes each.
pub const NODE_KEYS_MAX: usize = 100_000;
/// Ranges of one open file that are told apart in its report; beyond, the closest become one.
pub const NODE_RANGES_MAX: usize = 64;
/// Reports of reads that wait for the gateway.
pub const NODE_REPORTS_MAX: usize = 100_000;

/// What a node keeps of one dataset's versions that it has seen: 140 bytes each.
pub const NODE_SEEN_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Threads that serve one mount's requests.
pub const MOUNT_THREADS_MAX: usize = 8;
/// Inodes of what was opened through one mount, 8 bytes each, that its successor is told.
pub const MOUNT_OPENED_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Deaths of a mount within [`MOUNT_DEATHS_SECONDS`] after which its supervisor gives up.
pub const MOUNT_DEATHS_MAX: usize = 5;
/// See [`MOUNT_DEATHS_MAX`].
pub const MOUNT_DEATHS_SECONDS: u64 = 60;
/// Entries of a directory for files in memory that a mount looks at for what others left.
pub const MOUNT_SWEPT_MAX: usize = 10_000;
/// Pages of the manifest that a mount keeps.
pub const MOUNT_PAGES_BYTES: usize = 32 * 1024 * 1024;
/// What the kernel reads ahead of a program, in KiB, where the mount may tell it: one request.
pub const MOUNT_READAHEAD_KIB: u32 = 1024;
/// What the kernel may read ahead of a program in one mount, where it is allowed to.
pub const MOUNT_READAHEAD_BYTES: u32 = 4 * 1024 * 1024;
