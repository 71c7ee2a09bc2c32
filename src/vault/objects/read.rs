//! Reading and looking: GET and HEAD.

use std::sync::Arc;

use crate::catalog::{ObjectRow, Version};
use crate::ledger::Intent;
use crate::seal::{Binding, DatasetKey, Place as SealPlace, Table, open_table, table_key_version};
use crate::types::{
    Action, ByteRange, Checksums, DatasetId, ETag, Timestamp, VersionName, Versioning,
};
use crate::vault::Vault;
use crate::vault::access::proof::Authorized;
use crate::vault::ask::{Call, Place, ReadAsk, ReadConditions, Reading, Seen, Span, TagMatch};
use crate::vault::error::{ErrorKind, VaultError};
use crate::vault::log::share::answerable;
use crate::vault::objects::reading::Plaintext;

impl Vault {
    /// What a read would return, without the bytes. The store is not asked.
    pub async fn head_object(
        &self,
        call: &Call,
        place: Place<'_>,
        ask: ReadAsk,
    ) -> Result<Seen, VaultError> {
        let proof = self
            .authorize(call, place.bucket, Some(place.key), Action::ObjectHead)
            .await?;
        let proof = self.authorize_version(call, place, proof).await?;
        let mut intent = Self::intent_of(call, &proof);
        match self.look(&proof, &ask).await {
            Ok(mut seen) => {
                seen.shed();
                intent.object.version = Some(seen.row.version);
                intent.range = seen.range;
                self.note(call, intent, Ok(())).await?;
                Ok(seen)
            }
            Err(error) => Err(self.turn_away(call, intent, error).await),
        }
    }

    /// An object's bytes. The store is asked while the record is made durable; nothing is handed
    /// over before it is.
    pub async fn read_object(
        &self,
        call: &Call,
        place: Place<'_>,
        ask: ReadAsk,
    ) -> Result<Reading, VaultError> {
        let proof = self
            .authorize(call, place.bucket, Some(place.key), Action::ObjectRead)
            .await?;
        let proof = self.authorize_version(call, place, proof).await?;
        let mut intent = Self::intent_of(call, &proof);
        let (seen, key, plaintext) = match self.plan(call, &proof, &ask).await {
            Ok(planned) => planned,
            Err(error) => return Err(self.turn_away(call, intent, error).await),
        };
        intent.object.version = Some(seen.row.version);
        intent.range = seen.range;
        note_key(&mut intent, key);
        let Some(mut plaintext) = plaintext else {
            self.note(call, intent, Ok(())).await?;
            return Ok(Reading {
                seen,
                body: Box::pin(futures_util::stream::empty()),
            });
        };
        // Queued now and asked for when the store has answered: by then it mostly is durable, and
        // nobody was woken to hear so.
        let durable = self.begin(call, intent);
        let first = plaintext.next().await;
        let mut recorded = durable.await?;
        recorded.object_bytes(seen.row.bytes);
        match first {
            Ok(first) => Ok(Reading {
                seen,
                body: plaintext.release(first, proof.lease(), recorded),
            }),
            Err(error) => {
                recorded.fail(&error);
                Err(error)
            }
        }
    }

    /// What is read, the version of the dataset's key that served it, and its bytes, if any.
    async fn plan(
        &self,
        call: &Call,
        proof: &Authorized,
        ask: &ReadAsk,
    ) -> Result<(Seen, Option<u32>, Option<Plaintext>), VaultError> {
        let mut seen = self.look(proof, ask).await?;
        // An object of no bytes has a table too, so that a catalog's host cannot empty one.
        let table = self.open_object(&seen.row)?;
        let key = table_key_version(&seen.row.sealed_table);
        seen.shed();
        let Some(range) = seen.range.or_else(|| ByteRange::new(0, seen.row.bytes)) else {
            return Ok((seen, key, None));
        };
        let room = (&self.tables, answerable(&call.session));
        let plaintext = Plaintext::plan(&self.store, table, range, room)?;
        Ok((seen, key, Some(plaintext)))
    }

