//! An answer as CSV. Agents, keys and reasons are whatever somebody sent who may have had no right
//! at all, and what opens the file may calculate: no text of it begins as a formula does.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_schema::{DataType, Schema};
use datafusion::arrow::array::AsArray as _;
use datafusion::arrow::compute::cast;
use datafusion::arrow::csv::WriterBuilder;
use datafusion::arrow::error::ArrowError;

use crate::ledger::export::inert;

/// The lines of a batch, with a line of names if it is the first.
pub(super) fn lines(batch: &RecordBatch, head: bool) -> Result<Vec<u8>, ArrowError> {
    let mut bytes = Vec::new();
    let mut writer = WriterBuilder::new().with_header(head).build(&mut bytes);
    writer.write(&marked(batch)?)?;
    drop(writer);
    Ok(bytes)
}

/// The batch with its names and texts marked where one would calculate.
fn marked(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    if batch.num_columns() == 0 {
        return Ok(batch.clone());
    }
    let (mut fields, mut columns) = (Vec::new(), Vec::new());
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let column = if is_text(column.data_type()) {
            texts(column)?
        } else {
            Arc::clone(column)
        };
        let field = field.as_ref().clone();
        let name = inert(field.name()).into_owned();
        fields.push(
            field
                .with_name(name)
                .with_data_type(column.data_type().clone()),
        );
        columns.push(column);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

fn texts(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let texts = cast(column, &DataType::Utf8)?;
    let texts = texts.as_string::<i32>().iter();
    let texts: StringArray = texts.map(|text| text.map(inert)).collect();
    Ok(Arc::new(texts))
}

fn is_text(kind: &DataType) -> bool {
    if let DataType::Dictionary(_, values) = kind {
        return is_text(values);
    }
    [DataType::Utf8, DataType::LargeUtf8, DataType::Utf8View].contains(kind)
}
