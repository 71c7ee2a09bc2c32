//! The child itself: reads what it is asked, speaks to one token or plugin, answers
//! and ends. **It opens no file of the vault.**

use std::io::{self, Read as _, Write as _};

use rustix::process::{Signal, set_parent_process_death_signal};
use zeroize::Zeroizing;

use super::ASK_BYTES_MAX;
use super::plugin;
use super::words::{Ask, Foreign, Refused, Told};
use crate::app::system::{bound_memory, forbid_dumps};

/// What the libraries and programs of others may take here.
const MEMORY_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;

/// Runs the child over stdin and stdout.
pub fn serve_keeper() -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    forbid_dumps()?;
    bound_memory(MEMORY_BYTES_MAX)?;
    let mut said = Zeroizing::new(Vec::with_capacity(ASK_BYTES_MAX));
    let most = u64::try_from(ASK_BYTES_MAX).unwrap_or_default();
    let _bytes = io::stdin().lock().take(most).read_to_end(&mut said)?;
    let told = answer(&said).unwrap_or_else(Told::Refused);
    let mut answer = Zeroizing::new(Vec::with_capacity(ASK_BYTES_MAX));
    serde_json::to_writer(&mut *answer, &told)?;
    let mut out = io::stdout().lock();
    out.write_all(&answer)?;
    out.flush()
}

fn answer(said: &[u8]) -> Result<Told<'static>, Refused> {
    let asked: Ask<'_> = serde_json::from_slice(said).map_err(|_other| Refused::Ask)?;
    match asked.keeper {
        #[cfg(feature = "pkcs11")]
        Foreign::Token { .. } => super::token::work(&asked),
        #[cfg(not(feature = "pkcs11"))]
        Foreign::Token { .. } => Err(Refused::NotBuilt),
        Foreign::Plugin { .. } => plugin::work(&asked),
    }
}
