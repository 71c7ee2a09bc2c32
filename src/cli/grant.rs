//! `kluis grant`: proposing, approving, reviewing and withdrawing.

use serde_json::json;

use super::grant_args::{GrantArgs, GrantCommand};
use super::open::{Desk, absent, call};
use super::output::{CliError, Exit, Output};
use super::project::{end, there};
use crate::app::Opened;
use crate::app::system::SystemClock;
use crate::catalog::SharedCatalog;
use crate::policy::{Grant, GrantEffect, Standing, Terms};
use crate::types::{
    Action, BucketName, Clock as _, DatasetName, GrantId, PrincipalId, ProjectName, Timestamp,
    limits,
};
use crate::vault::{GrantUse, VaultError};

const COLUMNS: [&str; 14] = [
    "grant",
    "principal",
    "effect",
    "role",
    "covers",
    "actions",
    "networks",
    "partitions",
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
            version: ask.version,
            actions,
            networks: ask.network.clone(),
            partitions: ask.partition.clone(),
            ..Terms::default()
        },
    })
}

fn covers(grant: &Grant) -> String {
    let dataset = grant.dataset.as_ref().map_or("*", |name| name.as_str());
    let version = grant.terms.version;
    let version = version.map_or_else(String::new, |number| format!("--v{number}"));
    format!("{dataset}{version}:{}*", grant.prefix)
}

const fn effect(grant: &Grant) -> &'static str {
    match grant.effect {
        GrantEffect::Allow => "allow",
        GrantEffect::Deny => "deny",
    }
}

/// What a grant is good for at a moment: `in force`, or why it is not.
fn standing(grant: &Grant, now: Timestamp) -> &'static str {
    let over = |end: Option<Timestamp>| end.is_some_and(|end| end <= now);
    match (grant.terms.standing, grant.effect) {
        _ if over(grant.expires) => "ended",
        (Standing::Proposed, _) => "proposed",
        (Standing::Approved, GrantEffect::Allow) if over(grant.terms.lapses) => "lapsed",
        (Standing::Approved, _) if grant.starts > now => "not yet",
        (Standing::Approved, _) => "in force",
    }
}

/// Who approved it, if anybody did.
const fn approver(grant: &Grant) -> Option<&PrincipalId> {
    match grant.terms.standing {
        Standing::Approved => Some(&grant.approver),
        Standing::Proposed => None,
    }
}

fn actions(grant: &Grant) -> Vec<&'static str> {
    let all = grant.terms.actions.iter();
    all.map(|action| Action::as_str(*action)).collect()
}

fn texts<T: ToString>(all: &[T]) -> Vec<String> {
    all.iter().map(ToString::to_string).collect()
}

/// A table of a project's grants.
pub(super) fn list(
    catalog: &SharedCatalog,
    project: &ProjectName,
    output: &mut Output,
) -> Result<(), CliError> {
    let grants =
        super::serve::runtime()?.block_on(catalog.grants(project, limits::GUARD_CACHE_MAX))?;
    let now = SystemClock.now();
    let rows: Vec<_> = grants.iter().map(|grant| cells(grant, now)).collect();
    output.rows(COLUMNS, &rows)
}

