//! Tests of the journal as a whole.

mod damage;
mod faults;
mod support;
mod waiting;