    /// The object as it is now, if the conditions hold.
    pub(in crate::vault) async fn look(
        &self,
        proof: &Authorized,
        ask: &ReadAsk,
    ) -> Result<Seen, VaultError> {
        let dataset = proof.dataset()?.id;
        let key = proof.key()?;
        let row = match (proof.publication(), proof.version()) {
            (Some(version), _) => self.catalog.frozen(&version.id, key).await?,
            (None, None) => self.catalog.object(&dataset, key).await?,
            (None, Some(name)) => Some(self.find_version(proof, name).await?),
        };
        let Some(row) = row else {
            return Err(self.absent(proof).await);
        };
        // Another object's whole row is authentic as that object: it is not what was decided on.
        if row.dataset != dataset || row.key != *key {
            return Err(VaultError::new(
                ErrorKind::Integrity,
                "the catalog gave another object",
            ));
        }
        let about = |error: VaultError| error.about(&row.etag, row.bytes);
        check_read(&ask.conditions, &row.etag, row.modified).map_err(about)?;
        let range = resolve(ask.span, &row).map_err(about)?;
        let kept = proof.dataset()?.versioning != Versioning::Off;
        let expires = match (proof.publication(), proof.version()) {
            (None, None) => self.expires(&row).await,
            _ => None,
        };
        Ok(Seen {
            expires,
            version: kept.then(|| row.name()),
            locking: proof.dataset()?.defaults.lock.is_some(),
            parts: self.part_sums(ask, &row).await?,
            row: Arc::new(row),
            range,
        })
    }

    /// The checksums of the parts that are asked for.
    async fn part_sums(
        &self,
        ask: &ReadAsk,
        row: &ObjectRow,
    ) -> Result<Vec<Checksums>, VaultError> {
        let one = match ask.span {
            Span::Part(number) => Some(number),
            Span::All | Span::From(_) | Span::Between(..) | Span::Last(_) => None,
        };
        if row.part_bytes.is_empty() || !(ask.parts || one.is_some()) {
            return Ok(Vec::new());
        }
        let origin = self
            .catalog
            .origin(&row.dataset, &row.key, &row.version)
            .await?;
        let all = origin.map(|origin| origin.parts).unwrap_or_default();
        Ok(match one.and_then(|number| usize::try_from(number).ok()) {
            Some(number) => all
                .into_iter()
                .skip(number.saturating_sub(1))
                .take(1)
                .collect(),
            None => all,
        })
    }

    async fn find_version(
        &self,
        proof: &Authorized,
        name: VersionName,
    ) -> Result<ObjectRow, VaultError> {
        let dataset = proof.dataset()?.id;
        match self.catalog.version(&dataset, proof.key()?, &name).await? {
            Some(Version::Object(row)) if row.name() == name => Ok(row),
            Some(Version::Object(_)) => Err(VaultError::new(
                ErrorKind::Integrity,
                "the catalog gave another version",
            )),
            Some(Version::Marker(_)) => {
                let error = VaultError::new(ErrorKind::IsMarker, "this version is a delete marker");
                Err(error.marked(name))
            }
            None => Err(VaultError::new(ErrorKind::NoSuchVersion, "no such version")),
        }
    }

    /// That there is no object, and whether a delete marker says so.
    pub(in crate::vault) async fn absent(&self, proof: &Authorized) -> VaultError {
        let error = VaultError::new(ErrorKind::NoSuchObject, "no such object");
        let (Ok(dataset), Ok(key)) = (proof.dataset(), proof.key()) else {
            return error;
        };
        if dataset.versioning == Versioning::Off {
            return error;
        }
        match self.catalog.latest_marker(&dataset.id, key).await {
            Ok(Some(marker)) => error.marked(marker.name()),
            Ok(None) => error,
            Err(fault) => fault.into(),
        }
    }

    /// Opens an object's part table.
    pub(in crate::vault) fn open_object(&self, row: &ObjectRow) -> Result<Table, VaultError> {
        let key = self.key_of(&row.dataset, &row.sealed_table)?;
        Ok(open_table(&key, &object_binding(row), &row.sealed_table)?)
    }

    /// Opens the part table of an object whose keys are to leave the vault: only if they open
    /// nothing but the object.
    pub(in crate::vault) fn open_released(&self, row: &ObjectRow) -> Result<Table, VaultError> {
        const CUT: VaultError = VaultError::new(
            ErrorKind::InvalidArgument,
            "an object is a cut of another, by a range copy, and shares its key: write its bytes anew",
        );
        let table = self.open_object(row)?;
        if table.is_of_whole_blobs() {
            Ok(table)
        } else {
            Err(CUT)
        }
    }

    /// The key that a part table says it is sealed under.
    pub(in crate::vault) fn key_of(
        &self,
        dataset: &DatasetId,
        table: &[u8],
    ) -> Result<Arc<DatasetKey>, VaultError> {
        let damaged = VaultError::new(ErrorKind::Integrity, "a part table is damaged");
        let version = table_key_version(table).ok_or(damaged)?;
        Ok(self.keyring.dataset_at(dataset, version)?)
    }
}

