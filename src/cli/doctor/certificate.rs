//! When the TLS certificate ends.

use super::Report;
use crate::app::certificate::{self, Lasting};
use crate::app::system::SystemClock;
use crate::app::tls::Tls;
use crate::config::Config;
use crate::types::{Clock as _, Timestamp};

/// Looks at certificate and key, if TLS is on.
pub(super) fn look(config: &Config, report: &mut Report) {
    const MEND: &str = "renew the certificate; the gateway takes it without a restart";
    let server = &config.server;
    let (Some(chain), Some(key)) = (&server.tls_cert, &server.tls_key) else {
        return;
    };
    if let Err(error) = Tls::load(chain, key, server.tls_min_version) {
        return report.error(
            "tls",
            &error,
            "give a PEM chain and the key that belongs to it",
        );
    }
    let end = certificate::ends(chain);
    let Some(end) = end else {
        return report.warn("tls", "the end of the certificate cannot be read", MEND);
    };
    match certificate::lasting(end, SystemClock.now()) {
        Lasting::Ended => report.fail("tls", format!("the certificate ended at {end}"), MEND),
        Lasting::Soon => report.warn("tls", format!("the certificate ends at {end}"), MEND),
        Lasting::Lasts => report.ok("tls", format!("the certificate lasts until {end}")),
    }
}

/// When the configured certificate ends; `None` where there is none, or none that can be read.
pub(in crate::cli) fn ends(config: &Config) -> Option<Timestamp> {
    certificate::ends(config.server.tls_cert.as_ref()?)
}
