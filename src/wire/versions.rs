//! Published versions, and what a node needs to open and read one (`docs/versions.md`,
//! `docs/mount.md`). Keys are in clear: they are wiped when a message is dropped.

use zeroize::Zeroize as _;

use crate::types::limits;

messages! {
    /// A published version.
    struct Version {
        /// Project and name with a slash between them, `@`, number.
        version: String,
        /// Its number; the first is 1.
        number: u32 = {"minimum": 1},
        /// The SHA-256 of its root.
        root: String = {"pattern": "^[0-9a-f]{64}$"},
        /// When it was published.
        published: String = {"format": "date-time"},
        /// The principal that published it.
        publisher: String,
        /// The key that it is signed under. Gateways of before do not say.
        #[serde(default)]
        signer: String,
        /// Whether the request made it; only where one publishes. Gateways of before do not say,
        /// and make one each time.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        made: Option<bool>,
        /// How many objects it has; like the next two, only where the caller may list all of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        objects: Option<u64>,
        /// How many plaintext bytes it has.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bytes: Option<u64>,
        /// How many of the objects no directory can show.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hidden: Option<u64>,
    }

    /// The versions of a dataset that the caller may see.
    struct VersionList {
        /// The versions.
        versions: Vec<Version>,
    }

    /// A whole version, opened.
    struct VersionRoot {
        /// The root and its signature.
        envelope: String = {"contentEncoding": "base64"},
        /// The key of the index, 32 bytes. **Secret.**
        index_key: String = {"contentEncoding": "base64"},
        /// The key that it is signed under.
        signer: String,
        /// For how many seconds a release or renewal holds.
        #[serde(default)]
        lease_seconds: u64,
        /// Whether sealed bytes may be read from the store itself.
        #[serde(default)]
        straight: bool,
    }

    /// A part of a version, opened. Neither the whole's root is among it nor the key of its index:
    /// these count and name all.
    struct PartRoot {
        /// The part's root and its signature.
        part: String = {"contentEncoding": "base64"},
        /// The key that it is signed under.
        signer: String,
        /// For how many seconds a release or renewal holds.
        #[serde(default)]
        lease_seconds: u64,
        /// Whether sealed bytes may be read from the store itself.
        #[serde(default)]
        straight: bool,
    }

    /// Runs of objects, in the order of their keys.
    #[serde(deny_unknown_fields)]
    struct RunsRequest {
        /// The runs.
        runs: Vec<ObjectRun> = {"maxItems": limits::RELEASE_KEYS_MAX},
    }

    /// One object and those that follow it.
    #[serde(deny_unknown_fields)]
    struct ObjectRun {
        /// The key of the first.
        from: String,
        /// How many, the first too.
        count: usize = {"minimum": 1},
    }

    /// The keys of objects, released under the lease.
    struct KeyRelease {
        /// Each object's.
        released: Vec<ReleasedKey>,
        /// Objects that were asked for by name, may be read, and were erased.
        #[serde(default)]
        gone: Vec<String>,
    }

    /// What opens one object.
    struct ReleasedKey {
        /// The object's key, its name.
        key: String,
        /// Its part table in clear, with its data keys. **Secret.**
        table: String = {"contentEncoding": "base64"},
    }

    /// The sealed blobs that are to be read from the store itself.
    #[serde(deny_unknown_fields)]
    struct UrlsRequest {
        /// The objects.
        objects: Vec<ObjectBlobs> = {"maxItems": limits::RELEASE_KEYS_MAX},
    }

    /// Blobs of one object.
    #[serde(deny_unknown_fields)]
    struct ObjectBlobs {
        /// The object's key, its name.
        key: String,
        /// The blobs' names, of 32 hexadecimal digits.
        blobs: Vec<String>,
    }

    /// Where the store gives blobs. Each URL is a right of its own for as long as it holds.
    struct PresignedUrls {
        /// A URL for each blob.
        urls: Vec<PresignedUrl>,
        /// For how many seconds they hold.
        seconds: u64,
    }

    /// Where the store gives one blob.
    struct PresignedUrl {
        /// The blob's name, of 32 hexadecimal digits.
        blob: String,
        /// The presigned URL.
        url: String = {"format": "uri"},
    }

    /// A renewal of the right to read.
    #[serde(deny_unknown_fields)]
    struct RenewLeaseRequest {
        /// The keys of the objects that are open.
        open: Vec<String> = {"maxItems": limits::RELEASE_KEYS_MAX},
    }

    /// The right to go on reading.
    struct Lease {
        /// Which of the objects that are open may not be read any more.
        refused: Vec<String>,
        /// For how many seconds the others may, from when it was asked for.
        #[serde(default)]
        lease_seconds: u64,
    }

    /// What was read, for the log.
    #[serde(deny_unknown_fields)]
    struct ReportReadsRequest {
        /// Of each object that was read.
        reads: Vec<ObjectReads> = {"maxItems": limits::RELEASE_KEYS_MAX},
    }

    /// What was read of one object.
    #[serde(deny_unknown_fields)]
    struct ObjectReads {
        /// The object's key, its name.
        key: String,
        /// Ranges of its plaintext in bytes: from, and up to but without.
        ranges: Vec<(u64, u64)> = {"maxItems": limits::NODE_RANGES_MAX},
    }
}

impl Drop for VersionRoot {
    fn drop(&mut self) {
        self.index_key.zeroize();
    }
}

impl Drop for ReleasedKey {
    fn drop(&mut self) {
        self.table.zeroize();
    }
}
