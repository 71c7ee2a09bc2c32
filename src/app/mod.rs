//! Wiring: a configuration becomes a running gateway.

pub mod limits;
pub mod listen;
pub mod log;
pub mod pace;
pub mod shutdown;
pub mod system;
pub mod tls;
