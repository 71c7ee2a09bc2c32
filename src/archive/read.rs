//! Columns become rows again. What repeats comes as a dictionary and is parsed once for each batch.

use std::sync::{Arc, LazyLock};

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Int32Type, TimestampMillisecondType, UInt16Type, UInt64Type};
use arrow_array::{
    Array, BinaryArray, BooleanArray, FixedSizeBinaryArray, PrimitiveArray, RecordBatch,
    StringArray,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::arrow_reader::{
    ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};

use super::ArchiveError;
use super::columns::{kind, schema};
use super::file::Volume;
use super::fold::Row;
use crate::ledger::{
    Completion, Entry, Intent, ObjectRef, PolicyRef, Session, SessionHash, Word, decode,
    session_hash,
};
use crate::types::limits::{ARCHIVE_BATCH_ROWS, JOURNAL_SESSIONS_MAX};
use crate::types::{Action, ByteRange, EventId, GrantId, Timestamp, VersionId};

/// The schema with dictionaries for the texts that repeat.
static READING: LazyLock<SchemaRef> = LazyLock::new(|| {
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let fields = schema()
        .fields()
        .iter()
        .map(|field| {
            let plain = matches!(field.name().as_str(), "key" | "source_key" | "query");
            if *field.data_type() == DataType::Utf8 && !plain {
                Field::new(field.name(), dictionary.clone(), true)
            } else {
                (**field).clone()
            }
        })
        .collect::<Vec<_>>();
    Arc::new(Schema::new(fields))
});

fn reader(volume: &Volume, schema: SchemaRef) -> Result<ParquetRecordBatchReader, ArchiveError> {
    let options = ArrowReaderOptions::new()
        .with_file_decryption_properties(Arc::clone(&volume.keys))
        .with_schema(schema);
    let bytes = volume.bytes.clone();
    let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(bytes, options)?;
    Ok(builder.with_batch_size(ARCHIVE_BATCH_ROWS).build()?)
}

/// The batches as they were written.
pub(super) fn plain(volume: &Volume) -> Result<ParquetRecordBatchReader, ArchiveError> {
    reader(volume, schema())
}

/// Hands every row of a volume to `take`, in their order.
pub fn rows_of(
    volume: &Volume,
    mut take: impl FnMut(Row) -> Result<(), ArchiveError>,
) -> Result<(), ArchiveError> {
    let mut sessions = Sessions::default();
    let mut from = 0_usize;
    for batch in reader(volume, Arc::clone(&READING))? {
        let batch = batch?;
        let columns = Columns::of(&batch)?;
        for at in 0..batch.num_rows() {
            let row = columns.row(at, &mut sessions);
            take(row.ok_or(ArchiveError::Row(from.saturating_add(at)))?)?;
        }
        from = from.saturating_add(batch.num_rows());
    }
    Ok(())
}

/// The sessions that were seen, each by the hash that its columns must have.
#[derive(Default)]
struct Sessions(std::collections::HashMap<SessionHash, Arc<Session>>);

/// A text that repeats: each of its values parsed once; `None` where one does not parse.
struct Words<T> {
    keys: PrimitiveArray<Int32Type>,
    values: Vec<Option<T>>,
}

/// A value of a column; `Err` where there is one that cannot be.
type Cell<T> = Result<Option<T>, ()>;

impl<T: Clone> Words<T> {
    fn of(
        batch: &RecordBatch,
        name: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Self, ArchiveError> {
        let column = column(batch, name)?.as_dictionary_opt::<Int32Type>();
        let column = column.ok_or(ArchiveError::Other("a column of another type"))?;
        let values = column.values().as_string_opt::<i32>();
        let values = values.ok_or(ArchiveError::Other("a column of another type"))?;
        Ok(Self {
            keys: column.keys().clone(),
            values: values.iter().map(|text| parse(text?)).collect(),
        })
    }

    fn at(&self, at: usize) -> Cell<T> {
        if self.keys.is_null(at) {
            return Ok(None);
        }
        let value = usize::try_from(self.keys.value(at)).map_err(|_negative| ())?;
        match self.values.get(value) {
            Some(Some(value)) => Ok(Some(value.clone())),
            Some(None) | None => Err(()),
        }
    }

    /// Which of the values it is: the same for the same text within a batch.
    fn place(&self, at: usize) -> i32 {
        if self.keys.is_null(at) {
            -1
        } else {
            self.keys.value(at)
        }
    }
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a Arc<dyn Array>, ArchiveError> {
    let missing = ArchiveError::Other("a column is missing");
    batch.column_by_name(name).ok_or(missing)
}

fn typed<'a, T: 'static>(batch: &'a RecordBatch, name: &str) -> Result<&'a T, ArchiveError> {
    let typed = column(batch, name)?.as_any().downcast_ref::<T>();
    typed.ok_or(ArchiveError::Other("a column of another type"))
}

fn text(column: &StringArray, at: usize) -> Option<&str> {
    column.is_valid(at).then(|| column.value(at))
}

fn number(column: &PrimitiveArray<UInt64Type>, at: usize) -> Option<u64> {
    column.is_valid(at).then(|| column.value(at))
}

fn fixed<const N: usize>(column: &FixedSizeBinaryArray, at: usize) -> Cell<[u8; N]> {
    if column.is_null(at) {
        return Ok(None);
    }
    column.value(at).try_into().map(Some).map_err(|_length| ())
}

fn time(column: &PrimitiveArray<TimestampMillisecondType>, at: usize) -> Cell<Timestamp> {
    if column.is_null(at) {
        return Ok(None);
    }
    let millis = u64::try_from(column.value(at)).map_err(|_negative| ())?;
    Ok(Some(Timestamp::from_millis(millis)))
}

/// The columns of a batch.
struct Columns<'a> {
    seq: &'a PrimitiveArray<UInt64Type>,
    end_seq: &'a PrimitiveArray<UInt64Type>,
    kind: Words<String>,
    session: SessionColumns<'a>,
    intent: IntentColumns<'a>,
    end: EndColumns<'a>,
    data: &'a BinaryArray,
}

struct SessionColumns<'a> {
    principal: Words<crate::types::PrincipalId>,
    responsible: Words<crate::types::PrincipalId>,
    credential: Words<crate::types::AccessKeyId>,
    auth: Words<crate::ledger::AuthMethod>,
    ip: Words<String>,
    agent: Words<String>,
    gateway: Words<String>,
    hash: &'a FixedSizeBinaryArray,
    /// Where in this batch a session was held against its hash.
    seen: std::cell::RefCell<std::collections::HashSet<([i32; 7], SessionHash)>>,
}

struct ObjectColumns<'a> {
    project: Words<crate::types::ProjectName>,
    dataset: Words<crate::types::DatasetName>,
    key: &'a StringArray,
    version: &'a FixedSizeBinaryArray,
}

struct IntentColumns<'a> {
    event: &'a FixedSizeBinaryArray,
    time: &'a PrimitiveArray<TimestampMillisecondType>,
    action: Words<Action>,
    operation: Words<String>,
    nature: Words<crate::ledger::Nature>,
    object: ObjectColumns<'a>,
    has_source: &'a BooleanArray,
    source: ObjectColumns<'a>,
    range_start: &'a PrimitiveArray<UInt64Type>,
    range_end: &'a PrimitiveArray<UInt64Type>,
    query: &'a StringArray,
    allowed: &'a BooleanArray,
    rule: Words<String>,
    policy: &'a FixedSizeBinaryArray,
    grant: &'a FixedSizeBinaryArray,
    purpose: Words<String>,
    permit: Words<String>,
}

