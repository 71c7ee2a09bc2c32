//! `kluis project demand`: what a project demands of how people sign in.

use super::open::{Desk, call};
use super::output::{CliError, Exit, Output};
use super::project::there;
use super::project_args::DemandArgs;
use crate::catalog::{RosterKind, RosterRow, SharedCatalog};
use crate::policy::Demand;
use crate::types::ProjectName;

/// What stands where anything will do.
const ANY: &str = "any";

/// Shows it, or says it.
pub(super) fn run(ask: &DemandArgs, desk: Desk<'_>, output: &mut Output) -> Result<(), CliError> {
    let name = &ask.name;
    let demand = Demand {
        acr: ask.acr.clone(),
        amr: ask.amr.clone(),
        log_only: ask.log_only,
    };
    if demand.is_empty() && ask.log_only {
        let told = "--log-only says of whom: --acr or --amr says what is demanded";
        return Err(CliError::new(Exit::Usage, told));
    }
    // That nothing is demanded any more must be said.
    if demand.is_empty() && !ask.nothing {
        let catalog = desk.catalog()?;
        let runtime = super::serve::runtime()?;
        runtime.block_on(there(&catalog, name))?;
        let demand = runtime.block_on(of(&catalog, name))?;
        return table(name, &demand, output);
    }
    desk.act(output, async |opened| {
        let call = call(opened, "project demand")?;
        Ok(opened.vault.demand_assurance(&call, name, demand).await?)
    })?;
    output.note(if ask.nothing {
        "nothing is demanded any more of how people sign in"
    } else {
        "in force within a second; running transfers are judged by it within a minute"
    });
    Ok(())
}

/// What is demanded now.
pub(super) async fn of(catalog: &SharedCatalog, name: &ProjectName) -> Result<Demand, CliError> {
    let entry = catalog.roster(RosterKind::Demand, name.as_str()).await?;
    let Some(RosterRow::Demand(demand)) = entry.map(|entry| entry.row) else {
        return Ok(Demand::default());
    };
    Ok(demand)
}

/// How it is shown.
pub(super) const COLUMNS: [&str; 4] = ["project", "demanded_of", "acr", "amr"];

/// What is demanded, for a person or a machine.
pub(super) fn table(
    name: &ProjectName,
    demand: &Demand,
    output: &mut Output,
) -> Result<(), CliError> {
    output.rows(COLUMNS, &[row(name, demand)])
}

/// The same, cell by cell.
pub(super) fn row(name: &ProjectName, demand: &Demand) -> [String; 4] {
    let words = |demanded: &[String]| match demanded {
        [] => ANY.to_owned(),
        some => some.join(","),
    };
    let whom = match (demand.is_empty(), demand.log_only) {
        (true, _) => "nobody",
        (false, true) => "who reads the log",
        (false, false) => "everybody",
    };
    [
        name.to_string(),
        whom.to_owned(),
        words(&demand.acr),
        words(&demand.amr),
    ]
}
