//! What a person is asked, where there is one: a terminal on both sides.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};

/// The longest answer that is read.
const ANSWER_BYTES_MAX: u64 = 4_096;

/// Whether somebody can be asked.
pub(super) fn interactive() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks, and gives what was answered, without the end of the line.
pub(super) fn asked(prompt: &str) -> io::Result<String> {
    let mut err = io::stderr();
    write!(err, "{prompt} ")?;
    err.flush()?;
    let mut line = String::new();
    io::stdin()
        .lock()
        .take(ANSWER_BYTES_MAX)
        .read_line(&mut line)?;
    Ok(line.trim().to_owned())
}

/// Asks whether to go on; whatever is not yes is no.
pub(super) fn agreed(what: &str) -> io::Result<bool> {
    Ok(is_yes(&asked(&format!("{what} [y/N]"))?))
}

fn is_yes(answer: &str) -> bool {
    ["y", "yes"].contains(&answer.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_not_yes_is_no() {
        for (answer, expected) in [
            ("y", true),
            ("Yes", true),
            ("", false),
            ("n", false),
            ("yes please", false),
            ("kluis credential create bob", false),
        ] {
            assert_eq!(is_yes(answer), expected, "{answer}");
        }
    }
}
