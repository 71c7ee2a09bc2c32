//! `kluis project`: projects, and who may do what in them.

use http::Method;
use serde_json::{Map, Value};

use super::args::ProjectCommand;
use super::demand;
use super::near::near;
use super::open::{Desk, absent, call, collect};
use super::output::{CliError, Exit, Output};
use super::project_args::{LogArgs, Switch};
use super::remote::Question;
use super::way::{Signer, Way};
use crate::api::log_terms;
use crate::app::Opened;
use crate::app::system::SystemClock;
use crate::catalog::{DatasetRow, ProjectRow, SharedCatalog};
use crate::policy::{Demand, Grant, GrantEffect, Terms};
use crate::types::{Clock as _, GrantId, PrincipalId, ProjectName, Timestamp, limits};
use crate::vault::LogTermsChange;
use crate::wire::{LogTerms, SetLogTermsRequest};

/// The role of those who decide who may use a project's data.
pub(super) const OWNER: &str = "owner";

/// Runs one of its commands.
pub(super) fn run(
    command: &ProjectCommand,
    desk: Desk<'_>,
    output: &mut Output,
) -> Result<Exit, CliError> {
    match command {
        ProjectCommand::Create {
            name,
            owner,
            new_owner,
        } => {
            let made = desk.act(output, async |opened| {
                if !new_owner {
                    meant(opened.vault.catalog(), owner).await?;
                }
                create(opened, name, owner).await
            })?;
            if made {
                output.note(&format!(
                    "{owner} was not known: this made the person {owner}"
                ));
            }
            output.note(&format!("project {name} is there; {owner} owns it"));
            output.hint(&format!(
                "`kluis credential create {owner} --output {owner}.env` lets the owner in"
            ));
            output.hint(&format!(
                "with it {owner} says what the project's datasets are (`kluis project defaults {name} \
                 …`); without that each is described before it takes data"
            ));
        }
        ProjectCommand::Defaults(ask) => super::cards::defaults(ask, desk, output)?,
        ProjectCommand::Demand(ask) => demand::run(ask, desk, output)?,
        ProjectCommand::Log(ask) => log(ask, desk, output)?,
        ProjectCommand::List => list(&desk.catalog()?, output)?,
        ProjectCommand::Show { name } => show(&desk.catalog()?, name, output)?,
    }
    Ok(Exit::Done)
}

/// That a name which nobody has yet is no slip of one that somebody has.
async fn meant(catalog: &SharedCatalog, owner: &PrincipalId) -> Result<(), CliError> {
    if catalog.principal(owner).await?.is_some() {
        return Ok(());
    }
    let known = super::principal::all(catalog).await?;
    let names = known.iter().map(|row| row.id.as_str());
    let Some(like) = near(owner.as_str(), names) else {
        return Ok(());
    };
    let told = format!("there is nobody called {owner}; did you mean {like}?");
    Err(CliError::new(Exit::Usage, told).hint(format!(
        "`--owner {like}`, or `--owner {owner} --new-owner` to make the person {owner}"
    )))
}

/// Makes a project and its first owner, each act recorded; whether the owner was made a person.
pub(super) async fn create(
    opened: &Opened,
    name: &ProjectName,
    owner: &PrincipalId,
) -> Result<bool, CliError> {
    let vault = &opened.vault;
    vault
        .create_project(&call(opened, "project create")?, name.clone())
        .await?;
    let new = vault.catalog().principal(owner).await?.is_none();
    if new {
        let call = call(opened, "principal create")?;
        vault.create_principal(&call, owner.clone(), None).await?;
    }
    let grant = Grant {
        id: GrantId::random(opened.entropy.as_ref()).map_err(crate::vault::VaultError::from)?,
        project: name.clone(),
        principal: owner.clone(),
        role: OWNER.to_owned(),
        dataset: None,
        prefix: String::new(),
        effect: GrantEffect::Allow,
        purpose: None,
        permit: None,
        starts: vault.now(),
        expires: None,
        approver: owner.clone(),
        created: vault.now(),
        terms: Terms::default(),
    };
    let call = call(opened, "project grant")?;
    vault.create_grant(&call, grant).await?;
    Ok(new)
}

/// Asks a gateway how a project's records are kept, or says so there.
fn told_log(
    name: &ProjectName,
    change: LogTermsChange,
    signer: &Signer,
) -> Result<LogTerms, CliError> {
    let path = ["projects", name.as_str(), "log"];
    if change == LogTermsChange::default() {
        return signer.ask(Question::of(Method::GET, &path));
    }
    let request = SetLogTermsRequest {
        days: change.days,
        pseudonyms: change.pseudonyms,
        approval: change.approval.map(|id| id.to_string()),
    };
    signer.say((Method::PUT, &path), &request)
}

