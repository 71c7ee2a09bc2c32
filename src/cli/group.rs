//! `kluis group`: groups of principals.

use super::grant_args::{ClaimedArgs, GroupCommand};
use super::open::{Desk, absent, call, collect};
use super::output::{CliError, Exit, Output};
use super::scim::{Named, rows};
use crate::catalog::{RosterKind, RosterRow};
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
        GroupCommand::Map { name, claimed } => {
            desk.act(output, async |opened| {
                let call = call(opened, "group map")?;
                let what = (claimed.issuer.as_str(), claimed.claim.as_str());
                Ok(opened.vault.map_claim(&call, what, name.clone()).await?)
            })?;
            let ClaimedArgs { issuer, claim } = claimed;
            output.note(&format!(
                "who signs in at {issuer} and claims {claim} is in {name}"
            ));
        }
        GroupCommand::Unmap { claimed } => {
            desk.act(output, async |opened| {
                let call = call(opened, "group unmap")?;
                let what = (claimed.issuer.as_str(), claimed.claim.as_str());
                Ok(opened.vault.unmap_claim(&call, what).await?)
            })?;
            let ClaimedArgs { issuer, claim } = claimed;
            output.note(&format!("{claim} of {issuer} stands for no group any more"));
        }
        GroupCommand::Claims => {
            let rows = rows(desk, RosterKind::Claim, "")?;
            let rows: Vec<[String; 4]> = rows.into_iter().filter_map(claimed).collect();
            output.rows(["issuer", "claim", "group", "created"], &rows)?;
        }
    }
    Ok(Exit::Done)
}

fn claimed((name, row): Named) -> Option<[String; 4]> {
    let (issuer, claim) = name.split_once('\n')?;
    let RosterRow::Claim(row) = row else {
        return None;
    };
    let (issuer, claim) = (issuer.to_owned(), claim.to_owned());
    Some([
        issuer,
        claim,
        row.group.to_string(),
        row.created.to_string(),
    ])
}
