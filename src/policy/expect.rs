//! Tables of expectations: who holds what, and what must then be allowed or denied. For
//! `kluis policy test`, so that a policy is reviewed with its consequences beside it.
//!
//! A file is TOML; `policies/examples` has some. Unknown words are errors.
//!
//! ```toml
//! project = "icu-sepsis"                  # of every line that names none itself
//! now = "2027-03-02T08:00:00Z"            # of every line without `at`
//! grants = [
//!   { name = "ana reads", subject = "ana", role = "reader", dataset = "ecg", prefix = "adults/" },
//! ]
//! expect = [
//!   { subject = "ana", action = "object.read", dataset = "ecg", key = "adults/1", is = "allow" },
//! ]
//! ```
//!
//! A grant may also have `project`, `effect` (`allow`, `deny`), `purpose`, `permit`, `starts` and
//! `expires`; without `dataset` it is for the whole project. An expectation may also have
//! `project`, `at`, and of the decision `rule`, `grant` (a grant's name), `purpose`, `permit`;
//! `why` says what it shows.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use toml::Spanned;

use super::decide::{Ask, SubjectPolicy};
use super::error::PolicyError;
use super::explain::Explanation;
use super::grant::{Circumstances, Grant, GrantEffect, Ground, Terms};
use super::project::ProjectPolicy;
use super::source::Policy;
use crate::types::{
    Action, DatasetName, GrantId, PartitionName, PrincipalId, ProjectName, Timestamp, limits,
};

/// Why a table cannot be run: fault of its author.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExpectError {
    /// Longer than `limits::POLICY_BYTES_MAX`, or of more lines than `limits::EXPECTATIONS_MAX`.
    #[error("the table is too long")]
    TooLong,
    /// Not TOML, or a word that a table does not have.
    #[error("the table cannot be read")]
    Toml(#[source] Box<toml::de::Error>),
    /// A value that is no such thing.
    #[error("line {line}: `{field}` is not valid")]
    Value {
        /// Line, from 1.
        line: usize,
        /// Which field.
        field: &'static str,
    },
    /// Two grants of one name, or an expectation that names a grant that is not there.
    #[error("line {line}: the grant's name is taken or unknown")]
    GrantName {
        /// Line, from 1.
        line: usize,
    },
    /// The policy could not be used.
    #[error("the policy cannot be used")]
    Policy(#[from] PolicyError),
}

/// What became of every expectation, in the order of the table.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// One for each.
    pub outcomes: Vec<Outcome>,
    /// What the table calls its grants, those that have a name.
    names: BTreeMap<GrantId, String>,
}

impl Report {
    /// How many were not met.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.outcomes.iter().filter(|o| o.miss.is_some()).count()
    }

    /// What the table calls a grant, or its identity.
    #[must_use]
    pub fn called(&self, grant: GrantId) -> String {
        let name = self.names.get(&grant);
        name.map_or_else(|| grant.to_string(), |name| format!("`{name}`"))
    }
}

/// What became of one expectation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// Where it stands, from 1.
    pub line: usize,
    /// The question in one line, with what the author says that it shows.
    pub title: String,
    /// How the decision differs; `None` when it is as expected.
    pub miss: Option<Miss>,
    /// The decision and its reasons.
    pub explanation: Explanation,
}

