//! `kluis policy`: lints, tables of expectations, and why a request would be allowed or denied.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;

use super::args::PolicyCommand;
use super::open::{Desk, absent};
use super::output::{CliError, Exit, Output};
use super::{project, serve};
use crate::app::system::SystemClock;
use crate::app::{PolicyFileError, load_policy, read_policy};
use crate::catalog::SharedCatalog;
use crate::policy::{
    Ask, Assurance, Bar, Circumstances, Explanation, Grant, GrantEffect, Ground, Policy,
    ProjectPolicy, Severity, check, check_grants, run_expectations,
};
use crate::types::{
    Action, BucketName, Clock as _, ObjectKey, PartitionName, PrincipalId, ProjectName, Timestamp,
    limits,
};

/// Runs one of its commands.
pub(super) fn run(
    command: &PolicyCommand,
    desk: Desk<'_>,
    output: &mut Output,
) -> Result<Exit, CliError> {
    match command {
        PolicyCommand::Check { dir } => lint(desk, dir.as_deref(), output),
        PolicyCommand::Test { files, dir } => test(desk, files, dir.as_deref(), output),
        PolicyCommand::Explain {
            principal,
            action,
            dataset,
            project,
            key,
            at,
            from,
            partition,
            purpose,
        } => {
            let question = Question {
                principal,
                action: *action,
                project: dataset
                    .as_ref()
                    .map(|name| &name.project)
                    .or(project.as_ref()),
                dataset: dataset.as_ref(),
                key: key.as_ref(),
                at: at.unwrap_or_else(|| SystemClock.now()),
                from: *from,
                partition: partition.as_ref(),
                purpose: purpose.as_deref(),
            };
            explain(desk, &question, output)
        }
    }
}

/// The directory named, or that of the configuration; without a configuration file the built-in.
fn directory(desk: Desk<'_>, dir: Option<&Path>) -> Result<Option<PathBuf>, CliError> {
    match dir {
        Some(dir) => Ok(Some(dir.to_owned())),
        None if !desk.path.exists() => Ok(None),
        None => Ok(desk.config()?.policy.dir),
    }
}

fn unreadable(error: &PolicyFileError) -> CliError {
    CliError::of(Exit::Usage, error).hint(
        "a policy is a directory with model.conf and roles/*.csv: docs/policy.md explains them",
    )
}

fn lint(desk: Desk<'_>, dir: Option<&Path>, output: &mut Output) -> Result<Exit, CliError> {
    let named = dir.is_some();
    let dir = directory(desk, dir)?;
    let source = read_policy(dir.as_deref()).map_err(|error| unreadable(&error))?;
    let findings = check(&source);
    let mut broken = false;
    for finding in &findings {
        let severity = match finding.kind.severity() {
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        broken |= severity == "error";
        if output.is_json() {
            output.value(&json!({
                "file": finding.file,
                "line": finding.line,
                "severity": severity,
                "message": finding.kind.to_string(),
            }))?;
        } else {
            output.line(&finding.to_string())?;
        }
    }
    if broken {
        return Ok(Exit::No);
    }
    let place = dir.map_or_else(|| "built in".to_owned(), |dir| dir.display().to_string());
    output.note(&format!("the policy compiles: {place}"));
    if named || !desk.path.exists() {
        return Ok(Exit::Done);
    }
    grants(desk, &Policy::compile(&source)?, output)
}

/// Grants in the catalog whose role the policy does not have.
fn grants(desk: Desk<'_>, policy: &Policy, output: &mut Output) -> Result<Exit, CliError> {
    if !desk.config()?.catalog.path.exists() {
        return Ok(Exit::Done);
    }
    let catalog = desk.catalog()?;
    let runtime = serve::runtime()?;
    let projects = runtime.block_on(project::all(&catalog))?;
    let mut exit = Exit::Done;
    for row in projects {
        let grants = runtime.block_on(catalog.grants(&row.name, limits::GUARD_CACHE_MAX))?;
        for id in check_grants(policy, &grants) {
            exit = Exit::No;
            output.line(&format!(
                "grant {id} of project {}: its role is not in the policy",
                row.name
            ))?;
        }
    }
    Ok(exit)
}

fn test(
    desk: Desk<'_>,
    files: &[PathBuf],
    dir: Option<&Path>,
    output: &mut Output,
) -> Result<Exit, CliError> {
    let dir = directory(desk, dir)?;
    let policy = load_policy(dir.as_deref()).map_err(|error| unreadable(&error))?;
    let policy = Arc::new(policy);
    let (mut met, mut missed) = (0_usize, 0_usize);
    for file in files {
        let named = |error: &dyn std::error::Error| {
            let told = CliError::of(Exit::Usage, error);
            CliError::new(
                Exit::Usage,
                format!("{}: {}", file.display(), told.message()),
            )
            .hint("policies/examples has tables to begin with")
        };
        let text = std::fs::read_to_string(file).map_err(|error| named(&error))?;
        let report = run_expectations(&policy, &text).map_err(|error| named(&error))?;
        for outcome in &report.outcomes {
            let Some(miss) = &outcome.miss else {
                met = met.saturating_add(1);
                continue;
            };
            missed = missed.saturating_add(1);
            let place = format!("{}:{}", file.display(), outcome.line);
            if output.is_json() {
                let miss = miss.to_string();
                output.value(&json!({ "at": place, "title": outcome.title, "miss": miss }))?;
                continue;
            }
            output.line(&format!("{place}: {}: {miss}", outcome.title))?;
            for considered in &outcome.explanation.considered {
                output.line(&format!(
                    "    {} through role {}: {}",
                    considered.grant, considered.role, considered.verdict
                ))?;
            }
        }
    }
    output.note(&format!("{met} expectations are met, {missed} are not"));
    Ok(if missed == 0 { Exit::Done } else { Exit::No })
}

/// What is asked.
struct Question<'a> {
    principal: &'a PrincipalId,
    action: Action,
    project: Option<&'a ProjectName>,
    dataset: Option<&'a BucketName>,
    key: Option<&'a ObjectKey>,
    at: Timestamp,
    from: Option<IpAddr>,
    partition: Option<&'a PartitionName>,
    purpose: Option<&'a str>,
}

