//! Runs of objects in the engine: where each ended, and whether it may have held what is asked for.

use std::sync::Arc;

use arrow_array::{Array as _, ArrayRef, BooleanArray, StringArray};
use arrow_schema::DataType;
use datafusion::common::cast::as_string_array;
use datafusion::common::{DataFusionError, Result};
use datafusion::dataframe::DataFrame;
use datafusion::logical_expr::{ColumnarValue, Expr, Volatility, col, create_udf};

use crate::ledger::RunEnd;
use crate::types::{Action, ObjectKey};

/// The column of where a run ended.
pub(super) const KEY_LAST: &str = "key_last";
/// What tells of a run.
const TELLS: [&str; 3] = ["action", "key", "query"];

/// The first key and the end of the run that a row tells of.
fn run<'a>(
    [actions, keys, queries]: [&'a StringArray; 3],
    row: usize,
) -> Option<(&'a str, RunEnd<'a>)> {
    let text = |column: &'a StringArray| column.is_valid(row).then(|| column.value(row));
    let action: Option<Action> = text(actions)?.parse().ok();
    Some((text(keys)?, RunEnd::read(action, text(queries))?))
}

/// A column made of each row's run. No query can name it: it is in no register.
fn of_runs<T>(
    (name, kind): (&str, DataType),
    tell: impl Fn(Option<(&str, RunEnd<'_>)>) -> T + Send + Sync + 'static,
    column: impl Fn(Vec<T>) -> ArrayRef + Send + Sync + 'static,
) -> Expr {
    let make = move |values: &[ColumnarValue]| -> Result<ColumnarValue> {
        let columns = ColumnarValue::values_to_arrays(values)?;
        let [actions, keys, queries] = columns.as_slice() else {
            return Err(DataFusionError::Internal("three columns".to_owned()));
        };
        let texts = [
            as_string_array(actions)?,
            as_string_array(keys)?,
            as_string_array(queries)?,
        ];
        let told = (0..actions.len())
            .map(|row| tell(run(texts, row)))
            .collect();
        Ok(ColumnarValue::Array(column(told)))
    };
    let columns = vec![DataType::Utf8; TELLS.len()];
    let udf = create_udf(name, columns, kind, Volatility::Immutable, Arc::new(make));
    udf.call(TELLS.map(col).to_vec())
}

/// Rows with the column `key_last`: a text that no key of the run is behind; empty where a row
/// tells of no run.
pub(super) fn with_last(rows: DataFrame) -> Result<DataFrame> {
    let last = of_runs(
        (KEY_LAST, DataType::Utf8),
        |run| run.map(|(_, end)| end.bound()),
        |told| Arc::new(StringArray::from(told)),
    );
    rows.with_column(KEY_LAST, last)
}

fn may_hold(tell: impl Fn(&str, RunEnd<'_>) -> bool + Send + Sync + 'static) -> Expr {
    of_runs(
        ("may_hold", DataType::Boolean),
        move |run| run.is_some_and(|(first, end)| tell(first, end)),
        |told| Arc::new(BooleanArray::from(told)),
    )
}

/// Whether a row's run may have held this key.
pub(super) fn may_hold_key(key: &ObjectKey) -> Expr {
    let key = key.clone();
    may_hold(move |first, end| end.may_hold(first, key.as_str()))
}

/// Whether a row's run may have held a key that begins so.
pub(super) fn may_hold_under(prefix: &str) -> Expr {
    let prefix = prefix.to_owned();
    may_hold(move |first, end| end.may_hold_under(first, &prefix))
}
