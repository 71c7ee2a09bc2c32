//! Tests of the gate on a store that fails, hangs, lies and forgets.

mod fork;
mod keepers;
mod lane;
mod log;
mod store;
mod support;