/// How a decision differs from what was expected: the first difference.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Miss {
    /// Expected to be allowed.
    #[error("expected allow, decided deny")]
    Denied,
    /// Expected to be denied.
    #[error("expected deny, decided allow")]
    Allowed,
    /// As expected, but for another reason.
    #[error("expected {field} `{expected}`, decided `{decided}`")]
    Other {
        /// `rule`, `grant`, `purpose` or `permit`.
        field: &'static str,
        /// As the table has it.
        expected: String,
        /// As the decision has it.
        decided: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    project: String,
    now: Spanned<String>,
    #[serde(default)]
    grants: Vec<Spanned<GrantLine>>,
    #[serde(default)]
    expect: Vec<Spanned<ExpectLine>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GrantLine {
    name: Option<String>,
    project: Option<String>,
    subject: String,
    role: String,
    dataset: Option<String>,
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    effect: Effect,
    purpose: Option<String>,
    permit: Option<String>,
    starts: Option<String>,
    expires: Option<String>,
    #[serde(default)]
    partitions: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectLine {
    project: Option<String>,
    subject: String,
    action: String,
    dataset: Option<String>,
    #[serde(default)]
    key: String,
    at: Option<String>,
    partition: Option<String>,
    is: Effect,
    rule: Option<String>,
    grant: Option<String>,
    purpose: Option<String>,
    permit: Option<String>,
    why: Option<String>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Default)]
#[serde(rename_all = "lowercase")]
enum Effect {
    #[default]
    Allow,
    Deny,
}

/// Runs a table against a policy.
pub fn run_expectations(policy: &Arc<Policy>, text: &str) -> Result<Report, ExpectError> {
    if text.len() > limits::POLICY_BYTES_MAX {
        return Err(ExpectError::TooLong);
    }
    let table: Table = toml::from_str(text).map_err(|error| ExpectError::Toml(Box::new(error)))?;
    if table.grants.len().max(table.expect.len()) > limits::EXPECTATIONS_MAX {
        return Err(ExpectError::TooLong);
    }
    let now_line = Line::of(text, &table.now);
    let now = now_line.time("now", table.now.get_ref())?;
    let mut run = Run {
        policy,
        project: now_line.parse("project", &table.project)?,
        now,
        names: BTreeMap::new(),
        grants: BTreeMap::new(),
        views: BTreeMap::new(),
    };
    for (number, grant) in (0..).zip(&table.grants) {
        run.grant(Line::of(text, grant), number, grant.get_ref())?;
    }
    let mut report = Report::default();
    for expect in &table.expect {
        let outcome = run.expect(Line::of(text, expect), expect.get_ref())?;
        report.outcomes.push(outcome);
    }
    let names = run.names.into_iter();
    report.names = names.map(|(name, id)| (id, name)).collect();
    Ok(report)
}

/// Where something stands, from 1.
#[derive(Clone, Copy)]
struct Line(usize);

impl Line {
    fn of<T>(text: &str, at: &Spanned<T>) -> Self {
        let before = text.get(..at.span().start).unwrap_or_default();
        let ends = before.matches('\n').count();
        Self(ends.saturating_add(1))
    }

    const fn wrong(self, field: &'static str) -> ExpectError {
        ExpectError::Value {
            line: self.0,
            field,
        }
    }

    fn parse<T: FromStr>(self, field: &'static str, text: &str) -> Result<T, ExpectError> {
        text.parse().map_err(|_refused| self.wrong(field))
    }

    fn time(self, field: &'static str, text: &str) -> Result<Timestamp, ExpectError> {
        let nanos = OffsetDateTime::parse(text, &Rfc3339)
            .map_err(|_refused| self.wrong(field))?
            .unix_timestamp_nanos();
        let millis = nanos.div_euclid(1_000_000);
        u64::try_from(millis)
            .map(Timestamp::from_millis)
            .map_err(|_before_1970| self.wrong(field))
    }
}

type Who = (ProjectName, PrincipalId);

/// A table while it is run.
struct Run<'a> {
    policy: &'a Arc<Policy>,
    project: ProjectName,
    now: Timestamp,
    names: BTreeMap<String, GrantId>,
    grants: BTreeMap<Who, Vec<Grant>>,
    views: BTreeMap<Who, SubjectPolicy>,
}

