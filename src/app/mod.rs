//! Wiring: a configuration becomes a running gateway.
