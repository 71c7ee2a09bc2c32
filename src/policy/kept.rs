//! What decisions rest on, as the log keeps it, so that each can be made again (AZ-5): the rights
//! behind a version, and the scope of a credential.
//!
//! ```text
//! version = SHA-256(policy's hash ‖ rights)       rights = grants in canonical form,
//!                                                 "through: " [group, …] LF,
//!                                                 "demands: " [[acr, …], [amr, …], log only] LF,
//!                                                 "barred: …" LF
//! piece   = "kluis-rights 1 " policy's hash in hex " " part " " parts LF ‖ a part of the rights
//! scope   = "kluis-credential 1 " [credential, project, dataset, version, reads only, purpose,
//!           acr, [amr, …]] LF                     version: its SHA-256
//! ```
//!
//! The version that a record names is the hash of these texts, so none can stand for another.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use data_encoding::HEXLOWER;
use serde::Deserialize;
use serde_json::json;

use super::canon::grants_from_text;
use super::decide::{Bar, DEMANDS, SubjectPolicy, THROUGH, demands, through};
use super::demand::{Assurance, Demand};
use super::error::PolicyError;
use super::grant::{Circumstances, Grant, Ground, Within};
use super::project::ProjectPolicy;
use super::source::{Policy, sha256};
use crate::types::limits::{POLICY_TEXT_BYTES_MAX, RIGHTS_PIECES_MAX};
use crate::types::{AccessKeyId, DatasetName, Network, PartitionName, PrincipalId, ProjectName};

const RIGHTS: &str = "kluis-rights 1 ";
const CREDENTIAL: &str = "kluis-credential 1 ";
/// The longest head of a piece: its words, a hash and two numbers.
const HEAD_BYTES_MAX: usize = 128;

impl SubjectPolicy {
    /// The rights behind [`SubjectPolicy::version`], in pieces that fit into a record each.
    #[must_use]
    pub fn kept(&self) -> Vec<String> {
        let rights = self.rights();
        let most = POLICY_TEXT_BYTES_MAX.saturating_sub(HEAD_BYTES_MAX);
        let mut parts: Vec<&str> = Vec::new();
        let mut rest = rights.as_str();
        while rest.len() > most {
            let (part, after) = rest.split_at(rest.floor_char_boundary(most));
            parts.push(part);
            rest = after;
        }
        parts.push(rest);
        let policy = HEXLOWER.encode(&self.policy.hash());
        let of = parts.len();
        let pieces = parts.iter().enumerate();
        pieces
            .map(|(at, part)| format!("{RIGHTS}{policy} {at} {of}\n{part}"))
            .collect()
    }
}

/// The pieces of one version's rights, as they are found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Pieces {
    policy: [u8; 32],
    of: usize,
    parts: BTreeMap<usize, String>,
    altered: bool,
}

/// A piece's head: the policy's hash, its number and how many there are; and its part.
fn piece(text: &str) -> Option<([u8; 32], usize, usize, &str)> {
    let (head, part) = text.strip_prefix(RIGHTS)?.split_once('\n')?;
    let mut words = head.split(' ');
    let policy = HEXLOWER.decode(words.next()?.as_bytes()).ok()?;
    let (at, of): (usize, usize) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let fits = at < of && of <= RIGHTS_PIECES_MAX && words.next().is_none();
    fits.then_some((policy.try_into().ok()?, at, of, part))
}

impl Pieces {
    /// Whether a text is a piece of rights at all.
    #[must_use]
    pub fn is_piece(text: &str) -> bool {
        text.starts_with(RIGHTS)
    }

    /// The hash of the policy that a piece names.
    #[must_use]
    pub fn policy_of(text: &str) -> Option<[u8; 32]> {
        piece(text).map(|(policy, ..)| policy)
    }

    /// Takes a piece; the same one may come again.
    pub fn add(&mut self, text: &str) {
        let Some((policy, at, of, part)) = piece(text) else {
            self.altered = true;
            return;
        };
        if self.parts.is_empty() {
            (self.policy, self.of) = (policy, of);
        }
        let same = self.parts.get(&at).is_none_or(|known| known == part);
        if (policy, of) == (self.policy, self.of) && same {
            self.parts.entry(at).or_insert_with(|| part.to_owned());
        } else {
            self.altered = true;
        }
    }

