//! The blob format: sealing and opening, in memory, one segment at a time. `FORMAT.md` beside
//! this file is its specification.
#![deny(clippy::arithmetic_side_effects)]