fn explain(desk: Desk<'_>, question: &Question<'_>, output: &mut Output) -> Result<Exit, CliError> {
    let Some(name) = question.project else {
        return Err(CliError::new(
            Exit::Usage,
            "a project or a dataset is needed",
        ));
    };
    let dir = desk.config()?.policy.dir;
    let policy = load_policy(dir.as_deref()).map_err(|error| unreadable(&error))?;
    let catalog = desk.catalog()?;
    let runtime = serve::runtime()?;
    runtime.block_on(project::there(&catalog, name))?;
    let held = runtime.block_on(held(&catalog, name, question.principal))?;
    let (groups, grants, suspended) = held;
    let held = grants.len();
    let project = ProjectPolicy::new(&Arc::new(policy), name)?;
    let mut subject = project.member(question.principal, &groups, grants)?;
    if suspended {
        subject = subject.barred(Bar::Suspended);
    }
    let explanation = subject.explain(&Ask {
        project: name,
        principal: question.principal,
        dataset: question.dataset.map(|name| &name.dataset),
        key: question.key.map_or("", ObjectKey::as_str),
        action: question.action,
        now: question.at,
        when: Circumstances {
            client: question.from,
            purpose: question.purpose,
            version: None,
            within: None,
            // Whether her sign-in is good enough is not asked here.
            assurance: Assurance::Host,
            ground: question.partition.map_or(Ground::Elsewhere, Ground::In),
        },
    });
    if output.is_json() {
        output.value(&json_of(question, &explanation))?;
    } else {
        words(question, &explanation, held, output)?;
    }
    Ok(if explanation.decision.allowed {
        Exit::Done
    } else {
        Exit::No
    })
}

/// A principal's groups, what she and they hold, and whether she or her person is suspended.
async fn held(
    catalog: &SharedCatalog,
    project: &ProjectName,
    principal: &PrincipalId,
) -> Result<(Vec<PrincipalId>, Vec<Grant>, bool), CliError> {
    let row = catalog.principal(principal).await?;
    let row = row.ok_or_else(|| absent("principal", principal))?;
    let person = match &row.acts_for {
        Some(person) => catalog.principal(person).await?,
        None => None,
    };
    let suspended = row
        .suspended
        .or_else(|| person.and_then(|person| person.suspended));
    let groups = catalog.groups_of(principal).await?;
    let mut grants = catalog.grants_of(project, principal).await?;
    for group in &groups {
        grants.extend(catalog.grants_of(project, group).await?);
    }
    Ok((groups, grants, suspended.is_some()))
}

const fn effect(effect: GrantEffect) -> &'static str {
    match effect {
        GrantEffect::Allow => "allow",
        GrantEffect::Deny => "deny",
    }
}

fn json_of(question: &Question<'_>, explanation: &Explanation) -> serde_json::Value {
    let decision = &explanation.decision;
    let considered = explanation.considered.iter().map(|grant| {
        json!({
            "grant": grant.grant.to_string(),
            "role": grant.role,
            "effect": effect(grant.effect),
            "verdict": grant.verdict.to_string(),
        })
    });
    json!({
        "allowed": decision.allowed,
        "principal": question.principal.as_str(),
        "action": question.action.as_str(),
        "at": question.at.to_string(),
        "rule": decision.rule,
        "grant": decision.grant.map(|id| id.to_string()),
        "purpose": decision.purpose,
        "permit": decision.permit,
        "policy_version": data_encoding::HEXLOWER.encode(&decision.version),
        "considered": considered.collect::<Vec<_>>(),
    })
}

fn words(
    question: &Question<'_>,
    explanation: &Explanation,
    held: usize,
    output: &mut Output,
) -> Result<(), CliError> {
    let decision = &explanation.decision;
    let word = if decision.allowed {
        "allowed"
    } else {
        "denied"
    };
    output.line(&format!(
        "{word}: {} to {} at {}",
        question.principal, question.action, question.at
    ))?;
    if decision.rule.is_empty() {
        output.line("  by no rule: what no rule allows is denied")?;
    } else {
        output.line(&format!("  by the rule: {}", decision.rule))?;
    }
    for (what, value) in [("purpose", &decision.purpose), ("permit", &decision.permit)] {
        if let Some(value) = value {
            output.line(&format!("  {what}: {value}"))?;
        }
    }
    if held == 0 {
        output.line("  holds no grant in this project")?;
    }
    for grant in &explanation.considered {
        output.line(&format!(
            "  grant {} ({} {}): {}",
            grant.grant,
            effect(grant.effect),
            grant.role,
            grant.verdict
        ))?;
    }
    Ok(())
}
