//! The use cases over real adapters in memory.

mod objects;
pub(super) mod support;
mod uploads;