/// Says in the record which of its dataset's keys served a read (CR-5): `key=2`. The first is not
/// said, so that nothing is added where no key was ever replaced.
pub(in crate::vault) fn note_key(intent: &mut Intent, version: Option<u32>) {
    let Some(version) = version.filter(|version| *version > 1) else {
        return;
    };
    let text = format!("key={version}");
    intent.query = Some(match intent.query.take() {
        Some(query) => crate::vault::cut(&format!("{query} {text}")),
        None => text,
    });
}

/// What an object's part table is bound to.
pub(in crate::vault) const fn object_binding(row: &ObjectRow) -> Binding<'_> {
    Binding {
        dataset: row.dataset,
        version: row.version,
        place: SealPlace::Object { key: &row.key },
        bytes: row.bytes,
        etag: &row.etag,
    }
}

/// Judges conditions in the order of RFC 9110, section 13.2.2. Times count in whole seconds.
pub(in crate::vault) fn check_read(
    conditions: &ReadConditions,
    etag: &ETag,
    modified: Timestamp,
) -> Result<(), VaultError> {
    const FAILED: VaultError =
        VaultError::new(ErrorKind::PreconditionFailed, "a condition does not hold");
    const CURRENT: VaultError = VaultError::new(ErrorKind::NotModified, "not modified");
    if let Some(matches) = &conditions.matches {
        if !hits(matches, etag) {
            return Err(FAILED);
        }
    } else if let Some(since) = conditions.unmodified_since
        && modified.seconds() > since.seconds()
    {
        return Err(FAILED);
    }
    if let Some(differs) = &conditions.differs {
        if hits(differs, etag) {
            return Err(CURRENT);
        }
    } else if let Some(since) = conditions.modified_since
        && modified.seconds() <= since.seconds()
    {
        return Err(CURRENT);
    }
    Ok(())
}

pub(in crate::vault) fn hits(tags: &TagMatch, etag: &ETag) -> bool {
    match tags {
        TagMatch::Any => true,
        TagMatch::Tags(tags) => tags.iter().any(|tag| tag == etag.as_str()),
    }
}

/// The range that a span means for this object; `None` for all of it.
pub(in crate::vault) fn resolve(
    span: Span,
    row: &ObjectRow,
) -> Result<Option<ByteRange>, VaultError> {
    const BEYOND: VaultError =
        VaultError::new(ErrorKind::InvalidRange, "the range lies beyond the end");
    let bytes = row.bytes;
    let range = match span {
        Span::All => return Ok(None),
        Span::From(start) => ByteRange::new(start, bytes),
        Span::Between(first, last) => ByteRange::new(first, last.saturating_add(1).min(bytes)),
        Span::Last(count) => ByteRange::new(bytes.saturating_sub(count), bytes),
        Span::Part(number) => return part_range(number, row),
    };
    range.map(Some).ok_or(BEYOND)
}

