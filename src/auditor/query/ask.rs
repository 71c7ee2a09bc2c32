//! The common questions, as filters.

use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::dataframe::DataFrame;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, col, lit};
use datafusion::prelude::SessionContext;

use super::runs::{KEY_LAST, may_hold_key, may_hold_under};
use crate::app::Opened;
use crate::auditor::args::{Query, QueryFilters};
use crate::cli::output::CliError;
use crate::ledger::Pseudonyms;
use crate::types::limits::GUARD_CACHE_MAX;
use crate::types::{Action, DatasetName, EventId, GrantId, PrincipalId, ProjectName, Timestamp};

/// A right that has ended.
#[derive(Clone, Debug)]
pub(super) struct Ended {
    pub(super) principal: PrincipalId,
    pub(super) dataset: Option<DatasetName>,
    pub(super) at: Timestamp,
}

/// The grants of a project that have an end; whose they are as who asks knows them.
pub(super) async fn ended(
    opened: &Opened,
    project: &ProjectName,
    hidden: Option<&Pseudonyms>,
) -> Result<Vec<Ended>, CliError> {
    let grants = opened.catalog.grants(project, GUARD_CACHE_MAX).await?;
    let ended = grants.into_iter().filter_map(|grant| {
        Some(Ended {
            at: grant.expires?,
            principal: match hidden {
                None => grant.principal,
                Some(key) => key.of(&grant.principal)?,
            },
            dataset: grant.dataset,
        })
    });
    Ok(ended.collect())
}

fn moment(time: Timestamp) -> Expr {
    let millis = i64::try_from(time.millis()).unwrap_or(i64::MAX);
    lit(ScalarValue::TimestampMillisecond(
        Some(millis),
        Some("UTC".into()),
    ))
}

fn is(name: &str, value: Option<&str>) -> Option<Expr> {
    value.map(|value| col(name).eq(lit(value)))
}

fn id(name: &str, bytes: Option<&[u8; 16]>) -> Option<Expr> {
    bytes.map(|bytes| {
        let value = ScalarValue::FixedSizeBinary(16, Some(bytes.to_vec()));
        col(name).eq(lit(value))
    })
}

/// A copy fits by its source too.
fn either(name: &str, value: Option<&str>) -> Option<Expr> {
    let own = is(name, value)?;
    Some(own.or(is(&format!("source_{name}"), value)?))
}

impl QueryFilters {
    /// From when to when.
    pub(super) const fn span(&self) -> (Option<Timestamp>, Option<Timestamp>) {
        (self.since, self.until)
    }

    fn who(&self) -> Option<Expr> {
        let who = self.principal.as_ref().map(PrincipalId::as_str);
        let asks = is("principal", who)?;
        Some(asks.or(is("responsible", who)?))
    }

    /// A job is a workload: somebody is responsible for what it does.
    fn job(&self) -> Option<Expr> {
        let job = self.job.as_ref().map(PrincipalId::as_str);
        Some(is("principal", job)?.and(col("responsible").is_not_null()))
    }

    /// Begun when a right of hers in the project had ended.
    fn after(&self, ended: &[Ended]) -> Option<Expr> {
        if !self.after_expiry {
            return None;
        }
        let each = ended.iter().map(|right| {
            let who = Some(right.principal.as_str());
            let late = col("time").gt_eq(moment(right.at));
            let dataset = is("dataset", right.dataset.as_ref().map(DatasetName::as_str));
            let hers = is("principal", who).into_iter().chain(dataset);
            hers.fold(late, Expr::and)
        });
        Some(each.fold(lit(false), Expr::or))
    }

