//! Writing and copying objects.

use std::sync::Arc;

use crate::catalog::{
    Attached, BlobUse, Condition, Conflict, Likeness, Mutation, ObjectMeta, ObjectRow, attaching,
};
use crate::ledger::Intent;
use crate::policy::Decision;
use crate::seal::{BlobKind, Table, seal_table, table_key_version};
use crate::types::{Action, BlobId, ByteRange, Checksums, ETag, VersionId, Versioning, limits};
use crate::vault::Vault;
use crate::vault::access::proof::Authorized;
use crate::vault::ask::{
    Call, CopySource, Input, NewObject, Place, ReadAsk, Replaced, TagMatch, Tags, Wishes,
    WriteConditions,
};
use crate::vault::error::{ErrorKind, VaultError};
use crate::vault::log::record::{Recorded, nature_of};
use crate::vault::objects::intake::Owner;
use crate::vault::objects::lock::{check_wishes, facts};
use crate::vault::objects::read::{hits, note_key, object_binding};
use crate::vault::objects::tags::check_tags;

/// What a write knows of its object before its blobs are there.
pub(in crate::vault) struct Draft {
    pub(in crate::vault) meta: ObjectMeta,
    pub(in crate::vault) tags: Tags,
    pub(in crate::vault) checksums: Checksums,
    pub(in crate::vault) part_bytes: Vec<u64>,
    pub(in crate::vault) wishes: Wishes,
}

/// A write that was decided.
struct Writing {
    version: VersionId,
    new: NewObject,
    condition: Condition,
}

/// The proofs of a copy's source.
pub(in crate::vault) struct Source {
    /// That it may be read.
    pub(in crate::vault) read: Authorized,
    /// That it may leave its dataset, where it does.
    export: Option<Authorized>,
}

impl Source {
    /// The record of a copy has the decision that lets it write; it says beside it under which
    /// grants the source is read and leaves its dataset, and break-glass flags it as ever.
    pub(in crate::vault) fn told(&self, call: &Call, mut intent: Intent) -> Intent {
        intent.source_object = Some(Vault::intent_of(call, &self.read).object);
        let mut words = Vec::new();
        let export = self.export.as_ref().map(|export| ("export", export));
        for (what, proof) in std::iter::once(("read", &self.read)).chain(export) {
            let Decision {
                grant,
                purpose,
                permit,
                ..
            } = proof.decision();
            let grant = grant.as_ref().map(ToString::to_string);
            let texts = [("grant", &grant), ("purpose", purpose), ("permit", permit)];
            words.push(what.to_owned());
            words.extend(texts.into_iter().filter_map(|(name, text)| {
                let text = text.as_ref()?;
                Some(format!("{name}={text}"))
            }));
            intent.nature = nature_of(purpose.as_deref()).unwrap_or(intent.nature);
        }
        intent.query = Some(crate::vault::cut(&words.join(" ")));
        intent
    }
}

impl Vault {
    /// Stores an object. Durable when it returns: the blob first, then the catalog's row.
    pub async fn write_object(
        &self,
        call: &Call,
        place: Place<'_>,
        new: NewObject,
        input: Input,
    ) -> Result<ObjectRow, VaultError> {
        let proof = self
            .authorize(call, place.bucket, Some(place.key), Action::ObjectWrite)
            .await?;
        self.authorize_tags(call, place, &new.tags).await?;
        self.authorize_lock(call, place, &new.wishes).await?;
        self.authorize_conditions(call, place, &new.conditions)
            .await?;
        let mut intent = Self::intent_of(call, &proof);
        let condition = match self.check_write(&proof, &new, input.bytes).await {
            Ok(condition) => condition,
            Err(error) => return Err(self.turn_away(call, intent, error).await),
        };
        let version = VersionId::random(self.entropy.as_ref())?;
        intent.object.version = Some(version);
        let mut recorded = self.begin(call, intent).await?;
        let writing = Writing {
            version,
            new,
            condition,
        };
        let result = self
            .store_object(&proof, &mut recorded, writing, input)
            .await;
        recorded.settle(result)
    }

