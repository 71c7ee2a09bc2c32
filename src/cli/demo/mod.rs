//! `kluis demo`: a whole vault on embedded defaults in one directory, with a project, its people
//! and a small real dataset; and the show that uses it as they would.

mod found;
mod show;

use std::net::SocketAddr;
use std::path::PathBuf;

pub(super) use found::DemoError;

use crate::app::{Gateway, log};
use crate::cli::output::Output;
use crate::cli::values::StoreUrl;
use crate::config::Environment;

/// What the command was asked.
pub(super) struct DemoAsk {
    /// Everything is kept in this directory.
    pub(super) dir: PathBuf,
    /// Where S3 is served.
    pub(super) listen: SocketAddr,
    /// No show: found, serve, say so in a file.
    pub(super) headless: bool,
    /// An S3 store and its endpoint; none for a directory.
    pub(super) store: Option<(StoreUrl, String)>,
}

/// Serves the demo until it is stopped.
pub(super) async fn run(
    ask: &DemoAsk,
    environment: &Environment,
    output: &mut Output,
) -> Result<(), DemoError> {
    let ready = ask.dir.join("ready");
    let config = found::prepare(ask, environment).await?;
    found::remove_if_there(&ready)?;
    log::start(&config.log, environment)?;
    let gateway = Gateway::start(&config, environment, &|_| None).await?;
    let endpoint = format!("http://{}", gateway.address());
    found::people(&gateway, &ask.dir, &endpoint).await?;
    if !ask.headless {
        show::run(&gateway, &config, (&ask.dir, &endpoint), output).await?;
    }
    found::write_file(&ready, format!("{endpoint}\n").as_bytes(), 0o644)?;
    tracing::info!(%endpoint, ops = %gateway.ops_address(), "the demo vault serves");
    if ask.headless {
        let dir = ask.dir.display();
        output.note(&format!(
            "the demo serves at {endpoint}, for the credentials in {dir}/*.env; Ctrl-C ends it"
        ));
    }
    gateway.run().await?;
    output.note("the demo has ended; started again it goes on where it was");
    found::remove_if_there(&ready)
}
