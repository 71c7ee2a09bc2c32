//! The table `requests`: every request that may be seen, from volumes and the newest records.
//!
//! Whose records they are is decided here, **below** the engine: it gets streams of rows that were
//! chosen already, and cannot push a question of its own past that choice. Of its filters only
//! comparisons of a column with constants come here, to read less: such a filter cannot fail, and
//! so tells nothing about a row that it is tried on.

use std::fmt;
use std::sync::{Arc, LazyLock};

use arrow_array::RecordBatch;
use arrow_schema::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::common::{DFSchema, Result};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::{TableProvider, TableType};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{
    Between, BinaryExpr, Expr, Operator, TableProviderFilterPushDown, col, lit,
};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use futures_util::StreamExt as _;

use super::Eyes;
use super::cover::{NEEDED, cover, looks_under};
use super::volumes::Volumes;
use crate::archive::{Place, schema};
use crate::auditor::archive::Archive;
use crate::cli::output::CliError;
use crate::ledger::Pseudonyms;
use crate::types::Timestamp;

/// Where the engine believes the volumes to be.
pub(super) const PLACE: &str = "volumes:///";

/// What a volume holds for itself: who asks about requests does not see it.
const HIDDEN: [&str; 4] = ["kind", "session", "source", "data"];

/// The columns of `requests`.
static SHOWN: LazyLock<SchemaRef> = LazyLock::new(|| {
    let all = schema();
    let fields = all.fields().iter();
    let shown = fields.filter(|field| !HIDDEN.contains(&field.name().as_str()));
    Arc::new(Schema::new(shown.cloned().collect::<Vec<_>>()))
});

/// The table.
pub(super) struct LogTable {
    eyes: Eyes,
    files: Vec<PartitionedFile>,
    volumes: Option<Arc<Volumes>>,
    recent: Vec<RecordBatch>,
}

impl fmt::Debug for LogTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogTable")
    }
}

impl LogTable {
    /// Volumes and the newest records, as far as they may be seen. A volume in which nothing began
    /// or ended in `span` is left out.
    pub(super) fn new(
        archive: &Archive,
        eyes: Eyes,
        recent: Vec<RecordBatch>,
        span: (Option<Timestamp>, Option<Timestamp>),
    ) -> std::result::Result<Self, CliError> {
        let (since, until) = span;
        let within = |place: &&Place| {
            since.is_none_or(|since| place.newest_ms >= since.millis())
                && until.is_none_or(|until| place.oldest_ms < until.millis())
        };
        let places: Vec<Place> = archive
            .index
            .volumes()
            .iter()
            .filter(within)
            .cloned()
            .collect();
        let store = Arc::clone(&archive.store);
        let volumes = Volumes::new(store, &archive.keys.volumes, &places)?;
        let files = places.iter().map(|place| {
            let name = place.blob().map(|id| id.to_string()).unwrap_or_default();
            PartitionedFile::new(name, place.bytes)
        });
        Ok(Self {
            eyes,
            files: files.collect(),
            volumes: Some(Arc::new(volumes)),
            recent,
        })
    }

    /// The newest records alone.
    pub(super) const fn of(eyes: Eyes, recent: Vec<RecordBatch>) -> Self {
        Self {
            eyes,
            files: Vec::new(),
            volumes: None,
            recent,
        }
    }

    /// What must hold of a row before the engine may have it: it is a request, and may be seen. A
    /// request that is open where a volume ends is shown from where it ended, or among the newest.
    fn choice(&self, ended: bool) -> Expr {
        let kind = col("kind").eq(lit("whole"));
        let request = col("kind").eq(lit("request"));
        let request = if ended {
            request.and(col("end_seq").is_not_null())
        } else {
            request
        };
        let requests = kind.or(request);
        match &self.eyes.seen {
            None => requests,
            Some(project) => {
                let own = |name: &str| col(name).eq(lit(project.as_str()));
                requests.and(own("project").or(own("source_project")))
            }
        }
    }

    /// Whether a filter may be looked at earlier, to read less.
    fn is_early(&self, filter: &Expr) -> bool {
        is_plain(filter) && !(self.eyes.hidden.is_some() && looks_under(filter))
    }

    /// The rows of the volumes.
    fn read_volumes(
        &self,
        state: &dyn Session,
        columns: &[usize],
        filters: &[Expr],
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(volumes) = self.volumes.as_ref().filter(|_| !self.files.is_empty()) else {
            return Ok(None);
        };
        let choice = self.choice(true);
        let all = conjunction(std::iter::once(choice).chain(filters.iter().cloned()));
        let predicate = physical(state, &schema(), all.unwrap_or_else(|| lit(true)))?;
        let factory = Arc::<Volumes>::clone(volumes);
        let source = ParquetSource::new(schema())
            .with_pushdown_filters(true)
            .with_reorder_filters(true)
            .with_enable_page_index(true)
            .with_parquet_file_reader_factory(factory)
            .with_predicate(predicate);
        let mut groups = vec![Vec::new(), Vec::new()];
        for (at, file) in self.files.iter().enumerate() {
            if let Some(group) = groups.get_mut(at % 2) {
                group.push(file.clone());
            }
        }
        let groups = groups.into_iter().filter(|group| !group.is_empty());
        let groups = groups.map(FileGroup::new).collect();
        let place = ObjectStoreUrl::parse(PLACE)?;
        let config = FileScanConfigBuilder::new(place, Arc::new(source))
            .with_file_groups(groups)
            .with_projection_indices(Some(columns.to_vec()))?;
        Ok(Some(DataSourceExec::from_data_source(config.build())))
    }

