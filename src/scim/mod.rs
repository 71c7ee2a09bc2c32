//! SCIM 2.0 (RFC 7643, RFC 7644): the words in which an organisation tells who its people are. A
//! pure core: filters, paths, resources and what a PATCH makes of them. It knows no store, no
//! clock and no rule of who may tell what; `vault::scim` has those.
//!
//! Of a person only what access rests on is kept: the user name, an external id, a name to show
//! and whether she is active; of a group its name, an external id and its members. Everything else
//! of the core schemas is taken and left out: what is not kept cannot leak.

mod filter;
mod patch;
mod resource;
#[cfg(test)]
mod tests;

pub use filter::{Attribute, Filter, Operator, Value, Values};
pub use patch::Patch;
pub use resource::{Group, User, attributes, folded, is_external_id, is_shown_name, is_user_name};

/// The schema of a person.
pub const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
/// The schema of a group.
pub const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
/// The schema of a PATCH.
pub const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
/// The schema of a list.
pub const LIST: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";
/// The schema of an error.
pub const ERROR: &str = "urn:ietf:params:scim:api:messages:2.0:Error";
/// The media type.
pub const MEDIA: &str = "application/scim+json";

/// Why something said in SCIM's words is not taken. At fault: who said it.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ScimError {
    /// Not JSON of the form that is asked for.
    #[error("the body is not what this request takes")]
    Syntax,
    /// Not a filter, or one beyond its bounds.
    #[error("the filter is none, or longer or deeper than one may be")]
    Filter,
    /// A path that leads to nothing that can be changed.
    #[error("the path leads to no attribute")]
    Path,
    /// A path that nothing fits.
    #[error("nothing fits the path")]
    NoTarget,
    /// A value that its attribute cannot have.
    #[error("a value is missing, or is none that its attribute may have")]
    Value,
    /// An attribute that only the vault sets, or nobody sets twice.
    #[error("the attribute cannot be changed")]
    Mutability,
    /// Another resource has the same.
    #[error("another one has this name or external id")]
    Uniqueness,
    /// More than may be asked or said at once.
    #[error("it is more than may be said at once")]
    TooMany,
    /// No such resource, of this organisation.
    #[error("no such resource")]
    Absent,
    /// The resource is not the one that was read.
    #[error("the resource is another one by now")]
    Changed,
}

impl ScimError {
    /// RFC 7644, section 3.12: the status, and the word of its table 9 where it has one.
    #[must_use]
    pub const fn told(self) -> (u16, Option<&'static str>) {
        match self {
            Self::Syntax => (400, Some("invalidSyntax")),
            Self::Filter => (400, Some("invalidFilter")),
            Self::Path => (400, Some("invalidPath")),
            Self::NoTarget => (400, Some("noTarget")),
            Self::Value => (400, Some("invalidValue")),
            Self::Mutability => (400, Some("mutability")),
            Self::Uniqueness => (409, Some("uniqueness")),
            Self::TooMany => (400, Some("tooMany")),
            Self::Absent => (404, None),
            Self::Changed => (412, None),
        }
    }
}
