//! The use cases over real adapters in memory.
#![expect(
    clippy::wildcard_enum_match_arm,
    clippy::cast_possible_truncation,
    reason = "a test that meets what it does not expect fails; its numbers are its own"
)]

mod adoption;
mod approvals;
mod audit;
mod cards;
mod ceiling;
mod chain;
mod chain_forks;
mod chain_steps;
mod claims;
mod clock;
mod copied_keys;
mod crash;
mod cuts;
mod deleted;
mod emergency;
mod grants;
mod holdings;
mod host;
mod key_scope;
mod keywork;
mod keywork_crash;
mod keywork_lost;
mod keywork_named;
mod keywork_pages;
mod keywork_seen;
mod keywork_unopened;
mod let_in;
mod lifecycle;
mod locks;
mod log_terms;
mod lying_catalog;
mod lying_store;
mod members;
mod model;
mod names;
mod namesakes;
mod near;
mod notices;
mod objects;
mod owners;
mod packs;
mod part;
mod people;
mod pieces;
mod policy;
mod ports;
mod publish_turns;
mod published;
mod races;
mod replayed;
mod room;
mod snapshots;
mod stages;
mod straight;
pub(super) mod support;
mod sweep;
mod told;
mod tried;
mod unchanged;
mod uploads;
mod used;
mod versions;
mod waiting;
mod words;
