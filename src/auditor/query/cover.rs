//! People's names out of the rows that the engine gets, where who asks sees pseudonyms (AU-15). It
//! is done below the engine: no question can be put to a name, so none can be tried.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow_schema::ArrowError;
use datafusion::common::{Column, Result};
use datafusion::logical_expr::Expr;

use crate::ledger::{Pseudonyms, RunEnd};
use crate::types::{Action, PrincipalId};

/// What is read beside what is shown, so that a row can be covered.
pub(super) const NEEDED: [&str; 3] = ["principal", "responsible", "action"];

/// The columns that name people.
const COVERED: [&str; 5] = ["principal", "responsible", "credential", "query", "rule"];

/// Whether a filter looks at what is covered: then it is the engine's own, above the cover.
pub(super) fn looks_under(filter: &Expr) -> bool {
    let covered = |column: &&Column| COVERED.contains(&column.name.as_str());
    filter.column_refs().iter().any(covered)
}

/// Pseudonyms of a batch, each made once.
struct Names<'a> {
    key: &'a Pseudonyms,
    known: HashMap<String, Option<String>>,
}

impl Names<'_> {
    fn of(&mut self, name: &str) -> Option<&str> {
        if !self.known.contains_key(name) {
            let person = name.parse::<PrincipalId>().ok();
            let pseudonym = person.and_then(|person| self.key.of(&person));
            let pseudonym = pseudonym.map(|pseudonym| pseudonym.to_string());
            self.known.insert(name.to_owned(), pseudonym);
        }
        self.known.get(name)?.as_deref()
    }
}

fn texts<'a>(batch: &'a RecordBatch, name: &str) -> Result<Option<&'a StringArray>> {
    let Some(column) = batch.column_by_name(name) else {
        return Ok(None);
    };
    let texts = column.as_any().downcast_ref::<StringArray>();
    let other = || ArrowError::SchemaError(format!("{name} is no column of texts"));
    Ok(Some(texts.ok_or_else(other)?))
}

fn at(texts: Option<&StringArray>, row: usize) -> Option<&str> {
    let texts = texts?;
    texts.is_valid(row).then(|| texts.value(row))
}

/// The rows with pseudonyms, of which the first `shown` columns are kept.
pub(super) fn cover(batch: &RecordBatch, key: &Pseudonyms, shown: usize) -> Result<RecordBatch> {
    let people = [texts(batch, "principal")?, texts(batch, "responsible")?];
    let actions = texts(batch, "action")?;
    let lists = [Action::ObjectList, Action::VersionList].map(Action::as_str);
    let mut names = Names {
        key,
        known: HashMap::new(),
    };
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(shown);
    let schema = batch.schema();
    for (field, column) in schema.fields().iter().zip(batch.columns()).take(shown) {
        let name = field.name().as_str();
        if !COVERED.contains(&name) {
            columns.push(Arc::clone(column));
            continue;
        }
        let there = texts(batch, name)?;
        let mut covered = Vec::with_capacity(batch.num_rows());
        for row in 0..batch.num_rows() {
            let text = at(there, row);
            covered.push(match name {
                "principal" | "responsible" => {
                    text.and_then(|name| names.of(name)).map(str::to_owned)
                }
                "query" => {
                    let action = at(actions, row);
                    let list = action.is_some_and(|word| lists.contains(&word));
                    let action = action.and_then(|word| word.parse().ok());
                    let kept = list || RunEnd::read(action, text).is_some();
                    text.filter(|_| kept).map(str::to_owned)
                }
                "rule" => text.map(|rule| {
                    let people = people.iter().filter_map(|people| at(*people, row));
                    people.fold(rule.to_owned(), |rule, person| {
                        rule.replace(person, names.of(person).unwrap_or_default())
                    })
                }),
                _ => None,
            });
        }
        columns.push(Arc::new(StringArray::from(covered)));
    }
    let kept: Vec<usize> = (0..shown).collect();
    let schema = Arc::new(schema.project(&kept)?);
    let rows = arrow_array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(schema, columns, &rows)?)
}
