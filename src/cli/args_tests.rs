//! Tests of the arguments: the help teaches, its examples parse, and no argument takes a secret.

use clap::CommandFactory as _;

use super::*;

/// Every command below `kluis`, with the words that name it.
fn commands(command: &clap::Command, path: &str) -> Vec<(String, clap::Command)> {
    let mut all = vec![(path.to_owned(), command.clone())];
    for sub in command
        .get_subcommands()
        .filter(|sub| sub.get_name() != "help")
    {
        all.extend(commands(sub, &format!("{path} {}", sub.get_name())));
    }
    all
}

fn all() -> Vec<(String, clap::Command)> {
    commands(&Cli::command(), "kluis")
}

fn examples(command: &clap::Command) -> Vec<String> {
    let after = command
        .get_after_long_help()
        .map(ToString::to_string)
        .unwrap_or_default();
    let tail = after
        .split_once("Example:\n")
        .map(|(_, tail)| tail.to_owned())
        .unwrap_or_default();
    // As a shell reads it: a line that ends so goes on.
    let tail = tail.replace("\\\n", " ");
    tail.lines().map(|line| line.trim().to_owned()).collect()
}

#[test]
fn the_definitions_are_sound() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_is_listed_here() {
    let names: Vec<_> = all().into_iter().map(|(path, _)| path).collect();
    let expected = "kluis; kluis init; kluis serve; kluis unseal; kluis demo; kluis project; \
        kluis project create; kluis project defaults; kluis project list; kluis project demand; kluis project log; \
        kluis project show; kluis grant; \
        kluis grant create; kluis grant list; kluis grant show; kluis grant approve; \
        kluis grant withdraw; kluis grant review; kluis dataset; kluis dataset create; \
        kluis dataset describe; kluis dataset set; kluis dataset list; kluis dataset show; kluis dataset publish; kluis dataset versions; \
        kluis dataset diff; kluis dataset verify; kluis dataset delete; kluis mount; \
        kluis principal; \
        kluis principal create; kluis principal list; kluis principal suspend; \
        kluis principal clear; \
        kluis principal link; kluis principal adopt; kluis principal unlink; kluis principal links; \
        kluis principal resume; kluis group; kluis group create; kluis group show; \
        kluis group list; kluis group add; kluis group remove; kluis group map; kluis group unmap; kluis group claims; \
        kluis group map-visa; kluis group unmap-visa; kluis group visas; \
        kluis scim; kluis scim create; kluis scim renew; kluis scim end; kluis scim list; kluis scim people; kluis scim groups; \
        kluis approval; kluis approval ask; \
        kluis approval list; kluis approval show; kluis approval approve; \
        kluis approval refuse; kluis approval withdraw; kluis approval break-glass; \
        kluis notices; kluis webhook; kluis webhook set; kluis webhook try; kluis webhook list; \
        kluis webhook end; kluis credential; kluis credential create; \
        kluis credential list; kluis credential revoke; kluis login; kluis logout; kluis whoami; \
        kluis job; kluis job submit; kluis job list; kluis job cancel; kluis job end; \
        kluis node; kluis node init; kluis node enrol; kluis node list; kluis node remove; \
        kluis key; kluis key inventory; kluis key rotate; kluis key change-root; \
        kluis key erase; kluis key resume; kluis key works; kluis key certificate; \
        kluis key copy; kluis policy; kluis policy check; \
        kluis policy test; kluis policy explain; kluis audit; kluis audit tail; kluis audit show; \
        kluis config; kluis config check; kluis config show; kluis recover; kluis drill; \
        kluis doctor; \
        kluis completions; kluis man";
    assert_eq!(names.join("; "), expected);
}

#[test]
fn every_command_says_what_it_does_and_ends_with_an_example() {
    for (path, command) in all() {
        let about = command
            .get_about()
            .map(ToString::to_string)
            .unwrap_or_default();
        assert!(about.len() > 8 && !about.ends_with('.'), "{path}: {about}");
        let examples = examples(&command);
        assert!(!examples.is_empty(), "{path} has no example");
        for example in examples {
            assert!(example.starts_with(&path), "{path}: {example}");
        }
    }
}

#[test]
fn every_example_parses() {
    for (path, command) in all() {
        for example in examples(&command) {
            let parsed = Cli::try_parse_from(example.split_whitespace());
            assert!(
                parsed.is_ok(),
                "{path}: {example}: {}",
                parsed.expect_err("an error")
            );
        }
    }
}

