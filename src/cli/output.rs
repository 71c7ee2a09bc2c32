//! What the command says. Standard output carries data only; messages go to standard error as
//! `kluis: error: …` and `kluis: hint: …` (or another program's name); colour and progress are for
//! terminals alone.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write};
use std::process::ExitCode;

use indicatif::ProgressBar;
use serde::Serialize;
use serde_json::Value;

use super::bar;
use super::cell::typed;
use super::table::{shown, table};
use crate::config::{Environment, Variable};

/// How a command ended, as `kluis --help` documents it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: done.
    Done,
    /// 1: no; denied, absent, not valid, not proved.
    No,
    /// 2: an error of use or configuration.
    Usage,
    /// 3: unavailable; try again.
    Unavailable,
}

impl Exit {
    /// The number that the shell sees.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::No => 1,
            Self::Usage => 2,
            Self::Unavailable => 3,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

/// Why a command did not do what it was asked: words for a person, and an exit code.
#[derive(Debug)]
pub struct CliError {
    exit: Exit,
    message: String,
    hints: Vec<String>,
}

impl CliError {
    /// An error of one line.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            hints: Vec::new(),
        }
    }

    /// An error with all its causes, from the outermost in.
    pub fn of(exit: Exit, error: &dyn std::error::Error) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            message.push_str(": ");
            message.push_str(&cause.to_string());
            source = cause.source();
        }
        Self::new(exit, message)
    }

    /// Adds a way to mend it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// What went wrong, in words.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Ways to mend it.
    #[must_use]
    pub fn hints(&self) -> &[String] {
        &self.hints
    }

    /// How the command ends.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        self.exit
    }
}

impl From<io::Error> for CliError {
    /// Writing the output failed. A reader that has enough (`| head`) is no error.
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::new(Exit::Done, "");
        }
        Self::of(Exit::Usage, &error)
    }
}

/// Where a command's words go.
pub struct Output {
    out: Box<dyn Write + Send>,
    err: Box<dyn Write + Send>,
    program: &'static str,
    json: bool,
    terminal: Terminal,
}

/// What is a terminal.
#[derive(Clone, Copy, Default)]
struct Terminal {
    out: bool,
    err: bool,
    colour: bool,
}

impl Output {
    /// That of this process.
    #[must_use]
    pub fn of_process(program: &'static str, json: bool, environment: &Environment) -> Self {
        let err = io::stderr().is_terminal();
        Self {
            out: Box::new(io::stdout()),
            err: Box::new(io::stderr()),
            program,
            json,
            terminal: Terminal {
                out: io::stdout().is_terminal(),
                err,
                colour: err && !environment.has(Variable::NoColor),
            },
        }
    }

    /// Whether data is wanted as JSON.
    #[must_use]
    pub const fn is_json(&self) -> bool {
        self.json
    }

    /// Whether standard output is a terminal, where secrets are not shown unasked.
    #[must_use]
    pub const fn is_terminal(&self) -> bool {
        self.terminal.out
    }

    /// Writes data as it is.
    pub fn data(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        self.out.write_all(bytes)?;
        Ok(self.out.flush()?)
    }

    /// Writes one line of data.
    pub fn line(&mut self, line: &str) -> Result<(), CliError> {
        writeln!(self.out, "{}", shown(line))?;
        Ok(())
    }

    /// Writes a value as one line of JSON.
    pub fn value(&mut self, value: &impl Serialize) -> Result<(), CliError> {
        let text =
            serde_json::to_string(value).map_err(|error| CliError::of(Exit::Usage, &error))?;
        writeln!(self.out, "{}", plain_json(&text))?;
        Ok(())
    }

    /// Writes rows: one line of JSON each where that is wanted, else a table.
    pub fn rows<const N: usize>(
        &mut self,
        names: [&str; N],
        rows: &[[String; N]],
    ) -> Result<(), CliError> {
        if !self.json {
            return self.data(table(names, rows).as_bytes());
        }
        for row in rows {
            let pairs = names
                .iter()
                .zip(row)
                .map(|(name, cell)| ((*name).to_owned(), typed(name, cell)));
            self.value(&pairs.collect::<serde_json::Map<_, _>>())?;
        }
        Ok(())
    }