impl Run<'_> {
    fn project(&self, line: Line, name: Option<&String>) -> Result<ProjectName, ExpectError> {
        name.map_or_else(
            || Ok(self.project.clone()),
            |name| line.parse("project", name),
        )
    }

    /// Files a grant under its subject; its identity is its place in the table.
    fn grant(&mut self, line: Line, number: u128, grant: &GrantLine) -> Result<(), ExpectError> {
        let id = GrantId::from_bytes(number.to_be_bytes());
        if let Some(name) = &grant.name
            && self.names.insert(name.clone(), id).is_some()
        {
            return Err(ExpectError::GrantName { line: line.0 });
        }
        let project = self.project(line, grant.project.as_ref())?;
        let principal: PrincipalId = line.parse("subject", &grant.subject)?;
        let time = |field, text: Option<&String>| text.map(|t| line.time(field, t)).transpose();
        let dataset = grant.dataset.as_ref();
        let partitions = grant.partitions.iter();
        let partitions = partitions.map(|name| line.parse("partitions", name));
        let row = Grant {
            id,
            project: project.clone(),
            principal: principal.clone(),
            role: grant.role.clone(),
            dataset: dataset.map(|d| line.parse("dataset", d)).transpose()?,
            prefix: grant.prefix.clone(),
            effect: match grant.effect {
                Effect::Allow => GrantEffect::Allow,
                Effect::Deny => GrantEffect::Deny,
            },
            purpose: grant.purpose.clone(),
            permit: grant.permit.clone(),
            starts: time("starts", grant.starts.as_ref())?.unwrap_or_default(),
            expires: time("expires", grant.expires.as_ref())?,
            // Who approved and when is recorded, and decides nothing.
            approver: principal.clone(),
            created: Timestamp::default(),
            terms: Terms {
                partitions: partitions.collect::<Result<_, _>>()?,
                ..Terms::default()
            },
        };
        self.grants
            .entry((project, principal))
            .or_default()
            .push(row);
        Ok(())
    }

    fn expect(&mut self, line: Line, expect: &ExpectLine) -> Result<Outcome, ExpectError> {
        let project = self.project(line, expect.project.as_ref())?;
        let principal: PrincipalId = line.parse("subject", &expect.subject)?;
        let action: Action = line.parse("action", &expect.action)?;
        let dataset: Option<DatasetName> = expect
            .dataset
            .as_ref()
            .map(|name| line.parse("dataset", name))
            .transpose()?;
        if expect.key.len() > limits::OBJECT_KEY_BYTES_MAX {
            return Err(line.wrong("key"));
        }
        let partition: Option<PartitionName> = expect
            .partition
            .as_ref()
            .map(|name| line.parse("partition", name))
            .transpose()?;
        let now = match &expect.at {
            Some(text) => line.time("at", text)?,
            None => self.now,
        };
        let view = self.view(&project, &principal)?;
        let explanation = view.explain(&Ask {
            project: &project,
            principal: &principal,
            dataset: dataset.as_ref(),
            key: &expect.key,
            action,
            now,
            when: Circumstances {
                ground: partition.as_ref().map_or(Ground::Elsewhere, Ground::In),
                ..Circumstances::default()
            },
        });
        Ok(Outcome {
            line: line.0,
            title: title(&project, expect),
            miss: self.miss(line, expect, &explanation)?,
            explanation,
        })
    }

    /// The subject's view, made once.
    fn view(
        &mut self,
        project: &ProjectName,
        who: &PrincipalId,
    ) -> Result<&SubjectPolicy, ExpectError> {
        let key = (project.clone(), who.clone());
        let grants = self.grants.remove(&key);
        match self.views.entry(key) {
            std::collections::btree_map::Entry::Occupied(view) => Ok(view.into_mut()),
            std::collections::btree_map::Entry::Vacant(slot) => {
                let domain = ProjectPolicy::new(self.policy, project)?;
                Ok(slot.insert(domain.subject(who, grants.unwrap_or_default())?))
            }
        }
    }

    /// How a decision differs.
    fn miss(
        &self,
        line: Line,
        expect: &ExpectLine,
        explanation: &Explanation,
    ) -> Result<Option<Miss>, ExpectError> {
        let decision = &explanation.decision;
        match (expect.is, decision.allowed) {
            (Effect::Allow, false) => return Ok(Some(Miss::Denied)),
            (Effect::Deny, true) => return Ok(Some(Miss::Allowed)),
            _ => {}
        }
        let unknown = ExpectError::GrantName { line: line.0 };
        let grant = match &expect.grant {
            Some(name) => Some(self.names.get(name).ok_or(unknown)?.to_string()),
            None => None,
        };
        let decided_grant = decision.grant.map(|id| id.to_string());
        let checks = [
            ("rule", &expect.rule, Some(&decision.rule)),
            ("grant", &grant, decided_grant.as_ref()),
            ("purpose", &expect.purpose, decision.purpose.as_ref()),
            ("permit", &expect.permit, decision.permit.as_ref()),
        ];
        let other = checks.into_iter().find_map(|(field, expected, decided)| {
            let expected = expected.as_ref()?;
            (Some(expected) != decided).then(|| Miss::Other {
                field,
                expected: expected.clone(),
                decided: decided.cloned().unwrap_or_default(),
            })
        });
        Ok(other)
    }
}

