//! `kluis scim`: organisations that tell who their people are.

use super::open::{Desk, call};
use super::output::{CliError, Exit, Output};
use super::scim_args::{ScimCommand, Subject, TokenArgs};
use crate::app::{Opened, create_file};
use crate::catalog::{Linking, RosterKind, RosterRow};
use crate::types::{ProjectName, SecretText, limits};
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
            hand_over(desk, (name, token), output, async |opened| {
                let call = call(opened, "scim create")?;
                let made = opened.vault.create_source(&call, draft).await?;
                Ok(made.token)
            })?;
            output.hint(
                "its system is told https://GATEWAY/.kluis/v1/scim/v2 and this as a bearer token",
            );
        }
        ScimCommand::Renew { name, token } => {
            hand_over(desk, (name, token), output, async |opened| {
                let call = call(opened, "scim renew")?;
                let made = opened
                    .vault
                    .renew_source(&call, name, Some(token.days))
                    .await?;
                made.ok_or_else(|| CliError::new(Exit::Unavailable, "no credential was made"))
            })?;
        }
        ScimCommand::End { name } => {
            desk.act(output, async |opened| {
                let call = call(opened, "scim end")?;
                Ok(opened.vault.renew_source(&call, name, None).await?)
            })?;
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

/// Shows what is there.
fn show(command: &ScimCommand, desk: Desk<'_>, output: &mut Output) -> Result<(), CliError> {
    match command {
        ScimCommand::List => {
            let rows = rows(desk, RosterKind::Source, "")?;
            let rows: Vec<[String; 6]> = rows.into_iter().filter_map(source).collect();
            let columns = [
                "organisation",
                "agent",
                "issuer",
                "subject",
                "created",
                "expires",
            ];
            output.rows(columns, &rows)?;
        }
        ScimCommand::People { name } => {
            let rows = rows(desk, RosterKind::Person, &format!("{name}."))?;
            let rows: Vec<[String; 6]> = rows.into_iter().filter_map(person).collect();
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

/// Makes a credential and hands it over: to a new file of its owner, or to a pipe. One that cannot
/// be handed over is ended.
fn hand_over(
    desk: Desk<'_>,
    (name, ask): (&ProjectName, &TokenArgs),
    output: &mut Output,
    make: impl AsyncFnOnce(&Opened) -> Result<SecretText, CliError>,
) -> Result<(), CliError> {
    if ask.output.is_none() && output.is_terminal() && !ask.force {
        return Err(
            CliError::new(Exit::Usage, "a secret is not shown on a terminal")
                .hint("write it to a file with `--output FILE`, or insist with `--force`"),
        );
    }
    if let Some(path) = ask.output.as_ref().filter(|path| path.exists()) {
        let told = format!("{} is there already", path.display());
        return Err(CliError::new(Exit::Usage, told).hint("nothing is overwritten"));
    }
    let token = desk.act(output, async |opened| {
        let token = make(opened).await?;
        let Some(path) = &ask.output else {
            return Ok(Some(token));
        };
        let text = zeroize::Zeroizing::new(format!("{}\n", token.expose()));
        if let Err(error) = create_file(path, text.as_bytes(), 0o600) {
            let call = call(opened, "scim end")?;
            let _ended = opened.vault.renew_source(&call, name, None).await?;
            let told = format!("cannot write {}: {error}", path.display());
            return Err(CliError::new(Exit::Usage, told).hint("the credential is ended"));
        }
        Ok(None)
    })?;
    match (token, &ask.output) {
        (Some(token), _) => {
            let text = zeroize::Zeroizing::new(format!("{}\n", token.expose()));
            output.data(text.as_bytes())?;
        }
        (None, Some(path)) => output.note(&format!("the credential is in {}", path.display())),
        (None, None) => {}
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

fn source((name, row): Named) -> Option<[String; 6]> {
    let RosterRow::Source(row) = row else {
        return None;
    };
    let subject = match row.linking {
        Linking::ByHand => "",
        Linking::UserName => "user-name",
        Linking::ExternalId => "external-id",
    };
    let expires = if row.key.is_some() {
        row.expires.to_string()
    } else {
        "ended".to_owned()
    };
    Some([
        name,
        row.agent.to_string(),
        row.issuer.unwrap_or_default(),
        subject.to_owned(),
        row.created.to_string(),
        expires,
    ])
}

fn person((name, row): Named) -> Option<[String; 6]> {
    let RosterRow::Person(row) = row else {
        return None;
    };
    Some([
        name,
        row.user_name,
        row.external_id.unwrap_or_default(),
        row.display_name.unwrap_or_default(),
        if row.active { "yes" } else { "no" }.to_owned(),
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
