//! `kluis principal`: persons, and workloads that act for them.

use std::collections::BTreeSet;

use super::args::PrincipalCommand;
use super::cell::yes_or_no;
use super::held::is_inactive;
use super::near::near;
use super::open::{Desk, absent, call};
use super::output::{CliError, Exit, Output};
use crate::app::issuers_named;
use crate::catalog::{Mutation, PrincipalRow, RosterKind, RosterRow, SharedCatalog};
use crate::types::{Label, PrincipalId, PrincipalKind, limits};
use crate::vault::Adoption;

const COLUMNS: [&str; 7] = [
    "principal",
    "kind",
    "acts_for",
    "created",
    "suspended",
    "clearance",
    "active",
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
            output.rows(COLUMNS, &[cells(&row, true)])?;
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
            let rows = super::serve::runtime()?.block_on(listed(&catalog))?;
            output.rows(COLUMNS, &rows)?;
        }
        PrincipalCommand::Link {
            name,
            issuer,
            subject,
        } => {
            link((issuer, subject), Some(name), desk, output)?;
            output.note(&format!("{subject} of {issuer} is {name}"));
            unnamed_issuer(issuer, desk, output)?;
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
        PrincipalCommand::Links { name } => links(name, desk, output)?,
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

/// Lists whom issuers take for somebody.
fn links(name: &PrincipalId, desk: Desk<'_>, output: &mut Output) -> Result<(), CliError> {
    let catalog = desk.catalog()?;
    let rows = super::serve::runtime()?.block_on(async {
        if catalog.principal(name).await?.is_none() {
            return Err(
                absent("principal", name).hint("`kluis principal list` names those that are")
            );
        }
        Ok(catalog.identities_of(name, limits::ISSUERS_MAX).await?)
    })?;
    let cells =
        |row: crate::catalog::IdentityRow| [row.issuer, row.subject, row.linked.to_string()];
    let rows: Vec<_> = rows.into_iter().map(cells).collect();
    output.rows(["issuer", "subject", "linked"], &rows)
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

/// Says that an issuer's name stands in no file: nobody signs in by that word until it does.
pub(super) fn unnamed_issuer(
    issuer: &str,
    desk: Desk<'_>,
    output: &mut Output,
) -> Result<(), CliError> {
    let named = match desk.config()?.identity.issuers {
        None => Vec::new(),
        Some(file) => issuers_named(&file),
    };
    if named.iter().any(|name| name == issuer) {
        return Ok(());
    }
    output.note(&format!(
        "warning: `identity.issuers` names no issuer {issuer}: until it does, this lets nobody in"
    ));
    if let Some(like) = near(issuer, named.iter().map(String::as_str)) {
        output.hint(&format!("did you mean {like}?"));
    }
    Ok(())
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
    let source = adoption.source.clone();
    let for_her = desk.act(output, async |opened| {
        let call = call(opened, "principal adopt")?;
        let vault = &opened.vault;
        vault.scim_adopt(&call, name.clone(), adoption).await?;
        let catalog = vault.catalog();
        let there = catalog.roster(RosterKind::Source, source.as_str()).await?;
        let Some(RosterRow::Source(row)) = there.map(|entry| entry.row) else {
            return Ok(false);
        };
        let agent = catalog.principal(&row.agent).await?;
        Ok(agent.and_then(|row| row.acts_for).as_ref() == Some(name))
    })?;
    output.note(&told);
    if for_her {
        output.note(&format!(
            "warning: {source} speaks by an agent that acts for {name}: the day that {source} sets \
             her inactive or deletes her, it ends its own agent, and is heard no more"
        ));
        output.hint(&format!(
            "`kluis scim create` makes an organisation whose agent acts for somebody else: an \
             operator, whom {source} does not tell of"
        ));
    }
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

/// What a kind is called.
pub(super) const fn kind(kind: PrincipalKind) -> &'static str {
    match kind {
        PrincipalKind::Person => "person",
        PrincipalKind::Workload => "workload",
        PrincipalKind::Group => "group",
    }
}

/// All principals, each with whether it may do anything: neither it nor its person is suspended,
/// or set inactive by the organisation that tells of her.
async fn listed(catalog: &SharedCatalog) -> Result<Vec<[String; 7]>, CliError> {
    let rows = all(catalog).await?;
    let mut barred = BTreeSet::new();
    for row in &rows {
        if row.suspended.is_some() || is_inactive(catalog, &row.id).await? {
            barred.insert(&row.id);
        }
    }
    let is_barred = |row: &PrincipalRow| {
        let person = row.acts_for.as_ref();
        barred.contains(&row.id) || person.is_some_and(|person| barred.contains(person))
    };
    Ok(rows.iter().map(|row| cells(row, !is_barred(row))).collect())
}

fn cells(row: &PrincipalRow, active: bool) -> [String; 7] {
    let person = row.acts_for.as_ref().map(PrincipalId::to_string);
    [
        row.id.to_string(),
        kind(row.kind).to_owned(),
        person.unwrap_or_default(),
        row.created.to_string(),
        row.suspended
            .map_or_else(String::new, |since| since.to_string()),
        row.clearance
            .as_ref()
            .map_or_else(String::new, Label::to_string),
        yes_or_no(active),
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
