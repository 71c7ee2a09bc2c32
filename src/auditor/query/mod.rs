//! `kluis-audit query`: SQL over the volumes and the newest records together. What may be seen is
//! chosen before the engine sees a row (`scan`); the engine can read nothing else, writes nothing,
//! and has bounds of memory and time. That it is asked stands in the log before it is answered.

mod ask;
mod cells;
mod cover;
mod print;
mod runs;
mod scan;
mod volumes;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;
use datafusion::common::DataFusionError;
use datafusion::dataframe::DataFrame;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::logical_expr::LogicalPlan;
use datafusion::object_store::memory::InMemory;
use datafusion::prelude::{SQLOptions, SessionConfig, SessionContext};
use futures_util::StreamExt as _;

use super::archive::{Archive, LogKeys};
use super::args;
use super::hot::{Hot, lost_words};
use super::rows::in_scope;
use crate::app::system::bound_memory;
use crate::archive::Row;
use crate::cli::open::{Desk, call};
use crate::cli::output::{CliError, Exit, Output};
use crate::cli::serve::runtime;
use crate::ledger::Pseudonyms;
use crate::types::limits::{
    ARCHIVE_BATCH_ROWS, QUERY_BYTES_MAX, QUERY_MS_MAX, QUERY_PROCESS_BYTES_MAX,
};
use print::Printer;
use scan::LogTable;

/// How often `--follow` looks for more.
const LOOK: Duration = Duration::from_millis(500);

/// Whose records may be seen: a project's, or all.
pub(super) type Seen = Option<crate::types::ProjectName>;

/// What who asks may see.
#[derive(Clone, Default)]
pub(super) struct Eyes {
    /// Whose records.
    pub(super) seen: Seen,
    /// What hides people from her.
    pub(super) hidden: Option<Arc<Pseudonyms>>,
}

/// Runs it.
pub(super) fn run(
    ask: &args::Query,
    desk: Desk<'_>,
    output: &mut Output,
) -> Result<Exit, CliError> {
    let config = desk.config()?;
    let text = ask.text();
    let (keys, ended, hidden) = desk.act(output, async |opened| {
        let call = call(opened, "audit query")?;
        let hidden = super::admit(opened, &call, &ask.whose, (&text, false)).await?;
        let ended = match (&ask.whose.project, ask.filters.after_expiry) {
            (Some(project), true) => ask::ended(opened, project, hidden.as_deref()).await?,
            (Some(_), false) | (None, _) => Vec::new(),
        };
        Ok((LogKeys::of(&config, opened).await?, ended, hidden))
    })?;
    bound_memory(QUERY_PROCESS_BYTES_MAX)?;
    let runtime = runtime()?;
    let done = runtime.block_on(async {
        let archive = Archive::open(desk, keys).await?;
        let mut hot = Hot::open(&archive, &config).await?;
        let seen = ask.whose.project.clone();
        // Who follows is told of a request when it ends, once.
        let recent = newest(&mut hot, &archive, seen.as_ref(), !ask.follow).await?;
        if hot.lost() > 0 {
            output.note(&lost_words(hot.lost()));
        }
        let mut printer = Printer::new(ask.format(output.is_json()), ask.out.as_deref())?;
        let eyes = Eyes {
            seen: seen.clone(),
            hidden,
        };
        let table = LogTable::new(&archive, eyes.clone(), recent, ask.filters.span())?;
        let asked = answer(table, ask, &ended, &mut printer, output).await;
        asked?;
        if !ask.follow {
            printer.finish(output)?;
            return Ok(Exit::Done);
        }
        loop {
            tokio::time::sleep(LOOK).await;
            hot.forget();
            let recent = newest(&mut hot, &archive, seen.as_ref(), false).await?;
            if recent.iter().any(|batch| batch.num_rows() > 0) {
                let table = LogTable::of(eyes.clone(), recent);
                answer(table, ask, &ended, &mut printer, output).await?;
            }
        }
    });
    // A query that ran out of time may still hold a thread.
    runtime.shutdown_background();
    done
}

/// Rows as batches, lane by lane.
struct Batches {
    lane: String,
    rows: Vec<Row>,
    done: Vec<RecordBatch>,
}

impl Batches {
    fn push(&mut self, lane: &str, row: Row) -> Result<(), CliError> {
        if lane != self.lane || self.rows.len() >= ARCHIVE_BATCH_ROWS {
            self.flush()?;
            lane.clone_into(&mut self.lane);
        }
        self.rows.push(row);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), CliError> {
        if !self.rows.is_empty() {
            let batch = crate::archive::batch(&self.lane, &self.rows);
            let batch = batch.map_err(|error| super::archive::unreadable(&error))?;
            self.done.push(batch);
            self.rows.clear();
        }
        Ok(())
    }
}

