//! `kluis group`: groups of principals.

use super::grant_args::GroupCommand;
use super::open::{Desk, absent, call, collect};
use super::output::{CliError, Exit, Output};
use crate::types::{PrincipalId, PrincipalKind, limits};

/// Runs one of its commands.
pub(super) fn run(
    command: &GroupCommand,
    desk: Desk<'_>,
    output: &mut Output,
) -> Result<Exit, CliError> {
    match command {
        GroupCommand::Create { name } => {
            desk.act(output, async |opened| {
                let call = call(opened, "group create")?;
                Ok(opened.vault.create_group(&call, name.clone()).await?)
            })?;
            output.note(&format!("group {name} is there"));
        }
        GroupCommand::Show { name } => {
            let catalog = desk.catalog()?;
            let members = super::serve::runtime()?.block_on(async {
                let group = catalog.principal(name).await?;
                if group.is_none_or(|row| row.kind != PrincipalKind::Group) {
                    return Err(absent("group", name));
                }
                let page = async |after: Option<&PrincipalId>| {
                    catalog.members(name, after, limits::PAGE_ENTRIES_MAX).await
                };
                collect(page, PrincipalId::clone).await
            })?;
            let rows: Vec<_> = members.iter().map(|member| [member.to_string()]).collect();
            output.rows(["member"], &rows)?;
        }
        GroupCommand::Add { name, member } => {
            desk.act(output, async |opened| {
                let call = call(opened, "group add")?;
                let (group, member) = (name.clone(), member.clone());
                Ok(opened.vault.add_member(&call, group, member).await?)
            })?;
            output.note(&format!("{member} is a member of {name}"));
        }
        GroupCommand::Remove { name, member } => {
            desk.act(output, async |opened| {
                let call = call(opened, "group remove")?;
                let (group, member) = (name.clone(), member.clone());
                Ok(opened.vault.remove_member(&call, group, member).await?)
            })?;
            output.note(&format!("{member} is no member of {name} any more"));
        }
    }
    Ok(Exit::Done)
}
