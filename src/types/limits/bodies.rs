//! Bodies of requests that are gathered whole before they are looked at.

/// A JSON body that a client sends to the API: 1,000 keys of 1,024 bytes fit.
pub const API_BODY_BYTES_MAX: usize = 2 * 1024 * 1024;
/// The same of a request that nobody has signed: a node's statement takes 1 KiB.
pub const API_UNSIGNED_BYTES_MAX: usize = 16 * 1024;
/// What all bodies that are gathered whole may hold together, of requests that are signed.
pub const GATHERED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The same of those that are not.
pub const GATHERED_UNSIGNED_BYTES_MAX: usize = 8 * 1024 * 1024;
/// A caller's part of the room for signed bodies: a quarter of what others leave.
pub const GATHERED_PART: usize = 4;
/// An address's part of the room for the others: an eighth of what others leave.
pub const GATHERED_UNSIGNED_PART: usize = 8;
/// What a signed body may have without room, as far as [`SHORT_BODIES_MAX`] goes: the renewal of a
/// lease fits, whatever others do.
pub const GATHERED_SHORT_BYTES_MAX: usize = 16 * 1024;
/// How long such a body may take from its first byte to its last.
pub const GATHERING_MS_MAX: u64 = 120_000;
/// The same where nobody has signed it.
pub const GATHERING_UNSIGNED_MS_MAX: u64 = 10_000;
/// What all XML bodies may hold together beyond [`XML_SHORT_BYTES_MAX`], a body whose checksum is
/// compared twice; of which a caller has a quarter of what others leave, as of
/// [`GATHERED_BYTES_MAX`].
pub const GATHERED_XML_BYTES_MAX: usize = 128 * 1024 * 1024;
/// What a body of XML may have without room, as far as [`SHORT_BODIES_MAX`] goes: 64 KiB and the
/// copy of it whose checksum is compared.
pub const XML_SHORT_BYTES_MAX: usize = 128 * 1024;
/// What a body takes at least beyond those that need no room: what its first byte is held in.
pub const GATHERED_LEAST_BYTES: usize = 8 * 1024;
/// Bodies under way of which what is short needs no room: 256 MiB of XML, 32 MiB of the API's.
pub const SHORT_BODIES_MAX: usize = 2048;
/// A person's part of them: 64, as many as a connection of HTTP/2 has streams, of what others
/// leave.
pub const SHORT_BODIES_PART: usize = 32;
