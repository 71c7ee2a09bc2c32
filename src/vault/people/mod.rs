//! Who asks: sign-in, sessions, groups, and what is asserted of people.

pub(in crate::vault) mod assurance;
pub(in crate::vault) mod attempts;
pub(in crate::vault) mod claims;
pub(in crate::vault) mod groups;
pub(in crate::vault) mod identity;
pub(in crate::vault) mod members;
pub(in crate::vault) mod pace;
pub(in crate::vault) mod session;
pub(in crate::vault) mod sign_in;
pub(in crate::vault) mod visas;
