//! Tests of the journal as a whole.

mod company;
mod damage;
mod faults;
mod support;
mod waiting;
