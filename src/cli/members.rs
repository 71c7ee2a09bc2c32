//! `kluis group show` and `list`: who is in which group; on the vault's host, or over the network
//! for whoever grants to it.

use http::Method;

use super::open::{Desk, absent, collect};
use super::output::{CliError, Exit, Output};
use super::principal;
use super::remote::Question;
use super::scim::rows;
use super::way::{Signed, Signer, Way, no_answer};
use crate::catalog::{RosterKind, RosterRow, SharedCatalog};
use crate::types::{PrincipalId, PrincipalKind, ProjectName, limits};
use crate::vault::VisaTerms;
use crate::wire::GroupMembers;

/// Pages that are asked for at most: a group of a million.
const PAGES_MAX: usize = 1_000;

/// How members are listed.
const COLUMNS: [&str; 4] = ["member", "kind", "acts_for", "name"];
type Row = [String; 4];

/// Who is in a group, and by what others may come to be.
struct Seen {
    members: Vec<Row>,
    /// In words.
    also: Vec<String>,
}

/// Shows a group's members.
pub(super) fn show(
    (group, project): (&PrincipalId, Option<&ProjectName>),
    who: &Signed,
    desk: Desk<'_>,
    output: &mut Output,
) -> Result<(), CliError> {
    let seen = match Way::of(who, desk, output)? {
        Way::Host(desk) => {
            if project.is_some() {
                let told = "on the vault's host a group is shown whole, whatever `--project` says";
                return Err(CliError::new(Exit::Usage, told).hint("leave `--project` out"));
            }
            here(group, desk)?
        }
        Way::Signed(signer) => {
            let project = project.ok_or_else(|| {
                CliError::new(
                    Exit::Usage,
                    "over the network `--project` names one where the group holds a grant or is \
                     proposed for one",
                )
                .hint("who manages that grant is told who is in it")
            })?;
            there((project, group), &signer)?
        }
    };
    output.rows(COLUMNS, &seen.members)?;
    for also in &seen.also {
        output.note(also);
    }
    Ok(())
}

fn by_claim(issuer: &str, claim: &str) -> String {
    format!("also who signs in at {issuer} and claims {claim}, for that session")
}

fn by_visa(issuer: &str, value: &str) -> String {
    format!("also who brings a visa of {issuer} that asserts {value}, for that session")
}

fn by_organisation(name: &str) -> String {
    format!("the organisation {name} tells who is in it")
}

/// Looks into the catalog of this host.
fn here(group: &PrincipalId, desk: Desk<'_>) -> Result<Seen, CliError> {
    let catalog = desk.catalog()?;
    let runtime = super::serve::runtime()?;
    let members = runtime.block_on(async {
        let row = catalog.principal(group).await?;
        if row.is_none_or(|row| row.kind != PrincipalKind::Group) {
            return Err(absent("group", group));
        }
        let mut rows: Vec<Row> = Vec::new();
        for member in all(&catalog, group).await? {
            let row = catalog.principal(&member).await?;
            let told = catalog.roster(RosterKind::Person, member.as_str()).await?;
            let mut name = String::new();
            if let Some(RosterRow::Person(told)) = told.map(|entry| entry.row) {
                name = told.display_name.unwrap_or(told.user_name);
            }
            let kind = row.as_ref().map(|row| principal::kind(row.kind));
            let person = row.as_ref().and_then(|row| row.acts_for.as_ref());
            rows.push([
                member.to_string(),
                kind.unwrap_or_default().to_owned(),
                person.map_or_else(String::new, PrincipalId::to_string),
                name,
            ]);
        }
        Ok(rows)
    })?;
    let mut also = Vec::new();
    if let Some(RosterRow::Team(team)) = runtime
        .block_on(catalog.roster(RosterKind::Team, group.as_str()))?
        .map(|entry| entry.row)
    {
        also.push(by_organisation(&team.source));
    }
    for (name, row) in rows(desk, RosterKind::Claim, "")? {
        if let (Some((issuer, claim)), RosterRow::Claim(row)) = (name.split_once('\n'), row)
            && row.group == *group
        {
            also.push(by_claim(issuer, claim));
        }
    }
    for (name, row) in rows(desk, RosterKind::Visa, "")? {
        if let (Some((issuer, terms)), RosterRow::Visa(row)) = (VisaTerms::read(&name), row)
            && row.group == *group
        {
            also.push(by_visa(&issuer, &terms.value));
        }
    }
    Ok(Seen { members, also })
}

async fn all(catalog: &SharedCatalog, group: &PrincipalId) -> Result<Vec<PrincipalId>, CliError> {
    let page = async |after: Option<&PrincipalId>| {
        let most = limits::PAGE_ENTRIES_MAX;
        catalog.members(group, after, most).await
    };
    collect(page, PrincipalId::clone).await
}

/// Asks a gateway, page by page.
fn there(
    (project, group): (&ProjectName, &PrincipalId),
    signer: &Signer,
) -> Result<Seen, CliError> {
    let path = ["projects", project.as_str(), "groups", group.as_str()];
    let mut seen = Seen {
        members: Vec::new(),
        also: Vec::new(),
    };
    let mut after: Option<String> = None;
    for _ in 0..PAGES_MAX {
        let told: GroupMembers = signer.ask(Question {
            query: after.iter().map(|name| ("after", name.clone())).collect(),
            ..Question::of(Method::GET, &path)
        })?;
        let rows = told.members.into_iter().map(|row| {
            let (acts_for, name) = (row.acts_for, row.name);
            [
                row.principal,
                row.kind,
                acts_for.unwrap_or_default(),
                name.unwrap_or_default(),
            ]
        });
        seen.members.extend(rows);
        if let Some(next) = told.next {
            // Who is led back has been told all that there is, or is led about.
            if after.as_ref().is_some_and(|before| *before >= next) {
                return Err(no_answer());
            }
            after = Some(next);
            continue;
        }
        let organisation = told.organisation.as_deref().map(by_organisation);
        seen.also.extend(organisation);
        let claims = told.claims.iter();
        seen.also
            .extend(claims.map(|row| by_claim(&row.issuer, &row.claim)));
        let visas = told.visas.iter();
        seen.also
            .extend(visas.map(|row| by_visa(&row.issuer, &row.value)));
        return Ok(seen);
    }
    Err(no_answer())
}

/// Lists the groups of the vault.
pub(super) fn list(desk: Desk<'_>, output: &mut Output) -> Result<(), CliError> {
    const COLUMNS: [&str; 5] = ["group", "members", "organisation", "created", "suspended"];
    let catalog = desk.catalog()?;
    let groups = super::serve::runtime()?.block_on(async {
        let mut groups: Vec<[String; 5]> = Vec::new();
        for row in principal::all(&catalog).await? {
            if row.kind != PrincipalKind::Group {
                continue;
            }
            let team = catalog.roster(RosterKind::Team, row.id.as_str()).await?;
            let mut organisation = String::new();
            if let Some(RosterRow::Team(team)) = team.map(|entry| entry.row) {
                organisation = team.source;
            }
            groups.push([
                row.id.to_string(),
                all(&catalog, &row.id).await?.len().to_string(),
                organisation,
                row.created.to_string(),
                row.suspended
                    .map_or_else(String::new, |since| since.to_string()),
            ]);
        }
        Ok::<_, CliError>(groups)
    })?;
    output.rows(COLUMNS, &groups)
}
