//! Objects: written, read, copied, deleted, and what is kept with them.

pub(in crate::vault) mod checksum;
pub(in crate::vault) mod completion;
pub(in crate::vault) mod delete;
pub(in crate::vault) mod intake;
pub(in crate::vault) mod lock;
pub(in crate::vault) mod read;
pub(in crate::vault) mod reading;
pub(in crate::vault) mod tables;
pub(in crate::vault) mod tags;
pub(in crate::vault) mod upload;
pub(in crate::vault) mod write;
