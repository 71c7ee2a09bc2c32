//! The key ring: what the root identity opens, and every key below it.