struct EndColumns<'a> {
    time: &'a PrimitiveArray<TimestampMillisecondType>,
    outcome: Words<crate::ledger::Outcome>,
    status: &'a PrimitiveArray<UInt16Type>,
    reason: Words<String>,
    bytes: &'a PrimitiveArray<UInt64Type>,
    object_bytes: &'a PrimitiveArray<UInt64Type>,
}

impl<'a> Columns<'a> {
    fn of(batch: &'a RecordBatch) -> Result<Self, ArchiveError> {
        Ok(Self {
            seq: typed(batch, "seq")?,
            end_seq: typed(batch, "end_seq")?,
            kind: Words::of(batch, "kind", |text| Some(text.to_owned()))?,
            session: SessionColumns::of(batch)?,
            intent: IntentColumns::of(batch)?,
            end: EndColumns::of(batch)?,
            data: typed(batch, "data")?,
        })
    }

    /// The row; `None` where it is none.
    fn row(&self, at: usize, sessions: &mut Sessions) -> Option<Row> {
        let seq = number(self.seq, at)?;
        let word = self.kind.keys.is_valid(at).then(|| self.kind.place(at))?;
        let word = self
            .kind
            .values
            .get(usize::try_from(word).ok()?)?
            .as_deref()?;
        let event = |fixed: Cell<[u8; 16]>| Some(EventId::from_bytes(fixed.ok()??));
        let mut end = None;
        let mut session = None;
        let entry = match word {
            kind::OTHER if self.data.is_valid(at) => decode(self.data.value(at)).ok()?,
            kind::END => Entry::Completion(self.end.row(at, event(fixed(self.intent.event, at))?)?),
            kind::REQUEST | kind::WHOLE => {
                let event = event(fixed(self.intent.event, at))?;
                let hash = fixed(self.session.hash, at).ok()??;
                session = self.session.row(at, &hash, sessions).ok()?;
                let intent = self.intent.row(at, event).ok()?;
                if word == kind::WHOLE {
                    let completion = self.end.row(at, event)?;
                    Entry::Whole {
                        session: hash,
                        intent,
                        completion,
                    }
                } else {
                    if let Some(seq) = number(self.end_seq, at) {
                        end = Some((seq, self.end.row(at, event)?));
                    }
                    Entry::Intent {
                        session: hash,
                        intent,
                    }
                }
            }
            _unknown => return None,
        };
        Some(Row {
            seq,
            entry,
            session,
            end,
        })
    }
}

