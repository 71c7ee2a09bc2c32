//! `kluis group`: groups of principals.

use super::grant_args::{AssertedArgs, ClaimedArgs, GroupCommand};
use super::open::{Desk, call};
use super::output::{CliError, Exit, Output};
use super::principal::unnamed_issuer;
use super::scim::{Named, rows};
use crate::catalog::{RosterKind, RosterRow};
use crate::vault::VisaTerms;

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
        GroupCommand::Show {
            name,
            project,
            signed,
        } => super::members::show((name, project.as_ref()), signed, desk, output)?,
        GroupCommand::List => super::members::list(desk, output)?,
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
            unnamed_issuer(issuer, desk, output)?;
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
        GroupCommand::MapVisa { .. } | GroupCommand::UnmapVisa { .. } | GroupCommand::Visas => {
            return visas(command, desk, output);
        }
    }
    Ok(Exit::Done)
}

/// Those of its commands that are about visas.
fn visas(command: &GroupCommand, desk: Desk<'_>, output: &mut Output) -> Result<Exit, CliError> {
    if let GroupCommand::MapVisa { name, asserted } = command {
        desk.act(output, async |opened| {
            let call = call(opened, "group map-visa")?;
            let what = (asserted.issuer.as_str(), &terms(asserted));
            Ok(opened.vault.map_visa(&call, what, name.clone()).await?)
        })?;
        let AssertedArgs { issuer, value, .. } = asserted;
        output.note(&format!(
            "who brings a visa of {issuer} that asserts {value} is in {name}"
        ));
        unnamed_issuer(issuer, desk, output)?;
    } else if let GroupCommand::UnmapVisa { asserted } = command {
        desk.act(output, async |opened| {
            let call = call(opened, "group unmap-visa")?;
            let what = (asserted.issuer.as_str(), &terms(asserted));
            Ok(opened.vault.unmap_visa(&call, what).await?)
        })?;
        let AssertedArgs { issuer, value, .. } = asserted;
        output.note(&format!("{value} of {issuer} stands for no group any more"));
    } else {
        let rows = rows(desk, RosterKind::Visa, "")?;
        let rows: Vec<[String; 8]> = rows.into_iter().filter_map(asserted).collect();
        let head = [
            "issuer", "type", "value", "source", "by", "group", "created", "id",
        ];
        output.rows(head, &rows)?;
    }
    Ok(Exit::Done)
}

fn terms(asserted: &AssertedArgs) -> VisaTerms {
    VisaTerms {
        kind: asserted.kind.clone(),
        value: asserted.value.clone(),
        source: asserted.source.clone(),
        by: asserted.by.clone(),
    }
}

fn asserted((name, row): Named) -> Option<[String; 8]> {
    let (issuer, terms) = VisaTerms::read(&name)?;
    let RosterRow::Visa(row) = row else {
        return None;
    };
    let VisaTerms {
        kind,
        value,
        source,
        by,
    } = terms;
    Some([
        issuer,
        kind,
        value,
        source.unwrap_or_default(),
        by.unwrap_or_default(),
        row.group.to_string(),
        row.created.to_string(),
        row.id.to_string(),
    ])
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
