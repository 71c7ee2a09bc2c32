//! The bounds of packs: sealed bytes of many small objects in one answer.

/// Plaintext bytes of an object that is sent in a pack: as many as one chunk of a mount holds.
pub const PACK_OBJECT_BYTES_MAX: u64 = 1024 * 1024;
/// Sealed bytes of one pack.
pub const PACK_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// How long one pack may take, in milliseconds: its right is not judged again for each object.
pub const PACK_MS_MAX: u64 = 20_000;
/// Blobs that are fetched at once for one pack.
pub const PACK_AT_ONCE: usize = 32;
/// Their bytes: with a store that takes 40 ms for each, 100 MB/s.
pub const PACK_AT_ONCE_BYTES: u64 = 4 * 1024 * 1024;
/// What all packs may hold together that is fetched and that no socket has taken.
pub const PACKS_HELD_BYTES_MAX: u64 = 128 * 1024 * 1024;
/// A caller's packs hold at most what is free, through this: a quarter of all, the next caller's a
/// quarter of what that leaves. After ten who take what they can, 7 MiB are left.
pub const PACKS_FREE_PER_CALLER: u64 = 3;
/// One pack reads ahead at most into what is left of its caller's share, through this: 5 MiB where
/// it is alone; of those that nobody reads, each next one less, down to one object.
pub const PACKS_SHARE_PER_ANSWER: u64 = 7;