/// The question in one line; foreign text is escaped.
fn title(project: &ProjectName, expect: &ExpectLine) -> String {
    let dataset = expect.dataset.as_deref().unwrap_or("*");
    let mut title = format!(
        "{} {} {project}/{dataset}/{}",
        expect.subject,
        expect.action,
        expect.key.escape_debug()
    );
    if let Some(why) = &expect.why {
        title.push_str(": ");
        title.extend(why.escape_debug());
    }
    title
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::PolicySource;
    use crate::policy::testkit::builtin;

    const HEAD: &str = "project = \"icu\"\nnow = \"2027-03-02T08:00:00Z\"\n";
    const GRANTS: &str = "grants = [\n\
        { name = \"g\", subject = \"ana\", role = \"reader\", dataset = \"ecg\", prefix = \"a/\",\
          purpose = \"p\", permit = \"q\", expires = \"2027-03-02T08:00:00.001Z\" },\n]\n";

    fn run(rest: &str) -> Result<Report, ExpectError> {
        run_expectations(&builtin(), &format!("{HEAD}{GRANTS}{rest}"))
    }

    fn miss(line: &str) -> Option<String> {
        let base = "subject = \"ana\", action = \"object.read\", dataset = \"ecg\", key = \"a/1\"";
        let report = run(&format!("expect = [\n{{ {base}, {line} }},\n]\n")).unwrap();
        assert_eq!(report.outcomes.len(), 1);
        assert_eq!(report.outcomes[0].line, 7);
        assert_eq!(
            report.failed(),
            report.outcomes.iter().flat_map(|o| &o.miss).count()
        );
        report.outcomes[0].miss.as_ref().map(Miss::to_string)
    }

    #[test]
    fn expectations_are_met_or_missed() {
        let met = "is = \"allow\", rule = \"p, reader, object.read, allow\", grant = \"g\", \
                   purpose = \"p\", permit = \"q\", why = \"x\"";
        assert_eq!(miss(met), None);
        assert_eq!(miss("is = \"deny\", project = \"other\""), None);
        assert_eq!(
            miss("is = \"deny\", at = \"2027-03-02T09:00:00.001+01:00\""),
            None
        );
        for (line, said) in [
            ("is = \"deny\"", "expected deny, decided allow"),
            (
                "is = \"allow\", at = \"2027-03-02T08:00:00.001Z\"",
                "expected allow, decided deny",
            ),
            (
                "is = \"allow\", rule = \"\"",
                "expected rule ``, decided `p, reader, object.read, allow`",
            ),
            (
                "is = \"allow\", permit = \"r\"",
                "expected permit `r`, decided `q`",
            ),
            (
                "is = \"deny\", project = \"other\", grant = \"g\"",
                "expected grant `00000000000000000000000000000000`, decided ``",
            ),
        ] {
            assert_eq!(miss(line).as_deref(), Some(said), "{line}");
        }
    }

    #[test]
    fn bad_tables_are_refused_by_line() {
        let base = "expect = [\n{ subject = \"ana\", action = \"object.read\", is = \"allow\"";
        for (more, said) in [
            (", dataset = \"E\" }]", "line 7: `dataset` is not valid"),
            (", project = \"\" }]", "line 7: `project` is not valid"),
            (", at = \"yesterday\" }]", "line 7: `at` is not valid"),
            (
                ", at = \"1969-12-31T23:59:59Z\" }]",
                "line 7: `at` is not valid",
            ),
            (
                ", grant = \"h\" , dataset = \"ecg\", key = \"a/\" }]",
                "line 7: the grant's name is taken or unknown",
            ),
            (", may = 1 }]", "the table cannot be read"),
            (", is = \"deny\" }]", "the table cannot be read"),
            (" }", "the table cannot be read"),
        ] {
            let error = run(&format!("{base}{more}")).unwrap_err().to_string();
            assert_eq!(error, said, "{more}");
        }
        let action = "expect = [\n{ subject = \"ana\", action = \"read\", is = \"deny\" }]";
        assert!(run(action).unwrap_err().to_string().contains("`action`"));
        let twice = format!("{HEAD}{GRANTS}").replace(
            "grants = [\n",
            "grants = [\n{ name = \"g\", subject = \"b\", role = \"\" },\n",
        );
        let error = run_expectations(&builtin(), &twice).unwrap_err();
        assert!(
            matches!(error, ExpectError::GrantName { line: 5 }),
            "{error}"
        );
        let long = " ".repeat(limits::POLICY_BYTES_MAX);
        assert!(matches!(run(&long), Err(ExpectError::TooLong)));
    }

    /// Each example is a whole policy with its table; a table that shows nothing is an error too.
    #[test]
    fn the_examples_hold() {
        for (name, source, table) in examples() {
            assert_eq!(crate::policy::check(&source), [], "{name}");
            let policy = Arc::new(Policy::compile(&source).unwrap());
            let report = run_expectations(&policy, table).unwrap();
            for outcome in &report.outcomes {
                let Outcome {
                    line, title, miss, ..
                } = outcome;
                assert_eq!(*miss, None, "{name}:{line}: {title}");
            }
            let allowed = report
                .outcomes
                .iter()
                .filter(|o| o.explanation.decision.allowed);
            assert!(
                allowed.count() >= 5 && report.outcomes.len() >= 15,
                "{name}"
            );
        }
    }

    fn examples() -> [(&'static str, PolicySource, &'static str); 2] {
        macro_rules! example {
            ($dir:literal, $($role:literal),*) => {(
                $dir,
                PolicySource {
                    model: include_str!(concat!("../../policies/examples/", $dir, "/model.conf")).to_owned(),
                    roles: vec![$((
                        $role.to_owned(),
                        include_str!(concat!("../../policies/examples/", $dir, "/roles/", $role, ".csv")).to_owned(),
                    )),*],
                },
                include_str!(concat!("../../policies/examples/", $dir, "/expectations.toml")),
            )};
        }
        [
            example!(
                "health",
                "data-manager",
                "researcher",
                "data-station",
                "releaser",
                "auditor"
            ),
            example!(
                "defence",
                "owner",
                "supplier",
                "analyst",
                "job",
                "release-officer",
                "auditor"
            ),
        ]
    }
}
