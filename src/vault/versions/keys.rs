//! Keys of a version's objects, released to whoever may read them.
//!
//! **A key leaves after its object was decided on and the record of it is durable**, as a plaintext
//! byte does. A record names either one object, or the first of a run in order of key with the
//! last and how many: the version is frozen, so that says exactly which.
//!
//! An object of many pieces has a long table, and many may be asked for at once: an answer holds
//! so many bytes of them, in the room that all running reads have ([`Tables`]), and no more is read
//! of what does not fit. Who asked asks on for what did not come, as where a right ends.
//!
//! [`Tables`]: crate::vault::objects::tables::Tables

use bytes::Bytes;
use futures_util::future::try_join_all;
use futures_util::{StreamExt as _, stream};
use zeroize::Zeroizing;

use crate::catalog::{ObjectRow, PublicationRow};
use crate::ledger::{Handed, Intent, run_words};
use crate::policy::Decision;
use crate::seal::table_key_version;
use crate::types::{Action, ObjectKey, limits};
use crate::vault::access::proof::{Authorized, policy_ref};
use crate::vault::error::{ErrorKind, VaultError};
use crate::vault::log::share::answerable;
use crate::vault::objects::read::note_key;
use crate::vault::objects::tables::Taken;
use crate::vault::versions::release::{Run, checked, in_use};
use crate::vault::{Call, Vault};

/// Copies of a sealed table that an answer is made by: in clear, as text, and that in the answer,
/// which grows by doubling.
const TABLE_COPIES: u64 = 5;
/// The same of a key, whose letters may each take six in the answer.
const KEY_COPIES: u64 = 8;

/// An object's part table in clear, for whoever may read the object.
pub struct Released {
    /// The object.
    pub key: ObjectKey,
    /// Its table (`seal::Table::release`).
    pub table: Zeroizing<Vec<u8>>,
}

/// What came of a request for keys.
#[derive(Default)]
pub struct Release {
    /// Objects that may be read.
    pub keys: Vec<Released>,
    /// Those that were asked for by name, may be read, and are in the version no more: erased.
    pub gone: Vec<ObjectKey>,
    room: Option<Taken>,
}

impl Release {
    /// The bytes of an answer that was made of this. They hold its room until nobody has them.
    #[must_use]
    pub fn answer(self, text: Vec<u8>) -> Bytes {
        let Some(mut room) = self.room else {
            return text.into();
        };
        room.shrink(u64::try_from(text.len()).unwrap_or(u64::MAX));
        Bytes::from_owner(Answer { text, _room: room })
    }
}

/// An answer on its way.
struct Answer {
    text: Vec<u8>,
    _room: Taken,
}

impl AsRef<[u8]> for Answer {
    fn as_ref(&self) -> &[u8] {
        &self.text
    }
}

/// A run as it was found, and the decision on its first object.
struct Looked<'a> {
    run: &'a Run,
    objects: Vec<ObjectRow>,
    decision: Option<Decision>,
}

impl Vault {
    /// Releases the keys of runs of objects. A run ends before an object that the caller may not
    /// read, and all end before one whose table fits into the answer no more, if that is not the
    /// first of all; that a run's first one may not be read is a refusal, which is recorded, and
    /// leaves the other runs.
    pub async fn release_keys(
        &self,
        call: &Call,
        bucket: &str,
        runs: Vec<Run>,
    ) -> Result<Release, VaultError> {
        let proof = self
            .authorize(call, bucket, None, Action::DatasetHead)
            .await?;
        let looked = async {
            let (row, number) = in_use(&proof, self.now())?;
            checked(&runs)?;
            let (looked, room) = self.look_at(call, &proof, &row, &runs).await?;
            Ok::<_, VaultError>((looked, room, number))
        };
        let (looked, room, number) = match looked.await {
            Ok(looked) => looked,
            Err(error) => {
                return Err(self
                    .turn_away(call, Self::intent_of(call, &proof), error)
                    .await);
            }
        };
        let looked = looked.into_iter().enumerate();
        let released = looked.map(|run| self.release_run(call, &proof, number, run));
        let mut all = Release {
            room: Some(room),
            ..Release::default()
        };
        for one in try_join_all(released).await? {
            all.keys.extend(one.keys);
            all.gone.extend(one.gone);
        }
        Ok(all)
    }

