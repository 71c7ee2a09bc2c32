//! The bounds of part tables: held open while their objects are read or released, and written.

/// What the part tables of all running reads and releases may hold together: of objects of 10,000
/// pieces some 270.
pub const TABLES_HELD_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// A caller's hold at most what is free, through this: a quarter of all, the next caller's a
/// quarter of what that leaves. Who holds none gets one, as long as there is room.
pub const TABLES_FREE_PER_CALLER: u64 = 3;
/// A table of this length, some 170 pieces, needs no room while its object is read: as many as the
/// log keeps requests open hold 128 MiB.
pub const TABLE_SHORT_BYTES: u64 = 16 * 1024;
/// Sealed part tables that one release of keys opens, beside its first: 90,000 pieces. What goes
/// beyond is asked for again.
pub const RELEASE_TABLES_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Sealed part tables that one question about many objects reads and lets go again: beyond it the
/// rest is left out.
pub const LOOKED_TABLES_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Objects that such a question looks at at once.
pub const LOOKED_AT_ONCE: usize = 4;
/// Part tables longer than [`TABLE_SHORT_BYTES`] that one caller's copies may write at once, in
/// KiB: of 288 objects of 10,000 pieces. Each is a row in the catalog and one in its changes.
pub const COPIED_TABLES_KIB_MAX: u32 = 256 * 1024;
/// The same in each second from then on.
pub const COPIED_TABLES_KIB_PER_SECOND: u32 = 256;
/// Callers whose copies are counted at a time.
pub const COPIERS_MAX: usize = 10_000;
