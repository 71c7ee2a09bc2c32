//! `kluis project`: projects, and who may do what in them.

use super::args::{GrantArgs, ProjectCommand};
use super::open::{Desk, absent, call, collect};
use super::output::{CliError, Exit, Output};
use crate::app::Opened;
use crate::catalog::{ProjectRow, SharedCatalog};
use crate::policy::{Grant, GrantEffect};
use crate::types::{BucketName, GrantId, PrincipalId, ProjectName, Timestamp, limits};

/// The role of those who decide who may use a project's data.
pub(super) const OWNER: &str = "owner";

/// Runs one of its commands.
pub(super) fn run(
    command: &ProjectCommand,
    desk: Desk<'_>,
    output: &mut Output,
) -> Result<Exit, CliError> {
    match command {
        ProjectCommand::Create { name, owner } => {
            desk.act(output, async |opened| create(opened, name, owner).await)?;
            output.note(&format!("project {name} is there; {owner} owns it"));
            output.hint(&format!(
                "`kluis credential create {owner} --output {owner}.env` lets the owner in"
            ));
        }
        ProjectCommand::List => list(&desk.catalog()?, output)?,
        ProjectCommand::Show { name } => show(&desk.catalog()?, name, output)?,
        ProjectCommand::Grant(ask) => {
            let id = desk.act(output, async |opened| grant(opened, ask).await)?;
            output.rows(["grant"], &[[id.to_string()]])?;
        }
        ProjectCommand::Revoke { name, grant } => {
            desk.act(output, async |opened| {
                let call = call(opened, "project revoke")?;
                Ok(opened.vault.revoke_grant(&call, name, *grant).await?)
            })?;
            output.note(&format!(
                "grant {grant} is withdrawn; gateways refuse it within a second"
            ));
        }
        ProjectCommand::Grants { name } => {
            let catalog = desk.catalog()?;
            super::serve::runtime()?.block_on(there(&catalog, name))?;
            grants(&catalog, name, output)?;
        }
    }
    Ok(Exit::Done)
}

/// Makes a project and its first owner, each act recorded.
pub(super) async fn create(
    opened: &Opened,
    name: &ProjectName,
    owner: &PrincipalId,
) -> Result<(), CliError> {
    let vault = &opened.vault;
    vault
        .create_project(&call(opened, "project create")?, name.clone())
        .await?;
    if vault.catalog().principal(owner).await?.is_none() {
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
    };
    let call = call(opened, "project grant")?;
    vault.create_grant(&call, grant).await?;
    Ok(())
}

async fn grant(opened: &Opened, ask: &GrantArgs) -> Result<GrantId, CliError> {
    let vault = &opened.vault;
    let catalog = vault.catalog();
    there(catalog, &ask.name).await?;
    for principal in [&ask.to, &ask.approver] {
        if catalog.principal(principal).await?.is_none() {
            return Err(absent("principal", principal)
                .hint(format!("`kluis principal create {principal}` makes it")));
        }
    }
    if let Some(dataset) = &ask.dataset {
        let bucket = BucketName {
            project: ask.name.clone(),
            dataset: dataset.clone(),
        };
        if catalog.dataset(&bucket).await?.is_none() {
            let name = format!("{}/{dataset}", ask.name);
            return Err(absent("dataset", &name)
                .hint(format!("`kluis dataset list --project {}`", ask.name)));
        }
    }
    let policy = vault.policy();
    if !policy.roles().contains(&ask.role.as_str()) {
        let roles = policy.roles().join(", ");
        return Err(
            CliError::new(Exit::Usage, format!("no such role: {}", ask.role))
                .hint(format!("the policy has these: {roles}")),
        );
    }
    let id = GrantId::random(opened.entropy.as_ref()).map_err(crate::vault::VaultError::from)?;
    let grant = Grant {
        id,
        project: ask.name.clone(),
        principal: ask.to.clone(),
        role: ask.role.clone(),
        dataset: ask.dataset.clone(),
        prefix: ask.prefix.clone(),
        effect: if ask.deny {
            GrantEffect::Deny
        } else {
            GrantEffect::Allow
        },
        purpose: ask.purpose.clone(),
        permit: ask.permit.clone(),
        starts: ask.starts.unwrap_or_else(|| vault.now()),
        expires: ask.expires,
        approver: ask.approver.clone(),
        created: vault.now(),
    };
    let call = call(opened, "project grant")?;
    Ok(vault.create_grant(&call, grant).await?)
}

/// That a project is there.
pub(super) async fn there(catalog: &SharedCatalog, name: &ProjectName) -> Result<(), CliError> {
    match catalog.project(name).await? {
        Some(_) => Ok(()),
        None => Err(absent("project", name).hint("`kluis project list` names those that are")),
    }
}

/// All projects.
pub(super) async fn all(catalog: &SharedCatalog) -> Result<Vec<ProjectRow>, CliError> {
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
    let rows: Vec<_> = datasets.iter().map(super::dataset::cells).collect();
    output.rows(super::dataset::COLUMNS, &rows)?;
    if !output.is_json() {
        output.line("")?;
    }
    grants(catalog, name, output)
}

fn grants(
    catalog: &SharedCatalog,
    name: &ProjectName,
    output: &mut Output,
) -> Result<(), CliError> {
    let grants =
        super::serve::runtime()?.block_on(catalog.grants(name, limits::GUARD_CACHE_MAX))?;
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let rows: Vec<_> = grants
        .iter()
        .map(|grant| {
            let dataset = grant.dataset.as_ref().map_or("*", |name| name.as_str());
            let effect = match grant.effect {
                GrantEffect::Allow => "allow",
                GrantEffect::Deny => "deny",
            };
            [
                grant.id.to_string(),
                grant.principal.to_string(),
                effect.to_owned(),
                grant.role.clone(),
                format!("{dataset}:{}*", grant.prefix),
                grant.starts.to_string(),
                end(grant.expires),
                text(&grant.purpose),
                text(&grant.permit),
                grant.approver.to_string(),
            ]
        })
        .collect();
    let names = [
        "grant",
        "principal",
        "effect",
        "role",
        "covers",
        "starts",
        "expires",
        "purpose",
        "permit",
        "approver",
    ];
    output.rows(names, &rows)
}

/// When something ends, for a table.
pub(super) fn end(time: Option<Timestamp>) -> String {
    time.map_or_else(|| "never".to_owned(), |time| time.to_string())
}
