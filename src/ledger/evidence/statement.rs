//! What the log's key says of a bundle's files: which they are, each by its digest. So a bundle is
//! one signed thing, and the words in it that no tree holds are the vault's own.
//!
//! ```text
//! kluis bundle v1
//! log kluis/4f…
//! README.txt 9c…                         one line for each of STATED, in this order: its SHA-256
//! …
//!
//! — kluis/4f… base64                     c2sp.org/signed-note
//! ```

use std::io::{self, Read as _};

use data_encoding::HEXLOWER;
use ring::digest::{Context, SHA256};

use super::verify::Source;
use crate::ledger::tlog::{Note, NoteError, Signer, VerifierKey};

/// The first line. No log is called so, and no checkpoint has the lines that follow.
const HEAD: &str = "kluis bundle v1";
/// The files that are stated: all but the log's own, which its checkpoint holds.
pub const STATED: [&str; 5] = ["README.txt", "bundle.json", "policies", "rows", "sessions"];
/// What is read of a file at once.
const PIECE: usize = 64 * 1024;

/// Why a statement is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StatementError {
    /// There is none, or not in its form.
    #[error("there is no statement of the bundle's files")]
    Malformed,
    /// Not signed by the log, or changed since.
    #[error("the statement of the bundle's files does not hold: {0}")]
    Note(#[from] NoteError),
    /// Another file than the one that was signed.
    #[error("{0} is not the file that was signed")]
    Other(&'static str),
    /// It cannot be read.
    #[error("a file of the bundle cannot be read")]
    Io(#[from] io::Error),
}

/// The digests of a bundle's files.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Statement([[u8; 32]; STATED.len()]);

impl Statement {
    /// Of the files that are there.
    pub fn of(source: &mut dyn Source) -> Result<Self, StatementError> {
        let mut digests = [[0; 32]; STATED.len()];
        for (name, digest) in STATED.into_iter().zip(&mut digests) {
            let mut file = source.stream(name)?.ok_or(StatementError::Other(name))?;
            let mut context = Context::new(&SHA256);
            let mut piece = vec![0; PIECE];
            loop {
                match file.read(&mut piece) {
                    Ok(0) => break,
                    Ok(read) => context.update(piece.get(..read).unwrap_or_default()),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error.into()),
                }
            }
            digest.copy_from_slice(context.finish().as_ref());
        }
        Ok(Self(digests))
    }

    fn text(&self, log: &str) -> String {
        let files = STATED.into_iter().zip(&self.0);
        let lines = files.map(|(name, digest)| format!("{name} {}\n", HEXLOWER.encode(digest)));
        format!("{HEAD}\nlog {log}\n{}", lines.collect::<String>())
    }

    /// The signed statement.
    pub fn sign(&self, signer: &Signer) -> Result<Note, NoteError> {
        Note::sign(self.text(signer.public().name()), signer)
    }

    /// Checks the statement of a bundle, and its files against it.
    pub fn verify(source: &mut dyn Source, key: &VerifierKey) -> Result<(), StatementError> {
        let bytes = source.read("statement")?.ok_or(StatementError::Malformed)?;
        let note = Note::parse(&bytes)?;
        note.verify(key)?;
        let stated = note
            .text()
            .strip_prefix(&format!("{HEAD}\nlog {}\n", key.name()));
        let mut stated = stated.ok_or(StatementError::Malformed)?.lines();
        let here = Self::of(source)?;
        for (name, digest) in STATED.into_iter().zip(&here.0) {
            let line = format!("{name} {}", HEXLOWER.encode(digest));
            match stated.next() {
                Some(stated) if stated == line => {}
                Some(stated) if stated.starts_with(name) => {
                    return Err(StatementError::Other(name));
                }
                Some(_) | None => return Err(StatementError::Malformed),
            }
        }
        (here.text(key.name()) == note.text())
            .then_some(())
            .ok_or(StatementError::Malformed)
    }
}
