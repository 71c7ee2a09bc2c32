//! `kluis webhook`: where a project's notices are sent.

use std::path::PathBuf;

use clap::{Subcommand, ValueHint};

use super::open::{Desk, call};
use super::output::{CliError, Exit, Output};
use super::scim::{Named, rows};
use super::secret::{SecretArgs, hand_over};
use crate::app;
use crate::catalog::{RosterKind, RosterRow};
use crate::types::limits::WEBHOOK_URL_BYTES_MAX;
use crate::types::{ProjectName, SecretText};

/// Commands on where notices are sent.
#[derive(Debug, Subcommand)]
pub enum WebhookCommand {
    /// Have a project's notices sent, and hand over the key of their signatures
    ///
    /// Each notice is a POST of JSON, signed as Standard Webhooks has it; any 2xx takes it. One
    /// that is not taken is sent again for a day. The receiver of before gets nothing more.
    #[command(
        after_long_help = "Example:\n  kluis webhook set icu-sepsis --url https://hooks.umc.example/kluis \\\n    --output hook.secret"
    )]
    Set {
        /// The project
        project: ProjectName,
        /// Where to: https://…, or http:// to this machine
        #[arg(long, value_name = "URL", required_unless_present = "url_file")]
        url: Option<String>,
        /// A file with that, where the address itself is a secret
        #[arg(long, value_name = "FILE", conflicts_with = "url", value_hint = ValueHint::FilePath)]
        url_file: Option<PathBuf>,
        /// Where the key goes
        #[command(flatten)]
        secret: SecretArgs,
    },
    /// Send a notice that tells of nothing, through the gateway that runs
    #[command(after_long_help = "Example:\n  kluis webhook try icu-sepsis")]
    Try {
        /// The project
        project: ProjectName,
    },
    /// List where notices are sent
    #[command(after_long_help = "Example:\n  kluis webhook list")]
    List,
    /// Have a project's notices sent nowhere; they are shown as before
    #[command(after_long_help = "Example:\n  kluis webhook end icu-sepsis")]
    End {
        /// The project
        project: ProjectName,
    },
}

/// Runs one of its commands.
pub(super) fn run(
    command: &WebhookCommand,
    desk: Desk<'_>,
    output: &mut Output,
) -> Result<Exit, CliError> {
    match command {
        WebhookCommand::Set {
            project,
            url,
            url_file,
            secret,
        } => {
            let url = address(url.as_ref(), url_file.as_ref())?;
            let private = desk.config()?.notices.private;
            let host = app::receiver(url.expose(), private);
            let host = host.map_err(|why| {
                CliError::new(Exit::Usage, format!("no notices are sent there: {why}"))
            })?;
            let make = async |opened: &app::Opened| {
                let call = call(opened, "webhook set")?;
                let place = (&url, host.as_str());
                Ok(opened.vault.set_webhook(&call, project, place).await?)
            };
            // Ended, it would take along what waits.
            let ended = async |_opened: &app::Opened| {
                Ok("notices are sent there under a key that nobody has: set it again")
            };
            hand_over(desk, secret, output, make, ended)?;
            output.note(&format!("notices of {project} are sent to {host}"));
            output.hint(&format!("`kluis webhook try {project}` sends one"));
        }
        WebhookCommand::Try { project } => {
            let mut id = String::new();
            desk.act(output, async |opened| {
                let call = call(opened, "webhook try")?;
                id = opened.vault.try_webhook(&call, project).await?.to_string();
                Ok(())
            })?;
            output.note(&format!(
                "notice {id} is sent within seconds, by the gateway that runs"
            ));
        }
        WebhookCommand::List => {
            let found = rows(desk, RosterKind::Webhook, "")?;
            let found: Vec<[String; 3]> = found.into_iter().filter_map(told).collect();
            output.rows(["project", "host", "created"], &found)?;
        }
        WebhookCommand::End { project } => {
            desk.act(output, async |opened| {
                let call = call(opened, "webhook end")?;
                Ok(opened.vault.end_webhook(&call, project).await?)
            })?;
            output.note(&format!("notices of {project} are sent nowhere"));
        }
    }
    Ok(Exit::Done)
}

fn address(url: Option<&String>, file: Option<&PathBuf>) -> Result<SecretText, CliError> {
    if let Some(url) = url {
        return Ok(SecretText::new(url.clone()));
    }
    let file = file.ok_or_else(|| CliError::new(Exit::Usage, "no address is given"))?;
    let unread = |error: std::io::Error| {
        CliError::new(
            Exit::Usage,
            format!("cannot read {}: {error}", file.display()),
        )
    };
    let bytes = std::fs::metadata(file).map_err(unread)?.len();
    if bytes > u64::try_from(WEBHOOK_URL_BYTES_MAX).unwrap_or(u64::MAX) {
        return Err(unread(std::io::ErrorKind::FileTooLarge.into()));
    }
    let text = zeroize::Zeroizing::new(std::fs::read_to_string(file).map_err(unread)?);
    Ok(SecretText::new(text.trim().to_owned()))
}

fn told((project, row): Named) -> Option<[String; 3]> {
    let RosterRow::Webhook(row) = row else {
        return None;
    };
    Some([project, row.host, row.created.to_string()])
}