    /// Leave to learn from a condition what is there: the right to look. That a write makes
    /// nothing but what is new (`If-None-Match: *`) may be asked by whoever writes.
    pub(in crate::vault) async fn authorize_conditions(
        &self,
        call: &Call,
        place: Place<'_>,
        conditions: &WriteConditions,
    ) -> Result<(), VaultError> {
        if conditions.tell_nothing() {
            return Ok(());
        }
        self.authorize(call, place.bucket, Some(place.key), Action::ObjectHead)
            .await
            .map(drop)
    }

    async fn check_write(
        &self,
        proof: &Authorized,
        new: &NewObject,
        bytes: u64,
    ) -> Result<Condition, VaultError> {
        check_meta(&new.meta)?;
        check_tags(&new.tags, limits::OBJECT_TAGS_MAX)?;
        check_wishes(proof.dataset()?, &new.wishes, self.now())?;
        check_body_bytes(bytes)?;
        let condition = condition(&new.conditions)?;
        self.check_condition(proof, &condition).await?;
        Ok(condition)
    }

    /// Looks whether a condition can hold at all, before a body is taken; the commit judges it.
    pub(in crate::vault) async fn check_condition(
        &self,
        proof: &Authorized,
        condition: &Condition,
    ) -> Result<(), VaultError> {
        const FAILED: VaultError =
            VaultError::new(ErrorKind::PreconditionFailed, "a condition does not hold");
        if *condition == Condition::None {
            return Ok(());
        }
        let row = self
            .catalog
            .object(&proof.dataset()?.id, proof.key()?)
            .await?;
        let there = row.as_ref().map(|r| (r.etag.as_str(), r.modified, r.bytes));
        match condition.judge(there) {
            Ok(()) => Ok(()),
            Err(Conflict::NoObject) => {
                Err(VaultError::new(ErrorKind::NoSuchObject, "no such object"))
            }
            Err(_differs) => Err(FAILED),
        }
    }

    async fn store_object(
        &self,
        proof: &Authorized,
        recorded: &mut Recorded,
        writing: Writing,
        input: Input,
    ) -> Result<ObjectRow, VaultError> {
        let Writing {
            version,
            new,
            condition,
        } = writing;
        let dataset = proof.dataset()?.id;
        let bytes = input.bytes;
        let owner = Owner {
            dataset,
            version,
            kind: BlobKind::Object,
        };
        let taken = self.take_in(owner, proof.lease(), input).await?;
        recorded.count(bytes);
        recorded.object_bytes(bytes);
        let draft = Draft {
            meta: new.meta,
            tags: new.tags,
            checksums: taken.checksums,
            part_bytes: Vec::new(),
            wishes: new.wishes,
        };
        let row = self.object_row(proof, version, draft, &taken.table)?;
        let blobs = BlobUse {
            fresh: taken.flight.blobs.clone(),
            shared: Vec::new(),
        };
        self.put_object(row, blobs, condition).await
    }

    /// The row of a new object, its part table sealed and bound to it.
    pub(in crate::vault) fn object_row(
        &self,
        proof: &Authorized,
        version: VersionId,
        draft: Draft,
        table: &Table,
    ) -> Result<ObjectRow, VaultError> {
        let parts = u32::try_from(draft.part_bytes.len())
            .unwrap_or(u32::MAX)
            .max(1);
        let dataset = proof.dataset()?;
        let versioned = dataset.versioning == Versioning::Enabled;
        let modified = self.now();
        let facts = facts(dataset, draft.wishes, modified);
        let dataset = dataset.id;
        let mut row = ObjectRow {
            dataset,
            key: proof.key()?.clone(),
            version,
            bytes: table.bytes(),
            etag: ETag::of(&version, parts),
            modified,
            meta: draft.meta,
            checksums: draft.checksums,
            part_bytes: draft.part_bytes,
            sealed_table: bytes::Bytes::new(),
            versioned,
            attached: Attached {
                tags: draft.tags,
                facts,
            },
        };
        let key = self.keyring.dataset(&dataset)?;
        row.sealed_table = seal_table(&key, &object_binding(&row), table)?;
        Ok(row)
    }

