//! A command on the vault's own host, as a call into the vault.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::ledger::{AuthMethod, Nature, Session};
use crate::vault::{Call, Vault, VaultError};

/// A call by whoever holds the vault's keys on its host; the log keeps the account's name.
pub(super) fn local(vault: &Vault, operation: &'static str) -> Result<Call, VaultError> {
    let nature = if operation.starts_with("audit") {
        Nature::Log
    } else {
        Nature::Admin
    };
    let uid = rustix::process::getuid().as_raw();
    let session = Session {
        principal: None,
        responsible: None,
        access_key: None,
        auth: AuthMethod::Local,
        client_ip: "local".to_owned(),
        user_agent: format!("kluis {} uid={uid}", env!("CARGO_PKG_VERSION")),
        source: "command".to_owned(),
    };
    Ok(Call {
        session: Arc::new(session),
        event: vault.new_event()?,
        time: vault.now(),
        operation,
        nature,
        bounds: None,
        recorded: Arc::new(AtomicBool::new(false)),
    })
}
