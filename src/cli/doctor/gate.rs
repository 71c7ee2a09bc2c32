//! The gate of the journal in the store, where the configuration has one: is the store fit for it?

use super::Report;
use crate::app::open_gate;
use crate::cli::open::{Desk, refuse};
use crate::config::{Config, GateKind};
use crate::keyring::KeyRing;

/// Proves the store as a gateway does when it starts, and takes away what that leaves.
pub(super) fn look(config: &Config, desk: Desk<'_>, ring: Option<&KeyRing>, report: &mut Report) {
    let Some(ring) = ring.filter(|_| config.journal.gate != GateKind::Local) else {
        return;
    };
    match open_gate(config, desk.environment, ring) {
        Ok(_gate) => report.ok(
            "gate",
            "the store takes a name once and shows at once what was written; that it keeps what it \
             acknowledges is its own setting",
        ),
        Err(error) => {
            let told = refuse(&error);
            report.fail("gate", told.message(), &told.hints().join("; "));
        }
    }
}
