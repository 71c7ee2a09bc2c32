//! The columns of a volume, and rows as a batch of them. `docs/audit.md`, "Volumes", explains each.

use std::sync::{Arc, LazyLock};

use arrow_array::builder::{
    BinaryBuilder, BooleanBuilder, FixedSizeBinaryBuilder, StringBuilder,
    TimestampMillisecondBuilder, UInt16Builder, UInt64Builder,
};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef, TimeUnit};

use super::ArchiveError;
use super::fold::Row;
use crate::ledger::{
    Completion, Entry, Intent, ObjectRef, PolicyRef, Session, SessionHash, Word as _, encode,
};
use crate::types::{
    AccessKeyId, Action, ByteRange, DatasetName, EventId, GrantId, ObjectKey, PrincipalId,
    ProjectName, Timestamp, VersionId,
};

/// What a row is: the word in the column `kind`.
pub(super) mod kind {
    /// An intent, with its completion where it has ended.
    pub(in crate::archive) const REQUEST: &str = "request";
    /// Intent and completion in one record.
    pub(in crate::archive) const WHOLE: &str = "whole";
    /// A completion whose intent is not known.
    pub(in crate::archive) const END: &str = "end";
    /// Anything else: its canonical bytes stand in `data`.
    pub(in crate::archive) const OTHER: &str = "other";
}

pub(super) const ZONE: &str = "UTC";

/// The names of the columns in their order, and what they hold.
static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let time = DataType::Timestamp(TimeUnit::Millisecond, Some(ZONE.into()));
    let columns = [
        ("seq", DataType::UInt64),
        ("end_seq", DataType::UInt64),
        ("lane", DataType::Utf8),
        ("kind", DataType::Utf8),
        ("event", DataType::FixedSizeBinary(16)),
        ("time", time.clone()),
        ("time_end", time),
        ("principal", DataType::Utf8),
        ("responsible", DataType::Utf8),
        ("credential", DataType::Utf8),
        ("auth", DataType::Utf8),
        ("ip", DataType::Utf8),
        ("agent", DataType::Utf8),
        ("gateway", DataType::Utf8),
        ("session", DataType::FixedSizeBinary(32)),
        ("action", DataType::Utf8),
        ("operation", DataType::Utf8),
        ("nature", DataType::Utf8),
        ("project", DataType::Utf8),
        ("dataset", DataType::Utf8),
        ("key", DataType::Utf8),
        ("version", DataType::FixedSizeBinary(16)),
        ("source", DataType::Boolean),
        ("source_project", DataType::Utf8),
        ("source_dataset", DataType::Utf8),
        ("source_key", DataType::Utf8),
        ("source_version", DataType::FixedSizeBinary(16)),
        ("range_start", DataType::UInt64),
        ("range_end", DataType::UInt64),
        ("query", DataType::Utf8),
        ("allowed", DataType::Boolean),
        ("rule", DataType::Utf8),
        ("policy", DataType::FixedSizeBinary(32)),
        ("grant_id", DataType::FixedSizeBinary(16)),
        ("purpose", DataType::Utf8),
        ("permit", DataType::Utf8),
        ("outcome", DataType::Utf8),
        ("status", DataType::UInt16),
        ("reason", DataType::Utf8),
        ("bytes", DataType::UInt64),
        ("object_bytes", DataType::UInt64),
        ("data", DataType::Binary),
    ];
    let fields = columns.map(|(name, kind)| Field::new(name, kind, true));
    Arc::new(Schema::new(fields.to_vec()))
});

/// The columns.
#[must_use]
pub fn schema() -> SchemaRef {
    Arc::clone(&SCHEMA)
}

/// Rows of a lane as a batch of columns.
pub fn batch(lane: &str, rows: &[Row]) -> Result<RecordBatch, ArchiveError> {
    let mut columns = Columns::default();
    for row in rows {
        columns.push(lane, row)?;
    }
    Ok(RecordBatch::try_new(schema(), columns.finish())?)
}

