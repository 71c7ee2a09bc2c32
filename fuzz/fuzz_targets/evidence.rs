//! Fuzzes what a stranger hands to a verifier.
#![no_main]

#[allow(dead_code, reason = "each target calls one entry")]
#[path = "../entries.rs"]
mod entries;

libfuzzer_sys::fuzz_target!(|data: &[u8]| entries::evidence(data));