/// What ended since the last look, and, where `open`, the requests that have not.
async fn newest(
    hot: &mut Hot,
    archive: &Archive,
    seen: Option<&crate::types::ProjectName>,
    open: bool,
) -> Result<Vec<RecordBatch>, CliError> {
    let mut batches = Batches {
        lane: String::new(),
        rows: Vec::new(),
        done: Vec::new(),
    };
    hot.read(archive, |lane, row| {
        if in_scope(&row, seen) {
            batches.push(lane, row)?;
        }
        Ok(())
    })
    .await?;
    for (lane, row) in hot.open_rows().filter(|_| open) {
        if in_scope(row, seen) {
            batches.push(lane, row.clone())?;
        }
    }
    batches.flush()?;
    Ok(batches.done)
}

/// An engine that knows one table, has no file and no place to write.
fn engine(table: LogTable) -> Result<SessionContext, DataFusionError> {
    let nowhere = DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled);
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_limit(QUERY_BYTES_MAX, 1.0)
        .with_disk_manager_builder(nowhere)
        .build_arc()?;
    let config = SessionConfig::new()
        .with_target_partitions(2)
        .with_information_schema(false)
        .set_bool("datafusion.execution.collect_statistics", false);
    let context = SessionContext::new_with_config_rt(config, runtime);
    // Neither the machine's files nor any other place: what an engine opens by itself is empty.
    for place in ["file:///", scan::PLACE] {
        let url = ObjectStoreUrl::parse(place)?;
        context.register_object_store(url.as_ref(), Arc::new(InMemory::new()));
    }
    let requests = runs::with_last(context.read_table(Arc::new(table))?)?;
    context.register_table("requests", requests.into_view())?;
    Ok(context)
}

/// Reads a query: one that only asks.
async fn plan(context: &SessionContext, sql: &str) -> Result<DataFrame, DataFusionError> {
    let options = SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false);
    let frame = context.sql_with_options(sql, options).await?;
    // A plan's text and its counts say more than its answer.
    let told = matches!(
        frame.logical_plan(),
        LogicalPlan::Explain(_) | LogicalPlan::Analyze(_) | LogicalPlan::DescribeTable(_)
    );
    if told {
        let text = "a query asks for rows, not for its plan".to_owned();
        return Err(DataFusionError::Plan(text));
    }
    Ok(frame)
}

async fn answer(
    table: LogTable,
    ask: &args::Query,
    ended: &[ask::Ended],
    printer: &mut Printer,
    output: &mut Output,
) -> Result<(), CliError> {
    let asking = async {
        let context = engine(table)?;
        let frame = match &ask.sql {
            Some(sql) => plan(&context, sql).await?,
            None => ask.filters.frame(&context, ended, ask.limit).await?,
        };
        let mut stream = frame.execute_stream().await?;
        printer.begin(&stream.schema());
        while let Some(batch) = stream.next().await {
            printer.batch(&batch?, output)?;
        }
        printer.pause(output)
    };
    bounded(Duration::from_millis(QUERY_MS_MAX), asking).await
}

/// An answer within its time, or an error.
async fn bounded<T>(
    bound: Duration,
    asking: impl Future<Output = Result<T, Wrong>>,
) -> Result<T, CliError> {
    match tokio::time::timeout(bound, asking).await {
        Ok(answered) => answered.map_err(Wrong::told),
        Err(_late) => Err(CliError::new(Exit::Unavailable, "the query took too long")
            .hint("ask about a shorter time: `WHERE time >= '2027-01-01' AND time < …`")),
    }
}

/// What went wrong: the question, or the telling.
#[derive(Debug)]
enum Wrong {
    Asked(Box<DataFusionError>),
    Told(CliError),
}

impl From<DataFusionError> for Wrong {
    fn from(error: DataFusionError) -> Self {
        Self::Asked(Box::new(error))
    }
}

impl From<CliError> for Wrong {
    fn from(error: CliError) -> Self {
        Self::Told(error)
    }
}

impl Wrong {
    fn told(self) -> CliError {
        let error = match self {
            Self::Told(error) => return error,
            Self::Asked(error) => error,
        };
        let text = error.strip_backtrace();
        let root = error.find_root();
        if matches!(root, DataFusionError::ResourcesExhausted(_)) {
            return CliError::new(Exit::Unavailable, "the query needs too much memory")
                .hint("ask about a shorter time, or for fewer columns or groups");
        }
        let unread = matches!(
            root,
            DataFusionError::ParquetError(_)
                | DataFusionError::External(_)
                | DataFusionError::ObjectStore(_)
                | DataFusionError::IoError(_)
        );
        if unread {
            return CliError::new(Exit::No, format!("the log cannot be read: {text}"));
        }
        CliError::new(Exit::Usage, text)
            .hint("the table is `requests`; docs/audit.md lists its columns")
    }
}