    /// Commits an object's row; if that fails, its fresh blobs go again.
    async fn put_object(
        &self,
        mut row: ObjectRow,
        blobs: BlobUse,
        condition: Condition,
    ) -> Result<ObjectRow, VaultError> {
        loop {
            let mut mutations = vec![Mutation::PutObject {
                row: row.clone(),
                blobs: blobs.clone(),
                condition: condition.clone(),
            }];
            mutations.extend(attaching(&row));
            let committed = self.commit(mutations).await;
            match committed.map_err(|error| self.resealed_after(error, &row)) {
                Ok(()) => return Ok(row),
                Err(Ok(sealed_table)) => row.sealed_table = sealed_table,
                Err(Err(error)) => {
                    self.drop_refused(&blobs.fresh, &error).await;
                    return Err(error);
                }
            }
        }
    }

    /// After a commit that surely did not happen, its fresh blobs can go at once; after one whose
    /// fate is unknown they are left to the sweeper, which asks the catalog first.
    pub(in crate::vault) async fn drop_refused(&self, fresh: &[BlobId], error: &VaultError) {
        let surely_not = matches!(
            error.kind(),
            ErrorKind::PreconditionFailed
                | ErrorKind::NoSuchObject
                | ErrorKind::NoSuchUpload
                | ErrorKind::NoSuchDataset
                | ErrorKind::SlowDown
        );
        if surely_not {
            self.drop_blobs(fresh).await;
        }
    }

    /// Copies an object without moving a byte: the new part table shares the blobs. What is not
    /// replaced is the source's.
    pub async fn copy_object(
        &self,
        call: &Call,
        from: CopySource<'_>,
        to: Place<'_>,
        replaced: Option<Replaced>,
        conditions: WriteConditions,
    ) -> Result<ObjectRow, VaultError> {
        let Replaced { meta, tags, wishes } = replaced.unwrap_or_default();
        let source = self.authorize_source(call, &from, to).await?;
        let proof = self
            .authorize(call, to.bucket, Some(to.key), Action::ObjectWrite)
            .await?;
        self.authorize_tags(call, to, tags.as_deref().unwrap_or_default())
            .await?;
        self.authorize_lock(call, to, &wishes).await?;
        self.authorize_conditions(call, to, &conditions).await?;
        self.check_labels(call, &source.read, &proof).await?;
        let version = VersionId::random(self.entropy.as_ref())?;
        let mut intent = source.told(call, Self::intent_of(call, &proof));
        intent.object.version = Some(version);
        let (seen, table, mut recorded) = self.begin_copy(call, &source, from, intent).await?;
        let result = async {
            let condition = condition(&conditions)?;
            if let Some(meta) = &meta {
                check_meta(meta)?;
            }
            check_tags(tags.as_deref().unwrap_or_default(), limits::OBJECT_TAGS_MAX)?;
            check_wishes(proof.dataset()?, &wishes, self.now())?;
            self.pace_copies(call, &table)?;
            recorded.count(table.bytes());
            let draft = Draft {
                meta: meta.unwrap_or_else(|| seen.meta.clone()),
                tags: tags.unwrap_or_else(|| seen.attached.tags.clone()),
                checksums: seen.checksums.clone(),
                part_bytes: seen.part_bytes.clone(),
                wishes,
            };
            let row = self.object_row(&proof, version, draft, &table)?;
            let blobs = BlobUse {
                fresh: Vec::new(),
                shared: blobs_of(&table),
            };
            self.put_object(row, blobs, condition).await
        }
        .await;
        recorded.settle(result)
    }

