//! Checksums of plaintext that S3 clients send and ask for. They guard against accidents only.

/// The algorithms of S3.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum ChecksumKind {
    /// CRC-32 (ISO-HDLC).
    Crc32,
    /// CRC-32C (Castagnoli).
    Crc32c,
    /// CRC-64/NVME.
    Crc64Nvme,
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
}

/// The checksums known of one object or part, each as the text that S3's headers carry (base64,
/// for a composite one `base64-N`).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Checksums {
    /// Kind and text, at most one of a kind, in order of kind.
    pub values: Vec<(ChecksumKind, String)>,
    /// Whether they are checksums of the parts' checksums (`COMPOSITE`) instead of the bytes.
    pub composite: bool,
}

impl Checksums {
    /// The checksum of this kind.
    #[must_use]
    pub fn get(&self, kind: ChecksumKind) -> Option<&str> {
        self.values
            .iter()
            .find(|(k, _)| *k == kind)
            .map(|(_, text)| text.as_str())
    }
}
