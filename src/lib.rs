//! Kluis: the vault that proves who read what.
//!
//! `ARCHITECTURE.md` is the map. A module names only what stands below it; `tests/tidy.rs` keeps
//! that true.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::as_conversions
    )
)]

// Edges: translate in, translate out, no rule of their own.
pub mod api;
pub mod app;
#[cfg(feature = "audit")]
pub mod auditor;
pub mod cli;
pub mod config;
#[cfg(feature = "mount")]
pub mod mount;
pub mod node;
pub mod ops;
pub mod s3;

// The log as files of columns, for the auditor.
#[cfg(feature = "audit")]
pub mod archive;

// Use cases: decide, record, do, record.
pub mod vault;

// The journal's bytes in the store as well, before anybody is told.
pub mod gate;

// The journal's records put under signed checkpoints, and sent to receivers elsewhere.
pub mod notary;
pub mod stream;

// Ports with their adapters, side by side.
pub mod catalog;
pub mod journal;
pub mod keyring;
pub mod store;

// Pure cores: no I/O, no clock, no randomness of their own.
pub mod ledger;
pub mod manifest;
pub mod policy;
pub mod scim;
pub mod seal;
pub mod token;

// The messages of the API, for both of its sides.
pub mod wire;

// Vocabulary.
pub mod types;