/// Of a terminal that nobody widened: a line that is longer is broken there, and pasted it is two.
const COLUMNS: usize = 80;

#[test]
fn no_line_of_an_example_is_broken_by_a_narrow_terminal() {
    for (path, command) in all() {
        let after = command.get_after_long_help().map(ToString::to_string);
        let after = after.unwrap_or_default();
        for line in after.lines().filter(|line| line.starts_with("  ")) {
            assert!(line.chars().count() <= COLUMNS, "{path}: {line}");
            assert!(!line.contains('…'), "{path}: {line}");
            let shown = command.clone().term_width(COLUMNS).render_long_help();
            let shown = shown.to_string();
            assert!(shown.lines().any(|shown| shown == line), "{path}: {line}");
        }
    }
}

#[test]
fn every_argument_says_what_it_is() {
    for (path, command) in all() {
        for argument in command.get_arguments() {
            assert!(
                argument.get_help().is_some(),
                "{path}: {}",
                argument.get_id()
            );
        }
    }
}

#[test]
fn no_argument_takes_a_secret() {
    for (path, command) in all() {
        for argument in command
            .get_arguments()
            .filter(|a| a.get_action().takes_values())
        {
            let name = argument.get_id().as_str();
            for word in ["secret", "password", "passphrase", "token", "key_material"] {
                assert!(!name.contains(word), "{path}: {name}");
            }
        }
    }
}

#[test]
fn the_exit_codes_stand_in_the_help() {
    let help = Cli::command().render_long_help().to_string();
    for line in ["0  done", "1  no:", "2  an error of use", "3  unavailable"] {
        assert!(help.contains(line), "{line}");
    }
}

#[test]
fn wrong_arguments_are_refused() {
    for wrong in [
        "kluis",
        "kluis serv",
        "kluis serve extra",
        "kluis project create ICU --owner a",
        "kluis project create icu",
        "kluis init --custodian ana=@a",
        "kluis init --needed 2",
        "kluis init --custodian ana=age1x --needed 2 --shares s",
        "kluis init --custodian ana=@a --needed 2 --shares s --transit",
        "kluis init --transit-url https://b",
        "kluis init --pkcs11-label kluis",
        "kluis init --pin-file pin",
        "kluis init --transit --pin-file pin",
        "kluis init --pkcs11 --plugin",
        "kluis init --pkcs11 --passphrase",
        "kluis init --plugin --custodian ana=@a --needed 2 --shares s",
        "kluis key change-root --to f --pkcs11 --transit",
        "kluis --keeper",
        "kluis unseal --identity me.txt",
        "kluis grant create icu --to j --role job --approver a --propose",
        "kluis grant create icu --role job",
        "kluis grant create icu --to j --role job --approver a --prefix p",
        "kluis grant create icu --to j --role job --approver a --proposer b",
        "kluis grant create icu --to j --role job --approver a --network 10.0.0.1/8",
        "kluis grant review icu --approver a",
        "kluis grant create icu --to j --role job --approver a --expires tomorrow",
        "kluis grant withdraw icu notanid",
        "kluis dataset show icu",
        "kluis dataset show icu--ecg",
        "kluis principal create Alice",
        "kluis credential revoke short",
        "kluis credential create a --force --output f",
        "kluis policy test",
        "kluis policy explain --principal a --action object.steal --dataset a/b",
        "kluis audit tail -n 0",
        "kluis audit tail -n 1000000",
        "kluis audit show 123",
        "kluis demo --listen localhost",
        "kluis demo --store blobs --store-endpoint http://x",
        "kluis demo --store s3://blobs",
        "kluis demo --store-endpoint http://x",
        "kluis init --project p",
        "kluis completions tcsh",
        "kluis login --env --role icu",
        "kluis login --process --role icu/ecg",
    ] {
        let error = Cli::try_parse_from(wrong.split_whitespace()).expect_err(wrong);
        assert!(error.use_stderr(), "{wrong}");
    }
}

#[test]
fn global_options_stand_anywhere() {
    for line in [
        "kluis --json --config x.toml doctor",
        "kluis doctor --config x.toml --json",
    ] {
        let cli = Cli::try_parse_from(line.split_whitespace()).expect(line);
        assert!(cli.json && cli.config == std::path::Path::new("x.toml"));
    }
}
