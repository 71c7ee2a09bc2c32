//! The settings as documentation, and as a file to begin with.

use std::fmt::Write as _;

use super::environment::Variable;
use super::settings::{Config, SECTIONS, SectionInfo};

const HEAD: &str = "\
# Configuration

Kluis reads one TOML file: `kluis.toml` in the current directory, or the one that `--config` names.
It says which programs run: one that is found and not named is taken only where it and its directory
are yours or root's, and nobody else may write them.
Every setting has a default, so an empty file is a valid one. Relative paths are taken from the
file's directory. An unknown key is an error. `kluis config check` says what is wrong with a file, its issuers, certificate and policy,
`kluis config show` prints every setting as Kluis understands it.

Times are written with a unit: `ms`, `s`, `m`, `h`, `d`. Sizes too: `B`, `KiB`, `MiB`, `GiB`.
An empty text (`\"\"`) stands for none.

<!-- The tables are made from src/config/settings.rs: UPDATE_GOLDEN=1 writes them again. -->
";

/// The page `docs/configuration.md`.
#[must_use]
pub fn documentation() -> String {
    let mut page = HEAD.to_owned();
    let rows = Config::default().rows();
    for SectionInfo { name, doc, .. } in SECTIONS {
        put(
            &mut page,
            format_args!("\n## `[{name}]`\n\n{}\n\n", doc.trim()),
        );
        page.push_str("| Setting | Default | What it is for |\n|---|---|---|\n");
        for row in rows.iter().filter(|row| row.section == *name) {
            let choice = if row.kind.starts_with('"') {
                format!(" One of {}.", row.kind)
            } else {
                String::new()
            };
            put(
                &mut page,
                format_args!(
                    "| `{}` | `{}` | {}{choice} |\n",
                    row.key, row.value, row.doc
                ),
            );
        }
    }
    page.push_str(
        "\n## Environment\n\nSecrets are never arguments and never stand in the file.\n\n\
         | Variable | What it is for |\n|---|---|\n",
    );
    for variable in Variable::ALL {
        put(
            &mut page,
            format_args!("| `{}` | {} |\n", variable.name(), variable.doc()),
        );
    }
    page
}

/// A file to begin with: what `config` sets otherwise than the defaults stands in it, all else is
/// commented out.
#[must_use]
pub fn template(config: &Config) -> String {
    let defaults = Config::default().rows();
    let mut file = "# Kluis. Every setting and its default; uncomment to change.\n".to_owned();
    let mut section = "";
    for (row, default) in config.rows().iter().zip(&defaults) {
        if row.section != section {
            section = row.section;
            put(&mut file, format_args!("\n[{section}]\n"));
        }
        let mark = if row.value == default.value { "# " } else { "" };
        put(
            &mut file,
            format_args!("# {}\n{mark}{} = {}\n", row.doc, row.key, row.value),
        );
    }
    file
}

/// Writing to a `String` cannot fail.
fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    let written = out.write_fmt(text);
    debug_assert!(written.is_ok(), "a string takes every text");
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_documentation_is_what_the_table_says() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
        #[expect(
            clippy::disallowed_methods,
            reason = "a golden file is written on demand only"
        )]
        let update = std::env::var_os("UPDATE_GOLDEN").is_some();
        if update {
            std::fs::write(&path, documentation()).expect("written");
        }
        let page = std::fs::read_to_string(&path).expect("docs/configuration.md is there");
        assert!(
            page == documentation(),
            "run the tests with UPDATE_GOLDEN=1 and look at the change"
        );
    }

    #[test]
    fn a_template_of_the_defaults_says_nothing() {
        let (read, problems) = Config::read(&template(&Config::default()));
        assert_eq!((read, problems), (Config::default(), Vec::new()));
        let sets = |line: &&str| !line.starts_with(['#', '[']) && !line.is_empty();
        assert_eq!(template(&Config::default()).lines().find(sets), None);
    }

    #[test]
    fn a_template_reads_back_as_what_it_was_made_of() {
        let mut config = Config::default();
        config.server.region = "with \"quotes\"".to_owned();
        config.store.path = "/srv/blobs".into();
        config.log.level = crate::config::LogLevel::Debug;
        assert_eq!(Config::read(&template(&config)).0, config);
    }

    #[test]
    fn every_default_written_out_reads_back() {
        let mut text = String::new();
        let mut section = "";
        for row in Config::default().rows() {
            if row.section != section {
                section = row.section;
                put(&mut text, format_args!("[{section}]\n"));
            }
            put(&mut text, format_args!("{} = {}\n", row.key, row.value));
        }
        assert_eq!(Config::read(&text), (Config::default(), Vec::new()));
    }

    #[test]
    fn every_setting_says_what_it_is_for() {
        for row in Config::default().rows() {
            assert!(row.doc.ends_with('.') && !row.doc.contains("  "), "{row:?}");
        }
    }
}
