//! Completions and manual pages, made from the arguments themselves.

use std::path::Path;

use clap::CommandFactory as _;
use clap_complete::Shell;
use clap_mangen::Man;

use super::args::Cli;
use super::output::{CliError, Exit, Output};

/// Prints a shell's completion script.
pub(super) fn completions(shell: Shell, output: &mut Output) -> Result<Exit, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "kluis", &mut script);
    output.data(&script)?;
    Ok(Exit::Done)
}

/// Prints the manual page of `kluis`, or writes one page for each command into a directory.
pub(super) fn pages(dir: Option<&Path>, output: &mut Output) -> Result<Exit, CliError> {
    let Some(dir) = dir else {
        let mut page = Vec::new();
        Man::new(Cli::command()).render(&mut page)?;
        output.data(&page)?;
        return Ok(Exit::Done);
    };
    let failed = |error: std::io::Error| {
        CliError::new(
            Exit::Usage,
            format!("cannot write into {}: {error}", dir.display()),
        )
    };
    std::fs::create_dir_all(dir).map_err(failed)?;
    clap_mangen::generate_to(Cli::command(), dir).map_err(failed)?;
    output.note(&format!("manual pages are in {}", dir.display()));
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::super::output::tests::captured;
    use super::*;

    #[test]
    fn every_shell_completes_every_command() {
        for shell in [
            Shell::Bash,
            Shell::Zsh,
            Shell::Fish,
            Shell::PowerShell,
            Shell::Elvish,
        ] {
            let (mut output, out, _) = captured(false);
            assert_eq!(completions(shell, &mut output).expect("made"), Exit::Done);
            for command in ["credential", "doctor", "explain"] {
                assert!(out.text().contains(command), "{shell}: {command}");
            }
        }
    }

    #[test]
    fn the_manual_tells_the_exit_codes() {
        let (mut output, out, _) = captured(false);
        assert_eq!(pages(None, &mut output).expect("made"), Exit::Done);
        let page = out.text();
        assert!(page.contains(".TH"), "{page}");
        for word in ["Exit codes", "unavailable", "kluis.toml"] {
            assert!(page.contains(word), "{word}");
        }
    }

    #[test]
    fn each_command_has_a_page_of_its_own() {
        let dir = tempfile::tempdir().expect("a directory");
        let (mut output, out, _) = captured(false);
        assert_eq!(
            pages(Some(dir.path()), &mut output).expect("made"),
            Exit::Done
        );
        assert_eq!(out.text(), "");
        for page in [
            "kluis.1",
            "kluis-serve.1",
            "kluis-grant-create.1",
            "kluis-audit-tail.1",
        ] {
            assert!(dir.path().join(page).is_file(), "{page}");
        }
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_an_error() {
        let (mut output, _, _) = captured(false);
        let error = pages(Some(Path::new("/dev/null/man")), &mut output).expect_err("no directory");
        assert_eq!(error.exit(), Exit::Usage);
    }
}