#[derive(Default)]
struct Columns {
    place: PlaceColumns,
    session: SessionColumns,
    intent: IntentColumns,
    object: ObjectColumns,
    source: BooleanBuilder,
    source_object: ObjectColumns,
    policy: PolicyColumns,
    end: EndColumns,
    data: BinaryBuilder,
}

#[derive(Default)]
struct PlaceColumns {
    seq: UInt64Builder,
    end_seq: UInt64Builder,
    lane: StringBuilder,
    kind: StringBuilder,
}

struct IntentColumns {
    event: FixedSizeBinaryBuilder,
    time: TimestampMillisecondBuilder,
    action: StringBuilder,
    operation: StringBuilder,
    nature: StringBuilder,
    range_start: UInt64Builder,
    range_end: UInt64Builder,
    query: StringBuilder,
}

impl Default for IntentColumns {
    fn default() -> Self {
        Self {
            event: FixedSizeBinaryBuilder::new(16),
            time: TimestampMillisecondBuilder::new().with_timezone(ZONE),
            action: StringBuilder::new(),
            operation: StringBuilder::new(),
            nature: StringBuilder::new(),
            range_start: UInt64Builder::new(),
            range_end: UInt64Builder::new(),
            query: StringBuilder::new(),
        }
    }
}

struct SessionColumns {
    texts: [StringBuilder; 7],
    hash: FixedSizeBinaryBuilder,
}

impl Default for SessionColumns {
    fn default() -> Self {
        Self {
            texts: Default::default(),
            hash: FixedSizeBinaryBuilder::new(32),
        }
    }
}

struct ObjectColumns {
    names: [StringBuilder; 3],
    version: FixedSizeBinaryBuilder,
}

impl Default for ObjectColumns {
    fn default() -> Self {
        Self {
            names: Default::default(),
            version: FixedSizeBinaryBuilder::new(16),
        }
    }
}

struct PolicyColumns {
    allowed: BooleanBuilder,
    rule: StringBuilder,
    version: FixedSizeBinaryBuilder,
    grant: FixedSizeBinaryBuilder,
    purpose: StringBuilder,
    permit: StringBuilder,
}

impl Default for PolicyColumns {
    fn default() -> Self {
        Self {
            allowed: BooleanBuilder::new(),
            rule: StringBuilder::new(),
            version: FixedSizeBinaryBuilder::new(32),
            grant: FixedSizeBinaryBuilder::new(16),
            purpose: StringBuilder::new(),
            permit: StringBuilder::new(),
        }
    }
}

struct EndColumns {
    time: TimestampMillisecondBuilder,
    outcome: StringBuilder,
    status: UInt16Builder,
    reason: StringBuilder,
    bytes: UInt64Builder,
    object_bytes: UInt64Builder,
}

impl Default for EndColumns {
    fn default() -> Self {
        Self {
            time: TimestampMillisecondBuilder::new().with_timezone(ZONE),
            outcome: StringBuilder::new(),
            status: UInt16Builder::new(),
            reason: StringBuilder::new(),
            bytes: UInt64Builder::new(),
            object_bytes: UInt64Builder::new(),
        }
    }
}

/// A moment that columns can hold: any before the year 292,278,994.
fn millis(time: Timestamp) -> Result<i64, ArrowError> {
    let told = |_beyond| ArrowError::InvalidArgumentError("a time beyond all calendars".to_owned());
    i64::try_from(time.millis()).map_err(told)
}

fn fixed<const N: usize>(
    column: &mut FixedSizeBinaryBuilder,
    value: Option<&[u8; N]>,
) -> Result<(), ArrowError> {
    if let Some(value) = value {
        return column.append_value(value);
    }
    column.append_null();
    Ok(())
}

