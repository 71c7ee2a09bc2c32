//! A published version as a node works on it: the manifest, fetched piece by piece and verified
//! down from its signed root; keys, leased file by file; contents, fetched sealed and opened here.
//!
//! Nothing here knows of FUSE. It talks to the gateway's API alone, and believes nothing that does
//! not verify: whoever sits between, the store, or a disk can withhold bytes but not alter them.

mod ahead;
mod bring;
mod buffers;
mod content;
mod credentials;
mod disk;
mod folders;
mod gateway;
mod job;
mod kept;
mod keys;
mod line;
mod opening;
mod order;
mod pack;
mod reads;
mod seen;
mod straight;
mod stretch;
mod tree;
mod version;
mod web_identity;

pub(crate) use crate::store::s3::NO_AUTHORITY;
pub use content::{Contents, Open, Plain};
pub use credentials::{Credentials, CredentialsError, variable as variable_of};
pub use disk::DiskCache;
pub use gateway::{Asking, Gateway, GatewayError};
pub use job::{Act, JobName, JobSource, NewNode, NodeIdentity};
pub use keys::{Keys, Lease};
pub use order::Orders;
pub use reads::{Reads, Touched};
pub use seen::{Seen, SeenError};
pub use tree::{Found, Kind, Place};
pub use version::{Version, VersionAsk};
pub use web_identity::{Assumed, element, form as session_form};

/// Why something of a version cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// There is no such file or directory.
    #[error("no such file or directory")]
    Absent,
    /// The version names it, and it was erased: its contents are there no more.
    #[error("it was erased: its name and length stand in the version, its contents are gone")]
    Erased,
    /// The gateway says no: never allowed, or not any more.
    #[error("the gateway refuses it: {0}")]
    Refused(String),
    /// The gateway did not answer for as long as it is waited for.
    #[error("the gateway does not answer: {0}")]
    Unreachable(String),
    /// It was not asked: a file that says who asks cannot be used as it is.
    #[error("{0}")]
    Credential(String),
    /// What came is not what the signed version says. **Nothing of it was handed on.**
    #[error("what came is not what the version says: {0}")]
    Integrity(&'static str),
}

/// What the gateway calls an object that is not there.
const GONE: &str = "NoSuchObject";
/// What it says of everything that is not allowed; its title says nothing more.
const DENIED: &str = "AccessDenied";

/// A refusal for a person: the gateway's code, and what it says of it.
pub(crate) fn words(code: &str, title: &str) -> String {
    let title = title.trim_end_matches('.');
    if title.is_empty() || code == DENIED {
        return code.to_owned();
    }
    format!("{code}: {title}")
}

impl From<GatewayError> for NodeError {
    fn from(error: GatewayError) -> Self {
        match error {
            // A node asks for what the signed version names alone.
            GatewayError::Refused { code, .. } if code == GONE => Self::Erased,
            GatewayError::Refused { code, title, .. } => Self::Refused(words(&code, &title)),
            GatewayError::Unreachable(reason) => Self::Unreachable(reason),
            GatewayError::Credential(reason) => Self::Credential(reason),
        }
    }
}

impl From<crate::manifest::ManifestError> for NodeError {
    fn from(_: crate::manifest::ManifestError) -> Self {
        Self::Integrity("the manifest does not verify")
    }
}

impl From<crate::seal::OpenError> for NodeError {
    fn from(_: crate::seal::OpenError) -> Self {
        Self::Integrity("a blob does not authenticate")
    }
}