    /// That a copy is labelled no lower than its source (AZ-13), and is of its use class if that
    /// has one (AZ-12); a refusal is in the log.
    pub(in crate::vault) async fn check_labels(
        &self,
        call: &Call,
        source: &Authorized,
        target: &Authorized,
    ) -> Result<(), VaultError> {
        let labels = &self.settings.labels;
        let rank = |proof: &Authorized| -> Result<_, VaultError> {
            Ok(labels.of_data(proof.dataset()?.card.as_deref()))
        };
        let class = |proof: &Authorized| -> Result<_, VaultError> {
            let card = proof.dataset()?.card.as_ref();
            Ok(card.and_then(|card| card.use_class.clone()))
        };
        let why = if rank(source)? > rank(target)? {
            "barred: a copy would lower the label"
        } else if class(source)?.is_some() && class(source)? != class(target)? {
            "barred: a copy would be of another use class"
        } else {
            return Ok(());
        };
        let mut intent = Self::intent_of(call, target);
        intent.source_object = Some(Self::intent_of(call, source).object);
        let error = VaultError::new(ErrorKind::AccessDenied, why);
        Err(self.turn_away(call, intent, error).await)
    }

    /// The proof that a copy's source may be read, and exported if it leaves its dataset (AZ-6).
    pub(in crate::vault) async fn authorize_source(
        &self,
        call: &Call,
        from: &CopySource<'_>,
        to: Place<'_>,
    ) -> Result<Source, VaultError> {
        let place = from.place;
        let (bucket, key) = (place.bucket, Some(place.key));
        let export = if bucket == to.bucket {
            None
        } else {
            let export = self.authorize(call, bucket, key, Action::ObjectExport);
            Some(export.await?)
        };
        let read = self
            .authorize(call, bucket, key, Action::ObjectRead)
            .await?;
        let read = self.authorize_version(call, place, read).await?;
        Ok(Source { read, export })
    }

    /// Begins a copy: its source is looked up and its table opened before, so that the record says
    /// under which key (CR-5). No byte of it is read.
    pub(in crate::vault) async fn begin_copy(
        &self,
        call: &Call,
        source: &Source,
        from: CopySource<'_>,
        mut intent: Intent,
    ) -> Result<(Arc<ObjectRow>, Table, Recorded), VaultError> {
        match self.open_source(&source.read, from).await {
            Ok((seen, table)) => {
                note_key(&mut intent, table_key_version(&seen.sealed_table));
                Ok((seen, table, self.begin(call, intent).await?))
            }
            Err(error) => Err(self.turn_away(call, intent, error).await),
        }
    }

    /// A copy's source as it is now, and the part table of the bytes asked for.
    async fn open_source(
        &self,
        source: &Authorized,
        from: CopySource<'_>,
    ) -> Result<(Arc<ObjectRow>, Table), VaultError> {
        let ask = ReadAsk {
            span: from.span,
            conditions: from.conditions,
            parts: false,
        };
        let seen = match self.look(source, &ask).await {
            // A copy has no 304 (RFC 9110 knows it for GET and HEAD alone).
            Err(error) if error.kind() == ErrorKind::NotModified => {
                return Err(VaultError::new(
                    ErrorKind::PreconditionFailed,
                    "not modified",
                ));
            }
            other => other?,
        };
        let table = self.open_object(&seen.row)?;
        let table = match seen.range.filter(|range| range.len() < seen.row.bytes) {
            Some(range) => slice(&table, range)?,
            None => table,
        };
        Ok((seen.row, table))
    }
}

/// The blobs that a table refers to, each once.
pub(in crate::vault) fn blobs_of(table: &Table) -> Vec<BlobId> {
    let mut blobs: Vec<_> = table.extents().iter().map(|extent| extent.blob).collect();
    blobs.sort_unstable();
    blobs.dedup();
    blobs
}

