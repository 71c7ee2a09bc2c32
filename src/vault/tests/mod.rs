//! The use cases over real adapters in memory.

mod audit;
mod crash;
mod lying_catalog;
mod lying_store;
mod model;
mod objects;
mod policy;
mod ports;
mod snapshots;
pub(super) mod support;
mod sweep;
mod uploads;
