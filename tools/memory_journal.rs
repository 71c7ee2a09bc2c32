//! A whole gateway whose journal is in memory: the measure of what durability costs
//! (`tests/load/measure.sh journal`). **It keeps no promise**: what it serves is in no log.
//!
//! It serves a vault that was founded before, for instance by `kluis demo`, from that vault's own
//! configuration, and refuses every address but loopback.
//!
//! ```text
//! cargo run --release --features measure --bin memory_journal -- DIR/kluis.toml
//! ```

#![expect(clippy::print_stderr, reason = "a tool for measuring: it warns")]

use std::path::Path;
use std::sync::Arc;

use kluis::app::system::SystemClock;
use kluis::app::{Gateway, Lane, LaneState, log, try_lane};
use kluis::config::{self, Config, Environment};
use kluis::journal::{MemoryJournal, SharedJournal};

type Failure = Box<dyn std::error::Error + Send + Sync>;

// As the command has it, or the comparison is not one.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Enough that nobody forgets what is still open.
const ENTRIES: usize = 4096;

fn main() -> Result<(), Failure> {
    let file = std::env::args_os().nth(1).ok_or("name a kluis.toml")?;
    let config = Config::load(Path::new(&file))?;
    if !config.server.listen.ip().is_loopback() {
        return Err("its journal is in memory: it serves on loopback alone".into());
    }
    let environment = Environment::process();
    let quiet = config::Log {
        level: config::LogLevel::Warn,
        ..config.log
    };
    log::start(&quiet, &environment)?;
    // The lane of the gateway is held all the same: no other may serve this vault beside.
    let LaneState::Kept(_lane) = try_lane(&config, Lane::Gateway)? else {
        return Err("a gateway serves this vault".into());
    };
    eprintln!("warning: the journal is in memory; nothing that is served here is in a log");
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(serve(&config, &environment))
}

async fn serve(config: &Config, environment: &Environment) -> Result<(), Failure> {
    let journal: SharedJournal = MemoryJournal::new(Arc::new(SystemClock), ENTRIES);
    let gateway = Gateway::start_on(config, environment, &|_| None, Some(&journal)).await?;
    gateway.run().await?;
    Ok(())
}
