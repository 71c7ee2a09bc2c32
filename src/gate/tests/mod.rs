//! Tests of the gate on a store that fails, hangs, lies and forgets.

mod lane;
mod log;
mod store;
mod support;
