//! A policy's text, read and compiled: what the operator reviewed, and its hash.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use ring::digest;

use super::engine;
use super::error::{PolicyError, RoleFault};
use super::grant::{Grant, GrantEffect};
use super::model::{self, Model};
use super::roles::{self, RoleLine};
use crate::types::{Action, limits};

/// The files of a policy as text; an edge has read them, the core reads nothing.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PolicySource {
    /// The text of `model.conf`.
    pub model: String,
    /// For each file `roles/<name>.csv`: the role's name and the file's text. In any order.
    pub roles: Vec<(String, String)>,
}

/// A policy: the model and the roles. The same for every project until it is loaded anew.
#[derive(Debug)]
pub struct Policy {
    text: String,
    hash: [u8; 32],
    model: Model,
    roles: BTreeMap<String, Vec<RoleLine>>,
}

/// First line of a policy's whole text.
const HEAD: &str = "kluis-policy 1\n";

impl PolicySource {
    /// The files that Kluis ships in `policies/`.
    #[must_use]
    pub fn builtin() -> Self {
        let roles = [
            ("auditor", include_str!("../../policies/roles/auditor.csv")),
            (
                "contributor",
                include_str!("../../policies/roles/contributor.csv"),
            ),
            (
                "depositor",
                include_str!("../../policies/roles/depositor.csv"),
            ),
            (
                "exporter",
                include_str!("../../policies/roles/exporter.csv"),
            ),
            ("job", include_str!("../../policies/roles/job.csv")),
            (
                "lock-breaker",
                include_str!("../../policies/roles/lock-breaker.csv"),
            ),
            (
                "operator",
                include_str!("../../policies/roles/operator.csv"),
            ),
            ("officer", include_str!("../../policies/roles/officer.csv")),
            ("owner", include_str!("../../policies/roles/owner.csv")),
            ("reader", include_str!("../../policies/roles/reader.csv")),
            (
                "responder",
                include_str!("../../policies/roles/responder.csv"),
            ),
        ];
        Self {
            model: include_str!("../../policies/model.conf").to_owned(),
            roles: roles
                .map(|(name, text)| (name.to_owned(), text.to_owned()))
                .into(),
        }
    }

    /// Reads what [`Policy::text`] wrote, so that a decision of the past can be made again (AZ-5).
    pub fn from_text(text: &str) -> Result<Self, PolicyError> {
        let mut rest = text.strip_prefix(HEAD).ok_or(PolicyError::NotCanonical)?;
        let mut source = Self::default();
        let mut files = 0_usize;
        while !rest.is_empty() {
            let (name, body, after) = next_file(rest).ok_or(PolicyError::NotCanonical)?;
            match (files, name) {
                (0, "model.conf") => body.clone_into(&mut source.model),
                (1.., name) => {
                    let role = name
                        .strip_prefix("roles/")
                        .and_then(|name| name.strip_suffix(".csv"))
                        .ok_or(PolicyError::NotCanonical)?;
                    source.roles.push((role.to_owned(), body.to_owned()));
                }
                _ => return Err(PolicyError::NotCanonical),
            }
            files = files.saturating_add(1);
            rest = after;
        }
        // One text for one source: what would be written otherwise was not written by us.
        if files == 0 || source.text() != text {
            return Err(PolicyError::NotCanonical);
        }
        Ok(source)
    }

    /// The whole text: each file after a line `file <name> <bytes>`, roles in order of name.
    fn text(&self) -> String {
        let mut text = String::from(HEAD);
        let mut add = |name: &str, body: &str| {
            // Writing to a String cannot fail.
            let _infallible = writeln!(text, "file {name} {}", body.len());
            text.push_str(body);
            text.push('\n');
        };
        add("model.conf", &self.model);
        let mut roles: Vec<_> = self.roles.iter().collect();
        roles.sort();
        for (role, body) in roles {
            add(&format!("roles/{role}.csv"), body);
        }
        text
    }

    /// Bytes of all files.
    pub(super) fn bytes(&self) -> usize {
        let of_roles = self.roles.iter().map(|(name, text)| {
            // The frame around a file is not free either.
            name.len().saturating_add(text.len()).saturating_add(64)
        });
        of_roles.fold(self.model.len(), usize::saturating_add)
    }
}

/// Cuts `file <name> <bytes>\n<body>\n` off.
fn next_file(rest: &str) -> Option<(&str, &str, &str)> {
    let (head, rest) = rest.strip_prefix("file ")?.split_once('\n')?;
    let (name, bytes) = head.rsplit_once(' ')?;
    let (body, rest) = rest.split_at_checked(bytes.parse().ok()?)?;
    Some((name, body, rest.strip_prefix('\n')?))
}