    /// The rights, if all pieces are here and are those of `version`.
    pub fn rights(&self, version: &[u8; 32]) -> Result<Rights, PolicyError> {
        if self.altered {
            return Err(PolicyError::OtherVersion);
        }
        if self.parts.is_empty() || self.parts.len() < self.of {
            return Err(PolicyError::Incomplete);
        }
        let text: String = self.parts.values().map(String::as_str).collect();
        if sha256(&[&self.policy, text.as_bytes()]) != *version {
            return Err(PolicyError::OtherVersion);
        }
        let barred = |bar: Bar| Some((text.strip_suffix(bar.line())?, bar));
        let (rest, bar) = match [Bar::Suspended, Bar::Unknown].into_iter().find_map(barred) {
            Some((rest, bar)) => (rest, Some(bar)),
            None => (text.as_str(), None),
        };
        let (rest, line) = last_line(rest, DEMANDS);
        let demand = line.map_or_else(|| Ok(Demand::default()), read_demand)?;
        let (grants, line) = last_line(rest, THROUGH);
        let groups = match line.and_then(|line| line.strip_prefix(THROUGH)) {
            Some(names) => serde_json::from_str(names),
            None => Ok(BTreeSet::new()),
        };
        let groups: BTreeSet<String> = groups.map_err(|_form| PolicyError::NotCanonical)?;
        let names: BTreeSet<&str> = groups.iter().map(String::as_str).collect();
        if line.is_some_and(|line| names.is_empty() || through(&names) != line) {
            return Err(PolicyError::NotCanonical);
        }
        let groups: Option<_> = groups.iter().map(|name| name.parse().ok()).collect();
        Ok(Rights {
            policy: self.policy,
            grants: grants_from_text(grants)?,
            groups: groups.ok_or(PolicyError::NotCanonical)?,
            demand,
            bar,
        })
    }
}

/// Cuts the last line off, if it begins so.
fn last_line<'a>(text: &'a str, begins: &str) -> (&'a str, Option<&'a str>) {
    let before = text.trim_end_matches('\n').rfind('\n');
    let last = before.map_or(0, |at| at.saturating_add(1));
    match text.split_at_checked(last) {
        Some((before, line)) if line.starts_with(begins) => (before, Some(line)),
        _ => (text, None),
    }
}

fn read_demand(line: &str) -> Result<Demand, PolicyError> {
    let fields = line.strip_prefix(DEMANDS).unwrap_or_default();
    let fields: Option<(Vec<String>, Vec<String>, bool)> = serde_json::from_str(fields).ok();
    let (acr, amr, log_only) = fields.ok_or(PolicyError::NotCanonical)?;
    let demand = Demand { acr, amr, log_only };
    (demands(&demand) == line)
        .then_some(demand)
        .ok_or(PolicyError::NotCanonical)
}

/// What somebody held in a project, and under which policy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rights {
    /// The hash of the policy.
    pub policy: [u8; 32],
    /// The grants, those of groups among them.
    pub grants: Vec<Grant>,
    /// The groups that she held some of them through.
    pub groups: Vec<PrincipalId>,
    /// What the project demanded of a sign-in.
    pub demand: Demand,
    /// Why she might do nothing, if so.
    pub bar: Option<Bar>,
}

impl Rights {
    /// The view that decided then, of the same policy.
    pub fn subject(
        &self,
        policy: &Arc<Policy>,
        project: &ProjectName,
        principal: &PrincipalId,
    ) -> Result<SubjectPolicy, PolicyError> {
        if policy.hash() != self.policy {
            return Err(PolicyError::OtherVersion);
        }
        let policy = ProjectPolicy::new(policy, project)?;
        let subject = policy.member(principal, &self.groups, self.grants.clone())?;
        let subject = subject.demanding(self.demand.clone());
        Ok(match self.bar {
            Some(bar) => subject.barred(bar),
            None => subject,
        })
    }
}

/// What a credential is bound to beyond its principal's rights.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CredentialScope {
    /// The credential.
    pub credential: AccessKeyId,
    /// Only this project.
    pub project: Option<ProjectName>,
    /// Only this dataset of it.
    pub dataset: Option<DatasetName>,
    /// Only this version of that.
    pub version: Option<u32>,
    /// Only for reading.
    pub only_reads: bool,
    /// Only grants of this purpose.
    pub purpose: Option<String>,
    /// The class of the sign-in.
    pub acr: Option<String>,
    /// Its methods.
    pub amr: Vec<String>,
    /// The partition that its job runs in.
    pub partition: Option<PartitionName>,
    /// Only keys that begin so.
    pub prefix: String,
    /// Only from these networks; empty for any.
    pub networks: Vec<Network>,
}

/// Its texts, in order, which still have to be checked.
#[derive(Deserialize)]
struct ScopeFields(
    String,
    Option<String>,
    Option<String>,
    Option<u32>,
    bool,
    Option<String>,
    Option<String>,
    Vec<String>,
    #[serde(default)] Option<String>,
    #[serde(default)] String,
    #[serde(default)] Vec<String>,
);

