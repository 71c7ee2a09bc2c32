//! An answer as a table, JSON lines, CSV or Parquet. Nothing in it can move a terminal's cursor.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use datafusion::arrow::json::writer::{LineDelimited, WriterBuilder as JsonBuilder};
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::parquet::arrow::ArrowWriter;

use super::cells;
use crate::app::create_partial;
use crate::auditor::args::Format;
use crate::cli::output::{CliError, Exit, Output};

/// Rows that a table is laid out for at once.
const TABLE_ROWS: usize = 10_000;

/// Takes an answer batch by batch.
pub(super) struct Printer {
    format: Format,
    out: Option<Out>,
    schema: Option<SchemaRef>,
    held: Vec<RecordBatch>,
    rows: usize,
    headed: bool,
}

/// A file that has its name only when it is whole.
struct Out {
    path: PathBuf,
    beside: PathBuf,
    kind: Kind,
}

enum Kind {
    Plain(BufWriter<File>),
    Waiting(File),
    Parquet(Box<ArrowWriter<File>>),
}

fn failed(error: &dyn std::error::Error) -> CliError {
    CliError::of(Exit::Unavailable, error)
}

impl Printer {
    pub(super) fn new(format: Format, out: Option<&Path>) -> Result<Self, CliError> {
        let out = match out {
            None if format == Format::Parquet => {
                return Err(CliError::new(
                    Exit::Usage,
                    "Parquet goes to a file: --out FILE",
                ));
            }
            None => None,
            Some(path) if path.exists() => {
                let told = format!("{} is there already, nothing was changed", path.display());
                return Err(CliError::new(Exit::Usage, told));
            }
            Some(path) => {
                let (beside, file) = create_partial(path)?;
                let kind = if format == Format::Parquet {
                    Kind::Waiting(file)
                } else {
                    Kind::Plain(BufWriter::new(file))
                };
                Some(Out {
                    path: path.to_owned(),
                    beside,
                    kind,
                })
            }
        };
        Ok(Self {
            format,
            out,
            schema: None,
            held: Vec::new(),
            rows: 0,
            headed: false,
        })
    }

    pub(super) fn begin(&mut self, schema: &SchemaRef) {
        self.schema = Some(SchemaRef::clone(schema));
    }

    pub(super) fn batch(
        &mut self,
        batch: &RecordBatch,
        output: &mut Output,
    ) -> Result<(), CliError> {
        self.rows = self.rows.saturating_add(batch.num_rows());
        match self.format {
            Format::Table => {
                self.held.push(batch.clone());
                let held: usize = self.held.iter().map(RecordBatch::num_rows).sum();
                if held >= TABLE_ROWS {
                    self.table(output)
                } else {
                    Ok(())
                }
            }
            Format::Json => {
                // As `--json` says of all commands: what is not there is null.
                let builder = JsonBuilder::new().with_explicit_nulls(true);
                let mut writer = builder.build::<_, LineDelimited>(Vec::new());
                writer.write(batch).map_err(|error| failed(&error))?;
                writer.finish().map_err(|error| failed(&error))?;
                self.write(&writer.into_inner(), output)
            }
            Format::Csv => {
                let head = !std::mem::replace(&mut self.headed, true);
                let bytes = cells::lines(batch, head).map_err(|error| failed(&error))?;
                self.write(&bytes, output)
            }
            Format::Parquet => self.parquet(batch),
        }
    }

    fn parquet(&mut self, batch: &RecordBatch) -> Result<(), CliError> {
        let Some(out) = &mut self.out else {
            return Ok(());
        };
        if let Kind::Waiting(file) = &out.kind {
            let file = file.try_clone()?;
            let writer = ArrowWriter::try_new(file, batch.schema(), None);
            out.kind = Kind::Parquet(Box::new(writer.map_err(|error| failed(&error))?));
        }
        match &mut out.kind {
            Kind::Parquet(writer) => writer.write(batch).map_err(|error| failed(&error)),
            Kind::Plain(_) | Kind::Waiting(_) => Ok(()),
        }
    }

    fn table(&mut self, output: &mut Output) -> Result<(), CliError> {
        let held = std::mem::take(&mut self.held);
        if held.is_empty() {
            return Ok(());
        }
        let text = pretty_format_batches(&held).map_err(|error| failed(&error))?;
        let text = text.to_string();
        if self.out.is_some() {
            return self.write(format!("{text}\n").as_bytes(), output);
        }
        text.lines().try_for_each(|line| output.line(line))
    }

    fn write(&mut self, bytes: &[u8], output: &mut Output) -> Result<(), CliError> {
        match self.out.as_mut().map(|out| &mut out.kind) {
            Some(Kind::Plain(file)) => Ok(file.write_all(bytes)?),
            Some(Kind::Waiting(_) | Kind::Parquet(_)) => Ok(()),
            None if output.is_terminal() => {
                let text = String::from_utf8_lossy(bytes);
                text.lines().try_for_each(|line| output.line(line))
            }
            None => output.data(bytes),
        }
    }

    /// What is held is shown.
    pub(super) fn pause(&mut self, output: &mut Output) -> Result<(), super::Wrong> {
        // Who reads a file knows its columns, also where there is no row.
        if self.rows == 0
            && matches!(self.format, Format::Parquet | Format::Csv)
            && let Some(schema) = &self.schema
        {
            let empty = RecordBatch::new_empty(SchemaRef::clone(schema));
            self.batch(&empty, output)?;
        }
        Ok(self.table(output)?)
    }

    /// The answer is whole.
    pub(super) fn finish(mut self, output: &mut Output) -> Result<(), CliError> {
        self.table(output)?;
        if let Some(out) = self.out.take() {
            match out.kind {
                Kind::Plain(file) => {
                    file.into_inner().map_err(io::Error::from)?.sync_all()?;
                }
                Kind::Parquet(writer) => {
                    writer
                        .into_inner()
                        .map_err(|error| failed(&error))?
                        .sync_all()?;
                }
                Kind::Waiting(file) => file.sync_all()?,
            }
            std::fs::rename(&out.beside, &out.path)?;
            output.note(&format!("{} rows are in {}", self.rows, out.path.display()));
        } else if self.rows == 0 && self.format == Format::Table {
            output.note("no records");
        }
        Ok(())
    }
}
