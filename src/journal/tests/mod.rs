//! Tests of the journal as a whole.

mod company;
mod damage;
mod faults;
pub(super) mod support;
mod waiting;
