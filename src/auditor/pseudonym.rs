//! `kluis-audit pseudonym`: keys for pseudonyms, made and held by a project's controller or the
//! vault's own for a project, and who is meant by a pseudonym, for whoever holds one.

use std::io::{BufRead as _, BufReader};
use std::path::Path;

use data_encoding::BASE64;

use super::args_of_proof::PseudonymCommand;
use crate::app::create_file;
use crate::app::system::SystemEntropy;
use crate::cli::open::{Desk, call};
use crate::cli::output::{CliError, Exit, Output};
use crate::config::read_secret_file;
use crate::ledger::Pseudonyms;
use crate::types::limits::PSEUDONYM_NAMES_MAX;
use crate::types::{Entropy as _, PrincipalId, ProjectName, Secret};

/// How the file of a key begins.
const HEAD: &str = "kluis-pseudonyms-1 ";

/// Runs it.
pub(super) fn run(
    command: &PseudonymCommand,
    desk: Desk<'_>,
    output: &mut Output,
) -> Result<Exit, CliError> {
    match command {
        PseudonymCommand::New { out } => {
            let mut seed = zeroize::Zeroizing::new([0_u8; 32]);
            let drawn = SystemEntropy::new().fill(seed.as_mut());
            drawn.map_err(|error| CliError::of(Exit::Unavailable, &error))?;
            write(out, &seed, output)
        }
        PseudonymCommand::Key { project, by, out } => {
            let key = desk.act(output, async |opened| {
                let call = call(opened, "audit pseudonym key")?;
                Ok(opened.vault.hand_out_names(&call, project, by).await?)
            })?;
            write(out, key.expose(), output)
        }
        PseudonymCommand::Of {
            key,
            project,
            person,
        } => {
            let pseudonym = open(key, project)?.of(person);
            let none = || CliError::new(Exit::Unavailable, "no pseudonym can be made");
            output.line(pseudonym.ok_or_else(none)?.as_str())?;
            Ok(Exit::Done)
        }
        PseudonymCommand::Resolve {
            key,
            project,
            names,
            pseudonyms,
        } => resolve((key, project, names), pseudonyms, output),
    }
}

fn write(out: &Path, key: &[u8; 32], output: &mut Output) -> Result<Exit, CliError> {
    let digits = zeroize::Zeroizing::new(BASE64.encode(key));
    let text = zeroize::Zeroizing::new(format!("{HEAD}{}\n", *digits));
    create_file(out, text.as_bytes(), 0o600)?;
    output.note(&format!(
        "{} is for the project's controller alone",
        out.display()
    ));
    Ok(Exit::Done)
}

/// The key in a file, for a project.
pub(super) fn open(path: &Path, project: &ProjectName) -> Result<Pseudonyms, CliError> {
    let wrong = || {
        let told = format!("{} is no key for pseudonyms", path.display());
        CliError::new(Exit::Usage, told).hint("`kluis-audit pseudonym new --out FILE` makes one")
    };
    let text = read_secret_file(path).map_err(|error| CliError::of(Exit::Usage, &error))?;
    let digits = text
        .expose()
        .trim_end()
        .strip_prefix(HEAD)
        .ok_or_else(wrong)?;
    let seed = BASE64
        .decode(digits.as_bytes())
        .map_err(|_base64| wrong())?;
    let mut seed = zeroize::Zeroizing::new(seed);
    let seed: &mut [u8; 32] = seed.as_mut_slice().try_into().map_err(|_length| wrong())?;
    Ok(Pseudonyms::new(&Secret::take(seed), project.clone()))
}

/// Tells of each pseudonym which of the names it is; 1 where one is none of them.
fn resolve(
    (key, project, names): (&Path, &ProjectName, &Path),
    pseudonyms: &[PrincipalId],
    output: &mut Output,
) -> Result<Exit, CliError> {
    let key = open(key, project)?;
    let mut known = std::collections::HashMap::new();
    for line in BufReader::new(std::fs::File::open(names)?).lines() {
        let line = line?;
        let Ok(person) = line.trim().parse::<PrincipalId>() else {
            continue;
        };
        if known.len() >= PSEUDONYM_NAMES_MAX {
            return Err(CliError::new(Exit::Usage, "too many names"));
        }
        if let Some(pseudonym) = key.of(&person) {
            known.insert(pseudonym, person);
        }
    }
    let mut exit = Exit::Done;
    let mut rows = Vec::new();
    for pseudonym in pseudonyms {
        let person = known.get(pseudonym).map(ToString::to_string);
        if person.is_none() {
            exit = Exit::No;
        }
        rows.push([pseudonym.to_string(), person.unwrap_or_default()]);
    }
    output.rows(["pseudonym", "person"], &rows)?;
    Ok(exit)
}
