//! Vocabulary: ids, names, sizes, ranges, times, secrets, limits. No I/O, no rule, no format.

mod act;
mod action;
mod checksum;
mod clock;
mod ed25519;
mod etag;
mod id;
mod key_scope;
mod label;
pub mod limits;
mod log_terms;
mod name;
mod network;
mod principal;
mod range;
mod retention;
mod scope;
mod secret;
mod version;

pub use act::{Act, ActKind};
pub use action::Action;
pub use checksum::{ChecksumKind, Checksums};
pub use clock::{Clock, Entropy, EntropyError, Timestamp};
pub use ed25519::is_small_order;
pub use etag::ETag;
pub use id::{
    ApprovalId, BlobId, ClaimId, DatasetId, EventId, GrantId, IdError, KeyWorkId, NoticeId,
    PublicationId, UploadId, VersionId,
};
pub use key_scope::{KeyScope, KeyScopeError, is_reference};
pub use label::{Label, Labels, Rank};
pub use log_terms::LogTerms;
pub use name::{
    BucketName, BucketRef, DatasetName, NameError, ObjectKey, PartitionName, ProjectName, UseClass,
};
pub use network::{Network, NetworkError, is_from, is_this_machine};
// An address is a value; only sockets are I/O.
pub use principal::{AccessKeyId, PrincipalId, PrincipalKind};
pub use range::ByteRange;
pub use retention::{Lock, LockDefaults, Period, Retention, RetentionMode};
pub use scope::{SessionScope, SessionScopeError};
pub use secret::{Secret, SecretText};
pub use std::net::IpAddr;
pub use version::{VersionName, Versioning};
