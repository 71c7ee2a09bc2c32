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
use crate::policy::{Grant, GrantEffect};
use crate::types::{Clock as _, GrantId, ProjectName};
use crate::vault::GrantUse;

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
            let (grants, strange) = match way {
                Way::Host(desk) => {
                    let grants = host::list(&desk.catalog()?, project)?;
                    let strange = host::of_no_role(&grants, *desk)?;
                    (grants, strange)
                }
                Way::Signed(signer) => {
                    let rows = signed::list(project, signer)?;
                    let strange = of_no_role(&rows);
                    (rows.into_iter().map(|row| row.grant).collect(), strange)
                }
            };
            table::list(&grants, (*wide, now), output)?;
            warn(grants.iter(), &strange, output);
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
            warn(
                rows.iter().map(|row| &row.grant),
                &of_no_role(&rows),
                output,
            );
        }
    }
    Ok(Exit::Done)
}

/// The grants whose role the policy does not have.
fn of_no_role(rows: &[GrantUse]) -> Vec<GrantId> {
    let strange = rows.iter().filter(|row| !row.known);
    strange.map(|row| row.grant.id).collect()
}

/// Says of these grants that they are not what the table says.
fn warn<'a>(grants: impl Iterator<Item = &'a Grant>, strange: &[GrantId], output: &mut Output) {
    for grant in grants.filter(|grant| strange.contains(&grant.id)) {
        let does = match grant.effect {
            GrantEffect::Allow => "it gives nothing",
            GrantEffect::Deny => "it denies everything that it covers",
        };
        output.note(&format!(
            "warning: grant {}: the policy has no role {}: {does}",
            grant.id, grant.role
        ));
    }
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