    /// Says something that is not data.
    pub fn note(&mut self, message: &str) {
        self.say("", message);
    }

    /// What is copied from standard error: alone on its line, without the program's name.
    pub(super) fn copied(&mut self, text: &str) {
        // Standard error is the last resort: where it fails there is none other.
        let _said = writeln!(self.err, "{}", shown(text)).is_ok();
    }

    /// Says at which gateway and as whom a command acts, before it does; with JSON in one line of
    /// it, apart from the data.
    pub(super) fn signed(&mut self, at: &str, principal: &str, acts_for: Option<&str>) {
        if self.json {
            let told = serde_json::json!({ "at": at, "as": principal, "acts_for": acts_for });
            // Standard error is the last resort: where it fails there is none other.
            let _said = writeln!(self.err, "{}", plain_json(&told.to_string())).is_ok();
            return;
        }
        self.note(&match acts_for {
            None => format!("at {at} as person {principal}"),
            Some(person) => format!("at {at} as workload {principal} of {person}"),
        });
    }

    /// Says how to mend something.
    pub fn hint(&mut self, message: &str) {
        self.say("hint: ", message);
    }

    /// Says what went wrong.
    pub fn error(&mut self, error: &CliError) {
        if error.exit == Exit::Done {
            return;
        }
        if self.json {
            let hint = (!error.hints.is_empty()).then(|| error.hints.join("\n"));
            let told = serde_json::json!({
                "error": error.message, "hint": hint, "exit": error.exit.code(),
            });
            // Standard error is the last resort: where it fails there is none other.
            let _said = writeln!(self.err, "{}", plain_json(&told.to_string())).is_ok();
            return;
        }
        let mark = self.mark();
        for line in error.message.lines() {
            self.say(mark, line);
        }
        for hint in &error.hints {
            self.say("hint: ", hint);
        }
    }

    /// What stands before an error, in red on a terminal.
    const fn mark(&self) -> &'static str {
        if self.terminal.colour {
            "\u{1b}[1;31merror:\u{1b}[0m "
        } else {
            "error: "
        }
    }

    /// Help and versions are data; wrong arguments are an error.
    pub(crate) fn usage(mut self, told: &clap::Error) -> ExitCode {
        let text = told.render();
        if told.use_stderr() {
            let text = text.to_string();
            if self.json {
                let text = text.trim_end().trim_start_matches("error: ");
                let (error, hint) = text.split_once("\n\n").unwrap_or((text, ""));
                let told = CliError::new(Exit::Usage, error);
                self.error(&if hint.is_empty() {
                    told
                } else {
                    told.hint(hint)
                });
                return Exit::Usage.into();
            }
            for line in text.trim_end().lines() {
                let line = line.strip_prefix("error: ").map_or_else(
                    || line.to_owned(),
                    |message| format!("{}: {}{message}", self.program, self.mark()),
                );
                // Standard error is the last resort: where it fails there is none other.
                let _said = writeln!(self.err, "{line}").is_ok();
            }
            return Exit::Usage.into();
        }
        let text = if self.terminal.out && self.terminal.colour {
            text.ansi().to_string()
        } else {
            text.to_string()
        };
        self.data(text.as_bytes())
            .map_or_else(|error| error.exit().into(), |()| Exit::Done.into())
    }

    /// Writes one thing: its JSON where that is wanted, else a line for each of its members.
    pub fn record(&mut self, thing: &Value) -> Result<(), CliError> {
        if let (Value::Object(members), false) = (thing, self.json) {
            return self.data(lines(members).as_bytes());
        }
        self.value(thing)
    }

    /// Begins to tell the steps of what takes long.
    pub fn steps(&mut self) -> Steps<'_> {
        let bar = bar::of_words(self.terminal.err && !self.json);
        Steps {
            output: self,
            bar,
            last: String::new(),
        }
    }

    fn say(&mut self, mark: &str, message: &str) {
        // Standard error is the last resort: where it fails there is none other.
        let _said = writeln!(self.err, "{}: {mark}{}", self.program, shown(message)).is_ok();
    }
}

