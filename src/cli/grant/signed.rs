//! Grants over the network, in the name of whoever signs. What a gateway answers is read into the
//! vault's own types, or it is no answer: so a table is made of it as of the catalog's own rows.

use http::Method;

use super::super::cards::HINTS_MAX;
use super::super::grant_args::GrantArgs;
use super::super::output::{CliError, Exit, Output};
use super::super::question;
use super::super::remote::Question;
use super::super::values::time;
use super::super::way::{Signer, no_answer, unnamed};
use super::{Place, words};
use crate::policy::{Grant, GrantEffect, Standing, Terms};
use crate::types::{Action, GrantId, PrincipalId, ProjectName, Timestamp};
use crate::vault::GrantUse;
use crate::wire::{self, CreateGrantRequest, GrantList, GrantResponse, ReviewedGrant};

/// A grant, and what it lets where that was told.
pub(super) struct Found {
    pub(super) grant: Grant,
    lets: Option<Vec<Action>>,
    hints: Vec<String>,
}

impl Found {
    fn of(told: GrantResponse) -> Result<Self, CliError> {
        Ok(Self {
            grant: grant(told.grant)?,
            lets: lets(told.lets.as_ref())?,
            hints: told.hints,
        })
    }
}

fn read<T: std::str::FromStr>(text: &str) -> Result<T, CliError> {
    text.parse().map_err(|_unread| no_answer())
}

fn all<T: std::str::FromStr>(texts: &[String]) -> Result<Vec<T>, CliError> {
    texts.iter().map(|text| read(text)).collect()
}

fn some<T: std::str::FromStr>(text: Option<&String>) -> Result<Option<T>, CliError> {
    text.map(|text| read(text)).transpose()
}

fn moment(text: Option<&String>) -> Result<Option<Timestamp>, CliError> {
    let read = text.map(|text| time(text).map_err(|_unread| no_answer()));
    read.transpose()
}

/// A grant out of an answer.
fn grant(told: wire::Grant) -> Result<Grant, CliError> {
    let at = |text: &String| time(text).map_err(|_unread| no_answer());
    let proposer: Option<PrincipalId> = some(told.proposer.as_ref())?;
    // A proposal has no approver; its place is its proposer's, as in the catalog.
    let approver = some(told.approver.as_ref())?.or_else(|| proposer.clone());
    Ok(Grant {
        id: read(&told.grant)?,
        project: read(&told.project)?,
        principal: read(&told.principal)?,
        role: told.role,
        dataset: some(told.dataset.as_ref())?,
        prefix: told.prefix,
        effect: match told.effect {
            wire::GrantEffect::Allow => GrantEffect::Allow,
            wire::GrantEffect::Deny => GrantEffect::Deny,
        },
        purpose: told.purpose,
        permit: told.permit,
        starts: at(&told.starts)?,
        expires: moment(told.expires.as_ref())?,
        approver: approver.ok_or_else(no_answer)?,
        created: at(&told.created)?,
        terms: Terms {
            version: told.version,
            actions: all(&told.actions)?,
            networks: all(&told.networks)?,
            partitions: all(&told.partitions)?,
            standing: match told.standing {
                wire::GrantState::Proposed => Standing::Proposed,
                wire::GrantState::Approved => Standing::Approved,
            },
            lapses: moment(told.lapses.as_ref())?,
            proposer,
        },
    })
}

fn reviewed(told: ReviewedGrant) -> Result<GrantUse, CliError> {
    Ok(GrantUse {
        grant: grant(told.grant)?,
        used: moment(told.last_used.as_ref())?,
        privileged: told.privileged,
        known: told.role_known,
    })
}

fn lets(told: Option<&Vec<String>>) -> Result<Option<Vec<Action>>, CliError> {
    told.map(|texts| all(texts)).transpose()
}

/// Makes a grant, once who signs has seen what it is; or proposes one.
pub(super) fn create(
    ask: &GrantArgs,
    signer: &Signer,
    output: &mut Output,
) -> Result<GrantId, CliError> {
    unnamed("--approver", ask.approver.as_ref())?;
    unnamed("--proposer", ask.proposer.as_ref())
        .map_err(|error| error.hint("`--propose` asks for it in the signer's name"))?;
    let path = ["projects", ask.project.as_str(), "grants"];
    let post = |dry_run: bool| -> Result<Found, CliError> {
        Found::of(signer.say((Method::POST, &path), &request(ask, dry_run))?)
    };
    let would = post(true)?;
    if !ask.propose {
        agree(&would, "Make this grant?", ask.yes, output)?;
    }
    Ok(post(false)?.grant.id)
}

fn request(ask: &GrantArgs, dry_run: bool) -> CreateGrantRequest {
    CreateGrantRequest {
        principal: ask.to.to_string(),
        role: ask.role.clone(),
        dataset: ask.dataset.as_ref().map(ToString::to_string),
        version: ask.version,
        prefix: ask.prefix.clone(),
        deny: ask.deny,
        actions: ask.action.iter().map(ToString::to_string).collect(),
        networks: ask.network.iter().map(ToString::to_string).collect(),
        partitions: ask.partition.iter().map(ToString::to_string).collect(),
        purpose: ask.purpose.clone(),
        permit: ask.permit.clone(),
        starts: ask.starts.map(|time| time.to_string()),
        expires: ask.expires.map(|time| time.to_string()),
        propose: ask.propose,
        dry_run,
    }
}