impl Columns {
    fn push(&mut self, lane: &str, row: &Row) -> Result<(), ArchiveError> {
        let end_seq = row.end.as_ref().map(|(seq, _)| *seq);
        let completed = row.end.as_ref().map(|(_, completion)| completion);
        let session = row.session.as_deref();
        self.place.seq.append_value(row.seq);
        self.place.end_seq.append_option(end_seq);
        self.place.lane.append_value(lane);
        let kind = match &row.entry {
            Entry::Intent {
                session: hash,
                intent,
            } => {
                self.session.push(Some(hash), session)?;
                self.intent(Some(intent), None)?;
                self.end.push(completed)?;
                self.data.append_null();
                kind::REQUEST
            }
            Entry::Whole {
                session: hash,
                intent,
                completion,
            } => {
                self.session.push(Some(hash), session)?;
                self.intent(Some(intent), None)?;
                self.end.push(Some(completion))?;
                self.data.append_null();
                kind::WHOLE
            }
            Entry::Completion(completion) => {
                self.session.push(None, None)?;
                self.intent(None, Some(completion))?;
                self.end.push(Some(completion))?;
                self.data.append_null();
                kind::END
            }
            Entry::Session(_) | Entry::Mark { .. } | Entry::Policy { .. } | Entry::Open(_) => {
                self.session.push(None, None)?;
                self.intent(None, None)?;
                self.end.push(None)?;
                let mut bytes = Vec::new();
                encode(&row.entry, &mut bytes)?;
                self.data.append_value(bytes);
                kind::OTHER
            }
        };
        self.place.kind.append_value(kind);
        Ok(())
    }

    /// The columns of an intent; of a lone completion the event alone.
    fn intent(
        &mut self,
        intent: Option<&Intent>,
        alone: Option<&Completion>,
    ) -> Result<(), ArrowError> {
        let columns = &mut self.intent;
        let event = intent.map(|intent| intent.event);
        let event = event.or_else(|| alone.map(|completion| completion.event));
        fixed(&mut columns.event, event.as_ref().map(EventId::as_bytes))?;
        let time = intent.map(|intent| millis(intent.time)).transpose()?;
        columns.time.append_option(time);
        let action = intent.and_then(|intent| intent.action);
        columns.action.append_option(action.map(Action::as_str));
        let operation = intent.map(|intent| intent.operation.as_str());
        columns.operation.append_option(operation);
        let nature = intent.map(|intent| intent.nature.word());
        columns.nature.append_option(nature);
        let range = intent.and_then(|intent| intent.range);
        columns
            .range_start
            .append_option(range.map(ByteRange::start));
        columns.range_end.append_option(range.map(ByteRange::end));
        let query = intent.and_then(|intent| intent.query.as_deref());
        columns.query.append_option(query);
        self.object.push(intent.map(|intent| &intent.object))?;
        let source = intent.and_then(|intent| intent.source_object.as_ref());
        self.source
            .append_option(intent.map(|intent| intent.source_object.is_some()));
        self.source_object.push(source)?;
        self.policy
            .push(intent.and_then(|intent| intent.policy.as_ref()))
    }