    /// `input` has the columns that are read: lets the chosen rows through, with those of `shown`.
    fn chosen(
        &self,
        state: &dyn Session,
        input: Arc<dyn ExecutionPlan>,
        (ended, shown): (bool, &[usize]),
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let columns = input.schema();
        let choice = physical(state, &columns, self.choice(ended))?;
        let input = Arc::new(FilterExec::try_new(choice, input)?);
        let all = schema();
        let shown = shown.iter().map(|at| {
            let name = all.field(*at).name().clone();
            let at = columns.index_of(&name)?;
            let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(&name, at));
            Ok((column, name))
        });
        let shown = shown.collect::<Result<Vec<_>>>()?;
        Ok(Arc::new(ProjectionExec::try_new(shown, input)?))
    }
}

fn physical(
    state: &dyn Session,
    columns: &SchemaRef,
    filter: Expr,
) -> Result<Arc<dyn PhysicalExpr>> {
    let schema = DFSchema::try_from(Arc::clone(columns))?;
    state.create_physical_expr(filter, &schema)
}

/// What compares two values.
const COMPARING: [Operator; 6] = [
    Operator::Eq,
    Operator::NotEq,
    Operator::Lt,
    Operator::LtEq,
    Operator::Gt,
    Operator::GtEq,
];

/// Whether a filter compares columns with constants and does nothing else.
fn is_plain(filter: &Expr) -> bool {
    let column = |expr: &Expr| matches!(expr, Expr::Column(_));
    let constant = |expr: &Expr| matches!(expr, Expr::Literal(..));
    if let Expr::BinaryExpr(BinaryExpr { left, op, right }) = filter {
        if matches!(op, Operator::And | Operator::Or) {
            return is_plain(left) && is_plain(right);
        }
        let sides = (column(left) && constant(right)) || (constant(left) && column(right));
        return COMPARING.contains(op) && sides;
    }
    if let Expr::InList(InList { expr, list, .. }) = filter {
        return column(expr) && list.iter().all(constant);
    }
    if let Expr::Between(Between {
        expr, low, high, ..
    }) = filter
    {
        return column(expr) && constant(low) && constant(high);
    }
    if let Expr::IsNull(expr) | Expr::IsNotNull(expr) = filter {
        return column(expr);
    }
    if let Expr::Not(expr) = filter {
        return is_plain(expr);
    }
    column(filter)
}

#[async_trait]
impl TableProvider for LogTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&SHOWN)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let support = filters.iter().map(|filter| {
            if self.is_early(filter) {
                TableProviderFilterPushDown::Inexact
            } else {
                TableProviderFilterPushDown::Unsupported
            }
        });
        Ok(support.collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let all = schema();
        let every: Vec<usize> = (0..SHOWN.fields().len()).collect();
        let shown = projection.unwrap_or(&every).iter();
        let shown = shown.map(|at| Ok(all.index_of(SHOWN.field(*at).name())?));
        let mut shown = shown.collect::<Result<Vec<usize>>>()?;
        let kept = shown.len();
        if self.eyes.hidden.is_some() {
            for name in NEEDED {
                let at = all.index_of(name)?;
                if !shown.contains(&at) {
                    shown.push(at);
                }
            }
        }
        // What the choice looks at is read too.
        let mut read = shown.clone();
        for name in ["kind", "end_seq", "project", "source_project"] {
            read.push(all.index_of(name)?);
        }
        read.sort_unstable();
        read.dedup();
        let simple: Vec<Expr> = filters
            .iter()
            .filter(|f| self.is_early(f))
            .cloned()
            .collect();
        let mut plans = Vec::new();
        if let Some(volumes) = self.read_volumes(state, &read, &simple)? {
            plans.push(self.chosen(state, volumes, (true, &shown))?);
        }
        let recent =
            MemorySourceConfig::try_new_exec(std::slice::from_ref(&self.recent), all, Some(read))?;
        plans.push(self.chosen(state, recent, (false, &shown))?);
        let columns = Arc::new(SHOWN.project(projection.unwrap_or(&every))?);
        let mut streams: Vec<Arc<dyn PartitionStream>> = Vec::new();
        for chosen in plans {
            for number in 0..chosen.properties().output_partitioning().partition_count() {
                streams.push(Arc::new(Part {
                    plan: Arc::clone(&chosen),
                    number,
                    columns: Arc::clone(&columns),
                    hidden: self.eyes.hidden.clone(),
                    kept,
                }));
            }
        }
        let plan = StreamingTableExec::try_new(columns, streams, None, Vec::new(), false, None)?;
        Ok(Arc::new(plan))
    }
}

/// One stream of rows that were chosen: a leaf, which no rule of the engine looks into.
struct Part {
    plan: Arc<dyn ExecutionPlan>,
    number: usize,
    columns: SchemaRef,
    /// What hides people, and how many columns are shown then.
    hidden: Option<Arc<Pseudonyms>>,
    kept: usize,
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Part")
    }
}

impl PartitionStream for Part {
    fn schema(&self) -> &SchemaRef {
        &self.columns
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        match self.plan.execute(self.number, context) {
            Ok(stream) => match &self.hidden {
                None => stream,
                Some(key) => {
                    let (key, kept) = (Arc::clone(key), self.kept);
                    let covered = stream.map(move |batch| cover(&batch?, &key, kept));
                    let columns = Arc::clone(&self.columns);
                    Box::pin(RecordBatchStreamAdapter::new(columns, covered))
                }
            },
            Err(error) => {
                let failed = futures_util::stream::once(std::future::ready(Err(error)));
                Box::pin(RecordBatchStreamAdapter::new(
                    Arc::clone(&self.columns),
                    failed,
                ))
            }
        }
    }
}