/// Shows or changes how a project's records are kept.
fn log(ask: &LogArgs, desk: Desk<'_>, output: &mut Output) -> Result<(), CliError> {
    let name = &ask.name;
    let change = LogTermsChange {
        days: ask.days,
        pseudonyms: ask.pseudonyms.map(|switch| switch == Switch::On),
        approval: ask.approval,
    };
    let terms = match Way::of(&ask.signed, desk, output)? {
        Way::Signed(signer) => told_log(name, change, &signer)?,
        Way::Host(desk) => desk.act(output, async |opened| {
            there(opened.vault.catalog(), name).await?;
            let call = call(opened, "project log")?;
            let terms = if change == LogTermsChange::default() {
                opened.vault.log_terms(&call, name).await
            } else {
                opened.vault.set_log_terms(&call, name, change).await
            };
            Ok(log_terms(terms?))
        })?,
    };
    let shown = if terms.pseudonyms { "on" } else { "off" };
    let row = [name.to_string(), terms.days.to_string(), shown.to_owned()];
    output.rows(["project", "days", "pseudonyms"], &[row])
}

/// That a project is there.
pub(super) async fn there(catalog: &SharedCatalog, name: &ProjectName) -> Result<(), CliError> {
    match catalog.project(name).await? {
        Some(_) => Ok(()),
        None => Err(absent("project", name).hint("`kluis project list` names those that are")),
    }
}

/// All projects.
pub(crate) async fn all(catalog: &SharedCatalog) -> Result<Vec<ProjectRow>, CliError> {
    collect(
        async |after: Option<&ProjectName>| catalog.projects(after, limits::PAGE_ENTRIES_MAX).await,
        |row| row.name.clone(),
    )
    .await
}

fn list(catalog: &SharedCatalog, output: &mut Output) -> Result<(), CliError> {
    let rows = super::serve::runtime()?.block_on(all(catalog))?;
    let rows: Vec<_> = rows
        .iter()
        .map(|row| [row.name.to_string(), row.created.to_string()])
        .collect();
    output.rows(["project", "created"], &rows)
}

fn show(catalog: &SharedCatalog, name: &ProjectName, output: &mut Output) -> Result<(), CliError> {
    let runtime = super::serve::runtime()?;
    runtime.block_on(there(catalog, name))?;
    let datasets = runtime.block_on(super::dataset::of(catalog, Some(name)))?;
    if output.is_json() {
        let demand = runtime.block_on(demand::of(catalog, name))?;
        return tell(catalog, name, (&datasets, &demand), output);
    }
    let rows: Vec<_> = datasets.iter().map(super::dataset::cells).collect();
    output.rows(super::dataset::COLUMNS, &rows)?;
    output.line("")?;
    let grants = super::grant::host::list(catalog, name)?;
    super::grant::table::list(&grants, (false, SystemClock.now()), output)?;
    let demand = runtime.block_on(demand::of(catalog, name))?;
    output.line("")?;
    demand::table(name, &demand, output)
}

/// The same for machines: each line says in `row` what it is of, and what is not there is none.
fn tell(
    catalog: &SharedCatalog,
    name: &ProjectName,
    (datasets, demand): (&[DatasetRow], &Demand),
    output: &mut Output,
) -> Result<(), CliError> {
    for row in datasets {
        let names = super::dataset::COLUMNS.map(str::to_owned);
        let cells = super::dataset::cells(row).map(Value::String);
        let mut members: Map<_, _> = names.into_iter().zip(cells).collect();
        members.insert("row".to_owned(), "dataset".into());
        output.value(&members)?;
    }
    for grant in super::grant::host::list(catalog, name)? {
        let mut told = super::grant::table::whole(&grant, SystemClock.now());
        if let Value::Object(members) = &mut told {
            members.insert("row".to_owned(), "grant".into());
        }
        output.value(&told)?;
    }
    if demand.is_empty() {
        return Ok(());
    }
    let row = demand::row(name, demand);
    let names = demand::COLUMNS.map(str::to_owned);
    let mut members: Map<_, _> = names.into_iter().zip(row.map(Value::String)).collect();
    members.insert("row".to_owned(), "demand".into());
    output.value(&members)
}

/// When something ends, for a table.
pub(super) fn end(time: Option<Timestamp>) -> String {
    time.map_or_else(|| super::cell::NEVER.to_owned(), |time| time.to_string())
}
