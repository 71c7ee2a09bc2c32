//! `kluis grant`: proposing, approving, reviewing and withdrawing.

use serde_json::json;

use super::grant_args::{GrantArgs, GrantCommand};
use super::open::{Desk, absent, call};
use super::output::{CliError, Exit, Output};
use super::project::{end, there};
use crate::app::Opened;
use crate::catalog::SharedCatalog;
use crate::policy::{Grant, GrantEffect, Standing, Terms};
use crate::types::{
    Action, BucketName, DatasetName, GrantId, Network, PrincipalId, ProjectName, limits,
};
use crate::vault::{GrantUse, VaultError};

const COLUMNS: [&str; 11] = [
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
    "standing",
];
const REVIEW: [&str; 9] = [
    "grant",
    "principal",
    "role",
    "covers",
    "last_used",
    "lapses",
    "expires",
    "privileged",
    "standing",
];

/// Runs one of its commands.
pub(super) fn run(
    command: &GrantCommand,
    desk: Desk<'_>,
    output: &mut Output,
) -> Result<Exit, CliError> {
    match command {
        GrantCommand::Create(ask) => {
            let id = desk.act(output, async |opened| create(opened, ask).await)?;
            output.rows(["grant"], &[[id.to_string()]])?;
            if ask.approver.is_none() {
                output.note("it gives nothing until an owner approves it");
                output.hint(&format!(
                    "`kluis grant approve {} {id} --approver PERSON` puts it in force",
                    ask.project
                ));
            }
        }
        GrantCommand::List { project } => {
            let catalog = desk.catalog()?;
            super::serve::runtime()?.block_on(there(&catalog, project))?;
            list(&catalog, project, output)?;
        }
        GrantCommand::Show { project, grant } => show(desk, project, *grant, output)?,
        GrantCommand::Approve {
            project,
            grant,
            approver,
        } => {
            desk.act(output, async |opened| {
                let call = call(opened, "grant approve")?;
                let vault = &opened.vault;
                let place = (project, *grant);
                Ok(vault.approve_grant(&call, place, Some(approver)).await?)
            })?;
            output.note(&format!("grant {grant} is in force"));
        }
        GrantCommand::Withdraw {
            project,
            grant,
            approver,
        } => {
            desk.act(output, async |opened| {
                let call = call(opened, "grant withdraw")?;
                let place = (project, *grant);
                let vault = &opened.vault;
                Ok(vault.revoke_grant(&call, place, approver.as_ref()).await?)
            })?;
            output.note(&format!(
                "grant {grant} is withdrawn; gateways refuse it within a second and cut what runs \
                 under it within a minute"
            ));
        }
        GrantCommand::Review {
            project,
            confirm,
            approver,
        } => review(desk, project, (confirm, approver.as_ref()), output)?,
    }
    Ok(Exit::Done)
}

async fn create(opened: &Opened, ask: &GrantArgs) -> Result<GrantId, CliError> {
    let vault = &opened.vault;
    let catalog = vault.catalog();
    there(catalog, &ask.project).await?;
    let people = [Some(&ask.to), ask.approver.as_ref(), ask.proposer.as_ref()];
    for principal in people.into_iter().flatten() {
        if catalog.principal(principal).await?.is_none() {
            return Err(absent("principal", principal)
                .hint(format!("`kluis principal create {principal}` makes it")));
        }
    }
    if let Some(dataset) = &ask.dataset {
        let bucket = BucketName {
            project: ask.project.clone(),
            dataset: dataset.clone(),
        };
        if catalog.dataset(&bucket).await?.is_none() {
            let name = format!("{}/{dataset}", ask.project);
            return Err(absent("dataset", &name)
                .hint(format!("`kluis dataset list --project {}`", ask.project)));
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
    let call = call(opened, "grant create")?;
    match (&ask.approver, &ask.proposer) {
        (Some(approver), _) => {
            let grant = worded(opened, ask, approver)?;
            Ok(vault.create_grant(&call, grant).await?.id)
        }
        (None, Some(proposer)) => {
            let grant = worded(opened, ask, proposer)?;
            Ok(vault.propose_grant(&call, grant).await?.id)
        }
        (None, None) => Err(CliError::new(
            Exit::Usage,
            "an approver or a proposer is needed",
        )),
    }
}

/// The grant as it is asked for, on the word of `by`.
fn worded(opened: &Opened, ask: &GrantArgs, by: &PrincipalId) -> Result<Grant, VaultError> {
    let mut actions = ask.action.clone();
    actions.sort_unstable();
    actions.dedup();
    let effect = if ask.deny {
        GrantEffect::Deny
    } else {
        GrantEffect::Allow
    };
    Ok(Grant {
        id: GrantId::random(opened.entropy.as_ref())?,
        project: ask.project.clone(),
        principal: ask.to.clone(),
        role: ask.role.clone(),
        dataset: ask.dataset.clone(),
        prefix: ask.prefix.clone(),
        effect,
        purpose: ask.purpose.clone(),
        permit: ask.permit.clone(),
        starts: ask.starts.unwrap_or_else(|| opened.vault.now()),
        expires: ask.expires,
        approver: by.clone(),
        created: opened.vault.now(),
        terms: Terms {
            actions,
            networks: ask.network.clone(),
            ..Terms::default()
        },
    })
}

fn covers(grant: &Grant) -> String {
    let dataset = grant.dataset.as_ref().map_or("*", |name| name.as_str());
    format!("{dataset}:{}*", grant.prefix)
}

const fn effect(grant: &Grant) -> &'static str {
    match grant.effect {
        GrantEffect::Allow => "allow",
        GrantEffect::Deny => "deny",
    }
}

const fn standing(grant: &Grant) -> &'static str {
    match grant.terms.standing {
        Standing::Approved => "approved",
        Standing::Proposed => "proposed",
    }
}

