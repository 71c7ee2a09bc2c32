//! The messages of the HTTP API: one struct for each JSON body, for the gateway that writes it and
//! for the command or node that reads it (or the other way round), so that neither can rename a
//! member alone. The OpenAPI document is made of the same declarations.
//!
//! Texts are texts here: what reads a message parses names, ids and times into `types` and refuses
//! what is not one. Requests are strict: a member that is not known is refused and not
//! overlooked. Responses may grow. Instants are RFC 3339 in UTC, to the millisecond; durations are
//! whole seconds or days, as the member's name says; sizes are bytes.
//!
//! No message is `Debug` or `Clone`: some hold secrets, and wipe them when they are dropped.

#[macro_use]
mod schema;

mod approvals;
mod datasets;
mod grants;
mod jobs;
mod people;
mod records;
mod versions;

pub use approvals::{
    Approval, ApprovalList, AskApprovalRequest, BreakGlassGrant, Erasure, ErasureList,
};
pub use datasets::{Dataset, DatasetDefaultsRequest, DatasetList, DescribeDatasetRequest};
pub use grants::{
    CreateGrantRequest, Grant, GrantEffect, GrantList, GrantResponse, GrantState, ReviewedGrant,
};
pub use jobs::{Job, JobList, JobSession, JobStatement, SubmitJobRequest};
pub use people::{
    CredentialScope, GroupClaim, GroupMember, GroupMembers, GroupVisa, Identity, Notice, NoticeList,
};
pub use records::{LogTerms, Problem, RecordPage, SetLogTermsRequest};
pub use schema::{Describe, Schemas};
pub use versions::{
    KeyRelease, Lease, ObjectBlobs, ObjectReads, ObjectRun, PartRoot, PresignedUrl, PresignedUrls,
    ReleasedKey, RenewLeaseRequest, ReportReadsRequest, RunsRequest, UrlsRequest, Version,
    VersionList, VersionRoot,
};

#[cfg(test)]
mod tests;