impl<'a> SessionColumns<'a> {
    fn of(batch: &'a RecordBatch) -> Result<Self, ArchiveError> {
        let parsed = |text: &str| text.parse().ok();
        Ok(Self {
            principal: Words::of(batch, "principal", parsed)?,
            responsible: Words::of(batch, "responsible", parsed)?,
            credential: Words::of(batch, "credential", |text| text.parse().ok())?,
            auth: Words::of(batch, "auth", Word::from_word)?,
            ip: Words::of(batch, "ip", |text| Some(text.to_owned()))?,
            agent: Words::of(batch, "agent", |text| Some(text.to_owned()))?,
            gateway: Words::of(batch, "gateway", |text| Some(text.to_owned()))?,
            hash: typed(batch, "session")?,
            seen: std::cell::RefCell::default(),
        })
    }

    /// The session of a row, which must be the one of the hash.
    fn row(&self, at: usize, hash: &SessionHash, known: &mut Sessions) -> Cell<Arc<Session>> {
        let places = [
            self.principal.place(at),
            self.responsible.place(at),
            self.credential.place(at),
            self.auth.place(at),
            self.ip.place(at),
            self.agent.place(at),
            self.gateway.place(at),
        ];
        if places == [-1; 7] {
            return Ok(None);
        }
        let mut seen = self.seen.borrow_mut();
        if seen.contains(&(places, *hash)) {
            return Ok(known.0.get(hash).cloned());
        }
        let session = Session {
            principal: self.principal.at(at)?,
            responsible: self.responsible.at(at)?,
            access_key: self.credential.at(at)?,
            auth: self.auth.at(at)?.ok_or(())?,
            client_ip: self.ip.at(at)?.ok_or(())?,
            user_agent: self.agent.at(at)?.ok_or(())?,
            source: self.gateway.at(at)?.ok_or(())?,
        };
        if session_hash(&session).ok() != Some(*hash) {
            return Err(());
        }
        if known.0.len() >= JOURNAL_SESSIONS_MAX {
            known.0.clear();
            seen.clear();
        }
        seen.insert((places, *hash));
        let session = known.0.entry(*hash).or_insert_with(|| Arc::new(session));
        Ok(Some(Arc::clone(session)))
    }
}

