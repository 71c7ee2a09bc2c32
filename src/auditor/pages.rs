//! The files of a bundle while they are written: rows, the sessions that they name, and the texts
//! that their decisions rest on.

use std::collections::{BTreeSet, HashSet};
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use super::entries::broken;
use super::records::Held;
use crate::cli::output::{CliError, Exit};
use crate::ledger::evidence::{
    Group, RowsWriter, write_policies, write_session, write_sessions_head,
};
use crate::ledger::{Entry, encode};
use crate::policy::{CredentialScope, Pieces};
use crate::types::AccessKeyId;
use crate::types::limits::REPLAY_BYTES_MAX;

/// What is being written.
pub(super) struct Pages {
    /// Whether some records are shown, and of the others their leaves.
    pub(super) part: bool,
    rows: RowsWriter<BufWriter<File>>,
    sessions: BufWriter<File>,
    known: HashSet<[u8; 32]>,
    /// The records that are shown, each once.
    count: u64,
    /// Every text that a decision can rest on.
    texts: BTreeSet<([u8; 32], String)>,
    text_bytes: usize,
    /// What decisions that are shown rest on.
    wanted: HashSet<[u8; 32]>,
    /// Credentials of requests that are shown.
    credentials: HashSet<AccessKeyId>,
}

impl Pages {
    pub(super) fn new(out: &Path, part: bool) -> Result<Self, CliError> {
        let mut sessions = BufWriter::new(File::create(out.join("sessions"))?);
        write_sessions_head(&mut sessions)?;
        let rows = BufWriter::new(File::create(out.join("rows"))?);
        Ok(Self {
            part,
            rows: RowsWriter::new(rows, part)?,
            sessions,
            known: HashSet::new(),
            count: 0,
            texts: BTreeSet::new(),
            text_bytes: 0,
            wanted: HashSet::new(),
            credentials: HashSet::new(),
        })
    }

    /// Keeps a text that decisions may rest on.
    pub(super) fn text(&mut self, version: [u8; 32], text: &str) -> Result<(), CliError> {
        if self.texts.insert((version, text.to_owned())) {
            self.text_bytes = self.text_bytes.saturating_add(text.len());
        }
        if self.text_bytes > REPLAY_BYTES_MAX {
            let told = "the log keeps more policy texts than can be held";
            return Err(CliError::new(Exit::Unavailable, told));
        }
        Ok(())
    }

    /// A record is shown: its session comes along, and what its decision rests on.
    pub(super) fn show(&mut self, held: &Held) -> Result<(), CliError> {
        self.count = self.count.saturating_add(1);
        if let Entry::Intent { intent, .. } | Entry::Whole { intent, .. } = &held.entry
            && let Some(policy) = &intent.policy
        {
            self.wanted.insert(policy.version);
        }
        let Some((hash, session)) = &held.session else {
            return Ok(());
        };
        self.credentials.extend(session.access_key.clone());
        if self.known.insert(*hash) {
            let mut bytes = Vec::new();
            let encoded = encode(&Entry::Session((**session).clone()), &mut bytes);
            encoded.map_err(|error| broken(&error.to_string()))?;
            write_session(&mut self.sessions, &bytes)?;
        }
        Ok(())
    }

    /// Writes the rows of one scope in one entry.
    pub(super) fn group(&mut self, group: &Group) -> Result<(), CliError> {
        Ok(self.rows.group(group)?)
    }

    /// Ends the files; how many records they show.
    pub(super) fn finish(mut self, out: &Path) -> Result<u64, CliError> {
        self.sessions.flush()?;
        self.rows.finish()?;
        let mut policies = HashSet::new();
        for (version, text) in &self.texts {
            if self.wanted.contains(version) {
                policies.extend(Pieces::policy_of(text));
            }
        }
        let texts = self.texts.iter().filter(|(version, text)| {
            let scope = CredentialScope::read(version, text).ok();
            self.wanted.contains(version)
                || policies.contains(version)
                || scope.is_some_and(|scope| self.credentials.contains(&scope.credential))
        });
        let texts = texts.map(|(version, text)| (*version, text.as_str()));
        write_policies(
            &mut BufWriter::new(File::create(out.join("policies"))?),
            texts,
        )?;
        Ok(self.count)
    }
}
