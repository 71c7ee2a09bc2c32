//! `kluis scim`: organisations that tell who their people are.

use super::cell::yes_or_no;
use super::open::{Desk, call};
use super::output::{CliError, Exit, Output};
use super::scim_args::{ScimCommand, Subject};
use super::secret::hand_over;
use crate::app::Opened;
use crate::catalog::{Linking, RosterKind, RosterRow};
use crate::types::{ProjectName, limits};
use crate::vault::SourceDraft;

/// Runs one of its commands.
pub(super) fn run(
    command: &ScimCommand,
    desk: Desk<'_>,
    output: &mut Output,
) -> Result<Exit, CliError> {
    match command {
        ScimCommand::Create {
            name,
            acts_for,
            issuer,
            subject,
            token,
        } => {
            let linking = subject.map(|subject| match subject {
                Subject::UserName => Linking::UserName,
                Subject::ExternalId => Linking::ExternalId,
            });
            let draft = SourceDraft {
                name: name.clone(),
                acts_for: acts_for.clone(),
                linked: issuer.clone().zip(linking),
                days: token.days,
            };
            let make = async |opened: &Opened| {
                let call = call(opened, "scim create")?;
                let made = opened.vault.create_source(&call, draft).await?;
                Ok(made.token)
            };
            hand_over(desk, &token.secret, output, make, async |opened| {
                end(opened, name).await?;
                Ok("what was made is ended")
            })?;
            output.hint(
                "its system is told https://GATEWAY/.kluis/v1/scim/v2 and this as a bearer token",
            );
        }
        ScimCommand::Renew { name, token } => {
            let make = async |opened: &Opened| {
                let call = call(opened, "scim renew")?;
                let lasts = Some(token.days);
                let made = opened.vault.renew_source(&call, name, lasts).await?;
                made.ok_or_else(|| CliError::new(Exit::Unavailable, "no credential was made"))
            };
            hand_over(desk, &token.secret, output, make, async |opened| {
                end(opened, name).await?;
                Ok("what was made is ended")
            })?;
        }
        ScimCommand::End { name } => {
            desk.act(output, async |opened| end(opened, name).await)?;
            output.note(&format!(
                "{name} tells nothing any more; its people stay as they are"
            ));
        }
        ScimCommand::List | ScimCommand::People { .. } | ScimCommand::Groups { .. } => {
            show(command, desk, output)?;
        }
    }
    Ok(Exit::Done)
}

async fn end(opened: &Opened, name: &ProjectName) -> Result<(), CliError> {
    let call = call(opened, "scim end")?;
    let _none = opened.vault.renew_source(&call, name, None).await?;
    Ok(())
}

/// Shows what is there.
fn show(command: &ScimCommand, desk: Desk<'_>, output: &mut Output) -> Result<(), CliError> {
    match command {
        ScimCommand::List => {
            let rows = rows(desk, RosterKind::Source, "")?;
            let rows: Vec<[String; 7]> = rows.into_iter().filter_map(source).collect();
            let columns = [
                "organisation",
                "agent",
                "issuer",
                "subject",
                "created",
                "expires",
                "ended",
            ];
            output.rows(columns, &rows)?;
        }
        ScimCommand::People { name } => {
            // Whoever was adopted is called otherwise.
            let rows = rows(desk, RosterKind::Person, "")?.into_iter();
            let rows = rows.filter_map(|row| person(name.as_str(), row));
            let rows: Vec<[String; 6]> = rows.collect();
            let columns = [
                "principal",
                "user_name",
                "external_id",
                "name",
                "active",
                "modified",
            ];
            output.rows(columns, &rows)?;
        }
        ScimCommand::Groups { name } => {
            let rows = rows(desk, RosterKind::Team, &format!("{name}."))?;
            let rows: Vec<[String; 4]> = rows.into_iter().filter_map(team).collect();
            output.rows(["group", "name", "external_id", "modified"], &rows)?;
        }
        ScimCommand::Create { .. } | ScimCommand::Renew { .. } | ScimCommand::End { .. } => {}
    }
    Ok(())
}

pub(super) type Named = (String, RosterRow);

/// The rows of a kind whose names begin so.
pub(super) fn rows(desk: Desk<'_>, kind: RosterKind, begin: &str) -> Result<Vec<Named>, CliError> {
    let catalog = desk.catalog()?;
    super::serve::runtime()?.block_on(async {
        let mut rows: Vec<Named> = Vec::new();
        let mut after = begin.to_owned();
        loop {
            let page = catalog
                .roster_page(kind, &after, limits::PAGE_ENTRIES_MAX)
                .await?;
            let Some((last, _)) = page.last() else {
                return Ok(rows);
            };
            after.clone_from(last);
            let beyond = !last.starts_with(begin);
            let fit = page.into_iter().filter(|(name, _)| name.starts_with(begin));
            rows.extend(fit.map(|(name, entry)| (name, entry.row)));
            if beyond {
                return Ok(rows);
            }
        }
    })
}

fn source((name, row): Named) -> Option<[String; 7]> {
    let RosterRow::Source(row) = row else {
        return None;
    };
    let subject = match row.linking {
        Linking::ByHand => "",
        Linking::UserName => "user-name",
        Linking::ExternalId => "external-id",
    };
    Some([
        name,
        row.agent.to_string(),
        row.issuer.unwrap_or_default(),
        subject.to_owned(),
        row.created.to_string(),
        row.expires.to_string(),
        yes_or_no(row.key.is_none()),
    ])
}

fn person(of: &str, (name, row): Named) -> Option<[String; 6]> {
    let RosterRow::Person(row) = row else {
        return None;
    };
    if row.source != of {
        return None;
    }
    Some([
        name,
        row.user_name,
        row.external_id.unwrap_or_default(),
        row.display_name.unwrap_or_default(),
        yes_or_no(row.active),
        row.modified.to_string(),
    ])
}

fn team((name, row): Named) -> Option<[String; 4]> {
    let RosterRow::Team(row) = row else {
        return None;
    };
    Some([
        name,
        row.display_name,
        row.external_id.unwrap_or_default(),
        row.modified.to_string(),
    ])
}
