//! `kluis policy`: lints, tables of expectations, and why a request would be allowed or denied.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;

use super::args::PolicyCommand;
use super::held;
use super::near::near;
use super::open::Desk;
use super::output::{CliError, Exit, Output};
use super::{project, serve};
use crate::app::system::SystemClock;
use crate::app::{PolicyFileError, load_policy, read_policy};
use crate::policy::{
    Ask, Assurance, Bar, Circumstances, Explanation, Finding, FindingKind, GrantEffect, Ground,
    Policy, PolicySource, ProjectPolicy, RoleFault, Severity, check, check_grants,
    run_expectations,
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
            claimed,
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
                claimed,
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
                "message": format!("{}{}", finding.kind, meant(finding, &source)),
            }))?;
        } else {
            output.line(&format!("{finding}{}", meant(finding, &source)))?;
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

/// Of an action that is none: how it is written, and which may be meant.
fn meant(finding: &Finding, source: &PolicySource) -> String {
    if finding.kind != FindingKind::Role(RoleFault::Action) {
        return String::new();
    }
    let of = |(name, _): &&(String, String)| finding.file == format!("roles/{name}.csv");
    let text = source.roles.iter().find(of).map(|(_, text)| text.as_str());
    let line = text.and_then(|text| text.lines().nth(finding.line.checked_sub(1)?));
    let Some(word) = line.and_then(|line| line.split(',').nth(2)).map(str::trim) else {
        return String::new();
    };
    let known = Action::ALL.iter().map(|action| action.as_str());
    let meant = near(word, known).map_or_else(
        || "docs/policy.md lists what there is".to_owned(),
        |known| format!("did you mean {known}?"),
    );
    format!(" `{word}`; {meant}")
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
                    report.called(considered.grant),
                    considered.role,
                    considered.verdict
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
    /// The groups that her session claims to be in.
    claimed: &'a [PrincipalId],
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
    let asked = (name, question.principal, question.claimed);
    let held = runtime.block_on(held::held(&catalog, &policy, asked))?;
    let may_claim = runtime.block_on(held::may_claim(&catalog, name, &held.groups))?;
    let about = About {
        grants: held.grants.len(),
        may_claim,
    };
    let project = ProjectPolicy::new(&Arc::new(policy), name)?;
    let mut subject = project.member(question.principal, &held.groups, held.grants)?;
    if held.suspended {
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
        output.value(&json_of(question, &explanation, &about))?;
    } else {
        words(question, &explanation, &about, output)?;
    }
    Ok(if explanation.decision.allowed {
        Exit::Done
    } else {
        Exit::No
    })
}

/// What is known beside the decision.
struct About {
    /// How many grants were looked at.
    grants: usize,
    /// Groups that hold something here and that a session may come to be in.
    may_claim: Vec<PrincipalId>,
}

const fn effect(effect: GrantEffect) -> &'static str {
    match effect {
        GrantEffect::Allow => "allow",
        GrantEffect::Deny => "deny",
    }
}

fn json_of(question: &Question<'_>, explanation: &Explanation, about: &About) -> serde_json::Value {
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
        "claimed": question.claimed.iter().map(PrincipalId::as_str).collect::<Vec<_>>(),
        "may_claim": about.may_claim.iter().map(PrincipalId::as_str).collect::<Vec<_>>(),
    })
}

fn words(
    question: &Question<'_>,
    explanation: &Explanation,
    about: &About,
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
    if about.grants == 0 {
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
    if !about.may_claim.is_empty() {
        let names: Vec<&str> = about.may_claim.iter().map(PrincipalId::as_str).collect();
        output.line(&format!(
            "  a session may be in more by what its token claims: {} (`--claimed GROUP`)",
            names.join(", ")
        ))?;
    }
    Ok(())
}
