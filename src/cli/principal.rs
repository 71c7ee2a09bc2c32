//! `kluis principal`: persons, and workloads that act for them.

use super::args::PrincipalCommand;
use super::open::{Desk, absent, call};
use super::output::{CliError, Exit, Output};
use crate::catalog::{Mutation, PrincipalRow, SharedCatalog};
use crate::types::{Label, PrincipalId, PrincipalKind, limits};
use crate::vault::Adoption;

const COLUMNS: [&str; 6] = [
    "principal",
    "kind",
    "acts_for",
    "created",
    "suspended",
    "clearance",
];

/// Runs one of its commands.
pub(super) fn run(
    command: &PrincipalCommand,
    desk: Desk<'_>,
    output: &mut Output,
) -> Result<Exit, CliError> {
    match command {
        PrincipalCommand::Create { name, acts_for } => {
            let row = create(name, acts_for.as_ref(), desk, output)?;
            output.rows(COLUMNS, &[cells(&row)])?;
        }
        PrincipalCommand::Clear { name, label } => {
            desk.act(output, async |opened| {
                let call = call(opened, "principal clear")?;
                let vault = &opened.vault;
                Ok(vault.clear(&call, name.clone(), label.clone()).await?)
            })?;
            let told = label
                .as_ref()
                .map_or("as the configuration says", Label::as_str);
            output.note(&format!("{name} is cleared: {told}"));
        }
        PrincipalCommand::List => {
            let catalog = desk.catalog()?;
            let rows = super::serve::runtime()?.block_on(all(&catalog))?;
            let rows: Vec<_> = rows.iter().map(cells).collect();
            output.rows(COLUMNS, &rows)?;
        }
        PrincipalCommand::Link {
            name,
            issuer,
            subject,
        } => {
            link((issuer, subject), Some(name), desk, output)?;
            output.note(&format!("{subject} of {issuer} is {name}"));
        }
        PrincipalCommand::Adopt {
            name,
            organisation,
            user_name,
            external_id,
        } => {
            let adoption = Adoption {
                source: organisation.clone(),
                user_name: user_name.clone(),
                external_id: external_id.clone(),
            };
            adopt(name, adoption, desk, output)?;
        }
        PrincipalCommand::Unlink { issuer, subject } => {
            link((issuer, subject), None, desk, output)?;
            output.note(&format!("{subject} of {issuer} is nobody any more"));
        }
        PrincipalCommand::Links { name } => {
            let catalog = desk.catalog()?;
            let all = catalog.identities_of(name, limits::ISSUERS_MAX);
            let rows = super::serve::runtime()?.block_on(all)?;
            let cells = |row: crate::catalog::IdentityRow| {
                [row.issuer, row.subject, row.linked.to_string()]
            };
            let rows: Vec<_> = rows.into_iter().map(cells).collect();
            output.rows(["issuer", "subject", "linked"], &rows)?;
        }
        PrincipalCommand::Suspend { name } => {
            suspend(desk, name, true, output)?;
            output.note(&format!(
                "{name} is suspended: refused within a second, transfers cut within a minute"
            ));
        }
        PrincipalCommand::Resume { name } => {
            suspend(desk, name, false, output)?;
            output.note(&format!("{name} may do again what is granted"));
        }
    }
    Ok(Exit::Done)
}

fn create(
    name: &PrincipalId,
    acts_for: Option<&PrincipalId>,
    desk: Desk<'_>,
    output: &mut Output,
) -> Result<PrincipalRow, CliError> {
    desk.act(output, async |opened| {
        if let Some(person) = acts_for
            && opened.vault.catalog().principal(person).await?.is_none()
        {
            return Err(absent("principal", person)
                .hint(format!("`kluis principal create {person}` makes it")));
        }
        let call = call(opened, "principal create")?;
        let vault = &opened.vault;
        let made = vault.create_principal(&call, name.clone(), acts_for.cloned());
        Ok(made.await?)
    })
}

/// Links a subject to somebody, or to nobody any more.
fn link(
    place: (&str, &str),
    name: Option<&PrincipalId>,
    desk: Desk<'_>,
    output: &mut Output,
) -> Result<(), CliError> {
    desk.act(output, async |opened| {
        let vault = &opened.vault;
        let Some(name) = name else {
            let call = call(opened, "principal unlink")?;
            return Ok(vault.unlink_identity(&call, place).await?);
        };
        let call = call(opened, "principal link")?;
        Ok(vault.link_identity(&call, place, name.clone()).await?)
    })
}

fn adopt(
    name: &PrincipalId,
    adoption: Adoption,
    desk: Desk<'_>,
    output: &mut Output,
) -> Result<(), CliError> {
    let told = format!(
        "{} tells of {name}, as {}",
        adoption.source, adoption.user_name
    );
    desk.act(output, async |opened| {
        let call = call(opened, "principal adopt")?;
        Ok(opened
            .vault
            .scim_adopt(&call, name.clone(), adoption)
            .await?)
    })?;
    output.note(&told);
    Ok(())
}

fn suspend(
    desk: Desk<'_>,
    name: &PrincipalId,
    suspended: bool,
    output: &mut Output,
) -> Result<(), CliError> {
    desk.act(output, async |opened| {
        let operation = if suspended {
            "principal suspend"
        } else {
            "principal resume"
        };
        let call = call(opened, operation)?;
        Ok(opened.vault.suspend(&call, name.clone(), suspended).await?)
    })
}

fn cells(row: &PrincipalRow) -> [String; 6] {
    let kind = match row.kind {
        PrincipalKind::Person => "person",
        PrincipalKind::Workload => "workload",
        PrincipalKind::Group => "group",
    };
    let person = row.acts_for.as_ref().map(PrincipalId::to_string);
    [
        row.id.to_string(),
        kind.to_owned(),
        person.unwrap_or_default(),
        row.created.to_string(),
        row.suspended
            .map_or_else(String::new, |since| since.to_string()),
        row.clearance
            .as_ref()
            .map_or_else(String::new, Label::to_string),
    ]
}

/// All principals: a dump has them before credentials, grants and objects, which are not read.
pub(super) async fn all(catalog: &SharedCatalog) -> Result<Vec<PrincipalRow>, CliError> {
    let mut rows = Vec::new();
    let mut cursor = None;
    loop {
        let (mutations, next) = catalog.dump(cursor, limits::SNAPSHOT_BYTES_MAX).await?;
        let mut beyond = false;
        for mutation in mutations {
            if let Mutation::CreatePrincipal(row) = mutation {
                rows.push(row);
            } else if let Mutation::SetSuspended { since, .. } = mutation {
                // A dump has it right behind its principal.
                if let Some(row) = rows.last_mut() {
                    row.suspended = since;
                }
            } else if let Mutation::SetClearance { clearance, .. } = mutation {
                if let Some(row) = rows.last_mut() {
                    row.clearance = clearance;
                }
            } else {
                beyond |= !matches!(
                    mutation,
                    Mutation::RestoreSeq(_)
                        | Mutation::CreateProject(_)
                        | Mutation::SetLogTerms { .. }
                        | Mutation::SetDefaults { .. }
                        | Mutation::CreateDataset(_)
                );
            }
        }
        cursor = next;
        if beyond || cursor.is_none() {
            return Ok(rows);
        }
    }
}