impl CredentialScope {
    /// As the log keeps it.
    #[must_use]
    pub fn text(&self) -> String {
        let mut fields = vec![
            json!(self.credential.as_str()),
            json!(self.project.as_ref().map(ProjectName::as_str)),
            json!(self.dataset.as_ref().map(DatasetName::as_str)),
            json!(self.version),
            json!(self.only_reads),
            json!(self.purpose),
            json!(self.acr),
            json!(self.amr),
        ];
        // Only where there are some, so that what was kept before there were any stands.
        let narrower = !self.prefix.is_empty() || !self.networks.is_empty();
        if self.partition.is_some() || narrower {
            fields.push(json!(self.partition.as_ref().map(PartitionName::as_str)));
        }
        if narrower {
            let networks: Vec<String> = self.networks.iter().map(ToString::to_string).collect();
            fields.extend([json!(self.prefix), json!(networks)]);
        }
        format!("{CREDENTIAL}{}\n", json!(fields))
    }

    /// The name of the text: its hash.
    #[must_use]
    pub fn version(text: &str) -> [u8; 32] {
        sha256(&[text.as_bytes()])
    }

    /// Whether a text is meant to be a credential's scope.
    #[must_use]
    pub fn is_scope(text: &str) -> bool {
        text.starts_with(CREDENTIAL)
    }

    /// Reads what [`CredentialScope::text`] wrote under this name, and nothing else.
    pub fn read(version: &[u8; 32], text: &str) -> Result<Self, PolicyError> {
        let fields = text.strip_prefix(CREDENTIAL);
        let fields: Option<ScopeFields> =
            fields.and_then(|fields| serde_json::from_str(fields).ok());
        let read = |fields: ScopeFields| {
            let ScopeFields(
                credential,
                project,
                dataset,
                version,
                only_reads,
                purpose,
                acr,
                amr,
                partition,
                prefix,
                networks,
            ) = fields;
            let networks: Result<_, _> = networks.iter().map(|net| net.parse()).collect();
            Some(Self {
                credential: credential.parse().ok()?,
                project: project.map(|name| name.parse()).transpose().ok()?,
                dataset: dataset.map(|name| name.parse()).transpose().ok()?,
                version,
                only_reads,
                purpose,
                acr,
                amr,
                partition: partition.map(|name| name.parse()).transpose().ok()?,
                prefix,
                networks: networks.ok()?,
            })
        };
        let scope = fields.and_then(read).ok_or(PolicyError::NotCanonical)?;
        if scope.text() != text || Self::version(text) != *version {
            return Err(PolicyError::OtherVersion);
        }
        Ok(scope)
    }

