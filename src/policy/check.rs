//! Lints of a policy's text: what cannot be read, and what can be read and is likely wrong.
//!
//! [`Policy::compile`] stops at the first error; here everything is said at once, with file and
//! line, for `kluis policy check`. A source without a finding of [`Severity::Error`] compiles.

use std::collections::BTreeSet;
use std::fmt;

use super::error::{ModelFault, RoleFault};
use super::grant::{Grant, GrantEffect};
use super::model;
use super::roles::{self, RoleLine};
use super::source::{Policy, PolicySource};
use crate::types::{Action, GrantId, limits};

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub enum Severity {
    /// The policy compiles; a reviewer should look.
    Warning,
    /// The policy does not compile.
    Error,
}

/// Something found in a policy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// `model.conf` or `roles/<name>.csv`, escaped.
    pub file: String,
    /// Line, from 1; 0 for the file as a whole.
    pub line: usize,
    /// What.
    pub kind: FindingKind,
}

/// What was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FindingKind {
    /// The model is not the one that Kluis decides by.
    #[error("{0}")]
    Model(ModelFault),
    /// A role file cannot be read.
    #[error("{0}")]
    Role(RoleFault),
    /// Together too long.
    #[error("the policy is longer than {} bytes", limits::POLICY_BYTES_MAX)]
    TooLong,
    /// Too many roles.
    #[error("a policy has at most {} roles", limits::POLICY_ROLES_MAX)]
    TooManyRoles,
    /// The engine refused what was checked.
    #[error("the policy engine refused the policy")]
    Engine,
    /// The same line twice.
    #[error("line {0} says the same")]
    Duplicate(
        /// The earlier line.
        usize,
    ),
    /// An allowing line that a denying one of the same role always overrides.
    #[error("never reached: line {0} denies the same")]
    Unreachable(
        /// The denying line.
        usize,
    ),
    /// One role for the data and for the log of who read them.
    #[error("the role grants both object.read and log.read; keep auditors away from data")]
    ReadAndLog,
    /// One role that reads and carries out.
    #[error("the role grants both object.read and object.export; read must not imply export")]
    ReadAndExport,
    /// One role that deposits for others and carries out.
    #[error("the role grants both grant.manage and object.export; name persons who release")]
    GrantAndExport,
    /// A policy without roles: all is denied.
    #[error("no role is defined: everything is denied")]
    NoRoles,
}

impl FindingKind {
    /// Whether the policy compiles all the same.
    #[must_use]
    pub const fn severity(self) -> Severity {
        match self {
            Self::Model(_) | Self::Role(_) | Self::TooLong | Self::TooManyRoles | Self::Engine => {
                Severity::Error
            }
            Self::Duplicate(_)
            | Self::Unreachable(_)
            | Self::ReadAndLog
            | Self::ReadAndExport
            | Self::GrantAndExport
            | Self::NoRoles => Severity::Warning,
        }
    }
}

impl fmt::Display for Finding {
    /// `roles/x.csv:3: warning: …`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.kind.severity() {
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        let Self { file, line, kind } = self;
        write!(f, "{file}:{line}: {severity}: {kind}")
    }
}

/// Everything that is wrong or suspicious in a source; errors first, then by file and line.
#[must_use]
pub fn check(source: &PolicySource) -> Vec<Finding> {
    let mut findings = Vec::new();
    if source.bytes() > limits::POLICY_BYTES_MAX {
        return vec![whole("model.conf", FindingKind::TooLong)];
    }
    if source.roles.len() > limits::POLICY_ROLES_MAX {
        findings.push(whole("roles", FindingKind::TooManyRoles));
    }
    if source.roles.is_empty() {
        findings.push(whole("roles", FindingKind::NoRoles));
    }
    for (line, fault) in model::read(&source.model).err().unwrap_or_default() {
        findings.push(Finding {
            file: "model.conf".to_owned(),
            line,
            kind: FindingKind::Model(fault),
        });
    }
    let mut names = BTreeSet::new();
    for (role, text) in &source.roles {
        let file = format!("roles/{}.csv", role.escape_default());
        if !roles::is_role_name(role) {
            findings.push(whole(&file, FindingKind::Role(RoleFault::Name)));
        }
        if !names.insert(role) {
            findings.push(whole(&file, FindingKind::Role(RoleFault::Twice)));
        }
        check_role(&file, role, text, &mut findings);
    }
    let errors = findings
        .iter()
        .any(|finding| finding.kind.severity() == Severity::Error);
    if !errors && Policy::compile(source).is_err() {
        findings.push(whole("model.conf", FindingKind::Engine));
    }
    findings.sort_by(|a, b| {
        let key = |f: &Finding| (std::cmp::Reverse(f.kind.severity()), f.file.clone(), f.line);
        key(a).cmp(&key(b))
    });
    findings
}

fn whole(file: &str, kind: FindingKind) -> Finding {
    Finding {
        file: file.to_owned(),
        line: 0,
        kind,
    }
}

