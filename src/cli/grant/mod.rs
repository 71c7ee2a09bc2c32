//! `kluis grant`: proposing, approving, reviewing and withdrawing, on the vault's host or over the
//! network in one's own name.

pub(super) mod host;
mod signed;
pub(super) mod table;
mod words;

use super::grant_args::{GrantArgs, GrantCommand, GrantPlace};
use super::output::{CliError, Exit, Output};
use super::way::Way;
use crate::app::system::SystemClock;
use crate::types::{Clock as _, GrantId, ProjectName};

/// A grant of a project.
type Place<'a> = (&'a ProjectName, GrantId);

/// Runs one of its commands.
pub(super) fn run(
    command: &GrantCommand,
    way: &Way<'_>,
    output: &mut Output,
) -> Result<Exit, CliError> {
    let now = SystemClock.now();
    match command {
        GrantCommand::Create(ask) => create(ask, way, output)?,
        GrantCommand::List { project, wide } => {
            let grants = match way {
                Way::Host(desk) => host::list(&desk.catalog()?, project)?,
                Way::Signed(signer) => {
                    let rows = signed::list(project, signer)?;
                    rows.into_iter().map(|row| row.grant).collect()
                }
            };
            table::list(&grants, (*wide, now), output)?;
        }
        GrantCommand::Show(GrantPlace { project, grant }) => {
            let place = (project, *grant);
            let grant = match way {
                Way::Host(desk) => host::find(place, *desk)?,
                Way::Signed(signer) => signed::find(place, signer)?.grant,
            };
            output.record(&table::whole(&grant, now))?;
        }
        GrantCommand::Approve {
            place,
            approver,
            yes,
        } => {
            let (place, approver) = (place.both(), approver.as_ref());
            match way {
                Way::Host(desk) => host::approve(place, approver, *desk, output)?,
                Way::Signed(signer) => signed::approve(place, (approver, *yes), signer, output)?,
            }
            output.note(&format!("grant {} is in force", place.1));
        }
        GrantCommand::Withdraw { place, approver } => {
            let (place, approver) = (place.both(), approver.as_ref());
            match way {
                Way::Host(desk) => host::withdraw(place, approver, *desk, output)?,
                Way::Signed(signer) => signed::withdraw(place, approver, signer)?,
            }
            output.note(&format!(
                "grant {} is withdrawn; gateways refuse it within a second and cut what runs \
                 under it within a minute",
                place.1
            ));
        }
        GrantCommand::Review {
            project,
            confirm,
            approver,
        } => {
            let asked = (confirm.as_slice(), approver.as_ref());
            let rows = match way {
                Way::Host(desk) => host::review(project, asked, *desk, output)?,
                Way::Signed(signer) => signed::review(project, asked, signer)?,
            };
            table::review(&rows, now, output)?;
        }
    }
    Ok(Exit::Done)
}

fn create(ask: &GrantArgs, way: &Way<'_>, output: &mut Output) -> Result<(), CliError> {
    let id = match way {
        Way::Host(desk) => host::create(ask, *desk, output)?,
        Way::Signed(signer) => signed::create(ask, signer, output)?,
    };
    output.rows(["grant"], &[[id.to_string()]])?;
    if ask.propose || ask.proposer.is_some() {
        output.note("it gives nothing until an owner approves it");
        output.hint(&format!(
            "an owner runs `kluis grant approve {} {id}`, from any machine",
            ask.project
        ));
    }
    Ok(())
}