    /// Adds it to what a request brings.
    #[must_use]
    pub fn narrow<'a>(&'a self, when: Circumstances<'a>) -> Circumstances<'a> {
        Circumstances {
            purpose: self.purpose.as_deref(),
            within: Some(Within {
                project: self.project.as_ref(),
                dataset: self.dataset.as_ref(),
                version: self.version,
                prefix: &self.prefix,
                only_reads: self.only_reads,
                networks: &self.networks,
            }),
            assurance: Assurance::Told {
                acr: self.acr.as_deref(),
                amr: &self.amr,
            },
            ground: self.partition.as_ref().map_or(when.ground, Ground::In),
            ..when
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::testkit::{ana, ask, builtin, deny, grant};
    use crate::types::Action;

    fn pieces(texts: &[String]) -> Pieces {
        let mut pieces = Pieces::default();
        for text in texts {
            pieces.add(text);
        }
        pieces
    }

    #[test]
    fn what_was_held_then_decides_again() {
        let then = ana(
            &builtin(),
            vec![grant(1, "reader", "*"), deny(2, "reader", "ecg/a")],
        );
        for bar in [None, Some(Bar::Suspended), Some(Bar::Unknown)] {
            let then = match bar {
                Some(bar) => ana(&builtin(), vec![grant(1, "reader", "*")]).barred(bar),
                None => ana(
                    &builtin(),
                    vec![grant(1, "reader", "*"), deny(2, "reader", "ecg/a")],
                ),
            };
            let rights = pieces(&then.kept()).rights(&then.version()).unwrap();
            let project = "icu".parse().unwrap();
            let again = rights.subject(&builtin(), &project, &"ana".parse().unwrap());
            let again = again.unwrap();
            for on in ["ecg/a", "ecg/b", "mri"] {
                let (now, before) = (
                    ask(&again, Action::ObjectRead, on),
                    ask(&then, Action::ObjectRead, on),
                );
                assert_eq!(now, before);
                assert_eq!(now.allowed, bar.is_none() && on != "ecg/a");
            }
        }
        // Who was barred was decided on another version.
        let version = then.version();
        assert_ne!(then.barred(Bar::Suspended).version(), version);
    }

    #[test]
    fn what_was_held_through_a_group_is_hers_and_nobody_elses() {
        let mut shared = grant(1, "reader", "*");
        shared.principal = "icu-staff".parse().unwrap();
        let (project, staff) = ("icu".parse().unwrap(), "icu-staff".parse().unwrap());
        let policy = ProjectPolicy::new(&builtin(), &project).unwrap();
        let own = grant(2, "reader", "*");
        let then = policy.member(&"ana".parse().unwrap(), &[staff], vec![shared, own]);
        let then = then.unwrap();
        let rights = pieces(&then.kept()).rights(&then.version()).unwrap();
        assert_eq!(rights.groups.len(), 1);
        let as_who = |who: &str| rights.subject(&builtin(), &project, &who.parse().unwrap());
        assert_eq!(as_who("ana").unwrap().version(), then.version());
        // Her own grant is not another member's.
        assert!(matches!(as_who("eve"), Err(PolicyError::ForeignGrant)));
        let text = then.kept().remove(0);
        let bent = text.replace(
            "through: [\"icu-staff\"]",
            "through: [\"icu-staff\",\"ana\"]",
        );
        assert_ne!(text, bent);
        assert!(pieces(&[bent]).rights(&then.version()).is_err());
    }

    #[test]
    fn many_grants_come_in_pieces_in_any_order() {
        let grants = (0..=255_u8).map(|n| {
            let purpose = Some("p".repeat(600));
            Grant {
                purpose,
                ..grant(n, "reader", "ecg/é")
            }
        });
        let then = ana(&builtin(), grants.collect());
        let mut texts = then.kept();
        assert!(texts.len() > 2);
        assert!(texts.iter().all(|text| text.len() <= POLICY_TEXT_BYTES_MAX));
        texts.reverse();
        texts.push(texts[0].clone());
        let rights = pieces(&texts).rights(&then.version()).unwrap();
        assert_eq!(rights.grants.len(), 256);
        texts.truncate(2);
        let short = pieces(&texts).rights(&then.version());
        assert!(matches!(short, Err(PolicyError::Incomplete)));
        let none = Pieces::default().rights(&then.version());
        assert!(matches!(none, Err(PolicyError::Incomplete)));
    }

    #[test]
    fn what_was_altered_is_refused() {
        let then = ana(&builtin(), vec![grant(1, "reader", "ecg")]);
        let text = then.kept().remove(0);
        let other = HEXLOWER.encode(&[7; 32]);
        let policy = HEXLOWER.encode(&builtin().hash());
        for bent in [
            text.replace("\"reader\"", "\"owner\""),
            text.replace(&policy, &other),
            text.replace(" 0 1\n", " 0 2\n"),
            text.replace(" 0 1\n", " 1 1\n"),
            text.replace(" 0 1\n", " 0 1 1\n"),
            text.replace(" 0 1\n", " 0 9999999\n"),
            format!("{text}barred: suspended\n"),
            text.trim_end().to_owned(),
            "kluis-rights 1 ".to_owned(),
            String::new(),
        ] {
            let read = pieces(std::slice::from_ref(&bent)).rights(&then.version());
            assert!(read.is_err(), "{bent}");
            let both = pieces(&[text.clone(), bent.clone()]).rights(&then.version());
            assert!(both.is_err(), "{bent}");
        }
    }

    #[test]
    fn a_credentials_scope_has_one_text() {
        let scope = CredentialScope {
            credential: "KLUTAAAAAAAAAAAAAAAA".parse().unwrap(),
            project: Some("icu".parse().unwrap()),
            dataset: None,
            version: Some(3),
            only_reads: true,
            purpose: Some("a \"b\"".to_owned()),
            acr: None,
            amr: vec!["mfa".to_owned()],
            partition: None,
            prefix: String::new(),
            networks: Vec::new(),
        };
        assert!(scope.text().ends_with(",[\"mfa\"]]\n"), "as it was");
        let scope = CredentialScope {
            partition: Some("civil".parse().unwrap()),
            ..scope
        };
        assert!(
            scope.text().ends_with(",[\"mfa\"],\"civil\"]\n"),
            "as it was"
        );
        let narrower = CredentialScope {
            partition: None,
            prefix: "2024/".to_owned(),
            networks: vec!["10.0.0.0/8".parse().unwrap()],
            ..scope.clone()
        };
        let text = narrower.text();
        let read = CredentialScope::read(&CredentialScope::version(&text), &text);
        assert_eq!(read.unwrap(), narrower);
        let text = scope.text();
        let version = CredentialScope::version(&text);
        assert_eq!(CredentialScope::read(&version, &text).unwrap(), scope);
        for bent in [
            text.replace("icu", "onco"),
            text.replace(',', ", "),
            text.replace("null", "0"),
            text.trim_end().to_owned(),
            String::new(),
        ] {
            assert!(CredentialScope::read(&version, &bent).is_err(), "{bent}");
            let own = CredentialScope::version(&bent);
            let renamed = CredentialScope::read(&own, &bent);
            assert!(renamed.is_err() || bent.contains("onco"), "{bent}");
        }
    }
}