/// Tells in two sentences what a grant is, and asks where somebody can answer.
fn agree(found: &Found, asked: &str, yes: bool, output: &mut Output) -> Result<(), CliError> {
    for sentence in words::summary(&found.grant, found.lets.as_deref()) {
        output.note(&sentence);
    }
    for hint in found.hints.iter().take(HINTS_MAX) {
        output.hint(hint);
    }
    if yes || !question::interactive() || question::agreed(asked)? {
        return Ok(());
    }
    Err(CliError::new(Exit::No, "nothing was granted"))
}

/// The grants of a project that who signs may see.
pub(super) fn list(project: &ProjectName, signer: &Signer) -> Result<Vec<GrantUse>, CliError> {
    let path = ["projects", project.as_str(), "grants"];
    let told: GrantList = signer.ask(Question::of(Method::GET, &path))?;
    told.grants.into_iter().map(reviewed).collect()
}

/// One grant.
pub(super) fn find((project, id): Place<'_>, signer: &Signer) -> Result<Found, CliError> {
    let id_text = id.to_string();
    let path = ["projects", project.as_str(), "grants", &id_text];
    let told: ReviewedGrant = signer.ask(Question::of(Method::GET, &path))?;
    let found = Found {
        lets: lets(told.lets.as_ref())?,
        hints: Vec::new(),
        grant: reviewed(told)?.grant,
    };
    // What is approved next is what was shown.
    if found.grant.id != id || found.grant.project != *project {
        return Err(no_answer());
    }
    Ok(found)
}

/// Approves a proposal, once who signs has seen what it is.
pub(super) fn approve(
    place: Place<'_>,
    (approver, yes): (Option<&PrincipalId>, bool),
    signer: &Signer,
    output: &mut Output,
) -> Result<(), CliError> {
    unnamed("--approver", approver)?;
    let found = find(place, signer)?;
    if found.grant.terms.standing == Standing::Proposed {
        agree(&found, "Approve this grant?", yes, output)?;
    }
    settle(place, "approve", signer)
}

/// Takes a step with a grant.
fn settle((project, id): Place<'_>, verb: &str, signer: &Signer) -> Result<(), CliError> {
    let id_text = id.to_string();
    let path = ["projects", project.as_str(), "grants", &id_text, verb];
    let settled = Found::of(signer.ask(Question::of(Method::POST, &path))?)?.grant;
    if settled.id == id && settled.terms.standing == Standing::Approved {
        Ok(())
    } else {
        Err(no_answer())
    }
}

/// Withdraws a grant.
pub(super) fn withdraw(
    (project, id): Place<'_>,
    approver: Option<&PrincipalId>,
    signer: &Signer,
) -> Result<(), CliError> {
    unnamed("--approver", approver)?;
    let id_text = id.to_string();
    let path = ["projects", project.as_str(), "grants", &id_text];
    signer.send(Question::of(Method::DELETE, &path)).map(drop)
}

/// Confirms what is to be confirmed, and gives all.
pub(super) fn review(
    project: &ProjectName,
    (confirm, approver): (&[GrantId], Option<&PrincipalId>),
    signer: &Signer,
) -> Result<Vec<GrantUse>, CliError> {
    unnamed("--approver", approver)?;
    for id in confirm {
        settle((project, *id), "confirm", signer)?;
    }
    list(project, signer)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn answer() -> Value {
        json!({
            "grant": "07070707070707070707070707070707", "project": "icu", "principal": "bob",
            "role": "reader", "dataset": "ecg", "version": null, "prefix": "adults/",
            "effect": "allow", "actions": [], "networks": ["10.0.0.0/8"], "partitions": [],
            "purpose": "p", "permit": "q", "starts": "2027-01-01T00:00:00.001Z",
            "expires": "2027-12-31T00:00:00.000Z", "lapses": null, "standing": "approved",
            "proposer": null, "approver": "ana", "created": "2027-01-01T00:00:00Z",
        })
    }

    /// The same answer as each of the two that tell a grant, or an error of either.
    fn found(value: Value) -> Option<(Found, GrantUse)> {
        let one: GrantResponse = serde_json::from_value(value.clone()).ok()?;
        let reviewed_one: ReviewedGrant = serde_json::from_value(value).ok()?;
        Some((Found::of(one).ok()?, reviewed(reviewed_one).ok()?))
    }

    #[test]
    fn an_answer_becomes_a_grant() {
        let (found, row) = found(answer()).expect("a grant");
        assert_eq!(found.grant.prefix, "adults/");
        assert_eq!(found.grant.terms.networks.len(), 1);
        assert_eq!(found.grant.starts.to_string(), "2027-01-01T00:00:00.001Z");
        assert!(found.lets.is_none());
        assert!(!row.privileged && row.known && row.used.is_none());
    }

    #[test]
    fn what_is_no_grant_is_no_answer() {
        for (member, value) in [
            ("grant", json!("7")),
            ("project", json!("ICU/..")),
            ("principal", json!("bob\u{1b}[2J")),
            ("dataset", json!("../etc")),
            ("version", json!(-1)),
            ("effect", json!("perhaps")),
            ("actions", json!(["object.steal"])),
            ("networks", json!(["everywhere"])),
            ("partitions", json!(["a b\n"])),
            ("starts", json!("tomorrow")),
            ("expires", json!(7)),
            ("lapses", json!("1969-01-01T00:00:00Z")),
            ("standing", json!("in force")),
            ("proposer", json!("\u{0}")),
            ("approver", json!(null)),
            ("created", json!("")),
            ("last_used", json!("never")),
            ("lets", json!(["*"])),
        ] {
            let mut bent = answer();
            bent[member] = value.clone();
            assert!(found(bent).is_none(), "{member}: {value}");
        }
        assert!(found(json!([])).is_none() && found(json!(null)).is_none());
    }
}