    /// The runs as they are now, as far as one answer's bounds go, and the room for it.
    async fn look_at<'a>(
        &self,
        call: &Call,
        proof: &Authorized,
        row: &PublicationRow,
        runs: &'a [Run],
    ) -> Result<(Vec<Looked<'a>>, Taken), VaultError> {
        let mut room = self.tables.take(answerable(&call.session), 0)?;
        let mut left = limits::RELEASE_TABLES_BYTES_MAX;
        let mut first = true;
        let mut looked = Vec::new();
        let found = runs
            .iter()
            .map(|run| async move { (run, self.readable(call, proof, row, run).await) });
        let found: Vec<_> = found.collect();
        let mut found = stream::iter(found).buffered(limits::LOOKED_AT_ONCE);
        while let Some((run, found)) = found.next().await {
            let (mut objects, decision) = found?;
            let mut fit = 0_usize;
            for object in &objects {
                let table = u64::try_from(object.sealed_table.len()).unwrap_or(u64::MAX);
                if table > left && !first {
                    break;
                }
                match room.grow(held_bytes(object, table)) {
                    Ok(()) => {}
                    Err(error) if first => return Err(error),
                    Err(_) => break,
                }
                left = left.saturating_sub(table);
                first = false;
                fit = fit.saturating_add(1);
            }
            let ends = fit < objects.len();
            if fit > 0 || !ends {
                objects.truncate(fit);
                looked.push(Looked {
                    run,
                    objects,
                    decision,
                });
            }
            if ends {
                break;
            }
        }
        Ok((looked, room))
    }

    async fn release_run(
        &self,
        call: &Call,
        proof: &Authorized,
        number: u32,
        (at, looked): (usize, Looked<'_>),
    ) -> Result<Release, VaultError> {
        let Looked {
            run,
            objects,
            decision,
        } = looked;
        let mut intent = Self::intent(
            call,
            Some(Action::ObjectRead),
            Self::intent_of(call, proof).object,
        );
        // Each record is a request of its own; the first is the one that the answer names.
        if at > 0 {
            intent.event = self.new_event()?;
        }
        intent.object.key = Some(run.from.clone());
        intent.query = Some(format!("version={number}"));
        intent.policy = decision.as_ref().map(policy_ref);
        if objects.is_empty() {
            return self.release_none(call, intent, run, decision).await;
        }
        told(&mut intent, number, &objects);
        // Each row goes as soon as it is opened.
        let released = objects.into_iter().map(|object| {
            let table = self.open_released(&object)?.release()?;
            let key = object.key;
            Ok(Released { key, table })
        });
        match released.collect::<Result<Vec<_>, VaultError>>() {
            Ok(keys) => {
                self.note(call, intent, Ok(())).await?;
                Ok(Release {
                    keys,
                    ..Release::default()
                })
            }
            Err(error) => {
                self.note(call, intent, Err(&error)).await?;
                Ok(Release::default())
            }
        }
    }

    /// Of a run whose first object may not be read, or is there no more.
    async fn release_none(
        &self,
        call: &Call,
        intent: Intent,
        run: &Run,
        decision: Option<Decision>,
    ) -> Result<Release, VaultError> {
        let reason = match decision {
            Some(decision) if !decision.allowed => {
                VaultError::new(ErrorKind::AccessDenied, "no rule allows it")
            }
            _ => VaultError::new(ErrorKind::NoSuchObject, "no such object"),
        };
        self.note(call, intent, Err(&reason)).await?;
        let erased = reason.kind() == ErrorKind::NoSuchObject;
        Ok(Release {
            gone: erased.then(|| run.from.clone()).into_iter().collect(),
            ..Release::default()
        })
    }
}

/// What an object takes of memory while an answer is made of it.
fn held_bytes(object: &ObjectRow, table: u64) -> u64 {
    let key = u64::try_from(object.key.as_str().len()).unwrap_or(u64::MAX);
    let key = key.saturating_mul(KEY_COPIES);
    table.saturating_mul(TABLE_COPIES).saturating_add(key)
}

/// Says in a record which objects it releases.
fn told(intent: &mut Intent, number: u32, objects: &[ObjectRow]) {
    intent.object.version = objects.first().map(|first| first.version);
    if let Some(last) = objects.last().filter(|_| objects.len() > 1) {
        let words = run_words(number, Handed::Objects, objects.len(), &last.key);
        intent.query = Some(words);
    }
    // Of a run that a rotation has passed in part, the newer key.
    let keys = objects
        .iter()
        .map(|object| table_key_version(&object.sealed_table));
    note_key(intent, keys.max().flatten());
}