/// The steps of what takes long: on a terminal one line that changes, elsewhere a line when
/// another kind of step begins, and with JSON nothing.
pub struct Steps<'a> {
    output: &'a mut Output,
    bar: ProgressBar,
    last: String,
}

impl Steps<'_> {
    /// Says what is done now. Steps that differ in their numbers alone are of one kind.
    pub fn tell(&mut self, step: &str) {
        if self.output.json {
            return;
        }
        if self.output.terminal.err {
            self.bar.set_message(shown(step));
            self.bar.tick();
            return;
        }
        let kind: String = step.chars().filter(|c| !c.is_ascii_digit()).collect();
        if kind != self.last {
            self.output.note(step);
            self.last = kind;
        }
    }
}

impl Drop for Steps<'_> {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// JSON that a terminal may show: what it leaves as it is of control characters (DEL and C1, which
/// stand within texts alone) is written as JSON may, too.
fn plain_json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            // Writing to a text cannot fail.
            let _written = write!(out, "\\u{:04x}", u32::from(c)).is_ok();
        } else {
            out.push(c);
        }
    }
    out
}

/// The members of one thing, a line each.
fn lines(members: &serde_json::Map<String, Value>) -> String {
    let width = members.keys().map(String::len).max().unwrap_or_default();
    let line = |(name, value): (&String, &Value)| {
        let line = format!("{name:width$}  {}", shown(&plain(value)));
        format!("{}\n", line.trim_end())
    };
    members.iter().map(line).collect()
}