impl<'a> ObjectColumns<'a> {
    fn of(batch: &'a RecordBatch, names: [&str; 4]) -> Result<Self, ArchiveError> {
        let [project, dataset, key, version] = names;
        Ok(Self {
            project: Words::of(batch, project, |text| text.parse().ok())?,
            dataset: Words::of(batch, dataset, |text| text.parse().ok())?,
            key: typed(batch, key)?,
            version: typed(batch, version)?,
        })
    }

    fn row(&self, at: usize) -> Result<ObjectRef, ()> {
        let key = text(self.key, at).map(|key| key.parse().map_err(|_name| ()));
        Ok(ObjectRef {
            project: self.project.at(at)?,
            dataset: self.dataset.at(at)?,
            key: key.transpose()?,
            version: fixed(self.version, at)?.map(VersionId::from_bytes),
        })
    }
}

impl<'a> IntentColumns<'a> {
    fn of(batch: &'a RecordBatch) -> Result<Self, ArchiveError> {
        let source = [
            "source_project",
            "source_dataset",
            "source_key",
            "source_version",
        ];
        Ok(Self {
            event: typed(batch, "event")?,
            time: typed(batch, "time")?,
            action: Words::of(batch, "action", |text| text.parse().ok())?,
            operation: Words::of(batch, "operation", |text| Some(text.to_owned()))?,
            nature: Words::of(batch, "nature", Word::from_word)?,
            object: ObjectColumns::of(batch, ["project", "dataset", "key", "version"])?,
            has_source: typed(batch, "source")?,
            source: ObjectColumns::of(batch, source)?,
            range_start: typed(batch, "range_start")?,
            range_end: typed(batch, "range_end")?,
            query: typed(batch, "query")?,
            allowed: typed(batch, "allowed")?,
            rule: Words::of(batch, "rule", |text| Some(text.to_owned()))?,
            policy: typed(batch, "policy")?,
            grant: typed(batch, "grant_id")?,
            purpose: Words::of(batch, "purpose", |text| Some(text.to_owned()))?,
            permit: Words::of(batch, "permit", |text| Some(text.to_owned()))?,
        })
    }

    fn row(&self, at: usize, event: EventId) -> Result<Intent, ()> {
        let range = match (number(self.range_start, at), number(self.range_end, at)) {
            (Some(start), Some(end)) => Some(ByteRange::new(start, end).ok_or(())?),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => return Err(()),
        };
        let from = self.has_source.is_valid(at) && self.has_source.value(at);
        let policy = match fixed(self.policy, at)? {
            None => None,
            Some(version) if self.allowed.is_valid(at) => Some(PolicyRef {
                allowed: self.allowed.value(at),
                rule: self.rule.at(at)?.ok_or(())?,
                version,
                grant: fixed(self.grant, at)?.map(GrantId::from_bytes),
                purpose: self.purpose.at(at)?,
                permit: self.permit.at(at)?,
            }),
            Some(_) => return Err(()),
        };
        Ok(Intent {
            event,
            time: time(self.time, at)?.ok_or(())?,
            action: self.action.at(at)?,
            operation: self.operation.at(at)?.ok_or(())?,
            nature: self.nature.at(at)?.ok_or(())?,
            object: self.object.row(at)?,
            source_object: if from {
                Some(self.source.row(at)?)
            } else {
                None
            },
            range,
            query: text(self.query, at).map(str::to_owned),
            policy,
        })
    }
}

impl<'a> EndColumns<'a> {
    fn of(batch: &'a RecordBatch) -> Result<Self, ArchiveError> {
        Ok(Self {
            time: typed(batch, "time_end")?,
            outcome: Words::of(batch, "outcome", Word::from_word)?,
            status: typed(batch, "status")?,
            reason: Words::of(batch, "reason", |text| Some(text.to_owned()))?,
            bytes: typed(batch, "bytes")?,
            object_bytes: typed(batch, "object_bytes")?,
        })
    }

    fn row(&self, at: usize, event: EventId) -> Option<Completion> {
        Some(Completion {
            event,
            time: time(self.time, at).ok()??,
            outcome: self.outcome.at(at).ok()??,
            status: self.status.is_valid(at).then(|| self.status.value(at))?,
            reason: self.reason.at(at).ok()??,
            bytes: number(self.bytes, at)?,
            object_bytes: number(self.object_bytes, at),
        })
    }
}
