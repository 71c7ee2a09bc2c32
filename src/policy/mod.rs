//! Decisions: who may do what, by which rule of which policy. A pure core over casbin: no file, no
//! clock, no cache that outlives what it was built from.

mod grant;

pub use grant::{Grant, GrantEffect};