/// A member's value for a person.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(all) => all.iter().map(plain).collect::<Vec<_>>().join(", "),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::cli::cell::{NEVER, yes_or_no};

    /// Keeps what was written.
    #[derive(Clone, Default)]
    pub(in crate::cli) struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Sink {
        pub(in crate::cli) fn text(&self) -> String {
            String::from_utf8(self.0.lock().expect("not poisoned").clone()).expect("text")
        }
    }

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0
                .lock()
                .expect("not poisoned")
                .extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// An output that is no terminal, with what it wrote to standard output and error.
    pub(in crate::cli) fn captured(json: bool) -> (Output, Sink, Sink) {
        let (out, err) = (Sink::default(), Sink::default());
        let output = Output {
            out: Box::new(out.clone()),
            err: Box::new(err.clone()),
            program: "kluis",
            json,
            terminal: Terminal::default(),
        };
        (output, out, err)
    }

    fn row(name: &str, kind: &str) -> [String; 2] {
        [name.to_owned(), kind.to_owned()]
    }

    #[test]
    fn rows_become_lines_of_json() {
        let (mut output, out, _) = captured(true);
        output
            .rows(["name", "kind"], &[row("a\nb", "x")])
            .expect("written");
        assert_eq!(out.text(), "{\"kind\":\"x\",\"name\":\"a\\nb\"}\n");
    }

    #[test]
    fn errors_go_to_standard_error_with_their_causes_and_hints() {
        let (mut output, out, err) = captured(false);
        let source = io::Error::other("disk\u{7} gone");
        let error = crate::config::ConfigError::Read {
            path: "k.toml".into(),
            source,
        };
        output.error(&CliError::of(Exit::Usage, &error).hint("look there"));
        assert_eq!(out.text(), "");
        assert_eq!(
            err.text(),
            "kluis: error: cannot read the configuration k.toml: disk\u{fffd} gone\n\
             kluis: hint: look there\n"
        );
    }

    #[test]
    fn errors_are_json_where_data_is() {
        let (mut output, out, err) = captured(true);
        let error = CliError::new(Exit::No, "no such \u{1b}[2J\u{9b}1m")
            .hint("a")
            .hint("b");
        output.error(&error);
        output.error(&CliError::new(Exit::Unavailable, "busy"));
        assert_eq!(out.text(), "");
        let told = err.text();
        assert!(
            !told.chars().any(|c| c.is_control() && c != '\n'),
            "{told:?}"
        );
        let lines: Vec<Value> = told
            .lines()
            .map(|l| serde_json::from_str(l).unwrap())
            .collect();
        assert_eq!(lines[0]["error"], "no such \u{1b}[2J\u{9b}1m");
        assert_eq!(
            (&lines[0]["hint"], &lines[0]["exit"]),
            (&"a\nb".into(), &1.into())
        );
        assert_eq!(
            (&lines[1]["hint"], &lines[1]["exit"]),
            (&Value::Null, &3.into())
        );
    }

    #[test]
    fn a_reader_that_has_enough_is_no_error() {
        let (mut output, _, err) = captured(false);
        let error = CliError::from(io::Error::from(io::ErrorKind::BrokenPipe));
        output.error(&error);
        assert_eq!((error.exit(), err.text().as_str()), (Exit::Done, ""));
        let full = CliError::from(io::Error::from(io::ErrorKind::StorageFull));
        assert_eq!(full.exit(), Exit::Usage);
    }

    #[test]
    fn steps_that_differ_in_numbers_are_told_once_where_nobody_looks() {
        let (mut output, out, err) = captured(false);
        let mut steps = output.steps();
        for step in [
            "listing",
            "snapshot 1 of 12",
            "snapshot 2 of 12",
            "a\u{1b}b",
        ] {
            steps.tell(step);
        }
        drop(steps);
        assert_eq!(
            err.text(),
            "kluis: listing\nkluis: snapshot 1 of 12\nkluis: a\u{fffd}b\n"
        );
        let (mut json, _, silent) = captured(true);
        json.steps().tell("listing");
        assert_eq!((out.text(), silent.text()), (String::new(), String::new()));
    }

    #[test]
    fn what_is_not_there_is_null_and_numbers_are_numbers() {
        let (mut output, out, _) = captured(true);
        let row = ["7", "7", "", NEVER].map(str::to_owned);
        let names = ["bytes", "permit", "approver", "expires"];
        output.rows(names, &[row]).expect("written");
        assert_eq!(
            out.text(),
            "{\"approver\":null,\"bytes\":7,\"expires\":null,\"permit\":\"7\"}\n"
        );
    }

    #[test]
    fn yes_and_no_are_for_people_and_not_every_yes_is_one() {
        let (mut output, out, _) = captured(true);
        let names = ["active", "ended", "pseudonyms", "purpose"];
        let row = [yes_or_no(true), yes_or_no(false)];
        let row = [&row[..], &["on".to_owned(), "yes".to_owned()]].concat();
        let row: [String; 4] = row.try_into().expect("four");
        output.rows(names, &[row]).expect("written");
        assert_eq!(
            out.text(),
            "{\"active\":true,\"ended\":false,\"pseudonyms\":true,\"purpose\":\"yes\"}\n"
        );
    }

    #[test]
    fn one_thing_is_lines_for_a_person_and_json_for_a_machine() {
        let thing = serde_json::json!({
            "label": "internal", "hold": null, "to": ["a", "b"], "bytes": 7, "note": "x\u{1b}[2J",
        });
        let (mut output, out, _) = captured(false);
        output.record(&thing).expect("written");
        let lines = "bytes  7\nhold\nlabel  internal\nnote   x\u{fffd}[2J\nto     a, b\n";
        assert_eq!(out.text(), lines);
        let (mut output, out, _) = captured(true);
        output.record(&thing).expect("written");
        let read: Value = serde_json::from_str(&out.text()).expect("JSON");
        assert_eq!(read, thing);
    }

    #[test]
    fn exit_codes_are_those_of_the_manual() {
        let codes = [Exit::Done, Exit::No, Exit::Usage, Exit::Unavailable].map(Exit::code);
        assert_eq!(codes, [0, 1, 2, 3]);
    }
}