fn part_range(number: u32, row: &ObjectRow) -> Result<Option<ByteRange>, VaultError> {
    const NONE: VaultError = VaultError::new(ErrorKind::InvalidPart, "no such part");
    const DAMAGED: VaultError = VaultError::new(
        ErrorKind::Integrity,
        "the parts are not as long as the object",
    );
    if row.part_bytes.is_empty() {
        return if number == 1 { Ok(None) } else { Err(NONE) };
    }
    let index = number
        .checked_sub(1)
        .and_then(|n| usize::try_from(n).ok())
        .ok_or(NONE)?;
    let len = *row.part_bytes.get(index).ok_or(NONE)?;
    // The lengths are not sealed: a hostile catalog may say anything.
    let mut parts = row.part_bytes.iter();
    let whole = parts.try_fold(0_u64, |sum, bytes| sum.checked_add(*bytes));
    if whole != Some(row.bytes) {
        return Err(DAMAGED);
    }
    let start: u64 = row.part_bytes.iter().take(index).sum();
    Ok(ByteRange::new(start, start.saturating_add(len)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Attached, ObjectMeta};
    use crate::types::{DatasetId, VersionId};

    fn row(bytes: u64, part_bytes: &[u64]) -> ObjectRow {
        let version = VersionId::from_bytes([1; 16]);
        ObjectRow {
            dataset: DatasetId::from_bytes([2; 16]),
            key: "k".parse().unwrap(),
            version,
            bytes,
            etag: ETag::of(&version, 1),
            modified: Timestamp::from_millis(5_900),
            meta: ObjectMeta::default(),
            checksums: Checksums::default(),
            part_bytes: part_bytes.to_vec(),
            sealed_table: bytes::Bytes::new(),
            versioned: false,
            attached: Attached::default(),
        }
    }

    #[test]
    fn spans_resolve_to_what_is_there() {
        let row = row(10, &[]);
        let ok = [
            (Span::All, None),
            (Span::From(0), ByteRange::new(0, 10)),
            (Span::From(9), ByteRange::new(9, 10)),
            (Span::Between(2, 4), ByteRange::new(2, 5)),
            (Span::Between(2, u64::MAX), ByteRange::new(2, 10)),
            (Span::Last(3), ByteRange::new(7, 10)),
            (Span::Last(99), ByteRange::new(0, 10)),
            (Span::Part(1), None),
        ];
        for (span, range) in ok {
            assert_eq!(resolve(span, &row).unwrap(), range, "{span:?}");
        }
        let bad = [
            Span::From(10),
            Span::From(u64::MAX),
            Span::Between(10, 12),
            Span::Between(5, 4),
            Span::Last(0),
        ];
        for span in bad {
            let error = resolve(span, &row).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidRange, "{span:?}");
        }
        for span in [Span::Part(0), Span::Part(2)] {
            let error = resolve(span, &row).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidPart, "{span:?}");
        }
    }

    #[test]
    fn ranges_of_an_empty_object_lie_beyond_it() {
        let row = row(0, &[]);
        assert_eq!(resolve(Span::All, &row).unwrap(), None);
        for span in [Span::From(0), Span::Between(0, 0), Span::Last(1)] {
            assert!(resolve(span, &row).is_err(), "{span:?}");
        }
    }

    #[test]
    fn parts_lie_end_to_end() {
        let row = row(9, &[4, 0, 5]);
        assert_eq!(resolve(Span::Part(1), &row).unwrap(), ByteRange::new(0, 4));
        assert_eq!(resolve(Span::Part(3), &row).unwrap(), ByteRange::new(4, 9));
        assert!(resolve(Span::Part(4), &row).is_err());
    }

    #[test]
    fn parts_that_are_not_the_object_are_damage() {
        for parts in [&[4, 6][..], &[9, u64::MAX, 1], &[1], &[u64::MAX, 10]] {
            let error = resolve(Span::Part(1), &row(9, parts)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Integrity, "{parts:?}");
        }
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "one table of cases")]
    fn conditions_follow_their_order() {
        let row = row(1, &[]);
        let tag = |text: &str| Some(TagMatch::Tags(vec![text.to_owned()]));
        let mine = row.etag.to_string();
        let at = |seconds: u64| Some(Timestamp::from_millis(seconds * 1000));
        let judge = |conditions: ReadConditions| {
            check_read(&conditions, &row.etag, row.modified).map_err(|error| error.kind())
        };
        let failed = Err(ErrorKind::PreconditionFailed);
        let current = Err(ErrorKind::NotModified);
        let none = ReadConditions::default();
        let cases = [
            (none.clone(), Ok(())),
            (
                ReadConditions {
                    matches: tag(&mine),
                    ..none.clone()
                },
                Ok(()),
            ),
            (
                ReadConditions {
                    matches: tag("x"),
                    ..none.clone()
                },
                failed,
            ),
            (
                ReadConditions {
                    differs: tag(&mine),
                    ..none.clone()
                },
                current,
            ),
            (
                ReadConditions {
                    differs: Some(TagMatch::Any),
                    ..none.clone()
                },
                current,
            ),
            (
                ReadConditions {
                    differs: tag("x"),
                    modified_since: at(9),
                    ..none.clone()
                },
                Ok(()),
            ),
            (
                ReadConditions {
                    modified_since: at(5),
                    ..none.clone()
                },
                current,
            ),
            (
                ReadConditions {
                    modified_since: at(4),
                    ..none.clone()
                },
                Ok(()),
            ),
            (
                ReadConditions {
                    unmodified_since: at(4),
                    ..none.clone()
                },
                failed,
            ),
            (
                ReadConditions {
                    unmodified_since: at(5),
                    ..none.clone()
                },
                Ok(()),
            ),
            (
                ReadConditions {
                    matches: tag(&mine),
                    unmodified_since: at(1),
                    ..none
                },
                Ok(()),
            ),
        ];
        for (conditions, outcome) in cases {
            assert_eq!(judge(conditions.clone()), outcome, "{conditions:?}");
        }
    }
}
