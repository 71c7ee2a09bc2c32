//! The log: a request's records, who may look at them, and how long they are kept.

pub(in crate::vault) mod kept;
pub(in crate::vault) mod names;
pub(in crate::vault) mod proofs;
pub(in crate::vault) mod record;
pub(in crate::vault) mod records;
pub(in crate::vault) mod share;
pub(in crate::vault) mod terms;