impl Policy {
    /// Reads and compiles; changes nothing outside, so a bad text leaves the last good policy.
    pub fn compile(source: &PolicySource) -> Result<Self, PolicyError> {
        if source.bytes() > limits::POLICY_BYTES_MAX {
            return Err(PolicyError::TooLong);
        }
        if source.roles.len() > limits::POLICY_ROLES_MAX {
            return Err(PolicyError::TooManyRoles);
        }
        let model = model::read(&source.model).map_err(|faults| {
            let (line, fault) = faults
                .into_iter()
                .next()
                .unwrap_or((0, super::ModelFault::Missing));
            PolicyError::Model { line, fault }
        })?;
        let mut roles = BTreeMap::new();
        for (role, text) in &source.roles {
            let fail = |line, fault| PolicyError::Role {
                role: role.escape_default().to_string(),
                line,
                fault,
            };
            if !roles::is_role_name(role) {
                return Err(fail(0, RoleFault::Name));
            }
            let (lines, faults) = roles::read(role, text);
            if let Some((line, fault)) = faults.first() {
                return Err(fail(*line, *fault));
            }
            if roles.insert(role.clone(), lines).is_some() {
                return Err(fail(0, RoleFault::Twice));
            }
        }
        // What casbin would refuse is refused now and not at the first request.
        drop(engine::enforcer(&model.matcher, &[])?);
        let text = source.text();
        Ok(Self {
            hash: sha256(&[text.as_bytes()]),
            text,
            model,
            roles,
        })
    }

    /// The policy that Kluis ships.
    pub fn builtin() -> Result<Self, PolicyError> {
        Self::compile(&PolicySource::builtin())
    }

    /// The whole text, for the log; [`PolicySource::from_text`] reads it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// SHA-256 of [`Policy::text`].
    #[must_use]
    pub const fn hash(&self) -> [u8; 32] {
        self.hash
    }

    /// The names of the roles, in order.
    #[must_use]
    pub fn roles(&self) -> Vec<&str> {
        self.roles.keys().map(String::as_str).collect()
    }

    /// Whether a grant of `role` can allow `action`: it says so and nowhere denies it.
    #[must_use]
    pub fn role_allows(&self, role: &str, action: Action) -> bool {
        let says = |effect| {
            self.lines(role)
                .unwrap_or_default()
                .iter()
                .any(|line| line.action == action && line.effect == effect)
        };
        says(GrantEffect::Allow) && !says(GrantEffect::Deny)
    }

    /// Whether a grant can take `action` from whoever holds it, whatever else she holds.
    #[must_use]
    pub fn takes(&self, grant: &Grant, action: Action) -> bool {
        let narrowed = &grant.terms.actions;
        let lines = self.lines(&grant.role);
        let mut about = lines.unwrap_or_default().iter();
        let mut about = about.by_ref().filter(|line| line.action == action);
        match grant.effect {
            // What a denial of a role that is not there denies is everything.
            GrantEffect::Deny => {
                (narrowed.is_empty() || narrowed.contains(&action))
                    && (lines.is_none() || about.next().is_some())
            }
            GrantEffect::Allow => about.any(|line| line.effect == GrantEffect::Deny),
        }
    }

    /// A role's lines; `None` when no file defines it.
    pub(super) fn lines(&self, role: &str) -> Option<&[RoleLine]> {
        self.roles.get(role).map(Vec::as_slice)
    }

    /// The checked model.
    pub(super) const fn model(&self) -> &Model {
        &self.model
    }
}

/// SHA-256 over `parts`, one after the other.
pub(super) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_text_gives_the_source_back() {
        let policy = Policy::builtin().unwrap();
        let again = PolicySource::from_text(policy.text()).unwrap();
        assert_eq!(Policy::compile(&again).unwrap().hash(), policy.hash());
    }

    #[test]
    fn other_spellings_of_a_whole_text_are_refused() {
        let good = Policy::builtin().unwrap().text().to_owned();
        for bad in [
            String::new(),
            HEAD.to_owned(),
            good.replacen("file ", "file  ", 1),
            good.replacen("model.conf ", "model.conf 0", 1),
            good.replacen("roles/auditor.csv", "roles/zzz.csv", 1),
            good.replacen("roles/auditor.csv", "../auditor.csv", 1),
            good.trim_end().to_owned(),
            format!("{good}x"),
            good.replacen("file model.conf", "file model.conf 99999999999999999999", 1),
        ] {
            assert!(PolicySource::from_text(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_order_of_files_does_not_matter_but_every_byte_does() {
        let mut source = PolicySource::builtin();
        let hash = Policy::compile(&source).unwrap().hash();
        source.roles.reverse();
        assert_eq!(Policy::compile(&source).unwrap().hash(), hash);
        source.roles[0].1.push('\n');
        assert_ne!(Policy::compile(&source).unwrap().hash(), hash);
    }

    #[test]
    fn bad_sources_are_refused() {
        let with = |change: &dyn Fn(&mut PolicySource)| {
            let mut source = PolicySource::builtin();
            change(&mut source);
            Policy::compile(&source).unwrap_err().to_string()
        };
        let line = |text: &'static str| with(&|s| s.roles.push(("x".into(), text.into())));
        assert!(line("p, x, object.read").starts_with("roles/x.csv:1: a line has four"));
        assert!(line("\np, x, object.fly, allow").starts_with("roles/x.csv:2: unknown action"));
        assert!(with(&|s| s.model.clear()).starts_with("model.conf:0"));
        assert!(with(&|s| s.model.push_str(&" ".repeat(1 << 20))).contains("longer"));
        assert!(with(&|s| s.roles.push(("owner".into(), String::new()))).contains("two files"));
        assert!(with(&|s| s.roles.push(("a\nb".into(), String::new()))).contains("a\\nb"));
        let many = |s: &mut PolicySource| {
            s.roles = (0..200).map(|i| (format!("r{i}"), String::new())).collect();
        };
        assert!(with(&many).contains("at most 128"));
    }
}
