//! Decisions: who may do what, by which rule of which policy. A pure core over casbin: no file, no
//! clock, no cache that outlives what it was built from.
//!
//! - [`Policy`] is the reviewed text (`policies/`), read strictly and compiled.
//! - [`ProjectPolicy`] holds a project's enforcers. Only role lines are in them, never a grant.
//! - [`SubjectPolicy`] is one subject's grants over such an enforcer; it decides.
//!
//! A decision sees the lines of the roles that its subject holds and an index of her own grants,
//! so neither the size of her project nor that of another one touches its cost.
//!
//! Not here: reading files, keeping the last good version, storing grants. `docs/policy.md` is the
//! page for people.

mod canon;
mod check;
mod decide;
mod demand;
mod engine;
mod error;
mod expect;
mod explain;
mod fuzz;
mod grant;
mod held;
mod kept;
mod matcher;
mod model;
mod project;
mod roles;
mod shelf;
mod source;
#[cfg(test)]
mod testkit;
#[cfg(test)]
mod tests;
mod verdicts;

pub use canon::grants_from_text;
pub use check::{Finding, FindingKind, Severity, check, check_grants};
pub use decide::{Ask, Bar, Decision, SubjectPolicy, UNASSURED};
pub use error::{ModelFault, PolicyError, RoleFault};
pub use expect::{ExpectError, Miss, Outcome, Report, run_expectations};
pub use explain::{Considered, Explanation, Near, Verdict};

pub use demand::{Assurance, Demand};
#[doc(hidden)]
pub use fuzz::fuzz_policy;
pub use grant::{Circumstances, Grant, GrantEffect, Ground, Standing, Terms, Within};
pub use kept::{CredentialScope, Pieces, Rights};
pub use project::ProjectPolicy;
pub use source::{Policy, PolicySource};
