//! `kluis-audit export`: requests in the forms that others read, one line each, oldest first.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use super::archive::{Archive, LogKeys};
use super::args;
use super::hot::{Hot, lost_words};
use super::rows::{Span, in_scope, volumes};
use crate::app::create_partial;
use crate::archive::Row;
use crate::cli::open::{Desk, call};
use crate::cli::output::{CliError, Exit, Output};
use crate::cli::serve::runtime;
use crate::ledger::export::Form;
use crate::ledger::{Entry, Pseudonyms, View};
use crate::types::ProjectName;

/// Runs it.
pub(super) fn run(
    ask: &args::Export,
    desk: Desk<'_>,
    output: &mut Output,
) -> Result<Exit, CliError> {
    let config = desk.config()?;
    if let Some(path) = &ask.out
        && path.exists()
    {
        let told = format!("{} is there already, nothing was changed", path.display());
        return Err(CliError::new(Exit::Usage, told));
    }
    let own = match (&ask.pseudonyms, &ask.whose.project) {
        (Some(path), Some(project)) => Some(super::pseudonym::open(path, project)?),
        (Some(_), None) => {
            let told = "pseudonyms are a project's: --project, and not --vault";
            return Err(CliError::new(Exit::Usage, told));
        }
        (None, _) => None,
    };
    let question = ask.words();
    let (keys, hidden) = desk.act(output, async |opened| {
        let call = call(opened, "audit export")?;
        // Under a key of her own a pseudonym is a name to her: she holds what tries names. So where
        // people are hidden from her, that is as little shown as their names are (AU-15).
        let names = own.is_some();
        let hidden = super::admit(opened, &call, &ask.whose, (&question, names)).await?;
        Ok((LogKeys::of(&config, opened).await?, hidden))
    })?;
    // To whoever sees names a key of the controller's own hides people as well.
    let hidden = own.map(Arc::new).or(hidden);
    let mut lines = Lines::new(ask, hidden, output)?;
    let done = runtime()?.block_on(async {
        let archive = Archive::open(desk, keys).await?;
        let span = lines.span;
        volumes(&archive, span, |lane, row| lines.row(lane, &row)).await?;
        let mut hot = Hot::open(&archive, &config).await?;
        hot.read(&archive, |lane, row| lines.row(lane, &row))
            .await?;
        for (lane, row) in hot.open_rows() {
            lines.row(lane, row)?;
        }
        if hot.lost() > 0 {
            let told = lost_words(hot.lost());
            return Err(CliError::new(Exit::No, told));
        }
        Ok(())
    });
    match done {
        Ok(()) => lines.finish(),
        Err(error) => {
            lines.give_up();
            Err(error)
        }
    }
}

/// Where the lines go: a file that has its name only when it is whole, or standard output.
struct Lines<'a> {
    form: Form,
    hidden: Option<Arc<Pseudonyms>>,
    seen: Option<ProjectName>,
    span: Span,
    out: Option<(PathBuf, PathBuf, BufWriter<File>)>,
    output: &'a mut Output,
    count: u64,
}

impl<'a> Lines<'a> {
    fn new(
        ask: &args::Export,
        hidden: Option<Arc<Pseudonyms>>,
        output: &'a mut Output,
    ) -> Result<Self, CliError> {
        let out = match &ask.out {
            None => None,
            Some(path) => {
                let (beside, file) = create_partial(path)?;
                Some((path.clone(), beside, BufWriter::new(file)))
            }
        };
        let mut lines = Self {
            form: ask.form.into(),
            hidden,
            seen: ask.whose.project.clone(),
            span: Span {
                since: ask.since,
                until: ask.until,
            },
            out,
            output,
            count: 0,
        };
        if let Some(head) = lines.form.head() {
            lines.write(&head)?;
        }
        Ok(lines)
    }

    fn write(&mut self, line: &str) -> Result<(), CliError> {
        match &mut self.out {
            Some((_, _, file)) => Ok(writeln!(file, "{line}")?),
            None => self.output.line(line),
        }
    }

    fn row(&mut self, lane: &str, row: &Row) -> Result<(), CliError> {
        let begun = row.entry.begun();
        let within = begun.is_some_and(|time| self.span.holds(time));
        if !within || !in_scope(row, self.seen.as_ref()) {
            return Ok(());
        }
        let session = row.session.as_deref();
        let Some(mut view) = View::of(lane, row.seq, session, &row.entry) else {
            return Ok(());
        };
        if let (Entry::Intent { .. }, Some((_, completion))) = (&row.entry, &row.end) {
            view.completion = Some(completion);
        }
        let cover = self.hidden.as_ref().map(|key| key.cover(&view));
        let shown = cover.as_ref().map_or(view, |cover| cover.over(&view));
        let Some(text) = self.form.line(&shown) else {
            return Ok(());
        };
        self.count = self.count.saturating_add(1);
        self.write(&text)
    }

    fn finish(self) -> Result<Exit, CliError> {
        if let Some((path, beside, file)) = self.out {
            file.into_inner()
                .map_err(std::io::Error::from)?
                .sync_all()?;
            std::fs::rename(&beside, &path)?;
            self.output.note(&format!(
                "{} requests are in {}",
                self.count,
                path.display()
            ));
        }
        Ok(Exit::Done)
    }

    fn give_up(self) {
        if let Some((_, beside, _)) = self.out {
            drop(std::fs::remove_file(beside));
        }
    }
}