/// A table of a project's grants.
pub(super) fn list(
    catalog: &SharedCatalog,
    project: &ProjectName,
    output: &mut Output,
) -> Result<(), CliError> {
    let grants =
        super::serve::runtime()?.block_on(catalog.grants(project, limits::GUARD_CACHE_MAX))?;
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let cells = |grant: &Grant| {
        [
            grant.id.to_string(),
            grant.principal.to_string(),
            effect(grant).to_owned(),
            grant.role.clone(),
            covers(grant),
            grant.starts.to_string(),
            end(grant.expires),
            text(&grant.purpose),
            text(&grant.permit),
            grant.approver.to_string(),
            standing(grant).to_owned(),
        ]
    };
    let rows: Vec<_> = grants.iter().map(cells).collect();
    output.rows(COLUMNS, &rows)
}

fn show(
    desk: Desk<'_>,
    project: &ProjectName,
    id: GrantId,
    output: &mut Output,
) -> Result<(), CliError> {
    let catalog = desk.catalog()?;
    let found = super::serve::runtime()?.block_on(catalog.grant(&id))?;
    let grant = found.filter(|grant| grant.project == *project);
    let grant = grant.ok_or_else(|| absent("grant", &id))?;
    let actions: Vec<_> = grant
        .terms
        .actions
        .iter()
        .map(|a| Action::as_str(*a))
        .collect();
    let networks: Vec<_> = grant
        .terms
        .networks
        .iter()
        .map(Network::to_string)
        .collect();
    output.value(&json!({
        "grant": grant.id.to_string(),
        "project": grant.project.as_str(),
        "principal": grant.principal.as_str(),
        "effect": effect(&grant),
        "role": grant.role,
        "dataset": grant.dataset.as_ref().map(DatasetName::as_str),
        "prefix": grant.prefix,
        "actions": actions,
        "networks": networks,
        "purpose": grant.purpose,
        "permit": grant.permit,
        "starts": grant.starts.to_string(),
        "expires": grant.expires.map(|end| end.to_string()),
        "lapses": grant.terms.lapses.map(|end| end.to_string()),
        "standing": standing(&grant),
        "proposer": grant.terms.proposer.as_ref().map(PrincipalId::as_str),
        "approver": match grant.terms.standing {
            Standing::Approved => Some(grant.approver.as_str()),
            Standing::Proposed => None,
        },
        "created": grant.created.to_string(),
    }))
}

/// Confirms what is to be confirmed, then lists all.
fn review(
    desk: Desk<'_>,
    project: &ProjectName,
    (confirm, approver): (&[GrantId], Option<&PrincipalId>),
    output: &mut Output,
) -> Result<(), CliError> {
    let rows = desk.act(output, async |opened| {
        let vault = &opened.vault;
        there(vault.catalog(), project).await?;
        for id in confirm {
            let call = call(opened, "grant review")?;
            vault.confirm_grant(&call, (project, *id), approver).await?;
        }
        let call = call(opened, "grant review")?;
        Ok(vault.review_grants(&call, project, None).await?)
    })?;
    let cells = |row: &GrantUse| {
        let grant = &row.grant;
        [
            grant.id.to_string(),
            grant.principal.to_string(),
            grant.role.clone(),
            covers(grant),
            row.used
                .map_or_else(|| "never".to_owned(), |at| at.to_string()),
            end(grant.terms.lapses),
            end(grant.expires),
            if row.privileged { "yes" } else { "no" }.to_owned(),
            standing(grant).to_owned(),
        ]
    };
    let rows: Vec<_> = rows.iter().map(cells).collect();
    output.rows(REVIEW, &rows)
}
