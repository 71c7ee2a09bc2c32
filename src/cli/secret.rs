//! Secrets that a command makes and hands over once: to a new file of its owner, or to a pipe.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::open::Desk;
use super::output::{CliError, Exit, Output};
use crate::app::{NewFile, Opened};
use crate::types::SecretText;

/// Where a secret goes.
#[derive(Debug, Args)]
pub struct SecretArgs {
    /// Write the secret into this new file, for its owner alone
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
    /// Print the secret on a terminal
    #[arg(long)]
    pub force: bool,
}

/// Makes a secret and hands it over. The file is made first: where it cannot be, nothing is made
/// and what was there stays. A secret that could still not be written is `ended`, which says so.
pub(super) fn hand_over(
    desk: Desk<'_>,
    ask: &SecretArgs,
    output: &mut Output,
    make: impl AsyncFnOnce(&Opened) -> Result<SecretText, CliError>,
    ended: impl AsyncFnOnce(&Opened) -> Result<&'static str, CliError>,
) -> Result<(), CliError> {
    if ask.output.is_none() && output.is_terminal() && !ask.force {
        return Err(
            CliError::new(Exit::Usage, "a secret is not shown on a terminal")
                .hint("write it to a file with `--output FILE`, or insist with `--force`"),
        );
    }
    if let Some(path) = ask.output.as_ref().filter(|path| path.exists()) {
        let told = format!("{} is there already", path.display());
        return Err(CliError::new(Exit::Usage, told).hint("nothing is overwritten"));
    }
    let secret = desk.act(output, async |opened| {
        let Some(path) = &ask.output else {
            return make(opened).await.map(Some);
        };
        let unwritten = |error: std::io::Error| {
            let told = format!("cannot write {}: {error}", path.display());
            CliError::new(Exit::Usage, told)
        };
        let file = NewFile::create(path, 0o600)
            .map_err(|error| unwritten(error).hint("nothing was made or changed"))?;
        let secret = make(opened).await?;
        let text = zeroize::Zeroizing::new(format!("{}\n", secret.expose()));
        match file.write(text.as_bytes()) {
            Ok(()) => Ok(None),
            Err(error) => Err(unwritten(error).hint(ended(opened).await?)),
        }
    })?;
    match (secret, &ask.output) {
        (Some(secret), _) => {
            let text = zeroize::Zeroizing::new(format!("{}\n", secret.expose()));
            output.data(text.as_bytes())?;
        }
        (None, Some(path)) => output.note(&format!("the secret is in {}", path.display())),
        (None, None) => {}
    }
    Ok(())
}
