//! What can be asked of a vault. The policy decides on these words and no others.

use std::fmt;
use std::str::FromStr;

use super::IdError;

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// One thing that a principal may be allowed to do.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
        pub enum Action {
            $($(#[$doc])* $name,)*
        }

        impl Action {
            /// Every action.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The word that policies and records use.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }

        impl FromStr for Action {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                match text { $($text => Ok(Self::$name),)* _ => Err(IdError::Action) }
            }
        }
    };
}

actions! {
    /// Read an object's bytes.
    ObjectRead = "object.read",
    /// Learn that an object exists, its size and metadata.
    ObjectHead = "object.head",
    /// See the names in a dataset.
    ObjectList = "object.list",
    /// Write an object, a part, or complete an upload.
    ObjectWrite = "object.write",
    /// Delete an object.
    ObjectDelete = "object.delete",
    /// Set and remove an object's tags.
    ObjectTag = "object.tag",
    /// Read a version that is named: what was overwritten or deleted (with the action that the
    /// request asks of any object).
    VersionRead = "version.read",
    /// See the names of all versions, those of deleted objects too.
    VersionList = "version.list",
    /// Delete a version for good.
    VersionDelete = "version.delete",
    /// Retain an object, extend that, put it under legal hold and take it out.
    ObjectLock = "object.lock",
    /// Loosen or delete what is retained in governance mode, before its end.
    LockBypass = "lock.bypass",
    /// Carry bytes out of their dataset: a copy to another dataset asks this of the source (AZ-6).
    ObjectExport = "object.export",
    /// See one's own uploads and their parts, abort them.
    UploadManage = "upload.manage",
    /// See that a dataset exists.
    DatasetHead = "dataset.head",
    /// Make a dataset.
    DatasetCreate = "dataset.create",
    /// Delete an empty dataset.
    DatasetDelete = "dataset.delete",
    /// Read and change a dataset's settings: versioning, tags, Object Lock, lifecycle, CORS.
    DatasetConfigure = "dataset.configure",
    /// Freeze a dataset as a numbered version.
    DatasetPublish = "dataset.publish",
    /// Make, change and withdraw grants.
    GrantManage = "grant.manage",
    /// Read a project's log.
    LogRead = "log.read",
    /// Ask for an act that takes two persons (AZ-10), beside the right to what the act is about.
    ActAsk = "act.ask",
    /// Approve or refuse what another person asked for.
    ActApprove = "act.approve",
}

impl Action {
    /// Whether it leaves objects and datasets as they are: what a published version can be asked.
    #[must_use]
    pub const fn only_reads(self) -> bool {
        match self {
            Self::ObjectRead
            | Self::ObjectHead
            | Self::ObjectList
            | Self::ObjectExport
            | Self::DatasetHead => true,
            Self::ObjectWrite
            | Self::ObjectDelete
            | Self::ObjectTag
            | Self::ObjectLock
            | Self::LockBypass
            | Self::VersionRead
            | Self::VersionList
            | Self::VersionDelete
            | Self::UploadManage
            | Self::DatasetCreate
            | Self::DatasetDelete
            | Self::DatasetConfigure
            | Self::DatasetPublish
            | Self::GrantManage
            | Self::LogRead
            | Self::ActAsk
            | Self::ActApprove => false,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