fn cells(grant: &Grant, now: Timestamp) -> [String; 14] {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    [
        grant.id.to_string(),
        grant.principal.to_string(),
        effect(grant).to_owned(),
        grant.role.clone(),
        covers(grant),
        actions(grant).join(","),
        texts(&grant.terms.networks).join(","),
        texts(&grant.terms.partitions).join(","),
        grant.starts.to_string(),
        end(grant.expires),
        text(&grant.purpose),
        text(&grant.permit),
        approver(grant).map_or_else(String::new, ToString::to_string),
        standing(grant, now).to_owned(),
    ]
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
    output.record(&json!({
        "grant": grant.id.to_string(),
        "project": grant.project.as_str(),
        "principal": grant.principal.as_str(),
        "effect": effect(&grant),
        "role": grant.role,
        "dataset": grant.dataset.as_ref().map(DatasetName::as_str),
        "version": grant.terms.version,
        "prefix": grant.prefix,
        "actions": actions(&grant),
        "networks": texts(&grant.terms.networks),
        "partitions": texts(&grant.terms.partitions),
        "purpose": grant.purpose,
        "permit": grant.permit,
        "starts": grant.starts.to_string(),
        "expires": grant.expires.map(|end| end.to_string()),
        "lapses": grant.terms.lapses.map(|end| end.to_string()),
        "standing": standing(&grant, SystemClock.now()),
        "proposer": grant.terms.proposer.as_ref().map(PrincipalId::as_str),
        "approver": approver(&grant).map(PrincipalId::as_str),
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
    let now = SystemClock.now();
    let cells = |row: &GrantUse| {
        let grant = &row.grant;
        [
            grant.id.to_string(),
            grant.principal.to_string(),
            grant.role.clone(),
            covers(grant),
            row.used
                .map_or_else(|| super::output::NEVER.to_owned(), |at| at.to_string()),
            end(grant.terms.lapses),
            end(grant.expires),
            if row.privileged { "yes" } else { "no" }.to_owned(),
            standing(grant, now).to_owned(),
        ]
    };
    let rows: Vec<_> = rows.iter().map(cells).collect();
    output.rows(REVIEW, &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000);

    fn grant(starts: u64, expires: Option<u64>, terms: Terms) -> Grant {
        let id = |text: &str| text.parse().unwrap_or_else(|error| panic!("{error}"));
        Grant {
            id: GrantId::from_bytes([7; 16]),
            project: "icu".parse().unwrap_or_else(|error| panic!("{error}")),
            principal: id("bob"),
            role: "reader".to_owned(),
            dataset: None,
            prefix: String::new(),
            effect: GrantEffect::Allow,
            purpose: None,
            permit: None,
            starts: Timestamp::from_millis(starts),
            expires: expires.map(Timestamp::from_millis),
            approver: id("ana"),
            created: Timestamp::from_millis(0),
            terms,
        }
    }

    fn proposed() -> Terms {
        Terms {
            standing: Standing::Proposed,
            ..Terms::default()
        }
    }

    fn lapsing(at: u64) -> Terms {
        Terms {
            lapses: Some(Timestamp::from_millis(at)),
            ..Terms::default()
        }
    }

    #[test]
    fn what_is_granted_today_is_told() {
        let cases = [
            (grant(0, None, Terms::default()), "in force"),
            (grant(1_000, Some(1_001), Terms::default()), "in force"),
            (grant(0, Some(1_000), Terms::default()), "ended"),
            (grant(1_001, None, Terms::default()), "not yet"),
            (grant(0, None, lapsing(1_000)), "lapsed"),
            (grant(0, None, lapsing(1_001)), "in force"),
            (grant(0, None, proposed()), "proposed"),
            (grant(0, Some(999), proposed()), "ended"),
        ];
        for (grant, told) in cases {
            assert_eq!(standing(&grant, NOW), told, "{:?}", grant.terms);
        }
        let denial = Grant {
            effect: GrantEffect::Deny,
            ..grant(0, None, lapsing(1))
        };
        assert_eq!(standing(&denial, NOW), "in force", "no denial lapses");
    }

    #[test]
    fn a_proposal_has_no_approver_and_shows_its_terms() {
        let mut grant = grant(0, None, proposed());
        grant.dataset = Some("ecg".parse().unwrap_or_else(|error| panic!("{error}")));
        grant.terms.version = Some(3);
        grant.terms.networks = vec!["10.12.0.0/16".parse().unwrap_or_else(|e| panic!("{e}"))];
        grant.terms.actions = vec![Action::ObjectRead, Action::ObjectList];
        let row = cells(&grant, NOW);
        let of = |name| row[COLUMNS.iter().position(|column| *column == name).unwrap()].as_str();
        assert_eq!(of("approver"), "");
        assert_eq!(of("networks"), "10.12.0.0/16");
        assert_eq!(of("covers"), "ecg--v3:*");
        assert_eq!(of("actions"), "object.read,object.list");
        grant.terms.standing = Standing::Approved;
        assert_eq!(cells(&grant, NOW)[12], "ana");
    }
}