/// Cuts a table to a range of its plaintext.
pub(in crate::vault) fn slice(table: &Table, range: ByteRange) -> Result<Table, VaultError> {
    table.slice(range).ok_or(VaultError::new(
        ErrorKind::InvalidRange,
        "the range lies beyond the end",
    ))
}

pub(in crate::vault) fn check_body_bytes(bytes: u64) -> Result<(), VaultError> {
    if bytes > limits::BODY_BYTES_MAX {
        return Err(VaultError::new(
            ErrorKind::TooLarge,
            "a body is at most 5 GiB",
        ));
    }
    Ok(())
}

/// Sees that metadata is within its bound, and that headers can carry it: what came in a form's
/// fields or as an encoded word may hold what no header may, and no read could be answered.
pub(in crate::vault) fn check_meta(meta: &ObjectMeta) -> Result<(), VaultError> {
    let user: usize = meta
        .user
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    let system = [
        &meta.content_type,
        &meta.content_encoding,
        &meta.content_language,
        &meta.content_disposition,
        &meta.cache_control,
        &meta.expires,
    ];
    let is_token = |name: &str| {
        let of_token =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        !name.is_empty() && name.bytes().all(of_token)
    };
    let mut values = system.into_iter().flatten();
    let mut user_values = meta.user.iter().map(|(_, value)| value);
    let controls = |value: &String| value.chars().any(char::is_control);
    if values.any(controls)
        || user_values.any(controls)
        || !meta.user.iter().all(|(name, _)| is_token(name))
    {
        return Err(VaultError::new(
            ErrorKind::InvalidArgument,
            "metadata hold no control characters, and their names are those of headers",
        ));
    }
    let system: usize = system.into_iter().flatten().map(String::len).sum();
    if user.max(system) > limits::USER_METADATA_BYTES_MAX {
        return Err(VaultError::new(
            ErrorKind::MetadataTooLarge,
            "too much metadata",
        ));
    }
    Ok(())
}

/// A write's conditions as the catalog judges them.
pub(in crate::vault) fn condition(conditions: &WriteConditions) -> Result<Condition, VaultError> {
    const BAD: VaultError = VaultError::new(
        ErrorKind::InvalidArgument,
        "a write knows If-Match or If-None-Match, with * or one tag",
    );
    let WriteConditions {
        matches,
        differs,
        modified,
        bytes,
    } = conditions;
    if modified.is_some() || bytes.is_some() {
        let etag = match (matches, differs) {
            (None | Some(TagMatch::Any), None) => None,
            (Some(TagMatch::Tags(tags)), None) => Some(one_tag(tags)?),
            (_, Some(_)) => return Err(BAD),
        };
        return Ok(Condition::Is(Likeness {
            etag,
            modified: *modified,
            bytes: *bytes,
        }));
    }
    match (matches, differs) {
        (None, None) => Ok(Condition::None),
        (None, Some(TagMatch::Any)) => Ok(Condition::Absent),
        (Some(TagMatch::Any), None) => Ok(Condition::Present),
        (Some(TagMatch::Tags(tags)), None) => one_tag(tags).map(Condition::Matches),
        (None, Some(TagMatch::Tags(tags))) => one_tag(tags).map(Condition::Differs),
        (Some(_), Some(_)) => Err(BAD),
    }
}

/// A tag that this vault never gave is that of no object, like the one that stands for it here.
fn one_tag(tags: &[String]) -> Result<ETag, VaultError> {
    match tags {
        [tag] => Ok(tag
            .parse()
            .unwrap_or_else(|_foreign| ETag::of(&VersionId::from_bytes([0; 16]), 1))),
        _ => Err(VaultError::new(
            ErrorKind::InvalidArgument,
            "one entity tag at most",
        )),
    }
}

/// Whether the tag that a completion names is this part's.
pub(in crate::vault) fn same_tag(text: &str, etag: &ETag) -> bool {
    hits(&TagMatch::Tags(vec![text.to_owned()]), etag)
}
