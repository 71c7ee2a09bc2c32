//! The use cases over real adapters in memory.

mod objects;
mod rights;
pub(super) mod support;
mod uploads;