fn check_role(file: &str, role: &str, text: &str, findings: &mut Vec<Finding>) {
    let (lines, faults) = roles::read(role, text);
    let mut add = |line, kind| {
        findings.push(Finding {
            file: file.to_owned(),
            line,
            kind,
        });
    };
    for (line, fault) in faults {
        add(line, FindingKind::Role(fault));
    }
    // Grouped by action, so that a file of many lines costs no more than its length.
    for action in Action::ALL {
        let of: Vec<_> = lines.iter().filter(|l| l.action == *action).collect();
        for effect in [GrantEffect::Allow, GrantEffect::Deny] {
            let mut same = of.iter().filter(|line| line.effect == effect);
            let Some(first) = same.next() else { continue };
            for later in same {
                add(later.line, FindingKind::Duplicate(first.line));
            }
        }
        let denying = of.iter().find(|line| line.effect == GrantEffect::Deny);
        let allowing = of.iter().find(|line| line.effect == GrantEffect::Allow);
        if let (Some(denying), Some(allowing)) = (denying, allowing) {
            add(allowing.line, FindingKind::Unreachable(denying.line));
        }
    }
    let pairs = [
        (Action::ObjectRead, Action::LogRead, FindingKind::ReadAndLog),
        (
            Action::ObjectRead,
            Action::ObjectExport,
            FindingKind::ReadAndExport,
        ),
        (
            Action::GrantManage,
            Action::ObjectExport,
            FindingKind::GrantAndExport,
        ),
    ];
    for (one, other, kind) in pairs {
        let at = |action| allows(&lines, action);
        if let (Some(a), Some(b)) = (at(one), at(other)) {
            add(a.max(b), kind);
        }
    }
}

/// Where a role first allows an action.
fn allows(lines: &[RoleLine], action: Action) -> Option<usize> {
    lines
        .iter()
        .find(|line| line.action == action && line.effect == GrantEffect::Allow)
        .map(|line| line.line)
}

/// The grants whose role no file defines: they give nothing, and those that deny deny everything.
/// For `kluis policy check` over a catalog, and before a policy that drops a role is loaded.
#[must_use]
pub fn check_grants(policy: &Policy, grants: &[Grant]) -> Vec<GrantId> {
    grants
        .iter()
        .filter(|grant| policy.lines(&grant.role).is_none())
        .map(|grant| grant.id)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::testkit::{builtin, deny, grant};

    fn findings(roles: &[(&str, &str)]) -> Vec<String> {
        let mut source = PolicySource::builtin();
        source.roles = roles
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
            .collect();
        check(&source).iter().map(Finding::to_string).collect()
    }

    #[test]
    fn the_shipped_policy_has_no_finding() {
        assert_eq!(check(&PolicySource::builtin()), []);
    }

    #[test]
    fn everything_wrong_is_said_at_once_errors_first() {
        let text = "p, x, object.read, allow\n# -\np, x, object.read, allow\n\
                    p, x, log.read, allow\np, x, object.fly, allow\np, x, log.read, deny\n\
                    p, x, object.export, allow\np, x, grant.manage, allow\np, y, log.read, allow\n";
        assert_eq!(
            findings(&[("x", text), ("x", ""), ("B\n", "")]),
            [
                "roles/B\\n.csv:0: error: a role's name is 1 to 64 of a-z, 0-9 and -",
                "roles/x.csv:0: error: the role has two files",
                "roles/x.csv:5: error: unknown action",
                "roles/x.csv:9: error: a file speaks of its own role only",
                "roles/x.csv:3: warning: line 1 says the same",
                "roles/x.csv:4: warning: never reached: line 6 denies the same",
                "roles/x.csv:4: warning: the role grants both object.read and log.read; \
                 keep auditors away from data",
                "roles/x.csv:7: warning: the role grants both object.read and object.export; \
                 read must not imply export",
                "roles/x.csv:8: warning: the role grants both grant.manage and object.export; \
                 name persons who release",
            ]
        );
        assert_eq!(
            findings(&[]),
            ["roles:0: warning: no role is defined: everything is denied"]
        );
    }

    #[test]
    fn a_model_without_default_deny_or_deny_override_is_an_error() {
        for effect in [
            "some(where (p.eft == allow))",
            "!some(where (p.eft == deny))",
            "priority(p.eft) || deny",
        ] {
            let mut source = PolicySource::builtin();
            source.model = source.model.replace(model::EFFECT, effect);
            let found = check(&source);
            assert_eq!(found.len(), 1, "{effect}");
            assert_eq!(found[0].kind, FindingKind::Model(ModelFault::Effect));
            let line = source.model.lines().position(|l| l.starts_with("e = "));
            assert_eq!(Some(found[0].line - 1), line, "{effect}");
        }
    }

    #[test]
    fn a_source_compiles_when_no_finding_is_an_error() {
        let (ok, bad) = ("p, x, object.read, allow\n", "p, x, object.read\n");
        for text in [ok, bad, &ok.repeat(2), "g, x, y, z", ""] {
            let mut source = PolicySource::builtin();
            source.roles.push(("x".to_owned(), text.to_owned()));
            let error = check(&source)
                .first()
                .is_some_and(|f| f.kind.severity() == Severity::Error);
            assert_eq!(Policy::compile(&source).is_err(), error, "{text}");
        }
    }

    #[test]
    fn grants_of_unknown_roles_are_reported() {
        let grants = [
            grant(1, "reader", "*"),
            grant(2, "raeder", "*"),
            deny(3, "", "*"),
        ];
        let found = check_grants(&builtin(), &grants);
        assert_eq!(found, [grants[1].id, grants[2].id]);
    }
}
