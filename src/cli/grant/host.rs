//! Grants on the vault's host, where who approves is named and not proved.

use super::super::grant_args::GrantArgs;
use super::super::open::{Desk, absent, call};
use super::super::output::{CliError, Exit, Output};
use super::super::project::there;
use super::super::serve::runtime;
use super::super::way;
use super::Place;
use crate::app::{Opened, load_policy};
use crate::catalog::SharedCatalog;
use crate::policy::{Grant, GrantEffect, Terms, check_grants};
use crate::types::{Action, BucketName, GrantId, PrincipalId, ProjectName, limits};
use crate::vault::{GrantUse, VaultError};

/// Makes or proposes a grant.
pub(super) fn create(
    ask: &GrantArgs,
    desk: Desk<'_>,
    output: &mut Output,
) -> Result<GrantId, CliError> {
    if ask.propose {
        return Err(
            CliError::new(Exit::Usage, "on the vault's host who proposes is named")
                .hint("`--proposer PERSON` in the place of `--propose`"),
        );
    }
    let speaks = desk.config()?.policy.host_approves;
    let made = desk.act(output, async |opened| {
        let grant = make(opened, (ask, speaks)).await?;
        let hints = opened.vault.grant_hints(&grant).await?;
        Ok((grant.id, hints))
    });
    let (id, hints) = made.map_err(|error| match &ask.approver {
        Some(approver) => way::herself(error, "--approver", approver),
        None => error,
    })?;
    for hint in hints {
        output.hint(&hint);
    }
    Ok(id)
}

/// A project's grants, as the catalog has them.
pub(in crate::cli) fn list(
    catalog: &SharedCatalog,
    project: &ProjectName,
) -> Result<Vec<Grant>, CliError> {
    let runtime = runtime()?;
    runtime.block_on(there(catalog, project))?;
    Ok(runtime.block_on(catalog.grants(project, limits::GUARD_CACHE_MAX))?)
}

/// Those of them whose role the policy does not have; nobody knows where there is no policy.
pub(super) fn of_no_role(grants: &[Grant], desk: Desk<'_>) -> Result<Vec<GrantId>, CliError> {
    let policy = load_policy(desk.config()?.policy.dir.as_deref());
    Ok(policy.map_or_else(|_none| Vec::new(), |policy| check_grants(&policy, grants)))
}

/// One grant, as the catalog has it.
pub(super) fn find((project, id): Place<'_>, desk: Desk<'_>) -> Result<Grant, CliError> {
    let catalog = desk.catalog()?;
    let found = runtime()?.block_on(catalog.grant(&id))?;
    let grant = found.filter(|grant| grant.project == *project);
    grant.ok_or_else(|| absent("grant", &id))
}

/// Approves a proposal.
pub(super) fn approve(
    (project, id): Place<'_>,
    approver: Option<&PrincipalId>,
    desk: Desk<'_>,
    output: &mut Output,
) -> Result<(), CliError> {
    let approver = way::named("--approver", approver, desk)?;
    let done = desk.act(output, async |opened| {
        let call = call(opened, "grant approve")?;
        let vault = &opened.vault;
        let settled = vault.approve_grant(&call, (project, id), Some(approver));
        Ok(settled.await.map(drop)?)
    });
    done.map_err(|error| way::herself(error, "--approver", approver))
}

/// Withdraws a grant.
pub(super) fn withdraw(
    (project, id): Place<'_>,
    approver: Option<&PrincipalId>,
    desk: Desk<'_>,
    output: &mut Output,
) -> Result<(), CliError> {
    let done = desk.act(output, async |opened| {
        let call = call(opened, "grant withdraw")?;
        let vault = &opened.vault;
        Ok(vault.revoke_grant(&call, (project, id), approver).await?)
    });
    done.map_err(|error| match approver {
        Some(approver) => way::herself(error, "--approver", approver),
        None => error,
    })
}

/// Confirms what is to be confirmed, and shows all.
pub(super) fn review(
    project: &ProjectName,
    (confirm, approver): (&[GrantId], Option<&PrincipalId>),
    desk: Desk<'_>,
    output: &mut Output,
) -> Result<Vec<GrantUse>, CliError> {
    if !confirm.is_empty() {
        way::named("--approver", approver, desk)?;
    }
    let done = desk.act(output, async |opened| {
        let vault = &opened.vault;
        there(vault.catalog(), project).await?;
        for id in confirm {
            let call = call(opened, "grant review")?;
            vault.confirm_grant(&call, (project, *id), approver).await?;
        }
        let call = call(opened, "grant review")?;
        Ok(vault.review_grants(&call, project, None).await?)
    });
    done.map_err(|error| match approver {
        Some(approver) => way::herself(error, "--approver", approver),
        None => error,
    })
}

async fn make(opened: &Opened, (ask, speaks): (&GrantArgs, bool)) -> Result<Grant, CliError> {
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
    let rests = ask.purpose.is_some() && ask.permit.is_some() && ask.expires.is_some();
    if !(rests || ask.deny || policy.role_allows(&ask.role, Action::GrantManage)) {
        let told = "a grant says its purpose, its permit and its end";
        return Err(CliError::new(Exit::Usage, told)
            .hint("add --purpose CODE, --permit REFERENCE and --expires TIME"));
    }
    let call = call(opened, "grant create")?;
    match (&ask.approver, &ask.proposer) {
        (Some(approver), _) => {
            let grant = worded(opened, ask, approver)?;
            Ok(vault.create_grant(&call, grant).await?)
        }
        (None, Some(proposer)) => {
            let grant = worded(opened, ask, proposer)?;
            Ok(vault.propose_grant(&call, grant).await?)
        }
        (None, None) => Err(way::lacking("--approver", speaks)
            .hint("`--proposer PERSON` asks for it, for an owner to approve")),
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
            version: ask.version,
            actions,
            networks: ask.network.clone(),
            partitions: ask.partition.clone(),
            ..Terms::default()
        },
    })
}
