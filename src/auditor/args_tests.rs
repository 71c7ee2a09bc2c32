//! Tests of the arguments: the examples of the help parse, and can be pasted.

use clap::{CommandFactory as _, Parser as _};

use super::Cli;

/// Of a terminal that nobody widened: a line that is longer is broken there, and pasted it is two.
const COLUMNS: usize = 80;

/// Every command below `kluis-audit`, with the words that name it.
fn commands(command: &clap::Command, path: &str) -> Vec<(String, clap::Command)> {
    let mut all = vec![(path.to_owned(), command.clone())];
    let subs = command.get_subcommands();
    for sub in subs.filter(|sub| sub.get_name() != "help") {
        all.extend(commands(sub, &format!("{path} {}", sub.get_name())));
    }
    all
}

/// What stands below a command's options, where its examples are.
fn after(command: &clap::Command) -> String {
    let after = command
        .get_after_long_help()
        .or_else(|| command.get_after_help());
    after.map(ToString::to_string).unwrap_or_default()
}

#[test]
fn every_example_parses() {
    let mut seen = 0;
    for (path, command) in commands(&Cli::command(), "kluis-audit") {
        let after = after(&command);
        let Some((_, examples)) = after.split_once("Example:\n") else {
            continue;
        };
        // As a shell reads it: a line that ends so goes on.
        for example in examples.replace("\\\n", " ").lines() {
            let words = example.split_whitespace().take_while(|word| *word != ">");
            let parsed = Cli::try_parse_from(words);
            assert!(parsed.is_ok(), "{path}: {example}: {:?}", parsed.err());
            seen += 1;
        }
    }
    assert!(seen >= 8, "{seen}");
}

#[test]
fn no_line_of_an_example_is_broken_by_a_narrow_terminal() {
    for (path, command) in commands(&Cli::command(), "kluis-audit") {
        for line in after(&command).lines().filter(|l| l.starts_with("  ")) {
            assert!(line.chars().count() <= COLUMNS, "{path}: {line}");
            let shown = command.clone().term_width(COLUMNS).render_long_help();
            let shown = shown.to_string();
            assert!(shown.lines().any(|shown| shown == line), "{path}: {line}");
        }
    }
}