    fn expr(&self, ended: &[Ended]) -> Option<Expr> {
        let key = self.key.as_ref().and_then(|key| {
            let own = either("key", Some(key.as_str()))?;
            Some(own.or(may_hold_key(key)))
        });
        let prefix = self.prefix.as_ref().map(|prefix| {
            let begins =
                |name| datafusion::functions::expr_fn::starts_with(col(name), lit(prefix.as_str()));
            begins("key")
                .or(begins("source_key"))
                .or(may_hold_under(prefix))
        });
        let refused = self.refused.then(|| col("outcome").eq(lit("refused")));
        let outcome = self.outcome.map(|outcome| outcome.to_string());
        conjunction(
            [
                either("dataset", self.dataset.as_ref().map(DatasetName::as_str)),
                key,
                prefix,
                self.who(),
                self.job(),
                is("action", self.action.map(Action::as_str)),
                is("outcome", outcome.as_deref()),
                refused,
                is("purpose", self.purpose.as_deref()),
                is("permit", self.permit.as_deref()),
                is("ip", self.ip.as_deref()),
                is("nature", self.nature.as_deref()),
                is("nature", self.break_glass.then_some("emergency")),
                id("event", self.event.as_ref().map(EventId::as_bytes)),
                id("grant_id", self.grant.as_ref().map(GrantId::as_bytes)),
                self.since.map(|since| col("time").gt_eq(moment(since))),
                self.until.map(|until| col("time").lt(moment(until))),
                self.after(ended),
            ]
            .into_iter()
            .flatten(),
        )
    }

    /// The requests that fit, oldest first.
    pub(super) async fn frame(
        &self,
        context: &SessionContext,
        ended: &[Ended],
        limit: usize,
    ) -> Result<DataFrame, DataFusionError> {
        const COLUMNS: [&str; 15] = [
            "time",
            "outcome",
            "principal",
            "responsible",
            "operation",
            "project",
            "dataset",
            "key",
            KEY_LAST,
            "bytes",
            "purpose",
            "permit",
            "reason",
            "ip",
            "event",
        ];
        let mut frame = context.table("requests").await?;
        if let Some(expr) = self.expr(ended) {
            frame = frame.filter(expr)?;
        }
        frame = frame.sort(vec![
            col("time").sort(true, false),
            col("seq").sort(true, false),
        ])?;
        if !self.all_columns {
            frame = frame.select_columns(&COLUMNS)?;
        }
        frame.limit(0, Some(limit))
    }

    /// The question as the log keeps it.
    fn words(&self) -> String {
        let text = |name: &str, value: Option<String>| value.map(|value| format!("{name}={value}"));
        let flag = |name: &str, on: bool| on.then(|| name.to_owned());
        let words = [
            text("dataset", self.dataset.as_ref().map(ToString::to_string)),
            text("key", self.key.as_ref().map(|key| key.as_str().to_owned())),
            text("prefix", self.prefix.clone()),
            text(
                "principal",
                self.principal.as_ref().map(ToString::to_string),
            ),
            text("job", self.job.as_ref().map(ToString::to_string)),
            text("action", self.action.map(|action| action.to_string())),
            text("outcome", self.outcome.map(|outcome| outcome.to_string())),
            flag("refused", self.refused),
            flag("after-expiry", self.after_expiry),
            text("purpose", self.purpose.clone()),
            text("permit", self.permit.clone()),
            text("ip", self.ip.clone()),
            text("nature", self.nature.clone()),
            flag("break-glass", self.break_glass),
            text("event", self.event.map(|event| event.to_string())),
            text("grant", self.grant.map(|grant| grant.to_string())),
            text("since", self.since.map(|time| time.to_string())),
            text("until", self.until.map(|time| time.to_string())),
        ];
        let words: Vec<String> = words.into_iter().flatten().collect();
        if words.is_empty() {
            "all".to_owned()
        } else {
            words.join(" ")
        }
    }
}

impl Query {
    /// The question as the log keeps it.
    pub(in crate::auditor) fn text(&self) -> String {
        let question = match &self.sql {
            Some(sql) => format!("sql={sql}"),
            None => self.filters.words(),
        };
        format!("query {}{question}", self.whose.words())
    }
}
