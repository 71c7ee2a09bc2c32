//! `kluis webhook`: where a project's notices are sent.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Subcommand, ValueHint};

use super::open::{Desk, call, journal};
use super::output::{CliError, Exit, Output};
use super::scim::{Named, rows};
use super::secret::{SecretArgs, hand_over};
use super::serve::runtime;
use crate::app;
use crate::app::system::SystemClock;
use crate::catalog::{RosterKind, RosterRow};
use crate::journal::{Filter, Pairs, Reader, Request};
use crate::ledger::Outcome;
use crate::types::limits::WEBHOOK_URL_BYTES_MAX;
use crate::types::{Clock as _, ProjectName, SecretText};

/// How often, and for how long, the log is looked at for the end of a trial: a gateway begins
/// within two seconds and waits ten for an answer.
const LOOK: Duration = Duration::from_millis(500);
const LOOKS: u32 = 40;

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
    /// Send a notice that tells of nothing, through the gateway that runs, and say whether it was
    /// taken, or why not
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
        WebhookCommand::Try { project } => trial(project, desk, output)?,
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

/// Sends a notice that tells of nothing, and says how that ended: the log has it.
fn trial(project: &ProjectName, desk: Desk<'_>, output: &mut Output) -> Result<(), CliError> {
    let began = SystemClock.now();
    let config = desk.config()?;
    let (id, key) = desk.act(output, async |opened| {
        let tried = call(opened, "webhook try")?;
        let id = opened.vault.try_webhook(&tried, project).await?.to_string();
        let read = call(opened, "webhook try")?;
        let question = format!("notice={id}");
        opened.vault.record_log_reading(&read, &question).await?;
        Ok((id, opened.keyring.log_key()))
    })?;
    output.note(&format!("notice {id} is sent by the gateway that runs"));
    let reader = Reader::open_since(&config.journal.dir, key, began);
    let mut reader = reader.map_err(|error| journal(&error))?;
    let mut pairs = Pairs::new(Filter {
        project: Some(project.clone()),
        since: Some(began),
        ..Filter::default()
    });
    let sending = format!("notice={id} ");
    let ended = runtime()?.block_on(async {
        for _ in 0..LOOKS {
            tokio::time::sleep(LOOK).await;
            // What of the log cannot be read is told by those commands that are about it.
            let requests = reader.by_ref().flatten().filter_map(|one| pairs.push(one));
            let mut ended = requests.filter_map(|request| outcome(&request, &sending));
            if let Some(ended) = ended.next() {
                return Some(ended);
            }
        }
        None
    });
    match ended {
        Some(Ok(())) => {
            output.note("the receiver took it");
            Ok(())
        }
        Some(Err(why)) => {
            let told = format!("notice {id}: {why}");
            Err(CliError::new(Exit::No, told).hint("it is sent again, ever less often, for a day"))
        }
        None => {
            let told = format!("notice {id} waits: no gateway has sent it yet");
            Err(CliError::new(Exit::Unavailable, told).hint(
                "does `kluis serve` run? A receiver that took none before is tried again within \
                     15 minutes",
            ))
        }
    }
}

/// How the sending of a notice ended, if this request is that.
fn outcome(request: &Request, sending: &str) -> Option<Result<(), String>> {
    let view = request.view();
    let query = view.intent?.query.as_ref()?;
    let completion = view.completion.filter(|_| query.starts_with(sending))?;
    Some(match completion.outcome {
        Outcome::Success => Ok(()),
        Outcome::Refused | Outcome::Failed | Outcome::Aborted | Outcome::OpenAtCrash => {
            Err(completion.reason.clone())
        }
    })
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
