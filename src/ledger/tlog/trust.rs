//! Whom a verifier trusts (c2sp.org/tlog-policy): the logs, the witnesses, and how many of these
//! must have cosigned a checkpoint.

use std::collections::BTreeMap;

use super::checkpoint::{Checkpoint, CheckpointError, cosigned_at};
use super::note::{KeyKind, Note, NoteError, VerifierKey};
use crate::types::limits::{TRUST_BYTES_MAX, TRUST_LINES_MAX};

/// Why a policy is refused, or a checkpoint under it.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
#[non_exhaustive]
pub enum TrustError {
    /// A line that is none, counted from 1.
    #[error("line {0} of the policy is not understood")]
    Line(usize),
    /// A name or key that another line has, counted from 1.
    #[error("line {0} of the policy repeats a name or a key")]
    Repeated(usize),
    /// Not exactly one `quorum`.
    #[error("a policy has exactly one quorum line")]
    Quorum,
    /// More than a policy may have.
    #[error("the policy is too long")]
    TooLong,
    /// No log of the policy has signed it.
    #[error("no log of the policy has signed the checkpoint")]
    NoLog,
    /// Its signature or form is wrong.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Too few witnesses.
    #[error("too few witnesses have cosigned the checkpoint")]
    TooFew,
}

/// A witness by the name that the policy gives it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TrustedWitness {
    /// Its name in the policy.
    pub name: String,
    /// Its key.
    pub key: VerifierKey,
    /// Where it takes checkpoints.
    pub url: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Group {
    name: String,
    least: usize,
    members: Vec<String>,
}

/// A policy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TrustPolicy {
    logs: Vec<VerifierKey>,
    witnesses: Vec<TrustedWitness>,
    /// Each names only what stands before it.
    groups: Vec<Group>,
    /// `None`: no witness is needed.
    quorum: Option<String>,
}

/// A checkpoint that the policy accepts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Judged {
    /// What it says.
    pub checkpoint: Checkpoint,
    /// Which log signed it.
    pub log: VerifierKey,
    /// Which witnesses cosigned it, and when, in seconds since the epoch.
    pub cosigned: Vec<(String, u64)>,
}

/// What a policy is being read into.
struct Draft {
    policy: TrustPolicy,
    quorums: usize,
    /// Each name, and whether a group has it already.
    names: BTreeMap<String, bool>,
}

impl TrustPolicy {
    /// The policy that trusts one log and asks for no witness.
    #[must_use]
    pub fn log(key: VerifierKey) -> Self {
        Self {
            logs: vec![key],
            witnesses: Vec::new(),
            groups: Vec::new(),
            quorum: None,
        }
    }

    /// Reads a policy.
    pub fn parse(text: &str) -> Result<Self, TrustError> {
        if text.len() > TRUST_BYTES_MAX {
            return Err(TrustError::TooLong);
        }
        let mut draft = Draft {
            policy: Self {
                logs: Vec::new(),
                witnesses: Vec::new(),
                groups: Vec::new(),
                quorum: None,
            },
            quorums: 0,
            names: BTreeMap::new(),
        };
        for (number, line) in text.split('\n').enumerate() {
            let number = number.saturating_add(1);
            if number > TRUST_LINES_MAX {
                return Err(TrustError::TooLong);
            }
            if line.contains(|c: char| c.is_ascii_control() && c != '\t') {
                return Err(TrustError::Line(number));
            }
            let words = line.split([' ', '\t']).filter(|word| !word.is_empty());
            let words: Vec<&str> = words.collect();
            draft.line(number, &words)?;
        }
        if draft.quorums == 1 {
            Ok(draft.policy)
        } else {
            Err(TrustError::Quorum)
        }
    }

    /// Its logs.
    #[must_use]
    pub fn logs(&self) -> &[VerifierKey] {
        &self.logs
    }

    /// Its witnesses.
    #[must_use]
    pub fn witnesses(&self) -> &[TrustedWitness] {
        &self.witnesses
    }

