//! Tests of the journal as a whole.

mod damage;
mod faults;
pub(super) mod support;
mod waiting;