    /// In the order of the schema.
    fn finish(mut self) -> Vec<ArrayRef> {
        let [principal, responsible, credential, auth, ip, agent, gateway] =
            &mut self.session.texts;
        let [project, dataset, key] = &mut self.object.names;
        let [from_project, from_dataset, from_key] = &mut self.source_object.names;
        vec![
            Arc::new(self.place.seq.finish()),
            Arc::new(self.place.end_seq.finish()),
            Arc::new(self.place.lane.finish()),
            Arc::new(self.place.kind.finish()),
            Arc::new(self.intent.event.finish()),
            Arc::new(self.intent.time.finish()),
            Arc::new(self.end.time.finish()),
            Arc::new(principal.finish()),
            Arc::new(responsible.finish()),
            Arc::new(credential.finish()),
            Arc::new(auth.finish()),
            Arc::new(ip.finish()),
            Arc::new(agent.finish()),
            Arc::new(gateway.finish()),
            Arc::new(self.session.hash.finish()),
            Arc::new(self.intent.action.finish()),
            Arc::new(self.intent.operation.finish()),
            Arc::new(self.intent.nature.finish()),
            Arc::new(project.finish()),
            Arc::new(dataset.finish()),
            Arc::new(key.finish()),
            Arc::new(self.object.version.finish()),
            Arc::new(self.source.finish()),
            Arc::new(from_project.finish()),
            Arc::new(from_dataset.finish()),
            Arc::new(from_key.finish()),
            Arc::new(self.source_object.version.finish()),
            Arc::new(self.intent.range_start.finish()),
            Arc::new(self.intent.range_end.finish()),
            Arc::new(self.intent.query.finish()),
            Arc::new(self.policy.allowed.finish()),
            Arc::new(self.policy.rule.finish()),
            Arc::new(self.policy.version.finish()),
            Arc::new(self.policy.grant.finish()),
            Arc::new(self.policy.purpose.finish()),
            Arc::new(self.policy.permit.finish()),
            Arc::new(self.end.outcome.finish()),
            Arc::new(self.end.status.finish()),
            Arc::new(self.end.reason.finish()),
            Arc::new(self.end.bytes.finish()),
            Arc::new(self.end.object_bytes.finish()),
            Arc::new(self.data.finish()),
        ]
    }
}

impl SessionColumns {
    fn push(
        &mut self,
        hash: Option<&SessionHash>,
        session: Option<&Session>,
    ) -> Result<(), ArrowError> {
        let texts: [Option<&str>; 7] = match session {
            None => [None; 7],
            Some(session) => [
                session.principal.as_ref().map(PrincipalId::as_str),
                session.responsible.as_ref().map(PrincipalId::as_str),
                session.access_key.as_ref().map(AccessKeyId::as_str),
                Some(session.auth.word()),
                Some(&session.client_ip),
                Some(&session.user_agent),
                Some(&session.source),
            ],
        };
        for (column, text) in self.texts.iter_mut().zip(texts) {
            column.append_option(text);
        }
        fixed(&mut self.hash, hash)
    }
}

impl ObjectColumns {
    fn push(&mut self, object: Option<&ObjectRef>) -> Result<(), ArrowError> {
        let [project, dataset, key] = &mut self.names;
        project.append_option(object.and_then(|o| o.project.as_ref().map(ProjectName::as_str)));
        dataset.append_option(object.and_then(|o| o.dataset.as_ref().map(DatasetName::as_str)));
        key.append_option(object.and_then(|o| o.key.as_ref().map(ObjectKey::as_str)));
        let version = object.and_then(|object| object.version.as_ref());
        fixed(&mut self.version, version.map(VersionId::as_bytes))
    }
}

impl PolicyColumns {
    fn push(&mut self, policy: Option<&PolicyRef>) -> Result<(), ArrowError> {
        self.allowed.append_option(policy.map(|p| p.allowed));
        self.rule.append_option(policy.map(|p| p.rule.as_str()));
        fixed(&mut self.version, policy.map(|p| &p.version))?;
        let grant = policy.and_then(|p| p.grant.as_ref());
        fixed(&mut self.grant, grant.map(GrantId::as_bytes))?;
        self.purpose
            .append_option(policy.and_then(|p| p.purpose.as_deref()));
        self.permit
            .append_option(policy.and_then(|p| p.permit.as_deref()));
        Ok(())
    }
}

impl EndColumns {
    fn push(&mut self, end: Option<&Completion>) -> Result<(), ArrowError> {
        let time = end.map(|end| millis(end.time)).transpose()?;
        self.time.append_option(time);
        self.outcome
            .append_option(end.map(|end| end.outcome.word()));
        self.status.append_option(end.map(|end| end.status));
        self.reason
            .append_option(end.map(|end| end.reason.as_str()));
        self.bytes.append_option(end.map(|end| end.bytes));
        self.object_bytes
            .append_option(end.and_then(|end| end.object_bytes));
        Ok(())
    }
}
