//! Published versions: frozen, opened, and handed to nodes.

mod ending;
pub(in crate::vault) mod keys;
pub(in crate::vault) mod pack;
pub(in crate::vault) mod part;
pub(in crate::vault) mod publish;
pub(in crate::vault) mod release;
pub(in crate::vault) mod room;
pub(in crate::vault) mod straight;
pub(in crate::vault) mod told;
pub(in crate::vault) mod turns;
