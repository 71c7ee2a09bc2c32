//! From a request to what may go on: the guard's decision, what it rests on, and how long it holds.

pub(in crate::vault) mod barrier;
pub(in crate::vault) mod cache;
pub(in crate::vault) mod guard;
pub(in crate::vault) mod known;
pub(in crate::vault) mod lease;
pub(in crate::vault) mod own;
pub(in crate::vault) mod proof;
pub(in crate::vault) mod subjects;
pub(in crate::vault) mod uses;