    /// Judges a checkpoint.
    pub fn judge(&self, note: &Note) -> Result<Judged, TrustError> {
        let mut opened = None;
        for log in &self.logs {
            match Checkpoint::open(note, log) {
                Ok(checkpoint) => opened = opened.or_else(|| Some((checkpoint, log.clone()))),
                Err(CheckpointError::Note(NoteError::Unsigned)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let (checkpoint, log) = opened.ok_or(TrustError::NoLog)?;
        let cosigned = self.cosigned(note)?;
        let enough = self.quorum.as_ref().is_none_or(|name| {
            let mut have: Vec<&str> = cosigned.iter().map(|(name, _)| name.as_str()).collect();
            for group in &self.groups {
                let members = group.members.iter();
                let there = members.filter(|member| have.contains(&member.as_str()));
                if there.count() >= group.least {
                    have.push(&group.name);
                }
            }
            have.contains(&name.as_str())
        });
        if !enough {
            return Err(TrustError::TooFew);
        }
        Ok(Judged {
            checkpoint,
            log,
            cosigned,
        })
    }

    /// The witnesses that have cosigned; one whose line does not verify spoils the note.
    pub fn cosigned(&self, note: &Note) -> Result<Vec<(String, u64)>, TrustError> {
        let mut found = Vec::new();
        for witness in &self.witnesses {
            match cosigned_at(note, &witness.key) {
                Ok(time) => found.push((witness.name.clone(), time)),
                Err(NoteError::Unsigned) => {}
                Err(error) => return Err(CheckpointError::from(error).into()),
            }
        }
        Ok(found)
    }
}

impl Draft {
    fn line(&mut self, number: usize, words: &[&str]) -> Result<(), TrustError> {
        let wrong = TrustError::Line(number);
        match words {
            [] => Ok(()),
            [first, ..] if first.starts_with('#') => Ok(()),
            &["log", key] | &["log", key, _] => {
                let key = parsed(key, KeyKind::Note).ok_or(wrong)?;
                if self.policy.logs.iter().any(|other| other.same_key(&key)) {
                    return Err(TrustError::Repeated(number));
                }
                self.policy.logs.push(key);
                Ok(())
            }
            &["witness", name, key] => self.witness(number, (name, key), None),
            &["witness", name, key, url] => self.witness(number, (name, key), Some(url)),
            &["group", name, least, ref members @ ..] => self.group(number, name, (least, members)),
            &["quorum", name] => {
                self.quorums = self.quorums.saturating_add(1);
                if name != "none" {
                    if !self.names.contains_key(name) {
                        return Err(wrong);
                    }
                    self.policy.quorum = Some(name.to_owned());
                }
                Ok(())
            }
            [_, ..] => Err(wrong),
        }
    }

    fn witness(
        &mut self,
        number: usize,
        (name, key): (&str, &str),
        url: Option<&str>,
    ) -> Result<(), TrustError> {
        let key = parsed(key, KeyKind::Cosignature).ok_or(TrustError::Line(number))?;
        let known = &self.policy.witnesses;
        if known.iter().any(|other| other.key.same_key(&key)) {
            return Err(TrustError::Repeated(number));
        }
        self.name(number, name)?;
        self.policy.witnesses.push(TrustedWitness {
            name: name.to_owned(),
            key,
            url: url.map(str::to_owned),
        });
        Ok(())
    }

    fn name(&mut self, number: usize, name: &str) -> Result<(), TrustError> {
        if name == "none" {
            return Err(TrustError::Line(number));
        }
        match self.names.insert(name.to_owned(), false) {
            None => Ok(()),
            Some(_) => Err(TrustError::Repeated(number)),
        }
    }

    fn group(
        &mut self,
        number: usize,
        name: &str,
        (least, members): (&str, &[&str]),
    ) -> Result<(), TrustError> {
        let wrong = TrustError::Line(number);
        for member in members {
            match self.names.get_mut(*member) {
                Some(taken) if !*taken => *taken = true,
                Some(_) => return Err(TrustError::Repeated(number)),
                None => return Err(wrong),
            }
        }
        let least = match least {
            "any" => 1,
            "all" => members.len(),
            digits => digits.parse().map_err(|_number| wrong)?,
        };
        if !(1..=members.len()).contains(&least) {
            return Err(wrong);
        }
        self.name(number, name)?;
        self.policy.groups.push(Group {
            name: name.to_owned(),
            least,
            members: members.iter().map(|&member| member.to_owned()).collect(),
        });
        Ok(())
    }
}

fn parsed(key: &str, kind: KeyKind) -> Option<VerifierKey> {
    key.parse()
        .ok()
        .filter(|key: &VerifierKey| key.kind() == kind)
}
