//! The command line: arguments in, words and exit codes out.

/// Runs the command.
#[must_use]
pub fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
